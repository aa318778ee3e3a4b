package exec

import (
	"math"
	"runtime"
	"slices"
	"sync"

	"apogee/targets/bind"
	"apogee/targets/chip"
	"apogee/targets/plan"
	"apogee/targets/sim/kernels"
	"apogee/targets/sim/load"
)

// Weights finds tensors by name.
type Weights = load.Weights

// Options say how plans are run. The zero value is a good choice.
type Options struct {
	// Workers is how many cores of the chip are played at once; 0 takes GOMAXPROCS. Results do not depend on it.
	Workers int
	// MemoryLimit bounds the bytes that a machine takes for buffers and core memories beside the weights; 0 is what this computer
	// has. Memory that a run does not touch costs nothing on most systems.
	MemoryLimit int64
	// PackLimit bounds the bytes of weights that are kept packed for matrix products beside the weights themselves; 0 is 4 GiB,
	// negative is none. Weights beyond it are packed anew each time.
	PackLimit int64
	// MaxInstructions bounds what a core does in one launch, for plans that nobody trusts; 0 is no limit.
	MaxInstructions int64
	// Guard watches for what silicon does not report: see package guard. It costs some microseconds a tile that is not dense, less else.
	Guard bool
	// Order is the order in which queues do what is issued to them; nil is the order of issue.
	Order Order
	// VerifyHash compares weights with the hashes in the plan when they are loaded.
	VerifyHash bool
}

// guessedMemory stands for a computer's memory when it does not say.
const guessedMemory = 16 << 30

// Device is a simulated card: a chip, the weights and the states in its memory. Machines on one device share both by buffer name.
// Runs on one device take turns.
type Device struct {
	chip    *chip.Chip
	vocab   plan.Vocab
	weights Weights
	opt     Options

	mu     sync.Mutex
	loaded map[string]*weight
	states map[string]*state
	cores  []*core
	mems   []plan.Memory // of the cores
	packs  packs
	lefts  lefts
}

// weight is a weight buffer of one or more plans.
type weight struct {
	buf  *plan.Buffer
	src  *load.Source
	data []byte // nil until loaded
}

type state struct {
	buf  *plan.Buffer
	data []byte
}

// NewDevice makes a card without anything in its memory. w may be nil when no plan needs weights.
func NewDevice(c *chip.Chip, w Weights, opt Options) *Device {
	if opt.Workers <= 0 {
		opt.Workers = runtime.GOMAXPROCS(0)
	}
	if opt.MemoryLimit <= 0 {
		opt.MemoryLimit = hostMemory()
	}
	if opt.MaxInstructions <= 0 {
		opt.MaxInstructions = math.MaxInt64
	}
	if opt.PackLimit == 0 {
		opt.PackLimit = 4 << 30
	}
	return &Device{chip: c, vocab: bind.Vocab(c), weights: w, opt: opt, loaded: map[string]*weight{}, states: map[string]*state{},
		packs: packs{all: map[packKey]*pack{}, ints: map[packKey]*kernels.Int8B{}, limit: opt.PackLimit}, lefts: lefts{all: map[leftKey]*leftPack{}}}
}

// ResetStates sets all states to zero.
func (d *Device) ResetStates() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.states {
		s.data = alloc(s.buf.Size)
	}
}

// borrow makes sure that the device's cores have the memories that a plan wants.
func (d *Device) borrow(p *plan.Plan) error {
	if !slices.Equal(d.mems, p.Memories) {
		d.cores, d.mems = nil, slices.Clone(p.Memories)
	}
	for len(d.cores) < d.opt.Workers {
		d.cores = append(d.cores, newCore(d, p))
	}
	return nil
}
