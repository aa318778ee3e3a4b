package trace

import (
	"bufio"
	"encoding/json"
	"io"
	"strconv"
)

// WriteChrome writes the trace in the JSON form of Chrome's trace viewer, which Perfetto reads as well: "X" events with times
// in microseconds, a thread for each track. (Format: "Trace Event Format", the Chromium project, section "JSON Object
// Format".) Equal traces give equal bytes. The error is the writer's.
func WriteChrome(w io.Writer, t *Trace) error {
	b := bufio.NewWriterSize(w, 1<<16)
	e := eventWriter{w: b}
	e.raw(`{"displayTimeUnit":"ns","otherData":{`)
	e.raw(`"spans":`)
	e.raw(strconv.Itoa(len(t.Spans)))
	e.raw(`,"dropped":`)
	e.raw(strconv.FormatInt(t.Dropped, 10))
	e.raw("},\"traceEvents\":[\n")
	e.meta("process_name", 0, t.Name)
	for i, name := range t.Tracks {
		e.meta("thread_name", i, name)
		e.event()
		e.raw(`{"ph":"M","pid":0,"tid":` + strconv.Itoa(i) + `,"name":"thread_sort_index","args":{"sort_index":` + strconv.Itoa(i) + `}}`)
	}
	for i := range t.Spans {
		e.span(&t.Spans[i])
	}
	e.raw("\n]}\n")
	if e.err != nil {
		return e.err
	}
	return b.Flush()
}

type eventWriter struct {
	w   *bufio.Writer
	n   int
	buf []byte
	err error
}

func (e *eventWriter) raw(s string) {
	if e.err == nil {
		_, e.err = e.w.WriteString(s)
	}
}

func (e *eventWriter) event() {
	if e.n > 0 {
		e.raw(",\n")
	}
	e.n++
}

func quote(s string) string {
	b, _ := json.Marshal(s) // a string always has a form
	return string(b)
}

func (e *eventWriter) meta(kind string, track int, name string) {
	e.event()
	e.raw(`{"ph":"M","pid":0,"tid":` + strconv.Itoa(track) + `,"name":"` + kind + `","args":{"name":` + quote(name) + `}}`)
}

// micros writes seconds as microseconds with a picosecond's precision.
func micros(b []byte, s float64) []byte { return strconv.AppendFloat(b, s*1e6, 'f', 6, 64) }

func (e *eventWriter) span(s *Span) {
	e.event()
	b := e.buf[:0]
	b = append(b, `{"ph":"X","pid":0,"tid":`...)
	b = strconv.AppendInt(b, int64(s.Track), 10)
	b = append(b, `,"name":`...)
	b = append(b, quote(s.Name)...)
	b = append(b, `,"ts":`...)
	b = micros(b, s.Start)
	b = append(b, `,"dur":`...)
	b = micros(b, s.End-s.Start)
	b = append(b, `,"args":{"step":`...)
	b = strconv.AppendInt(b, int64(s.Step), 10)
	if s.Instr >= 0 {
		b = append(b, `,"instruction":`...)
		b = strconv.AppendInt(b, int64(s.Instr), 10)
	}
	text := func(key, value string) {
		if value != "" {
			b = append(b, `,"`+key+`":`...)
			b = append(b, quote(value)...)
		}
	}
	text("place", s.Place)
	text("bound_by", s.Bound)
	if s.Wait > 0 {
		b = append(b, `,"waited_us":`...)
		b = micros(b, s.Wait)
		text("waited_for", s.For)
	}
	if s.Bytes > 0 {
		b = append(b, `,"bytes":`...)
		b = strconv.AppendInt(b, s.Bytes, 10)
	}
	if s.Flops > 0 {
		b = append(b, `,"flops":`...)
		b = strconv.AppendFloat(b, s.Flops, 'g', -1, 64)
	}
	if s.Times > 1 {
		b = append(b, `,"times":`...)
		b = strconv.AppendInt(b, s.Times, 10)
	}
	b = append(b, "}}"...)
	e.buf = b
	if e.err == nil {
		_, e.err = e.w.Write(b)
	}
}
