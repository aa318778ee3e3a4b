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

// progress tells on standard error about work that takes long: on a terminal, after a second, a line that is rewritten; in a file,
// after ten, a line now and then; to anything else nothing.
type progress struct {
	mu       sync.Mutex
	w        io.Writer
	tty      bool
	start    time.Time
	what     string
	n, total int
	shown    bool
	stop     chan struct{}
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w, tty: isTerminal(w), start: time.Now()}
	if _, ok := w.(*os.File); !ok {
		p.w = nil
	}
	return p
}

// Step says what is being done, and how far it is: n of total, total 0 when that is not known.
func (p *progress) Step(what string, n, total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.what, p.n, p.total = what, n, total
	if p.stop == nil && p.w != nil {
		p.stop = make(chan struct{})
		go p.tick(p.stop)
	}
}

func (p *progress) tick(stop chan struct{}) {
	wait, every := time.Second, 100*time.Millisecond
	if !p.tty {
		wait, every = 10*time.Second, 10*time.Second
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
		}
		p.mu.Lock()
		if p.stop == stop {
			p.show()
		}
		p.mu.Unlock()
		t.Reset(every)
	}
}

func (p *progress) show() {
	p.shown = true
	line := p.what
	if p.total > 0 {
		line = fmt.Sprintf("%s %d/%d", p.what, p.n, p.total)
	}
	line += fmt.Sprintf(" (%.0f s)", time.Since(p.start).Seconds())
	if !p.tty {
		fmt.Fprintln(p.w, line)
		return
	}
	bar := ""
	if p.total > 0 {
		const width = 30
		full := width * p.n / p.total
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
	if p.stop != nil {
		close(p.stop)
		p.stop = nil
	}
	if p.tty && p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	p.shown = false
}
