// Package onnxpb holds the messages of an ONNX file, generated from the schema in onnx.proto. It must not know what they mean.
package onnxpb

//go:generate protoc --go_out=. --go_opt=paths=source_relative onnx.proto
