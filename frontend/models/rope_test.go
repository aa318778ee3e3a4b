package models

import (
	"context"
	"math"
	"strings"
	"testing"

	"apogee/frontend/mg"
	"apogee/ir/diag"
	"apogee/ir/eval"
	"apogee/ir/format"
	"apogee/ir/tensor"
)

// lower builds a program with a config.json.
func lower(t *testing.T, p *mg.Program, config string, entries ...string) (*mg.Lowered, error) {
	t.Helper()
	var diags diag.List
	j := mg.ParseJSON(diag.NewSource("config.json", []byte(config)), &diags)
	if err := diags.Err(); err != nil {
		t.Fatal(err)
	}
	return mg.Lower(p, mg.Options{Config: j, Entries: entries})
}

const turns = `import "rope"
// Cosines and sines of 8 channels.
entry turn(pos: i32[]) -> (cos: f32[3, 1, 4], sin: f32[3, 1, 4]) { rotary_positions(pos, 3, 8) }
`

// Every scaling of rotary positions gives what its formula says (transformers, modeling_rope_utils.py): frequencies of four pairs of
// channels, and the factor of cosines and sines.
func TestRotaryScalings(t *testing.T) {
	p, err := mg.Load(diag.NewSource("turns.mg", []byte(turns)), Import)
	if err != nil {
		t.Fatal(err)
	}
	base := func(theta float64) []float64 {
		f := make([]float64, 4)
		for i := range f {
			f[i] = math.Pow(theta, -float64(2*i)/8)
		}
		return f
	}
	each := func(f []float64, by func(f float64, i int) float64) []float64 {
		out := make([]float64, len(f))
		for i := range f {
			out[i] = by(f[i], i)
		}
		return out
	}
	temperature := func(factor, m float64) float64 { return 0.1*m*math.Log(factor) + 1 }
	yarn := func(theta, factor, original float64, truncate bool) []float64 {
		channel := func(turns float64) float64 {
			return 8 * math.Log(original/(turns*2*math.Pi)) / (2 * math.Log(theta))
		}
		low, high := channel(32), channel(1)
		if truncate {
			low, high = math.Floor(low), math.Ceil(high)
		}
		low, high = math.Max(low, 0), math.Min(high, 7)
		if low == high {
			high += 0.001
		}
		return each(base(theta), func(f float64, i int) float64 {
			ramp := math.Min(math.Max((float64(i)-low)/(high-low), 0), 1)
			return f/factor*ramp + f*(1-ramp)
		})
	}
	for name, c := range map[string]struct {
		config string
		pos    int64
		freq   []float64
		mult   float64
	}{
		"none":          {`{"rope_theta": 500}`, 5, base(500), 1},
		"default":       {`{"rope_scaling": {"rope_type": "default"}}`, 5, base(10000), 1},
		"v5":            {`{"rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0}, "rope_scaling": null}`, 5, base(1e6), 1},
		"v5 null first": {`{"rope_scaling": null, "rope_parameters": {"rope_theta": 70}}`, 5, base(70), 1},
		"v5 linear":     {`{"rope_parameters": {"rope_type": "linear", "rope_theta": 100, "factor": 4}}`, 5, each(base(100), func(f float64, _ int) float64 { return f / 4 }), 1},
		"linear":        {`{"rope_scaling": {"type": "linear", "factor": 2.5}}`, 9, each(base(10000), func(f float64, _ int) float64 { return f / 2.5 }), 1},
		"dynamic short": {`{"max_position_embeddings": 64, "rope_scaling": {"type": "dynamic", "factor": 4}}`, 60, base(10000), 1},
		"dynamic long": {`{"max_position_embeddings": 64, "rope_scaling": {"type": "dynamic", "factor": 4}}`, 100,
			base(10000 * math.Pow(4*103.0/64-3, 8.0/6)), 1},
		"yarn": {`{"rope_scaling": {"type": "yarn", "factor": 8, "original_max_position_embeddings": 512}}`, 700, yarn(10000, 8, 512, true), temperature(8, 1)},
		"yarn exact ramp": {`{"rope_scaling": {"rope_type": "yarn", "factor": 8, "original_max_position_embeddings": 512, "truncate": false}}`, 700,
			yarn(10000, 8, 512, false), temperature(8, 1)},
		"yarn mscale": {`{"rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "mscale": 0.7, "mscale_all_dim": 1.2}}`, 7,
			yarn(10000, 40, 4096, true), temperature(40, 0.7) / temperature(40, 1.2)},
		"yarn one mscale": {`{"rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "mscale": 0.7}}`, 7,
			yarn(10000, 40, 4096, true), temperature(40, 1)},
		"yarn factor of attention": {`{"rope_scaling": {"type": "yarn", "factor": 40, "attention_factor": 1.5, "mscale": 0.7, "mscale_all_dim": 1.2, "original_max_position_embeddings": 4096}}`, 7,
			yarn(10000, 40, 4096, true), 1.5},
		"llama3": {`{"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 128}}`, 300,
			each(base(10000), func(f float64, _ int) float64 {
				switch wave := 2 * math.Pi / f; {
				case wave > 128:
					return f / 8
				case wave < 128.0/4:
					return f
				default:
					smooth := (128/wave - 1) / 3
					return (1-smooth)*f/8 + smooth*f
				}
			}), 1},
	} {
		t.Run(name, func(t *testing.T) {
			low, err := lower(t, p, c.config)
			if err != nil {
				t.Fatal(err)
			}
			pos, err := tensor.FromI64(format.I32, nil, []int64{c.pos})
			if err != nil {
				t.Fatal(err)
			}
			out, _, err := (&eval.Evaluator{}).Run(context.Background(), low.Module.Func("turn"), map[string]*tensor.Tensor{"pos": pos}, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range []struct {
				name string
				of   func(float64) float64
			}{{"cos", math.Cos}, {"sin", math.Sin}} {
				got, err := out[part.name].F64s()
				if err != nil {
					t.Fatal(err)
				}
				for i, x := range got {
					at := float64(c.pos) + float64(i/4)
					if want := c.mult * part.of(at*c.freq[i%4]); !(math.Abs(x-want) <= 2e-7*(2+at)) {
						t.Errorf("%s of position %v, pair %d: expected %v, found %v", part.name, at, i%4, want, x)
					}
				}
			}
		})
	}
	for config, says := range map[string]string{
		`{"rope_scaling": {"type": "linear"}}`:                           "has a factor",
		`{"rope_scaling": {"type": "longrope", "factor": 2}}`:            "is not one that the model supports",
		`{"rope_parameters": {"partial_rotary_factor": 0.5}}`:            "out of its bounds",
		`{"rope_parameters": {"factor": 2, "rope_theta": 0, "what": 3}}`: "no field",
	} {
		if _, err := lower(t, p, config); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: expected %q, found %v", config, says, err)
		}
	}
}

