package chip

import (
	"sort"

	"apogee/ir/diag"
	"apogee/ir/format"
)

// This file reads the statements of schema.go that need more than a line.

func sortedUnique(in []string) []string {
	sort.Strings(in)
	var out []string
	for i, s := range in {
		if i == 0 || in[i-1] != s {
			out = append(out, s)
		}
	}
	return out
}

func readSources(c *cursor, in within) {
	c.finish()
	first := map[string]diag.Range{}
	for _, s := range c.s.Block.Stmts {
		if !s.isCode() {
			continue
		}
		e := &cursor{r: c.r, s: s}
		name, rng := e.take(tWord, "a name, a confidence and a citation")
		if at, dup := first[name]; dup && !e.bad {
			e.fail(codeTwice, rng, "source %s stands twice", name).Note(at, "here it stands first")
		}
		first[name] = rng
		conf := confidenceOf(e.wordUnlessBad("confidence", confidenceWords))
		var text string
		if !e.bad {
			text = e.str("the citation")
		}
		e.finish()
		if !e.bad && e.room(len(in.chip.Sources), "sources") {
			in.chip.Sources = append(in.chip.Sources, Source{name, conf, text, rng})
		}
	}
}

func (c *cursor) wordUnlessBad(what string, options []string) string {
	if c.bad {
		return ""
	}
	return c.word(what, options)
}

func readWords(c *cursor, in within) {
	in.chip.Words = map[string]string{}
	for _, s := range c.s.Block.Stmts {
		if !s.isCode() {
			continue
		}
		e := &cursor{r: c.r, s: s}
		name, rng := e.take(tWord, "a word and what the chip calls it")
		if !e.bad {
			if _, dup := in.chip.Words[name]; dup {
				e.fail(codeTwice, rng, "%s stands twice", name)
			} else {
				in.chip.Words[name] = e.str("what the chip calls it")
			}
		}
		e.finish()
	}
}

func readMemory(c *cursor, in within) {
	m := &Memory{Units: 1, Align: 1}
	m.Name, m.Range = c.name("a name")
	if c.bad || !c.room(len(in.chip.Memories), "memories") {
		return
	}
	in.chip.Memories = append(in.chip.Memories, m)
	c.r.block(memoryKeys, c.s.Block.Stmts, within{name: "memory " + m.Name, chip: in.chip, mem: m}, m.Range)
	has := stated(memoryKeys, c.s.Block.Stmts)
	if m.Is(RoleGlobal) && !has["bandwidth"] && !has["core_rate"] {
		c.r.missing(m.Range, "memory "+m.Name+", the global memory,", memoryKeys, "bandwidth")
	}
	if !m.Is(RoleCache) && !has["align"] {
		c.r.missing(m.Range, "memory "+m.Name, memoryKeys, "align")
	}
	if m.Is(RoleCache) && !has["caches"] {
		c.r.missing(m.Range, "memory "+m.Name+", a cache,", memoryKeys, "caches")
	}
}

func (r *reader) missing(at diag.Range, what string, keys []key, name string) {
	r.list.Errorf(codeMissing, at, "%s has no %s", what, name).Helpf("add: %s", find(keys, name).syntax)
}

// stated gives the keys that a block has.
func stated(keys []key, stmts []*stmt) map[string]bool {
	out := map[string]bool{}
	for _, s := range stmts {
		if k := find(keys, s.key()); k != nil {
			out[k.name] = true
		}
	}
	return out
}

