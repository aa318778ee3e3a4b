package format

import (
	"encoding/binary"
	"math"
	"sync"
)

// Rounding float32 to a classFloat format, to nearest even, straight on the bits.
//
// With the padding and the binades of a float32 (bf16, tf32, hf32) the format is a
// float32 whose low bits are gone, subnormals included. For the formats with fewer
// exponent bits the same holds down to their smallest normal value; below it every
// value is a multiple of one step, and adding 2^23 steps in float32 arithmetic
// rounds to one, since float32 addition rounds to nearest even itself. The low bits
// of that sum are then the pattern.

// rounder holds the constants of one format.
type rounder struct {
	ok      bool
	wide    bool   // has the exponent range of float32
	shift   uint   // dropped bits
	minNorm uint32 // float32 bits of the smallest normal value
	maxFin  uint32 // and of the largest finite one
	magic   float32
	rebias  uint32 // what to take from shifted float32 bits to get a pattern
	signAt  uint   // where the sign bit is in a pattern; the padding is below
	maxCode uint32
}

var rounders = func() (rs [numFormats]rounder) {
	for f := TF32; f <= F4E2M1; f++ {
		l := f.layout()
		if l.class != classFloat {
			continue
		}
		r := rounder{ok: true, wide: l.exp == 8, shift: uint(23 - l.man), signAt: uint(l.exp + l.man)}
		in := f.Info()
		r.minNorm = math.Float32bits(float32(in.MinNormal))
		r.maxFin = math.Float32bits(float32(in.MaxFinite))
		r.magic = float32(in.MinSubnormal * 0x1p23)
		r.rebias = uint32(127-l.bias) << l.man
		r.maxCode = uint32(l.maxMag)
		rs[f] = r
	}
	return rs
}()

// roundFast32 does RoundF32 for the formats it knows.
func roundFast32(f Format, xs []float32) bool {
	switch {
	case f == HIF8:
		roundHIF8(xs)
	case f < numFormats && rounders[f].wide:
		rounders[f].roundWide(xs)
	case f < numFormats && rounders[f].ok:
		rounders[f].roundNarrow(f, xs)
	default:
		return false
	}
	return true
}

func (r *rounder) roundWide(xs []float32) {
	shift := r.shift & 31
	low := uint32(1)<<shift - 1
	half := low >> 1
	for i, x := range xs {
		u := math.Float32bits(x)
		if x != x {
			u = (u | f32QuietU) &^ low
		} else {
			u = (u + half + u>>shift&1) &^ low
		}
		xs[i] = math.Float32frombits(u)
	}
}

func (r *rounder) roundNarrow(f Format, xs []float32) {
	shift := r.shift & 31
	low := uint32(1)<<shift - 1
	half := low >> 1
	minNorm, maxFin, magic := r.minNorm, r.maxFin, r.magic
	plainZero := layouts[f].nan == nanNegZero
	for i, x := range xs {
		u := math.Float32bits(x)
		sign := u &^ f32MagnU
		u &= f32MagnU
		if u >= minNorm {
			u = (u + half + u>>shift&1) &^ low
			if u > maxFin {
				xs[i] = narrow(f.Round(widen(x)))
				continue
			}
		} else {
			v := math.Float32frombits(u) + magic
			u = math.Float32bits(v - magic)
		}
		if u == 0 && plainZero {
			sign = 0
		}
		xs[i] = math.Float32frombits(u | sign)
	}
}

// encodeFast32 does EncodeF32 for the formats and modes it knows.
func encodeFast32(f Format, dst []byte, src []float32, m Mode) bool {
	switch {
	case f == F32 && m.Round == NearestEven && !m.Saturate && !m.FlushSubnormals:
		for i, x := range src {
			u := math.Float32bits(x)
			if x != x {
				u |= f32QuietU
			}
			binary.LittleEndian.PutUint32(dst[4*i:], u)
		}
	case f == HIF8 && m == f.DefaultMode():
		encodeHIF8(dst, src)
	case f >= numFormats || !rounders[f].ok || m.Round != NearestEven:
		return false
	case rounders[f].wide && (m.Saturate || m.FlushSubnormals):
		return false
	case f == BF16:
		encodeBF16(dst, src)
	case rounders[f].wide:
		copyRounded(f, dst, src)
	default:
		encodeNarrow(f, dst, src, m)
	}
	return true
}

