package diag

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestPosition(t *testing.T) {
	src := NewSource("f", []byte("ab\nçd\r\n\te\xff\n"))
	for _, c := range []struct{ off, line, col int }{
		{-5, 1, 1}, {0, 1, 1}, {1, 1, 2}, {2, 1, 3}, {3, 2, 1}, {4, 2, 1}, {5, 2, 2}, {6, 2, 3},
		{8, 3, 1}, {9, 3, 2}, {10, 3, 3}, {11, 3, 4}, {12, 4, 1}, {99, 4, 1}, {5, 2, 2}, {1, 1, 2},
	} {
		if l, col := src.Position(c.off); l != c.line || col != c.col {
			t.Errorf("Position(%d) = %d:%d, want %d:%d", c.off, l, col, c.line, c.col)
		}
	}
	if got := string(src.Line(2)); got != "çd" {
		t.Errorf("Line(2) = %q", got)
	}
	if src.Line(0) != nil || src.Line(5) != nil {
		t.Error("lines outside the text must be nil")
	}
}

func rangeOf(t *testing.T, src *Source, word string) Range {
	t.Helper()
	i := bytes.Index(src.Text, []byte(word))
	if i < 0 {
		t.Fatalf("%q is not in the text", word)
	}
	return src.Range(i, i+len(word))
}

func TestRender(t *testing.T) {
	src := NewSource("m.mg", []byte("def f(x) {\n\trms_nrm(x, 權 重) # ok\n}\n"))
	long := NewSource("long", []byte(strings.Repeat("x", 5000)+" here "+strings.Repeat("y", 5000)))
	bad := NewSource("bad\x1b[31m", []byte("a \x1b[2J\xfe\u202e b\x00"))
	for _, c := range []struct {
		name string
		d    *Diagnostic
		want string
	}{
		{"caret after a tab", Errorf("MG007", rangeOf(t, src, "rms_nrm"), "no op named %q", "rms_nrm").
			Suggest("rms_nrm", []string{"rms_norm", "layer_norm"}),
			"m.mg:2:2: error[MG007]: no op named \"rms_nrm\"\n" +
				"   2 |     rms_nrm(x, 權 重) # ok\n" +
				"     |     ^~~~~~~\n" +
				"  help: did you mean \"rms_norm\"?\n"},
		{"wide runes", Errorf("", rangeOf(t, src, "重"), "bad").Expect("f32[B, T]", "f16[4]").
			Note(rangeOf(t, src, "x"), "bound here").At("f/%1"),
			"m.mg:2:15: error: bad\n" +
				"   2 |     rms_nrm(x, 權 重) # ok\n" +
				"     |                   ^~\n" +
				"  in f/%1\n" +
				"  expected f32[B, T], found f16[4]\n" +
				"  m.mg:1:7: note: bound here\n" +
				"   1 | def f(x) {\n" +
				"     |       ^\n"},
		{"range over lines", Errorf("", src.Range(4, 30), "block"),
			"m.mg:1:5: error: block\n   1 | def f(x) {\n     |     ^~~~~~\n"},
		{"end of text", Errorf("", src.Range(len(src.Text), len(src.Text)), "end"),
			"m.mg:4:1: error: end\n   4 |\n     | ^\n"},
		{"no text", Errorf("IR001", Range{}, "shape").At("prefill/%3").Helpf("run again"),
			"prefill/%3: error[IR001]: shape\n  help: run again\n"},
		{"unsafe bytes", Errorf("", rangeOf(t, bad, "b"), "msg\x07\nmore"),
			"bad\\x1b[31m:1:10: error: msg\\x07\n  more\n" +
				"   1 | a \\x1b[2J\\xfe<U+202E> b\\x00\n" +
				"     |                       ^\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l List
			l.Add(c.d)
			var b strings.Builder
			if err := Render(&b, &l, Options{}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, b.String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if got := c.d.Error() + "\n"; got != c.want {
				t.Errorf("Error() differs from Render: %q", got)
			}
		})
	}
	out := Errorf("", rangeOf(t, long, "here"), "m").Error()
	lines := strings.Split(out, "\n")
	if n := utf8.RuneCountInString(lines[1]); n > 110 || !strings.Contains(lines[1], " here ") {
		t.Errorf("a long line is not cropped around the caret (%d columns): %s", n, lines[1])
	}
	at := strings.Index(lines[1], "here")
	if want := strings.Index(lines[2], "^~~~"); utf8.RuneCountInString(lines[1][:at]) != want {
		t.Errorf("caret off the word:\n%s", out)
	}
	if got := Errorf("", Range{}, "m").Error(); got != "error: m" {
		t.Errorf("got %q", got)
	}
}

