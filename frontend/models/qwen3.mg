// Qwen3, the dense models (arXiv 2505.09388): as Llama, with a norm on the queries and keys of each head.
import "std"
import "huggingface"
import "decoder"
import "rope"

model qwen3 {
  architectures = ["Qwen3ForCausalLM"]
  model_types = ["qwen3"]
  extra = ["*.rotary_emb.inv_freq"] + if config.tie_word_embeddings { ["lm_head.weight"] } else { [] }
}

config {
  use_sliding_window: bool = false where == false
  ignore sliding_window, max_window_layers, layer_types
}

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
  let cos, sin = rotary_positions(pos, T, D)
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

def self_attention(
  i: int, x: act[B, T, C], pos: i32[..], cos: f32[..R], sin: f32[..R], visible: bool[..M], cached: bool,
) -> act[B, T, C] {
  scope "attn"
  let at = "model.layers.{i}.self_attn"
  let q = norm(reshape(project(x, "{at}.q_proj", H * D, config.attention_bias), [B, T, H, D]), "{at}.q_norm")
  let k = norm(reshape(project(x, "{at}.k_proj", G * D, config.attention_bias), [B, T, G, D]), "{at}.k_norm")
  let v = reshape(project(x, "{at}.v_proj", G * D, config.attention_bias), [B, T, G, D])
  let y = attend_cached(i, rope_half(q, cos, sin), rope_half(k, cos, sin), v, pos, visible, cached)
  project(reshape(y, [B, T, H * D]), "{at}.o_proj", C, config.attention_bias)
}
