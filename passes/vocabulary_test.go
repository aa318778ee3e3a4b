package passes_test

import (
	"context"
	"testing"

	"apogee/codegen"
	"apogee/ir/irtest"
	"apogee/passes"
	"apogee/targets/chips"
)

// What works along a whole vocabulary, whose rows fit no chip's vector memory, is cut until it does, means the same, and compiles.
func TestVocabulary(t *testing.T) {
	sources := map[string]string{
		"softmax": `
    %m = reduce(%x) {kind="max", axes=[-1], keep=true} : f32[2,1]
    %d = sub(%x, %m) : f32[2,129280]
    %e = exp(%d) : f32[2,129280]
    %s = reduce(%e) {kind="sum", axes=[-1], keep=true} : f32[2,1]
    %y = div(%e, %s) : f32[2,129280]
    return(%y)`,
		"norm": `
    %q = mul(%x, %x) : f32[2,129280]
    %m = reduce(%q) {kind="mean", axes=[-1], keep=true} : f32[2,1]
    %r = rsqrt(%m) : f32[2,1]
    %y = mul(%x, %r) : f32[2,129280]
    return(%y)`,
		"argmax": `
    %a = argmax(%x) : i32[2]
    %y = cast(%a) {format=f32} : f32[2]
    return(%y)`,
		"top_k": `
    %v, %i = top_k(%x) {k=40} : f32[2,40], i32[2,40]
    %g = gather_elements(%x, %i) : f32[2,40]
    %y = sub(%v, %g) : f32[2,40]
    return(%y)`,
		"cumsum": `
    %y = cumsum(%x) {axis=1} : f32[2,129280]
    return(%y)`,
		"join": `
    %z = constant {value=f32[] 0.5} : f32[]
    %p = pad(%x, %z) {low=[0,3], high=[1,0]} : f32[3,129283]
    %c = concat(%p, %p) {axis=1} : f32[3,258566]
    %y = reduce(%c) {kind="min", axes=[0]} : f32[258566]
    return(%y)`,
		"scatter": `
    %i = constant {value=i32[2,3] [[0, 129279, 70000], [5, -1, 64000]]} : i32[2,3]
    %u = constant {value=f32[] 9.0} : f32[]
    %y = scatter_elements(%x, %i, %u) : f32[2,129280]
    return(%y)`,
		"all": `
    %y = reduce(%x) {kind="sum", axes=[0,1]} : f32[]
    return(%y)`,
	}
	for k, name := range []string{"softmax", "norm", "argmax", "top_k", "cumsum", "join", "scatter", "all"} {
		for n, target := range chips.List() {
			if testing.Short() && n > 0 {
				break
			}
			if (n+k)%8 != 0 { // every chip has its turn
				continue
			}
			t.Run(name+"/"+target, func(t *testing.T) {
				m := irtest.Parse(t, "module @m {\n  func entry @f(%x: f32[2,129280]) -> (y) {"+sources[name]+"\n  }\n}\n")
				opt := passes.Options{Chip: loadChip(t, target), Precision: "f32"}
				if err := try(m, 3, passes.Default(1), opt, 2e-5); err != nil {
					t.Fatal(err)
				}
				if _, err := passes.Run(context.Background(), m, passes.Default(1), opt); err != nil {
					t.Fatal(err)
				}
				if _, err := codegen.Compile(m.Funcs[0], opt.Chip, codegen.Options{}); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
