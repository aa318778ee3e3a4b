package hf

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// VocabSize is the config's vocab_size, or 0.
func (c *Checkpoint) VocabSize() int64 {
	if j := c.Config.Get("vocab_size"); j != nil {
		if n, ok := j.Value.(json.Number); ok {
			if v, err := n.Int64(); err == nil && v > 0 {
				return v
			}
		}
	}
	return 0
}

// HasTokenizer reports whether the folder has a tokenizer.json.
func (c *Checkpoint) HasTokenizer() bool {
	_, err := os.Stat(filepath.Join(c.Dir, "tokenizer.json"))
	return err == nil
}
