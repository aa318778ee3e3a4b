// Package tensor holds a format, a shape and the bytes of the elements: in memory,
// or read when asked for from an [io.ReaderAt], such as a mapped file.
//
// The bytes are dense, row-major and little-endian, elements narrower than a byte
// packed as [apogee/ir/format] says. A rank of zero is a scalar with one element;
// a dimension of zero makes a tensor without elements. Views share bytes. A Tensor
// is not changed once it is made, except through the slice that Bytes returns for
// one that is in memory; any number of goroutines may read it.
//
// The package knows formats and bytes only: nothing of ops, graphs, file formats
// (its subpackage npy apart) or chips.
package tensor
