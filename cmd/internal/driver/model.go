package driver

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"apogee/frontend/hf"
	"apogee/frontend/mg"
	"apogee/frontend/models"
	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/eval"
	"apogee/ir/format"
	"apogee/targets/plan"
)

const i32 = format.I32

// MaxText bounds the size of a source, IR or plan text that is read whole.
const MaxText = 1 << 30

// Model is a model as it was found: a source, a checkpoint or its config, IR, or a plan.
type Model struct {
	Path       string
	Program    *mg.Program    // of a .mg file
	Checkpoint *hf.Checkpoint // of a folder or a config.json
	IR         string         // text of a dumped module, kept as text since compiling rewrites modules
	Plan       *plan.Plan
	Warnings   *diag.List
}

// Open finds out what a path is and reads it. Folders are checkpoints; config.json is a checkpoint without weights; other files
// are told apart by their ending, and by their first bytes where that says nothing.
func Open(path string) (*Model, error) {
	m := &Model{Path: path, Warnings: &diag.List{}}
	s, err := os.Stat(path)
	if err != nil {
		var pe *os.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, fmt.Errorf("model %s: %w; expected a .mg file, a checkpoint folder, a config.json, a dumped IR or a plan", path, err)
	}
	if s.IsDir() || strings.EqualFold(filepath.Ext(path), ".json") {
		m.Checkpoint, err = hf.Open(path)
		return m, err
	}
	if s.Size() > MaxText {
		return nil, fmt.Errorf("model %s: %d bytes, more than the %d that a source, IR or plan may have", path, s.Size(), MaxText)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxText))
	if err != nil {
		return nil, err
	}
	head := strings.TrimLeft(string(text[:min(len(text), 256)]), " \t\r\n")
	switch {
	case plan.IsBinary(text) || strings.HasPrefix(head, "apogee-plan") || strings.EqualFold(filepath.Ext(path), ".plan"):
		m.Plan, err = plan.Load(path)
		return m, err
	case strings.EqualFold(filepath.Ext(path), ".ir") || strings.HasPrefix(head, "module @"):
		m.IR = string(text)
		_, l := ir.Parse(diag.NewSource(path, text))
		return m, l.Err()
	}
	m.Program, err = mg.Load(diag.NewSource(path, text), models.Import)
	return m, err
}

// Close releases what the model maps.
func (m *Model) Close() {
	if m.Checkpoint != nil {
		m.Checkpoint.Close()
	}
}

// lower builds the module. IR is parsed anew each time, since passes rewrite it in place.
func (m *Model) lower(req Request, act format.Format) (*ir.Module, error) {
	var entries []string
	switch {
	case m.Plan != nil:
		return nil, fmt.Errorf("%s is a plan; it is compiled already", m.Path)
	case m.IR != "":
		mod, l := ir.Parse(diag.NewSource(m.Path, []byte(m.IR)))
		if err := l.Err(); err != nil {
			return nil, err
		}
		if v := ir.Verify(mod); v.HasErrors() {
			return nil, v.Err()
		}
		return mod, nil
	}
	opt := mg.Options{Set: req.Set, Entries: entries, Activation: act, Taps: req.Taps}
	if m.Checkpoint != nil {
		return m.Checkpoint.Module(opt)
	}
	low, err := mg.Lower(m.Program, opt)
	if err != nil {
		return nil, err
	}
	return low.Module, nil
}

// weights gives the checkpoint's tensors, or nil.
func (m *Model) weights() eval.Weights {
	if m.Checkpoint == nil || m.Checkpoint.Weights == nil {
		return nil
	}
	return m.Checkpoint.Weights
}

// StoresFP8 reports whether the checkpoint's matrices are FP8.
func (m *Model) StoresFP8() bool { return m.Checkpoint != nil && m.Checkpoint.StoresFP8() }

// MaxPositions is how long a sequence the model was made for, or 0.
func (m *Model) MaxPositions() int64 {
	if m.Checkpoint == nil {
		return 0
	}
	return m.Checkpoint.MaxPositions()
}

// Symbols are the dimension symbols of the model's entries.
func (m *Model) Symbols() []string {
	switch {
	case m.Program != nil:
		return m.Program.Symbols()
	case m.Checkpoint != nil:
		return m.Checkpoint.Program.Symbols()
	case m.IR != "":
		mod, _ := ir.Parse(diag.NewSource(m.Path, []byte(m.IR)))
		if mod == nil {
			return nil
		}
		seen := map[string]bool{}
		var out []string
		for _, f := range mod.Funcs {
			for _, s := range f.Symbols() {
				if !seen[s] {
					seen[s] = true
					out = append(out, s)
				}
			}
		}
		return out
	}
	return nil
}

// VocabSize is the number of tokens that the config names, or 0.
func (m *Model) VocabSize() int64 {
	if m.Checkpoint == nil {
		return 0
	}
	return m.Checkpoint.VocabSize()
}

// Check finds whatever is wrong with a model without running it: it lowers every entry and verifies the module, and holds a
// checkpoint's weights and tokenizer against it. A source whose config has no defaults is checked as far as names go.
func (m *Model) Check() (*diag.List, error) {
	var all diag.List
	mod, err := m.lower(Request{}, format.F32)
	if err != nil {
		return nil, err
	}
	all.Merge(ir.Verify(mod))
	if m.Checkpoint != nil && m.Checkpoint.Weights != nil && m.Checkpoint.HasTokenizer() {
		if _, err := m.Checkpoint.Tokenizer(); err != nil {
			return &all, err
		}
	}
	return &all, nil
}
