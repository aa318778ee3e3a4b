package format

import (
	"math"
	"math/big"
	"sort"
	"testing"
)

// The oracle: the formats once more, from their specifications' field widths and
// with arithmetic on exact rationals, sharing no code with the package.

type spec struct {
	f         Format
	exp, man  int
	bias      int
	inf       bool
	nans      func(mag int) bool // NaN magnitudes, sign aside
	noNegZero bool               // the pattern of -0 is the only NaN
}

var specs = []spec{
	{f: F16, exp: 5, man: 10, bias: 15, inf: true, nans: func(m int) bool { return m > 0x7C00 }},
	{f: BF16, exp: 8, man: 7, bias: 127, inf: true, nans: func(m int) bool { return m > 0x7F80 }},
	{f: F8E4M3FN, exp: 4, man: 3, bias: 7, nans: func(m int) bool { return m == 0x7F }},
	{f: F8E5M2, exp: 5, man: 2, bias: 15, inf: true, nans: func(m int) bool { return m > 0x7C }},
	{f: F8E4M3FNUZ, exp: 4, man: 3, bias: 8, noNegZero: true},
	{f: F8E5M2FNUZ, exp: 5, man: 2, bias: 16, noNegZero: true},
	{f: F6E3M2, exp: 3, man: 2, bias: 3},
	{f: F6E2M3, exp: 2, man: 3, bias: 1},
	{f: F4E2M1, exp: 2, man: 1, bias: 1},
}

// value is the formula every specification states.
func (s spec) value(mag int) float64 {
	e, m := mag>>s.man, mag&(1<<s.man-1)
	scale := math.Ldexp(1, -s.man)
	if e == 0 {
		return float64(m) * scale * math.Ldexp(1, 1-s.bias)
	}
	return (1 + float64(m)*scale) * math.Ldexp(1, e-s.bias)
}

// kind of a pattern: its value, or NaN, or an infinity.
func (s spec) decode(p int) float64 {
	neg := p>>(s.exp+s.man) != 0
	mag := p & (1<<(s.exp+s.man) - 1)
	v := s.value(mag)
	switch {
	case s.noNegZero && neg && mag == 0, s.nans != nil && s.nans(mag):
		return math.NaN()
	case s.inf && mag == (1<<s.exp-1)<<s.man:
		v = math.Inf(1)
	}
	if neg {
		v = -v
	}
	return v
}

// ladder is the non-negative finite values of a format in ascending order with
// their patterns, and the value that would come next.
type ladder struct {
	values []float64
	codes  []uint64
	beyond float64
}

func (s spec) ladder() ladder {
	var l ladder
	mag := 0
	for ; mag < 1<<(s.exp+s.man); mag++ {
		v := s.decode(mag)
		if v != v || math.IsInf(v, 0) {
			break
		}
		l.values = append(l.values, v)
		l.codes = append(l.codes, uint64(mag))
	}
	l.beyond = s.value(mag) // what the pattern would be, were it a number
	return l
}

const overflowed = ^uint64(0)

// nearest returns the magnitude pattern of x >= 0 by search, or overflowed.
func (l ladder) nearest(x float64, neg bool, r RoundingMode) uint64 {
	i := sort.SearchFloat64s(l.values, x)
	if i < len(l.values) && l.values[i] == x {
		return l.codes[i]
	}
	last := len(l.values) - 1
	if i > last && x >= l.beyond {
		switch {
		case r == TowardZero, r == ToOdd, r == TowardPositive && neg, r == TowardNegative && !neg:
			return l.codes[last]
		}
		return overflowed
	}
	hi, up := l.beyond, overflowed
	if i <= last {
		hi, up = l.values[i], l.codes[i]
	}
	lo, down := l.values[i-1], l.codes[i-1]
	odd := down&1 != 0
	goUp := false
	switch c := closer(lo, x, hi); r {
	case NearestEven:
		goUp = c > 0 || c == 0 && odd
	case NearestAway:
		goUp = c >= 0
	case TowardPositive:
		goUp = !neg
	case TowardNegative:
		goUp = neg
	case ToOdd:
		goUp = !odd && i <= last
	}
	if goUp {
		return up
	}
	return down
}

// closer returns the sign of (x-lo)-(hi-x), by rationals where float64 might not
// tell.
func closer(lo, x, hi float64) int {
	if below, above := x-lo, hi-x; math.Abs(below-above) > 1e-9*(hi-lo) {
		if below > above {
			return 1
		}
		return -1
	}
	rat := func(f float64) *big.Rat { return new(big.Rat).SetFloat64(f) }
	below := new(big.Rat).Sub(rat(x), rat(lo))
	return below.Cmp(new(big.Rat).Sub(rat(hi), rat(x)))
}

var allRounding = []RoundingMode{NearestEven, NearestAway, TowardZero, TowardPositive, TowardNegative, ToOdd}

