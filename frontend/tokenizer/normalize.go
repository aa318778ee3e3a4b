package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"apogee/frontend/tokenizer/regex"
)

// normalizer rewrites a text. limit is the length, in bytes, that it must not exceed: a rule may replace a character by
// a thousand, and rules come in chains.
type normalizer func(text string, limit int) (string, error)

// growth and slack bound what normalising and decoding may make of a text of n bytes: growth*n+slack. The largest
// factor in Unicode's own forms is 18 (U+FDFA under NFKC takes 33 bytes for 3).
const (
	growth = 64
	slack  = 4096
)

func errTooLong(limit int) error {
	return fmt.Errorf("the tokenizer's rules make the text longer than %d bytes, %d times what it was", limit, growth)
}

// replace puts content in the place of every match.
func replace(re *regex.Regexp, text, content string, limit int) (string, error) {
	spans := re.All(nil, text)
	if len(spans) == 0 {
		return text, nil
	}
	size := len(text) + len(spans)*len(content)
	for _, s := range spans {
		size -= s.End - s.Start
	}
	if size > limit {
		return "", errTooLong(limit)
	}
	var b strings.Builder
	b.Grow(size)
	last := 0
	for _, s := range spans {
		b.WriteString(text[last:s.Start])
		b.WriteString(content)
		last = s.End
	}
	b.WriteString(text[last:])
	return b.String(), nil
}

// lower is Rust's char::to_lowercase of each character: U+0130 becomes two, and a sigma knows nothing of its place.
func lower(text string) string {
	text = strings.ReplaceAll(text, "\u0130", "i\u0307")
	return strings.Map(unicode.ToLower, text)
}

// parseNormalizer reads the normalizer of a tokenizer.json.
func (p *fileParser) parseNormalizer(raw json.RawMessage) (normalizer, error) {
	var c struct {
		Type        string
		Normalizers []json.RawMessage
		Pattern     *pattern
		Content     string
		Prepend     string
		StripLeft   bool `json:"strip_left"`
		StripRight  bool `json:"strip_right"`
	}
	if err := p.stage(raw, &c, "normalizer"); err != nil {
		return nil, err
	}
	plain := func(f func(string) string) normalizer {
		return func(text string, limit int) (string, error) {
			if text = f(text); len(text) > limit {
				return "", errTooLong(limit)
			}
			return text, nil
		}
	}
	switch c.Type {
	case "Sequence":
		var steps []normalizer
		for i, r := range c.Normalizers {
			step, err := p.parseNormalizer(r)
			if err != nil {
				return nil, fmt.Errorf("step %d: %w", i+1, err)
			}
			steps = append(steps, step)
		}
		return func(text string, limit int) (string, error) {
			var err error
			for _, step := range steps {
				if text, err = step(text, limit); err != nil {
					return "", err
				}
			}
			return text, nil
		}, nil
	case "NFC":
		return plain(norm.NFC.String), nil
	case "NFD":
		return plain(norm.NFD.String), nil
	case "NFKC":
		return plain(norm.NFKC.String), nil
	case "NFKD":
		return plain(norm.NFKD.String), nil
	case "Lowercase":
		return plain(lower), nil
	case "StripAccents":
		return plain(func(s string) string {
			return strings.Map(func(r rune) rune {
				if unicode.IsMark(r) {
					return -1
				}
				return r
			}, s)
		}), nil
	case "Strip":
		return plain(func(s string) string {
			if c.StripLeft {
				s = strings.TrimLeftFunc(s, unicode.IsSpace)
			}
			if c.StripRight {
				s = strings.TrimRightFunc(s, unicode.IsSpace)
			}
			return s
		}), nil
	case "Prepend":
		return func(text string, limit int) (string, error) {
			if text == "" {
				return text, nil
			}
			if len(text)+len(c.Prepend) > limit {
				return "", errTooLong(limit)
			}
			return c.Prepend + text, nil
		}, nil
	case "ByteLevel":
		return plain(toByteLevel), nil
	case "Replace":
		if c.Pattern == nil {
			return nil, fmt.Errorf("a Replace without a pattern")
		}
		re, err := c.Pattern.compile()
		if err != nil {
			return nil, err
		}
		return func(text string, limit int) (string, error) { return replace(re, text, c.Content, limit) }, nil
	}
	return nil, fmt.Errorf("type %q is not supported; known are Sequence, NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, Prepend, ByteLevel and Replace", c.Type)
}
