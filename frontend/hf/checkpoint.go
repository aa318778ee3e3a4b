package hf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"apogee/frontend/mg"
	"apogee/frontend/models"
	"apogee/frontend/safetensors"
	"apogee/frontend/tokenizer"
	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/tensor"
)

// Checkpoint is a checkpoint folder, or a config.json alone.
type Checkpoint struct {
	Dir     string
	Config  *mg.JSON
	Program *mg.Program
	Weights *Weights // nil for a config.json alone
}

// Weights are the tensors of a checkpoint, mapped as they are needed.
type Weights struct{ file *safetensors.File }

// Tensor returns a tensor by name without copying it.
func (w *Weights) Tensor(name string) (*tensor.Tensor, error) {
	if _, ok := w.file.Lookup(name); !ok {
		msg := fmt.Sprintf("the checkpoint has no tensor %s", name)
		if near := diag.DidYouMean(name, w.file.Names()); near != "" {
			msg += fmt.Sprintf("; did you mean %s?", near)
		}
		return nil, errors.New(msg)
	}
	return w.file.Tensor(name)
}

// Names lists the tensors, sorted.
func (w *Weights) Names() []string { return w.file.Names() }

// Open reads a checkpoint folder, or a config.json by itself when path names a file. The error lists every mistake of the config.
func Open(path string) (*Checkpoint, error) {
	dir, config := path, filepath.Join(path, "config.json")
	s, err := os.Stat(path)
	if err != nil {
		return nil, clean(path, err)
	}
	alone := !s.IsDir()
	if alone {
		dir, config = filepath.Dir(path), path
	}
	text, err := readBounded(config, mg.MaxConfig)
	if err != nil {
		if !alone && errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%s is no checkpoint: it has no config.json", path)
		}
		return nil, clean(config, err)
	}
	var diags diag.List
	src := diag.NewSource(config, text)
	c := &Checkpoint{Dir: dir, Config: mg.ParseJSON(src, &diags)}
	if err := diags.Err(); err != nil {
		return nil, err
	}
	if c.Program, err = pick(c.Config, src); err != nil {
		return nil, err
	}
	if alone {
		return c, nil
	}
	f, err := safetensors.OpenDir(dir)
	if err != nil {
		return nil, err
	}
	c.Weights = &Weights{f}
	return c, nil
}

// pick finds the shipped model for a config, by architecture, then by model type.
func pick(config *mg.JSON, src *diag.Source) (*mg.Program, error) {
	all, err := models.All()
	if err != nil {
		return nil, err
	}
	arch, types := config.Get("architectures").Strings(), config.Get("model_type").Strings()
	var known []string
	for _, p := range all {
		for _, a := range p.Architectures {
			known = append(known, a)
			for _, b := range arch {
				if a == b {
					return p, nil
				}
			}
		}
	}
	if len(arch) == 0 {
		for _, p := range all {
			for _, a := range p.ModelTypes {
				for _, b := range types {
					if a == b {
						return p, nil
					}
				}
			}
		}
	}
	rng := src.Range(0, 0)
	found := "none"
	if a := config.Get("architectures"); a != nil {
		rng = a.Range
		found = strings.Join(arch, ", ")
	}
	d := diag.Errorf(codeArchitecture, rng, "no shipped model is of this architecture").
		Expect("one of "+strings.Join(known, ", "), found)
	if len(arch) > 0 {
		d.Suggest(arch[0], known)
	}
	return nil, d.Helpf("write it as a .mg file that imports \"huggingface\", and run that")
}

var codeArchitecture = diag.Register("HF001", "The config.json names an architecture that no shipped model is for.", `{"architectures": ["MysteryForCausalLM"]}`)
var codeExtra = diag.Register("HF002", "The checkpoint holds a tensor that the model does not read.", "a model.safetensors with a tensor named model.layers.0.mystery.weight")

