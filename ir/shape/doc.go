// Package shape says what a dimension is, a number or an expression over symbols
// such as B, T and S, and when two of them are equal; it broadcasts shapes and
// lays out strides.
//
// A [Dim] is always in its canonical form, a polynomial over symbols and rounded
// quotients with integer coefficients, so that dimensions which are equal by the
// rules of arithmetic print the same and compare equal with ==. Arithmetic that
// leaves int64, or grows beyond the limits of [MaxTerms] and its neighbours, gives
// an invalid Dim, which remembers why and stays invalid through all that follows:
// nothing wraps and nothing grows without bound.
//
// The package knows integers and names only: nothing of number formats, tensors,
// ops or chips.
package shape
