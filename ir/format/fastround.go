package format

import (
	"encoding/binary"
	"math"
	"sync/atomic"
)

// Rounding float32 to a float format.
//
// A format of at most 8 bits: none of its values, and no middle between two of
// them, needs more than 7 mantissa bits, so the upper half of the float32 and
// whether the lower half is zero decide, under every mode, and a table of 2^17
// patterns says what they decide.
//
// With the binades of a float32 (bf16, tf32, hf32) the format is a float32 whose
// low bits are gone, subnormals included. For f16 the same holds down to its
// smallest normal value; below it every value is a multiple of one step, and adding
// 2^23 steps in float32 arithmetic rounds to one, since float32 addition rounds to
// nearest even itself. The low bits of that sum are then the pattern.

// topTables holds the tables of the formats of at most 8 bits, by mode, once they
// have been asked for.
var topTables [numFormats][int(ToOdd+1) * 4]atomic.Pointer[[1 << 17]uint8]

// topTable returns the table of f under m.
func topTable(f Format, m Mode) *[1 << 17]uint8 {
	if m.Round > ToOdd {
		m.Round = NearestEven
	}
	at := int(m.Round) * 4
	if m.Saturate {
		at++
	}
	if m.FlushSubnormals {
		at += 2
	}
	slot := &topTables[f][at]
	if t := slot.Load(); t != nil {
		return t
	}
	// Two goroutines may both make it; they make the same.
	t := new([1 << 17]uint8)
	for i := range t {
		x := math.Float32frombits(uint32(i>>1)<<16 | uint32(i&1))
		t[i] = uint8(f.EncodeMode(widen(x), m))
	}
	slot.Store(t)
	return t
}

// topIndex is where topTable has the pattern of x.
func topIndex(x float32) uint32 {
	u := math.Float32bits(x)
	// The lower half plus 0xFFFF carries into bit 16 exactly when it is not zero.
	return u>>16<<1 | (u&0xFFFF+0xFFFF)>>16
}

// wide says how many low bits of a float32 a format with its binades drops.
func wide(f Format) (drop uint, ok bool) {
	switch f {
	case BF16:
		return 16, true
	case TF32:
		return 13, true
	case HF32:
		return 12, true
	}
	return 0, false
}

// roundFast32 does RoundF32 for the formats it knows.
func roundFast32(f Format, xs []float32) bool {
	if f.IsFloat() && f.Bits() <= 8 {
		t, values := topTable(f, f.DefaultMode()), table32(f)
		for i, x := range xs {
			xs[i] = values[t[topIndex(x)]]
		}
		return true
	}
	if drop, ok := wide(f); ok {
		roundWide(drop, xs)
		return true
	}
	if f == F16 {
		roundF16(xs)
		return true
	}
	return false
}

func roundWide(drop uint, xs []float32) {
	drop &= 31
	low := uint32(1)<<drop - 1
	half := low >> 1
	for i, x := range xs {
		u := math.Float32bits(x)
		if x != x {
			u = (u | f32QuietU) &^ low
		} else {
			u = (u + half + u>>drop&1) &^ low
		}
		xs[i] = math.Float32frombits(u)
	}
}

// The constants of f16 as float32 bits.
const (
	f16Drop    = 23 - 10
	f16Normal  = (127 - 14) << 23           // 2^-14
	f16Over    = (127 + 16) << 23           // 2^16, where rounding up has left the range
	f16Rebias  = (127 - 15) << 10           // between the exponents, in a pattern
	f16Step23  = (127 - 24 + 23) << 23      // 2^23 times the smallest subnormal
	f16LowBits = uint32(1)<<f16Drop - 1     // what is dropped
	f16Half    = uint32(1)<<(f16Drop-1) - 1 // less than half a step by one
)

