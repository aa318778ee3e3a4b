package tokenizer

import (
	"fmt"

	"apogee/frontend/tokenizer/regex"
)

// behavior says what becomes of the matches at which a text is cut.
type behavior uint8

const (
	isolated           behavior = iota // each match is a piece
	removed                            // matches are dropped
	mergedWithPrevious                 // a match belongs to what stands before it
	mergedWithNext                     // or to what follows
	contiguous                         // matches in a row are one piece
)

func parseBehavior(name string) (behavior, error) {
	switch name {
	case "Isolated":
		return isolated, nil
	case "Removed":
		return removed, nil
	case "MergedWithPrevious":
		return mergedWithPrevious, nil
	case "MergedWithNext":
		return mergedWithNext, nil
	case "Contiguous":
		return contiguous, nil
	}
	return 0, fmt.Errorf("unknown behavior %q; known are Isolated, Removed, MergedWithPrevious, MergedWithNext and Contiguous", name)
}

// part is a stretch of a text: a match, or what lies between two.
type part struct {
	start, end int
	match      bool
}

// parts covers text with the matches and what lies between them, in order.
func parts(dst []part, length int, matches []regex.Span) []part {
	last := 0
	for _, m := range matches {
		if m.Start > last {
			dst = append(dst, part{last, m.Start, false})
		}
		dst = append(dst, part{m.Start, m.End, true})
		last = m.End
	}
	if last < length {
		dst = append(dst, part{last, length, false})
	}
	return dst
}

// cut joins and drops parts as b says, in place.
func cut(ps []part, b behavior) []part {
	out := ps[:0]
	previous := false
	switch b {
	case isolated:
		return ps
	case removed:
		for _, p := range ps {
			if !p.match {
				out = append(out, p)
			}
		}
	case contiguous:
		for _, p := range ps {
			if n := len(out); n > 0 && p.match == previous {
				out[n-1].end = p.end
			} else {
				out = append(out, p)
			}
			previous = p.match
		}
	case mergedWithPrevious:
		for _, p := range ps {
			if n := len(out); n > 0 && p.match && !previous {
				out[n-1].end = p.end
			} else {
				out = append(out, p)
			}
			previous = p.match
		}
	case mergedWithNext:
		// The same from the right: out grows down from the end of ps.
		at := len(ps)
		for i := len(ps) - 1; i >= 0; i-- {
			p := ps[i]
			if at < len(ps) && p.match && !previous {
				ps[at].start = p.start
			} else {
				at--
				ps[at] = p
			}
			previous = p.match
		}
		return ps[at:]
	}
	return out
}
