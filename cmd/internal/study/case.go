package study

import (
	"context"
	_ "embed"
	"fmt"
	"sort"
	"strings"
	"sync"

	"apogee/cmd/internal/driver"
	"apogee/frontend/mg"
	"apogee/frontend/models"
	"apogee/ir/diag"
	"apogee/targets/chip"
	"apogee/targets/plan"
)

// Class is what a measured row is about; errors are reported for each.
type Class string

// The classes, in the order of reports.
const (
	GEMM        Class = "gemm"
	Grouped     Class = "grouped-gemm"
	Attention   Class = "attention"
	Norm        Class = "norm"
	Elementwise Class = "element-wise"
	Softmax     Class = "softmax"
	Memory      Class = "memory"
	Collective  Class = "collective"
)

// Classes lists all.
var Classes = []Class{GEMM, Grouped, Attention, Norm, Elementwise, Softmax, Memory, Collective}

// Case is one kernel of given sizes, as a benchmark ran it: what is compiled and timed for a row. Rows with equal cases share one
// prediction.
type Case struct {
	// Kind is one of [Kinds].
	Kind string
	// Format is of the operands: f16, bf16, tf32, f32, f64, i8, f8e4m3fn.
	Format string
	// Dims are the sizes, in the order of the kind's symbols.
	Dims [6]int64
}

// kind says which entry of kernels.mg a case is and what its sizes are called there.
type kind struct {
	class Class
	dims  string // one letter each
	// entries, where the entry is another for a format.
	entries map[string]string
	// ir, instead of an entry: the text of a module, for what kernels.mg cannot say with free symbols.
	ir func(format string, dims [6]int64) string
	// extra is how many launches a library's call makes beside those of the plan.
	extra int
}

// kinds is every kind of kernel that a table can name. A call for attention over a cache plans how to divide the work, in kernels of
// its own, and adds up what it divided, in another.
var kinds = map[string]kind{
	"gemm":       {GEMM, "TKN", map[string]string{"i8": "gemm_i8", "f8e4m3fn": "gemm_f8"}, nil, 0},
	"batched":    {GEMM, "BMKN", nil, nil, 0},
	"grouped":    {Grouped, "ETKN", map[string]string{"f8e4m3fn": "grouped_f8"}, nil, 0},
	"decode":     {Attention, "BSGPD", nil, decodeText, 4},
	"prefill":    {Attention, "BSGPDE", nil, prefillText, 0},
	"mla_decode": {Attention, "BSHCR", nil, latentText, 2},
	"scores":     {Attention, "TKN", map[string]string{"f8e4m3fn": "gemm_f8", "": "gemm"}, nil, 0},
	"rms_norm":   {Norm, "TD", nil, nil, 0},
	"layer_norm": {Norm, "TD", nil, nil, 0},
	"softmax":    {Softmax, "TD", nil, nil, 0},
	"gelu":       {Elementwise, "TN", nil, nil, 0},
	"silu_mul":   {Elementwise, "TF", nil, nil, 0},
	"rope":       {Elementwise, "THR", nil, nil, 0},
	"add":        {Elementwise, "N", map[string]string{"": "add_arrays"}, nil, 0},
	"embedding":  {Memory, "TDV", nil, nil, 0},
	"copy":       {Memory, "N", map[string]string{"": "copy_array"}, nil, 0},
	"triad":      {Memory, "N", nil, nil, 0},
	"read":       {Memory, "BN", map[string]string{"": "read_blocks"}, nil, 0},
}

