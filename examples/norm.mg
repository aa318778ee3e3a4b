// A norm and a linear layer with an op of its own: the example of docs/architecture.md.

let D = 256

// Root-mean-square norm over the last axis.
def rms(x: [.., D], gain: [D]) -> [.., D] {
  let y = f32(x)
  y * rsqrt(mean(y * y, axis=-1, keep=true) + 1e-6) * gain
}

entry layer(x: f32[T, D], gain: f32[D], w: f32[N, D]) -> (y: f32[T, N]) {
  einsum("td,nd->tn", rms(x, gain), w)
}
