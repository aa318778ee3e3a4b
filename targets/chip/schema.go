package chip

import (
	"strings"
)

// key is one word that a block may hold.
type key struct {
	name   string
	syntax string // how it is written, for help and docs
	doc    string
	// required: the block is wrong without it.
	required bool
	// names is how many words after the key belong to the statement's identity; -1: all up to the first number, -2: all.
	// Two statements of one identity in a block are a mistake; in a file that extends another, the second
	// replaces the first.
	names int
	// inner are the keys of its block; open: its block holds names of the user's choosing; optional: it may go
	// without the block.
	inner          []key
	open, optional bool
	// late: read before the others of the block.
	late bool
	read func(c *cursor, in within)
}

func find(keys []key, name string) *key {
	for i := range keys {
		if keys[i].name == name {
			return &keys[i]
		}
	}
	return nil
}

// identity names what a statement states, such as "memory ub" or "rate f16, f16 -> f32".
func (k *key) identity(s *stmt) string {
	var b strings.Builder
	b.WriteString(k.name)
	for i := 1; i < len(s.Args) && (k.names < 0 || i <= k.names); i++ {
		t := s.Args[i].Tok
		if k.names == -1 && (t.Type == tNumber || t.Type == tWord && isClause(t.Value)) {
			break
		}
		if t.Type != tComma {
			b.WriteByte(' ')
		}
		if t.Type == tString {
			b.WriteString(unquote(t.Value))
		} else {
			b.WriteString(t.Value)
		}
	}
	return b.String()
}

var memoryKeys = []key{
	{name: "doc", syntax: `doc "…"`, doc: "What its own manuals call it and how it behaves.",
		read: func(c *cursor, in within) { in.mem.Doc = c.str("text") }},
	{name: "scope", syntax: "scope card | cluster | core", required: true, doc: "How many there are: one a card, a cluster of cores, a core.",
		read: func(c *cursor, in within) { in.mem.Scope = Scope(c.index("scope", scopeNames)) }},
	{name: "role", syntax: "role ROLE, …", required: true, doc: "What it is for: global (exactly one memory), cache, scratch, matrix_a, matrix_b, accumulator, vector.",
		read: func(c *cursor, in within) {
			c.each(func() { in.mem.Roles = append(in.mem.Roles, c.word("role", Roles)) })
		}},
	{name: "size", syntax: "size NUMBER B|KiB|MB|…", required: true, doc: "Size of one unit.",
		read: func(c *cursor, in within) { c.size(&in.mem.Size, "size") }},
	{name: "bandwidth", syntax: "bandwidth NUMBER GB/s", doc: "Over the whole card; of hits for a cache. Required for the global memory; elsewhere left out when the paths are the limit.",
		read: func(c *cursor, in within) { c.positive(&in.mem.Bandwidth, "bandwidth", dimBytesPerSecond) }},
	{name: "core_rate", syntax: "core_rate NUMBER B/cycle", doc: "What one core draws from it at most, where a source states that apart from the memory's rating; the smaller of the two counts.",
		read: func(c *cursor, in within) { c.positive(&in.mem.CoreRate, "core_rate", dimBytesPerCycle) }},
	{name: "latency", syntax: "latency NUMBER ns|cycles", doc: "From request to first byte, overlapping with further requests; left out when it is nothing beside the paths' start-up.",
		read: func(c *cursor, in within) { c.number(&in.mem.Latency, "latency", dimSeconds) }},
	{name: "align", syntax: "align NUMBER B", doc: "What the addresses of tiles are multiples of. Required unless it is a cache.",
		read: func(c *cursor, in within) {
			var q Quantity
			c.size(&q, "align")
			in.mem.Align = q.Int()
		}},
	{name: "units", syntax: "units NUMBER", doc: "How many of it a core has, one for each unit of its engine; one unless stated.",
		read: func(c *cursor, in within) {
			var q Quantity
			c.count(&q, "units", 1)
			in.mem.Units = q.Int()
		}},
	{name: "caches", syntax: "caches MEMORY", doc: "The memory that a cache stands in front of.",
		read: func(c *cursor, in within) { in.mem.Caches = c.memory() }},
}

