package study

import (
	"context"
	"math"
	"runtime"
	"sort"
	"strings"
	"sync"

	"apogee/ir/format"
	"apogee/targets/chip"
)

// Options steer a study. The zero value takes up to [DefaultRows] rows of each benchmark of each table.
type Options struct {
	// Rows is how many rows are taken of each benchmark of each table; 0 means DefaultRows, below 0 all.
	Rows int
	// Chips takes rows of these chips alone, by the names of their descriptions; nil takes all.
	Chips []string
	// Step, if not nil, is told how many of so many rows are done.
	Step func(done, of int)
}

// DefaultRows keeps a study of the tables that were published below a minute.
const DefaultRows = 12

// Entry is a row with its predictions.
type Entry struct {
	Row    *Row
	Sheet  Prediction
	Fitted Prediction
}

// Error is the relative error of a prediction.
func (e *Entry) Error(p Prediction) float64 { return p.Seconds/e.Row.Seconds - 1 }

// Within says whether the measured time lies in a prediction's range.
func (e *Entry) Within(p Prediction) bool { return e.Row.Seconds >= p.Low && e.Row.Seconds <= p.High }

// Summary is the error over the rows of one chip and class, or over all.
type Summary struct {
	Chip  string `json:"chip"`
	Class Class  `json:"class"`
	// Sheet is without what was measured on the chip, Fitted with the derates of its file.
	Sheet  Errors `json:"sheet"`
	Fitted Errors `json:"fitted"`
	// Within and SheetWithin are the parts of rows whose measured time lies in the range of the prediction.
	Within      float64 `json:"within_range"`
	SheetWithin float64 `json:"sheet_within_range"`
}

// Report is a study's result.
type Report struct {
	// Rows were read, Sampled taken, Timed predicted.
	Rows    int `json:"rows"`
	Sampled int `json:"sampled"`
	Timed   int `json:"timed"`
	// Aim is over rows of gemm, grouped-gemm, attention, norm, element-wise and memory; Total over all.
	Aim     Summary   `json:"aim"`
	Total   Summary   `json:"total"`
	Classes []Summary `json:"classes"`
	Groups  []Summary `json:"groups"`
	// Skipped are the reasons for which rows were not predicted, most frequent first.
	Skipped []Skipped `json:"skipped"`
	// Entries are all rows that were predicted.
	Entries []Entry `json:"-"`
}

// Skipped is a reason for which rows were not predicted.
type Skipped struct {
	Chip string `json:"chip"`
	Why  string `json:"why"`
	Rows int    `json:"rows"`
}

// aims are the classes that the aim is about.
var aims = map[Class]bool{GEMM: true, Grouped: true, Attention: true, Norm: true, Elementwise: true, Memory: true}

