package chip

import (
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/targets/chips"
)

// System is the description of a machine of several cards as it is sold: which chip, how many, and what joins them. It is
// read-only after [LoadSystem].
type System struct {
	// Name is the name of the file without ".system"; the others are as in [Chip].
	Name, Vendor, Doc, Variant string
	Year                       int
	// Chip is the description of one of its devices; its links are the system's.
	Chip *Chip
	// Count is how many of them there are, Node how many share a host.
	Count, Node Quantity
	// Links join the devices, from the nearest to the farthest; Peers is how many devices one joins.
	Links []*Link
	// Host is what the devices of a node are plugged into; nil when nothing is known.
	Host *Host
	// Power is that of the whole system in W, where it is known.
	Power Quantity
	// Quoted are totals that the vendor quotes; the lint holds them against count times chip.
	Quoted []Total
	// Served are published rates of serving, as in [Chip.Served].
	Served []Served

	Sources   []Source
	Facts     []Fact
	Contested []Contested
	File      *diag.Source
	Range     diag.Range
}

// Host is the host of a node.
type Host struct {
	// Name is the processor's, CPUs how many a node has, Memory what it has in B.
	Name         string
	CPUs, Memory Quantity
	// Bandwidth is between the host and one device, one direction, in B/s; Latency is of a small transfer, in s.
	Bandwidth, Latency Quantity
}

// Total is a figure for a whole system.
type Total struct {
	// What is "memory", "bandwidth" (of memory), "interconnect" or "peak FORMAT".
	What  string
	Value Quantity
}

// Served is a published rate of serving a model.
type Served struct {
	// What says which model and phase.
	What string
	// Rate is in tokens a second of Per: device, node or system.
	Rate Quantity
	Per  string
	// Batch is of the whole system, Devices how many served it, TPOT the time of an output token in s; CacheHits the part of the
	// rate that a prefix cache gave, whose tokens were not computed.
	Batch, Devices, TPOT, CacheHits Quantity
	// Simulated: another simulator says so, not hardware.
	Simulated bool
	Range     diag.Range
}

// Computed is the rate of tokens that were computed, a device and second; ok is false when the devices of a node or system are
// not stated.
func (s Served) Computed() (rate float64, ok bool) {
	rate = s.Rate.Value * (1 - s.CacheHits.Value)
	if s.Per == "device" {
		return rate, true
	}
	return rate / s.Devices.Value, s.Devices.Stated()
}

var hostKeys = []key{
	{name: "cpu", syntax: `cpu "NAME" NUMBER`, required: true, doc: "The processor, and how many a node has.",
		read: func(c *cursor, in within) {
			in.sys.Host.Name = c.str("a name")
			c.count(&in.sys.Host.CPUs, "cpu", 1)
		}},
	{name: "memory", syntax: "memory NUMBER GB", doc: "Memory of a node's host.",
		read: func(c *cursor, in within) { c.size(&in.sys.Host.Memory, "memory") }},
	{name: "bandwidth", syntax: "bandwidth NUMBER GB/s [one_way | both_ways]", doc: "Between the host and one device.",
		read: func(c *cursor, in within) { c.oneWay(&in.sys.Host.Bandwidth, "bandwidth") }},
	{name: "latency", syntax: "latency NUMBER us", doc: "Of a small transfer between them.",
		read: func(c *cursor, in within) { c.number(&in.sys.Host.Latency, "latency", dimSeconds) }},
}

var servedKeys = []key{
	{name: "rate", syntax: "rate NUMBER token/s", required: true, doc: "Tokens a second.",
		read: func(c *cursor, in within) { c.positive(&in.served.Rate, "rate", dimTokens) }},
	{name: "per", syntax: "per device | node | system", required: true, doc: "What the rate is of.",
		read: func(c *cursor, in within) {
			in.served.Per = c.word("level", []string{"device", "node", "system"})
		}},
	{name: "batch", syntax: "batch NUMBER", doc: "Sequences in flight, of all devices together.",
		read: func(c *cursor, in within) { c.count(&in.served.Batch, "batch", 1) }},
	{name: "devices", syntax: "devices NUMBER", doc: "How many devices served it.",
		read: func(c *cursor, in within) { c.count(&in.served.Devices, "devices", 1) }},
	{name: "tpot", syntax: "tpot NUMBER ms", doc: "Time of an output token.",
		read: func(c *cursor, in within) { c.positive(&in.served.TPOT, "tpot", dimSeconds) }},
	{name: "cache_hits", syntax: "cache_hits NUMBER %", doc: "Part of the rate that a prefix cache gave: those tokens were not computed.",
		read: func(c *cursor, in within) {
			c.number(&in.served.CacheHits, "cache_hits", dimRatio)
			c.inRange(&in.served.CacheHits, 0, 1, "0 to 100 %")
		}},
	{name: "simulated", syntax: "simulated", doc: "Another simulator's figure: nothing is fitted to it.",
		read: func(_ *cursor, in within) { in.served.Simulated = true }},
}

