// Package load turns a checkpoint's tensors into the bytes of a plan's weight buffers: stacked, scaled and cast as
// the buffer's source says, and without a copy where the file holds exactly what is needed.
//
// The package must not know file formats, models, or what a weight is used for.
package load
