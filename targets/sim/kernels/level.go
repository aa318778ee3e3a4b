package kernels

import "fmt"

// Level is a way to compute, chosen once at start by what the CPU can do. All
// levels give the same bits.
type Level uint8

const (
	Portable Level = iota // pure Go; fused multiply-add in float64 arithmetic
	Fused                 // pure Go; the compiler fuses x*y+z, as a test at start has shown
	AVX2                  // amd64 with AVX2 and FMA
	AVX512                // amd64 with AVX-512 F, BW, DQ and VL, and BMI2
)

// String returns the level's name in lower case.
func (l Level) String() string {
	switch l {
	case Portable:
		return "portable"
	case Fused:
		return "fused"
	case AVX2:
		return "avx2"
	case AVX512:
		return "avx512"
	}
	return fmt.Sprintf("level(%d)", uint8(l))
}

// levels are those that this machine has, slowest first.
var levels = detect()

// active is the level in use. Only init and SetLevel write it.
var active = levels[len(levels)-1]

// Levels returns the levels that this machine has, slowest first. The first is
// always Portable; the last is the one in use unless SetLevel says otherwise.
func Levels() []Level { return append([]Level(nil), levels...) }

// Active returns the level in use.
func Active() Level { return active }

// SetLevel makes l the level in use and returns a function that undoes it. It
// is meant for tests and measurements: no kernel may be running. It panics when
// the machine has no such level; see [Levels].
func SetLevel(l Level) (restore func()) {
	for _, have := range levels {
		if have == l {
			old := active
			active = l
			return func() { active = old }
		}
	}
	panic(fmt.Sprintf("kernels: this machine has no level %s, only %v", l, levels))
}
