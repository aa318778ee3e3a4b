package shape

import "testing"

// Computing with numbers in place of symbols gives what Eval gives.
func TestFold(t *testing.T) {
	env := map[string]int64{"B": 3, "S": 11, "T": 4}
	for _, text := range []string{"0", "7", "S", "2*S+1", "B*T", "B*T*2-S", "ceil(S/4)", "floor((S+T)/3)*B+5", "128*ceil((B+2*S)/128)", "B*B-9", "-1*S+12"} {
		d, err := ParseDim(text)
		if err != nil {
			t.Fatal(err)
		}
		want, err := d.Eval(env)
		if err != nil {
			t.Fatal(err)
		}
		got := Fold(d, Arithmetic[int64]{
			Num: func(n int64) int64 { return n }, Sym: func(s string) int64 { return env[s] },
			Add: func(a, b int64) int64 { return a + b }, Mul: func(a, b int64) int64 { return a * b },
			Floor: func(a int64, of Dim, by int64) int64 {
				if n, _ := of.Eval(env); n != a {
					t.Errorf("%s: the numerator %s is %d, told %d", d, of, n, a)
				}
				return floorDiv64(a, by)
			},
		})
		if got != want {
			t.Errorf("%s: found %d, expected %d", d, got, want)
		}
	}
}
