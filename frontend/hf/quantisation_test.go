package hf

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"apogee/frontend/mg"
	"apogee/ir/irtest"
)

func TestBlockRange(t *testing.T) {
	for _, c := range []struct {
		axes [][2]int64 // elements and scales
		want int64      // 0: none fits
	}{
		{[][2]int64{{256, 2}, {384, 3}, {160, 2}}, 128},
		{[][2]int64{{64, 1}}, 128},
		{[][2]int64{{64, 8}, {20, 3}}, 8},
		{[][2]int64{{100, 5}, {61, 4}}, 20},
		{[][2]int64{{300, 1}, {100, 1}}, 512},
		{[][2]int64{{256, 2}, {256, 4}}, 0},
		{[][2]int64{{4, 5}}, 0},
	} {
		var b blockRange
		ok := true
		for _, a := range c.axes {
			ok = ok && b.narrow(a[0], a[1])
		}
		if got := b.size(); ok != (c.want != 0) || ok && got != c.want {
			t.Errorf("%v: %d, %v; expected %d", c.axes, got, ok, c.want)
		}
	}
}

// An FP8 checkpoint whose config.json does not say that it is one is read as with a config that does.
func TestMissingQuantisationConfig(t *testing.T) {
	from := filepath.Join(irtest.Corpus(t), "checkpoints", "ds-tiny-fp8")
	text, err := os.ReadFile(filepath.Join(from, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	stated, err := Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer stated.Close()
	want, err := stated.Lower(mg.Options{})
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(text), `"quantization_config"`)
	end := at + strings.Index(string(text[at:]), "},") + 2
	for name, config := range map[string]string{
		"absent": string(text[:at]) + string(text[end:]),
		"null":   string(text[:at]) + `"quantization_config": null,` + string(text[end:]),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Link(filepath.Join(from, "model.safetensors"), filepath.Join(dir, "model.safetensors")); err != nil {
				if err := os.Symlink(filepath.Join(from, "model.safetensors"), filepath.Join(dir, "model.safetensors")); err != nil {
					t.Skip(err)
				}
			}
			ck, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer ck.Close()
			got, err := ck.Lower(mg.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got.Module.String() != want.Module.String() {
				t.Error("the module is another one")
			}
			if !ck.StoresFP8() {
				t.Error("it is not known to store FP8")
			}
			if q := ck.Config.Get("quantization_config").Get("weight_block_size").Value.([]*mg.JSON); fmt.Sprint(q) != "[128 128]" {
				t.Errorf("blocks of %v by %v", q[0].Value, q[1].Value)
			}
			if m := ck.Config.Get("quantization_config").Get("modules_to_not_convert").Strings(); !slices.Contains(m, "lm_head") || slices.Contains(m, "model.layers.0.mlp.up_proj") {
				t.Errorf("not converted: %v", m)
			}
		})
	}
}
