package conform

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"apogee/cmd/internal/driver"
	"apogee/cmd/internal/fuzz"
	"apogee/passes"
)

// model is a small model of a shipped architecture, with random weights.
type model struct {
	name   string
	config map[string]any
}

var models = []model{
	{"small DeepSeek", map[string]any{
		"architectures": []string{"DeepseekV3ForCausalLM"}, "model_type": "deepseek_v3", "hidden_act": "silu", "hidden_size": 64, "intermediate_size": 96,
		"num_hidden_layers": 2, "first_k_dense_replace": 1, "moe_layer_freq": 1, "moe_intermediate_size": 32, "n_routed_experts": 8, "n_shared_experts": 1,
		"num_experts_per_tok": 2, "n_group": 2, "topk_group": 1, "norm_topk_prob": true, "scoring_func": "sigmoid", "topk_method": "noaux_tc", "routed_scaling_factor": 2.5,
		"num_attention_heads": 4, "num_key_value_heads": 4, "q_lora_rank": 32, "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16,
		"rms_norm_eps": 1e-6, "rope_theta": 10000, "max_position_embeddings": 128, "vocab_size": 96, "tie_word_embeddings": false, "attention_bias": false, "torch_dtype": "float32",
	}},
	{"small Llama", map[string]any{
		"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama", "hidden_act": "silu", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
		"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "rms_norm_eps": 1e-5, "rope_theta": 10000, "max_position_embeddings": 128, "vocab_size": 96,
		"tie_word_embeddings": false, "attention_bias": false, "mlp_bias": false, "torch_dtype": "float32",
	}},
	{"small Qwen2", map[string]any{
		"architectures": []string{"Qwen2ForCausalLM"}, "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
		"num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-6, "rope_theta": 10000, "max_position_embeddings": 128, "vocab_size": 96,
		"tie_word_embeddings": true, "torch_dtype": "float32", "use_sliding_window": false, "sliding_window": 128, "max_window_layers": 2,
	}},
}

// model runs the prefill and a decode step of a small model.
func (s *suite) model(ctx context.Context, m *model) Outcome {
	o := Outcome{Name: m.name}
	if err := s.tryModel(ctx, m); err != nil && ctx.Err() == nil {
		o.Error = err.Error()
	}
	return o
}

func (s *suite) tryModel(ctx context.Context, m *model) error {
	dir, err := os.MkdirTemp("", "apogee")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	text, err := json.Marshal(m.config)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "config.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return err
	}
	opened, err := driver.Open(file)
	if err != nil {
		return err
	}
	defer opened.Close()
	for _, e := range []struct {
		name string
		n    int64
	}{{"prefill", 5}, {"decode", 1}} {
		entry, n := e.name, e.n
		ir, _, err := opened.Lower(driver.Request{Entry: entry, Chip: s.c, Precision: "f32"})
		if err != nil {
			return fmt.Errorf("%s: %w", entry, err)
		}
		if _, err := passes.Run(ctx, ir, "specialise", passes.Options{Bind: map[string]int64{"B": 1, "T": n, "S": 8}}); err != nil {
			return fmt.Errorf("%s: %w", entry, err)
		}
		refused, fail := fuzz.Try(ctx, ir, 1, []*fuzz.Target{{Chip: s.c, Precision: "f32"}})
		if fail != nil {
			return fmt.Errorf("%s: %w", entry, fail)
		}
		if len(refused) > 0 {
			return fmt.Errorf("%s: %w", entry, refused[0])
		}
	}
	return nil
}
