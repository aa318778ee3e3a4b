// Package export writes a function of a module as an ONNX model that computes the same: every op of the table becomes nodes of the
// standard operator set, and what ONNX cannot hold is listed in one error.
//
// # Carriers
//
// Runtimes have kernels for few element types. Inside of the graph a value therefore has a carrier, a wider type that holds all
// values of its format: f32 for the floats of at most 32 bits, i32 for the integers narrower than that, i64 for u32 and, bit for
// bit, for u64. What an op computes in the carrier is brought back to the values of the format (see exporter.fit): a cast there and
// back for floats, wrapping for integers. Inputs, results, states and weights keep their own formats.
//
// # How to add an op
//
// An op is a row of the table (see Row): the op, a sentence that says what it becomes, and a function that is given the op and the
// names of its operands and returns the names of its results. It adds nodes with x.n and its like, constants with x.i64s and x.num,
// and shapes with x.dims, which turns dimension expressions into small graphs over the shapes of the inputs.
//
// # States and weights
//
// A state becomes an input of its name and an output NAME.next. Weights are read one after the other while the file is written, as
// initialisers in the file or in one file beside it, and never all at once.
//
// The package must not know how a module came to be, nor what a chip is; it neither opens nor names a file.
package export
