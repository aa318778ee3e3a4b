package plan

import (
	"encoding/hex"
	"io"
	"sort"
	"strconv"
	"strings"

	"apogee/ir/format"
)

// TextVersion is the version of the text form; it stands in its first line.
const TextVersion = 1

// Print writes the plan's text form, which [Parse] reads back. Instructions have the words of the vocabulary, which may be
// nil; those in use are listed in the text, so that it can be read without the chip. The error is the writer's.
func Print(w io.Writer, p *Plan, v Vocab) error {
	_, err := w.Write(Text(p, v))
	return err
}

// Text gives the plan's text form; see [Print].
func Text(p *Plan, v Vocab) []byte {
	t := newPrinter(p, v)
	t.plan()
	return t.b
}

// InstrText gives one instruction of a kernel as it stands in the text form, without its place.
func InstrText(p *Plan, k *Kernel, i int, v Vocab) string {
	t := newPrinter(p, v)
	t.enter(k)
	t.instr(&k.Code[i])
	return string(t.b)
}

// Mnemonic gives the word for an instruction in a vocabulary.
func Mnemonic(p *Plan, in *Instr, v Vocab) string {
	t := printer{p: p, words: newWords(v), used: map[string]bool{}}
	t.mnemonic(in)
	return string(t.b)
}

// PosText gives a place in the source as "file:line:col in scope", with what is known of it; "" when nothing is.
func PosText(p *Plan, pos Pos) string {
	s := ""
	if f := int(pos.File) - 1; f >= 0 && f < len(p.Files) {
		s = p.Files[f] + ":" + strconv.Itoa(int(pos.Line)) + ":" + strconv.Itoa(int(pos.Col))
	}
	if c := int(pos.Scope) - 1; c >= 0 && c < len(p.Scopes) {
		if s != "" {
			s += " in "
		}
		s += p.Scopes[c]
	}
	return s
}

// names is a table of names in which things are referred to: by name when that is unique, else by number.
type names struct {
	list  []string
	count map[string]int
}

func newNames(n int, name func(int) string) *names {
	t := &names{make([]string, n), make(map[string]int, n)}
	for i := range t.list {
		t.list[i] = name(i)
		t.count[t.list[i]]++
	}
	return t
}

type printer struct {
	p     *Plan
	words *words
	used  map[string]bool // neutral words for which an own word stands in the text
	b     []byte
	k     *Kernel

	memories, queues, buffers, kernels, files, scopes *names
	params, locals, flags                             *names
}

func newPrinter(p *Plan, v Vocab) *printer {
	return &printer{
		p: p, words: newWords(v), used: map[string]bool{},
		memories: newNames(len(p.Memories), func(i int) string { return p.Memories[i].Name }),
		queues:   newNames(len(p.Queues), func(i int) string { return p.Queues[i].Name }),
		buffers:  newNames(len(p.Buffers), func(i int) string { return p.Buffers[i].Name }),
		kernels:  newNames(len(p.Kernels), func(i int) string { return p.Kernels[i].Name }),
		files:    newNames(len(p.Files), func(i int) string { return p.Files[i] }),
		scopes:   newNames(len(p.Scopes), func(i int) string { return p.Scopes[i] }),
	}
}

// enter makes a kernel the one whose instructions are printed.
func (t *printer) enter(k *Kernel) {
	t.k = k
	t.params = newNames(len(k.Params), func(i int) string { return k.Params[i].Name })
	t.locals = newNames(len(k.Locals), func(i int) string { return k.Locals[i].Name })
	t.flags = newNames(len(k.Flags), func(i int) string { return k.Flags[i].Name })
}

func (t *printer) s(s string) { t.b = append(t.b, s...) }
func (t *printer) i(v int64)  { t.b = strconv.AppendInt(t.b, v, 10) }
func (t *printer) hex(v int64) {
	if v < 0 {
		t.i(v)
		return
	}
	t.s("0x")
	t.b = strconv.AppendInt(t.b, v, 16)
}

// name writes a name, quoted where it must be.
func (t *printer) name(s string) {
	if plain(s) {
		t.s(s)
	} else {
		t.quote(s)
	}
}

func (t *printer) quote(s string) { t.b = strconv.AppendQuote(t.b, s) }

// ref writes a reference into a table: the name if it is the only one, else the number after "#".
func (t *printer) ref(n *names, i int) {
	if i >= 0 && i < len(n.list) && n.count[n.list[i]] == 1 {
		t.name(n.list[i])
		return
	}
	t.s("#")
	t.i(int64(i))
}

func (t *printer) ints(v []int64) {
	t.s("[")
	for i, x := range v {
		if i > 0 {
			t.s(", ")
		}
		t.i(x)
	}
	t.s("]")
}

