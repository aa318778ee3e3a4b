package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"apogee/frontend/tokenizer/regex"
)

// UnknownIDError says that an id has no token: a model's vocabulary is often padded beyond its tokenizer's.
type UnknownIDError struct {
	ID    int32
	Index int // in the ids given
}

func (e *UnknownIDError) Error() string {
	return fmt.Sprintf("id %d, at index %d, has no token", e.ID, e.Index)
}

// decoderKind makes the state that one decoding needs at one stage. fused is true when an earlier stage has made one
// text of all tokens, so that what is pushed are pieces of that text.
type decoderKind func(fused bool) decoder

// decoder is a stage between tokens and text. It pushes what it makes of a token, now or later, to next.
type decoder interface {
	push(token string, next func(string)) error
	flush(next func(string)) error
	// fuses says that what it pushes are pieces of one text, not tokens.
	fuses() bool
}

// Stream turns ids into text as they come, for printing while a model generates. It never splits a character: bytes
// that begin one are held back until the rest has come.
type Stream struct {
	t           *Tokenizer
	skipSpecial bool
	eager       bool
	stages      []decoder
	nexts       []func(string)
	index       int // of the next id
	in, out     int // bytes, for the bound on growth
	text        strings.Builder
	err         error
}

// Stream begins a decoding. With skipSpecial, special tokens leave no trace. What all Push and the final Flush return,
// put together, is what Decode returns, but where bytes spelled out as tokens (<0xE4>…) turn out not to be UTF-8: then
// a stream has written the characters at the head of that run already.
func (t *Tokenizer) Stream(skipSpecial bool) *Stream { return t.stream(skipSpecial, true) }

func (t *Tokenizer) stream(skipSpecial, eager bool) *Stream {
	s := &Stream{t: t, skipSpecial: skipSpecial, eager: eager}
	fused := false
	for _, kind := range t.decoders {
		d := kind(fused)
		if b, ok := d.(*byteFallbackDecoder); ok {
			b.eager = eager
		}
		fused = fused || d.fuses()
		s.stages = append(s.stages, d)
	}
	s.nexts = make([]func(string), len(s.stages)+1)
	s.nexts[len(s.stages)] = func(piece string) {
		if s.out += len(piece); s.out > growth*s.in+slack {
			s.err = errTooLong(growth*s.in + slack)
			return
		}
		s.text.WriteString(piece)
	}
	for i := len(s.stages) - 1; i >= 0; i-- {
		stage, next := s.stages[i], s.nexts[i+1]
		s.nexts[i] = func(token string) {
			if s.err == nil && len(token) > growth*s.in+slack {
				s.err = errTooLong(growth*s.in + slack)
			}
			if s.err == nil {
				if err := stage.push(token, next); err != nil {
					s.err = err
				}
			}
		}
	}
	return s
}

// Push returns the text that id completes, perhaps none. An id without a token is an [UnknownIDError] and changes
// nothing.
func (s *Stream) Push(id int32) (string, error) {
	i := s.index
	s.index++
	if id < 0 || int(id) >= len(s.t.tokens) || !s.t.tokens[id].known {
		return "", &UnknownIDError{id, i}
	}
	tok := &s.t.tokens[id]
	if s.skipSpecial && tok.special {
		return "", nil
	}
	s.in += len(tok.text) + 1
	s.nexts[0](tok.text)
	return s.take()
}

// Flush returns the text that is held back. The stream is at its end then.
func (s *Stream) Flush() (string, error) {
	for i, stage := range s.stages {
		if s.err == nil {
			if err := stage.flush(s.nexts[i+1]); err != nil {
				s.err = err
			}
		}
	}
	return s.take()
}

func (s *Stream) take() (string, error) {
	if s.err != nil {
		return "", s.err
	}
	out := s.text.String()
	s.text.Reset()
	return out, nil
}

// Decode returns the text of ids; with skipSpecial, without the special tokens. When ids have no token the error is an
// [UnknownIDError] that names the first, and the text is that of the others.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) (string, error) {
	s := t.stream(skipSpecial, false)
	var b strings.Builder
	var unknown *UnknownIDError
	for _, id := range ids {
		piece, err := s.Push(id)
		var u *UnknownIDError
		switch {
		case errors.As(err, &u):
			if unknown == nil {
				unknown = u
			}
		case err != nil:
			return "", err
		}
		b.WriteString(piece)
	}
	piece, err := s.Flush()
	if err != nil {
		return "", err
	}
	b.WriteString(piece)
	if unknown != nil {
		return b.String(), unknown
	}
	return b.String(), nil
}

