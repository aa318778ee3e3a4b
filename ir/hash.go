package ir

import (
	"bytes"
	"crypto/sha256"
	"math"
	"slices"
	"sync"

	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/ir/tensor"
)

// Hash returns the sha256 of what the module means to those who use it: its facts, its functions in order with their
// names, signatures and ops. Names of values inside, positions, scopes and docs do not count.
func (m *Module) Hash() [32]byte {
	return hashed(int(m.nvalues), func(p *printer) {
		for _, a := range m.Attrs {
			p.b = appendQuoted(appendQuoted(p.b, a.Key), a.Value)
		}
		for _, f := range m.Funcs {
			p.b = appendQuoted(p.b, f.Name)
			if f.Entry {
				p.str(" entry")
				for _, v := range f.Body.Params {
					p.b = appendQuoted(p.b, v.Name)
				}
			}
			for _, r := range f.Results {
				p.b = appendQuoted(p.b, r)
			}
			p.structureOf(f)
		}
	})
}

// Hash returns the sha256 of the function's parameter types, states and ops. All names, and positions, do not count.
func (f *Func) Hash() [32]byte {
	return hashed(int(f.Module.nvalues), func(p *printer) { p.structureOf(f) })
}

// Hash returns the sha256 of the block's parameter types and ops, so that equal kernels can be found by their regions. Names
// and positions do not count.
func (b *Block) Hash() [32]byte {
	return hashed(int(b.Func.Module.nvalues), func(p *printer) { p.structureOfBlock(b, len(b.Params)) })
}

// labels are reused between hashes, since a function may have many kernels. They need no clearing: every value of a
// block is labelled before it is printed.
var labels = sync.Pool{New: func() any { return new([]int32) }}

func hashed(values int, f func(*printer)) (sum [32]byte) {
	h := sha256.New()
	l := labels.Get().(*[]int32)
	if cap(*l) < values {
		*l = make([]int32, values)
	}
	p := &printer{w: h, PrintOptions: PrintOptions{NoPositions: true, structure: true}}
	p.names.label = (*l)[:values]
	p.names.numbers = true
	f(p)
	p.flush()
	labels.Put(l)
	h.Sum(sum[:0])
	return sum
}

func (p *printer) structureOf(f *Func) {
	p.structureOfBlock(f.Body, len(f.Body.Params)-f.States)
}

func (p *printer) structureOfBlock(b *Block, states int) {
	p.names.unnamed = 0
	p.names.block(b)
	p.params(b, states)
	p.block(b, 0)
}

// HashKey returns a hash of the op, its operands and its attributes, equal for ops that EqualOp holds equal: what
// common subexpression elimination needs. It is the same in every run.
func (o *Op) HashKey() uint64 {
	h := mix(uint64(o.Info.ID), uint64(len(o.args)))
	if o.Info.Commutative && len(o.args) == 2 {
		a, b := uint64(o.args[0].val.id), uint64(o.args[1].val.id)
		h = mix(mix(h, min(a, b)), max(a, b))
	} else {
		for i := range o.args {
			h = mix(h, uint64(o.args[i].val.id))
		}
	}
	for i := range o.Attrs {
		h = mix(h, hashAttr(o.Attrs[i].Value))
	}
	return h
}

// EqualOp reports whether two ops compute the same: the same kind, operands (in either order where that does not
// matter), attributes and result types. Ops with regions equal themselves only.
func EqualOp(a, b *Op) bool {
	if a == b {
		return true
	}
	if a.Info != b.Info || len(a.args) != len(b.args) || len(a.Regions)+len(b.Regions) > 0 || len(a.results) != len(b.results) {
		return false
	}
	same := true
	for i := range a.args {
		if a.args[i].val != b.args[i].val {
			same = false
			break
		}
	}
	if !same && !(a.Info.Commutative && len(a.args) == 2 && a.args[0].val == b.args[1].val && a.args[1].val == b.args[0].val) {
		return false
	}
	if !EqualAttrs(a.Attrs, b.Attrs) {
		return false
	}
	for i, r := range a.results {
		if !r.Type.Equal(b.results[i].Type) {
			return false
		}
	}
	return true
}

