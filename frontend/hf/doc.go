// Package hf opens Hugging Face checkpoints: config.json picks a shipped model and fills its config, safetensors files give the weights.
//
// The package must not know chips or passes, nor any model: what a model is called and which tensors it reads stands in its .mg file.
package hf
