package jinja

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func render(t testing.TB, src string, vars map[string]any) (string, error) {
	t.Helper()
	tmpl, err := Parse(src)
	if err != nil {
		return "", err
	}
	return tmpl.Render(vars, Options{Now: time.Date(2025, 3, 4, 15, 6, 7, 0, time.UTC)})
}

// Each case was rendered by the original: the text is equal, and what fails there fails here.
func TestAgainstPython(t *testing.T) {
	raw, err := os.ReadFile("testdata/python.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Vars  json.RawMessage
		Cases []struct {
			Template string
			Out      string
			Error    bool
		}
	}
	if err := json.Unmarshal(raw, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Cases) < 480 {
		t.Fatalf("the golden file has %d cases", len(golden.Cases))
	}
	v, err := FromJSON(golden.Vars)
	if err != nil {
		t.Fatal(err)
	}
	vars := map[string]any{}
	for i, k := range v.(*Dict).keys {
		vars[k.(string)] = v.(*Dict).values[i]
	}
	for _, c := range golden.Cases {
		got, err := render(t, c.Template, vars)
		if (err != nil) != c.Error || got != c.Out {
			t.Errorf("%q: got %q (%v), want %q (error: %v)", c.Template, got, err, c.Out, c.Error)
		}
	}
}

// Whole chat templates with conversations, tools and reasoning.
func TestChatStyles(t *testing.T) {
	raw, err := os.ReadFile("testdata/chats.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Templates map[string]string
		Inputs    []json.RawMessage
		Cases     []struct {
			Template string
			Input    int
			Out      string
			Error    bool
		}
	}
	if err := json.Unmarshal(raw, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Cases) < 45 {
		t.Fatalf("the golden file has %d cases", len(golden.Cases))
	}
	for _, c := range golden.Cases {
		v, err := FromJSON(golden.Inputs[c.Input])
		if err != nil {
			t.Fatal(err)
		}
		vars := map[string]any{}
		for i, k := range v.(*Dict).keys {
			vars[k.(string)] = v.(*Dict).values[i]
		}
		got, err := render(t, golden.Templates[c.Template], vars)
		if (err != nil) != c.Error || got != c.Out {
			t.Errorf("%s, input %d: got %q (%v), want %q (error: %v)", c.Template, c.Input, got, err, c.Out, c.Error)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		template string
		line     int
		want     string
	}{
		{"a\n{{ x", 2, "ends inside a tag"},
		{"{% if a %}\n\nb", 3, "expected {% endif %}"},
		{"{% for x in y %}{% endif %}", 1, `the tag "endif" is not supported`},
		{"\n{% include 'x' %}", 2, `the tag "include" is not supported here; known are`},
		{"{{ a | nope }}", 1, `there is no filter "nope"`},
		{"{{ a is nope }}", 1, `there is no test "nope"`},
		{"{{ 'x }}", 1, "closing quote"},
		{"{{ a ! b }}", 1, "unexpected character '!'"},
		{"{{ (a }}", 1, `that closes nothing`},
		{"{# x", 1, "a comment without"},
		{"{% raw %}x", 1, "a raw block without"},
		{"{{ messages[0].role }}", 1, `"messages" is not defined`},
		{"x\n\n{{ a + 'b' }}", 3, `"+" does not work on int and str`},
		{"{{ a.b.c }}", 1, `int has no attribute "b"`},
		{"{{ 9223372036854775807 + 1 }}", 1, "does not fit 64 bits"},
		{"{{ 99999999999999999999 }}", 1, "does not fit 64 bits"},
		{"{% break %}", 1, "outside a loop"},
		{"{% for i in [1] %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}", 1, "outside a loop"},
		{"{{ range(1, 2, 0) }}", 1, "step is zero"},
		{"{{ [1][::0] }}", 1, "step is zero"},
		{"{{ f(*a) }}", 1, "unpacked"},
		{"{% set none = 1 %}", 1, "cannot be assigned"},
		{"{{ 'a'.upper(1) }}", 1, "takes at most 0 arguments"},
		{"{{ l.append(1) }}", 1, "has no attribute"},
		{"\xff", 1, "UTF-8"},
	} {
		_, err := render(t, c.template, map[string]any{"a": 1, "l": []any{1}})
		var e *Error
		if !errors.As(err, &e) || e.Line != c.line || !strings.Contains(e.Message, c.want) || e.Raised {
			t.Errorf("%q: got %v, want line %d: %s", c.template, err, c.line, c.want)
		}
	}
}

func TestRaised(t *testing.T) {
	_, err := render(t, "a\n{{ raise_exception('no ' ~ 1) }}", nil)
	var e *Error
	if !errors.As(err, &e) || !e.Raised || e.Message != "no 1" || e.Line != 2 {
		t.Errorf("%#v", err)
	}
}

func TestClock(t *testing.T) {
	tmpl, err := Parse(`{% if strftime_now is defined %}{{ strftime_now("%d %b %Y") }}{% else %}26 Jul 2024{% endif %}`)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tmpl.Render(nil, Options{}); got != "26 Jul 2024" {
		t.Errorf("without a clock: %q (%v)", got, err)
	}
	if got, err := tmpl.Render(nil, Options{Now: time.Date(2026, 1, 9, 0, 0, 0, 0, time.UTC)}); got != "09 Jan 2026" {
		t.Errorf("with a clock: %q (%v)", got, err)
	}
}

// often makes a template that evaluates x a million times, with a long string s, a long list l and a dict d.
func often(x string) string {
	return "{% set s = 'a' * 4000000 %}{% set l = range(200000) %}{% set d = {'a': 1} %}" +
		"{% for i in range(100) %}{% for j in range(100) %}{% for k in range(100) %}{% set z = " + x + " %}{% endfor %}{% endfor %}{% endfor %}"
}

// Templates that would take all time or memory, or overflow the stack.
func TestHostile(t *testing.T) {
	for _, c := range []struct{ name, template, want string }{
		{"loops", "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}", "too"},
		{"one long range", "{{ range(10**15) }}", "too much text"},
		{"doubling", "{% set n = namespace(s='ab') %}{% for i in range(100) %}{% set n.s = n.s ~ n.s %}{% endfor %}", "too much text"},
		{"doubling a list", "{% set n = namespace(s=[1]) %}{% for i in range(100) %}{% set n.s = n.s + n.s %}{% endfor %}", "too much text"},
		{"repeat", "{{ 'ab' * 10**15 }}", "too much text"},
		{"repeat a list", "{{ [1, 2] * 10**15 }}", "too much text"},
		{"replace", "{% set s = 'a' * 100000 %}{{ s|replace('a', s) }}", "too much text"},
		{"join", "{% set s = 'a' * 100000 %}{{ range(100000)|join(s) }}", "too much text"},
		{"indent", "{{ ('\\n' * 100000)|indent(100000) }}", "too much text"},
		{"center", "{{ 'a'.center(10**15) }}", "too much text"},
		{"format", "{{ '%999999999d' % 1 }}", "format"},
		{"batch", "{{ [1]|batch(10**15, 0) }}", "too much text"},
		{"macro without end", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "nested too deep"},
		{"loop without end", "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "nested too deep"},
		{"filters in filters", "{{ [1]|map('map', 'map', 'map', 'map') }}", ""},
		{"deep value", "{% set n = namespace(x=[]) %}{% for i in range(100000) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}", "nested more than"},
		{"deep json", "{% set n = namespace(x=[]) %}{% for i in range(100000) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x|tojson }}", "nested more than"},
		{"deep equal", "{% set n = namespace(x=[], y=[]) %}{% for i in range(100000) %}{% set n.x = [n.x] %}{% set n.y = [n.y] %}{% endfor %}{{ n.x == n.y }}", "nested more than"},
		{"shared value", "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}", "too"},
		{"shared json", "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x|tojson }}", "too"},
		{"shared equal", "{% set n = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% set n.y = [n.y, n.y] %}{% endfor %}{{ n.x == n.y }}", "too many steps"},
		{"big strings printed often", "{% set s = 'a' * 1000000 %}{{ [s] * 100000 }}", "too much text"},
		{"deep brackets", "{{ " + strings.Repeat("[", 100000) + strings.Repeat("]", 100000) + " }}", "nested more than"},
		{"deep not", "{{ " + strings.Repeat("not ", 100000) + "a }}", "nested more than"},
		{"deep minus", "{{ " + strings.Repeat("-", 100000) + "1 }}", "nested more than"},
		{"deep if", strings.Repeat("{% if 1 %}", 100000), "nested more than"},
		{"deep targets", "{% set " + strings.Repeat("(", 100000) + "a" + strings.Repeat(")", 100000) + " = 1 %}", "nested more than"},
		{"long sum", "{{ 1" + strings.Repeat("+1", 100000) + " }}", "nested too deep"},
		{"long attribute", "{{ a" + strings.Repeat(".a", 100000) + " }}", "nested too deep"},
		{"long filters", "{{ a" + strings.Repeat("|upper", 100000) + " }}", "nested too deep"},
		{"many strings", "{{ " + strings.Repeat("'a' ", 100000) + " }}", ""},
		{"many arguments", "{{ f(" + strings.Repeat("1,", 1000) + ") }}", "arguments"},
		{"a long key", often("d[s]"), "too many steps"},
		{"a long number", often("s|int"), "too many steps"},
		{"case", often("s is lower"), "too many steps"},
		{"find", often("s.find('b')"), "too many steps"},
		{"a long list", often("l.count(-1)"), "too many steps"},
		{"strip", "{{ ('ab' * 500000).strip('cd' * 500000) }}", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := render(t, c.template, map[string]any{"a": "x"})
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %.200v, want %q", err, c.want)
			}
		})
	}
}