// key writes a line's keyword and a quoted string; nothing when the string is empty.
func (t *printer) key(word, value string) {
	if value != "" {
		t.s(word + " ")
		t.quote(value)
		t.s("\n")
	}
}

func (t *printer) plan() {
	p := t.p
	t.s("apogee-plan ")
	t.i(TextVersion)
	t.s("\n")
	t.key("model", p.Model)
	t.key("entry", p.Entry)
	t.key("chip", p.Chip)
	t.key("chip-hash", p.ChipHash)
	t.key("precision", p.Precision)
	for _, s := range p.Symbols {
		t.s("symbol ")
		t.name(s.Name)
		t.s(" = ")
		t.i(s.Value)
		t.s("\n")
	}
	for _, n := range p.Notes {
		t.s("note ")
		t.quote(n)
		t.s("\n")
	}
	for _, f := range p.Files {
		t.s("file ")
		t.quote(f)
		t.s("\n")
	}
	for _, s := range p.Scopes {
		t.s("scope ")
		t.quote(s)
		t.s("\n")
	}
	for _, m := range p.Memories {
		t.s("memory ")
		t.name(m.Name)
		t.s(" size ")
		t.i(m.Size)
		t.s(" align ")
		t.i(m.Align)
		t.s("\n")
	}
	for _, q := range p.Queues {
		t.s("queue ")
		t.name(q.Name)
		t.s(" " + q.Kind.String() + "\n")
	}
	head := t.b
	t.b = nil
	t.buffersText()
	for i := range p.Kernels {
		t.kernel(&p.Kernels[i])
	}
	t.steps()
	body := t.b
	t.b = head
	t.wordList()
	t.b = append(t.b, body...)
}

// wordList lists the chip's own words that the text uses.
func (t *printer) wordList() {
	var list []string
	for w := range t.used {
		list = append(list, w)
	}
	sort.Strings(list)
	for _, w := range list {
		t.s("word " + w + " " + t.words.own[w] + "\n")
	}
}

func (t *printer) buffersText() {
	p := t.p
	if len(p.Buffers) > 0 {
		t.s("\n")
	}
	for i := range p.Buffers {
		b := &p.Buffers[i]
		t.s("buffer ")
		t.name(b.Name)
		t.s(" " + b.Kind.String() + " " + b.Format.String() + " ")
		t.ints(b.Shape)
		t.s(" at ")
		t.hex(b.Addr)
		t.s(" size ")
		t.i(b.Size)
		t.s(" steps ")
		t.i(int64(b.First))
		t.s("..")
		t.i(int64(b.Last))
		if s := b.Source; s != nil {
			t.s("\n  from ")
			t.quote(s.Name)
			if s.Stack != 0 {
				t.s(" stack ")
				t.i(s.Stack)
			}
			t.s(" stored " + s.Stored.String() + " ")
			t.ints(s.Shape)
			if s.Scale != "" {
				t.s(" scale ")
				t.quote(s.Scale)
			}
			if len(s.Block) > 0 {
				t.s(" block ")
				t.ints(s.Block)
			}
			if s.Quantise != format.Invalid {
				t.s(" quantise " + s.Quantise.String())
				if len(s.QuantiseBlock) > 0 {
					t.s(" blocks ")
					t.ints(s.QuantiseBlock)
				}
				if s.MX {
					t.s(" mx")
				}
				if s.Scales {
					t.s(" scales")
				}
			}
			if s.Hash != "" {
				t.s(" hash ")
				t.quote(s.Hash)
			}
		}
		for d := b.Data; len(d) > 0; {
			n := min(len(d), 64)
			t.s("\n  data ")
			t.b = hex.AppendEncode(t.b, d[:n])
			d = d[n:]
		}
		t.s("\n")
	}
}

