package driver

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/tensor"
	"apogee/targets/sim/exec"
)

// program is a model of a user's own: files, the first named main.mg, and what to run it with.
type program struct {
	name  string
	files map[string]string
	steps []string           // entries, run one after another on the same states; none is every entry by itself
	binds []map[string]int64 // sizes to try
	set   map[string]string
	lacks string  // the code of the error on chips that cannot do it
	tol   float64 // of f32 results beside the reference's largest magnitude; 0 is 1e-5
}

func source(s string) map[string]string { return map[string]string{"main.mg": s} }

// programs use what the language has, each some of it.
var programs = []program{
	{name: "elementwise", files: source(`
entry main(x: f32[N, 37], y: f32[37], c: bool[N, 1]) -> (a: f32[N, 37], b: f32[N, 37], d: bool[N, 37], e: f32[N, 37]) {
  let z = select(c, x, -x) * y + 0.5
  let w = tanh(z) - erf(x / 2) + sqrt(abs(y)) + log(exp(x)) + cos(x) * sin(z)
  let m = min(max(w, -1.0), 1.0)
  (z, round(m * 8) / 8 + floor(w) + ceil(x) + sign(y), (x > y) and not (w <= 0) or c, pow(abs(x) + 0.5, 1.5) + reciprocal(y * y + 1) + rsqrt(x * x + 1))
}
`), binds: []map[string]int64{{"N": 1}, {"N": 5}, {"N": 300}}},
	{name: "integers", files: source(`
entry main(ids: i32[N, 24], k: i64[N, 24], b: bool[N, 24]) -> (a: i32[N, 24], c: i64[N, 24], s: i32[N], m: i64[24], o: bool[N], q: i32[N, 24]) {
  let a = (ids * 3 - 7) % 5 + ids / 2
  let c = k * 2 + i64(ids) - min(k, 1)
  (a, c, sum(a, axis=-1), max(c, axis=0), any(b and ids > 1, axis=1), shl(ids, 2) + shr(ids * 64, 3) + xor(ids, 5) + i32(b))
}
`), binds: []map[string]int64{{"N": 1}, {"N": 33}}},
	{name: "reductions", files: source(`
entry main(x: f32[N, 7, 50]) -> (a: f32[N, 7], b: f32[7, 50], c: f32[N, 1, 50], d: f32[], e: f32[N, 50], g: i32[N, 7], h: i32[N, 50]) {
  (sum(x, axis=-1), mean(x, axis=0), max(x, axis=1, keep=true), sum(x, axes=[0, 1, 2]), min(x, axis=1), argmax(x, axis=2), argmax(x, axis=1))
}
`), binds: []map[string]int64{{"N": 1}, {"N": 3}, {"N": 40}}},
	{name: "reductions_more", files: source(`
entry main(x: f32[N, 30]) -> (a: f32[N], b: f32[N, 30], c: f32[N, 30], d: bool[N], e: bool[]) {
  (prod(x * 0.2 + 1, axis=-1), cumsum(x, axis=1), cumsum(x, axis=0), all(x > -2, axis=1), any(x > 3, axes=[0, 1]))
}
`), binds: []map[string]int64{{"N": 1}, {"N": 9}}},
	{name: "einsums", files: source(`
entry main(x: f32[B, T, 40], w: f32[24, 40], u: f32[B, 40, 9], v: f32[B, T, 40]) -> (a: f32[B, T, 24], b: f32[B, T, 9], c: f32[B, T, T], d: f32[B, 40, 40], e: f32[40, 24], g: f32[B, T], h: f32[T, 40, 40]) {
  let a = einsum("..d,fd->..f", x, w)
  (a, x @ u, einsum("btd,bsd->bts", x, v), einsum("btd,bte->bde", x, v), einsum("btd,btf->df", x, a), einsum("btd,btd->bt", x, v), einsum("btd,bte->tde", x, v))
}
`), binds: []map[string]int64{{"B": 1, "T": 1}, {"B": 2, "T": 5}, {"B": 3, "T": 70}}},
	{name: "einsums_more", files: source(`
entry main(x: f32[N, 33], y: f32[N], w: f32[4, 33, 17], m: f32[17, 33]) -> (a: f32[33], b: f32[N, N], c: f32[4, N, 17], d: f32[N, 17], e: f32[33, N], g: f32[]) {
  (einsum("nd,n->d", x, y), einsum("n,m->nm", y, y), einsum("nd,edf->enf", x, w), x @ transpose(m, [1, 0]), einsum("nd,n->dn", x, y), einsum("n,n->", y, y))
}
`), binds: []map[string]int64{{"N": 1}, {"N": 6}, {"N": 129}}},
	{name: "slices", files: source(`
entry main(x: f32[N, 8, 21]) -> (a: f32[N, 21], b: f32[N, 3, 21], c: f32[N, 8, 11], d: f32[N, 21], e: f32[N, 8, 42], g: f32[N, 10, 21], h: f32[N, 168], i: f32[21, N, 8], j: f32[N, 8, 21], k: f32[N, 4, 2]) {
  (x[.., 0, :], x[:, 2:5], x[.., ::2], x[:, -1], concat(x, x * 2, axis=-1), pad(x, 1.5, [0, 1, 0], [0, 1, 0]), reshape(x, [N, 168]), transpose(x, [2, 0, 1]), reverse(x, [1]), reshape(x[.., 3], [N, 4, 2]))
}
`), binds: []map[string]int64{{"N": 1}, {"N": 4}, {"N": 65}}},
	{name: "indices", files: source(`
entry main(x: f32[N, 19], ids: i32[M], at: i32[N, 3], y: f32[N, 3]) -> (a: f32[M, 19], b: f32[N, 3], c: f32[N, 19], d: f32[N, M], v: f32[N, 5], i: i32[N, 5], s: f32[N, 2]) {
  let v, i = top_k(x, 5)
  let s, _ = top_k(-x, 2)
  (gather(x, min(ids, N - 1)), gather_elements(x, at), scatter_elements(x, at, y), gather(x, ids, axis=1), v, i, s)
}
`), binds: []map[string]int64{{"N": 4, "M": 2}, {"N": 33, "M": 7}}},
	{name: "formats", files: source(`
entry main(x: f16[N, 48], y: bf16[N, 48], w: bf16[16, 48], u: f16[16, 48]) -> (a: f16[N, 48], b: bf16[N, 16], c: f32[N, 16], d: f32[N, 48], e: i32[N, 48], g: f16[N, 16], h: bool[N, 48], m: bf16[N]) {
  (x * 2 + 1, einsum("nd,fd->nf", y, w), einsum("nd,fd->nf", y, w, format=f32), f32(x) + f32(y), i32(y * 8), einsum("nd,fd->nf", x, u), x > 0, max(y, axis=1))
}
`), binds: []map[string]int64{{"N": 1}, {"N": 17}}, tol: 0.02},
	{name: "loops", files: source(`
import "std"
options {
  depth: int = 3 where > 0
  width: "narrow" | "wide" = "narrow"
  skip: [int] = [1]
}
let D = if options.width == "wide" { 64 } else { 28 }
require D % 4 == 0, "heads of four"
def twist(x: F[.., N], by: float) -> F[.., N] {
  let halves = [x[.., :N / 2], x[.., N / 2:]]
  concat(-halves[1] * by, halves[0], axis=-1)
}
// Two results, of which callers may leave one out.
def moments(x: [.., N]) -> (mean: [.., 1], spread: [.., 1]) {
  let m = mean(x, axis=-1, keep=true)
  (m, mean((x - m) * (x - m), axis=-1, keep=true))
}
entry main(x: f32[B, T, D]) -> (y: f32[B, T, D]) {
  var y = x
  for i in 0..options.depth {
    scope "block.{i}"
    let m, v = moments(y)
    y = if i in options.skip { silu(y) } else { (y - m) * rsqrt(v + 1e-5) + twist(y, 0.5 + i) }
    tap "after.{i}", y
  }
  y
}
`), binds: []map[string]int64{{"B": 1, "T": 1}, {"B": 2, "T": 9}}},
	{name: "states", files: source(`
state ring[2]: f32[B, S, 12]
state seen: i32[B]
state total: f32[B, 12]
entry start(x: f32[B, T, 12]) -> (y: f32[B, 12], n: i32[B]) {
  for i in 0..2 {
    ring[i] = update(ring[i], x * (i + 1), i32(0), axis=1)
  }
  seen = full(i32, [B], 0) + dim(T)
  total = sum(x, axis=1)
  (total, seen)
}
entry step(x: f32[B, 1, 12], pos: i32[]) -> (y: f32[B, 12], n: i32[B], z: f32[B, S]) {
  ring[0] = update(ring[0], x, pos, axis=1)
  ring[1] = update(ring[1], ring[0][:, :1] + x, pos, axis=1)
  seen = seen + 1
  total = total * 0.5 + reshape(x, [B, 12])
  let open = reshape(iota(i32, [S]), [1, S]) <= pos
  (total, seen, select(open, sum(ring[1] * ring[0], axis=-1), 0))
}
`), steps: []string{"start", "step", "step", "step"}, binds: []map[string]int64{{"B": 1, "S": 8, "T": 3}, {"B": 3, "S": 40, "T": 3}}},
	{name: "imports", files: map[string]string{"main.mg": `
import "std"
import "parts/mine.mg"
let N = 20
entry first(x: f32[B, N]) -> (y: f32[B, N]) {
  mine(softmax(x), N)
}
entry second(x: f32[B, N], g: f32[N]) -> (y: f32[B, N], z: f32[B, 2 * N]) {
  let y = rms_norm(x, g, 1e-5)
  (silu(mine(y, 2)), concat(y, x, axis=1))
}
`, "parts/mine.mg": `
// Scales by a number and lifts.
def mine(x: F[.., D], by: int) -> F[.., D] {
  x * by + sum([i / 2 for i in 0..by if i % 3 != 1])
}
`}, binds: []map[string]int64{{"B": 1}, {"B": 13}}},
	{name: "attention", files: source(`
import "std"
let H = 3
// Bidirectional attention with a soft cap on the scores and a mask from outside.
def capped(q: F[B, T, H, D], k: F[B, S, H, D], v: F[B, S, H, E], seen: bool[B, S], cap: float) -> F[B, T, H, E] {
  let s = einsum("bthd,bshd->bhts", q, k, format=f32) / sqrt(D)
  let c = tanh(s / cap) * cap
  let p = softmax(select(reshape(seen, [B, 1, 1, S]), c, -1e30))
  einsum("bhts,bshe->bthe", p, v, format=F)
}
entry main(q: f32[B, T, H, 10], k: f32[B, S, H, 10], v: f32[B, S, H, 14], seen: bool[B, S]) -> (y: f32[B, T, H, 14], z: f32[B, T, H, 14]) {
  let all = causal(i32(0), T, S)
  (capped(q, k, v, seen, 5.0), attend(q, k, v, all, 0.3))
}
`), binds: []map[string]int64{{"B": 1, "T": 1, "S": 1}, {"B": 2, "T": 5, "S": 9}, {"B": 1, "T": 33, "S": 130}}, tol: 1e-4},
	{name: "symbols", files: source(`
// Dimensions that are expressions of symbols, and their values as numbers.
entry main(x: f32[2 * N, 6], y: f32[N + 1, 6]) -> (a: f32[3 * N + 1, 6], b: f32[N, 12], c: i32[N], d: f32[N, 2, 6], e: f32[]) {
  let all = concat(x, y, axis=0)
  (all / N, reshape(x, [N, 12]), iota(i32, [N]) + dim(N), reshape(x, [N, 2, 6]) * f32(dim(2 * N + 1)), sum(all, axes=[0, 1]))
}
`), binds: []map[string]int64{{"N": 1}, {"N": 7}, {"N": 64}}},
	{name: "constants", files: source(`
let table = [[i * j / 4 for j in 0..9] for i in 0..5]
entry main(ids: i32[N]) -> (a: f32[N, 9], b: f32[5, 9], c: i32[3], d: f32[N]) {
  let t = f32(table)
  (gather(t, ids), t * 2 - 1, i32([3, -1, 7]), gather(f32([0.5, 1.5, -2, 8]), ids))
}
`), binds: []map[string]int64{{"N": 1}, {"N": 40}}},
	{name: "mixture", files: source(`
import "std"
let E = 5
// Two of five experts a token, the matrices given from outside.
entry main(x: f32[N, 20], gate: f32[E, 20], w: f32[E, 11, 20]) -> (y: f32[N, 11], i: i32[N, 2]) {
  let p = softmax(linear(x, gate))
  let share, ids = top_k(p, 2)
  let y = einsum("nd,nkfd->nkf", x, gather(w, ids))
  (einsum("nk,nkf->nf", share / sum(share, axis=-1, keep=true), y), ids)
}
`), binds: []map[string]int64{{"N": 1}, {"N": 3}, {"N": 50}}},
	{name: "convolution", files: source(`
// A causal convolution of width 4 a channel, and a gated scan by hand.
entry main(x: f32[B, T, 18], w: f32[4, 18]) -> (y: f32[B, T, 18], z: f32[B, T, 18]) {
  let p = pad(x, 0, [0, 3, 0], [0, 0, 0])
  var y = full(f32, [B, T, 18], 0)
  for i in 0..4 {
    y = y + p[:, i:T + i] * w[i]
  }
  (y * sigmoid(y), cumsum(y, axis=1) / (f32(reshape(iota(i32, [T]), [T, 1])) + 1))
}
`), binds: []map[string]int64{{"B": 1, "T": 1}, {"B": 2, "T": 11}, {"B": 1, "T": 100}}},
	{name: "double", files: source(`
entry main(x: f64[N, 10]) -> (y: f64[N, 10], z: f32[N]) {
  (x * 2 + 1, f32(sum(x, axis=-1)))
}
`), binds: []map[string]int64{{"N": 3}}, lacks: "PASS008"},
	{name: "passthrough", files: source(`
entry same(x: f32[N, 5], b: bool[N]) -> (y: f32[N, 5], c: bool[N], z: f32[N, 5], one: f32[2, 2]) {
  (x, b, x, full(f32, [2, 2], 1))
}
`), binds: []map[string]int64{{"N": 1}, {"N": 70}}},
}

