package chip

import (
	"slices"
	"testing"

	"apogee/ir/format"
)

func TestCastRoute(t *testing.T) {
	pair := func(from, to format.Format) FormatPair { return FormatPair{From: from, To: to} }
	u := VectorUnit{
		{Casts: []FormatPair{pair(format.I8, format.F16), pair(format.F16, format.F32), pair(format.I8, format.I32), pair(format.F32, format.BF16)}},
		{Casts: []FormatPair{pair(format.I32, format.F32), pair(format.F32, format.I8)}},
	}
	all := func(format.Format) bool { return true }
	for _, r := range []struct {
		from, to format.Format
		keep     func(format.Format) bool
		want     []format.Format
	}{
		{format.I8, format.F16, all, []format.Format{format.F16}},
		{format.I8, format.F32, all, []format.Format{format.F16, format.F32}}, // the file names it before the way through i32
		{format.I8, format.F32, func(f format.Format) bool { return f != format.F16 }, []format.Format{format.I32, format.F32}},
		{format.I8, format.F16, func(format.Format) bool { return false }, []format.Format{format.F16}}, // nothing in between to keep
		{format.I8, format.F32, func(format.Format) bool { return false }, nil},
		{format.BF16, format.F32, all, nil}, // one way only
		{format.F32, format.F16, all, []format.Format{format.I8, format.F16}},
		{format.F32, format.F32, all, nil},
	} {
		if got := u.CastRoute(r.from, r.to, r.keep); !slices.Equal(got, r.want) {
			t.Errorf("from %s to %s: %v, expected %v", r.from, r.to, got, r.want)
		}
	}
	if !u.CanCast(format.F32, format.I8) || u.CanCast(format.I8, format.F32) {
		t.Error("casts in one instruction are those of all engines, one way")
	}
}

// TestVectorUnit holds that instructions go to the engines of one queue: one beside it, such as a unit that only samples, takes none.
func TestVectorUnit(t *testing.T) {
	f32 := []VectorRate{{Format: format.F32, Op: Basic, ElementsPerCycle: Quantity{Value: 64}}}
	c := &Chip{Engines: []*Engine{
		{Name: "other", Kind: Vector, Queue: "q0"},
		{Name: "vector", Kind: Vector, Queue: "q1", Units: 1, Vector: f32},
		{Name: "cube", Kind: Matrix, Queue: "q1"},
		{Name: "wide", Kind: Vector, Queue: "q1"},
	}}
	var names []string
	for _, e := range c.VectorUnit() {
		names = append(names, e.Name)
	}
	if want := []string{"vector", "wide"}; !slices.Equal(names, want) {
		t.Errorf("%v, expected %v", names, want)
	}
	if (&Chip{}).VectorUnit() != nil {
		t.Error("a chip without f32 has no unit")
	}
}

// TestFoldLanes: a power of two not above the width, and the usual number where there is none.
func TestFoldLanes(t *testing.T) {
	for width, want := range map[float64]int{0: 16, 1: 16, 2: 2, 8: 8, 32: 32, 48: 32, 64: 64, 128: 128, 65536: 256} {
		c := &Chip{}
		if width > 0 {
			c.Width = Quantity{Value: width, Confidence: Published}
		}
		if got := c.FoldLanes(); got != want {
			t.Errorf("width %g: %d lanes, expected %d", width, got, want)
		}
	}
}
