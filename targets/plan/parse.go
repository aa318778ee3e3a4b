package plan

import (
	"encoding/hex"
	"slices"
	"sort"
	"strings"

	"apogee/ir/diag"
)

// Parse reads a plan's text form, whatever the vocabulary: the own words that it uses are listed in it. It reports all
// mistakes, each at its place, as a [diag.List]. A // begins a comment. Instructions may be deleted, added without a number, and
// edited: numbers only matter to the live ranges of locals, and are counted anew when the plan is printed. Like
// [Decode], it does not check that what is read makes sense: see [Validate] and [Check].
func Parse(src *diag.Source) (*Plan, error) {
	r := &textReader{scanner: scanner{src: src, text: src.Text}, p: &Plan{}, mnemonics: map[string]meaning{}}
	r.list.Limit = 50
	r.plan()
	if err := r.list.Err(); err != nil {
		return nil, err
	}
	return r.p, nil
}

type textReader struct {
	scanner
	p         *Plan
	mnemonics map[string]meaning // the chip's own

	memories, queues, buffers, kernels, files, scopes table
	params, locals, flags                             table
}

func (r *textReader) plan() {
	if !r.nextLine() || !r.acceptWord("apogee-plan") {
		r.at = min(r.at, len(r.text))
		r.fail(codeTextVersion, r.at, r.at, "this is not the text of a plan").
			Helpf("it begins with: apogee-plan %d", TextVersion)
		return
	}
	at := r.at
	if v := r.int(); v != TextVersion && !r.bad {
		r.fail(codeTextVersion, at, r.at, "the text has version %d, this program reads version %d", v, TextVersion).
			Helpf("dump the plan again with this program")
		return
	}
	for r.nextLine() {
		r.line()
	}
}

// line reads one line, or the lines of one kernel.
func (r *textReader) line() {
	p := r.p
	at := r.at
	switch w := r.word(); w {
	case "model":
		p.Model = r.quoted()
	case "entry":
		p.Entry = r.quoted()
	case "chip":
		p.Chip = r.quoted()
	case "chip-hash":
		p.ChipHash = r.quoted()
	case "precision":
		p.Precision = r.quoted()
	case "symbol":
		s := Symbol{Name: r.name()}
		r.need("=")
		s.Value = r.int()
		p.Symbols = append(p.Symbols, s)
	case "note":
		p.Notes = append(p.Notes, r.quoted())
	case "file":
		f := r.quoted()
		p.Files = append(p.Files, f)
		r.files.add(f)
	case "scope":
		s := r.quoted()
		p.Scopes = append(p.Scopes, s)
		r.scopes.add(s)
	case "word":
		r.wordLine()
	case "memory":
		m := Memory{Name: r.name()}
		r.needWord("size")
		m.Size = r.int()
		r.needWord("align")
		m.Align = r.int()
		p.Memories = append(p.Memories, m)
		r.memories.add(m.Name)
	case "queue":
		q := Queue{Name: r.name()}
		q.Kind = QueueKind(r.one("kind of queue", queueKindNames[:]))
		p.Queues = append(p.Queues, q)
		r.queues.add(q.Name)
	case "buffer":
		r.buffer()
	case "from", "data":
		if len(p.Buffers) == 0 {
			r.fail(codeNest, at, r.at, "%s must follow a buffer", w)
			return
		}
		r.bufferLine(w, &p.Buffers[len(p.Buffers)-1])
	case "kernel":
		r.kernel()
	case "step":
		r.step()
	case "if", "else", "loop", "end":
		r.control(StepOp(slices.Index(stepWords[:], w)))
	default:
		all := []string{"model", "entry", "chip", "chip-hash", "precision", "symbol", "note", "file", "scope", "word", "memory",
			"queue", "buffer", "from", "data", "kernel", "step", "if", "else", "loop", "end"}
		d := r.fail(codeSyntax, at, max(r.at, at+1), "a line cannot begin with %s", quoteClip(w)).Suggest(w, all)
		if d.Suggestion == "" {
			d.Expected = "one of " + strings.Join(all, ", ")
		}
	}
}

