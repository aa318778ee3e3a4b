package chip

import (
	"strings"
	"testing"

	"apogee/ir/diag"
	"apogee/targets/chips"
)

// What chip new writes loads as it stands, without a warning, is canonical, and is short enough to be filled in.
func TestNew(t *testing.T) {
	for _, from := range append(chips.List(), chips.Families()...) {
		text, err := New("my-chip", from, Shipped)
		if err != nil {
			t.Errorf("%s: %v", from, err)
			continue
		}
		c, l := Read(diag.NewSource("my-chip.chip", text), Shipped)
		if l.Len() > 0 {
			t.Errorf("%s: %v\n%s", from, l, text)
			continue
		}
		if c.Name != "my-chip" {
			t.Errorf("%s: it is called %s", from, c.Name)
		}
		if base, err := Load(from); err == nil && base.Dies == nil && (c.Clock.Value != base.Clock.Value || c.Global().Size.Value != base.Global().Size.Value) {
			t.Errorf("%s: the numbers are not those of the chip it begins with", from)
		}
		again, err := Format(diag.NewSource("my-chip.chip", text))
		if err != nil || string(again) != string(text) {
			t.Errorf("%s: not in canonical form: %v", from, err)
		}
		data := 0
		for _, line := range strings.Split(string(text), "\n") {
			if line = strings.TrimSpace(line); line != "" && line != "}" && !strings.HasPrefix(line, "//") {
				data++
			}
		}
		if data > 60 {
			t.Errorf("%s: %d lines of data", from, data)
		}
	}
	for _, c := range []struct{ name, from, want string }{
		{"", "nvidia-h100", "is no name"}, {"a/b", "nvidia-h100", "is no name"}, {"x", "nvidia-h1000", "did you mean"}, {"x", "family-simtt", "family-simt"},
	} {
		if _, err := New(c.name, c.from, Shipped); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("New(%q, %q): %v, want %q", c.name, c.from, err, c.want)
		}
	}
}

// No shipped chip of a known family needs more than 60 lines of data beyond it, save those that others are built on.
func TestShort(t *testing.T) {
	whole := 0
	for _, name := range chips.List() {
		text, _ := chips.Text(name)
		if !strings.Contains(string(text), "\n  extends ") {
			whole++
		}
	}
	if whole > 6 {
		t.Errorf("%d chips are written out from nothing", whole)
	}
}

// Chips that differ in sizes and speeds only are of one kind.
func TestKinds(t *testing.T) {
	shape := func(n string) string {
		c, err := Load(n)
		if err != nil {
			t.Fatal(err)
		}
		return c.Shape()
	}
	if shape("ascend-910b1") != shape("ascend-910b4") || shape("nvidia-a100") != shape("nvidia-a800") {
		t.Error("sizes and speeds make no kind")
	}
	if shape("ascend-910b") == shape("ascend-950pr") || shape("nvidia-h100") == shape("nvidia-a100") {
		t.Error("formats and engines do")
	}
	kinds := Kinds()
	if len(kinds) < 10 || len(kinds) >= len(chips.List()) {
		t.Errorf("%d kinds of %d chips", len(kinds), len(chips.List()))
	}
	t.Logf("%d kinds: %v", len(kinds), kinds)
}
