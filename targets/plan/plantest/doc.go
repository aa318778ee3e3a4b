// Package plantest makes small plans by hand, for tests: a matrix product with double buffering and what else
// the tests of the plan, the clock and their views need, for a toy chip that has every kind of queue.
//
// The package must not be used outside tests, and must not know codegen.
package plantest
