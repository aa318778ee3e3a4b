package ir_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"apogee/ir"
	"apogee/ir/diag"
)

// No text makes the parser take memory out of proportion to its size.
func TestParseTakesMemoryInProportion(t *testing.T) {
	const size = 1 << 20
	fill := func(head string, piece func(i int) string, tail string) string {
		var b strings.Builder
		b.WriteString(head)
		for i := 0; b.Len() < size; i++ {
			b.WriteString(piece(i))
		}
		b.WriteString(tail)
		return b.String()
	}
	same := func(s string) func(int) string { return func(int) string { return s } }
	const head = "module @m {\n  func @f(%x: f32[]) -> (y) {\n"
	for _, c := range []struct{ name, text string }{
		{"functions", fill("module @m {\n", func(i int) string { return fmt.Sprintf("func @f%d()->(){}\n", i) }, "}\n")},
		{"parameters", fill("module @m {\nfunc @f(", func(i int) string { return fmt.Sprintf("%%%d:f32[],", i) }, ")->(){}}\n")},
		{"results", fill("module @m {\nfunc @f()->(", same("a,"), "){}}\n")},
		{"ops", fill(head, func(i int) string { return fmt.Sprintf("%%%d=neg(%%x)\n", i) }, "return(%x)\n}\n}\n")},
		{"operands", fill(head+"%y=concat(", same("%x,"), "){axis=0}\nreturn(%x)\n}\n}\n")},
		{"undefined operands", fill(head+"%y=concat(", same("%z,"), "){axis=0}\nreturn(%x)\n}\n}\n")},
		{"symbols", fill("module @m {\nfunc @f(", func(i int) string { return fmt.Sprintf("%%%d:f32[s%d],", i, i) }, ")->(){}}\n")},
		{"dimensions", fill("module @m {\nfunc @f(%x:f32[", same("1,"), "])->(){}}\n")},
		{"one long symbol", fill("module @m {\nfunc @f(%x:f32[", same("a"), "])->(){}}\n")},
		{"sums", fill("module @m {\nfunc @f(%x:f32[", same("a+"), "])->(){}}\n")},
		{"integers", fill(head+"%y=transpose(%x){perm=[", same("1,"), "]}\nreturn(%x)\n}\n}\n")},
		{"strings", fill(head+"%y=attention(%x,%x,%x){scale=1,with=[", same(`"",`), "]}\nreturn(%x)\n}\n}\n")},
		{"files", fill("module @m {\nfiles [", same(`"",`), "]\n}\n")},
		{"metas", fill("module @m {", func(i int) string { return fmt.Sprintf(`a%d="",`, i) }, "b=\"\"} {\n}\n")},
		{"blank lines", fill("module @m {\n", same("\n"), "}\n")},
		{"braces", fill(head, same("{"), "")},
		{"regions", fill(head, same("%y=kernel(%x)("), "")},
		{"errors", fill(head, same("%y=ned(%z)\n"), "")},
		{"literal", head + "%c = constant {value=f32[1000000000000] base64\"" + strings.Repeat("A", size) + "\"}\n"},
		{"list", head + "%c = constant {value=f64[1000,1000] [" + strings.Repeat("0,", size/2) + "]}\n"},
		{"quotes", fill("module @m {\nfiles [", same(`"\x00",`), "]\n}\n")},
		{"no end", fill("module @\"", same("a"), "")},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			m, list := ir.Load(diag.NewSource("x.ir", []byte(c.text)))
			runtime.ReadMemStats(&after)
			if got, limit := after.TotalAlloc-before.TotalAlloc, uint64(60*len(c.text)); got > limit {
				t.Errorf("%d bytes of text took %d bytes, %d a byte (module: %v, %d errors)", len(c.text), got, got/uint64(len(c.text)), m != nil, list.Errors())
			}
		})
	}
}
