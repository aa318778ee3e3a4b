package study

import (
	"hash/fnv"
	"sort"
)

// Sample takes at most n rows of each benchmark of each file, the same ones every time, spread at random. n ≤ 0 takes all. The order stays.
func Sample(rows []Row, n int) []Row {
	if n <= 0 {
		return rows
	}
	type key struct{ file, benchmark string }
	type ranked struct {
		hash uint64
		i    int
	}
	groups := map[key][]ranked{}
	for i := range rows {
		r := &rows[i]
		h := fnv.New64a()
		h.Write([]byte(r.What()))
		h.Write([]byte{byte(r.Line), byte(r.Line >> 8), byte(r.Line >> 16)})
		k := key{r.File, r.Benchmark}
		groups[k] = append(groups[k], ranked{h.Sum64(), i})
	}
	keep := make([]bool, len(rows))
	for _, g := range groups {
		sort.Slice(g, func(a, b int) bool {
			return g[a].hash < g[b].hash || g[a].hash == g[b].hash && g[a].i < g[b].i
		})
		for _, x := range g[:min(n, len(g))] {
			keep[x.i] = true
		}
	}
	var out []Row
	for i := range rows {
		if keep[i] {
			out = append(out, rows[i])
		}
	}
	return out
}
