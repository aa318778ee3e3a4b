package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"apogee/frontend/tokenizer/regex"
)

// The bounds of a file: bytes, and stages of one kind, nested or in sequence.
const (
	maxFile   = 1 << 28
	maxStages = 64
)

// fileParser reads one tokenizer.json.
type fileParser struct {
	stages int // read so far
}

// stage decodes one object of a pipeline.
func (p *fileParser) stage(raw json.RawMessage, into any, what string) error {
	if p.stages++; p.stages > maxStages {
		return fmt.Errorf("more than %d stages", maxStages)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// pattern is {"String": "…"} or {"Regex": "…"}.
type pattern struct {
	Literal *string `json:"String"`
	Regex   *string `json:"Regex"`
}

func (p *pattern) compile() (*regex.Regexp, error) {
	switch {
	case p.Regex != nil:
		return regex.Compile(*p.Regex)
	case p.Literal != nil:
		return regex.Literal(*p.Literal)
	}
	return nil, errors.New(`a pattern needs "String" or "Regex"`)
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// Parse reads a tokenizer.json and, unless nil, a tokenizer_config.json. Errors name the part of the file.
func Parse(tokenizerJSON, configJSON []byte) (*Tokenizer, error) {
	if len(tokenizerJSON) > maxFile || len(configJSON) > maxFile {
		return nil, fmt.Errorf("over the limit of %d bytes", maxFile)
	}
	var file struct {
		Version       string
		Truncation    json.RawMessage
		AddedTokens   []addedToken `json:"added_tokens"`
		Normalizer    json.RawMessage
		PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
		PostProcessor json.RawMessage `json:"post_processor"`
		Decoder       json.RawMessage
		Model         json.RawMessage
	}
	if err := unmarshal(tokenizerJSON, &file); err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	t := &Tokenizer{}
	fail := func(part string, err error) (*Tokenizer, error) {
		return nil, fmt.Errorf("tokenizer.json: %s%w", part, err)
	}
	if file.Version != "" && file.Version != "1.0" {
		return fail("", fmt.Errorf("version %q; expected \"1.0\"", file.Version))
	}
	var err error
	if t.model, t.vocab, err = new(fileParser).parseModel(file.Model); err != nil {
		return fail("", err)
	}
	if !isNull(file.Normalizer) {
		if t.normalize, err = new(fileParser).parseNormalizer(file.Normalizer); err != nil {
			return fail("normalizer: ", err)
		}
	}
	if !isNull(file.PreTokenizer) {
		if t.preTokenize, err = new(fileParser).parsePreTokenizer(file.PreTokenizer); err != nil {
			return fail("pre_tokenizer: ", err)
		}
	}
	if !isNull(file.Decoder) {
		if t.decoders, err = new(fileParser).parseDecoder(file.Decoder, nil); err != nil {
			return fail("decoder: ", err)
		}
	} else {
		t.decoders = []decoderKind{joinWithSpaces}
	}
	config, err := parseConfig(configJSON)
	if err != nil {
		return nil, fmt.Errorf("tokenizer_config.json: %w", err)
	}
	if err := t.addTokens(append(file.AddedTokens, config.added...)); err != nil {
		return fail("added_tokens: ", err)
	}
	if !isNull(file.PostProcessor) {
		if t.template, err = new(fileParser).parsePostProcessor(file.PostProcessor, t, nil); err != nil {
			return fail("post_processor: ", err)
		}
	}
	if err := t.configure(config); err != nil {
		return nil, fmt.Errorf("tokenizer_config.json: %w", err)
	}
	return t, nil
}

// unmarshal decodes JSON; a syntax error gives its line and column.
func unmarshal(b []byte, into any) error {
	err := json.Unmarshal(b, into)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		at := max(0, min(int(syntax.Offset)-1, len(b)))
		line := 1 + strings.Count(string(b[:at]), "\n")
		column := at - strings.LastIndexByte(string(b[:at]), '\n')
		return fmt.Errorf("line %d, column %d: %w", line, column, err)
	}
	return err
}

// config is what counts in a tokenizer_config.json.
type config struct {
	specials map[string]string // "bos_token" and so on, by name
	addBOS   bool
	addEOS   bool
	chat     []namedTemplate
	added    []addedToken
}

type namedTemplate struct {
	Name     string
	Template string
}

// parseConfig reads a tokenizer_config.json, or nothing.
func parseConfig(b []byte) (*config, error) {
	c := &config{specials: map[string]string{}}
	if len(b) == 0 {
		return c, nil
	}
	var all map[string]json.RawMessage
	if err := unmarshal(b, &all); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		raw := all[name]
		if isNull(raw) {
			continue
		}
		var err error
		switch {
		case name == "add_bos_token":
			err = json.Unmarshal(raw, &c.addBOS)
		case name == "add_eos_token":
			err = json.Unmarshal(raw, &c.addEOS)
		case name == "chat_template":
			c.chat, err = parseTemplates(raw)
		case name == "added_tokens_decoder":
			c.added, err = parseAddedDecoder(raw)
		case strings.HasSuffix(name, "_token"):
			var content string
			if content, err = tokenContent(raw); err == nil {
				c.specials[name] = content
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return c, nil
}

// tokenContent reads "text" or {"content": "text", …}.
func tokenContent(raw json.RawMessage) (string, error) {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s, nil
	}
	var o struct{ Content *string }
	if err := json.Unmarshal(raw, &o); err != nil || o.Content == nil {
		return "", errors.New(`expected a token's text or an object with its "content"`)
	}
	return *o.Content, nil
}

// parseTemplates reads one template, or a list of named ones.
func parseTemplates(raw json.RawMessage) ([]namedTemplate, error) {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return []namedTemplate{{"default", s}}, nil
	}
	var list []namedTemplate
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, errors.New("expected a template or a list of objects with name and template")
	}
	return list, nil
}

// parseAddedDecoder reads {"id": {"content": …}, …} in the order of the ids.
func parseAddedDecoder(raw json.RawMessage) ([]addedToken, error) {
	var byID map[string]addedToken
	if err := json.Unmarshal(raw, &byID); err != nil {
		return nil, err
	}
	var out []addedToken
	for key, a := range byID {
		id, err := strconv.ParseInt(key, 10, 32)
		if err != nil || id < 0 {
			return nil, fmt.Errorf("%q is no token id", key)
		}
		a.ID = int32(id)
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b addedToken) int { return int(a.ID) - int(b.ID) })
	return out, nil
}

