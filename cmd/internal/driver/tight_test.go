package driver

import (
	"context"
	"maps"
	"math"
	"path/filepath"
	"testing"

	"apogee/ir/irtest"
	"apogee/targets/chip"
)

// TestLittleMemories: whatever a core's memories hold, rows and kernels are cut until they fit.
func TestLittleMemories(t *testing.T) {
	m, err := Open(filepath.Join(irtest.Corpus(t), "configs", "deepseek-v3", "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range families {
		whole, err := chip.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			part             float64
			precision, entry string
			set              map[string]string
		}{
			{1, "w8a8", "prefill", map[string]string{"experts": "unrolled", "n_routed_experts": "16"}},
			{16, "auto", "prefill", nil},
			{24, "auto", "decode", nil},
			{24, "w8a8", "prefill", nil},
		} {
			c := *whole
			c.Memories = nil
			for _, x := range whole.Memories {
				y := *x
				if y.Scope == chip.Core {
					y.Size.Value = math.Floor(x.Size.Value/test.part/1024) * 1024
				}
				c.Memories = append(c.Memories, &y)
			}
			set := map[string]string{"num_hidden_layers": "4"}
			maps.Copy(set, test.set)
			if _, err := choosePrecision(&c, test.precision, m.StoresFP8()); err != nil {
				continue
			}
			if _, err := m.Compile(context.Background(), Request{Entry: test.entry, Chip: &c, Precision: test.precision, Set: set}); err != nil {
				t.Errorf("%s with 1/%g of its memories at %s, %s: %v", name, test.part, test.precision, test.entry, err)
			}
		}
	}
}
