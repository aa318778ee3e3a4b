package study

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"apogee/ir/diag"
)

// maxTable bounds a table that is read whole.
const maxTable = 64 << 20

// table is a file of rows under a header.
type table struct {
	path    string // for messages
	src     *diag.Source
	columns []string
	rows    [][]string
	lines   []int
}

// layout is one form of table: told by its header, whatever the file's name.
type layout struct {
	name string
	// needs are columns that only this layout has all of.
	needs []string
	read  func(t *table, add func(Row)) error
}

// layouts are all forms that are known, the more demanding first.
var layouts = []layout{
	{"facts", []string{"chip", "benchmark", "metric", "value", "unit", "conditions"}, readFacts},
	{"layer", []string{"n_embd", "n_expanded_embd", "num_tokens", "num_tensor_parallel_workers"}, readLayerTable},
	{"network", []string{"collective", "size", "num_workers", "devices_per_node"}, readNetwork},
	{"matmul", []string{"m", "n", "k", "latency_ms"}, readMatmul},
	{"rows", []string{"m", "n", "gelements_per_s"}, readRowwise},
	{"elements", []string{"elements", "gelements_per_s"}, readElements},
	{"all-reduce", []string{"bytes", "latency_us"}, readAllReduce},
	{"transformer", []string{"operator", "latency_s"}, readTransformer},
	{"cases", []string{"kind", "format", "seconds"}, readCases},
}

// Load reads all tables of measurements below a folder, or one table: files that end in .csv or .tsv and whose header is one of the
// known layouts. Files of other layouts are named in skipped; a folder without any table is an error, as is a table with a line that
// does not fit its header. Rows come in the order of the files' paths.
func Load(path string) (rows []Row, skipped []string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		var p *fs.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return nil, nil, fmt.Errorf("no measurements at %s: %w; expected a table of measured times, or a folder that holds some", path, err)
	}
	var files []string
	if info.IsDir() {
		root, err := filepath.EvalSymlinks(path) // a link is walked as what it points to
		if err != nil {
			return nil, nil, err
		}
		err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && p != root && (strings.HasPrefix(d.Name(), ".") || unmeasured[d.Name()]) {
				return filepath.SkipDir
			}
			if ext := strings.ToLower(filepath.Ext(p)); d.Type().IsRegular() && (ext == ".csv" || ext == ".tsv") {
				files = append(files, p)
			}
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
	} else {
		files = []string{path}
	}
	var all diag.List
	found := false
	for _, f := range files {
		t, err := readTable(f)
		if err != nil {
			return nil, nil, err
		}
		l := t.layout()
		if l == nil {
			skipped = append(skipped, f)
			if !info.IsDir() {
				return nil, nil, t.unknown()
			}
			continue
		}
		found = true
		if err := l.read(t, func(r Row) { rows = append(rows, r) }); err != nil {
			var d *diag.Diagnostic
			if !errors.As(err, &d) {
				return nil, nil, err
			}
			all.Add(d)
		}
	}
	if err := all.Err(); err != nil {
		return nil, nil, err
	}
	if !found {
		return nil, nil, fmt.Errorf("no measurements below %s: expected .csv or .tsv files with one of these headers: %s", path, headers())
	}
	return rows, skipped, nil
}

// unmeasured are folders beside the measurements that hold other things, some of them large.
var unmeasured = map[string]bool{
	"sealed": true, "hooks": true, "checkpoints": true, "models": true, "onnx": true, "tokenizers": true, "configs": true, "style": true,
}

func headers() string {
	var out []string
	for _, l := range layouts {
		out = append(out, strings.Join(l.needs, ","))
	}
	return strings.Join(out, "; ")
}

func readTable(path string) (*table, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxTable+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxTable {
		return nil, fmt.Errorf("%s: more than the %d bytes that a table may have", path, maxTable)
	}
	return parseTable(path, text)
}