func roundF16(xs []float32) {
	magic := math.Float32frombits(f16Step23)
	for i, x := range xs {
		u := math.Float32bits(x)
		sign := u &^ f32MagnU
		u &= f32MagnU
		if u >= f16Normal {
			if u > f32InfBits {
				u = (u | f32QuietU) &^ f16LowBits
			} else if u = (u + f16Half + u>>f16Drop&1) &^ f16LowBits; u >= f16Over {
				u = f32InfBits
			}
		} else {
			u = math.Float32bits(math.Float32frombits(u) + magic - magic)
		}
		xs[i] = math.Float32frombits(u | sign)
	}
}

// encodeFast32 does EncodeF32 for the formats and modes it knows.
func encodeFast32(f Format, dst []byte, src []float32, m Mode) bool {
	if f.IsFloat() && f.Bits() <= 8 {
		encodeTop(f, topTable(f, m), dst, src)
		return true
	}
	if m.Round != NearestEven {
		return false
	}
	if f.IsInt() && f.Bits() <= 16 {
		encodeInts(f, dst, src)
		return true
	}
	if m.Saturate || m.FlushSubnormals {
		return false
	}
	switch f {
	case F32:
		for i, x := range src {
			u := math.Float32bits(x)
			if x != x {
				u |= f32QuietU
			}
			binary.LittleEndian.PutUint32(dst[4*i:], u)
		}
	case TF32, HF32:
		drop, _ := wide(f)
		var buf [256]float32
		for len(src) > 0 {
			n := copy(buf[:], src)
			roundWide(drop, buf[:n])
			for i, v := range buf[:n] {
				binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
			}
			src, dst = src[n:], dst[4*n:]
		}
	case BF16:
		encodeBF16(dst, src)
	case F16:
		encodeF16(dst, src)
	default:
		return false
	}
	return true
}

// encodeTop encodes to a format of at most 8 bits.
func encodeTop(f Format, t *[1 << 17]uint8, dst []byte, src []float32) {
	switch f.Bits() {
	case 8:
		dst = dst[:len(src)]
		for i, x := range src {
			dst[i] = t[topIndex(x)]
		}
	case 4:
		for len(src) >= 2 {
			dst[0] = t[topIndex(src[0])] | t[topIndex(src[1])]<<4
			dst, src = dst[1:], src[2:]
		}
		if len(src) > 0 {
			dst[0] = t[topIndex(src[0])]
		}
	default:
		clearTail(f, dst, len(src))
		for i, x := range src {
			Put(f, dst, i, uint64(t[topIndex(x)]))
		}
	}
}

// encodeInts encodes to integers of at most 16 bits. Adding 1.5*2^23 rounds to an
// integer, to nearest even as float32 addition does, and leaves it in the low bits.
func encodeInts(f Format, dst []byte, src []float32) {
	clearTail(f, dst, len(src))
	const magic = 0x1.8p23
	zero := math.Float32bits(magic)
	lo, hi := float32(f.MinInt()), float32(f.MaxInt())
	bits := f.Bits()
	for i, x := range src {
		if x >= hi {
			x = hi
		} else if x <= lo {
			x = lo
		} else if x != x {
			x = 0
		}
		p := math.Float32bits(x+magic) - zero
		switch bits {
		case 8:
			dst[i] = byte(p)
		case 16:
			binary.LittleEndian.PutUint16(dst[2*i:], uint16(p))
		default:
			Put(f, dst, i, uint64(p))
		}
	}
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

func encodeF16(dst []byte, src []float32) {
	dst = dst[:2*len(src)]
	magic := math.Float32frombits(f16Step23)
	for i, x := range src {
		u := math.Float32bits(x)
		sign := u >> 16 & 0x8000
		u &= f32MagnU
		var h uint32
		if u >= f16Normal {
			if u > f32InfBits {
				h = 0x7E00 | u>>f16Drop&0x3FF
			} else if h = (u+f16Half+u>>f16Drop&1)>>f16Drop - f16Rebias; h > 0x7C00 {
				h = 0x7C00
			}
		} else {
			h = math.Float32bits(math.Float32frombits(u)+magic) - f16Step23
		}
		binary.LittleEndian.PutUint16(dst[2*i:], uint16(h|sign))
	}
}