// zeros are weights that are all zero but for those of given names, which are one number.
type zeros struct {
	t     *testing.T
	low   *mg.Lowered
	fills map[string]float64
}

func (z zeros) Tensor(name string) (*tensor.Tensor, error) {
	for o := z.low.Module.Funcs[0].Body.First(); o != nil; o = o.Next() {
		if o.Attrs.Str("name", "") != name {
			continue
		}
		dims, err := o.Result(0).Type.Shape.Ints()
		if err != nil {
			return nil, err
		}
		n := int64(1)
		for _, d := range dims {
			n *= d
		}
		x := make([]float64, n)
		for i := range x {
			x[i] = z.fills[name]
		}
		return tensor.FromF64(o.Result(0).Type.Format, dims, x)
	}
	z.t.Fatalf("there is no weight %s", name)
	return nil, nil
}

// With every matrix zero a layer adds its biases: that of the attention's last product, then that of the feed-forward layer's.
func TestBiases(t *testing.T) {
	for name, c := range map[string]struct {
		flags string
		want  []string
		adds  float64
	}{
		"llama":       {`"attention_bias": true, "mlp_bias": true`, []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}, 0.75},
		"qwen3":       {`"attention_bias": true`, []string{"q_proj", "k_proj", "v_proj", "o_proj"}, 0.25},
		"qwen2":       {`"use_cache": true`, []string{"q_proj", "k_proj", "v_proj"}, 0},
		"deepseek_v3": {`"attention_bias": true`, []string{"q_a_proj", "kv_a_proj_with_mqa", "o_proj"}, 0.25},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Load(name)
			if err != nil {
				t.Fatal(err)
			}
			text := strings.Replace(tiny[name], "{", "{ "+c.flags+",", 1)
			var diags diag.List
			j := mg.ParseJSON(diag.NewSource("config.json", []byte(text)), &diags)
			low, err := mg.Lower(p, mg.Options{Config: j, Entries: []string{"prefill"}, Taps: []string{"hidden.1"}, Set: map[string]string{"num_hidden_layers": "1"}})
			if err != nil {
				t.Fatal(err)
			}
			fills := map[string]float64{}
			n := 0
			for _, w := range low.Weights {
				if strings.HasSuffix(w.Name, "_proj.bias") || strings.HasSuffix(w.Name, "mqa.bias") {
					n++
				}
			}
			if n != len(c.want) {
				t.Errorf("%d biases, expected %v", n, c.want)
			}
			fills["model.layers.0.self_attn.o_proj.bias"], fills["model.layers.0.mlp.down_proj.bias"] = 0.25, 0.5
			tokens, err := tensor.FromI64(format.I32, []int64{1, 2}, []int64{3, 4})
			if err != nil {
				t.Fatal(err)
			}
			e := &eval.Evaluator{Weights: zeros{t, low, fills}, Bind: map[string]int64{"S": 2}}
			out, _, err := e.Run(context.Background(), low.Module.Func("prefill"), map[string]*tensor.Tensor{"tokens": tokens}, nil)
			if err != nil {
				t.Fatal(err)
			}
			x, err := out["hidden.1"].F64s()
			if err != nil {
				t.Fatal(err)
			}
			for i := range x {
				if x[i] != c.adds {
					t.Fatalf("channel %d is %v, expected %v", i, x[i], c.adds)
				}
			}
		})
	}
}

// Modules that are not converted have matrices of numbers, the others codes and scales.
func TestModulesNotConverted(t *testing.T) {
	p, err := Load("llama")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(tiny["llama"], "{", `{"quantization_config": {"quant_method": "fp8", "weight_block_size": [8, 8],
		"modules_to_not_convert": ["lm_head", "model.layers.0.self_attn", "down_proj", "model.layers.0.mlp.gate"]},`, 1)
	low, err := lower(t, p, text, "prefill")
	if err != nil {
		t.Fatal(err)
	}
	var coded []string
	for _, w := range low.Weights {
		if n, ok := strings.CutSuffix(w.Name, "_scale_inv"); ok {
			coded = append(coded, n)
		}
	}
	if got := strings.Join(coded, " "); got != "model.layers.0.mlp.gate_proj.weight model.layers.0.mlp.up_proj.weight" {
		t.Errorf("stored as codes: %s", got)
	}
}