// parseTable reads a table of text. Columns are told apart by tabs if the header has one, by commas otherwise.
func parseTable(path string, text []byte) (*table, error) {
	t := &table{path: path, src: diag.NewSource(path, text)}
	head, _, _ := bytes.Cut(text, []byte("\n"))
	if bytes.IndexByte(head, '\t') >= 0 {
		s := bufio.NewScanner(bytes.NewReader(text))
		s.Buffer(nil, maxTable)
		for line := 1; s.Scan(); line++ {
			if err := t.add(strings.Split(strings.TrimSuffix(s.Text(), "\r"), "\t"), line); err != nil {
				return nil, err
			}
		}
		return t, s.Err()
	}
	r := csv.NewReader(bytes.NewReader(text))
	r.FieldsPerRecord, r.ReuseRecord, r.Comment = -1, false, '#'
	for {
		rec, err := r.Read()
		if err == io.EOF {
			return t, nil
		}
		if err != nil {
			var p *csv.ParseError
			if errors.As(err, &p) {
				return nil, t.at(p.Line, "%v", p.Err)
			}
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		line, _ := r.FieldPos(0)
		if err := t.add(rec, line); err != nil {
			return nil, err
		}
	}
}

func (t *table) add(rec []string, line int) error {
	for i := range rec {
		rec[i] = strings.TrimSpace(rec[i])
	}
	if len(rec) == 1 && rec[0] == "" {
		return nil
	}
	if t.columns == nil {
		t.columns = rec
		t.columns[0] = strings.TrimPrefix(t.columns[0], "\ufeff")
		return nil
	}
	if len(rec) != len(t.columns) {
		return t.at(line, "the line has %d columns, the header %d", len(rec), len(t.columns))
	}
	t.rows = append(t.rows, rec)
	t.lines = append(t.lines, line)
	return nil
}

func (t *table) layout() *layout {
	for i := range layouts {
		ok := true
		for _, c := range layouts[i].needs {
			ok = ok && slices.Contains(t.columns, c)
		}
		if ok {
			return &layouts[i]
		}
	}
	return nil
}

func (t *table) unknown() error {
	d := t.at(1, "the header is none that is known")
	d.Expected, d.Found = "the columns of one of: "+headers(), strings.Join(t.columns, ",")
	return d
}

// at makes an error about a line.
func (t *table) at(line int, format string, args ...any) *diag.Diagnostic {
	start, end := 0, len(t.src.Text)
	for i, n := 0, 1; i < len(t.src.Text); i++ {
		if t.src.Text[i] != '\n' {
			continue
		}
		if n == line {
			end = i
			break
		}
		n++
		start = i + 1
	}
	return diag.Errorf("", t.src.Range(start, max(start, end)), format, args...)
}

// cells reads the cells of one line; the first that is wrong is kept.
type cells struct {
	t   *table
	i   int
	err error
}

func (c *cells) text(column string) string {
	if n := slices.Index(c.t.columns, column); n >= 0 {
		return c.t.rows[c.i][n]
	}
	return ""
}

func (c *cells) fail(column, want string) {
	if c.err == nil {
		d := c.t.at(c.t.lines[c.i], "column %s has no value that can be", column)
		d.Expected, d.Found = want, strconv.Quote(c.text(column))
		c.err = d
	}
}

// number reads a positive number, at most 1e15.
func (c *cells) number(column string) float64 {
	v, err := strconv.ParseFloat(c.text(column), 64)
	if err != nil || !(v > 0) || v > 1e15 || math.IsInf(v, 0) {
		c.fail(column, "a positive number")
		return 1
	}
	return v
}

// maxSize bounds a dimension of a measured kernel.
const maxSize = 1 << 34

// size reads a whole number from 1 to maxSize; some tables write them with a decimal point.
func (c *cells) size(column string) int64 {
	v := c.number(column)
	if v != math.Trunc(v) || v > maxSize {
		c.fail(column, "a whole number from 1 to 2^34")
		return 1
	}
	return int64(v)
}

// each calls f for every line and gives the first error.
func (t *table) each(f func(c *cells)) error {
	c := &cells{t: t}
	for c.i = range t.rows {
		if f(c); c.err != nil {
			return c.err
		}
	}
	return nil
}

func (c *cells) row(chip, benchmark string) Row {
	return Row{File: c.t.path, Line: c.t.lines[c.i], Chip: chip, Benchmark: benchmark}
}

// chipOf finds which chip a table is about from the words of its path.
func (t *table) chipOf() string {
	parts := strings.FieldsFunc(filepath.ToSlash(t.path), func(r rune) bool { return r == '/' || r == '_' || r == '.' })
	for i := len(parts) - 1; i >= 0; i-- {
		if n := chipNames[strings.ToLower(parts[i])]; n != "" {
			return n
		}
	}
	base := filepath.Base(t.path)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// base is the first word of a file's name.
func (t *table) base() string {
	b := filepath.Base(t.path)
	b, _, _ = strings.Cut(b, "_")
	return strings.TrimSuffix(b, filepath.Ext(b))
}
