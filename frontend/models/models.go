// Package models holds the models that Apogee knows, as .mg files, and the library they are made of.
//
// A config.json picks a model by its architecture or model type; see [Pick].
//
// The package must not know what is in the files: nothing about a model is written in Go.
package models

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"

	"apogee/frontend/mg"
	"apogee/ir/diag"
)

//go:embed *.mg
var files embed.FS

// FS holds the shipped files by name.
func FS() fs.FS { return files }

// prefix marks the name of a shipped file among names of files on disk.
const prefix = "apogee:"

// Import finds an import: a file beside the importing one, or, when its name has no ending, a shipped
// one. It is an [mg.Importer] that reads the disk for sources that are on disk.
func Import(from, name string) (string, []byte, error) {
	if !strings.HasSuffix(name, ".mg") {
		return shipped(name)
	}
	if strings.HasPrefix(from, prefix) {
		return shipped(strings.TrimSuffix(name, ".mg"))
	}
	file := filepath.Join(filepath.Dir(from), filepath.FromSlash(name))
	info, err := os.Stat(file)
	if err != nil {
		var perr *fs.PathError
		if errors.As(err, &perr) {
			err = perr.Err
		}
		return "", nil, fmt.Errorf("%s: %w", file, err)
	}
	if !info.Mode().IsRegular() || info.Size() > mg.MaxSource {
		return "", nil, fmt.Errorf("%s: not a file of at most %d bytes", file, mg.MaxSource)
	}
	text, err := os.ReadFile(file)
	return file, text, err
}

func shipped(name string) (string, []byte, error) {
	text, err := files.ReadFile(name + ".mg")
	if err != nil {
		d := diag.DidYouMean(name, Files())
		if d != "" {
			return "", nil, fmt.Errorf("no file of that name is shipped; did you mean %q?", d)
		}
		return "", nil, fmt.Errorf("no file of that name is shipped (there are %s); a file of your own is imported with its ending .mg", strings.Join(Files(), ", "))
	}
	return prefix + name + ".mg", text, nil
}

// Files returns the names of the shipped files without their ending, sorted.
func Files() []string {
	list, _ := fs.Glob(files, "*.mg")
	for i, f := range list {
		list[i] = strings.TrimSuffix(path.Base(f), ".mg")
	}
	sort.Strings(list)
	return list
}

// headers reads what the shipped files are for, once.
var headers = sync.OnceValue(func() map[string]mg.Header {
	out := map[string]mg.Header{}
	for _, name := range Files() {
		full, text, err := shipped(name)
		if err != nil {
			continue
		}
		if h, ok := mg.Peek(diag.NewSource(full, text)); ok {
			out[name] = h
		}
	}
	return out
})

// Names returns the names of the shipped models, sorted: the files that say what checkpoints they are for.
func Names() []string {
	var out []string
	for n := range headers() {
		out = append(out, n)
	}
	sort.Strings(out)
	return out
}

// Header returns what a shipped model is for.
func Header(name string) (mg.Header, bool) {
	h, ok := headers()[name]
	return h, ok
}

// Pick returns the name of the model for what a config.json says: by an architecture, else by the model
// type. It is false when none is shipped for either.
func Pick(architectures []string, modelType string) (string, bool) {
	for _, byType := range []bool{false, true} {
		for _, name := range Names() {
			h, _ := Header(name)
			if byType && slices.Contains(h.ModelTypes, modelType) {
				return name, true
			}
			for _, a := range architectures {
				if !byType && slices.Contains(h.Architectures, a) {
					return name, true
				}
			}
		}
	}
	return "", false
}

// Load reads one shipped file with what it imports.
func Load(name string) (*mg.Program, error) {
	full, text, err := shipped(name)
	if err != nil {
		return nil, err
	}
	return mg.Load(diag.NewSource(full, text), Import)
}
