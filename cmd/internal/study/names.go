package study

import (
	_ "embed"
	"strings"
)

//go:embed names.tsv
var namesText string

// chipNames has, for the words by which tables and their folders call a chip, the name of its description.
var chipNames = func() map[string]string {
	m := map[string]string{}
	for _, line := range strings.Split(namesText, "\n") {
		if word, name, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok && !strings.HasPrefix(word, "#") {
			m[word] = name
		}
	}
	return m
}()
