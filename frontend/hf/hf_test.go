package hf

import "testing"

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"model.layers.61.*", "model.layers.61.mlp.gate.weight", true}, {"model.layers.6.*", "model.layers.61.x", false},
		{"*.rotary_emb.inv_freq", "model.layers.0.self_attn.rotary_emb.inv_freq", true}, {"*.inv_freq", "inv_freq", false},
		{"lm_head.weight", "lm_head.weight", true}, {"lm_head.weight", "lm_head.weight.x", false}, {"a*b*c", "a-b-c", true},
		{"a*b*c", "a-c-b", false}, {"*", "", true}, {"a*a", "a", false},
	} {
		if got := matches(c.pattern, c.name); got != c.want {
			t.Errorf("matches(%q, %q) = %v", c.pattern, c.name, got)
		}
	}
}
