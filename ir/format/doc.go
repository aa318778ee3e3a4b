// Package format says what a bit pattern means: decoding, encoding, rounding,
// saturation and subnormals of every number format that an element of a tensor
// can have, and the block scales that stand beside some of them.
//
// Everything here is a pure function of its arguments and gives the same bits
// on every machine. Three levels are on offer:
//
//   - one element: [Format.Decode], [Format.Encode], [Format.Round],
//     [Format.EncodeInt]; the definition, written to be read;
//   - whole slices: [DecodeF32], [EncodeF32], [RoundF32] and their float64
//     twins, which give the same bits much faster;
//   - blocks that share a scale: [MXQuantise], [FP8BlockQuantise].
//
// Formats narrower than a byte are packed: element i of a tensor takes the bits
// from i*Bits() upwards of the byte string read as one little-endian number, so
// the first element is in the low bits of the first byte.
//
// A NaN stays a NaN through every conversion to a format that has one. It
// becomes quiet, keeps its sign where the format has one for NaN, and keeps as
// many leading payload bits as fit.
//
// The package knows numbers only: nothing of shapes, tensors, files, ops or
// chips.
package format
