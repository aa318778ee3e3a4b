package conform

import (
	"fmt"
	"io"
	"sort"
	"strings"
	"text/tabwriter"
)

// groups are the formats of one table each.
var groups = [][]string{
	{"f64", "f32", "tf32", "hf32", "bf16", "f16"},
	{"f8e4m3fn", "f8e5m2", "f8e4m3fnuz", "f8e5m2fnuz", "hif8", "f8e8m0"},
	{"i64", "i32", "i16", "i8", "u64", "u32", "u16", "u8", "bool"},
	{"f6e3m2", "f6e2m3", "f4e2m1", "i4", "i2", "u4", "u2"},
}

var letters = map[Status]string{Native: "n", Legalised: "l", Emulated: "e", Impossible: "-", Wrong: "WRONG"}

// WriteMatrix writes one line an op and a column a format: how the chip does it and what that costs beside the op in f32 (or what it takes
// in its first format, for ops without f32).
func (r *Result) WriteMatrix(w io.Writer) error {
	at := map[string]*Cell{}
	var ops []string
	for i := range r.Cells {
		c := &r.Cells[i]
		if at[c.Op+" "+c.Format] = c; len(ops) == 0 || ops[len(ops)-1] != c.Op {
			ops = append(ops, c.Op)
		}
	}
	base := map[string]float64{}
	for _, o := range ops {
		for _, g := range groups {
			for _, f := range g {
				if c := at[o+" "+f]; c != nil && c.Seconds > 0 && (base[o] == 0 || f == "f32") {
					base[o] = c.Seconds
				}
			}
		}
	}
	fmt.Fprintln(w, "n native, l legalised, e emulated, - impossible; behind it the simulated time at the standard size, as a multiple of the first column's")
	for _, g := range groups {
		any := false
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprint(t, "\nop\tus")
		for _, f := range g {
			fmt.Fprintf(t, "\t%s", f)
		}
		fmt.Fprintln(t)
		for _, o := range ops {
			line, used := o+"\t", false
			if base[o] > 0 {
				line += fmt.Sprintf("%.3g", base[o]*1e6)
			}
			for _, f := range g {
				c := at[o+" "+f]
				line += "\t"
				if c == nil {
					continue
				}
				used = true
				line += letters[c.Status]
				if c.Seconds > 0 {
					line += fmt.Sprintf(" %.2g", c.Seconds/base[o])
				}
			}
			if used {
				any = true
				fmt.Fprintln(t, strings.TrimRight(line, "\t"))
			}
		}
		if any {
			if err := t.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// WriteList writes one line a cell, with what the op becomes or by what routine it is done.
func (r *Result) WriteList(w io.Writer) error {
	if len(r.Cells) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "op\tformat\tstatus\tus\thow")
	for _, c := range r.Cells {
		us := ""
		if c.Seconds > 0 {
			us = fmt.Sprintf("%.3g", c.Seconds*1e6)
		}
		how := c.How
		if c.Error != "" {
			how = c.Error
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", c.Op, c.Format, c.Status, us, strings.ReplaceAll(how, "\n", " "))
	}
	return t.Flush()
}

// WriteSummary writes the counts, what is impossible or wrong, and the order of unlocking.
func (r *Result) WriteSummary(w io.Writer) error {
	count := map[Status]int{}
	impossible := map[string][]string{}
	for _, c := range r.Cells {
		if count[c.Status]++; c.Status == Impossible {
			impossible[c.How] = append(impossible[c.How], c.Op+" "+c.Format)
		}
	}
	if len(r.Cells) > 0 {
		fmt.Fprintf(w, "%d ops and formats: %d native, %d legalised, %d emulated, %d impossible, %d wrong\n",
			len(r.Cells), count[Native], count[Legalised], count[Emulated], count[Impossible], count[Wrong])
	}
	var why []string
	for h := range impossible {
		why = append(why, h)
	}
	sort.Strings(why)
	for _, h := range why {
		fmt.Fprintf(w, "  impossible: %s: %s\n", strings.Join(impossible[h], ", "), h)
	}
	for _, c := range r.Cells {
		if c.Status == Wrong {
			fmt.Fprintf(w, "  wrong: %s\n", c.Error)
		}
	}
	bad := 0
	for _, o := range r.Patterns {
		if o.Error != "" {
			bad++
			fmt.Fprintf(w, "  wrong: %s: %s\n", o.Name, o.Error)
		}
	}
	if len(r.Patterns) > 0 {
		fmt.Fprintf(w, "%d patterns: %d wrong\n", len(r.Patterns), bad)
	}
	bad = 0
	for _, o := range r.Models {
		if o.Error != "" {
			bad++
			fmt.Fprintf(w, "  wrong: %s: %s\n", o.Name, o.Error)
		}
	}
	if len(r.Models) > 0 {
		fmt.Fprintf(w, "%d small models, prefill and decode: %d wrong\n", len(r.Models), bad)
	}
	for _, o := range r.Random {
		fmt.Fprintf(w, "  wrong: %s: %s\n", o.Name, o.Error)
	}
	if r.RandomTried > 0 {
		fmt.Fprintf(w, "%d random modules: %d wrong\n", r.RandomTried, len(r.Random))
	}
	if s := r.Order(); s != "" {
		fmt.Fprintf(w, "what it lacks, by what a DeepSeek model would gain; %s", s)
	}
	return nil
}
