package driver

import (
	"context"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"apogee/ir/tensor"
	"apogee/targets/chip"
	"apogee/targets/sim/exec"
)

// A decode that begins with the states a prefill left gives what a longer prefill gives, on the reference and on chips.
func TestStatesBetweenRuns(t *testing.T) {
	m, err := Open(filepath.Join("..", "..", "..", "examples", "r1-nano"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	ids := []int32{0, 4, 12, 13, 20, 14, 22, 5}
	for _, name := range []string{"", "ascend-910b", "nvidia-h100"} {
		t.Run("on "+name, func(t *testing.T) {
			run := func(req Request, inputs Tensors) (Tensors, error) {
				req.Set, req.Precision = map[string]string{"S": "16"}, "f32"
				if name == "" {
					return m.RunReference(context.Background(), req, inputs)
				}
				if req.Chip, err = chip.Load(name); err != nil {
					t.Fatal(err)
				}
				out, _, err := m.Run(context.Background(), req, inputs, exec.Options{Guard: true})
				return out, err
			}
			all, err := run(Request{Entry: "prefill"}, Tensors{"tokens": tokens(ids)})
			if err != nil {
				t.Fatal(err)
			}
			var left Tensors
			keep := func(s Tensors) error { left = s; return nil }
			if _, err := run(Request{Entry: "prefill", Left: keep}, Tensors{"tokens": tokens(ids[:7])}); err != nil {
				t.Fatal(err)
			}
			out, err := run(Request{Entry: "decode", States: left, Left: keep}, Tensors{"tokens": tokens(ids[7:]), "pos": scalarI32(7)})
			if err != nil {
				t.Fatal(err)
			}
			got, err := lastRow(out)
			if err != nil {
				t.Fatal(err)
			}
			want, err := lastRow(all)
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				if d := math.Abs(float64(got[i] - want[i])); !(d < 1e-4) {
					t.Fatalf("score %d is %v, expected %v", i, got[i], want[i])
				}
			}
			delete(left, "latent.0")
			if _, err := run(Request{Entry: "decode", States: left}, Tensors{"tokens": tokens(ids[7:]), "pos": scalarI32(7)}); err == nil || !strings.Contains(err.Error(), "latent.0") {
				t.Errorf("a missing state: %v", err)
			}
			left["latent.0"], _ = tensor.New(left["rotated.0"].Format, []int64{1, 2, 3})
			if _, err := run(Request{Entry: "decode", States: left}, Tensors{"tokens": tokens(ids[7:]), "pos": scalarI32(7)}); err == nil || !strings.Contains(err.Error(), "state latent.0: expected") {
				t.Errorf("a state of another shape: %v", err)
			}
			left["laten.0"] = left["latent.0"]
			if _, err := run(Request{Entry: "decode", States: left}, Tensors{"tokens": tokens(ids[7:]), "pos": scalarI32(7)}); err == nil || !strings.Contains(err.Error(), `did you mean "latent.0"`) {
				t.Errorf("a state that there is not: %v", err)
			}
		})
	}
}
