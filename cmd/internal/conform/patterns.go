package conform

import (
	"context"
	"fmt"

	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/passes"
)

// pattern is a composition that the passes fuse or recognise: built, or as text.
type pattern struct {
	name  string
	build func(b *builder)
	text  string
	bind  map[string]int64 // dimension symbols of the text
	limit int64            // integers of the text's inputs are below it
}

func (s *suite) pattern(ctx context.Context, p *pattern) error {
	var m *ir.Module
	in := map[string]input{}
	if p.build != nil {
		b := newBuilder(false)
		p.build(b)
		var err error
		if m, err = b.done(); err != nil {
			return err
		}
		in = b.in
	} else {
		var l *diag.List
		m, l = ir.Parse(diag.NewSource(p.name+".ir", []byte("module @m {\n  func entry @f"+p.text+"\n}\n")))
		if l.HasErrors() {
			return l.Err()
		}
		if len(p.bind) > 0 {
			if _, err := passes.Run(ctx, m, "specialise", passes.Options{Bind: p.bind}); err != nil {
				return err
			}
		}
		for _, x := range m.Funcs[0].Body.Params {
			if x.Type.Format.IsInt() {
				in[x.Name] = input{index, max(p.limit, 1)}
			}
		}
	}
	return s.try(ctx, m, in, 1, passes.Default(passes.MaxLevel))
}

// convolution builds pad, windows and a product over the channels of each group; x: [N, C, spatial…], w: [O, C/groups, kernel…].
type convolution struct {
	n, c, o, groups              int64
	size, kernel, stride, dilate []int64
	padding                      int64
	f                            format.Format
	bias, relu, last             bool // last: channels are the last axis of x and y
}

func (v convolution) build(b *builder) {
	rank := len(v.size)
	dims := append([]int64{v.n, v.c}, v.size...)
	first := 2
	if v.last {
		dims, first = append(append([]int64{v.n}, v.size...), v.c), 1
	}
	x := b.input(whole, 0, v.f, dims...)
	if v.padding > 0 {
		low := make([]int64, len(dims))
		for i := range rank {
			low[first+i] = v.padding
		}
		x = b.Op(op.Pad, ir.A("low", low, "high", low), x, b.Scalar(v.f, 0))
	}
	for i := range rank {
		x = b.Op(op.Window, ir.A("axis", first+2*i, "size", v.kernel[i], "stride", v.stride[i], "dilation", v.dilate[i]), x)
	}
	spatial, kernel := "hijk"[:rank], "rstu"[:rank]
	windows := ""
	for i := range rank {
		windows += spatial[i:i+1] + kernel[i:i+1]
	}
	per := v.c / v.groups
	wdims := append([]int64{v.o, per}, v.kernel...)
	w := b.input(whole, 0, v.f, wdims...)
	spec := fmt.Sprintf("nc%s,oc%s->no%s", windows, kernel, spatial)
	if v.last {
		spec = fmt.Sprintf("n%sc,oc%s->n%so", windows, kernel, spatial)
	}
	out, _ := x.Type.Shape.Ints()
	var space []int64
	for i := range rank {
		space = append(space, out[first+2*i])
	}
	if v.groups > 1 && !v.last {
		split := append([]int64{v.n, v.groups, per}, out[2:]...)
		x = b.Reshape(x, dimsOf(split...))
		w = b.Reshape(w, dimsOf(append([]int64{v.groups, v.o / v.groups, per}, v.kernel...)...))
		spec = fmt.Sprintf("ngc%s,goc%s->ngo%s", windows, kernel, spatial)
	}
	y := b.Op(op.Einsum, ir.A("spec", spec), x, w)
	if v.groups > 1 && !v.last {
		y = b.Reshape(y, dimsOf(append([]int64{v.n, v.o}, space...)...))
	}
	if v.bias {
		shape := make([]int64, rank+1)
		for i := range shape {
			shape[i] = 1
		}
		shape[0] = v.o
		bias := b.input(whole, 0, v.f, v.o)
		if !v.last {
			bias = b.Reshape(bias, dimsOf(shape...))
		}
		y = b.Op(op.Add, nil, y, bias)
	}
	if v.relu {
		y = b.Op(op.Max, nil, y, b.Scalar(v.f, 0))
	}
	b.out(y)
}

