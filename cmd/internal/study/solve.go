package study

import (
	"math"
)

// freeParam is a number that may be fitted.
type freeParam struct {
	what        string
	start       float64
	least, most float64
	width       float64 // of the prior: how far, as its logarithm, it lies from its start when rows say nothing
}

// solution is what solve found.
type solution struct {
	params    []Param
	residuals []float64
	leaveOut  []float64
}

const (
	// noise is what is left of a row's logarithm when all is fitted; beyond tuning times it, a row's weight falls (Huber).
	noise  = 0.10
	tuning = 1.345
	// feel is by how much parameters are changed to see what rows say of them.
	feel = 0.90
)

// solve finds the parameters with the least weighted squares of residuals, logarithms of predicted over measured: Gauss-Newton with
// Levenberg's damping, weights anew in each round. Parameters that fewer
// than three rows, or a fiftieth of them, feel keep their start and are left out.
func solve(free []freeParam, residuals func(map[string]float64) ([]float64, error), rounds int) (*solution, error) {
	if rounds <= 0 {
		rounds = 6
	}
	at := make([]float64, len(free)) // logarithms
	for i, p := range free {
		at[i] = math.Log(p.start)
	}
	set := func(x []float64, on []int) map[string]float64 {
		m := map[string]float64{}
		for _, i := range on {
			m[free[i].what] = math.Exp(x[i])
		}
		return m
	}
	all := make([]int, len(free))
	for i := range all {
		all[i] = i
	}
	r, err := residuals(set(at, all))
	if err != nil {
		return nil, err
	}
	n := len(r)
	felt := make([]int, len(free))
	columns := make([][]float64, len(free))
	differentiate := func(on []int) error {
		for _, i := range on {
			y := append([]float64(nil), at...)
			step := math.Log(feel)
			y[i] += step
			q, err := residuals(set(y, all))
			if err != nil {
				return err
			}
			columns[i] = make([]float64, n)
			felt[i] = 0
			for j := range q {
				columns[i][j] = (q[j] - r[j]) / step
				if math.Abs(q[j]-r[j]) > 0.01 {
					felt[i]++
				}
			}
		}
		return nil
	}
	if err := differentiate(all); err != nil {
		return nil, err
	}
	var on []int
	for i := range free {
		if felt[i] >= max(3, n/50) {
			on = append(on, i)
		}
	}
	start := append([]float64(nil), at...)
	cost := func(r, x []float64) float64 {
		s := 0.0
		for _, v := range r {
			if a := math.Abs(v) / noise; a <= tuning {
				s += a * a / 2
			} else {
				s += tuning * (a - tuning/2)
			}
		}
		for _, i := range on {
			d := (x[i] - start[i]) / free[i].width
			s += d * d / 2
		}
		return s
	}
	damp := 1e-3
	var normal [][]float64
	weights := make([]float64, n)
	system := func() (a [][]float64, g []float64) {
		for j, v := range r {
			weights[j] = 1
			if x := math.Abs(v) / noise; x > tuning {
				weights[j] = tuning / x
			}
		}
		a, g = make([][]float64, len(on)), make([]float64, len(on))
		for k, i := range on {
			a[k] = make([]float64, len(on))
			for l, m := range on {
				for j := range r {
					a[k][l] += weights[j] * columns[i][j] * columns[m][j] / (noise * noise)
				}
			}
			a[k][k] += 1 / (free[i].width * free[i].width)
			for j := range r {
				g[k] -= weights[j] * columns[i][j] * r[j] / (noise * noise)
			}
			g[k] -= (at[i] - start[i]) / (free[i].width * free[i].width)
		}
		return a, g
	}
	for round := 0; round < rounds && len(on) > 0; round++ {
		a, g := system()
		normal = a
		now := cost(r, at)
		better := false
		for try := 0; try < 4; try++ {
			d := solveLinear(a, g, damp)
			y := append([]float64(nil), at...)
			for k, i := range on {
				y[i] = min(max(y[i]+max(-0.5, min(0.5, d[k])), math.Log(free[i].least)), math.Log(free[i].most))
			}
			q, err := residuals(set(y, all))
			if err != nil {
				return nil, err
			}
			if c := cost(q, y); c < now {
				moved := now - c
				at, r = y, q
				damp /= 5
				better = moved > 1e-4*now
				break
			}
			damp = damp*10 + 1e-2
		}
		if !better {
			break
		}
		if err := differentiate(on); err != nil {
			return nil, err
		}
	}
	s := &solution{residuals: r, leaveOut: append([]float64(nil), r...)}
	if len(on) == 0 {
		return s, nil
	}
	normal, _ = system()
	inverse := invert(normal)
	// A row left out moves the solution by its own pull: r/(1-h), with h its leverage.
	for j := range r {
		h := 0.0
		for k, i := range on {
			for l, m := range on {
				h += columns[i][j] * inverse[k][l] * columns[m][j]
			}
		}
		h *= weights[j] / (noise * noise)
		s.leaveOut[j] = math.Max(-5, math.Min(5, r[j]/math.Max(1-h, 0.05)))
	}
	for k, i := range on {
		e := math.Sqrt(max(inverse[k][k], 0))
		s.params = append(s.params, Param{What: free[i].what, Factor: math.Exp(at[i]), Low: math.Exp(at[i] - e), High: math.Exp(at[i] + e),
			Start: free[i].start, Rows: felt[i]})
	}
	return s, nil
}

// solveLinear solves (a + damp·diag(a)) x = g for a positive definite a.
func solveLinear(a [][]float64, g []float64, damp float64) []float64 {
	n := len(g)
	m := make([][]float64, n)
	for i := range m {
		m[i] = append(append([]float64(nil), a[i]...), g[i])
		m[i][i] += damp * a[i][i]
	}
	eliminate(m, n)
	x := make([]float64, n)
	for i := range x {
		x[i] = m[i][n]
	}
	return x
}

// invert gives the inverse of a positive definite matrix.
func invert(a [][]float64) [][]float64 {
	n := len(a)
	m := make([][]float64, n)
	for i := range m {
		m[i] = make([]float64, 2*n)
		copy(m[i], a[i])
		m[i][n+i] = 1
	}
	eliminate(m, n)
	for i := range m {
		m[i] = m[i][n:]
	}
	return m
}

// eliminate brings the left n columns to the identity, by Gauss and Jordan with pivots.
func eliminate(m [][]float64, n int) {
	for c := 0; c < n; c++ {
		p := c
		for i := c + 1; i < n; i++ {
			if math.Abs(m[i][c]) > math.Abs(m[p][c]) {
				p = i
			}
		}
		m[c], m[p] = m[p], m[c]
		d := m[c][c]
		if d == 0 {
			d = math.SmallestNonzeroFloat32
		}
		for j := range m[c] {
			m[c][j] /= d
		}
		for i := 0; i < n; i++ {
			if f := m[i][c]; i != c && f != 0 {
				for j := range m[i] {
					m[i][j] -= f * m[c][j]
				}
			}
		}
	}
}
