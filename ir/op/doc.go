// Package op is the table of operations: every op's name, operands, attributes, shape rule,
// verifier, work and documentation stand in one entry.
//
// The same entry serves the .mg checker, importers, the verifier and the code generator, because a
// shape rule works on types and attributes alone. Adding an op means adding one entry; the tables in
// the documentation are printed from it.
//
// The package must not know graphs, chips or files.
package op
