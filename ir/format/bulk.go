package format

import (
	"encoding/binary"
	"math"
)

// DecodeF32 writes the values of the first len(dst) elements of src to dst. The
// elements lie densely packed from the first bit of src. A value that float32
// does not hold (f64, wide integers) is rounded to nearest even; for integers in
// one step. NaNs of f32 and bf16 come as they are, signalling ones too. It panics
// when src holds fewer elements than dst wants.
func DecodeF32(f Format, dst []float32, src []byte) {
	src = src[:need(f, len(dst))]
	switch f {
	case F32:
		decodeF32F32(dst, src)
	case BF16:
		decodeBF16F32(dst, src)
	case F16:
		decodeF16F32(dst, src)
	default:
		switch t := table32(f); {
		case t == nil:
			decodeWide32(f, dst, src)
		case f.Bits() == 8:
			for i, b := range src[:len(dst)] {
				dst[i] = t[b]
			}
		default:
			decodePacked32(f, t, dst, src)
		}
	}
}

// DecodeF64 writes the values of the first len(dst) elements of src to dst, each
// as [Format.Decode] has it. It panics when src holds fewer elements.
func DecodeF64(f Format, dst []float64, src []byte) {
	src = src[:need(f, len(dst))]
	switch {
	case f == F64:
		for i := range dst {
			dst[i] = f.Decode(binary.LittleEndian.Uint64(src[8*i:]))
		}
	case f == F32 || f == BF16 || f == F16 || f.Bits() == 8 && f.IsFloat():
		var buf [256]float32
		size := f.Bits() / 8
		for len(dst) > 0 {
			n := min(len(dst), len(buf))
			DecodeF32(f, buf[:n], src[:n*size])
			for i, v := range buf[:n] {
				dst[i] = widen(v)
			}
			dst, src = dst[n:], src[n*size:]
		}
	default:
		for i := range dst {
			dst[i] = f.Decode(Get(f, src, i))
		}
	}
}

// EncodeF32 writes src to the first len(src) elements of dst under m, each as
// [Format.EncodeMode] has it. Bits of a last, partly filled byte are zero. It
// panics when dst is too short.
func EncodeF32(f Format, dst []byte, src []float32, m Mode) {
	dst = dst[:need(f, len(src))]
	if encodeFast32(f, dst, src, m) {
		return
	}
	clearTail(f, dst, len(src))
	for i, v := range src {
		Put(f, dst, i, f.EncodeMode(widen(v), m))
	}
}

// EncodeF64 writes src to the first len(src) elements of dst under m, each
// rounded once, as [Format.EncodeMode] has it. It panics when dst is too short.
func EncodeF64(f Format, dst []byte, src []float64, m Mode) {
	dst = dst[:need(f, len(src))]
	if !viaF32(f, m) {
		clearTail(f, dst, len(src))
		for i, v := range src {
			Put(f, dst, i, f.EncodeMode(v, m))
		}
		return
	}
	var buf [256]float32 // a multiple of 8, so that each piece begins on a byte
	for len(src) > 0 {
		n := min(len(src), len(buf))
		toF32(f, buf[:n], src[:n])
		size := need(f, n)
		EncodeF32(f, dst[:size], buf[:n], m)
		dst, src = dst[size:], src[n:]
	}
}

// viaF32 says whether float64 may go through float32 (see toF32) on its way to f.
func viaF32(f Format, m Mode) bool {
	return f.IsFloat() && f != F64 && (f != F32 || m == Mode{})
}

// toF32 rounds src to float32 so that rounding the result to f is rounding src: to
// nearest for f32 itself, to odd for the others, which all have at least two bits
// less.
func toF32(f Format, dst []float32, src []float64) {
	if f == F32 {
		for i, v := range src {
			dst[i] = narrow(v)
		}
		return
	}
	for i, v := range src {
		dst[i] = oddF32(v)
	}
}

// oddF32 rounds to float32, to odd.
func oddF32(x float64) float32 {
	y := narrow(x)
	if float64(y) == x || x != x {
		return y
	}
	u := math.Float32bits(y)
	if math.Abs(float64(y)) > math.Abs(x) {
		u-- // back towards zero; from infinity to the largest finite value
	}
	return math.Float32frombits(u | 1)
}

// DecodeI64 writes the first len(dst) elements of an integer or bool format to
// dst, each as [Format.DecodeInt] has it. It panics when src holds fewer.
func DecodeI64(f Format, dst []int64, src []byte) {
	src = src[:need(f, len(dst))]
	for i := range dst {
		dst[i] = f.DecodeInt(Get(f, src, i))
	}
}

// EncodeI64 writes src to the first elements of dst, wrapping, each as
// [Format.EncodeInt] has it. It panics when dst is too short.
func EncodeI64(f Format, dst []byte, src []int64) {
	dst = dst[:need(f, len(src))]
	clearTail(f, dst, len(src))
	for i, v := range src {
		Put(f, dst, i, f.EncodeInt(v))
	}
}

// RoundF32 replaces each element by what f makes of it: Decode(Encode(x)), as a
// float32.
func RoundF32(f Format, xs []float32) {
	if f == F32 || f == F64 {
		return
	}
	if roundFast32(f, xs) {
		return
	}
	for i, v := range xs {
		xs[i] = narrow(f.Round(widen(v)))
	}
}

