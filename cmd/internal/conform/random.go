package conform

import (
	"context"
	"fmt"

	"apogee/cmd/internal/fuzz"
)

// random tries the random module of a seed.
func (s *suite) random(ctx context.Context, seed uint64) Outcome {
	o := Outcome{Name: fmt.Sprintf("random module %d", seed)}
	_, fail := fuzz.Try(ctx, fuzz.Module(seed, 0), seed, []*fuzz.Target{{Chip: s.c, Precision: "f32"}})
	if fail != nil && ctx.Err() == nil {
		o.Error = fail.Error()
	}
	return o
}
