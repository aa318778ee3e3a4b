package plan

import (
	"bytes"
	"encoding/binary"
)

// Reseal makes a file out of any bytes: the right magic, version, length and checksum, so that a fuzzer gets past them.
func Reseal(b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) < headerSize {
		return b
	}
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[8:], BinaryVersion)
	binary.LittleEndian.PutUint64(b[16:], uint64(len(b)-headerSize))
	sum := checksum(b)
	copy(b[sumOffset:], sum[:])
	return b
}

// EncodeVersion writes a plan without ifs and loops in an older version.
func EncodeVersion(p *Plan, version uint32) []byte { return encodeAs(p, version) }
