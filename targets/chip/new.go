package chip

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/targets/chips"
)

// New writes a chip file for a user to fill in: it extends another chip or family and states again, marked, all that a data sheet gives.
// It loads as it stands. The chip that it extends is found by open; the error is a diagnostic.
func New(name, from string, open Opener) ([]byte, error) {
	if !newName(name) {
		return nil, diag.Errorf(codeArgument, diag.Range{}, "%q is no name for a chip", name).
			Expect("letters, digits, '-', '_' and '.', beginning with a letter or digit", strconv.Quote(name))
	}
	family := false
	for _, f := range chips.Families() {
		family = family || f == from
	}
	seed := fmt.Sprintf("chip %q {\n  extends %q\n", name, from)
	if family {
		seed += familySeed(from)
	}
	seed += "}\n"
	c, l := Read(diag.NewSource(name+".chip", []byte(seed)), open)
	if err := l.Err(); err != nil {
		for _, d := range l.Items() { // the user named from, not the text here
			if d.Code == codeExtends {
				d.Range = diag.Range{}
			}
		}
		return nil, l.Err()
	}
	w := &newWriter{c: c, from: from, family: family}
	text := w.write(name)
	// Doubts that the other chip's file answers come again where its numbers do.
	_, l = Read(diag.NewSource(name+".chip", []byte(text)), open)
	answers := ""
	for _, a := range c.Accepts {
		for _, d := range l.Items() {
			if d.Code == a.Code {
				answers += fmt.Sprintf("accept %s %q\n", a.Code, "as "+from+": "+a.Reason)
				break
			}
		}
	}
	text = strings.Replace(text, "// lacks f8", answers+"// lacks f8", 1)
	text = strings.Replace(text, "\nlacks ", "\n"+answers+"lacks ", 1)
	return Format(diag.NewSource(name+".chip", []byte(text)))
}

func newName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && (i == 0 || r != '-' && r != '_' && r != '.') {
			return false
		}
	}
	return true
}

// familySeed has the numbers that a family leaves to its chips, so that the file loads before they are filled in.
func familySeed(from string) string {
	gm, matrix, bandwidth := "gm", "tensor", 800
	tile := "16x16x16"
	switch from {
	case "family-decoupled":
		matrix = "matrix"
	case "family-dataflow":
		matrix = "array"
	case "family-simd":
		gm, matrix, tile, bandwidth = "dram", "", "", 200
	}
	s := `
  vendor "unknown"
  year   2025 assumed "x"
  clock  1 GHz assumed "x"
  cores  32 assumed "x"
  memory ` + gm + ` {
    size      32 GB    assumed "x"
    bandwidth ` + strconv.Itoa(bandwidth) + ` GB/s assumed "x"
  }
`
	if matrix != "" {
		s += "  engine " + matrix + " {\n"
		for _, r := range []string{"f16, f16 -> f32 1024", "bf16, bf16 -> f32 1024", "i8, i8 -> i32 2048"} {
			s += "    rate " + r + " flop/cycle tile " + tile + " assumed \"x\"\n"
		}
		s += "  }\n"
	}
	return s
}

type newWriter struct {
	b      strings.Builder
	c      *Chip
	from   string
	family bool
}

func (w *newWriter) line(format string, args ...any) { fmt.Fprintf(&w.b, format+"\n", args...) }

// why is the source clause of a number that is still the other chip's.
func (w *newWriter) why() string {
	if w.family {
		return `assumed "not filled in yet"`
	}
	return fmt.Sprintf("assumed %q", "as "+w.from)
}

func (w *newWriter) number(key string, q Quantity, comment string) {
	if q.Stated() {
		w.line("%s %s %s // %s", key, plain(q), w.why(), comment)
	}
}

// plain is a number as it can be written into a file again.
func plain(q Quantity) string {
	if strings.Contains(q.Written, " x ") || strings.Contains(q.Written, " of ") { // multiplied or derived on reading
		switch q.Unit {
		case "B":
			return bytesText(q.Int())
		case "B/s":
			return fmt.Sprintf("%g GB/s", q.Value/1e9)
		case "element/cycle":
			return fmt.Sprintf("%g element/cycle", q.Value)
		}
		return fmt.Sprintf("%g", q.Value)
	}
	return q.Written
}

