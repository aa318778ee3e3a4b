package shape

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"
)

func mustParse(t testing.TB, text string) Dim {
	t.Helper()
	d, err := ParseDim(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestCanonical: many spellings, one text.
func TestCanonical(t *testing.T) {
	cases := []struct {
		want  string
		texts []string
	}{
		{"7168", []string{"7168", " 7168 ", "7168*1", "7000+168", "(7168)"}},
		{"B*T", []string{"B*T", "T*B", "1*B*T", "(B)*(T)", "B*T+0", "2*B*T-T*B"}},
		{"2*S+1", []string{"2*S+1", "1+S*2", "S+S+1", "(S+1)+S", "3*S+1-S"}},
		{"0", []string{"S-S", "0*S", "(S+1)*(S-1)-S*S+1", "-0"}},
		{"-S", []string{"-S", "0-S", "S-2*S", "--(-S)", "-1*S"}},
		{"B*B+2*B*T+T*T", []string{"(B+T)*(B+T)", "T*T+B*B+2*T*B"}},
		{"B*T*D+B*T+B+T+1", []string{"1+T+B+B*T+B*T*D"}},
		{"ceil(T/128)", []string{"ceil(T/128)", "floor((T+127)/128)", "ceil( (2*T) / 256 )", "-floor(-T/128)", "ceil(ceil(T/16)/8)"}},
		{"2*B+floor(T/128)", []string{"floor((256*B+T)/128)", "floor(T/128)+B*2"}},
		{"floor((T+5)/128)", []string{"floor((T+5)/128)", "floor((T+133)/128)-1"}},
		{"floor(T/128)+1", []string{"floor((T+128)/128)"}},
		{"T", []string{"ceil(T/1)", "floor((4*T+3)/4)", "128*floor(T/1)-127*T"}},
		{"T-ceil(T/128)", []string{"floor(127*T/128)"}},
		{"128*ceil(T/128)", []string{"ceil(T/128)*128"}},
		{"floor(T/12)", []string{"floor(floor(T/3)/4)", "floor(floor(T/4)/3)"}},
		{"floor((T+9)/12)", []string{"floor((floor(T/3)+3)/4)"}},
		{"-9223372036854775808", []string{"-9223372036854775808"}},
		{"_a.b0", []string{"_a.b0"}},
	}
	for _, c := range cases {
		want := mustParse(t, c.texts[0])
		for _, text := range c.texts {
			d := mustParse(t, text)
			if d.String() != c.want {
				// The order of the terms of one want is checked by its own text.
				if mustParse(t, c.want).String() != d.String() {
					t.Errorf("%q prints as %q, want %q", text, d, c.want)
				}
			}
			if d != want || !d.Equal(want) {
				t.Errorf("%q and %q differ", text, c.texts[0])
			}
		}
	}
}

func TestPrinting(t *testing.T) {
	for in, want := range map[string]string{
		"B*T": "B*T", "1+S*2": "2*S+1", "S-1": "S-1", "T*3*B": "3*B*T", "ceil((S+T)/128)": "ceil((S+T)/128)",
		"ceil(2*T/3)": "T-floor(T/3)", "1+T+B*T+B": "B*T+B+T+1", "ceil(T/128)*B": "B*ceil(T/128)", "-2*T-3": "-2*T-3",
	} {
		got := mustParse(t, in).String()
		if got != want {
			t.Errorf("%q prints as %q, want %q", in, got, want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	cases := map[string]string{
		"":                             "expected a number, a symbol or '(', found the end",
		"B*":                           "found the end",
		"B T":                          "expected an operator or the end, found \"T\"",
		"(B":                           "expected ')'",
		"B)":                           "expected an operator or the end",
		"3B":                           "expected a number",
		"B/2":                          "found \"/\"",
		"ceil":                         "expected '('",
		"ceil(T)":                      "expected '/'",
		"ceil(T/0)":                    "not positive",
		"ceil(T/-4)":                   "not positive",
		"floor(T/S)":                   "expected a number",
		"9223372036854775808":          "is no int64",
		"9223372036854775807+1":        "int64 overflow",
		"9223372036854775807*S+S":      "int64 overflow",
		"4294967296*S*4294967296":      "int64 overflow",
		"-9223372036854775808-1":       "int64 overflow",
		"B..*é":                        "found",
		strings.Repeat("(", 100) + "B": "nested more than",
		"ceil(" + strings.Repeat("ceil(", 60) + "T": "nested more than",
		strings.Repeat("B*", 20) + "B":              "factors",
		strings.Repeat("1+", 3000) + "1":            "bytes, more than",
		strings.Repeat("x", 200):                    "bytes, more than",
	}
	for text, want := range cases {
		d, err := ParseDim(text)
		if err == nil {
			t.Errorf("%q gives %s, expected an error", clip(text), d)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %q does not say %q", clip(text), err, want)
		} else if len(err.Error()) > 500 {
			t.Errorf("%q: an error of %d bytes", clip(text), len(err.Error()))
		}
	}
}

func TestInvalidStays(t *testing.T) {
	big := Const(math.MaxInt64)
	for name, d := range map[string]Dim{
		"add": big.Add(Const(1)), "sub": Const(math.MinInt64).Sub(Const(1)), "mul": big.Mul(Const(2)),
		"neg": Const(math.MinInt64).Mul(Const(-1)), "neg0": Const(0).Sub(Const(math.MinInt64)),
		"name": Sym("a b"), "empty": Sym(""), "digit": Sym("1a"), "ceil": Sym("ceil"), "div": Sym("T").FloorDiv(0), "cdiv": Const(3).CeilDiv(-1),
		"symadd": Sym("T").Add(big).Add(Const(1)), "symmul": Sym("T").Mul(big).Mul(Const(2)),
		"neg sym": Sym("T").Mul(Const(math.MinInt64)).Mul(Const(-1)),
		"sub sym": Const(0).Sub(Sym("T").Mul(Const(math.MinInt64))),
	} {
		if d.Valid() || d.Err() == nil || d.IsConst() {
			t.Errorf("%s: %s is valid", name, d)
			continue
		}
		if _, ok := d.Value(); ok {
			t.Errorf("%s: has a value", name)
		}
		if _, err := d.Eval(map[string]int64{"T": 1}); err == nil {
			t.Errorf("%s: evaluates", name)
		}
		if !strings.HasPrefix(d.String(), "invalid(") {
			t.Errorf("%s: prints as %q", name, d)
		}
		for i, e := range []Dim{d.Add(Const(1)), Const(1).Add(d), d.Sub(d), d.Mul(Const(0)), Const(0).Mul(d), d.FloorDiv(2), d.CeilDiv(2),
			d.Subst(map[string]Dim{"T": Const(1)}), Sym("Q").Mul(d)} {
			if e != d {
				t.Errorf("%s: operation %d makes %s of it", name, i, e)
			}
		}
		if _, ok := d.Div(Const(1)); ok {
			t.Errorf("%s: divides", name)
		}
		if err := (Shape{d}).Err(); err == nil {
			t.Errorf("%s: a shape with it has no error", name)
		}
	}
	if d := Const(math.MinInt64).CeilDiv(2); d != Const(math.MinInt64/2) {
		t.Errorf("ceil of the smallest over 2 is %s", d)
	}
}

func TestDiv(t *testing.T) {
	cases := []struct {
		a, b, want string // want "" when it does not divide
	}{
		{"6*B*T", "2*T", "3*B"}, {"B*T", "B*T", "1"}, {"B*T+T", "T", "B+1"}, {"B*T+T", "B+1", "T"}, {"0", "T", "0"},
		{"S*S-1", "S-1", "S+1"}, {"S*S-1", "S", ""}, {"7", "2", ""}, {"8", "2", "4"}, {"8", "-1", "-8"}, {"6*B", "4", ""},
		{"6*B+3", "3", "2*B+1"}, {"T", "0", ""}, {"8", "B", ""}, {"B", "B*T", ""}, {"128*ceil(T/128)", "128", "ceil(T/128)"},
		{"128*ceil(T/128)", "ceil(T/128)", "128"}, {"a*ab+ab*ab", "a+ab", "ab"}, {"-B*T", "B", "-T"}, {"B+T", "-1", "-B-T"},
		{"2*B*B+7*B+3", "2*B+1", "B+3"}, {"T*T*T+1", "T+1", "T*T-T+1"},
	}
	for _, c := range cases {
		q, ok := mustParse(t, c.a).Div(mustParse(t, c.b))
		if ok != (c.want != "") || ok && q != mustParse(t, c.want) {
			t.Errorf("(%s)/(%s) = %s, %v; want %q", c.a, c.b, q, ok, c.want)
		}
	}
}

func TestEvalSubst(t *testing.T) {
	d := mustParse(t, "2*B*T+ceil(T/128)-3")
	if v, err := d.Eval(map[string]int64{"B": 3, "T": 130}); err != nil || v != 2*3*130+2-3 {
		t.Errorf("%s = %d, %v", d, v, err)
	}
	if _, err := d.Eval(map[string]int64{"B": 3}); err == nil || !strings.Contains(err.Error(), "T has no value") {
		t.Errorf("error %v", err)
	}
	if _, err := d.Eval(map[string]int64{"B": math.MaxInt64, "T": 2}); err == nil {
		t.Error("no overflow")
	}
	if got, want := d.Subst(map[string]Dim{"T": Const(256)}), mustParse(t, "512*B-1"); got != want {
		t.Errorf("with T=256 it is %s, want %s", got, want)
	}
	// All at once: B and T change places.
	if got, want := d.Subst(map[string]Dim{"T": Sym("B"), "B": Sym("T")}), mustParse(t, "2*B*T+ceil(B/128)-3"); got != want {
		t.Errorf("swapped it is %s, want %s", got, want)
	}
	if got := d.Subst(map[string]Dim{"Q": Const(1)}); got != d {
		t.Errorf("without its symbols it becomes %s", got)
	}
	if got := fmt.Sprint(mustParse(t, "S*B+floor((Q+S)/3)").Symbols()); got != "[B Q S]" {
		t.Errorf("symbols %s", got)
	}
	if got := Const(3).Symbols(); len(got) != 0 {
		t.Errorf("a number has symbols %v", got)
	}
}

func TestBounds(t *testing.T) {
	env := map[string]Range{"B": {1, 4}, "T": {0, 100}, "N": {-3, 2}, "E": {2, 1}}
	for text, want := range map[string]Range{
		"B*T": {0, 400}, "7": {7, 7}, "ceil(T/16)": {0, 7}, "B-T": {-99, 4}, "N*B": {-12, 8}, "-2*N+1": {-3, 7}, "floor(N/2)": {-2, 1},
	} {
		got, err := mustParse(t, text).Bounds(env)
		if err != nil || got != want {
			t.Errorf("%s is in %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"Q", "E", "9223372036854775807*B", "ceil(Q/2)"} {
		if r, err := mustParse(t, text).Bounds(env); err == nil {
			t.Errorf("%s is in %s, expected an error", text, r)
		}
	}
}

// expression is a random expression: its text, and what it is for given values.
type expression struct {
	d    Dim
	eval func(env map[string]int64) int64
}

func randomExpr(rng *rand.Rand, depth int) expression {
	if depth == 0 || rng.IntN(4) == 0 {
		if rng.IntN(2) == 0 {
			n := int64(rng.IntN(21) - 10)
			return expression{Const(n), func(map[string]int64) int64 { return n }}
		}
		name := []string{"B", "T", "S", "ab"}[rng.IntN(4)]
		return expression{Sym(name), func(env map[string]int64) int64 { return env[name] }}
	}
	a := randomExpr(rng, depth-1)
	k := int64(rng.IntN(9) + 1)
	switch rng.IntN(6) {
	case 0:
		return expression{a.d.FloorDiv(k), func(env map[string]int64) int64 { return int64(math.Floor(float64(a.eval(env)) / float64(k))) }}
	case 1:
		return expression{a.d.CeilDiv(k), func(env map[string]int64) int64 { return int64(math.Ceil(float64(a.eval(env)) / float64(k))) }}
	}
	b := randomExpr(rng, depth-1)
	switch rng.IntN(3) {
	case 0:
		return expression{a.d.Add(b.d), func(env map[string]int64) int64 { return a.eval(env) + b.eval(env) }}
	case 1:
		return expression{a.d.Sub(b.d), func(env map[string]int64) int64 { return a.eval(env) - b.eval(env) }}
	}
	return expression{a.d.Mul(b.d), func(env map[string]int64) int64 { return a.eval(env) * b.eval(env) }}
}

// TestRandomExpressions: canonical forms mean what was written, print and parse
// back, and the laws of arithmetic hold with ==.
func TestRandomExpressions(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 4000 {
		x := randomExpr(rng, 4)
		if !x.d.Valid() {
			continue
		}
		for range 4 {
			env := map[string]int64{}
			for _, n := range []string{"B", "T", "S", "ab"} {
				env[n] = int64(rng.IntN(41) - 20)
			}
			want := x.eval(env)
			if want > 1<<50 || want < -1<<50 {
				continue // the floats of the reference are no longer exact
			}
			got, err := x.d.Eval(env)
			if err != nil || got != want {
				t.Fatalf("%s at %v is %d, %v; want %d", x.d, env, got, err, want)
			}
			sub := map[string]Dim{"B": Const(env["B"]), "T": Const(env["T"]), "S": Const(env["S"]), "ab": Const(env["ab"])}
			if v, ok := x.d.Subst(sub).Value(); !ok || v != want {
				t.Fatalf("%s with %v is %s, want %d", x.d, env, x.d.Subst(sub), want)
			}
			bounds := map[string]Range{}
			for n, v := range env {
				bounds[n] = Range{v - int64(rng.IntN(3)), v + int64(rng.IntN(3))}
			}
			if r, err := x.d.Bounds(bounds); err != nil || want < r.Lo || want > r.Hi {
				t.Fatalf("%s at %v is %d, bounds %s, %v", x.d, env, want, r, err)
			}
		}
		if back, err := ParseDim(x.d.String()); err != nil || back != x.d {
			t.Fatalf("%s parses back as %s, %v", x.d, back, err)
		}
		y, z := randomExpr(rng, 3), randomExpr(rng, 2)
		same := func(what string, a, b Dim) {
			if a.Valid() && b.Valid() && a != b {
				t.Fatalf("%s: %s is not %s, for %s, %s, %s", what, a, b, x.d, y.d, z.d)
			}
		}
		same("a+b = b+a", x.d.Add(y.d), y.d.Add(x.d))
		same("a*b = b*a", x.d.Mul(y.d), y.d.Mul(x.d))
		same("a*(b+c) = a*b+a*c", x.d.Mul(y.d.Add(z.d)), x.d.Mul(y.d).Add(x.d.Mul(z.d)))
		same("(a+b)+c = a+(b+c)", x.d.Add(y.d).Add(z.d), x.d.Add(y.d.Add(z.d)))
		same("a-b+b = a", x.d.Sub(y.d).Add(y.d), x.d)
		if p := x.d.Mul(z.d); p.Valid() && z.d != (Dim{}) {
			if q, ok := p.Div(z.d); !ok || q != x.d {
				t.Fatalf("(%s)*(%s)/(%s) = %s, %v", x.d, z.d, z.d, q, ok)
			}
		}
	}
}

func TestDimIsSmall(t *testing.T) {
	if s := unsafe.Sizeof(Dim{}); s > 16 {
		t.Errorf("a Dim takes %d bytes", s)
	}
	a, b := Const(7), Const(9)
	s := Sym("T")
	if n := testing.AllocsPerRun(100, func() {
		a = a.Add(b).Mul(Const(1)).Sub(b).FloorDiv(1)
		s = s.Add(Const(1)).Sub(Const(1)).Mul(Const(1))
	}); n != 0 {
		t.Errorf("numbers take %v allocations", n)
	}
}

// TestInternIsShared: goroutines that make the same expressions get the same
// pointers, and what nobody holds leaves the table.
func TestInternIsShared(t *testing.T) {
	var wg sync.WaitGroup
	results := make([]Dim, 8)
	for g := range results {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 300 {
				d := Sym(fmt.Sprintf("tmp%d", i)).Mul(Sym("T")).Add(Const(int64(g)))
				if d.Sub(Const(int64(g))) != Sym("T").Mul(Sym(fmt.Sprintf("tmp%d", i))) {
					t.Error("equal expressions differ")
				}
			}
			results[g] = Sym("B").Mul(Sym("T")).CeilDiv(8)
		}()
	}
	wg.Wait()
	for _, d := range results {
		if d != results[0] {
			t.Fatal("equal expressions differ between goroutines")
		}
	}
	count := func() int {
		interned.Lock()
		defer interned.Unlock()
		n := 0
		for k := range interned.m {
			if strings.Contains(k, "tmp") {
				n++
			}
		}
		return n
	}
	for range 100 {
		runtime.GC()
		if count() == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if n := count(); n != 0 {
		t.Errorf("%d expressions that nobody holds are still in the table", n)
	}
	if results[0] != mustParse(t, "ceil(B*T/8)") {
		t.Error("a held expression was made again")
	}
}

func FuzzParseDim(f *testing.F) {
	for _, s := range []string{"B*T", "2*S+1", "ceil((T+1)/128)*B", "floor(ceil(T/3)/4)-7", "-9223372036854775808", "((B))", "B*(T+S)*(T-S)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseDim(text)
		if err != nil {
			return
		}
		if !d.Valid() {
			t.Fatalf("%q gives %s without an error", text, d)
		}
		back, err := ParseDim(d.String())
		if err != nil || back != d {
			t.Fatalf("%q prints as %q, which parses as %s, %v", text, d, back, err)
		}
		d.Subst(map[string]Dim{"B": Sym("T").Add(Const(1))})
		d.Add(d).Mul(d).Sub(d).CeilDiv(7)
		d.Eval(map[string]int64{"B": 3, "T": 1 << 40, "S": -5})
	})
}

func BenchmarkDim(b *testing.B) {
	B, T := Sym("B"), Sym("T")
	b.Run("const", func(b *testing.B) {
		x, y := Const(3), Const(4)
		for b.Loop() {
			x.Add(y).Mul(y)
		}
	})
	b.Run("add_const", func(b *testing.B) {
		for b.Loop() {
			T.Add(Const(1))
		}
	})
	b.Run("mul", func(b *testing.B) {
		for b.Loop() {
			B.Mul(T)
		}
	})
	b.Run("ceil", func(b *testing.B) {
		for b.Loop() {
			T.CeilDiv(128)
		}
	})
	b.Run("string", func(b *testing.B) {
		buf := make([]byte, 0, 64)
		d := B.Mul(T).Add(Const(1))
		for b.Loop() {
			buf = d.Append(buf[:0])
		}
	})
	for _, text := range []string{"7168", "B", "2*B*T+1"} {
		b.Run("parse/"+text, func(b *testing.B) {
			for b.Loop() {
				if _, err := ParseDim(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
