package guard

import (
	"fmt"

	"apogee/targets/plan"
)

// QueueName names a queue of a plan.
func QueueName(p *plan.Plan, q int) string {
	if p != nil && q >= 0 && q < len(p.Queues) {
		return p.Queues[q].Name
	}
	return fmt.Sprintf("queue %d", q)
}

// Name says which local or parameter a tile lies in.
func Name(p *plan.Plan, k *plan.Kernel, t *plan.Tile) string {
	if t.Mem == 0 {
		if k != nil && t.Param >= 0 && t.Param < len(k.Params) {
			return k.Params[t.Param].Name
		}
		return fmt.Sprintf("parameter %d", t.Param)
	}
	mem := fmt.Sprintf("memory %d", t.Mem)
	if p != nil && t.Mem > 0 && t.Mem < len(p.Memories) {
		mem = p.Memories[t.Mem].Name
	}
	if k != nil && t.Local >= 0 && t.Local < len(k.Locals) {
		return mem + "." + k.Locals[t.Local].Name
	}
	return mem
}
