package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// made is a tokenizer of testdata/rust.json and what the Rust library did with it.
type made struct {
	Tokenizer json.RawMessage
	Cases     []struct {
		Text         string
		IDs          []int32 // of Text
		Special      []int32 // with special tokens
		Rand         []int32
		Dec, DecSkip string // of Rand
	}
}

func readMade(t testing.TB) []made {
	var golden struct{ Tokenizers []made }
	readJSON(t, "testdata/rust.json", &golden)
	if len(golden.Tokenizers) < 20 {
		t.Fatal("the golden file is cut short")
	}
	return golden.Tokenizers
}

func TestAgainstRust(t *testing.T) {
	for k, m := range readMade(t) {
		tok, err := Parse(m.Tokenizer, nil)
		if err != nil {
			t.Errorf("tokenizer %d: %v", k, err)
			continue
		}
		for _, c := range m.Cases {
			for _, special := range []bool{false, true} {
				want, wantText := c.IDs, c.Dec
				if special {
					want, wantText = c.Special, c.DecSkip
				}
				if got, err := tok.Encode(c.Text, special); err != nil || !slices.Equal(got, want) {
					t.Errorf("tokenizer %d: %q: got %v (%v), want %v", k, c.Text, got, err, want)
				}
				if got, err := tok.Decode(c.Rand, special); err != nil || got != wantText {
					t.Errorf("tokenizer %d: decoding %v: got %q (%v), want %q", k, c.Rand, got, err, wantText)
				}
			}
		}
	}
}

// pushAll is the text of a stream, and the pieces that it came in.
func pushAll(t *testing.T, s *Stream, ids []int32) (string, []string) {
	var pieces []string
	for _, id := range ids {
		p, err := s.Push(id)
		if err != nil {
			t.Fatal(err)
		}
		pieces = append(pieces, p)
	}
	p, err := s.Flush()
	if err != nil {
		t.Fatal(err)
	}
	pieces = append(pieces, p)
	return strings.Join(pieces, ""), pieces
}

func TestStreamEqualsDecode(t *testing.T) {
	for k, m := range readMade(t) {
		tok, err := Parse(m.Tokenizer, nil)
		if err != nil {
			t.Fatal(err)
		}
		fallback := strings.Contains(string(m.Tokenizer), `"ByteFallback"`)
		for _, c := range m.Cases {
			for _, ids := range [][]int32{c.IDs, c.Rand} {
				want, err := tok.Decode(ids, true)
				if err != nil {
					t.Fatal(err)
				}
				got, pieces := pushAll(t, tok.Stream(true), ids)
				if got != want && !(fallback && strings.Contains(want, "\uFFFD")) {
					t.Errorf("tokenizer %d: %v: streamed %q, decoded %q", k, ids, got, want)
				}
				for _, p := range pieces {
					if !utf8.ValidString(p) {
						t.Errorf("tokenizer %d: %v: the piece %q splits a character", k, ids, p)
					}
				}
			}
		}
	}
}

