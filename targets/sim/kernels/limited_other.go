//go:build !amd64

package kernels

func (g *limitedProduct) fast() bool { return false }

// Fits reports whether vectors can take numbers as the right operand of the unit; there are none here.
func (l *Limited) Fits(b []float32) bool { return false }
