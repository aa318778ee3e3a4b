package exec

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"

	"apogee/ir/diag"
	"apogee/ir/tensor"
	"apogee/targets/plan"
)

func planErr(format string, args ...any) *diag.Diagnostic {
	return diag.Errorf(codePlan, diag.Range{}, format, args...)
}

func (m *Machine) checkMemories() error {
	p, c := m.p, m.d.chip
	g := c.Global()
	if len(p.Memories) == 0 || g == nil || p.Memories[0].Name != g.Name {
		return planErr("memory 0 is the global one of chip %s", c.Name)
	}
	seen := map[string]bool{}
	for i, mem := range p.Memories {
		cm := c.Memory(mem.Name)
		if cm == nil || seen[mem.Name] {
			return planErr("the plan uses memory %q, which chip %s does not have", mem.Name, c.Name)
		}
		seen[mem.Name] = true
		if have := int64(cm.Size.Value) * int64(max(cm.Units, 1)); i > 0 && (mem.Size < 0 || mem.Size > have) {
			return diag.Errorf(codeFull, diag.Range{}, "the plan wants more of memory %s than a core of chip %s has", mem.Name, c.Name).
				Expect(fmt.Sprintf("at most %d bytes", have), fmt.Sprint(mem.Size))
		}
	}
	return nil
}

// checkBuffers holds sizes and addresses against the chip, and finds buffers that share memory while both are in use.
func (m *Machine) checkBuffers() error {
	p := m.p
	var total, need [8]int64
	top := int64(0)
	order := make([]int, 0, len(p.Buffers))
	for i := range p.Buffers {
		b := &p.Buffers[i]
		if int(b.Kind) > int(plan.Workspace) {
			return planErr("buffer %s is of unknown kind %d", b.Name, b.Kind)
		}
		_, size, err := tensor.Count(b.Format, b.Shape)
		if err != nil {
			return planErr("buffer %s: %v", b.Name, err)
		}
		if b.Size < size || b.Size < 0 || b.Kind != plan.Workspace && b.Size != size && b.Kind != plan.Temp {
			return planErr("buffer %s: %s[%s] takes %d bytes, the plan says %d", b.Name, b.Format, tensor.Dims(b.Shape), size, b.Size)
		}
		if b.Addr < 0 || b.Addr > math.MaxInt64-b.Size {
			return planErr("buffer %s: address %d", b.Name, b.Addr)
		}
		if b.Kind == plan.Const && int64(len(b.Data)) != b.Size {
			return planErr("constant %s has %d bytes, the plan says %d", b.Name, len(b.Data), b.Size)
		}
		need[b.Kind] += b.Size
		total[b.Kind] = max(total[b.Kind], b.Addr+b.Size)
		top = max(top, b.Addr+b.Size)
		if b.Size > 0 {
			order = append(order, i)
		}
	}
	if have := int64(m.d.chip.Global().Size.Value); top > have {
		e := diag.Errorf(codeFull, diag.Range{}, "the plan does not fit chip %s", m.d.chip.Name).
			Expect(fmt.Sprintf("at most %d bytes of %s", have, p.Memories[0].Name), fmt.Sprint(top))
		for k := plan.Input; k <= plan.Workspace; k++ {
			if need[k] > 0 {
				e.Note(diag.Range{}, "%s: %d bytes", k, need[k])
			}
		}
		return e.Helpf("it can be timed; to run it, lower the batch or the context, or choose a narrower precision")
	}
	// A sweep by address; buffers in use at the same time must lie apart.
	sort.Slice(order, func(i, j int) bool {
		a, b := &p.Buffers[order[i]], &p.Buffers[order[j]]
		return cmp.Or(cmp.Compare(a.Addr, b.Addr), cmp.Compare(order[i], order[j])) < 0
	})
	var live []int
	for _, i := range order {
		b := &p.Buffers[i]
		live = slices.DeleteFunc(live, func(j int) bool { return p.Buffers[j].Addr+p.Buffers[j].Size <= b.Addr })
		for _, j := range live {
			if o := &p.Buffers[j]; together(b, o) {
				return planErr("buffers %s and %s lie over each other while both are in use: bytes %#x to %#x and %#x to %#x",
					o.Name, b.Name, o.Addr, o.Addr+o.Size, b.Addr, b.Addr+b.Size)
			}
		}
		live = append(live, i)
	}
	return nil
}

// together says whether two buffers are in use at the same time.
func together(a, b *plan.Buffer) bool {
	if a.Kind != plan.Temp || b.Kind != plan.Temp {
		return true
	}
	return a.First <= b.Last && b.First <= a.Last
}

func (m *Machine) checkSteps() error {
	p := m.p
	var ok bool
	if m.nest, ok = plan.Nest(p.Steps); !ok {
		return planErr("the plan's ifs, loops and ends do not belong together")
	}
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.Op != plan.LaunchStep {
			if err := m.checkControl(i, s); err != nil {
				return err
			}
			continue
		}
		fail := func(format string, args ...any) error {
			return planErr("step %d, %s: "+format, append([]any{i, s.Name}, args...)...)
		}
		if s.Kernel < 0 || s.Kernel >= len(p.Kernels) {
			return fail("kernel %d of %d", s.Kernel, len(p.Kernels))
		}
		k := &p.Kernels[s.Kernel]
		if s.Grid < 1 {
			return fail("a grid of %d blocks", s.Grid)
		}
		if len(s.Args) != len(k.Params) {
			return fail("kernel %s has %d parameters, found %d arguments", k.Name, len(k.Params), len(s.Args))
		}
		for j, a := range s.Args {
			q := &k.Params[j]
			if a.Buffer < 0 || a.Buffer >= len(p.Buffers) {
				return fail("parameter %s: buffer %d of %d", q.Name, a.Buffer, len(p.Buffers))
			}
			b := &p.Buffers[a.Buffer]
			if q.Size < 0 || a.Offset < 0 || a.Offset > b.Size-q.Size {
				return fail("parameter %s of %d bytes does not fit buffer %s of %d at offset %d", q.Name, q.Size, b.Name, b.Size, a.Offset)
			}
			if q.Write && (b.Kind == plan.Weight || b.Kind == plan.Const || b.Kind == plan.Input) {
				return fail("parameter %s writes buffer %s, which is %s", q.Name, b.Name, b.Kind)
			}
			if b.Kind == plan.Temp && (i < b.First || i > b.Last) {
				return fail("buffer %s is in use from step %d to step %d only", b.Name, b.First, b.Last)
			}
		}
	}
	return nil
}

func (m *Machine) hostFull(need int64) error {
	return diag.Errorf(codeHost, diag.Range{}, "the plan needs too much memory of this machine").
		Expect(fmt.Sprintf("at most %d bytes", m.d.opt.MemoryLimit), fmt.Sprint(need))
}

func sameWeight(a, b *plan.Buffer) bool {
	x, y := a.Source, b.Source
	if a.Format != b.Format || !slices.Equal(a.Shape, b.Shape) || (x == nil) != (y == nil) {
		return false
	}
	return x == nil || x.Name == y.Name && x.Stack == y.Stack && x.Stored == y.Stored && x.Scale == y.Scale && x.Quantise == y.Quantise && x.Scales == y.Scales &&
		slices.Equal(x.Block, y.Block) && slices.Equal(x.QuantiseBlock, y.QuantiseBlock) && x.MX == y.MX && slices.Equal(x.Shape, y.Shape)
}
