package chip

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Hash identifies the description: two chips whose facts are equal have equal hashes. It is the SHA-256, in hex, of every
// number with its place, and of what the engines, paths and precisions say beyond numbers.
func (c *Chip) Hash() string {
	h := sha256.New()
	fmt.Fprintln(h, c.Name, c.Family, c.FlushSubnormals, c.Lacks)
	for _, f := range c.files { // with those it extends
		h.Write(f.Text)
	}
	for _, f := range c.Facts {
		fmt.Fprintln(h, f.Name, f.Value, f.Unit, f.Source, f.Confidence)
	}
	return hex.EncodeToString(h.Sum(nil))
}
