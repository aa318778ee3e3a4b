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

// category is the union of general categories, by their one- or two-letter names.
func category(names ...string) ranges {
	var out ranges
	for _, name := range names {
		out = append(out, fromTable(unicode.Categories[name])...)
		for added, r := range newer {
			if len(added) == 2 && strings.HasPrefix(added, name) {
				out = append(out, r...)
			}
		}
	}
	return normal(out)
}

var (
	space = sync.OnceValue(func() ranges { return fromTable(unicode.White_Space) })
	digit = sync.OnceValue(func() ranges { return category("Nd") })
	// alphabetic is the derived property of the same name (Unicode, DerivedCoreProperties.txt).
	alphabetic = sync.OnceValue(func() ranges {
		return union(union(category("L", "Nl"), fromTable(unicode.Other_Alphabetic)), newer["Alphabetic"])
	})
	// word is \w: UTS #18, annex C, without the two join controls, as Oniguruma has it.
	word = sync.OnceValue(func() ranges { return union(alphabetic(), category("M", "Nd", "Pc")) })
	// looseWord is \w outside a bracket class, where Oniguruma also takes six Latin-1 numbers: ² ³ ¹ ¼ ½ ¾.
	looseWord = sync.OnceValue(func() ranges {
		return union(word(), ranges{{0xB2, 0xB3}, {0xB9, 0xB9}, {0xBC, 0xBE}})
	})
	assigned = sync.OnceValue(func() ranges {
		return category("L", "M", "N", "P", "S", "Z", "Cc", "Cf", "Co", "Cs")
	})
)

var hexDigit = ranges{{'0', '9'}, {'A', 'F'}, {'a', 'f'}}

// posix holds the names that [[:name:]] and \p{name} share, with Oniguruma's Unicode meaning (its doc/RE).
var posix = map[string]func() ranges{
	"alnum": func() ranges { return union(alphabetic(), digit()) },
	"alpha": alphabetic,
	"ascii": func() ranges { return ranges{{0, 0x7F}} },
	"blank": func() ranges { return union(category("Zs"), ranges{{'\t', '\t'}}) },
	"cntrl": func() ranges { return category("Cc") },
	"digit": digit,
	"graph": func() ranges {
		return intersect(negate(union(space(), category("Cc", "Cs"))), assigned())
	},
	"lower": func() ranges { return union(category("Ll"), fromTable(unicode.Other_Lowercase)) },
	"print": func() ranges {
		return intersect(negate(category("Cc", "Cs", "Zl", "Zp")), assigned())
	},
	"punct":  func() ranges { return category("P", "S") },
	"space":  space,
	"upper":  func() ranges { return union(category("Lu"), fromTable(unicode.Other_Uppercase)) },
	"xdigit": func() ranges { return hexDigit },
	"word":   word,
}

// names finds the functions that make categories, scripts and properties by their squeezed name.
var names = sync.OnceValue(func() map[string]func() ranges {
	out := map[string]func() ranges{}
	// Categories win over scripts, and both over properties; the three share no squeezed name but by design.
	for name, t := range unicode.Properties {
		out[squeeze(name)] = func() ranges { return fromTable(t) }
	}
	for name, t := range unicode.Scripts {
		out[squeeze(name)] = func() ranges { return union(fromTable(t), newer[name]) }
	}
	for name := range unicode.Categories {
		out[squeeze(name)] = func() ranges { return category(name) }
	}
	// Go's tables for these are older than the additions to their parts.
	out["lc"] = func() ranges { return category("Lu", "Ll", "Lt") }
	out["cn"] = func() ranges { return negate(assigned()) }
	out["c"] = func() ranges { return union(negate(assigned()), category("Cc", "Cf", "Co", "Cs")) }
	for name, short := range unicode.CategoryAliases {
		out[squeeze(name)] = out[squeeze(short)]
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
		return category("P"), true
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
	if f, ok := names()[n]; ok {
		return f(), true
	}
	return nil, false
}
