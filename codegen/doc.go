// Package codegen turns a module of kernels into a plan for one chip.
//
// [Compile] walks a function whose ops are kernels, gives every value a buffer in global memory, compiles each different
// kernel once by the template that its kind names, and plans addresses. A template asks the chip description for memories, rates and
// paths; package tile does synchronisation and local addresses. What joins which kernel was decided by the passes.
//
// The package must not know models, files, or how a plan is run.
package codegen
