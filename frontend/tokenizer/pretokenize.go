package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"apogee/frontend/tokenizer/regex"
)

// word is a piece of text on its way to the model.
type word struct {
	text string
	// first is true for the piece that the text began with.
	first bool
}

// preTokenizer cuts words into smaller ones. It must neither keep nor change in.
type preTokenizer func(out, in []word) []word

// gpt2Pattern is what the ByteLevel pre-tokenizer cuts at (GPT-2's encoder.py).
const gpt2Pattern = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

// cutter returns the pre-tokenizer that cuts at the matches of find.
func cutter(find func(dst []regex.Span, text string) []regex.Span, invert bool, b behavior) preTokenizer {
	return func(out, in []word) []word {
		var spans []regex.Span
		var ps []part
		for _, w := range in {
			spans = find(spans[:0], w.text)
			ps = parts(ps[:0], len(w.text), spans)
			if invert {
				for i := range ps {
					ps[i].match = !ps[i].match
				}
			}
			for _, p := range cut(ps, b) {
				if p.start < p.end {
					out = append(out, word{w.text[p.start:p.end], w.first && p.start == 0})
				}
			}
		}
		return out
	}
}

// runesWhere returns a find for cutter: each character of a kind is a match.
func runesWhere(is func(rune) bool) func([]regex.Span, string) []regex.Span {
	return func(dst []regex.Span, text string) []regex.Span {
		for i, r := range text {
			if is(r) {
				dst = append(dst, regex.Span{Start: i, End: i + utf8.RuneLen(r)})
			}
		}
		return dst
	}
}

// prefixed returns the words with a prefix before those that lack it.
func prefixed(in []word, prefix string, want func(word) bool) []word {
	out := make([]word, len(in))
	for i, w := range in {
		if want(w) && !strings.HasPrefix(w.text, prefix) {
			w.text = prefix + w.text
		}
		out[i] = w
	}
	return out
}

func byteLevelPre(addPrefixSpace, useRegex bool) (preTokenizer, error) {
	re, err := regex.Compile(gpt2Pattern)
	if err != nil {
		return nil, err
	}
	cutAt := cutter(re.All, false, isolated)
	return func(out, in []word) []word {
		if addPrefixSpace {
			in = prefixed(in, " ", func(word) bool { return true })
		}
		from := len(out)
		if useRegex {
			out = cutAt(out, in)
		} else {
			out = append(out, in...)
		}
		toByteLevelAll(out[from:])
		return out
	}, nil
}

func metaspacePre(replacement string, scheme string, split bool) (preTokenizer, error) {
	re, err := regex.Literal(replacement)
	if err != nil {
		return nil, err
	}
	cutAt := cutter(re.All, false, mergedWithNext)
	return func(out, in []word) []word {
		replaced := make([]word, len(in))
		for i, w := range in {
			replaced[i] = word{strings.ReplaceAll(w.text, " ", replacement), w.first}
		}
		switch scheme {
		case "always":
			replaced = prefixed(replaced, replacement, func(word) bool { return true })
		case "first":
			replaced = prefixed(replaced, replacement, func(w word) bool { return w.first })
		}
		if split {
			return cutAt(out, replaced)
		}
		return append(out, replaced...)
	}, nil
}

