package ir

import (
	"hash/maphash"
	"strconv"
	"unsafe"
)

// Names gives every value of a function the name it prints under: its own when it is the first of that
// name in the text, else with _1, _2… behind it; a value without a name gets a number. Names are unique in a
// function, its regions included.
type Names struct {
	// label is by value ID: 0 for a value that is not the function's; else one more than the number of a value without a
	// name, or than the number behind the name (0 is the plain name).
	label   []int32
	table   nameTable
	unnamed int32
	numbers bool // every value gets a number
}

// NewNames names the values of a function; the work is linear in its ops.
func NewNames(f *Func) *Names {
	n := &Names{label: make([]int32, f.Module.nvalues)}
	n.add(f)
	return n
}

// add names the values of one more function; those of another stay valid.
func (n *Names) add(f *Func) {
	n.table.reset(len(f.Body.Params) + f.Body.n)
	n.unnamed = 0
	n.block(f.Body)
}

func (n *Names) block(b *Block) {
	for _, p := range b.Params {
		n.value(p)
	}
	for o := b.first; o != nil; o = o.next {
		for _, r := range o.results {
			n.value(r)
		}
		for _, r := range o.Regions {
			n.block(r)
		}
	}
}

func (n *Names) value(v *Value) {
	if v.Name == "" || n.numbers {
		n.unnamed++
		n.label[v.id] = n.unnamed
		return
	}
	n.label[v.id] = 1 + n.table.unique(v)
}

// Of returns the name without the percent sign, quoted if it is no plain identifier.
func (n *Names) Of(v *Value) string { return string(n.append(nil, v)[1:]) }

// append appends %name.
func (n *Names) append(b []byte, v *Value) []byte {
	l := int32(0)
	if int(v.id) < len(n.label) {
		l = n.label[v.id]
	}
	switch {
	case l == 0:
		// Only in a broken module: a value of another function, or of an op that was erased.
		return strconv.AppendQuote(append(b, '%'), v.Name+" (from elsewhere)")
	case v.Name == "" || n.numbers:
		return strconv.AppendInt(append(b, '%'), int64(l-1), 10)
	case !isIdent(v.Name):
		s := v.Name
		if l > 1 {
			s = string(withSuffix(nil, s, l-1))
		}
		return appendQuoted(append(b, '%'), s)
	}
	b = append(b, '%')
	b = append(b, v.Name...)
	if l > 1 {
		b = append(b, '_')
		b = strconv.AppendInt(b, int64(l-1), 10)
	}
	return b
}

func withSuffix(b []byte, name string, k int32) []byte {
	b = append(b, name...)
	b = append(b, '_')
	return strconv.AppendInt(b, int64(k), 10)
}

// nameTable is a set of names of values, for the printer and the parser. A slot holds the upper half of a
// name's hash and the value's place in vals.
type nameTable struct {
	slots []nameSlot
	vals  [][]named       // pieces of namedPiece each, so that growing copies nothing
	n     int32           // how many there are
	next  map[int32]int32 // by place in vals: the next number to try behind a name that came more than once
	buf   []byte          // scratch
	text  []byte
}

type nameSlot struct {
	hash uint32
	at   int32 // 0 is empty, else one more than the place
}

const namedPiece = 1024

// named is a value under a name.
type named struct {
	v      *Value
	suffix int32 // the number behind the value's own name, 0 for none
}

var nameSeed = maphash.MakeSeed()

// reset empties the table for a function in which about so many names are expected; small tables stay small.
func (t *nameTable) reset(expect int) {
	t.n = 0
	t.next = nil
	n := 64
	for n < expect*3/2 {
		n *= 2
	}
	t.sized(n)
}

func (t *nameTable) sized(n int) {
	if cap(t.slots) >= n {
		t.slots = t.slots[:n]
		clear(t.slots)
	} else {
		t.slots = make([]nameSlot, n)
	}
}

