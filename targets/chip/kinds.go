package chip

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"apogee/targets/chips"
)

// Shape identifies what a compiler can tell two chips apart by, sizes and speeds left out: family, memories with their roles, engines with
// their formats and tiles, paths, precisions, subnormals. Chips of equal shape get plans that differ in tiles and
// counts only.
func (c *Chip) Shape() string {
	h := sha256.New()
	fmt.Fprintln(h, c.Family, c.FlushSubnormals)
	for _, m := range c.Memories {
		fmt.Fprintln(h, "memory", m.Name, m.Scope, m.Roles, m.Units > 1, m.Caches)
	}
	for _, e := range c.Engines {
		fmt.Fprintln(h, "engine", e.Name, e.Kind, e.Queue, e.Units > 1, e.A, e.B, e.Acc, e.Mem, e.Casts)
		for _, r := range e.Matrix {
			fmt.Fprintln(h, r.A, r.B, r.Acc, r.AccBits, r.AccGroup, r.Promote, r.Scale, r.ScaleBlock)
		}
		for _, r := range e.Vector {
			fmt.Fprintln(h, r.Format, r.Op)
		}
	}
	for _, p := range c.Paths {
		fmt.Fprintln(h, "path", p.From, p.To, p.Engine, p.Indirect, p.Casts)
	}
	for _, p := range c.Precisions {
		fmt.Fprintln(h, p.Name, p.Weight, p.Activation, p.A, p.B, p.Acc, p.Auto)
	}
	return string(h.Sum(nil))
}

// Kinds names a shipped chip of every shape, the first by name: for whoever wants to try all that differs, and not every size of it.
func Kinds() []string {
	seen := map[string]bool{}
	var out []string
	for _, n := range chips.List() {
		c, err := Load(n)
		if err != nil {
			continue // TestShipped says why
		}
		if s := c.Shape(); !seen[s] {
			seen[s] = true
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}
