// The parts that transformers are made of.

// Root-mean-square norm over the last axis, in f32 inside (Zhang and Sennrich 2019, equation 4).
def rms_norm(x: F[.., D], gain: [D], eps: float) -> F[.., D] {
  let y = f32(x)
  cast(y * rsqrt(mean(y * y, axis=-1, keep=true) + eps), F) * cast(gain, F)
}

// y = x wᵀ, the weight stored [out, in].
def linear(x: F[.., D], w: [N, D]) -> F[.., N] {
  einsum("..d,nd->..n", x, cast(w, F))
}

def silu(x: [..]) -> [..] {
  x * sigmoid(x)
}

// Over the last axis.
def softmax(x: [.., N]) -> [.., N] {
  let e = exp(x - max(x, axis=-1, keep=true))
  e / sum(e, axis=-1, keep=true)
}

// The base frequencies of rotary positions over R channels: theta^(-2i/R) (Su et al. 2021, section 3.4.2).
def frequencies(theta: float, R: int) -> list {
  [pow(theta, -2 * i / R) for i in 0..R / 2]
}

// Llama 3.1: long waves are stretched by a factor, short ones kept, those between blended.
def llama3_frequencies(base: list, s: object) -> list {
  let n = s.original_max_position_embeddings
  let low = s.low_freq_factor
  let high = s.high_freq_factor
  [
    if n * f < 2 * pi * low {
      f / s.factor
    } else if n * f > 2 * pi * high {
      f
    } else {
      let smooth = (n * f / (2 * pi) - low) / (high - low)
      (1 - smooth) * f / s.factor + smooth * f
    }
    for f in base
  ]
}

// YaRN (Peng et al. 2023, section 3.2): channels that turn less than beta_slow times over the original
// length are stretched by the factor, those that turn more than beta_fast times kept, those between
// blended along a ramp.
def yarn_frequencies(base: list, theta: float, R: int, s: object) -> list {
  let first = yarn_channel(s.beta_fast, theta, R, s)
  let last = yarn_channel(s.beta_slow, theta, R, s)
  let low = max(if s.truncate { floor(first) } else { first }, 0)
  let high = min(if s.truncate { ceil(last) } else { last }, R - 1)
  let width = if high > low { high - low } else { 0.001 }
  let ramp = [min(max((i - low) / width, 0), 1) for i in 0..len(base)]
  [base[i] / s.factor * ramp[i] + base[i] * (1 - ramp[i]) for i in 0..len(base)]
}

// The channel pair that turns so many times over the original length.
def yarn_channel(turns: float, theta: float, R: int, s: object) -> float {
  R * log(s.original_max_position_embeddings / (turns * 2 * pi)) / (2 * log(theta))
}

// YaRN's correction of the attention's temperature: 0.1 a ln(factor) + 1.
def yarn_scale(factor: float, a: float) -> float {
  if factor > 1 { 0.1 * a * log(factor) + 1 } else { 1.0 }
}

// Cosines and sines at the positions pos, pos + 1, … of T tokens, times mult. The axis of size 1 is that of
// the heads.
def rotary(pos: i32[..], T: dim, freq: list, mult: float) -> (f32[.., T, 1, R], f32[.., T, 1, R]) {
  let p = reshape(pos, [.., 1]) + iota(i32, [T])
  let angle = reshape(f32(p), [.., T, 1, 1]) * f32(freq)
  if mult == 1 { (cos(angle), sin(angle)) } else { (cos(angle) * mult, sin(angle) * mult) }
}

// The same with frequencies that fall as a sequence grows beyond length M, which the model was trained on: NTK-aware scaling, dynamic,
// theta times (factor L/M - (factor - 1)) to the power R/(R - 2) at length L.
def dynamic_rotary(
  pos: i32[..], T: dim, base: list, R: int, factor: float, M: int,
) -> (f32[.., T, 1, P], f32[.., T, 1, P]) {
  let length = max(f32(pos + T), f32(M))
  let stretch = reshape(length * (factor / M) - (factor - 1), [.., 1, 1, 1])
  let freq = f32(base) * pow(stretch, f32([-2.0 * i / (R - 2) for i in 0..R / 2]))
  let p = reshape(pos, [.., 1]) + iota(i32, [T])
  let angle = reshape(f32(p), [.., T, 1, 1]) * freq
  (cos(angle), sin(angle))
}

// Turns each pair of channels (i, i + R/2) by its angle.
def rope_half(x: F[B, T, H, 2 * R], cos: f32[.., R], sin: f32[.., R]) -> F[B, T, H, 2 * R] {
  let a = f32(x[.., :R])
  let b = f32(x[.., R:])
  cast(concat(a * cos - b * sin, a * sin + b * cos, axis=-1), F)
}

// Turns each pair of channels (2i, 2i + 1) by its angle. The pairs' first channels come out in the first
// half, their second ones in the second: products of two such vectors do not notice.
def rope_interleaved(x: F[B, T, H, 2 * R], cos: f32[.., R], sin: f32[.., R]) -> F[B, T, H, 2 * R] {
  let a = f32(x[.., ::2])
  let b = f32(x[.., 1::2])
  cast(concat(a * cos - b * sin, a * sin + b * cos, axis=-1), F)
}

// Which of S keys each of T queries sees: those that do not come after it. Query t stands at pos + t.
def causal(pos: i32[..], T: dim, S: dim) -> bool[.., 1, T, S] {
  iota(i32, [S]) <= reshape(pos, [.., 1, 1, 1]) + reshape(iota(i32, [T]), [T, 1])
}

// Attention with H heads in G groups that share keys and values.
def attend(
  q: F[B, T, H, D], k: F[B, S, G, D], v: F[B, S, G, E], visible: bool[..P, 1, T, S], scale: float,
) -> F[B, T, H, E] {
  let groups = reshape(q, [B, T, G, H / G, D])
  let scores = einsum("btghd,bsgd->bghts", groups, k, format=f32) * scale
  let p = softmax(select(reshape(visible, [..P, 1, 1, T, S]), scores, -inf))
  reshape(einsum("bghts,bsge->btghe", p, v, format=F), [B, T, H, E])
}
