package plan

import (
	"fmt"

	"apogee/ir/diag"
)

// flags checks that every flag is back at its credits when a block ends: as many signals as waits.
func (c *checker) flags(k *Kernel, grid int64) {
	if len(k.Flags) == 0 {
		return
	}
	balanced := balancedLoops(k)
	cores := int64(0)
	if c.rules != nil {
		cores = c.rules.Cores
	}
	net := make([]int64, len(k.Flags))
	done := make([]bool, len(k.Flags))
	for _, block := range sampleBlocks(grid) {
		clear(net)
		loose := false // a count of rounds was not known
		w := newWalk(k, block, cores)
		w.budget *= 8
		w.all = func(i int) (every, skip bool) {
			if balanced[i] {
				return false, true
			}
			in := &k.Code[i]
			loose = loose || !w.known(in.X) || !w.known(in.Y)
			return true, false
		}
		w.visit = func(i int) {
			switch in := &k.Code[i]; in.Op {
			case Signal:
				net[in.Flag]++
			case Wait:
				net[in.Flag]--
			}
		}
		w.run(0, len(k.Code))
		if w.budget <= 0 {
			return // too long to count; the simulator sees it
		}
		for f, n := range net {
			if n == 0 || done[f] {
				continue
			}
			done[f] = true
			flag := &k.Flags[f]
			d := diag.Errorf(codeFlag, diag.Range{}, "flag %s is not back at its credits when block %d ends", flag.Name, block).
				Expect("as many waits as signals", fmt.Sprintf("%+d", n))
			if loose {
				d.Severity = diag.Info
				d.Help = "how many rounds a loop has depends on data; the count is for what is assumed"
			}
			if i := flagUse(k, f, n > 0); i >= 0 {
				c.locate(d, k, i)
			} else {
				d.Where = "kernel " + k.Name
			}
			c.list.Add(d)
		}
	}
}

// flagUse gives the first instruction that signals or else waits for a flag; −1 if none does.
func flagUse(k *Kernel, flag int, signal bool) int {
	for i := range k.Code {
		if in := &k.Code[i]; in.Flag == flag && (in.Op == Signal && signal || in.Op == Wait && !signal) {
			return i
		}
	}
	return -1
}

// balancedLoops gives the loops of which every round leaves every flag as it was, whatever the counts.
func balancedLoops(k *Kernel) map[int]bool {
	type frame struct {
		loop int
		net  map[int]int
		bad  bool
	}
	out := map[int]bool{}
	stack := []frame{{net: map[int]int{}}}
	for i := range k.Code {
		in := &k.Code[i]
		top := &stack[len(stack)-1]
		switch in.Op {
		case Loop:
			stack = append(stack, frame{loop: i, net: map[int]int{}})
		case End:
			ok := !top.bad
			for _, n := range top.net {
				ok = ok && n == 0
			}
			out[top.loop] = ok
			stack = stack[:len(stack)-1]
			stack[len(stack)-1].bad = stack[len(stack)-1].bad || !ok
		case Signal:
			top.net[in.Flag]++
		case Wait:
			top.net[in.Flag]--
		}
	}
	return out
}
