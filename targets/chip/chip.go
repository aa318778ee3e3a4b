package chip

import (
	"apogee/ir/diag"
	"apogee/ir/format"
)

// Chip is the description of one accelerator card as software sees it. It is read-only after [Load].
type Chip struct {
	// Name is the name of the file without ".chip", such as "ascend-910b".
	Name string
	// Vendor, Doc and Variant are for people; Variant says which of several products of one name is meant.
	Vendor, Doc, Variant string
	// Year is when it was first sold.
	Year int
	// Family is how kernels execute.
	Family Family

	// Clock is the clock of the cores in Hz; every "cycle" in the description is one of it.
	Clock Quantity
	// Cores is how many equal cores the card has. A core is what owns one set of the core-scope memories
	// and engines.
	Cores Quantity
	// Power is the card's rated power in W; not stated when unknown.
	Power Quantity
	// Width is how many lanes execute one instruction together: a warp or wave of a simt chip, a vector register of f32 of
	// others. Work on fewer elements takes as long as on this many, and a row is added up in as many partial sums; see [Chip.FoldLanes].
	// Not stated where it does not matter.
	Width Quantity
	// Lanes is how many lanes a core holds at once, over all its warps or waves. Not stated where kernels do not run on lanes.
	Lanes Quantity
	// Devices is how many of what the file describes are on one card, each a rank of its own; 1 unless stated.
	Devices int
	// Dies is what joins the dies of the package, nil where there is one die. Where the file gives the numbers of one die,
	// [Load] has multiplied cores and card memories: the fields here are of the whole package.
	Dies *Dies

	// Memories, Engines, Paths and Links are in the file's order.
	Memories []*Memory
	Engines  []*Engine
	Paths    []*Path
	Links    []*Link

	// Launch is the time from one kernel's end to the next one's start when both are queued, in s.
	Launch Quantity
	// Configure is the time, in s, that a launch takes longer when its kernel is not that of the launch before: a spatial
	// array is laid out anew. Not stated where kernels are only dispatched.
	Configure Quantity
	// Barrier is the time of a barrier over all cores inside a kernel, in s.
	Barrier Quantity
	// SyncLatency is the time between a signal on one queue and the start of what waits for it on another
	// queue of the same core, in cycles.
	SyncLatency Quantity
	// Sync has the chip's own words for synchronisation.
	Sync SyncWords
	// Words maps a plan's neutral words to the chip's own, such as "dma_in" to "copy_gm_to_ubuf". Use
	// [Chip.Word] to look one up.
	Words map[string]string

	// FlushSubnormals says that vector arithmetic takes and gives subnormals as zero.
	FlushSubnormals bool
	// Precisions are what --precision may say for this chip; see [Precision].
	Precisions []Precision
	// Derates are the measured parts of the peaks that are reached.
	Derates []Derate
	// Peaks are the peaks that the vendor quotes; [Check] holds them against the rates.
	Peaks []Peak
	// Reached is what was measured on the chip; [Check] holds it against the peaks, and nothing computes with it.
	Reached []Reached
	// Contested are numbers about which sources contradict one another.
	Contested []Contested
	// Served are published rates of serving models on it.
	Served []Served
	// Accepts are the doubts of [Check] that the file answers.
	Accepts []Accept
	// Lacks lists formats and features that the chip does not have, in its makers' or the field's words.
	Lacks []string
	// Sources are the citations that the file declares, by name.
	Sources []Source
	// Facts is every number of the description with its provenance, in the file's order, those included
	// that the fields above hold as plain integers (tiles, units, alignments).
	Facts []Fact
	// File is the text the description was read from: the outermost when it extends others.
	File *diag.Source
	// Range is where the chip's name stands in it.
	Range diag.Range
	// files are File and those it extends, outermost first.
	files []*diag.Source
}

// Family is how kernels execute on a chip.
type Family uint8

const (
	// Decoupled: explicit DMA queues, flags, private buffers.
	Decoupled Family = iota + 1
	// SIMT: a grid of blocks on cores with shared memory and a matrix unit.
	SIMT
	// SIMD: cores with vector registers and caches.
	SIMD
	// Dataflow: a spatial array.
	Dataflow
)

