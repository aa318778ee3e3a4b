// Package random grows random valid modules, every op of the table among them, with inputs that keep their numbers mild, and shrinks
// those that fail.
//
// It must not know files of models, chips or passes: what a module is tried on is its caller's matter.
package random
