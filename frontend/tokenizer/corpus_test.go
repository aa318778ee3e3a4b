package tokenizer

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shared finds a folder of the test material, which is not part of the repository.
func shared(t testing.TB, path string) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", "..", "shared", filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("APOGEE_CORPUS") == "required" {
			t.Fatalf("the corpus is required but lacks %s", path)
		}
		t.Skipf("the corpus lacks %s", path)
	}
	return dir
}

func readJSON(t testing.TB, path string, into any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

type chatCase struct {
	Messages []struct{ Role, Content string }
	Generate bool `json:"add_generation_prompt"`
	Text     string
	IDs      []int32
}

func TestDeepSeekVectors(t *testing.T) {
	dir := shared(t, "tokenizers/deepseek-v3")
	tok, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Vectors []struct {
			Text string
			IDs  []int32
		}
		Chat []chatCase
	}
	readJSON(t, filepath.Join(dir, "vectors.json"), &v)
	if len(v.Vectors) < 40 || len(v.Chat) < 2 {
		t.Fatalf("%d vectors, %d chats", len(v.Vectors), len(v.Chat))
	}
	for _, c := range v.Vectors {
		got, err := tok.Encode(c.Text, false)
		if err != nil || !slices.Equal(got, c.IDs) {
			t.Errorf("%q: got %v (%v), want %v", c.Text, got, err, c.IDs)
		}
		text, err := tok.Decode(c.IDs, false)
		if err != nil || text != c.Text {
			t.Errorf("decoded %q (%v), want %q", text, err, c.Text)
		}
	}
	for _, c := range v.Chat {
		var messages []Message
		for _, m := range c.Messages {
			messages = append(messages, Message{Role: m.Role, Content: m.Content})
		}
		got, err := tok.ChatPrompt(messages, c.Generate)
		if err != nil || got != c.Text {
			t.Errorf("rendered %q (%v), want %q", got, err, c.Text)
		}
		ids, err := tok.Encode(got, false)
		if err != nil || !slices.Equal(ids, c.IDs) {
			t.Errorf("%q: got %v (%v), want %v", got, ids, err, c.IDs)
		}
	}
	if id, ok := tok.BOS(); !ok || id != 0 {
		t.Errorf("bos %d %v", id, ok)
	}
	if !slices.Equal(tok.EOS(), []int32{1}) || tok.VocabSize() != 128815 {
		t.Errorf("eos %v, %d tokens", tok.EOS(), tok.VocabSize())
	}
	// tokenizer_config.json asks for a bos with special tokens; the post-processor alone would add none.
	if ids, err := tok.Encode("a", true); err != nil || !slices.Equal(ids, []int32{0, 67}) {
		t.Errorf("with special tokens: %v (%v)", ids, err)
	}
	if text, err := tok.Decode([]int32{0, 67, 128803, 1}, true); err != nil || text != "a<｜User｜>" {
		t.Errorf("without special tokens: %q (%v)", text, err) // User and Assistant are added, but not special
	}
}

