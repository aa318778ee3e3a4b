// Package guard finds what real silicon does not report: data used before it arrives, tiles that two queues work
// on at once, bytes read that nobody wrote, locals that lie over each other, and accesses outside of what an instruction names.
//
// It sees the instructions of a core as they are executed, with the bytes each reads and writes, and the signals and waits between
// queues. Vector clocks say what is ordered by them: two accesses of the same bytes, one of them a write, must
// be ordered by the plan's own signals and waits, whatever order they happened to run in. So a missing wait is found
// in a run that gave the right numbers.
//
// The package must not know what an instruction computes, nor when.
package guard
