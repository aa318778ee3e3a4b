package plan

import (
	"bytes"
	"encoding/binary"
	"math"

	"apogee/ir/diag"
	"apogee/ir/format"
)

// Decode reads a plan's binary form. It refuses what is damaged, of another version or senseless with a
// [diag.Diagnostic]; what it gives may still name things that are not there: see [Validate]. It keeps no part of b.
func Decode(b []byte) (*Plan, error) { return decode(b, "plan") }

func decode(b []byte, name string) (*Plan, error) {
	fail := func(code, format string, args ...any) *diag.Diagnostic {
		return diag.Errorf(code, diag.Range{}, format, args...).At(name)
	}
	if !IsBinary(b) {
		return nil, fail(codeNotPlan, "this is not a plan").Expect("a file that apogee compile wrote", "other bytes at its start")
	}
	if len(b) < headerSize {
		return nil, fail(codeShort, "the plan ends in its header, after %d bytes", len(b)).Helpf("copy the file again, or compile the model again")
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v < oldestVersion || v > BinaryVersion {
		d := fail(codeVersion, "the plan has version %d, this program reads versions %d to %d", v, oldestVersion, BinaryVersion)
		if v > BinaryVersion {
			return nil, d.Helpf("use the newer apogee that wrote it, or compile the model again with this one")
		}
		return nil, d.Helpf("compile the model again")
	}
	if n := binary.LittleEndian.Uint64(b[16:]); n != uint64(len(b)-headerSize) {
		return nil, fail(codeShort, "the plan's length is not what its header says").
			Expect(sizeText(n), sizeText(uint64(len(b)-headerSize))).Helpf("copy the file again, or compile the model again")
	}
	if sum := checksum(b); !bytes.Equal(sum[:], b[sumOffset:headerSize]) {
		return nil, fail(codeSum, "the plan is damaged: its checksum does not match").Helpf("copy the file again, or compile the model again")
	}
	p, err := decodeSections(b)
	if err != nil {
		return nil, err.At(name)
	}
	return p, nil
}

func decodeSections(b []byte) (*Plan, *diag.Diagnostic) {
	if n := binary.LittleEndian.Uint32(b[12:]); n != numSections || len(b) < headerSize+12*numSections {
		return nil, diag.Errorf(codeContent, diag.Range{}, "the plan has %d sections, not %d", n, numSections)
	}
	p := &Plan{}
	at := headerSize + 12*numSections
	for i := 0; i < numSections; i++ {
		head := b[headerSize+12*i:]
		id, n := binary.LittleEndian.Uint32(head), binary.LittleEndian.Uint64(head[4:])
		if id != uint32(i+1) || n > uint64(len(b)-at) {
			return nil, diag.Errorf(codeContent, diag.Range{}, "section %d of the plan is %d and %s long, which does not fit", i+1, id, sizeText(n))
		}
		d := &decoder{b: b[at : at+int(n)], version: binary.LittleEndian.Uint32(b[8:])}
		at += int(n)
		switch i + 1 {
		case sectionMeta:
			d.meta(p)
		case sectionBuffers:
			d.buffers(p)
		case sectionKernels:
			d.kernels(p)
		case sectionSteps:
			d.steps(p)
		}
		if d.err == "" && len(d.b) > 0 {
			d.err = "bytes are left over"
		}
		if d.err != "" {
			return nil, diag.Errorf(codeContent, diag.Range{}, "section %d of the plan makes no sense: %s, %d bytes before its end", id, d.err, len(d.b)).
				Helpf("compile the model again")
		}
	}
	if at != len(b) {
		return nil, diag.Errorf(codeContent, diag.Range{}, "%d bytes follow the plan's last section", len(b)-at)
	}
	return p, nil
}

// decoder reads one section. After the first mistake, err says what, and everything reads as zero.
type decoder struct {
	b       []byte
	version uint32
	err     string
	vals    []Val
	terms   []Term
	ints    []int64
}

func (d *decoder) fail(what string) {
	if d.err == "" {
		d.err = what
	}
}

func (d *decoder) u() uint64 {
	x, n := binary.Uvarint(d.b)
	if n <= 0 || d.err != "" {
		d.fail("a number is cut off or too large")
		return 0
	}
	d.b = d.b[n:]
	return x
}

func (d *decoder) i() int64 {
	x, n := binary.Varint(d.b)
	if n <= 0 || d.err != "" {
		d.fail("a number is cut off or too large")
		return 0
	}
	d.b = d.b[n:]
	return x
}

// int reads an index or count that must fit 32 bits, so that no sum of a few overflows.
func (d *decoder) int() int {
	x := d.i()
	if x < math.MinInt32 || x > math.MaxInt32 {
		d.fail("an index is too large")
		return 0
	}
	return int(x)
}

func (d *decoder) take(n uint64) []byte {
	if d.err != "" || n > uint64(len(d.b)) {
		d.fail("it ends too early")
		return nil
	}
	out := d.b[:n:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) u8() uint8 {
	if x := d.take(1); x != nil {
		return x[0]
	}
	return 0
}

func (d *decoder) u32() uint32 {
	if x := d.take(4); x != nil {
		return binary.LittleEndian.Uint32(x)
	}
	return 0
}

func (d *decoder) f() float64 {
	if x := d.take(8); x != nil {
		return math.Float64frombits(binary.LittleEndian.Uint64(x))
	}
	return 0
}

func (d *decoder) bool() bool {
	x := d.u8()
	if x > 1 {
		d.fail("a yes or no is neither")
	}
	return x == 1
}

func (d *decoder) s() string { return string(d.take(d.u())) }

// n reads the length of a list whose elements take at least size bytes each.
func (d *decoder) n(size int) int {
	n := d.u()
	if n > uint64(len(d.b)/size) {
		d.fail("a list is longer than the bytes that follow")
	}
	if d.err != "" {
		return 0
	}
	return int(n)
}

func (d *decoder) enum(limit int, what string) uint8 {
	x := d.u8()
	if int(x) >= limit {
		d.fail("there is no such " + what)
		return 0
	}
	return x
}

func (d *decoder) format() format.Format {
	f := format.Format(d.u8())
	if f != format.Invalid && !f.Valid() {
		d.fail("there is no such format")
		return format.Invalid
	}
	return f
}

// list makes a slice of n elements, nil for none.
func list[T any](n int) []T {
	if n == 0 {
		return nil
	}
	return make([]T, n)
}

// slab cuts n elements off a block, so that many short lists cost few allocations.
func slab[T any](block *[]T, n int) []T {
	if n == 0 {
		return nil
	}
	if len(*block) < n {
		*block = make([]T, max(n, 128))
	}
	out := (*block)[:n:n]
	*block = (*block)[n:]
	return out
}

func (d *decoder) intList() []int64 {
	out := slab(&d.ints, d.n(1))
	for i := range out {
		out[i] = d.i()
	}
	return out
}

func (d *decoder) strings() []string {
	out := list[string](d.n(1))
	for i := range out {
		out[i] = d.s()
	}
	return out
}

func (d *decoder) pos() (p Pos) {
	p.File, p.Line, p.Col, p.Scope = int32(d.u32()), int32(d.u32()), int32(d.u32()), int32(d.u32())
	return p
}

func (d *decoder) meta(p *Plan) {
	for _, s := range [...]*string{&p.Model, &p.Entry, &p.Chip, &p.ChipHash, &p.Precision} {
		*s = d.s()
	}
	p.Symbols = list[Symbol](d.n(2))
	for i := range p.Symbols {
		p.Symbols[i] = Symbol{d.s(), d.i()}
	}
	p.Memories = list[Memory](d.n(3))
	for i := range p.Memories {
		p.Memories[i] = Memory{d.s(), d.i(), d.i()}
	}
	p.Queues = list[Queue](d.n(2))
	for i := range p.Queues {
		p.Queues[i] = Queue{d.s(), QueueKind(d.enum(len(queueKindNames), "kind of queue"))}
	}
	p.Files, p.Scopes, p.Notes = d.strings(), d.strings(), d.strings()
}

func (d *decoder) buffers(p *Plan) {
	p.Buffers = list[Buffer](d.n(minBuffer))
	for i := range p.Buffers {
		b := &p.Buffers[i]
		b.Name = d.s()
		b.Kind = BufferKind(d.enum(len(bufferKindNames), "kind of buffer"))
		b.Format = d.format()
		b.Shape = d.intList()
		b.Addr, b.Size = d.i(), d.i()
		b.First, b.Last = d.int(), d.int()
		if d.bool() {
			b.Source = &Source{Name: d.s(), Stack: d.i(), Stored: d.format(), Scale: d.s(), Block: d.intList(), Shape: d.intList(), Quantise: d.format(), Scales: d.bool(), Hash: d.s()}
			if s := b.Source; d.version > 4 {
				s.QuantiseBlock, s.MX = d.intList(), d.bool()
			} else if s.Quantise != format.Invalid && s.Scale == "" {
				s.QuantiseBlock, s.Block = s.Block, nil
			}
		}
		if data := d.take(d.u()); len(data) > 0 {
			b.Data = bytes.Clone(data)
		}
	}
}

func (d *decoder) kernels(p *Plan) {
	p.Kernels = list[Kernel](d.n(minKernel))
	for i := range p.Kernels {
		k := &p.Kernels[i]
		k.Name, k.Regs, k.Flops = d.s(), d.int(), d.f()
		k.Params = list[Param](d.n(5))
		for j := range k.Params {
			k.Params[j] = Param{d.s(), d.format(), d.i(), d.bool(), d.bool()}
		}
		k.Locals = list[Local](d.n(7))
		for j := range k.Locals {
			k.Locals[j] = Local{d.s(), d.int(), d.i(), d.i(), d.int(), d.int(), d.int()}
		}
		k.Flags = list[Flag](d.n(4))
		for j := range k.Flags {
			k.Flags[j] = Flag{d.s(), d.int(), d.int(), d.int()}
		}
		k.Code = list[Instr](d.n(minInstr))
		for j := range k.Code {
			if d.err != "" {
				return
			}
			d.instr(&k.Code[j])
		}
	}
}

func (d *decoder) instr(in *Instr) {
	mask := d.u32()
	if mask&^hasAll != 0 {
		d.fail("an instruction has a field that this version does not know")
		return
	}
	in.Op = Opcode(d.enum(int(numOpcodes), "opcode"))
	in.Queue = d.int()
	in.Pos = d.pos()
	for i, t := range in.Tiles() {
		*t = NoTile
		if mask&tileBits[i] != 0 {
			d.tile(t, true)
		}
	}
	for i, v := range [...]*Val{&in.X, &in.Y, &in.Z, &in.Acc} {
		if mask&(hasX<<i) != 0 {
			*v = d.val()
		}
	}
	if mask&hasImm != 0 {
		in.Imm = d.f()
	}
	if mask&hasReg != 0 {
		in.Reg = d.reg()
	}
	if mask&hasFlag != 0 {
		in.Flag = d.int()
	}
	if mask&hasJump != 0 {
		in.Jump = d.int()
	}
	if mask&hasPath != 0 {
		in.Path = d.int()
	}
	if mask&hasFn != 0 {
		in.Fn = Fn(d.enum(int(NumFns), "function"))
	}
	in.Saturate = mask&hasSaturate != 0
	if mask&hasAssume != 0 {
		in.Assume = &Assume{Index: d.val(), Mul: d.i(), Div: d.i(), Why: d.s()}
	}
}

func (d *decoder) reg() Reg {
	x := d.u()
	if x > math.MaxUint16 {
		d.fail("there is no such register")
		return 0
	}
	return Reg(x)
}

func (d *decoder) val() Val {
	v := Val{C: d.i()}
	v.Terms = slab(&d.terms, d.n(2))
	for i := range v.Terms {
		v.Terms[i] = Term{d.reg(), d.i()}
	}
	return v
}

// tile reads a tile; only one that is not itself an index list may have an index.
func (d *decoder) tile(t *Tile, index bool) {
	t.Mem = d.int()
	if t.Mem == 0 {
		t.Param = d.int()
	} else {
		t.Local = d.int()
	}
	t.Format = d.format()
	t.Base = d.val()
	t.Size = slab(&d.vals, d.n(2))
	for i := range t.Size {
		t.Size[i] = d.val()
	}
	t.Stride = d.intList()
	if d.bool() {
		if !index {
			d.fail("an index list has an index itself")
			return
		}
		t.Index = &Tile{}
		d.tile(t.Index, false)
	}
}

func (d *decoder) steps(p *Plan) {
	p.Steps = list[Step](d.n(minStep))
	for i := range p.Steps {
		s := &p.Steps[i]
		if d.version > 3 {
			s.Op = StepOp(d.enum(len(stepWords), "kind of step"))
		}
		if s.Op != LaunchStep {
			s.Pos, s.Name = d.pos(), d.s()
			if s.Op.controls() {
				s.Control = &Control{Cond: d.int(), Trip: d.int(), Index: d.int(), Limit: d.i(), Assume: d.i()}
			}
			continue
		}
		s.Kernel, s.Grid, s.Pos, s.Name = d.int(), d.i(), d.pos(), d.s()
		s.Args = list[Arg](d.n(2))
		for j := range s.Args {
			s.Args[j] = Arg{d.int(), d.i()}
		}
	}
}