// Run predicts rows twice: from the data sheet, and with the derates of the chip's file. Equal cases are timed once. Chips that have no
// description, and rows that are not of a kernel, are skipped with their reason.
func Run(ctx context.Context, rows []Row, o Options) (*Report, error) {
	n := o.Rows
	if n == 0 {
		n = DefaultRows
	}
	if o.Chips != nil {
		want := map[string]bool{}
		for _, c := range o.Chips {
			want[c] = true
		}
		var kept []Row
		for _, r := range rows {
			if want[r.Chip] {
				kept = append(kept, r)
			}
		}
		rows = kept
	}
	r := &Report{Rows: len(rows)}
	rows = append([]Row(nil), Sample(rows, n)...)
	r.Sampled = len(rows)

	// Rows by case, in order of first appearance.
	type job struct {
		rows []int
	}
	var jobs []*job
	index := map[string]*job{}
	skipped := map[Skipped]int{}
	set := &chipSet{}
	for i := range rows {
		row := &rows[i]
		if row.Skip != "" {
			skipped[Skipped{Chip: row.Chip, Why: row.Skip}]++
			continue
		}
		if l := set.get(row.Chip); l.err != nil {
			skipped[Skipped{Chip: row.Chip, Why: "no description of the chip"}]++
			continue
		}
		perDevice(row, set.get(row.Chip).shipped)
		key := row.Chip + " " + row.What()
		j := index[key]
		if j == nil {
			j = &job{}
			index[key] = j
			jobs = append(jobs, j)
		}
		j.rows = append(j.rows, i)
	}
	sheet, fitted := make([]Prediction, len(rows)), make([]Prediction, len(rows))
	failed := make([]error, len(rows))
	var mu sync.Mutex
	var wg sync.WaitGroup
	next, done := 0, 0
	for range min(runtime.GOMAXPROCS(0), 8) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for ctx.Err() == nil {
				mu.Lock()
				if next == len(jobs) {
					mu.Unlock()
					return
				}
				j := jobs[next]
				next++
				mu.Unlock()
				row := &rows[j.rows[0]]
				l := set.get(row.Chip)
				t := prepare(ctx, row, l.sheet)
				a, err := t.run(ctx, l.sheet)
				var b Prediction
				if err == nil {
					t = prepare(ctx, row, l.shipped)
					b, err = t.run(ctx, l.shipped)
				}
				for _, i := range j.rows {
					sheet[i], fitted[i], failed[i] = a.add(&rows[i]), b.add(&rows[i]), err
				}
				mu.Lock()
				done++
				if o.Step != nil && done%16 == 0 {
					o.Step(done, len(jobs))
				}
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, j := range jobs {
		for _, i := range j.rows {
			if failed[i] != nil {
				skipped[Skipped{Chip: rows[i].Chip, Why: rows[i].Case.Kind + " " + rows[i].Case.Format + ": " + firstLine(failed[i])}]++
			}
		}
	}
	for i := range rows {
		if sheet[i].Seconds > 0 && failed[i] == nil {
			r.Entries = append(r.Entries, Entry{&rows[i], sheet[i], fitted[i]})
		}
	}
	r.Timed = len(r.Entries)
	for s, n := range skipped {
		s.Rows = n
		r.Skipped = append(r.Skipped, s)
	}
	sort.Slice(r.Skipped, func(a, b int) bool {
		x, y := r.Skipped[a], r.Skipped[b]
		if x.Rows != y.Rows {
			return x.Rows > y.Rows
		}
		return x.Chip+x.Why < y.Chip+y.Why
	})
	r.sum()
	return r, nil
}

// perDevice turns a figure of a card of several devices into one of the device that the file describes. Pages do not always say which
// they mean; a product beyond the device's peak cannot be the device's.
func perDevice(r *Row, c *chip.Chip) {
	f, ok := format.Parse(r.Case.Format)
	if !ok || r.Case.Kind != "gemm" || c.Devices < 2 {
		return
	}
	d := r.Case.Dims
	if peak := c.Peak(f); peak > 0 && 2*float64(d[0])*float64(d[1])*float64(d[2])/r.Seconds > 1.05*peak {
		r.Seconds *= float64(c.Devices)
	}
}

// firstLine is what an error says before its notes.
func firstLine(err error) string {
	s, _, _ := strings.Cut(err.Error(), "\n")
	return s
}

// sum fills in the summaries.
func (r *Report) sum() {
	pick := func(chip string, class Class, take func(*Entry) bool) Summary {
		s := Summary{Chip: chip, Class: class}
		var a, b []float64
		in, sheetIn := 0, 0
		for i := range r.Entries {
			e := &r.Entries[i]
			if !take(e) {
				continue
			}
			a, b = append(a, e.Error(e.Sheet)), append(b, e.Error(e.Fitted))
			if e.Within(e.Fitted) {
				in++
			}
			if e.Within(e.Sheet) {
				sheetIn++
			}
		}
		s.Sheet, s.Fitted = errorsOf(a), errorsOf(b)
		if len(a) > 0 {
			s.Within, s.SheetWithin = float64(in)/float64(len(a)), float64(sheetIn)/float64(len(a))
		}
		return s
	}
	r.Aim = pick("", "", func(e *Entry) bool { return aims[e.Row.Class] })
	r.Total = pick("", "", func(e *Entry) bool { return true })
	chips := map[string]bool{}
	for i := range r.Entries {
		chips[r.Entries[i].Row.Chip] = true
	}
	for _, c := range Classes {
		if s := pick("", c, func(e *Entry) bool { return e.Row.Class == c }); s.Sheet.N > 0 {
			r.Classes = append(r.Classes, s)
		}
	}
	for _, chip := range sortedKeys(chips) {
		for _, c := range Classes {
			if s := pick(chip, c, func(e *Entry) bool { return e.Row.Chip == chip && e.Row.Class == c }); s.Sheet.N > 0 {
				r.Groups = append(r.Groups, s)
			}
		}
	}
}

// Worst gives the n rows that the fitted predictions miss most, as factors.
func (r *Report) Worst(n int) []Entry {
	out := append([]Entry(nil), r.Entries...)
	off := func(e *Entry) float64 { return math.Abs(math.Log(e.Fitted.Seconds / e.Row.Seconds)) }
	sort.SliceStable(out, func(a, b int) bool { return off(&out[a]) > off(&out[b]) })
	return out[:min(n, len(out))]
}
