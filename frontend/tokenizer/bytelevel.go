package tokenizer

import "unicode/utf8"

// Byte-level vocabularies write each byte as one printable character (GPT-2's encoder.py, bytes_to_unicode): the
// printable ones of Latin-1 stand for themselves, the others, in order, for U+0100 and on.
var (
	byteRune [256]rune
	runeByte [512]int16 // -1 where the character stands for no byte
)

func init() {
	for i := range runeByte {
		runeByte[i] = -1
	}
	next := rune(256)
	for b := range 256 {
		r := rune(b)
		if !(b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE) {
			r = next
			next++
		}
		byteRune[b] = r
		runeByte[r] = int16(b)
	}
}

// byteLevelLen is the length of s with each byte written as its character.
func byteLevelLen(s string) int {
	n := len(s)
	for i := range len(s) {
		if byteRune[s[i]] >= utf8.RuneSelf {
			n++ // all of them take two bytes
		}
	}
	return n
}

// appendByteLevel writes each byte of s as its character.
func appendByteLevel(dst []byte, s string) []byte {
	for i := range len(s) {
		dst = utf8.AppendRune(dst, byteRune[s[i]])
	}
	return dst
}

// toByteLevel is appendByteLevel for one text.
func toByteLevel(s string) string {
	return string(appendByteLevel(make([]byte, 0, byteLevelLen(s)), s))
}

// toByteLevelAll is toByteLevel for many words, with one allocation.
func toByteLevelAll(words []word) {
	size := 0
	for _, w := range words {
		size += byteLevelLen(w.text)
	}
	buf := make([]byte, 0, size)
	for _, w := range words {
		buf = appendByteLevel(buf, w.text)
	}
	all := string(buf)
	for i := range words {
		n := byteLevelLen(words[i].text)
		words[i].text, all = all[:n], all[n:]
	}
}

// fromByteLevel appends the bytes that s stands for; when one of its characters stands for none, s itself.
func fromByteLevel(dst []byte, s string) []byte {
	n := len(dst)
	for _, r := range s {
		if r >= rune(len(runeByte)) || runeByte[r] < 0 {
			return append(dst[:n], s...)
		}
		dst = append(dst, byte(runeByte[r]))
	}
	return dst
}

// lossy appends buf to dst as text, one U+FFFD for each maximal part of an ill-formed sequence (Unicode, chapter 3,
// "U+FFFD substitution of maximal subparts"), and returns what is left over: unless final, the beginning of a sequence
// that may still be completed.
func lossy(dst, buf []byte, final bool) (text, rest []byte) {
	for len(buf) > 0 {
		if buf[0] < utf8.RuneSelf {
			dst = append(dst, buf[0])
			buf = buf[1:]
			continue
		}
		if r, n := utf8.DecodeRune(buf); n > 1 {
			dst = utf8.AppendRune(dst, r)
			buf = buf[n:]
			continue
		}
		n, open := subpart(buf)
		if open && n == len(buf) && !final {
			return dst, buf
		}
		dst = append(dst, "\uFFFD"...)
		buf = buf[n:]
	}
	return dst, nil
}

// subpart returns the length of the longest beginning of the ill-formed buf that also begins a well-formed sequence, at
// least 1, and whether more bytes could complete it (Unicode, table 3-7).
func subpart(buf []byte) (n int, open bool) {
	lo, hi := byte(0x80), byte(0xBF)
	need := 0
	switch c := buf[0]; {
	case c >= 0xC2 && c <= 0xDF:
		need = 2
	case c >= 0xE0 && c <= 0xEF:
		need = 3
		switch c {
		case 0xE0:
			lo = 0xA0
		case 0xED:
			hi = 0x9F
		}
	case c >= 0xF0 && c <= 0xF4:
		need = 4
		switch c {
		case 0xF0:
			lo = 0x90
		case 0xF4:
			hi = 0x8F
		}
	default:
		return 1, false
	}
	for n = 1; n < len(buf) && n < need; n++ {
		if buf[n] < lo || buf[n] > hi {
			return n, false
		}
		lo, hi = 0x80, 0xBF
	}
	return n, true
}
