package plan

// Footprint bounds how many different bytes of a parameter a kernel touches.
type Footprint struct{ Read, Written int64 }

// Footprints gives the footprint of each parameter when the blocks first to last run: for each instruction, the bytes of its
// tile times the number of places that it can stand at, and never more than lies between the first byte and the last, or than the
// parameter has. Tiles that stand elsewhere for each value of something count once for each, those that do not depend on a
// loop once. The plan must have passed [Validate].
func Footprints(k *Kernel, first, last, cores int64) []Footprint {
	out := make([]Footprint, len(k.Params))
	type hull struct{ lo, hi int64 }
	read, written := make([]hull, len(k.Params)), make([]hull, len(k.Params))
	for i := range read {
		read[i], written[i] = hull{maxInf, minInf}, hull{maxInf, minInf}
	}
	walkBounds(k, first, last, cores, func(i int, b *bounds) {
		in := &k.Code[i]
		for _, s := range in.slots() {
			for t := s.Tile; t != nil && !absent(t); t = t.Index {
				if t.Mem != 0 {
					continue
				}
				total, h := &out[t.Param].Read, &read[t.Param]
				if s.Letter == 'D' && t != s.Tile.Index {
					total, h = &out[t.Param].Written, &written[t.Param]
				}
				n, lo, hi := b.footprint(t)
				*total = satAdd(*total, n)
				h.lo, h.hi = min(h.lo, lo), max(h.hi, hi)
			}
		}
	})
	for i := range out {
		limit := func(n int64, h hull) int64 {
			lo, hi := max(h.lo, 0), min(h.hi, k.Params[i].Size)
			return max(0, min(n, hi-lo, k.Params[i].Size))
		}
		out[i] = Footprint{limit(out[i].Read, read[i]), limit(out[i].Written, written[i])}
	}
	return out
}

// footprint gives the bytes of all places of a tile, and the hull of all.
func (b *bounds) footprint(t *Tile) (bytes, lo, hi int64) {
	base := b.eval(t.Base)
	lo, hi = base.interval(nil)
	bytes = int64(t.Format.Bits())
	for a := range t.Size {
		_, n := b.eval(t.Size[a]).interval(nil)
		if n <= 0 {
			return 0, maxInf, minInf
		}
		if t.Stride[a] != 0 || t.Format.Bits() < 8 && a == t.row() || a == 0 && t.Index != nil {
			bytes = satMul(bytes, n)
		}
		if a == 0 && t.Index != nil {
			lo, hi = minInf, maxInf
			continue
		}
		span := satMul(n-1, t.Stride[a])
		if a == t.row() {
			span = rowBytes(t, n)
		}
		lo, hi = satAdd(lo, min(span, 0)), satAdd(hi, max(span, 0))
	}
	bytes = satAdd(bytes, 7) / 8
	places := int64(1)
	for _, x := range base.terms {
		places = satMul(places, satAdd(satAdd(x.v.hi, satMul(x.v.lo, -1)), 1))
	}
	return satMul(bytes, places), lo, hi
}
