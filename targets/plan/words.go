package plan

import (
	"sort"
	"strings"

	"apogee/ir/format"
)

// info is what the table of instructions says of one opcode.
type info struct {
	word  string    // neutral word; a "_" at the end is followed by Fn's name
	kind  QueueKind // what its queue must be able to do
	tiles string    // which tiles it takes, in upper case those that must be there: "D" Dst, "E" Dst2, "A", "B", "C", "F" D
}

var infos = [numOpcodes]info{
	Loop:       {"loop", Scalar, ""},
	End:        {"end", Scalar, ""},
	Set:        {"set", Scalar, ""},
	LoadScalar: {"load_scalar", Scalar, "A"},
	Signal:     {"signal", Scalar, ""},
	Wait:       {"wait", Scalar, ""},
	Move:       {"dma", DMA, "DA"},
	Mma:        {"mma", Matrix, "DABcf"},
	Vec:        {"vec_", Vector, "DAbc"},
	VReduce:    {"reduce_", Vector, "DA"},
	VScan:      {"scan_", Vector, "DAb"},
	VIota:      {"iota", Vector, "D"},
	VTopK:      {"topk_", Vector, "DEA"},
	VTake:      {"take", Vector, "DAB"},
	VPut:       {"put_", Vector, "DAB"},
	VGroup:     {"group", Vector, "DEA"},
}

var fnNames = [NumFns]string{
	"copy", "cast", "neg", "abs", "sign", "exp", "log", "sqrt", "rsqrt", "reciprocal", "sin", "cos", "tanh", "sigmoid", "erf", "atan",
	"floor", "ceil", "round", "not", "bitcast", "add", "sub", "mul", "div", "rem", "pow", "max", "min", "and", "or", "xor",
	"shl", "shr", "eq", "ne", "lt", "le", "gt", "ge", "select", "fma", "abs_max", "floor_div", "mod", "less",
}

// String gives the opcode's neutral word, without its function.
func (o Opcode) String() string {
	if o >= numOpcodes {
		return "unknown"
	}
	return strings.TrimSuffix(infos[o].word, "_")
}

// Kind says what a queue must be able to do to run the opcode. Signal and Wait run on any queue.
func (o Opcode) Kind() QueueKind {
	if o >= numOpcodes {
		return Scalar
	}
	return infos[o].kind
}

// String gives the function's name, as in the IR's op table.
func (f Fn) String() string {
	if f >= NumFns {
		return "unknown"
	}
	return fnNames[f]
}

// Arity is how many operands the function takes when Vec applies it: 1, 2 or 3.
func (f Fn) Arity() int {
	switch {
	case f <= VBitcast:
		return 1
	case f == VSelect || f == VFma:
		return 3
	}
	return 2
}

// WorkFormat is the format that a vector instruction computes in: that of what it folds, sorts or compares, else of what it writes.
func (in *Instr) WorkFormat() format.Format {
	switch in.Op {
	case VReduce, VScan, VTopK, VGroup, VPut:
		return in.A.Format
	case Vec:
		if in.Fn != VSelect && in.A.Has() {
			return in.A.Format
		}
	}
	return in.Dst.Format
}

// MovesBits says whether a vector instruction only moves elements, whatever their bits mean.
func (in *Instr) MovesBits() bool {
	switch in.Op {
	case VTake:
		return true
	case VPut:
		return in.Fn == VCopy
	case Vec:
		return in.Fn == VCopy || in.Fn == VBitcast || in.Fn == VSelect
	}
	return false
}

// Word gives an instruction's neutral word, such as "mma", "vec_exp" or "reduce_max". Of Move it is "dma", which a
// printer refines by the memories; see [Vocab].
func (in *Instr) Word() string {
	if in.Op >= numOpcodes {
		return "unknown"
	}
	w := infos[in.Op].word
	if strings.HasSuffix(w, "_") {
		w += in.Fn.String()
	}
	return w
}

// Vocab maps neutral words to a chip's own words. The neutral words are those of [Words]; for a move the first that the
// vocabulary has of
//
//	dma_FROM_TO  by the names of the memories, such as dma_gm_l1
//	dma_in       from global memory, dma_out to it, dma_local between two others
//	dma          any
//
// A word that the vocabulary lacks, or that it gives to two different instructions, stays neutral.
type Vocab map[string]string

// Words lists the neutral words of all instructions, sorted, those of moves between named memories excepted.
func Words() []string {
	out := []string{"dma_in", "dma_out", "dma_local"}
	for w := range neutral {
		out = append(out, w)
	}
	sort.Strings(out)
	return out
}

// meaning is what a mnemonic stands for.
type meaning struct {
	op Opcode
	fn Fn
}

// neutral has the meaning of every neutral word but dma_….
var neutral = func() map[string]meaning {
	m := map[string]meaning{}
	for op := Opcode(0); op < numOpcodes; op++ {
		w := infos[op].word
		if !strings.HasSuffix(w, "_") {
			m[w] = meaning{op, 0}
			continue
		}
		for fn := Fn(0); fn < NumFns; fn++ {
			m[w+fn.String()] = meaning{op, fn}
		}
	}
	return m
}()

func neutralMeaning(word string) (meaning, bool) {
	if m, ok := neutral[word]; ok {
		return m, true
	}
	if strings.HasPrefix(word, "dma_") {
		return meaning{Move, 0}, true
	}
	return meaning{}, false
}

// words is a vocabulary made safe to print with: each own word has one meaning.
type words struct {
	own     map[string]string  // neutral → own
	meaning map[string]meaning // own → meaning
}

func newWords(v Vocab) *words {
	w := &words{map[string]string{}, map[string]meaning{}}
	keys := make([]string, 0, len(v))
	for k := range v {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		m, ok := neutralMeaning(k)
		own := v[k]
		if !ok || !plain(own) {
			continue
		}
		if n, clash := neutralMeaning(own); clash && n != m {
			continue
		}
		if n, clash := w.meaning[own]; clash && n != m {
			continue
		}
		w.own[k], w.meaning[own] = own, m
	}
	return w
}

// lookup gives the own word for a neutral one, or the neutral one.
func (w *words) lookup(neutral string) string {
	if own, ok := w.own[neutral]; ok {
		return own
	}
	return neutral
}

// move gives the word for a move between two memories, and the neutral word it stands for.
func (w *words) move(from, to string, out, in bool) (own, neutral string) {
	dir := "dma_local"
	switch {
	case out && !in:
		dir = "dma_out"
	case in && !out:
		dir = "dma_in"
	}
	for _, k := range [...]string{"dma_" + from + "_" + to, dir, "dma"} {
		if own, ok := w.own[k]; ok {
			return own, k
		}
	}
	return "dma", "dma"
}

// plain says whether a name can stand in the text without quotes.
func plain(s string) bool {
	if s == "" || s == "_" || s[0] >= '0' && s[0] <= '9' || s[0] == '-' || s[0] == '.' || s[0] == '/' {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '.', c == '/', c == '-':
		default:
			return false
		}
	}
	return !strings.Contains(s, "//")
}
