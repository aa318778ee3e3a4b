package plan

// Stats is what a kernel does in one launch, counted over all its blocks from the instructions, at the sizes they
// run with and with what is assumed of data.
type Stats struct {
	Blocks int64
	// Instrs is how many instructions run, by opcode, the scalar ones included. Those with an empty tile count.
	Instrs [numOpcodes]int64
	// Bytes is what moves along each path of the chip, by [Instr.Path], in the format of the wider side.
	Bytes []int64
	// GlobalRead and GlobalWritten are the bytes that moves read from and write to global memory, in the format stored there.
	GlobalRead, GlobalWritten int64
	// MatrixFlops counts two for each multiply-add of Mma, VectorElements the elements that vector instructions write or, folding,
	// read.
	MatrixFlops, VectorElements float64
	// Cut says that the launch was too irregular to be counted to its end: blocks and rounds that differ are walked one by one.
	Cut bool
}

// Total is the number of instructions.
func (s *Stats) Total() int64 {
	n := int64(0)
	for _, x := range s.Instrs {
		n += x
	}
	return n
}

// Elements is how many elements a tile has, for given registers; 0 if any size is not positive.
func (t *Tile) Elements(regs []int64) int64 {
	n := int64(1)
	for i := range t.Size {
		x := t.Size[i].Eval(regs)
		if x <= 0 {
			return 0
		}
		n = satMul(n, x)
	}
	return n
}

// Bytes is how many bytes of elements a tile has, for given registers.
func (t *Tile) Bytes(regs []int64) int64 {
	return satMul(t.Elements(regs), int64(t.Format.Bits())) / 8
}

// maxCount is how many instructions Count looks at.
const maxCount = 100_000_000

// Count counts what a launch of a kernel with a number of blocks does. The plan must have passed [Validate].
func Count(k *Kernel, grid, cores int64) *Stats {
	s := &Stats{Blocks: grid}
	for i := range k.Code {
		if in := &k.Code[i]; in.Op == Move && in.Path >= len(s.Bytes) && in.Path < 1<<10 {
			s.Bytes = append(s.Bytes, make([]int64, in.Path+1-len(s.Bytes))...)
		}
	}
	f := NewFolder(k)
	regs := make([]int64, k.Regs)
	single := f.UsesCore()
	cores = max(cores, 1)
	for b := int64(0); b < grid && !s.Cut; {
		k.StartRegs(regs, b, b%cores, cores)
		end := b + 1
		if !single {
			end = f.Stretch(Blocks, regs, b, grid)
		}
		times := end - b
		f.Walk(regs, func(i int, regs []int64, n int64) bool {
			s.add(&k.Code[i], regs, satMul(n, times))
			s.Cut = f.Spent() > maxCount
			return !s.Cut
		})
		b = end
	}
	return s
}

func (s *Stats) add(in *Instr, regs []int64, times int64) {
	s.Instrs[in.Op] += times
	switch in.Op {
	case Move:
		n := satMul(in.Dst.Elements(regs), times)
		wide := max(in.A.Format.Bits(), in.Dst.Format.Bits())
		if in.Path >= 0 && in.Path < len(s.Bytes) {
			s.Bytes[in.Path] += satMul(n, int64(wide)) / 8
		}
		if in.A.Mem == 0 {
			s.GlobalRead += satMul(n, int64(in.A.Format.Bits())) / 8
		}
		if in.Dst.Mem == 0 {
			s.GlobalWritten += satMul(n, int64(in.Dst.Format.Bits())) / 8
		}
	case Mma:
		if in.A.Elements(regs) > 0 && in.B.Elements(regs) > 0 {
			s.MatrixFlops += 2 * float64(in.A.Elements(regs)) * float64(in.B.Size[1].Eval(regs)) * float64(times)
		}
	default:
		if in.Op.Kind() == Vector {
			n := in.Dst.Elements(regs)
			if in.A.Has() {
				n = max(n, in.A.Elements(regs))
			}
			s.VectorElements += float64(n) * float64(times)
		}
	}
}