var servedKey = key{name: "served", syntax: `served "WHAT" { rate NUMBER token/s …  per device | node | system … }`, names: 1, inner: servedKeys,
	doc: "A published rate of serving a model.", read: readServed}

func readServed(c *cursor, in within) {
	s := Served{Range: c.s.line()}
	s.What = c.str("model and phase")
	if c.bad || !c.room(max(len(in.chip.Served), 0), "rates of serving") {
		return
	}
	c.r.block(servedKeys, c.s.Block.Stmts, within{name: "served " + s.What, chip: in.chip, sys: in.sys, served: &s}, s.Range)
	in.chip.Served = append(in.chip.Served, s)
}

var systemKeys []key

func init() {
	share := func(name string) key { return *find(chipKeys, name) }
	systemKeys = []key{
		share("doc"), share("vendor"), share("variant"), share("year"), share("sources"),
		{name: "chip", syntax: `chip "NAME" NUMBER`, required: true, doc: "The chip, and how many of the device that its file describes the system has.",
			read: func(c *cursor, in within) {
				c.name("the name of a chip")
				c.count(&in.sys.Count, "chip", 1)
			}},
		{name: "node", syntax: "node NUMBER", required: true, doc: "Devices that share a host.",
			read: func(c *cursor, in within) { c.count(&in.sys.Node, "node", 1) }},
		share("link"),
		{name: "host", syntax: `host { cpu "NAME" NUMBER … }`, inner: hostKeys, doc: "The host of a node.",
			read: func(c *cursor, in within) {
				in.sys.Host = &Host{}
				c.r.block(hostKeys, c.s.Block.Stmts, within{name: "host", chip: in.chip, sys: in.sys}, c.s.line())
			}},
		{name: "power", syntax: "power NUMBER kW", doc: "Of the whole system.",
			read: func(c *cursor, in within) { c.positive(&in.sys.Power, "power", dimWatt) }},
		{name: "quoted", syntax: "quoted memory NUMBER TB, quoted bandwidth|interconnect NUMBER TB/s, or: quoted peak FORMAT NUMBER PFLOPS", names: -1,
			doc: "A total that is quoted; held against count times chip.", read: readQuoted},
		servedKey, share("contested"), share("accept"),
	}
}

func readQuoted(c *cursor, in within) {
	var t Total
	t.What = c.word("total", []string{"memory", "bandwidth", "interconnect", "peak"})
	want := dimBytesPerSecond
	switch t.What {
	case "memory":
		want = dimBytes
	case "peak":
		want = dimFlops
		t.What += " " + c.format().String()
	}
	c.positive(&t.Value, "quoted "+t.What, want)
	if !c.bad && c.room(len(in.sys.Quoted), "totals") {
		in.sys.Quoted = append(in.sys.Quoted, t)
	}
}

