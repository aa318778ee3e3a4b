package plan

// StepOp says what a step does. Steps nest as brackets do: If … Else … End, or If … End, and Loop … End.
type StepOp uint8

// The kinds of steps.
const (
	LaunchStep StepOp = iota // launches a kernel
	IfStep                   // runs the steps up to its Else if Control.Cond is true, else those behind it
	ElseStep                 // parts the two
	LoopStep                 // runs the steps up to its End, round after round
	EndStep                  // ends an If or a Loop
)

var stepWords = [...]string{"step", "if", "else", "loop", "end"}

// String gives the word that the step's line begins with.
func (o StepOp) String() string {
	if int(o) >= len(stepWords) {
		return "unknown"
	}
	return stepWords[o]
}

// controls reports whether a step has a Control.
func (o StepOp) controls() bool { return o == IfStep || o == LoopStep }

// Control says what an If or a Loop goes by. Buffers are scalars, read before whatever the step runs; None is no buffer.
//
// A Loop reads Trip once, before its first round. Before every round it ends if as many rounds are done as Trip or Limit say, or if Cond is
// false; else it writes the number of the round, from 0 on, to Index.
type Control struct {
	Cond  int // a bool
	Trip  int // an i32 or i64: how many rounds
	Index int // an i32 or i64
	Limit int64
	// Assume is how many rounds a timed run, which has no data, takes a loop to make whose rounds data decides.
	Assume int64
}

// NoLimit is a Control.Limit that is none.
const NoLimit = -1

// Data reports whether data decides how many rounds a loop makes.
func (c *Control) Data() bool { return c.Cond != None || c.Trip != None }

// maxStepNesting bounds how deep steps nest.
const maxStepNesting = 64

// Nest gives, for each step, where its structure goes on: for an If its Else, or its End; for an Else its End; for a Loop its End;
// for an End its If or Loop; and for a launch itself. ok is false if steps do not nest.
func Nest(steps []Step) (to []int, ok bool) {
	to = make([]int, len(steps))
	type bracket struct{ first, last int } // an If or Loop, and its Else where there was one
	var open []bracket
	for i := range steps {
		to[i] = i
		switch steps[i].Op {
		case LaunchStep:
		case IfStep, LoopStep:
			if open = append(open, bracket{i, i}); len(open) > maxStepNesting {
				return to, false
			}
		case ElseStep:
			n := len(open)
			if n == 0 || steps[open[n-1].last].Op != IfStep {
				return to, false
			}
			to[open[n-1].first], open[n-1].last = i, i
		case EndStep:
			n := len(open)
			if n == 0 {
				return to, false
			}
			to[open[n-1].last], to[i] = i, open[n-1].first
			open = open[:n-1]
		default:
			return to, false
		}
	}
	return to, len(open) == 0
}

// Launches counts the steps that launch a kernel.
func (p *Plan) Launches() int {
	n := 0
	for i := range p.Steps {
		if p.Steps[i].Op == LaunchStep {
			n++
		}
	}
	return n
}
