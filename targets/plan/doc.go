// Package plan is what codegen emits for one chip and what the simulator runs: buffers at fixed
// addresses, kernels as instructions on queues, and the order in which they are launched.
//
// # How a kernel runs
//
// A kernel is launched over a grid of blocks. Core c of n takes the blocks c, c+n, c+2n, … and runs the kernel's
// code once for each. The code is one stream: a core's scalar unit walks it, keeps the loops and
// registers, and issues every other instruction to the queue it names. A queue runs its instructions
// one after another in the order they were issued; queues run side by side, ordered by nothing but
// signals and waits. A flag is a counter: signal, issued to a queue, adds one when all earlier
// instructions of that queue are done; wait, issued to a queue, holds that queue until the counter is above zero and takes one.
// A flag starts at its Credits whenever a kernel starts on a core, and blocks follow one another without
// resetting anything: a kernel leaves each flag at its credits at the end of its code.
//
// A tile names one memory. An instruction works on tiles that fit there; only a dma instruction moves data
// between memories, along a path that the chip has. Kernels of a plan run one after another: what a kernel wrote to
// global memory is there for the next.
//
// # Forms and checks
//
// [Text] and [Parse] are the form for people: an assembly listing in the chip's own words, with addresses, live ranges and source
// positions, that reads back to the same plan and may be edited. [Encode] and [Decode] are the form on disk, with version and
// checksum. [Validate] checks what everything that walks a plan relies on, [Check] also what silicon would not forgive.
// [Folder], [Count] and [Footprints] say how much work a kernel is without walking its loops to the end.
//
// The package must not know the IR's graph, how a plan was made, or how it is run.
package plan
