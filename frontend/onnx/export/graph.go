package export

import (
	"encoding/binary"
	"fmt"
	"math"

	onnx "apogee/frontend/onnx"
	pb "apogee/frontend/onnx/onnxpb"
	"apogee/ir/format"
	"apogee/ir/shape"
	"apogee/ir/tensor"
)

// attrs are the attributes of a node: names and values in turn. Values are int, int64, []int64, float64, bool, string or
// *pb.GraphProto.
type attrs []any

func (a attrs) protos() []*pb.AttributeProto {
	var out []*pb.AttributeProto
	for i := 0; i+1 < len(a); i += 2 {
		p := &pb.AttributeProto{Name: a[i].(string)}
		switch v := a[i+1].(type) {
		case int:
			p.Type, p.I = pb.AttributeProto_INT, int64(v)
		case int64:
			p.Type, p.I = pb.AttributeProto_INT, v
		case int32:
			p.Type, p.I = pb.AttributeProto_INT, int64(v)
		case bool:
			p.Type = pb.AttributeProto_INT
			if v {
				p.I = 1
			}
		case []int64:
			p.Type, p.Ints = pb.AttributeProto_INTS, v
		case float64:
			p.Type, p.F = pb.AttributeProto_FLOAT, float32(v)
		case string:
			p.Type, p.S = pb.AttributeProto_STRING, []byte(v)
		case *pb.GraphProto:
			p.Type, p.G = pb.AttributeProto_GRAPH, v
		default:
			panic(fmt.Sprintf("attribute %s of %T", p.Name, v))
		}
		out = append(out, p)
	}
	return out
}

// fresh gives a name that no value has, as near to the wish as can be.
func (x *exporter) fresh(wish string) string {
	if wish != "" && !x.names[wish] {
		x.names[wish] = true
		return wish
	}
	for {
		x.count[wish]++
		if n := fmt.Sprintf("%s_%d", wish, x.count[wish]); !x.names[n] {
			x.names[n] = true
			return n
		}
	}
}

// node adds a node with so many results to the graph that is being written.
func (x *exporter) node(op string, a attrs, results int, in ...string) []string {
	out := make([]string, results)
	for i := range out {
		out[i] = x.fresh(x.base)
	}
	x.add(op, a, in, out)
	return out
}

func (x *exporter) add(op string, a attrs, in, out []string) {
	x.into.Node = append(x.into.Node, &pb.NodeProto{OpType: op, Name: out[0], Input: in, Output: out, Attribute: a.protos()})
}

// n adds a node without attributes and with one result.
func (x *exporter) n(op string, in ...string) string { return x.node(op, nil, 1, in...)[0] }

// na is n with attributes.
func (x *exporter) na(op string, a attrs, in ...string) string { return x.node(op, a, 1, in...)[0] }

// to casts to an element type. What has no number of its own among the older ones raises the operator set.
func (x *exporter) to(v string, f format.Format) string {
	x.need(since[f])
	return x.na("Cast", attrs{"to", onnx.DataType(f)}, v)
}

// need raises the operator set that the model asks for.
func (x *exporter) need(version int64) { x.opset = max(x.opset, version) }

// since are the operator sets that brought an element type, where that is later than the one that all models ask for.
var since = map[format.Format]int64{format.F4E2M1: 23, format.F8E8M0: 24, format.I2: 25, format.U2: 25}

// constant gives the name of an initialiser; equal ones are one.
func (x *exporter) constant(f format.Format, dims []int64, raw []byte) string {
	key := fmt.Sprint(f, dims) + string(raw)
	if n, ok := x.consts[key]; ok {
		return n
	}
	name := x.fresh("const")
	x.consts[key] = name
	x.graph.Initializer = append(x.graph.Initializer, &pb.TensorProto{Name: name, Dims: dims, DataType: onnx.DataType(f), RawData: raw})
	return name
}

// i64s is a vector of i64.
func (x *exporter) i64s(v ...int64) string { return x.ints(format.I64, []int64{int64(len(v))}, v...) }

// ints is a tensor of i32 or i64.
func (x *exporter) ints(f format.Format, dims []int64, v ...int64) string {
	raw := make([]byte, 0, len(v)*8)
	for _, n := range v {
		if f == format.I32 {
			raw = binary.LittleEndian.AppendUint32(raw, uint32(n))
		} else {
			raw = binary.LittleEndian.AppendUint64(raw, uint64(n))
		}
	}
	return x.constant(f, dims, raw)
}

