package clock_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apogee/targets/plan"
	"apogee/targets/plan/plantest"
	"apogee/targets/sim/clock"
)

func run(t testing.TB, p *plan.Plan, o clock.Options) *clock.Result {
	t.Helper()
	r, err := clock.Run(p, plantest.Chip(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestExact holds that leaving rounds out changes nothing, to the tick.
func TestExact(t *testing.T) {
	for _, s := range []plantest.Size{
		{M: 64, K: 64 * 100, N: 128, BM: 64, BK: 64, BN: 128}, {M: 64, K: 64*100 + 3, N: 128, BM: 64, BK: 64, BN: 128}, {M: 200, K: 3000, N: 5000, BM: 64, BK: 64, BN: 128},
		{M: 1, K: 7168, N: 2048, BM: 16, BK: 256, BN: 64}, {M: 1000, K: 50, N: 1000, BM: 16, BK: 16, BN: 16}, {M: 64, K: 20000, N: 128, BM: 16, BK: 32, BN: 16},
	} {
		p := plantest.Matmul(s)
		fast, full := run(t, p, clock.Options{}), run(t, p, clock.Options{Exact: true})
		if diff := cmp.Diff(full.Total, fast.Total); diff != "" {
			t.Errorf("%+v: total %s", s, diff)
		}
		for i := range full.Launches {
			if diff := cmp.Diff(full.Launches[i].Instrs, fast.Launches[i].Instrs); diff != "" {
				t.Errorf("%+v: instructions %s", s, diff)
			}
			if diff := cmp.Diff(full.Launches[i].Queues, fast.Launches[i].Queues); diff != "" {
				t.Errorf("%+v: queues %s", s, diff)
			}
		}
		t.Logf("%+v: %.1f us, %s", s, fast.Seconds*1e6, &fast.Total)
	}
}

var _ = fmt.Sprint
var _ = math.Pi
var _ = strings.Contains
