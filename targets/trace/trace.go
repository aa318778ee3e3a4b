package trace

// DefaultLimit is how many spans a [Trace] keeps unless told otherwise: some 100 MB of JSON.
const DefaultLimit = 500_000

// Trace collects spans. The zero value is ready to use. It is not safe for concurrent use.
type Trace struct {
	// Name is shown as the name of the process, such as the model and the chip.
	Name string
	// Limit is how many spans are kept; 0 means [DefaultLimit]. What is over it is counted in Dropped.
	Limit   int
	Tracks  []string
	Spans   []Span
	Dropped int64
}

// Span is something that took time on one track.
type Span struct {
	Track      int
	Name       string
	Start, End float64 // s
	// Wait is how long it was held before it could start, in s, and For what held it, such as "flag l1_full".
	Wait float64
	For  string
	// Bound is what decided how long it took, such as "memory".
	Bound string
	// Bytes and Flops are its work; 0 if it has none.
	Bytes int64
	Flops float64
	// Step, Instr and Place say what it belongs to: the launch, the instruction (−1 for a whole launch), and where that
	// comes from.
	Step  int
	Instr int
	Place string
	// Times is how often what stands here repeats up to End, when it was not written out each time; 0 or 1 for once.
	Times int64
}

// Track gives the number of a track with a name, a new one if there is none.
func (t *Trace) Track(name string) int {
	for i, n := range t.Tracks {
		if n == name {
			return i
		}
	}
	t.Tracks = append(t.Tracks, name)
	return len(t.Tracks) - 1
}

// Add keeps a span, unless there are too many, and says whether it did.
func (t *Trace) Add(s Span) bool {
	if t.Full() {
		t.Dropped++
		return false
	}
	t.Spans = append(t.Spans, s)
	return true
}

// Full says that no more spans are kept.
func (t *Trace) Full() bool {
	limit := t.Limit
	if limit <= 0 {
		limit = DefaultLimit
	}
	return len(t.Spans) >= limit
}
