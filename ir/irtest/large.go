package irtest

import (
	"fmt"
	"io"
	"strconv"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

// LargeOps is how many ops DeepSeek-V3 has with its routed experts unrolled one by one: the size that speed is
// measured at.
const LargeOps = 273_000

// Large returns a module of about n ops that is like DeepSeek-V3 with its routed experts unrolled: per expert three
// weights with block scales, dequantised, three products, the gate, and the sum into what the experts before gave.
// Names, positions and scopes are as a frontend would leave them; some constants and casts are there twice.
func Large(n int) *ir.Module {
	m := ir.NewModule("deepseek_v3")
	file := m.File("deepseek_v3.mg")
	f := m.NewFunc("prefill")
	f.Entry = true
	f.Pos = ir.Pos{File: file, Line: 3, Col: 1}
	rows, hidden, inner := shape.Sym("B").Mul(shape.Sym("T")), shape.Const(7168), shape.Const(2048)
	x := f.AddInput("x", ir.Tensor(format.BF16, rows, hidden))
	gates := f.AddInput("gates", ir.Tensor(format.F32, rows, shape.Const(256)))
	f.Results = []string{"y"}
	b := ir.AtEnd(f.Body)
	zero := b.Scalar(format.F32, 0)
	sum := b.Op(op.Cast, ir.A("format", format.F32), x)
	count := 3
	for layer := 3; count+1 < n; layer++ {
		for e := 0; e < 256 && count+1 < n; e++ {
			p := "model.layers." + strconv.Itoa(layer) + ".mlp.experts." + strconv.Itoa(e) + "."
			b.Pos = ir.Pos{File: file, Scope: m.Scope("layers." + strconv.Itoa(layer) + ".mlp.experts." + strconv.Itoa(e))}
			at := func(line, col int32) *ir.Builder {
				b.Pos.Line, b.Pos.Col = line, col
				return b
			}
			weight := func(name string, line int32, f, d shape.Dim) *ir.Value {
				w := at(line, 13).Declare(op.Weight, ir.A("name", p+name+".weight"), []ir.Type{ir.Tensor(format.F8E4M3FN, f, d)}).Result(0)
				w.Name = name
				s := at(line, 13).Declare(op.Weight, ir.A("name", p+name+".weight_scale_inv"),
					[]ir.Type{ir.Tensor(format.F32, f.CeilDiv(128), d.CeilDiv(128))}).Result(0)
				s.Name = name + "_scale"
				q := at(line, 13).Op(op.Dequantize, ir.A("block", []int64{128, 128}, "format", format.BF16), w, s)
				q.Name = name + "_bf16"
				return q
			}
			named := func(name string, v *ir.Value) *ir.Value {
				v.Name = name
				return v
			}
			gate := weight("gate_proj", 141, inner, hidden)
			up := weight("up_proj", 142, inner, hidden)
			down := weight("down_proj", 143, hidden, inner)
			g := named("g", at(145, 11).Einsum("nd,fd->nf", x, gate, format.BF16))
			u := named("u", at(146, 11).Einsum("nd,fd->nf", x, up, format.BF16))
			gf := at(147, 7).Cast(g, format.F32)
			sig := at(147, 12).Op(op.Sigmoid, nil, gf)
			act := named("silu", at(147, 12).Op(op.Mul, nil, gf, sig))
			uf := at(147, 27).Cast(u, format.F32)
			h := named("h", at(147, 21).Op(op.Mul, nil, act, uf))
			hb := at(148, 7).Cast(h, format.BF16)
			y := named("y", at(149, 11).Einsum("nf,df->nd", hb, down, format.BF16))
			yf := at(150, 9).Cast(y, format.F32)
			w := named("gate_weight", at(151, 9).Op(op.Slice, ir.A("axis", -1, "start", shape.Const(int64(e)), "limit", shape.Const(int64(e+1))), gates))
			again := at(152, 20).Scalar(format.F32, 0)
			chosen := named("chosen", at(152, 15).Op(op.Gt, nil, w, again))
			weighted := at(152, 29).Op(op.Mul, nil, yf, w)
			part := at(152, 9).Op(op.Select, nil, chosen, weighted, zero)
			sum = named("sum", at(153, 9).Op(op.Add, nil, sum, part))
			count += 25
		}
	}
	b.Return(sum)
	if b.Err != nil {
		panic(b.Err)
	}
	return m
}

// LargeMLIR writes a module of about as many ops as Large(n) in MLIR's text: the same values with the same shapes and as
// many locations. Elementwise ops are of the arith and math dialects; weights, dequantisation, products and slices are ops of an
// unregistered dialect, the least work for the other side.
func LargeMLIR(w io.Writer, n int) error {
	bw := &countWriter{w: w}
	const x, g, xf, wide = "tensor<?x7168xbf16>", "tensor<?x2048xbf16>", "tensor<?x7168xf32>", "tensor<?x2048xf32>"
	fmt.Fprintf(bw, "module @deepseek_v3 {\n  func.func @prefill(%%x: %s, %%gates: tensor<?x256xf32>) -> %s {\n", x, xf)
	fmt.Fprintf(bw, "    %%zero = arith.constant 0.0 : f32\n    %%sum_0 = arith.extf %%x : %s to %s\n", x, xf)
	count, k := 3, 0
	for layer := 3; count+1 < n; layer++ {
		for e := 0; e < 256 && count+1 < n; e++ {
			scope := fmt.Sprintf("layers.%d.mlp.experts.%d", layer, e)
			loc := func(line, col int) string {
				return fmt.Sprintf(" loc(%q(\"deepseek_v3.mg\":%d:%d))", scope, line, col)
			}
			weight := func(name string, line int, rows, cols int) {
				p := fmt.Sprintf("model.%s.%s.weight", scope, name)
				fmt.Fprintf(bw, "    %%%s_%d = \"m.weight\"() {name = %q} : () -> tensor<%dx%dxf8E4M3FN>%s\n", name, k, p, rows, cols, loc(line, 13))
				fmt.Fprintf(bw, "    %%%s_scale_%d = \"m.weight\"() {name = %q} : () -> tensor<%dx%dxf32>%s\n", name, k, p+"_scale_inv", rows/128, cols/128, loc(line, 13))
				fmt.Fprintf(bw, "    %%%s_d_%d = \"m.dequantize\"(%%%[1]s_%[2]d, %%%[1]s_scale_%[2]d) {block = [128, 128]} : (tensor<%[3]dx%[4]dxf8E4M3FN>, tensor<%[5]dx%[6]dxf32>) -> tensor<%[3]dx%[4]dxbf16>%[7]s\n",
					name, k, rows, cols, rows/128, cols/128, loc(line, 13))
			}
			weight("gate_proj", 141, 2048, 7168)
			weight("up_proj", 142, 2048, 7168)
			weight("down_proj", 143, 7168, 2048)
			line := func(format string, args ...any) { fmt.Fprintf(bw, "    "+format+"\n", args...) }
			line(`%%g_%d = "m.einsum"(%%x, %%gate_proj_d_%[1]d) {spec = "nd,fd->nf"} : (%[2]s, tensor<2048x7168xbf16>) -> %[3]s%[4]s`, k, x, g, loc(145, 11))
			line(`%%u_%d = "m.einsum"(%%x, %%up_proj_d_%[1]d) {spec = "nd,fd->nf"} : (%[2]s, tensor<2048x7168xbf16>) -> %[3]s%[4]s`, k, x, g, loc(146, 11))
			line(`%%gf_%d = arith.extf %%g_%[1]d : %[2]s to %[3]s%[4]s`, k, g, wide, loc(147, 7))
			line(`%%e_%d = math.exp %%gf_%[1]d : %[2]s%[3]s`, k, wide, loc(147, 12))
			line(`%%act_%d = arith.mulf %%gf_%[1]d, %%e_%[1]d : %[2]s%[3]s`, k, wide, loc(147, 12))
			line(`%%uf_%d = arith.extf %%u_%[1]d : %[2]s to %[3]s%[4]s`, k, g, wide, loc(147, 27))
			line(`%%h_%d = arith.mulf %%act_%[1]d, %%uf_%[1]d : %[2]s%[3]s`, k, wide, loc(147, 21))
			line(`%%hb_%d = arith.truncf %%h_%[1]d : %[2]s to %[3]s%[4]s`, k, wide, g, loc(148, 7))
			line(`%%y_%d = "m.einsum"(%%hb_%[1]d, %%down_proj_d_%[1]d) {spec = "nf,df->nd"} : (%[2]s, tensor<7168x2048xbf16>) -> %[3]s%[4]s`, k, g, x, loc(149, 11))
			line(`%%yf_%d = arith.extf %%y_%[1]d : %[2]s to %[3]s%[4]s`, k, x, xf, loc(150, 9))
			line(`%%w_%d = "m.slice"(%%gates) {axis = 1, start = %d, limit = %d} : (tensor<?x256xf32>) -> tensor<?x7168xf32>%s`, k, e, e+1, loc(151, 9))
			line(`%%again_%d = arith.constant dense<0.0> : tensor<7168xf32>%s`, k, loc(152, 20))
			line(`%%chosen_%d = arith.cmpf ogt, %%w_%[1]d, %%yf_%[1]d : %[2]s%[3]s`, k, xf, loc(152, 15))
			line(`%%weighted_%d = arith.mulf %%yf_%[1]d, %%w_%[1]d : %[2]s%[3]s`, k, xf, loc(152, 29))
			line(`%%part_%d = arith.select %%chosen_%[1]d, %%weighted_%[1]d, %%yf_%[1]d : tensor<?x7168xi1>, %[2]s%[3]s`, k, xf, loc(152, 9))
			line(`%%sum_%d = arith.addf %%sum_%d, %%part_%d : %s%s`, k+1, k, k, xf, loc(153, 9))
			k++
			count += 25
		}
	}
	fmt.Fprintf(bw, "    return %%sum_%d : %s\n  }\n}\n", k, xf)
	return bw.flush()
}

// countWriter gathers small writes and keeps the first error.
type countWriter struct {
	w   io.Writer
	b   []byte
	err error
}

func (c *countWriter) Write(p []byte) (int, error) {
	if c.b = append(c.b, p...); len(c.b) > 1<<16 {
		c.flush()
	}
	return len(p), c.err
}

func (c *countWriter) flush() error {
	if c.err == nil {
		_, c.err = c.w.Write(c.b)
	}
	c.b = c.b[:0]
	return c.err
}
