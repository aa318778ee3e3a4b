package hf

import (
	"slices"
	"strings"

	"apogee/frontend/mg"
	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/tensor"
)

// Module builds the model; see [Checkpoint.Lower].
func (c *Checkpoint) Module(opt mg.Options) (*ir.Module, error) {
	low, err := c.Lower(opt)
	if err != nil {
		return nil, err
	}
	return low.Module, nil
}

// Lower builds the model with its config filled in. With weights, every tensor that it reads is looked up, and every
// tensor that it does not read is an error, unless the model names it as extra; a setting that leaves layers out
// makes those tensors extra as well.
func (c *Checkpoint) Lower(opt mg.Options) (*mg.Lowered, error) {
	opt.Config = c.Config
	if opt.StoredFormat == format.Invalid {
		opt.StoredFormat = c.stored
	}
	if c.Weights != nil {
		opt.Stored = func(name string) (mg.Stored, bool) {
			i, ok := c.Weights.file.Lookup(name)
			return mg.Stored{Format: i.Format, Shape: i.Shape}, ok
		}
		opt.Nearest = func(name string) string { return nearest(name, c.Weights.Names()) }
	}
	low, err := mg.Lower(c.Program, opt)
	if err != nil || c.Weights == nil {
		return low, err
	}
	if !c.overridden(opt) {
		err = c.extra(low)
	}
	return low, err
}

// overridden reports whether a setting changes the config, so that the checkpoint may hold more than the model reads.
func (c *Checkpoint) overridden(opt mg.Options) bool {
	fields := c.Program.ConfigFields()
	for k := range opt.Set {
		if slices.Contains(fields, strings.TrimPrefix(k, "config.")) {
			return true
		}
	}
	return false
}

// extra reports the tensors that the model does not read.
func (c *Checkpoint) extra(low *mg.Lowered) error {
	read := make(map[string]bool, len(low.Weights))
	for _, w := range low.Weights {
		if w.Stack == 0 {
			read[w.Name] = true
		}
		for i := range w.Stack {
			read[StackName(w.Name, i)] = true
		}
	}
	var diags diag.List
	for _, name := range c.Weights.Names() {
		if read[name] || slices.ContainsFunc(low.Extra, func(p string) bool { return matches(p, name) }) {
			continue
		}
		info, _ := c.Weights.file.Lookup(name)
		d := diag.Errorf(CodeExtraTensor, diag.Range{}, "the model does not read the tensor %q", name).At(info.File)
		d.Expect("no tensor of that name, or one that extra in the model's declaration names", info.Format.String()+"["+tensor.Dims(info.Shape)+"]")
		diags.Add(d)
	}
	return diags.Err()
}

// matches reports whether a name fits a pattern in which * stands for any text.
func matches(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	rest, ok := strings.CutPrefix(name, parts[0])
	if !ok {
		return false
	}
	for i, p := range parts[1:] {
		if i == len(parts)-2 {
			return strings.HasSuffix(rest, p)
		}
		at := strings.Index(rest, p)
		if at < 0 {
			return false
		}
		rest = rest[at+len(p):]
	}
	return rest == ""
}
