package study

import (
	"strings"
)

// readLayerTable reads times of one transformer layer's operations, a column each, against the model's shape and the tokens.
func readLayerTable(t *table, add func(Row)) error {
	chip := t.chipOf()
	// Whose table it is, for the benchmark's name.
	return t.each(func(c *cells) {
		tokens, tp := c.size("num_tokens"), c.size("num_tensor_parallel_workers")
		heads, groups := c.size("n_head"), c.size("n_kv_head")
		width, inner := c.size("n_embd"), c.size("n_expanded_embd")
		if c.err != nil {
			return
		}
		if width%heads != 0 || heads > 1<<20 {
			c.fail("n_head", "a divisor of n_embd")
			return
		}
		gated := strings.EqualFold(c.text("use_gated_mlp"), "true")
		head := width / heads
		part := func(n int64) int64 { return max(1, n/tp) }
		up := part(inner)
		act := "gelu"
		if gated {
			up, act = part(2*inner), "silu_mul"
		}
		norm := "rms_norm"
		if !gated {
			norm = "layer_norm"
		}
		parallel := c.text("time_stats.post_attention_layernorm.median") == ""
		qkv := part(heads)*head + 2*part(groups)*head
		for _, o := range []struct {
			column, kind string
			dims         [6]int64
		}{
			{"emb", "embedding", [6]int64{tokens, width, part(c.vocabulary())}},
			{"input_layernorm", norm, [6]int64{tokens, width}},
			{"attn_pre_proj", "gemm", [6]int64{tokens, width, qkv}},
			{"attn_rope", "rope", [6]int64{tokens, part(heads) + part(groups), max(1, head/2)}},
			{"attn_post_proj", "gemm", [6]int64{tokens, part(heads) * head, width}},
			{"post_attention_layernorm", norm, [6]int64{tokens, width}},
			{"mlp_up_proj", "gemm", [6]int64{tokens, width, up}},
			{"mlp_act", act, [6]int64{tokens, part(inner)}},
			{"mlp_down_proj", "gemm", [6]int64{tokens, part(inner), width}},
			{"add", "add", [6]int64{tokens * width}},
		} {
			column := "time_stats." + o.column + ".median"
			if s := c.text(column); s == "" || s == "0" || s == "0.0" || c.err != nil {
				continue // not measured
			}
			r := c.row(chip, "layer/"+o.column)
			r.Case = Case{Kind: o.kind, Format: "f16", Dims: o.dims}
			r.Class = r.Case.Class()
			r.Seconds = c.number(column) * 1e-3
			r.Grain = 1e-6
			if o.column == "add" && parallel {
				r.Calls = 2 // attention and feed-forward are added to what came in, one after the other
			}
			if c.err == nil {
				add(r)
			}
		}
	})
}

func (c *cells) vocabulary() int64 {
	if c.text("vocab_size") == "" {
		return 32000
	}
	return c.size("vocab_size")
}

// readNetwork reads times of transfers between cards.
func readNetwork(t *table, add func(Row)) error {
	chip := t.chipOf()
	return t.each(func(c *cells) {
		op := strings.ReplaceAll(c.text("collective"), "_", "-")
		column := "time_stats." + c.text("collective") + ".median"
		w := &Wire{Op: op, Bytes: c.size("size"), Cards: int(c.size("num_workers")), PerNode: int(c.size("devices_per_node"))}
		for word, n := range nodes {
			if strings.Contains(t.path, word) {
				w.Peers, w.Rest = n.joined, n.rest
			}
		}
		r := c.row(chip, "network/"+op)
		r.Class, r.Wire, r.Seconds, r.Grain = Collective, w, c.number(column)*1e-3, 1e-6
		switch {
		case op != "all-reduce" && op != "send-recv":
			r.Skip = "not a transfer that is known"
		case w.Peers > 0 && w.PerNode < w.Cards:
			r.Skip = "between nodes whose network the table does not name"
		}
		if c.err == nil {
			add(r)
		}
	})
}

// readMatmul reads products: m rows, n summed over, k columns, as the tables' origin orders them.
func readMatmul(t *table, add func(Row)) error {
	chip := t.chipOf()
	return t.each(func(c *cells) {
		r := c.row(chip, "matmul")
		r.Case = Case{Kind: "gemm", Format: "f16", Dims: [6]int64{c.size("m"), c.size("n"), c.size("k")}}
		r.Class, r.Seconds, r.Grain = GEMM, c.number("latency_ms")*1e-3, 1e-7
		r.Host = hostOf(chip, "matmul")
		if c.err == nil {
			add(r)
		}
	})
}

