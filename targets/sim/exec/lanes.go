package exec

import (
	"encoding/binary"

	"apogee/ir/format"
)

// chunk is how many elements a vector instruction works on at a time: three operands in f32 stay in the first-level cache.
const chunk = 2048

// lane is a type that vector instructions compute in.
type lane interface{ float32 | float64 | int64 }

// bank is the scratch of one lane type.
type bank[T lane] struct {
	v      [4][]T
	raw    []byte
	decode func(format.Format, []T, []byte)
	encode func(format.Format, []byte, []T, format.Mode)
}

func newBank[T lane](decode func(format.Format, []T, []byte), encode func(format.Format, []byte, []T, format.Mode)) *bank[T] {
	b := &bank[T]{decode: decode, encode: encode, raw: make([]byte, 8*chunk)}
	for i := range b.v {
		b.v[i] = make([]T, chunk)
	}
	return b
}

func encodeI64(f format.Format, dst []byte, src []int64, _ format.Mode) {
	format.EncodeI64(f, dst, src)
}

// gather copies n elements of the given size and stride to a dense row.
func gather(dst, src []byte, at, stride, n, size int64) {
	switch size {
	case 1:
		for i := range n {
			dst[i] = src[at]
			at += stride
		}
	case 2:
		for i := range n {
			binary.LittleEndian.PutUint16(dst[2*i:], binary.LittleEndian.Uint16(src[at:]))
			at += stride
		}
	case 4:
		for i := range n {
			binary.LittleEndian.PutUint32(dst[4*i:], binary.LittleEndian.Uint32(src[at:]))
			at += stride
		}
	case 8:
		for i := range n {
			binary.LittleEndian.PutUint64(dst[8*i:], binary.LittleEndian.Uint64(src[at:]))
			at += stride
		}
	}
}

// scatter is the opposite of gather.
func scatter(dst []byte, at, stride int64, src []byte, n, size int64) {
	switch size {
	case 1:
		for i := range n {
			dst[at] = src[i]
			at += stride
		}
	case 2:
		for i := range n {
			binary.LittleEndian.PutUint16(dst[at:], binary.LittleEndian.Uint16(src[2*i:]))
			at += stride
		}
	case 4:
		for i := range n {
			binary.LittleEndian.PutUint32(dst[at:], binary.LittleEndian.Uint32(src[4*i:]))
			at += stride
		}
	case 8:
		for i := range n {
			binary.LittleEndian.PutUint64(dst[at:], binary.LittleEndian.Uint64(src[8*i:]))
			at += stride
		}
	}
}

// load decodes rows × cols elements into dst, dense. A sub-byte row begins at a whole byte plus col elements.
func (b *bank[T]) load(dst []T, o *operand, buf []byte, at, rs, cs, rows, cols, col int64) {
	if o.esize == 0 {
		for r := range rows {
			b.decodeBits(dst[r*cols:][:cols], o, buf, at+r*rs, col)
		}
		return
	}
	size := o.esize
	switch {
	case cs == size && (rs == cols*size || rows == 1):
		n := rows * cols
		b.decode(o.fmt, dst[:n], buf[at:at+n*size])
	case cs == size && rs != 0:
		for r := range rows {
			p := at + r*rs
			b.decode(o.fmt, dst[r*cols:][:cols], buf[p:p+cols*size])
		}
	case cs == 0 || cols == 1:
		if rs == 0 {
			b.decode(o.fmt, dst[:1], buf[at:at+size])
			fill(dst[:rows*cols], dst[0])
			return
		}
		// One element a row: decode them together, then spread from the end.
		raw := b.raw[:rows*size]
		gather(raw, buf, at, rs, rows, size)
		b.decode(o.fmt, dst[:rows], raw)
		if cols > 1 {
			for r := rows - 1; r >= 0; r-- {
				fill(dst[r*cols:][:cols], dst[r])
			}
		}
	default:
		n := rows
		if rs == 0 {
			n = 1
		}
		raw := b.raw[:cols*size]
		for r := range n {
			gather(raw, buf, at+r*rs, cs, cols, size)
			b.decode(o.fmt, dst[r*cols:][:cols], raw)
		}
		for r := n; r < rows; r++ {
			copy(dst[r*cols:][:cols], dst[:cols])
		}
	}
}

// decodeBits decodes elements col and following of a dense row of a sub-byte format.
func (b *bank[T]) decodeBits(dst []T, o *operand, buf []byte, at, col int64) {
	if col*o.bits%8 == 0 {
		at += col * o.bits / 8
		b.decode(o.fmt, dst, buf[at:at+(int64(len(dst))*o.bits+7)/8])
		return
	}
	row := buf[at : at+((col+int64(len(dst)))*o.bits+7)/8]
	var one [8]byte
	for i := range dst {
		one[0] = 0
		format.Put(o.fmt, one[:], 0, format.Get(o.fmt, row, int(col)+i))
		b.decode(o.fmt, dst[i:i+1], one[:1])
	}
}

// store encodes rows × cols dense elements to where they belong.
func (b *bank[T]) store(o *operand, buf []byte, at, rs, cs, rows, cols, col int64, src []T, m format.Mode) {
	size := o.esize
	switch {
	case size == 0:
		for r := range rows {
			b.encodeBits(o, buf, at+r*rs, col, src[r*cols:][:cols], m)
		}
	case cs == size && (rs == cols*size || rows == 1):
		n := rows * cols
		b.encode(o.fmt, buf[at:at+n*size], src[:n], m)
	case cs == size:
		for r := range rows {
			p := at + r*rs
			b.encode(o.fmt, buf[p:p+cols*size], src[r*cols:][:cols], m)
		}
	case cols == 1:
		raw := b.raw[:rows*size]
		b.encode(o.fmt, raw, src[:rows], m)
		scatter(buf, at, rs, raw, rows, size)
	default:
		raw := b.raw[:cols*size]
		for r := range rows {
			b.encode(o.fmt, raw, src[r*cols:][:cols], m)
			scatter(buf, at+r*rs, cs, raw, cols, size)
		}
	}
}

// encodeBits writes elements of a dense row of a sub-byte format; bits of the last byte beyond them stay as they are.
func (b *bank[T]) encodeBits(o *operand, buf []byte, at, col int64, src []T, m format.Mode) {
	row := buf[at : at+((col+int64(len(src)))*o.bits+7)/8]
	var one [8]byte
	for i := range src {
		b.encode(o.fmt, one[:1], src[i:i+1], m)
		format.Put(o.fmt, row, int(col)+i, format.Get(o.fmt, one[:1], 0))
	}
}

func fill[T any](s []T, v T) {
	for i := range s {
		s[i] = v
	}
}