var familyNames = []string{"", "decoupled", "simt", "simd", "dataflow"}

// String gives the word as it is written in a chip file.
func (f Family) String() string { return nameOf(familyNames, int(f)) }

// Scope says how many of a memory there are.
type Scope uint8

const (
	// Card: one, shared by all cores.
	Card Scope = iota + 1
	// Cluster: one a group of cores.
	Cluster
	// Core: one (or [Memory.Units]) a core.
	Core
)

var scopeNames = []string{"", "card", "cluster", "core"}

// String gives the word as it is written in a chip file.
func (s Scope) String() string { return nameOf(scopeNames, int(s)) }

// The roles of memories, see [Memory.Roles].
const (
	// RoleGlobal holds weights, inputs, outputs and states; exactly one memory has it.
	RoleGlobal = "global"
	// RoleCache is managed by hardware in front of [Memory.Caches]; plans do not address it.
	RoleCache = "cache"
	// RoleScratch stages tiles between global memory and the memories of the engines.
	RoleScratch = "scratch"
	// RoleMatrixA and RoleMatrixB hold the left and right operand tiles of a matrix engine.
	RoleMatrixA = "matrix_a"
	RoleMatrixB = "matrix_b"
	// RoleAccumulator holds the result tiles of a matrix engine.
	RoleAccumulator = "accumulator"
	// RoleVector holds the tiles that a vector engine reads and writes.
	RoleVector = "vector"
)

// Roles lists all roles.
var Roles = []string{RoleGlobal, RoleCache, RoleScratch, RoleMatrixA, RoleMatrixB, RoleAccumulator, RoleVector}

// Memory is one kind of memory.
type Memory struct {
	Name  string
	Scope Scope
	// Size is in bytes, of one unit.
	Size Quantity
	// Bandwidth is in B/s over the whole card; not stated when it is not the limit (the paths are). For a
	// cache it is the bandwidth of hits. Where the cores together take less than the memory's rating (see
	// CoreRate), it is what they take.
	Bandwidth Quantity
	// CoreRate is what one core can draw from it, in B/cycle, where a source states that apart from the rating of the memory.
	CoreRate Quantity
	// Rated is the memory's own rating, before the cores' limit; equal to Bandwidth when that is no limit.
	Rated Quantity
	// Latency is from request to first byte, in s, and overlaps with further requests; not stated when it is
	// nothing beside the paths' start-up.
	Latency Quantity
	// Align is what the addresses of tiles and buffers in this memory are multiples of, in bytes; at least 1.
	Align int
	// Roles are what it is for.
	Roles []string
	// Units is how many of it a core has, one for each unit of the engine that works in it; at least 1.
	Units int
	// Caches names the memory that a cache stands in front of; "" otherwise.
	Caches string
	// Doc is what its own manuals call it and how it behaves.
	Doc   string
	Range diag.Range
}

// Is says whether the memory has a role.
func (m *Memory) Is(role string) bool {
	for _, r := range m.Roles {
		if r == role {
			return true
		}
	}
	return false
}

// EngineKind is what an engine does.
type EngineKind uint8

const (
	// Matrix multiplies tiles.
	Matrix EngineKind = iota + 1
	// Vector works on elements.
	Vector
	// Scalar computes addresses and issues to the others.
	Scalar
	// DMA moves tiles between memories.
	DMA
)

var kindNames = []string{"", "matrix", "vector", "scalar", "dma"}

// String gives the word as it is written in a chip file.
func (k EngineKind) String() string { return nameOf(kindNames, int(k)) }

// Engine is one engine of a core.
type Engine struct {
	Name string
	Kind EngineKind
	// Queue names the queue its instructions are issued from; engines that share one run in its order, one
	// instruction after the other. The engine's own name unless the file says otherwise.
	Queue string
	// Units is how many equal units the engine has in a core; a vector tile operation is split over them by
	// rows. At least 1.
	Units int
	// A, B and Acc name the memories of a matrix engine's operands and result; "" for other kinds.
	A, B, Acc string
	// Mem names the memories that a vector or scalar engine works in, preferred first.
	Mem []string
	// Startup is how long one instruction takes beyond its work, in cycles; not stated for a DMA engine, whose
	// paths have it.
	Startup Quantity
	// Matrix has a matrix engine's rates, one a combination of formats.
	Matrix []MatrixRate
	// Vector has a vector or scalar engine's rates, one a format and class of operation.
	Vector []VectorRate
	// Casts are the conversions it can do, at the "basic" rate of the wider of both formats that has one.
	Casts []FormatPair
	Doc   string
	Range diag.Range
}