// readRowwise reads softmax and layer norm: m rows of n.
func readRowwise(t *table, add func(Row)) error {
	chip, what := t.chipOf(), t.base()
	kind := map[string]string{"softmax": "softmax", "layernorm": "layer_norm", "rmsnorm": "rms_norm"}[what]
	return t.each(func(c *cells) {
		r := c.row(chip, what)
		m, n := c.size("m"), c.size("n")
		r.Seconds = float64(m) * float64(n) / (c.number("gelements_per_s") * 1e9)
		if kind == "" {
			r.Skip = "the file's name begins with no operation that is known"
		} else {
			r.Case = Case{Kind: kind, Format: "f16", Dims: [6]int64{m, n}}
			r.Class = r.Case.Class()
			r.Host = hostOf(chip, what)
		}
		if c.err == nil {
			add(r)
		}
	})
}

// readElements reads operations on single elements.
func readElements(t *table, add func(Row)) error {
	chip, what := t.chipOf(), t.base()
	return t.each(func(c *cells) {
		r := c.row(chip, what)
		n := c.size("elements")
		r.Seconds = float64(n) / (c.number("gelements_per_s") * 1e9)
		r.Class = Elementwise
		if what != "gelu" {
			r.Skip = "the file's name begins with no operation that is known"
		} else {
			r.Case = Case{Kind: what, Format: "f16", Dims: [6]int64{1, n}}
			r.Host = hostOf(chip, what)
		}
		if c.err == nil {
			add(r)
		}
	})
}

// readAllReduce reads sums over cards.
func readAllReduce(t *table, add func(Row)) error {
	chip := t.chipOf()
	cards := 4
	for _, w := range strings.FieldsFunc(t.path, func(r rune) bool { return r == '_' || r == '.' || r == '/' }) {
		if _, n, ok := strings.Cut(strings.ToLower(w), "x"); ok && (n == "2" || n == "4" || n == "8") {
			cards = int(n[0] - '0')
		}
	}
	return t.each(func(c *cells) {
		r := c.row(chip, "all-reduce")
		r.Class, r.Seconds = Collective, c.number("latency_us")*1e-6
		r.Wire = &Wire{Op: "all-reduce", Bytes: c.size("bytes"), Cards: cards, PerNode: cards}
		if c.err == nil {
			add(r)
		}
	})
}

// readTransformer reads the operations of one layer of GPT-3 175B on four cards: batch 8, sequence 2048, width 12288, 96 heads.
func readTransformer(t *table, add func(Row)) error {
	const rows, width, heads, tp, seq, batch = 8 * 2048, 12288, 96, 4, 2048, 8
	chip := t.chipOf()
	table := map[string]Case{
		"q_k_v":         {"gemm", "f16", [6]int64{rows, width, 3 * width / tp}},
		"q_mul_k":       {"batched", "f16", [6]int64{batch * heads / tp, seq, width / heads, seq}},
		"a_mul_v":       {"batched", "f16", [6]int64{batch * heads / tp, seq, seq, width / heads}},
		"wo_proj":       {"gemm", "f16", [6]int64{rows, width / tp, width}},
		"w1_proj":       {"gemm", "f16", [6]int64{rows, width, 4 * width / tp}},
		"w2_proj":       {"gemm", "f16", [6]int64{rows, 4 * width / tp, width}},
		"softmax":       {"softmax", "f16", [6]int64{batch * heads / tp * seq, seq}},
		"layernorm_mha": {"layer_norm", "f16", [6]int64{rows, width}},
		"layernorm_ffn": {"layer_norm", "f16", [6]int64{rows, width}},
		"gelu":          {"gelu", "f16", [6]int64{1, rows * 4 * width / tp}},
	}
	return t.each(func(c *cells) {
		op := c.text("operator")
		r := c.row(chip, "transformer/"+op)
		r.Seconds = c.number("latency_s")
		if cs, ok := table[op]; ok {
			r.Case, r.Class = cs, cs.Class()
		} else if strings.HasPrefix(op, "allreduce") {
			r.Class, r.Wire = Collective, &Wire{Op: "all-reduce", Bytes: rows * width * 2, Cards: tp, PerNode: tp}
		} else {
			r.Skip = "no operation of the layer that is known"
		}
		if c.err == nil {
			add(r)
		}
	})
}

// readCases reads a user's own table: chip, kind, format, the kind's sizes in columns of their names, seconds.
func readCases(t *table, add func(Row)) error {
	return t.each(func(c *cells) {
		name := c.text("kind")
		k, ok := kinds[name]
		if !ok {
			c.fail("kind", "one of "+strings.Join(Kinds(), ", "))
			return
		}
		r := c.row(c.text("chip"), name)
		r.Case = Case{Kind: name, Format: c.text("format")}
		for i, d := range k.dims {
			r.Case.Dims[i] = c.size(string(d))
		}
		r.Class, r.Seconds = k.class, c.number("seconds")
		if c.err == nil {
			add(r)
		}
	})
}
