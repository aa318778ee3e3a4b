package diag

import "strings"

// maxName is the longest name, in bytes, that DidYouMean looks at: longer ones are not slips of a finger.
const maxName = 128

// DidYouMean gives the candidate that name was probably meant to be, or "" if none is near. Near is an edit
// distance (insertions, deletions, substitutions and swaps of neighbours: Damerau-Levenshtein, optimal string
// alignment) of at most a third of the longer name, one for short names; names that differ only in case or in
// "-", "_", "." and blanks are always near. The nearest wins, then the first in the list. Where none is near, it is the
// only one whose last part the name is.
func DidYouMean(name string, candidates []string) string {
	if name == "" || len(name) > maxName {
		return ""
	}
	best, bestDist := "", maxName
	for _, c := range candidates {
		if c == "" || c == name || len(c) > maxName {
			continue
		}
		limit := max(len(name), len(c)) / 3
		if limit == 0 {
			limit = 1
		}
		d := 0
		if fold(name) != fold(c) {
			if diff := len(name) - len(c); diff > limit || -diff > limit {
				continue
			}
			if d = distance(name, c); d > limit || d >= max(len(name), len(c)) {
				continue
			}
		}
		if d < bestDist {
			best, bestDist = c, d
		}
	}
	if best == "" {
		return lastPart(name, candidates)
	}
	return best
}

// lastPart finds the one candidate whose last part, behind a hyphen, underscore or dot, is the name: nvidia-h100 for H100.
func lastPart(name string, candidates []string) string {
	found := ""
	for _, c := range candidates {
		n := len(c) - len(name)
		if n < 1 || len(name) < 3 || !strings.EqualFold(c[n:], name) || !strings.ContainsRune("-_.", rune(c[n-1])) {
			continue
		}
		if found != "" {
			return ""
		}
		found = c
	}
	return found
}

var folder = strings.NewReplacer("-", "", "_", "", ".", "", " ", "")

// fold brings spellings of one name together.
func fold(s string) string { return folder.Replace(strings.ToLower(s)) }

// distance is the optimal-string-alignment distance over bytes.
func distance(a, b string) int {
	prev2 := make([]int, len(b)+1)
	prev := make([]int, len(b)+1)
	cur := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}
