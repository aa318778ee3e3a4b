package driver

import (
	"context"
	"fmt"

	"apogee/ir"
	"apogee/ir/eval"
	"apogee/ir/tensor"
	"apogee/targets/chip"
	"apogee/targets/plan"
	"apogee/targets/sim/clock"
	"apogee/targets/sim/exec"
)

// Session generates tokens: a prefill of the prompt, then one decode step a token through the cache.
type Session interface {
	// Prefill starts anew with a prompt and gives the scores of the word after it.
	Prefill(ctx context.Context, tokens []int32) ([]float32, error)
	// Decode adds one token at the next position and gives the scores of the word after it.
	Decode(ctx context.Context, token int32) ([]float32, error)
}

// NewSession opens a session with room for so many tokens: on the chip of the request, or on the reference evaluator when it has none.
func (m *Model) NewSession(req Request, room int64) (Session, error) {
	if m.Plan != nil {
		return nil, fmt.Errorf("%s is a plan of one entry; generating needs a checkpoint", m.Path)
	}
	if req.Chip == nil {
		return m.newReference(req, room)
	}
	return &ChipSession{m: m, req: req, room: room, dev: exec.NewDevice(req.Chip, m.weights(), exec.Options{}), prefill: map[int64]*step{}}, nil
}

func tokens(ids []int32) *tensor.Tensor {
	v := make([]int64, len(ids))
	for i, x := range ids {
		v[i] = int64(x)
	}
	t, err := tensor.FromI64(i32, []int64{1, int64(len(ids))}, v)
	if err != nil {
		panic(err)
	}
	return t
}

func scalarI32(x int64) *tensor.Tensor {
	t, err := tensor.FromI64(i32, nil, []int64{x})
	if err != nil {
		panic(err)
	}
	return t
}

// lastRow is the last position of logits [1,T,V].
func lastRow(out Tensors) ([]float32, error) {
	t := out["logits"]
	if t == nil || len(t.Shape) != 3 {
		return nil, fmt.Errorf("the model gives no logits [B,T,V]")
	}
	all, err := t.F32s()
	if err != nil {
		return nil, err
	}
	return all[len(all)-int(t.Shape[2]):], nil
}

type reference struct {
	eval            *eval.Evaluator
	prefill, decode *ir.Func
	states          Tensors
	at, room        int64
}

func (m *Model) newReference(req Request, room int64) (Session, error) {
	names, err := m.Entries()
	if err != nil {
		return nil, err
	}
	for _, n := range []string{"prefill", "decode"} {
		if _, err := choose(names, n); err != nil {
			return nil, err
		}
	}
	mod, err := m.LowerAll(Request{Set: req.Set, Precision: req.Precision}, "prefill", "decode")
	if err != nil {
		return nil, err
	}
	r := &reference{prefill: mod.Func("prefill"), decode: mod.Func("decode"), room: room}
	if err := fitsReference(r.decode, map[string]int64{"B": 1, "T": 1, "S": room}); err != nil {
		return nil, err
	}
	r.eval = &eval.Evaluator{Weights: m.weights(), Bind: map[string]int64{"S": room}}
	return r, nil
}

func (r *reference) Prefill(ctx context.Context, ids []int32) ([]float32, error) {
	if int64(len(ids)) > r.room {
		return nil, fmt.Errorf("%d tokens do not fit a cache of %d", len(ids), r.room)
	}
	out, next, err := r.eval.Run(ctx, r.prefill, Tensors{"tokens": tokens(ids)}, nil)
	if err != nil {
		return nil, err
	}
	r.states, r.at = next, int64(len(ids))
	return lastRow(out)
}

func (r *reference) Decode(ctx context.Context, id int32) ([]float32, error) {
	if r.at >= r.room {
		return nil, fmt.Errorf("the cache of %d tokens is full", r.room)
	}
	out, next, err := r.eval.Run(ctx, r.decode, Tensors{"tokens": tokens([]int32{id}), "pos": scalarI32(r.at)}, r.states)
	if err != nil {
		return nil, err
	}
	r.states = next
	r.at++
	return lastRow(out)
}

// ChipSession is a session on a simulated chip. It keeps the plans it made, so that another prompt of the same length costs no compilation.
type ChipSession struct {
	m       *Model
	req     Request
	room    int64
	dev     *exec.Device
	prefill map[int64]*step
	decode  *step
	at      int64
}

type step struct {
	built *Built
	mach  *exec.Machine
}

func (s *ChipSession) step(ctx context.Context, entry string, t int64) (*step, error) {
	req := s.req
	req.Entry = entry
	req.Bind = map[string]int64{"B": 1, "T": t, "S": s.room}
	b, err := s.m.Compile(ctx, req)
	if err != nil {
		return nil, err
	}
	if u := plan.Measure(b.Plan); u.Total > u.Size {
		return nil, fmt.Errorf("the model does not fit %s: %s", b.Plan.Chip, Capacity(b.Plan))
	}
	mach, err := s.dev.Machine(b.Plan)
	if err != nil {
		return nil, err
	}
	return &step{b, mach}, nil
}

// Prefill implements Session.
func (s *ChipSession) Prefill(ctx context.Context, ids []int32) ([]float32, error) {
	n := int64(len(ids))
	if n > s.room {
		return nil, fmt.Errorf("%d tokens do not fit a cache of %d", n, s.room)
	}
	st := s.prefill[n]
	if st == nil {
		var err error
		if st, err = s.step(ctx, "prefill", n); err != nil {
			return nil, err
		}
		s.prefill[n] = st
	}
	s.dev.ResetStates()
	out, err := st.mach.Run(ctx, Tensors{"tokens": tokens(ids)})
	if err != nil {
		return nil, err
	}
	s.at = n
	return lastRow(out)
}

// Decode implements Session.
func (s *ChipSession) Decode(ctx context.Context, id int32) ([]float32, error) {
	if s.at >= s.room {
		return nil, fmt.Errorf("the cache of %d tokens is full", s.room)
	}
	if s.decode == nil {
		var err error
		if s.decode, err = s.step(ctx, "decode", 1); err != nil {
			return nil, err
		}
	}
	out, err := s.decode.mach.Run(ctx, Tensors{"tokens": tokens([]int32{id}), "pos": scalarI32(s.at)})
	if err != nil {
		return nil, err
	}
	s.at++
	return lastRow(out)
}

// Precision is what the session's plans compute in.
func (s *ChipSession) Precision() string {
	for _, p := range s.prefill {
		return p.built.Precision.Name
	}
	return ""
}

// Timing is what a generation took on the simulated chip.
type Timing struct {
	Prefill, Decode *clock.Result
}

// Time times the plan of a prompt of n tokens and a decode step at a position.
func (s *ChipSession) Time(ctx context.Context, c *chip.Chip, n, pos int64) (*Timing, error) {
	var t Timing
	var err error
	st := s.prefill[n]
	if st == nil {
		if st, err = s.step(ctx, "prefill", n); err != nil {
			return nil, err
		}
	}
	if t.Prefill, err = clock.Run(st.built.Plan, c, clock.Options{}); err != nil {
		return nil, err
	}
	if s.decode == nil {
		if s.decode, err = s.step(ctx, "decode", 1); err != nil {
			return nil, err
		}
	}
	t.Decode, err = clock.Run(s.decode.built.Plan, c, clock.Options{})
	return &t, err
}

// Best is the index of the largest score, the first of equal ones.
func Best(scores []float32) int32 {
	best := 0
	for i, x := range scores {
		if x > scores[best] {
			best = i
		}
	}
	return int32(best)
}
