package plantest

import (
	"apogee/ir/format"
	"apogee/targets/chip"
)

// Chip is a toy chip at 1 GHz with four cores, so that times can be worked out by hand: global memory 100 B/cycle behind a cache of
// 1 MiB and 400 B/cycle, paths of 64 B/cycle, 1024 flop/cycle, 64 elements/cycle.
func Chip() *chip.Chip {
	q := func(v float64, unit string) chip.Quantity {
		return chip.Quantity{Value: v, Unit: unit, Confidence: chip.Published, Source: "test"}
	}
	guess := func(v float64, unit string) chip.Quantity {
		x := q(v, unit)
		x.Confidence = chip.Assumed
		return x
	}
	c := &chip.Chip{
		Name: "toy", Family: chip.Decoupled, Clock: q(1e9, "Hz"), Cores: q(4, ""), Launch: guess(2e-6, "s"), SyncLatency: q(20, "cycle"),
		Sync:  chip.SyncWords{Signal: "set_flag", Wait: "wait_flag"},
		Words: map[string]string{"mma": "mmad", "dma_in": "copy_in", "dma_out": "copy_out"},
		Memories: []*chip.Memory{
			{Name: "gm", Scope: chip.Card, Size: q(1<<30, "B"), Bandwidth: q(100e9, "B/s"), Latency: q(500e-9, "s"), Align: 32, Roles: []string{chip.RoleGlobal}, Units: 1},
			{Name: "l2", Scope: chip.Card, Size: q(1<<20, "B"), Bandwidth: q(400e9, "B/s"), Latency: q(200e-9, "s"), Align: 32, Roles: []string{chip.RoleCache}, Caches: "gm", Units: 1},
		},
	}
	for i, m := range Memories()[1:] {
		roles := [][]string{{chip.RoleScratch}, {chip.RoleMatrixA}, {chip.RoleMatrixB}, {chip.RoleAccumulator}, {chip.RoleVector}}[i]
		c.Memories = append(c.Memories, &chip.Memory{Name: m.Name, Scope: chip.Core, Size: q(float64(m.Size), "B"), Align: int(m.Align), Roles: roles, Units: 1})
	}
	for _, e := range Queues() {
		kind := [...]chip.EngineKind{chip.Scalar, chip.DMA, chip.Matrix, chip.Vector}[e.Kind]
		c.Engines = append(c.Engines, &chip.Engine{Name: e.Name, Kind: kind, Queue: e.Name, Units: 1})
	}
	c.Engines[S].Startup = q(1, "cycle")
	m := c.Engines[M]
	m.A, m.B, m.Acc, m.Startup = "l0a", "l0b", "l0c", q(16, "cycle")
	for _, f := range []format.Format{format.F16, format.BF16} {
		m.Matrix = append(m.Matrix, chip.MatrixRate{A: f, B: f, Acc: format.F32, M: 16, K: 16, N: 16, FlopsPerCycle: q(1024, "flop/cycle")})
	}
	v := c.Engines[V]
	v.Units, v.Mem, v.Startup = 2, []string{"ub"}, q(10, "cycle")
	for _, f := range []format.Format{format.F32, format.F16, format.I32} {
		for _, class := range chip.OpClasses {
			rate := map[chip.OpClass]float64{chip.Basic: 64, chip.Transcendental: 16, chip.Divide: 8, chip.Reduce: 32, chip.Sort: 4}[class]
			if f == format.I32 && class == chip.Transcendental {
				continue
			}
			v.Vector = append(v.Vector, chip.VectorRate{Format: f, Op: class, ElementsPerCycle: q(rate, "element/cycle")})
		}
	}
	path := func(from, to, engine string) {
		c.Paths = append(c.Paths, &chip.Path{From: from, To: to, Engine: engine, Rate: q(64, "B/cycle"), Startup: q(30, "cycle"), MaxDims: 3, Indirect: to == "ub"})
	}
	path("gm", "l1", "mte2")
	path("l1", "l0a", "mte1")
	path("l1", "l0b", "mte1")
	path("l0c", "gm", "fix")
	path("gm", "ub", "mte2")
	path("ub", "gm", "fix")
	return c
}
