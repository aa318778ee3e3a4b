package load

import (
	"bytes"
	"context"
	"math"
	"math/rand"
	"testing"

	"apogee/ir/format"
	"apogee/ir/tensor"
	"apogee/targets/plan"
)

// Rows are quantised as the op quantize does with one block a row: the largest magnitude gets the largest code, and codes times their
// row's scale are within half a step of the weight.
func TestQuantise(t *testing.T) {
	r := rand.New(rand.NewSource(4))
	for _, stored := range []format.Format{format.F32, format.BF16, format.F8E4M3FN} {
		src := plan.Source{Name: "w.{}", Stack: 2, Stored: stored, Shape: []int64{6, 130}, Quantise: format.I8}
		w := weights{"w.0": random(t, r, stored, 6, 130), "w.1": random(t, r, stored, 6, 130)}
		if stored == format.F8E4M3FN {
			src.Scale, src.Block = "s.{}", []int64{4, 128}
			w["s.0"], w["s.1"] = random(t, r, format.F32, 2, 2), random(t, r, format.F32, 2, 2)
		}
		plain := src
		plain.Quantise = format.Invalid
		load := func(f format.Format, shape []int64, s plan.Source) []float64 {
			b, err := Buffer(context.Background(), buffer(f, shape, s), w, Options{})
			if err != nil {
				t.Fatal(err)
			}
			x, err := tensor.FromBytes(f, shape, b)
			if err != nil {
				t.Fatal(err)
			}
			if f == format.I8 {
				n, _ := x.I64s()
				out := make([]float64, len(n))
				for i := range n {
					out[i] = float64(n[i])
				}
				return out
			}
			out, _ := x.F64s()
			return out
		}
		want := load(format.F32, []int64{2, 6, 130}, plain)
		codes := load(format.I8, []int64{2, 6, 130}, src)
		src.Scales = true
		scales := load(format.F32, []int64{2, 6, 1}, src)
		for row := range 12 {
			most := 0.0
			for k := range 130 {
				i := row*130 + k
				most = math.Max(most, math.Abs(codes[i]))
				if d := math.Abs(codes[i]*scales[row] - want[i]); d > scales[row]*0.5001 {
					t.Fatalf("%s: element %d is %g, its code gives %g", stored, i, want[i], codes[i]*scales[row])
				}
			}
			if most != 127 {
				t.Errorf("%s: the largest code of row %d is %g", stored, row, most)
			}
		}
	}
	bad := plan.Source{Name: "w", Stored: format.F32, Shape: []int64{2, 2}, Quantise: format.I8}
	w := weights{"w": random(t, r, format.F32, 2, 2)}
	for _, b := range []*plan.Buffer{buffer(format.F32, []int64{2, 2}, bad), buffer(format.I8, []int64{2, 1}, bad)} {
		if _, err := Buffer(context.Background(), b, w, Options{}); err == nil {
			t.Errorf("codes were loaded into %s%v", b.Format, b.Shape)
		}
	}
}

// Blocks of rows and columns are quantised as the op quantize does: each has its scale, blocks at the edges too, and none reaches into the
// next matrix.
func TestQuantiseBlocks(t *testing.T) {
	r := rand.New(rand.NewSource(5))
	src := plan.Source{Name: "w.{}", Stack: 2, Stored: format.BF16, Shape: []int64{3, 5, 11}, Quantise: format.F8E4M3FN, QuantiseBlock: []int64{2, 4}}
	w := weights{"w.0": random(t, r, format.BF16, 3, 5, 11), "w.1": random(t, r, format.BF16, 3, 5, 11)}
	load := func(f format.Format, shape []int64, s plan.Source) []float64 {
		b, err := Buffer(context.Background(), buffer(f, shape, s), w, Options{})
		if err != nil {
			t.Fatal(err)
		}
		x, err := tensor.FromBytes(f, shape, b)
		if err != nil {
			t.Fatal(err)
		}
		out, err := x.F64s()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	codes := load(format.F8E4M3FN, []int64{2, 3, 5, 11}, src)
	src.Scales = true
	scales := load(format.F32, []int64{2, 3, 3, 3}, src)
	for part := range 2 {
		x, err := w[[]string{"w.0", "w.1"}[part]].F64s()
		if err != nil {
			t.Fatal(err)
		}
		most := make([]float64, 27)
		at := func(i int) int { return i/55*9 + i%55/11/2*3 + i%11/4 }
		for i := range x {
			most[at(i)] = math.Max(most[at(i)], math.Abs(x[i]))
		}
		for i := range x {
			scale := scales[part*27+at(i)]
			if want := float64(float32(most[at(i)]) / 448); scale != want {
				t.Fatalf("the scale of element %d is %g, expected %g", i, scale, want)
			}
			if want := format.F8E4M3FN.Round(float64(float32(x[i]) / float32(scale))); codes[part*165+i] != want {
				t.Fatalf("the code of element %d is %g, expected %g", i, codes[part*165+i], want)
			}
		}
	}
	src.QuantiseBlock = []int64{2, 0}
	if _, err := Buffer(context.Background(), buffer(format.F32, []int64{2, 3, 3, 3}, src), w, Options{}); err == nil {
		t.Error("blocks of no columns were loaded")
	}
}

// MX blocks are those of package format, whose rule is the specification's, for numbers above the floor: also of weights that are stored as
// codes with scales of their own, and of codes whose rows do not begin at whole bytes.
func TestQuantiseMX(t *testing.T) {
	r := rand.New(rand.NewSource(6))
	const rows, cols = 6, 75
	for _, q := range []format.Format{format.F8E4M3FN, format.F8E5M2, format.F6E3M2, format.F4E2M1} {
		for _, stored := range []format.Format{format.F32, format.BF16, format.F8E4M3FN} {
			src := plan.Source{Name: "w", Stored: stored, Shape: []int64{rows, cols}}
			w := weights{"w": random(t, r, stored, rows, cols)}
			if stored == format.F8E4M3FN {
				src.Scale, src.Block = "s", []int64{4, 64}
				w["s"] = random(t, r, format.F32, 2, 2)
			}
			load := func(f format.Format, cols int64, s plan.Source) []byte {
				b, err := Buffer(context.Background(), buffer(f, []int64{rows, cols}, s), w, Options{})
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			x := make([]float32, rows*cols)
			format.DecodeF32(format.F32, x, load(format.F32, cols, src))
			src.Quantise, src.QuantiseBlock, src.MX = q, []int64{1, format.MXBlock}, true
			codes := load(q, cols, src)
			src.Scales = true
			scales := load(format.F8E8M0, 3, src)
			wantCodes, wantScales := make([]byte, len(codes)), make([]byte, len(scales))
			if err := format.MXQuantise(q, wantCodes, wantScales, x, cols); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(codes, wantCodes) || !bytes.Equal(scales, wantScales) {
				t.Errorf("%s stored as %s: other blocks than format's", q, stored)
			}
		}
	}
	for _, bad := range []struct {
		q, f format.Format
	}{{format.I8, format.F8E8M0}, {format.F8E4M3FN, format.F32}} {
		src := plan.Source{Name: "w", Stored: format.F32, Shape: []int64{2, 2}, Quantise: bad.q, MX: true, Scales: true}
		if _, err := Buffer(context.Background(), buffer(bad.f, []int64{2, 1}, src), weights{"w": random(t, r, format.F32, 2, 2)}, Options{}); err == nil {
			t.Errorf("scales of %s were loaded into %s", bad.q, bad.f)
		}
	}
}