// byteLevel is a byte-level tokenizer without merges: each byte is a token, id = position in the alphabet.
func byteLevel(t testing.TB, extra string) *Tokenizer {
	t.Helper()
	vocab := map[string]int{}
	for b := range 256 {
		vocab[string(byteRune[b])] = b
	}
	v, _ := json.Marshal(vocab)
	tok, err := Parse([]byte(`{"added_tokens":[{"id":256,"content":"<end>","special":true,"normalized":false}],
		"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"use_regex":false},"decoder":{"type":"ByteLevel"},
		"model":{"type":"BPE","vocab":`+string(v)+`,"merges":[]`+extra+`}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestStreamHoldsBackHalfCharacters(t *testing.T) {
	tok := byteLevel(t, "")
	for _, c := range []struct {
		bytes string
		want  []string
	}{
		{"aé", []string{"a", "", "é", ""}},
		{"中b", []string{"", "", "中", "b", ""}},
		{"😀", []string{"", "", "", "😀", ""}},
		{"\xe4\xb8a", []string{"", "", "\uFFFDa", ""}},
		{"\xe4\xb8", []string{"", "", "\uFFFD"}},
		{"\xffa", []string{"\uFFFD", "a", ""}},
		{"\xf0\x9f\xe4\xb8\xad", []string{"", "", "\uFFFD", "", "中", ""}},
		{"\xed\xa0\x80", []string{"", "\uFFFD\uFFFD", "\uFFFD", ""}}, // a surrogate: no byte of it begins a character
	} {
		var ids []int32
		for i := range len(c.bytes) {
			ids = append(ids, int32(c.bytes[i]))
		}
		if _, got := pushAll(t, tok.Stream(false), ids); !slices.Equal(got, c.want) {
			t.Errorf("%q came as %q, want %q", c.bytes, got, c.want)
		}
		if got, err := tok.Decode(ids, false); err != nil || got != strings.Join(c.want, "") {
			t.Errorf("%q decoded as %q (%v)", c.bytes, got, err)
		}
	}
}

func TestUnknownIDs(t *testing.T) {
	tok := byteLevel(t, "")
	text, err := tok.Decode([]int32{'a', 300, 'b', -1, 'c'}, false)
	var u *UnknownIDError
	if !errors.As(err, &u) || u.ID != 300 || u.Index != 1 || text != "abc" {
		t.Errorf("%q, %v", text, err)
	}
	s := tok.Stream(false)
	if _, err := s.Push(1 << 30); !errors.As(err, &u) {
		t.Error(err)
	}
	if p, err := s.Push('x'); err != nil || p != "x" {
		t.Errorf("after an unknown id: %q, %v", p, err)
	}
}

func TestInvalidUTF8(t *testing.T) {
	if _, err := byteLevel(t, "").Encode("\uFFFDab\xffc", false); err == nil || !strings.Contains(err.Error(), "byte 5") {
		t.Error(err)
	}
}

func TestLookups(t *testing.T) {
	tok := byteLevel(t, "")
	if id, ok := tok.TokenToID("<end>"); !ok || id != 256 {
		t.Error(id, ok)
	}
	if id, ok := tok.TokenToID("Ġ"); !ok || id != ' ' {
		t.Error(id, ok)
	}
	if s, ok := tok.IDToToken(' '); !ok || s != "Ġ" {
		t.Error(s, ok)
	}
	if _, ok := tok.IDToToken(257); ok {
		t.Error("257 has a token")
	}
	if _, ok := tok.BOS(); ok {
		t.Error("there is a bos")
	}
	tok.AddEOS(256, 5, 256)
	if !slices.Equal(tok.EOS(), []int32{5, 256}) {
		t.Error(tok.EOS())
	}
}

func TestTokenIDs(t *testing.T) {
	for in, want := range map[string][]int32{"null": nil, "": nil, "7": {7}, "[1, 2]": {1, 2}} {
		if got, err := TokenIDs(json.RawMessage(in)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v (%v)", in, got, err)
		}
	}
	for _, in := range []string{"-1", "[-1]", `"x"`, "1.5", "4294967296", "{}"} {
		if got, err := TokenIDs(json.RawMessage(in)); err == nil {
			t.Errorf("%s: %v", in, got)
		}
	}
}

func TestConfig(t *testing.T) {
	const file = `{"added_tokens":[{"id":0,"content":"<s>","special":true},{"id":1,"content":"</s>","special":true}],
		"model":{"type":"WordLevel","vocab":{"<s>":0,"</s>":1,"a":2},"unk_token":"a"},%s"pre_tokenizer":{"type":"WhitespaceSplit"}}`
	const around = `"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"B"}},{"Sequence":{"id":"A"}}],"special_tokens":{"B":{"id":"B","ids":[0],"tokens":["<s>"]}}},`
	for _, c := range []struct {
		post, config string
		want         []int32
	}{
		{"", `{"bos_token":"<s>","eos_token":{"content":"</s>"},"add_bos_token":true,"add_eos_token":true}`, []int32{0, 2, 1}},
		{"", `{"bos_token":"<s>","eos_token":"</s>"}`, []int32{2}},
		{around, `{"bos_token":"<s>","add_bos_token":true}`, []int32{0, 2}},
		{around, ``, []int32{0, 2}},
		{"", `{"bos_token":null,"add_bos_token":true}`, []int32{2}},
	} {
		tok, err := Parse(fmt.Appendf(nil, file, c.post), []byte(c.config))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := tok.Encode("a", true); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v (%v), want %v", c.config, got, err, c.want)
		}
		if got, err := tok.Encode("a", false); err != nil || !slices.Equal(got, []int32{2}) {
			t.Errorf("%s: without special tokens %v (%v)", c.config, got, err)
		}
	}
	// A token that only the configuration adds is found in the text.
	tok, err := Parse(fmt.Appendf(nil, file, ""), []byte(`{"added_tokens_decoder":{"7":{"content":"<think>","special":true},"0":{"content":"<s>","special":true}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tok.Encode("a<think>a", false); err != nil || !slices.Equal(got, []int32{2, 7, 2}) {
		t.Errorf("%v (%v)", got, err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	put := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "tokenizer.json") {
		t.Error(err)
	}
	put("tokenizer.json", `{"model":{"type":"WordLevel","vocab":{"<s>":0,"a":1,"b":2}}}`)
	tok, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tok.ChatPrompt(nil, true); err == nil || tok.HasChat() || !strings.Contains(err.Error(), "no chat template") {
		t.Error(err)
	}
	put("tokenizer_config.json", `{"bos_token":"<s>","eos_token":"a","chat_template":[{"name":"tool_use","template":"no"},{"name":"default","template":"{{ bos_token }}{{ messages[0].content }}"}]}`)
	put("generation_config.json", `{"eos_token_id":[2,1]}`)
	if tok, err = Load(dir); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(tok.EOS(), []int32{1, 2}) {
		t.Errorf("eos %v", tok.EOS())
	}
	if got, err := tok.ChatPrompt([]Message{{Role: "user", Content: "x"}}, false); err != nil || got != "<s>x" {
		t.Errorf("%q (%v)", got, err)
	}
	put("chat_template.jinja", `{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}{{ x }}`)
	if tok, err = Load(dir); err != nil {
		t.Fatal(err)
	}
	if got, err := tok.RenderChat(Chat{Messages: []Message{{"user", "x", nil}, {"assistant", "", map[string]any{"content": "y"}}}, Vars: map[string]any{"x": 1}}); err != nil || got != "user:x;assistant:y;1" {
		t.Errorf("%q (%v)", got, err)
	}
	put("chat_template.jinja", "\n{% if %}")
	if tok, err = Load(dir); err != nil {
		t.Fatal("a broken template keeps the tokenizer from loading:", err)
	}
	if _, err := tok.ChatPrompt(nil, true); err == nil || !strings.Contains(err.Error(), "chat template: line ") {
		t.Error(err)
	}
}

func TestMalformed(t *testing.T) {
	model := func(s string) string { return `{"model":` + s + `}` }
	stage := func(part, s string) string {
		return `{"` + part + `":` + s + `,"model":{"type":"WordLevel","vocab":{"a":0}}}`
	}
	for _, c := range []struct{ file, config, want string }{
		{``, ``, "tokenizer.json: line 1"},
		{"{\n \"model\": x}", ``, "line 2, column 11"},
		{`{}`, ``, "model: missing"},
		{`{"model":null}`, ``, "model: missing"},
		{`{"version":"2.0"}`, ``, `version "2.0"`},
		{model(`{"type":"Unigram","vocab":[]}`), ``, `type "Unigram" is not supported; known are BPE and WordLevel`},
		{model(`{"type":"WordLevel"}`), ``, "model.vocab: expected an object"},
		{model(`{"type":"WordLevel","vocab":{"a":"b"}}`), ``, `token "a": expected an id`},
		{model(`{"type":"WordLevel","vocab":{"a":-1}}`), ``, `token "a": expected an id`},
		{model(`{"type":"WordLevel","vocab":{"a":1.5}}`), ``, `token "a": expected an id`},
		{model(`{"type":"WordLevel","vocab":{"a":99999999999}}`), ``, `token "a": expected an id`},
		{model(`{"type":"WordLevel","vocab":{"a":2000000000}}`), ``, "the highest id is 2000000000, but there are only 1 tokens"},
		{model(`{"type":"WordLevel","vocab":{"a":0,"\u0061":1}}`), ``, `token "a" comes twice, as 0 and 1`},
		{model(`{"type":"BPE","vocab":{"a":0},"merges":5}`), ``, "model.merges: expected a list"},
		{model(`{"type":"BPE","vocab":{"a":0},"merges":["a"]}`), ``, "merge 1: expected two tokens"},
		{model(`{"type":"BPE","vocab":{"a":0},"merges":[["a"]]}`), ``, "merge 1: expected two tokens"},
		{model(`{"type":"BPE","vocab":{"a":0},"merges":["a b"]}`), ``, `has no token "b"`},
		{model(`{"type":"BPE","vocab":{"a":0},"merges":["a a"]}`), ``, `has no token "aa"`},
		{model(`{"type":"BPE","vocab":{},"merges":[],"dropout":0.1}`), ``, "model.dropout"},
		{stage("normalizer", `{"type":"Bert"}`), ``, `normalizer: type "Bert" is not supported`},
		{stage("normalizer", `{"type":"Replace","content":"x"}`), ``, "without a pattern"},
		{stage("pre_tokenizer", `{"type":"Split","pattern":{"Regex":"(a"},"behavior":"Isolated"}`), ``, `pre_tokenizer: pattern "(a": at byte 2`},
		{stage("pre_tokenizer", `{"type":"Split","pattern":{"Regex":"a"},"behavior":"Kept"}`), ``, `unknown behavior "Kept"`},
		{stage("pre_tokenizer", `{"type":"Sequence","pretokenizers":[{"type":"Nope"}]}`), ``, `pre_tokenizer: step 1: type "Nope"`},
		{stage("pre_tokenizer", strings.Repeat(`{"type":"Sequence","pretokenizers":[`, 100)+strings.Repeat(`]}`, 100)), ``, "more than 64 stages"},
		{stage("decoder", `{"type":"CTC"}`), ``, `decoder: type "CTC"`},
		{stage("decoder", `{"type":"Strip","content":"ab","start":1,"stop":0}`), ``, "one character"},
		{stage("post_processor", `{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x"}}]}`), ``, `special_tokens lacks "x"`},
		{stage("post_processor", `{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x"}},{"Sequence":{"id":"A"}}],"special_tokens":{"x":{"ids":[9]}}}`), ``, "id 9 is not in the vocabulary"},
		{stage("post_processor", `{"type":"TemplateProcessing","single":[]}`), ``, "the text does not occur"},
		{stage("added_tokens", `[{"id":-4,"content":"x"}]`), ``, "-4 is no token id"},
		{stage("added_tokens", `[{"id":1,"content":"`+strings.Repeat("x", 600)+`"}]`), ``, "600 bytes, over the limit"},
		{stage("added_tokens", `5`), ``, "tokenizer.json"},
		{stage("decoder", `null`), `[]`, "tokenizer_config.json"},
		{stage("decoder", `null`), `{"bos_token":5}`, "tokenizer_config.json: bos_token"},
		{stage("decoder", `null`), `{"chat_template":5}`, "chat_template"},
		{stage("decoder", `null`), `{"added_tokens_decoder":{"x":{}}}`, `"x" is no token id`},
	} {
		var config []byte
		if c.config != "" {
			config = []byte(c.config)
		}
		_, err := Parse([]byte(c.file), config)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.200s %s: got %.300v, want %q", c.file, c.config, err, c.want)
		}
	}
}

func TestEncodeErrors(t *testing.T) {
	for _, c := range []struct{ model, text, want string }{
		{`{"type":"WordLevel","vocab":{"a":0}}`, "b", `the word "b" is not in the vocabulary`},
		{`{"type":"BPE","vocab":{"a":0},"merges":[]}`, "ab", `the character "b" (U+0062) has no token`},
		{`{"type":"BPE","vocab":{"a":0},"merges":[],"unk_token":"x"}`, "ab", `unknown token "x" is not in the vocabulary`},
		{`{"type":"BPE","vocab":{"a":0,"<0xC3>":1},"merges":[],"byte_fallback":true}`, "é", `has no token`},
	} {
		tok, err := Parse([]byte(`{"model":`+c.model+`}`), nil)
		if err != nil {
			t.Fatal(err)
		}
		if ids, err := tok.Encode(c.text, false); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s on %q: %v, %v", c.model, c.text, ids, err)
		}
	}
}

// Rules that make text grow without bound.
func TestGrowth(t *testing.T) {
	big := strings.Repeat("x", 100000)
	tok, err := Parse([]byte(`{"normalizer":{"type":"Replace","pattern":{"String":"a"},"content":"`+big+`"},
		"decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"a"},"content":"`+big+`"},{"type":"Replace","pattern":{"String":"x"},"content":"`+big+`"}]},
		"model":{"type":"WordLevel","vocab":{"a":0},"unk_token":"a"}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tok.Encode(strings.Repeat("a", 1000), false); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("%.100v", err)
	}
	if _, err := tok.Decode(make([]int32, 1000), false); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("%.100v", err)
	}
}

// The two ways to merge, and a third that follows the definition word for word.
func TestMerges(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		symbols := int32(4)
		table := newMergeTable(64)
		text := map[int32]string{0: "a", 1: "b", 2: "c", 3: "d"}
		ids := map[string]int32{"a": 0, "b": 1, "c": 2, "d": 3}
		rank := uint32(0)
		for range 40 {
			a, b := rng.Int32N(symbols), rng.Int32N(symbols)
			joined := text[a] + text[b]
			if _, there := ids[joined]; there || len(joined) > 12 {
				continue
			}
			ids[joined], text[symbols] = symbols, joined
			table.put(a, b, merge{rank, symbols})
			rank++
			symbols++
		}
		word := make([]int32, rng.IntN(200))
		for i := range word {
			word[i] = rng.Int32N(4)
		}
		want := slices.Clone(word)
		for {
			best, at := merge{rank: noMerge}, 0
			for i := range max(len(want)-1, 0) {
				if m := table.get(want[i], want[i+1]); m.rank < best.rank {
					best, at = m, i
				}
			}
			if best.rank == noMerge {
				break
			}
			want = slices.Replace(want, at, at+2, best.id)
		}
		var m merger
		if got := m.short(table, slices.Clone(word)); !slices.Equal(got, want) {
			t.Fatalf("round %d: short gives %v, want %v", round, got, want)
		}
		if got := m.long(table, slices.Clone(word)); !slices.Equal(got, want) {
			t.Fatalf("round %d: long gives %v, want %v", round, got, want)
		}
	}
}

// Inputs on which a careless implementation takes quadratic time; each would run for minutes.
func TestHostileText(t *testing.T) {
	const n = 100_000
	tok := byteLevel(t, "")
	if ids, err := tok.Encode(strings.Repeat("<en", n), false); err != nil || len(ids) != 3*n {
		t.Errorf("%d ids (%v)", len(ids), err)
	}
	for _, flags := range []string{`"lstrip":true`, `"rstrip":true`, `"single_word":true`, `"normalized":true`} {
		tok, err := Parse([]byte(`{"added_tokens":[{"id":1,"content":" ",`+flags+`},{"id":2,"content":"`+strings.Repeat(" ", 400)+`x"}],"model":{"type":"WordLevel","vocab":{"a":0},"unk_token":"a"}}`), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tok.Encode(strings.Repeat(" ", n/4), false); err != nil {
			t.Error(err)
		}
	}
	// One word whose merges ripple through it from end to end.
	tok, err := Parse([]byte(`{"model":{"type":"BPE","vocab":{"a":0,"aa":1,"aaaa":2,"b":3,"ab":4},"merges":["a b","a a","aa aa"]}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	if ids, err := tok.Encode(strings.Repeat("a", 4*n)+"b", false); err != nil || ids[len(ids)-1] != 4 {
		t.Errorf("%d ids (%v)", len(ids), err)
	}
}

func TestConcurrentUse(t *testing.T) {
	m := readMade(t)[0]
	tok, err := Parse(m.Tokenizer, nil)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				for _, c := range m.Cases {
					if got, err := tok.Encode(c.Text, false); err != nil || !slices.Equal(got, c.IDs) {
						t.Errorf("%q: %v (%v)", c.Text, got, err)
					}
				}
			}
		})
	}
	wg.Wait()
}

