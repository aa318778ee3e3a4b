// Package ir is the one graph that every stage shares: modules, functions, ops and values in SSA form.
//
// The frontend builds it, passes rewrite it, codegen reads it. Levels are sets of ops, not different
// structures: a module of kernels is the same Module. Its text form parses back to the same bytes at
// every stage. What an op means stands in package op; this package knows only how ops hang together.
//
// The package must not know files of models, chips or passes.
package ir
