package plan

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math"
	"os"
	"path/filepath"

	"apogee/ir/diag"
	"apogee/ir/format"
)

// BinaryVersion is the version of the binary form. A reader takes no other.
const BinaryVersion = 1

// A plan file is
//
//	magic     8 bytes, the first not ASCII and a line feed at the end, so that text-mode copies show
//	version   4 bytes, little-endian, as all that follows
//	sections  4 bytes: how many
//	length    8 bytes: of all that follows the checksum
//	checksum  32 bytes: SHA-256 of all other bytes
//
// then for each section its number (4 bytes) and length (8 bytes), then the sections. Inside them, integers are
// varints (zigzag where they can be negative), strings and lists begin with their length.
const (
	magic      = "\x89APGPLN\n"
	sumOffset  = 24
	headerSize = sumOffset + sha256.Size
)

const (
	sectionMeta = iota + 1
	sectionBuffers
	sectionKernels
	sectionSteps
	numSections = sectionSteps
)

// Which fields of an instruction are stored.
const (
	hasDst = 1 << iota
	hasDst2
	hasA
	hasB
	hasC
	hasX
	hasY
	hasZ
	hasAcc
	hasImm
	hasReg
	hasFlag
	hasJump
	hasPath
	hasFn
	hasSaturate
	hasAssume
	hasAll = 1<<iota - 1
)

// The least bytes that a list's element takes in the file. A list longer than the bytes left allow is refused before
// anything is allocated; with these figures a plan takes at most some 40 times its file's size.
const (
	minInstr  = 4 + 1 + 1 + 16
	minKernel = 4 + 8 + 1
	minBuffer = 10
	minStep   = 4 + 16
)

// Encode writes a plan in its binary form. Equal plans give equal bytes; an instruction's zero Tile is a missing one, an
// empty list the same as none, and of Tile.Param and Tile.Local only the one that counts is kept. The error is the writer's.
func Encode(w io.Writer, p *Plan) error {
	_, err := w.Write(encode(p))
	return err
}

// Hash is the SHA-256 of the plan's binary form.
func Hash(p *Plan) [sha256.Size]byte { return sha256.Sum256(encode(p)) }

func encode(p *Plan) []byte {
	e := &encoder{b: make([]byte, headerSize+12*numSections, 64<<10)}
	var lengths [numSections]int
	for i, section := range []func(*Plan){e.meta, e.buffers, e.kernels, e.steps} {
		at := len(e.b)
		section(p)
		lengths[i] = len(e.b) - at
	}
	b := e.b
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[8:], BinaryVersion)
	binary.LittleEndian.PutUint32(b[12:], numSections)
	binary.LittleEndian.PutUint64(b[16:], uint64(len(b)-headerSize))
	for i, n := range lengths {
		at := headerSize + 12*i
		binary.LittleEndian.PutUint32(b[at:], uint32(i+1))
		binary.LittleEndian.PutUint64(b[at+4:], uint64(n))
	}
	sum := checksum(b)
	copy(b[sumOffset:], sum[:])
	return b
}

func checksum(b []byte) (sum [sha256.Size]byte) {
	h := sha256.New()
	h.Write(b[:sumOffset])
	h.Write(b[headerSize:])
	h.Sum(sum[:0])
	return sum
}

type encoder struct{ b []byte }

func (e *encoder) u(x uint64)  { e.b = binary.AppendUvarint(e.b, x) }
func (e *encoder) i(x int64)   { e.b = binary.AppendVarint(e.b, x) }
func (e *encoder) u8(x uint8)  { e.b = append(e.b, x) }
func (e *encoder) f(x float64) { e.b = binary.LittleEndian.AppendUint64(e.b, math.Float64bits(x)) }
func (e *encoder) s(s string) {
	e.u(uint64(len(s)))
	e.b = append(e.b, s...)
}
func (e *encoder) ints(v []int64) {
	e.u(uint64(len(v)))
	for _, x := range v {
		e.i(x)
	}
}
func (e *encoder) strings(v []string) {
	e.u(uint64(len(v)))
	for _, s := range v {
		e.s(s)
	}
}
func (e *encoder) pos(p Pos) {
	for _, x := range [...]int32{p.File, p.Line, p.Col, p.Scope} {
		e.b = binary.LittleEndian.AppendUint32(e.b, uint32(x))
	}
}
func (e *encoder) bool(x bool) {
	if x {
		e.u8(1)
	} else {
		e.u8(0)
	}
}

