// Package rewrite applies rules, small named pieces of data with a function each, to functions until none fires.
//
// A [Rule] names itself, says what it does and on which ops it may fire; a [Set] is a list of rules, and sets add. The driver keeps
// a worklist, so that its work is linear in the ops and the firings; it counts firings by rule, stops after a given number of
// them for those who search which one is wrong, and fails with the rule's name when rules chase each other.
//
// The package must not know chips, nor what any single rule is for.
package rewrite
