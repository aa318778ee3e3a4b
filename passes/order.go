package passes

import (
	"fmt"
	"sync"
)

// before says that one pass comes before another wherever both stand in a default pipeline, and why. Repeats are allowed: the rule
// holds if the first pass stands somewhere before the last place of the second.
type before struct{ First, Second, Why string }

var order = []before{
	{"specialise", "fold", "dimensions that became numbers are constants to fold"},
	{"specialise", "absorb", "whether absorption pays depends on how many queries and keys there are"},
	{"fold", "unroll", "how many rounds a loop makes may be known only then"},
	{"unroll", "cse", "rounds that were written out compute some things alike"},
	{"canonicalise", "cse", "equal values written in two ways must look equal first"},
	{"fold", "cse", "constants folded from different ops may be equal"},
	{"cse", "recognise", "a pattern's inner values have one user only if their copies were merged"},
	{"recognise", "precision", "casts between the ops of a pattern would hide it"},
	{"absorb", "recognise", "an attention over latent keys is recognised in its absorbed form"},
	{"precision", "legalise", "the formats that matrix products are asked for decide what is left to be legalised"},
	{"recognise", "legalise", "splitting a softmax or casting around it would hide the attention it is part of"},
	{"legalise", "fuse", "a kernel holds only what the chip can do, in rows that fit"},
	{"dce", "fuse", "a kernel for a value that nobody reads would be run all the same"},
}

// Order returns the table of reasons as lines of text.
func Order() []string {
	out := make([]string, len(order))
	for i, b := range order {
		out[i] = fmt.Sprintf("%s before %s, because %s", b.First, b.Second, b.Why)
	}
	return out
}

// checkOrder holds a pipeline against the table. It returns a sentence for the first breach, or "".
func checkOrder(names []string) string {
	first, last := map[string]int{}, map[string]int{}
	for i, n := range names {
		if _, ok := first[n]; !ok {
			first[n] = i
		}
		last[n] = i
	}
	for _, b := range order {
		i, ok := first[b.First]
		j, ok2 := last[b.Second]
		if ok && ok2 && i > j {
			return fmt.Sprintf("%s must come before %s: %s", b.First, b.Second, b.Why)
		}
	}
	return ""
}

var tableOnce sync.Once

// initTable fills the table and checks it once: names and rules are unique, the reasons name passes, the defaults keep them.
func initTable() {
	tableOnce.Do(func() {
		table = makeTable()
		seen := map[string]bool{}
		for _, i := range table {
			if seen[i.Name] {
				panic("passes: two passes are called " + i.Name)
			}
			seen[i.Name] = true
		}
		for _, b := range order {
			if !seen[b.First] || !seen[b.Second] {
				panic("passes: the order of " + b.First + " and " + b.Second + " names no pass")
			}
		}
		for level := 0; level <= MaxLevel; level++ {
			steps, list := parsePipeline(Default(level))
			if list.HasErrors() {
				panic("passes: default pipeline: " + list.Error())
			}
			var names []string
			for _, s := range steps {
				names = append(names, s.info.Name)
			}
			if why := checkOrder(names); why != "" {
				panic("passes: default pipeline: " + why)
			}
		}
	})
}