// RoundF64 replaces each element by what f makes of it, rounding once.
func RoundF64(f Format, xs []float64) {
	if f == F64 {
		return
	}
	if !viaF32(f, f.DefaultMode()) {
		for i, v := range xs {
			xs[i] = f.Round(v)
		}
		return
	}
	var buf [256]float32
	for len(xs) > 0 {
		n := min(len(xs), len(buf))
		toF32(f, buf[:n], xs[:n])
		RoundF32(f, buf[:n])
		for i, v := range buf[:n] {
			xs[i] = widen(v)
		}
		xs = xs[n:]
	}
}

// need is the bytes that n elements take; it panics where NumBytes is false,
// which no slice in memory can bring about but for Invalid.
func need(f Format, n int) int64 {
	b, ok := NumBytes(f, int64(n))
	if !ok {
		panic("format: no such format")
	}
	return b
}

// Get returns the pattern of element i of a packed byte string.
func Get(f Format, src []byte, i int) uint64 {
	switch bits := f.Bits(); bits {
	case 8:
		return uint64(src[i])
	case 16:
		return uint64(binary.LittleEndian.Uint16(src[2*i:]))
	case 32:
		return uint64(binary.LittleEndian.Uint32(src[4*i:]))
	case 64:
		return binary.LittleEndian.Uint64(src[8*i:])
	case 4:
		return uint64(src[i>>1]>>(i&1*4)) & 0xF
	case 2:
		return uint64(src[i>>2]>>(i&3*2)) & 3
	case 6:
		at := i / 4 * 3
		switch i & 3 {
		case 0:
			return uint64(src[at]) & 0x3F
		case 1:
			return uint64(src[at]>>6|src[at+1]<<2) & 0x3F
		case 2:
			return uint64(src[at+1]>>4|src[at+2]<<4) & 0x3F
		}
		return uint64(src[at+2] >> 2)
	}
	return 0
}

// Put stores the low bits of pattern as element i of a packed byte string and
// leaves the other elements alone.
func Put(f Format, dst []byte, i int, pattern uint64) {
	p := byte(pattern)
	switch bits := f.Bits(); bits {
	case 8:
		dst[i] = p
	case 16:
		binary.LittleEndian.PutUint16(dst[2*i:], uint16(pattern))
	case 32:
		binary.LittleEndian.PutUint32(dst[4*i:], uint32(pattern))
	case 64:
		binary.LittleEndian.PutUint64(dst[8*i:], pattern)
	case 4:
		at := i & 1 * 4
		dst[i>>1] = dst[i>>1]&^(0xF<<at) | p&0xF<<at
	case 2:
		at := i & 3 * 2
		dst[i>>2] = dst[i>>2]&^(3<<at) | p&3<<at
	case 6:
		p &= 0x3F
		at := i / 4 * 3
		switch i & 3 {
		case 0:
			dst[at] = dst[at]&^0x3F | p
		case 1:
			dst[at] = dst[at]&0x3F | p<<6
			dst[at+1] = dst[at+1]&^0xF | p>>2
		case 2:
			dst[at+1] = dst[at+1]&0xF | p<<4
			dst[at+2] = dst[at+2]&^3 | p>>4
		default:
			dst[at+2] = dst[at+2]&3 | p<<2
		}
	}
}

// clearTail zeroes the last byte of a packed string of n elements when they do
// not fill it.
func clearTail(f Format, dst []byte, n int) {
	if len(dst) > 0 && n*f.Bits()%8 != 0 {
		dst[len(dst)-1] = 0
	}
}

// widen is float64(x) with a NaN's payload kept on every machine.
func widen(x float32) float64 {
	if x != x {
		u := math.Float32bits(x)
		return math.Float64frombits(uint64(u&^f32MagnU)<<32 | f64Inf | f64Quiet | uint64(u&(1<<23-1))<<29)
	}
	return float64(x)
}

// narrow is float32(x) with a NaN's sign and leading payload kept on every
// machine.
func narrow(x float64) float32 {
	if x != x {
		u := math.Float64bits(x)
		return math.Float32frombits(uint32(u>>32)&^f32MagnU | f32InfBits | f32QuietU | uint32(u&f64Frac>>29))
	}
	return float32(x)
}

// decodeWide32 decodes the formats of 16 bits and more that have no way of their own.
func decodeWide32(f Format, dst []float32, src []byte) {
	switch f {
	case I64:
		for i := range dst {
			dst[i] = float32(int64(binary.LittleEndian.Uint64(src[8*i:])))
		}
	case U64:
		for i := range dst {
			dst[i] = float32(binary.LittleEndian.Uint64(src[8*i:]))
		}
	case I32:
		for i := range dst {
			dst[i] = float32(int32(binary.LittleEndian.Uint32(src[4*i:])))
		}
	case U32:
		for i := range dst {
			dst[i] = float32(binary.LittleEndian.Uint32(src[4*i:]))
		}
	case I16:
		for i := range dst {
			dst[i] = float32(int16(binary.LittleEndian.Uint16(src[2*i:])))
		}
	case U16:
		for i := range dst {
			dst[i] = float32(binary.LittleEndian.Uint16(src[2*i:]))
		}
	default:
		for i := range dst {
			dst[i] = narrow(f.Decode(Get(f, src, i)))
		}
	}
}

// decodePacked32 decodes the formats narrower than a byte.
func decodePacked32(f Format, t *[256]float32, dst []float32, src []byte) {
	if f.Bits() == 4 {
		for len(dst) >= 2 {
			b := src[0]
			dst[0], dst[1] = t[b&0xF], t[b>>4]
			dst, src = dst[2:], src[1:]
		}
	}
	for i := range dst {
		dst[i] = t[Get(f, src, i)]
	}
}
