// Package onnx turns an ONNX file into a module: it checks every size before it believes it, resolves functions, subgraphs and
// external data, evaluates shape arithmetic, and writes each node as ops of the IR's own small set.
//
// # Values that decide shapes
//
// An ONNX graph computes shapes with the same nodes as data. The importer therefore knows more about a value than its type: its
// elements where they are literals, and for vectors of integers their elements as dimension expressions, so that Shape, Slice,
// Concat, Reshape with a symbolic batch imports with the symbol left. Where a shape depends on an input or on computed data, the
// importer asks: [Options].Values for inputs, and [Options].Eval for what has been imported so far. Without an answer, every value
// that would have been needed is listed in one error.
//
// # How to add an operator
//
// An operator is a row of a table (see [Row]) in the file of its family, ops_FAMILY.go: domain, name, the opset version in which
// this lowering begins to hold (further rows of the same name take over from their version on), a sentence, and a function that
// gets the node. The function reads operands with n.arg and n.opt, attributes with n.attrInt and its like (defaults and types
// are checked there), values that must be known with n.ints, n.dims and n.floats, and sets results with n.set. It builds with the
// vocabulary of vocab.go (n.add, n.reshape, n.reduce, n.softmax, …), which folds what is known and infers types by the op table. A
// mistake of the model is reported with n.fail, which names the node and does not return; the import goes on with the nodes that
// do not depend on it. A new family registers its rows in an init with register. The specification's function body, where the
// operator has one, is the best decomposition to start from; a new IR op is the last resort.
//
// The package must not know what a chip is, nor how a module is run: it sees values only through Options.
package onnx
