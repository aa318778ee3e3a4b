package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// TextOptions say how much of a report is shown.
type TextOptions struct {
	// Rows is how many kernels and places are shown; 0 means 15.
	Rows int
	// Roofline adds how each kernel stands to the chip's roofs.
	Roofline bool
	// Assumed lists the assumed numbers, which are else only counted.
	Assumed bool
}

// WriteText writes the report for people. The error is the writer's.
func WriteText(w io.Writer, r *Report, o TextOptions) error {
	if o.Rows <= 0 {
		o.Rows = 15
	}
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s %s on %s, %s: %s in %d launches\n", r.Model, r.Entry, r.Chip, r.Precision, Seconds(r.Seconds), r.Launches)
	if r.OverCapacity > 0 {
		fmt.Fprintf(b, "over capacity by %s, so it cannot run on one chip: %s\n", Bytes(float64(r.OverCapacity)), r.Usage)
	}
	b.WriteString("bound by ")
	for i, s := range r.BoundBy {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(b, "%s %.1f %%", s.Reason, 100*s.Fraction)
	}
	fmt.Fprintf(b, "\nmemory  %s/s, %.1f %% of %s/s\n", Bytes(r.Memory.Reached), 100*r.Memory.Fraction, Bytes(r.Memory.Peak))
	if r.Matrix.Peak > 0 {
		fmt.Fprintf(b, "matrix  %s, %.1f %% of %s; %.1f %% of its work is padding\n", Flops(r.Matrix.Reached), 100*r.Matrix.Fraction, Flops(r.Matrix.Peak), 100*r.Padding)
	}
	b.WriteString("queues ")
	for _, q := range r.Queues {
		fmt.Fprintf(b, " %s %.1f %%", q.Name, 100*q.Fraction)
	}
	b.WriteString("\n\n")
	groups(b, "kernel", r.Kernels, o.Rows)
	b.WriteString("\n")
	groups(b, "place", r.Places, o.Rows)
	if o.Roofline {
		b.WriteString("\n")
		roofline(b, r, o.Rows)
	}
	notes(b, r, o)
	_, err := io.WriteString(w, b.String())
	return err
}

func groups(b *strings.Builder, what string, list []Group, rows int) {
	t := table{head: []string{what, "launches", "time", "share", "bound by", "", "flop/s", "B/s"}, left: 1 << 0}
	t.left |= 1 << 4
	for i, g := range list {
		if i == rows {
			rest := Group{}
			for _, x := range list[i:] {
				rest.Launches += x.Launches
				rest.Seconds += x.Seconds
				rest.Fraction += x.Fraction
			}
			t.row(fmt.Sprintf("%d more", len(list)-i), fmt.Sprint(rest.Launches), Seconds(rest.Seconds), percent(rest.Fraction), "", "", "", "")
			break
		}
		flops, bytes := "", ""
		if g.Flops > 0 && g.Seconds > 0 {
			flops = Flops(g.Flops / g.Seconds)
		}
		if g.Bytes > 0 && g.Seconds > 0 {
			bytes = Bytes(g.Bytes/g.Seconds) + "/s"
		}
		t.row(g.Name, fmt.Sprint(g.Launches), Seconds(g.Seconds), percent(g.Fraction), g.BoundBy.String(), percent(g.Bound), flops, bytes)
	}
	t.write(b)
}

// roofline shows how far each kernel is from what its flops a byte allow: the lesser of the matrix peak and memory bandwidth
// times intensity (Williams, Waterman and Patterson, "Roofline", CACM 52, 2009).
func roofline(b *strings.Builder, r *Report, rows int) {
	t := table{head: []string{"roofline", "flop/B", "roof", "of it", "reached", ""}, left: 1<<0 | 1<<5}
	for i := range r.Kernels {
		if i == rows {
			break
		}
		g := &r.Kernels[i]
		if g.Seconds <= 0 {
			continue
		}
		roof, kind, reached, unit := r.Memory.Peak, "memory", g.Bytes/g.Seconds, func(x float64) string { return Bytes(x) + "/s" }
		if g.peakRate > 0 && g.Bytes > 0 && g.Intensity()*r.Memory.Peak > g.peakRate || g.Bytes == 0 {
			roof, kind, reached, unit = g.peakRate, "matrix", g.Flops/g.Seconds, Flops
		}
		part := 0.0
		if roof > 0 {
			part = reached / roof
		}
		t.row(g.Name, fmt.Sprintf("%.3g", g.Intensity()), unit(roof), kind, unit(reached), bar(part, 30)+" "+percent(part))
	}
	t.write(b)
}

