package codegen

import (
	"context"
	"fmt"
	"math"
	"math/rand"
	"testing"

	"apogee/ir"
	"apogee/ir/diag"
	oracle "apogee/ir/eval"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/tensor"
	"apogee/targets/bind"
	"apogee/targets/chip"
	"apogee/targets/chips"
	"apogee/targets/plan"
	"apogee/targets/sim/exec"
)

// eachAlone makes a kernel of every op, as if nothing fused.
func eachAlone(f *ir.Func) {
	for _, o := range f.Body.Ops() {
		kind := "map"
		switch {
		case o.Is(op.Weight), o.Is(op.Return), o.Is(op.Kernel), o.Is(op.Constant) && len(o.Result(0).Type.Shape) > 0:
			continue
		case o.Is(op.Constant):
			continue
		case isProduct(o):
			kind = "contract"
		case o.Is(op.Attention):
			kind = "attention"
		case o.Is(op.Gather):
			kind = "gather"
		case o.Is(op.GroupRows):
			kind = "search"
		}
		// Scalars join the kernel that reads them.
		ops := []*ir.Op{o}
		for i := 0; i < o.NumArgs(); i++ {
			if a := o.Arg(i); a.DefIs(op.Constant) && len(a.Type.Shape) == 0 {
				c := ir.At(o).Create(op.Constant, a.Def().Attrs)
				o.SetArg(i, c.Result(0))
				ops = append([]*ir.Op{c}, ops...)
			}
		}
		ir.AtEnd(f.Body).Kernel(o.Info.Name, kind, ops, o.Results())
	}
	for _, o := range f.Body.Ops() {
		if o.Is(op.Constant) && o.Result(0).NumUses() == 0 {
			o.Erase()
		}
	}
}

func mustParse(t testing.TB, src string) *ir.Module {
	t.Helper()
	m, l := ir.Parse(diag.NewSource("test.ir", []byte(src)))
	if l.HasErrors() {
		t.Fatal(l.Err())
	}
	return m
}

// randomInputs fills the inputs and states of a function. Integers stay below limit.
func randomInputs(t testing.TB, f *ir.Func, limit int64) map[string]*tensor.Tensor {
	t.Helper()
	r := rand.New(rand.NewSource(1))
	out := map[string]*tensor.Tensor{}
	for _, p := range f.Body.Params {
		shape, err := p.Type.Shape.Ints()
		if err != nil {
			t.Fatal(err)
		}
		n := int64(1)
		for _, d := range shape {
			n *= d
		}
		var x *tensor.Tensor
		if p.Type.Format.IsFloat() {
			v := make([]float64, n)
			for i := range v {
				v[i] = r.NormFloat64()
			}
			x, err = tensor.FromF64(p.Type.Format, shape, v)
		} else {
			v := make([]int64, n)
			for i := range v {
				v[i] = r.Int63n(limit)
				if p.Type.Format == format.Bool {
					v[i] &= 1
				}
			}
			x, err = tensor.FromI64(p.Type.Format, shape, v)
		}
		if err != nil {
			t.Fatal(err)
		}
		out[p.Name] = x
	}
	return out
}

func worst(t testing.TB, got, want *tensor.Tensor) (float64, string) {
	t.Helper()
	if got == nil {
		return math.Inf(1), "missing"
	}
	if got.Format != want.Format || fmt.Sprint(got.Shape) != fmt.Sprint(want.Shape) {
		return math.Inf(1), fmt.Sprintf("%v instead of %v", got, want)
	}
	if !want.Format.IsFloat() {
		a, _ := got.I64s()
		b, _ := want.I64s()
		for i := range a {
			if a[i] != b[i] {
				return math.Inf(1), fmt.Sprintf("element %d: %d instead of %d", i, a[i], b[i])
			}
		}
		return 0, ""
	}
	a, _ := got.F64s()
	b, _ := want.F64s()
	w, at := 0.0, ""
	for i := range a {
		if a[i] == b[i] || math.IsNaN(a[i]) && math.IsNaN(b[i]) {
			continue
		}
		d := math.Abs(a[i]-b[i]) / (1 + math.Abs(b[i]))
		if !(d <= w) {
			w, at = d, fmt.Sprintf("element %d: %g instead of %g", i, a[i], b[i])
			if math.IsNaN(d) {
				return math.Inf(1), at
			}
		}
	}
	return w, at
}

