package driver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"apogee/frontend/hf"
	"apogee/frontend/mg"
	"apogee/frontend/models"
	"apogee/frontend/onnx"
	"apogee/frontend/safetensors"
	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/eval"
	"apogee/ir/format"
	"apogee/targets/plan"
)

const i32 = format.I32

// MaxText bounds the size of a source, IR or plan that is read whole.
const MaxText = 1 << 30

// Model is a model as it was found: a source, a checkpoint or its config, IR, or a plan.
type Model struct {
	Path       string
	Program    *mg.Program    // of a .mg file
	Checkpoint *hf.Checkpoint // of a folder or a config.json
	IR         []byte         // text of a dumped module, kept since compiling rewrites modules in place
	Plan       *plan.Plan
	ONNX       *onnx.Model
	Warnings   *diag.List // what is not wrong but probably not meant

	text   *diag.Source      // of a .mg file
	mod    *ir.Module        // of IR, until somebody takes it
	file   *safetensors.File // of UseWeights
	config *mg.JSON          // of UseConfig
	store  *onnx.Model       // of UseWeights
	last   *imported         // of ONNX
	staged *ir.Module        // a part of ONNX, to be run while the rest is imported
}

// Open finds out what a path is and reads it. Folders are checkpoints; config.json is a checkpoint without weights; other files
// are told apart by their ending, and by their first bytes where that says nothing.
func Open(path string) (*Model, error) {
	m := &Model{Path: path, Warnings: &diag.List{}}
	s, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; expected a .mg or .onnx file, a checkpoint folder, a config.json, a dumped IR or a plan", path, cause(err))
	}
	ext := strings.ToLower(filepath.Ext(path))
	if s.IsDir() || ext == ".json" {
		from := path
		if s.IsDir() && !hasWeights(path) {
			if c := filepath.Join(path, "config.json"); exists(c) {
				m.Warnings.Notef("", diag.Range{}, "%s holds no weights: it is taken for its config.json", path)
				from = c
			}
		}
		if m.Checkpoint, err = hf.Open(from); err != nil {
			return nil, err
		}
		return m, nil
	}
	if ext == ".onnx" {
		return m, m.openONNX(path)
	}
	text, err := readText(path, s)
	if err != nil {
		return nil, err
	}
	head := text[:min(len(text), 512)]
	start := strings.TrimLeft(string(head), " \t\r\n")
	switch {
	case plan.IsBinary(text) || strings.HasPrefix(start, "apogee-plan") || ext == ".plan":
		if m.Plan, err = plan.Read(path, text); err != nil {
			return nil, err
		}
	case strings.HasPrefix(start, "module @") || ext == ".ir":
		m.IR = text
		if _, err := m.parsed(); err != nil {
			return nil, err
		}
	case ext != ".mg" && !looksLikeText(head):
		return nil, fmt.Errorf("%s: this is no model%s; expected a .mg or .onnx file, a checkpoint folder, a config.json, a dumped IR or a plan", path, known(ext))
	default:
		m.text = diag.NewSource(path, text)
		p, l := mg.Check(m.text, models.Import)
		if err := l.Err(); err != nil {
			return nil, err
		}
		m.Program, m.Warnings = p, l
	}
	return m, nil
}

func hasWeights(dir string) bool {
	return exists(filepath.Join(dir, safetensors.SingleName)) || exists(filepath.Join(dir, safetensors.IndexName))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// known says what a file with an ending is, when that is no model.
func known(ext string) string {
	switch ext {
	case ".safetensors":
		return ", it holds weights: name the folder with its config.json"
	case ".npy":
		return ", it holds a tensor: give it with --input"
	}
	return ""
}

// looksLikeText says whether bytes could begin a source, so that its mistakes are worth listing.
func looksLikeText(head []byte) bool {
	if bytes.IndexByte(head, 0) >= 0 {
		return false
	}
	for i := 0; i < utf8.UTFMax && !utf8.Valid(head); i++ { // the end may cut a character
		head = head[:max(len(head)-1, 0)]
	}
	return utf8.Valid(head)
}

// readText reads a file or a pipe whole.
func readText(path string, s os.FileInfo) ([]byte, error) {
	if s.Mode()&(os.ModeDevice|os.ModeSocket) != 0 {
		return nil, fmt.Errorf("%s: a device, not a file", path)
	}
	if s.Size() > MaxText {
		return nil, fmt.Errorf("%s: %d bytes, more than the %d that a source, IR or plan may have", path, s.Size(), MaxText)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, cause(err))
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxText+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, cause(err))
	case len(text) > MaxText:
		return nil, fmt.Errorf("%s: more than the %d bytes that a source, IR or plan may have", path, MaxText)
	}
	return text, nil
}

