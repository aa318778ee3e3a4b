package report

import (
	"fmt"
	"io"
	"strings"

	"apogee/targets/plan"
	"apogee/targets/sim/clock"
	"apogee/targets/trace"
)

// WriteKernel writes what each instruction of a launch took on the simulated core: how often it ran, how much of the time it
// held its queue, and how long a wait stood still; with the time by reason and by queue. launch is an index into
// Result.Launches. The error is the writer's.
func WriteKernel(w io.Writer, p *plan.Plan, r *clock.Result, launch int, v plan.Vocab) error {
	b := &strings.Builder{}
	l := r.Launches[launch]
	k := &p.Kernels[l.Kernel]
	fmt.Fprintf(b, "kernel %s, grid %d on %d cores, %d launches of %s; core %d had most to do\n", k.Name, l.Grid, l.Cores, l.Steps, Seconds(r.Second(l.Ticks)), l.Core)
	fmt.Fprintf(b, "bound by %s\nqueues  ", &l.Split)
	share := func(t clock.Ticks) string {
		if l.Ticks == 0 {
			return percent(0)
		}
		return percent(float64(t) / float64(l.Ticks))
	}
	for q, t := range l.Queues {
		fmt.Fprintf(b, " %s %s", p.Queues[q].Name, share(t))
	}
	b.WriteString("\n\n")
	t := table{head: []string{"", "count", "busy", "held", "queue", "instruction"}, left: 1<<4 | 1<<5}
	depth := 0
	for i := range k.Code {
		in, u := &k.Code[i], &l.Instrs[i]
		busy, held := "", ""
		if u.Busy > 0 {
			busy = share(u.Busy)
		}
		if u.Held > 0 {
			held = share(u.Held)
		}
		if in.Op == plan.End {
			depth--
		}
		text := strings.Repeat("  ", max(depth, 0)) + plan.InstrText(p, k, i, v)
		if in.Op == plan.Loop {
			depth++
		}
		t.row(fmt.Sprint(i), fmt.Sprint(u.Count), busy, held, p.Queues[in.Queue].Name, text)
	}
	t.write(b)
	_, err := io.WriteString(w, b.String())
	return err
}

// TimelineOptions say which part of a launch a timeline shows.
type TimelineOptions struct {
	Step  int // index into Plan.Steps; the trace must have its instructions
	Rows  int // how many instructions; 0 means 60
	Width int // how many columns; 0 means 80
}

// WriteTimeline writes the first instructions of a launch as a picture: a line each, time to the
// right, "." while it is held back, "#" while it holds its queue; up to where rounds repeat. The error is the writer's.
func WriteTimeline(w io.Writer, t *trace.Trace, o TimelineOptions) error {
	if o.Rows <= 0 {
		o.Rows = 60
	}
	if o.Width <= 0 {
		o.Width = 80
	}
	var spans []*trace.Span
	for i := range t.Spans {
		if s := &t.Spans[i]; s.Step == o.Step && s.Instr >= 0 {
			spans = append(spans, s)
			if len(spans) == o.Rows {
				break
			}
		}
	}
	b := &strings.Builder{}
	for i, s := range spans {
		if s.Times > 1 && i > 0 {
			spans = spans[:i+1]
			break
		}
	}
	if len(spans) == 0 {
		fmt.Fprintf(b, "the trace has no instructions of step %d\n", o.Step)
		_, err := io.WriteString(w, b.String())
		return err
	}
	from, to := spans[0].Start-spans[0].Wait, 0.0
	for _, s := range spans {
		if s.Times > 1 && to > 0 { // the picture is of what comes before
			break
		}
		from, to = min(from, s.Start-s.Wait), max(to, s.End)
	}
	to = max(to, from+1e-12)
	col := func(x float64) int {
		return max(0, min(o.Width, int((x-from)/(to-from)*float64(o.Width)+0.5)))
	}
	fmt.Fprintf(b, "first instructions, from %s on, a column is %s\n", Seconds(from), Seconds((to-from)/float64(o.Width)))
	for _, s := range spans {
		label := fmt.Sprintf("%4d %-8s %-20s", s.Instr, clip(t.Tracks[s.Track], 8), clip(s.Name, 20))
		if s.Times > 1 {
			fmt.Fprintf(b, "%s| and so on to %s\n", label, Seconds(s.End))
			continue
		}
		line := []byte(strings.Repeat(" ", o.Width))
		for i := col(s.Start - s.Wait); i < col(s.Start); i++ {
			line[i] = '.'
		}
		for i := col(s.Start); i < max(col(s.End), col(s.Start)+1) && i < o.Width; i++ {
			line[i] = '#'
		}
		why := s.Bound
		if s.Wait > 0 {
			why += ", after " + s.For
		}
		fmt.Fprintf(b, "%s|%s| %s\n", label, line, why)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