func bar(f float64, width int) string {
	n := int(f*float64(width) + 0.5)
	n = max(0, min(n, width))
	return strings.Repeat("#", n) + strings.Repeat(".", width-n)
}

func notes(b *strings.Builder, r *Report, o TextOptions) {
	if len(r.Data)+len(r.Notes)+len(r.Assumed) > 0 {
		b.WriteString("\n")
	}
	for _, d := range r.Data {
		fmt.Fprintf(b, "assumed of data: %s\n", d)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(b, "note: %s\n", n)
	}
	if n := len(r.Assumed); n > 0 {
		b.WriteString(map[bool]string{true: "one number of the chip that went into this is", false: fmt.Sprint(n) + " numbers of the chip that went into this are"}[n == 1])
		b.WriteString(" assumed, not published")
		if !o.Assumed {
			names := make([]string, 0, 4)
			for i, a := range r.Assumed {
				if i == 3 && n > 4 {
					names = append(names, "…")
					break
				}
				names = append(names, a.Name)
			}
			fmt.Fprintf(b, ": %s", strings.Join(names, ", "))
		}
		b.WriteString("\n")
		for _, a := range r.Assumed {
			if o.Assumed {
				fmt.Fprintf(b, "  %s = %s: %s\n", a.Name, a.Value, a.Why)
			}
		}
	}
}

// table lays out columns; left says which are aligned to the left.
type table struct {
	head []string
	rows [][]string
	left uint
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) write(b *strings.Builder) {
	width := make([]int, len(t.head))
	all := append([][]string{t.head}, t.rows...)
	for _, r := range all {
		for i, c := range r {
			if i < len(r)-1 || t.left>>i&1 == 0 { // a last one on the left may be as long as it is
				width[i] = max(width[i], min(utf8.RuneCountInString(c), 60))
			}
		}
	}
	for _, r := range all {
		line := ""
		for i, c := range r {
			if i > 0 {
				line += "  "
			}
			if n := utf8.RuneCountInString(c); i == len(r)-1 && t.left>>i&1 == 1 {
				line += c
				continue
			} else if n > width[i] {
				c = string([]rune(c)[:width[i]-1]) + "…"
			} else if pad := strings.Repeat(" ", width[i]-n); t.left>>i&1 == 1 {
				c += pad
			} else {
				c = pad + c
			}
			line += c
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

func percent(f float64) string { return fmt.Sprintf("%.1f %%", 100*f) }

// Seconds writes a time with three digits and a fitting unit.
func Seconds(s float64) string {
	switch {
	case s == 0:
		return "0 s"
	case s < 1e-6:
		return fmt.Sprintf("%.3g ns", s*1e9)
	case s < 1e-3:
		return digits(s*1e6) + " us"
	case s < 1:
		return digits(s*1e3) + " ms"
	}
	return digits(s) + " s"
}

// digits writes three digits, and all before the point.
func digits(x float64) string {
	switch {
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

// scaled writes a number with a decimal prefix: GB is 10^9.
func scaled(x float64, unit string) string {
	for _, p := range []struct {
		name string
		size float64
	}{{"P", 1e15}, {"T", 1e12}, {"G", 1e9}, {"M", 1e6}, {"k", 1e3}} {
		if x >= p.size {
			return digits(x/p.size) + " " + p.name + unit
		}
	}
	return fmt.Sprintf("%.3g %s", x, unit)
}

// Bytes writes a number of bytes with a decimal prefix.
func Bytes(x float64) string { return scaled(x, "B") }

// Flops writes a rate of floating-point operations.
func Flops(x float64) string { return scaled(x, "FLOPS") }