var rateKeys = []key{
	{name: "accumulate", syntax: "accumulate NUMBER bit", doc: "Significant bits that the accumulator keeps, where that is less than its format has.",
		read: func(c *cursor, in within) {
			var q Quantity
			c.bits(&q, "accumulate")
			in.rate.AccBits = q.Int()
		}},
	{name: "group", syntax: "group NUMBER", doc: "Products along K that are added at once, aligned to the largest, before the sum is cut.",
		read: func(c *cursor, in within) {
			var q Quantity
			c.count(&q, "group", 1)
			in.rate.AccGroup = q.Int()
		}},
	{name: "scale", syntax: "scale FORMAT NUMBER", doc: "The engine itself can multiply each block of so many products along K by the scales of both operands, in this format.",
		read: func(c *cursor, in within) {
			at := c.here()
			f := c.format()
			if !c.bad && (!f.IsFloat() || f.Bits() > 8) { // longer ones would not leave the product of a sum and two scales exact
				c.fail(codeFormat, at, "scales of blocks are floats of at most 8 bits").Expect("f8e8m0, say", f.String())
			}
			var q Quantity
			c.count(&q, "scale "+f.String(), 1)
			if !c.bad {
				in.rate.Scale, in.rate.ScaleBlock = f, q.Int()
			}
		}},
	{name: "small", syntax: "small MxKxN", doc: "The steps of another instruction on the same formats, which pads little tiles less.",
		read: func(c *cursor, in within) {
			var q Quantity
			in.rate.SmallM, in.rate.SmallK, in.rate.SmallN = c.tile(&q, "small")
		}},
	{name: "small_share", syntax: "small_share NUMBER %", doc: "The part of the rate that the instruction with small steps has.",
		read: func(c *cursor, in within) {
			c.positive(&in.rate.SmallShare, "small_share", dimRatio)
			c.inRange(&in.rate.SmallShare, 0, 1, "a part of the rate, up to 100 %")
		}},
	{name: "promote", syntax: "promote NUMBER", doc: "Elements of K after which a plan adds the accumulator to an f32 sum elsewhere.",
		read: func(c *cursor, in within) {
			var q Quantity
			c.count(&q, "promote", 1)
			in.rate.Promote = q.Int()
		}},
}

var engineKeys = []key{
	{name: "doc", syntax: `doc "…"`, doc: "What its own manuals call it and how it behaves.",
		read: func(c *cursor, in within) { in.eng.Doc = c.str("text") }},
	{name: "kind", syntax: "kind matrix | vector | scalar | dma", required: true, doc: "What it does.",
		read: func(c *cursor, in within) { in.eng.Kind = EngineKind(c.index("kind", kindNames)) }},
	{name: "queue", syntax: "queue NAME", doc: "Engines that share a queue run in its order; its own name unless stated.",
		read: func(c *cursor, in within) { in.eng.Queue, _ = c.name("a name") }},
	{name: "units", syntax: "units NUMBER", doc: "Equal units in a core, over which a vector operation is split by rows; one unless stated.",
		read: func(c *cursor, in within) {
			var q Quantity
			c.count(&q, "units", 1)
			in.eng.Units = q.Int()
		}},
	{name: "a", syntax: "a MEMORY", doc: "Where a matrix engine's left operand is.",
		read: func(c *cursor, in within) { in.eng.A = c.memory() }},
	{name: "b", syntax: "b MEMORY", doc: "Where a matrix engine's right operand is.",
		read: func(c *cursor, in within) { in.eng.B = c.memory() }},
	{name: "acc", syntax: "acc MEMORY", doc: "Where a matrix engine accumulates.",
		read: func(c *cursor, in within) { in.eng.Acc = c.memory() }},
	{name: "mem", syntax: "mem MEMORY, …", doc: "Where a vector or scalar engine works, preferred first.",
		read: func(c *cursor, in within) {
			c.each(func() { in.eng.Mem = append(in.eng.Mem, c.memory()) })
		}},
	{name: "startup", syntax: "startup NUMBER cycles", doc: "Time of an instruction beyond its work; a dma engine's paths have it instead.",
		read: func(c *cursor, in within) { c.number(&in.eng.Startup, "startup", dimCycles) }},
	{name: "rate", names: -1, inner: rateKeys, optional: true,
		syntax: "rate A, B -> ACC NUMBER flop/cycle tile MxKxN, or: rate FORMAT CLASS NUMBER element/cycle, or: rate FORMAT CLASS NUMBER % of FORMAT CLASS",
		doc: "Matrix: flop a cycle and core for operands A and B accumulated in ACC, in steps of MxKxN. " +
			"Vector: elements a cycle and unit for a class of operations: basic, transcendental, divide, reduce, sort; or " +
			"as a part of a rate that stands before it.",
		read: readRate},
	{name: "casts", syntax: "casts FORMAT -> FORMAT, …", doc: "Conversions it can do, at its basic rate for the wider format.",
		read: func(c *cursor, in within) { in.eng.Casts = append(in.eng.Casts, c.pairs()...) }},
	{name: "more_casts", syntax: "more_casts FORMAT -> FORMAT, …", doc: "Conversions beside those of the file that this one extends.",
		read: func(c *cursor, in within) { in.eng.Casts = append(in.eng.Casts, c.pairs()...) }},
}