// against compiles every function of a module for every chip, runs it and holds the results against the evaluator.
func against(t *testing.T, src string, tolerance float64) {
	t.Helper()
	for _, name := range chips.List() {
		c, err := chip.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		againstOn(t, c, src, tolerance)
	}
}

func againstOn(t *testing.T, c *chip.Chip, src string, tolerance float64) {
	t.Helper()
	name := c.Name
	{
		m := mustParse(t, src)
		for _, f := range m.Funcs {
			in := randomInputs(t, f, 3)
			states := map[string]*tensor.Tensor{}
			for _, p := range f.StateParams() {
				x, _ := tensor.New(p.Type.Format, in[p.Name].Shape)
				states[p.Name] = x
			}
			want, next, err := (&oracle.Evaluator{}).Run(context.Background(), f, in, states)
			if err != nil {
				t.Fatal(err)
			}
			eachAlone(f)
			p, err := Compile(f, c, Options{})
			if err != nil {
				t.Errorf("%s: %s: %v", name, f.Name, err)
				continue
			}
			mach, err := exec.New(p, c, nil, exec.Options{})
			if err != nil {
				t.Errorf("%s: %s: %v", name, f.Name, err)
				continue
			}
			for _, s := range f.StateParams() {
				delete(in, s.Name)
			}
			got, err := mach.Run(context.Background(), in)
			if err != nil {
				t.Errorf("%s: %s: %v", name, f.Name, err)
				continue
			}
			for k, w := range want {
				if d, at := worst(t, got[k], w); d > tolerance {
					t.Errorf("%s: %s: %s differs by %g (%s)", name, f.Name, k, d, at)
				}
			}
			_ = next
			if l := plan.Check(p, bind.Rules(c)); l.HasErrors() {
				t.Errorf("%s: %s: %v", name, f.Name, l.Err())
			}
		}
	}
}

func TestMap(t *testing.T) {
	against(t, `module @m {
  func entry @norm(%x: f32[3,5,96], %g: f32[96]) -> (y, z) {
    %e = constant {value=f32[] 1e-06} : f32[]
    %q = mul(%x, %x) : f32[3,5,96]
    %m = reduce(%q) {kind="mean", axes=[-1], keep=true} : f32[3,5,1]
    %n = add(%m, %e) : f32[3,5,1]
    %r = rsqrt(%n) : f32[3,5,1]
    %s = mul(%x, %r) : f32[3,5,96]
    %y = mul(%s, %g) : f32[3,5,96]
    %t = transpose(%y) {perm=[2,0,1]} : f32[96,3,5]
    return(%y, %t)
  }
  func entry @move(%x: f32[4,6,10]) -> (a, b, c, d, e) {
    %a = slice(%x) {axis=1, start=1, limit=6, stride=2} : f32[4,3,10]
    %z = constant {value=f32[] 2.5} : f32[]
    %b = pad(%x, %z) {low=[0,1,2], high=[1,0,3]} : f32[5,7,15]
    %c = concat(%x, %x) {axis=2} : f32[4,6,20]
    %d = reverse(%x) {axes=[1,2]} : f32[4,6,10]
    %e = reshape(%d) {shape=[8,30]} : f32[8,30]
    return(%a, %b, %c, %d, %e)
  }
  func entry @search(%x: f32[7,24], %i: i32[7,3]) -> (v, k, g, s, a, c) {
    %v, %k = top_k(%x) {k=5} : f32[7,5], i32[7,5]
    %g = gather_elements(%x, %i) : f32[7,3]
    %one = constant {value=f32[] 1.0} : f32[]
    %s = scatter_elements(%x, %i, %one) : f32[7,24]
    %a = argmax(%x) {axis=0} : i32[24]
    %c = cumsum(%x) {axis=1, exclusive=true} : f32[7,24]
    return(%v, %k, %g, %s, %a, %c)
  }
}
`, 1e-5)
}

