package main

import (
	"fmt"
	"sort"
	"strings"
)

// shares prints fractions, the largest first, those below half a percent left out.
func shares(m map[string]float64) string {
	var names []string
	for n := range m {
		names = append(names, n)
	}
	sort.Slice(names, func(i, j int) bool {
		if m[names[i]] != m[names[j]] {
			return m[names[i]] > m[names[j]]
		}
		return names[i] < names[j]
	})
	var parts []string
	for _, n := range names {
		if m[n] >= 0.005 {
			parts = append(parts, fmt.Sprintf("%s %.0f %%", n, 100*m[n]))
		}
	}
	return strings.Join(parts, ", ")
}

// size prints a number of bytes.
func size(n int64) string {
	switch {
	case n >= 1<<40:
		return fmt.Sprintf("%.4g TiB", float64(n)/(1<<40))
	case n >= 1<<30:
		return fmt.Sprintf("%.4g GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.4g MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.4g KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}
