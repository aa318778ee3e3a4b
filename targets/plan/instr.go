package plan

import "apogee/ir/format"

// Opcode says what an instruction does.
type Opcode uint8

// The instructions. Each comment gives the operands that it uses; a Val is evaluated when the scalar
// unit issues the instruction.
const (
	// Loop runs the code up to its End N times, Dst register counting From, From+1, ….
	//   Reg = counter, X = first value, Y = number of rounds (≤ 0: none), Jump = index of its End.
	Loop Opcode = iota
	// End closes a loop. Jump = index of its Loop.
	End
	// Set computes a register: Reg = X Fn Y, Fn one of the scalar functions.
	Set
	// LoadScalar reads one integer element (i32 or i64) from tile A into Reg. The scalar unit waits for nothing but
	// what Wait instructions on the scalar queue say. When a run has no data, the value is Assume.
	LoadScalar
	// Signal adds one to Flag when the queue is done with all before; Queue = the flag's From.
	Signal
	// Wait holds Queue = the flag's To until Flag is above zero, and takes one.
	Wait
	// Move copies tile A to tile Dst, of equal sizes; Path says which. Formats differ only if the path converts. Queue: DMA.
	// When A or Dst has an Index, axis 0 steps by the index list instead of its stride.
	Move
	// Mma adds the matrix product of A [M,K] and B [K,N] to Dst [M,N]; when Acc is 0 it starts from zero. Queue: matrix.
	// Each element sums with K ascending as the chip's rate says (one fused multiply-add a step in the
	// accumulator's format unless the rate has AccBits).
	//
	// On a rate with scales, C [M,K/g] and D [K/g,N] may give them, g the rate's block, K/g rounded up: the products of a block are summed
	// from zero as above, and the sum, times both scales, is added to the element with one rounding.
	Mma
	// Vec applies Fn elementwise: Dst[i] = Fn(A[i], B[i], C[i]), operands by arity. A missing operand takes Imm, so that VCopy without A fills. Queue: vector.
	// Floats compute in the operands' format: in f32 and rounded, when that is narrower.
	Vec
	//
	// In the opcodes below, R stands for all axes but the last and C for the last.

	// VReduce folds the last axis: Dst [R,1] = Fn over A [R,C]; when Acc is not 0 it folds Dst in as well. Queue: vector.
	VReduce
	// VScan is the running sum along the last axis, or the running product, maximum or minimum, by Fn: Dst [R,C] from A [R,C]; B [R,1],
	// when there, is what was before (not changed). Exclusive when Imm is 1.
	VScan
	// VIota fills Dst with X + r*Y + c*Z, r counting the rows of all axes but the last.
	VIota
	// VTopK writes the k = columns of Dst best of each row of A, best first, and their column numbers as i32 to Dst2; equal
	// ones lower column first, NaN largest. Fn = VMax takes the largest, VMin the smallest.
	VTopK
	// VTake picks along a row: Dst[r,c] = A[r, B[r,c]], B i32.
	VTake
	// VPut puts along a row: Dst[r, B[r,c]] = A[r,c] for c ascending; Fn = VCopy replaces, else combines with what is there.
	VPut
	// VGroup sorts slots by group: A i32 [1,n] with values in 0…g-1 → Dst i32 [1,n] order, Dst2 i32 [1,g+1] offsets. Stable.
	VGroup
	numOpcodes
)

// Reg numbers a scalar register of a core; registers hold 64-bit integers.
type Reg uint16

// Val is an affine value of registers: C + Σ K·Reg.
type Val struct {
	C     int64
	Terms []Term
}

// Term is one register times a factor.
type Term struct {
	Reg Reg
	K   int64
}

// Tile names elements of one memory: element (i0, i1, …) stands at Base + Σ ik·Stride[k] bytes. The last axis is the
// row that engines stream along. Tiles of one instruction have as many axes, at most MaxTileRank, and equal sizes but
// where the opcode says otherwise; strides are free (0 repeats an element), so slices, transposes and broadcasts of a tile
// are tiles too. Mma takes exactly two axes.
type Tile struct {
	Mem    int           // index into Plan.Memories; None if the operand is missing
	Param  int           // for global memory: which parameter, Base counting from its start
	Local  int           // for a core's memory: which local, Base counting from the start of the memory
	Format format.Format // element format as stored; sub-byte formats are addressed by whole rows
	Base   Val           // bytes
	Size   []Val         // number of elements along each axis; a size ≤ 0 makes the instruction do nothing
	Stride []int64       // bytes from one element to the next along each axis; 0 repeats, or is the dense axis of a sub-byte format
	Index  *Tile         // Move only: i32 list [n] that replaces the counter of axis 0
}

