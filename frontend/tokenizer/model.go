package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// model turns a word into ids.
type model interface {
	encode(dst []int32, word string, s *scratch) ([]int32, error)
}

// scratch is what one call of Encode keeps between words: buffers, and the ids of words seen before. What it holds never
// changes a result.
type scratch struct {
	merger merger
	ids    []int32
	words  []word
	seen   map[string][]int32
}

// The bounds of scratch.seen: words in it, and bytes in a word.
const (
	maxSeen     = 1 << 13
	maxSeenWord = 64
)

// maxKeptWords bounds scratch.words between calls.
const maxKeptWords = 1 << 15

// wordLevel looks each word up.
type wordLevel struct {
	ids     map[string]int32
	unknown string
}

func (m *wordLevel) encode(dst []int32, word string, _ *scratch) ([]int32, error) {
	if id, ok := m.ids[word]; ok {
		return append(dst, id), nil
	}
	if id, ok := m.ids[m.unknown]; ok {
		return append(dst, id), nil
	}
	return nil, fmt.Errorf("the word %.40q is not in the vocabulary, which has no unknown token either (%q)", word, m.unknown)
}

// bpe is byte-pair encoding (Sennrich et al., arXiv 1508.07909) with the options of Hugging Face's library.
type bpe struct {
	ids          map[string]int32
	merges       *mergeTable
	runes        [512]int32 // ids of the first characters: all of a byte-level alphabet; -1 for none
	bytes        [256]int32 // ids of <0x00> … <0xFF>, with byteFallback; -1 for none
	unknown      *string
	prefix       string // of a character that is not its word's first
	suffix       string // of a character that is its word's last
	fuseUnknown  bool
	byteFallback bool
	ignoreMerges bool // a word that is in the vocabulary is its own token
}

func (m *bpe) encode(dst []int32, word string, s *scratch) ([]int32, error) {
	if m.ignoreMerges {
		if id, ok := m.ids[word]; ok {
			return append(dst, id), nil
		}
	}
	if ids, ok := s.seen[word]; ok {
		return append(dst, ids...), nil
	}
	ids, err := m.symbols(s.ids[:0], word)
	if err != nil {
		return nil, err
	}
	s.ids = ids
	ids = s.merger.apply(m.merges, ids)
	if len(word) <= maxSeenWord && len(s.seen) < maxSeen {
		s.seen[strings.Clone(word)] = append([]int32(nil), ids...)
	}
	return append(dst, ids...), nil
}

// symbols returns the ids of the word's characters.
func (m *bpe) symbols(dst []int32, word string) ([]int32, error) {
	unknown, pending := int32(0), false
	for i, r := range word {
		end := i + utf8.RuneLen(r)
		id, ok := m.character(word, i, end, r)
		if ok {
			if pending {
				dst, pending = append(dst, unknown), false
			}
			dst = append(dst, id)
			continue
		}
		text := m.affixed(word, i, end)
		if m.byteFallback {
			n := len(dst)
			for k := range len(text) {
				if id := m.bytes[text[k]]; id >= 0 {
					dst = append(dst, id)
				} else {
					dst = dst[:n]
					break
				}
			}
			if len(dst) > n {
				// An unknown before it stays pending, as in the original.
				continue
			}
		}
		if m.unknown == nil {
			return nil, fmt.Errorf("the character %q (U+%04X) has no token, and there is no unknown token", text, r)
		}
		if pending && !m.fuseUnknown {
			dst = append(dst, unknown)
		}
		if unknown, ok = m.ids[*m.unknown]; !ok {
			return nil, fmt.Errorf("the character %q has no token, and the unknown token %q is not in the vocabulary", text, *m.unknown)
		}
		pending = true
	}
	if pending {
		dst = append(dst, unknown)
	}
	return dst, nil
}

// affixed returns a character as the vocabulary writes it at its place in the word.
func (m *bpe) affixed(word string, start, end int) string {
	text := word[start:end]
	if start > 0 {
		text = m.prefix + text
	}
	if end == len(word) {
		text += m.suffix
	}
	return text
}

// character returns the id of word[start:end], which is r.
func (m *bpe) character(word string, start, end int, r rune) (int32, bool) {
	if m.prefix == "" && m.suffix == "" {
		if r < rune(len(m.runes)) {
			return m.runes[r], m.runes[r] >= 0
		}
		id, ok := m.ids[word[start:end]]
		return id, ok
	}
	id, ok := m.ids[m.affixed(word, start, end)]
	return id, ok
}

// vocabulary maps the model's tokens to their ids.
type vocabulary map[string]int32

// parseModel reads the model of a tokenizer.json and returns it with its vocabulary.
func (p *fileParser) parseModel(raw json.RawMessage) (model, vocabulary, error) {
	var c struct {
		Type         string
		Vocab        json.RawMessage
		Merges       json.RawMessage
		Dropout      *float64
		UnkToken     *string `json:"unk_token"`
		Prefix       *string `json:"continuing_subword_prefix"`
		Suffix       *string `json:"end_of_word_suffix"`
		FuseUnk      bool    `json:"fuse_unk"`
		ByteFallback bool    `json:"byte_fallback"`
		IgnoreMerges bool    `json:"ignore_merges"`
	}
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil, fmt.Errorf("model: missing")
	}
	if err := p.stage(raw, &c, "model"); err != nil {
		return nil, nil, err
	}
	if c.Type == "" && len(c.Merges) > 0 {
		c.Type = "BPE" // files from before models had a type
	}
	if c.Type != "BPE" && c.Type != "WordLevel" {
		return nil, nil, fmt.Errorf("model: type %q is not supported; known are BPE and WordLevel", c.Type)
	}
	vocab, err := parseVocabulary(c.Vocab)
	if err != nil {
		return nil, nil, fmt.Errorf("model.vocab: %w", err)
	}
	if c.Type == "WordLevel" {
		unknown := "<unk>"
		if c.UnkToken != nil {
			unknown = *c.UnkToken
		}
		return &wordLevel{vocab, unknown}, vocab, nil
	}
	if c.Dropout != nil && *c.Dropout != 0 {
		return nil, nil, fmt.Errorf("model.dropout: %v makes encoding random; expected null or 0", *c.Dropout)
	}
	m := &bpe{ids: vocab, unknown: c.UnkToken, fuseUnknown: c.FuseUnk, byteFallback: c.ByteFallback, ignoreMerges: c.IgnoreMerges}
	if c.Prefix != nil {
		m.prefix = *c.Prefix
	}
	if c.Suffix != nil {
		m.suffix = *c.Suffix
	}
	for r := range m.runes {
		m.runes[r] = -1
		if id, ok := vocab[string(rune(r))]; ok {
			m.runes[r] = id
		}
	}
	for b := range m.bytes {
		m.bytes[b] = -1
		if id, ok := vocab[fmt.Sprintf("<0x%02X>", b)]; ok {
			m.bytes[b] = id
		}
	}
	if m.merges, err = parseMerges(c.Merges, vocab, m.prefix); err != nil {
		return nil, nil, fmt.Errorf("model.merges: %w", err)
	}
	return m, vocab, nil
}
