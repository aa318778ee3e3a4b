package tokenizer

import (
	"encoding/json"
	"fmt"
)

// template is what the post-processor puts around a text: ids before it and ids after it.
type template struct{ before, after []int32 }

// parsePostProcessor reads the post_processor of a tokenizer.json and wraps it around inner. Only what it does to a
// single sequence matters here.
func (p *fileParser) parsePostProcessor(raw json.RawMessage, t *Tokenizer, inner *template) (*template, error) {
	var c struct {
		Type       string
		Processors []json.RawMessage
		Single     []struct {
			SpecialToken *struct{ ID string }
			Sequence     *struct{ ID string }
		}
		Specials map[string]struct {
			IDs []int32
		} `json:"special_tokens"`
		CLS, SEP json.RawMessage
	}
	if err := p.stage(raw, &c, "post_processor"); err != nil {
		return nil, err
	}
	out := &template{}
	if inner != nil {
		*out = *inner
	}
	check := func(ids []int32) error {
		for _, id := range ids {
			if _, ok := t.IDToToken(id); !ok {
				return fmt.Errorf("id %d is not in the vocabulary", id)
			}
		}
		return nil
	}
	switch c.Type {
	case "ByteLevel":
		return out, nil // it only moves offsets
	case "Sequence":
		var err error
		for i, r := range c.Processors {
			if out, err = p.parsePostProcessor(r, t, out); err != nil {
				return nil, fmt.Errorf("step %d: %w", i+1, err)
			}
		}
		return out, nil
	case "TemplateProcessing":
		var before, after []int32
		found := false
		for i, item := range c.Single {
			switch {
			case item.Sequence != nil:
				if found {
					return nil, fmt.Errorf("single: the text comes twice")
				}
				found = true
			case item.SpecialToken != nil:
				special, ok := c.Specials[item.SpecialToken.ID]
				if !ok {
					return nil, fmt.Errorf("single: special_tokens lacks %q", item.SpecialToken.ID)
				}
				if err := check(special.IDs); err != nil {
					return nil, fmt.Errorf("special_tokens: %q: %w", item.SpecialToken.ID, err)
				}
				if found {
					after = append(after, special.IDs...)
				} else {
					before = append(before, special.IDs...)
				}
				// One list may be named many times.
				if len(before)+len(after) > maxTemplate {
					return nil, fmt.Errorf("single: more than %d special tokens", maxTemplate)
				}
			default:
				return nil, fmt.Errorf("single: item %d is neither a SpecialToken nor a Sequence", i+1)
			}
		}
		if !found {
			return nil, fmt.Errorf("single: the text does not occur")
		}
		out.before, out.after = append(before, out.before...), append(out.after, after...)
	case "BertProcessing", "RobertaProcessing":
		cls, err := pairID(c.CLS)
		if err != nil {
			return nil, fmt.Errorf("cls: %w", err)
		}
		sep, err := pairID(c.SEP)
		if err != nil {
			return nil, fmt.Errorf("sep: %w", err)
		}
		if err := check([]int32{cls, sep}); err != nil {
			return nil, err
		}
		out.before, out.after = append([]int32{cls}, out.before...), append(out.after, sep)
	default:
		return nil, fmt.Errorf("type %q is not supported; known are ByteLevel, TemplateProcessing, BertProcessing, RobertaProcessing and Sequence", c.Type)
	}
	if len(out.before)+len(out.after) > maxTemplate {
		return nil, fmt.Errorf("more than %d special tokens around a text", maxTemplate)
	}
	return out, nil
}

// maxTemplate is the most special tokens around a text.
const maxTemplate = 1024

// pairID reads ["token", id].
func pairID(raw json.RawMessage) (int32, error) {
	var pair []json.RawMessage
	var id int32
	if json.Unmarshal(raw, &pair) != nil || len(pair) != 2 || json.Unmarshal(pair[1], &id) != nil {
		return 0, fmt.Errorf("expected a token and its id, found %.80s", raw)
	}
	return id, nil
}
