// Package hf opens a Hugging Face checkpoint: a folder with a config.json and safetensors, or a config.json alone, which
// is a model without weights.
//
// The config picks one of the shipped .mg models and fills its config; every tensor that the model reads must be there
// in the right shape and format, and every tensor that is there must be read, or be named in the model's list of
// extra ones.
//
// The package must not know what any model computes, nor any chip: what a model is called and which tensors it reads
// stands in its .mg file.
package hf