// num is a scalar of a carrier. An integer's value must be exact in a float64; see int.
func (x *exporter) num(f format.Format, v float64) string {
	switch f {
	case format.F64:
		return x.constant(f, nil, binary.LittleEndian.AppendUint64(nil, math.Float64bits(v)))
	case format.F32:
		return x.constant(f, nil, binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(v))))
	case format.Bool:
		return x.constant(f, nil, []byte{byte(v)})
	}
	return x.ints(f, nil, int64(v))
}

// literal is an initialiser with the elements of a tensor, in the carrier of its format.
func (x *exporter) literal(t *tensor.Tensor) (string, error) {
	f := carrier(t.Format)
	if f.IsFloat() {
		v, err := t.F64s()
		if err != nil {
			return "", err
		}
		if t, err = tensor.FromF64(f, t.Shape, v); err != nil {
			return "", err
		}
	} else if f != t.Format {
		b, err := t.Bytes()
		if err != nil {
			return "", err
		}
		v := make([]int64, t.Numel())
		format.DecodeI64(t.Format, v, b)
		if t, err = tensor.FromI64(f, t.Shape, v); err != nil {
			return "", err
		}
	}
	raw, err := t.Bytes()
	if err != nil {
		return "", err
	}
	if f == format.Bool {
		raw = append([]byte(nil), raw...)
		for i := range raw {
			raw[i] = min(raw[i], 1)
		}
	}
	return x.constant(f, t.Shape, raw), nil
}

// dim is a dimension as a vector of one i64; a scalar of i64 is dim0.
func (x *exporter) dim(d shape.Dim) string { return x.dims(shape.Shape{d}) }

// dim0 is a dimension as a scalar of i64.
func (x *exporter) dim0(d shape.Dim) string {
	if n, ok := d.Value(); ok {
		return x.ints(format.I64, nil, n)
	}
	return x.prelude("scalar "+d.String(), func() string { return x.n("Squeeze", x.dim(d)) })
}

// dims is a shape as a vector of i64. What depends on symbols is computed once, before all else, from the shapes of the inputs.
func (x *exporter) dims(s shape.Shape) string {
	if v, err := s.Ints(); err == nil {
		return x.i64s(v...)
	}
	if len(s) == 1 {
		return x.prelude(s[0].String(), func() string { return x.expression(s[0]) })
	}
	return x.prelude("["+s.String()+"]", func() string {
		var parts []string
		var run []int64 // numbers side by side are one constant
		flush := func() {
			if len(run) > 0 {
				parts = append(parts, x.i64s(run...))
				run = nil
			}
		}
		for _, d := range s {
			if n, ok := d.Value(); ok {
				run = append(run, n)
				continue
			}
			flush()
			parts = append(parts, x.dim(d))
		}
		flush()
		return x.na("Concat", attrs{"axis", 0}, parts...)
	})
}

// prelude gives what f computes in the outermost graph, before the ops; f runs once for a key.
func (x *exporter) prelude(key string, f func() string) string {
	if n, ok := x.shapes[key]; ok {
		return n
	}
	into, base := x.into, x.base
	x.into, x.base = x.before, "shape"
	n := f()
	x.into, x.base = into, base
	x.shapes[key] = n
	return n
}

// expression computes a dimension from the shapes of inputs.
func (x *exporter) expression(d shape.Dim) string {
	return shape.Fold(d, shape.Arithmetic[string]{
		Num: func(n int64) string { return x.i64s(n) },
		Sym: func(s string) string {
			return x.prelude(s, func() string {
				for _, p := range x.f.Body.Params {
					for i, d := range x.shape(p.Type) {
						if d == shape.Sym(s) {
							return x.na("Shape", attrs{"start", i, "end", i + 1}, x.inputs[p])
						}
					}
				}
				x.unbound(s)
				return x.i64s(0)
			})
		},
		Add: func(a, b string) string { return x.n("Add", a, b) },
		Mul: func(a, b string) string { return x.n("Mul", a, b) },
		Floor: func(a string, of shape.Dim, by int64) string {
			k := x.i64s(by)
			if negative(of) { // Div truncates, Mod takes the sign of the divisor
				a = x.n("Sub", a, x.n("Mod", a, k))
			}
			return x.n("Div", a, k)
		},
	})
}

// negative says whether a dimension could be negative.
func negative(d shape.Dim) bool {
	env := map[string]shape.Range{}
	for _, s := range d.Symbols() {
		env[s] = shape.Range{Lo: 0, Hi: 1 << 20}
	}
	r, err := d.Bounds(env)
	return err != nil || r.Lo < 0
}
