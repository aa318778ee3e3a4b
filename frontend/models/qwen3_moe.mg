// Qwen3, the mixture-of-experts models (arXiv 2505.09388): attention as in the dense ones, and in place of
// the feed-forward layer the best K of E experts for each token.
import "std"
import "huggingface"
import "decoder"
import "rope"

model qwen3_moe {
  architectures = ["Qwen3MoeForCausalLM"]
  model_types = ["qwen3_moe"]
  extra = ["*.rotary_emb.inv_freq"] + if config.tie_word_embeddings { ["lm_head.weight"] } else { [] }
}

config {
  use_sliding_window: bool = false where == false
  num_experts: int where > 0
  num_experts_per_tok: int where > 0
  moe_intermediate_size: int where > 0
  norm_topk_prob: bool = false
  decoder_sparse_step: int = 1 where > 0
  mlp_only_layers: [int] = []
  ignore sliding_window, max_window_layers, layer_types, output_router_logits, router_aux_loss_coef
}

options {
  // grouped: the experts' weights stacked, each token's experts gathered. unrolled: expert by expert.
  experts: "grouped" | "unrolled" = "grouped"
}

let E = config.num_experts
let K = config.num_experts_per_tok

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
    let h = norm(x, "{at}.post_attention_layernorm")
    let routed = not i in config.mlp_only_layers and (i + 1) % config.decoder_sparse_step == 0
    x = x + if routed { moe(i, h, "{at}.mlp") } else { gated_mlp(h, "{at}.mlp", config.intermediate_size) }
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

def moe(i: int, x: act[B, T, C], at: string) -> act[B, T, C] {
  scope "moe"
  let h = reshape(x, [B * T, C])
  let weights, ids = route(h, at)
  tap "topk_ids.{i}", ids
  tap "topk_weights.{i}", weights
  let y = if options.experts == "grouped" {
    grouped_experts(h, weights, ids, "{at}.experts", E, config.moe_intermediate_size)
  } else {
    unrolled_experts(h, weights, ids, "{at}.experts", E, config.moe_intermediate_size)
  }
  reshape(y, [B, T, C])
}

// The experts that a token likes best, and its share for each.
def route(h: act[N, C], at: string) -> (weights: f32[N, K], ids: i32[N, K]) {
  weight router: [E, C] = "{at}.gate.weight"
  let scores = softmax(linear(f32(h), router))
  let w, ids = top_k(scores, K)
  let share = if config.norm_topk_prob { w / sum(w, axis=-1, keep=true) } else { w }
  (share, ids)
}
