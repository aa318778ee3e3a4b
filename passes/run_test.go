package passes

import (
	"context"
	"errors"
	"strings"
	"testing"

	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/irtest"
	"apogee/ir/op"
	"apogee/passes/rewrite"
)

const small = `module @m {
  func entry @f(%x: f32[4]) -> (y) {
    %a = neg(%x) : f32[4]
    %b = neg(%a) : f32[4]
    %c = exp(%b) : f32[4]
    %d = exp(%x) : f32[4]
    %y = add(%c, %d) : f32[4]
    return(%y)
  }
}
`

func TestPipelineText(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "",
		" cse ,  fuse { max = 8 } ,dce": "cse,fuse{max=8},dce",
		"fold{max=3,}":                  "fold{max=3}",
		"cse{}":                         "cse",
	} {
		if got, err := Format(text); err != nil || got != want {
			t.Errorf("%q prints as %q, %v; want %q", text, got, err, want)
		}
	}
	for text, want := range map[string][]string{
		"cse,,dce":          {"1:5", "expected the name of a pass, found \",\""},
		"canonicalize,cs":   {`no pass is called "canonicalize"`, `did you mean "canonicalise"`, `no pass is called "cs"`, `did you mean "cse"`},
		"fuse{most=3}":      {`pass fuse has no option "most"`, "it has max"},
		"fuse{max=-1}":      {"takes a number"},
		"fuse{max=2,max=3}": {"given twice"},
		"cse{x=1}":          {"it takes none"},
		"fuse{max":          {"expected option=value or }"},
		"fuse{max=}":        {"expected a value"},
		"fuse{max=1 max=2}": {"expected a comma or }"},
		"cse dce":           {"expected a comma, found \"d\""},
		"cse,":              {"expected the name of a pass, found the end"},
	} {
		_, err := Format(text)
		var l *diag.List
		if !errors.As(err, &l) {
			t.Errorf("%q: no diagnostics but %v", text, err)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q: the error does not say %q:\n%v", text, w, err)
			}
		}
	}
}

// The examples of the codes for pipelines are mistakes of that kind.
func TestCodes(t *testing.T) {
	for _, c := range diag.Codes() {
		if !strings.HasPrefix(c.ID, "PASS") || c.Example == "" {
			continue
		}
		if _, err := Format(c.Example); err == nil || !strings.Contains(err.Error(), c.ID) {
			t.Errorf("the example of %s gives %v", c.ID, err)
		}
	}
}

func FuzzPipeline(f *testing.F) {
	for _, s := range []string{Default(0), Default(1), "cse{", "fuse{max=8},cse", "a,b{c=d}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		one, err := Format(s)
		if err != nil {
			return
		}
		if two, err := Format(one); err != nil || one != two {
			t.Errorf("%q prints as %q, and that as %q, %v", s, one, two, err)
		}
	})
}

func TestOptions(t *testing.T) {
	m := irtest.Parse(t, small)
	var after []string
	rep, err := Run(context.Background(), m, "canonicalise,cse,dce,dce", Options{CompareText: true, Verify: true, After: func(p string, m *ir.Module, changed bool) {
		if changed {
			p += "!"
		}
		after = append(after, p)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(after, " "); got != "canonicalise! cse! dce dce" {
		t.Errorf("after each pass: %s", got)
	}
	if rep.Fired("RemoveDoubleNegation") != 1 || rep.Fired("MergeEqualOps") != 1 || len(rep.Passes) != 4 {
		t.Errorf("report %+v", rep)
	}

	m = irtest.Parse(t, small)
	rep, err = Run(context.Background(), m, "canonicalise,cse", Options{Disable: []string{"RemoveDoubleNegation"}})
	if err != nil || rep.Fired("RemoveDoubleNegation") != 0 || m.Funcs[0].Body.Len() != 6 {
		t.Errorf("a rule switched off: %v, %+v", err, rep)
	}
	m = irtest.Parse(t, small)
	rep, err = Run(context.Background(), m, "canonicalise,cse", Options{StopAfter: 1})
	if err != nil || rep.Fired("RemoveDoubleNegation") != 1 || rep.Fired("MergeEqualOps") != 0 {
		t.Errorf("stopped after one firing: %v, %+v", err, rep)
	}
	if _, err = Run(context.Background(), m, "cse", Options{Disable: []string{"MergeEqualOp"}}); err == nil || !strings.Contains(err.Error(), `did you mean "MergeEqualOps"`) {
		t.Errorf("an unknown rule: %v", err)
	}
	if _, err = Run(context.Background(), m, "fuse", Options{}); err == nil || !strings.Contains(err.Error(), CodeNeeds) {
		t.Errorf("fuse without a chip: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err = Run(ctx, m, "cse", Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A pass that breaks down, and one that leaves a broken module, are reported with their names and the op.
func TestCrash(t *testing.T) {
	initTable()
	boom := &Info{Name: "boom", run: func(p *Pass) error {
		return p.rewrite(rewrite.Set{{Name: "BreakDown", Doc: "x", Roots: []*op.Info{op.Exp}, Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			var none []int
			return none[3] == 0
		}}}, nil)
	}}
	rot := &Info{Name: "rot", run: func(p *Pass) error {
		for o := p.Module.Funcs[0].Body.First(); o != nil; o = o.Next() {
			if o.Is(op.Exp) {
				o.SetArg(0, o.Block().Last().Arg(0))
			}
		}
		return nil
	}}
	table = append(table, boom, rot)
	defer func() { table = table[:len(table)-2] }()
	m := irtest.Parse(t, small)
	_, err := Run(context.Background(), m, "boom", Options{})
	for _, want := range []string{CodeCrash, "pass boom broke down", "index out of range", "@f: %c = exp", "in rule BreakDown", "run_test.go"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the report of a crash does not say %q:\n%v", want, err)
		}
	}
	_, err = Run(context.Background(), m, "cse,rot", Options{Verify: true})
	if err == nil || !strings.Contains(err.Error(), "after pass rot") {
		t.Errorf("a broken module: %v", err)
	}
}

func TestTable(t *testing.T) {
	for _, i := range List() {
		if i.Doc == "" || i.run == nil || Lookup(i.Name) != i {
			t.Errorf("pass %s lacks its doc or function", i.Name)
		}
		for _, o := range i.Options {
			if o.Doc == "" || o.Default == "" {
				t.Errorf("option %s of %s lacks its doc or default", o.Name, i.Name)
			}
		}
	}
	if why := checkOrder([]string{"fuse", "legalise"}); !strings.Contains(why, "legalise must come before fuse") {
		t.Errorf("fuse before legalise: %q", why)
	}
	if len(Order()) == 0 {
		t.Error("no reasons for the order")
	}
}

// The same input gives the same bytes, whatever Go's maps do.
func TestDeterministic(t *testing.T) {
	c := loadNamed(t, "ascend-910b")
	for seed := range uint64(12) {
		m := irtest.Random(seed, irtest.RandomOptions{Ops: 80, Weights: true, States: true, Symbols: true})
		var first string
		for range 4 {
			k := m.Clone()
			rep, err := Run(context.Background(), k, Default(1), Options{Chip: c, Bind: irtest.Env(), Precision: "f32"})
			s := k.String()
			for _, r := range rep.Remarks {
				s += r.String() + "\n"
			}
			if err != nil {
				s = err.Error()
				if i := strings.Index(s, "from "); i >= 0 {
					s = s[:i]
				}
			}
			if first == "" {
				first = s
			} else if s != first {
				t.Fatalf("seed %d: two runs differ:\n%s", seed, ir.TextDiff("one", first, "two", s))
			}
		}
	}
}