var pathKeys = []key{
	{name: "engine", syntax: "engine NAME", required: true, doc: "The DMA engine that moves the data.",
		read: func(c *cursor, in within) { in.path.Engine = c.ref("DMA engine") }},
	{name: "rate", syntax: "rate NUMBER B/cycle", required: true, doc: "A core, over all units, on the wider side if it converts.",
		read: func(c *cursor, in within) { c.positive(&in.path.Rate, "rate", dimBytesPerCycle) }},
	{name: "startup", syntax: "startup NUMBER cycles", required: true, doc: "How long a transfer holds the engine beyond its bytes.",
		read: func(c *cursor, in within) { c.number(&in.path.Startup, "startup", dimCycles) }},
	{name: "dims", syntax: "dims NUMBER", required: true, doc: "Dimensions of a strided transfer; at least 2.",
		read: func(c *cursor, in within) {
			var q Quantity
			c.count(&q, "dims", 2)
			in.path.MaxDims = q.Int()
		}},
	{name: "word", syntax: `word "…"`, doc: "The chip's own instruction for it.",
		read: func(c *cursor, in within) { in.path.Word = c.str("an instruction") }},
	{name: "indirect", syntax: "indirect", doc: "One transfer can gather or scatter rows by a list of indices.",
		read: func(_ *cursor, in within) { in.path.Indirect = true }},
	{name: "multicast", syntax: "multicast NUMBER", doc: "How many cores one read of the cache can feed when they ask for the same bytes at once.",
		read: func(c *cursor, in within) {
			var q Quantity
			c.count(&q, "multicast", 1)
			in.path.Multicast = q.Int()
		}},
	{name: "casts", syntax: "casts FORMAT -> FORMAT, …", doc: "Conversions on the way.",
		read: func(c *cursor, in within) { in.path.Casts = c.pairs() }},
}

var linkKeys = []key{
	{name: "scope", syntax: "scope package | node | cluster", required: true, doc: "How far it reaches.",
		read: func(c *cursor, in within) { in.link.Scope = c.word("scope", LinkScopes) }},
	{name: "topology", syntax: "topology mesh | switch | ring | host", required: true, doc: "How the cards are joined.",
		read: func(c *cursor, in within) { in.link.Topology = c.word("topology", Topologies) }},
	{name: "peers", syntax: "peers NUMBER", required: true, doc: "Cards joined, this one included.",
		read: func(c *cursor, in within) {
			var q Quantity
			c.count(&q, "peers", 2)
			in.link.Peers = q.Int()
		}},
	{name: "bandwidth", syntax: "bandwidth NUMBER GB/s [one_way | both_ways]", required: true,
		doc:  "Of a card to all its peers together, one direction; a figure for both directions together says so and is halved.",
		read: readLinkBandwidth},
	{name: "latency", syntax: "latency NUMBER us", required: true, doc: "Of a small message to a peer.",
		read: func(c *cursor, in within) { c.number(&in.link.Latency, "latency", dimSeconds) }},
	{name: "library", syntax: `library "…"`, required: true, doc: "The collective library.",
		read: func(c *cursor, in within) { in.link.Library = c.str("a name") }},
}