// FuzzParse holds that any file loads or fails, and that what loads encodes and decodes or fails.
func FuzzParse(f *testing.F) {
	for _, m := range readMade(f)[:12] {
		f.Add([]byte(m.Tokenizer), []byte(`{"bos_token":"<s>","add_bos_token":true,"chat_template":"{{ messages }}"}`), "ab c\u00e9 中 12 <s>")
	}
	f.Add([]byte(`{"model":{"type":"WordLevel","vocab":{"a":0}}}`), []byte(nil), "a")
	f.Fuzz(func(t *testing.T, file, config []byte, text string) {
		if len(text) > 1000 {
			return
		}
		tok, err := Parse(file, config)
		if err != nil {
			return
		}
		ids, err := tok.Encode(text, true)
		if err != nil {
			return
		}
		again, err := tok.Encode(text, true)
		if err != nil || !slices.Equal(ids, again) {
			t.Fatalf("%q: %v, then %v (%v)", text, ids, again, err)
		}
		for _, id := range ids {
			if _, ok := tok.IDToToken(id); !ok {
				t.Fatalf("%q: the id %d has no token", text, id)
			}
		}
		out, err := tok.Decode(ids, true)
		if err == nil && !utf8.ValidString(out) {
			t.Fatalf("%v decodes to invalid UTF-8: %q", ids, out)
		}
		if _, err := tok.ChatPrompt([]Message{{Role: "user", Content: text}}, true); err != nil {
			return
		}
	})
}