// None marks a missing operand.
const None = -1

// NoTile is a missing operand.
var NoTile = Tile{Mem: None}

// Has reports whether the operand is there.
func (t *Tile) Has() bool { return t.Mem != None }

// DenseAxis is the axis along which elements of a sub-byte format follow one another: the last, or, as of a matrix that a product reads
// transposed, the first of two of which only the other has a stride.
func (t *Tile) DenseAxis() int {
	if len(t.Size) == 2 && t.Stride[0] == 0 && t.Stride[1] != 0 {
		return 0
	}
	return len(t.Size) - 1
}

// Results is how many of [Instr.Tiles] are written, the first ones; the others are read.
const Results = 2

// Tiles gives all tiles of an instruction, those that it does not have among them.
func (in *Instr) Tiles() [6]*Tile {
	return [...]*Tile{&in.Dst, &in.Dst2, &in.A, &in.B, &in.C, &in.D}
}

// NoTiles takes all tiles away.
func (in *Instr) NoTiles() {
	for _, t := range in.Tiles() {
		*t = NoTile
	}
}

// Instr is one instruction. Fields that its opcode does not name are zero, and missing tiles NoTile.
type Instr struct {
	Op        Opcode
	Queue     int
	Fn        Fn
	Dst, Dst2 Tile
	A, B, C   Tile
	D         Tile
	X, Y, Z   Val
	Acc       Val
	Imm       float64
	Reg       Reg
	Flag      int
	Jump      int
	Path      int // Move: index into the chip's paths, so that two paths between the same memories can be told apart
	Saturate  bool
	Assume    *Assume
	Pos       Pos
}

// Assume stands for a value that only data can tell, when a plan is timed without data: Index·Mul/Div rounded down.
// Why says what is assumed, for the report.
type Assume struct {
	Index    Val
	Mul, Div int64
	Why      string
}

// Fn is a function of Vec, VReduce, Set and their like.
type Fn uint8

// Functions of elements; the names are those of the IR's ops. Unary ones take A; binary A and B; VSelect A (bool), B, C;
// VFma is A·B + C with one rounding.
const (
	VCopy Fn = iota
	VCast
	VNeg
	VAbs
	VSign
	VExp
	VLog
	VSqrt
	VRsqrt
	VReciprocal
	VSin
	VCos
	VTanh
	VSigmoid
	VErf
	VAtan
	VFloor
	VCeil
	VRound
	VNot
	VBitcast
	VAdd
	VSub
	VMul
	VDiv
	VRem
	VPow
	VMax
	VMin
	VAnd
	VOr
	VXor
	VShl
	VShr
	VEq
	VNe
	VLt
	VLe
	VGt
	VGe
	VSelect
	VFma
	// Reductions beside VAdd, VMul, VMax, VMin, VAnd and VOr.
	VAbsMax // largest magnitude
	// Scalar functions of Set beside VAdd, VSub, VMul, VMax and VMin.
	SDiv // X/Y rounded down, Y > 0
	SMod // X - Y*SDiv(X,Y)
	SLt  // 1 if X < Y, else 0
	NumFns
)

// C makes a constant value.
func C(c int64) Val { return Val{C: c} }

// R makes the value of a register.
func R(r Reg) Val { return Val{Terms: []Term{{r, 1}}} }

// IsConst reports whether the value needs no register.
func (v Val) IsConst() bool { return len(v.Terms) == 0 }

// Eval computes the value for given registers.
func (v Val) Eval(regs []int64) int64 {
	x := v.C
	for _, t := range v.Terms {
		x += t.K * regs[t.Reg]
	}
	return x
}

// Add returns v + w, equal registers merged.
func (v Val) Add(w Val) Val {
	out := Val{C: v.C + w.C, Terms: append([]Term(nil), v.Terms...)}
next:
	for _, t := range w.Terms {
		for i := range out.Terms {
			if out.Terms[i].Reg == t.Reg {
				out.Terms[i].K += t.K
				if out.Terms[i].K == 0 {
					out.Terms = append(out.Terms[:i], out.Terms[i+1:]...)
				}
				continue next
			}
		}
		out.Terms = append(out.Terms, t)
	}
	return out
}

// AddC returns v + c.
func (v Val) AddC(c int64) Val { v.C += c; return v }

// Scale returns v·k.
func (v Val) Scale(k int64) Val {
	out := Val{C: v.C * k}
	if k == 0 {
		return out
	}
	for _, t := range v.Terms {
		out.Terms = append(out.Terms, Term{t.Reg, t.K * k})
	}
	return out
}
