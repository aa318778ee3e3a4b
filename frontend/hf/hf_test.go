package hf

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"apogee/frontend/mg"
	"apogee/frontend/safetensors"
	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/tensor"
)

const tinyConfig = `{
  "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "torch_dtype": "float32",
  "vocab_size": 7, "hidden_size": 8, "num_hidden_layers": 2, "intermediate_size": 12, "moe_intermediate_size": 4,
  "num_attention_heads": 2, "num_key_value_heads": 1, "num_experts": 3, "num_experts_per_tok": 2, "mlp_only_layers": [0],
  "eos_token_id": [5, 6], "bos_token_id": 1
}`

// tiny writes a checkpoint with the tensors that the model reads, after change had its way with them.
func tiny(t *testing.T, config string, change func(map[string]*tensor.Tensor)) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("config.json", config)
	write("generation_config.json", `{"eos_token_id": 6, "pad_token_id": null}`)
	c, err := Open(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Module(mg.Options{Entries: []string{"prefill"}})
	if err != nil {
		t.Fatal(err)
	}
	tensors := map[string]*tensor.Tensor{}
	for o := m.Func("prefill").Body.First(); o != nil; o = o.Next() {
		if !o.Is(op.Weight) {
			continue
		}
		ty := o.Result(0).Type
		dims, err := ty.Shape.Ints()
		if err != nil {
			t.Fatal(err)
		}
		names := []string{o.Attrs.Str("name", "")}
		if n := o.Attrs.Int("stack", 0); n > 0 {
			dims = dims[1:]
			for i := int64(1); i < n; i++ {
				names = append(names, StackName(names[0], i))
			}
			names[0] = StackName(names[0], 0)
		}
		for i, n := range names {
			x, err := tensor.New(ty.Format, dims)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := x.Bytes()
			for j := range b {
				b[j] = byte(i)
			}
			tensors[n] = x
		}
	}
	change(tensors)
	var list []safetensors.Named
	for n, x := range tensors {
		list = append(list, safetensors.Named{Name: n, Tensor: x})
	}
	if err := safetensors.Write(filepath.Join(dir, "model.safetensors"), list, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

func zeros(t *testing.T, f format.Format, dims ...int64) *tensor.Tensor {
	t.Helper()
	x, err := tensor.New(f, dims)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// TestTensors holds that every tensor must be there, in the right shape and format, and no other.
func TestTensors(t *testing.T) {
	const norm, gate = "model.layers.0.input_layernorm.weight", "model.layers.1.mlp.experts.1.gate_proj.weight"
	for name, c := range map[string]struct {
		change func(map[string]*tensor.Tensor)
		code   string
		want   string
	}{
		"all": {func(map[string]*tensor.Tensor) {}, "", ""},
		"inv_freq": {func(m map[string]*tensor.Tensor) {
			m["model.layers.0.self_attn.rotary_emb.inv_freq"] = zeros(t, format.F32, 2)
		}, "", ""},
		"missing": {func(m map[string]*tensor.Tensor) { delete(m, norm) }, mg.CodeWeightMissing, `the checkpoint has no tensor "` + norm + `"`},
		"misspelt": {func(m map[string]*tensor.Tensor) {
			m["model.layers.0.input_layer_norm.weight"] = m[norm]
			delete(m, norm)
		}, mg.CodeWeightMissing, `did you mean "model.layers.0.input_layer_norm.weight"`},
		"missing stack": {func(m map[string]*tensor.Tensor) { delete(m, gate) }, mg.CodeWeightMissing, `the checkpoint has no tensor "` + gate + `"`},
		"shape":         {func(m map[string]*tensor.Tensor) { m[norm] = zeros(t, format.F32, 9) }, mg.CodeWeightShape, "expected [8], found f32[9]"},
		"stack shape":   {func(m map[string]*tensor.Tensor) { m[gate] = zeros(t, format.F32, 4, 9) }, mg.CodeWeightShape, "expected [4,8], found f32[4,9]"},
		"stack format":  {func(m map[string]*tensor.Tensor) { m[gate] = zeros(t, format.F16, 4, 8) }, mg.CodeWeightFormat, "expected f32, found f16"},
		"other format":  {func(m map[string]*tensor.Tensor) { m[norm] = zeros(t, format.F16, 8) }, "", ""},
		"extra":         {func(m map[string]*tensor.Tensor) { m["model.mystery"] = zeros(t, format.I8, 3) }, CodeExtraTensor, `the model does not read the tensor "model.mystery"`},
	} {
		t.Run(name, func(t *testing.T) {
			ck := open(t, tiny(t, tinyConfig, c.change))
			_, err := ck.Module(mg.Options{})
			if c.code == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var d *diag.Diagnostic
			if !errors.As(err, &d) || d.Code != c.code || !strings.Contains(err.Error(), c.want) {
				t.Errorf("expected [%s] %s, found %v", c.code, c.want, err)
			}
		})
	}
}

func TestStack(t *testing.T) {
	ck := open(t, tiny(t, tinyConfig, func(map[string]*tensor.Tensor) {}))
	x, err := ck.Weights.Stack("model.layers.1.mlp.experts.{}.up_proj.weight", 3)
	if err != nil {
		t.Fatal(err)
	}
	b, err := x.Bytes()
	if err != nil || x.String() != "f32[3,4,8]" || b[0] != 0 || b[4*32] != 1 || b[len(b)-1] != 2 {
		t.Errorf("%s: %v %v", x, b, err)
	}
	part, err := x.ReadRange(4*32-1, 2)
	if err != nil || part[0] != 0 || part[1] != 1 {
		t.Errorf("over the border: %v %v", part, err)
	}
	if _, err := ck.Weights.Stack("model.layers.1.mlp.experts.{}.up_proj.weight", 4); err == nil {
		t.Error("a fourth expert")
	}
}

func TestGeneration(t *testing.T) {
	ck := open(t, tiny(t, tinyConfig, func(map[string]*tensor.Tensor) {}))
	if g := ck.Generation; len(g.EOS) != 1 || g.EOS[0] != 6 || g.BOS == nil || *g.BOS != 1 || g.PAD != nil {
		t.Errorf("%+v", g)
	}
}

// TestConfigs holds what is said about a config.json that no model can be made of.
func TestConfigs(t *testing.T) {
	for name, c := range map[string]struct{ config, code, want string }{
		"unknown":      {`{"architectures": ["MambaForCausalLM"], "model_type": "mamba"}`, CodeConfig, "expected one of DeepseekV3ForCausalLM, LlamaForCausalLM, Qwen2ForCausalLM"},
		"nothing":      {`{}`, CodeConfig, "found neither architectures nor model_type"},
		"not json":     {`{"architectures": [}`, mg.CodeJSON, "not valid JSON"},
		"dtype":        {strings.Replace(tinyConfig, "float32", "int3", 1), CodeUnknownDType, `expected "float32", "bfloat16" or "float16", found "int3"`},
		"eos":          {strings.Replace(tinyConfig, "[5, 6]", `"5"`, 1), CodeGeneration, "eos_token_id is not a token"},
		"missing":      {strings.Replace(tinyConfig, `"vocab_size": 7, `, "", 1), mg.CodeConfigMissing, "config.vocab_size is missing"},
		"unknown key":  {strings.Replace(tinyConfig, "vocab_size", "vocab_sise", 1), mg.CodeConfigUnknown, `did you mean "vocab_size"`},
		"type":         {strings.Replace(tinyConfig, `"hidden_size": 8`, `"hidden_size": "8"`, 1), mg.CodeConfigType, `expected int, found "8"`},
		"out of range": {strings.Replace(tinyConfig, `"num_experts": 3`, `"num_experts": 0`, 1), mg.CodeConfigWhere, "config.num_experts is out of its bounds"},
		"activation":   {strings.Replace(tinyConfig, `"vocab_size": 7`, `"vocab_size": 7, "hidden_act": "gelu"`, 1), mg.CodeConfigType, `expected "silu", found "gelu"`},
		"sliding":      {strings.Replace(tinyConfig, `"vocab_size": 7`, `"vocab_size": 7, "use_sliding_window": true`, 1), mg.CodeConfigWhere, "expected == false, found true"},
		"groups":       {strings.Replace(tinyConfig, `"num_key_value_heads": 1`, `"num_key_value_heads": 3`, 1), mg.CodeRequire, "groups of heads are of one size"},
		"too many":     {strings.Replace(tinyConfig, `"num_experts_per_tok": 2`, `"num_experts_per_tok": 9`, 1), mg.CodeOp, "top_k: k = 9"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "config.json")
			if err := os.WriteFile(file, []byte(c.config), 0o600); err != nil {
				t.Fatal(err)
			}
			ck, err := Open(file)
			if err == nil {
				_, err = ck.Module(mg.Options{})
			}
			if err == nil || !strings.Contains(err.Error(), "["+c.code+"]") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("expected [%s] %s, found %v", c.code, c.want, err)
			}
		})
	}
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "is no checkpoint: it has no config.json") {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "nowhere")); err == nil || strings.Count(err.Error(), "nowhere") != 1 {
		t.Errorf("no folder: %v", err)
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"model.layers.61.*", "model.layers.61.mlp.gate.weight", true}, {"model.layers.6.*", "model.layers.61.x", false},
		{"*.rotary_emb.inv_freq", "model.layers.0.self_attn.rotary_emb.inv_freq", true}, {"*.inv_freq", "inv_freq", false},
		{"lm_head.weight", "lm_head.weight", true}, {"lm_head.weight", "lm_head.weight.x", false}, {"a*b*c", "a-b-c", true},
		{"a*b*c", "a-c-b", false}, {"*", "", true}, {"a*a", "a", false},
	} {
		if got := matches(c.pattern, c.name); got != c.want {
			t.Errorf("matches(%q, %q) = %v", c.pattern, c.name, got)
		}
	}
}
