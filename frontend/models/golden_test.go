package models

import (
	"path/filepath"
	"strings"
	"testing"

	"apogee/frontend/mg"
	"apogee/ir/diag"
	"apogee/ir/irtest"
)

// tiny are configs small enough for their module to be read.
var tiny = map[string]string{
	"deepseek_v3": `{
  "vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 24, "moe_intermediate_size": 8,
  "num_attention_heads": 2, "q_lora_rank": 12, "kv_lora_rank": 8, "qk_nope_head_dim": 6, "qk_rope_head_dim": 4, "v_head_dim": 5,
  "first_k_dense_replace": 1, "n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1,
  "routed_scaling_factor": 2.5, "rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 64,
  "mscale": 1.0, "mscale_all_dim": 1.0}, "quantization_config": {"quant_method": "fp8", "weight_block_size": [8, 8]}
}`,
	"llama": `{
  "vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 24, "num_attention_heads": 4,
  "num_key_value_heads": 2, "tie_word_embeddings": true, "rope_scaling": {"rope_type": "llama3", "factor": 8.0,
  "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16}
}`,
	"qwen2": `{
  "vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 24, "num_attention_heads": 2
}`,
	"qwen3": `{
  "vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 24, "num_attention_heads": 2, "head_dim": 4,
  "rope_scaling": {"type": "yarn", "factor": 2, "original_max_position_embeddings": 32}
}`,
	"qwen3_moe": `{
  "vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 24, "num_attention_heads": 2,
  "moe_intermediate_size": 8, "num_experts": 3, "num_experts_per_tok": 2, "norm_topk_prob": true
}`,
}

// TestGoldens holds the modules of the shipped models, each in the format that checkpoints come in most.
func TestGoldens(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			p, err := Load(name)
			if err != nil {
				t.Fatal(err)
			}
			var diags diag.List
			config := mg.ParseJSON(diag.NewSource("config.json", []byte(tiny[name])), &diags)
			if err := diags.Err(); err != nil {
				t.Fatal(err)
			}
			low, err := mg.Lower(p, mg.Options{Config: config, Entries: []string{"prefill", "decode"}})
			if err != nil {
				t.Fatal(err)
			}
			irtest.Verify(t, low.Module)
			irtest.Golden(t, filepath.Join("testdata", name+".ir"), []byte(low.Module.String()))
		})
	}
}

// TestScaleFormat: a config that names the format of scales has activations quantised by such scales.
func TestScaleFormat(t *testing.T) {
	for format, want := range map[string]int{"": 0, `"scale_fmt": "ue8m0", `: 1} {
		p, err := Load("deepseek_v3")
		if err != nil {
			t.Fatal(err)
		}
		var diags diag.List
		text := strings.Replace(tiny["deepseek_v3"], `"quant_method"`, format+`"quant_method"`, 1)
		config := mg.ParseJSON(diag.NewSource("config.json", []byte(text)), &diags)
		if err := diags.Err(); err != nil {
			t.Fatal(err)
		}
		low, err := mg.Lower(p, mg.Options{Config: config, Entries: []string{"prefill"}})
		if err != nil {
			t.Fatal(err)
		}
		module := low.Module.String()
		if all, marked := strings.Count(module, "dequantize("), strings.Count(module, `activations="ue8m0"`); all == 0 || marked != want*all {
			t.Errorf("%q: %d of %d weights say so", format, marked, all)
		}
	}
}
