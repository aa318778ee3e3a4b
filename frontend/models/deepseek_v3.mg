// DeepSeek-V3 and R1 (arXiv 2412.19437; the architecture also in 2405.04434), and Kimi-K2, whose layers are
// the same: multi-head latent attention, routed experts without an auxiliary loss, YaRN, FP8 in blocks.
import "std"
import "huggingface"
import "rope"

model deepseek_v3 {
  architectures = ["DeepseekV3ForCausalLM"]
  model_types = ["deepseek_v3", "kimi_k2"]
  // Behind the last layer stand those for multi-token prediction, which generation does not need.
  extra = ["model.layers.{config.num_hidden_layers + i}.*" for i in 0..config.num_nextn_predict_layers] +
    ["*.rotary_emb.inv_freq"]
}

config {
  num_attention_heads: int where > 0
  q_lora_rank: int?
  kv_lora_rank: int where > 0
  qk_nope_head_dim: int where > 0
  qk_rope_head_dim: int where config.qk_rope_head_dim % 2 == 0
  v_head_dim: int where > 0
  attention_bias: bool = false

  intermediate_size: int where > 0
  moe_intermediate_size: int where > 0
  first_k_dense_replace: int where >= 0
  moe_layer_freq: int = 1 where == 1
  n_routed_experts: int where > 0
  n_shared_experts: int = 1 where >= 0
  num_experts_per_tok: int where > 0
  n_group: int = 1 where config.n_routed_experts % config.n_group == 0
  topk_group: int = 1 where config.topk_group <= config.n_group
  topk_method: "noaux_tc" = "noaux_tc"
  scoring_func: "sigmoid" = "sigmoid"
  norm_topk_prob: bool = true
  routed_scaling_factor: float = 1.0
  num_nextn_predict_layers: int = 0 where >= 0

  rope_interleave: bool = true where == true
  ignore num_key_value_heads, head_dim, qk_head_dim, ep_size, aux_loss_alpha, seq_aux
}

options {
  // grouped: the experts' weights stacked, each token's experts gathered. unrolled: expert by expert.
  experts: "grouped" | "unrolled" = "grouped"
}

let D = config.hidden_size
let H = config.num_attention_heads
let C = config.kv_lora_rank
let P = config.qk_nope_head_dim
let R = config.qk_rope_head_dim
let V = config.v_head_dim
let E = config.n_routed_experts
let K = config.num_experts_per_tok

// What attention keeps of a token: the latent that keys and values are made of, and the part of the key
// that knows its position.
state latent[config.num_hidden_layers]: act[B, S, C]
state rotated[config.num_hidden_layers]: act[B, S, R]

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
  let cos, sin = rotary_positions(pos, T, R)
  let visible = causal(pos, T, if cached { S } else { T })
  var x = embed(tokens)
  tap "hidden.0", x
  for i in 0..config.num_hidden_layers {
    scope "layers.{i}"
    let at = "model.layers.{i}"
    x = x + latent_attention(i, norm(x, "{at}.input_layernorm"), pos, cos, sin, visible, cached)
    let h = norm(x, "{at}.post_attention_layernorm")
    x = x + if i < config.first_k_dense_replace { dense(h, "{at}.mlp") } else { moe(i, h, "{at}.mlp") }
    tap "hidden.{i + 1}", x
  }
  logits_of(x)
}

// The factor of the scores; YaRN sharpens them.
def score_scale() -> float {
  let s = config.rope_parameters
  if s == none or s.rope_type != "yarn" or s.mscale_all_dim == none {
    1 / sqrt(P + R)
  } else {
    let all = yarn_scale(s.factor, s.mscale_all_dim)
    all * all / sqrt(P + R)
  }
}

