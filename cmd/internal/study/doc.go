// Package study holds simulated times against measured ones: it reads tables of measurements, turns each row into a kernel that is compiled
// or described for the row's chip, times it from the data sheet and with the derates of the chip's file, and sums up the errors ([Run]); and it
// finds the derates with which a chip's predictions meet its rows best ([Fit]).
//
// # Tables
//
// A table is told by its header: see layouts in load.go. What its columns do not say (which program took the time, how a library's
// kernel goes over its data, what joins the cards of a machine) stands in hosts.tsv, forms.go and nodes.tsv, each with its reason. Rows
// that are no time of a kernel are kept and say so.
//
// # What is fitted
//
// Derates alone, some nine numbers a chip for all of its rows: no row, shape or operation has a number of its own. docs/calibration.md has
// every figure with its source, reason and effect.
//
// The package must not know a chip otherwise than by its description: where a table calls it by another name, names.tsv says which.
package study
