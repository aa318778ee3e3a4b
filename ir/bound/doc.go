// Package bound says how far a run of a function may be from the reference evaluator's: it follows an error bound for every element of
// every value, op by op (running error analysis, Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.3).
//
// It must not know chips, plans or passes: what a chip's arithmetic costs in accuracy is told by Arithmetic.
package bound
