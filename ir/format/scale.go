package format

import (
	"fmt"
	"math"
	"sync"
)

// MXBlock is how many elements along the last axis share one scale in the OCP MX
// formats (Microscaling Formats Specification 1.0, table 1).
const MXBlock = 32

// mxEmax returns the exponent of the largest normal value of an MX element format;
// for i8 (MXINT8, whose elements count 1/64) that is 0. False for other formats.
func mxEmax(f Format) (int, bool) {
	switch f {
	case F8E4M3FN:
		return 8, true
	case F8E5M2:
		return 15, true
	case F6E3M2:
		return 4, true
	case F6E2M3, F4E2M1:
		return 2, true
	case I8:
		return 0, true
	}
	return 0, false
}

// IsMX reports whether f can be the element format of an MX block: f8e4m3fn,
// f8e5m2, f6e3m2, f6e2m3, f4e2m1, and i8 for MXINT8.
func (f Format) IsMX() bool {
	_, ok := mxEmax(f)
	return ok
}

// MXScale is the scale of a block of MX elements whose largest magnitude is amax, where no f8e8m0 clamps it: 2^(e-emax), e the exponent
// of amax and emax that of the largest normal value of f, a float format of MX. An infinity or NaN gives an infinity. amax is a
// normal number of at least 2^-100, so that the scale is normal as well; it is defined by bits, as engines compute it: amax without sign
// and mantissa, times 2^-emax.
func MXScale(f Format, amax float32) float32 {
	emax, _ := mxEmax(f)
	return math.Float32frombits(math.Float32bits(amax)&f32InfBits) * float32(math.Ldexp(1, -emax))
}

// CeilScale is the scale of a block of codes of f whose largest magnitude is amax, as DeepSeek-V3.1 makes them (scale_fmt ue8m0, act_quant
// in inference/kernel.py): amax over the largest code, in f32, rounded up to a power of two. An infinity or NaN gives an infinity. amax is
// a number of at least 2^-100.
func CeilScale(f Format, amax float32) float32 {
	s := math.Float32bits(amax / float32(f.LargestCode()))
	return math.Float32frombits((min(s, f32InfBits) + 0x7FFFFF) & f32InfBits)
}

// LargestCode is the largest finite number of a format of codes.
func (f Format) LargestCode() float64 {
	if f.IsInt() {
		return float64(f.MaxInt())
	}
	return f.Info().MaxFinite
}

// mxUnit is what an element pattern of value 1 counts: 1/64 for MXINT8.
func mxUnit(f Format) int {
	if f == I8 {
		return 6
	}
	return 0
}

// MXQuantise writes x, rows of cols elements, as MX blocks: codes receives the
// packed elements in f, scales one f8e8m0 pattern for each 32 elements of a row
// (the last block of a row may be shorter).
//
// As the specification's section 6.3 has it, a block's scale is 2^(e-emax), e the
// exponent of its largest magnitude and emax that of f's largest normal value,
// clamped to what f8e8m0 holds; the elements divided by it, which is exact, are
// rounded to nearest even and saturate. A block of zeros has the smallest scale; a
// block with an infinity or NaN, which the specification leaves open, has the scale
// NaN. MXINT8 elements saturate at ±127.
//
// It fails when f is no MX format or a slice has the wrong length.
func MXQuantise(f Format, codes, scales []byte, x []float32, cols int) error {
	emax, ok := mxEmax(f)
	if !ok {
		return fmt.Errorf("%s is no element format of MX", f)
	}
	if err := checkBlocks(f, codes, len(scales), len(x), cols, MXBlock); err != nil {
		return err
	}
	clearTail(f, codes, len(x))
	next := 0
	for row := 0; row < len(x); row += cols {
		for c := 0; c < cols; c += MXBlock {
			lo, hi := row+c, row+c+min(MXBlock, cols-c)
			e, scale := mxScale(x[lo:hi], emax)
			scales[next] = scale
			next++
			for i := lo; i < hi; i++ {
				v := math.Ldexp(float64(x[i]), mxUnit(f)-e)
				if scale == 0xFF {
					v = 0
				}
				p := f.EncodeMode(v, Mode{Saturate: true})
				if f == I8 && p == 0x80 {
					p = 0x81
				}
				Put(f, codes, i, p)
			}
		}
	}
	return nil
}

