package guard

import (
	"fmt"
	"strings"

	"apogee/ir/diag"
	"apogee/targets/plan"
)

// Kind says what is wrong with an access.
type Kind uint8

// The kinds of faults.
const (
	OutOfRange Kind = iota // bytes outside of the local, the parameter or the memory
	Unwritten              // bytes that nothing has written
	NotArrived             // read after write without a wait between the queues
	TwoQueues              // write beside an earlier access on another queue, without a wait between them
	TwoCores               // two cores on the same bytes within one launch, one of them writing
	Overlap                // a local's bytes hold what was written through another local
	Lifetime               // use of a local outside of its first to last instruction
	Stuck                  // a wait that no signal ends, or flags not at their credits at the end
	BadValue               // data or registers that the instruction cannot work with, such as an index out of range
)

var kinds = [...]struct{ name, code string }{
	OutOfRange: {"out of range", diag.Register("SIM001", "An instruction accesses bytes outside of the tile's local, parameter or memory. Found while a plan runs, so there is no text to show; the instruction's source position is the op it came from.", "")},
	Unwritten:  {"unwritten read", diag.Register("SIM002", "An instruction reads bytes that nothing has written. Found while a plan runs, so there is no text to show.", "")},
	NotArrived: {"missing wait", diag.Register("SIM003", "An instruction reads what an instruction of another queue wrote, and no chain of signals and waits orders the two. Found while a plan runs, so there is no text to show.", "")},
	TwoQueues:  {"missing wait", diag.Register("SIM004", "An instruction writes bytes that an instruction of another queue reads or writes, and no chain of signals and waits orders the two. Found while a plan runs, so there is no text to show.", "")},
	TwoCores:   {"race between cores", diag.Register("SIM005", "Two cores access the same bytes of global memory within one launch, and one of them writes: nothing orders them. Found while a plan runs, so there is no text to show.", "")},
	Overlap:    {"overlapping locals", diag.Register("SIM006", "Two locals that are alive at the same time share bytes, or a local is read whose bytes were written through another one. Found while a plan runs, so there is no text to show.", "")},
	Lifetime:   {"use outside of the lifetime", diag.Register("SIM007", "An instruction uses a local before its first or after its last instruction. Found while a plan is checked, so there is no text to show.", "")},
	Stuck:      {"flag", diag.Register("SIM008", "A wait that no signal ends, or a flag that a kernel does not leave at its credits. Found while a plan runs, so there is no text to show.", "")},
	BadValue:   {"bad value", diag.Register("SIM009", "An instruction meets data or registers that it cannot work with, such as an index outside of its row. Found while a plan runs, so there is no text to show.", "")},
}

// String names the kind as errors do.
func (k Kind) String() string {
	if int(k) < len(kinds) {
		return kinds[k].name
	}
	return "fault"
}

// Place is an instruction of a kernel, in one block.
type Place struct {
	Instr int   // index into the kernel's code; -1 for none
	Block int64 // number of the block
}

// Fault is a plan's mistake, found while it ran. It is an error.
type Fault struct {
	Kind   Kind
	Plan   *plan.Plan
	Kernel *plan.Kernel
	Launch string // the step's name
	Core   int64
	At     Place      // who
	Other  Place      // the other instruction involved; Instr is -1 when there is none
	What   string     // what was accessed, such as "local a" or "parameter x"
	Lo, Hi int64      // the bytes concerned, Hi exclusive: of the memory for a local, of the parameter else
	Detail string     // a sentence
	Help   string     // what to do
	Vocab  plan.Vocab // the chip's words for instructions; may be nil
}

// Diagnostic spells the fault out: instruction, text, other instruction, kernel, block, bytes and source.
func (f *Fault) Diagnostic() *diag.Diagnostic {
	k := kinds[f.Kind]
	d := diag.Errorf(k.code, diag.Range{}, "%s: %s", k.name, f.Detail)
	var w strings.Builder
	if f.Launch != "" {
		w.WriteString(f.Launch + ": ")
	}
	if f.Kernel != nil {
		fmt.Fprintf(&w, "kernel %s, ", f.Kernel.Name)
	}
	fmt.Fprintf(&w, "core %d", f.Core)
	d.At(w.String())
	if f.Lo < f.Hi {
		d.Note(diag.Range{}, "bytes %#x to %#x (exclusive) of %s", f.Lo, f.Hi, f.What)
	}
	f.note(d, "at", f.At)
	f.note(d, "against", f.Other)
	d.Help = f.Help
	return d
}

func (f *Fault) note(d *diag.Diagnostic, word string, at Place) {
	if f.Kernel == nil || at.Instr < 0 || at.Instr >= len(f.Kernel.Code) {
		return
	}
	src := plan.PosText(f.Plan, f.Kernel.Code[at.Instr].Pos)
	if src != "" {
		src = ", from " + src
	}
	d.Note(diag.Range{}, "%s instruction %d, block %d: %s%s", word, at.Instr, at.Block, plan.InstrText(f.Plan, f.Kernel, at.Instr, f.Vocab), src)
}

// Error gives the diagnostic's text.
func (f *Fault) Error() string { return f.Diagnostic().Error() }
