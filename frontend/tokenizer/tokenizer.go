package tokenizer

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"unicode/utf8"
)

// Tokenizer is a loaded tokenizer. Any number of goroutines may use it at once, AddEOS apart.
type Tokenizer struct {
	vocab       vocabulary // of the model
	tokens      []token    // by id
	model       model
	normalize   normalizer   // nil: none
	preTokenize preTokenizer // nil: none
	decoders    []decoderKind
	template    *template // nil: none

	added      []addedToken
	addedIDs   map[string]int32
	plainTrie  *trie // added tokens found in the text as it is
	normedTrie *trie // and in the normalised text

	specials map[string]string // "bos_token" and so on
	bos      int32             // -1: none
	eos      []int32
	addBOS   bool
	addEOS   bool
	chat     *chatTemplate // nil: none

	pool sync.Pool // of *scratch
}

// token is an entry of the table from id to token.
type token struct {
	text    string
	known   bool
	special bool
}

// addTokens builds the table of tokens and the search for added ones. Of tokens with one content the first counts, so
// that tokenizer.json goes before tokenizer_config.json; an added token that the model knows has the model's id.
func (t *Tokenizer) addTokens(added []addedToken) error {
	t.addedIDs = map[string]int32{}
	highest := int32(-1)
	for _, id := range t.vocab {
		highest = max(highest, id)
	}
	for _, a := range added {
		if a.Content == "" {
			continue
		}
		if _, twice := t.addedIDs[a.Content]; twice {
			continue
		}
		if len(a.Content) > maxAdded {
			return fmt.Errorf("token %.80q… has %d bytes, over the limit of %d", a.Content, len(a.Content), maxAdded)
		}
		if a.ID < 0 {
			return fmt.Errorf("token %q: %d is no token id", a.Content, a.ID)
		}
		if id, ok := t.vocab[a.Content]; ok {
			a.ID = id
		}
		t.addedIDs[a.Content] = a.ID
		t.added = append(t.added, a)
		highest = max(highest, a.ID)
	}
	// A table by id is all that decoding needs, as long as the ids are near to dense. All published ones are.
	count := len(t.vocab) + len(t.added)
	if int(highest) > 16*count+4096 {
		return fmt.Errorf("the highest id is %d, but there are only %d tokens", highest, count)
	}
	t.tokens = make([]token, highest+1)
	for text, id := range t.vocab {
		if old := &t.tokens[id]; !old.known || text < old.text {
			*old = token{text: text, known: true} // two tokens with one id: whatever the map's order, the same
		}
	}
	var plain, normed []int32
	var plainTexts, normedTexts []string
	for k, a := range t.added {
		t.tokens[a.ID] = token{text: a.Content, known: true, special: a.Special}
		if !a.Normalized || t.normalize == nil {
			// Without a normalizer both searches see the same text, but that for normalised tokens comes second.
			if a.Normalized {
				normed, normedTexts = append(normed, int32(k)), append(normedTexts, a.Content)
			} else {
				plain, plainTexts = append(plain, int32(k)), append(plainTexts, a.Content)
			}
			continue
		}
		text, err := t.normalize(a.Content, growth*len(a.Content)+slack)
		if err != nil {
			return fmt.Errorf("token %q: %w", a.Content, err)
		}
		if len(text) > growth*maxAdded {
			return fmt.Errorf("token %q is too long when normalised", a.Content)
		}
		normed, normedTexts = append(normed, int32(k)), append(normedTexts, text)
	}
	t.plainTrie, t.normedTrie = newTrie(plain, plainTexts), newTrie(normed, normedTexts)
	return nil
}

// configure takes over what tokenizer_config.json says.
func (t *Tokenizer) configure(c *config) error {
	t.specials, t.addBOS, t.addEOS, t.bos = c.specials, c.addBOS, c.addEOS, -1
	if id, ok := t.TokenToID(c.specials["bos_token"]); ok {
		t.bos = id
	}
	if id, ok := t.TokenToID(c.specials["eos_token"]); ok {
		t.AddEOS(id)
	}
	for _, n := range c.chat {
		if n.Name == "default" || len(c.chat) == 1 {
			t.chat = &chatTemplate{source: n.Template}
		}
	}
	return nil
}

