package plan

import "apogee/ir/format"

// Rules says what a chip allows, as far as [Check] asks. Lists that are nil are not checked.
type Rules struct {
	// Paths are the chip's, in the order that [Instr.Path] counts in.
	Paths []PathRule
	// Matrix and Vector are what its engines can do.
	Matrix []MatrixRule
	Vector []VectorRule
	// Cores is how many cores it has; 0 if unknown.
	Cores int64
	// Vocab has the chip's words, for the text of instructions in findings.
	Vocab Vocab
}

// PathRule is a way between two memories.
type PathRule struct {
	From, To string // memories
	Queue    string // the queue whose engine moves the data
	Indirect bool   // takes index lists
	Casts    []Cast // formats that it converts
}

// Cast is a conversion.
type Cast struct{ From, To format.Format }

// MatrixRule is one combination of formats that a matrix engine multiplies, and the memories of its operands.
type MatrixRule struct {
	Queue              string
	MemA, MemB, MemAcc string
	A, B, Acc          format.Format
	// Scale is the format of the scales that it takes, one for ScaleBlock elements of K; Invalid and 0 if it takes none.
	Scale      format.Format
	ScaleBlock int64
}

// VectorRule is what one vector engine can do.
type VectorRule struct {
	// Emulates says that it works on any format and converts between any two, by routines of its own instructions.
	Emulates bool
	Queue    string
	Mems     []string // memories that it works in
	Formats  []format.Format
	Casts    []Cast
}
