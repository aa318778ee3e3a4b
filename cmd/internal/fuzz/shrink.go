package fuzz

import (
	"context"
	"slices"
	"strings"

	"apogee/ir"
	"apogee/ir/random"
)

// Smallest shrinks a module that fails to one that fails alike, at the same stage on the same target, and says how that fails.
func Smallest(ctx context.Context, m *ir.Module, f *Failure) (*ir.Module, *Failure) {
	last := f
	again := func(m *ir.Module) bool {
		if ctx.Err() != nil {
			return false
		}
		var g *Failure
		if f.Target == nil {
			_, g = Try(ctx, m, f.Seed, nil)
		} else {
			_, g = Try(ctx, m, f.Seed, []*Target{f.Target})
		}
		if g == nil || !alike(f, g) {
			return false
		}
		last = g
		return true
	}
	s := random.Shrink(m, again)
	if again(s) {
		return s, last
	}
	return m, f
}

// alike says whether two failures may have one cause: wrong results are alike wherever they appear, refusals by their words.
func alike(f, g *Failure) bool {
	if f.Stage != g.Stage {
		return f.wrong() && g.wrong()
	}
	switch f.Stage {
	case Pass:
		return f.Pass == g.Pass
	case Result:
		return true
	}
	return kind(f.Err) == kind(g.Err)
}

func (f *Failure) wrong() bool { return f.Stage == Pass || f.Stage == Result }

// kind is what an error says without names and numbers.
func kind(err error) string {
	text := err.Error()
	if i := strings.IndexByte(text, '\n'); i >= 0 {
		text = text[:i]
	}
	var b strings.Builder
	for _, w := range strings.Fields(text) {
		if strings.ContainsAny(w, "0123456789%@\"[]") {
			continue
		}
		b.WriteString(w)
		b.WriteByte(' ')
	}
	return b.String()
}

// reason sorts refusals: what a chip said without where.
func reason(err error, chip string) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	if i := strings.LastIndex(text, chip+" "); i > 0 {
		text = text[i+len(chip)+1:]
	}
	if i := strings.Index(text, " ("); i > 0 {
		text = text[:i]
	}
	return text
}

// Rule names the first rewrite rule after whose firing a module is wrong, for a failure of a pass: rules are allowed to fire one by one
// until it shows. It is empty where no rule is to blame.
func Rule(ctx context.Context, m *ir.Module, f *Failure) string {
	if f.Stage != Pass || f.Target == nil {
		return ""
	}
	fired := func(stop int64) (map[string]int64, bool) {
		t := *f.Target
		t.stopAfter = stop
		counts := map[string]int64{}
		t.counts = counts
		g, _ := tryOne(ctx, m, f.Seed, &t)
		return counts, g != nil && g.Stage == Pass
	}
	lo, hi := int64(0), int64(1)
	for ; ; hi *= 2 {
		if _, bad := fired(hi); bad {
			break
		}
		if lo = hi; hi > 1<<20 || ctx.Err() != nil {
			return ""
		}
	}
	for hi-lo > 1 {
		mid := (lo + hi) / 2
		if _, bad := fired(mid); bad {
			hi = mid
		} else {
			lo = mid
		}
	}
	if lo == 0 {
		counts, _ := fired(1)
		return more(counts, nil)
	}
	before, _ := fired(lo)
	after, _ := fired(hi)
	return more(after, before)
}

// more names what fired more often.
func more(after, before map[string]int64) string {
	var names []string
	for name, n := range after {
		if n > before[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
