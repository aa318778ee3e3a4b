// Package sim is the simulated accelerator: it runs plans.
//
// Its parts stand beside each other and share only the plan and the chip description:
//
//   - sim/exec, the functional simulator: what instructions do to bytes, in the chip's formats;
//   - sim/clock, the timed simulator: when each engine does what;
//   - sim/guard: what silicon does not check, such as a missing wait or a read of what was never written;
//   - sim/load: weights from a checkpoint into the bytes of a plan's buffers;
//   - sim/kernels: the inner loops.
//
// exec never asks for the time, and clock never reads a tensor, so that timing needs no weights.
//
// The packages must not know the IR, the compiler that made a plan, or any chip by name.
package sim
