package hf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"apogee/frontend/mg"
	"apogee/frontend/models"
	"apogee/frontend/safetensors"
	"apogee/ir/diag"
	"apogee/ir/format"
)

// Codes of checkpoints. No .mg text triggers them: the texts are files of a checkpoint.
var (
	CodeConfig       = diag.Register("HF001", "A config.json that does not say which model it is for, or one that no shipped model is for.", "")
	CodeExtraTensor  = diag.Register("HF002", "A checkpoint holds a tensor that the model does not read.", "")
	CodeGeneration   = diag.Register("HF003", "A field of generation_config.json, or of config.json, that generation needs has the wrong type.", "")
	CodeUnknownDType = diag.Register("HF004", "torch_dtype in config.json is no number format that weights are stored in.", "")
)

// Checkpoint is a model as Hugging Face lays it out. Close it when it is not needed any more.
type Checkpoint struct {
	// Dir is the folder; Path what was opened: the folder or a config.json.
	Dir, Path string
	// Config is the whole config.json.
	Config *mg.JSON
	// Program is the shipped model that the config picked.
	Program *mg.Program
	// Weights are the tensors; nil when a config.json was opened alone.
	Weights *Weights
	// Generation says where text begins and ends.
	Generation Generation

	stored format.Format // of weights that nothing else is said about
}

// Open reads a checkpoint folder, or a config.json alone when path names a file. Weights are mapped, not read. The error
// lists every mistake of the configs.
func Open(path string) (*Checkpoint, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, plain(path, err)
	}
	c := &Checkpoint{Path: path, Dir: path}
	file := filepath.Join(path, "config.json")
	if !info.IsDir() {
		c.Dir, file = filepath.Dir(path), path
	}
	if c.Config, err = readJSON(file); err != nil {
		if info.IsDir() && errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s is no checkpoint: it has no config.json", path)
		}
		return nil, err
	}
	var diags diag.List
	c.pick(&diags)
	c.generation(&diags)
	if err := diags.Err(); err != nil {
		return nil, err
	}
	if info.IsDir() {
		f, err := safetensors.OpenDir(path)
		if err != nil {
			return nil, err
		}
		c.Weights = &Weights{f}
		c.inferQuantisation(&diags)
		if err := diags.Err(); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// Close lets go of the weights.
func (c *Checkpoint) Close() error {
	if c.Weights == nil {
		return nil
	}
	return c.Weights.file.Close()
}

// readJSON reads one JSON file of a checkpoint.
func readJSON(file string) (*mg.JSON, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, plain(file, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, mg.MaxConfig+1))
	if err != nil {
		return nil, plain(file, err)
	}
	var diags diag.List
	j := mg.ParseJSON(diag.NewSource(file, text), &diags)
	return j, diags.Err()
}

// plain is an error of the file system with the file's name once.
func plain(path string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// pick finds the shipped model for the config.
func (c *Checkpoint) pick(diags *diag.List) {
	archs := c.Config.Get("architectures").Strings()
	types := c.Config.Get("model_type").Strings()
	modelType := ""
	if len(types) == 1 {
		modelType = types[0]
	}
	name, ok := models.Pick(archs, modelType)
	if !ok {
		rng := c.Config.Range
		rng.End = rng.Start + 1
		for _, key := range []string{"model_type", "architectures"} {
			if j := c.Config.Get(key); j != nil {
				rng = j.Range
			}
		}
		found := "neither architectures nor model_type"
		if len(archs) > 0 || modelType != "" {
			found = strings.Join(append(archs, types...), ", ")
		}
		diags.Errorf(CodeConfig, rng, "no shipped model is for this checkpoint").Expect("one of "+strings.Join(supported(), ", "), found).
			Helpf("a model of your own is a .mg file; run that")
		return
	}
	p, err := models.Load(name)
	if err != nil {
		diags.AddError(CodeConfig, err)
		return
	}
	c.Program = p
	c.stored = format.BF16
	for _, key := range []string{"dtype", "torch_dtype"} {
		j := c.Config.Get(key)
		if j == nil || j.Value == nil {
			continue
		}
		s, _ := j.Value.(string)
		f, ok := dtypes[strings.TrimPrefix(s, "torch.")]
		if !ok {
			diags.Errorf(CodeUnknownDType, j.Range, "%s is not a format that weights are stored in", key).
				Expect(`"float32", "bfloat16" or "float16"`, j.String())
			continue
		}
		c.stored = f
	}
}

// dtypes are the names that config.json has for number formats.
var dtypes = map[string]format.Format{"float32": format.F32, "bfloat16": format.BF16, "float16": format.F16}

// supported lists the architectures of the shipped models.
func supported() []string {
	var out []string
	for _, n := range models.Names() {
		h, _ := models.Header(n)
		out = append(out, h.Architectures...)
	}
	sort.Strings(out)
	return out
}

// StoresFP8 reports whether matrices are stored in an 8-bit float format.
func (c *Checkpoint) StoresFP8() bool {
	if c.Weights == nil {
		return slices.Equal(c.Config.Get("quantization_config").Get("quant_method").Strings(), []string{"fp8"})
	}
	for _, n := range c.Weights.Names() {
		if i, _ := c.Weights.file.Lookup(n); i.Format == format.F8E4M3FN || i.Format == format.F8E5M2 {
			return true
		}
	}
	return false
}

// MaxPositions is the longest sequence that the model was made for, or 0 where the config does not say.
func (c *Checkpoint) MaxPositions() int64 {
	if j := c.Config.Get("max_position_embeddings"); j != nil {
		if n, ok := j.Value.(json.Number); ok {
			v, err := n.Int64()
			if err == nil && v > 0 {
				return v
			}
		}
	}
	return 0
}