func (t *printer) kernel(k *Kernel) {
	t.enter(k)
	t.s("\nkernel ")
	t.name(k.Name)
	t.s(" regs ")
	t.i(int64(k.Regs))
	t.s(" flops ")
	t.float(k.Flops)
	t.s(" {\n")
	for i := range k.Params {
		a := &k.Params[i]
		t.s("  param ")
		t.name(a.Name)
		t.s(" " + a.Format.String() + " size ")
		t.i(a.Size)
		if a.Read {
			t.s(" read")
		}
		if a.Write {
			t.s(" write")
		}
		t.s("\n")
	}
	for i := range k.Locals {
		l := &k.Locals[i]
		t.s("  local ")
		t.name(l.Name)
		t.s(" in ")
		t.ref(t.memories, l.Mem)
		t.s(" at ")
		t.hex(l.Addr)
		t.s(" size ")
		t.i(l.Size)
		t.s(" slots ")
		t.i(int64(l.Slots))
		t.s(" live ")
		t.i(int64(l.First))
		t.s("..")
		t.i(int64(l.Last))
		t.s("\n")
	}
	for i := range k.Flags {
		f := &k.Flags[i]
		t.s("  flag ")
		t.name(f.Name)
		t.s(" from ")
		t.ref(t.queues, f.From)
		t.s(" to ")
		t.ref(t.queues, f.To)
		t.s(" credits ")
		t.i(int64(f.Credits))
		t.s("\n")
	}
	t.s("code\n")
	width := 0
	for _, q := range t.p.Queues {
		width = max(width, len(q.Name))
	}
	jumps, _ := matchLoops(k.Code)
	depth := 0
	for i := range k.Code {
		in := &k.Code[i]
		if in.Op == End && depth > 0 {
			depth--
		}
		num := strconv.Itoa(i)
		t.s(strings.Repeat(" ", max(0, 5-len(num))) + num + ": ")
		at := len(t.b)
		t.ref(t.queues, in.Queue)
		t.pad(at + min(width, 16) + 1)
		t.s(strings.Repeat("  ", depth))
		t.instr(in)
		if in.Jump != jumps[i] {
			t.s(" jump=")
			t.i(int64(in.Jump))
		}
		t.pos(in.Pos)
		t.s("\n")
		if in.Op == Loop {
			depth++
		}
	}
	t.s("}\n")
}

// pad adds spaces up to a column, at least one.
func (t *printer) pad(to int) {
	t.s(" ")
	for len(t.b) < to {
		t.b = append(t.b, ' ')
	}
}

// matchLoops gives what Jump is in well-nested code: the End of each Loop, the Loop of each End, else 0; and whether every
// Loop and End has its other half. One that has none has 0, too.
func matchLoops(code []Instr) (jumps []int, nested bool) {
	out := make([]int, len(code))
	nested = true
	var open []int
	for i := range code {
		switch code[i].Op {
		case Loop:
			open = append(open, i)
		case End:
			if n := len(open); n == 0 {
				nested = false
			} else {
				out[i], out[open[n-1]] = open[n-1], i
				open = open[:n-1]
			}
		}
	}
	return out, nested && len(open) == 0
}

// pos writes where a line comes from, after a semicolon.
func (t *printer) pos(p Pos) {
	if p == (Pos{}) {
		return
	}
	t.s(" ; ")
	t.place(t.files, p.File)
	t.s(":")
	t.i(int64(p.Line))
	t.s(":")
	t.i(int64(p.Col))
	if p.Scope != 0 {
		t.s(" ")
		t.place(t.scopes, p.Scope)
	}
}

func (t *printer) place(n *names, i int32) {
	if i == 0 {
		t.s("_")
		return
	}
	t.ref(n, int(i)-1)
}

func (t *printer) steps() {
	p := t.p
	if len(p.Steps) > 0 {
		t.s("\n")
	}
	depth := 0
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.Op == EndStep || s.Op == ElseStep {
			depth--
		}
		for range depth {
			t.s("  ")
		}
		t.step(s)
		t.pos(s.Pos)
		t.s("\n")
		if s.Op != EndStep && s.Op != LaunchStep {
			depth++
		}
	}
}

func (t *printer) step(s *Step) {
	t.s(s.Op.String())
	if s.Op == ElseStep || s.Op == EndStep {
		return
	}
	t.s(" ")
	t.name(s.Name)
	if c := s.Control; s.Op != LaunchStep {
		if c == nil { // only in a plan that does not validate
			c = &Control{None, None, None, NoLimit, 0}
		}
		word := func(w string, buffer int) {
			if buffer != None {
				t.s(w)
				t.ref(t.buffers, buffer)
			}
		}
		number := func(w string, n, none int64) {
			if n != none {
				t.s(w)
				t.i(n)
			}
		}
		if s.Op == IfStep {
			word(" on ", c.Cond)
			return
		}
		number(" limit ", c.Limit, NoLimit)
		word(" trip ", c.Trip)
		word(" while ", c.Cond)
		word(" index ", c.Index)
		number(" assume ", c.Assume, 0)
		return
	}
	t.s(" ")
	t.ref(t.kernels, s.Kernel)
	t.s(" grid ")
	t.i(s.Grid)
	t.s(" (")
	for j, a := range s.Args {
		if j > 0 {
			t.s(", ")
		}
		t.ref(t.buffers, a.Buffer)
		if a.Offset != 0 {
			t.s("+")
			t.i(a.Offset)
		}
	}
	t.s(")")
}
