package hf

import (
	"encoding/json"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"apogee/frontend/mg"
	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/tensor"
)

// scaleSuffix ends the name of the tensor with the scales of a matrix of codes.
const scaleSuffix = "_scale_inv"

// inferQuantisation gives the config the quantization_config that it lacks where the weights are FP8 codes with scales for blocks: tools that
// convert checkpoints leave it out. The size of a block follows from the shapes; matrices that are no codes are modules_to_not_convert. Shapes
// that no one size of block explains are an error.
func (c *Checkpoint) inferQuantisation(diags *diag.List) {
	obj, ok := c.Config.Value.(*mg.JSONObject)
	if j := c.Config.Get("quantization_config"); !ok || j != nil && j.Value != nil {
		return
	}
	var rows, cols blockRange
	var plain []string
	coded := ""
	for _, name := range c.Weights.Names() {
		w, _ := c.Weights.file.Lookup(name)
		if len(w.Shape) != 2 || !strings.HasSuffix(name, ".weight") {
			continue
		}
		s, scaled := c.Weights.file.Lookup(name + scaleSuffix)
		if w.Format != format.F8E4M3FN || !scaled || len(s.Shape) != 2 {
			plain = append(plain, strings.TrimSuffix(name, ".weight"))
			continue
		}
		coded = name
		if !rows.narrow(w.Shape[0], s.Shape[0]) || !cols.narrow(w.Shape[1], s.Shape[1]) {
			d := diags.Errorf(CodeConfig, c.Config.Range, "quantization_config is missing, and the scales of %q fit no block that those of the others fit", name)
			d.Expect("a scale for each block of one size", "["+tensor.Dims(s.Shape)+"] scales for ["+tensor.Dims(w.Shape)+"]").
				Helpf("state quantization_config with weight_block_size in config.json")
			return
		}
	}
	if coded == "" {
		return
	}
	value := func(v any) *mg.JSON { return &mg.JSON{Range: c.Config.Range, Value: v} }
	list := func(n int, at func(i int) any) *mg.JSON {
		out := make([]*mg.JSON, n)
		for i := range out {
			out[i] = value(at(i))
		}
		return value(out)
	}
	block := [2]int64{rows.size(), cols.size()}
	q := &mg.JSONObject{}
	set := func(o *mg.JSONObject, key string, v *mg.JSON) {
		o.Keys, o.Ranges, o.Values = append(o.Keys, key), append(o.Ranges, c.Config.Range), append(o.Values, v)
	}
	set(q, "quant_method", value("fp8"))
	set(q, "weight_block_size", list(2, func(i int) any { return json.Number(strconv.FormatInt(block[i], 10)) }))
	set(q, "modules_to_not_convert", list(len(plain), func(i int) any { return plain[i] }))
	if i := slices.Index(obj.Keys, "quantization_config"); i >= 0 {
		obj.Values[i] = value(q)
		return
	}
	set(obj, "quantization_config", value(q))
}

// blockRange are the sizes of a block, along one axis, that explain all shapes seen so far; from 0 is any.
type blockRange struct{ from, to int64 }

// narrow takes in an axis of n elements with k scales: ceil(n/size) is k. It is false when no size is left.
func (b *blockRange) narrow(n, k int64) bool {
	if n < 1 || k < 1 || k > n {
		return false
	}
	if b.from == 0 {
		b.from, b.to = 1, 1<<62
	}
	b.from = max(b.from, (n+k-1)/k)
	if k > 1 {
		b.to = min(b.to, (n-1)/(k-1)) // the largest size with more than k-1 blocks
	}
	return b.from <= b.to
}

// size picks one: DeepSeek's 128 if it fits, else the least power of two, else the least.
func (b *blockRange) size() int64 {
	if b.from <= 128 && 128 <= b.to {
		return 128
	}
	if p := int64(1) << bits.Len64(uint64(b.from-1)); p <= b.to {
		return p
	}
	return b.from
}