// wordLine reads: word NEUTRAL OWN.
func (r *textReader) wordLine() {
	at := r.at
	w := r.word()
	m, ok := neutralMeaning(w)
	if !ok {
		r.fail(codeName, at, r.at, "there is no neutral word %s", quoteClip(w)).Suggest(w, Words())
	}
	own := r.name()
	if r.bad {
		return
	}
	if n, dup := r.mnemonics[own]; dup && n != m {
		r.fail(codeName, at, r.at, "%s already means something else", quoteClip(own))
	}
	if n, clash := neutralMeaning(own); clash && n != m {
		r.fail(codeName, at, r.at, "%s is the neutral word of something else", quoteClip(own))
	}
	r.mnemonics[own] = m
}

func (r *textReader) buffer() {
	b := Buffer{Name: r.name()}
	b.Kind = BufferKind(r.one("kind of buffer", bufferKindNames[:]))
	b.Format = r.format()
	b.Shape = r.ints()
	r.needWord("at")
	b.Addr = r.int()
	r.needWord("size")
	b.Size = r.int()
	r.needWord("steps")
	b.First, b.Last = r.span()
	r.p.Buffers = append(r.p.Buffers, b)
	r.buffers.add(b.Name)
}

// span reads FIRST..LAST.
func (r *textReader) span() (first, last int) {
	first = r.index()
	r.need("..")
	return first, r.index()
}

func (r *textReader) bufferLine(w string, b *Buffer) {
	if w == "data" {
		at := r.at
		d, err := hex.DecodeString(r.word())
		if err != nil {
			r.fail(codeSyntax, at, r.at, "this is not pairs of hexadecimal digits")
		}
		b.Data = append(b.Data, d...)
		return
	}
	s := &Source{Name: r.quoted()}
	if r.acceptWord("stack") {
		s.Stack = r.int()
	}
	r.needWord("stored")
	s.Stored = r.format()
	s.Shape = r.ints()
	if r.acceptWord("scale") {
		s.Scale = r.quoted()
	}
	if r.acceptWord("block") {
		s.Block = r.ints()
	}
	if r.acceptWord("quantise") {
		s.Quantise = r.format()
		if r.acceptWord("blocks") {
			s.QuantiseBlock = r.ints()
		}
		s.MX = r.acceptWord("mx")
		s.Scales = r.acceptWord("scales")
	}
	if r.acceptWord("hash") {
		s.Hash = r.quoted()
	}
	b.Source = s
}

func (r *textReader) step() {
	s := Step{Name: r.name()}
	s.Kernel = r.ref("kernel", &r.kernels)
	r.needWord("grid")
	s.Grid = r.int()
	r.need("(")
	for !r.accept(")") && !r.bad {
		if len(s.Args) > 0 {
			r.need(",")
		}
		a := Arg{Buffer: r.ref("buffer", &r.buffers)}
		if r.accept("+") {
			a.Offset = r.int()
		}
		s.Args = append(s.Args, a)
	}
	s.Pos = r.pos()
	r.p.Steps = append(r.p.Steps, s)
}

// control reads a step that is no launch.
func (r *textReader) control(o StepOp) {
	s := Step{Op: o}
	if o == IfStep || o == LoopStep {
		c := &Control{Cond: None, Trip: None, Index: None, Limit: NoLimit}
		s.Name, s.Control = r.name(), c
		if o == IfStep {
			r.needWord("on")
			c.Cond = r.ref("buffer", &r.buffers)
		} else {
			if r.acceptWord("limit") {
				c.Limit = r.int()
			}
			for _, x := range []struct {
				word string
				to   *int
			}{{"trip", &c.Trip}, {"while", &c.Cond}, {"index", &c.Index}} {
				if r.acceptWord(x.word) {
					*x.to = r.ref("buffer", &r.buffers)
				}
			}
			if r.acceptWord("assume") {
				c.Assume = r.int()
			}
		}
	}
	s.Pos = r.pos()
	r.p.Steps = append(r.p.Steps, s)
}

// pos reads "; FILE:LINE:COL SCOPE" if it stands here.
func (r *textReader) pos() (p Pos) {
	if !r.accept(";") {
		return p
	}
	p.File = r.place("file", &r.files)
	r.need(":")
	p.Line = int32(r.index())
	r.need(":")
	p.Col = int32(r.index())
	if r.peek() != 0 {
		p.Scope = r.place("scope", &r.scopes)
	}
	return p
}

func (r *textReader) place(what string, t *table) int32 {
	if r.lone('_') {
		return 0
	}
	return int32(r.ref(what, t) + 1)
}

