package chip

import (
	"apogee/ir/diag"
)

// Confidence says where a number comes from. The order is from strong to weak.
type Confidence uint8

const (
	// Unstated is the confidence of a number that the file does not give; [Quantity.Stated] is false.
	Unstated Confidence = iota
	// Published by the vendor: a document, source code, or the authors' paper.
	Published
	// Measured on the hardware by somebody.
	Measured
	// Derived by arithmetic from other numbers; the source is the formula.
	Derived
	// Reported by the press, a reseller, a survey.
	Reported
	// Assumed: nobody published it; the source is the reason for the value. Results that lean on it say so.
	Assumed
)

var confidenceNames = [...]string{"unstated", "published", "measured", "derived", "reported", "assumed"}

// String gives the word as it is written in a chip file.
func (c Confidence) String() string {
	if int(c) < len(confidenceNames) {
		return confidenceNames[c]
	}
	return "unknown"
}

// Quantity is one number of a chip with its unit and its provenance.
type Quantity struct {
	// Value is in the base unit, whatever the file wrote: Hz, B, B/s, s, B/cycle, flop/cycle,
	// element/cycle, cycle, W, bit; 1 for counts and ratios.
	Value float64
	// Unit names the base unit; "" for counts and ratios.
	Unit string
	// Written is the number and unit as the file has them, such as "64 KiB".
	Written string
	// Source says who gives the number: a citation, a formula (Derived) or a reason (Assumed).
	Source string
	// Confidence says how far to trust it.
	Confidence Confidence
	// Range is where it stands in the chip file.
	Range diag.Range
}

// Stated says whether the file gives this number.
func (q Quantity) Stated() bool { return q.Confidence != Unstated }

// Int gives the value as an int; counts and sizes are checked to be whole when the file is read.
func (q Quantity) Int() int { return int(q.Value) }

// Fact is a number of a chip with the name of what it describes, such as "memory ub: size".
type Fact struct {
	Name string
	Quantity
}
