package chip

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"apogee/ir/diag"
	"apogee/targets/chips"
)

// maxExtends is how many files may extend one another in a row.
const maxExtends = 8

// Opener finds the text of the chip that a file extends. The error is shown to the user.
type Opener func(name string) (*diag.Source, error)

// Load reads a chip: a path when the argument ends in ".chip" or holds a separator, otherwise the name of a
// shipped one. A chip with mistakes, those that [Check] finds included, is an error that unwraps to a
// [diag.List]; warnings are not. Use [LoadAll] to see those.
func Load(pathOrName string) (*Chip, error) {
	c, l := LoadAll(pathOrName)
	if err := l.Err(); err != nil {
		return nil, err
	}
	return c, nil
}

// LoadAll is [Load] with all diagnostics, warnings included. The chip is nil when there are errors in its text;
// it is there when only [Check] found some.
func LoadAll(pathOrName string) (*Chip, *diag.List) {
	src, open, err := locate(pathOrName)
	l := &diag.List{}
	if err != nil {
		l.AddError(codeUnknown, err)
		return nil, l
	}
	return Read(src, open)
}

// isPath says whether the user means a file.
func isPath(s string) bool {
	return strings.HasSuffix(s, ".chip") || strings.ContainsRune(s, '/') || strings.ContainsRune(s, filepath.Separator)
}

func locate(pathOrName string) (*diag.Source, Opener, error) {
	if !isPath(pathOrName) {
		if slices.Contains(chips.Families(), pathOrName) {
			return nil, nil, diag.Errorf(codeUnknown, diag.Range{}, "%s is no chip: it is what those of a family have in common", pathOrName).
				Helpf("begin one that extends it: apogee chip new NAME --from %s", pathOrName)
		}
		src, err := Shipped(pathOrName)
		return src, Shipped, err
	}
	src, err := readFile(pathOrName)
	return src, Beside(filepath.Dir(pathOrName)), err
}

// Shipped is the [Opener] of the chips that ship with the program.
func Shipped(name string) (*diag.Source, error) {
	text, ok := chips.Text(name)
	if !ok {
		d := diag.Errorf(codeUnknown, diag.Range{}, "no chip is called %q", name)
		d.Expected = "a path to a .chip file, or one of " + strings.Join(chips.List(), ", ")
		if _, ok := chips.SystemText(name); ok {
			return nil, d.Helpf("%s is a system: apogee chip show %s names its chip", name, name)
		}
		return nil, d.Suggest(name, append(chips.List(), chips.Families()...))
	}
	return diag.NewSource(name+".chip", text), nil
}

