package exec

import (
	"context"
	"encoding/binary"
	"slices"
	"sync/atomic"

	"apogee/ir/format"
	"apogee/targets/plan"
)

// Ran is how often each step ran in the last run: a launch, an if and a loop as often as they were reached, an else as often as
// the steps behind it ran, the end of a loop as often as there were rounds.
func (m *Machine) Ran() []int64 {
	m.d.mu.Lock()
	defer m.d.mu.Unlock()
	return slices.Clone(m.ran)
}

// steps runs the steps from … to-1, which are whole ifs and loops.
func (m *Machine) steps(ctx context.Context, stop *atomic.Bool, from, to int) error {
	for i := from; i < to; i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		m.ran[i]++
		var err error
		switch m.p.Steps[i].Op {
		case plan.LaunchStep:
			err = m.step(ctx, stop, i)
		case plan.IfStep:
			i, err = m.branch(ctx, stop, i)
		case plan.LoopStep:
			i, err = m.loop(ctx, stop, i)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// branch runs the if of step i and returns its end.
func (m *Machine) branch(ctx context.Context, stop *atomic.Bool, i int) (int, error) {
	other := m.nest[i]
	end := other
	if m.p.Steps[other].Op == plan.ElseStep {
		end = m.nest[other]
	}
	yes, err := m.scalar(i, m.p.Steps[i].Control.Cond)
	if err != nil {
		return end, err
	}
	m.enter(i+1, end)
	m.ran[end]++
	switch {
	case yes != 0:
		return end, m.steps(ctx, stop, i+1, other)
	case other != end:
		m.ran[other]++
		return end, m.steps(ctx, stop, other+1, end)
	}
	return end, nil
}

// loop runs the loop of step i and returns its end.
func (m *Machine) loop(ctx context.Context, stop *atomic.Bool, i int) (int, error) {
	x, end := m.p.Steps[i].Control, m.nest[i]
	trip := int64(-1)
	if x.Trip != plan.None {
		n, err := m.scalar(i, x.Trip)
		if err != nil {
			return end, err
		}
		trip = max(n, 0)
	}
	for k := int64(0); k != trip && k != x.Limit; k++ {
		if x.Cond != plan.None {
			if yes, err := m.scalar(i, x.Cond); err != nil || yes == 0 {
				return end, err
			}
		}
		m.enter(i+1, end)
		if x.Index != plan.None {
			m.setScalar(x.Index, k)
		}
		if err := m.steps(ctx, stop, i+1, end); err != nil {
			return end, err
		}
		if err := ctx.Err(); err != nil { // a loop of nothing asks as well
			return end, err
		}
		m.ran[end]++
	}
	return end, nil
}

// enter tells the guard that the steps from … to-1 begin.
func (m *Machine) enter(from, to int) {
	if m.guard != nil {
		m.guard.Enter(from, to)
	}
}

// scalar reads what a step goes by.
func (m *Machine) scalar(step, buffer int) (int64, error) {
	if m.guard != nil {
		if err := m.guard.Scalar(step, buffer); err != nil {
			return 0, err
		}
	}
	data := m.bufs[buffer]
	switch m.p.Buffers[buffer].Format {
	case format.I64:
		return int64(binary.LittleEndian.Uint64(data)), nil
	case format.I32:
		return int64(int32(binary.LittleEndian.Uint32(data))), nil
	}
	return int64(data[0]), nil
}

func (m *Machine) setScalar(buffer int, x int64) {
	data := m.bufs[buffer]
	if m.p.Buffers[buffer].Format == format.I64 {
		binary.LittleEndian.PutUint64(data, uint64(x))
	} else {
		binary.LittleEndian.PutUint32(data, uint32(x))
	}
	if m.guard != nil {
		m.guard.Wrote(buffer)
	}
}

// checkControl holds a step that is no launch against the buffers.
func (m *Machine) checkControl(i int, s *plan.Step) error {
	x := s.Control
	if s.Op != plan.IfStep && s.Op != plan.LoopStep {
		return nil
	}
	if x == nil || s.Op == plan.IfStep && x.Cond == plan.None || s.Op == plan.LoopStep && !x.Data() && x.Limit < 0 {
		return planErr("step %d, %s: nothing says what it goes by", i, s.Name)
	}
	for _, q := range []struct {
		what   string
		buffer int
		of     []format.Format
		bytes  int64
	}{
		{"condition", x.Cond, []format.Format{format.Bool}, 1},
		{"trip count", x.Trip, []format.Format{format.I32, format.I64}, 8},
		{"index", x.Index, []format.Format{format.I32, format.I64}, 8},
	} {
		if q.buffer == plan.None {
			continue
		}
		if q.buffer < 0 || q.buffer >= len(m.p.Buffers) {
			return planErr("step %d, %s: the %s is buffer %d of %d", i, s.Name, q.what, q.buffer, len(m.p.Buffers))
		}
		b := &m.p.Buffers[q.buffer]
		bytes := q.bytes
		if b.Format == format.I32 {
			bytes = 4
		}
		switch {
		case !slices.Contains(q.of, b.Format) || b.Size < bytes:
			return planErr("step %d, %s: the %s %s is %s of %d bytes", i, s.Name, q.what, b.Name, b.Format, b.Size)
		case q.what == "index" && (b.Kind == plan.Weight || b.Kind == plan.Const || b.Kind == plan.Input):
			return planErr("step %d, %s: the index %s is %s, which must stay as it is", i, s.Name, b.Name, b.Kind)
		case b.Kind == plan.Temp && (i < b.First || i > b.Last):
			return planErr("step %d, %s: buffer %s is in use from step %d to step %d only", i, s.Name, b.Name, b.First, b.Last)
		}
	}
	return nil
}
