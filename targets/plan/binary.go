package plan

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math"
)

// BinaryVersion is the version of the binary form that Encode writes. Decode also reads older ones: in oldestVersion every step is a
// launch, and up to version 4 the loader quantises blocks only of weights without stored scales, by f32 scales.
const BinaryVersion = 5

const oldestVersion = 3

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
	hasD
	hasAll = 1<<iota - 1
)

// The least bytes that a list's element takes in the file. A list longer than the bytes left allow is refused before
// anything is allocated; with these figures a plan takes at most some 40 times its file's size.
const (
	minInstr  = 4 + 1 + 1 + 16
	minKernel = 4 + 8 + 1
	minBuffer = 10
	minStep   = 2 + 16
)

// Encode writes a plan in its binary form. Equal plans give equal bytes; an instruction's zero Tile is a missing one, an
// empty list the same as none, and of Tile.Param and Tile.Local only the one that counts is kept. The error is the writer's.
func Encode(w io.Writer, p *Plan) error {
	_, err := w.Write(encode(p))
	return err
}

// Hash is the SHA-256 of the plan's binary form.
func Hash(p *Plan) [sha256.Size]byte { return sha256.Sum256(encode(p)) }

func encode(p *Plan) []byte { return encodeAs(p, BinaryVersion) }

func encodeAs(p *Plan, version uint32) []byte {
	e := &encoder{b: make([]byte, headerSize+12*numSections, 64<<10), version: version}
	var lengths [numSections]int
	for i, section := range []func(*Plan){e.meta, e.buffers, e.kernels, e.steps} {
		at := len(e.b)
		section(p)
		lengths[i] = len(e.b) - at
	}
	b := e.b
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[8:], version)
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

type encoder struct {
	b       []byte
	version uint32
}

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
			e.u8(uint8(s.Quantise))
			e.bool(s.Scales)
			e.s(s.Hash)
			if e.version > 4 {
				e.ints(s.QuantiseBlock)
				e.bool(s.MX)
			}
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

// tileBits says which of [Instr.Tiles] are stored.
var tileBits = [...]uint32{hasDst, hasDst2, hasA, hasB, hasC, hasD}

func zero(v Val) bool { return v.C == 0 && len(v.Terms) == 0 }

func (e *encoder) instr(in *Instr) {
	var mask uint32
	set := func(bit uint32, on bool) {
		if on {
			mask |= bit
		}
	}
	tiles := in.Tiles()
	for i, t := range tiles {
		set(tileBits[i], !absent(t))
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
		if mask&tileBits[i] != 0 {
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
		if e.version > 3 {
			e.u8(uint8(s.Op))
		}
		if s.Op != LaunchStep {
			e.pos(s.Pos)
			e.s(s.Name)
			if c := s.Control; s.Op.controls() {
				if c == nil {
					c = &Control{Cond: None, Trip: None, Index: None, Limit: NoLimit}
				}
				for _, x := range [...]int64{int64(c.Cond), int64(c.Trip), int64(c.Index), c.Limit, c.Assume} {
					e.i(x)
				}
			}
			continue
		}
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