// MatrixRate is what a matrix engine does with one combination of formats.
type MatrixRate struct {
	// A and B are the operands' formats, Acc the accumulator's.
	A, B, Acc format.Format
	// M, K and N are the granularity of one step: a tile is padded up to multiples of them.
	M, K, N int
	// SmallM, SmallK and SmallN are the steps of another instruction on the same formats, which pads little tiles less, and SmallShare is
	// the part of the rate that it has; 0 when there is none.
	SmallM, SmallK, SmallN int
	SmallShare             Quantity
	// FlopsPerCycle is per core over all units; a multiply-add counts two.
	FlopsPerCycle Quantity
	// AccBits is how many significant bits the accumulator keeps; 0 when it keeps all of Acc's.
	AccBits int
	// AccGroup is how many products along K are added at once, aligned to the largest of them and the
	// accumulator, before the sum is cut to AccBits; 0 when the engine adds one by one or it does not matter.
	AccGroup int
	// Scale is the format of the scales that the engine itself multiplies each block of ScaleBlock products along K
	// with, one of each operand's; Invalid and 0 when it knows no scales.
	Scale      format.Format
	ScaleBlock int
	// Promote is after how many elements of K a plan should add the accumulator to a running f32 sum
	// elsewhere and start anew; 0 never.
	Promote int
	Range   diag.Range
}

// OpClass is a class of vector operations with one rate.
type OpClass string

const (
	// Basic: add, subtract, multiply, multiply-add (one element counts once), compare, select, min, max,
	// and, or, shift, cast, copy.
	Basic OpClass = "basic"
	// Transcendental: exp, log, tanh, sin, erf, rsqrt, sqrt.
	Transcendental OpClass = "transcendental"
	// Divide: division, remainder, reciprocal.
	Divide OpClass = "divide"
	// Reduce: sum, max along a row; elements read.
	Reduce OpClass = "reduce"
	// Sort: sorting and top-k; elements read, a pass.
	Sort OpClass = "sort"
)

// OpClasses lists all classes.
var OpClasses = []OpClass{Basic, Transcendental, Divide, Reduce, Sort}

// VectorRate is how fast a vector engine works on one format.
type VectorRate struct {
	Format format.Format
	Op     OpClass
	// ElementsPerCycle is of one unit.
	ElementsPerCycle Quantity
	Range            diag.Range
}

// FormatPair is a conversion.
type FormatPair struct {
	From, To format.Format
}

// Path is a way for data from one memory to another.
type Path struct {
	// From and To name memories.
	From, To string
	// Engine names the DMA engine (and with it the queue) that moves the data.
	Engine string
	// Rate is in B/cycle per core over all units, counted on the wider side if the path converts.
	Rate Quantity
	// Startup is how long one transfer holds the engine beyond its bytes, in cycles. It does not hold the latency
	// of a memory that states one: that overlaps with other transfers.
	Startup Quantity
	// Word is the chip's own instruction for it, such as "copy_gm_to_ubuf"; may be empty.
	Word string
	// MaxDims is how many dimensions one strided transfer can have; at least 2.
	MaxDims int
	// Indirect says that rows can be gathered or scattered by a list of indices in one transfer.
	Indirect bool
	// Multicast is how many cores one read of the cache can feed when they ask for the same bytes at once; 0 and 1 none.
	Multicast int
	// Casts are the conversions it does on the way.
	Casts []FormatPair
	Range diag.Range
}

