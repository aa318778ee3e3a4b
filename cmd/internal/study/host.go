package study

import (
	_ "embed"
	"strconv"
	"strings"
)

//go:embed hosts.tsv
var hostsText string

type hostKey struct{ chip, benchmark string }

// hosts is what the programs around measured kernels take, by chip and table.
var hosts = func() map[hostKey]Host {
	m := map[hostKey]Host{}
	for _, line := range strings.Split(hostsText, "\n") {
		f := strings.Split(line, "\t")
		if len(f) != 5 || strings.HasPrefix(line, "#") {
			continue
		}
		total, err1 := strconv.ParseFloat(f[2], 64)
		before, err2 := strconv.ParseFloat(f[3], 64)
		if err1 != nil || err2 != nil {
			panic("hosts.tsv: " + line) // embedded, and tested
		}
		m[hostKey{f[0], f[1]}] = Host{Before: before * 1e-6, Total: total * 1e-6}
	}
	return m
}()

// hostOf says how a benchmark program takes the time of a kernel on a chip; see [Host].
func hostOf(chip, benchmark string) Host { return hosts[hostKey{chip, benchmark}] }