// Encode returns the ids of a text, which must be valid UTF-8. With addSpecial, the post-processor's tokens are put
// around it, and the beginning and the end of sequence that tokenizer_config.json asks for (add_bos_token,
// add_eos_token) where those lack them. Without, and for text from ChatPrompt, ids are those of the text alone.
func (t *Tokenizer) Encode(text string, addSpecial bool) ([]int32, error) {
	if !utf8.ValidString(text) {
		at := 0
		for r, n := utf8.DecodeRuneInString(text); r != utf8.RuneError || n > 1; r, n = utf8.DecodeRuneInString(text[at:]) {
			at += n
		}
		return nil, fmt.Errorf("the text is not valid UTF-8 at byte %d", at)
	}
	s, _ := t.pool.Get().(*scratch)
	if s == nil {
		s = &scratch{seen: map[string][]int32{}}
	}
	defer func() {
		// Words point into the text: let go of it.
		clear(s.words[:cap(s.words)])
		if cap(s.words) > maxKeptWords {
			s.words = nil
		}
		t.pool.Put(s)
	}()
	ids := make([]int32, 0, len(text)/4+8)
	var err error
	for _, outer := range t.plainTrie.split(nil, t.added, text, true) {
		if outer.token >= 0 {
			ids = append(ids, t.added[outer.token].ID)
			continue
		}
		if t.normalize != nil {
			if outer.text, err = t.normalize(outer.text, growth*len(outer.text)+slack); err != nil {
				return nil, err
			}
		}
		for _, inner := range t.normedTrie.split(nil, t.added, outer.text, outer.first) {
			if inner.token >= 0 {
				ids = append(ids, t.added[inner.token].ID)
				continue
			}
			if inner.text == "" {
				continue
			}
			whole := []word{{inner.text, inner.first}}
			if t.preTokenize != nil {
				s.words = t.preTokenize(s.words[:0], whole)
			} else {
				s.words = append(s.words[:0], whole...)
			}
			for _, w := range s.words {
				if w.text == "" {
					continue
				}
				if ids, err = t.model.encode(ids, w.text, s); err != nil {
					return nil, err
				}
			}
		}
	}
	if addSpecial {
		ids = t.around(ids)
	}
	return ids, nil
}

// around adds the special tokens.
func (t *Tokenizer) around(ids []int32) []int32 {
	var before, after []int32
	if t.template != nil {
		before, after = t.template.before, t.template.after
	}
	if t.addBOS && t.bos >= 0 && !slices.Contains(before, t.bos) {
		before = append([]int32{t.bos}, before...)
	}
	if eos, ok := t.TokenToID(t.specials["eos_token"]); t.addEOS && ok && !slices.Contains(after, eos) {
		after = append(slices.Clip(after), eos)
	}
	return slices.Concat(before, ids, after)
}

// VocabSize returns one more than the highest id. A model's vocabulary may be padded beyond it.
func (t *Tokenizer) VocabSize() int { return len(t.tokens) }

// TokenToID returns the id of a token as the vocabulary writes it (byte-level ones with Ġ for a space).
func (t *Tokenizer) TokenToID(token string) (int32, bool) {
	if id, ok := t.addedIDs[token]; ok {
		return id, true
	}
	id, ok := t.vocab[token]
	return id, ok
}

// IDToToken is the inverse of TokenToID.
func (t *Tokenizer) IDToToken(id int32) (string, bool) {
	if id < 0 || int(id) >= len(t.tokens) || !t.tokens[id].known {
		return "", false
	}
	return t.tokens[id].text, true
}

// BOS returns the id of the beginning of sequence that tokenizer_config.json names.
func (t *Tokenizer) BOS() (int32, bool) { return max(t.bos, 0), t.bos >= 0 }

// EOS returns the ids that end a generation, sorted: those of tokenizer_config.json and generation_config.json, and what
// AddEOS added. The caller must not change the slice.
func (t *Tokenizer) EOS() []int32 { return t.eos }

// AddEOS adds ids that end a generation, such as the eos_token_id of a model's config.json (see [TokenIDs]).
func (t *Tokenizer) AddEOS(ids ...int32) {
	eos := append(slices.Clone(t.eos), ids...)
	slices.SortFunc(eos, cmp.Compare[int32])
	t.eos = slices.Compact(eos)
}
