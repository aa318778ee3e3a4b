package tokenizer

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is a token that is found in the text before anything else happens to it.
type addedToken struct {
	ID         int32
	Content    string
	SingleWord bool `json:"single_word"` // only where no word character stands beside it
	LStrip     bool // takes the white space before it along
	RStrip     bool // and that after it
	Normalized bool // is looked for in the normalised text
	Special    bool // is left out of decoded text when that is asked for
}

// maxAdded is the longest added token, in bytes: how far a search may look ahead at each place.
const maxAdded = 512

// trie finds the longest of many strings at a place.
type trie struct {
	nodes []trieNode
	first [256]bool // what a string begins with
}

type trieNode struct {
	edges []trieEdge // sorted by byte
	token int32      // index into the tokens, or -1
}

type trieEdge struct {
	b  byte
	to int32
}

// newTrie takes the strings that the tokens are looked for by; of two equal ones the later counts.
func newTrie(tokens []int32, texts []string) *trie {
	if len(tokens) == 0 {
		return nil
	}
	t := &trie{nodes: []trieNode{{token: -1}}}
	for k, s := range texts {
		if s == "" {
			continue
		}
		t.first[s[0]] = true
		at := int32(0)
		for i := range len(s) {
			n := &t.nodes[at]
			j, ok := slices.BinarySearchFunc(n.edges, s[i], func(e trieEdge, b byte) int { return cmp.Compare(e.b, b) })
			if !ok {
				n.edges = slices.Insert(n.edges, j, trieEdge{s[i], int32(len(t.nodes))})
				t.nodes = append(t.nodes, trieNode{token: -1})
			}
			at = t.nodes[at].edges[j].to
		}
		t.nodes[at].token = tokens[k]
	}
	return t
}

// longest returns the token of the longest string that text[at:] begins with, and its length.
func (t *trie) longest(text string, at int) (token int32, length int) {
	token = -1
	node := int32(0)
	for i := at; i < len(text); i++ {
		n := &t.nodes[node]
		j, ok := slices.BinarySearchFunc(n.edges, text[i], func(e trieEdge, b byte) int { return cmp.Compare(e.b, b) })
		if !ok {
			break
		}
		node = n.edges[j].to
		if k := t.nodes[node].token; k >= 0 {
			token, length = k, i+1-at
		}
	}
	return token, length
}

// segment is a stretch of text, or an added token in its place.
type segment struct {
	text  string
	token int32 // index into the added tokens, or -1
	first bool  // the text begins with it
}

// split cuts the tokens of t out of text, the leftmost first, the longest of those at one place.
func (t *trie) split(dst []segment, added []addedToken, text string, first bool) []segment {
	if t == nil || text == "" {
		return append(dst, segment{text, -1, first})
	}
	done, blankFrom, blankTo := 0, 0, -1
	for at := 0; at < len(text); {
		if !t.first[text[at]] {
			at++
			continue
		}
		k, n := t.longest(text, at)
		if k < 0 {
			at++
			continue
		}
		a := &added[k]
		start, end := at, at+n
		at = end
		if a.SingleWord && (endsInWord(text[:start]) || beginsWithWord(text[end:])) {
			continue
		}
		if a.LStrip && start > done {
			// What an earlier token took stays with it.
			start = done + len(strings.TrimRightFunc(text[done:start], unicode.IsSpace))
		}
		if a.RStrip {
			if end < blankFrom || end > blankTo { // else the run of white space is known
				blankFrom, blankTo = end, len(text)-len(strings.TrimLeftFunc(text[end:], unicode.IsSpace))
			}
			end = blankTo
		}
		if done < start {
			dst = append(dst, segment{text[done:start], -1, first && done == 0})
		}
		dst = append(dst, segment{token: k})
		done = end
	}
	if done < len(text) {
		dst = append(dst, segment{text[done:], -1, first && done == 0})
	}
	return dst
}

// isWord is \w of the Rust regex library (Unicode, UTS #18, annex C).
func isWord(r rune) bool {
	return unicode.In(r, unicode.L, unicode.Nl, unicode.Other_Alphabetic, unicode.M, unicode.Nd, unicode.Pc, unicode.Join_Control)
}

func endsInWord(s string) bool {
	r, n := utf8.DecodeLastRuneInString(s)
	return n > 0 && isWord(r)
}

func beginsWithWord(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n > 0 && isWord(r)
}