// FuzzRender holds that any template parses or fails, renders or fails, and does so the same way twice.
func FuzzRender(f *testing.F) {
	f.Add("{% for m in messages %}{{ m.role ~ m['content']|trim }}{% if not loop.last %},{% endif %}{% endfor %}", `{"messages":[{"role":"user","content":" hi "}]}`)
	f.Add("{%- macro m(a, b=1) -%}{{ a[b:] }}{%- endmacro -%}{{ m('xyz') }}{% set n = namespace(x=1) %}{% set n.x = n.x + 1 %}{{ n.x }}", `{}`)
	f.Add("{{ x|tojson(indent=2) }}{% raw %}{{{% endraw %}{# c -#} {%+ if x is defined and x is mapping %}1{% endif %}", `{"x":{"a":[1,2.5,null,"é"]}}`)
	f.Add("{{ 'a,b'.split(',')[-1].upper()|default('x') }}{{ '%s %05d'|format(1, 2) }}{{ -7 // 2 ** 3 % 5 }}", `{}`)
	f.Add("{{ [1,2,3][::-1]|map('string')|join('-') if 1 < 2 <= 2 else none }}{{ nums|selectattr('a','eq',1)|list }}", `{"nums":[{"a":1}]}`)
	f.Fuzz(func(t *testing.T, src, input string) {
		tmpl, err := Parse(src)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Line < 1 {
				t.Fatalf("%v", err)
			}
			return
		}
		vars := map[string]any{}
		if v, err := FromJSON([]byte(input)); err == nil {
			if d, ok := v.(*Dict); ok {
				for i, k := range d.keys {
					vars[k.(string)] = d.values[i]
				}
			}
		}
		a, errA := tmpl.Render(vars, Options{})
		b, errB := tmpl.Render(vars, Options{})
		if a != b || fmt.Sprint(errA) != fmt.Sprint(errB) {
			t.Fatalf("%q: %q (%v), then %q (%v)", src, a, errA, b, errB)
		}
		if utf8.ValidString(input) && !utf8.ValidString(a) {
			t.Fatalf("%q gives invalid UTF-8: %q", src, a)
		}
	})
}

func BenchmarkRender(b *testing.B) {
	tmpl, err := Parse("{%- for m in messages -%}{%- if m.role == 'user' -%}<user>{{ m.content|trim }}{%- else -%}<assistant>{{ m.content.split('</think>')[-1] }}{%- endif -%}{%- endfor -%}")
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{1, 100, 10000} {
		var messages []any
		for i := range n {
			role := "user"
			if i%2 == 1 {
				role = "assistant"
			}
			messages = append(messages, map[string]any{"role": role, "content": strings.Repeat("some words ", 20)})
		}
		vars := map[string]any{"messages": messages}
		b.Run(fmt.Sprintf("messages=%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := tmpl.Render(vars, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