var syncKeys = []key{
	{name: "latency", syntax: "latency NUMBER cycles", required: true, doc: "From a signal on a queue to the start of what waits for it on another of the core.",
		read: func(c *cursor, in within) { c.number(&in.chip.SyncLatency, "latency", dimCycles) }},
	{name: "signal", syntax: `signal "…"`, required: true, doc: "The chip's word for signalling another queue.",
		read: func(c *cursor, in within) { in.chip.Sync.Signal = c.str("a word") }},
	{name: "wait", syntax: `wait "…"`, required: true, doc: "The chip's word for waiting for a signal.",
		read: func(c *cursor, in within) { in.chip.Sync.Wait = c.str("a word") }},
	{name: "barrier", syntax: `barrier "…"`, required: true, doc: "The chip's word for a barrier over all cores.",
		read: func(c *cursor, in within) { in.chip.Sync.Barrier = c.str("a word") }},
	{name: "launch", syntax: `launch "…"`, required: true, doc: "The chip's word for starting a kernel.",
		read: func(c *cursor, in within) { in.chip.Sync.Launch = c.str("a word") }},
}

var diesKeys = []key{
	{name: "numbers", syntax: "numbers die | package", required: true, doc: "Whether cores, card memories, peaks and reached rates stand here for one die or for the package.",
		read: func(c *cursor, in within) { in.dies.PerDie = c.word("level", []string{"die", "package"}) == "die" }},
	{name: "bandwidth", syntax: "bandwidth NUMBER GB/s [one_way | both_ways]", required: true, doc: "From a die to the others, one direction.",
		read: func(c *cursor, in within) { c.oneWay(&in.dies.Bandwidth, "bandwidth") }},
	{name: "latency", syntax: "latency NUMBER ns", required: true, doc: "What an access to another die's memory takes longer.",
		read: func(c *cursor, in within) { c.number(&in.dies.Latency, "latency", dimSeconds) }},
	{name: "local", syntax: "local NUMBER %", required: true, doc: "Part of the memory traffic that stays within its die.",
		read: func(c *cursor, in within) {
			c.number(&in.dies.Local, "local", dimRatio)
			c.inRange(&in.dies.Local, 0, 1, "a part of the traffic, 0 to 100 %")
		}},
}

var contestedKeys = []key{
	{name: "also", syntax: "also NUMBER UNIT", names: -2, required: true, doc: "Another figure, and who gives it.",
		read: readAlso},
	{name: "why", syntax: `why "…"`, required: true, doc: "Why the number that stands in the file was taken.",
		read: func(c *cursor, in within) { in.contest.Why = c.str("the reason") }},
}

var precisionKeys = []key{
	{name: "weight", syntax: "weight FORMAT", required: true, doc: "The format that matrix weights are stored in."},
	{name: "activation", syntax: "activation FORMAT", required: true, doc: "The format of the operand beside them."},
	{name: "rate", syntax: "rate A, B -> ACC", required: true, doc: "The matrix rate that is used: A for activations, B for weights."},
}

var chipKeys []key

// blocks are the blocks of the language by name, for messages and docs.
var blocks []struct {
	name string
	keys []key
}

