package clock

import "fmt"

// Reason is what time on the critical path went into.
type Reason uint8

// The reasons, in the order of reports.
const (
	Launch  Reason = iota // the gap between kernels
	Memory                // the bandwidth of global memory
	Cache                 // the bandwidth of the cache
	Path                  // the rate of paths between memories
	Startup               // start-up of transfers
	Latency               // the way of the first byte from memory
	Matrix                // matrix engines
	Vector                // vector engines
	Scalar                // the scalar unit: issue, loops, scalar loads
	Sync                  // from a signal to what waits for it
	NumReasons
)

var reasonNames = [NumReasons]string{"launch", "memory", "cache", "path", "startup", "latency", "matrix", "vector", "scalar", "sync"}

// String gives the reason's word, as in JSON.
func (r Reason) String() string {
	if r >= NumReasons {
		return "unknown"
	}
	return reasonNames[r]
}

// MarshalText makes a reason a word in JSON.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Ticks is a time in 1/[PerCycle] of a cycle of the chip's clock. An int64 of them is some 75 hours at 2 GHz.
type Ticks int64

// PerCycle is how many ticks a cycle has.
const PerCycle = 1 << 14

// maxTicks bounds a run, so that no sum overflows unseen.
const maxTicks = Ticks(1) << 61

// Cycles gives a time in cycles.
func (t Ticks) Cycles() float64 { return float64(t) / PerCycle }

// Split divides a time among the reasons.
type Split [NumReasons]Ticks

// Sum is the time that is divided.
func (s *Split) Sum() Ticks {
	t := Ticks(0)
	for _, x := range s {
		t += x
	}
	return t
}

// Add adds n times another split.
func (s *Split) Add(o *Split, n int64) {
	for i := range s {
		s[i] += o[i] * Ticks(n)
	}
}

// Main gives the reason with the greatest part, the first of equals.
func (s *Split) Main() Reason {
	best := Reason(0)
	for r := range s {
		if s[r] > s[best] {
			best = Reason(r)
		}
	}
	return best
}

// Fraction gives the part of a reason, 0 to 1.
func (s *Split) Fraction(r Reason) float64 {
	if t := s.Sum(); t > 0 {
		return float64(s[r]) / float64(t)
	}
	return 0
}

// String lists the reasons that have a part, greatest first, such as "memory 81.2 %, latency 12.0 %".
func (s *Split) String() string {
	var order []Reason
	for r := Reason(0); r < NumReasons; r++ {
		if s[r] > 0 {
			at := len(order)
			for at > 0 && s[order[at-1]] < s[r] {
				at--
			}
			order = append(order[:at], append([]Reason{r}, order[at:]...)...)
		}
	}
	out := ""
	for i, r := range order {
		if i > 0 {
			out += ", "
		}
		out += fmt.Sprintf("%s %.1f %%", r, 100*s.Fraction(r))
	}
	return out
}

// stamp is a moment and what it is made of: the parts of by sum up to t.
type stamp struct {
	t  Ticks
	by Split
}

// plus is the moment d later, for a reason.
func (s *stamp) plus(d Ticks, r Reason) stamp {
	out := *s
	out.t += d
	out.by[r] += d
	return out
}
