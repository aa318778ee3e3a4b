// Qwen2 and what was distilled into it (arXiv 2407.10671): grouped-query attention with biased projections,
// gated feed-forward layers.
import "std"
import "huggingface"

model qwen2 {
  architectures = ["Qwen2ForCausalLM"]
  model_types = ["qwen2"]
  extra = ["*.rotary_emb.inv_freq"] + if config.tie_word_embeddings { ["lm_head.weight"] } else { [] }
}

config {
  intermediate_size: int where > 0
  num_attention_heads: int where > 0
  num_key_value_heads: int = config.num_attention_heads where config.num_attention_heads % config.num_key_value_heads == 0
  rope_theta: float = 10000.0
  use_sliding_window: bool = false where == false
  rope_scaling: {
    rope_type, type: "default"
  }?
  ignore sliding_window, max_window_layers
}

let H = config.num_attention_heads
let G = config.num_key_value_heads
let D = config.hidden_size / H

state keys[config.num_hidden_layers]: act[B, S, G, D]
state values[config.num_hidden_layers]: act[B, S, G, D]

// Writes all tokens from position 0 on.
entry prefill(tokens: i32[B, T]) -> (logits: f32[B, T, config.vocab_size]) {
  forward(tokens, i32(0), false)
}

// Goes on at position pos, the same in the whole batch.
entry decode(tokens: i32[B, T], pos: i32[]) -> (logits: f32[B, T, config.vocab_size]) {
  forward(tokens, pos, true)
}

def forward(tokens: i32[B, T], pos: i32[..], cached: bool) -> f32[B, T, config.vocab_size] {
  let cos, sin = rotary(pos, T, frequencies(config.rope_theta, D), 1.0)
  let visible = causal(pos, T, if cached { S } else { T })
  var x = embed(tokens)
  tap "hidden.0", x
  for i in 0..config.num_hidden_layers {
    scope "layers.{i}"
    let at = "model.layers.{i}"
    x = x + self_attention(i, norm(x, "{at}.input_layernorm"), pos, cos, sin, visible, cached)
    x = x + gated_mlp(norm(x, "{at}.post_attention_layernorm"), "{at}.mlp", config.intermediate_size)
    tap "hidden.{i + 1}", x
  }
  logits_of(x)
}

def self_attention(i: int, x: act[B, T, C], pos: i32[..], cos: f32[..R], sin: f32[..R], visible: bool[..M], cached: bool) -> act[B, T, C] {
  scope "attn"
  let at = "model.layers.{i}.self_attn"
  let q = rope_half(reshape(project_bias(x, "{at}.q_proj", H * D), [B, T, H, D]), cos, sin)
  let k = rope_half(reshape(project_bias(x, "{at}.k_proj", G * D), [B, T, G, D]), cos, sin)
  let v = reshape(project_bias(x, "{at}.v_proj", G * D), [B, T, G, D])
  keys[i] = update(keys[i], k, pos, axis=1)
  values[i] = update(values[i], v, pos, axis=1)
  let y = if cached { attend(q, keys[i], values[i], visible, 1 / sqrt(D)) } else { attend(q, k, v, visible, 1 / sqrt(D)) }
  project(reshape(y, [B, T, H * D]), "{at}.o_proj", C)
}
