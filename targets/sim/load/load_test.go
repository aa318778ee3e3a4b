package load

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand"
	"strings"
	"testing"
	"unsafe"

	"apogee/ir/format"
	"apogee/ir/tensor"
	"apogee/targets/plan"
)

type weights map[string]*tensor.Tensor

func (w weights) Tensor(name string) (*tensor.Tensor, error) {
	if t := w[name]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("no tensor %q", name)
}

func random(t testing.TB, r *rand.Rand, f format.Format, shape ...int64) *tensor.Tensor {
	t.Helper()
	n, _, err := tensor.Count(f, shape)
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float64, n)
	for i := range x {
		x[i] = r.NormFloat64() * 3
		if f == format.F8E8M0 {
			x[i] = math.Ldexp(1, r.Intn(9)-4)
		}
	}
	out, err := tensor.FromF64(f, shape, x)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func buffer(f format.Format, shape []int64, s plan.Source) *plan.Buffer {
	_, size, _ := tensor.Count(f, shape)
	return &plan.Buffer{Name: "w", Kind: plan.Weight, Format: f, Shape: shape, Size: size, Source: &s}
}

func values(t *testing.T, f format.Format, b []byte, n int64) []float64 {
	t.Helper()
	out := make([]float64, n)
	format.DecodeF64(f, out, b)
	return out
}

// TestLoad loads every kind of source and compares with the plain meaning: value times its block's scale in float32, rounded once.
func TestLoad(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for _, c := range []struct {
		name   string
		to     format.Format
		stored format.Format
		shape  []int64 // of one tensor
		stack  int64
		scale  format.Format
		block  []int64
	}{
		{"as it is", format.F32, format.F32, []int64{3, 5}, 0, 0, nil},
		{"cast", format.BF16, format.F32, []int64{3, 5000}, 0, 0, nil},
		{"widen", format.F32, format.BF16, []int64{7}, 0, 0, nil},
		{"f16 to bf16", format.BF16, format.F16, []int64{9, 9}, 0, 0, nil},
		{"f64 to f32", format.F32, format.F64, []int64{9, 9}, 0, 0, nil},
		{"stack", format.F32, format.F32, []int64{4, 6}, 5, 0, nil},
		{"stack and cast", format.F16, format.BF16, []int64{4, 6}, 5, 0, nil},
		{"scaled", format.BF16, format.F8E4M3FN, []int64{256, 384}, 0, format.F32, []int64{128, 128}},
		{"scaled, ragged", format.F32, format.F8E4M3FN, []int64{130, 200}, 0, format.F32, []int64{128, 128}},
		{"scaled by powers of two, stacked", format.F32, format.F8E4M3FN, []int64{65, 33}, 3, format.F8E8M0, []int64{64, 32}},
		{"scaled rows", format.F16, format.F8E5M2, []int64{4, 70}, 0, format.BF16, []int64{32}},
		{"scaled integers", format.F32, format.I8, []int64{6, 10}, 0, format.F32, []int64{1, 10}},
		{"three axes", format.F32, format.F8E4M3FN, []int64{3, 5, 7}, 0, format.F32, []int64{2, 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			count := max(c.stack, 1)
			w := weights{}
			src := plan.Source{Name: "m.w", Stored: c.stored, Shape: c.shape, Stack: c.stack, Block: c.block}
			shape := c.shape
			if c.stack > 0 {
				src.Name = "m.{}.w"
				shape = append([]int64{c.stack}, c.shape...)
			}
			if c.scale != 0 {
				src.Scale = src.Name + "_scale"
			}
			var want []float64
			for i := range count {
				name := strings.ReplaceAll(src.Name, "{}", fmt.Sprint(i))
				x := random(t, r, c.stored, c.shape...)
				w[name] = x
				xs, _ := x.F64s()
				var scales []float64
				ss := scaleShape(c.shape, c.block)
				if c.scale != 0 {
					s := random(t, r, c.scale, ss...)
					w[name+"_scale"] = s
					scales, _ = s.F64s()
				}
				for k, v := range xs {
					if c.scale != 0 {
						idx := tensor.Index(c.shape, int64(k))
						at := int64(0)
						for a, j := range idx {
							if b := a - (len(idx) - len(c.block)); b >= 0 {
								j /= c.block[b]
							}
							at = at*ss[a] + j
						}
						v = float64(float32(v) * float32(scales[at]))
					}
					want = append(want, c.to.Round(v))
				}
			}
			b := buffer(c.to, shape, src)
			got, err := Buffer(context.Background(), b, w, Options{})
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range values(t, c.to, got, int64(len(want))) {
				if v != want[i] && !(v != v && want[i] != want[i]) {
					t.Fatalf("element %d is %v, want %v", i, v, want[i])
				}
			}
		})
	}
}

// viewer is a mapped file.
type viewer struct{ data []byte }

func (v viewer) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(v.data).ReadAt(p, off)
}
func (v viewer) View(off, n int64) ([]byte, error) {
	return v.data[off : off+n : off+n], nil
}

