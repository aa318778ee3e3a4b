// Package clock says when each engine of a chip does what while it runs a plan: the timed simulator. It works from the
// plan's instructions and the chip's description alone, so a plan is timed without weights or inputs.
//
// # The model
//
// Launches follow one another; each costs the chip's launch time and then what its slowest core takes. Of the cores, the one
// with the most work is simulated, block after block. Its scalar unit walks the code and issues, one instruction a start-up of
// the scalar engine, to queues that hold [QueueDepth] instructions; a full queue holds up the scalar unit. An instruction
// starts when it is issued, its queue is free, and a wait has its signal, which arrives the chip's sync latency after all
// before it on the signalling queue is done. It holds its queue for
//
//   - a move: the path's start-up, once for every transfer that its axes need, then as long as the slowest of the path
//     (bytes of the wider side), the memory and the cache need. What it reads is there the memory's latency later, which
//     overlaps with the next move. Rows in global memory count in whole units of its alignment.
//   - a product: start-up and the tile, padded to the steps of the instruction that takes least, at the rate of its formats;
//   - a vector operation: start-up and the elements at the rate of its class and format, rows divided over the units.
//     Sigmoid is a transcendental and a division, a power two transcendentals and a multiplication; a scan is a reduction,
//     top-k 1+log2(k) passes of sorting, grouping two.
//
// A rate that the chip lacks is an error that names the instruction; there are no defaults. Derates of the chip apply.
//
// The bandwidths of global memory and cache are divided among the cores in proportion to what each moves: moves of one
// core queue for its part in the order they start. How much of what is read hits the cache comes from the instruction stream: see
// traffic.go. Values that only data can tell are what the plan assumes ([plan.Assume]), and are reported.
//
// # Beside plans
//
// [RunLanes] times kernels as libraries write them for chips of many lanes, [Collective] operations over several cards, from the same
// numbers of the chip. [Spread] says how far a time may be off; docs/calibration.md says how well all this meets what was measured.
//
// # Why it is quick
//
// Launches of one kernel with one grid and the same data in the cache are timed once. A loop whose rounds cost the same
// ([plan.Folder]) is walked until the state of all queues, flags and memories, relative to now, repeats; the rest is a
// multiple of that. Times are integers (2^-14 cycle), so the result equals a full walk's to the last bit.
//
// # Where the time went
//
// Every time is a sum of what it is made of: each start is that of whatever it waited for last, each end adds the instruction's
// own part. So the end of a run is divided without rest among the [Reason]s along the critical path.
//
// The package must not know how a plan was made, and must not read a tensor or import the functional simulator.
package clock
