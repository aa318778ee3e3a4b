package load

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"math"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/tensor"
	"apogee/targets/plan"
)

// Weights finds tensors by name. Tensor returns an error that names the tensor when there is none.
type Weights interface {
	Tensor(name string) (*tensor.Tensor, error)
}

var (
	codeSource  = diag.Register("LOAD001", "A plan's weight buffer and its source do not agree, or the source makes no sense. The plan is at fault, so there is no text to show.", "")
	codeMissing = diag.Register("LOAD002", "The checkpoint lacks a tensor that the plan needs. Use the checkpoint that the plan was compiled for.", "")
	codeShape   = diag.Register("LOAD003", "A tensor of the checkpoint has another format or shape than the plan was compiled for.", "")
	codeHash    = diag.Register("LOAD004", "A tensor of the checkpoint has other bytes than the plan was compiled for.", "")
	codeRead    = diag.Register("LOAD005", "The bytes of a tensor cannot be read.", "")
)

// Source is a weight buffer's tensors, found and checked but not read.
type Source struct {
	buf    *plan.Buffer
	parts  []*tensor.Tensor
	scales []*tensor.Tensor // one a part, or none
	names  []string
	numel  int64 // elements that one part has in the buffer
}

// Find looks up the tensors of a weight buffer and checks their formats and shapes. Nothing is read.
func Find(b *plan.Buffer, w Weights) (*Source, error) {
	src := b.Source
	fail := func(code, msg string, args ...any) *diag.Diagnostic {
		return diag.Errorf(code, diag.Range{}, msg, args...).At("weight " + b.Name)
	}
	if src == nil {
		return nil, fail(codeSource, "the plan does not say which tensor it is loaded from")
	}
	if w == nil {
		return nil, fail(codeMissing, "tensor %q is needed, but the plan is run without weights", src.Name)
	}
	n, _, err := tensor.Count(src.Stored, src.Shape)
	if err != nil {
		return nil, fail(codeSource, "the source: %v", err)
	}
	total, size, err := tensor.Count(b.Format, b.Shape)
	if err != nil {
		return nil, fail(codeSource, "%v", err)
	}
	if size != b.Size {
		return nil, fail(codeSource, "the buffer's size does not fit its shape").Expect(fmt.Sprintf("%d bytes", size), fmt.Sprintf("%d", b.Size))
	}
	count := int64(1)
	if src.Stack > 0 {
		count = src.Stack
		if !strings.Contains(src.Name, "{}") {
			return nil, fail(codeSource, "%d tensors are stacked, but the name %q has no {} for their number", count, src.Name)
		}
	}
	elems := n // of the buffer for one tensor
	if src.Quantise != format.Invalid {
		if q := src.Quantise; len(src.Shape) == 0 || q == format.Bool || q.Bits() > 8 || src.MX && !(q.IsMX() && q.IsFloat()) || b.Format != madeFormat(src) {
			return nil, fail(codeSource, "rows of %s[%s] cannot be quantised to %s in a buffer of %s", src.Stored, tensor.Dims(src.Shape), src.Quantise, b.Format)
		}
		block := quantiseBlock(src)
		if block == nil {
			return nil, fail(codeSource, "blocks of [%s] do not fit %s[%s]", tensor.Dims(src.QuantiseBlock), src.Stored, tensor.Dims(src.Shape))
		}
		if src.Scales {
			elems = 1
			for _, d := range scaleShape(src.Shape, block) {
				elems *= d // at most n
			}
		}
	}
	if elems > 0 && count > math.MaxInt64/elems || elems*count != total {
		return nil, fail(codeSource, "the source does not fill the buffer").
			Expect(fmt.Sprintf("%d elements for %s[%s]", total, b.Format, tensor.Dims(b.Shape)), fmt.Sprintf("%d of %s[%s]", count, src.Stored, tensor.Dims(src.Shape)))
	}
	if src.Quantise == format.Invalid && !castable(src.Stored, b.Format) || src.Quantise != format.Invalid && !castable(src.Stored, format.F32) {
		return nil, fail(codeSource, "%s cannot be loaded as %s", src.Stored, b.Format)
	}
	s := &Source{buf: b, numel: elems}
	if src.Scale != "" {
		if len(src.Block) == 0 || len(src.Block) > len(src.Shape) || slices.Min(src.Block) < 1 {
			return nil, fail(codeSource, "blocks of [%s] do not fit %s[%s]", tensor.Dims(src.Block), src.Stored, tensor.Dims(src.Shape))
		}
		if !b.Format.IsFloat() && src.Quantise == format.Invalid {
			return nil, fail(codeSource, "codes with scales are loaded as a float format").Expect("a float format", b.Format.String())
		}
	}
	if total == 0 {
		return s, nil
	}
	get := func(name string, i int64) (*tensor.Tensor, error) {
		name = strings.ReplaceAll(name, "{}", strconv.FormatInt(i, 10))
		t, err := w.Tensor(name)
		if err != nil {
			return nil, fail(codeMissing, "tensor %q: %v", name, err).Helpf("use the checkpoint that the plan was compiled for")
		}
		s.names = append(s.names, name)
		return t, nil
	}
	for i := range count {
		t, err := get(src.Name, i)
		if err != nil {
			return nil, err
		}
		if t.Format != src.Stored || !slices.Equal(t.Shape, src.Shape) {
			return nil, fail(codeShape, "tensor %q is not what the plan was compiled for", s.names[len(s.names)-1]).
				Expect(fmt.Sprintf("%s[%s]", src.Stored, tensor.Dims(src.Shape)), t.String())
		}
		s.parts = append(s.parts, t)
		if src.Scale == "" {
			continue
		}
		if t, err = get(src.Scale, i); err != nil {
			return nil, err
		}
		if want := scaleShape(src.Shape, src.Block); !t.Format.IsFloat() || !slices.Equal(t.Shape, want) {
			return nil, fail(codeShape, "tensor %q does not hold the scales of %q in blocks of [%s]", s.names[len(s.names)-1], s.names[len(s.names)-2], tensor.Dims(src.Block)).
				Expect("a float format ["+tensor.Dims(want)+"]", t.String())
		}
		s.scales = append(s.scales, t)
	}
	return s, nil
}

