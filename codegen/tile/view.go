package tile

import (
	"apogee/ir/format"
	"apogee/targets/plan"
)

// Buf is a piece of a memory of a core (or of its part of the workspace in global memory).
type Buf struct {
	Name  string
	Mem   int
	Bytes int64 // of one slot
	Slots int
	slot  plan.Reg // which slot is in use, when there are several
	id    int
	addr  int64
}

// View is a strided tile: of a buffer, or of a parameter when Buf is nil. The zero value stands for a missing tile.
type View struct {
	Buf    *Buf
	Param  int
	Format format.Format
	Base   plan.Val   // bytes from the start of the slot or of the parameter
	Size   []plan.Val // along each axis
	Stride []int64    // bytes
}

// Alloc reserves a buffer of a memory. With several slots, each round of the innermost loop that contains all its uses works in the
// next slot, so that the round after may begin to fill while this one is still read.
func (k *K) Alloc(name string, mem int, bytes int64, slots int) *Buf {
	b := &Buf{Name: name, Mem: mem, Bytes: roundUp(max(bytes, 1), k.T.Memories[mem].Align), Slots: max(slots, 1), id: len(k.bufs)}
	if b.Slots > 1 {
		b.slot = k.Reg()
	}
	if mem == 0 && k.space < 0 {
		k.space = k.Param("workspace", format.U8, 0, true, true)
	}
	k.bufs = append(k.bufs, b)
	return b
}

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }

// Dense is the view of a whole buffer as a dense tile whose rows are padded to dims (the largest sizes); sizes are what is in
// use. dims and size have one entry an axis.
func (k *K) Dense(b *Buf, f format.Format, dims []int64, size []plan.Val) View {
	return View{Buf: b, Param: -1, Format: f, Size: size, Stride: DenseStrides(f, dims)}
}

// New allocates a buffer and gives its dense view.
func (k *K) New(name string, mem int, f format.Format, dims []int64, size []plan.Val, slots int) View {
	return k.Dense(k.Alloc(name, mem, TileBytes(f, dims), slots), f, dims, size)
}

// DenseStrides are the byte strides of a dense row-major tile. Rows of a sub-byte format begin at whole bytes.
func DenseStrides(f format.Format, dims []int64) []int64 {
	s := make([]int64, len(dims))
	bits := int64(f.Bits())
	n := bits / 8
	for i := len(dims) - 1; i >= 0; i-- {
		s[i] = n
		if bits < 8 && i == len(dims)-1 {
			n = (bits*dims[i] + 7) / 8
			continue
		}
		n *= dims[i]
	}
	return s
}

// TileBytes is the size of a dense tile.
func TileBytes(f format.Format, dims []int64) int64 {
	if len(dims) == 0 {
		return int64(f.Bits()+7) / 8
	}
	return DenseStrides(f, append([]int64{1}, dims...))[0]
}

// Global is a view of a parameter.
func (k *K) Global(param int, f format.Format, base plan.Val, size []plan.Val, stride []int64) View {
	return View{Param: param, Format: f, Base: base, Size: size, Stride: stride}
}

// Consts makes constant values.
func Consts(n ...int64) []plan.Val {
	out := make([]plan.Val, len(n))
	for i, x := range n {
		out[i] = plan.C(x)
	}
	return out
}

// Mem is the number of the memory the view is in.
func (v View) Mem() int {
	if v.Buf != nil {
		return v.Buf.Mem
	}
	return 0
}

// Slice narrows one axis to n elements from start. Along a row of a sub-byte format start must be at a whole byte.
func (v View) Slice(axis int, start, n plan.Val) View {
	if bits := int64(v.Format.Bits()); bits < 8 && axis == len(v.Size)-1 {
		at := start.Scale(bits)
		at.C /= 8
		for i := range at.Terms {
			at.Terms[i].K /= 8
		}
		v.Base = v.Base.Add(at)
	} else {
		v.Base = v.Base.Add(start.Scale(v.Stride[axis]))
	}
	v.Size = append([]plan.Val(nil), v.Size...)
	v.Size[axis] = n
	return v
}

// Valid reports whether the view names anything.
func (v View) Valid() bool { return v.Size != nil }

// drop takes the first axis, of which element i is meant, away.
func (v View) drop(i plan.Val) View {
	v.Base = v.Base.Add(i.Scale(v.Stride[0]))
	v.Size, v.Stride = v.Size[1:], v.Stride[1:]
	return v
}

func (k *K) tile(v View) plan.Tile {
	if !v.Valid() {
		return plan.NoTile
	}
	t := plan.Tile{Mem: v.Mem(), Format: v.Format, Base: v.Base, Size: v.Size, Stride: v.Stride, Param: -1, Local: -1}
	if v.Buf == nil {
		t.Param = v.Param
		return t
	}
	t.Local = v.Buf.id
	if v.Buf.Slots > 1 {
		t.Base = t.Base.Add(plan.R(v.Buf.slot).Scale(v.Buf.Bytes))
	}
	return t
}
