package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"apogee/ir/tensor"
)

// The names of a checkpoint folder's files.
const (
	SingleName = "model.safetensors"
	IndexName  = "model.safetensors.index.json"
)

// maxIndex is the longest index, as long as the longest header.
const maxIndex = maxHeader

// maxProblems is how many problems of one folder are listed.
const maxProblems = 10

// File is an open safetensors file, or all shards of a checkpoint as if they were one. Any number of goroutines may use
// it; Close must wait for them.
type File struct {
	shards   []*shard
	infos    map[string]placed
	names    []string
	metadata map[string]string
}

// placed is a tensor and its shard.
type placed struct {
	Info
	shard *shard
}

// Open opens one file. Errors name it.
func Open(path string) (*File, error) {
	f := &File{infos: map[string]placed{}, metadata: map[string]string{}}
	if err := f.add(path); err != nil {
		f.Close()
		return nil, err
	}
	f.finish()
	return f, nil
}

// add opens one more file; a tensor that an earlier one has too is an error.
func (f *File) add(path string) error {
	s, h, err := openShard(path)
	if err != nil {
		return err
	}
	f.shards = append(f.shards, s)
	for _, t := range h.tensors {
		if first, twice := f.infos[t.Name]; twice {
			return fmt.Errorf("%s: tensor %q is in %s already", path, t.Name, first.File)
		}
		f.infos[t.Name] = placed{t, s}
	}
	maps.Copy(f.metadata, h.metadata)
	return nil
}

func (f *File) finish() { f.names = slices.Sorted(maps.Keys(f.infos)) }

// OpenDir opens the weights of a checkpoint folder: [SingleName] when it is there, else the shards that [IndexName]
// lists. The index and the shards must agree: each shard is there, each tensor of the index is in the shard that the
// index says, and each tensor of a shard is in the index. The error lists up to ten disagreements.
func OpenDir(dir string) (*File, error) {
	single := filepath.Join(dir, SingleName)
	if _, err := os.Stat(single); err == nil {
		return Open(single)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	index := filepath.Join(dir, IndexName)
	weights, err := readIndex(index)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: no weights: expected %s, or %s with its shards", dir, SingleName, IndexName)
	}
	if err != nil {
		return nil, err
	}
	f := &File{infos: map[string]placed{}, metadata: map[string]string{}}
	if err := f.addShards(dir, index, weights); err != nil {
		f.Close()
		return nil, err
	}
	f.finish()
	return f, nil
}

// addShards opens the shards of an index and holds both against each other.
func (f *File) addShards(dir, index string, weights map[string]string) error {
	var problems []error
	report := func(format string, args ...any) {
		if len(problems) < maxProblems {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	missing := map[string]bool{}
	shards := map[string]bool{}
	for _, file := range weights {
		shards[file] = true
	}
	for _, file := range slices.Sorted(maps.Keys(shards)) {
		err := f.add(filepath.Join(dir, file))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing[file] = true
			report("%s: shard %s, which the index lists, is missing", dir, file)
		case err != nil:
			missing[file] = true
			report("%w", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		file := weights[name]
		t, ok := f.infos[name]
		if ok && filepath.Base(t.File) != file {
			report("%s: tensor %q should be in %s, but is in %s", index, name, file, filepath.Base(t.File))
		}
		if !ok && !missing[file] {
			report("%s: tensor %q should be in %s, which has no such tensor", index, name, file)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.infos)) {
		if _, ok := weights[name]; !ok {
			report("%s: tensor %q of %s is not in the index", index, name, filepath.Base(f.infos[name].File))
		}
	}
	if len(problems) == maxProblems {
		problems = append(problems, errors.New("… and perhaps more"))
	}
	return errors.Join(problems...)
}

// readIndex reads the map from tensor to shard. Errors name the file.
func readIndex(path string) (map[string]string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	if st.Size() > maxIndex {
		return nil, fmt.Errorf("%s: %d bytes, over the limit of %d", path, st.Size(), maxIndex)
	}
	buf, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	weights, err := parseIndex(buf)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return weights, nil
}

func parseIndex(buf []byte) (map[string]string, error) {
	var weights map[string]string
	s := &scanner{buf: buf}
	s.object("the index", func(key string) {
		if key != "weight_map" {
			s.skip()
			return
		}
		if weights != nil {
			s.failf("weight_map comes twice")
			return
		}
		weights = map[string]string{}
		s.object("weight_map", func(name string) {
			file := s.str("a shard's file name")
			if s.err != nil {
				return
			}
			if _, twice := weights[name]; twice {
				s.failf("the name %q comes twice in weight_map", name)
				return
			}
			// A shard lies beside its index: anything else could reach outside the folder.
			if file == "" || file == "." || file == ".." || strings.ContainsAny(file, `/\:`) || !filepath.IsLocal(file) {
				s.failf("tensor %q: %q is no plain file name", name, file)
				return
			}
			weights[name] = file
		})
	})
	s.end()
	if s.err != nil {
		return nil, s.err
	}
	if !json.Valid(buf) { // the values passed over were not looked at closely
		return nil, errors.New("the index is not valid JSON")
	}
	if weights == nil {
		return nil, errors.New("the index has no weight_map")
	}
	return weights, nil
}

// Names returns the names of all tensors, sorted. The caller must not change the slice.
func (f *File) Names() []string { return f.names }

// Lookup returns what is known of a tensor.
func (f *File) Lookup(name string) (Info, bool) {
	t, ok := f.infos[name]
	return t.Info, ok
}

// Tensor returns a tensor, which reads from the file where it is used: without a copy where the file is mapped. It is
// valid until Close.
func (f *File) Tensor(name string) (*tensor.Tensor, error) {
	t, ok := f.infos[name]
	if !ok {
		return nil, fmt.Errorf("there is no tensor %q", name)
	}
	return tensor.FromReader(t.Format, t.Shape, t.shard.reader(), t.Offset, tensor.Named(t.File+": "+t.Name))
}

// Metadata returns the free text of the headers; where two shards give the same key, that of the later file. The caller
// must not change it.
func (f *File) Metadata() map[string]string { return f.metadata }

// Files returns the paths of the open files, in the order of their names.
func (f *File) Files() []string {
	var out []string
	for _, s := range f.shards {
		out = append(out, s.path)
	}
	return out
}

// Close lets go of the files. Bytes that tensors handed out as views must not be touched afterwards; the tensors
// themselves then return an error.
func (f *File) Close() error {
	var errs []error
	for _, s := range f.shards {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}
