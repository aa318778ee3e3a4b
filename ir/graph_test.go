package ir_test

import (
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/irtest"
	"apogee/ir/op"
	"apogee/ir/tensor"
)

// Every bit pattern of the formats of up to 16 bits, and edges of the others, survive the text.
func TestLiteralsKeepEveryBit(t *testing.T) {
	for _, f := range format.All() {
		var patterns []uint64
		if f.Bits() <= 16 {
			for p := range uint64(1) << f.Bits() {
				patterns = append(patterns, p)
			}
		} else {
			for i := range f.Bits() {
				p := uint64(1) << i
				patterns = append(patterns, p, p-1, ^p>>(64-f.Bits()))
			}
			r := rand.New(rand.NewPCG(1, uint64(f)))
			for range 2000 {
				patterns = append(patterns, r.Uint64()>>(64-f.Bits()))
			}
			patterns = append(patterns, 0x7fc00001, 0x80000000, 0x7f800000, math.Float64bits(math.NaN())>>(64-f.Bits()))
		}
		for len(patterns) > 0 {
			n := min(len(patterns), 60)
			lit, err := tensor.New(f, []int64{int64(n)})
			if err != nil {
				t.Fatal(err)
			}
			data, _ := lit.Bytes()
			for i, p := range patterns[:n] {
				format.Put(f, data, i, p)
			}
			patterns = patterns[n:]
			m := ir.NewModule("m")
			fn := m.NewFunc("f")
			fn.Results = []string{"c"}
			b := ir.AtEnd(fn.Body)
			b.Return(b.Op(op.Constant, ir.A("value", lit)))
			if b.Err != nil {
				t.Fatal(b.Err)
			}
			text := m.String()
			back, err := ir.ParseString(text)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			got := back.Funcs[0].Body.First().Attrs.Tensor("value")
			if same, err := got.Equal(lit); err != nil || !same {
				t.Fatalf("%s changed: %s", f, text)
			}
			if back.String() != text {
				t.Fatalf("%s prints differently", f)
			}
		}
	}
}

func TestLargeLiterals(t *testing.T) {
	for _, c := range []struct {
		f format.Format
		n int64
	}{{format.F32, 31}, {format.I4, 31}, {format.F6E3M2, 31}, {format.Bool, 31}, {format.F32, 9001}, {format.I2, 55_555}, {format.F6E3M2, 30_001}} {
		f := c.f
		lit := irtest.RandomTensor(rand.New(rand.NewPCG(1, 1)), f, []int64{7, c.n}, 4)
		m := ir.NewModule("m")
		fn := m.NewFunc("f")
		fn.Results = []string{"c"}
		b := ir.AtEnd(fn.Body)
		b.Return(b.Op(op.Constant, ir.A("value", lit)))
		if data, _ := lit.Bytes(); f.Bits() == 2 {
			data[len(data)-1] |= 0xfc // bits beyond the last element do not count
		}
		text := m.String()
		if !strings.Contains(text, "base64\"") {
			t.Errorf("%s: expected bytes:\n%s", f, text)
		}
		back := irtest.Parse(t, text)
		if same, err := back.Funcs[0].Body.First().Attrs.Tensor("value").Equal(lit); err != nil || !same || back.String() != text {
			t.Errorf("%s changed", f)
		}
	}
}

func TestFloatAttributesKeepEveryBit(t *testing.T) {
	for _, x := range []float64{0, math.Copysign(0, -1), 1, 0.1, 1e-6, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1),
		math.NaN(), math.Float64frombits(0x7ff0000000000001), math.Float64frombits(0xfff8000000000123), 1e21, 123456789} {
		m := irtest.Parse(t, "module @m {\n  func @f(%q: f32[1,2,3,4]) -> (y) {\n    %y = attention(%q, %q, %q) {scale=0.5} : f32[1,2,3,4]\n    return(%y)\n  }\n}\n")
		o := m.Funcs[0].Body.First()
		o.Attrs = o.Attrs.With("scale", x)
		back := irtest.Parse(t, m.String())
		if got := back.Funcs[0].Body.First().Attrs.Float("scale", 3); math.Float64bits(got) != math.Float64bits(x) {
			t.Errorf("%x became %x", math.Float64bits(x), math.Float64bits(got))
		}
		if d := ir.Diff(m, back); d != "" {
			t.Error(d)
		}
	}
}