func encodeBF16(dst []byte, src []float32) {
	dst = dst[:2*len(src)]
	for i, x := range src {
		u := math.Float32bits(x)
		h := (u + 0x7FFF + u>>16&1) >> 16
		if x != x {
			h = u>>16 | 0x40
		}
		binary.LittleEndian.PutUint16(dst[2*i:], uint16(h))
	}
}

// copyRounded encodes to the formats that are stored as float32.
func copyRounded(f Format, dst []byte, src []float32) {
	r := &rounders[f]
	var buf [256]float32
	for len(src) > 0 {
		n := copy(buf[:], src)
		r.roundWide(buf[:n])
		for i, v := range buf[:n] {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
		}
		src, dst = src[n:], dst[4*n:]
	}
}

// encodeNarrow encodes to a format with fewer exponent bits than float32.
func encodeNarrow(f Format, dst []byte, src []float32, m Mode) {
	clearTail(f, dst, len(src))
	bits := f.Bits()
	var codes [256]uint32
	for len(src) > 0 {
		n := min(len(src), len(codes))
		rounders[f].patterns(f, codes[:n], src[:n], m)
		switch {
		case bits == 8:
			for i, c := range codes[:n] {
				dst[i] = byte(c)
			}
		case bits == 16:
			for i, c := range codes[:n] {
				binary.LittleEndian.PutUint16(dst[2*i:], uint16(c))
			}
		case bits == 4:
			for i := 0; i+1 < n; i += 2 {
				dst[i>>1] = byte(codes[i] | codes[i+1]<<4)
			}
			if n&1 != 0 {
				dst[n>>1] = byte(codes[n-1])
			}
		default:
			for i, c := range codes[:n] {
				Put(f, dst, i, uint64(c))
			}
		}
		src, dst = src[n:], dst[(n*bits+7)/8:] // n is a multiple of 8 but the last time
	}
}

// patterns computes the patterns of src, as many as dst, in a format with fewer
// exponent bits than float32.
func (r *rounder) patterns(f Format, dst []uint32, src []float32, m Mode) {
	shift := r.shift & 31
	half := uint32(1)<<shift>>1 - 1
	minNorm, maxCode, rebias, magic := r.minNorm, r.maxCode, r.rebias, r.magic
	zero, signAt := math.Float32bits(magic), r.signAt&31
	plainZero := layouts[f].nan == nanNegZero
	least := uint32(0) // patterns below it are flushed
	if m.FlushSubnormals {
		least = uint32(1) << (23 - shift)
	}
	dst = dst[:len(src)]
	for i, x := range src {
		u := math.Float32bits(x)
		sign := u >> 31
		u &= f32MagnU
		var code uint32
		if u >= minNorm {
			code = (u+half+u>>shift&1)>>shift - rebias
			if code > maxCode {
				dst[i] = uint32(f.EncodeMode(widen(x), m))
				continue
			}
		} else {
			code = math.Float32bits(math.Float32frombits(u)+magic) - zero
			if code < least {
				code = 0
			}
			if code == 0 && plainZero {
				sign = 0
			}
		}
		dst[i] = code | sign<<signAt
	}
}

// hif8Top maps the upper 15 bits of a float32's magnitude to the HiFloat8 pattern.
// Ties away from zero look at the first dropped bit alone, and HiFloat8 drops no
// fewer than 20 of a float32's bits, so those 15 decide.
var hif8Top = sync.OnceValue(func() *[1 << 15]uint8 {
	t := new([1 << 15]uint8)
	for i := range t {
		x := math.Float32frombits(uint32(i) << 16)
		t[i] = hif8Encode(float64(x), Mode{Round: NearestAway})
	}
	return t
})

func hif8FromF32(t *[1 << 15]uint8, x float32) uint8 {
	u := math.Float32bits(x)
	c := t[u&f32MagnU>>16]
	if x != x {
		return hif8NaN
	}
	if c != 0 {
		c |= uint8(u >> 31 << 7)
	}
	return c
}

func encodeHIF8(dst []byte, src []float32) {
	t := hif8Top()
	dst = dst[:len(src)]
	for i, x := range src {
		dst[i] = hif8FromF32(t, x)
	}
}

func roundHIF8(xs []float32) {
	t, values := hif8Top(), table32(HIF8)
	for i, x := range xs {
		xs[i] = values[hif8FromF32(t, x)]
	}
}
