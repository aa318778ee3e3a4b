package clock

import (
	"fmt"
	"math"

	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/targets/chip"
)

// Lanes is a kernel as libraries write it for chips whose cores hold many lanes: a grid of blocks, each lane going through its
// elements a few bytes at a time, waiting for what it loads. Such a kernel reaches what its loads on the way allow, not what the memory
// could give; [RunLanes] times it. What Apogee compiles is a plan, and timed by [Run].
type Lanes struct {
	// Blocks is the grid, Threads the lanes of a block.
	Blocks, Threads int64
	// PerCore bounds the blocks that a core holds, beyond what its lanes allow; 0 does not.
	PerCore int64
	// Rounds are what a lane goes through, one after the other.
	Rounds []Round
	// Read and Write are the different bytes of the launch, Again those that are read once more.
	Read, Write, Again float64
	// Warm says that the kernel ran just before on the same data, so that the cache holds what it can, as in a benchmark's loop.
	Warm bool
}

// Round is a stretch of a lane's work.
type Round struct {
	// Times is how often it is repeated, one after the other.
	Times int64
	// Loads is how many loads of a time wait for one another; loads side by side count as one.
	Loads int
	// Cached says that what it loads was loaded before in this launch, and is in the cache.
	Cached bool
	// Ops are the instructions of a lane in one time.
	Ops float64
	// Bytes are what a lane moves from and to global memory in one time.
	Bytes float64
	// Syncs are barriers of the block at the end of the round.
	Syncs int
}

// LaneTime is how long a lane kernel takes, and what bound it.
type LaneTime struct {
	Seconds float64
	// By divides Seconds among reasons.
	By map[Reason]float64
	// Waves is how many times the cores are filled with blocks.
	Waves float64
	// Assumed are the chip's numbers that went into it and that nobody published.
	Assumed []Assumption
}

// What a block costs beside its loads and instructions, in cycles. Both are orders of magnitude that hold for every chip whose library
// kernels were looked at: a block's start is some register writes a warp and a first instruction fetch; a sum over a block is five steps
// of shuffles, twice, around two barriers.
const (
	blockCycles = 300
	syncCycles  = 200
)

// The cache keeps what a launch before touched: all of it up to warmFull of its size, none from warmNone on, in between in part. A cache
// in slices with hashed addresses and no strict order of eviction does not hold its whole size.
const (
	warmFull = 0.65
	warmNone = 0.90
)

// Warmth is the part of so many bytes that a cache of a size still holds when they are touched again and again.
func Warmth(bytes, size float64) float64 {
	if size <= 0 || bytes <= 0 {
		return 0
	}
	return min(1, max(0, (warmNone-bytes/size)/(warmNone-warmFull)))
}

// RunLanes times a lane kernel. Blocks fill the cores in waves: as many at once as the lanes of a core and the kernel allow. A wave takes
// each round's latencies and the instructions of all its lanes; all waves together take at least what memory and cache need for the bytes.
// The error is a diagnostic: the chip states no lanes, or no rate for vector work.
func RunLanes(k *Lanes, c *chip.Chip) (*LaneTime, error) {
	m := &machine{c: c, hz: c.Clock.Value, used: map[string]chip.Quantity{}}
	if !c.Lanes.Stated() || m.hz <= 0 {
		return nil, diag.Errorf(codeChip, diag.Range{}, "%s states no lanes a core, so no kernel of lanes can be timed on it", c.Name)
	}
	e, r, ok := c.Vector(format.F32, chip.Basic)
	if !ok || !(r.ElementsPerCycle.Value > 0) {
		return nil, diag.Errorf(codeRate, diag.Range{}, "%s has no rate for basic operations on f32", c.Name)
	}
	if k.Blocks < 1 || k.Threads < 1 || len(k.Rounds) == 0 {
		return nil, fmt.Errorf("a kernel of lanes needs blocks, lanes and rounds")
	}
	m.use("clock", c.Clock)
	cores := m.use("cores", c.Cores)
	lanes := m.use("lanes", c.Lanes)
	issue := m.use("engine "+e.Name+": rate f32 basic", r.ElementsPerCycle) * float64(max(e.Units, 1)) * m.derate("engine", e.Name)
	cycle := 1 / m.hz
	mem := c.Global()
	cache := c.CacheOf(mem.Name)
	memLat, cacheLat := m.use("memory "+mem.Name+": latency", mem.Latency)/m.derate("latency", mem.Name), 0.0
	memRate := m.use("memory "+mem.Name+": bandwidth", mem.Bandwidth) * m.derate("memory", mem.Name)
	cacheRate, size := math.Inf(1), 0.0
	if cache != nil {
		cacheLat, size = m.use("memory "+cache.Name+": latency", cache.Latency)/m.derate("latency", cache.Name), m.use("memory "+cache.Name+": size", cache.Size)
		if cache.Bandwidth.Stated() {
			cacheRate = m.use("memory "+cache.Name+": bandwidth", cache.Bandwidth) * m.derate("memory", cache.Name)
		}
	}
	hit := 0.0
	if k.Warm {
		hit = Warmth(k.Read+k.Write, size)
	}

	held := max(1, int64(lanes)/k.Threads)
	if k.PerCore > 0 {
		held = min(held, k.PerCore)
	}
	// Lanes that a core really holds, in a full wave and when there are fewer blocks.
	full := float64(min(held, (k.Blocks+int64(cores)-1)/int64(cores)) * k.Threads)
	waves := math.Ceil(float64(k.Blocks) / (cores * float64(held)))
	latency, work := 0.0, 0.0
	for _, r := range k.Rounds {
		lat := memLat*(1-hit) + cacheLat*hit
		if r.Cached {
			lat = cacheLat
		}
		latency += float64(r.Times)*float64(r.Loads)*lat + float64(r.Syncs)*syncCycles*cycle
		work += float64(r.Times) * r.Ops * full / issue * cycle
	}
	latency += blockCycles * cycle
	block := latency + work
	launch := m.use("launch", c.Launch) / m.derate("launch", "")
	moved := (k.Read + k.Write) * (1 - hit) / memRate
	cached := (k.Read + k.Write + k.Again) / cacheRate
	out := &LaneTime{By: map[Reason]float64{Launch: launch}, Waves: waves}
	switch by := waves * block; {
	case moved+latency >= by && moved >= cached:
		out.By[Memory], out.By[Latency] = moved, latency
	case cached+latency >= by:
		out.By[Cache], out.By[Latency] = cached, latency
	default:
		out.By[Latency], out.By[Vector] = waves*latency, waves*work
	}
	for r := Reason(0); r < NumReasons; r++ {
		out.Seconds += out.By[r]
	}
	out.Assumed = m.assumed()
	return out, nil
}