// pooling builds pad, windows and a reduction; x: [N, C, H, W].
func pooling(kind string, f format.Format, kernel, stride, padding int64) func(b *builder) {
	return func(b *builder) {
		x := b.input(whole, 0, f, 2, 5, 13, 11)
		fill := b.Scalar(f, 0)
		if kind == "max" {
			fill = b.Scalar(f, -100)
		}
		low := []int64{0, 0, padding, padding}
		if padding > 0 {
			x = b.Op(op.Pad, ir.A("low", low, "high", low), x, fill)
		}
		x = b.Op(op.Window, ir.A("axis", 2, "size", kernel, "stride", stride), x)
		x = b.Op(op.Window, ir.A("axis", 4, "size", kernel, "stride", stride), x)
		b.out(b.Op(op.Reduce, ir.A("kind", kind, "axes", []int64{3, 5}), x))
	}
}

var patterns = append([]pattern{
	{name: "convolution", build: convolution{n: 2, c: 6, o: 10, groups: 1, size: []int64{9, 11}, kernel: []int64{3, 3}, stride: []int64{1, 1}, dilate: []int64{1, 1}, padding: 1, f: format.F32, bias: true, relu: true}.build},
	{name: "convolution with strides", build: convolution{n: 1, c: 3, o: 8, groups: 1, size: []int64{17, 19}, kernel: []int64{7, 7}, stride: []int64{2, 2}, dilate: []int64{1, 1}, padding: 3, f: format.F32, bias: true}.build},
	{name: "convolution with dilation", build: convolution{n: 1, c: 4, o: 7, groups: 1, size: []int64{12, 10}, kernel: []int64{3, 2}, stride: []int64{1, 2}, dilate: []int64{2, 3}, f: format.F32}.build},
	{name: "convolution of 1x1", build: convolution{n: 2, c: 33, o: 20, groups: 1, size: []int64{6, 7}, kernel: []int64{1, 1}, stride: []int64{2, 1}, dilate: []int64{1, 1}, f: format.F32, relu: true}.build},
	{name: "convolution, channels last", build: convolution{n: 2, c: 16, o: 10, groups: 1, size: []int64{9, 8}, kernel: []int64{3, 3}, stride: []int64{1, 2}, dilate: []int64{1, 1}, padding: 1, f: format.F32, bias: true, last: true}.build},
	{name: "convolution in groups", build: convolution{n: 2, c: 12, o: 18, groups: 3, size: []int64{7, 8}, kernel: []int64{3, 3}, stride: []int64{1, 1}, dilate: []int64{1, 1}, padding: 1, f: format.F32, bias: true}.build},
	{name: "depthwise convolution", build: convolution{n: 2, c: 12, o: 12, groups: 12, size: []int64{9, 8}, kernel: []int64{3, 3}, stride: []int64{2, 1}, dilate: []int64{1, 1}, padding: 1, f: format.F32, bias: true, relu: true}.build},
	{name: "depthwise convolution with a multiplier", build: convolution{n: 1, c: 5, o: 10, groups: 5, size: []int64{9}, kernel: []int64{3}, stride: []int64{1}, dilate: []int64{1}, f: format.F32}.build},
	{name: "convolution of one axis", build: convolution{n: 2, c: 4, o: 6, groups: 1, size: []int64{30}, kernel: []int64{5}, stride: []int64{3}, dilate: []int64{2}, padding: 2, f: format.F32, bias: true}.build},
	{name: "convolution of three axes", build: convolution{n: 1, c: 3, o: 4, groups: 1, size: []int64{5, 6, 7}, kernel: []int64{3, 2, 3}, stride: []int64{1, 1, 2}, dilate: []int64{1, 2, 1}, padding: 1, f: format.F32, relu: true}.build},
	{name: "convolution in bf16", build: convolution{n: 1, c: 8, o: 9, groups: 1, size: []int64{8, 8}, kernel: []int64{3, 3}, stride: []int64{1, 1}, dilate: []int64{1, 1}, padding: 1, f: format.BF16}.build},
	{name: "convolution in f16", build: convolution{n: 1, c: 8, o: 10, groups: 2, size: []int64{8, 8}, kernel: []int64{3, 3}, stride: []int64{1, 1}, dilate: []int64{1, 1}, padding: 1, f: format.F16}.build},
	{name: "convolution in i8", build: convolution{n: 1, c: 8, o: 9, groups: 1, size: []int64{8, 8}, kernel: []int64{3, 3}, stride: []int64{1, 1}, dilate: []int64{1, 1}, padding: 1, f: format.I8}.build},
	{name: "convolution in i32", build: convolution{n: 1, c: 4, o: 9, groups: 1, size: []int64{8, 8}, kernel: []int64{3, 3}, stride: []int64{1, 1}, dilate: []int64{1, 1}, f: format.I32}.build},
	{name: "convolution in f64", build: convolution{n: 1, c: 4, o: 5, groups: 1, size: []int64{6, 6}, kernel: []int64{3, 3}, stride: []int64{1, 1}, dilate: []int64{1, 1}, f: format.F64}.build},
	{name: "largest of windows", build: pooling("max", format.F32, 3, 2, 1)},
	{name: "mean of windows", build: pooling("mean", format.F32, 2, 2, 0)},
	{name: "largest of windows in i8", build: pooling("max", format.I8, 3, 1, 1)},
	{name: "sum of windows in f64", build: pooling("sum", format.F64, 3, 3, 1)},
}, texts...)

