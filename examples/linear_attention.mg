// An op of one's own, with a state: attention without a softmax (Katharopoulos et al. 2020), whose memory does not grow with
// the text. Running 8 tokens at once gives what running them one by one gives.
import "std"

options {
  heads: int = 4 where > 0
  channels: int = 32 where > 0
}

let H = options.heads
let D = options.channels

// Sums of k ⊗ v over all tokens so far, and of k.
state memory: f32[B, H, D, D]
state mass: f32[B, H, D]

// Goes on with T tokens.
entry step(q: f32[B, T, H, D], k: f32[B, T, H, D], v: f32[B, T, H, D]) -> (y: f32[B, T, H, D]) {
  let y, m, z = linear_attention(feature(q), feature(k), v, memory, mass)
  memory = m
  mass = z
  y
}

// elu(x) + 1: positive, so that weights are (equation 7).
def feature(x: [..]) -> [..] {
  select(x > 0, x + 1, exp(x))
}

// What the queries find among the tokens up to their own, the memory of earlier ones included; and the memory
// with the new tokens in it (equations 10 to 12).
def linear_attention(
  q: F[B, T, H, D], k: F[B, T, H, D], v: F[B, T, H, E], memory: F[B, H, D, E], mass: F[B, H, D],
) -> (y: F[B, T, H, E], memory: F[B, H, D, E], mass: F[B, H, D]) {
  let seen = cast(causal(i32(0), T, T), F)
  let weights = einsum("bthd,bshd->bhts", q, k) * seen
  let found = einsum("bhts,bshe->bthe", weights, v) + einsum("bthd,bhde->bthe", q, memory)
  let total = sum(weights, axis=-1) + einsum("bthd,bhd->bht", q, mass)
  let y = found / reshape(transpose(total, [0, 2, 1]), [B, T, H, 1])
  (y, memory + einsum("bshd,bshe->bhde", k, v), mass + sum(k, axis=1))
}
