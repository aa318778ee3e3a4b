// Package kernels computes what an instruction says on slices of numbers, fast
// and with one meaning: matrix tiles, vectors, reductions and their packing, in
// 32-bit floats and in integers.
//
// # One meaning
//
// Every function states its result to the bit, and gives those bits on every
// machine, at every [Level] and for every number of workers:
//
//   - A matrix element is a chain: k ascending, one fused multiply-add (a single
//     rounding to nearest even) a step, starting from the value in C or from +0.
//     How a product is cut into tiles, over m, n or k, therefore changes nothing.
//   - An elementwise result is IEEE 754's, rounded once. The transcendental ones
//     are evaluated in float64 by this package's own polynomials and rounded
//     once, with an error of at most 0.5001 units in the last place.
//   - A reduction has one order, whatever the vector width: see [ReduceRows].
//   - A NaN that is computed is the quiet NaN 0x7fc00000. Functions that only
//     move bits or change a sign ([Neg], [Abs], [Select]) leave a NaN as it is.
//   - Subnormals are numbers. Nothing flushes them.
//
// # Use
//
// [Gemm] multiplies packed operands: weights are packed once, by [PackB], and
// kept. [GemmUnpackedA] takes the left side as it lies; [GemmTile] takes both, for
// small tiles. [GemmPart] does some steps of k of some columns. [GemmInt8] is the
// integer twin, and [GemmLimited] the faithful model of matrix units that
// align and truncate. Operands are row-major with a leading dimension in elements;
// a result must not overlap an operand, except that elementwise functions may
// write onto an operand that starts at the same element.
//
// All functions check the lengths of their slices and panic on a caller's
// mistake, naming what was too short. They keep nothing, and allocate nothing but
// what [GemmLimited] and [Int8B.Pack] say and the Parallel ones' goroutines.
//
// The assembly is generated: see internal/gen.
//
// The package must not know plans, instructions, chips or tensors.
package kernels

//go:generate go run ./internal/gen
