package main

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"runtime"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"

	"apogee/cmd/internal/onnxsuite"
	"apogee/targets/chip"
)

func init() {
	register(&command{
		name: "conform", args: "onnx DIR…", short: "Run ONNX's conformance tests on a chip or on the reference",
		long: `
Runs every folder below DIR that holds a model.onnx and test_data_set_* with input_K.pb and output_K.pb, as ONNX's own tests are laid
out, and prints for each: pass, fail with where it differs and by how much, or unsupported with the reason. A result is right if it has
the format and the shape that the test gives and every element is within --atol + --rtol times the expected magnitude; NaN equals NaN. On a chip at another precision than f32, what the
formats and accumulators can take an element from the reference is allowed besides. Models with DFT or STFT are
allowed 1e-3 at least, since expected values near zero are rounding noise there. The exit code is 1 if a test failed.`,
		example: `  apogee conform onnx onnx/backend/test/data/node --target reference
  apogee conform onnx tests --target ascend-910b --precision f32 --jobs 4 --match 'conv'`,
		complete: "file",
		setup: func(f *pflag.FlagSet) func(context.Context, *app, []string) error {
			target := f.String("target", "", "the chip, the path of a .chip file, or reference")
			precision := f.String("precision", "", "what matrix products compute in, as in run")
			rtol := f.Float64("rtol", 1e-3, "tolerance, relative to the expected magnitude")
			atol := f.Float64("atol", 1e-7, "absolute tolerance")
			match := f.String("match", "", "run only tests whose path matches `REGEXP`")
			jobs := f.Int("jobs", 0, "tests at once; 0 is one a processor")
			timeout := f.Duration("timeout", time.Minute, "time that one test may take; 0 is no limit")
			memory := f.Int64("memory", 4096, "`MIB` that the tensors of one test may take; 0 is no limit")
			guard := f.Bool("guard", true, "on chips, look for missing waits, unwritten reads, overlaps and accesses out of range")
			byOp := f.Bool("by-op", false, "sum the failures up by operator")
			quiet := f.Bool("quiet", false, "print no line for tests that pass")
			asJSON := f.Bool("json", false, "print JSON")
			return func(ctx context.Context, a *app, args []string) error {
				if len(args) < 2 || args[0] != "onnx" {
					return usagef("expected: apogee conform onnx DIR --target CHIP")
				}
				if *jobs < 0 || *memory < 0 || *rtol < 0 || *atol < 0 {
					return usagef("--jobs, --memory, --rtol and --atol are not negative")
				}
				opt := onnxsuite.Options{
					Precision: *precision, Rtol: *rtol, Atol: *atol, Timeout: *timeout, MaxBytes: *memory << 20, Guard: *guard, Jobs: *jobs,
				}
				if opt.Jobs == 0 {
					opt.Jobs = runtime.GOMAXPROCS(0)
				}
				switch *target {
				case "":
					return usagef("name a chip with --target, or reference")
				case "reference":
				default:
					c, err := chip.Load(*target)
					if err != nil {
						return err
					}
					opt.Chip = c
				}
				re, err := regexp.Compile(*match)
				if err != nil {
					return usagef("--match: %s", err)
				}
				report := conformance{Target: *target, Precision: *precision}
				for _, dir := range args[1:] {
					tests, err := onnxsuite.Find(dir)
					if err != nil {
						return err
					}
					var chosen []string
					for _, t := range tests {
						if re.MatchString(t) {
							chosen = append(chosen, t)
						}
					}
					if !*asJSON {
						opt.Done = func(r onnxsuite.Result) { printResult(a, r, *quiet) }
					}
					got, err := onnxsuite.Run(ctx, dir, chosen, opt)
					if err != nil {
						return err
					}
					report.Tests = append(report.Tests, got...)
				}
				return report.print(a, *asJSON, *byOp)
			}
		},
	})
}

// conformance is what conform prints as JSON.
type conformance struct {
	Target      string             `json:"target"`
	Precision   string             `json:"precision,omitempty"`
	Passed      int                `json:"passed"`
	Failed      int                `json:"failed"`
	Unsupported int                `json:"unsupported"`
	Tests       []onnxsuite.Result `json:"tests"`
}

func printResult(a *app, r onnxsuite.Result, quiet bool) {
	switch {
	case r.Status != onnxsuite.Pass:
		fmt.Fprintf(a.out, "%s: %s: %s\n", r.Test, r.Status, r.Why)
	case !quiet:
		fmt.Fprintf(a.out, "%s: %s\n", r.Test, r.Status)
	}
}

// print sums up, and gives errFound when a test failed.
func (c *conformance) print(a *app, asJSON, byOp bool) error {
	for _, r := range c.Tests {
		switch r.Status {
		case onnxsuite.Pass:
			c.Passed++
		case onnxsuite.Fail:
			c.Failed++
		default:
			c.Unsupported++
		}
	}
	if asJSON {
		e := json.NewEncoder(a.out)
		e.SetIndent("", "  ")
		if err := e.Encode(c); err != nil {
			return err
		}
	} else {
		if byOp {
			c.byOp(a)
		}
		fmt.Fprintf(a.out, "%d passed, %d failed, %d unsupported\n", c.Passed, c.Failed, c.Unsupported)
	}
	if c.Failed > 0 {
		return errFound
	}
	return nil
}

// byOp prints for each operator how many of the tests whose model holds it passed and failed, those with failures.
func (c *conformance) byOp(a *app) {
	type counts struct {
		pass, fail int
		first      string
	}
	by := map[string]*counts{}
	for _, r := range c.Tests {
		for _, o := range strings.Split(r.Ops, ",") {
			o, _, _ = strings.Cut(o, "*")
			n := by[o]
			if n == nil {
				n = &counts{}
				by[o] = n
			}
			switch r.Status {
			case onnxsuite.Pass:
				n.pass++
			case onnxsuite.Fail:
				if n.fail++; n.first == "" {
					n.first = r.Test
				}
			}
		}
	}
	var names []string
	for o, n := range by {
		if n.fail > 0 {
			names = append(names, o)
		}
	}
	sort.Slice(names, func(i, j int) bool {
		if x, y := by[names[i]].fail, by[names[j]].fail; x != y {
			return x > y
		}
		return names[i] < names[j]
	})
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "operator\tpassed\tfailed\tfirst failure")
	for _, o := range names {
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\n", o, by[o].pass, by[o].fail, by[o].first)
	}
	w.Flush()
}
