package plantest

import (
	"math"

	"apogee/ir/format"
	"apogee/targets/plan"
)

// Sink is a plan that has every opcode, function, kind and field, odd names among them. It passes plan.Validate.
func Sink() *plan.Plan {
	r, c := plan.R, plan.C
	row := func(mem, what int, f format.Format, n int64) plan.Tile {
		return Tile(mem, what, f, c(0), Dim{c(2), n * int64(f.Bits()) / 8}, Dim{c(n), int64(f.Bits()) / 8})
	}
	b := &Builder{Kernel: plan.Kernel{
		Name: "all of \"it\"",
		Params: []plan.Param{
			{Name: "x", Format: format.F32, Size: 4096, Read: true}, {Name: "x", Format: format.F32, Size: 4096, Write: true},
			{Name: "ids", Format: format.I32, Size: 64, Read: true},
		},
		Locals: []plan.Local{
			{Name: "a b", Mem: UB, Addr: 0, Size: 1024, Slots: 2}, {Name: "", Mem: UB, Addr: 1024, Size: 1024, Slots: 1},
			{Name: "_", Mem: L0C, Size: 1024, Slots: 1}, {Name: "λ", Mem: L0A, Size: 1024, Slots: 1}, {Name: "//", Mem: L0B, Size: 1024, Slots: 1},
		},
		Flags: []plan.Flag{{Name: "go", From: In, To: V, Credits: 3}, {Name: "9", From: V, To: S}},
		Regs:  7, Flops: math.Pi * 1e12,
	}}
	b.Set(3, plan.VAdd, r(plan.RegBlock).Scale(-1).AddC(-7), r(plan.RegCores).Scale(math.MaxInt32).Add(r(plan.RegCore)))
	b.Loop(4, c(-1), r(3))
	b.Loop(5, r(4), c(2))
	b.End()
	b.End()
	b.Load(6, Tile(GM, 2, format.I32, r(plan.RegBlock).Scale(4), Dim{c(1), 4}), &plan.Assume{Index: r(4).AddC(1), Mul: 8, Div: 256, Why: "tokens spread \"evenly\"\nover experts"})
	move := Instr(plan.Move, In)
	ids := Tile(UB, 1, format.I32, c(1024), Dim{c(2), 4})
	move.Dst, move.A, move.Path, move.Saturate = row(UB, 0, format.F32, 8), row(GM, 0, format.F32, 8), PathUB, true
	move.A.Index = &ids
	b.add(move)
	b.Signal(0)
	b.Wait(0)
	b.Wait(1)
	b.Mma(Tile(L0C, 2, format.F32, c(0), Dim{c(2), 8}, Dim{c(2), 4}), Tile(L0A, 3, format.F16, c(0), Dim{c(2), 4}, Dim{c(2), 2}),
		Tile(L0B, 4, format.F16, c(0), Dim{c(2), 4}, Dim{c(2), 2}), r(4))
	codes := Tile(L0A, 3, format.F8E4M3FN, c(0), Dim{c(2), 4}, Dim{c(4), 1})
	turned := Tile(L0B, 4, format.F4E2M1, c(0), Dim{c(4), 0}, Dim{c(2), 2})
	scale := Tile(L0A, 3, format.F8E8M0, c(8), Dim{c(2), 1}, Dim{c(1), 1})
	b.Mma(Tile(L0C, 2, format.F32, c(0), Dim{c(2), 8}, Dim{c(2), 4}), codes, turned, r(4))
	scaled := &b.Code[len(b.Code)-1]
	scaled.C, scaled.D = scale, Tile(L0B, 4, format.F8E8M0, c(8), Dim{c(1), 1}, Dim{c(2), 1})
	f32, i32 := row(UB, 0, format.F32, 8), row(UB, 1, format.I32, 8)
	i32.Base = c(1024)
	for fn := plan.VCopy; fn <= plan.VFma; fn++ {
		switch fn.Arity() {
		case 1:
			b.Vec(fn, 0, f32, f32)
		case 2:
			b.Vec(fn, math.Copysign(0, -1), f32, f32)
			b.Vec(fn, 0, f32, f32, f32)
		default:
			b.Vec(fn, math.Float64frombits(0x7ff8000000000123), f32, f32, plan.NoTile, f32)
			b.Vec(fn, math.Inf(-1), f32, f32, f32, f32)
		}
	}
	vec := func(op plan.Opcode, fn plan.Fn, set func(*plan.Instr)) {
		in := Instr(op, V)
		in.Fn = fn
		set(&in)
		b.add(in)
	}
	one := Tile(UB, 0, format.F32, c(0), Dim{c(2), 4}, Dim{c(1), 4})
	for _, fn := range []plan.Fn{plan.VAdd, plan.VMul, plan.VMin, plan.VMax, plan.VAnd, plan.VOr, plan.VAbsMax} {
		vec(plan.VReduce, fn, func(in *plan.Instr) { in.Dst, in.A, in.Acc = one, f32, c(1) })
	}
	vec(plan.VScan, plan.VMax, func(in *plan.Instr) { in.Dst, in.A, in.B, in.Imm = f32, f32, one, 1 })
	vec(plan.VScan, plan.VAdd, func(in *plan.Instr) { in.Dst, in.A = f32, f32 })
	vec(plan.VIota, 0, func(in *plan.Instr) { in.Dst, in.X, in.Y, in.Z = i32, r(3), c(2), c(-1) })
	best := Tile(UB, 0, format.F32, c(0), Dim{c(2), 32}, Dim{c(3), 4})
	at := Tile(UB, 1, format.I32, c(1024), Dim{c(2), 32}, Dim{c(3), 4})
	vec(plan.VTopK, plan.VMax, func(in *plan.Instr) { in.Dst, in.Dst2, in.A = best, at, f32 })
	vec(plan.VTake, 0, func(in *plan.Instr) { in.Dst, in.A, in.B = best, f32, at })
	vec(plan.VPut, plan.VCopy, func(in *plan.Instr) { in.Dst, in.A, in.B = f32, best, at })
	list := func(base, n int64) plan.Tile {
		return Tile(UB, 1, format.I32, c(1024+base), Dim{c(1), 0}, Dim{c(n), 4})
	}
	vec(plan.VGroup, 0, func(in *plan.Instr) { in.A, in.Dst, in.Dst2 = list(0, 4), list(64, 4), list(128, 9) })
	for i := range b.Locals {
		b.Locals[i].Last = len(b.Code) - 1
	}
	b.Code[3].Pos, b.Code[4].Pos, b.Code[5].Pos = plan.Pos{}, plan.Pos{File: 2, Line: 1}, plan.Pos{Scope: 2}
	p := &plan.Plan{
		Model: "sink", Entry: "e", Chip: "toy", ChipHash: "00ff", Precision: "f32",
		Symbols: []plan.Symbol{{Name: "B", Value: 1}, {Name: "T'", Value: -3}}, Memories: Memories(), Queues: Queues(),
		Files: []string{"a b.mg", "a b.mg"}, Scopes: []string{"layers.0", "layer \"1\""}, Notes: []string{"assumed:\tall"},
		Kernels: []plan.Kernel{b.Kernel, {Name: "empty", Regs: 3}},
	}
	for kind := plan.Input; kind <= plan.Workspace; kind++ {
		p.Buffers = append(p.Buffers, plan.Buffer{Name: "b" + kind.String(), Kind: kind, Format: format.F32, Shape: []int64{32, 32},
			Addr: int64(kind) * 4096, Size: 4096, Last: 1})
	}
	p.Buffers[plan.Weight].Source = &plan.Source{Name: "w.{}.weight", Stack: 4, Stored: format.F8E4M3FN, Scale: "w.{}.scale",
		Block: []int64{128, 128}, Shape: []int64{8, 32}, Quantise: format.F4E2M1, QuantiseBlock: []int64{1, 32}, MX: true, Hash: "ab"}
	p.Buffers[plan.Const].Data = []byte("\x00\x01\x02 some hundred bytes of a table: sine, cosine, and what else a kernel reads from global memory")
	p.Buffers = append(p.Buffers, plan.Buffer{Name: "scalar", Kind: plan.Input, Format: format.I32, Addr: 1 << 20, Size: 4096})
	p.Steps = []plan.Step{
		{Kernel: 0, Grid: 3, Name: "first launch", Args: []plan.Arg{{Buffer: 0}, {Buffer: 4}, {Buffer: 7, Offset: 1024}}, Pos: plan.Pos{File: 1, Line: 9, Col: 2, Scope: 1}},
		{Kernel: 1, Grid: 1},
	}
	return p
}