func mix(h, x uint64) uint64 {
	h = (h ^ x) * 0x9E3779B97F4A7C15
	return h ^ h>>29
}

func hashString(s string) uint64 {
	h := uint64(len(s))
	for len(s) >= 8 {
		h = mix(h, uint64(s[0])|uint64(s[1])<<8|uint64(s[2])<<16|uint64(s[3])<<24|uint64(s[4])<<32|uint64(s[5])<<40|uint64(s[6])<<48|uint64(s[7])<<56)
		s = s[8:]
	}
	x := uint64(0)
	for i := range len(s) {
		x = x<<8 | uint64(s[i])
	}
	return mix(h, x)
}

func hashDim(d shape.Dim) uint64 {
	if n, ok := d.Value(); ok {
		return mix(1, uint64(n))
	}
	return hashString(d.String())
}

func hashAttr(v any) uint64 {
	switch v := v.(type) {
	case int64:
		return uint64(v)
	case float64:
		return math.Float64bits(v)
	case string:
		return hashString(v)
	case bool:
		if v {
			return 1
		}
		return 2
	case []int64:
		h := uint64(len(v))
		for _, n := range v {
			h = mix(h, uint64(n))
		}
		return h
	case []string:
		h := uint64(len(v))
		for _, s := range v {
			h = mix(h, hashString(s))
		}
		return h
	case format.Format:
		return uint64(v)
	case shape.Dim:
		return hashDim(v)
	case shape.Shape:
		h := uint64(len(v))
		for _, d := range v {
			h = mix(h, hashDim(d))
		}
		return h
	case *tensor.Tensor:
		h := mix(uint64(v.Format), uint64(v.Numel()))
		// The first bytes tell most constants apart; EqualAttrs compares all.
		if b, err := v.ReadRange(0, min(v.NumBytes(), 64)); err == nil && v.NumBytes() > 0 {
			if v.NumBytes() <= 64 {
				b = b[:len(b)-1] // whose last bits may be beyond the last element
			}
			h = mix(h, hashString(string(b)))
		}
		return h
	}
	return 0
}

// EqualAttrs reports whether two ops' attributes are the same to the bit: NaN equals a NaN of the same pattern, and 0
// is not -0.
func EqualAttrs(a, b op.Attrs) bool {
	if len(a) != len(b) {
		return false
	}
	if len(a) == 0 || &a[0] == &b[0] {
		return true
	}
	for i := range a {
		if a[i].Name != b[i].Name || !EqualAttr(a[i].Value, b[i].Value) {
			return false
		}
	}
	return true
}

// EqualAttr is EqualAttrs for one value.
func EqualAttr(a, b any) bool {
	switch a := a.(type) {
	case int64:
		b, ok := b.(int64)
		return ok && a == b
	case float64:
		b, ok := b.(float64)
		return ok && math.Float64bits(a) == math.Float64bits(b)
	case string:
		b, ok := b.(string)
		return ok && a == b
	case bool:
		b, ok := b.(bool)
		return ok && a == b
	case []int64:
		b, ok := b.([]int64)
		return ok && slices.Equal(a, b)
	case []string:
		b, ok := b.([]string)
		return ok && slices.Equal(a, b)
	case format.Format:
		b, ok := b.(format.Format)
		return ok && a == b
	case shape.Dim:
		b, ok := b.(shape.Dim)
		return ok && a == b
	case shape.Shape:
		b, ok := b.(shape.Shape)
		return ok && a.Equal(b)
	case *tensor.Tensor:
		b, ok := b.(*tensor.Tensor)
		return ok && equalTensors(a, b)
	}
	return false
}

func equalTensors(a, b *tensor.Tensor) bool {
	if a == b {
		return true
	}
	if a == nil || b == nil || a.Format != b.Format || !slices.Equal(a.Shape, b.Shape) {
		return false
	}
	x, err1 := a.Bytes()
	y, err2 := b.Bytes()
	if err1 != nil || err2 != nil {
		return false
	}
	if bytes.Equal(x, y) {
		return true
	}
	used := tailBits(a.Format, a.Numel())
	if used == 0 || len(x) == 0 {
		return false
	}
	last := len(x) - 1
	return bytes.Equal(x[:last], y[:last]) && (x[last]^y[last])&(1<<used-1) == 0
}