// inputOf draws an input.
func inputOf(rng *rand.Rand, p *ir.Value, bind map[string]int64) (*tensor.Tensor, error) {
	s := p.Type.Shape
	dims := make([]int64, len(s))
	n := int64(1)
	for i, d := range s {
		v, err := d.Eval(bind)
		if err != nil {
			return nil, err
		}
		dims[i] = v
		n *= v
	}
	if p.Type.Format.IsFloat() {
		v := make([]float64, n)
		for i := range v {
			v[i] = rng.NormFloat64()
		}
		return tensor.FromF64(p.Type.Format, dims, v)
	}
	v := make([]int64, n)
	for i := range v {
		v[i] = rng.Int64N(4)
		if p.Type.Format == format.Bool {
			v[i] %= 2
		}
		if p.Name == "at" { // no index twice in a row
			v[i] = int64(i)%dims[len(dims)-1]*4 + v[i]
		}
	}
	return tensor.FromI64(p.Type.Format, dims, v)
}

// TestPrograms runs models of a user's own on every chip against the reference.
func TestPrograms(t *testing.T) {
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, n := range slices.Sorted(maps.Keys(p.files)) {
				f := filepath.Join(dir, n)
				if err := os.MkdirAll(filepath.Dir(f), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(f, []byte(p.files[n]), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			m := open(t, filepath.Join(dir, "main.mg"))
			if l, err := m.Check(); err != nil || l.HasErrors() {
				t.Fatalf("check: %v %v", err, l)
			}
			runs := [][]string{p.steps}
			if p.steps == nil {
				runs = nil
				for _, e := range m.Program.Entries() {
					runs = append(runs, []string{e})
				}
			}
			for _, entries := range runs {
				for _, bind := range p.binds {
					t.Run(fmt.Sprint(strings.Join(entries, "-"), bind), func(t *testing.T) { checkProgram(t, m, p, entries, bind) })
				}
			}
		})
	}
}