// Module lowers the model with the checkpoint's config. With weights at hand every tensor that the model reads must be there with the right
// shape, and every tensor that is there must be read, or be one of those that the model lists as extra.
func (c *Checkpoint) Module(opt mg.Options) (*ir.Module, error) {
	opt.Config = c.Config
	if c.Weights != nil {
		opt.Stored = func(name string) (mg.Stored, bool) {
			i, ok := c.Weights.file.Lookup(name)
			return mg.Stored{Format: i.Format, Shape: i.Shape}, ok
		}
		opt.Nearest = func(name string) string { return diag.DidYouMean(name, c.Weights.file.Names()) }
	}
	low, err := mg.Lower(c.Program, opt)
	if err != nil {
		return nil, err
	}
	if c.Weights != nil && len(opt.Entries) == 0 {
		if err := c.extra(low); err != nil {
			return nil, err
		}
	}
	return low.Module, nil
}

// extra finds tensors that nothing reads.
func (c *Checkpoint) extra(low *mg.Lowered) error {
	used := map[string]bool{}
	for _, u := range low.Weights {
		if u.Stack == 0 {
			used[u.Name] = true
			continue
		}
		for i := int64(0); i < u.Stack; i++ {
			used[strings.Replace(u.Name, "{}", fmt.Sprint(i), 1)] = true
		}
	}
	var diags diag.List
	for _, n := range c.Weights.Names() {
		if used[n] || matches(low.Extra, n) {
			continue
		}
		diags.Errorf(codeExtra, diag.Range{}, "tensor %s is in the checkpoint, but %s does not read it", n, c.Program.Name).
			Helpf("if it may be ignored, list a pattern for it under extra in the model's .mg file")
	}
	return diags.Err()
}

// matches reports whether a name fits a pattern in which * stands for anything.
func matches(patterns []string, name string) bool {
	for _, p := range patterns {
		if glob(p, name) {
			return true
		}
	}
	return false
}

func glob(p, s string) bool {
	parts := strings.Split(p, "*")
	if len(parts) == 1 {
		return p == s
	}
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	for _, m := range parts[1 : len(parts)-1] {
		i := strings.Index(s, m)
		if i < 0 {
			return false
		}
		s = s[i+len(m):]
	}
	return strings.HasSuffix(s, parts[len(parts)-1])
}

// StoresFP8 reports whether the matrices are stored as FP8 with block scales.
func (c *Checkpoint) StoresFP8() bool {
	q := c.Config.Get("quantization_config")
	return len(q.Get("quant_method").Strings()) == 1 && q.Get("quant_method").Strings()[0] == "fp8"
}

// MaxPositions is the config's max_position_embeddings, or 0.
func (c *Checkpoint) MaxPositions() int64 {
	if v := c.Config.Get("max_position_embeddings"); v != nil {
		if n, ok := v.Value.(json.Number); ok {
			i, err := n.Int64()
			if err == nil && i > 0 {
				return i
			}
		}
	}
	return 0
}

// Tokenizer reads the checkpoint's tokenizer; its end-of-sequence tokens include those of generation_config.json and config.json.
func (c *Checkpoint) Tokenizer() (*tokenizer.Tokenizer, error) {
	t, err := tokenizer.Load(c.Dir)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"generation_config.json", "config.json"} {
		b, err := readBounded(filepath.Join(c.Dir, name), mg.MaxConfig)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, clean(name, err)
		}
		var x struct {
			EOS json.RawMessage `json:"eos_token_id"`
		}
		if err := json.Unmarshal(b, &x); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(c.Dir, name), err)
		}
		if len(x.EOS) == 0 || string(x.EOS) == "null" {
			continue
		}
		ids, err := tokenizer.TokenIDs(x.EOS)
		if err != nil {
			return nil, fmt.Errorf("%s: eos_token_id: %w", filepath.Join(c.Dir, name), err)
		}
		t.AddEOS(ids...)
	}
	return t, nil
}

// Close unmaps the weights.
func (c *Checkpoint) Close() error {
	if c.Weights == nil {
		return nil
	}
	return c.Weights.file.Close()
}

func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, most)
	}
	return b, err
}

func clean(path string, err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return fmt.Errorf("%s: %w", path, pe.Err)
	}
	return err
}
