package op

import (
	"fmt"
	"reflect"
	"sort"
)

// ID numbers the ops in table order. It is stable within one build only: files hold names.
type ID uint16

// Class groups ops by what a compiler does with them.
type Class uint8

// The classes of ops.
const (
	Structural  Class = iota // constants, weights, terminators, kernels
	Elementwise              // one result element from the operands' elements at the same index
	Reduction                // folds axes away
	Contraction              // sums of products
	Movement                 // changes where elements are, not what they are
	Search                   // order of elements: top_k, argmax, sort
	Numeric                  // changes of number format with scales
	Fused                    // a composition common enough to have a name, with its meaning in primitive ops
)

var classNames = [...]string{"structural", "elementwise", "reduction", "contraction", "movement", "search", "numeric", "fused"}

func (c Class) String() string { return classNames[c] }

// Operand declares one operand.
type Operand struct {
	Name     string
	Optional bool // may be missing; a missing operand is only possible at the end, or marked in attribute "operands"
	Variadic bool // takes the rest, at least one; only the last
	Doc      string
}

// Region is what a shape rule sees of an op's region: the types of its parameters and of what it
// yields.
type Region struct{ Params, Results []Type }

// Input is what a shape rule works on.
type Input struct {
	Args    []Type
	Attrs   Attrs
	Regions []Region
}

// Work is what an op costs if nothing is fused: arithmetic operations (a fused multiply-add counts
// two) for bound symbols.
type Work struct{ Flops float64 }

// Info is one entry of the op table.
type Info struct {
	ID       ID // set by the table
	Name     string
	Class    Class
	Operands []Operand
	Attrs    []AttrSpec
	Results  []string // names of the results; empty for a terminator
	Regions  int      // number of regions

	// Infer is the shape rule and the verifier: it returns the result types, or an error that says
	// what was expected and what was found. It is nil where the result types are part of the op
	// itself (Declared).
	Infer func(in Input) ([]Type, error)
	// Declared means that the result types are written with the op and cannot be inferred.
	// Check, when set, then judges them.
	Declared bool
	Check    func(in Input, results []Type) error

	// Real is the meaning of an elementwise op on real numbers, used by the reference evaluator in
	// float64 for float formats. Integer is the same for integer formats, exact on 64 bits before
	// wrapping to the format. Nil where the op does not take such formats.
	Real    func(x []float64) float64
	Integer func(x []int64) int64

	Commutative bool
	Terminator  bool
	// Flops counts the arithmetic of one execution, given concrete argument and result types;
	// nil means one per result element for Elementwise and none for the other classes.
	Flops func(in Input, results []Type) float64

	Doc     string // what it means, with shapes by symbol
	Example string // one line of IR text
}

// AttrSpec returns the declaration of an attribute, or nil.
func (i *Info) AttrSpec(name string) *AttrSpec {
	for k := range i.Attrs {
		if i.Attrs[k].Name == name {
			return &i.Attrs[k]
		}
	}
	return nil
}

// MinArgs and MaxArgs bound the number of operands; MaxArgs is -1 for a variadic op.
func (i *Info) MinArgs() int {
	n := 0
	for _, o := range i.Operands {
		if !o.Optional {
			n++
		}
	}
	return n
}

// MaxArgs is the largest number of operands, or -1 if there is no limit.
func (i *Info) MaxArgs() int {
	if n := len(i.Operands); n > 0 && i.Operands[n-1].Variadic {
		return -1
	}
	return len(i.Operands)
}

// Normalise checks attributes against the table entry and returns them in table order, defaults
// left out. The error names the attribute and what was expected.
func (i *Info) Normalise(a Attrs) (Attrs, error) {
	if len(a) == 0 && len(i.Attrs) == 0 {
		return nil, nil
	}
	sorted := true
	last := -1
	for k := range a {
		at := -1
		for j := range i.Attrs {
			if i.Attrs[j].Name == a[k].Name {
				at = j
				break
			}
		}
		if at < 0 {
			return nil, fmt.Errorf("%s has no attribute %q (it has %s)", i.Name, a[k].Name, i.attrNames())
		}
		s := &i.Attrs[at]
		if !kindOK(s.Kind, a[k].Value) {
			return nil, fmt.Errorf("attribute %s of %s: expected %s, found %T", s.Name, i.Name, s.Kind, a[k].Value)
		}
		if len(s.OneOf) > 0 {
			ok := false
			for _, v := range s.OneOf {
				ok = ok || v == a[k].Value
			}
			if !ok {
				return nil, fmt.Errorf("attribute %s of %s: expected one of %v, found %q", s.Name, i.Name, s.OneOf, a[k].Value)
			}
		}
		if at == last {
			return nil, fmt.Errorf("attribute %s of %s is given twice", s.Name, i.Name)
		}
		if at < last || (s.Default != nil && reflect.DeepEqual(s.Default, a[k].Value)) {
			sorted = false
		}
		last = at
	}
	if !sorted {
		out := make(Attrs, 0, len(a))
		for _, s := range i.Attrs {
			n := 0
			for _, x := range a {
				if x.Name != s.Name {
					continue
				}
				if n++; n > 1 {
					return nil, fmt.Errorf("attribute %s of %s is given twice", s.Name, i.Name)
				}
				if s.Default == nil || !reflect.DeepEqual(s.Default, x.Value) {
					out = append(out, x)
				}
			}
		}
		a = out
	}
	for _, s := range i.Attrs {
		if s.Required && !a.Has(s.Name) {
			return nil, fmt.Errorf("%s needs attribute %s (%s)", i.Name, s.Name, s.Doc)
		}
	}
	return a, nil
}

func (i *Info) attrNames() string {
	if len(i.Attrs) == 0 {
		return "none"
	}
	s := ""
	for k, a := range i.Attrs {
		if k > 0 {
			s += ", "
		}
		s += a.Name
	}
	return s
}

var (
	infos  []*Info
	byName = map[string]*Info{}
)

func register(list ...*Info) {
	for _, i := range list {
		if byName[i.Name] != nil {
			panic("op table: " + i.Name + " stands twice")
		}
		i.ID = ID(len(infos))
		infos = append(infos, i)
		byName[i.Name] = i
	}
}

// Lookup returns the table entry of a name, or nil.
func Lookup(name string) *Info { return byName[name] }

// Get returns the table entry of an ID.
func Get(id ID) *Info { return infos[id] }

// All returns the table in its order. The caller must not change it.
func All() []*Info { return infos }

// Names returns all op names, sorted.
func Names() []string {
	out := make([]string, 0, len(infos))
	for _, i := range infos {
		out = append(out, i.Name)
	}
	sort.Strings(out)
	return out
}
