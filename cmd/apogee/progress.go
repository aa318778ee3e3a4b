package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// isTerminal reports whether a writer is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	s, err := f.Stat()
	return err == nil && s.Mode()&os.ModeCharDevice != 0
}

// progress tells about work that takes more than a second: one line rewritten on a terminal, a line every few seconds
// elsewhere.
type progress struct {
	mu    sync.Mutex
	w     io.Writer
	tty   bool
	start time.Time
	last  time.Time
	shown bool
}

func newProgress(w io.Writer) *progress {
	return &progress{w: w, tty: isTerminal(w), start: time.Now()}
}

// Step says what is being done, and how far it is: n of total, total 0 when that is not known.
func (p *progress) Step(what string, n, total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	every := 5 * time.Second
	if p.tty {
		every = 100 * time.Millisecond
	}
	if now.Sub(p.start) < time.Second || now.Sub(p.last) < every {
		return
	}
	p.last, p.shown = now, true
	line := what
	if total > 0 {
		line = fmt.Sprintf("%s %d/%d", what, n, total)
	} else if n > 0 {
		line = fmt.Sprintf("%s %d", what, n)
	}
	if !p.tty {
		fmt.Fprintln(p.w, line)
		return
	}
	bar := ""
	if total > 0 {
		const width = 30
		full := width * n / total
		b := make([]byte, width)
		for i := range b {
			b[i] = '.'
			if i < full {
				b[i] = '#'
			}
		}
		bar = "[" + string(b) + "] "
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s%s", bar, line)
}

// done removes the line.
func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tty && p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	p.shown = false
}
