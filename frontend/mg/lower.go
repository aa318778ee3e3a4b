package mg

import (
	"sort"
	"strconv"
	"strings"

	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

// Limits of lowering, against sources that would grow without bound.
const (
	DefaultMaxOps = 4_000_000  // ops of a module, unless Options says otherwise
	MaxSteps      = 10_000_000 // calls, rounds of loops and items of lists
	MaxList       = 1_000_000  // items of one list
	MaxText       = 4096       // bytes of one string
	MaxCallDepth  = 256        // defs that call each other
	MaxStates     = 1 << 16    // states of an entry
)

// Options say what to build from a program.
type Options struct {
	// Config is the text of a config.json; nil leaves every field at its default.
	Config *JSON
	// Set gives options, fields of config and dimension symbols a value as text, as on a command line:
	// experts=unrolled, num_hidden_layers=2, B=1. It wins over Config.
	Set map[string]string
	// Entries are the functions to build; empty builds all.
	Entries []string
	// Activation is the format act stands for; the zero value is f32.
	Activation format.Format
	// Bind replaces dimension symbols by numbers.
	Bind map[string]int64
	// Taps are patterns of tap names, as path.Match has them: what matches becomes a further result.
	Taps []string
	// Stored asks what a checkpoint holds under a name. Nil takes what the source declares, and
	// StoredFormat where it declares no format.
	Stored func(name string) (Stored, bool)
	// Nearest, when set, finds a tensor name like one that is missing, for the message.
	Nearest func(name string) string
	// StoredFormat is the format of weights that declare none, where Stored is nil. The zero value is bf16.
	StoredFormat format.Format
	// MaxOps bounds the module; 0 is DefaultMaxOps.
	MaxOps int
}

// Stored is a tensor as a checkpoint holds it.
type Stored struct {
	Format format.Format
	Shape  []int64
}

// WeightUse is a weight that a module reads: one tensor, or, where Stack is not 0, that many, named with
// 0…Stack-1 in the place of {} in Name.
type WeightUse struct {
	Name  string
	Stack int64
}

// Lowered is a module with what a caller may ask about it.
type Lowered struct {
	Module *ir.Module
	// Weights are the tensors read, each name once, in the order of first use.
	Weights []WeightUse
	// Extra are patterns of tensor names, * standing for anything, that a checkpoint may hold besides.
	Extra []string
	// Taps are the names of all taps passed, requested or not, in order of first passing.
	Taps []string
	// Warnings holds what is not wrong but probably not meant.
	Warnings *diag.List
}

// Lower builds the module: entries with every call expanded, every loop run and every choice made. The
// error is a *diag.List with every mistake found.
func Lower(p *Program, opt Options) (*Lowered, error) {
	l := newLowering(p, opt)
	out := &Lowered{Module: l.mod, Warnings: &diag.List{}}
	l.settings()
	l.config = l.fill(p.config, opt.Config, "config", func(o *object) { l.config = o })
	l.options = l.fill(p.options, nil, "options", func(o *object) { l.options = o })
	if l.diags.HasErrors() {
		return out, l.diags.Err()
	}
	l.constants()
	if p.extra != nil {
		l.extra(out)
	}
	for _, e := range l.entries() {
		l.entry(e)
	}
	l.tapsMatched()
	out.Weights, out.Taps = l.uses, l.taps
	for _, d := range l.diags.Items() {
		if d.Severity != diag.Error {
			out.Warnings.Add(d)
		}
	}
	return out, l.diags.Err()
}

func newLowering(p *Program, opt Options) *lowering {
	if opt.Activation == format.Invalid {
		opt.Activation = format.F32
	}
	if opt.StoredFormat == format.Invalid {
		opt.StoredFormat = format.BF16
	}
	if opt.MaxOps <= 0 {
		opt.MaxOps = DefaultMaxOps
	}
	return &lowering{
		p: p, opt: opt, diags: &diag.List{}, mod: ir.NewModule(p.Name), fileIndex: make([]int32, len(p.files)),
		specs: map[specKey]string{}, reported: map[reportKey]bool{}, usesSeen: map[string]bool{}, tapSeen: map[string]bool{},
	}
}

// lowering is the state of one call of Lower.
type lowering struct {
	p       *Program
	opt     Options
	diags   *diag.List
	mod     *ir.Module
	config  *object
	options *object
	// abstract is set while defs are checked without a config; axes is how many axes .. stands for then.
	abstract bool
	axes     int

	lets     [][]value
	letState []uint8

	// Of the entry being built.
	fn        *ir.Func
	b         ir.Builder
	noTensor  string // why no op may be added now, or ""
	states    [][]*ir.Value
	hasStates bool
	consts    map[constKey]*ir.Value
	weights   map[string]*ir.Value
	tapped    []*ir.Value
	tapNames  []string
	tapAt     map[string]bool // tapped in this entry
	scope     string
	scopeID   int32

	fileIndex []int32 // of the module, by file of the program
	specs     map[specKey]string
	calls     []*callCode
	stack     []value
	steps     int
	ops       int
	halted    bool
	reported  map[reportKey]bool

	uses     []WeightUse
	usesSeen map[string]bool
	taps     []string
	tapSeen  map[string]bool
}

type reportKey struct {
	code       string
	src        *Source
	start, end int32
}

type constKey struct {
	f    format.Format
	bits uint64
	int  bool
}

// report adds an error once for each place in the text, however many times the place is passed, with
// notes on the calls that led there.
func (l *lowering) report(code string, at *place, format string, args ...any) *diag.Diagnostic {
	key := reportKey{code, at.src, at.start, at.end}
	if l.reported[key] || l.abstract && !judged(code) {
		return &diag.Diagnostic{}
	}
	l.reported[key] = true
	d := l.diags.Errorf(code, at.rng(), format, args...)
	l.halted = l.halted || l.diags.Full() // what else is wrong would not be told
	d.Where = l.scope
	for i := len(l.calls) - 1; i >= 0 && i >= len(l.calls)-4; i-- {
		d.Note(l.calls[i].rng(), "in the call of %s here", l.calls[i].def.name)
	}
	return d
}

// halt stops everything after a limit was passed: one message says so.
func (l *lowering) halt(at *place, format string, args ...any) {
	if !l.halted {
		l.report(CodeLimit, at, format, args...)
		l.halted = true
	}
}

// step counts one unit of work and reports whether to go on.
func (l *lowering) step(at *place) bool {
	if l.steps++; l.steps > MaxSteps {
		l.halt(at, "more than %d calls, rounds of loops and items of lists", MaxSteps)
	}
	return !l.halted
}

func newFrame(n int) []value { return make([]value, n) }

// frame takes n slots off the stack of frames; release gives them back.
func (l *lowering) frame(n int) (fr, save []value) {
	save = l.stack
	at := len(l.stack)
	if at+n > cap(l.stack) {
		l.stack = make([]value, 0, max(1<<13, 2*n))
		at = 0
	}
	l.stack = l.stack[:at+n]
	fr = l.stack[at : at+n : at+n]
	clear(fr)
	return fr, save
}

func (l *lowering) release(save []value) { l.stack = save }

// settings checks that every setting means something.
func (l *lowering) settings() {
	var names []string
	for k := range l.opt.Set {
		names = append(names, k)
	}
	sort.Strings(names)
	for _, k := range names {
		short := strings.TrimPrefix(strings.TrimPrefix(k, "options."), "config.")
		_, isOption := l.p.options.index[short]
		_, isField := l.p.config.index[strings.Split(short, ".")[0]]
		if isOption || isField {
			continue
		}
		if l.p.symbols[k] {
			n, err := strconv.ParseInt(l.opt.Set[k], 10, 64)
			if err != nil || n < 0 {
				l.diags.Errorf(CodeSet, diag.Range{}, "%s=%s: a dimension is a number, at least 0", k, l.opt.Set[k])
				continue
			}
			bind := map[string]int64{k: n}
			for s, v := range l.opt.Bind {
				bind[s] = v
			}
			l.opt.Bind = bind
			continue
		}
		all := append(append(l.p.OptionFields(), l.p.Symbols()...), l.p.ConfigFields()...)
		l.diags.Errorf(CodeSet, diag.Range{}, "%s is no option, field of config or dimension of %s", k, l.p.Name).Suggest(k, all).
			Expect("one of "+strings.Join(append(l.p.OptionFields(), l.p.Symbols()...), ", ")+", or a field of config", k)
	}
	for s, n := range l.opt.Bind {
		if n < 0 {
			l.diags.Errorf(CodeSet, diag.Range{}, "%s=%d: a dimension is at least 0", s, n)
		}
	}
}

// constants computes the constants and checks what the files require.
func (l *lowering) constants() {
	l.lets = make([][]value, len(l.p.lets))
	l.letState = make([]uint8, len(l.p.lets))
	l.noTensor = "a constant of a file is known when the module is built"
	fr := newFrame(l.p.reqSlots)
	for _, r := range l.p.requires {
		r.run(l, fr)
	}
	for _, d := range l.p.lets {
		l.let(d, &place{src: &Source{Source: d.at.Source}, start: int32(d.at.Start), end: int32(d.at.End)})
	}
	l.noTensor = ""
}

// let returns the values of a constant, computing them on first use.
func (l *lowering) let(d *letDecl, at *place) []value {
	switch l.letState[d.index] {
	case 2:
		return l.lets[d.index]
	case 1:
		l.report(CodeRecursion, at, "%s is defined by itself", d.names[0])
		return make([]value, len(d.names))
	}
	l.letState[d.index] = 1
	was := l.noTensor
	l.noTensor = "a constant of a file is known when the module is built"
	fr := newFrame(d.slots)
	v := d.x.eval(l, fr)
	if d.typ != nil {
		l.matchValue(d.typ, fr, v, d.x.where(), d.names[0])
	}
	l.noTensor = was
	vals := l.spread(v, len(d.names), d.x.where())
	l.lets[d.index], l.letState[d.index] = vals, 2
	return vals
}

// spread gives the n values of an expression with several results.
func (l *lowering) spread(v value, n int, at *place) []value {
	if n == 1 {
		if v.kind == kTuple {
			l.report(CodeType, at, "%s results for one name", strconv.Itoa(len(v.list()))).Helpf("name them all: let a, b = …; _ leaves one out")
			return []value{bad}
		}
		return []value{v}
	}
	if (v.kind == kTuple || v.kind == kList) && len(v.list()) == n {
		return v.list()
	}
	if v.kind != kBad {
		found := v.describe()
		if v.kind == kTuple {
			found = plural(len(v.list()), "value")
		}
		l.report(CodeType, at, "the names and the values differ in number").Expect(plural(n, "value"), found)
	}
	return make([]value, n)
}

// extra computes the patterns of tensors that a checkpoint may hold besides.
func (l *lowering) extra(out *Lowered) {
	l.noTensor = "this is known when the module is built"
	v := l.p.extra.eval(l, newFrame(l.p.reqSlots))
	l.noTensor = ""
	if v.kind == kBad {
		return
	}
	for _, x := range v.list() {
		if x.kind != kString {
			l.report(CodeType, l.p.extra.where(), "extra is a list of strings").Expect("a string", x.describe())
			return
		}
		out.Extra = append(out.Extra, x.str())
	}
	if v.kind != kList {
		l.report(CodeType, l.p.extra.where(), "extra is a list of strings").Expect("a list", v.describe())
	}
}

// entries returns the functions to build.
func (l *lowering) entries() []*defDecl {
	if len(l.opt.Entries) == 0 {
		if len(l.p.entries) == 0 {
			l.diags.Errorf(CodeEntry, l.p.main.src.Range(0, 0), "%s has no entry", l.p.main.src.Name).
				Helpf("an entry is what can be run: entry main(x: f32[B, 64]) -> (y: f32[B, 64]) { … }")
		}
		return l.p.entries
	}
	var out []*defDecl
	for _, name := range l.opt.Entries {
		found := false
		for _, e := range l.p.entries {
			if e.name == name {
				out, found = append(out, e), true
			}
		}
		if !found {
			l.diags.Errorf(CodeSet, diag.Range{}, "%s has no entry %q", l.p.Name, name).Suggest(name, l.p.Entries()).
				Expect("one of "+strings.Join(l.p.Entries(), ", "), name)
		}
	}
	return out
}

// entry builds one function.
func (l *lowering) entry(d *defDecl) {
	if l.halted {
		return
	}
	f := l.mod.NewFunc(d.name)
	f.Entry, f.Doc = true, d.doc
	l.begin(f)
	f.Pos = l.pos(d.place)
	fr, save := l.frame(d.slots)
	defer l.release(save)
	for _, p := range d.params {
		t, ok := l.typeOf(p.typ, fr)
		if !ok {
			l.fn = nil
			return
		}
		fr[p.slot] = tensorValue(f.AddInput(p.name, t))
	}
	v := d.body.eval(l, fr)
	vals := []value{v}
	if d.several || v.kind == kTuple {
		vals = l.spread(v, len(d.results), d.body.place)
	}
	l.b.Pos = l.pos(d.place)
	var results []*ir.Value
	for i, t := range d.results {
		if i >= len(vals) || !l.matchValue(t, fr, vals[i], l.resultPlace(d), "the result") {
			continue
		}
		results = append(results, vals[i].tensor())
		name := d.names[i]
		if name == "" {
			name = "out"
			if i > 0 {
				name += strconv.Itoa(i)
			}
		}
		f.Results = append(f.Results, name)
	}
	if l.halted || len(results) != len(d.results) {
		l.fn = nil
		return
	}
	for i, t := range l.tapped {
		results = append(results, t)
		f.Results = append(f.Results, l.tapNames[i])
	}
	for _, row := range l.states {
		results = append(results, row...)
	}
	l.b.Return(results...)
	l.fn = nil
}

// begin makes a function the one being built.
func (l *lowering) begin(f *ir.Func) {
	l.fn, l.scope, l.scopeID = f, "", 0
	l.b = ir.Builder{Block: f.Body}
	l.consts, l.weights = map[constKey]*ir.Value{}, map[string]*ir.Value{}
	l.states, l.hasStates = nil, false
	l.tapped, l.tapNames, l.tapAt = nil, nil, map[string]bool{}
}

func (l *lowering) resultPlace(d *defDecl) *place {
	if d.body.result != nil {
		return d.body.result.where()
	}
	return d.place
}

// pos is the position that ops made at a place get.
func (l *lowering) pos(p *place) ir.Pos {
	i := l.fileIndex[p.id]
	if i == 0 {
		i = l.mod.File(p.src.Name)
		l.fileIndex[p.id] = i
	}
	return ir.Pos{File: i, Line: p.line, Col: p.col, Scope: l.scopeID}
}

// symbol returns a dimension symbol, or the number it is bound to.
func (l *lowering) symbol(name string) shape.Dim {
	if n, ok := l.opt.Bind[name]; ok {
		return shape.Const(n)
	}
	return shape.Sym(name)
}

// emit adds an op; nil after an error.
func (l *lowering) emit(at *place, info *op.Info, attrs op.Attrs, args ...*ir.Value) *ir.Op {
	if l.fn == nil || l.noTensor != "" {
		why := l.noTensor
		if why == "" {
			why = "tensors are made in entries"
		}
		l.report(CodeType, at, "%s gives a tensor, but %s", info.Name, why)
		return nil
	}
	if l.halted {
		return nil
	}
	if l.ops++; l.ops > l.opt.MaxOps {
		l.halt(at, "the module has more than %d ops", l.opt.MaxOps)
		return nil
	}
	l.b.Pos = l.pos(at)
	o := l.b.Create(info, attrs, args...)
	if l.b.Err != nil {
		if !l.abstract || judgedOp(info, args) {
			l.opError(at, info, args, l.b.Err)
		}
		l.b.Err = nil
		return nil
	}
	return o
}

// opError reports what the op table says about operands that do not fit.
func (l *lowering) opError(at *place, info *op.Info, args []*ir.Value, err error) {
	d := l.report(CodeOp, at, "%s", err.Error())
	if len(args) > 0 {
		types := make([]string, len(args))
		for i, a := range args {
			types[i] = a.Type.String()
		}
		d.Note(diag.Range{}, "the operands of %s are %s", info.Name, strings.Join(types, ", "))
	}
}
