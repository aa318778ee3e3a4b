// The measured kernels, each as the one kernel that a vendor's library has for it. FMT stands for the format that was measured.

// A product with the weight stored [out, in].
entry gemm(x: FMT[T, K], w: FMT[N, K]) -> (y: FMT[T, N]) {
  einsum("tk,nk->tn", x, w)
}

// As gemm, of 8-bit integers.
entry gemm_i8(x: i8[T, K], w: i8[N, K]) -> (y: i32[T, N]) {
  einsum("tk,nk->tn", x, w, format=i32)
}

// As gemm, of FP8 codes with a scale for every 128 elements of a row and every 128x128 of the weight.
entry gemm_f8(x: f8e4m3fn[T, K], sx: f32[T, ceil(K / 128)], w: f8e4m3fn[N, K], sw: f32[ceil(N / 128), ceil(K / 128)]) -> (y: bf16[T, N]) {
  scaled_matmul(x, w, sx, sw, block=[128, 128], format=bf16)
}

// One product a head.
entry batched(a: FMT[B, M, K], b: FMT[B, K, N]) -> (y: FMT[B, M, N]) {
  einsum("bmk,bkn->bmn", a, b)
}

// The rows of each of E experts times its weight, FP8; T rows an expert.
entry grouped_f8(
  x: f8e4m3fn[E * T, K], sx: f32[E * T, ceil(K / 128)], w: f8e4m3fn[E, N, K], sw: f32[E, ceil(N / 128), ceil(K / 128)], offsets: i32[E + 1],
) -> (y: bf16[E * T, N]) {
  grouped_matmul(x, w, offsets, sx, sw, block=[128, 128], format=bf16)
}

entry add_arrays(x: FMT[N], z: FMT[N]) -> (y: FMT[N]) {
  x + z
}

entry copy_array(x: FMT[N]) -> (y: FMT[N]) {
  -x
}

// a + 2 b, as STREAM's triad.
entry triad(x: FMT[N], z: FMT[N]) -> (y: FMT[N]) {
  x + 2 * z
}

// B blocks that each read N elements.
entry read_blocks(x: FMT[B, N]) -> (y: FMT[B]) {
  sum(x, axis=-1)
}

entry rms_norm(x: FMT[T, D], gain: FMT[D]) -> (y: FMT[T, D]) {
  let z = f32(x)
  cast(z * rsqrt(mean(z * z, axis=-1, keep=true) + 1e-6), x) * gain
}

entry layer_norm(x: FMT[T, D], gain: FMT[D], bias: FMT[D]) -> (y: FMT[T, D]) {
  let z = f32(x)
  let c = z - mean(z, axis=-1, keep=true)
  cast(c * rsqrt(mean(c * c, axis=-1, keep=true) + 1e-5) * f32(gain) + f32(bias), x)
}

entry softmax(x: FMT[T, D]) -> (y: FMT[T, D]) {
  let z = f32(x)
  let e = exp(z - max(z, axis=-1, keep=true))
  cast(e / sum(e, axis=-1, keep=true), x)
}

entry gelu(x: FMT[T, N]) -> (y: FMT[T, N]) {
  let z = f32(x)
  cast(0.5 * z * (1 + erf(z * 0.7071067811865475)), x)
}

// silu(gate) * up, both in one array.
entry silu_mul(x: FMT[T, 2 * F]) -> (y: FMT[T, F]) {
  let g = f32(x[.., :F])
  cast(g * sigmoid(g), x) * x[.., F:]
}

// Rotary positions on H heads of 2 R channels.
entry rope(x: FMT[T, H, 2 * R], c: FMT[T, 1, R], s: FMT[T, 1, R]) -> (y: FMT[T, H, 2 * R]) {
  let a = f32(x[.., :R])
  let b = f32(x[.., R:])
  cast(concat(a * f32(c) - b * f32(s), a * f32(s) + b * f32(c), axis=-1), x)
}

// The rows of a table of V that T tokens name.
entry embedding(tokens: i32[T], table: FMT[V, D]) -> (y: FMT[T, D]) {
  gather(table, tokens)
}