func (w *newWriter) write(name string) string {
	c := w.c
	g := c.Global()
	w.line("// %s: a description begun by apogee chip new.", name)
	w.line("// What stands here is what a data sheet gives; everything else is as in %s (apogee chip show %s --source).", w.from, w.from)
	w.line("// 1. Put the data sheet under sources. 2. Replace each number and its reason: 1.41 GHz source sheet \"page 3\".")
	w.line("// 3. Take away what does not apply. 4. apogee check %s.chip, then apogee chip check %s.chip.", name, name)
	w.line("// Peaks are held against flop/cycle x cores x clock: quote them last, and believe the complaint.")
	w.line("chip %q {", name)
	w.line("extends %q", w.from)
	w.line("doc %q", "What it is, and what its manuals call a core.")
	w.line("vendor %q // data sheet", map[bool]string{true: "unknown", false: c.Vendor}[w.family])
	w.line("variant %q", "which of several products of the name is meant")
	w.line("year %d %s // when it was first sold", c.Year, w.why())
	w.line("")
	w.line("// sources { sheet published \"title, version and page of the data sheet\" }")
	w.line("")
	w.number("clock", c.Clock, "data sheet: the clock at which the peaks are quoted")
	w.number("cores", c.Cores, "data sheet: what owns a matrix unit and a local memory, not lanes")
	w.number("power", c.Power, "data sheet")
	w.number("width", c.Width, "data sheet: lanes of a warp or wave")
	if c.Dies != nil {
		w.line("without dies // or state what joins them, see docs/chips.md")
	}
	w.line("")
	w.line("// The peaks of the data sheet, dense, as it prints them:")
	for _, f := range w.formats() {
		unit := "TFLOPS"
		if integer(f) {
			unit = "TOPS"
		}
		w.line("// peak %s %.4g %s source sheet", f, c.Peak(f)/1e12, unit)
	}
	if len(c.Lacks) > 0 && !w.family {
		w.line("lacks %s // formats that it does not have", strings.Join(c.Lacks, ", "))
	} else {
		w.line("// lacks f8e4m3fn, f8e5m2, hif8, tf32, hf32, i4")
	}
	w.line("")
	w.line("memory %s {", g.Name)
	w.number("size", g.Size, "data sheet: GB is 10^9 B, GiB 2^30 B")
	w.number("bandwidth", g.Rated, "data sheet: of the whole card, GB/s, not Gb/s")
	if g.CoreRate.Stated() {
		w.line("without core_rate")
	}
	w.line("}")
	for _, m := range c.Memories {
		if m == g {
			continue
		}
		w.line("memory %s {", m.Name)
		switch {
		case m.Is(RoleCache):
			w.number("size", m.Size, "data sheet")
			w.number("bandwidth", m.Bandwidth, "often only in a white paper: B/cycle x clock")
		default:
			w.number("size", m.Size, "data sheet or white paper: of one core, in KiB")
		}
		w.line("}")
	}
	w.line("")
	for _, e := range c.Engines {
		if e.Kind != Matrix || len(e.Matrix) == 0 {
			continue
		}
		w.line("engine %s { // flop/cycle of one core = peak / (cores x clock); a multiply-add counts two", e.Name)
		for _, r := range e.Matrix {
			w.line("rate %s, %s -> %s %s tile %dx%dx%d %s", r.A, r.B, r.Acc, r.FlopsPerCycle.Written, r.M, r.K, r.N, w.why())
		}
		w.line("}")
	}
	for _, e := range c.Engines {
		if r := e.Rate(format.F32, Basic); r != nil && e.Kind == Vector {
			w.line("engine %s {", e.Name)
			w.number("rate f32 basic", r.ElementsPerCycle, "lanes of one unit of a core; the other rates of a family follow it")
			w.line("}")
		}
	}
	w.line("")
	for _, k := range c.Links {
		w.line("link %s {", k.Name)
		w.line("bandwidth %s %s // data sheet: one_way or both_ways behind it", plain(k.Bandwidth), w.why())
		w.line("}")
	}
	w.line("}")
	return w.b.String()
}

// formats are those that the matrix engines multiply, the usual ones first.
func (w *newWriter) formats() []format.Format {
	seen := map[format.Format]bool{}
	var out []format.Format
	for _, e := range w.c.Engines {
		for _, r := range e.Matrix {
			if r.A == r.B && !seen[r.A] {
				seen[r.A] = true
				out = append(out, r.A)
			}
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Bits() > out[j].Bits() })
	return out
}
