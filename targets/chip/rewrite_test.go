package chip

import (
	"strings"
	"testing"

	"apogee/ir/diag"
)

// Fitted derates go into a file without touching what else stands there, and come to be read.
func TestWithDerates(t *testing.T) {
	text := ex(`// a comment that stays
  derate memory gm 80 % assumed "old"  // with a remark
  derate engine vec 70 % assumed "stays"
  launch 5 us assumed "no idea"`)
	lines := []string{`derate memory gm 91.5 % measured "my bench"`, `derate engine mul 88 % measured "my bench"`}
	once, err := WithDerates(diag.NewSource("x.chip", []byte(text)), lines)
	if err != nil {
		t.Fatal(err)
	}
	c, l := Read(diag.NewSource("x.chip", once), openExample)
	if l.Len() > 0 {
		t.Fatalf("%v\n%s", l, once)
	}
	if c.Derate("memory", "gm") != 0.915 || c.Derate("engine", "mul") != 0.88 || c.Derate("engine", "vec") != 0.7 || c.Launch.Source != "no idea" {
		t.Errorf("%+v\n%s", c.Derates, once)
	}
	if !strings.Contains(string(once), "a comment that stays") || strings.Contains(string(once), "old") {
		t.Errorf("%s", once)
	}
	twice, err := WithDerates(diag.NewSource("x.chip", once), lines)
	if err != nil || string(twice) != string(once) {
		t.Errorf("again: %v\n%s", err, twice)
	}
	if _, err := WithDerates(diag.NewSource("x.chip", []byte("chip {")), lines); err == nil {
		t.Error("a broken file")
	}
	if _, err := WithDerates(diag.NewSource("x.chip", []byte(text)), []string{"cores 4"}); err == nil {
		t.Error("not a derate")
	}
}