// find returns the slot of a name: that which holds it, or the empty one where it belongs.
func (t *nameTable) find(name string, hash uint64) *nameSlot {
	h, mask := uint32(hash>>32), uint32(len(t.slots)-1)
	for i := h & mask; ; i = (i + 1) & mask {
		s := &t.slots[i]
		if s.at == 0 || s.hash == h && t.is(s.at-1, name) {
			return s
		}
	}
}

func (t *nameTable) val(at int32) *named { return &t.vals[at/namedPiece][at%namedPiece] }

func (t *nameTable) is(at int32, name string) bool {
	e := t.val(at)
	if e.suffix == 0 {
		return e.v.Name == name
	}
	if n := len(e.v.Name); len(name) < n || name[:n] != e.v.Name {
		return false
	}
	t.buf = withSuffix(t.buf[:0], e.v.Name, e.suffix)
	return string(t.buf) == name
}

// lookup returns the value of a name, or nil.
func (t *nameTable) lookup(name string) *Value {
	s := t.find(name, maphash.String(nameSeed, name))
	if s.at == 0 {
		return nil
	}
	return t.val(s.at - 1).v
}

// put adds a value under its own name and returns the one that has that name already, if any.
func (t *nameTable) put(v *Value) *Value {
	h := maphash.String(nameSeed, v.Name)
	s := t.find(v.Name, h)
	if s.at != 0 {
		return t.val(s.at - 1).v
	}
	t.fill(s, h, named{v, 0})
	return nil
}

func (t *nameTable) fill(s *nameSlot, hash uint64, e named) {
	piece := int(t.n) / namedPiece
	if piece == len(t.vals) {
		n := namedPiece
		if piece == 0 {
			n = 16 // most functions of tests are small
		}
		t.vals = append(t.vals, make([]named, 0, n))
	}
	t.vals[piece] = append(t.vals[piece][:int(t.n)%namedPiece], e)
	t.n++
	s.hash, s.at = uint32(hash>>32), t.n
	if int(t.n)*3 > len(t.slots)*2 {
		t.rehash()
	}
}

func (t *nameTable) rehash() {
	old := t.slots
	t.slots = make([]nameSlot, 2*len(old))
	mask := uint32(len(t.slots) - 1)
	for _, s := range old {
		if s.at == 0 {
			continue
		}
		i := s.hash & mask
		for t.slots[i].at != 0 {
			i = (i + 1) & mask
		}
		t.slots[i] = s
	}
}

// unique adds a value under the first free name and returns the number behind it.
func (t *nameTable) unique(v *Value) int32 {
	h := maphash.String(nameSeed, v.Name)
	s := t.find(v.Name, h)
	if s.at == 0 {
		t.fill(s, h, named{v, 0})
		return 0
	}
	base := s.at - 1
	if t.next == nil {
		t.next = map[int32]int32{}
	}
	text := t.text
	for k := max(t.next[base], 1); ; k++ {
		text = withSuffix(text[:0], v.Name, k)
		h := maphash.Bytes(nameSeed, text)
		if s := t.find(unsafe.String(&text[0], len(text)), h); s.at == 0 {
			t.next[base] = k + 1
			t.fill(s, h, named{v, k})
			t.text = text
			return k
		}
	}
}

// isIdent reports whether a name needs no quotes: a letter or underscore, then letters, digits, underscores and dots.
func isIdent(s string) bool {
	if s == "" || !identStart[s[0]] {
		return false
	}
	for i := 1; i < len(s); i++ {
		if !identByte[s[i]] {
			return false
		}
	}
	return true
}

var identStart, identByte, plainByte = byteClasses()

func byteClasses() (start, ident, plain [256]bool) {
	for c := range 256 {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		start[c] = letter
		ident[c] = letter || c >= '0' && c <= '9' || c == '.'
		plain[c] = c >= ' ' && c < 0x7f && c != '"' && c != '\\'
	}
	return
}

// appendQuoted appends a string in quotes, in the syntax of a Go string literal.
func appendQuoted(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if !plainByte[s[i]] {
			return strconv.AppendQuote(b, s)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendName appends an identifier as it is and any other name in quotes.
func appendName(b []byte, s string) []byte {
	if isIdent(s) {
		return append(b, s...)
	}
	return appendQuoted(b, s)
}
