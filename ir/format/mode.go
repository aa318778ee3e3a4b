package format

// RoundingMode says which of the two neighbours a value between them becomes.
type RoundingMode uint8

const (
	NearestEven    RoundingMode = iota // the nearer; a tie to the even pattern
	NearestAway                        // the nearer; a tie away from zero
	TowardZero                         // the one nearer to zero
	TowardPositive                     // the greater
	TowardNegative                     // the smaller
	ToOdd                              // the odd pattern; rounding a second time, to at least two bits less, is then exact
)

// String returns the mode's name in lower_snake.
func (r RoundingMode) String() string {
	switch r {
	case NearestEven:
		return "nearest_even"
	case NearestAway:
		return "nearest_away"
	case TowardZero:
		return "toward_zero"
	case TowardPositive:
		return "toward_positive"
	case TowardNegative:
		return "toward_negative"
	case ToOdd:
		return "to_odd"
	}
	return "invalid"
}

// ParseRoundingMode is the inverse of String.
func ParseRoundingMode(name string) (RoundingMode, bool) {
	for r := NearestEven; r <= ToOdd; r++ {
		if r.String() == name {
			return r, true
		}
	}
	return NearestEven, false
}

// Mode is how a value becomes a pattern. The zero Mode is IEEE 754's default.
type Mode struct {
	// Saturate: what overflows, infinities included, becomes the largest finite
	// value of its sign instead of infinity (or of NaN, in a format without
	// infinity). f6, f4 and the finite range of f8e8m0 always saturate.
	Saturate bool
	// FlushSubnormals: a result that is subnormal after rounding becomes a zero
	// of its sign.
	FlushSubnormals bool
	Round           RoundingMode
}

// DefaultMode is the mode that [Format.Encode] uses: the zero Mode, but ties
// away from zero for hif8, as its definition says (arXiv 2409.16626, "TA").
func (f Format) DefaultMode() Mode {
	if f == HIF8 {
		return Mode{Round: NearestAway}
	}
	return Mode{}
}
