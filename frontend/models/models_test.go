package models

import "testing"

func TestShippedFilesLoad(t *testing.T) {
	for _, name := range Names() {
		p, err := Load(name)
		if err != nil {
			t.Error(err)
			continue
		}
		h, _ := Header(name)
		if p.Name != name || len(h.Architectures) == 0 || len(p.Entries()) < 2 {
			t.Errorf("%s: a model named %s for %v with entries %v", name, p.Name, h.Architectures, p.Entries())
		}
		if got, ok := Pick(h.Architectures, ""); !ok || got != name {
			t.Errorf("%v picks %q", h.Architectures, got)
		}
	}
	if name, ok := Pick([]string{"NoSuchForCausalLM"}, "kimi_k2"); !ok || name != "deepseek_v3" {
		t.Errorf("kimi_k2 picks %q", name)
	}
	if name, ok := Pick([]string{"NoSuchForCausalLM"}, "none"); ok {
		t.Errorf("an unknown architecture picks %q", name)
	}
}
