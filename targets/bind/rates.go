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

// VectorPasses says what a vector instruction is made of, and the format whose rates count. columns is the size of the result's last
// axis, which only top-k depends on.
func VectorPasses(in *plan.Instr, columns int64) (f format.Format, list []Pass) {
	f = in.WorkFormat()
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
	case plan.VExp, plan.VLog, plan.VSqrt, plan.VRsqrt, plan.VSin, plan.VCos, plan.VTanh, plan.VErf, plan.VAtan:
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

// VectorEngine finds, among the engines of one queue, the first one that has the rates of all passes of an instruction in a format,
// and those rates; else the first one that emulates what it has no rates for. If none does, it says which class is missing.
func VectorEngine(engines []*chip.Engine, in *plan.Instr, f format.Format, list []Pass) (e *chip.Engine, rates []*chip.VectorRate, missing chip.OpClass) {
	if e, rates, missing = vectorEngine(engines, in, f, list, EngineRate); e == nil {
		if other, all, _ := vectorEngine(engines, in, f, list, anyRate); other != nil {
			return other, all, ""
		}
	}
	return e, rates, missing
}

func vectorEngine(engines []*chip.Engine, in *plan.Instr, f format.Format, list []Pass,
	rate func(*chip.Engine, *plan.Instr, format.Format, chip.OpClass) *chip.VectorRate) (e *chip.Engine, rates []*chip.VectorRate, missing chip.OpClass) {
	have := 0
	missing = list[0].Class
	for _, e := range engines {
		rates = rates[:0]
		for _, p := range list {
			r := rate(e, in, f, p.Class)
			if r == nil || !(r.ElementsPerCycle.Value > 0) {
				if len(rates) >= have {
					have, missing = len(rates), p.Class
				}
				break
			}
			rates = append(rates, r)
		}
		if len(rates) == len(list) {
			return e, rates, ""
		}
	}
	return nil, nil, missing
}

// anyRate is EngineRate, or the rate of a routine.
func anyRate(e *chip.Engine, in *plan.Instr, f format.Format, class chip.OpClass) *chip.VectorRate {
	if r := EngineRate(e, in, f, class); r != nil {
		return r
	}
	if in.Op == plan.Vec && in.Fn == plan.VCast {
		return e.EmulateCast(in.A.Format, in.Dst.Format)
	}
	return e.Emulate(f, class)
}

// EngineRate gives the rate at which a vector engine does one class of an instruction's work on a format, or nil. What has no
// rate of its own may have another's: a cast that of the other format, the wider first; a bool that of the narrowest integer;
// bits that are only moved that of the narrowest format that is at least as wide.
func EngineRate(e *chip.Engine, in *plan.Instr, f format.Format, class chip.OpClass) *chip.VectorRate {
	cast := in.Op == plan.Vec && in.Fn == plan.VCast && in.A.Format != in.Dst.Format
	if cast && !e.CanCast(in.A.Format, in.Dst.Format) {
		return nil
	}
	if r := e.Rate(f, class); r != nil {
		return r
	}
	pick := func(ok func(format.Format) bool) (best *chip.VectorRate) {
		for j := range e.Vector {
			r := &e.Vector[j]
			if r.Op == class && ok(r.Format) && (best == nil || r.Format.Bits() < best.Format.Bits()) {
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
		if r := e.Rate(a, class); r != nil {
			return r
		}
		return e.Rate(d, class)
	case f == format.Bool:
		return pick(format.Format.IsInt)
	case in.MovesBits():
		return pick(func(g format.Format) bool { return g.Bits() >= f.Bits() })
	}
	return nil
}

// VectorRate says whether some vector engine of a queue has all rates that an instruction needs, or emulates what it lacks; if not, which
// class of operations on which format is missing.
func VectorRate(c *chip.Chip, queue string, in *plan.Instr) (missing chip.OpClass, f format.Format, ok bool) {
	f, list := VectorPasses(in, 1)
	e, _, missing := VectorEngine(vectorEngines(c, queue), in, f, list)
	return missing, f, e != nil
}

// NativeRate says whether some vector engine of a queue has all rates that an instruction needs of its own.
func NativeRate(c *chip.Chip, queue string, in *plan.Instr) bool {
	f, list := VectorPasses(in, 1)
	e, _, _ := vectorEngine(vectorEngines(c, queue), in, f, list, EngineRate)
	return e != nil
}

// Emulated says in a few words by what routine a vector instruction is done; "" when the engine does it by itself, or not at all.
func Emulated(c *chip.Chip, queue string, in *plan.Instr) string {
	f, list := VectorPasses(in, 1)
	_, rates, _ := VectorEngine(vectorEngines(c, queue), in, f, list)
	for _, r := range rates {
		if how := r.Emulated(); how != "" {
			return how
		}
	}
	return ""
}

func vectorEngines(c *chip.Chip, queue string) (engines []*chip.Engine) {
	for _, e := range c.Engines {
		if e.Queue == queue && e.Kind == chip.Vector {
			engines = append(engines, e)
		}
	}
	return engines
}
