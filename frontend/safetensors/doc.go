// Package safetensors opens weights without reading them: it checks a file's header in full, maps the file, and hands
// out tensors that are views of the mapping.
//
// A file is eight bytes with the header's length (unsigned, little-endian), a JSON object that gives each tensor's
// dtype, shape and place, and the bytes. The rules that are checked are those of the format's description and of its
// reference implementation: the header is at most 100 MB and inside the file, no name comes twice, a tensor's place is
// as long as its shape and dtype need, and the places cover the data from end to end without overlap or hole. Nothing
// is allocated for what the header claims before the claim is checked against the file's size.
//
// A checkpoint folder is model.safetensors, or shards with model.safetensors.index.json; the index and the shards must
// name the same tensors at the same places.
//
// Tensors of a [File] are read where they are used, so they are valid until Close, and the file must not be cut short
// meanwhile: on a system with mapping, reading a page that the file no longer has ends the process.
//
// The package must not know what a tensor means: neither models nor quantisation schemes.
package safetensors
