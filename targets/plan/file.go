package plan

import (
	"bytes"
	"os"
	"path/filepath"

	"apogee/ir/diag"
)

// IsBinary says whether bytes begin as a plan's binary form does.
func IsBinary(b []byte) bool { return bytes.HasPrefix(b, []byte(magic)) }

// Save writes a plan's binary form to a file, which is then whole or as it was before.
func Save(path string, p *Plan) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".plan-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if err = Encode(f, p); err != nil {
		return err
	}
	if err = f.Chmod(0o644); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Load reads a plan from a file; see [Read].
func Load(path string) (*Plan, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Read(path, b)
}

// Read reads a plan in either form and checks its structure; see [Decode], [Parse] and [Validate]. Errors call it name.
func Read(name string, b []byte) (*Plan, error) {
	var p *Plan
	var err error
	if bytes.HasPrefix(b, []byte("apogee-plan")) {
		p, err = Parse(diag.NewSource(name, b))
	} else {
		p, err = decode(b, name)
	}
	if err != nil {
		return nil, err
	}
	if err := Validate(p); err != nil {
		return nil, err
	}
	return p, nil
}
