// What Llama and its kin share: grouped-query attention with a cache of keys and values, rotary positions
// and their scaling.
import "std"
import "huggingface"

config {
  intermediate_size: int where > 0
  num_attention_heads: int where > 0
  num_key_value_heads: int = config.num_attention_heads where > 0
  head_dim: int = config.hidden_size / config.num_attention_heads where config.head_dim % 2 == 0
  max_position_embeddings: int = 2048 where > 0
  rope_theta: float = 10000.0
  rope_scaling: {
    rope_type, type: "default" | "linear" | "llama3" | "yarn"
    factor: float = 1.0
    original_max_position_embeddings: int = config.max_position_embeddings

    // llama3
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0

    // yarn
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float?
  }?
}

require config.num_attention_heads % config.num_key_value_heads == 0, "groups of heads are of one size"

// Query heads, groups of them that share keys and values, channels of a head.
let H = config.num_attention_heads
let G = config.num_key_value_heads
let D = config.head_dim

state keys[config.num_hidden_layers]: act[B, S, G, D]
state values[config.num_hidden_layers]: act[B, S, G, D]

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

// Attention of layer i: over the cache, which the new keys and values have joined, or over the new ones
// alone.
def attend_cached(
  i: int, q: act[B, T, H, D], k: act[B, T, G, D], v: act[B, T, G, D], pos: i32[..], visible: bool[..M], cached: bool,
) -> act[B, T, H, D] {
  keys[i] = update(keys[i], k, pos, axis=1)
  values[i] = update(values[i], v, pos, axis=1)
  if cached { attend(q, keys[i], values[i], visible, 1 / sqrt(D)) } else { attend(q, k, v, visible, 1 / sqrt(D)) }
}
