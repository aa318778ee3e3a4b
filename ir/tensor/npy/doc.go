// Package npy reads and writes numpy's .npy files, versions 1 to 3.
//
// Reading takes either byte order and either axis order and gives the little-endian
// row-major tensor. A header is checked in full, against the file's size too,
// before memory is taken for what it announces. A file is written beside its place
// and renamed, so that it is whole or absent.
//
// numpy has no type for several formats. Those are written as it is usual: bf16 as
// V2 (what ml_dtypes gives), and the others as the unsigned integers of their
// patterns, one element each (u1), where the reader has to be told the format:
// see [ReadAs].
//
// The package knows tensors and .npy files only.
package npy
