package tensor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"testing"

	"apogee/ir/format"
)

func must(t testing.TB) func(x *Tensor, err error) *Tensor {
	return func(x *Tensor, err error) *Tensor {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
}

func TestScalarsAndEmpties(t *testing.T) {
	for _, c := range []struct {
		shape []int64
		n     int64
	}{{nil, 1}, {[]int64{}, 1}, {[]int64{0}, 0}, {[]int64{3, 0, 5}, 0}, {[]int64{1, 1}, 1}, {[]int64{math.MaxInt64, math.MaxInt64, 0}, 0}} {
		for _, f := range format.All() {
			x := must(t)(New(f, c.shape))
			if x.Numel() != c.n {
				t.Errorf("%s has %d elements, want %d", x, x.Numel(), c.n)
			}
			v, err := x.F64s()
			if err != nil || int64(len(v)) != c.n {
				t.Errorf("%s: %v, %v", x, v, err)
			}
			y := must(t)(New(f, c.shape))
			if same, err := x.Equal(y); !same || err != nil {
				t.Errorf("%s is not equal to its like: %v", x, err)
			}
			if _, err := x.Hash(); err != nil {
				t.Error(err)
			}
		}
	}
	s := must(t)(FromF64(format.F32, nil, []float64{2.5}))
	if got := s.String(); got != "f32[]" {
		t.Errorf("a scalar prints as %s", got)
	}
	if _, err := s.Slice(0, 0); err == nil {
		t.Error("a scalar can be sliced")
	}
	r := must(t)(s.Reshape([]int64{1, 1, 1}))
	if v, _ := r.F64s(); v[0] != 2.5 {
		t.Errorf("reshaped scalar is %v", v)
	}
	e := must(t)(New(format.F32, []int64{0, 3}))
	if x := must(t)(e.Slice(0, 0)); x.Numel() != 0 {
		t.Error("slice of an empty tensor")
	}
}

func TestRefused(t *testing.T) {
	two := must(t)(FromF64(format.F32, []int64{2}, []float64{1, 2}))
	cases := map[string]func() (*Tensor, error){
		"format":    func() (*Tensor, error) { return New(format.Invalid, nil) },
		"negative":  func() (*Tensor, error) { return New(format.F32, []int64{2, -1}) },
		"negative0": func() (*Tensor, error) { return New(format.F32, []int64{0, -1}) },
		"elements":  func() (*Tensor, error) { return New(format.I4, []int64{1 << 32, 1 << 32}) },
		"bytes":     func() (*Tensor, error) { return New(format.F64, []int64{1 << 61}) },
		"short":     func() (*Tensor, error) { return FromBytes(format.F32, []int64{2}, make([]byte, 7)) },
		"long":      func() (*Tensor, error) { return FromBytes(format.F32, []int64{2}, make([]byte, 9)) },
		"values":    func() (*Tensor, error) { return FromF64(format.F32, []int64{2}, []float64{1}) },
		"ints":      func() (*Tensor, error) { return FromI64(format.I8, []int64{2}, []int64{1, 2, 3}) },
		"offset":    func() (*Tensor, error) { return FromReader(format.F32, []int64{2}, nil, -1) },
		"offset+":   func() (*Tensor, error) { return FromReader(format.F32, []int64{2}, nil, math.MaxInt64-7) },
		"reshape":   func() (*Tensor, error) { return two.Reshape([]int64{3}) },
		"slice":     func() (*Tensor, error) { return two.Slice(1, 3) },
		"slice<":    func() (*Tensor, error) { return two.Slice(-1, 1) },
		"slice>":    func() (*Tensor, error) { return two.Slice(2, 1) },
	}
	for name, f := range cases {
		if x, err := f(); err == nil {
			t.Errorf("%s: made %s", name, x)
		}
	}
	for _, r := range [][2]int64{{-1, 1}, {0, 9}, {8, 1}, {math.MaxInt64, 1}, {1, math.MaxInt64}, {0, -1}} {
		if _, err := two.ReadRange(r[0], r[1]); err == nil {
			t.Errorf("range %v can be read", r)
		}
	}
	if b, err := two.ReadRange(8, 0); err != nil || len(b) != 0 {
		t.Errorf("the empty range at the end: %v", err)
	}
	if _, err := two.I64s(); err == nil {
		t.Error("floats come as integers")
	}
	if _, err := must(t)(FromI64(format.U64, nil, []int64{-1})).I64s(); err == nil {
		t.Error("2^64-1 comes as an int64")
	}
}

// source counts what is read; View makes it a Viewer.
type source struct {
	*bytes.Reader
	reads int
	bytes int
}

func (s *source) ReadAt(p []byte, off int64) (int, error) {
	s.reads++
	s.bytes += len(p)
	return s.Reader.ReadAt(p, off)
}

type viewer struct {
	source
	data []byte
}

func (v *viewer) View(off, n int64) ([]byte, error) {
	if off+n > int64(len(v.data)) {
		return nil, io.ErrUnexpectedEOF
	}
	return v.data[off : off+n], nil
}

func TestLazy(t *testing.T) {
	data := make([]byte, 4+4*6)
	format.EncodeF32(format.F32, data[4:], []float32{0, 1, 2, 3, 4, 5}, format.Mode{})
	src := &source{Reader: bytes.NewReader(data)}
	x := must(t)(FromReader(format.F32, []int64{3, 2}, src, 4, Named("model.bin")))
	if src.reads != 0 || !x.Lazy() {
		t.Errorf("%d reads before anything was asked for", src.reads)
	}
	row := must(t)(x.Slice(1, 2))
	if v, err := row.F64s(); err != nil || !slices.Equal(v, []float64{2, 3}) {
		t.Errorf("row 1 is %v, %v", v, err)
	}
	if src.bytes > 9 {
		t.Errorf("%d bytes were read for a row of 8", src.bytes)
	}
	part := must(t)(must(t)(row.Reshape([]int64{2})).Slice(1, 2))
	if v, err := part.F32s(); err != nil || v[0] != 3 {
		t.Errorf("its second element is %v, %v", v, err)
	}
	mem := must(t)(x.Load())
	if mem.Lazy() || must(t)(mem.Load()) != mem {
		t.Error("loaded, it is still lazy")
	}
	if same, err := mem.Equal(x); !same || err != nil {
		t.Errorf("loaded, it differs: %v", err)
	}
	a, _ := mem.Hash()
	if b, _ := x.Hash(); a != b {
		t.Error("loaded, its hash differs")
	}

	v := &viewer{source{Reader: bytes.NewReader(data)}, data}
	y := must(t)(FromReader(format.F32, []int64{3, 2}, v, 4))
	b, err := y.Bytes()
	if err != nil || &b[0] != &data[4] || v.reads != 0 {
		t.Errorf("a viewer's bytes are copied: %d reads, %v", v.reads, err)
	}
	if _, err := must(t)(FromReader(format.F32, []int64{3, 3}, v, 4)).Bytes(); err == nil {
		t.Error("a view beyond the end is no error")
	}
}

// TestShortSource: a source that lacks the bytes is found before memory is taken
// for them.
func TestShortSource(t *testing.T) {
	x := must(t)(FromReader(format.F32, []int64{1 << 40}, bytes.NewReader(make([]byte, 100)), 0, Named("model.bin")))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := x.Bytes()
	runtime.ReadMemStats(&after)
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "model.bin") || !strings.Contains(err.Error(), "f32[1099511627776]") {
		t.Errorf("error %v", err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("%d bytes were allocated", got)
	}
	for name, err := range map[string]error{
		"F64s": second(x.F64s()), "F32s": second(x.F32s()), "Hash": second(x.Hash()), "Load": second(x.Load()),
		"Equal": second(x.Equal(x)), "slice": second(must(t)(x.Slice(1<<30, 1<<31)).Bytes()),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestSliceIsAView(t *testing.T) {
	for _, f := range format.All() {
		vals := make([]int64, 7*3)
		for i := range vals {
			vals[i] = f.SaturateInt(int64(i % 5))
			if f.IsFloat() {
				vals[i] = int64(i%3) + 1
			}
		}
		x := must(t)(FromI64(f, []int64{7, 3}, vals))
		all, _ := x.F64s()
		for lo := int64(0); lo <= 7; lo++ {
			for hi := lo; hi <= 7; hi++ {
				s := must(t)(x.Slice(lo, hi))
				got, err := s.F64s()
				if err != nil || !slices.Equal(got, all[lo*3:hi*3]) || !slices.Equal(s.Shape, []int64{hi - lo, 3}) {
					t.Fatalf("%s[%d:%d] is %v %v, want %v; %v", x, lo, hi, s, got, all[lo*3:hi*3], err)
				}
			}
		}
		if f.Bits() >= 8 {
			xb, _ := x.Bytes()
			sb, _ := must(t)(x.Slice(2, 4)).Bytes()
			if &sb[0] != &xb[2*3*f.Bits()/8] {
				t.Errorf("%s: a slice is copied", f)
			}
		}
	}
}

func TestValues(t *testing.T) {
	x := must(t)(FromF64(format.BF16, []int64{3}, []float64{1 + 1.0/256 + 1e-12, -2, math.Inf(1)}))
	if v, _ := x.F64s(); v[0] != 1+1.0/128 || v[1] != -2 || !math.IsInf(v[2], 1) {
		t.Errorf("bf16 values %v: not rounded once", v)
	}
	if v, _ := x.F32s(); v[1] != -2 {
		t.Errorf("as float32 %v", v)
	}
	y := must(t)(FromF32(format.F16, []int64{2}, []float32{1.0001, 70000}))
	if v, _ := y.F64s(); v[0] != 1 || !math.IsInf(v[1], 1) {
		t.Errorf("f16 values %v", v)
	}
	z := must(t)(FromI64(format.I4, []int64{3}, []int64{7, -8, 9}))
	if v, _ := z.I64s(); !slices.Equal(v, []int64{7, -8, -7}) {
		t.Errorf("i4 values %v", v)
	}
	if b, _ := z.Bytes(); !bytes.Equal(b, []byte{0x87, 0x09}) {
		t.Errorf("i4 bytes %x", b)
	}
	b := must(t)(FromI64(format.Bool, []int64{2}, []int64{0, 5}))
	if v, _ := b.I64s(); !slices.Equal(v, []int64{0, 1}) {
		t.Errorf("bool values %v", v)
	}
}

// TestFromI64RoundsOnce: wide integers go to floats in one rounding.
func TestFromI64RoundsOnce(t *testing.T) {
	ints := []int64{0, 1, -1, 1<<53 + 1, -(1<<53 + 1), math.MaxInt64, math.MinInt64, math.MinInt64 + 1, 1<<62 + 1, 1<<62 + 1<<54 + 1, 1<<62 + 1<<38 + 1,
		-(1<<62 + 1<<54 + 1), -(1<<62 + 1<<38 + 1), 1<<62 + 1<<38 - 1, 1<<62 + 3<<54 - 1}
	for f, prec := range map[format.Format]uint{format.F64: 53, format.F32: 24, format.BF16: 8, format.TF32: 11} {
		x := must(t)(FromI64(f, []int64{int64(len(ints))}, ints))
		got, _ := x.F64s()
		for i, v := range ints {
			want, _ := new(big.Float).SetPrec(prec).SetMode(big.ToNearestEven).SetInt64(v).Float64()
			if got[i] != want {
				t.Errorf("%s of %d is %v, want %v", f, v, got[i], want)
			}
		}
	}
}

func TestEqualAndHash(t *testing.T) {
	base := must(t)(FromI64(format.U4, []int64{3}, []int64{1, 2, 3}))
	h := func(x *Tensor) [32]byte {
		v, err := x.Hash()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	padded := must(t)(FromBytes(format.U4, []int64{3}, []byte{0x21, 0xF3}))
	if same, _ := base.Equal(padded); !same || h(base) != h(padded) {
		t.Error("bits beyond the last element count")
	}
	if b, _ := padded.Bytes(); b[1] != 0xF3 {
		t.Error("Hash changed the bytes")
	}
	for name, x := range map[string]*Tensor{
		"value":  must(t)(FromI64(format.U4, []int64{3}, []int64{1, 2, 4})),
		"first":  must(t)(FromI64(format.U4, []int64{3}, []int64{0, 2, 3})),
		"format": must(t)(FromI64(format.I4, []int64{3}, []int64{1, 2, 3})),
		"shape":  must(t)(base.Reshape([]int64{1, 3})),
	} {
		if same, err := base.Equal(x); same || err != nil || h(base) == h(x) {
			t.Errorf("another %s makes no difference; %v", name, err)
		}
	}
	big1 := must(t)(New(format.U8, []int64{3 << 20}))
	big2 := must(t)(New(format.U8, []int64{3 << 20}))
	b, _ := big2.Bytes()
	for _, at := range []int{0, 1 << 20, 1<<20 - 1, 2<<20 + 5, 3<<20 - 1} {
		b[at] = 1
		if same, _ := big1.Equal(big2); same || h(big1) == h(big2) {
			t.Errorf("a difference at byte %d is not seen", at)
		}
		b[at] = 0
	}
	if same, _ := big1.Equal(big2); !same || h(big1) != h(big2) {
		t.Error("equal tensors differ")
	}
}

func TestCompare(t *testing.T) {
	f := func(vs ...float64) *Tensor { return must(t)(FromF64(format.F64, []int64{int64(len(vs))}, vs)) }
	nan, inf := math.NaN(), math.Inf(1)
	a := must(t)(f(1, 2, 3, 4, 5, 6).Reshape([]int64{2, 3}))
	b := must(t)(f(1, 2, 3.5, 4, 7, 6.0001).Reshape([]int64{2, 3}))
	d, err := Compare(a, b, 0, 1e-3)
	if err != nil {
		t.Fatal(err)
	}
	if d.Far != 2 || d.Worst != 4 || !slices.Equal(d.Index, []int64{1, 1}) || d.A != 5 || d.B != 7 || d.Abs != 2 || d.Rel != 2.0/7 || d.MaxAbs != 2 {
		t.Errorf("%+v", d)
	}
	if want := math.Sqrt((0.25 + 4 + 1e-8) / 6); math.Abs(d.RMS-want) > 1e-6 {
		t.Errorf("rms %v, want %v", d.RMS, want)
	}
	err = AllClose(a, b, 0, 1e-3)
	if err == nil || !strings.Contains(err.Error(), "2 of 6") || !strings.Contains(err.Error(), "[1,1]") || !strings.Contains(err.Error(), "5 against 7") {
		t.Errorf("error %v", err)
	}
	for _, c := range []struct {
		a, b       *Tensor
		rtol, atol float64
		close      bool
	}{
		{f(1), f(1), 0, 0, true}, {f(1), f(1.1), 0, 0.1001, true}, {f(1), f(1.1), 0, 0.09, false}, {f(100), f(101), 0.01, 0, true},
		{f(nan), f(nan), 0, 0, true}, {f(nan), f(1), 1, 1, false}, {f(1), f(nan), 1, 1, false}, {f(inf), f(inf), 0, 0, true},
		{f(inf), f(-inf), 1, 1, false}, {f(inf), f(1), 1, 1, false}, {f(1), f(inf), 1, 1, false}, {f(), f(), 0, 0, true}, {f(0), f(math.Copysign(0, -1)), 0, 0, true},
		{f(1e308), f(-1e308), 0, 1, false},
	} {
		if err := AllClose(c.a, c.b, c.rtol, c.atol); (err == nil) != c.close {
			x, _ := c.a.F64s()
			y, _ := c.b.F64s()
			t.Errorf("%v and %v, rtol %v, atol %v: %v", x, y, c.rtol, c.atol, err)
		}
	}
	if err := AllClose(f(1), f(1, 2), 1, 1); err == nil {
		t.Error("shapes differ without an error")
	}
	if s := (Difference{Worst: -1}).String(); s != "no elements" {
		t.Errorf("an empty difference prints as %q", s)
	}
}

func TestIndex(t *testing.T) {
	dims := []int64{2, 3, 4}
	for i := range int64(24) {
		ix := Index(dims, i)
		if got := ix[0]*12 + ix[1]*4 + ix[2]; got != i {
			t.Errorf("element %d has index %v", i, ix)
		}
	}
	if len(Index(nil, 0)) != 0 {
		t.Error("a scalar has an index")
	}
}

func BenchmarkHash(b *testing.B) {
	for _, n := range []int64{1 << 10, 1 << 22} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			x := must(b)(New(format.U8, []int64{n}))
			b.SetBytes(n)
			for b.Loop() {
				if _, err := x.Hash(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
