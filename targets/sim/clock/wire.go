package clock

import (
	"fmt"
	"math"

	"apogee/ir/diag"
	"apogee/targets/chip"
)

// Wire is what joins some cards: a link of the chip's, or one that the machine around it has.
type Wire struct {
	// Bandwidth is of one card, one direction, in B/s, with derates; Latency is of a small message, in s.
	Bandwidth, Latency float64
}

// WireOf gives a chip's link of a scope ("node", "cluster") that joins at least so many cards, the fastest; derates of the chip apply.
// Scope "node" takes links inside the package as well.
func WireOf(c *chip.Chip, scope string, cards int) (Wire, bool) {
	best, ok := Wire{}, false
	for _, l := range c.Links {
		if l.Scope != scope && !(scope == "node" && l.Scope == "package") || l.Peers < cards {
			continue
		}
		if w := (Wire{l.Bandwidth.Value * c.Derate("link", l.Name), l.Latency.Value}); !ok || w.Bandwidth > best.Bandwidth {
			best, ok = w, true
		}
	}
	return best, ok
}

// Collective is an operation over several cards.
type Collective struct {
	// Op is "all-reduce" or "send-recv".
	Op string
	// Bytes are of one card's buffer.
	Bytes float64
	Cards int
	// Inside joins the cards of a node; Between joins nodes, where Nodes is above 1.
	Inside, Between Wire
	Nodes           int
}

// How libraries of collectives send, as the ones whose source is public do. Small messages go with their flags in one packet, at a part
// of the bandwidth and without handshakes; large ones go in slices behind a handshake each way, which costs as much as so many small
// messages before the stream runs. The library takes what is quicker.
const (
	packetShare = 0.25
	reduceShare = 0.80 // of the bandwidth, when each slice is added to before it goes on
	handshakes  = 8
)

// Seconds is how long the operation takes on a chip: the launch, the messages that follow one another, and the bytes through the
// slowest link. An all-reduce goes round a ring: of n cards, 2(n-1) messages of an n-th of the bytes each (Patarasu and Yuan 2009).
func (k Collective) Seconds(c *chip.Chip) (float64, error) {
	if k.Cards < 2 || !(k.Bytes > 0) || k.Nodes < 1 {
		return 0, fmt.Errorf("a transfer needs bytes and at least two cards")
	}
	wires := []Wire{}
	if k.Cards > k.Nodes {
		wires = append(wires, k.Inside)
	}
	if k.Nodes > 1 {
		wires = append(wires, k.Between)
	}
	rate, latency := math.Inf(1), 0.0
	for _, w := range wires {
		if !(w.Bandwidth > 0) {
			return 0, diag.Errorf(codeChip, diag.Range{}, "%s states no link that joins %d cards in %d nodes", c.Name, k.Cards, k.Nodes)
		}
		rate = min(rate, w.Bandwidth)
	}
	n := float64(k.Cards)
	steps, bytes := 1.0, k.Bytes
	switch k.Op {
	case "all-reduce":
		steps, bytes = 2*(n-1), 2*(n-1)/n*k.Bytes
		across := 2 * float64(k.Nodes-1) // of the steps, those that leave a node
		if k.Nodes > 1 {
			latency += across * k.Between.Latency
			steps -= across
		}
		latency += max(0, steps) * k.Inside.Latency
	case "send-recv":
		latency = wires[len(wires)-1].Latency
	default:
		return 0, fmt.Errorf("no transfer is called %q", k.Op)
	}
	wait := wires[0].Latency // of one handshake: nobody waits for a second slice
	if k.Op == "all-reduce" {
		wait *= handshakes
		rate *= reduceShare
	}
	packets := latency + bytes/(rate*packetShare)
	stream := latency + wait + bytes/rate
	return c.Launch.Value/c.Derate("launch", "") + min(packets, stream), nil
}
