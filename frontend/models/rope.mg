// Rotary positions as config.json has them, with every scaling that transformers knows for them: rope_theta and rope_scaling,
// or, as its version 5 writes it, both in rope_parameters.
import "std"

config {
  max_position_embeddings: int = 2048 where > 0
  rope_theta: float = 10000.0 where > 0
  partial_rotary_factor: float = 1.0 where == 1
  rope_parameters, rope_scaling: {
    rope_type, type: "default" | "linear" | "dynamic" | "llama3" | "yarn" = "default"
    rope_theta: float?
    partial_rotary_factor: float = 1.0 where == 1
    factor: float? where > 0
    original_max_position_embeddings: int = config.max_position_embeddings where > 0

    // llama3
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0

    // yarn
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float?
    mscale: float?
    mscale_all_dim: float?
    truncate: bool = true
  }?
}

require rope_factor_given(), "a scaling of rotary positions has a factor"

def rope_factor_given() -> bool {
  let s = config.rope_parameters
  if s == none { true } else { s.rope_type == "default" or s.factor != none }
}

// Cosines and sines of R channels at the positions pos, pos + 1, … of T tokens.
def rotary_positions(pos: i32[..], T: dim, R: int) -> (cos: f32[.., T, 1, P], sin: f32[.., T, 1, P]) {
  let s = config.rope_parameters
  let theta = if s != none and s.rope_theta != none { s.rope_theta } else { config.rope_theta }
  let base = frequencies(theta, R)
  if s == none or s.rope_type == "default" {
    rotary(pos, T, base, 1.0)
  } else if s.rope_type == "linear" {
    rotary(pos, T, [f / s.factor for f in base], 1.0)
  } else if s.rope_type == "dynamic" {
    dynamic_rotary(pos, T, base, R, s.factor, config.max_position_embeddings)
  } else if s.rope_type == "llama3" {
    rotary(pos, T, llama3_frequencies(base, s), 1.0)
  } else {
    rotary(pos, T, yarn_frequencies(base, theta, R, s), yarn_multiplier(s))
  }
}

// What YaRN multiplies cosines and sines by.
def yarn_multiplier(s: object) -> float {
  if s.attention_factor != none {
    s.attention_factor
  } else if s.mscale != none and s.mscale_all_dim != none and s.mscale != 0 and s.mscale_all_dim != 0 {
    yarn_scale(s.factor, s.mscale) / yarn_scale(s.factor, s.mscale_all_dim)
  } else {
    yarn_scale(s.factor, 1.0)
  }
}
