package study

import (
	"math"

	"apogee/targets/sim/clock"
)

// The measured kernels that are not products or attention are those of libraries, whose source is public: how many lanes a block has, how
// wide they load, how often they go over a row. That form, not the size, decides what they take: a norm that loads two bytes a lane and
// waits reaches a third of the memory's bandwidth. So they are timed in this form where a chip runs lanes; elsewhere, and where the form is
// not known, the plan that Apogee makes is timed.

// form says how a library's kernel of a kind goes over its data; ok is false where it is not known.
func (c Case) form() (clock.Lanes, bool) {
	d := c.Dims
	const wide = 2 // bytes of an f16 or bf16 element
	switch c.Kind {
	case "rms_norm":
		// vLLM, layernorm_kernels.cu: a block a row, one element a lane at a time; over the row once for the sum of squares, once to
		// write.
		rows, n := d[0], d[1]
		lanes := min(n, 1024)
		each := ceil(n, lanes)
		return clock.Lanes{Blocks: rows, Threads: lanes, Warm: true, Read: float64(rows * n * wide), Write: float64(rows * n * wide), Again: float64(rows * n * wide),
			Rounds: []clock.Round{{Times: each, Loads: 1, Ops: 12, Bytes: wide, Syncs: 2}, {Times: each, Loads: 1, Cached: true, Ops: 14, Bytes: 2 * wide}}}, true
	case "silu_mul":
		// vLLM, activation_kernels.cu: a block a row; a lane loads a gate and a value at a time.
		rows, n := d[0], d[1]
		lanes := min(n, 1024)
		return clock.Lanes{Blocks: rows, Threads: lanes, Warm: true, Read: float64(2 * rows * n * wide), Write: float64(rows * n * wide),
			Rounds: []clock.Round{{Times: ceil(n, lanes), Loads: 1, Ops: 45 * filled(n, lanes), Bytes: 3 * wide}}}, true
	case "rope":
		// vLLM, pos_encoding_kernels.cu: a block a token, at most 512 lanes; a lane turns one pair at a time, and finds its head by a
		// division.
		rows, heads, half := d[0], d[1], d[2]
		pairs := heads * half
		lanes := min(pairs, 512)
		return clock.Lanes{Blocks: rows, Threads: lanes, Warm: true, Read: float64(2 * rows * pairs * wide), Write: float64(2 * rows * pairs * wide),
			Rounds: []clock.Round{{Times: ceil(pairs, lanes), Loads: 1, Ops: 50 * filled(pairs, lanes), Bytes: 4 * wide}}}, true
	case "embedding":
		// PyTorch, Indexing.cu. Up to 16 rows (indexSelectSmallIndex) every lane walks all of them, at most eight blocks of 128 lanes a
		// core; above (indexSelectLargeIndex) a lane takes one element at a time and divides to find its row. The index comes first,
		// then the element, whose line a neighbour has mostly asked for.
		rows, n := d[0], d[1]
		total := rows * n
		k := clock.Lanes{Threads: 128, PerCore: 8, Warm: true, Read: float64(total * wide), Write: float64(total * wide)}
		if rows <= 16 {
			k.Blocks = ceil(n, 128)
			k.Rounds = []clock.Round{{Times: rows, Loads: 2, Ops: 30, Bytes: 2 * wide}}
			return k, true
		}
		k.Blocks = ceil(total, 128)
		k.Rounds = []clock.Round{{Times: 1, Loads: 2, Cached: true, Ops: 75, Bytes: 2 * wide}}
		return k, true
	case "add", "gelu":
		// PyTorch, CUDALoops.cuh (vectorized_elementwise_kernel): 128 lanes a block, four elements a lane in one load.
		n := d[0]
		in, ops := int64(2), 24.0
		if c.Kind == "gelu" {
			n, in, ops = d[0]*d[1], 1, 60
		}
		return clock.Lanes{Blocks: ceil(n, 512), Threads: 128, Warm: true, Read: float64(in * n * wide), Write: float64(n * wide),
			Rounds: []clock.Round{{Times: 1, Loads: 1, Ops: ops, Bytes: float64(4 * (in + 1) * wide)}}}, true
	case "read":
		// A microbenchmark: blocks of 1024 lanes, 16 bytes a lane and load, one load on its way.
		elem := int64(bytesOf[c.Format])
		return clock.Lanes{Blocks: d[0], Threads: 1024, Read: float64(d[0] * d[1] * elem),
			Rounds: []clock.Round{{Times: ceil(d[1]*elem, 1024*16), Loads: 1, Ops: 4, Bytes: 16}}}, true
	case "copy", "triad":
		elem := int64(bytesOf[c.Format])
		in := int64(1)
		if c.Kind == "triad" {
			in = 2
		}
		return clock.Lanes{Blocks: ceil(d[0]*elem, 256*16), Threads: 256, Warm: true, Read: float64(in * d[0] * elem), Write: float64(d[0] * elem),
			Rounds: []clock.Round{{Times: 1, Loads: 1, Ops: 12, Bytes: float64(16 * (in + 1))}}}, true
	case "layer_norm":
		// PyTorch, layer_norm_kernel.cu (vectorized_layer_norm): a block of 128 lanes a row, four elements in one load, twice over the row.
		rows, n := d[0], d[1]
		each := ceil(n, 512)
		return clock.Lanes{Blocks: rows, Threads: 128, Warm: true, Read: float64(rows * n * wide), Write: float64(rows * n * wide), Again: float64(rows * n * wide),
			Rounds: []clock.Round{{Times: each, Loads: 1, Ops: 60, Bytes: 4 * wide, Syncs: 2}, {Times: each, Loads: 1, Cached: true, Ops: 30, Bytes: 8 * wide}}}, true
	case "softmax":
		rows, n := d[0], d[1]
		read := float64(rows * n * wide)
		if n <= 1024 {
			// PyTorch, PersistentSoftmax.cuh: a warp a row or two, the row in registers.
			return clock.Lanes{Blocks: ceil(rows, 4), Threads: 128, Warm: true, Read: read, Write: read,
				Rounds: []clock.Round{{Times: 1, Loads: 1, Ops: 40 + 30*float64(ceil(n, 32)), Bytes: 4 * float64(ceil(n, 32))}}}, true
		}
		// PyTorch, SoftMax.cu (cunn_SoftMaxForward): a block a row, eight elements a load, three times over the row.
		lanes := min(1024, max(32, int64(math.Exp2(math.Floor(math.Log2(float64(ceil(n, 8))))))))
		each := ceil(n, 8*lanes)
		return clock.Lanes{Blocks: rows, Threads: lanes, Warm: true, Read: read, Write: read, Again: 2 * read,
			Rounds: []clock.Round{{Times: each, Loads: 1, Ops: 40, Bytes: 16, Syncs: 2}, {Times: each, Loads: 1, Cached: true, Ops: 120, Bytes: 16, Syncs: 2}, {Times: each, Loads: 1, Cached: true, Ops: 160, Bytes: 32}}}, true
	}
	return clock.Lanes{}, false
}

// filled is the part of the lanes that have an element, over all times they go over n.
func filled(n, lanes int64) float64 { return float64(n) / float64(lanes*ceil(n, lanes)) }

var bytesOf = map[string]int{"f16": 2, "bf16": 2, "f32": 4, "tf32": 4, "f64": 8, "i8": 1, "f8e4m3fn": 1}

func ceil(a, b int64) int64 { return (a + b - 1) / max(b, 1) }
