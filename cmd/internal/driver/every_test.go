package driver

import (
	"os"
	"testing"

	"apogee/targets/chip"
	"apogee/targets/chips"
)

// TestEveryChipAnswers: the shipped example gives the reference's tokens on every chip, by turns at f32 and at auto. TestExampleAnswers has
// more of it for a chip of each kind. Without APOGEE_CORPUS=required it is a quarter of the chips.
func TestEveryChipAnswers(t *testing.T) {
	const example = "../../../examples/r1-nano"
	list := problems(t, example+"/eval.jsonl")[:1]
	for i, name := range chips.List() {
		if i%4 != 0 && os.Getenv("APOGEE_CORPUS") != "required" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := chip.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			precision := []string{"f32", Auto}[i/4%2]
			if a := answered(t, open(t, example), c, precision, list); a != 1 {
				t.Errorf("%s: %q is answered wrong", precision, list[0].Prompt)
			}
		})
	}
}