// cause is an error of the file system without the file's name.
func cause(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// UseWeights gives a model that has none of its own the weights of a checkpoint folder or a .safetensors file. The config of a folder
// fills that of a source, unless UseConfig gave another.
func (m *Model) UseWeights(path string) error {
	if m.ONNX != nil || m.Checkpoint != nil && m.Checkpoint.Weights != nil {
		return fmt.Errorf("%s has weights of its own", m.Path)
	}
	s, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%s: %w; expected a checkpoint folder, a .safetensors or a .onnx file", path, cause(err))
	}
	if strings.EqualFold(filepath.Ext(path), ".onnx") {
		m.store, err = onnx.Open(path)
		return err
	}
	if !s.IsDir() {
		m.file, err = safetensors.Open(path)
		return err
	}
	if m.file, err = safetensors.OpenDir(path); err != nil {
		return err
	}
	file := filepath.Join(path, "config.json")
	if _, err := os.Stat(file); err != nil || m.config != nil || m.Program == nil || len(m.Program.ConfigFields()) == 0 {
		return nil
	}
	return m.UseConfig(file)
}

// UseConfig fills the config of a source from a config.json.
func (m *Model) UseConfig(path string) error {
	if m.Program == nil {
		return fmt.Errorf("%s takes no config: only a .mg file does", m.Path)
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, cause(err))
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, mg.MaxConfig+1))
	if err != nil {
		return fmt.Errorf("%s: %w", path, cause(err))
	}
	var diags diag.List
	m.config = mg.ParseJSON(diag.NewSource(path, text), &diags)
	return diags.Err()
}

// Close releases what the model maps.
func (m *Model) Close() {
	if m.Checkpoint != nil {
		m.Checkpoint.Close()
	}
	if m.file != nil {
		m.file.Close()
	}
	for _, o := range []*onnx.Model{m.ONNX, m.store} {
		if o != nil && m.staged == nil {
			o.Close()
		}
	}
}

// maxOps bounds a module. The largest model known, its experts unrolled one by one, has 410,000 ops an entry; a config that asks for
// a million layers should fail before it has taken gigabytes.
const maxOps = 1_500_000

// lower builds the module of some entries, or of all when none is named. IR is parsed anew each time, since passes rewrite it in
// place.
func (m *Model) lower(req Request, act format.Format, entries []string) (*mg.Lowered, error) {
	switch {
	case m.Plan != nil:
		return nil, fmt.Errorf("%s is a plan; it is compiled already", m.Path)
	case m.staged != nil:
		return &mg.Lowered{Module: m.staged.Clone(), Warnings: &diag.List{}}, nil
	case m.ONNX != nil:
		return m.lowerONNX(req, entries)
	case m.IR != nil:
		if len(req.Taps) > 0 {
			return nil, fmt.Errorf("%s is IR, which has no taps; those of a model become results when it is dumped", m.Path)
		}
		for _, k := range slices.Sorted(maps.Keys(req.Set)) {
			return nil, unknownSetting(m, k)
		}
		mod, err := m.parsed()
		if err != nil {
			return nil, err
		}
		m.mod = nil // the caller may rewrite it: the next one gets another
		if v := ir.Verify(mod); v.HasErrors() {
			return nil, v.Err()
		}
		if len(entries) > 0 {
			mod.Funcs = slices.DeleteFunc(mod.Funcs, func(f *ir.Func) bool { return !slices.Contains(entries, f.Name) })
		}
		return &mg.Lowered{Module: mod, Warnings: &diag.List{}}, nil
	}
	opt := mg.Options{Config: m.config, Set: req.Set, Activation: act, Taps: req.Taps, Entries: entries, MaxOps: maxOps}
	if m.file != nil {
		opt.Stored = func(name string) (mg.Stored, bool) {
			i, ok := m.file.Lookup(name)
			return mg.Stored{Format: i.Format, Shape: i.Shape}, ok
		}
		opt.Nearest = func(name string) string { return diag.DidYouMean(name, m.file.Names()) }
	}
	if m.Checkpoint != nil {
		return m.Checkpoint.Lower(opt)
	}
	return mg.Lower(m.Program, opt)
}

// unknownSetting says that --set names nothing that a dumped module has.
func unknownSetting(m *Model, name string) error {
	symbols := m.Symbols()
	d := diag.Errorf("", diag.Range{}, "%s has no symbol %q", m.Path, name).Suggest(name, symbols)
	d.Found, d.Expected = name, "a symbol: "+strings.Join(symbols, ", ")
	if len(symbols) == 0 {
		d.Expected = "no setting: all its dimensions are numbers"
	}
	return d
}

// Source gives the text of a .mg file, or of the shipped one that a checkpoint's config picks.
func (m *Model) Source() (*diag.Source, error) {
	switch {
	case m.text != nil:
		return m.text, nil
	case m.Checkpoint != nil:
		name, text, err := models.Import("", m.Checkpoint.Program.Name)
		if err != nil {
			return nil, err
		}
		return diag.NewSource(name, text), nil
	}
	return nil, fmt.Errorf("%s is no source: only a .mg file has a syntax tree", m.Path)
}

