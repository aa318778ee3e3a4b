package ir

// slab hands out elements from blocks that grow with what was taken, so that a module of a million ops is some
// thousand allocations and a module of ten is small.
type slab[T any] struct {
	free []T
	made int
}

const (
	slabMin = 16
	slabMax = 1024
)

func (s *slab[T]) one() *T {
	if len(s.free) == 0 {
		s.grow()
	}
	out := &s.free[0]
	s.free = s.free[1:]
	return out
}

func (s *slab[T]) take(n int) []T {
	if n > len(s.free) {
		if n > slabMin {
			return make([]T, n)
		}
		s.grow()
	}
	out := s.free[:n:n]
	s.free = s.free[n:]
	return out
}

func (s *slab[T]) grow() {
	n := min(max(slabMin, s.made), slabMax)
	s.made += n
	s.free = make([]T, n)
}
