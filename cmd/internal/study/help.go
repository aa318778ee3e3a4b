package study

import (
	"fmt"
	"strings"
)

// KindsHelp lists the kinds of kernels that a table can name, with the columns of their sizes, a line each.
func KindsHelp() string {
	var b strings.Builder
	for _, k := range Kinds() {
		fmt.Fprintf(&b, "  %-11s %s\n", k, strings.Join(strings.Split(kinds[k].dims, ""), ","))
	}
	return strings.TrimRight(b.String(), "\n")
}
