package driver

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"apogee/frontend/safetensors"
	"apogee/ir/format"
	"apogee/ir/tensor"
)

// kind is a checkpoint of random weights: a point in the space of configs that the shipped models take.
type kind struct {
	seed   uint64
	name   string
	config map[string]any
	stored string // f32, bf16, f16 or fp8
	scales format.Format
	block  [2]int64
	shards int
	set    map[string]string

	rng     *rand.Rand
	tensors []safetensors.Named
	vocab   int64
	room    int64 // of positions that the config promises
	moe     bool
}

func (k *kind) pick(n ...int64) int64    { return n[k.rng.IntN(len(n))] }
func (k *kind) flip(p float64) bool      { return k.rng.Float64() < p }
func (k *kind) words(s ...string) string { return s[k.rng.IntN(len(s))] }

// newKind draws a checkpoint. The same seed gives the same one.
func newKind(seed uint64) *kind {
	k := &kind{seed: seed, rng: rand.New(rand.NewPCG(seed, 7)), config: map[string]any{}, set: map[string]string{}}
	model := []string{"deepseek", "qwen2", "qwen3", "qwen3_moe", "llama", "deepseek"}[seed%6]
	k.stored = k.words("f32", "bf16", "f16", "fp8")
	k.shards = int(k.pick(1, 1, 2, 3))
	k.vocab = k.pick(77, 96, 128, 33)
	c := k.config
	c["vocab_size"] = k.vocab
	c["rms_norm_eps"] = []float64{1e-6, 1e-5}[k.rng.IntN(2)]
	c["hidden_act"] = "silu"
	c["tie_word_embeddings"] = k.flip(0.25)
	c["rope_theta"] = []any{10000, 10000.0, 500000.0, 1e6}[k.rng.IntN(4)]
	c["torch_dtype"] = map[string]string{"f32": "float32", "bf16": "bfloat16", "f16": "float16", "fp8": "bfloat16"}[k.stored]
	c["use_cache"] = true
	c["initializer_range"] = 0.02
	c["attention_dropout"] = 0.0
	c["bos_token_id"], c["eos_token_id"] = 0, 1
	if k.stored == "fp8" {
		k.block = [][2]int64{{128, 128}, {64, 32}, {16, 16}, {32, 64}}[k.rng.IntN(4)]
		k.scales = []format.Format{format.F32, format.F32, format.F8E8M0}[k.rng.IntN(3)]
		q := map[string]any{"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": k.block}
		if k.scales == format.F8E8M0 {
			q["scale_fmt"] = "ue8m0"
		}
		c["quantization_config"] = q
	}
	if model == "deepseek" {
		k.deepseek()
	} else {
		k.decoder(model)
	}
	k.name = fmt.Sprintf("%s-%s", model, k.stored)
	return k
}

func (k *kind) yarn(full bool) map[string]any {
	s := map[string]any{"factor": k.pick(4, 10, 40), "original_max_position_embeddings": k.pick(16, 64, 4096)}
	s[k.words("type", "rope_type")] = "yarn"
	if k.flip(0.3) {
		s["type"], s["rope_type"] = "yarn", "yarn" // as newer writers do
	}
	if k.flip(0.7) {
		s["beta_fast"], s["beta_slow"] = 32, 1
	}
	if full && k.flip(0.8) {
		s["mscale"] = []float64{1, 0.707, 1.3}[k.rng.IntN(3)]
		s["mscale_all_dim"] = []float64{1, 0.707, 0, 1.3}[k.rng.IntN(4)]
	}
	return s
}

