// Package onnxsuite runs folders of ONNX's conformance tests (model.onnx beside test_data_set_*) on a target and says of each whether
// the results are those that the folder demands. It must not know any test: neither names nor shapes nor exceptions.
package onnxsuite
