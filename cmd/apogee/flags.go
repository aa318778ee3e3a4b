package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"apogee/cmd/internal/driver"
	"apogee/frontend/onnx"
	"apogee/ir/tensor"
	"apogee/ir/tensor/npy"
	"apogee/targets/chip"
	"apogee/targets/plan"
)

// modelFlags are the flags of every command that builds a model.
type modelFlags struct {
	target, entry, precision, pipeline, weights, config *string
	set, disable                                        *[]string
	verify                                              *bool
}

// addModelFlags declares them, but for those named in without.
func addModelFlags(f *pflag.FlagSet, without ...string) *modelFlags {
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	all.SortFlags = false
	m := &modelFlags{
		target:    all.String("target", "", "the `CHIP`: a name that apogee chips lists, the path of a .chip file, or reference"),
		entry:     all.String("entry", "", "the `ENTRY` of the model; default: the only one, or prefill"),
		precision: all.String("precision", driver.Auto, "the precision `P`: auto (what the chip would really use), "+strings.Join(chip.PrecisionNames, ", ")+"; apogee legal compares them"),
		set:       all.StringArray("set", nil, "set `NAME=VALUE,...`: symbols, config fields and options, as B=1,T=128,S=4096"),
		weights:   all.String("weights", "", "take the weights of `PATH`, a checkpoint folder or .safetensors file, for a MODEL that has none"),
		config:    all.String("config", "", "fill the config of a .mg file from `FILE`, a config.json"),
		pipeline:  all.String("pipeline", "", "run `PASSES` instead of the default ones; see apogee passes"),
		disable:   all.StringSlice("disable-rule", nil, "keep `RULES` from firing; see apogee passes --rules"),
		verify:    all.Bool("verify-each", false, "verify the module after every pass"),
	}
	all.VisitAll(func(x *pflag.Flag) {
		if !slices.Contains(without, x.Name) {
			f.AddFlag(x)
		}
	})
	return m
}

const referenceTarget = "reference"

// job is a model with what is asked of it.
type job struct {
	*driver.Model
	chip *chip.Chip // nil is the reference
	req  driver.Request
}

// need says whether a command can do without a chip.
type need uint8

const (
	chipOrReference need = iota // --target must be there
	chipOnly                    // and must be a chip
	chipMaybe                   // --target may be missing
)

// open finds the chip, opens the model and turns the flags into what the driver takes. The caller closes the job.
func (m *modelFlags) open(a *app, path string, n need) (_ *job, err error) {
	if *m.target == referenceTarget && n == chipOnly {
		return nil, usagef("the reference runs models as they are and has no time; name a chip with --target")
	}
	settings, err := m.settings()
	if err != nil {
		return nil, err
	}
	j := &job{}
	if *m.target != "" && *m.target != referenceTarget {
		if j.chip, err = chip.Load(*m.target); err != nil {
			return nil, err
		}
	}
	a.progress.Step("reading "+path, 0, 0)
	if j.Model, err = driver.Open(path); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			j.Close()
		}
	}()
	if j.Plan != nil && j.chip == nil && *m.target == "" {
		if j.chip, err = chip.Load(j.Plan.Chip); err != nil {
			return nil, fmt.Errorf("%s is a plan for %s; name its chip file with --target", path, j.Plan.Chip)
		}
	}
	if *m.target == "" && n != chipMaybe && j.Plan == nil {
		return nil, usagef("name a chip with --target: a name that apogee chips lists, or the path of a .chip file%s",
			map[bool]string{true: ", or reference"}[n == chipOrReference])
	}
	if *m.config != "" {
		if err = j.UseConfig(*m.config); err != nil {
			return nil, err
		}
	}
	if *m.weights != "" {
		if err = j.UseWeights(*m.weights); err != nil {
			return nil, err
		}
	}
	j.req = driver.Request{Entry: *m.entry, Chip: j.chip, Precision: *m.precision, Pipeline: *m.pipeline, Verify: *m.verify, Set: map[string]string{}, Bind: map[string]int64{}}
	j.req.Passes.Disable = *m.disable
	if j.Plan != nil {
		return j, m.agree(j, settings)
	}
	symbols := j.Symbols()
	for _, s := range settings {
		if !slices.Contains(symbols, s.name) {
			j.req.Set[s.name] = s.value
			continue
		}
		if j.req.Bind[s.name], err = dimension(s); err != nil {
			return nil, err
		}
	}
	return j, nil
}

// setting is one NAME=VALUE of --set.
type setting struct{ name, value string }

