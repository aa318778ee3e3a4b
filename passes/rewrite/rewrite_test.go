package rewrite

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

// chain is a function of n negations of its input.
func chain(n int) *ir.Func {
	m := ir.NewModule("chain")
	f := m.NewFunc("f")
	f.Results = []string{"y"}
	v := f.AddInput("x", ir.Tensor(format.F32, shape.Const(4)))
	b := ir.AtEnd(f.Body)
	for range n {
		v = b.Op(op.Neg, nil, v)
	}
	b.Return(v)
	return f
}

var dropPair = &Rule{
	Name: "DropPair", Doc: "-(-x) is x.", Roots: []*op.Info{op.Neg},
	Apply: func(r *Rewriter, o *ir.Op) bool {
		d := o.Arg(0).Def()
		if d == nil || !d.Is(op.Neg) {
			return false
		}
		r.Replace(o, d.Arg(0))
		return true
	},
}

func TestRunToTheEnd(t *testing.T) {
	for _, n := range []int{0, 1, 2, 7, 1000} {
		f := chain(n)
		ctl := &Control{}
		if err := Run(f, Set{dropPair}, ctl, nil, nil); err != nil {
			t.Fatal(err)
		}
		if got := f.Body.Len() - 1; got != n%2 {
			t.Errorf("%d negations became %d", n, got)
		}
		if ctl.Fired() != int64(n/2) || n > 1 && ctl.Counts()[0] != (Count{"DropPair", int64(n / 2)}) {
			t.Errorf("%d negations: counted %d, %v", n, ctl.Fired(), ctl.Counts())
		}
		if err := ir.Verify(f.Module).Err(); err != nil {
			t.Error(err)
		}
	}
}

func TestControl(t *testing.T) {
	f := chain(10)
	if err := Run(f, Set{dropPair}, &Control{Disabled: map[string]bool{"DropPair": true}}, nil, nil); err != nil || f.Body.Len() != 11 {
		t.Errorf("a rule that is switched off fired: %d ops, %v", f.Body.Len(), err)
	}
	ctl := &Control{Limit: 2}
	if err := Run(f, Set{dropPair}, ctl, nil, nil); err != nil || f.Body.Len() != 7 || ctl.Fired() != 2 {
		t.Errorf("a limit of 2 left %d ops after %d firings, %v", f.Body.Len(), ctl.Fired(), err)
	}
	if ctl.Fire(dropPair) {
		t.Error("a firing beyond the limit was allowed")
	}
}

func TestRunaway(t *testing.T) {
	to := func(name string, from, into *op.Info) *Rule {
		return &Rule{Name: name, Doc: "x", Roots: []*op.Info{from}, Apply: func(r *Rewriter, o *ir.Op) bool {
			r.Replace(o, r.At(o).Op(into, nil, o.Arg(0)))
			return true
		}}
	}
	err := Run(chain(3), Set{to("MakeAbs", op.Neg, op.Abs), to("MakeNeg", op.Abs, op.Neg)}, &Control{}, nil, nil)
	var e *RunawayError
	if !errors.As(err, &e) || e.Rule != "MakeAbs" && e.Second != "MakeAbs" || e.Rule != "MakeNeg" && e.Second != "MakeNeg" {
		t.Fatalf("two rules that undo each other: %v", err)
	}
}

func TestBadBuild(t *testing.T) {
	bad := &Rule{Name: "BuildNonsense", Doc: "x", Roots: []*op.Info{op.Neg}, Apply: func(r *Rewriter, o *ir.Op) bool {
		r.At(o).Op(op.Not, nil, o.Arg(0))
		return true
	}}
	err := Run(chain(1), Set{bad}, &Control{}, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "BuildNonsense") || !strings.Contains(err.Error(), "not takes") {
		t.Errorf("a rule that builds what the op table refuses: %v", err)
	}
}

func TestRemarkAndData(t *testing.T) {
	var got []Remark
	say := &Rule{Name: "SaySo", Doc: "x", Roots: []*op.Info{op.Neg}, Apply: func(r *Rewriter, o *ir.Op) bool {
		r.Remark(o, "%v of it", r.Data)
		return false
	}}
	if err := Run(chain(1), Set{say}, &Control{}, 517, func(r Remark) { got = append(got, r) }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Rule != "SaySo" || got[0].Message != "517 of it" || got[0].Op != "neg" {
		t.Errorf("remarks %v", got)
	}
}

func TestJoin(t *testing.T) {
	if n := Join(Set{dropPair}, Set{{Name: "Other"}}).Names(); strings.Join(n, " ") != "DropPair Other" {
		t.Errorf("joined %v", n)
	}
	defer func() {
		if recover() == nil {
			t.Error("two rules of one name were joined")
		}
	}()
	Join(Set{dropPair}, Set{dropPair})
}

// BenchmarkDriver is the driver's own cost: time an op must not grow with the ops.
func BenchmarkDriver(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("ops=%d", n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				f := chain(n)
				b.StartTimer()
				if err := Run(f, Set{dropPair}, &Control{}, nil, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/op-in-module")
		})
	}
}