// lone takes a character if it stands alone, not as the start of a name.
func (r *textReader) lone(c byte) bool {
	if r.peek() != c || r.at+1 < len(r.text) && nameChar(r.text[r.at+1]) {
		return false
	}
	r.at++
	return true
}

// kernel reads a kernel up to its closing brace.
func (r *textReader) kernel() {
	start := r.at
	k := Kernel{Name: r.name()}
	r.needWord("regs")
	k.Regs = r.index()
	r.needWord("flops")
	k.Flops = r.float()
	r.need("{")
	r.params, r.locals, r.flags = table{}, table{}, table{}
	var labels, jumps []int // −1 and noJump where the text gives none
	code, closed := false, false
	for r.nextLine() {
		if r.accept("}") {
			closed = true
			break
		}
		if code {
			label, in, jump := r.instr()
			if n := len(labels); label >= 0 && n > 0 && label*2 <= labels[n-1] {
				r.fail(codeNest, r.at, r.at, "instruction %d stands after a higher number", label)
			}
			switch {
			case label >= 0:
				label *= 2
			case len(labels) > 0:
				label = labels[len(labels)-1] | 1
			}
			labels, jumps = append(labels, label), append(jumps, jump)
			k.Code = append(k.Code, in)
			continue
		}
		at := r.at
		switch w := r.word(); w {
		case "param":
			a := Param{Name: r.name(), Format: r.format()}
			r.needWord("size")
			a.Size = r.int()
			a.Read = r.acceptWord("read")
			a.Write = r.acceptWord("write")
			k.Params = append(k.Params, a)
			r.params.add(a.Name)
		case "local":
			l := Local{Name: r.name()}
			r.needWord("in")
			l.Mem = r.ref("memory", &r.memories)
			r.needWord("at")
			l.Addr = r.int()
			r.needWord("size")
			l.Size = r.int()
			r.needWord("slots")
			l.Slots = r.index()
			r.needWord("live")
			l.First, l.Last = r.span()
			k.Locals = append(k.Locals, l)
			r.locals.add(l.Name)
		case "flag":
			f := Flag{Name: r.name()}
			r.needWord("from")
			f.From = r.ref("queue", &r.queues)
			r.needWord("to")
			f.To = r.ref("queue", &r.queues)
			r.needWord("credits")
			f.Credits = r.index()
			k.Flags = append(k.Flags, f)
			r.flags.add(f.Name)
		case "code":
			code = true
		default:
			r.fail(codeSyntax, at, max(r.at, at+1), "this does not fit here").
				Expect("param, local, flag, code or }", quoteClip(w))
		}
	}
	if !closed && !r.list.Full() {
		r.bad = false
		r.fail(codeNest, start, start, "the kernel is not closed").Helpf("end it with a line that has } alone")
	}
	relabel(&k, labels)
	nested, _ := matchLoops(k.Code)
	for i, j := range nested {
		k.Code[i].Jump = j
		if jumps[i] != noJump {
			k.Code[i].Jump = jumps[i]
		}
	}
	r.p.Kernels = append(r.p.Kernels, k)
	r.kernels.add(k.Name)
}

// relabel turns the live ranges of locals from the numbers in the text into indices. labels has twice the number of each
// instruction, or one more than the one before if it has none.
func relabel(k *Kernel, labels []int) {
	same := true
	for i, l := range labels {
		same = same && l == 2*i
	}
	if same {
		return
	}
	for i := range k.Locals {
		l := &k.Locals[i]
		first, last := -1, -1
		for j, x := range labels {
			if x >= 2*l.First && first < 0 {
				first = j
			}
			if x <= 2*l.Last {
				last = j
			}
		}
		l.First, l.Last = first, last
	}
}

// noJump is the jump of an instruction that the text gives none: the loops say it.
const noJump = -1 << 40