func (e *encoder) meta(p *Plan) {
	for _, s := range [...]string{p.Model, p.Entry, p.Chip, p.ChipHash, p.Precision} {
		e.s(s)
	}
	e.u(uint64(len(p.Symbols)))
	for _, s := range p.Symbols {
		e.s(s.Name)
		e.i(s.Value)
	}
	e.u(uint64(len(p.Memories)))
	for _, m := range p.Memories {
		e.s(m.Name)
		e.i(m.Size)
		e.i(m.Align)
	}
	e.u(uint64(len(p.Queues)))
	for _, q := range p.Queues {
		e.s(q.Name)
		e.u8(uint8(q.Kind))
	}
	e.strings(p.Files)
	e.strings(p.Scopes)
	e.strings(p.Notes)
}

func (e *encoder) buffers(p *Plan) {
	e.u(uint64(len(p.Buffers)))
	for i := range p.Buffers {
		b := &p.Buffers[i]
		e.s(b.Name)
		e.u8(uint8(b.Kind))
		e.u8(uint8(b.Format))
		e.ints(b.Shape)
		e.i(b.Addr)
		e.i(b.Size)
		e.i(int64(b.First))
		e.i(int64(b.Last))
		e.bool(b.Source != nil)
		if s := b.Source; s != nil {
			e.s(s.Name)
			e.i(s.Stack)
			e.u8(uint8(s.Stored))
			e.s(s.Scale)
			e.ints(s.Block)
			e.ints(s.Shape)
			e.s(s.Hash)
		}
		e.u(uint64(len(b.Data)))
		e.b = append(e.b, b.Data...)
	}
}

func (e *encoder) kernels(p *Plan) {
	e.u(uint64(len(p.Kernels)))
	for i := range p.Kernels {
		k := &p.Kernels[i]
		e.s(k.Name)
		e.i(int64(k.Regs))
		e.f(k.Flops)
		e.u(uint64(len(k.Params)))
		for _, a := range k.Params {
			e.s(a.Name)
			e.u8(uint8(a.Format))
			e.i(a.Size)
			e.bool(a.Read)
			e.bool(a.Write)
		}
		e.u(uint64(len(k.Locals)))
		for _, l := range k.Locals {
			e.s(l.Name)
			for _, x := range [...]int64{int64(l.Mem), l.Addr, l.Size, int64(l.First), int64(l.Last), int64(l.Slots)} {
				e.i(x)
			}
		}
		e.u(uint64(len(k.Flags)))
		for _, f := range k.Flags {
			e.s(f.Name)
			e.i(int64(f.From))
			e.i(int64(f.To))
			e.i(int64(f.Credits))
		}
		e.u(uint64(len(k.Code)))
		for j := range k.Code {
			e.instr(&k.Code[j])
		}
	}
}

func zero(v Val) bool { return v.C == 0 && len(v.Terms) == 0 }

func (e *encoder) instr(in *Instr) {
	var mask uint32
	set := func(bit uint32, on bool) {
		if on {
			mask |= bit
		}
	}
	tiles := [...]*Tile{&in.Dst, &in.Dst2, &in.A, &in.B, &in.C}
	for i, t := range tiles {
		set(hasDst<<i, !absent(t))
	}
	vals := [...]*Val{&in.X, &in.Y, &in.Z, &in.Acc}
	for i, v := range vals {
		set(hasX<<i, !zero(*v))
	}
	set(hasImm, math.Float64bits(in.Imm) != 0)
	set(hasReg, in.Reg != 0)
	set(hasFlag, in.Flag != 0)
	set(hasJump, in.Jump != 0)
	set(hasPath, in.Path != 0)
	set(hasFn, in.Fn != 0)
	set(hasSaturate, in.Saturate)
	set(hasAssume, in.Assume != nil)
	e.b = binary.LittleEndian.AppendUint32(e.b, mask)
	e.u8(uint8(in.Op))
	e.i(int64(in.Queue))
	e.pos(in.Pos)
	for i, t := range tiles {
		if mask&(hasDst<<i) != 0 {
			e.tile(t)
		}
	}
	for i, v := range vals {
		if mask&(hasX<<i) != 0 {
			e.val(*v)
		}
	}
	if mask&hasImm != 0 {
		e.f(in.Imm)
	}
	if mask&hasReg != 0 {
		e.u(uint64(in.Reg))
	}
	if mask&hasFlag != 0 {
		e.i(int64(in.Flag))
	}
	if mask&hasJump != 0 {
		e.i(int64(in.Jump))
	}
	if mask&hasPath != 0 {
		e.i(int64(in.Path))
	}
	if mask&hasFn != 0 {
		e.u8(uint8(in.Fn))
	}
	if a := in.Assume; a != nil {
		e.val(a.Index)
		e.i(a.Mul)
		e.i(a.Div)
		e.s(a.Why)
	}
}

