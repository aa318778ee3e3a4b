package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The two long parts of a tokenizer.json are read by hand: encoding/json takes the last of two equal keys in silence,
// and merges come in two shapes. The text has been through its check of the syntax, so that only the shape is in question.

// cursor walks over valid JSON.
type cursor struct {
	buf []byte
	pos int
}

func (c *cursor) space() {
	for c.pos < len(c.buf) && (c.buf[c.pos] == ' ' || c.buf[c.pos] == '\n' || c.buf[c.pos] == '\t' || c.buf[c.pos] == '\r') {
		c.pos++
	}
}

// take passes over one punctuation byte if it is next.
func (c *cursor) take(b byte) bool {
	c.space()
	if c.pos < len(c.buf) && c.buf[c.pos] == b {
		c.pos++
		return true
	}
	return false
}

// str reads a string; false when the next value is none.
func (c *cursor) str() (string, bool) {
	if !c.take('"') {
		return "", false
	}
	start := c.pos
	for c.pos < len(c.buf) {
		switch b := c.buf[c.pos]; b {
		case '"':
			c.pos++
			raw := c.buf[start : c.pos-1]
			if utf8.Valid(raw) {
				return string(raw), true
			}
			return strings.ToValidUTF8(string(raw), "\uFFFD"), true
		case '\\':
			for c.pos += 2; c.pos < len(c.buf) && c.buf[c.pos] != '"'; c.pos++ {
				if c.buf[c.pos] == '\\' {
					c.pos++
				}
			}
			if c.pos >= len(c.buf) {
				return "", false
			}
			c.pos++
			var s string
			err := json.Unmarshal(c.buf[start-1:c.pos], &s)
			return s, err == nil
		}
		c.pos++
	}
	return "", false
}

// number reads a whole number from 0 to 2^31-1.
func (c *cursor) number() (int32, bool) {
	c.space()
	start, v := c.pos, int64(0)
	for ; c.pos < len(c.buf) && c.buf[c.pos] >= '0' && c.buf[c.pos] <= '9'; c.pos++ {
		if v = v*10 + int64(c.buf[c.pos]-'0'); v > 1<<31-1 {
			return 0, false
		}
	}
	return int32(v), c.pos > start && (c.pos == len(c.buf) || !strings.ContainsRune(".eE", rune(c.buf[c.pos])))
}

// parseVocabulary reads {"token": id, …}.
func parseVocabulary(raw json.RawMessage) (vocabulary, error) {
	c := &cursor{buf: raw}
	if !c.take('{') {
		return nil, fmt.Errorf("expected an object of tokens and ids")
	}
	vocab := make(vocabulary, len(raw)/24)
	if c.take('}') {
		return vocab, nil
	}
	for {
		token, ok := c.str()
		if !ok || !c.take(':') {
			return nil, fmt.Errorf("expected a token, at byte %d of it", c.pos)
		}
		id, ok := c.number()
		if !ok {
			return nil, fmt.Errorf("token %.80q: expected an id, a whole number from 0 to %d", token, 1<<31-1)
		}
		if first, twice := vocab[token]; twice {
			return nil, fmt.Errorf("token %.80q comes twice, as %d and %d", token, first, id)
		}
		vocab[token] = id
		if !c.take(',') {
			return vocab, nil
		}
	}
}

// parseMerges reads ["a b", …] or [["a","b"], …]; the first merge has the lowest rank.
func parseMerges(raw json.RawMessage, vocab vocabulary, prefix string) (*mergeTable, error) {
	c := &cursor{buf: raw}
	if !c.take('[') {
		return nil, fmt.Errorf("expected a list of pairs")
	}
	// A merge takes at least four bytes, so the table stays in proportion to the file.
	entries := 0
	for i := 0; i+1 < len(raw); i++ {
		if raw[i] == ',' {
			entries++
		}
	}
	t := newMergeTable(min(entries+1, len(raw)/4+1))
	if c.take(']') {
		return t, nil
	}
	var joined []byte
	for rank := uint32(0); ; rank++ {
		var a, b string
		ok := true
		if c.take('[') {
			a, ok = c.str()
			ok = ok && c.take(',')
			if ok {
				b, ok = c.str()
			}
			ok = ok && c.take(']')
		} else {
			var pair string
			if pair, ok = c.str(); ok {
				a, b, ok = strings.Cut(pair, " ")
				ok = ok && !strings.Contains(b, " ")
			}
		}
		if !ok {
			return nil, fmt.Errorf("merge %d: expected two tokens, as \"a b\" or [\"a\", \"b\"]", rank+1)
		}
		if !strings.HasPrefix(b, prefix) {
			return nil, fmt.Errorf("merge %d: the second token %.80q lacks the prefix %q", rank+1, b, prefix)
		}
		joined = append(append(joined[:0], a...), b[len(prefix):]...)
		left, okA := vocab[a]
		right, okB := vocab[b]
		made, okM := vocab[string(joined)]
		if !okA || !okB || !okM {
			missing := string(joined)
			if !okA {
				missing = a
			} else if !okB {
				missing = b
			}
			return nil, fmt.Errorf("merge %d (%.80q with %.80q): the vocabulary has no token %.80q", rank+1, a, b, missing)
		}
		t.put(left, right, merge{rank, made})
		if !c.take(',') {
			return t, nil
		}
	}
}