func TestOddNames(t *testing.T) {
	m := ir.NewModule("a b\"c\n")
	m.SetMeta("k\x00", "\xff\xfe")
	f := m.NewFunc("é")
	f.Entry, f.Doc = true, "line\nline\t\"quoted\" \\ \x01"
	f.Pos = ir.Pos{File: m.File("dir with blank/ä.mg"), Line: 1, Scope: m.Scope("")}
	names := []string{"x", "x_1", "12", "a b", "", "//", "%", "x", "state", "x"}
	for i, n := range names[:3] {
		f.AddInput(n, vec)
		_ = i
	}
	b := ir.AtEnd(f.Body)
	v := f.Body.Params[0]
	for _, n := range names {
		v = b.Op(op.Neg, nil, v)
		v.Name = n
	}
	f.Results = []string{"out put"}
	b.Return(v)
	text := m.String()
	back, err := ir.ParseString(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if got := back.String(); got != text {
		t.Error(ir.TextDiff("first", text, "second", got))
	}
	if back.Name != m.Name || back.Meta("k\x00") != "\xff\xfe" || back.Funcs[0].Doc != f.Doc || back.Funcs[0].Pos != f.Pos {
		t.Error("a name was lost")
	}
	irtest.Golden(t, "testdata/text/names.ir", []byte(text))
}

// The text of a module is what people read; a change of it is a decision.
func TestPrintGolden(t *testing.T) {
	for seed := range uint64(3) {
		m := irtest.Random(seed, irtest.RandomOptions{Ops: 60, Symbols: true, Weights: true, States: true, Kernels: true,
			Only: func(i *op.Info) bool { return i != op.Constant }})
		irtest.Verify(t, m)
		var plain strings.Builder
		if err := ir.PrintWith(&plain, m, ir.PrintOptions{NoPositions: true}); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(plain.String(), " @1") || strings.Contains(plain.String(), "files") {
			t.Error("positions were to be left out")
		}
		irtest.Parse(t, plain.String())
	}
	irtest.Golden(t, "testdata/text/large.ir", []byte(irtest.Large(60).String()))
	irtest.Golden(t, "testdata/text/sample.ir", []byte(irtest.Parse(t, sample).String()))
}

func TestOpText(t *testing.T) {
	m := irtest.Parse(t, sample)
	var got []string
	for _, o := range m.Funcs[0].Body.Ops() {
		got = append(got, o.Text())
	}
	want := `%y_1 = kernel(%y, %"odd value") {name="norm", kind="map"} {…} : f32[B,T,8] @1:13:1:2`
	if got[9] != want {
		t.Errorf("got  %s\nwant %s", got[9], want)
	}
	names := ir.NewNames(m.Funcs[0])
	for i, o := range m.Funcs[0].Body.Ops() {
		if names.Text(o) != got[i] {
			t.Errorf("two texts: %s and %s", names.Text(o), got[i])
		}
	}
}

func TestHash(t *testing.T) {
	m, f := small(t)
	h, fh := m.Hash(), f.Hash()
	same := func(what string, want bool) {
		t.Helper()
		if (m.Hash() == h) != want || (f.Hash() == fh) != want {
			t.Errorf("%s: hashes are equal: %v and %v, expected %v", what, m.Hash() == h, f.Hash() == fh, want)
		}
		h, fh = m.Hash(), f.Hash()
	}
	f.Body.First().Result(0).Name = "other"
	same("a name", true)
	f.Body.First().Pos = ir.Pos{}
	f.Doc = "doc"
	same("a position", true)
	f.Body.First().SetArg(0, f.Body.Params[1])
	same("an operand", false)
	f.Body.Params[0].Type = ir.Tensor(format.BF16)
	same("a type", false)
	f.Return().SetArg(0, f.Body.Params[0])
	same("a result", false)

	// Two kernels with equal regions.
	k := irtest.Parse(t, `module @m {
  func @f(%x: f32[4], %z: f32[4]) -> (y) {
    %a = kernel(%x) {name="k0", kind="map"} (%p: f32[4]) {
      %q = neg(%p) : f32[4]
      yield(%q)
    } : f32[4]
    %b = kernel(%a) {name="k1", kind="map"} (%u: f32[4]) {
      %v = neg(%u) : f32[4] 
      yield(%v)
    } : f32[4]
    %c = kernel(%b) {name="k2", kind="map"} (%g: f32[4]) {
      %h = abs(%g) : f32[4]
      yield(%h)
    } : f32[4]
    return(%c)
  }
}
`)
	ops := k.Funcs[0].Body.Ops()
	if ops[0].Regions[0].Hash() != ops[1].Regions[0].Hash() || ops[0].Regions[0].Hash() == ops[2].Regions[0].Hash() {
		t.Error("equal regions have equal hashes, others do not")
	}
}

func TestDiff(t *testing.T) {
	a, _ := small(t)
	b, f := small(t)
	if d := ir.Diff(a, b); d != "" {
		t.Errorf("equal modules differ: %s", d)
	}
	f.Body.First().Next().SetArg(0, f.Body.Params[0])
	if d := ir.Diff(a, b); !strings.Contains(d, "one:   %b = neg(%a)") || !strings.Contains(d, "other: %b = neg(%x)") {
		t.Errorf("got %s", d)
	}
	b, f = small(t)
	f.Return().Erase()
	if d := ir.Diff(a, b); !strings.Contains(d, "goes on with return(%b, %s), where the other ends") {
		t.Errorf("got %s", d)
	}
	b, f = small(t)
	f.Results[0] = "z"
	if d := ir.Diff(a, b); !strings.Contains(d, "the results of @f are [y] and [z]") {
		t.Errorf("got %s", d)
	}
	if d := ir.TextDiff("a", a.String(), "b", b.String()); !strings.Contains(d, "-  func entry") || !strings.Contains(d, "+  func entry") {
		t.Errorf("got %s", d)
	}
}

func TestClone(t *testing.T) {
	for seed := range uint64(20) {
		m := irtest.Random(seed, irtest.RandomOptions{Ops: 60, Funcs: 2, Symbols: true, Weights: true, States: true, Kernels: true})
		text := m.String()
		c := m.Clone()
		irtest.Verify(t, c)
		if c.String() != text {
			t.Fatal(ir.TextDiff("module", text, "clone", c.String()))
		}
		// Emptying the clone leaves the original alone.
		for _, f := range c.Funcs {
			for o := f.Body.Last(); o != nil; o = f.Body.Last() {
				o.Erase()
			}
		}
		irtest.Verify(t, m)
		if m.String() != text {
			t.Fatal("the clone shares something")
		}
		other := ir.NewModule("other")
		other.File("z.mg")
		other.Scope("elsewhere")
		f := other.CloneFunc(m.Funcs[0], "copy")
		irtest.Verify(t, other)
		if d := ir.DiffFunc(f, m.Funcs[0]); d != "" {
			t.Fatal(d)
		}
		for x, y := f.Body.First(), m.Funcs[0].Body.First(); x != nil; x, y = x.Next(), y.Next() {
			if other.PosString(x.Pos) != m.PosString(y.Pos) {
				t.Fatalf("position %s became %s", m.PosString(y.Pos), other.PosString(x.Pos))
			}
		}
	}
}

func TestExtract(t *testing.T) {
	m := irtest.Parse(t, sample)
	ops := m.Funcs[0].Body.Ops()
	// cast, mul, and the kernel that reads mul and a reduce left outside.
	part, inputs := ir.Extract("part", []*ir.Op{ops[1], ops[2], ops[9]}, []*ir.Value{ops[9].Result(0), ops[0].Result(0)})
	irtest.Verify(t, part)
	irtest.Golden(t, "testdata/text/extract.ir", []byte(part.String()))
	if len(inputs) != 3 || inputs[0] != ops[0].Result(0) || inputs[1] != m.Funcs[0].Body.Params[1] || inputs[2] != ops[7].Result(0) {
		t.Errorf("inputs %v", inputs)
	}
	for seed := range uint64(20) {
		m := irtest.Random(seed, irtest.RandomOptions{Ops: 60, Kernels: true})
		ops := m.Funcs[0].Body.Ops()
		r := rand.New(rand.NewPCG(seed, 5))
		var some []*ir.Op
		var outs []*ir.Value
		for _, o := range ops {
			if !o.Info.Terminator && r.IntN(3) == 0 {
				some = append(some, o)
				outs = append(outs, o.Results()...)
			}
		}
		part, _ := ir.Extract("part", some, outs)
		irtest.Verify(t, part)
		irtest.Parse(t, part.String())
	}
}

func TestEqualOp(t *testing.T) {
	m := irtest.Parse(t, `module @m {
  func @f(%x: f32[4], %y: f32[4], %c: bool[4]) -> (r) {
    %a = add(%x, %y) : f32[4]
    %b = add(%y, %x) : f32[4]
    %d = sub(%x, %y) : f32[4]
    %e = sub(%y, %x) : f32[4]
    %f = reduce(%x) {kind="sum", axes=[0]} : f32[]
    %g = reduce(%x) {kind="sum", axes=[-1]} : f32[]
    %h = reduce(%x) {kind="sum", axes=[0]} : f32[]
    %i = constant {value=f32[] 0} : f32[]
    %j = constant {value=f32[] -0} : f32[]
    %k = constant {value=f32[] -0} : f32[]
    %l = weight {name="w"} : f32[4]
    %m = weight {name="w"} : f32[5]
    %n = kernel(%x) {name="k", kind="map"} (%p: f32[4]) {
      yield(%p)
    } : f32[4]
    %o = kernel(%x) {name="k", kind="map"} (%p1: f32[4]) {
      yield(%p1)
    } : f32[4]
    return(%a)
  }
}
`)
	o := map[string]*ir.Op{}
	for _, x := range m.Funcs[0].Body.Ops() {
		if len(x.Results()) > 0 {
			o[x.Result(0).Name] = x
		}
	}
	for _, c := range []struct {
		a, b string
		want bool
	}{{"a", "b", true}, {"d", "e", false}, {"f", "g", false}, {"f", "h", true}, {"i", "j", false}, {"j", "k", true}, {"l", "m", false}, {"n", "o", false}, {"a", "d", false}} {
		if got := ir.EqualOp(o[c.a], o[c.b]); got != c.want {
			t.Errorf("%s and %s: %v", o[c.a].Text(), o[c.b].Text(), got)
		}
		if c.want && o[c.a].HashKey() != o[c.b].HashKey() {
			t.Errorf("%s and %s have different keys", o[c.a].Text(), o[c.b].Text())
		}
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestPrintReportsWriteErrors(t *testing.T) {
	if err := ir.Print(failing{}, irtest.Large(3000)); err != io.ErrClosedPipe {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Add(irtest.Large(60).String())
	for seed := range uint64(4) {
		f.Add(irtest.Random(seed, irtest.RandomOptions{Ops: 20, Symbols: true, Weights: true, States: true, Kernels: true, Control: seed%2 == 0}).String())
	}
	for _, c := range diag.Codes() {
		f.Add(c.Example)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, list := ir.Parse(diag.NewSource("x.ir", []byte(text)))
		_ = list.Error()
		if (m == nil) != list.HasErrors() {
			t.Fatal("a module comes if and only if there is no error")
		}
		if m == nil {
			return
		}
		first := m.String()
		again, err := ir.ParseString(first)
		if err != nil {
			t.Fatalf("what was printed does not parse: %v\n%s", err, first)
		}
		if second := again.String(); second != first {
			t.Fatal(ir.TextDiff("first", first, "second", second))
		}
		if ir.Verify(m).HasErrors() {
			return
		}
		if d := ir.Diff(m, again); d != "" {
			t.Fatal(d)
		}
		if c := m.Clone(); c.String() != first {
			t.Fatal("the clone prints differently")
		}
	})
}
