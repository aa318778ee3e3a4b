package load

import (
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
