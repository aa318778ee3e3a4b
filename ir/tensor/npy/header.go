package npy

import (
	"encoding/binary"
	"fmt"
	"io"
	"strconv"

	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/tensor"
)

const (
	magic     = "\x93NUMPY"
	maxHeader = 1 << 16 // bytes of the text; numpy writes 118 for most arrays
	maxRank   = 64      // numpy's own limit
	quoteMax  = 60
)

// The codes of this package. Their examples are the header's text.
var (
	CodeMagic = diag.Register("NPY001", "The file does not begin as an .npy file does, or has a version that is not known.",
		"")
	CodeHeader = diag.Register("NPY002", "The header is no dictionary of descr, fortran_order and shape.",
		"{'descr': '<f4', 'shape': (2,), }")
	CodeType = diag.Register("NPY003", "The element type is none that is supported: convert the array first, e.g. with astype.",
		"{'descr': '<c8', 'fortran_order': False, 'shape': (2,), }")
	CodeShape = diag.Register("NPY004", "The shape is malformed, or its size does not fit.",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }")
	CodeSize = diag.Register("NPY005", "The file holds fewer or more bytes than its header announces.",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (1000,), }")
	CodeFormat = diag.Register("NPY006", "The elements cannot be read as the format asked for. No header text alone shows it.",
		"")
)

// header is what precedes the data.
type header struct {
	kind      byte // f, i, u, b or V
	size      int  // bytes an element
	bigEndian bool
	fortran   bool
	shape     []int64
	format    format.Format
	elements  int64
	bytes     int64 // of the data
	length    int64 // of the header itself, magic included
}

// readHeader reads up to the first byte of data.
func readHeader(r io.Reader) (*header, error) {
	var fix [12]byte
	if _, err := io.ReadFull(r, fix[:8]); err != nil {
		return nil, short(err, "the 8 bytes an .npy file begins with")
	}
	if string(fix[:6]) != magic {
		return nil, diag.Errorf(CodeMagic, diag.Range{}, "not an .npy file").
			Expect(fmt.Sprintf("the bytes %q", magic), fmt.Sprintf("%q", fix[:6]))
	}
	n := 2
	switch fix[6] {
	case 1:
	case 2, 3:
		n = 4
	default:
		return nil, diag.Errorf(CodeMagic, diag.Range{}, "unknown .npy version").
			Expect("1, 2 or 3", fmt.Sprintf("%d.%d", fix[6], fix[7]))
	}
	if _, err := io.ReadFull(r, fix[8:8+n]); err != nil {
		return nil, short(err, "the length of the header")
	}
	length := int64(binary.LittleEndian.Uint16(fix[8:]))
	if n == 4 {
		length = int64(binary.LittleEndian.Uint32(fix[8:]))
	}
	if length > maxHeader {
		return nil, diag.Errorf(CodeHeader, diag.Range{}, "the header is too long").
			Expect(fmt.Sprintf("at most %d bytes", maxHeader), fmt.Sprintf("%d", length))
	}
	text := make([]byte, length)
	if k, err := io.ReadFull(r, text); err != nil {
		return nil, short(err, fmt.Sprintf("a header of %d bytes (found %d)", length, k))
	}
	h, err := parseHeader(string(text))
	if err != nil {
		return nil, err
	}
	h.length = int64(8+n) + length
	return h, nil
}

func short(err error, want string) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return diag.Errorf(CodeSize, diag.Range{}, "the file is cut off").Expect(want, "the end of the file")
	}
	return err
}

// parseHeader reads the Python dictionary and checks all it says.
func parseHeader(text string) (*header, error) {
	p := parser{text: text}
	h := &header{}
	seen := map[string]bool{}
	if err := p.expect('{'); err != nil {
		return nil, err
	}
	for p.peek() != '}' {
		key, err := p.str()
		if err != nil {
			return nil, err
		}
		if seen[key] {
			return nil, p.fail("each key once", strconv.Quote(key)+" again")
		}
		seen[key] = true
		if err := p.expect(':'); err != nil {
			return nil, err
		}
		switch key {
		case "descr":
			err = p.descr(h)
		case "fortran_order":
			h.fortran, err = p.boolean()
		case "shape":
			h.shape, err = p.tuple()
		default:
			err = p.fail("'descr', 'fortran_order' or 'shape'", strconv.Quote(clip(key)))
		}
		if err != nil {
			return nil, err
		}
		if p.peek() != ',' {
			break
		}
		p.at++
	}
	if err := p.expect('}'); err != nil {
		return nil, err
	}
	if p.peek() != 0 || p.at < len(p.text) {
		return nil, p.fail("blanks up to the end of the header", p.found())
	}
	for _, key := range []string{"descr", "fortran_order", "shape"} {
		if !seen[key] {
			return nil, diag.Errorf(CodeHeader, diag.Range{}, "the header lacks %q", key)
		}
	}
	var err error
	if h.elements, h.bytes, err = tensor.Count(h.format, h.shape); err != nil {
		return nil, diag.Errorf(CodeShape, diag.Range{}, "%v", err)
	}
	return h, nil
}

