package ir_test

import (
	"slices"
	"strings"
	"testing"

	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/irtest"
	"apogee/ir/op"
)

// Each case holds in.ir, whose comments say what is wrong on which line, and out, the whole text that a user sees.
func TestErrors(t *testing.T) {
	irtest.Cases(t, "testdata/errors/*.txtar", func(t *testing.T, c *irtest.Case) {
		src := diag.NewSource("in.ir", []byte(c.Must(t, "in.ir")))
		m, list := ir.Load(src)
		if m != nil || !list.HasErrors() {
			t.Fatal("the text has no error")
		}
		placed := &diag.List{}
		for _, d := range list.Items() {
			if d.Range.Valid() {
				placed.Add(d)
			}
		}
		irtest.Want(t, src, placed)
		c.Expect(t, "out", list.Error()+"\n")
	})
}

// Every code has an example that triggers it.
func TestCodes(t *testing.T) {
	for _, c := range diag.Codes() {
		if !strings.HasPrefix(c.ID, "IR") {
			continue
		}
		if c.Example == "" {
			if !strings.Contains(c.Doc, "No text causes it") {
				t.Errorf("%s has no example", c.ID)
			}
			continue
		}
		_, list := ir.Load(diag.NewSource("x.ir", []byte(c.Example)))
		found := false
		for _, d := range list.Items() {
			found = found || d.Code == c.ID
		}
		if !found {
			t.Errorf("the example of %s gives:\n%s", c.ID, list.Error())
		}
	}
}

// The example of each op parses as an op of that name with that type, given values of some type: what is checked is its
// syntax and its attributes.
func TestExamplesOfOps(t *testing.T) {
	for _, i := range op.All() {
		text := i.Example
		if text == "" {
			t.Errorf("%s has no example", i.Name)
			continue
		}
		switch i {
		case op.Kernel:
			text = strings.Replace(text, "{…}", "(%p: f32[B,D]) { yield(%p) }", 1)
		case op.If:
			text = strings.Replace(text, "{…} {…}", "(%p: f32[B,D]) { yield(%p) } (%q: f32[B,D]) { yield(%q) }", 1)
		case op.Loop:
			text = strings.Replace(text, "{…}", "(%i: i32[], %p: f32[B,D], %q: f32[B,D]) { yield(%no, %p) }", 1)
		}
		_, list := ir.Parse(diag.NewSource(i.Name, []byte("module @m {\n  func @f(%no: f32[]) -> (y) {\n    "+text+"\n    return(%no)\n  }\n}\n")))
		for _, d := range list.Items() {
			// The operands stand nowhere; anything else is a mistake of the example.
			if d.Code != ir.CodeValue {
				t.Errorf("%s: %s", i.Name, d.Error())
			}
		}
	}
}

func TestStringWithoutEnd(t *testing.T) {
	text := "module @m {\n  func @f(%x: f32[]) -> (y) {\n    %w = weight {name=\"no end} : f32[3] @1:2\n    %y = ned(%x) : f32[]\n    return(%x)\n  }\n}\n"
	_, list := ir.Load(diag.NewSource("in.ir", []byte(text)))
	var got []string
	for _, d := range list.Items() {
		got = append(got, irtest.Line(d))
	}
	want := []string{
		"error[IR001] 3:23: this string has no end on its line",
		"error[IR002] 4:10: no op is called ned (did you mean ne)",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestErrorsAreBounded(t *testing.T) {
	text := "module @m {\n  func @f(%x: f32[]) -> (y) {\n" + strings.Repeat("    %y = ned(%z, %z)\n", 5000) + "  }\n}\n"
	_, list := ir.Load(diag.NewSource("in.ir", []byte(text)))
	if list.Len() > diag.DefaultLimit || !list.Full() {
		t.Errorf("%d diagnostics", list.Len())
	}
}

func TestNestingIsBounded(t *testing.T) {
	deep := "module @m {\n  func @f(%x: f32[]) -> (y) {\n" + strings.Repeat("%y = kernel(%x) {name=\"k\", kind=\"map\"} (%p: f32[]) {\n", 100000) + "\n"
	_, list := ir.Load(diag.NewSource("in.ir", []byte(deep)))
	if !strings.Contains(list.Error(), "nested more than") {
		t.Errorf("got %s", list.Error())
	}
	list2 := "module @m {\n  func @f(%x: f32[]) -> (y) {\n %y = constant {value=f32[" + strings.Repeat("1,", 500) + "1] " + strings.Repeat("[", 501) + "1" + strings.Repeat("]", 501) + "}\n return(%x)\n  }\n}\n"
	if _, err := ir.ParseString(list2); err == nil || !strings.Contains(err.Error(), "nested more than") {
		t.Errorf("got %v", err)
	}
}