// mxScale returns the exponent and the pattern of a block's scale.
func mxScale(block []float32, emax int) (int, byte) {
	amax := uint32(0)
	for _, v := range block {
		amax = max(amax, math.Float32bits(v)&f32MagnU)
	}
	switch {
	case amax >= f32InfBits:
		return 0, 0xFF
	case amax == 0:
		return -127, 0
	}
	e := math.Ilogb(float64(math.Float32frombits(amax))) - emax
	e = min(max(e, -127), 127)
	return e, byte(e + 127)
}

// MXDequantise writes the values of MX blocks, as MXQuantise lays them out, to dst:
// element times scale, rounded to float32 once. A NaN scale makes its block NaN; a
// NaN is always [FMA32]'s, as in all functions of block scales.
func MXDequantise(f Format, dst []float32, codes, scales []byte, cols int) error {
	if !f.IsMX() {
		return fmt.Errorf("%s is no element format of MX", f)
	}
	if err := checkBlocks(f, codes, len(scales), len(dst), cols, MXBlock); err != nil {
		return err
	}
	next := 0
	for row := 0; row < len(dst); row += cols {
		for c := 0; c < cols; c += MXBlock {
			s := decodeE8M0(uint64(scales[next]))
			next++
			for i := row + c; i < row+c+min(MXBlock, cols-c); i++ {
				v := math.Ldexp(f.Decode(Get(f, codes, i)), -mxUnit(f))
				dst[i] = canonical(float32(v * s))
			}
		}
	}
	return nil
}

// checkBlocks checks the lengths of n elements in rows of cols, with a scale for
// each block of a row.
func checkBlocks(f Format, codes []byte, scales, n, cols, block int) error {
	switch {
	case block <= 0:
		return fmt.Errorf("blocks of %d elements", block)
	case n == 0:
		return nil
	case cols <= 0 || n%cols != 0:
		return fmt.Errorf("%d elements are not rows of %d", n, cols)
	}
	if want := n / cols * ((cols-1)/block + 1); scales != want {
		return fmt.Errorf("expected %d scales for rows of %d in blocks of %d, found %d", want, cols, block, scales)
	}
	if want := need(f, n); int64(len(codes)) != want {
		return fmt.Errorf("expected %d bytes of %s for %d elements, found %d", want, f, n, len(codes))
	}
	return nil
}

// The constants of DeepSeek-V3's FP8 activations (arXiv 2412.19437, section 3.3.2;
// act_quant in the inference code released with the model).
const (
	FP8Group = 128   // elements along the last axis that share a scale
	FP8Floor = 1e-4  // least magnitude a scale is made from
	FP8Max   = 448.0 // largest f8e4m3fn
)

// FP8BlockQuantise writes x, rows of cols elements, in f8e4m3fn: codes receives one
// byte an element, scales one float32 for each group elements of a row (the last
// group of a row may be shorter; [FP8Group] is what DeepSeek uses).
//
// All in float32, each operation rounded to nearest even: amax = max(|x|, 1e-4);
// scale = amax/448; code = f8e4m3fn(x/scale), a division, not a multiplication by
// the reciprocal. x/scale exceeds 448 by a rounding at most, which rounds back. A
// group with a NaN has a NaN scale and NaN codes; one with an infinity has an
// infinite scale and codes of zero, NaN for the infinity itself.
//
// It fails when a slice has the wrong length.
func FP8BlockQuantise(codes []byte, scales []float32, x []float32, cols, group int) error {
	if err := checkBlocks(F8E4M3FN, codes, len(scales), len(x), cols, group); err != nil {
		return err
	}
	var buf [FP8Group]float32
	next := 0
	for row := 0; row < len(x); row += cols {
		for c := 0; c < cols; c += group {
			lo, hi := row+c, row+c+min(group, cols-c)
			scale := fp8Scale(x[lo:hi])
			scales[next] = scale
			next++
			special := scale-scale != 0 // only then can a quotient be NaN
			for lo < hi {
				n := min(hi-lo, len(buf))
				for i, v := range x[lo : lo+n] {
					buf[i] = v / scale
				}
				for i := 0; special && i < n; i++ {
					buf[i] = canonical(buf[i])
				}
				EncodeF32(F8E4M3FN, codes[lo:lo+n], buf[:n], Mode{})
				lo += n
			}
		}
	}
	return nil
}