// settings splits the values of --set at commas, those inside brackets and quotes excepted.
func (m *modelFlags) settings() ([]setting, error) {
	var out []setting
	for _, list := range *m.set {
		for _, kv := range splitList(list) {
			k, v, ok := strings.Cut(kv, "=")
			if k = strings.TrimSpace(k); !ok || k == "" {
				return nil, usagef("--set takes NAME=VALUE, found %q", kv)
			}
			v = strings.TrimSpace(v)
			for _, s := range out {
				if s.name == k && s.value != v {
					return nil, usagef("--set gives %s twice: %s and %s", k, s.value, v)
				}
			}
			out = append(out, setting{k, v})
		}
	}
	return out, nil
}

func splitList(s string) []string {
	var out []string
	depth, quoted, start := 0, false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		case c == ',' && depth == 0:
			out = append(out, s[start:i])
			start = i + 1
		}
	}
	return append(out, s[start:])
}

func dimension(s setting) (int64, error) {
	n, err := strconv.ParseInt(s.value, 10, 64)
	if err != nil || n < 0 {
		return 0, usagef("--set %s: a dimension is a whole number of at least 0, found %q", s.name, s.value)
	}
	return n, nil
}

// agree holds the flags against a plan, which cannot be changed any more.
func (m *modelFlags) agree(j *job, settings []setting) error {
	p := j.Plan
	differ := func(what, asked, is string) error {
		return fmt.Errorf("%s was compiled with %s %s, not %s; compile the model again to change that", j.Path, what, is, asked)
	}
	switch {
	case j.chip != nil && j.chip.Name != p.Chip:
		return differ("--target", j.chip.Name, p.Chip)
	case j.chip != nil && j.chip.Hash() != p.ChipHash:
		return fmt.Errorf("%s was compiled for another version of %s; compile the model again", j.Path, p.Chip)
	case *m.entry != "" && *m.entry != p.Entry:
		return differ("--entry", *m.entry, p.Entry)
	case *m.precision != driver.Auto && *m.precision != p.Precision:
		return differ("--precision", *m.precision, p.Precision)
	case *m.pipeline != "" || len(*m.disable) > 0:
		return fmt.Errorf("%s is a plan: no pass runs on it", j.Path)
	}
	for _, s := range settings {
		i := slices.IndexFunc(p.Symbols, func(x plan.Symbol) bool { return x.Name == s.name })
		if i < 0 {
			return fmt.Errorf("%s is a plan: %s cannot be set any more", j.Path, s.name)
		}
		n, err := dimension(s)
		if err != nil {
			return err
		}
		if n != p.Symbols[i].Value {
			return differ("--set", fmt.Sprintf("%s=%d", s.name, n), fmt.Sprintf("%s=%d", s.name, p.Symbols[i].Value))
		}
	}
	return nil
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
		t, err := readTensor(names[n])
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", n, named(names[n], err))
		}
		out[n] = t
	}
	return out, nil
}

// readTensor reads a .npy file, or a .pb file with ONNX's TensorProto.
func readTensor(path string) (*tensor.Tensor, error) {
	if strings.EqualFold(filepath.Ext(path), ".pb") {
		t, _, err := onnx.ReadTensor(path)
		return t, err
	}
	return npy.ReadFile(path)
}

// writeTensor writes a tensor by the ending of its file.
func writeTensor(w io.Writer, path, name string, t *tensor.Tensor) error {
	if !strings.EqualFold(filepath.Ext(path), ".pb") {
		return npy.Write(w, t)
	}
	data, err := onnx.EncodeTensor(name, t)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// results are the files of --output, opened before any work is done.
type results struct {
	names []string
	files map[string]*outFile
}

func createResults(ctx context.Context, a *app, list []string) (*results, error) {
	paths, order, err := files("output", list)
	if err != nil {
		return nil, err
	}
	r := &results{names: order, files: map[string]*outFile{}}
	for i, n := range order {
		for _, o := range order[:i] {
			if filepath.Clean(paths[o]) == filepath.Clean(paths[n]) {
				return nil, usagef("--output writes %s and %s to one file, %s", o, n, paths[n])
			}
		}
		if ext := filepath.Ext(paths[n]); ext != "" && !strings.EqualFold(ext, ".npy") && !strings.EqualFold(ext, ".pb") {
			return nil, usagef("--output %s=%s: results are written as .npy, or as .pb, ONNX's TensorProto", n, paths[n])
		}
		if r.files[n], err = a.files.Create(ctx, paths[n]); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// write puts the tensors into their files.
func (r *results) write(a *app, t driver.Tensors) error {
	for _, n := range r.names {
		w := bufio.NewWriterSize(r.files[n], 1<<16)
		if err := writeTensor(w, r.files[n].path, n, t[n]); err != nil {
			return fmt.Errorf("cannot write %s: %w", r.files[n].path, reason(err))
		}
		if err := w.Flush(); err != nil {
			return fmt.Errorf("cannot write %s: %w", r.files[n].path, reason(err))
		}
	}
	return a.files.Commit()
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
