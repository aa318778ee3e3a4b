package trace

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func sample() *Trace {
	t := &Trace{Name: "toy \"on\" a chip"}
	m := t.Track("cube")
	t.Track("mte2")
	t.Add(Span{Track: m, Name: "mmad", Start: 1e-6, End: 2.5e-6, Wait: 5e-7, For: "flag l0_full", Bound: "matrix", Flops: 1 << 20, Step: 3, Instr: 20, Place: "toy.mg:1:3"})
	t.Add(Span{Track: t.Track("mte2"), Name: "copy\n", Start: 0, End: 1e-6, Bytes: 4096, Times: 7, Instr: -1})
	return t
}

// TestChrome reads the file as a viewer does.
func TestChrome(t *testing.T) {
	var b bytes.Buffer
	if err := WriteChrome(&b, sample()); err != nil {
		t.Fatal(err)
	}
	var f struct {
		TraceEvents []struct {
			Ph, Name string
			Tid      int
			Ts, Dur  float64
			Args     map[string]any
		}
	}
	if err := json.Unmarshal(b.Bytes(), &f); err != nil {
		t.Fatalf("%v:\n%s", err, &b)
	}
	if n := len(f.TraceEvents); n != 1+2*2+2 {
		t.Fatalf("%d events", n)
	}
	e := f.TraceEvents[5]
	if e.Ph != "X" || e.Name != "mmad" || e.Tid != 0 || e.Ts != 1 || e.Dur != 1.5 || e.Args["waited_us"] != 0.5 || e.Args["waited_for"] != "flag l0_full" ||
		e.Args["step"] != 3.0 || e.Args["instruction"] != 20.0 || e.Args["bound_by"] != "matrix" || e.Args["flops"] != 1048576.0 {
		t.Errorf("%+v", e)
	}
	e = f.TraceEvents[6]
	if _, has := e.Args["instruction"]; has || e.Tid != 1 || e.Args["bytes"] != 4096.0 || e.Args["times"] != 7.0 {
		t.Errorf("%+v", e)
	}
	if !strings.Contains(b.String(), `"args":{"name":"toy \"on\" a chip"}`) {
		t.Error("the process has no name")
	}
}

// TestLimit holds that a trace stays within its bounds and says what it left out.
func TestLimit(t *testing.T) {
	tr := &Trace{Limit: 3}
	for i := 0; i < 10; i++ {
		if kept := tr.Add(Span{}); kept != (i < 3) {
			t.Errorf("span %d: kept %v", i, kept)
		}
	}
	if len(tr.Spans) != 3 || tr.Dropped != 7 || !tr.Full() {
		t.Errorf("%d kept, %d dropped", len(tr.Spans), tr.Dropped)
	}
}

type broken struct{ left int }

func (w *broken) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, bytes.ErrTooLarge
	}
	return len(p), nil
}

func TestWriteError(t *testing.T) {
	tr := &Trace{}
	for i := 0; i < 5000; i++ {
		tr.Add(Span{Name: "x"})
	}
	if err := WriteChrome(&broken{70000}, tr); err == nil {
		t.Error("the writer's error is lost")
	}
}

func BenchmarkChrome(b *testing.B) {
	tr := &Trace{}
	for i := 0; i < 100_000; i++ {
		tr.Add(Span{Name: "mmad", Start: float64(i) * 1e-6, End: float64(i)*1e-6 + 5e-7, Bound: "matrix"})
	}
	for b.Loop() {
		var n counter
		if err := WriteChrome(&n, tr); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(n))
	}
}

type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