func (e *encoder) val(v Val) {
	e.i(v.C)
	e.u(uint64(len(v.Terms)))
	for _, t := range v.Terms {
		e.u(uint64(t.Reg))
		e.i(t.K)
	}
}

func (e *encoder) tile(t *Tile) {
	e.i(int64(t.Mem))
	if t.Mem == 0 {
		e.i(int64(t.Param))
	} else {
		e.i(int64(t.Local))
	}
	e.u8(uint8(t.Format))
	e.val(t.Base)
	e.u(uint64(len(t.Size)))
	for _, v := range t.Size {
		e.val(v)
	}
	e.ints(t.Stride)
	e.bool(t.Index != nil)
	if t.Index != nil {
		e.tile(t.Index)
	}
}

func (e *encoder) steps(p *Plan) {
	e.u(uint64(len(p.Steps)))
	for i := range p.Steps {
		s := &p.Steps[i]
		e.i(int64(s.Kernel))
		e.i(s.Grid)
		e.pos(s.Pos)
		e.s(s.Name)
		e.u(uint64(len(s.Args)))
		for _, a := range s.Args {
			e.i(int64(a.Buffer))
			e.i(a.Offset)
		}
	}
}

// IsBinary says whether bytes begin as a plan's binary form does.
func IsBinary(b []byte) bool { return bytes.HasPrefix(b, []byte(magic)) }

// Save writes a plan's binary form to a file, which is then whole or as it was before.
func Save(path string, p *Plan) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".plan-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if err = Encode(f, p); err != nil {
		return err
	}
	if err = f.Chmod(0o644); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Load reads a plan from a file; see [Read].
func Load(path string) (*Plan, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Read(path, b)
}

// Read reads a plan in either form and checks its structure; see [Decode], [Parse] and [Validate]. Errors call it name.
func Read(name string, b []byte) (*Plan, error) {
	var p *Plan
	var err error
	if bytes.HasPrefix(b, []byte("apogee-plan")) {
		p, err = Parse(diag.NewSource(name, b))
	} else {
		p, err = decode(b, name)
	}
	if err != nil {
		return nil, err
	}
	if err := Validate(p); err != nil {
		return nil, err
	}
	return p, nil
}

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
	if v := binary.LittleEndian.Uint32(b[8:]); v != BinaryVersion {
		d := fail(codeVersion, "the plan has version %d, this program reads version %d", v, BinaryVersion)
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
		d := &decoder{b: b[at : at+int(n)]}
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
	b     []byte
	err   string
	vals  []Val
	terms []Term
	ints  []int64
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
			b.Source = &Source{Name: d.s(), Stack: d.i(), Stored: d.format(), Scale: d.s(), Block: d.intList(), Shape: d.intList(), Hash: d.s()}
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
	for i, t := range [...]*Tile{&in.Dst, &in.Dst2, &in.A, &in.B, &in.C} {
		*t = NoTile
		if mask&(hasDst<<i) != 0 {
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
		s.Kernel, s.Grid, s.Pos, s.Name = d.int(), d.i(), d.pos(), d.s()
		s.Args = list[Arg](d.n(2))
		for j := range s.Args {
			s.Args[j] = Arg{d.int(), d.i()}
		}
	}
}
