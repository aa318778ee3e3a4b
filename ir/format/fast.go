package format

import (
	"encoding/binary"
	"math"
	"sync"
	"unsafe"
)

// The fast ways of bulk.go. Each gives the bits of the plain one-element
// functions, which the tests compare over all patterns.

// littleEndian is whether this machine keeps float32 in memory as a tensor does.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

func decodeF32F32(dst []float32, src []byte) {
	if littleEndian && len(dst) > 0 {
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&dst[0])), 4*len(dst)), src)
		return
	}
	src = src[:4*len(dst)]
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

func decodeBF16F32(dst []float32, src []byte) {
	for len(dst) >= 4 && len(src) >= 8 {
		w := binary.LittleEndian.Uint64(src)
		dst[0] = math.Float32frombits(uint32(w) << 16)
		dst[1] = math.Float32frombits(uint32(w) &^ 0xFFFF)
		dst[2] = math.Float32frombits(uint32(w>>32) << 16)
		dst[3] = math.Float32frombits(uint32(w>>32) &^ 0xFFFF)
		dst, src = dst[4:], src[8:]
	}
	for i := range dst {
		dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
	}
}

func decodeF16F32(dst []float32, src []byte) {
	src = src[:2*len(dst)]
	for i := range dst {
		dst[i] = f16ToF32(binary.LittleEndian.Uint16(src[2*i:]))
	}
}

// f16ToF32 moves the fields to their places in a float32 and corrects the bias by
// a multiplication, which also normalises subnormals.
func f16ToF32(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	mag := uint32(h&0x7FFF) << 13
	if mag >= 0x7C00<<13 {
		if mag |= 0xFF << 23; mag > f32InfBits {
			mag |= f32QuietU
		}
		return math.Float32frombits(sign | mag)
	}
	v := math.Float32frombits(mag) * 0x1p112
	return math.Float32frombits(math.Float32bits(v) | sign)
}

var tables32 [numFormats]struct {
	once sync.Once
	t    *[256]float32
}

// table32 returns the values of the patterns of a format of at most 8 bits, nil for
// the others.
func table32(f Format) *[256]float32 {
	if f.Bits() > 8 {
		return nil
	}
	e := &tables32[f]
	e.once.Do(func() {
		t := new([256]float32)
		for p := range t {
			t[p] = narrow(f.Decode(uint64(p)))
		}
		e.t = t
	})
	return e.t
}