func TestList(t *testing.T) {
	src := NewSource("f", []byte("one\ntwo\nthree\n"))
	l := List{Limit: 2}
	if l.Err() != nil {
		t.Error("an empty list is no error")
	}
	l.Warnf("W", src.Range(0, 1), "careful")
	if l.Err() != nil || l.HasErrors() {
		t.Error("warnings alone are no error")
	}
	l.Errorf("E", src.Range(8, 9), "late")
	l.Errorf("E", src.Range(8, 9), "late")
	l.Errorf("E", src.Range(4, 5), "100%")
	if l.Errors() != 2 || l.Len() != 3 {
		t.Errorf("duplicates are counted: %d errors, %d kept", l.Errors(), l.Len())
	}
	if d := l.Errorf("E", src.Range(1, 2), "over"); d == nil || l.Dropped() != 1 || !l.Full() {
		t.Error("the limit does not hold")
	}
	err := fmt.Errorf("wrapped: %w", l.Err())
	var list *List
	var d *Diagnostic
	if !errors.As(err, &list) || list.Len() != 3 || !errors.As(err, &d) || d.Message != "100%" {
		t.Errorf("the error does not unwrap to the list: %v", d)
	}
	var order []string
	for _, d := range l.Items() {
		order = append(order, d.Message)
	}
	if diff := cmp.Diff([]string{"careful", "100%", "late"}, order); diff != "" {
		t.Error(diff)
	}
	var b strings.Builder
	if err := Render(&b, &l, Options{MaxErrors: 1, Color: true}); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(b.String(), "3 more not shown\n") || !strings.Contains(b.String(), "\x1b[1;33mwarning[W]:\x1b[0m") {
		t.Errorf("got %q", b.String())
	}
	var m List
	m.Merge(&l)
	if m.Errors() != l.Errors() || m.Dropped() != 1 || m.Summary() != "3 errors, 1 warning" {
		t.Errorf("merge: %d errors, %d dropped, %s", m.Errors(), m.Dropped(), m.Summary())
	}
	var a List
	a.AddError("X", errors.New("plain"))
	a.AddError("X", err)
	if a.Len() != 4 || a.Items()[0].Code != "X" {
		t.Errorf("AddError kept %d", a.Len())
	}
}

func TestRenderJSON(t *testing.T) {
	src := NewSource("f", []byte("one\ntwo\n"))
	var l List
	l.Errorf("E1", src.Range(4, 7), "a <b>").Expect("x", "y").Note(src.Range(0, 3), "n").Suggest("tow", []string{"two"})
	l.Warnf("", Range{}, "w").At("op")
	var b bytes.Buffer
	if err := RenderJSON(&b, &l); err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	_ = json.Unmarshal([]byte(`{"errors":1,"warnings":1,"diagnostics":[
	 {"severity":"error","code":"E1","message":"a <b>","expected":"x","found":"y","suggestion":"two",
	  "place":{"file":"f","line":2,"column":1,"end_line":2,"end_column":4},
	  "notes":[{"message":"n","place":{"file":"f","line":1,"column":1,"end_line":1,"end_column":4}}]},
	 {"severity":"warning","where":"op","message":"w"}]}`), &want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDidYouMean(t *testing.T) {
	names := []string{"rms_norm", "layer_norm", "softmax", "matmul", "add", "sub", "f8e4m3fn", "B"}
	for _, c := range []struct{ name, want string }{
		{"rms_nrom", "rms_norm"}, {"RMSNorm", "rms_norm"}, {"sofmax", "softmax"}, {"mat-mul", "matmul"},
		{"ad", "add"}, {"f8e4m3", "f8e4m3fn"}, {"b", "B"}, {"conv", ""}, {"T", ""}, {"", ""}, {"add", ""},
		{strings.Repeat("a", 1000), ""}, {"norm", ""}, {"Layer", ""},
	} {
		if got := DidYouMean(c.name, names); got != c.want {
			t.Errorf("DidYouMean(%q) = %q, want %q", c.name, got, c.want)
		}
	}
}

func TestDidYouMeanLastPart(t *testing.T) {
	names := []string{"nvidia-h100", "nvidia-h200", "ascend-910b", "card-x1", "board-x1", "a-x1x"}
	for _, c := range []struct{ name, want string }{{"H100", "nvidia-h100"}, {"910b", "ascend-910b"}, {"00", ""}, {"h10", ""}, {"910", ""}} {
		if got := DidYouMean(c.name, names); got != c.want {
			t.Errorf("DidYouMean(%q) = %q, want %q", c.name, got, c.want)
		}
	}
}

func TestCodes(t *testing.T) {
	Register("T2", "second", "b")
	Register("T1", "first", "a")
	got := Codes()
	if diff := cmp.Diff([]Code{{"T1", "first", "a"}, {"T2", "second", "b"}}, got); diff != "" {
		t.Error(diff)
	}
	if c, ok := LookupCode("T1"); !ok || c.Doc != "first" {
		t.Error("T1 not found")
	}
	defer func() {
		if recover() == nil {
			t.Error("registering twice must panic")
		}
	}()
	Register("T1", "again", "")
}

func FuzzRender(f *testing.F) {
	f.Add([]byte("a\tb\n\xff\u202e"), 1, 3, 20)
	f.Add([]byte(""), 0, 0, 0)
	f.Add([]byte(strings.Repeat("é\t", 300)), 500, 600, 30)
	f.Fuzz(func(t *testing.T, text []byte, a, b, width int) {
		src := NewSource("f", text)
		var l List
		l.Errorf("C", src.Range(a, b), "m")
		var out strings.Builder
		if err := Render(&out, &l, Options{Width: width % 500}); err != nil {
			t.Fatal(err)
		}
		s := out.String()
		if !utf8.ValidString(s) || !strings.Contains(s, "^") {
			t.Fatalf("%q", s)
		}
		for _, r := range s {
			if r < 0x20 && r != '\n' {
				t.Fatalf("control character %U in %q", r, s)
			}
		}
		if len(s) > 4000+16*500 {
			t.Fatalf("%d bytes of output", len(s))
		}
	})
}
