package mg

import (
	"testing"

	"apogee/ir/diag"
	"apogee/ir/irtest"
)

// TestCheckShapes checks defs by themselves: what is wrong for every config is found, and what may be right is let pass.
func TestCheckShapes(t *testing.T) {
	src := diag.NewSource("a.mg", []byte(`
config {
  width: int
  heads: int
  kind: "a" | "b"
  rank: int?
}

let D = config.width
let H = config.heads

state kv[config.heads]: act[B, S, D]

def product(x: [N, K], w: [M, K]) -> [N, M] {
  einsum("nk,km->nm", x, w) // want "MG302. 15:3: einsum .nk,km->nm. does not fit: k is K in f32.N,K. but M in f32.M,K."
}

def halves(x: [.., 2 * D2]) -> [.., D2] {
  x[.., :D2] + x[.., D2:]
}

def wrong_result(x: [N, K]) -> [K, N] {
  x // want "MG302. 23:3: the result of wrong_result does not fit its type .expected .K, N. with K = K, N = N, found f32.N,K."
}

def calls(x: [N, K], w: [K]) -> [N, K] {
  let y = product(x, x)
  let z = halves(w)
  let a = product(x, w) // want "MG302. 29:22: the argument w of product does not fit"
  let b = y + x // want "MG302. 30:11: the shapes of . do not broadcast"
  let c = reshape(x, [N * K, 2]) // want "MG304. 31:11: reshape keeps the number of elements"
  let _rest = [z, a, b, c]
  x * w
}

def either(x: [N, K]) -> [N, K] {
  let y = if config.kind == "a" { x } else { transpose(x, [1, 0]) }
  let z = if config.rank == none { x + 1 } else { x[0, 0, 0] } // want "MG302. 38:51: more indices than axes"
  var w = x
  if config.kind == "b" {
    w = x[.., 0] // want "MG302. 41:9: w changes its type"
  }
  y + z + w
}

def config_dims(x: act[B, T, D], i: int) -> act[B, T, D] {
  weight w: [H * 3, D] = "w.{i}"
  let y = reshape(einsum("btd,nd->btn", x, w), [B, T, H, 3])
  kv[i] = update(kv[i], x, 0, axis=1)
  let z = einsum("btd,bs->bts", x, kv[i]) // want "MG302. 50:11: einsum .* names 2 axes"
  let _unused = [y, z]
  x + reshape(y, [B, T, D])
}

def any_rank(x: F[.., K], g: [K]) -> F[.., K] {
  let y = f32(x)
  cast(y * rsqrt(mean(y * y, axis=-1, keep=true) + 1e-6), F) * cast(g, F)
}

def loops(x: [N, K]) -> [N, K] {
  var y = x
  for i in 0..config.heads {
    y = config_free(i, y)
  }
  y
}

def config_free(i: int, x: [N, K]) -> [N, K] {
  weight w: [K, config.width] = "w.{i}"
  x + einsum("nk,kd->nk", x, w)
}

entry main(x: act[B, T, D]) -> (y: act[B, T, D]) {
  config_dims(config_dims(x, 0), 1)
}
`))
	p, err := Load(src, nil)
	if err != nil {
		t.Fatal(err)
	}
	irtest.Want(t, src, CheckShapes(p))
	if m := p.Missing(); len(m) != 3 {
		t.Errorf("missing: %v", m)
	}
}