func (k *kind) deepseek() {
	c := k.config
	hidden, heads := k.pick(56, 64, 96, 128), k.pick(3, 4, 6, 1)
	nope, rope, vdim := k.pick(12, 16, 24, 10), k.pick(4, 8, 16), k.pick(20, 16, 24, 7)
	lora, layers := k.pick(24, 32, 48), k.pick(1, 2, 3)
	inter, moe := k.pick(112, 88, 100), k.pick(32, 40, 24)
	k.room = k.pick(64, 160, 163840)
	c["architectures"], c["model_type"] = []string{"DeepseekV3ForCausalLM"}, "deepseek_v3"
	if k.flip(0.2) {
		c["model_type"] = "kimi_k2"
	}
	c["hidden_size"], c["num_attention_heads"], c["num_key_value_heads"] = hidden, heads, heads
	c["num_hidden_layers"], c["max_position_embeddings"] = layers, k.room
	c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"], c["kv_lora_rank"] = nope, rope, vdim, lora
	c["attention_bias"] = false
	c["q_lora_rank"] = nil
	qlora := int64(0)
	if k.flip(0.6) {
		qlora = k.pick(40, 28, 64)
		c["q_lora_rank"] = qlora
	}
	groups := k.pick(1, 2, 3, 4)
	per := k.pick(2, 3, 4)
	experts := groups * per
	open := k.rng.Int64N(groups) + 1
	topk := k.rng.Int64N(min(open*per, 5)) + 1
	shared := k.pick(0, 1, 2)
	first := k.rng.Int64N(layers + 1)
	c["n_routed_experts"], c["n_group"], c["topk_group"], c["num_experts_per_tok"] = experts, groups, open, topk
	c["n_shared_experts"], c["first_k_dense_replace"], c["moe_layer_freq"] = shared, first, 1
	c["intermediate_size"], c["moe_intermediate_size"] = inter, moe
	c["norm_topk_prob"], c["routed_scaling_factor"] = k.flip(0.7), []float64{1, 2.5, 2.827}[k.rng.IntN(3)]
	c["scoring_func"], c["topk_method"] = "sigmoid", "noaux_tc"
	c["rope_scaling"] = nil
	if k.flip(0.7) {
		c["rope_scaling"] = k.yarn(true)
	}
	mtp := k.flip(0.25)
	c["num_nextn_predict_layers"] = 0
	if mtp {
		c["num_nextn_predict_layers"] = 1
	}
	k.moe = first < layers
	if k.moe && k.flip(0.2) {
		k.set["experts"] = "unrolled"
	}
	total := layers
	if mtp {
		total++
	}
	for i := range total {
		at := fmt.Sprintf("model.layers.%d.", i)
		if i == layers {
			k.dense(at+"embed_tokens.weight", 1, k.vocab, hidden)
			k.gain(at+"enorm.weight", hidden)
			k.gain(at+"hnorm.weight", hidden)
			k.matrix(at+"eh_proj", hidden, 2*hidden)
			k.gain(at+"shared_head.norm.weight", hidden)
			k.dense(at+"shared_head.head.weight", 1, k.vocab, hidden)
		}
		k.gain(at+"input_layernorm.weight", hidden)
		k.gain(at+"post_attention_layernorm.weight", hidden)
		a := at + "self_attn."
		if qlora > 0 {
			k.matrix(a+"q_a_proj", qlora, hidden)
			k.gain(a+"q_a_layernorm.weight", qlora)
			k.matrix(a+"q_b_proj", heads*(nope+rope), qlora)
		} else {
			k.matrix(a+"q_proj", heads*(nope+rope), hidden)
		}
		k.matrix(a+"kv_a_proj_with_mqa", lora+rope, hidden)
		k.gain(a+"kv_a_layernorm.weight", lora)
		k.matrix(a+"kv_b_proj", heads*(nope+vdim), lora)
		k.matrix(a+"o_proj", hidden, heads*vdim)
		if i < first {
			k.mlp(at+"mlp.", hidden, inter)
			continue
		}
		k.dense(at+"mlp.gate.weight", 1.5/math.Sqrt(float64(hidden)), experts, hidden)
		k.add(at+"mlp.gate.e_score_correction_bias", format.F32, 0.05, 0.03, experts)
		for e := range experts {
			k.mlp(fmt.Sprintf("%smlp.experts.%d.", at, e), hidden, moe)
		}
		if shared > 0 {
			k.mlp(at+"mlp.shared_experts.", hidden, shared*moe)
		}
	}
	k.ends(hidden)
}