func checkProgram(t *testing.T, m *Model, p program, entries []string, bind map[string]int64) {
	ctx := context.Background()
	rng := rand.New(rand.NewPCG(9, 9))
	var ins, want []Tensors
	var states Tensors
	e := newEvaluator(m, 0)
	e.Bind = bind
	pos := int64(3)
	for _, n := range entries {
		_, f, err := m.Lower(Request{Entry: n, Set: p.set})
		if err != nil {
			t.Fatal(err)
		}
		in := Tensors{}
		for _, x := range f.Inputs() {
			if in[x.Name], err = inputOf(rng, x, bind); err != nil {
				t.Fatal(err)
			}
			if x.Name == "pos" {
				in[x.Name] = scalarI32(pos)
				pos++
			}
		}
		out, next, err := e.Run(ctx, f, in, states)
		if err != nil {
			t.Fatalf("reference: %v", err)
		}
		states = next
		ins, want = append(ins, in), append(want, out)
	}
	for _, c := range allChips(t) {
		for _, prec := range append([]string{Auto}, precisions(c)...) {
			dev := exec.NewDevice(c, nil, exec.Options{Guard: true})
			for i, n := range entries {
				b, err := m.Compile(ctx, Request{Entry: n, Chip: c, Precision: prec, Set: p.set, Bind: bind, Verify: true})
				if err != nil {
					if p.lacks == "" || !strings.Contains(err.Error(), "["+p.lacks+"]") {
						t.Errorf("%s %s: %v", c.Name, prec, err)
					}
					break
				}
				mach, err := dev.Machine(b.Plan)
				if err != nil {
					t.Errorf("%s %s: %v", c.Name, prec, err)
					break
				}
				got, err := mach.Run(ctx, ins[i])
				if err != nil {
					t.Errorf("%s %s: %v", c.Name, prec, err)
					break
				}
				var names []string
				for x := range want[i] {
					names = append(names, x)
				}
				sort.Strings(names)
				for _, x := range names {
					sameResult(t, fmt.Sprintf("%s %s %s %s", c.Name, prec, n, x), got[x], want[i][x], prec, p.tol)
				}
			}
		}
	}
}

// sameResult holds a chip's result against the reference: integers and bools exactly at f32.
func sameResult(t *testing.T, what string, got, want *tensor.Tensor, prec string, tol float64) {
	t.Helper()
	if got == nil || !slices.Equal(got.Shape, want.Shape) || got.Format != want.Format {
		t.Errorf("%s: expected %v, found %v", what, want, got)
		return
	}
	if tol == 0 {
		tol = 1e-5
	}
	if !want.Format.IsFloat() {
		if ok, err := got.Equal(want); prec == "f32" && (err != nil || !ok) {
			t.Errorf("%s: %s differ", what, want)
		}
		return
	}
	a, b := values(t, got), values(t, want)
	big := 1.0
	for _, x := range b {
		if !math.IsInf(x, 0) {
			big = max(big, math.Abs(x))
		}
	}
	d := apart(a, b) / big
	if prec != "f32" {
		tol = max(tol, 0.2) // w8a8
	}
	if !(d <= tol) {
		t.Errorf("%s: off by %.3g of the largest, expected at most %.3g", what, d, tol)
	}
}