// Beside is the [Opener] that looks for NAME.chip in a directory first, then among the shipped ones.
func Beside(dir string) Opener {
	return func(name string) (*diag.Source, error) {
		if strings.ContainsAny(name, `/\`) || strings.HasPrefix(name, ".") {
			return nil, fmt.Errorf("%q is no name of a chip: it must stand in the same folder", name)
		}
		path := filepath.Join(dir, name+".chip")
		if _, err := os.Stat(path); err == nil {
			return readFile(path)
		}
		return Shipped(name)
	}
}

// readFile reads a chip file, never more of it than a chip file may have.
func readFile(path string) (*diag.Source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.IsDir() {
		return nil, fmt.Errorf("%s is a folder, not a chip file", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	return diag.NewSource(path, text), nil
}

// Read turns the text of a chip file into a description and checks it; open finds what it extends. The chip
// is nil when there are errors in its text; it is there when only [Check] found some.
func Read(src *diag.Source, open Opener) (*Chip, *diag.List) {
	l := &diag.List{}
	r := &reader{list: l, usedSource: map[string]bool{}, chip: &Chip{File: src, Devices: 1}}
	body, name, at, ok := r.gather(src, open, nil)
	if !ok {
		l.Sort()
		return nil, l
	}
	r.chip.Name, r.chip.Range = name, at
	r.read(body, at)
	if l.HasErrors() {
		l.Sort()
		return nil, l
	}
	for _, s := range r.chip.Sources {
		if !r.usedSource[s.Name] && s.Range.Source == src {
			l.Warnf(codeUnused, s.Range, "source %s is never named", s.Name)
		}
	}
	if base := strings.TrimSuffix(filepath.Base(src.Name), ".chip"); base != name && strings.HasSuffix(src.Name, ".chip") {
		l.Warnf(codeName, at, "the chip's name is not its file's").Expect(fmt.Sprintf("%q", base), fmt.Sprintf("%q", name))
	}
	check(r.chip, l)
	l.Sort()
	return r.chip, l
}

// gather reads a file and those it extends and lays them over each other.
func (r *reader) gather(src *diag.Source, open Opener, chain []string) (body []*stmt, name string, at diag.Range, ok bool) {
	before := r.list.Errors()
	r.chip.files = append(r.chip.files, src)
	f := parse(src, r.list)
	if f == nil {
		return nil, "", at, false
	}
	var top *stmt
	for _, s := range f.stmts {
		switch {
		case !s.isCode():
		case s.key() != "chip":
			r.list.Errorf(codeOneChip, s.head(), "only a chip may stand here").
				Expect(`chip "NAME" { … }`, fmt.Sprintf("%q", s.Args[0].Tok.Value)).Suggest(s.key(), []string{"chip"})
		case top != nil:
			r.list.Errorf(codeOneChip, s.head(), "a second chip in one file").Note(top.head(), "here is the first")
		default:
			top = s
		}
	}
	if top == nil {
		if r.list.Errors() == before {
			r.list.Errorf(codeOneChip, src.Range(0, 0), "this file describes no chip").Expect(`chip "NAME" { … }`, "none")
		}
		return nil, "", at, false
	}
	c := &cursor{r: r, s: top, i: 1}
	name, at = c.name("the chip's name")
	c.finish()
	if top.Block == nil {
		c.fail(codeArgument, top.line(), "chip needs a block").Helpf(`write: chip "NAME" { … }`)
	}
	if c.bad {
		return nil, name, at, false
	}
	body = top.Block.Stmts
	var ext *stmt
	for _, s := range body {
		if s.key() == "extends" && ext == nil {
			ext = s
		}
	}
	if ext == nil {
		return r.merge(chipKeys, nil, body), name, at, true
	}
	e := &cursor{r: r, s: ext, i: 1}
	parent, prng := e.name("the name of a chip")
	e.finish()
	if e.bad {
		return nil, name, at, false
	}
	chain = append(chain, name)
	for _, seen := range chain {
		if seen == parent {
			r.list.Errorf(codeExtends, prng, "%s extends itself: %s", parent, strings.Join(append(chain, parent), " → ")).
				Helpf("let it extend another chip or a family, such as %s, or nothing", strings.Join(chips.Families(), ", "))
			return nil, name, at, false
		}
	}
	if len(chain) > maxExtends {
		r.list.Errorf(codeExtends, prng, "too many files extend one another").Expect(fmt.Sprintf("at most %d", maxExtends), "more")
		return nil, name, at, false
	}
	psrc, err := open(parent)
	if err != nil {
		d := r.list.Errorf(codeExtends, prng, "cannot read the chip that this one extends: %s", shortError(err))
		if sub, is := err.(*diag.Diagnostic); is {
			d.Message = fmt.Sprintf("there is no chip %q to extend", parent)
			d.Expected, d.Suggestion = sub.Expected, sub.Suggestion
		}
		return nil, name, at, false
	}
	pbody, _, _, ok := r.gather(psrc, open, chain)
	if !ok {
		return nil, name, at, false
	}
	merged := r.merge(chipKeys, pbody, body)
	if other(body) {
		kept := merged[:0]
		for _, s := range merged {
			if s.src == src || !quoted[s.key()] {
				kept = append(kept, s)
			}
		}
		merged = kept
	}
	return merged, name, at, true
}

// quoted are the statements about one product as it is sold: they say nothing about one with other cores or another clock.
var quoted = map[string]bool{"peak": true, "reached": true, "served": true, "contested": true, "accept": true}

// other says whether a file describes a chip with other cores or another clock than the one it extends.
func other(body []*stmt) bool {
	for _, s := range body {
		if k := s.key(); k == "cores" || k == "clock" {
			return true
		}
	}
	return false
}

func shortError(err error) string {
	s, _, _ := strings.Cut(err.Error(), "\n")
	return s
}
