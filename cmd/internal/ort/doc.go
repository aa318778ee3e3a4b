// Package ort runs models on ONNX Runtime, for tests and benchmarks that hold our numbers against an independent program's.
//
// The runtime is no part of the project: [Find] takes it from a folder in which the package onnxruntime-node was installed, named by
// the variable APOGEE_ORT, and skips the test where there is none. The package must not know how a model came to be; nothing but
// tests imports it.
package ort
