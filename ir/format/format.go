package format

import "math"

// Format is the number format of one element. The zero value is Invalid.
type Format uint8

// The formats. Their text names are the constants' names in lower case.
const (
	Invalid    Format = iota
	F64               // IEEE 754 binary64
	F32               // IEEE 754 binary32
	TF32              // TensorFloat-32: 8 exponent bits, 10 mantissa bits, stored as an F32
	HF32              // HFloat32 of Ascend: 8 exponent bits, 11 mantissa bits, stored as an F32
	BF16              // bfloat16: the upper half of an F32
	F16               // IEEE 754 binary16
	F8E4M3FN          // OCP FP8 E4M3: no infinity, one NaN a sign
	F8E5M2            // OCP FP8 E5M2: IEEE-like
	F8E4M3FNUZ        // E4M3 with bias 8, one NaN, one zero
	F8E5M2FNUZ        // E5M2 with bias 16, one NaN, one zero
	F8E8M0            // OCP MX scale: powers of two, no sign, no zero
	HIF8              // HiFloat8: tapered precision
	F6E3M2            // OCP MX FP6 E3M2
	F6E2M3            // OCP MX FP6 E2M3
	F4E2M1            // OCP MX FP4 E2M1
	I64
	I32
	I16
	I8
	I4
	I2
	U64
	U32
	U16
	U8
	U4
	U2
	Bool // one byte, 0 or 1; any non-zero byte reads as true

	numFormats
)

// class is how a format's patterns are laid out, which decides the code that
// reads them.
type class uint8

const (
	classNone   class = iota
	classFloat        // sign, exponent, mantissa: described by layout
	classScale        // F8E8M0
	classTaper        // HIF8
	classSigned       // two's complement
	classUnsigned
	classBool
)

// nanKind is where the NaN patterns of a classFloat format are.
type nanKind uint8

const (
	nanNone    nanKind = iota
	nanIEEE            // all-ones exponent, non-zero mantissa; zero mantissa is infinity
	nanAllOnes         // magnitude bits all ones; no infinity
	nanNegZero         // the pattern of negative zero; no infinity, no negative zero
)

// layout describes a format. For classFloat, a pattern is sign, exp bits of
// biased exponent, man bits of mantissa, then pad bits that are always written
// as zero and ignored on reading.
type layout struct {
	name   string
	class  class
	bits   int
	exp    int
	man    int
	pad    int
	bias   int
	nan    nanKind
	maxMag uint64 // classFloat: largest finite magnitude, without padding
	doc    string
}

