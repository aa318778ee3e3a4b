// Package eval is the oracle: it runs a function op by op as the op table defines it, plainly and slowly.
//
// Every float value is computed in float64 from its operands and rounded once to its format; sums are exact to float64, whatever
// their length. Integers are computed on 64 bits and wrap to their format. Kernels mean their regions. Nothing is fused, reordered or
// approximated, so that whatever a pass, a code generator or a simulator does can be held against it.
//
// The package must not know chips, plans or the simulator's kernels.
package eval
