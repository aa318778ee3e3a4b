package codegen

import (
	"os"
	"testing"

	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/op"
	"apogee/targets/chip"
	"apogee/targets/plan"
)

func wrap(f *ir.Func) {
	for _, o := range f.Body.Ops() {
		kind := ""
		switch {
		case o.Is(op.Weight), o.Is(op.Return), o.Is(op.Constant):
			continue
		case isProduct(o):
			kind = "contract"
		case o.Is(op.Attention):
			kind = "attention"
		case o.Is(op.Gather):
			kind = "gather"
		case o.Is(op.GroupRows):
			kind = "search"
		default:
			kind = "map"
		}
		ir.AtEnd(f.Body).Kernel(o.Info.Name, kind, []*ir.Op{o}, o.Results())
	}
}

func TestSmoke(t *testing.T) {
	src := `module @m {
  func entry @f(%x: f32[3,5,96], %w: f32[40,96], %r: f32[3,5,40]) -> (y, z, s) {
    %a = einsum(%x, %w) {spec="btd,fd->btf"} : f32[3,5,40]
    %b = add(%a, %r) : f32[3,5,40]
    %m = reduce(%b) {kind="mean", axes=[-1], keep=true} : f32[3,5,1]
    %c = sub(%b, %m) : f32[3,5,40]
    %t = transpose(%c) {perm=[2,0,1]} : f32[40,3,5]
    %s = exp(%t) : f32[40,3,5]
    return(%c, %m, %s)
  }
}
`
	m, l := ir.Parse(diag.NewSource("a.ir", []byte(src)))
	if l.HasErrors() {
		t.Fatal(l.Err())
	}
	wrap(m.Funcs[0])
	for _, name := range []string{"ascend-910b", "nvidia-h100", "hygon-k100-ai", "loongson-3c6000"} {
		c, err := chip.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Compile(m.Funcs[0], c, Options{})
		if err != nil {
			t.Error(name, err)
			continue
		}
		if name == os.Getenv("SHOW") {
			plan.Print(os.Stdout, p, plan.Vocab{})
		}
	}
}