func (k *kind) decoder(model string) {
	c := k.config
	hidden, layers := k.pick(56, 96, 64, 80), k.pick(1, 2, 3)
	heads := k.pick(1, 3, 4, 6, 8)
	groups := heads
	for _, g := range []int64{k.pick(1, 2, 3, 4), k.pick(1, 2)} {
		if heads%g == 0 {
			groups = g
		}
	}
	inter := k.pick(112, 184, 100)
	k.room = k.pick(64, 512, 4096)
	dim := k.pick(8, 16, 32, 20)
	c["architectures"] = []string{map[string]string{"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM", "qwen3_moe": "Qwen3MoeForCausalLM"}[model]}
	c["model_type"] = model
	if model == "qwen2" || k.flip(0.3) && hidden%heads == 0 && hidden/heads%2 == 0 {
		// The size of a head follows from the width.
		heads = []int64{2, 4}[k.rng.IntN(2)]
		groups = k.pick(1, 2, heads)
		dim = hidden / heads
		if dim%2 != 0 {
			heads, groups, dim = 2, 1, hidden/2
		}
	} else {
		c["head_dim"] = dim
	}
	c["hidden_size"], c["num_attention_heads"], c["num_key_value_heads"] = hidden, heads, groups
	c["num_hidden_layers"], c["intermediate_size"], c["max_position_embeddings"] = layers, inter, k.room
	switch k.rng.IntN(5) {
	case 0:
		c["rope_scaling"] = nil
	case 1:
		c["rope_scaling"] = map[string]any{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": k.pick(16, 64, 8192)}
	case 2:
		c["rope_scaling"] = k.yarn(false)
	case 3:
		c["rope_scaling"] = map[string]any{k.words("type", "rope_type"): "linear", "factor": k.pick(2, 4)}
	}
	bias := model == "qwen2"
	if model == "llama" {
		c["attention_bias"], c["mlp_bias"] = false, false
	}
	if model == "qwen2" || model == "qwen3" {
		c["use_sliding_window"], c["sliding_window"], c["max_window_layers"] = false, nil, layers
	}
	var only []int64
	step, experts := int64(1), int64(0)
	moe := k.pick(32, 24, 40)
	if model == "qwen3_moe" {
		experts = k.pick(4, 6, 8, 16)
		topk := k.rng.Int64N(min(experts, 5)) + 1
		step = k.pick(1, 1, 2)
		only = []int64{}
		if k.flip(0.3) {
			only = append(only, k.rng.Int64N(layers))
		}
		c["num_experts"], c["num_experts_per_tok"], c["moe_intermediate_size"] = experts, topk, moe
		c["norm_topk_prob"], c["decoder_sparse_step"], c["mlp_only_layers"] = k.flip(0.5), step, only
		if k.flip(0.2) {
			k.set["experts"] = "unrolled"
		}
	}
	for i := range layers {
		at := fmt.Sprintf("model.layers.%d.", i)
		k.gain(at+"input_layernorm.weight", hidden)
		k.gain(at+"post_attention_layernorm.weight", hidden)
		a := at + "self_attn."
		for _, p := range []struct {
			n string
			h int64
		}{{"q_proj", heads}, {"k_proj", groups}, {"v_proj", groups}} {
			k.matrix(a+p.n, p.h*dim, hidden)
			if bias {
				k.add(a+p.n+".bias", k.plain(), 0, 0.3, p.h*dim)
			}
		}
		if model == "qwen3" || model == "qwen3_moe" {
			k.gain(a+"q_norm.weight", dim)
			k.gain(a+"k_norm.weight", dim)
		}
		k.matrix(a+"o_proj", hidden, heads*dim)
		dense := experts == 0 || (i+1)%step != 0
		for _, o := range only {
			dense = dense || o == i
		}
		if dense {
			k.mlp(at+"mlp.", hidden, inter)
			continue
		}
		k.moe = true
		k.dense(at+"mlp.gate.weight", 1.5/math.Sqrt(float64(hidden)), experts, hidden)
		for e := range experts {
			k.mlp(fmt.Sprintf("%smlp.experts.%d.", at, e), hidden, moe)
		}
	}
	if !k.moe {
		delete(k.set, "experts")
	}
	k.ends(hidden)
}

func (k *kind) ends(hidden int64) {
	std := 1.0
	if k.config["tie_word_embeddings"] == true {
		std = 3 / math.Sqrt(float64(hidden))
	}
	k.dense("model.embed_tokens.weight", std, k.vocab, hidden)
	k.gain("model.norm.weight", hidden)
	if k.config["tie_word_embeddings"] == false {
		k.dense("lm_head.weight", 3/math.Sqrt(float64(hidden)), k.vocab, hidden)
	}
}

func (k *kind) mlp(at string, hidden, inter int64) {
	k.matrix(at+"gate_proj", inter, hidden)
	k.matrix(at+"up_proj", inter, hidden)
	k.matrix(at+"down_proj", hidden, inter)
}

// plain is the format of what is not quantised.
func (k *kind) plain() format.Format {
	return map[string]format.Format{"f32": format.F32, "bf16": format.BF16, "f16": format.F16, "fp8": format.BF16}[k.stored]
}

func (k *kind) gain(name string, n int64) { k.add(name, k.plain(), 1, 0.1, n) }

func (k *kind) dense(name string, std float64, dims ...int64) {
	k.add(name, k.plain(), 0, std, dims...)
}

func (k *kind) add(name string, f format.Format, mean, std float64, dims ...int64) {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	v := make([]float64, n)
	for i := range v {
		v[i] = mean + std*k.rng.NormFloat64()
		if mean > 0 {
			v[i] = math.Abs(v[i])
		}
	}
	k.tensor(name, f, dims, v)
}

func (k *kind) tensor(name string, f format.Format, dims []int64, v []float64) {
	t, err := tensor.FromF64(f, dims, v)
	if err != nil {
		panic(err)
	}
	k.tensors = append(k.tensors, safetensors.Named{Name: name, Tensor: t})
}

// matrix is a linear layer's weight, quantised in blocks if the checkpoint is.
func (k *kind) matrix(name string, rows, cols int64) {
	std := 1 / math.Sqrt(float64(cols))
	if k.stored != "fp8" {
		k.dense(name+".weight", std, rows, cols)
		return
	}
	v := make([]float64, rows*cols)
	for i := range v {
		v[i] = std * k.rng.NormFloat64()
	}
	rb, cb := (rows+k.block[0]-1)/k.block[0], (cols+k.block[1]-1)/k.block[1]
	scale := make([]float64, rb*cb)
	for i, x := range v {
		b := int64(i)/cols/k.block[0]*cb + int64(i)%cols/k.block[1]
		scale[b] = max(scale[b], math.Abs(x)/448)
	}
	for i, s := range scale {
		if k.scales == format.F8E8M0 {
			scale[i] = math.Exp2(math.Ceil(math.Log2(s)))
		} else {
			scale[i] = float64(float32(s))
		}
	}
	for i := range v {
		v[i] /= scale[int64(i)/cols/k.block[0]*cb+int64(i)%cols/k.block[1]]
	}
	k.tensor(name+".weight", format.F8E4M3FN, []int64{rows, cols}, v)
	k.tensor(name+".weight_scale_inv", k.scales, []int64{rb, cb}, scale)
}

// write lays the checkpoint out in a folder.
func (k *kind) write(t testing.TB, dir string) {
	t.Helper()
	put := func(name string, v any) {
		text, err := json.MarshalIndent(v, "", "  ")
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put("config.json", k.config)
	if k.shards == 1 {
		if err := safetensors.Write(filepath.Join(dir, "model.safetensors"), k.tensors, map[string]string{"format": "pt"}); err != nil {
			t.Fatal(err)
		}
		return
	}
	parts := make([][]safetensors.Named, k.shards)
	files := map[string]string{}
	size := int64(0)
	for i, x := range k.tensors {
		s := i % k.shards
		parts[s] = append(parts[s], x)
		files[x.Name] = fmt.Sprintf("model-%05d-of-%05d.safetensors", s+1, k.shards)
		size += x.Tensor.NumBytes()
	}
	for s, p := range parts {
		if err := safetensors.Write(filepath.Join(dir, fmt.Sprintf("model-%05d-of-%05d.safetensors", s+1, k.shards)), p, nil); err != nil {
			t.Fatal(err)
		}
	}
	put("model.safetensors.index.json", map[string]any{"metadata": map[string]any{"total_size": size}, "weight_map": files})
}

// nudge gives the embedding a relative error of eps, to see whether the model's choices hang on a hair.
func (k *kind) nudge(t testing.TB, eps float64) {
	t.Helper()
	for i, x := range k.tensors {
		if x.Name != "model.embed_tokens.weight" {
			continue
		}
		v, err := x.Tensor.F64s()
		if err != nil {
			t.Fatal(err)
		}
		for j := range v {
			v[j] *= 1 + eps*(2*k.rng.Float64()-1)
		}
		y, err := tensor.FromF64(format.F32, x.Tensor.Shape, v)
		if err != nil {
			t.Fatal(err)
		}
		k.tensors[i].Tensor = y
	}
}

// String says what was drawn, for a failure's message.
func (k *kind) String() string {
	text, _ := json.Marshal(k.config)
	return fmt.Sprintf("seed %d %s, blocks %v of %v, %d shards, %v: %s", k.seed, k.name, k.block, k.scales, k.shards, k.set, text)
}
