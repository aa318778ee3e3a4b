package hf

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"apogee/frontend/safetensors"
	"apogee/ir/diag"
	"apogee/ir/tensor"
)

// Weights are the tensors of a checkpoint, mapped and read where they are used.
type Weights struct{ file *safetensors.File }

// Names returns the names of all tensors, sorted. The caller must not change the slice.
func (w *Weights) Names() []string { return w.file.Names() }

// Lookup returns what is known of a tensor.
func (w *Weights) Lookup(name string) (safetensors.Info, bool) { return w.file.Lookup(name) }

// Tensor returns a tensor by name; nothing is copied.
func (w *Weights) Tensor(name string) (*tensor.Tensor, error) {
	if _, ok := w.file.Lookup(name); !ok {
		if near := nearest(name, w.Names()); near != "" {
			return nil, fmt.Errorf("the checkpoint has no tensor %q; did you mean %q?", name, near)
		}
		return nil, fmt.Errorf("the checkpoint has no tensor %q", name)
	}
	return w.file.Tensor(name)
}

// Stack returns the n tensors of a stacked weight as one, with a new first axis; nothing is read or copied.
func (w *Weights) Stack(name string, n int64) (*tensor.Tensor, error) {
	var parts []*tensor.Tensor
	for i := range n {
		t, err := w.Tensor(StackName(name, i))
		if err != nil {
			return nil, err
		}
		if len(parts) > 0 && (t.Format != parts[0].Format || !slices.Equal(t.Shape, parts[0].Shape)) {
			return nil, fmt.Errorf("%s: expected %s as for the others of its stack, found %s", StackName(name, i), parts[0], t)
		}
		parts = append(parts, t)
	}
	if len(parts) == 0 {
		return nil, fmt.Errorf("%s: a stack of no tensors", name)
	}
	if bits := parts[0].Numel() * int64(parts[0].Format.Bits()); bits%8 != 0 {
		return nil, fmt.Errorf("%s: tensors of %s do not end on a byte, so they do not stack", name, parts[0])
	}
	shape := append([]int64{n}, parts[0].Shape...)
	return tensor.FromReader(parts[0].Format, shape, stack{parts, parts[0].NumBytes()}, 0, tensor.Named(name))
}

// StackName is the name of tensor i of a stacked weight.
func StackName(name string, i int64) string {
	return strings.Replace(name, "{}", strconv.FormatInt(i, 10), 1)
}

// nearest finds the tensor whose name is most like one that is missing: of those with the same number of parts, the
// one that differs in one part least.
func nearest(name string, names []string) string {
	want := strings.Split(name, ".")
	var near []string
	for _, n := range names {
		have := strings.Split(n, ".")
		if len(have) != len(want) {
			continue
		}
		differ := 0
		for i := range have {
			if have[i] != want[i] {
				differ++
			}
		}
		if differ == 1 {
			near = append(near, n)
		}
	}
	return diag.DidYouMean(name, near)
}

// stack reads tensors one after the other.
type stack struct {
	parts []*tensor.Tensor
	size  int64
}

func (s stack) ReadAt(b []byte, off int64) (int, error) {
	n := 0
	for len(b) > 0 {
		if s.size == 0 || off < 0 || off >= s.size*int64(len(s.parts)) {
			return n, io.EOF
		}
		at := off % s.size
		k := min(int64(len(b)), s.size-at)
		p, err := s.parts[off/s.size].ReadRange(at, k)
		if err != nil {
			return n, err
		}
		copy(b, p)
		n, b, off = n+int(k), b[k:], off+k
	}
	return n, nil
}
