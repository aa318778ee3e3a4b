// Package chips holds the chip files that ship with the program, one file a chip, and hands out their text.
//
// The package must not know what a chip file means.
package chips

import (
	"embed"
	"io/fs"
	"sort"
	"strings"
)

//go:embed *.chip
var files embed.FS

// families holds what the chips of one family of execution have in common, for chips to extend; they are no chips.
//
//go:embed family/*.chip
var families embed.FS

// List gives the names of the shipped chips, sorted.
func List() []string {
	var out []string
	entries, _ := fs.ReadDir(files, ".") // an embedded directory can always be read
	for _, e := range entries {
		out = append(out, strings.TrimSuffix(e.Name(), ".chip"))
	}
	sort.Strings(out) // "a" before "a-b", which the files' names are not
	return out
}

// Families gives the names of the shipped family files, sorted: what a chip can extend that is no chip itself.
func Families() []string {
	var out []string
	entries, _ := fs.ReadDir(families, "family") // an embedded directory can always be read
	for _, e := range entries {
		out = append(out, strings.TrimSuffix(e.Name(), ".chip"))
	}
	return out
}

// systems holds machines of several cards, one file a system.
//
//go:embed system/*.system
var systems embed.FS

// Systems gives the names of the shipped systems, sorted.
func Systems() []string {
	var out []string
	entries, _ := fs.ReadDir(systems, "system") // an embedded directory can always be read
	for _, e := range entries {
		out = append(out, strings.TrimSuffix(e.Name(), ".system"))
	}
	sort.Strings(out)
	return out
}

// SystemText gives the file of a shipped system.
func SystemText(name string) ([]byte, bool) {
	b, err := systems.ReadFile("system/" + name + ".system")
	return b, err == nil
}

// Text gives the file of a shipped chip or family.
func Text(name string) ([]byte, bool) {
	b, err := files.ReadFile(name + ".chip")
	if err != nil {
		b, err = families.ReadFile("family/" + name + ".chip")
	}
	return b, err == nil
}
