// Package passes rewrites a module step by step from what a frontend left to kernels that a code generator can tile.
//
// A pass is a row of one table: a name, a sentence, a function, its rules and its options; a second table says which pass
// comes before which, and why. A pipeline is text, such as canonicalise,fold,cse,fuse{max=24}; [Run] runs it, verifies after
// each pass if asked, times, counts firings of rules and collects remarks about what did not happen. What a pass needs to know about
// hardware it asks the chip's description.
//
// The package must not know models by name, plans, or how a kernel is tiled.
package passes
