package study

import (
	"fmt"
)

// Row is one measured figure, with what must be timed to predict it.
type Row struct {
	// File and Line say where it was read.
	File string
	Line int
	// Chip is the name of the chip's description.
	Chip string
	// Benchmark is what its table calls it.
	Benchmark string
	Class     Class
	// Case is what is compiled and timed. It is not set when Wire is, nor when Skip is.
	Case Case
	// Wire is a transfer between cards.
	Wire *Wire
	// Host is the time that the benchmark's own program adds to what the chip takes; see [Host].
	Host Host
	// Calls is how many such kernels run one after the other, where it is more than one.
	Calls int
	// Seconds is what was measured.
	Seconds float64
	// Grain is the step of the clock that it was measured with, in seconds: 1e-6 for a table in whole microseconds; 0 unknown.
	Grain float64
	// Skip says why the row cannot be predicted: it is no time of a kernel, or its page does not say of what.
	Skip string
}

// of gives what the benchmark reads for a kernel of so many seconds.
func (r *Row) of(kernel float64) float64 {
	return r.Host.Add(kernel * float64(max(r.Calls, 1)))
}

// Place is where the row was read, for messages.
func (r *Row) Place() string { return fmt.Sprintf("%s:%d", r.File, r.Line) }

// What names what was measured.
func (r *Row) What() string {
	switch {
	case r.Skip != "":
		return r.Benchmark
	case r.Wire != nil:
		return r.Wire.String()
	}
	return r.Case.String()
}

// Host says how a benchmark takes the time. Profilers read the device's own clock: both fields are zero. A program that stops the time
// around a call and a synchronisation measures what the call takes on the host as well: at least Total, and at least Before, which passes
// until the kernel starts, and the kernel.
type Host struct {
	Before, Total float64 // s
}

// Add gives what such a benchmark reads for a kernel of so many seconds.
func (h Host) Add(kernel float64) float64 { return max(h.Total, h.Before+kernel) }

// Wire is a transfer between cards.
type Wire struct {
	Op    string // all-reduce, send-recv
	Bytes int64  // of one card's buffer
	Cards int
	// PerNode is how many of them share a node.
	PerNode int
	// Peers is how many cards are joined directly where that is fewer than the node has, such as cards in pairs, and Rest the bandwidth
	// of a card to the others of the node, in B/s. 0: as the chip's links say.
	Peers int
	Rest  float64
}

// String names it for people.
func (w *Wire) String() string {
	s := fmt.Sprintf("%s %d B cards=%d per-node=%d", w.Op, w.Bytes, w.Cards, w.PerNode)
	if w.Peers > 0 {
		s += fmt.Sprintf(" joined=%d", w.Peers)
	}
	return s
}
