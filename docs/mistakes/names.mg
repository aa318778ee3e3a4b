// Two slips of a name, both reported at once.
import "std"

let D = 64

entry layer(x: f32[T, D], up: f32[256, D], down: f32[D, 256]) -> (y: f32[T, D]) {
  let h = silu(linaer(x, up))
  einsum("tf,df->td", h, dwon)
}
