package plan

import "apogee/ir/format"

// Plan is a complete program for one chip: the simulator needs nothing else but weights and inputs.
type Plan struct {
	Model     string // the module's name
	Entry     string // the function that was compiled
	Chip      string // the chip's name, and
	ChipHash  string // the SHA-256 of its description, in hex
	Precision string // as --precision names it
	Symbols   []Symbol
	Memories  []Memory // 0 is the global memory
	Queues    []Queue
	Buffers   []Buffer
	Kernels   []Kernel
	Steps     []Step
	Files     []string // source files that positions name
	Scopes    []string // places in the model that positions name
	Notes     []string // assumptions and warnings that every result of the plan repeats
}

// Symbol is a dimension symbol and the value it was bound to.
type Symbol struct {
	Name  string
	Value int64
}

// Memory is a memory of the chip as the plan uses it.
type Memory struct {
	Name  string
	Size  int64 // bytes, of the card (global) or of one core
	Align int64 // addresses and row lengths are multiples of this many bytes
}

// Queue is one instruction queue of a core.
type Queue struct {
	Name string
	Kind QueueKind
}

// QueueKind says what a queue's engine does.
type QueueKind uint8

// The kinds of queues. A chip in which one unit does several kinds' work in order gives them one queue, of the
// first kind that fits.
const (
	Scalar QueueKind = iota // runs the code itself: loops, registers, scalar loads
	DMA                     // moves tiles
	Matrix                  // multiplies tiles
	Vector                  // elementwise work, reductions, sorting
)

var queueKindNames = [...]string{"scalar", "dma", "matrix", "vector"}

// String gives the kind's word, such as "dma".
func (k QueueKind) String() string {
	if int(k) >= len(queueKindNames) {
		return "unknown"
	}
	return queueKindNames[k]
}

// BufferKind says where a buffer's bytes come from and go to.
type BufferKind uint8

// The kinds of buffers.
const (
	Input     BufferKind = iota // the caller fills it before the run
	Output                      // the caller reads it after the run
	Weight                      // filled once from the checkpoint
	State                       // outlives a run, zero at first
	Temp                        // lives from its first to its last step
	Const                       // its bytes are in the plan
	Workspace                   // scratch of kernels, one part for each core; nothing outlives a kernel
)

var bufferKindNames = [...]string{"input", "output", "weight", "state", "temp", "const", "workspace"}

// String gives the kind's word, such as "weight".
func (k BufferKind) String() string {
	if int(k) >= len(bufferKindNames) {
		return "unknown"
	}
	return bufferKindNames[k]
}

// Buffer is a tensor in global memory, dense and row-major.
type Buffer struct {
	Name   string
	Kind   BufferKind
	Format format.Format
	Shape  []int64
	Addr   int64 // byte address in global memory, aligned
	Size   int64 // bytes
	First  int   // first step that touches it, and
	Last   int   // last step that does; everything but Temp lives throughout: 0 and len(Steps)-1
	Source *Source
	Data   []byte // Const only
}

// Source says how a weight is loaded.
type Source struct {
	Name   string        // tensor name; with Stack > 0 it holds one {} for the index
	Stack  int64         // number of tensors stacked on a new first axis; 0 for one tensor as it is
	Stored format.Format // format in the file
	Scale  string        // tensor of block scales multiplied in, or ""
	Block  []int64       // rows and columns that share one scale of Scale
	Shape  []int64       // shape in the file of one tensor
	// Quantise is the format of the codes that each row (the last axis) is quantised to, in f32, after the scales: scale = max(largest
	// magnitude, 1e-12) / largest code, code = x / scale rounded to nearest even. Invalid is none. The buffer holds the codes, or, if Scales
	// is set, the scales, one a row, in f32. With QuantiseBlock it is blocks of so many rows and columns that are quantised, each with one
	// scale. MX makes scales powers of two, as [format.MXScale] does of the largest magnitude, and keeps them in f8e8m0.
	Quantise      format.Format
	QuantiseBlock []int64
	MX            bool
	Scales        bool
	Hash          string // SHA-256 of the stored bytes in hex, when they were at hand at compile time; else ""
}

// Step launches one kernel, or says which steps run, and how often.
type Step struct {
	Op     StepOp
	Kernel int   // index into Plan.Kernels
	Args   []Arg // one for each of the kernel's parameters
	Grid   int64 // number of blocks, at least 1
	Pos    Pos
	Name   string // what a trace calls this launch, such as layers.3.attn.q_a
	// Control is what an If or a Loop goes by, nil for the others. Kernel, Args and Grid are a launch's.
	Control *Control
}

// Arg binds a kernel parameter to a buffer, or to a part of it that begins Offset bytes in.
type Arg struct {
	Buffer int
	Offset int64
}

// Kernel is code that can be launched with different buffers.
type Kernel struct {
	Name   string
	Params []Param
	Locals []Local
	Flags  []Flag
	// Regs is the number of registers. 0 holds the block's number, 1 the core's number, 2 the number of cores; the
	// others are 0 when the kernel starts on a core and keep their values from one block to the core's next.
	Regs int
	Code []Instr
	// Roofline counts of all blocks together, so that a report can tell useful work from padding.
	Flops float64
}

// The registers that hold something when a block begins.
const (
	RegBlock    Reg = 0
	RegCore     Reg = 1
	RegCores    Reg = 2
	FirstReg    Reg = 3
	MaxTileRank     = 6
)

// Param is a buffer that the kernel is given at launch.
type Param struct {
	Name   string
	Format format.Format
	Size   int64 // bytes that the kernel may touch
	Read   bool
	Write  bool
}

// Local is a piece of a core's memory with a fixed address. Two locals whose lifetimes [First, Last] (indices into
// Code) meet must not overlap: that is the proof that the checker verifies.
type Local struct {
	Name        string
	Mem         int
	Addr, Size  int64
	First, Last int
	Slots       int // parts of equal size used in turn (double buffering); at least 1
}

// Flag orders two queues.
type Flag struct {
	Name     string
	From, To int // queues: From signals, To waits
	Credits  int // how often To may pass before the first signal
}

// Pos is where an instruction comes from, as in the IR: indices into Files and Scopes plus one, 0 for
// unknown.
type Pos struct{ File, Line, Col, Scope int32 }
