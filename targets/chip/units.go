package chip

import (
	"fmt"
	"sort"
	"strings"
)

// dim is what a number measures.
type dim uint8

const (
	dimCount dim = iota // a whole number of things, no unit
	dimRatio            // a number or a percentage
	dimHertz
	dimBytes
	dimBytesPerSecond
	dimBytesPerCycle
	dimSeconds
	dimCycles
	dimTime // seconds or cycles
	dimFlopPerCycle
	dimElementPerCycle
	dimFlops
	dimWatt
	dimBits
	dimTokens
)

// unit turns a written number into the base unit: times factor, or divided by -factor where that is negative, so that
// decimal fractions come out as near as they can.
type unit struct {
	dim    dim
	factor float64
}

func (u unit) convert(v float64) float64 {
	if u.factor < 0 {
		return v / -u.factor
	}
	return v * u.factor
}

type dimInfo struct {
	base string // unit of Quantity.Value
	what string // in messages
}

var dims = map[dim]dimInfo{
	dimCount:           {"", "a whole number"},
	dimRatio:           {"", "a ratio, such as 0.85 or 85 %"},
	dimHertz:           {"Hz", "a frequency"},
	dimBytes:           {"B", "a size in bytes"},
	dimBytesPerSecond:  {"B/s", "a bandwidth a second"},
	dimBytesPerCycle:   {"B/cycle", "a rate in bytes a cycle"},
	dimSeconds:         {"s", "a time in seconds"},
	dimCycles:          {"cycle", "a time in cycles"},
	dimTime:            {"s", "a time in seconds or cycles"},
	dimFlopPerCycle:    {"flop/cycle", "a rate in flop a cycle"},
	dimElementPerCycle: {"element/cycle", "a rate in elements a cycle"},
	dimFlops:           {"flop/s", "a rate in flop a second"},
	dimWatt:            {"W", "a power"},
	dimBits:            {"bit", "a number of bits"},
	dimTokens:          {"token/s", "a rate in tokens a second"},
}

// units has every unit of the language. Decimal prefixes are powers of 1000, binary ones of 1024.
var units = func() map[string]unit {
	m := map[string]unit{
		"%":             {dimRatio, -100},
		"Hz":            {dimHertz, 1},
		"kHz":           {dimHertz, 1e3},
		"MHz":           {dimHertz, 1e6},
		"GHz":           {dimHertz, 1e9},
		"B":             {dimBytes, 1},
		"B/s":           {dimBytesPerSecond, 1},
		"B/cycle":       {dimBytesPerCycle, 1},
		"s":             {dimSeconds, 1},
		"ms":            {dimSeconds, -1e3},
		"us":            {dimSeconds, -1e6},
		"ns":            {dimSeconds, -1e9},
		"cycle":         {dimCycles, 1},
		"cycles":        {dimCycles, 1},
		"flop/cycle":    {dimFlopPerCycle, 1},
		"op/cycle":      {dimFlopPerCycle, 1},
		"element/cycle": {dimElementPerCycle, 1},
		"GFLOPS":        {dimFlops, 1e9},
		"TFLOPS":        {dimFlops, 1e12},
		"PFLOPS":        {dimFlops, 1e15},
		"TOPS":          {dimFlops, 1e12},
		"W":             {dimWatt, 1},
		"kW":            {dimWatt, 1e3},
		"bit":           {dimBits, 1},
		"bits":          {dimBits, 1},
		"token/s":       {dimTokens, 1},
	}
	for i, p := range []string{"K", "M", "G", "T", "P"} {
		dec, bin := 1e3, 1024.0
		for j := 0; j < i; j++ {
			dec, bin = dec*1e3, bin*1024
		}
		m[p+"B"], m[p+"iB"] = unit{dimBytes, dec}, unit{dimBytes, bin}
		m[p+"B/s"], m[p+"iB/s"] = unit{dimBytesPerSecond, dec}, unit{dimBytesPerSecond, bin}
		m[p+"b/s"] = unit{dimBytesPerSecond, dec / 8} // bits, as adapters are quoted
	}
	return m
}()

// takes says whether a number that should measure want may measure got.
func (want dim) takes(got dim) bool {
	if want == dimTime || want == dimCycles || want == dimSeconds {
		// The clock turns one into the other.
		return got == dimSeconds || got == dimCycles
	}
	return want == got
}

// unitsOf lists the units that fit, sorted by name.
func unitsOf(want dim) []string {
	var out []string
	for name, u := range units {
		if want.takes(u.dim) {
			out = append(out, name)
		}
	}
	sort.Strings(out)
	return out
}

// wants describes what is expected, with its units.
func (want dim) wants() string {
	s := dims[want].what
	if us := unitsOf(want); len(us) > 0 && want != dimRatio {
		s += " (" + strings.Join(us, ", ") + ")"
	}
	return s
}

// bytesText writes a size with the largest binary unit that divides it.
func bytesText(n int) string {
	for _, u := range []struct {
		name string
		size int
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.size && n%u.size == 0 {
			return fmt.Sprintf("%d %s", n/u.size, u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}
