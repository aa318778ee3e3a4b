// What is found when the module is built: shapes, formats and values.
config {
  heads: int = 3
  scaling: { factor: float }?
}

options {
  mode: "fast" | "slow" = "fast"
}

require config.heads > 4, "at least 5 heads" // want "MG307. 11:9: at least 5 heads .expected config.heads > 4, found false"

def norm(x: F[.., D], gain: [D]) -> F[.., D] {
  let y = f32(x)
  cast(y * rsqrt(mean(y * y, axis=-1, keep=true) + 1e-6), F) * gain // want "MG303. 15:3: . takes tensors of one format .expected f16.B,64., found f32.64.*cast one: f16.gain."
}

def square(x: [N, N]) -> [N, N] { x }

def halves(x: [.., 2 * D]) -> [.., D] { x[.., :D] }

def wrong(x: [N]) -> [N, N] { x } // want "MG302. 22:31: the result of wrong does not fit its type .expected .N, N. with N = 4, found f32.4."

entry shapes(x: f32[B, 64], y: f32[B, 96], z: f16[B, 64], i: i32[B]) -> f32[B, 64] {
  let a = norm(x, y[0]) // want "MG302. 25:19: the argument gain of norm does not fit .expected .D. with D = 64, found f32.96."
  let b = norm(z, x[0])
  let c = x + y // want "MG302. 27:11: the shapes of . do not broadcast .expected f32.B,64., found f32.B,96."
  let d = x + z // want "MG303. 28:11: . takes tensors of one format .expected f32.B,64., found f16.B,64.*cast one: f32.z."
  let e = x @ y // want "MG302. 29:11: einsum .* does not fit: k is 64 in f32.B,64. but B in f32.B,96."
  let f = einsum("bd,fd->bf", x, y) // want "MG302. 30:11: einsum .bd,fd->bf. does not fit: d is 64"
  let g = einsum("..d,fgd->..f", x, y) // want "MG302. 31:11: einsum .* names 3 axes, found f32.B,96."
  let h = reshape(x, [B, 60]) // want "MG304. 32:11: reshape keeps the number of elements"
  let j = square(x) // want "MG302. 33:18: the argument x of square does not fit .expected .N, N. with N = B, found f32.B,64."
  let k = halves(x[.., :63]) // want "MG302. 34:18: the argument x of halves does not fit"
  let l = x[.., 60:70] // want "MG302. 35:17: the index is outside the axis .expected an index from 0 to 64"
  let m = x[0, 1, 2] // want "MG302. 36:11: more indices than axes"
  let n = wrong(f32([1, 2, 3, 4]))
  let o = reshape(x, [B, config.heads / 2]) // want "MG305. 38:26: a dimension is a whole number"
  let p = reshape(x, [B, -1]) // want "MG301. 39:26: a dimension is a whole number .*there is no -1"
  let q = mean(x) // want "MG105. 40:11: mean needs an axis"
  let r = top_k(x, "3") // want "MG301. 41:20: the attribute k is of another kind .expected a dimension, found string"
  let s = config.scaling.factor // want "MG301. 42:11: config.scaling is none here"
  let t = i + 0.5 // want "MG309. 43:15: i32 does not hold 0.5"
  let u = i + 3000000000 // want "MG309. 44:15: 3000000000 does not fit i32"
  let v = if B > 1 { x } else { x } // want "MG306. 45:14: whether B > 1 holds cannot be told"
  let w = if x { x } else { x } // want "MG306. 46:14: the condition is a tensor"
  let aa = if config.heads { x } else { x } // want "MG301. 47:15: the condition is not a bool .expected a bool, found int 3.*!= 0"
  let bb = 1 / 0 // want "MG305. 48:12: division by zero"
  let cc = log(-1) // want "MG305|MG301"
  let dd = x + [1, 2] // want "MG301. 50:16: list .1, 2. cannot be computed with"
  let ee = select(x, 1.0, 2.0) // want "MG301. 51:22: the operand a of select is a tensor .expected a tensor, found float 1.0.*f32.1.0."
  let ff = select(x, x, y) // want "MG304"
  let gg, hh = top_k(x, 3)
  let ii = top_k(x, 3) // want "MG301. 54:12: 2 results for one name"
  let jj, kk, ll = top_k(x, 3) // want "MG301. 55:20: the names and the values differ in number .expected 3 values, found 2 values"
  for mm in config.heads { // want "MG301. 56:13: a loop goes over a range or a list .expected a range such as 0..n, or a list, found int 3"
    let _n = mm
  }
  let oo = [1, 2][5] // want "MG301. 59:19: the list has no such index"
  let pp = "a" - 1 // want "MG301. 60:12: - is not for string .a. and int 1"
  let qq = iota(i32, [B]) + gather(i, x) // want "MG304"
  var rr = x
  rr = y // want "MG302. 63:8: rr changes its type .expected f32.B,64., found f32.B,96."
  weight ss: [B] = "s" // want "MG401. 64:14: a weight's shape is known when the module is built"
  weight tt: [4] = "t"
  weight uu: [8] = "t" // want "MG401. 66:14: the weight .t. is declared in two ways"
  weight vv[e in 1..3]: [4] = "v.{e}" // want "MG401. 67:18: a stack counts from 0"
  weight ww[e in 0..3]: [4] = "v" // want "MG401. 68:31: the name of a stacked weight" "warning"
  tap 3, x // want "MG301. 69:7: the name of a tap"
  tap "x", 3 // want "MG301. 70:12: a tap takes a tensor"
  scope 3 // want "MG301. 71:9: the name of a scope"
  require config.heads == 4, "four, not {config.heads}" // want "MG307. 72:11: four, not 3"
  let _all = [a, b, c, d, e, f, g, h, j, k, l, m, n, o, p, q, r, s, t, u, v, w, aa, bb, cc, dd, ee, ff, gg, hh]
  let _more = [ii, jj, kk, ll, oo, pp, qq, rr, ss, tt, uu, vv, ww]
  y // want "MG302. 75:3: the result does not fit its type .expected f32.B, 64., found f32.B,96."
}