// parsePreTokenizer reads the pre_tokenizer of a tokenizer.json.
func (p *fileParser) parsePreTokenizer(raw json.RawMessage) (preTokenizer, error) {
	var c struct {
		Type           string
		Pretokenizers  []json.RawMessage
		Pattern        *pattern
		Behavior       *string
		Invert         bool
		AddPrefixSpace *bool `json:"add_prefix_space"`
		UseRegex       *bool `json:"use_regex"`
		Individual     bool  `json:"individual_digits"`
		Replacement    *string
		PrependScheme  *string `json:"prepend_scheme"`
		Split          *bool
		Delimiter      string
	}
	if err := p.stage(raw, &c, "pre_tokenizer"); err != nil {
		return nil, err
	}
	cutAs := func(fallback behavior) (behavior, error) {
		if c.Behavior == nil {
			return fallback, nil
		}
		return parseBehavior(*c.Behavior)
	}
	switch c.Type {
	case "Sequence":
		var steps []preTokenizer
		for i, r := range c.Pretokenizers {
			step, err := p.parsePreTokenizer(r)
			if err != nil {
				return nil, fmt.Errorf("step %d: %w", i+1, err)
			}
			steps = append(steps, step)
		}
		return func(out, in []word) []word {
			var spare []word
			for i, step := range steps {
				if i == len(steps)-1 {
					return step(out, in)
				}
				// Two buffers take turns; the caller's words stay as they are.
				next := step(spare[:0], in)
				if i > 0 {
					spare = in
				} else {
					spare = nil
				}
				in = next
			}
			return append(out, in...)
		}, nil
	case "Split":
		if c.Pattern == nil {
			return nil, fmt.Errorf("a Split without a pattern")
		}
		re, err := c.Pattern.compile()
		if err != nil {
			return nil, err
		}
		b, err := cutAs(isolated)
		if err != nil {
			return nil, err
		}
		return cutter(re.All, c.Invert, b), nil
	case "ByteLevel":
		return byteLevelPre(c.AddPrefixSpace == nil || *c.AddPrefixSpace, c.UseRegex == nil || *c.UseRegex)
	case "Whitespace":
		re, err := regex.Compile(`[\w]+|[^\w\s]+`) // in brackets: Rust's \w, not Oniguruma's
		if err != nil {
			return nil, err
		}
		return cutter(re.All, true, removed), nil
	case "WhitespaceSplit":
		return cutter(runesWhere(unicode.IsSpace), false, removed), nil
	case "Digits":
		if c.Individual {
			return cutter(runesWhere(unicode.IsNumber), false, isolated), nil
		}
		return cutter(runesWhere(unicode.IsNumber), false, contiguous), nil
	case "Punctuation":
		b, err := cutAs(isolated)
		if err != nil {
			return nil, err
		}
		return cutter(runesWhere(func(r rune) bool {
			return unicode.IsPunct(r) || r < utf8.RuneSelf && strings.ContainsRune("$+<=>^`|~", r)
		}), false, b), nil
	case "CharDelimiterSplit":
		d, n := utf8.DecodeRuneInString(c.Delimiter)
		if n == 0 || n != len(c.Delimiter) {
			return nil, fmt.Errorf("a CharDelimiterSplit needs one character as its delimiter, not %q", c.Delimiter)
		}
		return cutter(runesWhere(func(r rune) bool { return r == d }), false, removed), nil
	case "Metaspace":
		replacement, scheme, err := metaspaceOptions(c.Replacement, c.PrependScheme, c.AddPrefixSpace)
		if err != nil {
			return nil, err
		}
		return metaspacePre(replacement, scheme, c.Split == nil || *c.Split)
	}
	return nil, fmt.Errorf("type %q is not supported; known are Sequence, Split, ByteLevel, Whitespace, WhitespaceSplit, Digits, Punctuation, CharDelimiterSplit and Metaspace", c.Type)
}

// metaspaceOptions reads what the Metaspace pre-tokenizer and decoder have in common.
func metaspaceOptions(replacement, scheme *string, addPrefixSpace *bool) (r, s string, err error) {
	r, s = "▁", "always"
	if replacement != nil {
		r = *replacement
	}
	if utf8.RuneCountInString(r) != 1 {
		return "", "", fmt.Errorf("a Metaspace needs one character as its replacement, not %q", r)
	}
	if scheme != nil {
		s = *scheme
	}
	if addPrefixSpace != nil && !*addPrefixSpace {
		s = "never"
	}
	if s != "always" && s != "first" && s != "never" {
		return "", "", fmt.Errorf("unknown prepend_scheme %q; known are always, first and never", s)
	}
	return r, s, nil
}
