package tokenizer

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"apogee/frontend/tokenizer/jinja"
)

// Message is one turn of a conversation.
type Message struct {
	Role    string
	Content string
	// Fields are what else templates look for in a message, such as tool_calls or reasoning_content, as values that
	// [jinja.Template.Render] takes. One named content replaces Content: nil is what a turn of tool calls alone has.
	Fields map[string]any
}

// Chat is all that a chat template may be given.
type Chat struct {
	Messages []Message
	// AddGenerationPrompt ends the prompt with the beginning of the assistant's answer.
	AddGenerationPrompt bool
	// Vars are further variables by name, such as tools, documents or enable_thinking (see [jinja.FromJSON]). They
	// take precedence over the special tokens.
	Vars map[string]any
	// Now is the day that templates may mention; zero: they are told none (see [jinja.Options]).
	Now time.Time
}

// chatTemplate is parsed when it is first used: a checkpoint whose template is of no use here can still encode.
type chatTemplate struct {
	source string
	once   sync.Once
	parsed *jinja.Template
	err    error
}

// HasChat says whether the tokenizer has a chat template.
func (t *Tokenizer) HasChat() bool { return t.chat != nil }

// ChatPrompt renders messages with the checkpoint's chat template. The text is then encoded without special tokens,
// since the template writes them itself.
func (t *Tokenizer) ChatPrompt(messages []Message, addGenerationPrompt bool) (string, error) {
	return t.RenderChat(Chat{Messages: messages, AddGenerationPrompt: addGenerationPrompt})
}

// RenderChat is ChatPrompt with all that a template may want.
func (t *Tokenizer) RenderChat(c Chat) (string, error) {
	if t.chat == nil {
		return "", errors.New("the tokenizer has no chat template: tokenizer_config.json lacks chat_template, and there is no chat_template.jinja")
	}
	t.chat.once.Do(func() { t.chat.parsed, t.chat.err = jinja.Parse(t.chat.source) })
	if t.chat.err != nil {
		return "", fmt.Errorf("chat template: %w", t.chat.err)
	}
	vars := map[string]any{}
	for name, content := range t.specials {
		vars[name] = content
	}
	messages := make([]any, len(c.Messages))
	for i, m := range c.Messages {
		d := jinja.NewDict()
		d.Set("role", m.Role)
		d.Set("content", m.Content)
		for _, name := range slices.Sorted(maps.Keys(m.Fields)) {
			d.Set(name, m.Fields[name])
		}
		messages[i] = d
	}
	vars["messages"] = messages
	vars["add_generation_prompt"] = c.AddGenerationPrompt
	// transformers passes these two always, as None when there are none.
	vars["tools"], vars["documents"] = nil, nil
	maps.Copy(vars, c.Vars)
	out, err := t.chat.parsed.Render(vars, jinja.Options{Now: c.Now})
	if err != nil {
		return "", fmt.Errorf("chat template: %w", err)
	}
	return out, nil
}
