package driver

import (
	"fmt"

	"apogee/targets/plan"
)

// Capacity says what a plan takes of its chip's memory and, when that is too much, what would fit.
func Capacity(p *plan.Plan) string {
	u := plan.Measure(p)
	s := u.String()
	if u.Over() == 0 {
		return s
	}
	// Weights split over cards; what a step computes with is needed on each.
	each := u.Activation + u.Workspace + u.Inout
	cards := "no number of cards holds its activations alone"
	if room := u.Size - each; room > 0 {
		n := (u.Weights + u.State + room - 1) / room
		cards = fmt.Sprintf("%d such cards would hold it, weights and state split evenly", n)
	}
	return s + "; " + cards
}
