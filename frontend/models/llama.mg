// Llama 2, 3 and what was distilled into them (arXiv 2302.13971, 2407.21783): grouped-query attention,
// gated feed-forward layers, rotary positions with Llama 3.1's or YaRN's scaling.
import "std"
import "huggingface"

model llama {
  architectures = ["LlamaForCausalLM", "MistralForCausalLM"]
  model_types = ["llama", "mistral"]
  extra = ["*.rotary_emb.inv_freq"] + if config.tie_word_embeddings { ["lm_head.weight"] } else { [] }
}

config {
  intermediate_size: int where > 0
  num_attention_heads: int where > 0
  num_key_value_heads: int = config.num_attention_heads where config.num_attention_heads % config.num_key_value_heads == 0
  head_dim: int = config.hidden_size / config.num_attention_heads where > 0
  rope_theta: float = 10000.0
  rope_scaling: {
    rope_type, type: "default" | "linear" | "llama3" | "yarn"
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int = 8192
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float?
  }?
  attention_bias: bool = false where == false
  mlp_bias: bool = false where == false
  sliding_window: int? where == none
}

let H = config.num_attention_heads
let G = config.num_key_value_heads
let D = config.head_dim

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

// Goes on at a position of its own for each sequence of the batch.
entry decode_each(tokens: i32[B, T], pos: i32[B]) -> (logits: f32[B, T, config.vocab_size]) {
  forward(tokens, pos, true)
}

def forward(tokens: i32[B, T], pos: i32[..], cached: bool) -> f32[B, T, config.vocab_size] {
  let freq, mult = scaled_frequencies()
  let cos, sin = rotary(pos, T, freq, mult)
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

// The rotary frequencies after scaling, and the factor of cosines and sines.
def scaled_frequencies() -> (freq: list, mult: float) {
  let base = frequencies(config.rope_theta, D)
  let s = config.rope_scaling
  if s == none or s.rope_type == "default" {
    (base, 1.0)
  } else if s.rope_type == "linear" {
    ([f / s.factor for f in base], 1.0)
  } else if s.rope_type == "llama3" {
    (llama3_frequencies(base, s), 1.0)
  } else {
    let mult = if s.attention_factor != none { s.attention_factor } else { yarn_scale(s.factor, 1.0) }
    (yarn_frequencies(base, config.rope_theta, D, s), mult)
  }
}

def self_attention(i: int, x: act[B, T, C], pos: i32[..], cos: f32[..R], sin: f32[..R], visible: bool[..M], cached: bool) -> act[B, T, C] {
  scope "attn"
  let at = "model.layers.{i}.self_attn"
  let q = rope_half(reshape(project(x, "{at}.q_proj", H * D), [B, T, H, D]), cos, sin)
  let k = rope_half(reshape(project(x, "{at}.k_proj", G * D), [B, T, G, D]), cos, sin)
  let v = reshape(project(x, "{at}.v_proj", G * D), [B, T, G, D])
  keys[i] = update(keys[i], k, pos, axis=1)
  values[i] = update(values[i], v, pos, axis=1)
  let y = if cached { attend(q, keys[i], values[i], visible, 1 / sqrt(D)) } else { attend(q, k, v, visible, 1 / sqrt(D)) }
  project(reshape(y, [B, T, H * D]), "{at}.o_proj", C)
}
