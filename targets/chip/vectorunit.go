package chip

import "apogee/ir/format"

// VectorUnit is the vector engine as kernels see it: the engines that share the queue of the one that computes in f32, in the file's order. A
// file writes one engine as several where formats have rates or casts of their own.
type VectorUnit []*Engine

// VectorUnit gives the engines that vector instructions go to; none if there is no arithmetic in f32.
func (c *Chip) VectorUnit() VectorUnit {
	f32, _, ok := c.Vector(format.F32, Basic)
	if !ok {
		return nil
	}
	var u VectorUnit
	for _, e := range c.EnginesOf(Vector) {
		if e.Queue == f32.Queue {
			u = append(u, e)
		}
	}
	return u
}

// CanCast says whether one of the engines converts one format into another in one instruction.
func (u VectorUnit) CanCast(from, to format.Format) bool {
	for _, e := range u {
		if e.CanCast(from, to) {
			return true
		}
	}
	return false
}

// CastRoute is the shortest chain of conversions from one format to another, from's successor first, whose formats in between are all such
// that keep is true for them; nil if there is none, or nothing to convert. Ties go to the conversions that the chip's file names first.
func (u VectorUnit) CastRoute(from, to format.Format, keep func(format.Format) bool) []format.Format {
	prev := map[format.Format]format.Format{from: from}
	for queue := []format.Format{from}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if at == to {
			var way []format.Format
			for ; at != from; at = prev[at] {
				way = append([]format.Format{at}, way...)
			}
			return way
		}
		for _, e := range u {
			for _, p := range e.Casts {
				if _, seen := prev[p.To]; p.From == at && !seen && (p.To == to || keep(p.To)) {
					prev[p.To] = at
					queue = append(queue, p.To)
				}
			}
		}
	}
	return nil
}
