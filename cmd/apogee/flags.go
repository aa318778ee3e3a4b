package main

import (
	"fmt"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"apogee/cmd/internal/driver"
	"apogee/ir/tensor/npy"
	"apogee/targets/chip"
)

// modelFlags are the flags of every command that builds a model.
type modelFlags struct {
	target, entry, precision, pipeline *string
	set, disable                       *[]string
	verify                             *bool
}

func addModelFlags(f *pflag.FlagSet) *modelFlags {
	return &modelFlags{
		target:    f.String("target", "", "chip: a name that apogee chips lists, a .chip file, or reference"),
		entry:     f.String("entry", "", "entry of the model; default: the only one, or prefill"),
		precision: f.String("precision", "auto", "auto (what the chip would really use), f32, bf16, f16, fp8 or w8a8"),
		set:       f.StringSlice("set", nil, "values of symbols, config fields and options, as B=1,T=128,S=4096"),
		pipeline:  f.String("pipeline", "", "passes to run instead of the default, as text; see apogee passes"),
		disable:   f.StringSlice("disable-rule", nil, "rules that must not fire; see apogee passes --rules"),
		verify:    f.Bool("verify-each", false, "verify the module after every pass"),
	}
}

const referenceTarget = "reference"

// chip loads the target; nil is the reference.
func (m *modelFlags) chip() (*chip.Chip, error) {
	switch *m.target {
	case "":
		return nil, usagef("name a chip with --target; apogee chips lists them, reference is the evaluator")
	case referenceTarget:
		return nil, nil
	}
	return chip.Load(*m.target)
}

// request turns the flags into what the driver takes.
func (m *modelFlags) request(model *driver.Model, c *chip.Chip) (driver.Request, error) {
	req := driver.Request{Entry: *m.entry, Chip: c, Precision: *m.precision, Pipeline: *m.pipeline, Verify: *m.verify, Set: map[string]string{}, Bind: map[string]int64{}}
	req.Passes.Disable = *m.disable
	symbols := map[string]bool{}
	for _, s := range model.Symbols() {
		symbols[s] = true
	}
	for _, kv := range *m.set {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" {
			return req, usagef("--set takes NAME=VALUE, found %q", kv)
		}
		if !symbols[k] {
			req.Set[k] = v
			continue
		}
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 0 {
			return req, usagef("--set %s: a dimension is a whole number of at least 0, found %q", k, v)
		}
		if old, ok := req.Bind[k]; ok && old != n {
			return req, usagef("--set gives %s twice: %d and %d", k, old, n)
		}
		req.Bind[k] = n
	}
	return req, nil
}

// files splits NAME=FILE flags.
func files(what string, list []string) (map[string]string, []string, error) {
	out := map[string]string{}
	var order []string
	for _, kv := range list {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" || v == "" {
			return nil, nil, usagef("--%s takes NAME=FILE.npy, found %q", what, kv)
		}
		if _, dup := out[k]; dup {
			return nil, nil, usagef("--%s names %s twice", what, k)
		}
		out[k] = v
		order = append(order, k)
	}
	return out, order, nil
}

// readInputs reads the tensors of --input.
func readInputs(list []string) (driver.Tensors, error) {
	names, order, err := files("input", list)
	if err != nil {
		return nil, err
	}
	out := driver.Tensors{}
	for _, n := range order {
		t, err := npy.ReadFile(names[n])
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", n, err)
		}
		out[n] = t
	}
	return out, nil
}

// writeOutputs writes the tensors of --output. Names are checked first, and all files are written beside their place before the first
// takes it, so that a failure leaves none.
func writeOutputs(list []string, results driver.Tensors) error {
	names, order, err := files("output", list)
	if err != nil {
		return err
	}
	for _, n := range order {
		if results[n] == nil {
			return fmt.Errorf("the entry has no result %s; it has %s", n, strings.Join(sortedNames(results), ", "))
		}
		if ext := strings.ToLower(filepath.Ext(names[n])); ext != ".npy" {
			return usagef("--output %s=%s: results are written as .npy", n, names[n])
		}
	}
	for _, n := range order {
		if err := npy.WriteFile(names[n], results[n]); err != nil {
			return fmt.Errorf("output %s: %w", n, err)
		}
	}
	return nil
}

func sortedNames(t driver.Tensors) []string {
	var out []string
	for n := range t {
		out = append(out, n)
	}
	sort.Strings(out)
	return out
}

func one(args []string, what string) (string, error) {
	if len(args) != 1 {
		return "", usagef("expected one %s, found %d arguments", what, len(args))
	}
	return args[0], nil
}