// R1's template: what it thought in earlier turns is dropped, tool calls and outputs have their own marks.
func TestR1Template(t *testing.T) {
	dir := shared(t, "tokenizers/deepseek-v3")
	var parts [2][]byte
	for i, name := range []string{"tokenizer.json", "tokenizer_config.r1.json"} {
		var err error
		if parts[i], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	tok, err := Parse(parts[0], parts[1])
	if err != nil {
		t.Fatal(err)
	}
	call := map[string]any{"type": "function", "function": map[string]any{"name": "sum", "arguments": `{"a":1}`}}
	got, err := tok.ChatPrompt([]Message{
		{Role: "system", Content: "S"},
		{Role: "user", Content: "1+1?"},
		{Role: "assistant", Content: "<think>hm</think>2"},
		{Role: "user", Content: "again"},
		{Role: "assistant", Fields: map[string]any{"content": nil, "tool_calls": []any{call, call}}},
		{Role: "tool", Content: "3"},
		{Role: "tool", Content: "4"},
	}, true)
	const want = "<｜begin▁of▁sentence｜>S<｜User｜>1+1?<｜Assistant｜>2<｜end▁of▁sentence｜><｜User｜>again" +
		"<｜Assistant｜><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>sum\n```json\n{\"a\":1}\n```<｜tool▁call▁end｜>" +
		"\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>sum\n```json\n{\"a\":1}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜><｜end▁of▁sentence｜>" +
		"<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>3<｜tool▁output▁end｜><｜tool▁output▁begin｜>4<｜tool▁output▁end｜><｜tool▁outputs▁end｜>"
	if err != nil || got != want {
		t.Errorf("got  %q (%v)\nwant %q", got, err, want)
	}
}

func TestR1Nano(t *testing.T) {
	for _, name := range []string{"models/r1-nano", "models/r1-nano-fp8"} {
		dir := shared(t, name)
		tok, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		if bos, ok := tok.BOS(); !ok || bos != 0 || !slices.Equal(tok.EOS(), []int32{1}) || tok.VocabSize() != 32 {
			t.Errorf("bos %d %v, eos %v, %d tokens", bos, ok, tok.EOS(), tok.VocabSize())
		}
		f, err := os.Open(filepath.Join(dir, "eval.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		d := json.NewDecoder(f)
		n := 0
		for ; d.More(); n++ {
			var c struct {
				Prompt, Answer, Think string
				PromptIDs             []int32 `json:"prompt_ids"`
				CompletionIDs         []int32 `json:"completion_ids"`
			}
			if err := d.Decode(&c); err != nil {
				t.Fatal(err)
			}
			prompt, err := tok.ChatPrompt([]Message{{Role: "user", Content: c.Prompt}}, true)
			if err != nil {
				t.Fatal(err)
			}
			ids, err := tok.Encode(prompt, false)
			if err != nil || !slices.Equal(ids, c.PromptIDs) {
				t.Fatalf("%q: %v (%v), want %v", prompt, ids, err, c.PromptIDs)
			}
			completion := "<think>" + c.Think + "</think>" + c.Answer
			ids, err = tok.Encode(completion+"<eos>", false)
			if err != nil || !slices.Equal(ids, c.CompletionIDs) {
				t.Fatalf("%q: %v (%v), want %v", completion, ids, err, c.CompletionIDs)
			}
			if text, err := tok.Decode(ids, false); err != nil || text != completion+"<eos>" {
				t.Fatalf("decoded %q (%v)", text, err)
			}
			if text, err := tok.Decode(ids, true); err != nil || text != c.Think+c.Answer {
				t.Fatalf("decoded without special tokens %q (%v)", text, err)
			}
		}
		if n != 200 {
			t.Errorf("%d problems", n)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	dir := shared(b, "tokenizers/deepseek-v3")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Load(dir); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	tok, err := Load(shared(b, "tokenizers/deepseek-v3"))
	if err != nil {
		b.Fatal(err)
	}
	const text = "The quick brown fox doesn't jump 12345 times; 深度求索是一家公司，成立于2023年。\n\n    return fib(n-1) + fib(n-2)\n"
	for _, size := range []int{1 << 10, 1 << 14, 1 << 18, 1 << 22} {
		for _, c := range []struct{ name, text string }{
			{"prose", strings.Repeat(text, size/len(text)+1)},
			{"varied", varied(size)},
			{"one-word", strings.Repeat("abcdefgh", size/8)}, // a single word: n log n
		} {
			b.Run(fmt.Sprintf("%s/bytes=%d", c.name, size), func(b *testing.B) {
				b.SetBytes(int64(len(c.text)))
				for b.Loop() {
					if _, err := tok.Encode(c.text, false); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// varied is text in which few words come twice.
func varied(size int) string {
	var b strings.Builder
	x := uint32(1)
	for b.Len() < size {
		for n := 3 + x>>28; n > 0; n-- {
			x = x*1664525 + 1013904223
			b.WriteByte('a' + byte(x>>24)%26)
		}
		b.WriteByte(' ')
	}
	return b.String()
}

func BenchmarkDecode(b *testing.B) {
	tok, err := Load(shared(b, "tokenizers/deepseek-v3"))
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{100, 10000} {
		ids, err := tok.Encode(varied(3*n), false)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("tokens=%d", len(ids)), func(b *testing.B) {
			for b.Loop() {
				if _, err := tok.Decode(ids, true); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