// TestAlias asserts that a weight stored as it is needed is not copied, unless it is not aligned.
func TestAlias(t *testing.T) {
	file := make([]byte, 1<<12)
	for i := range file {
		file[i] = byte(i)
	}
	at := -int64(uintptr(unsafe.Pointer(unsafe.SliceData(file)))) & 15
	for _, c := range []struct {
		off  int64
		same bool
	}{{at, true}, {at + 4, true}, {at + 2, false}} {
		x, err := tensor.FromReader(format.F32, []int64{10, 10}, viewer{file}, c.off)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Buffer(context.Background(), buffer(format.F32, []int64{10, 10}, plan.Source{Name: "w", Stored: format.F32, Shape: []int64{10, 10}}), weights{"w": x}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if same := unsafe.SliceData(got) == unsafe.SliceData(file[c.off:]); same != c.same || !bytes.Equal(got, file[c.off:c.off+400]) {
			t.Errorf("offset %d: aliased %v", c.off-at, same)
		}
		if uintptr(unsafe.Pointer(unsafe.SliceData(got)))%4 != 0 {
			t.Errorf("offset %d: not aligned", c.off-at)
		}
	}
	// Parts of one allocation that lie one after the other are one stack already.
	whole := make([]float32, 40)
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&whole[0])), 160)
	w := weights{}
	for i := range int64(4) {
		w[fmt.Sprint(i)], _ = tensor.FromReader(format.F32, []int64{10}, full{raw}, i*40)
	}
	got, err := Buffer(context.Background(), buffer(format.F32, []int64{4, 10}, plan.Source{Name: "{}", Stack: 4, Stored: format.F32, Shape: []int64{10}}), w, Options{})
	if err != nil || unsafe.SliceData(got) != unsafe.SliceData(raw) {
		t.Errorf("a stack that lies in one piece is copied: %v", err)
	}
}

// full is a viewer whose slices keep their capacity.
type full struct{ data []byte }

func (v full) ReadAt(p []byte, off int64) (int, error) { return bytes.NewReader(v.data).ReadAt(p, off) }
func (v full) View(off, n int64) ([]byte, error)       { return v.data[off : off+n], nil }

func TestErrors(t *testing.T) {
	r := rand.New(rand.NewSource(2))
	f32 := random(t, r, format.F32, 4, 4)
	ok := plan.Source{Name: "w", Stored: format.F32, Shape: []int64{4, 4}}
	for _, c := range []struct {
		name string
		edit func(b *plan.Buffer)
		w    Weights
		want string
	}{
		{"no source", func(b *plan.Buffer) { b.Source = nil }, weights{}, "does not say which tensor"},
		{"no weights", func(b *plan.Buffer) {}, nil, "without weights"},
		{"missing", func(b *plan.Buffer) {}, weights{}, `no tensor "w"`},
		{"shape", func(b *plan.Buffer) {}, weights{"w": random(t, r, format.F32, 4, 5)}, "expected f32[4,4], found f32[4,5]"},
		{"format", func(b *plan.Buffer) {}, weights{"w": random(t, r, format.F16, 4, 4)}, "expected f32[4,4], found f16[4,4]"},
		{"size", func(b *plan.Buffer) { b.Size++ }, weights{"w": f32}, "size does not fit"},
		{"elements", func(b *plan.Buffer) { b.Source.Shape = []int64{4, 3} }, weights{"w": f32}, "does not fill"},
		{"negative", func(b *plan.Buffer) { b.Source.Shape = []int64{4, -3} }, weights{"w": f32}, "negative"},
		{"overflow", func(b *plan.Buffer) { b.Source.Stack = 1 << 62; b.Source.Name = "{}" }, weights{"w": f32}, "does not fill"},
		{"no number", func(b *plan.Buffer) { b.Source.Stack = 1 }, weights{"w": f32}, "no {} for their number"},
		{"float to int", func(b *plan.Buffer) { b.Format = format.I32 }, weights{"w": f32}, "cannot be loaded as i32"},
		{"block", func(b *plan.Buffer) { b.Source.Scale = "s"; b.Source.Block = []int64{0, 4} }, weights{"w": f32}, "do not fit"},
		{"scale missing", func(b *plan.Buffer) { b.Source.Scale = "s"; b.Source.Block = []int64{4, 4} }, weights{"w": f32}, `no tensor "s"`},
		{"scale shape", func(b *plan.Buffer) { b.Source.Scale = "s"; b.Source.Block = []int64{4, 4} }, weights{"w": f32, "s": random(t, r, format.F32, 2, 1)}, "expected a float format [1,1], found f32[2,1]"},
		{"hash", func(b *plan.Buffer) { b.Source.Hash = "00" }, weights{"w": f32}, "not those that the plan was compiled with"},
		{"short file", func(b *plan.Buffer) {}, weights{"w": short(t)}, "reading"},
	} {
		src := ok
		b := buffer(format.F32, []int64{4, 4}, src)
		c.edit(b)
		_, err := Buffer(context.Background(), b, c.w, Options{VerifyHash: true})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "weight w") {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.want)
		}
	}
	data, _ := f32.Bytes()
	sum := sha256.Sum256(data)
	b := buffer(format.F32, []int64{4, 4}, ok)
	b.Source.Hash = hex.EncodeToString(sum[:])
	if _, err := Buffer(context.Background(), b, weights{"w": f32}, Options{VerifyHash: true}); err != nil {
		t.Errorf("the right hash: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Buffer(ctx, b, weights{"w": f32}, Options{}); err != context.Canceled {
		t.Errorf("cancelled: %v", err)
	}
}

func short(t *testing.T) *tensor.Tensor {
	x, err := tensor.FromReader(format.F32, []int64{4, 4}, bytes.NewReader(make([]byte, 10)), 0)
	if err != nil {
		t.Fatal(err)
	}
	return x
}