var layouts = [numFormats]layout{
	Invalid:    {name: "invalid"},
	F64:        {"f64", classFloat, 64, 11, 52, 0, 1023, nanIEEE, 0x7FEFFFFFFFFFFFFF, "IEEE 754-2019 binary64."},
	F32:        {"f32", classFloat, 32, 8, 23, 0, 127, nanIEEE, 0x7F7FFFFF, "IEEE 754-2019 binary32."},
	TF32:       {"tf32", classFloat, 32, 8, 10, 13, 127, nanIEEE, 0x7F7FFFFF >> 13, "TensorFloat-32, stored in 32 bits of which the low 13 are zero. Source: NVIDIA, A100 Tensor Core GPU Architecture white paper, V1.0, 2020, \"TF32\"."},
	HF32:       {"hf32", classFloat, 32, 8, 11, 12, 127, nanIEEE, 0x7F7FFFFF >> 12, "HFloat32, stored in 32 bits of which the low 12 are zero; float32 becomes hf32 by rounding to nearest even. Source: Huawei, CANN 8.0 ATC manual, --allow_hf32 (the range of float32, 11 mantissa bits), and Ascend C API, SetHF32TransMode."},
	BF16:       {"bf16", classFloat, 16, 8, 7, 0, 127, nanIEEE, 0x7F7F, "bfloat16, the upper half of a binary32. Source: Google, \"BFloat16: the secret to high performance on Cloud TPUs\", 2019."},
	F16:        {"f16", classFloat, 16, 5, 10, 0, 15, nanIEEE, 0x7BFF, "IEEE 754-2019 binary16."},
	F8E4M3FN:   {"f8e4m3fn", classFloat, 8, 4, 3, 0, 7, nanAllOnes, 0x7E, "Source: OCP 8-bit Floating Point Specification (OFP8) 1.0, 2023, table 1."},
	F8E5M2:     {"f8e5m2", classFloat, 8, 5, 2, 0, 15, nanIEEE, 0x7B, "Source: OCP 8-bit Floating Point Specification (OFP8) 1.0, 2023, table 1."},
	F8E4M3FNUZ: {"f8e4m3fnuz", classFloat, 8, 4, 3, 0, 8, nanNegZero, 0x7F, "Source: Noune et al., 8-bit Numerical Formats for Deep Neural Networks, arXiv 2206.02915."},
	F8E5M2FNUZ: {"f8e5m2fnuz", classFloat, 8, 5, 2, 0, 16, nanNegZero, 0x7F, "Source: Noune et al., 8-bit Numerical Formats for Deep Neural Networks, arXiv 2206.02915."},
	F8E8M0:     {"f8e8m0", classScale, 8, 8, 0, 0, 127, nanNone, 0xFE, "Source: OCP Microscaling Formats (MX) Specification 1.0, 2023, section 5.4."},
	HIF8:       {"hif8", classTaper, 8, 4, 3, 0, 0, nanNone, 0, "Source: Luo et al., Ascend HiFloat8 Format for Deep Learning, arXiv 2409.16626."},
	F6E3M2:     {"f6e3m2", classFloat, 6, 3, 2, 0, 3, nanNone, 0x1F, "Source: OCP Microscaling Formats (MX) Specification 1.0, 2023, section 5.3."},
	F6E2M3:     {"f6e2m3", classFloat, 6, 2, 3, 0, 1, nanNone, 0x1F, "Source: OCP Microscaling Formats (MX) Specification 1.0, 2023, section 5.3."},
	F4E2M1:     {"f4e2m1", classFloat, 4, 2, 1, 0, 1, nanNone, 0x7, "Source: OCP Microscaling Formats (MX) Specification 1.0, 2023, section 5.3."},
	I64:        {name: "i64", class: classSigned, bits: 64, doc: "Two's complement."},
	I32:        {name: "i32", class: classSigned, bits: 32, doc: "Two's complement."},
	I16:        {name: "i16", class: classSigned, bits: 16, doc: "Two's complement."},
	I8:         {name: "i8", class: classSigned, bits: 8, doc: "Two's complement."},
	I4:         {name: "i4", class: classSigned, bits: 4, doc: "Two's complement, two a byte."},
	I2:         {name: "i2", class: classSigned, bits: 2, doc: "Two's complement, four a byte."},
	U64:        {name: "u64", class: classUnsigned, bits: 64, doc: "Unsigned."},
	U32:        {name: "u32", class: classUnsigned, bits: 32, doc: "Unsigned."},
	U16:        {name: "u16", class: classUnsigned, bits: 16, doc: "Unsigned."},
	U8:         {name: "u8", class: classUnsigned, bits: 8, doc: "Unsigned."},
	U4:         {name: "u4", class: classUnsigned, bits: 4, doc: "Unsigned, two a byte."},
	U2:         {name: "u2", class: classUnsigned, bits: 2, doc: "Unsigned, four a byte."},
	Bool:       {name: "bool", class: classBool, bits: 8, doc: "One byte: 0 is false, anything else true; written as 0 or 1."},
}

func (f Format) layout() *layout {
	if f >= numFormats {
		return &layouts[Invalid]
	}
	return &layouts[f]
}

var byName = func() map[string]Format {
	m := make(map[string]Format, numFormats)
	for f := F64; f < numFormats; f++ {
		m[layouts[f].name] = f
	}
	return m
}()

// Parse returns the format with the given text name, such as "bf16".
func Parse(name string) (Format, bool) {
	f, ok := byName[name]
	return f, ok
}