// probes calls use with every value of the ladder, every middle between
// neighbours, what lies closest beside each of those, and points of no importance.
func (l ladder) probes(use func(x float64)) {
	beside := func(x float64) {
		use(math.Nextafter(x, 0))
		use(x)
		use(math.Nextafter(x, math.Inf(1)))
	}
	all := append(append([]float64{}, l.values...), l.beyond)
	for i, v := range all {
		beside(v)
		if i > 0 {
			lo := all[i-1]
			beside(lo + (v-lo)/2)
			use(lo + (v-lo)/3)
			use(lo + (v-lo)*0.8)
		}
	}
	for _, x := range []float64{l.beyond * 1.5, l.beyond * 1e6, math.MaxFloat64, math.SmallestNonzeroFloat64, 1e-300} {
		use(x)
	}
}

func sameValue(a, b float64) bool {
	return a != a && b != b || a == b && math.Signbit(a) == math.Signbit(b)
}

func TestDecodeEveryPattern(t *testing.T) {
	for _, s := range specs {
		if got, want := s.f.Bits(), 1+s.exp+s.man; got != want {
			t.Errorf("%s: %d bits, want %d", s.f, got, want)
		}
		for p := range 1 << s.f.Bits() {
			got, want := s.f.Decode(uint64(p)), s.decode(p)
			if !sameValue(got, want) {
				t.Fatalf("%s: pattern %#x decodes to %v, want %v", s.f, p, got, want)
			}
			// Bits above the format's are not looked at.
			if up := s.f.Decode(uint64(p) | ^uint64(0)<<s.f.Bits()); !sameValue(up, want) {
				t.Fatalf("%s: pattern %#x with high bits decodes to %v, want %v", s.f, p, up, want)
			}
		}
	}
}

func TestDecodeEncodeRoundTrip(t *testing.T) {
	for _, f := range All() {
		if f.Bits() > 16 {
			continue
		}
		for p := range uint64(1) << f.Bits() {
			v := f.Decode(p)
			back := f.Encode(v)
			want := p
			switch {
			case f == Bool && p != 0:
				want = 1
			case v != v && (f == F16 || f == BF16):
				want |= 1 << (f.Info().ManBits - 1) // quiet
			case v != v && f == F8E5M2:
				want |= 2
			}
			if back != want {
				t.Fatalf("%s: pattern %#x is %v, which encodes to %#x, want %#x", f, p, v, back, want)
			}
		}
	}
}

func TestEncodeAgainstSearch(t *testing.T) {
	for _, s := range specs {
		l := s.ladder()
		modes := allRounding
		if s.f.Bits() == 16 {
			modes = []RoundingMode{NearestEven, ToOdd} // the rest takes the same path
		}
		for _, r := range modes {
			for _, neg := range []bool{false, true} {
				l.probes(func(x float64) {
					mag := l.nearest(x, neg, r)
					max := l.codes[len(l.codes)-1]
					want, saturated := mag, mag
					if mag == overflowed {
						saturated = max
						switch {
						case s.inf, s.nans != nil:
							want = max + 1
						case s.noNegZero:
							want = 1 << (s.exp + s.man)
						default:
							want = max
						}
					}
					if neg {
						x = -x
						if !s.noNegZero || want != 0 {
							want |= 1 << (s.exp + s.man)
						}
						if !s.noNegZero || saturated != 0 {
							saturated |= 1 << (s.exp + s.man)
						}
					}
					if got := s.f.EncodeMode(x, Mode{Round: r}); got != want {
						t.Fatalf("%s: %v %s is %#x, want %#x", s.f, x, r, got, want)
					}
					if got := s.f.EncodeMode(x, Mode{Round: r, Saturate: true}); got != saturated {
						t.Fatalf("%s: %v %s, saturating, is %#x, want %#x", s.f, x, r, got, saturated)
					}
					flushed := want
					if mag < 1<<s.man {
						flushed &^= 1<<s.man - 1
						if s.noNegZero {
							flushed = 0
						}
					}
					if got := s.f.EncodeMode(x, Mode{Round: r, FlushSubnormals: true}); got != flushed {
						t.Fatalf("%s: %v %s, flushing, is %#x, want %#x", s.f, x, r, got, flushed)
					}
				})
			}
		}
	}
}

func TestMonotonic(t *testing.T) {
	for _, f := range All() {
		if f.Bits() > 16 {
			continue
		}
		var vs []float64
		for p := range uint64(1) << f.Bits() {
			if v := f.Decode(p); v == v {
				vs = append(vs, v)
			}
		}
		sort.Float64s(vs)
		for i := 1; i < len(vs); i++ {
			lo, hi := vs[i-1], vs[i]
			if f.IsFloat() && !math.IsInf(lo, 0) && !math.IsInf(hi, 0) {
				mid := lo + (hi-lo)/2
				if r := f.Round(mid); r != lo && r != hi {
					t.Fatalf("%s: the middle of %v and %v rounds to %v", f, lo, hi, r)
				}
			}
		}
	}
}