// texts are written as the passes see them before they fuse or recognise something.
var texts = []pattern{
	{name: "norm and linear", bind: map[string]int64{"T": 5}, text: `(%x: f32[T,96], %g: f32[96], %w: f32[40,96]) -> (y) {
    %0 = mul(%x, %x) : f32[T,96]
    %1 = reduce(%0) {kind="mean", axes=[-1], keep=true} : f32[T,1]
    %e = constant {value=f32[] 1e-05} : f32[]
    %2 = add(%1, %e) : f32[T,1]
    %3 = rsqrt(%2) : f32[T,1]
    %4 = mul(%x, %3) : f32[T,96]
    %5 = mul(%4, %g) : f32[T,96]
    %y = einsum(%5, %w) {spec="td,nd->tn"} : f32[T,40]
    return(%y)
  }`},
	{name: "layer norm", text: `(%x: f32[3,7,50], %g: f32[50], %b: f32[50]) -> (y) {
    %m = reduce(%x) {kind="mean", axes=[-1], keep=true} : f32[3,7,1]
    %d = sub(%x, %m) : f32[3,7,50]
    %s = mul(%d, %d) : f32[3,7,50]
    %v = reduce(%s) {kind="mean", axes=[-1], keep=true} : f32[3,7,1]
    %e = constant {value=f32[] 1e-05} : f32[]
    %a = add(%v, %e) : f32[3,7,1]
    %q = sqrt(%a) : f32[3,7,1]
    %n = div(%d, %q) : f32[3,7,50]
    %h = mul(%n, %g) : f32[3,7,50]
    %y = add(%h, %b) : f32[3,7,50]
    return(%y)
  }`},
	{name: "batch norm over an inner axis", text: `(%x: f32[2,6,5,7], %g: f32[6], %b: f32[6]) -> (y, m) {
    %m = reduce(%x) {kind="mean", axes=[0,2,3]} : f32[6]
    %k = reshape(%m) {shape=[6,1,1]} : f32[6,1,1]
    %d = sub(%x, %k) : f32[2,6,5,7]
    %h = reshape(%g) {shape=[6,1,1]} : f32[6,1,1]
    %c = reshape(%b) {shape=[6,1,1]} : f32[6,1,1]
    %z = mul(%d, %h) : f32[2,6,5,7]
    %y = add(%z, %c) : f32[2,6,5,7]
    return(%y, %m)
  }`},
	{name: "softmax along an inner axis", text: `(%x: f32[4,9,6]) -> (y) {
    %m = reduce(%x) {kind="max", axes=[1], keep=true} : f32[4,1,6]
    %d = sub(%x, %m) : f32[4,9,6]
    %e = exp(%d) : f32[4,9,6]
    %s = reduce(%e) {kind="sum", axes=[1], keep=true} : f32[4,1,6]
    %y = div(%e, %s) : f32[4,9,6]
    return(%y)
  }`},
	{name: "attention", text: `(%q: f32[2,4,5,16], %k: f32[2,4,9,16], %v: f32[2,4,9,8]) -> (y) {
    %s = einsum(%q, %k) {spec="bhtd,bhsd->bhts"} : f32[2,4,5,9]
    %c = constant {value=f32[] 0.25} : f32[]
    %z = mul(%s, %c) : f32[2,4,5,9]
    %m = reduce(%z) {kind="max", axes=[-1], keep=true} : f32[2,4,5,1]
    %d = sub(%z, %m) : f32[2,4,5,9]
    %e = exp(%d) : f32[2,4,5,9]
    %t = reduce(%e) {kind="sum", axes=[-1], keep=true} : f32[2,4,5,1]
    %p = div(%e, %t) : f32[2,4,5,9]
    %y = einsum(%p, %v) {spec="bhts,bhse->bhte"} : f32[2,4,5,8]
    return(%y)
  }`},
	{name: "gated layer", text: `(%x: f32[6,32], %g: f32[48,32], %u: f32[48,32], %d: f32[20,48]) -> (y) {
    %a = einsum(%x, %g) {spec="td,fd->tf"} : f32[6,48]
    %b = einsum(%x, %u) {spec="td,fd->tf"} : f32[6,48]
    %s = sigmoid(%a) : f32[6,48]
    %h = mul(%a, %s) : f32[6,48]
    %m = mul(%h, %b) : f32[6,48]
    %y = einsum(%m, %d) {spec="tf,df->td"} : f32[6,20]
    return(%y)
  }`},
	{name: "residual after a product", text: `(%x: f32[7,40], %w: f32[24,40], %r: f32[7,24]) -> (y, n) {
    %a = einsum(%x, %w) {spec="td,nd->tn"} : f32[7,24]
    %y = add(%a, %r) : f32[7,24]
    %q = mul(%y, %y) : f32[7,24]
    %n = reduce(%q) {kind="sum", axes=[-1]} : f32[7]
    return(%y, %n)
  }`},
	{name: "rotation of halves", text: `(%x: f32[3,4,10], %c: f32[3,1,10], %s: f32[3,1,10]) -> (y) {
    %a = slice(%x) {axis=-1, start=0, limit=5} : f32[3,4,5]
    %b = slice(%x) {axis=-1, start=5, limit=10} : f32[3,4,5]
    %n = neg(%b) : f32[3,4,5]
    %r = concat(%n, %a) {axis=-1} : f32[3,4,10]
    %0 = mul(%x, %c) : f32[3,4,10]
    %1 = mul(%r, %s) : f32[3,4,10]
    %y = add(%0, %1) : f32[3,4,10]
    return(%y)
  }`},
	{name: "cache update", limit: 5, text: `(%c: f32[2,9,8], %x: f32[2,3,8], %at: i32[2]) -> (y) {
    %n = neg(%x) : f32[2,3,8]
    %y = update(%c, %n, %at) {axis=1} : f32[2,9,8]
    return(%y)
  }`},
	{name: "embedding and norm", limit: 30, text: `(%t: i64[2,5], %w: f32[30,16]) -> (y) {
    %e = gather(%w, %t) : f32[2,5,16]
    %q = mul(%e, %e) : f32[2,5,16]
    %m = reduce(%q) {kind="mean", axes=[-1], keep=true} : f32[2,5,1]
    %r = rsqrt(%m) : f32[2,5,1]
    %y = mul(%e, %r) : f32[2,5,16]
    return(%y)
  }`},
	{name: "quantised product", text: `(%x: f32[5,64], %w: i8[24,64], %s: f32[24,2]) -> (y) {
    %q, %c = quantize(%x) {block=[32], format=i8} : i8[5,64], f32[5,2]
    %y = scaled_matmul(%q, %w, %c, %s) {block=[1,32], format=f32} : f32[5,24]
    return(%y)
  }`},
	{name: "dequantised weight", text: `(%x: f32[5,64], %w: f8e4m3fn[24,64], %s: f32[3,2]) -> (y) {
    %d = dequantize(%w, %s) {block=[8,32], format=f32} : f32[24,64]
    %y = einsum(%x, %d) {spec="td,nd->tn"} : f32[5,24]
    return(%y)
  }`},
	{name: "routed experts", text: `(%x: f32[6,16], %r: f32[4,16], %w: f32[4,12,16]) -> (y) {
    %l = einsum(%x, %r) {spec="nd,ed->ne"} : f32[6,4]
    %v, %i = top_k(%l) {k=2} : f32[6,2], i32[6,2]
    %rows, %places, %offsets = group_rows(%i) {groups=4} : i32[12], i32[6,2], i32[5]
    %g = gather(%x, %rows) : f32[12,16]
    %h = grouped_matmul(%g, %w, %offsets) : f32[12,12]
    %b = gather(%h, %places) : f32[6,2,12]
    %a = reshape(%v) {shape=[6,2,1]} : f32[6,2,1]
    %m = mul(%b, %a) : f32[6,2,12]
    %y = reduce(%m) {kind="sum", axes=[1]} : f32[6,12]
    return(%y)
  }`},
	{name: "wide integers", limit: 7, text: `(%x: i64[3,5], %m: i64[]) -> (a, b, c) {
    %k = constant {value=i64[] 4294967299} : i64[]
    %0 = mul(%x, %k) : i64[3,5]
    %a = add(%0, %m) : i64[3,5]
    %b = reduce(%a) {kind="sum", axes=[1]} : i64[3]
    %c = div(%a, %k) : i64[3,5]
    return(%a, %b, %c)
  }`},
	{name: "doubles", text: `(%x: f64[4,30], %w: f64[6,30]) -> (y) {
    %p = einsum(%x, %w) {spec="ab,cb->ac"} : f64[4,6]
    %e = exp(%p) : f64[4,6]
    %s = reduce(%e) {kind="sum", axes=[-1], keep=true} : f64[4,1]
    %y = div(%e, %s) : f64[4,6]
    return(%y)
  }`},
	{name: "index arithmetic", limit: 4, text: `(%x: f32[4,6,5], %i: i32[4,6,3]) -> (y) {
    %one = constant {value=i32[] 1} : i32[]
    %j = add(%i, %one) : i32[4,6,3]
    %g = gather_elements(%x, %j) : f32[4,6,3]
    %t = transpose(%g) {perm=[2,0,1]} : f32[3,4,6]
    %y = reduce(%t) {kind="max", axes=[0]} : f32[4,6]
    return(%y)
  }`},
	{name: "transpose, slice and concat of columns", text: `(%x: f32[7,130], %y: f32[7,9]) -> (z) {
    %t = transpose(%x) {perm=[1,0]} : f32[130,7]
    %s = slice(%t) {axis=0, start=3, limit=130, stride=2} : f32[64,7]
    %u = transpose(%y) {perm=[1,0]} : f32[9,7]
    %c = concat(%s, %u, %s) {axis=0} : f32[137,7]
    %r = reverse(%c) {axes=[0]} : f32[137,7]
    %z = reduce(%r) {kind="sum", axes=[1]} : f32[137]
    return(%z)
  }`},
	{name: "masked choice", text: `(%x: f32[5,8], %y: f32[8]) -> (z, n) {
    %c = lt(%x, %y) : bool[5,8]
    %z = select(%c, %x, %y) : f32[5,8]
    %a = reduce(%c) {kind="any", axes=[1]} : bool[5]
    %n = not(%a) : bool[5]
    return(%z, %n)
  }`},
}
