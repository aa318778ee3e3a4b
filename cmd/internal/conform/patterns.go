package conform

import (
	"context"
	"fmt"

	"apogee/ir"
	"apogee/ir/diag"
	"apogee/passes"
)

// pattern is a composition that the passes fuse or recognise.
type pattern struct {
	name string
	bind map[string]int64
	text string
	in   map[string]input
}

func (s *suite) pattern(ctx context.Context, p *pattern) error {
	m, l := ir.Parse(diag.NewSource(p.name+".ir", []byte(p.text)))
	if l.HasErrors() {
		return l.Err()
	}
	if len(p.bind) > 0 {
		if _, err := passes.Run(ctx, m, "specialise", passes.Options{Bind: p.bind}); err != nil {
			return err
		}
	}
	if err := s.try(ctx, m, p.in, 1); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}

var patterns = []pattern{}