// instr reads an instruction with its number, −1 if it has none, and its jump, or noJump.
func (r *textReader) instr() (label int, in Instr, jump int) {
	in.NoTiles()
	label, jump = -1, noJump
	if c := r.peek(); c >= '0' && c <= '9' {
		label = min(r.index(), 1<<30)
		r.need(":")
	}
	in.Queue = r.ref("queue", &r.queues)
	r.peek()
	at := r.at
	w := r.word()
	m, ok := r.mnemonics[w]
	if !ok {
		m, ok = neutralMeaning(w)
	}
	if !ok {
		if r.bad {
			return
		}
		all := Words()
		for own := range r.mnemonics {
			all = append(all, own)
		}
		sort.Strings(all)
		r.fail(codeName, at, max(r.at, at+1), "there is no instruction %s", quoteClip(w)).Suggest(w, all)
		return
	}
	in.Op, in.Fn = m.op, m.fn
	switch in.Op {
	case Loop:
		in.Reg = r.reg()
		r.needWord("from")
		in.X = r.val()
		r.needWord("times")
		in.Y = r.val()
	case Set:
		in.Reg = r.reg()
		r.need("=")
		in.Fn = Fn(r.one("function", fnNames[:]))
		r.need("(")
		in.X = r.val()
		r.need(",")
		in.Y = r.val()
		r.need(")")
	case LoadScalar:
		in.Reg = r.reg()
	case Signal, Wait:
		in.Flag = r.ref("flag", &r.flags)
	}
	tiles := in.Tiles()
	r.tiles(tiles[:Results])
	if r.accept("<-") {
		r.tiles(tiles[Results:])
	}
	for {
		if c := r.peek(); c == 0 || c == ';' {
			break
		}
		r.field(&in, &jump)
	}
	in.Pos = r.pos()
	return label, in, jump
}

// tiles reads up to len(tiles) tiles with commas between.
func (r *textReader) tiles(tiles []*Tile) {
	for i, t := range tiles {
		if i == 0 {
			if !r.atTile() {
				return
			}
		} else if !r.accept(",") {
			return
		}
		r.tile(t, true)
	}
}

// atTile says whether a tile stands here: "_", or a reference and a colon.
func (r *textReader) atTile() bool {
	c := r.peek()
	switch {
	case c == '#' || c == '"':
		return true
	case c == '_' || nameChar(c):
		at := r.at
		r.word()
		next := r.peek()
		w := string(r.text[at:r.at])
		w = strings.TrimRight(w, " \t")
		r.at = at
		return next == ':' || w == "_"
	}
	return false
}

func (r *textReader) tile(t *Tile, index bool) {
	if r.lone('_') {
		return
	}
	*t = Tile{}
	t.Mem = r.ref("memory", &r.memories)
	r.need(":")
	if t.Mem == 0 {
		t.Param = r.ref("parameter", &r.params)
	} else {
		t.Local = r.ref("local", &r.locals)
	}
	r.need("[")
	t.Base = r.val()
	r.need("]")
	t.Format = r.format()
	r.need("{")
	for i := 0; !r.accept("}") && !r.bad; i++ {
		if i > 0 {
			r.need(",")
		}
		if r.peek() != ':' {
			t.Size = append(t.Size, r.val())
		}
		r.need(":")
		if c := r.peek(); c != ',' && c != '}' {
			t.Stride = append(t.Stride, r.int())
		}
	}
	at := r.at
	if r.acceptWord("by") {
		if !index {
			r.fail(codeSyntax, at, r.at, "an index list has no index itself")
			return
		}
		t.Index = &Tile{}
		*t.Index = NoTile
		r.tile(t.Index, false)
	}
}

var fieldNames = []string{"fn", "reg", "x", "y", "z", "acc", "imm", "flag", "path", "jump", "assume"}

// field reads what an instruction has beside its tiles.
func (r *textReader) field(in *Instr, jump *int) {
	at := r.at
	w := r.word()
	if w == "sat" {
		in.Saturate = true
		return
	}
	if !slices.Contains(fieldNames, w) {
		r.fail(codeSyntax, at, max(r.at, at+1), "an instruction has no %s", quoteClip(w)).
			Expect("sat or one of "+strings.Join(fieldNames, ", "), quoteClip(w))
		return
	}
	r.need("=")
	switch w {
	case "fn":
		in.Fn = Fn(r.one("function", fnNames[:]))
	case "reg":
		in.Reg = r.reg()
	case "x":
		in.X = r.val()
	case "y":
		in.Y = r.val()
	case "z":
		in.Z = r.val()
	case "acc":
		in.Acc = r.val()
	case "imm":
		in.Imm = r.float()
	case "flag":
		in.Flag = r.index()
	case "path":
		in.Path = r.index()
	case "jump":
		*jump = r.index()
	case "assume":
		a := &Assume{Index: r.val()}
		r.need("(")
		a.Mul = r.int()
		r.need("/")
		a.Div = r.int()
		r.need(")")
		a.Why = r.quoted()
		in.Assume = a
	}
}
