package exec

import (
	"fmt"
	"slices"

	"apogee/ir/diag"
	"apogee/ir/tensor"
)

// SetStates gives states of the plan, by name, what they hold before the next run, for all machines that share them. Those that are not named
// stay as they are. A name that the plan does not have and a tensor of another format or shape are errors.
func (m *Machine) SetStates(states map[string]*tensor.Tensor) error {
	m.d.mu.Lock()
	defer m.d.mu.Unlock()
	found := 0
	for _, s := range m.states {
		if s == nil || states[s.buf.Name] == nil {
			continue
		}
		t := states[s.buf.Name]
		if t.Format != s.buf.Format || !slices.Equal(t.Shape, s.buf.Shape) {
			return diag.Errorf(codeIn, diag.Range{}, "state %s does not fit the plan", s.buf.Name).
				Expect(fmt.Sprintf("%s[%s]", s.buf.Format, tensor.Dims(s.buf.Shape)), t.String())
		}
		b, err := t.Bytes()
		if err != nil {
			return err
		}
		data := alloc(s.buf.Size)
		copy(data, b)
		s.data = data
		found++
	}
	if found != len(states) {
		return diag.Errorf(codeIn, diag.Range{}, "%d of %d states are none of the plan's", len(states)-found, len(states))
	}
	return nil
}

// States gives a copy of what the plan's states hold, by name.
func (m *Machine) States() (map[string]*tensor.Tensor, error) {
	m.d.mu.Lock()
	defer m.d.mu.Unlock()
	out := map[string]*tensor.Tensor{}
	for _, s := range m.states {
		if s == nil {
			continue
		}
		t, err := tensor.FromBytes(s.buf.Format, s.buf.Shape, slices.Clone(s.data))
		if err != nil {
			return nil, err
		}
		out[s.buf.Name] = t
	}
	return out, nil
}