// LoadSystem reads a system: a path when the argument ends in ".system" or holds a separator, otherwise the name of a shipped one.
// The error unwraps to a [diag.List]. Warnings are given by [LoadSystemAll].
func LoadSystem(pathOrName string) (*System, error) {
	s, l := LoadSystemAll(pathOrName)
	if err := l.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

// LoadSystemAll is [LoadSystem] with all diagnostics, warnings included. The system is nil when there are errors in its text.
func LoadSystemAll(pathOrName string) (*System, *diag.List) {
	l := &diag.List{}
	if !IsSystemPath(pathOrName) {
		text, ok := chips.SystemText(pathOrName)
		if !ok {
			d := diag.Errorf(codeUnknown, diag.Range{}, "no system is called %q", pathOrName)
			d.Expected = "a path to a .system file, or one of " + strings.Join(chips.Systems(), ", ")
			l.AddError(codeUnknown, d.Suggest(pathOrName, chips.Systems()))
			return nil, l
		}
		return ReadSystem(diag.NewSource(pathOrName+".system", text), Shipped)
	}
	src, err := readFile(pathOrName)
	if err != nil {
		l.AddError(codeUnknown, err)
		return nil, l
	}
	return ReadSystem(src, Beside(filepath.Dir(pathOrName)))
}

// IsSystemPath says whether an argument is the path of a system's file.
func IsSystemPath(s string) bool {
	return strings.HasSuffix(s, ".system") || !strings.HasSuffix(s, ".chip") && isPath(s)
}

// ReadSystem turns the text of a system's file into a description and checks it; open finds the chip.
func ReadSystem(src *diag.Source, open Opener) (*System, *diag.List) {
	l := &diag.List{}
	sys := &System{File: src}
	r := &reader{list: l, usedSource: map[string]bool{}, chip: &Chip{File: src, Devices: 1}, clock: 1}
	f := parse(src, l)
	if f == nil {
		l.Sort()
		return nil, l
	}
	var top *stmt
	for _, s := range f.stmts {
		if !s.isCode() {
			continue
		}
		if s.key() != "system" || top != nil {
			l.Errorf(codeOneChip, s.head(), "only one system may stand here").Expect(`system "NAME" { … }`, s.Args[0].Tok.Value)
			continue
		}
		top = s
	}
	if top == nil || top.Block == nil {
		l.Errorf(codeOneChip, src.Range(0, 0), "this file describes no system").Expect(`system "NAME" { … }`, "none")
		l.Sort()
		return nil, l
	}
	c := &cursor{r: r, s: top, i: 1}
	sys.Name, sys.Range = c.name("the system's name")
	c.finish()
	body := top.Block.Stmts
	in := within{name: "", chip: r.chip, sys: sys}
	r.only("sources", systemKeys, body, in)
	r.block(systemKeys, body, in, sys.Range)
	r.only("contested", systemKeys, body, in)
	d := r.chip
	sys.Doc, sys.Vendor, sys.Variant, sys.Year = d.Doc, d.Vendor, d.Variant, d.Year
	sys.Sources, sys.Facts, sys.Contested, sys.Links, sys.Served = d.Sources, d.Facts, d.Contested, d.Links, d.Served
	for _, s := range body {
		if s.key() != "chip" || l.HasErrors() {
			continue
		}
		e := &cursor{r: r, s: s, i: 1}
		name, at := e.name("the name of a chip")
		csrc, err := open(name)
		if err != nil {
			x := l.Errorf(codeExtends, at, "there is no chip %q", name)
			x.Suggest(name, chips.List())
			break
		}
		one, cl := Read(csrc, open)
		if err := cl.Err(); err != nil {
			l.Merge(cl)
			break
		}
		sys.Chip = one
	}
	if l.HasErrors() || sys.Chip == nil {
		l.Sort()
		return nil, l
	}
	if base := strings.TrimSuffix(filepath.Base(src.Name), ".system"); base != sys.Name && strings.HasSuffix(src.Name, ".system") {
		l.Warnf(codeName, sys.Range, "the system's name is not its file's").Expect(fmt.Sprintf("%q", base), fmt.Sprintf("%q", sys.Name))
	}
	joined := *sys.Chip
	if len(sys.Links) > 0 {
		joined.Links = sys.Links
	} else { // those of the chip, as far as the system goes
		joined.Links = nil
		for _, k := range sys.Chip.Links {
			own := *k
			most := sys.Count.Int()
			if k.Scope == "node" {
				most = min(most, sys.Node.Int())
			}
			own.Peers = min(own.Peers, most)
			joined.Links = append(joined.Links, &own)
		}
	}
	reach := map[string]int{}
	for i, name := range LinkScopes {
		reach[name] = i
	}
	joined.Links = append([]*Link{}, joined.Links...)
	sort.SliceStable(joined.Links, func(i, j int) bool { return reach[joined.Links[i].Scope] < reach[joined.Links[j].Scope] })
	sys.Chip, sys.Links = &joined, joined.Links
	sub := &diag.List{}
	checkSystem(sys, sub)
	d.answer(sub, l)
	l.Sort()
	return sys, l
}

// checkSystem holds the totals of a system against count times chip, and its links against its size.
func checkSystem(s *System, l *diag.List) {
	n, node := s.Count.Value, s.Node.Value
	if q := n / node; q != math.Trunc(q) {
		l.Errorf(codeLevel, s.Node.Range, "%g devices do not divide into nodes of %g", n, node).
			Helpf("count the same thing in both: devices as the chip's file describes them, neither dies nor cards")
	}
	for _, k := range s.Links {
		if float64(k.Peers) > n {
			l.Errorf(codeLevel, k.Range, "link %s joins %d devices, the system has %g", k.Name, k.Peers, n)
		}
		if k.Scope == "node" && float64(k.Peers) > node {
			l.Errorf(codeLevel, k.Range, "link %s reaches through a node and joins %d devices, a node has %g", k.Name, k.Peers, node)
		}
	}
	contested := map[string]bool{}
	for _, x := range s.Contested {
		contested[x.Fact] = true
	}
	g := s.Chip.Global()
	for _, t := range s.Quoted {
		if contested["quoted "+t.What] {
			continue
		}
		hold := func(one float64, what, unit string, scale float64) {
			if one == 0 {
				return
			}
			if r := t.Value.Value / (n * one); math.Abs(r-1) > 0.03 {
				d := l.Warnf(codeTotal, t.Value.Range, "this total is %.4g %s a device, and %s is %.4g", t.Value.Value/n/scale, unit, what, one/scale).
					Expect(fmt.Sprintf("%.4g %s", n*one/scale, unit), t.Value.Written)
				switch {
				case math.Abs(r-2) < 0.06:
					d.Helpf("twice: dies for devices, both directions for one, or sparse for dense")
				case math.Abs(r-0.5) < 0.02:
					d.Helpf("half: devices for dies, or one direction for both")
				default:
					d.Helpf("if what it counts is not known, keep it under contested %q with the reason", "quoted "+t.What)
				}
			}
		}
		switch {
		case t.What == "memory":
			hold(g.Size.Value, "the chip's memory", "GB", 1e9)
		case t.What == "bandwidth":
			hold(g.Rated.Value, "the chip's memory bandwidth", "GB/s", 1e9)
		case t.What == "interconnect":
			best := 0.0
			for _, k := range s.Links {
				best = max(best, k.Bandwidth.Value)
			}
			hold(2*best, "its fastest link, both ways,", "GB/s", 1e9)
		default:
			f, _ := format.Parse(strings.TrimPrefix(t.What, "peak "))
			one := s.Chip.Peak(f)
			for _, p := range s.Chip.Peaks {
				if p.Format == f && p.Of == "device" && !p.Sparse {
					one = p.FlopsPerSecond.Value
				}
			}
			hold(one, "the chip's peak", "TFLOPS", 1e12)
		}
	}
	checkServed(s.Served, l)
}

var (
	hitWords       = regexp.MustCompile(`(?i)cache[- ]hits?|prefix[- ]cache`)
	simulatedWords = regexp.MustCompile(`(?i)\bsimulat|\bpredict`)
)

// checkServed looks for rates of serving that are not what they look like.
func checkServed(list []Served, l *diag.List) {
	for _, s := range list {
		text := s.What + " " + s.Rate.Source
		if hitWords.MatchString(text) && !s.CacheHits.Stated() {
			l.Warnf(codeServed, s.Rate.Range, "the citation speaks of cache hits: their tokens were not computed").
				Helpf("add: cache_hits NUMBER % …, or cache_hits 0 % if the rate is without them")
		}
		if simulatedWords.MatchString(text) && !s.Simulated {
			l.Warnf(codeServed, s.Rate.Range, "the citation speaks of a simulation, the rate is taken for hardware's").
				Helpf("add: simulated")
		}
		if s.Per != "device" && !s.Devices.Stated() {
			l.Warnf(codeServed, s.Rate.Range, "a rate of a %s, and nobody says how many devices that is", s.Per).Helpf("add: devices NUMBER …")
		}
		if s.Batch.Stated() && s.TPOT.Stated() && s.Devices.Stated() {
			want := s.Batch.Value / s.TPOT.Value
			if s.Per == "device" {
				want /= s.Devices.Value
			}
			if r := s.Rate.Value / want; math.Abs(r-1) > 0.03 {
				l.Warnf(codeServed, s.Rate.Range, "rate, batch, devices and time of a token contradict one another").
					Expect(fmt.Sprintf("%.5g token/s, the batch / time of a token%s", want, map[bool]string{true: " / devices"}[s.Per == "device"]), s.Rate.Written).
					Helpf("is the batch that of one device, does the count take dies for devices, or does the time leave out drafts that were accepted?")
			}
		}
	}
}
