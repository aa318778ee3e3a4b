package ir

import (
	"fmt"
	"slices"

	"github.com/rogpeppe/go-internal/diff"
)

// Diff says in a sentence where two modules first differ in what Hash covers; "" when they do not.
func Diff(a, b *Module) string {
	if !slices.Equal(a.Attrs, b.Attrs) {
		return fmt.Sprintf("the modules' facts are %v and %v", a.Attrs, b.Attrs)
	}
	for i := range min(len(a.Funcs), len(b.Funcs)) {
		f, g := a.Funcs[i], b.Funcs[i]
		switch {
		case f.Name != g.Name:
			return fmt.Sprintf("function %d is @%s and @%s", i+1, f.Name, g.Name)
		case f.Entry != g.Entry:
			return fmt.Sprintf("@%s is an entry in one module only", f.Name)
		case !slices.Equal(f.Results, g.Results):
			return fmt.Sprintf("the results of @%s are %v and %v", f.Name, f.Results, g.Results)
		}
		if f.Entry {
			for j := range min(len(f.Body.Params), len(g.Body.Params)) {
				if x, y := f.Body.Params[j].Name, g.Body.Params[j].Name; x != y {
					return fmt.Sprintf("parameter %d of @%s is %%%s and %%%s", j+1, f.Name, x, y)
				}
			}
		}
		if d := DiffFunc(f, g); d != "" {
			return d
		}
	}
	if n, k := len(a.Funcs), len(b.Funcs); n != k {
		return fmt.Sprintf("the modules have %d and %d functions", n, k)
	}
	return ""
}

// DiffFunc is Diff for two functions, whose names do not count.
func DiffFunc(f, g *Func) string {
	if f.States != g.States {
		return fmt.Sprintf("@%s has %d states, the other %d", f.Name, f.States, g.States)
	}
	d := differ{at: make([]int32, f.Module.nvalues), bt: make([]int32, g.Module.nvalues)}
	return d.block(f.Body, g.Body, "@"+f.Name)
}

// differ numbers the values of both sides as it walks them together.
type differ struct {
	at, bt []int32
	n      int32
}

func (d *differ) pair(a, b *Value) {
	d.n++
	d.at[a.id], d.bt[b.id] = d.n, d.n
}

func (d *differ) block(a, b *Block, where string) string {
	if n, k := len(a.Params), len(b.Params); n != k {
		return fmt.Sprintf("%s has %d parameters, the other %d", where, n, k)
	}
	for i, p := range a.Params {
		if q := b.Params[i]; !p.Type.Equal(q.Type) {
			return fmt.Sprintf("parameter %d of %s is %s, in the other %s", i+1, where, p.Type, q.Type)
		}
		d.pair(p, b.Params[i])
	}
	x, y := a.first, b.first
	for ; x != nil && y != nil; x, y = x.next, y.next {
		if s := d.op(x, y, where); s != "" {
			return s
		}
	}
	switch {
	case x != nil:
		return fmt.Sprintf("%s goes on with %s, where the other ends", where, x.Text())
	case y != nil:
		return fmt.Sprintf("%s ends where the other goes on with %s", where, y.Text())
	}
	return ""
}

func (d *differ) op(x, y *Op, where string) string {
	same := x.Info == y.Info && len(x.args) == len(y.args) && len(x.results) == len(y.results) && len(x.Regions) == len(y.Regions) &&
		EqualAttrs(x.Attrs, y.Attrs)
	for i := 0; same && i < len(x.args); i++ {
		same = d.at[x.args[i].val.id] == d.bt[y.args[i].val.id]
	}
	for i := 0; same && i < len(x.results); i++ {
		same = x.results[i].Type.Equal(y.results[i].Type)
	}
	if !same {
		return fmt.Sprintf("%s differs:\n  one:   %s\n  other: %s", where, x.Text(), y.Text())
	}
	for i, r := range x.Regions {
		if s := d.block(r, y.Regions[i], fmt.Sprintf("%s, in %s", where, x)); s != "" {
			return s
		}
	}
	for i, r := range x.results {
		d.pair(r, y.results[i])
	}
	return ""
}

// TextDiff returns how one text became another, in the unified format, "" if they are equal. Its work grows little faster
// than the texts.
func TextDiff(oldName, old, newName, new string) string {
	return string(diff.Diff(oldName, []byte(old), newName, []byte(new)))
}