// perToken is the part of decoders that hold nothing back.
type perToken struct{}

func (perToken) flush(func(string)) error { return nil }
func (perToken) fuses() bool              { return false }

// spaceDecoder joins tokens with spaces, for tokenizers without a decoder.
type spaceDecoder struct {
	perToken
	started bool
}

func joinWithSpaces(bool) decoder { return &spaceDecoder{} }

func (d *spaceDecoder) push(token string, next func(string)) error {
	if d.started {
		next(" ")
	}
	d.started = true
	next(token)
	return nil
}

// byteLevelDecoder turns characters of a byte-level alphabet into bytes, and those into text.
type byteLevelDecoder struct{ held, buf []byte }

func (d *byteLevelDecoder) push(token string, next func(string)) error {
	d.held = fromByteLevel(d.held, token)
	d.buf = d.buf[:0]
	d.buf, d.held = lossyHeld(d.buf, d.held, false)
	if len(d.buf) > 0 {
		next(string(d.buf))
	}
	return nil
}

func (d *byteLevelDecoder) flush(next func(string)) error {
	text, _ := lossy(nil, d.held, true)
	d.held = nil
	next(string(text))
	return nil
}

func (d *byteLevelDecoder) fuses() bool { return true }

// lossyHeld is lossy with the rest moved to the front of held.
func lossyHeld(dst, held []byte, final bool) (text, rest []byte) {
	text, rest = lossy(dst, held, final)
	return text, append(held[:0], rest...)
}

// byteFallbackDecoder turns tokens such as <0xE4> into bytes. A run of them that is not UTF-8 as a whole becomes one
// U+FFFD for each.
type byteFallbackDecoder struct {
	held  []byte
	eager bool // give characters out before the run has ended
}

func (d *byteFallbackDecoder) push(token string, next func(string)) error {
	if len(token) == 6 && strings.HasPrefix(token, "<0x") && token[5] == '>' {
		if b, err := strconv.ParseUint(token[3:5], 16, 8); err == nil {
			d.held = append(d.held, byte(b))
			if d.eager && utf8.FullRune(d.held) && utf8.Valid(d.held) {
				next(string(d.held))
				d.held = d.held[:0]
			}
			return nil
		}
	}
	if err := d.flush(next); err != nil {
		return err
	}
	next(token)
	return nil
}

func (d *byteFallbackDecoder) flush(next func(string)) error {
	if utf8.Valid(d.held) {
		if len(d.held) > 0 {
			next(string(d.held))
		}
	} else {
		for range d.held {
			next("\uFFFD")
		}
	}
	d.held = d.held[:0]
	return nil
}

func (d *byteFallbackDecoder) fuses() bool { return false }

// fuseDecoder makes one text of all tokens.
type fuseDecoder struct{ perToken }

func (fuseDecoder) push(token string, next func(string)) error { next(token); return nil }
func (fuseDecoder) fuses() bool                                { return true }

// replaceDecoder replaces in each token.
type replaceDecoder struct {
	perToken
	re      *regex.Regexp
	content string
}

func (d *replaceDecoder) push(token string, next func(string)) error {
	out, err := replace(d.re, token, d.content, growth*len(token)+slack)
	if err == nil {
		next(out)
	}
	return err
}

// stripDecoder cuts up to start of one character from the beginning of each token, and up to stop from its end.
type stripDecoder struct {
	perToken
	content     rune
	start, stop int
}

func (d *stripDecoder) push(token string, next func(string)) error {
	for range d.start {
		r, n := utf8.DecodeRuneInString(token)
		if n == 0 || r != d.content {
			break
		}
		token = token[n:]
	}
	for range d.stop {
		r, n := utf8.DecodeLastRuneInString(token)
		if n == 0 || r != d.content {
			break
		}
		token = token[:len(token)-n]
	}
	next(token)
	return nil
}

// wholeDecoder does to the whole text, when it is complete, what a stage does to a token.
type wholeDecoder struct {
	inner decoder
	text  strings.Builder
}

func (d *wholeDecoder) push(token string, _ func(string)) error {
	d.text.WriteString(token)
	return nil
}
func (d *wholeDecoder) fuses() bool { return true }

func (d *wholeDecoder) flush(next func(string)) error {
	if err := d.inner.push(d.text.String(), next); err != nil {
		return err
	}
	d.text.Reset()
	return d.inner.flush(next)
}

// fusedStripDecoder is stripDecoder for one text that comes in pieces and has no stop: only its beginning is looked at.
type fusedStripDecoder struct {
	perToken
	content rune
	left    int // how many may still be cut
}