func readEngine(c *cursor, in within) {
	e := &Engine{Units: 1}
	e.Name, e.Range = c.name("a name")
	if c.bad || !c.room(len(in.chip.Engines), "engines") {
		return
	}
	e.Queue = e.Name
	in.chip.Engines = append(in.chip.Engines, e)
	what := "engine " + e.Name
	c.r.block(engineKeys, c.s.Block.Stmts, within{name: what, chip: in.chip, eng: e}, e.Range)
	has := stated(engineKeys, c.s.Block.Stmts)
	need := map[EngineKind][]string{
		Matrix: {"a", "b", "acc", "startup", "rate"},
		Vector: {"mem", "startup", "rate"},
		Scalar: {"mem", "startup"},
	}
	for _, k := range need[e.Kind] {
		if !has[k] {
			c.r.missing(e.Range, what+", a "+e.Kind.String()+" engine,", engineKeys, k)
		}
	}
	takes := map[EngineKind][]string{
		Matrix: {"a", "b", "acc", "startup", "rate"},
		Vector: {"mem", "startup", "rate", "casts"},
		Scalar: {"mem", "startup", "rate", "casts"},
		DMA:    nil,
	}
	if e.Kind == 0 {
		return
	}
	for _, s := range c.s.Block.Stmts {
		for _, k := range []string{"a", "b", "acc", "mem", "startup", "rate", "casts"} {
			if s.key() == k && !contains(takes[e.Kind], k) {
				d := c.r.list.Errorf(codeKey, s.head(), "a %s engine has no %s", e.Kind, k)
				if e.Kind == DMA {
					d.Helpf("rates, start-up and conversions of data on the move belong to its paths")
				}
			}
		}
	}
	for _, m := range e.Matrix {
		if e.Kind != Matrix {
			c.r.list.Errorf(codeArgument, m.Range, "a %s engine does not multiply matrices", e.Kind)
		}
	}
	for _, v := range e.Vector {
		if e.Kind == Matrix {
			c.r.list.Errorf(codeArgument, v.Range, "a matrix engine has no class of operations").
				Expect("rate A, B -> ACC NUMBER flop/cycle tile MxKxN", "rate "+v.Format.String()+" "+string(v.Op))
		}
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func readRate(c *cursor, in within) {
	f := c.format()
	if c.bad {
		return
	}
	if a := c.peek(); a != nil && a.Tok.Type == tWord {
		readVectorRate(c, in, f)
		return
	}
	rate := MatrixRate{A: f, Range: c.s.line()}
	if !c.accept(tComma) {
		c.want("a comma and the right operand's format, or a class of vector operations")
		return
	}
	rate.B = c.format()
	c.arrow()
	if c.bad {
		return
	}
	rate.Acc = c.format()
	id := f.String() + ", " + rate.B.String() + " -> " + rate.Acc.String()
	c.positive(&rate.FlopsPerCycle, "rate "+id, dimFlopPerCycle)
	if c.bad {
		return
	}
	if !c.acceptWord("tile") {
		c.want("tile MxKxN")
		return
	}
	var q Quantity
	rate.M, rate.K, rate.N = c.tile(&q, "tile "+id)
	if c.bad {
		return
	}
	if c.s.Block != nil {
		c.r.block(rateKeys, c.s.Block.Stmts, within{name: c.prefix + ": " + id, chip: in.chip, rate: &rate}, c.s.line())
	}
	if c.room(len(in.eng.Matrix), "rates") {
		in.eng.Matrix = append(in.eng.Matrix, rate)
	}
}

func readVectorRate(c *cursor, in within, f format.Format) {
	var names []string
	for _, o := range OpClasses {
		names = append(names, string(o))
	}
	rate := VectorRate{Format: f, Range: c.s.line(), Op: OpClass(c.word("class of operations", names))}
	if c.bad {
		return
	}
	if !c.partOf(&rate.ElementsPerCycle, in.eng, names, "rate "+f.String()+" "+string(rate.Op)) {
		c.positive(&rate.ElementsPerCycle, "rate "+f.String()+" "+string(rate.Op), dimElementPerCycle)
	}
	if c.s.Block != nil {
		c.fail(codeArgument, tokRange(c.s.src, c.s.Block.Open), "a vector rate takes no block")
	}
	if !c.bad && c.room(len(in.eng.Vector), "rates") {
		in.eng.Vector = append(in.eng.Vector, rate)
	}
}

// partOf reads "NUMBER % of FORMAT CLASS", a rate as a part of one that stands before it in the engine, so that a
// family's file can say what follows from the lanes of a core. It reports whether that is what stands here.
func (c *cursor) partOf(q *Quantity, e *Engine, classes []string, name string) bool {
	if a := c.peek(); c.bad || a == nil || a.Tok.Type != tNumber || c.i+1 >= len(c.s.Args) || c.s.Args[c.i+1].Tok.Value != "%" {
		return false
	}
	c.positive(q, name, dimRatio)
	if c.bad {
		return true
	}
	if !c.acceptWord("of") {
		c.want(`"of", the format and the class of another rate of this engine, or a rate in element/cycle`)
		return true
	}
	at := c.here()
	f := c.format()
	op := OpClass(c.wordUnlessBad("class of operations", classes))
	if c.bad {
		return true
	}
	of := e.Rate(f, op)
	if of == nil {
		c.fail(codeArgument, at, "no rate %s %s stands before this one", f, op).
			Helpf("state it first: rate %s %s NUMBER element/cycle", f, op)
		return true
	}
	q.Value *= of.ElementsPerCycle.Value
	q.Unit = dims[dimElementPerCycle].base
	q.Written += " of " + f.String() + " " + string(op)
	c.clause()
	return true
}

func readPath(c *cursor, in within) {
	p := &Path{Range: c.s.line()}
	p.From = c.memory()
	c.arrow()
	p.To = c.memory()
	if c.bad || !c.room(len(in.chip.Paths), "paths") {
		return
	}
	in.chip.Paths = append(in.chip.Paths, p)
	c.r.block(pathKeys, c.s.Block.Stmts, within{name: "path " + p.From + " -> " + p.To, chip: in.chip, path: p}, p.Range)
}

func readLink(c *cursor, in within) {
	l := &Link{}
	l.Name, l.Range = c.name("a name")
	if c.bad || !c.room(len(in.chip.Links), "links") {
		return
	}
	in.chip.Links = append(in.chip.Links, l)
	c.r.block(linkKeys, c.s.Block.Stmts, within{name: "link " + l.Name, chip: in.chip, link: l}, l.Range)
}

func readPrecision(c *cursor, in within) {
	p := Precision{Range: c.s.line()}
	p.Name = c.word("precision", PrecisionNames)
	if c.bad {
		return
	}
	keys := make([]key, len(precisionKeys))
	copy(keys, precisionKeys)
	for i := range keys {
		switch keys[i].name {
		case "weight":
			keys[i].read = func(c *cursor, _ within) { p.Weight = c.format() }
		case "activation":
			keys[i].read = func(c *cursor, _ within) { p.Activation = c.format() }
		case "rate":
			keys[i].read = func(c *cursor, _ within) {
				fs := c.formats()
				if len(fs) != 2 && !c.bad {
					c.want("two formats, an arrow and the accumulator's format")
				}
				c.arrow()
				if !c.bad {
					p.A, p.B, p.Acc = fs[0], fs[1], c.format()
				}
			}
		}
	}
	before := c.r.list.Errors()
	c.r.block(keys, c.s.Block.Stmts, within{name: "precision " + p.Name, chip: in.chip}, p.Range)
	if c.r.list.Errors() == before {
		in.chip.Precisions = append(in.chip.Precisions, p)
	}
}

func readAuto(c *cursor, _ within) {
	c.r.autoAt = c.s.line()
	c.each(func() { c.r.auto = append(c.r.auto, c.word("precision", PrecisionNames)) })
}

func readDerate(c *cursor, in within) {
	kind := c.word("thing that can be derated", []string{"memory", "engine", "path", "link", "latency", "launch"})
	if c.bad {
		return
	}
	most := 1.0
	if kind == "launch" {
		readDerateOf(c, in, "launch", 4)
		return
	}
	if kind == "latency" {
		most = 4
	}
	name, _ := c.name("a name")
	if kind == "path" {
		c.arrow()
		if !c.bad {
			to, _ := c.name("a memory")
			name += " -> " + to
		}
	}
	readDerateOf(c, in, kind+" "+name, most)
}

// readDerateOf reads a factor. Peaks cannot be exceeded; times that a file states may have been measured to be shorter.
func readDerateOf(c *cursor, in within, what string, most float64) {
	d := Derate{What: what}
	c.positive(&d.Factor, "derate "+d.What, dimRatio)
	if most > 1 {
		c.inRange(&d.Factor, 0, most, "a part of the stated speed, up to 400 %")
	} else {
		c.inRange(&d.Factor, 0, 1, "a part of the peak, up to 100 %")
	}
	if !c.bad && c.room(len(in.chip.Derates), "derates") {
		in.chip.Derates = append(in.chip.Derates, d)
	}
}

// usual are the precisions that follow from the rates, in the order in which auto tries them; those without a
// place there change a model's numbers beyond rounding and are never taken unasked.
var usual = []Precision{
	{Name: "bf16", Weight: format.BF16, Activation: format.BF16, A: format.BF16, B: format.BF16, Acc: format.F32, Auto: 1},
	{Name: "f16", Weight: format.F16, Activation: format.F16, A: format.F16, B: format.F16, Acc: format.F32, Auto: 2},
	{Name: "f32", Weight: format.F32, Activation: format.F32, A: format.F32, B: format.F32, Acc: format.F32, Auto: 3},
	{Name: "tf32", Weight: format.F32, Activation: format.F32, A: format.TF32, B: format.TF32, Acc: format.F32},
	{Name: "hf32", Weight: format.F32, Activation: format.F32, A: format.HF32, B: format.HF32, Acc: format.F32},
	{Name: "fp8", Weight: format.F8E4M3FN, Activation: format.F8E4M3FN, A: format.F8E4M3FN, B: format.F8E4M3FN, Acc: format.F32},
	{Name: "hif8", Weight: format.HIF8, Activation: format.HIF8, A: format.HIF8, B: format.HIF8, Acc: format.F32},
	{Name: "mxfp8", Weight: format.F8E4M3FN, Activation: format.F8E4M3FN, A: format.F8E4M3FN, B: format.F8E4M3FN, Acc: format.F32, MX: true},
	{Name: "mxfp4", Weight: format.F4E2M1, Activation: format.F4E2M1, A: format.F4E2M1, B: format.F4E2M1, Acc: format.F32, MX: true},
	{Name: "w8a16", Weight: format.I8, Activation: format.BF16, A: format.BF16, B: format.BF16, Acc: format.F32},
	{Name: "w8a16", Weight: format.I8, Activation: format.F16, A: format.F16, B: format.F16, Acc: format.F32},
	{Name: "w8a8", Weight: format.I8, Activation: format.I8, A: format.I8, B: format.I8, Acc: format.I32},
}

// finish adds what follows from what was read: the precisions and their order.
func (r *reader) finish() {
	c := r.chip
	var all []Precision
	for _, name := range PrecisionNames {
		if p, ok := c.Precision(name); ok {
			all = append(all, p)
			continue
		}
		for _, u := range usual {
			if u.Name != name {
				continue
			}
			if _, rate, ok := c.MatrixAcc(u.A, u.B, u.Acc); ok && (!u.MX || c.ScaleBlock(u.A, u.B) > 0) {
				u.Range = rate.Range
				all = append(all, u)
				break
			}
		}
	}
	for i := range all {
		for _, u := range usual {
			if u.Name == all[i].Name {
				all[i].Auto, all[i].MX = u.Auto, u.MX
			}
		}
		if r.auto != nil {
			all[i].Auto = 0
		}
	}
	for n, name := range r.auto {
		found := false
		for i := range all {
			if all[i].Name == name {
				all[i].Auto, found = n+1, true
			}
		}
		if !found && name != "" && len(c.Engines) > 0 {
			r.list.Errorf(codePrecision, r.autoAt, "auto names %s, which this chip cannot do", name).
				Helpf("add a matrix rate for it or a precision block")
		}
	}
	c.Precisions = all
}