// TokenIDs reads an id as configuration files write it, such as eos_token_id: a number, a list of them, or null.
func TokenIDs(raw json.RawMessage) ([]int32, error) {
	if isNull(raw) {
		return nil, nil
	}
	var one int32
	if json.Unmarshal(raw, &one) == nil {
		if one < 0 {
			return nil, fmt.Errorf("%d is no token id", one)
		}
		return []int32{one}, nil
	}
	var list []int32
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("expected a token id or a list of them, found %.80s", raw)
	}
	for _, id := range list {
		if id < 0 {
			return nil, fmt.Errorf("%d is no token id", id)
		}
	}
	return list, nil
}

// Load reads the tokenizer of a checkpoint folder: tokenizer.json and, where they are there, tokenizer_config.json,
// chat_template.jinja (which then replaces the template of the former) and the eos_token_id of generation_config.json.
// Errors name the file.
func Load(dir string) (*Tokenizer, error) {
	read := func(name string) ([]byte, error) {
		path := filepath.Join(dir, name)
		st, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !st.Mode().IsRegular() {
			return nil, fmt.Errorf("%s: not a regular file", path)
		}
		if st.Size() > maxFile {
			return nil, fmt.Errorf("%s: %d bytes, over the limit of %d", path, st.Size(), maxFile)
		}
		return os.ReadFile(path)
	}
	optional := func(name string) ([]byte, error) {
		b, err := read(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return b, err
	}
	main, err := read("tokenizer.json")
	if err != nil {
		return nil, err
	}
	config, err := optional("tokenizer_config.json")
	if err != nil {
		return nil, err
	}
	t, err := Parse(main, config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	template, err := optional("chat_template.jinja")
	if err != nil {
		return nil, err
	}
	if template != nil {
		t.chat = &chatTemplate{source: string(template)}
	}
	generation, err := optional("generation_config.json")
	if err != nil {
		return nil, err
	}
	if generation != nil {
		var g struct {
			EOS json.RawMessage `json:"eos_token_id"`
		}
		if err := unmarshal(generation, &g); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "generation_config.json"), err)
		}
		ids, err := TokenIDs(g.EOS)
		if err != nil {
			return nil, fmt.Errorf("%s: eos_token_id: %w", filepath.Join(dir, "generation_config.json"), err)
		}
		t.AddEOS(ids...)
	}
	return t, nil
}