func init() {
	chipKeys = []key{
		{name: "extends", syntax: `extends "NAME"`, doc: "Takes over another file, next to this one or shipped; statements here replace those of the same name there. A file with other cores or another clock takes over no quoted peaks, reached rates, contested numbers and answers.",
			read: func(c *cursor, _ within) { c.name("the name of a chip") }},
		{name: "doc", syntax: `doc "…"`, doc: "What the chip is, for people.",
			read: func(c *cursor, in within) { in.chip.Doc = c.str("text") }},
		{name: "vendor", syntax: `vendor "…"`, required: true, doc: "Who makes it.",
			read: func(c *cursor, in within) { in.chip.Vendor = c.str("a name") }},
		{name: "variant", syntax: `variant "…"`, doc: "Which of several products of the name is meant, and why.",
			read: func(c *cursor, in within) { in.chip.Variant = c.str("text") }},
		{name: "year", syntax: "year NUMBER", required: true, doc: "When it was first sold.",
			read: func(c *cursor, in within) {
				var q Quantity
				c.count(&q, "year", 1990)
				in.chip.Year = q.Int()
			}},
		{name: "family", syntax: "family decoupled | simt | simd | dataflow", required: true, doc: "How kernels execute.",
			read: func(c *cursor, in within) { in.chip.Family = Family(c.index("family", familyNames)) }},
		{name: "sources", syntax: `sources { NAME CONFIDENCE "…" }`, open: true, late: true, doc: "Citations, to be named beside numbers.",
			read: readSources},
		{name: "clock", syntax: "clock NUMBER GHz", required: true, late: true, doc: "Clock of the cores; what a cycle is.",
			read: func(c *cursor, in within) {
				c.positive(&in.chip.Clock, "clock", dimHertz)
				c.inRange(&in.chip.Clock, 1e6, 1e11, "1 MHz to 100 GHz")
				if !c.bad {
					c.r.clock = in.chip.Clock.Value
				}
			}},
		{name: "cores", syntax: "cores NUMBER", required: true, doc: "Equal cores of the card.",
			read: func(c *cursor, in within) { c.count(&in.chip.Cores, "cores", 1) }},
		{name: "power", syntax: "power NUMBER W", doc: "Rated power of the card.",
			read: func(c *cursor, in within) { c.positive(&in.chip.Power, "power", dimWatt) }},
		{name: "width", syntax: "width NUMBER", doc: "Lanes that execute one instruction together: a warp or wave, 1 where there is none. A row is added up in as many partial sums, which are then added in halves.",
			read: func(c *cursor, in within) { c.count(&in.chip.Width, "width", 1) }},
		{name: "lanes", syntax: "lanes NUMBER", doc: "Lanes that a core holds at once, over all its warps or waves; where kernels run on lanes.",
			read: func(c *cursor, in within) { c.count(&in.chip.Lanes, "lanes", 1) }},
		{name: "devices", syntax: "devices NUMBER", doc: "How many of what the file describes are on one card, each a rank of its own; one unless stated.",
			read: func(c *cursor, in within) {
				var q Quantity
				c.count(&q, "devices", 1)
				in.chip.Devices = q.Int()
			}},
		{name: "dies", syntax: "dies NUMBER { … }", inner: diesKeys, doc: "Dies of the package, and what joins them.",
			read: readDies},
		{name: "configure", syntax: "configure NUMBER us", doc: "What a launch takes longer when its kernel is not that of the launch before: a spatial array is laid out anew.",
			read: func(c *cursor, in within) { c.number(&in.chip.Configure, "configure", dimSeconds) }},
		{name: "launch", syntax: "launch NUMBER us", required: true, doc: "From one kernel's end to the next one's start when both are queued.",
			read: func(c *cursor, in within) { c.number(&in.chip.Launch, "launch", dimSeconds) }},
		{name: "barrier", syntax: "barrier NUMBER us", required: true, doc: "A barrier over all cores inside a kernel.",
			read: func(c *cursor, in within) { c.number(&in.chip.Barrier, "barrier", dimSeconds) }},
		{name: "subnormals", syntax: "subnormals keep | flush", required: true, doc: "Whether vector arithmetic keeps subnormals or takes them as zero.",
			read: func(c *cursor, in within) {
				in.chip.FlushSubnormals = c.word("treatment", []string{"keep", "flush"}) == "flush"
			}},
		{name: "sync", syntax: "sync { … }", required: true, inner: syncKeys, doc: "The chip's words for synchronisation and what it costs.",
			read: func(c *cursor, in within) {
				c.r.block(syncKeys, c.s.Block.Stmts, within{name: "sync", chip: in.chip}, c.s.line())
			}},
		{name: "words", syntax: `words { NEUTRAL "OWN" … }`, open: true, doc: "The chip's own words for instructions and memories in a plan's text.",
			read: readWords},
		{name: "memory", syntax: "memory NAME { … }", required: true, names: 1, inner: memoryKeys, doc: "A memory.",
			read: readMemory},
		{name: "engine", syntax: "engine NAME { … }", required: true, names: 1, inner: engineKeys, doc: "An engine of a core.",
			read: readEngine},
		{name: "path", syntax: "path MEMORY -> MEMORY { … }", required: true, names: 3, inner: pathKeys, doc: "A way for data.",
			read: readPath},
		{name: "link", syntax: "link NAME { … }", names: 1, inner: linkKeys, doc: "What joins cards.",
			read: readLink},
		{name: "precision", syntax: "precision NAME { weight F  activation F  rate A, B -> ACC }", names: 1, inner: precisionKeys,
			doc:  "How --precision NAME is done, where it is not as the rates say: f32, tf32, hf32, bf16, f16, fp8, w8a8.",
			read: readPrecision},
		{name: "auto", syntax: "auto PRECISION, …", doc: "What --precision auto tries, in order; bf16, f16, f32 unless stated.",
			read: readAuto},
		{name: "derate", syntax: "derate memory|engine|path|link|latency NAME NUMBER %, or: derate launch NUMBER %", names: -1,
			doc:  "Measured part of a peak; of a latency or the launch, the stated time over the measured one.",
			read: readDerate},
		{name: "peak", syntax: "peak FORMAT NUMBER TFLOPS|TOPS [dense | sparse] [of die|device|card] [at NUMBER GHz]", names: 1,
			doc:  "A peak that is quoted; held against the rates. Dense and of the device unless it says otherwise; at the clock it was rated at.",
			read: readPeak},
		{name: "reached", syntax: "reached FORMAT NUMBER TFLOPS|TOPS, or: reached memory|link NAME NUMBER GB/s", names: -1,
			doc:  "A rate that was measured; it cannot be above the peak.",
			read: readReached},
		{name: "contested", syntax: `contested "NUMBER'S NAME" { also NUMBER UNIT …  why "…" }`, names: 1, inner: contestedKeys, late: true,
			doc:  "Sources contradict one another about a number: what else they say, and why it was not taken.",
			read: readContested},
		servedKey,
		{name: "accept", syntax: `accept CODE "reason"`, names: 1, doc: "Answers a doubt that apogee check has about the file.",
			read: readAccept},
		{name: "lacks", syntax: "lacks FORMAT, …", doc: "Formats and features it does not have.",
			read: func(c *cursor, in within) {
				c.each(func() {
					n, _ := c.name("a format or feature")
					in.chip.Lacks = append(in.chip.Lacks, n)
				})
			}},
	}
	blocks = []struct {
		name string
		keys []key
	}{
		{"chip", chipKeys}, {"memory", memoryKeys}, {"engine", engineKeys}, {"rate", rateKeys}, {"path", pathKeys},
		{"dies", diesKeys}, {"link", linkKeys}, {"sync", syncKeys}, {"precision", precisionKeys},
		{"contested", contestedKeys}, {"served", servedKeys},
	}
}

// Keyword is a word of the language, for its reference page.
type Keyword struct {
	// Block is where it stands: chip, memory, engine, rate, path, dies, link, sync, precision, contested or served; system or host
	// in the file of a system.
	Block string
	// Name, Syntax and Doc say what it is; Required, that a block is wrong without it.
	Name, Syntax, Doc string
	Required          bool
}

// Keywords lists the language's words, block by block.
func Keywords() []Keyword {
	out := []Keyword{{Block: "chip", Name: "without", Syntax: "without KEY NAME", Doc: "In a file that extends another: takes a statement of that one away."}}
	all := append(blocks[:len(blocks):len(blocks)], struct {
		name string
		keys []key
	}{"system", systemKeys}, struct {
		name string
		keys []key
	}{"host", hostKeys})
	for _, b := range all {
		for _, k := range b.keys {
			out = append(out, Keyword{b.name, k.name, k.syntax, k.doc, k.required})
		}
	}
	return out
}

// Units lists the language's units, sorted by name.
func Units() []string {
	var out []string
	for d := range dims {
		if d != dimTime && d != dimCycles {
			out = append(out, unitsOf(d)...)
		}
	}
	return sortedUnique(out)
}
