package mg

import (
	"fmt"
	"path"
	"sort"
	"strings"

	"apogee/ir/diag"
)

// MaxFiles bounds how many files one program may import, itself included.
const MaxFiles = 256

// Importer finds the text of an import. from is the name of the importing source. It returns the name
// by which the source is known from then on: two imports of one name are one file.
type Importer func(from, path string) (name string, text []byte, err error)

// Program is a source with all it imports, every name resolved. It is not changed by lowering it and may
// be lowered many times, also at once.
type Program struct {
	// Name is that of the model declaration, or else of the file without its ending.
	Name string
	// Architectures and ModelTypes are what a config.json says that this model is for.
	Architectures, ModelTypes []string
	// Doc is the comment at the top of the file or above the model declaration.
	Doc string

	main     *file
	files    []*file // imports before importers
	lets     []*letDecl
	states   []*stateDecl
	entries  []*defDecl
	config   *fields
	options  *fields
	requires []*requireStmt
	reqSlots int
	extra    code // the tensors that a checkpoint may hold besides
	symbols  map[string]bool
}

// file is one source with its names.
type file struct {
	src     *Source
	id      int32
	imports []*file
	names   map[string]decl
}

// Empty reports whether the file declares nothing that another could use: it is no library.
func (p *Program) Empty() bool { return len(p.main.names) == 0 }

// Entries returns the names of the functions that a user can run, in the order of the source.
func (p *Program) Entries() []string {
	out := make([]string, len(p.entries))
	for i, d := range p.entries {
		out[i] = d.name
	}
	return out
}

// EntryDoc returns the comment above an entry.
func (p *Program) EntryDoc(name string) string {
	for _, d := range p.entries {
		if d.name == name {
			return d.doc
		}
	}
	return ""
}

// Symbols returns the dimension symbols of the entries and states, sorted.
func (p *Program) Symbols() []string {
	out := make([]string, 0, len(p.symbols))
	for s := range p.symbols {
		out = append(out, s)
	}
	sort.Strings(out)
	return out
}

// ConfigFields returns the names of the fields of config, in the order of declaration.
func (p *Program) ConfigFields() []string { return firstNames(p.config) }

// OptionFields returns the names of the options, in the order of declaration.
func (p *Program) OptionFields() []string { return firstNames(p.options) }

func firstNames(f *fields) []string {
	out := make([]string, len(f.list))
	for i, x := range f.list {
		out[i] = x.names[0]
	}
	return out
}

// Load reads a source and all it imports and resolves every name. The error, if there is one, is a
// *diag.List with every mistake of every file; the program is then only good for asking what it holds.
// imports may be nil for a source that imports nothing.
func Load(src *diag.Source, imports Importer) (*Program, error) {
	var diags diag.List
	p := load(src, imports, &diags)
	return p, diags.Err()
}

// Check is Load that also returns warnings.
func Check(src *diag.Source, imports Importer) (*Program, *diag.List) {
	var diags diag.List
	p := load(src, imports, &diags)
	diags.Sort()
	return p, &diags
}

func load(src *diag.Source, imports Importer, diags *diag.List) *Program {
	p := &Program{config: newFields(), options: newFields(), symbols: map[string]bool{}}
	p.Name = strings.TrimSuffix(path.Base(strings.ReplaceAll(src.Name, "\\", "/")), ".mg")
	ld := loader{p: p, find: imports, diags: diags, byName: map[string]*file{}, open: map[string]bool{}}
	p.main = ld.file(src, 0)
	r := resolver{p: p, diags: diags}
	r.run()
	return p
}

type loader struct {
	p      *Program
	find   Importer
	diags  *diag.List
	byName map[string]*file
	open   map[string]bool // files whose imports are being read
}

func (ld *loader) file(src *diag.Source, depth int) *file {
	f := &file{src: Parse(src, ld.diags), names: map[string]decl{}}
	ld.byName[src.Name] = f
	ld.open[src.Name] = true
	for _, d := range f.src.File.Decls {
		im, ok := d.(*Import)
		if !ok {
			continue
		}
		rng := f.src.token(im.Path)
		if g := ld.load(f, rng, unquoted(im.Path.Value), depth); g != nil {
			twice := false
			for _, x := range f.imports {
				twice = twice || x == g
			}
			if twice {
				ld.diags.Errorf(CodeImport, rng, "%s is imported twice", im.Path.Value)
				continue
			}
			f.imports = append(f.imports, g)
		}
	}
	ld.open[src.Name] = false
	f.id = int32(len(ld.p.files))
	ld.p.files = append(ld.p.files, f)
	return f
}

func (ld *loader) load(from *file, rng diag.Range, path string, depth int) *file {
	if ld.find == nil {
		ld.diags.Errorf(CodeImport, rng, "%q cannot be imported: there is nowhere to look for it", path)
		return nil
	}
	name, text, err := ld.find(from.src.Name, path)
	if err != nil {
		ld.diags.Errorf(CodeImport, rng, "%q cannot be imported: %s", path, err.Error())
		return nil
	}
	if g, ok := ld.byName[name]; ok {
		if ld.open[name] {
			ld.diags.Errorf(CodeImportCycle, rng, "%q imports %q, which is being imported: the imports go in a circle", from.src.Name, path)
			return nil
		}
		return g
	}
	if len(ld.byName) >= MaxFiles || depth >= MaxNesting {
		ld.diags.Errorf(CodeImport, rng, "more than %d files are imported", MaxFiles)
		return nil
	}
	return ld.file(diag.NewSource(name, text), depth+1)
}

// unquoted is a string token's text without quotes, escapes left as they are.
func unquoted(s string) string {
	if len(s) >= 2 {
		return s[1 : len(s)-1]
	}
	return s
}

// docOf returns the comment that ends on the line before a declaration.
func (s *Source) docOf(n Syntax) string {
	toks := n.node().Tokens
	if len(toks) == 0 {
		return ""
	}
	line := toks[0].Pos.Line
	// The comments are in order: find the last one above.
	at := sort.Search(len(s.lexed.comments), func(i int) bool { return s.lexed.comments[i].line >= line })
	first := at
	for first > 0 && s.lexed.comments[first-1].own && s.lexed.comments[first-1].line == line-1 {
		first--
		line--
	}
	var b strings.Builder
	for i, c := range s.lexed.comments[first:at] {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(strings.TrimPrefix(strings.TrimPrefix(c.text, "//"), " "))
	}
	return b.String()
}

// header returns the comment that begins a file.
func (s *Source) header() string {
	var lines []string
	for i, c := range s.lexed.comments {
		if !c.own || c.line != i+1 {
			break
		}
		lines = append(lines, strings.TrimPrefix(strings.TrimPrefix(c.text, "//"), " "))
	}
	return strings.Join(lines, "\n")
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// Header is what a source says that it is for.
type Header struct {
	Name                      string
	Architectures, ModelTypes []string
}

// Peek reads the model declaration of a source, without its imports and without checking anything. A
// source that declares none gives false.
func Peek(src *diag.Source) (Header, bool) {
	var ignored diag.List
	s := Parse(src, &ignored)
	for _, d := range s.File.Decls {
		m, ok := d.(*Model)
		if !ok {
			continue
		}
		h := Header{Name: m.Name.Value}
		for _, f := range m.Facts {
			switch f.Name.Value {
			case "architectures":
				h.Architectures = literalStrings(f.Value)
			case "model_types":
				h.ModelTypes = literalStrings(f.Value)
			}
		}
		return h, true
	}
	return Header{}, false
}
