package export

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/eval"
	"apogee/ir/format"
	"apogee/ir/shape"
	"apogee/ir/tensor"
)

// source is an initialiser whose bytes are read when the file is written.
type source struct {
	name  string
	f     format.Format
	dims  []int64
	size  int64
	parts []func() (*tensor.Tensor, error) // one after the other
}

// weight gives the value of a weight op.
func (x *exporter) weight(o *ir.Op, _ []string) string {
	key := "weight " + o.Attrs.Str("name", "") + fmt.Sprint(o.Result(0).Type, o.Attrs)
	return x.prelude(key, func() string { return x.load(o) })
}

func (x *exporter) load(o *ir.Op) string {
	name, f := o.Attrs.Str("name", ""), o.Result(0).Type.Format
	x.base = name
	dims, err := x.result(0).Shape.Ints()
	if err != nil {
		x.fail("weight %s is %s: its dimensions must be numbers", name, o.Result(0).Type)
		return "?"
	}
	if x.opt.Weights == nil {
		x.diags.Errorf(CodeWeight, diag.Range{}, "the model has no weights to export").Helpf("name a checkpoint with --weights")
		return "?"
	}
	stored, scale := o.Attrs.Format("stored", f), o.Attrs.Str("scale", "")
	if o.Attrs.Format("quantise", format.Invalid) != format.Invalid {
		return x.made(o, name, f, dims)
	}
	v := x.stacked(o, name, stored, dims)
	if scale == "" {
		return x.cast(v, stored, f, false)
	}
	// The scales' format is that of the first tensor; their shape is one element a block.
	block := o.Attrs.Ints("block")
	first, err := x.opt.Weights.Tensor(strings.Replace(scale, "{}", "0", 1))
	if err != nil {
		x.missing(o, err)
		return "?"
	}
	s := shape.Of(dims...)
	sd := append([]int64(nil), dims...)
	for i, b := range block {
		ax := len(dims) - len(block) + i
		sd[ax] = (dims[ax] + b - 1) / b
	}
	sv := x.stacked(o, scale, first.Format, sd)
	x.base = name
	one := &ir.Value{Type: ir.Type{Format: first.Format}}
	code := &ir.Value{Type: ir.Type{Format: stored}}
	y := x.scaled(x.f32(v, code), s, x.f32(sv, one), block)
	return x.cast(y, format.F32, f, false)
}

// missing says that a weight cannot be had.
func (x *exporter) missing(o *ir.Op, err error) {
	x.diags.Errorf(CodeWeight, diag.Range{}, "%s", err).At(o.String())
}

// stacked adds an initialiser with one tensor, or with several one after the other where the op stacks, in their carrier.
func (x *exporter) stacked(o *ir.Op, name string, f format.Format, dims []int64) string {
	key := fmt.Sprint(name, f, dims, o.Attrs.Int("stack", -1))
	if w := x.kept[key]; w != nil {
		return x.enter(w.name, f)
	}
	if !known(f) {
		x.fail("weight %s is stored as %s: ONNX has no element type for this format", name, f)
		return "?"
	}
	_, size, err := tensor.Count(f, dims)
	if err != nil {
		x.missing(o, err)
		return "?"
	}
	w := &source{f: f, dims: dims, size: size}
	names, each := []string{name}, dims
	if n := o.Attrs.Int("stack", -1); n >= 0 && strings.Contains(name, "{}") {
		names, each = nil, dims[1:]
		for i := range n {
			names = append(names, strings.Replace(name, "{}", strconv.FormatInt(i, 10), 1))
		}
	}
	total := int64(0)
	for _, n := range names {
		t, err := x.opt.Weights.Tensor(n)
		if err == nil && (t.Format != f || tensor.Dims(t.Shape) != tensor.Dims(each)) {
			err = fmt.Errorf("weight %s: expected %s[%s], found %s", n, f, tensor.Dims(each), t)
		}
		if err != nil {
			x.missing(o, err)
			return "?"
		}
		total += t.NumBytes()
		w.parts = append(w.parts, func() (*tensor.Tensor, error) { return x.opt.Weights.Tensor(n) })
	}
	if total != size { // parts that do not end on a byte
		x.fail("weight %s: %d tensors %s[%s] cannot be stacked byte by byte", name, len(names), f, tensor.Dims(each))
		return "?"
	}
	w.name = x.fresh(strings.ReplaceAll(name, "{}", "*"))
	x.kept[key] = w
	x.weights = append(x.weights, w)
	return x.enter(w.name, f)
}

// made adds an initialiser that the loader would make: rows or blocks quantised, or their scales.
func (x *exporter) made(o *ir.Op, name string, f format.Format, dims []int64) string {
	if !known(f) {
		x.fail("weight %s is quantised to %s: ONNX has no element type for this format", name, f)
		return "?"
	}
	_, size, err := tensor.Count(f, dims)
	if err != nil {
		x.missing(o, err)
		return "?"
	}
	w := &source{name: x.fresh(strings.ReplaceAll(name, "{}", "*")), f: f, dims: dims, size: size}
	w.parts = []func() (*tensor.Tensor, error){func() (*tensor.Tensor, error) {
		e := &eval.Evaluator{Weights: x.opt.Weights, Bind: x.opt.Bind}
		v, err := e.Op(x.opt.Context, o, nil)
		if err != nil {
			return nil, err
		}
		return v[0].Tensor()
	}}
	x.weights = append(x.weights, w)
	return x.enter(w.name, f)
}

// chunk is how many bytes of a weight are read at once.
const chunk = 4 << 20

// write copies the bytes of a weight.
func (w *source) write(f *File, out io.Writer) error {
	left := w.size
	for _, part := range w.parts {
		t, err := part()
		if err != nil {
			return err
		}
		n := t.NumBytes()
		if n > left {
			return fmt.Errorf("weight %s: %s is more than there was when it was converted", w.name, t)
		}
		left -= n
		for at := int64(0); at < n; at += chunk {
			if err := f.ctx.Err(); err != nil {
				return err
			}
			b, err := t.ReadRange(at, min(chunk, n-at))
			if err != nil {
				return err
			}
			if _, err := out.Write(b); err != nil {
				return err
			}
		}
	}
	if left != 0 {
		return fmt.Errorf("weight %s: %d bytes are missing", w.name, left)
	}
	return nil
}
