// Package chips holds the chip files that ship with the program, one file a chip, and hands out their text.
//
// The package must not know what a chip file means.
package chips

import (
	"embed"
	"io/fs"
	"strings"
)

//go:embed *.chip
var files embed.FS

// List gives the names of the shipped chips, sorted.
func List() []string {
	var out []string
	entries, _ := fs.ReadDir(files, ".") // an embedded directory can always be read
	for _, e := range entries {
		out = append(out, strings.TrimSuffix(e.Name(), ".chip"))
	}
	return out
}

// Text gives the file of a shipped chip.
func Text(name string) ([]byte, bool) {
	b, err := files.ReadFile(name + ".chip")
	return b, err == nil
}