func (d *fusedStripDecoder) push(piece string, next func(string)) error {
	for d.left > 0 && piece != "" {
		r, n := utf8.DecodeRuneInString(piece)
		if r != d.content {
			d.left = 0
			break
		}
		piece = piece[n:]
		d.left--
	}
	next(piece)
	return nil
}

// metaspaceDecoder turns a replacement character into a space, and drops those of the first token.
type metaspaceDecoder struct {
	perToken
	replacement string
	keepFirst   bool
	started     bool
}

func (d *metaspaceDecoder) push(token string, next func(string)) error {
	space := " "
	if !d.started && !d.keepFirst {
		space = ""
	}
	d.started = true
	next(strings.ReplaceAll(token, d.replacement, space))
	return nil
}

// suffixDecoder turns the suffix that ends a word into a space, but in the last token.
type suffixDecoder struct {
	suffix string
	held   string
	holds  bool
}

func (d *suffixDecoder) push(token string, next func(string)) error {
	if d.holds && d.suffix != "" {
		next(strings.ReplaceAll(d.held, d.suffix, " "))
	} else if d.holds {
		next(d.held)
	}
	d.held, d.holds = token, true
	return nil
}

func (d *suffixDecoder) flush(next func(string)) error {
	if d.holds {
		if d.suffix != "" {
			d.held = strings.ReplaceAll(d.held, d.suffix, "")
		}
		next(d.held)
	}
	d.holds = false
	return nil
}

func (d *suffixDecoder) fuses() bool { return false }

// parseDecoder reads the decoder of a tokenizer.json and appends its stages to dst.
func (p *fileParser) parseDecoder(raw json.RawMessage, dst []decoderKind) ([]decoderKind, error) {
	var c struct {
		Type           string
		Decoders       []json.RawMessage
		Pattern        *pattern
		Content        string
		Start, Stop    uint16
		Replacement    *string
		PrependScheme  *string `json:"prepend_scheme"`
		AddPrefixSpace *bool   `json:"add_prefix_space"`
		Suffix         *string
	}
	if err := p.stage(raw, &c, "decoder"); err != nil {
		return nil, err
	}
	// whole runs what works on tokens on the one text that an earlier stage made.
	whole := func(make func() decoder) decoderKind {
		return func(fused bool) decoder {
			if fused {
				return &wholeDecoder{inner: make()}
			}
			return make()
		}
	}
	switch c.Type {
	case "Sequence":
		var err error
		for i, r := range c.Decoders {
			if dst, err = p.parseDecoder(r, dst); err != nil {
				return nil, fmt.Errorf("step %d: %w", i+1, err)
			}
		}
		return dst, nil
	case "ByteLevel":
		return append(dst, whole(func() decoder { return &byteLevelDecoder{} })), nil
	case "ByteFallback":
		return append(dst, whole(func() decoder { return &byteFallbackDecoder{} })), nil
	case "Fuse":
		return append(dst, func(bool) decoder { return fuseDecoder{} }), nil
	case "Replace":
		if c.Pattern == nil {
			return nil, errors.New("a Replace without a pattern")
		}
		re, err := c.Pattern.compile()
		if err != nil {
			return nil, err
		}
		return append(dst, whole(func() decoder { return &replaceDecoder{re: re, content: c.Content} })), nil
	case "Strip":
		r, n := utf8.DecodeRuneInString(c.Content)
		if n == 0 || n != len(c.Content) {
			return nil, fmt.Errorf("a Strip needs one character as its content, not %q", c.Content)
		}
		plain := whole(func() decoder { return &stripDecoder{content: r, start: int(c.Start), stop: int(c.Stop)} })
		return append(dst, func(fused bool) decoder {
			if fused && c.Stop == 0 {
				return &fusedStripDecoder{content: r, left: int(c.Start)}
			}
			return plain(fused)
		}), nil
	case "Metaspace":
		replacement, scheme, err := metaspaceOptions(c.Replacement, c.PrependScheme, c.AddPrefixSpace)
		if err != nil {
			return nil, err
		}
		return append(dst, whole(func() decoder { return &metaspaceDecoder{replacement: replacement, keepFirst: scheme == "never"} })), nil
	case "BPEDecoder":
		suffix := "</w>"
		if c.Suffix != nil {
			suffix = *c.Suffix
		}
		return append(dst, whole(func() decoder { return &suffixDecoder{suffix: suffix} })), nil
	}
	return nil, fmt.Errorf("type %q is not supported; known are Sequence, ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace and BPEDecoder", c.Type)
}
