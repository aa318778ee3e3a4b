// Package report shows what a timed run found: where the time went, by kernel, by place in the model and by instruction, how far
// that is from the chip's peaks, and which assumptions it leans on; as text and as JSON.
//
// The package must not know how times are found, nor how plans are made.
package report