// descrs are the element types that are read, without their byte order.
var descrs = map[string]format.Format{
	"f8": format.F64, "f4": format.F32, "f2": format.F16,
	"i8": format.I64, "i4": format.I32, "i2": format.I16, "i1": format.I8,
	"u8": format.U64, "u4": format.U32, "u2": format.U16, "u1": format.U8,
	"b1": format.Bool, "?": format.Bool,
	"V2": format.BF16,
}

// descr reads the element type.
func (p *parser) descr(h *header) error {
	if c := p.peek(); c == '[' || c == '(' {
		return typeError("a structured type", "one number an element")
	}
	text, err := p.str()
	if err != nil {
		return err
	}
	kind := text
	order := byte('|')
	if len(kind) > 0 {
		switch kind[0] {
		case '<', '>', '|', '=':
			order, kind = kind[0], kind[1:]
		}
	}
	f, ok := descrs[kind]
	if !ok {
		return typeError(strconv.Quote(clip(text)), "f2 f4 f8, i1 to i8, u1 to u8, b1 or V2 (bf16)")
	}
	h.format, h.kind, h.size = f, kind[0], f.Bits()/8
	h.bigEndian = order == '>' && h.size > 1
	return nil
}

func typeError(found, expected string) error {
	return diag.Errorf(CodeType, diag.Range{}, "an element type that is not supported").
		Expect(expected, found).Helpf("convert the array before saving it, e.g. with astype('<f4')")
}

// parser reads the subset of Python's literals that a header is made of.
type parser struct {
	text string
	at   int
}

// peek returns the next byte that is no blank; 0 at the end and for a NUL, which
// only the caller that expects the end has to tell apart.
func (p *parser) peek() byte {
	for p.at < len(p.text) {
		switch c := p.text[p.at]; c {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return c
		}
	}
	return 0
}

func (p *parser) found() string {
	if p.peek(); p.at >= len(p.text) {
		return "the end of the header"
	}
	return strconv.Quote(clip(p.text[p.at:]))
}

func (p *parser) fail(expected, found string) error {
	return diag.Errorf(CodeHeader, diag.Range{}, "malformed header at byte %d of its text", p.at).Expect(expected, found)
}

func (p *parser) expect(c byte) error {
	if p.peek() != c {
		return p.fail(strconv.QuoteRune(rune(c)), p.found())
	}
	p.at++
	return nil
}

// str reads a quoted string without escapes, which no header needs.
func (p *parser) str() (string, error) {
	q := p.peek()
	if q != '\'' && q != '"' {
		return "", p.fail("a quoted string", p.found())
	}
	start := p.at + 1
	for i := start; i < len(p.text); i++ {
		switch p.text[i] {
		case q:
			p.at = i + 1
			return p.text[start:i], nil
		case '\\', '\n':
			return "", p.fail("a string without escapes", p.found())
		}
	}
	return "", p.fail("the end of a string", p.found())
}

func (p *parser) boolean() (bool, error) {
	p.peek()
	for _, w := range []string{"True", "False"} {
		if len(p.text)-p.at >= len(w) && p.text[p.at:p.at+len(w)] == w {
			p.at += len(w)
			return w == "True", nil
		}
	}
	return false, p.fail("True or False", p.found())
}

// tuple reads a tuple of numbers: (), (3,), (3, 4). A number may end in L, as
// Python 2 wrote it.
func (p *parser) tuple() ([]int64, error) {
	if err := p.expect('('); err != nil {
		return nil, err
	}
	dims := []int64{}
	for p.peek() != ')' {
		if len(dims) == maxRank {
			return nil, diag.Errorf(CodeShape, diag.Range{}, "more than %d dimensions", maxRank)
		}
		start := p.at
		for p.at < len(p.text) && (p.text[p.at] >= '0' && p.text[p.at] <= '9' || p.at == start && p.text[p.at] == '-') {
			p.at++
		}
		if p.at == start {
			return nil, p.fail("a number or ')'", p.found())
		}
		n, err := strconv.ParseInt(p.text[start:p.at], 10, 64)
		if err != nil || n < 0 {
			return nil, diag.Errorf(CodeShape, diag.Range{}, "no valid dimension").
				Expect("a number from 0 to 2^63-1", strconv.Quote(clip(p.text[start:p.at])))
		}
		dims = append(dims, n)
		if p.at < len(p.text) && p.text[p.at] == 'L' {
			p.at++
		}
		if p.peek() != ',' {
			if len(dims) == 1 {
				return nil, p.fail("',' after the only dimension", p.found())
			}
			break
		}
		p.at++
	}
	return dims, p.expect(')')
}

func clip(s string) string {
	if len(s) > quoteMax {
		return s[:quoteMax-3] + "..."
	}
	return s
}
