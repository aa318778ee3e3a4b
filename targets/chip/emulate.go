package chip

import (
	"fmt"

	"apogee/ir/format"
)

// Emulation: a vector engine computes in every format. What its description has no rate for is done by a routine of instructions that
// it has, on the words of its widest integer format: the results are those of the format, bit for bit, and the time is that of the
// routine. No chip file needs a line for it.
//
// The numbers of instructions are counts of the usual routines, rounded up; a word is one element of the widest integer format that
// the engine computes in, k the words of an element:
//
//	integers of at most a word   3: the operation, and two shifts that wrap the result (for the order of unsigned ones: two flipped signs)
//	wider integers               4k²: add with carry 4, compare 5, shift 8, multiply 12 for k = 2
//	their division               3k a bit: restoring division, one bit a round
//	a reduction                  two operations an element, as the halves of a row are folded upon each other
//	a pass of sorting            four: compare, and move two elements
//	f64                          unpack, operate, normalise, round, pack: 64 on 32-bit words (add 55 to 70, multiply 50 to 60 in Berkeley
//	                             SoftFloat 3 compiled for 32-bit words); division and remainder 320; a function 24 of them (polynomials of degree 11 or so)
//	narrow floats                8 to unpack and to round, beside what f32 takes
//	conversions                  8 a word: mask, shift, add the bias, round, select what is special
const (
	emulateWrap    = 3
	emulateConvert = 8
	emulateDouble  = 64
	emulateDivide  = 320
	emulateSeries  = 24
)

// Emulate gives the rate at which the engine does a class of operations on a format by a routine of its own instructions, and nil if it
// has no integer arithmetic to build on. It does not ask whether the engine has a rate of its own, which [Engine.Rate] does.
func (e *Engine) Emulate(f format.Format, op OpClass) *VectorRate {
	base := e.word()
	if base == nil || f.Bits() == 0 {
		return nil
	}
	n, what := steps(f, op, base.Format.Bits())
	return emulated(base, f, op, n, what)
}

// EmulateCast gives the rate of a conversion that the engine does not have, by a routine; nil as for [Engine.Emulate].
func (e *Engine) EmulateCast(from, to format.Format) *VectorRate {
	base := e.word()
	if base == nil {
		return nil
	}
	k := words(max(from.Bits(), to.Bits()), base.Format.Bits())
	return emulated(base, to, Basic, emulateConvert*k, "conversion by masks, shifts and selections")
}

// word is the rate of the widest integer format that the engine computes in.
func (e *Engine) word() (best *VectorRate) {
	for i := range e.Vector {
		r := &e.Vector[i]
		if r.Op == Basic && r.Format.IsInt() && r.ElementsPerCycle.Value > 0 && (best == nil || r.Format.Bits() > best.Format.Bits()) {
			best = r
		}
	}
	return best
}

func words(bits, word int) int { return (bits + word - 1) / word }

// steps is how many instructions on words a routine takes for an element.
func steps(f format.Format, op OpClass, word int) (n int, what string) {
	k := words(f.Bits(), word)
	basic := emulateWrap
	what = fmt.Sprintf("words of %d bits", word)
	switch {
	case f.IsFloat() && f.Bits() > 32:
		basic, what = emulateDouble*k/2, "floating point in software"
		switch op {
		case Divide:
			return emulateDivide * k / 2, what
		case Transcendental:
			return emulateSeries * basic, what
		}
	case f.IsFloat():
		basic, what = 2*emulateConvert, "unpacked and rounded in software"
	case k > 1:
		basic, what = 4*k*k, fmt.Sprintf("%d words of %d bits with carry", k, word)
	}
	switch op {
	case Divide:
		return 3 * k * f.Bits(), what
	case Transcendental: // a power by squares
		return 2 * basic * f.Bits(), what
	case Reduce:
		return 2 * basic, what
	case Sort:
		return 4 * basic, what
	}
	return basic, what
}

func emulated(base *VectorRate, f format.Format, op OpClass, n int, what string) *VectorRate {
	return &VectorRate{Format: f, Op: op, Range: base.Range, ElementsPerCycle: Quantity{
		Value: base.ElementsPerCycle.Value / float64(n), Unit: base.ElementsPerCycle.Unit, Written: byRoutine, Source: what, Confidence: Derived,
		Range: base.ElementsPerCycle.Range,
	}}
}

// byRoutine marks the quantity of an emulated rate, which no file has written.
const byRoutine = "emulated"

// Emulated says in a few words how a routine does it, for a rate that [Engine.Emulate] made; "" for an engine's own.
func (r *VectorRate) Emulated() string {
	if r.ElementsPerCycle.Written == byRoutine {
		return r.ElementsPerCycle.Source
	}
	return ""
}
