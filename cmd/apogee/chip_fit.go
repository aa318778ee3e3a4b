package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"apogee/cmd/internal/study"
	"apogee/ir/format"
	"apogee/targets/chip"
)

func init() {
	registerChip(chipCommand{name: "fit", args: "CHIP MEASURED…", short: "derive derates from tables of measured times, and say how good the fit is",
		flags: []string{"write", "json", "rows", "cite"}, run: chipFit},
		func(f *pflag.FlagSet) {
			f.Bool("write", false, "fit: put the derates into the chip file")
			f.Int("rows", 0, "fit: take at most `N` rows of each benchmark of each table; 0 is the usual number, below 0 all")
			f.String("cite", "", "fit: the source that the derates name; the tables' names unless given")
		})
}

func chipFit(ctx context.Context, a *app, f *pflag.FlagSet, args []string) error {
	if len(args) < 2 {
		return usagef("expected: apogee chip fit CHIP MEASURED.csv…\nA table has the columns chip, kind, format, seconds, and the sizes of its kinds, seconds the time of one call:\n%s", study.KindsHelp())
	}
	write, _ := f.GetBool("write")
	asJSON, _ := f.GetBool("json")
	rows, _ := f.GetInt("rows")
	cite, _ := f.GetString("cite")
	if write && !strings.HasSuffix(args[0], ".chip") {
		return usagef("--write needs the path of a .chip file, not the name of a shipped chip")
	}
	c, err := chip.Load(args[0])
	if err != nil {
		return err
	}
	var table []study.Row
	var names []string
	for _, path := range args[1:] {
		more, skipped, err := study.Load(path)
		if err != nil {
			return err
		}
		for _, s := range skipped {
			fmt.Fprintf(a.err, "note: %s\n", s)
		}
		table = append(table, more...)
		names = append(names, filepath.Base(path))
	}
	all := len(table)
	if table = study.ForChip(table, c.Name); len(table) == 0 {
		return fmt.Errorf("none of %d rows is of %s: the column chip names the chip, or is left out", all, c.Name)
	}
	kept := table[:0]
	for _, r := range table {
		if why := impossible(c, &r); why != "" {
			fmt.Fprintf(a.err, "note: %s: %s; the row is left out\n", r.Place(), why)
			continue
		}
		kept = append(kept, r)
	}
	if len(kept) == 0 {
		return errors.New("no row is left: every one is faster than the chip's peaks allow. Is the time in another unit than seconds, or the chip another variant?")
	}
	fit, err := study.Fit(ctx, c, kept, study.FitOptions{Rows: rows})
	if err != nil {
		if fit != nil {
			return fmt.Errorf("%w\n%s", err, strings.TrimRight(fit.Text(), "\n"))
		}
		return err
	}
	if cite == "" {
		cite = strings.Join(names, ", ")
	}
	known := *fit // what no row says anything about is not fitted
	known.Params = nil
	for _, p := range fit.Params {
		if p.Rows > 0 {
			known.Params = append(known.Params, p)
		}
	}
	if len(known.Params) == 0 {
		return fmt.Errorf("the rows do not tell one derate from another: they are too few or too much alike\n%s", strings.TrimRight(fit.Text(), "\n"))
	}
	lines := strings.Split(strings.TrimSpace(known.Statements(fmt.Sprintf("%s, %d rows, "+chip.FitMark, cite, fit.Rows))), "\n")
	if asJSON {
		j := json.NewEncoder(a.out)
		j.SetIndent("", "  ")
		if err := j.Encode(fit); err != nil {
			return err
		}
	} else {
		fmt.Fprint(a.out, fit.Text())
		if !write {
			fmt.Fprintf(a.out, "\nto be put into the chip file, or by --write:\n  %s\n", strings.Join(lines, "\n  "))
		}
	}
	if !write {
		return nil
	}
	text, err := chip.WithDerates(c.File, lines)
	if err != nil {
		return err
	}
	w, err := a.files.Create(ctx, args[0])
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	return a.files.Commit()
}

// impossible says why a product cannot have been as fast as a row says on this chip; "" when it can.
func impossible(c *chip.Chip, r *study.Row) string {
	if r.Skip != "" || r.Wire != nil || r.Case.Kind != "gemm" || !(r.Seconds > 0) {
		return ""
	}
	f, ok := format.Parse(r.Case.Format)
	peak := c.Peak(f)
	if !ok || peak == 0 {
		return ""
	}
	d := r.Case.Dims
	if rate := 2 * float64(d[0]) * float64(d[1]) * float64(d[2]) / r.Seconds; rate > 1.05*peak {
		return fmt.Sprintf("%s in %.4g s are %.4g TFLOPS, above the peak of %.4g", r.Case, r.Seconds, rate/1e12, peak/1e12)
	}
	return ""
}
