package driver

import (
	"fmt"

	"apogee/ir"
	"apogee/ir/shape"
	"apogee/targets/plan"
	"apogee/targets/sim/exec"
)

// statesOf are the states of an entry as it declares them.
func statesOf(f *ir.Func) []param {
	var out []param
	for _, p := range f.StateParams() {
		out = append(out, param{p.Name, p.Type})
	}
	return out
}

// statesOfPlan are the states of a plan.
func statesOfPlan(p *plan.Plan) []param {
	var out []param
	for i := range p.Buffers {
		if b := &p.Buffers[i]; b.Kind == plan.State {
			out = append(out, param{b.Name, ir.Type{Format: b.Format, Shape: shape.Of(b.Shape...)}})
		}
	}
	return out
}

// adaptStates gives the states that a run begins with the formats that an entry wants, and binds its symbols by their shapes: a cache that a
// prefill left decides how much room a decode has. Nil is nothing: all states are zero. Else there must be each of them, and no other.
func adaptStates(entry string, params []param, given Tensors, bind map[string]int64) (Tensors, error) {
	if given == nil {
		return nil, nil
	}
	return adapt("state", entry, params, given, bind, func(p param) error {
		return fmt.Errorf("entry %s begins with a state %s, %s, which is not among those given", entry, p.name, p.typ)
	})
}

// begin gives a machine the states that a request begins with; end hands on those that are left.
func (req *Request) begin(m *exec.Machine) error {
	states, err := adaptStates(m.Plan().Entry, statesOfPlan(m.Plan()), req.States, map[string]int64{})
	if err != nil || states == nil {
		return err
	}
	return m.SetStates(states)
}

func (req *Request) end(m *exec.Machine) error {
	if req.Left == nil {
		return nil
	}
	left, err := m.States()
	if err != nil {
		return err
	}
	return req.Left(left)
}
