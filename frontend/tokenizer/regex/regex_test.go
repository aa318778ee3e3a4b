package regex

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// Patterns of published tokenizers.
const (
	gpt2  = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	llama = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// tableOnly finds every match without the backtracker.
func tableOnly(re *Regexp, text string) []Span {
	m := matcher{re: re, text: text, ends: re.table(text, 0)}
	return allWith(&m, text)
}

func allWith(m *matcher, text string) []Span {
	var out []Span
	lastEnd := -1
	for at := 0; at <= len(text); {
		s, ok := m.find(at)
		if !ok {
			break
		}
		if s.Start == s.End && s.End == lastEnd {
			_, w := utf8.DecodeRuneInString(text[at:])
			at += max(w, 1)
			continue
		}
		out = append(out, s)
		at, lastEnd = s.End, s.End
	}
	return out
}

// pieces cuts text at the matches' ends.
func pieces(text string, spans []Span) []string {
	var out []string
	last := 0
	for _, s := range append(spans, Span{len(text), len(text)}) {
		if s.Start > last {
			out = append(out, text[last:s.Start])
		}
		if s.End > s.Start {
			out = append(out, text[s.Start:s.End])
		}
		last = s.End
	}
	return out
}

func TestAgainstOniguruma(t *testing.T) {
	raw, err := os.ReadFile("testdata/oniguruma.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Texts    []string
		Patterns []struct {
			Pattern string
			Lengths [][]int
		}
	}
	if err := json.Unmarshal(raw, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Patterns) < 70 || len(golden.Texts) < 25 {
		t.Fatal("the golden file is cut short")
	}
	for _, p := range golden.Patterns {
		re, err := Compile(p.Pattern)
		if err != nil {
			t.Error(err)
			continue
		}
		for k, text := range golden.Texts {
			var want []string
			rest := []rune(text)
			for _, n := range p.Lengths[k] {
				want = append(want, string(rest[:n]))
				rest = rest[n:]
			}
			if got := pieces(text, re.All(nil, text)); !slices.Equal(got, want) {
				t.Errorf("%q on %q: got %q, want %q", p.Pattern, text, got, want)
			}
			if got := pieces(text, tableOnly(re, text)); !slices.Equal(got, want) {
				t.Errorf("%q on %q by table: got %q, want %q", p.Pattern, text, got, want)
			}
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	for _, c := range []struct {
		pattern string
		offset  int
		reason  string
	}{
		{`a)`, 1, "without its ("},
		{`(a`, 2, "without its )"},
		{`[a`, 2, "without its ]"},
		{`ab\`, 3, "ends too early"},
		{`*a`, 0, "repeats nothing"},
		{`(a)\1`, 3, "not supported"},
		{`\p{Lx}`, 2, `no Unicode property "Lx"`},
		{`[z-a]`, 2, "end is before its start"},
		{`(?<=a*)b`, 4, "look-behind"},
		{`(?:a*b*)*`, 8, "match nothing"},
		{`0???*`, 4, "match nothing"},
		{`(?=a)*`, 5, "consumes no text"},
		{`(?~a)`, 2, "unknown kind of group"},
		{`a{1001}`, 5, "over 1000"},
		{`((a{1000}){1000})`, 0, "instructions"},
		{`((((()(){1000}){1000}){1000}){1000})b`, 0, "multiply"},
		{`a{2}{2}{2}{2}{2}`, 16, "quantifiers"},
		{`\x{110000}`, 8, "over U+10FFFF"},
		{strings.Repeat("(", 5000), 100, "nested"},
		{strings.Repeat("[", 5000), 100, "nested"},
		{strings.Repeat("a", maxPattern+1), 0, "bytes"},
		{"\xff", 0, "UTF-8"},
	} {
		_, err := Compile(c.pattern)
		e, ok := err.(*SyntaxError)
		if !ok {
			t.Errorf("%.40q: no syntax error but %v", c.pattern, err)
			continue
		}
		if e.Offset != c.offset || !strings.Contains(e.Reason, c.reason) {
			t.Errorf("%.40q: at %d %q, want at %d … %q", c.pattern, e.Offset, e.Reason, c.offset, c.reason)
		}
	}
}

// Patterns and texts that make an ordinary backtracker take quadratic or exponential time. What is asserted is the
// count of the backtracker's steps; the table has no choice but to be linear.
func TestHostile(t *testing.T) {
	const n = 60_000
	for _, c := range []struct{ pattern, text string }{
		{`a*b|a`, strings.Repeat("a", n)},
		{`(?=a*b)a|a`, strings.Repeat("a", n)},
		{`(?:a|a)+b|a`, strings.Repeat("a", n)},
		{`(?:a+)+b|c`, strings.Repeat("a", n)},
		{`(?:(?:a{1,3}){1,3}){1,3}b`, strings.Repeat("a", n)},
		{`(?:\w+\s?)+$|x`, strings.Repeat("a", n) + "!"},
		{`\s+$`, strings.Repeat(" ", n) + "a" + strings.Repeat(" ", n)},
		{`(?<=[0-9])(?=(?:[0-9]{3})+(?![0-9]))`, strings.Repeat("1", n)},
		{gpt2, strings.Repeat(" ", n) + "x" + strings.Repeat("\n", n) + strings.Repeat("中", n)},
		{llama, strings.Repeat(" \n", n) + strings.Repeat("'", n) + strings.Repeat("é", n)},
	} {
		re, err := Compile(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		m := matcher{re: re, text: c.text}
		got := allWith(&m, c.text)
		if limit := 2*grace + (stepsPerByte+2)*len(c.text); m.steps > limit {
			t.Errorf("%s: %d steps, over the allowance of %d", c.pattern, m.steps, limit)
		}
		if !slices.Equal(got, tableOnly(re, c.text)) {
			t.Errorf("%s: the backtracker and the table disagree", c.pattern)
		}
	}
}

// The patterns that matter must stay with the fast engine on ordinary and on monotonous text.
func TestOrdinaryPatternsNeedNoTable(t *testing.T) {
	for _, pattern := range []string{gpt2, llama} {
		re, err := Compile(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{
			strings.Repeat("The quick brown fox, 12345 times!\n", 1000),
			strings.Repeat(" ", 30000), strings.Repeat("a", 30000), strings.Repeat("深度求索", 10000),
		} {
			m := matcher{re: re, text: text}
			allWith(&m, text)
			if m.ends != nil {
				t.Errorf("%s on %.20q…: took %d steps for %d bytes", pattern, text, m.steps, len(text))
			}
		}
	}
}

// What Unicode has added since the tables of this Go release, and the names that properties go by.
func TestProperties(t *testing.T) {
	for _, c := range []struct {
		pattern string
		in, out string
	}{
		{`\p{So}`, "\u2FFC☃", "a"},
		{`\p{Symbol}`, "\u2FFC+", "a"},
		{`\p{Han}`, "\U0002EBF0中", "a"},
		{`\p{L}`, "\U0002EBF0\u1C89a中", "1 "},
		{`\p{lowercase_letter}`, "a\u1C8A", "A"},
		{`\p{LC}`, "aA\u1C8Aǅ", "中"},
		{`\p{Cn}`, "\u0378", "a\u2FFC\u0001"},
		{`\p{C}`, "\u0378\u0001\uE000", "a\u2FFC"},
		{`\P{L}`, "1", "a"},
		{`\p{^L}`, "1", "a"},
		{`\pL`, "a", "1"},
		{`\w`, "a_²\u0897", "-"},
		{`[\w]`, "a_", "²-"},
		{`[[:punct:]]`, "$!", "a"},
		{`\p{Punct}`, "!", "$a"},
		{`[[:^space:]]`, "a", " \u3000"},
		{`\s`, " \u0085\u00A0\u3000\t", "\u200B"},
		{`\h`, "aF9", "g"},
	} {
		re, err := Compile(c.pattern)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, r := range c.in + c.out {
			want := strings.ContainsRune(c.in, r)
			if got := len(re.All(nil, string(r))) > 0; got != want {
				t.Errorf("%s on %q (%U): %v", c.pattern, r, r, got)
			}
		}
	}
}

func TestLiteral(t *testing.T) {
	re, err := Literal("a.(")
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(re.All(nil, "xa.(a.(ab(")); got != "[{1 4} {4 7}]" {
		t.Error(got)
	}
}

// FuzzEngines holds the backtracker and the table to one answer, and both to Go's regexp where the dialects agree.
func FuzzEngines(f *testing.F) {
	f.Add(gpt2, "Hello  world's 12\n\n ")
	f.Add(llama, "a\r\n b  c")
	f.Add(`(?<!\S)a+?b|\b`, "ab aab")
	f.Add(`(?>a|ab)c|[^\w&&\d]++`, "abc ac")
	f.Add(`(a|ab)(c|bcd)(d*)`, "abcd")
	f.Add(`0???*`, "0")
	f.Add(`0+++++*+|((?>a+)b?)+c`, "000aabaac")
	f.Add(`x{2,3}?y*`, "xxxxyy")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 200 || len(text) > 200 || !utf8.ValidString(text) {
			return
		}
		re, err := Compile(pattern)
		if err != nil {
			return
		}
		got := re.All(nil, text)
		if want := tableOnly(re, text); !slices.Equal(got, want) {
			t.Fatalf("%q on %q: backtracker %v, table %v", pattern, text, got, want)
		}
		last := 0
		for _, s := range got {
			if s.Start < last || s.End < s.Start || s.End > len(text) {
				t.Fatalf("%q on %q: matches out of order: %v", pattern, text, got)
			}
			last = s.End
		}
		for _, c := range pattern {
			// What both dialects read alike; in class brackets and escapes they differ.
			if !strings.ContainsRune("abcxyz0123456789|*+?()., ", c) {
				return
			}
		}
		if strings.Contains(pattern, "(?") || strings.Contains(pattern, "++") || strings.Contains(pattern, "*+") || strings.Contains(pattern, "?+") {
			return
		}
		std, err := regexp.Compile(pattern)
		if err != nil || std.MatchString("") {
			return // where a match may be empty the two searches go on differently
		}
		var want []Span
		for _, m := range std.FindAllStringIndex(text, -1) {
			want = append(want, Span{m[0], m[1]})
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q on %q: got %v, Go's regexp %v", pattern, text, got, want)
		}
	})
}

func BenchmarkAll(b *testing.B) {
	text := "The quick brown fox doesn't jump 12345 times; 深度求索是一家公司，成立于2023年。\n\n    return fib(n-1) + fib(n-2)\n"
	for _, size := range []int{1 << 10, 1 << 15, 1 << 20} {
		in := strings.Repeat(text, size/len(text)+1)
		for _, c := range []struct{ name, pattern string }{{"gpt2", gpt2}, {"llama3", llama}} {
			re, err := Compile(c.pattern)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("%s/bytes=%d", c.name, len(in)), func(b *testing.B) {
				b.SetBytes(int64(len(in)))
				var spans []Span
				for b.Loop() {
					spans = re.All(spans[:0], in)
				}
			})
			b.Run(fmt.Sprintf("%s-table/bytes=%d", c.name, len(in)), func(b *testing.B) {
				b.SetBytes(int64(len(in)))
				for b.Loop() {
					re.table(in, 0)
				}
			})
		}
	}
}
