package regex

import (
	"strings"
	"sync"
	"unicode"
)

// fromTable turns one of Go's Unicode tables into ranges.
func fromTable(tables ...*unicode.RangeTable) ranges {
	var out ranges
	add := func(lo, hi, stride rune) {
		if stride == 1 {
			out = append(out, span{lo, hi})
			return
		}
		for c := lo; c <= hi; c += stride {
			out = append(out, span{c, c})
		}
	}
	for _, t := range tables {
		for _, r := range t.R16 {
			add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
		}
		for _, r := range t.R32 {
			add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
		}
	}
	return normal(out)
}

var (
	space = sync.OnceValue(func() ranges { return fromTable(unicode.White_Space) })
	digit = sync.OnceValue(func() ranges { return fromTable(unicode.Nd) })
	// alphabetic is the derived property of the same name (Unicode, DerivedCoreProperties.txt).
	alphabetic = sync.OnceValue(func() ranges {
		return fromTable(unicode.L, unicode.Nl, unicode.Other_Alphabetic)
	})
	// word is \w: UTS #18, annex C, without the two join controls, as Oniguruma has it.
	word = sync.OnceValue(func() ranges {
		return union(alphabetic(), fromTable(unicode.M, unicode.Nd, unicode.Pc))
	})
	// looseWord is \w outside a bracket class, where Oniguruma also takes six Latin-1 numbers: ² ³ ¹ ¼ ½ ¾.
	looseWord = sync.OnceValue(func() ranges {
		return union(word(), ranges{{0xB2, 0xB3}, {0xB9, 0xB9}, {0xBC, 0xBE}})
	})
	assigned = sync.OnceValue(func() ranges {
		return fromTable(unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Z, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs)
	})
)

var hexDigit = ranges{{'0', '9'}, {'A', 'F'}, {'a', 'f'}}

// posix holds the names that [[:name:]] and \p{name} share, with Oniguruma's Unicode meaning (its doc/RE).
var posix = map[string]func() ranges{
	"alnum": func() ranges { return union(alphabetic(), digit()) },
	"alpha": alphabetic,
	"ascii": func() ranges { return ranges{{0, 0x7F}} },
	"blank": func() ranges { return union(fromTable(unicode.Zs), ranges{{'\t', '\t'}}) },
	"cntrl": func() ranges { return fromTable(unicode.Cc) },
	"digit": digit,
	"graph": func() ranges {
		return intersect(negate(union(space(), fromTable(unicode.Cc, unicode.Cs))), assigned())
	},
	"lower": func() ranges { return fromTable(unicode.Ll, unicode.Other_Lowercase) },
	"print": func() ranges {
		return intersect(negate(fromTable(unicode.Cc, unicode.Cs, unicode.Zl, unicode.Zp)), assigned())
	},
	"punct":  func() ranges { return fromTable(unicode.P, unicode.S) },
	"space":  space,
	"upper":  func() ranges { return fromTable(unicode.Lu, unicode.Other_Uppercase) },
	"xdigit": func() ranges { return hexDigit },
	"word":   word,
}

// tables finds Go's Unicode tables by their squeezed name.
var tables = sync.OnceValue(func() map[string]*unicode.RangeTable {
	out := map[string]*unicode.RangeTable{}
	// Categories win over scripts, and both over properties; the three share no squeezed name but by design.
	for _, m := range []map[string]*unicode.RangeTable{unicode.Properties, unicode.Scripts, unicode.Categories} {
		for name, t := range m {
			out[squeeze(name)] = t
		}
	}
	for name, short := range unicode.CategoryAliases {
		out[squeeze(name)] = unicode.Categories[short]
	}
	return out
})

// squeeze drops what a property name may vary in: case, spaces, hyphens, underscores.
func squeeze(name string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case ' ', '-', '_':
			return -1
		}
		return unicode.ToLower(r)
	}, name)
}

// property returns the set that \p{name} names.
func property(name string) (ranges, bool) {
	n := squeeze(name)
	switch n {
	case "any":
		return all, true
	case "assigned":
		return assigned(), true
	case "punct":
		// Unlike [[:punct:]], without the symbols.
		return fromTable(unicode.P), true
	case "alphabetic":
		return alphabetic(), true
	case "lowercase":
		return posix["lower"](), true
	case "uppercase":
		return posix["upper"](), true
	}
	if f, ok := posix[n]; ok {
		return f(), true
	}
	if t, ok := tables()[n]; ok {
		return fromTable(t), true
	}
	return nil, false
}
