package guard

import (
	"fmt"
	"strings"

	"apogee/targets/plan"
)

var opNames = [...]string{
	plan.Loop: "loop", plan.End: "end", plan.Set: "set", plan.LoadScalar: "load_scalar", plan.Signal: "signal", plan.Wait: "wait",
	plan.Move: "move", plan.Mma: "mma", plan.Vec: "vec", plan.VReduce: "reduce", plan.VScan: "scan", plan.VIota: "iota",
	plan.VTopK: "top_k", plan.VTake: "take", plan.VPut: "put", plan.VGroup: "group",
}

var fnNames = [...]string{
	plan.VCopy: "copy", plan.VCast: "cast", plan.VNeg: "neg", plan.VAbs: "abs", plan.VSign: "sign", plan.VExp: "exp", plan.VLog: "log",
	plan.VSqrt: "sqrt", plan.VRsqrt: "rsqrt", plan.VReciprocal: "reciprocal", plan.VSin: "sin", plan.VCos: "cos", plan.VTanh: "tanh",
	plan.VSigmoid: "sigmoid", plan.VErf: "erf", plan.VFloor: "floor", plan.VCeil: "ceil", plan.VRound: "round", plan.VNot: "not",
	plan.VBitcast: "bitcast", plan.VAdd: "add", plan.VSub: "sub", plan.VMul: "mul", plan.VDiv: "div", plan.VRem: "rem", plan.VPow: "pow",
	plan.VMax: "max", plan.VMin: "min", plan.VAnd: "and", plan.VOr: "or", plan.VXor: "xor", plan.VShl: "shl", plan.VShr: "shr",
	plan.VEq: "eq", plan.VNe: "ne", plan.VLt: "lt", plan.VLe: "le", plan.VGt: "gt", plan.VGe: "ge", plan.VSelect: "select", plan.VFma: "fma",
	plan.VAbsMax: "abs_max", plan.SDiv: "div", plan.SMod: "mod", plan.SLt: "lt",
}

// OpName is an opcode's word in error messages.
func OpName(o plan.Opcode) string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return fmt.Sprintf("opcode %d", o)
}

// FnName is a function's word in error messages.
func FnName(f plan.Fn) string {
	if int(f) < len(fnNames) {
		return fnNames[f]
	}
	return fmt.Sprintf("function %d", f)
}

// Text writes an instruction on one line, for error messages: the plan's own text form is the plan package's business.
func Text(p *plan.Plan, k *plan.Kernel, in *plan.Instr) string {
	var w strings.Builder
	switch in.Op {
	case plan.Loop:
		fmt.Fprintf(&w, "loop r%d = %s, %s rounds", in.Reg, valText(in.X), valText(in.Y))
		return w.String()
	case plan.End:
		return "end"
	case plan.Set:
		fmt.Fprintf(&w, "set r%d = %s(%s, %s)", in.Reg, FnName(in.Fn), valText(in.X), valText(in.Y))
		return w.String()
	case plan.Signal, plan.Wait:
		name := fmt.Sprint(in.Flag)
		if in.Flag >= 0 && in.Flag < len(k.Flags) {
			name = k.Flags[in.Flag].Name
		}
		fmt.Fprintf(&w, "%s: %s %s", QueueName(p, in.Queue), OpName(in.Op), name)
		return w.String()
	case plan.Vec:
		fmt.Fprintf(&w, "%s: %s", QueueName(p, in.Queue), FnName(in.Fn))
	case plan.VReduce, plan.VPut, plan.VTopK:
		fmt.Fprintf(&w, "%s: %s.%s", QueueName(p, in.Queue), OpName(in.Op), FnName(in.Fn))
	default:
		fmt.Fprintf(&w, "%s: %s", QueueName(p, in.Queue), OpName(in.Op))
	}
	sep := " "
	for _, t := range []*plan.Tile{&in.Dst, &in.Dst2, &in.A, &in.B, &in.C} {
		if t.Has() {
			w.WriteString(sep + tileText(p, k, t))
			sep = ", "
		}
	}
	return w.String()
}

// QueueName names a queue of a plan.
func QueueName(p *plan.Plan, q int) string {
	if p != nil && q >= 0 && q < len(p.Queues) {
		return p.Queues[q].Name
	}
	return fmt.Sprintf("queue %d", q)
}

func tileText(p *plan.Plan, k *plan.Kernel, t *plan.Tile) string {
	var w strings.Builder
	w.WriteString(Name(p, k, t))
	fmt.Fprintf(&w, "[%s]", valText(t.Base))
	w.WriteString(" " + t.Format.String() + "[")
	for i, s := range t.Size {
		if i > 0 {
			w.WriteByte(',')
		}
		w.WriteString(valText(s))
	}
	w.WriteByte(']')
	if t.Index != nil {
		w.WriteString(" by " + tileText(p, k, t.Index))
	}
	return w.String()
}

// Name says which local or parameter a tile lies in.
func Name(p *plan.Plan, k *plan.Kernel, t *plan.Tile) string {
	if t.Mem == 0 {
		if k != nil && t.Param >= 0 && t.Param < len(k.Params) {
			return k.Params[t.Param].Name
		}
		return fmt.Sprintf("parameter %d", t.Param)
	}
	mem := fmt.Sprintf("memory %d", t.Mem)
	if p != nil && t.Mem > 0 && t.Mem < len(p.Memories) {
		mem = p.Memories[t.Mem].Name
	}
	if k != nil && t.Local >= 0 && t.Local < len(k.Locals) {
		return mem + "." + k.Locals[t.Local].Name
	}
	return mem
}

func valText(v plan.Val) string {
	var w strings.Builder
	for _, t := range v.Terms {
		switch {
		case w.Len() > 0 && t.K >= 0:
			w.WriteByte('+')
		case t.K == -1:
			w.WriteByte('-')
		}
		if t.K != 1 && t.K != -1 {
			fmt.Fprintf(&w, "%d*", t.K)
		}
		fmt.Fprintf(&w, "r%d", t.Reg)
	}
	if v.C != 0 || w.Len() == 0 {
		if w.Len() > 0 && v.C > 0 {
			w.WriteByte('+')
		}
		fmt.Fprintf(&w, "%d", v.C)
	}
	return w.String()
}
