// Package fuzz looks for miscompiles: it grows random modules, runs each before and after every pass and on simulated chips, and holds all of it
// against the reference evaluator within bounds that follow from the arithmetic. What fails is shrunk.
//
// It must not know commands and their flags, nor files of models.
package fuzz
