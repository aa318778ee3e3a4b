package hf

import (
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"strconv"

	"apogee/frontend/mg"
	"apogee/frontend/tokenizer"
	"apogee/ir/diag"
)

// Generation is what config.json and generation_config.json say about generating; the latter wins.
type Generation struct {
	BOS *int64  // token that begins a text; nil when none is given
	EOS []int64 // tokens that end a text
	PAD *int64
}

// generation reads the special tokens.
func (c *Checkpoint) generation(diags *diag.List) {
	from := []*mg.JSON{c.Config}
	j, err := readJSON(filepath.Join(c.Dir, "generation_config.json"))
	switch {
	case err == nil:
		from = append(from, j)
	case !errors.Is(err, fs.ErrNotExist):
		diags.AddError(CodeGeneration, err)
	}
	for _, j := range from {
		if ids, ok := tokens(j, "eos_token_id", diags); ok {
			c.Generation.EOS = ids
		}
		if ids, ok := tokens(j, "bos_token_id", diags); ok && len(ids) > 0 {
			c.Generation.BOS = &ids[0]
		}
		if ids, ok := tokens(j, "pad_token_id", diags); ok && len(ids) > 0 {
			c.Generation.PAD = &ids[0]
		}
	}
}

// tokens reads a token, or a list of tokens; ok is false where the field is missing or null.
func tokens(j *mg.JSON, key string, diags *diag.List) (ids []int64, ok bool) {
	v := j.Get(key)
	if v == nil || v.Value == nil {
		return nil, false
	}
	list := []*mg.JSON{v}
	if l, isList := v.Value.([]*mg.JSON); isList {
		list = l
	}
	for _, x := range list {
		n, isNum := x.Value.(json.Number)
		id, err := strconv.ParseInt(n.String(), 10, 32)
		if !isNum || err != nil || id < 0 {
			diags.Errorf(CodeGeneration, x.Range, "%s is not a token", key).Expect("a number, or a list of numbers", x.String())
			return nil, false
		}
		ids = append(ids, id)
	}
	return ids, true
}

// Tokenizer reads the checkpoint's tokenizer; its end-of-sequence tokens include those of the configs.
func (c *Checkpoint) Tokenizer() (*tokenizer.Tokenizer, error) {
	t, err := tokenizer.Load(c.Dir)
	if err != nil {
		return nil, err
	}
	ids := make([]int32, len(c.Generation.EOS))
	for i, id := range c.Generation.EOS {
		ids[i] = int32(id)
	}
	t.AddEOS(ids...)
	return t, nil
}
