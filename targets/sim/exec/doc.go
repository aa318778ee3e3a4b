// Package exec runs a plan: it does to bytes what the instructions say, tile by tile, in the chip's formats.
//
// A [Device] holds what outlives a run: weights and states. A [Machine] is one plan on a device; the
// prefill and the decode plan of a model are two machines on one device, and find each other's states by name. Global memory is bytes at
// the plan's addresses, and so are the memories of a core; a worker goroutine plays one core at a time, block by block.
// What an instruction means is said in package plan; what exec adds is listed here.
//
//   - Vector instructions on float formats decode to f32, compute, and round once to the result's format; f64 ones compute in f64, integer
//     ones in 64 bits and wrap. Transcendental functions are correctly rounded to f32 but for a few cases in ten thousand.
//   - Where the chip flushes subnormals, arithmetic takes and gives them as zeros of their sign: each operand's in its own format, the
//     result's in the result's. Copies, selections, sign changes and casts are not arithmetic.
//   - A matrix product takes its operands exactly (tf32 and hf32: rounded to nearest even first) and sums as the chip's rate says.
//   - A tile of a sub-byte format has dense rows that begin at whole bytes; the stride of its last axis is not read.
//   - An index outside of its row, or bytes outside of a local or parameter, are an error that names the instruction.
//
// Two things are done later than the plan says, where nothing can tell the difference: moves from global memory that nothing writes
// during a kernel, and sums of matrix products; see lazy.go and mma.go. What a kernel without scalar reads comes to is noted at its first
// launch and done without its loops and flags from then on; see trace.go. A guard and an [Order] see every instruction.
//
// The package must not know the IR, the compiler, time, or any chip by name.
package exec