// fp8Scale returns max(|x|, 1e-4)/448 in float32.
func fp8Scale(block []float32) float32 {
	amax := math.Float32bits(FP8Floor)
	for _, v := range block {
		amax = max(amax, math.Float32bits(v)&f32MagnU)
	}
	return math.Float32frombits(amax) / FP8Max
}

// FP8BlockDequantise is the inverse of FP8BlockQuantise: dst gets code times scale,
// rounded to float32 once.
func FP8BlockDequantise(dst []float32, codes []byte, scales []float32, cols, group int) error {
	if err := checkBlocks(F8E4M3FN, codes, len(scales), len(dst), cols, group); err != nil {
		return err
	}
	next := 0
	for row := 0; row < len(dst); row += cols {
		for c := 0; c < cols; c += group {
			lo, hi := row+c, row+c+min(group, cols-c)
			scaleFP8(dst[lo:hi], codes[lo:hi], scales[next])
			next++
		}
	}
	return nil
}

// fp8Values is the table of f8e4m3fn with one NaN, whose sign a multiplication then
// cannot carry on, on those machines that would.
var fp8Values = sync.OnceValue(func() *[256]float32 {
	t := *table32(F8E4M3FN)
	t[0xFF] = canonical(t[0xFF])
	t[0x7F] = t[0xFF]
	return &t
})

// scaleFP8 writes code times scale to dst, which is as long as codes.
func scaleFP8(dst []float32, codes []byte, scale float32) {
	table := fp8Values()
	dst = dst[:len(codes)]
	for i, p := range codes {
		dst[i] = table[p] * scale
	}
	if scale-scale != 0 {
		for i, v := range dst {
			dst[i] = canonical(v)
		}
	}
}

// canonical returns x, or the positive quiet NaN without payload for any NaN. The
// machines differ in the NaN that an operation makes.
func canonical(x float32) float32 {
	if x != x {
		return math.Float32frombits(f32InfBits | f32QuietU)
	}
	return x
}

// FP8TileDequantise writes weights [rows, cols] whose scales stand for tiles of
// tileRows by tileCols (128 by 128 in DeepSeek's checkpoints, "weight_scale_inv"):
// dst[r][c] = code[r][c] * scale[r/tileRows][c/tileCols], rounded to float32 once.
// Tiles at the far edges may be cut.
func FP8TileDequantise(dst []float32, codes []byte, scales []float32, cols, tileRows, tileCols int) error {
	if cols <= 0 || tileRows <= 0 || tileCols <= 0 {
		return fmt.Errorf("rows of %d elements in tiles of %d by %d", cols, tileRows, tileCols)
	}
	if len(dst) == 0 && len(codes) == 0 && len(scales) == 0 {
		return nil
	}
	rows := len(dst) / cols
	perRow := (cols-1)/tileCols + 1
	want := ((rows-1)/tileRows + 1) * perRow
	if rows == 0 {
		want = 0
	}
	if rows*cols != len(dst) || len(codes) != len(dst) || len(scales) != want {
		return fmt.Errorf("rows of %d in tiles of %d by %d: %d elements, %d codes and %d scales do not fit together",
			cols, tileRows, tileCols, len(dst), len(codes), len(scales))
	}
	for r := range rows {
		line := scales[r/tileRows*perRow:]
		for c := 0; c < cols; c += tileCols {
			lo, hi := r*cols+c, r*cols+c+min(tileCols, cols-c)
			scaleFP8(dst[lo:hi], codes[lo:hi], line[c/tileCols])
		}
	}
	return nil
}