// castable says whether a weight may change its format on loading: between floats, between integers, and not at all.
func castable(from, to format.Format) bool {
	return from == to || from.IsFloat() && to.IsFloat() || from.IsInt() && to.IsInt() || from.IsInt() && to.IsFloat()
}

func scaleShape(shape, block []int64) []int64 {
	out := slices.Clone(shape)
	for i, b := range block {
		at := len(shape) - len(block) + i
		out[at] = (shape[at] + b - 1) / b
	}
	return out
}

// Options says how weights are loaded.
type Options struct {
	// VerifyHash compares the stored bytes with the plan's hash, where it has one. It reads everything once.
	VerifyHash bool
}

// Load reads the weight. The bytes are those of the file (or of the tensor in memory) where nothing has to be done to them, so they
// must not be written to; else a new slice.
func (s *Source) Load(ctx context.Context, o Options) ([]byte, error) {
	b, src := s.buf, s.buf.Source
	fail := func(code, msg string, args ...any) *diag.Diagnostic {
		return diag.Errorf(code, diag.Range{}, msg, args...).At("weight " + b.Name)
	}
	if len(s.parts) == 0 {
		return []byte{}, nil
	}
	var sum hash.Hash
	if o.VerifyHash && src.Hash != "" {
		sum = sha256.New()
	}
	data := make([][]byte, len(s.parts))
	for i, t := range s.parts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		bytes, err := t.Bytes()
		if err != nil {
			return nil, fail(codeRead, "%v", err)
		}
		if sum != nil {
			sum.Write(bytes)
		}
		data[i] = bytes
	}
	if sum != nil {
		if got := hex.EncodeToString(sum.Sum(nil)); got != src.Hash {
			return nil, fail(codeHash, "the stored bytes are not those that the plan was compiled with").Expect("SHA-256 "+src.Hash, got)
		}
	}
	plain := src.Stored == b.Format && len(s.scales) == 0 && src.Quantise == format.Invalid
	if plain {
		if whole := joined(data, b.Size); whole != nil && aligned(whole, b.Format) {
			return whole, nil
		}
	}
	out := alloc(b.Size)
	bits := int64(b.Format.Bits())
	if len(data) > 1 && s.numel*bits%8 != 0 {
		return nil, fail(codeSource, "a stack of %s tensors of %d elements does not begin at whole bytes", b.Format, s.numel)
	}
	step, _ := format.NumBytes(b.Format, s.numel)
	for i := range data {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		to := out[int64(i)*step:][:step]
		switch {
		case plain:
			copy(to, data[i])
		case src.Quantise != format.Invalid:
			if err := s.quantise(ctx, to, i, data[i]); err != nil {
				return nil, err
			}
		case len(s.scales) > 0:
			scale, err := s.scales[i].F32s()
			if err != nil {
				return nil, fail(codeRead, "%v", err)
			}
			if err := dequantise(ctx, to, b.Format, data[i], src.Stored, src.Shape, scale, src.Block); err != nil {
				return nil, err
			}
		default:
			if err := convert(ctx, to, b.Format, data[i], src.Stored, s.numel); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// Buffer is Find and Load.
func Buffer(ctx context.Context, b *plan.Buffer, w Weights, o Options) ([]byte, error) {
	s, err := Find(b, w)
	if err != nil {
		return nil, err
	}
	return s.Load(ctx, o)
}

// joined returns the slices as one when they are neighbours within one allocation, else nil.
func joined(parts [][]byte, size int64) []byte {
	first := parts[0]
	if len(parts) == 1 {
		return first
	}
	if int64(cap(first)) < size {
		return nil
	}
	whole := first[:size]
	at := int64(0)
	for _, p := range parts {
		if len(p) == 0 || at+int64(len(p)) > size || unsafe.SliceData(whole[at:]) != unsafe.SliceData(p) {
			return nil
		}
		at += int64(len(p))
	}
	return whole
}

// aligned says whether the bytes can be read as numbers of the format in place.
func aligned(b []byte, f format.Format) bool {
	size := uintptr(max(f.Bits()/8, 1))
	return len(b) == 0 || uintptr(unsafe.Pointer(unsafe.SliceData(b)))%size == 0
}

// alloc makes zero bytes that are aligned for every format.
func alloc(n int64) []byte {
	if n == 0 {
		return []byte{}
	}
	words := make([]uint64, (n+7)/8)
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), n)
}