// weights gives the model's tensors, or nil.
func (m *Model) weights() eval.Weights {
	switch {
	case m.file != nil:
		return m.file
	case m.ONNX != nil:
		return m.ONNX
	case m.store != nil:
		return m.store
	case m.Checkpoint != nil && m.Checkpoint.Weights != nil:
		return m.Checkpoint.Weights
	}
	return nil
}

// Weights gives the model's tensors by name, or nil where it has none.
func (m *Model) Weights() eval.Weights { return m.weights() }

// StoresFP8 reports whether the checkpoint's matrices are FP8.
func (m *Model) StoresFP8() bool { return m.Checkpoint != nil && m.Checkpoint.StoresFP8() }

// MaxPositions is how long a sequence the model was made for, or 0.
func (m *Model) MaxPositions() int64 {
	if m.Checkpoint == nil {
		return 0
	}
	return m.Checkpoint.MaxPositions()
}

// parsed gives the module of IR for looking at. It is parsed once, and again after it was taken for rewriting.
func (m *Model) parsed() (*ir.Module, error) {
	if m.mod == nil {
		mod, l := ir.Parse(diag.NewSource(m.Path, m.IR))
		if err := l.Err(); err != nil {
			return nil, err
		}
		m.mod = mod
	}
	return m.mod, nil
}

// Symbols are the dimension symbols of the model's entries.
func (m *Model) Symbols() []string {
	switch {
	case m.Program != nil:
		return m.Program.Symbols()
	case m.Checkpoint != nil:
		return m.Checkpoint.Program.Symbols()
	case m.ONNX != nil:
		return m.ONNX.Symbols()
	case m.IR != nil:
		mod, err := m.parsed()
		if err != nil {
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

// Entries are the functions that can be run.
func (m *Model) Entries() ([]string, error) {
	switch {
	case m.Program != nil:
		return m.Program.Entries(), nil
	case m.Checkpoint != nil:
		return m.Checkpoint.Program.Entries(), nil
	case m.ONNX != nil:
		return []string{onnxEntry}, nil
	case m.Plan != nil:
		return nil, fmt.Errorf("%s is a plan; it is compiled already", m.Path)
	}
	mod, err := m.parsed()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, f := range mod.Entries() {
		out = append(out, f.Name)
	}
	return out, nil
}

// VocabSize is the number of tokens that the config names, or 0.
func (m *Model) VocabSize() int64 {
	if m.Checkpoint == nil {
		return 0
	}
	return m.Checkpoint.VocabSize()
}

// Check finds whatever is wrong with a model without running it: it lowers every entry and verifies the module, and holds a
// checkpoint's weights and tokenizer against it. Of a source every def and entry is checked by its signature too, so that mistakes in shapes are
// found whatever the config lacks and whatever no entry calls.
func (m *Model) Check() (*diag.List, error) {
	var all diag.List
	all.Merge(m.Warnings)
	if m.ONNX != nil {
		all.Merge(m.checkONNX())
		return &all, nil
	}
	low, err := m.lower(Request{}, format.F32, nil)
	if m.Program != nil {
		all.Merge(unlike(mg.CheckShapes(m.Program), err))
	}
	if err != nil {
		if open, ok := m.needsConfig(err); ok {
			all.Merge(open)
			err = nil
		}
		return &all, err
	}
	all.Merge(low.Warnings)
	all.Merge(ir.Verify(low.Module))
	if m.Checkpoint != nil && m.Checkpoint.Weights != nil && m.Checkpoint.HasTokenizer() {
		if _, err := m.Checkpoint.Tokenizer(); err != nil {
			return &all, err
		}
	}
	return &all, nil
}

// unlike leaves out what an error says already about the same place.
func unlike(found *diag.List, err error) *diag.List {
	said := map[diag.Range]bool{}
	var l *diag.List
	if errors.As(err, &l) {
		for _, d := range l.Items() {
			said[d.Range] = true
		}
	}
	out := &diag.List{}
	for _, d := range found.Items() {
		if !said[d.Range] {
			out.Add(d)
		}
	}
	return out
}

// needsConfig says whether all that is wrong with a source is that fields of config have no value, or that it has no entry since it is there to be
// imported, and gives that as remarks.
func (m *Model) needsConfig(err error) (*diag.List, bool) {
	var l *diag.List
	if m.config != nil || m.Program == nil || !errors.As(err, &l) {
		return nil, false
	}
	out := &diag.List{}
	for _, d := range l.Items() {
		if d.Severity == diag.Error && d.Code != mg.CodeConfigMissing && (d.Code != mg.CodeEntry || len(m.Program.Entries()) > 0 || m.Program.Empty()) {
			return nil, false
		}
		if d.Severity == diag.Error {
			e := *d
			e.Severity = diag.Info
			d = &e
		}
		out.Add(d)
	}
	return out, true
}
