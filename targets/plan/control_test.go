package plan_test

import (
	"strings"
	"testing"

	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/targets/plan"
)

// control is a plan of steps that data decides on: a loop with an if inside, carried values in acc and go.
const control = `apogee-plan 1
model "m"
entry "f"
chip "none"
precision "f32"
memory gm size 1048576 align 32
queue s scalar

buffer n input i32 [] at 0x0 size 4 steps 0..13
buffer x input i32 [] at 0x20 size 4 steps 0..13
buffer y output i32 [] at 0x40 size 4 steps 0..13
buffer acc temp i32 [] at 0x60 size 4 steps 0..13
buffer go temp bool [] at 0x80 size 1 steps 1..10
buffer i temp i64 [] at 0xa0 size 8 steps 2..10
buffer t temp i32 [] at 0xc0 size 4 steps 5..9
buffer u temp i32 [] at 0xe0 size 4 steps 4..5

kernel set regs 3 flops 0 {
  param x i32 size 4 read
  param y i32 size 4 write
code
}

kernel test regs 3 flops 0 {
  param x i32 size 4 read
  param y bool size 1 write
code
}

step init set grid 1 (x, acc)
step init test grid 1 (x, go)
loop rounds limit 8 trip n while go index i assume 4
  if even on go
    step a set grid 1 (acc, u)
    step b set grid 1 (u, t)
  else
    step c set grid 1 (x, t)
  end
  step next set grid 1 (t, acc)
end
loop fixed limit 3
end
step out set grid 1 (acc, y)
`

func parsed(t *testing.T, text string) *plan.Plan {
	t.Helper()
	p, err := plan.Parse(diag.NewSource("control.plan", []byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestControl(t *testing.T) {
	text := control
	p := parsed(t, text)
	if err := plan.Validate(p); err != nil {
		t.Fatal(err)
	}
	if list := plan.Check(p, nil); list.HasErrors() {
		t.Fatal(list)
	}
	if got := string(plan.Text(p, nil)); got != text {
		t.Errorf("read and printed:\n%s", got)
	}
	q, err := plan.Decode(encoded(p))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(plan.Text(q, nil)); got != text || !same(p, q) {
		t.Errorf("encoded and decoded:\n%s", got)
	}
	if n := p.Launches(); n != 7 {
		t.Errorf("%d launches", n)
	}
	to, ok := plan.Nest(p.Steps)
	if want := []int{0, 1, 10, 6, 4, 5, 8, 7, 3, 9, 2, 12, 11, 13}; !ok || len(to) != len(want) {
		t.Errorf("%v %v", to, ok)
	} else {
		for i := range want {
			if to[i] != want[i] {
				t.Errorf("step %d goes on at %d, expected %d", i, to[i], want[i])
			}
		}
	}
}

// Version 3 had launches only, and up to version 4 the blocks of a weight that was not stored with scales were those that the loader makes.
func TestOldVersion(t *testing.T) {
	for name, p := range plans() {
		for _, version := range []uint32{3, 4} {
			for i := range p.Buffers {
				if s := p.Buffers[i].Source; s != nil {
					s.Scale, s.Block, s.QuantiseBlock, s.MX = "", []int64{128, 64}, nil, false
				}
			}
			q, err := plan.Decode(plan.EncodeVersion(p, version))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for i := range p.Buffers {
				if s := p.Buffers[i].Source; s != nil && s.Quantise != format.Invalid {
					s.Block, s.QuantiseBlock = nil, []int64{128, 64}
				}
			}
			if !same(p, q) {
				t.Errorf("version %d: %s is another plan now", version, name)
			}
		}
	}
}

// Each mistake that is planted in the plan is found, and nothing else.
func TestPlantedControl(t *testing.T) {
	good := control
	for _, c := range []struct{ name, old, new, want string }{
		{"a temporary dies in a loop that it was alive before", "go temp bool [] at 0x80 size 1 steps 1..10", "go temp bool [] at 0x80 size 1 steps 1..9", "outside its lifetime"},
		{"and is not what the loop goes by", "acc temp i32 [] at 0x60 size 4 steps 0..13", "acc temp i32 [] at 0x60 size 4 steps 0..8", "not to its end"},
		{"one branch does not write", "    step c set grid 1 (x, t)\n", "    step c set grid 1 (x, u)\n", "not every way"},
		{"no branch at all", "  else\n    step c set grid 1 (x, t)\n", "", "not every way"},
		{"written in a loop that may not run", "step init set grid 1 (x, acc)\n", "step init set grid 1 (x, y)\n", "not every way"},
		{"the condition is never written", "step init test grid 1 (x, go)\n", "step init set grid 1 (x, acc)\n", "not every way"},
		{"the last round's value", "step a set grid 1 (acc, u)", "step a set grid 1 (t, u)", "not every way"},
		{"the index is an input", "index i assume", "index n assume", "writes its round's number to input n"},
		{"a condition that is a number", "while go", "while acc", "wrong format"},
		{"a trip count that is no scalar", "n input i32 [] at 0x0 size 4", "n input i32 [2] at 0x0 size 8", "no scalar"},
		{"a loop without end", "loop fixed limit 3\nend\n", "loop fixed limit 3\n", "do not belong together"},
		{"an else in a loop", "loop fixed limit 3\n", "loop fixed limit 3\nelse\n", "do not belong together"},
		{"an end too many", "loop fixed limit 3\n", "end\n", "do not belong together"},
		{"nothing ends the loop", "loop fixed limit 3\n", "loop fixed\n", "nothing ends the loop"},
		{"a negative limit", "loop fixed limit 3\n", "loop fixed limit -2\n", "limit of -2"},
		{"two temporaries share bytes across a round", "i temp i64 [] at 0xa0", "i temp i64 [] at 0x60", "share"},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if text == good {
			t.Fatalf("%s: nothing was planted", c.name)
		}
		p := parsed(t, text)
		list := plan.Check(p, nil)
		if !list.HasErrors() || !strings.Contains(list.Error(), c.want) {
			t.Errorf("%s: expected %q, found:\n%s", c.name, c.want, list.Error())
		}
	}
}
