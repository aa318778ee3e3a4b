// What Llama and its kin share: grouped-query attention with a cache of keys and values.
import "std"
import "huggingface"
import "rope"

config {
  intermediate_size: int where > 0
  num_attention_heads: int where > 0
  num_key_value_heads: int = config.num_attention_heads where > 0
  head_dim: int = config.hidden_size / config.num_attention_heads where config.head_dim % 2 == 0
  attention_bias: bool = false
}

require config.num_attention_heads % config.num_key_value_heads == 0, "groups of heads are of one size"

// Query heads, groups of them that share keys and values, channels of a head.
let H = config.num_attention_heads
let G = config.num_key_value_heads
let D = config.head_dim

state keys[config.num_hidden_layers]: act[B, S, G, D]
state values[config.num_hidden_layers]: act[B, S, G, D]

// Attention of layer i: over the cache, which the new keys and values have joined, or over the new ones
// alone.
def attend_cached(
  i: int, q: act[B, T, H, D], k: act[B, T, G, D], v: act[B, T, G, D], pos: i32[..], visible: bool[..M], cached: bool,
) -> act[B, T, H, D] {
  keys[i] = update(keys[i], k, pos, axis=1)
  values[i] = update(values[i], v, pos, axis=1)
  if cached { attend(q, keys[i], values[i], visible, 1 / sqrt(D)) } else { attend(q, k, v, visible, 1 / sqrt(D)) }
}