// Link joins cards.
type Link struct {
	Name string
	// Scope is how far it reaches: "package", "node" or "cluster".
	Scope string
	// Topology is one of [Topologies].
	Topology string
	// Peers is how many cards it joins, this one included.
	Peers int
	// Bandwidth is of one card to all its peers together, one direction, in B/s.
	Bandwidth Quantity
	// Latency is of a small message to a peer, in s.
	Latency Quantity
	// Library is the collective library, such as "NCCL".
	Library string
	Range   diag.Range
}

// Topologies lists the words for [Link.Topology]: every pair has a cable; through a switch; neighbours in a
// circle; through a host.
var Topologies = []string{"mesh", "switch", "ring", "host"}

// LinkScopes lists the words for [Link.Scope].
var LinkScopes = []string{"package", "node", "cluster"}

// SyncWords are the chip's own words for synchronisation, such as "set_flag" for Signal.
type SyncWords struct {
	// Signal and Wait are between queues of a core, Barrier is over all cores, Launch starts a kernel.
	Signal, Wait, Barrier, Launch string
}

// Precision is a way to run a model's matrix products, chosen by --precision.
type Precision struct {
	// Name is one of PrecisionNames.
	Name string
	// Weight is the format that matrix weights are stored in, Activation that of the operand beside them.
	Weight, Activation format.Format
	// A, B and Acc are the matrix rate that is used: A for activations, B for weights.
	A, B, Acc format.Format
	// MX says that both operands are blocks along K with f8e8m0 scales, of as many elements as the engine takes ([Chip.ScaleBlock]).
	MX bool
	// Auto is the place in the order in which --precision auto tries, from 1; 0 when auto never takes it.
	Auto  int
	Range diag.Range
}

// PrecisionNames lists the words for [Precision.Name].
var PrecisionNames = []string{"f32", "tf32", "hf32", "bf16", "f16", "fp8", "hif8", "mxfp8", "mxfp4", "w8a16", "w8a8"}

// Derate is the part of a peak that was measured to be reached.
type Derate struct {
	// What names the thing: "memory gm", "engine cube", "path gm -> l1" or "link hccs"; "latency gm" and "launch" for times.
	What string
	// Factor is between 0 and 1; for times it is the stated time over the measured one, up to 4.
	Factor Quantity
}

// Peak is a peak quoted by the vendor.
type Peak struct {
	// Format is of the operands.
	Format format.Format
	// FlopsPerSecond is as quoted; a multiply-add counts two.
	FlopsPerSecond Quantity
	// Sparse: half of the operands' elements are zeros that are skipped, which is no part of any time here.
	Sparse bool
	// Of is what it is quoted for: "die", "device" (what the file describes, one rank) or "card".
	Of string
	// Clock is the clock it was rated at, in Hz, where that is not the chip's.
	Clock Quantity
	Range diag.Range
}

// PeakOf lists the words for [Peak.Of].
var PeakOf = []string{"die", "device", "card"}

// Dies says what joins the dies of a package.
type Dies struct {
	// Count is how many there are.
	Count int
	// PerDie says that the file gives cores, card memories, peaks and reached rates of one die.
	PerDie bool
	// Bandwidth is from one die to the others, in B/s; Latency is what a memory access to another die takes longer, in s.
	Bandwidth, Latency Quantity
	// Local is the part of the memory traffic that stays within its die, between 0 and 1.
	Local Quantity
	Range diag.Range
}

// Reached is a result measured on the chip.
type Reached struct {
	// What is "peak FORMAT" or names a memory or link, as in [Derate.What].
	What string
	// Value is in flop/s or B/s.
	Value Quantity
	Range diag.Range
}

// Contested names a number about which sources contradict one another.
type Contested struct {
	// Fact is the name of the number, as in [Chip.Facts].
	Fact string
	// Also are the figures that were not taken, Why says why not.
	Also  []Quantity
	Why   string
	Range diag.Range
}

// Accept answers a doubt of [Check].
type Accept struct {
	// Code is the doubt's, such as CHIP037.
	Code   string
	Reason string
	Range  diag.Range
}

// Source is a citation that a chip file declares once and names beside its numbers.
type Source struct {
	Name       string
	Confidence Confidence
	Text       string
	Range      diag.Range
}

func nameOf(names []string, i int) string {
	if i > 0 && i < len(names) {
		return names[i]
	}
	return "unknown"
}
