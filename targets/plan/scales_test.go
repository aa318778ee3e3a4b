package plan_test

import (
	"strings"
	"testing"

	"apogee/ir/format"
	"apogee/targets/plan"
	"apogee/targets/plan/plantest"
)

// TestScalesChecked: a product whose scales are not what its rate takes, with what each is told.
func TestScalesChecked(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(in *plan.Instr, r *plan.MatrixRule)
		want   []string // nothing: the plan is good
	}{
		{"as they should be", func(*plan.Instr, *plan.MatrixRule) {}, nil},
		{"of a rate that takes none", func(_ *plan.Instr, r *plan.MatrixRule) { r.Scale, r.ScaleBlock = format.Invalid, 0 }, []string{"takes no scales for f16 · f16"}},
		{"in another format", func(in *plan.Instr, _ *plan.MatrixRule) { in.D.Format = format.U8 }, []string{"the scales of a product have the wrong format", "expected f8e8m0, found u8"}},
		{"in another memory", func(in *plan.Instr, _ *plan.MatrixRule) { in.D.Mem, in.D.Local = in.A.Mem, in.A.Local }, []string{"not in the memories of its operands", "expected l0a and l0b, found l0a and l0a"}},
		{"of one operand", func(in *plan.Instr, _ *plan.MatrixRule) { in.D = plan.NoTile }, []string{"scales of both operands, or of none", "found C"}},
		{"too few rows", func(in *plan.Instr, _ *plan.MatrixRule) {
			in.Dst.Size[0], in.A.Size[0], in.C.Size[0] = plan.C(64), plan.C(64), plan.C(63)
		}, []string{"M of C and Dst differ"}},
		{"too few blocks", func(in *plan.Instr, _ *plan.MatrixRule) { in.C.Size[1], in.D.Size[0] = plan.C(1), plan.C(1) }, []string{"another number of scales than blocks of 32", "expected 2, found 1"}},
		{"more of one than of the other", func(in *plan.Instr, _ *plan.MatrixRule) { in.D.Size[0] = plan.C(1) }, []string{"the numbers of scales of A and B differ"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := plantest.Matmul(plantest.Size{M: 64, K: 64, N: 128, BM: 64, BK: 64, BN: 128})
			r := rules()
			r.Matrix[0].Scale, r.Matrix[0].ScaleBlock = format.F8E8M0, 32
			code := p.Kernels[0].Code
			for i := range code {
				in := &code[i]
				if in.Op != plan.Mma {
					continue
				}
				for _, x := range []struct{ of, scales *plan.Tile }{{&in.A, &in.C}, {&in.B, &in.D}} {
					*x.scales = *x.of
					x.scales.Format, x.scales.Stride = format.F8E8M0, []int64{2, 1}
				}
				in.A.Size[1], in.B.Size[0] = plan.C(64), plan.C(64)
				in.C.Size = []plan.Val{in.Dst.Size[0], plan.C(2)}
				in.D.Size = []plan.Val{plan.C(2), in.Dst.Size[1]}
				tc.change(in, &r.Matrix[0])
			}
			report := ""
			for _, d := range plan.Check(p, r).Items() {
				report += d.Error() + "\n"
			}
			if tc.want == nil && report != "" {
				t.Error(report)
			}
			for _, w := range tc.want {
				if !strings.Contains(report, w) {
					t.Errorf("%q is not in\n%s", w, report)
				}
			}
		})
	}
}