// All returns every valid format in the order of the constants.
func All() []Format {
	fs := make([]Format, 0, numFormats-1)
	for f := F64; f < numFormats; f++ {
		fs = append(fs, f)
	}
	return fs
}

// String returns the text name, "invalid" for what is no format.
func (f Format) String() string { return f.layout().name }

// Valid reports whether f is one of the formats.
func (f Format) Valid() bool { return f > Invalid && f < numFormats }

// Bits returns how many bits an element is stored in: 32 for tf32 and hf32, 8
// for bool, 0 for Invalid.
func (f Format) Bits() int { return f.layout().bits }

// IsFloat reports whether f is a floating-point format, the scale format f8e8m0
// and hif8 included.
func (f Format) IsFloat() bool { return f >= F64 && f <= F4E2M1 }

// IsInt reports whether f is an integer format. Bool is not.
func (f Format) IsInt() bool { return f >= I64 && f <= U2 }

// IsSigned reports whether f has negative values.
func (f Format) IsSigned() bool {
	return f >= F64 && f <= I2 && f != F8E8M0
}

// NumBytes returns the bytes that n densely packed elements of f take: n*Bits()/8
// rounded up. It is false when f is invalid, n negative or the product too big
// for an int64.
func NumBytes(f Format, n int64) (int64, bool) {
	bits := int64(f.Bits())
	if bits == 0 || n < 0 {
		return 0, false
	}
	if bits >= 8 {
		size := bits / 8
		if n > math.MaxInt64/size {
			return 0, false
		}
		return n * size, true
	}
	whole, rest := n/8, n%8
	if whole > (math.MaxInt64-bits)/bits {
		return 0, false
	}
	return whole*bits + (rest*bits+7)/8, true
}

// Info is what there is to know about a format's numbers. For integers only
// MaxFinite (as a float64, rounded) and Doc are set.
type Info struct {
	ExpBits  int // exponent bits; for hif8 the most it has
	ManBits  int // mantissa bits, without the implied one; for hif8 the most it has
	Bias     int // exponent bias; 0 for hif8, whose exponent has a sign of its own
	HasInf   bool
	HasNaN   bool
	HasZero  bool // false for f8e8m0 alone
	Signed   bool
	HasMinus bool // has a negative zero
	// MaxFinite is the largest finite value, MinNormal the smallest positive one
	// with full precision, MinSubnormal the smallest positive one of all (equal
	// to MinNormal where there are no subnormals).
	MaxFinite, MinNormal, MinSubnormal float64
	Doc                                string // what it is, with the source
}

// Info describes f. For Invalid everything is zero.
func (f Format) Info() Info {
	l := f.layout()
	in := Info{Signed: f.IsSigned(), HasZero: f.Valid(), Doc: l.doc}
	switch l.class {
	case classFloat:
		in.ExpBits, in.ManBits, in.Bias = l.exp, l.man, l.bias
		in.HasInf, in.HasNaN = l.nan == nanIEEE, l.nan != nanNone
		in.HasMinus = l.nan != nanNegZero
		in.MaxFinite = f.Decode(l.maxMag << l.pad)
		in.MinNormal = f.Decode(uint64(1) << (l.man + l.pad))
		in.MinSubnormal = f.Decode(uint64(1) << l.pad)
	case classScale:
		in.ExpBits, in.ManBits, in.Bias = l.exp, l.man, l.bias
		in.HasNaN, in.HasZero = true, false
		in.MaxFinite, in.MinNormal = math.Ldexp(1, 127), math.Ldexp(1, -127)
		in.MinSubnormal = in.MinNormal
	case classTaper:
		in.ExpBits, in.ManBits = l.exp, l.man
		in.HasInf, in.HasNaN = true, true
		in.MaxFinite, in.MinNormal, in.MinSubnormal = hif8Max, hif8MinNormal, hif8MinSubnormal
	case classSigned, classUnsigned:
		in.MaxFinite = float64(f.MaxUint())
	case classBool:
		in.MaxFinite = 1
	}
	return in
}
