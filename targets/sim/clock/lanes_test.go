package clock

import (
	"math"
	"strings"
	"testing"

	"apogee/targets/chip"
)

func load(t *testing.T, name string) *chip.Chip {
	t.Helper()
	c, err := chip.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	bare := *c
	bare.Derates = nil
	return &bare
}

// TestLanes: a lane kernel takes waves of latencies while its loads on the way are too few, and the memory's time once there are enough.
func TestLanes(t *testing.T) {
	c := load(t, "nvidia-a100")
	run := func(k Lanes) *LaneTime {
		t.Helper()
		r, err := RunLanes(&k, c)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, s := range r.By {
			sum += s
		}
		if math.Abs(sum-r.Seconds) > 1e-12 {
			t.Errorf("the parts give %g, the whole is %g", sum, r.Seconds)
		}
		return r
	}
	row := func(blocks int64) Lanes { // a block a row of 4096, two bytes a lane at a time
		n := float64(blocks * 4096 * 2)
		return Lanes{Blocks: blocks, Threads: 1024, Read: n, Write: n, Rounds: []Round{{Times: 4, Loads: 1, Ops: 10}}}
	}
	// 108 cores hold two blocks each: a wave is 216 rows.
	one, same, two := run(row(108)), run(row(200)), run(row(217))
	if one.Waves != 1 || same.Waves != 1 || two.Waves != 2 {
		t.Errorf("waves %g %g %g, want 1 1 2", one.Waves, same.Waves, two.Waves)
	}
	if !(one.Seconds <= same.Seconds && two.Seconds > 1.4*same.Seconds-c.Launch.Value) {
		t.Errorf("%g, %g, %g s", one.Seconds, same.Seconds, two.Seconds)
	}
	if one.Main() != Latency && one.Main() != Launch {
		t.Errorf("a few rows are bound by %v", one.Main())
	}
	// Enough wide loads reach the memory's bandwidth.
	const n = 1 << 30
	r := run(Lanes{Blocks: n / 4096, Threads: 256, Read: n, Rounds: []Round{{Times: 1, Loads: 1, Ops: 4}}})
	if reached := n / r.Seconds; r.Main() != Memory || reached < 0.95*c.Global().Bandwidth.Value || reached > c.Global().Bandwidth.Value {
		t.Errorf("%.4g B/s bound by %v", reached, r.Main())
	}
	// A warm cache serves what it holds.
	k := row(400)
	cold := run(k)
	k.Warm = true
	if warm := run(k); warm.Seconds >= cold.Seconds {
		t.Errorf("%g s warm, %g cold", warm.Seconds, cold.Seconds)
	}
	if Warmth(1, 100) != 1 || Warmth(100, 100) != 0 || Warmth(1, 0) != 0 {
		t.Error("warmth of little is 1, of all is 0")
	}
	// Derates of latency and launch are times, those of memory rates.
	for _, what := range []string{"latency gm", "launch"} {
		slow := *c
		slow.Derates = []chip.Derate{{What: what, Factor: chip.Quantity{Value: 0.5, Confidence: chip.Measured}}}
		k := row(100)
		s, err := RunLanes(&k, &slow)
		if err != nil {
			t.Fatal(err)
		}
		if s.Seconds < run(row(100)).Seconds*1.05 {
			t.Errorf("half of %s does not make few rows slower", what)
		}
	}
	if _, err := RunLanes(&Lanes{Blocks: 1, Threads: 1, Rounds: []Round{{Times: 1}}}, load(t, "ascend-910b")); err == nil || !strings.Contains(err.Error(), "no lanes") {
		t.Errorf("a chip without lanes: %v", err)
	}
	if _, err := RunLanes(&Lanes{}, c); err == nil {
		t.Error("a kernel without blocks is timed")
	}
}

// TestCollective: small messages cost steps, large ones bytes through the slowest link.
func TestCollective(t *testing.T) {
	c := load(t, "nvidia-h100")
	in, ok := WireOf(c, "node", 8)
	if !ok || in.Bandwidth != 450e9 {
		t.Fatalf("NVLink: %+v %v", in, ok)
	}
	if _, ok := WireOf(c, "node", 9); ok {
		t.Error("a node's link joins nine cards")
	}
	out, ok := WireOf(c, "cluster", 16)
	if !ok || out.Bandwidth >= in.Bandwidth {
		t.Fatalf("the network: %+v %v", out, ok)
	}
	time := func(k Collective) float64 {
		t.Helper()
		s, err := k.Seconds(c)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	ring := func(bytes float64, cards, nodes int) float64 {
		return time(Collective{Op: "all-reduce", Bytes: bytes, Cards: cards, Inside: in, Between: out, Nodes: nodes})
	}
	if a, b := ring(16, 2, 1), ring(16, 8, 1); b < a+12*in.Latency*0.99 {
		t.Errorf("16 bytes among 2 and 8 cards: %g and %g s", a, b)
	}
	const big = 1 << 32
	if s, want := ring(big, 8, 1), 2*7.0/8*big/(in.Bandwidth*reduceShare); s < want || s > 1.02*want {
		t.Errorf("4 GiB among 8 cards take %g s, the bytes alone %g", s, want)
	}
	if s := ring(big, 16, 2); s < 2*15.0/16*big/out.Bandwidth {
		t.Errorf("between nodes 4 GiB take %g s", s)
	}
	for last, n := 0.0, 1.0; n < 1e10; n *= 3 {
		s := ring(n, 4, 1)
		if s < last {
			t.Errorf("%g bytes take less than fewer do", n)
		}
		last = s
	}
	if s, want := time(Collective{Op: "send-recv", Bytes: big, Cards: 2, Inside: in, Nodes: 1}), big/in.Bandwidth; s < want || s > 1.02*want {
		t.Errorf("sending 4 GiB takes %g s, the bytes alone %g", s, want)
	}
	for _, k := range []Collective{{}, {Op: "all-reduce", Bytes: 1, Cards: 2, Nodes: 1}, {Op: "shout", Bytes: 1, Cards: 2, Inside: in, Nodes: 1}} {
		if _, err := k.Seconds(c); err == nil {
			t.Errorf("%+v is timed", k)
		}
	}
}

// TestSpread: a range holds its time, grows with doubt, and is never less than what clocks jitter.
func TestSpread(t *testing.T) {
	c := load(t, "nvidia-h100")
	known := *c
	known.Derates = []chip.Derate{{What: "latency gm", Factor: chip.Quantity{Value: 0.9, Confidence: chip.Measured}}}
	for r := Reason(0); r <= Link; r++ {
		low, high := Spread(c, map[Reason]float64{r: 1e-3})
		if !(low < 1e-3 && high > 1e-3) {
			t.Errorf("%v: %g to %g", r, low, high)
		}
	}
	_, wide := Spread(c, map[Reason]float64{Latency: 1e-3})
	if _, high := Spread(&known, map[Reason]float64{Latency: 1e-3}); high >= wide {
		t.Errorf("a latency that was measured leaves %g, an assumed one %g", high, wide)
	}
	if low, high := Spread(c, map[Reason]float64{Matrix: 1e-7}); high-low < jitter || low < 0 {
		t.Errorf("a tenth of a microsecond: %g to %g", low, high)
	}
}