// Multi-head latent attention (2412.19437, section 2.1.1, equations 1 to 11): queries, keys and values come
// out of two narrow latents; only that of keys and values is kept, beside one rotated key for all heads.
def latent_attention(
  i: int, x: act[B, T, D], pos: i32[..], cos: f32[..L], sin: f32[..L], visible: bool[..M], cached: bool,
) -> act[B, T, D] {
  scope "attn"
  let at = "model.layers.{i}.self_attn"
  let q = reshape(queries(x, at), [B, T, H, P + R])
  let q_rope = rope_interleaved(q[.., P:], cos, sin)

  let kv = project(x, "{at}.kv_a_proj_with_mqa", C + R, config.attention_bias)
  let c_new = norm(kv[.., :C], "{at}.kv_a_layernorm", 1e-6)
  let k_new = reshape(rope_interleaved(reshape(kv[.., C:], [B, T, 1, R]), cos, sin), [B, T, R])
  latent[i] = update(latent[i], c_new, pos, axis=1)
  rotated[i] = update(rotated[i], k_new, pos, axis=1)
  let c = if cached { latent[i] } else { c_new }
  let k_rope = if cached { rotated[i] } else { k_new }
  let keys = if cached { S } else { T }

  let up = reshape(project(c, "{at}.kv_b_proj", H * (P + V)), [B, keys, H, P + V])
  let by_content = einsum("bthd,bshd->bhts", q[.., :P], up[.., :P], format=f32)
  let by_position = einsum("bthr,bsr->bhts", q_rope, k_rope, format=f32)
  let scores = (by_content + by_position) * score_scale()
  let p = softmax(select(visible, scores, -inf))
  let y = einsum("bhts,bshv->bthv", p, up[.., P:], format=act)
  project(reshape(y, [B, T, H * V]), "{at}.o_proj", D, config.attention_bias)
}

def queries(x: act[B, T, D], at: string) -> act[B, T, H * (P + R)] {
  if config.q_lora_rank == none {
    project(x, "{at}.q_proj", H * (P + R))
  } else {
    let c_q = norm(project(x, "{at}.q_a_proj", config.q_lora_rank, config.attention_bias), "{at}.q_a_layernorm", 1e-6)
    project(c_q, "{at}.q_b_proj", H * (P + R))
  }
}

def dense(x: act[B, T, D], at: string) -> act[B, T, D] {
  scope "mlp"
  gated_mlp(x, at, config.intermediate_size)
}

// Mixture of experts (2412.19437, section 2.1.2, equations 12 to 16): K of E experts for each token, and
// shared ones, which are one wide layer, for all.
def moe(i: int, x: act[B, T, D], at: string) -> act[B, T, D] {
  scope "moe"
  let h = reshape(x, [B * T, D])
  let weights, ids = route(h, at)
  tap "topk_ids.{i}", ids
  tap "topk_weights.{i}", weights
  let routed = if options.experts == "grouped" {
    grouped_experts(h, weights, ids, "{at}.experts", E, config.moe_intermediate_size)
  } else {
    unrolled_experts(h, weights, ids, "{at}.experts", E, config.moe_intermediate_size)
  }
  let y = reshape(routed, [B, T, D])
  if config.n_shared_experts == 0 {
    y
  } else {
    y + gated_mlp(x, "{at}.shared_experts", config.n_shared_experts * config.moe_intermediate_size)
  }
}

// Which experts a token goes to, and with what weight. The bias balances the load: it has a say in the
// choice and none in the weights. First come the best groups, by their two best experts each.
def route(h: act[N, D], at: string) -> (weights: f32[N, K], ids: i32[N, K]) {
  weight router: [E, D] = "{at}.gate.weight"
  weight bias: f32[E] = "{at}.gate.e_score_correction_bias"
  let scores = sigmoid(linear(f32(h), router))
  let groups = config.n_group
  var choice = scores + bias
  if groups > 1 {
    let by_group = reshape(choice, [N, groups, E / groups])
    let best, _ = top_k(by_group, 2)
    let _, chosen = top_k(sum(best, axis=-1), config.topk_group)
    let open = any(reshape(chosen, [N, config.topk_group, 1]) == iota(i32, [groups]), axis=1)
    choice = reshape(select(reshape(open, [N, groups, 1]), by_group, -inf), [N, E])
  }
  let _, ids = top_k(choice, K)
  let w = gather_elements(scores, ids)
  let share = if config.norm_topk_prob { w / sum(w, axis=-1, keep=true) } else { w }
  (share * config.routed_scaling_factor, ids)
}
