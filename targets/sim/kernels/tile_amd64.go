package kernels

import "unsafe"

func (t *tile) run() {
	switch active {
	case AVX512:
		t.run512()
	case AVX2:
		t.run256()
	default:
		t.runPortable()
	}
}

// hint returns the address at which a micro-kernel prefetches and the bytes to
// advance by a step. It is never read, so it may lie outside the slice.
func (t *tile) hint() (next uintptr, step int) {
	next = uintptr(unsafe.Pointer(unsafe.SliceData(t.b)))
	if t.next != nil {
		next = uintptr(unsafe.Pointer(unsafe.SliceData(t.next)))
	}
	return next + uintptr(t.nextAt), t.nextStep
}

func (t *tile) run512() {
	const w = 4
	a, b, c := unsafe.SliceData(t.a), unsafe.SliceData(t.b), unsafe.SliceData(t.c)
	k, ar, as, bs, cr := t.k, t.aRow*w, t.aStep*w, t.bStep*w, t.cRow*w
	next, step := t.hint()
	mask := uint32(1<<t.cols - 1)
	if t.cols <= tileN/2 {
		// Not only half the work: a masked access that touches nothing still takes
		// hundreds of cycles when it points at a page that is not there.
		switch t.rows {
		case 1:
			tile512halfx1(k, a, ar, as, b, bs, c, cr, t.acc, mask, next, step)
		case 2:
			tile512halfx2(k, a, ar, as, b, bs, c, cr, t.acc, mask, next, step)
		case 3:
			tile512halfx3(k, a, ar, as, b, bs, c, cr, t.acc, mask, next, step)
		case 4:
			tile512halfx4(k, a, ar, as, b, bs, c, cr, t.acc, mask, next, step)
		case 5:
			tile512halfx5(k, a, ar, as, b, bs, c, cr, t.acc, mask, next, step)
		case 6:
			tile512halfx6(k, a, ar, as, b, bs, c, cr, t.acc, mask, next, step)
		case 7:
			tile512halfx7(k, a, ar, as, b, bs, c, cr, t.acc, mask, next, step)
		case 8:
			tile512halfx8(k, a, ar, as, b, bs, c, cr, t.acc, mask, next, step)
		case 9:
			tile512halfx9(k, a, ar, as, b, bs, c, cr, t.acc, mask, next, step)
		case 10:
			tile512halfx10(k, a, ar, as, b, bs, c, cr, t.acc, mask, next, step)
		case 11:
			tile512halfx11(k, a, ar, as, b, bs, c, cr, t.acc, mask, next, step)
		case 12:
			tile512halfx12(k, a, ar, as, b, bs, c, cr, t.acc, mask, next, step)
		}
		return
	}
	switch t.rows {
	case 1:
		tile512x1(k, a, ar, as, b, bs, c, cr, t.acc, mask, next, step)
	case 2:
		tile512x2(k, a, ar, as, b, bs, c, cr, t.acc, mask, next, step)
	case 3:
		tile512x3(k, a, ar, as, b, bs, c, cr, t.acc, mask, next, step)
	case 4:
		tile512x4(k, a, ar, as, b, bs, c, cr, t.acc, mask, next, step)
	case 5:
		tile512x5(k, a, ar, as, b, bs, c, cr, t.acc, mask, next, step)
	case 6:
		tile512x6(k, a, ar, as, b, bs, c, cr, t.acc, mask, next, step)
	case 7:
		tile512x7(k, a, ar, as, b, bs, c, cr, t.acc, mask, next, step)
	case 8:
		tile512x8(k, a, ar, as, b, bs, c, cr, t.acc, mask, next, step)
	case 9:
		tile512x9(k, a, ar, as, b, bs, c, cr, t.acc, mask, next, step)
	case 10:
		tile512x10(k, a, ar, as, b, bs, c, cr, t.acc, mask, next, step)
	case 11:
		tile512x11(k, a, ar, as, b, bs, c, cr, t.acc, mask, next, step)
	case 12:
		tile512x12(k, a, ar, as, b, bs, c, cr, t.acc, mask, next, step)
	}
}

// edgeMask[16-n:] begins with n words of which the sign is set.
var edgeMask = func() (m [32]int32) {
	for i := range 16 {
		m[i] = -1
	}
	return m
}()

// run256 cuts the tile into what 16 registers can hold: at most 6 rows by 16
// columns, 4 rows where the columns need a mask, 2 rows by 32 columns where there
// are no more and B should be read once.
func (t *tile) run256() {
	const w = 4
	k, ar, as, bs, cr := t.k, t.aRow*w, t.aStep*w, t.bStep*w, t.cRow*w
	next, step := t.hint()
	if t.rows <= 2 && t.cols == tileN {
		a, b, c := unsafe.SliceData(t.a), unsafe.SliceData(t.b), unsafe.SliceData(t.c)
		if t.rows == 2 {
			tile256widex2(k, a, ar, as, b, bs, c, cr, t.acc, nil, next, step)
		} else {
			tile256widex1(k, a, ar, as, b, bs, c, cr, t.acc, nil, next, step)
		}
		return
	}
	for j := 0; j < t.cols; j += 16 {
		cols := min(16, t.cols-j)
		most := 6
		if cols < 16 {
			most = 4
		}
		b := unsafe.SliceData(t.b[j:])
		mask := &edgeMask[16-cols]
		for i := 0; i < t.rows; i += most {
			rows := min(most, t.rows-i)
			a := unsafe.SliceData(t.a[i*t.aRow:])
			c := unsafe.SliceData(t.c[i*t.cRow+j:])
			switch {
			case cols == 16 && rows == 6:
				tile256x6(k, a, ar, as, b, bs, c, cr, t.acc, mask, next+uintptr(j*w), step)
			case cols == 16 && rows == 5:
				tile256x5(k, a, ar, as, b, bs, c, cr, t.acc, mask, next+uintptr(j*w), step)
			case cols == 16 && rows == 4:
				tile256x4(k, a, ar, as, b, bs, c, cr, t.acc, mask, next+uintptr(j*w), step)
			case cols == 16 && rows == 3:
				tile256x3(k, a, ar, as, b, bs, c, cr, t.acc, mask, next+uintptr(j*w), step)
			case cols == 16 && rows == 2:
				tile256x2(k, a, ar, as, b, bs, c, cr, t.acc, mask, next+uintptr(j*w), step)
			case cols == 16:
				tile256x1(k, a, ar, as, b, bs, c, cr, t.acc, mask, next+uintptr(j*w), step)
			case rows == 4:
				tile256edgex4(k, a, ar, as, b, bs, c, cr, t.acc, mask, next+uintptr(j*w), step)
			case rows == 3:
				tile256edgex3(k, a, ar, as, b, bs, c, cr, t.acc, mask, next+uintptr(j*w), step)
			case rows == 2:
				tile256edgex2(k, a, ar, as, b, bs, c, cr, t.acc, mask, next+uintptr(j*w), step)
			default:
				tile256edgex1(k, a, ar, as, b, bs, c, cr, t.acc, mask, next+uintptr(j*w), step)
			}
		}
	}
}
