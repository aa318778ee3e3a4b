package rewrite

import (
	"fmt"
	"sort"

	"apogee/ir"
	"apogee/ir/op"
)

// Rule is one rewrite.
type Rule struct {
	// Name is VerbNoun, such as RemoveIdentityCast; no two rules have the same.
	Name string
	// Doc says in a sentence what is replaced by what, and when not.
	Doc string
	// Roots are the ops that the rule looks at; a rule without roots is fired by its pass itself, which asks
	// [Control.Fire], and is never tried by [Run].
	Roots []*op.Info
	// Apply looks at an op of one of the root kinds and, if the rule fits, changes the function through r and returns true.
	// When it returns false it has changed nothing.
	Apply func(r *Rewriter, o *ir.Op) bool
}

// Set is a list of rules; the earlier is tried first. Sets add with [Join].
type Set []*Rule

// Join puts sets after each other. A name that stands twice is a programming mistake and panics.
func Join(sets ...Set) Set {
	var out Set
	seen := map[string]bool{}
	for _, s := range sets {
		for _, r := range s {
			if seen[r.Name] {
				panic("rewrite: two rules are called " + r.Name)
			}
			seen[r.Name] = true
			out = append(out, r)
		}
	}
	return out
}

// Names returns the names of the rules in order.
func (s Set) Names() []string {
	out := make([]string, len(s))
	for i, r := range s {
		out[i] = r.Name
	}
	return out
}

// Remark is what a rule or pass has to say about one place: mostly why something did not happen, with the figure.
type Remark struct {
	Pass, Rule string
	Op         string // the op as messages name it: %y = add
	Pos        string // its position as Module.PosString gives it
	Message    string
}

// String prints the remark on one line.
func (r Remark) String() string {
	s := r.Pass
	if r.Rule != "" {
		s += "/" + r.Rule
	}
	if r.Pos != "" {
		s = r.Pos + ": " + s
	}
	if r.Op != "" {
		s += ": " + r.Op
	}
	return s + ": " + r.Message
}

// Count is how often a rule fired.
type Count struct {
	Rule string
	N    int64
}

// Control is what the rules of all passes of one run share: which are switched off, how many may still fire, and the counts.
// The zero value allows everything.
type Control struct {
	Disabled map[string]bool // by rule name
	// Limit is how many firings are allowed over all passes; 0 is no limit. What comes after the limit does not happen, so that
	// a wrong firing can be found by bisection.
	Limit int64

	fired  int64
	counts map[string]int64
	// Op and Rule are what is being worked on, for reports of a crash.
	Op   *ir.Op
	Rule *Rule
}

// Allowed reports whether a rule may fire now.
func (c *Control) Allowed(r *Rule) bool {
	return (c.Limit == 0 || c.fired < c.Limit) && !c.Disabled[r.Name]
}

// Fire counts a firing if it is allowed, and reports whether it is.
func (c *Control) Fire(r *Rule) bool {
	if !c.Allowed(r) {
		return false
	}
	c.count(r)
	return true
}

func (c *Control) count(r *Rule) {
	c.fired++
	if c.counts == nil {
		c.counts = map[string]int64{}
	}
	c.counts[r.Name]++
}

// Fired is how often any rule fired.
func (c *Control) Fired() int64 { return c.fired }

// Counts returns how often each rule fired that did, by name.
func (c *Control) Counts() []Count {
	out := make([]Count, 0, len(c.counts))
	for n, k := range c.counts {
		out = append(out, Count{n, k})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Rule < out[j].Rule })
	return out
}

// RunawayError says that rules kept firing beyond any reasonable number: two undo each other, or one grows the function.
type RunawayError struct {
	Rule   string // the rule that fired most
	Fired  int64
	Ops    int
	Where  string
	Second string // the rule that fired second most, or ""
}

func (e *RunawayError) Error() string {
	s := fmt.Sprintf("rules fired %d times on a function of %d ops; the one that fired most is %s", e.Fired, e.Ops, e.Rule)
	if e.Second != "" {
		s += ", then " + e.Second
	}
	if e.Where != "" {
		s += ", last at " + e.Where
	}
	return s + ": switch one of them off and report it"
}

// Note counts a firing that is not optional.
func (c *Control) Note(r *Rule) {
	if c.counts == nil {
		c.counts = map[string]int64{}
	}
	c.counts[r.Name]++
}