const piece = 4096 // elements converted at a time

// convert casts n densely packed elements: to a float rounding once, between integers wrapping.
func convert(ctx context.Context, dst []byte, to format.Format, src []byte, from format.Format, n int64) error {
	var f32 [piece]float32
	var f64 [piece]float64
	var i64 [piece]int64
	for at, round := int64(0), 0; at < n; at, round = at+piece, round+1 {
		if round%256 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		m := min(piece, n-at)
		s, d := src[at/8*int64(from.Bits()):], dst[at/8*int64(to.Bits()):]
		switch {
		case from.IsInt() && to.IsInt():
			format.DecodeI64(from, i64[:m], s)
			format.EncodeI64(to, d, i64[:m])
		case to != format.F32 && (from == format.F64 || from.IsInt() && from.Bits() > 16):
			format.DecodeF64(from, f64[:m], s)
			format.EncodeF64(to, d, f64[:m], to.DefaultMode())
		default:
			format.DecodeF32(from, f32[:m], s)
			format.EncodeF32(to, d, f32[:m], to.DefaultMode())
		}
	}
	return nil
}

// dequantise writes stored · scale, computed in f32 and rounded to the format, as the op dequantize says. The last len(block) axes of
// shape are cut into blocks, ragged at their ends.
func dequantise(ctx context.Context, dst []byte, to format.Format, src []byte, from format.Format, shape []int64, scale []float32, block []int64) error {
	rank := len(shape)
	cols := shape[rank-1]
	if cols*int64(from.Bits())%8 != 0 || cols*int64(to.Bits())%8 != 0 {
		return diag.Errorf(codeSource, diag.Range{}, "rows of %d elements of %s do not fill whole bytes", cols, from)
	}
	rows := int64(1)
	for _, d := range shape[:rank-1] {
		rows *= d
	}
	srcRow, dstRow := cols*int64(from.Bits())/8, cols*int64(to.Bits())/8
	bc := block[len(block)-1]
	perRow := (cols + bc - 1) / bc
	row := make([]float32, cols)
	idx := make([]int64, rank-1)
	for r := range rows {
		if r%64 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		// The row of scales that belongs to this row of codes.
		s := int64(0)
		for a := range idx {
			n, i := shape[a], idx[a]
			if k := a - (rank - len(block)); k >= 0 {
				n, i = (n+block[k]-1)/block[k], i/block[k]
			}
			s = s*n + i
		}
		scales := scale[s*perRow:][:perRow]
		format.DecodeF32(from, row, src[r*srcRow:][:srcRow])
		for j, v := range scales {
			part := row[int64(j)*bc : min(int64(j+1)*bc, cols)]
			for i := range part {
				part[i] *= v
			}
		}
		format.EncodeF32(to, dst[r*dstRow:][:dstRow], row, to.DefaultMode())
		for a := rank - 2; a >= 0; a-- {
			if idx[a]++; idx[a] < shape[a] {
				break
			}
			idx[a] = 0
		}
	}
	return nil
}
