package bind

import (
	"math/bits"

	"apogee/ir/format"
	"apogee/targets/chip"
	"apogee/targets/plan"
)

// Pass is a number of passes of a class of vector operations over an instruction's elements.
type Pass struct {
	Class chip.OpClass
	Times int64
}

// VectorPasses says what a vector instruction is made of, and the format whose rates count: that of what it folds, sorts or
// compares, else of what it writes. columns is the size of the result's last axis, which only top-k depends on.
func VectorPasses(in *plan.Instr, columns int64) (f format.Format, list []Pass) {
	work := &in.Dst
	switch in.Op {
	case plan.VReduce, plan.VScan, plan.VTopK, plan.VGroup, plan.VPut:
		work = &in.A
	}
	f = work.Format
	if in.Op == plan.Vec && in.Fn != plan.VSelect && in.A.Has() {
		f = in.A.Format // a comparison works in its operands' format
	}
	switch in.Op {
	case plan.VReduce, plan.VScan:
		return f, []Pass{{chip.Reduce, 1}}
	case plan.VTopK:
		return f, []Pass{{chip.Sort, 1 + int64(bits.Len64(uint64(max(columns, 1)-1)))}}
	case plan.VGroup:
		return f, []Pass{{chip.Sort, 2}}
	case plan.VIota, plan.VTake, plan.VPut:
		return f, []Pass{{chip.Basic, 1}}
	}
	switch in.Fn {
	case plan.VExp, plan.VLog, plan.VSqrt, plan.VRsqrt, plan.VSin, plan.VCos, plan.VTanh, plan.VErf:
		return f, []Pass{{chip.Transcendental, 1}}
	case plan.VSigmoid:
		return f, []Pass{{chip.Transcendental, 1}, {chip.Divide, 1}}
	case plan.VPow:
		return f, []Pass{{chip.Transcendental, 2}, {chip.Basic, 1}}
	case plan.VReciprocal, plan.VDiv, plan.VRem:
		return f, []Pass{{chip.Divide, 1}}
	}
	return f, []Pass{{chip.Basic, 1}}
}

// OnlyMoves says whether a vector instruction moves bits and looks at none of them.
func OnlyMoves(in *plan.Instr) bool {
	switch in.Op {
	case plan.VTake, plan.VPut:
		return in.Op == plan.VTake || in.Fn == plan.VCopy
	case plan.Vec:
		return in.Fn == plan.VCopy || in.Fn == plan.VBitcast || in.Fn == plan.VSelect
	}
	return false
}

// EngineRate gives the rate at which an engine does one class of an instruction's work on a format, or nil. A basic operation on a
// format that has no rate of its own has another's: a cast that of the other format, the wider first; bits that are only
// moved that of the narrowest format that is at least as wide; a bool that of the narrowest integer.
func EngineRate(e *chip.Engine, in *plan.Instr, f format.Format, class chip.OpClass) *chip.VectorRate {
	if r := e.Rate(f, class); r != nil {
		return r
	}
	if class != chip.Basic {
		return nil
	}
	pick := func(ok func(format.Format) bool) (best *chip.VectorRate) {
		for j := range e.Vector {
			r := &e.Vector[j]
			if r.Op == chip.Basic && ok(r.Format) && (best == nil || r.Format.Bits() < best.Format.Bits()) {
				best = r
			}
		}
		return best
	}
	switch {
	case in.Op == plan.Vec && in.Fn == plan.VCast:
		a, d := in.A.Format, in.Dst.Format
		if a.Bits() < d.Bits() {
			a, d = d, a
		}
		if r := e.Rate(a, chip.Basic); r != nil {
			return r
		}
		return e.Rate(d, chip.Basic)
	case f == format.Bool:
		return pick(format.Format.IsInt)
	case OnlyMoves(in):
		return pick(func(g format.Format) bool { return g.Bits() >= f.Bits() })
	}
	return nil
}

// VectorRate says whether some vector engine of a queue has all rates that an instruction needs; if not, which class of
// operations on which format is missing.
func VectorRate(c *chip.Chip, queue string, in *plan.Instr) (missing chip.OpClass, f format.Format, ok bool) {
	f, list := VectorPasses(in, 1)
	missing = list[0].Class
	for _, e := range c.Engines {
		if e.Queue != queue || e.Kind != chip.Vector {
			continue
		}
		ok = true
		for _, p := range list {
			if EngineRate(e, in, f, p.Class) == nil {
				missing, ok = p.Class, false
				break
			}
		}
		if ok {
			return "", f, true
		}
	}
	return missing, f, false
}
