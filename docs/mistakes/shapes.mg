// Weights stored [out, in] take their letters in that order; the second product has them the other way round.
let D = 64

def mlp(x: [.., D], up: [F, D], down: [D, F]) -> [.., D] {
  einsum("tf,fd->td", einsum("td,fd->tf", x, up), down)
}

entry layer(x: f32[T, D], up: f32[256, D], down: f32[D, 256]) -> (y: f32[T, D]) {
  mlp(x, up, down)
}
