// What the config.json and the tensors of a Hugging Face checkpoint have in common, whatever the model.
import "std"

config {
  vocab_size: int where > 0
  hidden_size: int where > 0
  num_hidden_layers: int where >= 0
  hidden_act: "silu" = "silu"
  rms_norm_eps: float = 1e-6 where > 0
  tie_word_embeddings: bool = false

  // DeepSeek's FP8: codes with a scale for each block of the matrix.
  quantization_config: {
    quant_method: "fp8"
    fmt: "e4m3" = "e4m3"
    activation_scheme: "dynamic" = "dynamic"
    weight_block_size: [int]
    scale_fmt: "ue8m0"?
    modules_to_not_convert: [string]?
  }?

  // Bookkeeping, training and generation: nothing here changes the graph.
  ignore architectures, model_type, auto_map, torch_dtype, dtype, transformers_version, use_cache, _name_or_path
  ignore bos_token_id, eos_token_id, pad_token_id, initializer_range, attention_dropout, pretraining_tp
  ignore output_attentions, output_hidden_states, return_dict, torchscript, tokenizer_class, unsloth_fixed
  ignore do_sample, temperature, top_k, top_p, max_length, min_length, repetition_penalty, _attn_implementation_autoset
}

// Whether the matrix NAME.weight is stored as numbers, and not as codes with scales.
def plain(name: string) -> bool {
  let q = config.quantization_config
  if q == none {
    true
  } else if q.modules_to_not_convert == none {
    false
  } else {
    covers(q.modules_to_not_convert, name)
  }
}

// What the scales of activations are that are quantised to meet codes.
def activation_scales() -> string {
  if config.quantization_config.scale_fmt == none { "exact" } else { "ue8m0" }
}

// The matrix NAME.weight, stored [N, D].
def matrix(name: string, N: int, D: int) -> act[N, D] {
  if plain(name) {
    weight w: [N, D] = "{name}.weight"
    cast(w, act)
  } else {
    let block = config.quantization_config.weight_block_size
    weight codes: f8e4m3fn[N, D] = "{name}.weight"
    weight scale: f32[ceil(N / block[0]), ceil(D / block[1])] = "{name}.weight_scale_inv"
    dequantize(codes, scale, block=block, format=act, activations=activation_scales())
  }
}

// The matrices NAME.0.PART.weight, NAME.1.PART.weight … of E experts, stacked.
def matrices(name: string, part: string, E: int, N: int, D: int) -> act[E, N, D] {
  if plain("{name}.0.{part}") {
    weight w[e in 0..E]: [N, D] = "{name}.{e}.{part}.weight"
    cast(w, act)
  } else {
    let block = config.quantization_config.weight_block_size
    weight codes[e in 0..E]: f8e4m3fn[N, D] = "{name}.{e}.{part}.weight"
    weight scale[e in 0..E]: f32[ceil(N / block[0]), ceil(D / block[1])] = "{name}.{e}.{part}.weight_scale_inv"
    dequantize(codes, scale, block=block, format=act, activations=activation_scales())
  }
}

// x NAMEᵀ, to N channels, plus a bias where there is one.
def project(x: act[.., D], name: string, N: int, biased: bool = false) -> act[.., N] {
  if biased {
    weight bias: [N] = "{name}.bias"
    linear(x, matrix(name, N, D)) + cast(bias, act)
  } else {
    linear(x, matrix(name, N, D))
  }
}

def norm(x: act[.., D], name: string, eps: float = config.rms_norm_eps) -> act[.., D] {
  weight gain: [D] = "{name}.weight"
  rms_norm(x, gain, eps)
}

// The gated feed-forward layer: (silu(x W₁) · x W₃) W₂ (Shazeer 2020, equation 6).
def gated_mlp(x: act[.., D], name: string, N: int, biased: bool = false) -> act[.., D] {
  let gate = project(x, "{name}.gate_proj", N, biased)
  let up = project(x, "{name}.up_proj", N, biased)
  project(silu(gate) * up, "{name}.down_proj", D, biased)
}

// The rows of the embedding that belong to the tokens.
def embed(tokens: i32[B, T]) -> act[B, T, config.hidden_size] {
  weight embedding: [config.vocab_size, config.hidden_size] = "model.embed_tokens.weight"
  cast(gather(embedding, tokens), act)
}

// The final norm and the scores of all words.
def logits_of(x: act[B, T, D]) -> f32[B, T, config.vocab_size] {
  let h = norm(x, "model.norm")
  tap "final_norm", h
  let head = if config.tie_word_embeddings { "model.embed_tokens" } else { "lm_head" }
  weight words: [config.vocab_size, D] = "{head}.weight"
  einsum("btd,vd->btv", h, cast(words, act), format=f32)
}

// Routed experts at once: each token's K experts of E, their matrices taken from the stacks.
def grouped_experts(h: act[N, D], weights: f32[N, K], ids: i32[N, K], name: string, E: int, F: int) -> act[N, D] {
  let gate = einsum("nd,nkfd->nkf", h, gather(matrices(name, "gate_proj", E, F, D), ids))
  let up = einsum("nd,nkfd->nkf", h, gather(matrices(name, "up_proj", E, F, D), ids))
  let y = einsum("nkf,nkdf->nkd", silu(gate) * up, gather(matrices(name, "down_proj", E, D, F), ids))
  einsum("nk,nkd->nd", weights, y, format=act)
}

// Routed experts one by one, every token through each of them, with weight 0 where it was not chosen.
def unrolled_experts(h: act[N, D], weights: f32[N, K], ids: i32[N, K], name: string, E: int, F: int) -> act[N, D] {
  var y = full(f32, [N, D], 0)
  for e in 0..E {
    scope "expert.{e}"
    let w = sum(select(ids == e, weights, 0), axis=-1, keep=true)
    y = y + f32(gated_mlp(h, "{name}.{e}", F)) * w
  }
  act(y)
}
