package kernels

import "math/bits"

// The vector form of a limited product works on floats. With significands of at most 12 bits and exponents in a range around 0, a product is
// exact, and so is its multiple by a power of two; converting that to an integer cuts it toward zero. See the generator's limited.go.

// Exponents that the vector form takes: those of operands, of formats' smallest normal numbers, and of sums to begin with.
const (
	limitedLow, limitedHigh = -50, 20
	limitedSum              = 100
)

// narrow reports whether a unit is one that the vector form takes: a group's sum must be exact as a float32.
func (l *Limited) narrow() bool {
	inRange := func(e int) bool { return e == 0 || e == -126 || e >= limitedLow && e <= limitedHigh }
	return l.Align == TowardZero && l.Result == TowardZero && !l.Separate && inRange(l.MinExpA) && inRange(l.MinExpB) &&
		bits.Len(uint(l.Group))+l.FracBits+2 <= 24
}

// span is what is known of a set of numbers: the largest magnitude, the smallest less 1, where zeros wrap, and the bits set in any.
type span [3][16]uint32

func newSpan() *span {
	s := &span{}
	for i := range s[1] {
		s[1][i] = ^uint32(0)
	}
	return s
}

// fits reports whether all numbers are zeros or have at most 12 significant bits and an exponent from limitedLow to limitedHigh, and no bits
// that a format whose normal numbers begin at minExp does not have.
func (s *span) fits(minExp int) bool {
	low := limitedLow
	if minExp != 0 {
		low = max(low, minExp-12)
	}
	largest, smallest, set := uint32(0), ^uint32(0), uint32(0)
	for i := range s[0] {
		largest, smallest, set = max(largest, s[0][i]), min(smallest, s[1][i]), set|s[2][i]
	}
	return largest < (127+limitedHigh+1)<<23 && smallest >= uint32(127+low)<<23-1 && set&(1<<12-1) == 0
}

// small reports whether sums may begin with numbers like these.
func (s *span) small() bool {
	largest, smallest := uint32(0), ^uint32(0)
	for i := range s[0] {
		largest, smallest = max(largest, s[0][i]), min(smallest, s[1][i])
	}
	return largest < (127+limitedSum)<<23 && smallest >= (127-limitedSum)<<23-1
}
