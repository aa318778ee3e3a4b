package shape

import (
	"math"
	"slices"
	"strings"
	"testing"
)

func shapeOf(t testing.TB, text string) Shape {
	t.Helper()
	s, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestShapeText(t *testing.T) {
	for in, want := range map[string]string{"B,T,7168": "B,T,7168", "": "", " B , 2*T ": "B,2*T", "3": "3"} {
		s := shapeOf(t, in)
		if s.String() != want {
			t.Errorf("%q prints as %q, want %q", in, s, want)
		}
		if !s.Equal(shapeOf(t, want)) {
			t.Errorf("%q does not come back", in)
		}
	}
	for _, bad := range []string{",", "B,", "B,,T", "B;T"} {
		if s, err := Parse(bad); err == nil {
			t.Errorf("%q gives [%s]", bad, s)
		}
	}
}

func TestNumel(t *testing.T) {
	for in, want := range map[string]string{"": "1", "B,T,2": "2*B*T", "3,4": "12", "0,B": "0", "4294967296,4294967296,0": "0"} {
		if got := shapeOf(t, in).Numel(); got.String() != want {
			t.Errorf("[%s] has %s elements, want %s", in, got, want)
		}
	}
	if d := Of(1<<32, 1<<32).Numel(); d.Valid() {
		t.Errorf("2^64 elements are %s", d)
	}
}

func TestBroadcast(t *testing.T) {
	cases := []struct{ a, b, want string }{
		{"B,T,7168", "7168", "B,T,7168"}, {"B,1,D", "T,1", "B,T,D"}, {"", "B", "B"}, {"", "", ""}, {"1", "0", "0"},
		{"2*S+1", "1+S+S", "2*S+1"}, {"3,1", "1,4", "3,4"}, {"B,T", "B,T", "B,T"},
	}
	for _, c := range cases {
		for range 2 {
			got, err := Broadcast(shapeOf(t, c.a), shapeOf(t, c.b))
			if err != nil || got.String() != c.want {
				t.Errorf("[%s] with [%s] gives [%s], %v; want [%s]", c.a, c.b, got, err, c.want)
			}
			c.a, c.b = c.b, c.a
		}
	}
	for _, c := range [][2]string{{"B", "T"}, {"3", "4"}, {"B", "7"}, {"B,T", "T,B"}, {"0", "2"}, {"S", "S+1"}} {
		_, err := Broadcast(shapeOf(t, c[0]), shapeOf(t, c[1]))
		if err == nil {
			t.Errorf("[%s] and [%s] broadcast", c[0], c[1])
			continue
		}
		for _, part := range c {
			if !strings.Contains(err.Error(), "["+part+"]") {
				t.Errorf("error %q does not spell out [%s]", err, part)
			}
		}
	}
}

func TestStrides(t *testing.T) {
	cases := []struct {
		dims, want []int64
	}{
		{nil, []int64{}}, {[]int64{5}, []int64{1}}, {[]int64{2, 3, 4}, []int64{12, 4, 1}}, {[]int64{2, 0, 4}, []int64{0, 4, 1}},
		{[]int64{7, math.MaxInt64}, []int64{math.MaxInt64, 1}},
		{[]int64{7, 3, math.MaxInt64}, nil}, {[]int64{-1}, nil}, {[]int64{2, -1, 3}, nil},
		{[]int64{1, 1 << 62, 2, 1}, nil},
		{[]int64{1 << 62, 2, 1}, []int64{2, 1, 1}},
	}
	for _, c := range cases {
		if got := Strides(c.dims); !slices.Equal(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("strides of %v are %v, want %v", c.dims, got, c.want)
		}
	}
}

func TestInts(t *testing.T) {
	s := shapeOf(t, "B,4,2*B")
	if _, err := s.Ints(); err == nil || !strings.Contains(err.Error(), "[B,4,2*B]") || !strings.Contains(err.Error(), "axis 0") {
		t.Errorf("error %v", err)
	}
	if got, err := s.Eval(map[string]int64{"B": 3}); err != nil || !slices.Equal(got, []int64{3, 4, 6}) {
		t.Errorf("with B=3: %v, %v", got, err)
	}
	bound := s.Subst(map[string]Dim{"B": Const(3)})
	if got, err := bound.Ints(); err != nil || !slices.Equal(got, []int64{3, 4, 6}) || !bound.IsConst() || s.IsConst() {
		t.Errorf("%v, %v", got, err)
	}
	if got := shapeOf(t, "T,B,T*S").Symbols(); !slices.Equal(got, []string{"T", "B", "S"}) {
		t.Errorf("symbols %v", got)
	}
	if Of(2, 3).Rank() != 2 || Of().Rank() != 0 {
		t.Error("rank")
	}
	if err := Of(2, -3).Err(); err == nil {
		t.Error("a negative dimension is no error")
	}
	if err := s.Err(); err != nil {
		t.Error(err)
	}
	if Of(2).Equal(Of(2, 1)) || Of(2).Equal(Of(3)) {
		t.Error("different shapes are equal")
	}
}
