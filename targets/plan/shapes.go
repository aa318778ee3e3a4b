package plan

import "fmt"

// shapes checks that the sizes of an instruction's tiles belong together. Sizes that are not constant are compared by
// form: a difference counts only when both are constant.
func (c *checker) shapes(k *Kernel, i int) {
	ins := &k.Code[i]
	differ := func(a, b Val) bool { return a.IsConst() && b.IsConst() && a.C != b.C }
	mismatch := func(what string, want, got any) {
		c.at(codeShape, k, i, "%s", what).Expect(fmt.Sprint(want), fmt.Sprint(got))
	}
	same := func(what string, a, b Val) {
		if differ(a, b) {
			mismatch(what+" differ", a.C, b.C)
		}
	}
	rank := func(what string, t *Tile, n int) bool {
		if t.Has() && len(t.Size) != n {
			mismatch(what+" has the wrong number of axes", n, len(t.Size))
			return false
		}
		return true
	}
	equal := func(what string, t, like *Tile, axes int) {
		if !t.Has() || !rank(what, t, len(like.Size)) {
			return
		}
		for a := 0; a < axes; a++ {
			if differ(t.Size[a], like.Size[a]) {
				mismatch(fmt.Sprintf("axis %d of %s has another size than in the tile it belongs to", a, what), like.Size[a].C, t.Size[a].C)
			}
		}
	}
	d, n := &ins.Dst, len(ins.Dst.Size)
	one := func(what string, t *Tile) {
		if t.Has() && len(t.Size) == n && n > 0 && differ(t.Size[n-1], C(1)) {
			mismatch("the last axis of "+what+" has the wrong size", 1, t.Size[n-1].C)
		}
	}
	switch ins.Op {
	case LoadScalar:
		for _, s := range ins.A.Size {
			if differ(s, C(1)) {
				mismatch("more than one element is loaded", 1, s.C)
			}
		}
	case Move, Vec:
		equal("A", &ins.A, d, n)
		equal("B", &ins.B, d, n)
		equal("C", &ins.C, d, n)
		for _, t := range [...]*Tile{d, &ins.A} {
			if x := t.Index; x != nil && differ(x.Size[0], t.Size[0]) {
				mismatch("the index list has another length than axis 0", t.Size[0].C, x.Size[0].C)
			}
		}
	case Mma:
		if !rank("Dst", d, 2) || !rank("A", &ins.A, 2) || !rank("B", &ins.B, 2) {
			return
		}
		same("M of A and Dst", d.Size[0], ins.A.Size[0])
		same("K of A and B", ins.A.Size[1], ins.B.Size[0])
		same("N of B and Dst", d.Size[1], ins.B.Size[1])
		if ins.C.Has() != ins.D.Has() {
			mismatch("a product takes scales of both operands, or of none", "C and D", map[bool]string{true: "C", false: "D"}[ins.C.Has()])
			return
		}
		if !ins.C.Has() || !rank("C", &ins.C, 2) || !rank("D", &ins.D, 2) {
			return
		}
		same("M of C and Dst", d.Size[0], ins.C.Size[0])
		same("the numbers of scales of A and B", ins.C.Size[1], ins.D.Size[0])
		same("N of D and Dst", d.Size[1], ins.D.Size[1])
	case VReduce:
		equal("A", &ins.A, d, n-1)
		one("Dst", d)
	case VScan:
		equal("A", &ins.A, d, n)
		equal("B", &ins.B, d, n-1)
		one("B", &ins.B)
	case VTopK:
		equal("Dst2", &ins.Dst2, d, n)
		equal("A", &ins.A, d, n-1)
	case VTake:
		equal("B", &ins.B, d, n)
		equal("A", &ins.A, d, n-1)
	case VPut:
		equal("A", &ins.A, d, n-1)
		if rank("B", &ins.B, len(ins.A.Size)) {
			equal("B", &ins.B, &ins.A, len(ins.A.Size))
		}
	case VGroup:
		if !rank("Dst", d, 2) || !rank("A", &ins.A, 2) || !rank("Dst2", &ins.Dst2, 2) {
			return
		}
		equal("A", &ins.A, d, 2)
		for _, x := range [...]*Tile{d, &ins.Dst2, &ins.A} {
			if differ(x.Size[0], C(1)) {
				mismatch("a list of groups has more than one row", 1, x.Size[0].C)
			}
		}
	}
}