// Kinds lists the kinds of kernels that a table can name, sorted.
func Kinds() []string {
	var out []string
	for k := range kinds {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// newCase makes a case of a kind from its sizes.
func newCase(kind, format string, dims ...int64) Case {
	c := Case{Kind: kind, Format: format}
	copy(c.Dims[:], dims)
	return c
}

// String names a case for people, such as "gemm f16 T=64 K=4096 N=12288".
func (c Case) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", c.Kind, c.Format)
	for i, n := range kinds[c.Kind].dims {
		fmt.Fprintf(&b, " %c=%d", n, c.Dims[i])
	}
	return b.String()
}

// Class gives the class of a case's kind.
func (c Case) Class() Class { return kinds[c.Kind].class }

//go:embed kernels.mg
var kernelsText string

var programs sync.Map // by format

// program gives the kernels for a format.
func program(format string) (*mg.Program, error) {
	if p, ok := programs.Load(format); ok {
		return p.(*mg.Program), nil
	}
	p, l := mg.Check(diag.NewSource("kernels.mg", []byte(strings.ReplaceAll(kernelsText, "FMT", format))), models.Import)
	if err := l.Err(); err != nil {
		return nil, err
	}
	programs.Store(format, p)
	return p, nil
}

// precisions is what --precision a case is compiled at where the chip has none of its format's name.
var precisions = map[string]string{"f8e4m3fn": "fp8", "i8": "w8a8", "tf32": "f32", "f64": "f32"}

// Compile makes the plan of a case for a chip.
func (c Case) Compile(ctx context.Context, target *chip.Chip) (*plan.Plan, error) {
	k, ok := kinds[c.Kind]
	if !ok {
		return nil, fmt.Errorf("no kind of kernel %q", c.Kind)
	}
	entry := c.Kind
	if e := k.entries[c.Format]; e != "" {
		entry = e
	} else if e := k.entries[""]; e != "" {
		entry = e
	}
	bind := map[string]int64{}
	for i, n := range k.dims {
		bind[string(n)] = c.Dims[i]
	}
	precision := c.Format
	if _, ok := target.Precision(c.Format); !ok && precisions[c.Format] != "" {
		precision = precisions[c.Format]
	}
	m := &driver.Model{Path: c.String(), Warnings: &diag.List{}}
	if k.ir != nil {
		m.IR, entry = []byte(k.ir(c.Format, c.Dims)), "run"
	} else {
		var err error
		if m.Program, err = program(c.Format); err != nil {
			return nil, err
		}
	}
	b, err := m.Compile(ctx, driver.Request{Chip: target, Entry: entry, Bind: bind, Precision: precision})
	if err != nil {
		return nil, err
	}
	return b.Plan, nil
}

// decodeText is one query a sequence over S keys, G groups of P heads.
func decodeText(format string, d [6]int64) string {
	b, s, g, p, w := d[0], d[1], d[2], d[3], d[4]
	return fmt.Sprintf(`module @study {
  func entry @run(%%q: %[6]s[%[1]d,1,%[3]d,%[4]d], %%k: %[6]s[%[1]d,%[2]d,%[5]d,%[4]d], %%v: %[6]s[%[1]d,%[2]d,%[5]d,%[4]d]) -> (y) {
    %%y = attention(%%q, %%k, %%v) {scale=0.0884} : %[6]s[%[1]d,1,%[3]d,%[4]d]
    return(%%y)
  }
}
`, b, s, g*p, w, g, format)
}

// prefillText is S queries over as many keys, each seeing those before it, G groups of P heads; keys of D channels, values of E.
func prefillText(format string, d [6]int64) string {
	b, s, g, p, w, e := d[0], d[1], d[2], d[3], d[4], d[5]
	return fmt.Sprintf(`module @study {
  func entry @run(%%q: %[7]s[%[1]d,%[2]d,%[3]d,%[4]d], %%k: %[7]s[%[1]d,%[2]d,%[5]d,%[4]d], %%v: %[7]s[%[1]d,%[2]d,%[5]d,%[6]d]) -> (y) {
    %%y = attention(%%q, %%k, %%v) {scale=0.0884, causal=true} : %[7]s[%[1]d,%[2]d,%[3]d,%[6]d]
    return(%%y)
  }
}
`, b, s, g*p, w, g, e, format)
}

// latentText is multi-head latent attention over a compressed cache: H heads share keys of C + R channels, of which C are the values too.
func latentText(format string, d [6]int64) string {
	b, s, h, c, r := d[0], d[1], d[2], d[3], d[4]
	return fmt.Sprintf(`module @study {
  func entry @run(%%q: %[6]s[%[1]d,1,%[3]d,%[4]d], %%qr: %[6]s[%[1]d,1,%[3]d,%[5]d], %%k: %[6]s[%[1]d,%[2]d,1,%[4]d], %%r: %[6]s[%[1]d,%[2]d,1,%[5]d]) -> (y) {
    %%y = attention(%%q, %%k, %%k, %%qr, %%r) {scale=0.0722, with=["q2","k2"]} : %[6]s[%[1]d,1,%[3]d,%[4]d]
    return(%%y)
  }
}
`, b, s, h, c, r, format)
}