func TestContract(t *testing.T) {
	against(t, `module @m {
  func entry @linear(%x: f32[3,5,96], %w: f32[40,96]) -> (y) {
    %y = einsum(%x, %w) {spec="btd,fd->btf"} : f32[3,5,40]
    return(%y)
  }
  func entry @big(%x: f32[150,300], %w: f32[300,270]) -> (y) {
    %y = einsum(%x, %w) {spec="mk,kn->mn"} : f32[150,270]
    return(%y)
  }
  func entry @heads(%q: f32[2,7,3,16], %k: f32[2,9,3,16]) -> (y) {
    %y = einsum(%q, %k) {spec="bthd,bshd->bhts"} : f32[2,3,7,9]
    return(%y)
  }
  func entry @row(%x: f32[1,1000], %w: f32[333,1000]) -> (y, z, o) {
    %y = einsum(%x, %w) {spec="bd,fd->bf"} : f32[1,333]
    %z = einsum(%x, %x) {spec="bd,ed->be"} : f32[1,1]
    %o = einsum(%x, %y) {spec="bd,bf->df"} : f32[1000,333]
    return(%y, %z, %o)
  }
}
`, 2e-5)
}

func TestAttentionAndExperts(t *testing.T) {
	against(t, `module @m {
  func entry @gqa(%q: f32[2,7,6,16], %k: f32[2,40,2,16], %v: f32[2,40,2,24], %pos: i32[2]) -> (y) {
    %y = attention(%q, %k, %v, %pos) {scale=0.25, causal=true, with=["pos"]} : f32[2,7,6,24]
    return(%y)
  }
  func entry @mla(%q: f32[1,1,4,64], %k: f32[1,300,1,64], %q2: f32[1,1,4,8], %k2: f32[1,300,1,8]) -> (y) {
    %y = attention(%q, %k, %k, %q2, %k2) {scale=0.25, with=["q2", "k2"]} : f32[1,1,4,64]
    return(%y)
  }
  func entry @mask(%q: f32[1,5,4,16], %k: f32[1,9,4,16], %m: bool[5,9]) -> (y) {
    %y = attention(%q, %k, %k, %m) {scale=0.5, softcap=3.0, with=["mask"]} : f32[1,5,4,16]
    return(%y)
  }
  func entry @experts(%x: f32[11,32], %ids: i32[11,2], %w: f32[3,48,32]) -> (y, p) {
    %rows, %places, %off = group_rows(%ids) {groups=3} : i32[22], i32[11,2], i32[4]
    %xs = gather(%x, %rows) : f32[22,32]
    %h = grouped_matmul(%xs, %w, %off) : f32[22,48]
    %y = gather(%h, %places) : f32[11,2,48]
    return(%y, %places)
  }
}
`, 2e-5)
}

// againstWith is against for the chips that have a matrix rate for a pair of formats.
func againstWith(t *testing.T, a format.Format, src string, tolerance float64) {
	t.Helper()
	found := false
	for _, name := range chips.List() {
		c, err := chip.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, ok := c.Matrix(a, a); ok {
			found = true
			againstOn(t, c, src, tolerance)
		}
	}
	if !found {
		t.Fatalf("no chip multiplies %s", a)
	}
}

func TestScaled(t *testing.T) {
	againstWith(t, format.F8E4M3FN, `module @m {
  func entry @fp8(%x: f8e4m3fn[5,300], %w: f8e4m3fn[200,300], %sx: f32[5,3], %sw: f32[2,3]) -> (y) {
    %y = scaled_matmul(%x, %w, %sx, %sw) {block=[128,128], format=f32} : f32[5,200]
    return(%y)
  }
  func entry @moe(%x: f8e4m3fn[9,256], %w: f8e4m3fn[3,64,256], %ids: i32[9,1], %sx: f32[9,2], %sw: f32[3,1,2]) -> (y) {
    %rows, %places, %off = group_rows(%ids) {groups=3} : i32[9], i32[9,1], i32[4]
    %y = grouped_matmul(%x, %w, %off, %sx, %sw) {block=[128,128], format=f32} : f32[9,64]
    return(%y)
  }
`+"}\n", 5e-3) // Hopper's accumulator keeps 14 bits within a block
	againstWith(t, format.I8, `module @m {
  func entry @int8(%x: i8[5,300], %w: i8[200,300], %sx: f32[5,1], %sw: f32[200,1]) -> (y) {
    %y = scaled_matmul(%x, %w, %sx, %sw) {block=[1,300], format=f32} : f32[5,200]
    return(%y)
  }
`+"}\n", 1e-6)
	against(t, `module @m {
  func entry @q(%x: f32[5,300]) -> (q, s, y) {
    %q, %s = quantize(%x) {block=[128], format=i8} : i8[5,300], f32[5,3]
    %y = dequantize(%q, %s) {block=[128], format=f32} : f32[5,300]
    return(%q, %s, %y)
  }
`+"}\n", 1e-6)
}
