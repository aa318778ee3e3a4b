package chip

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"apogee/ir/diag"
)

// This file holds links and citations against the numbers beside them.

var (
	bothWords   = regexp.MustCompile(`(?i)bi-?directional|both (directions|ways)|two-way|duplex`)
	sparseWords = regexp.MustCompile(`(?i)\bspars|2:4`)
	dieWords    = regexp.MustCompile(`(?i)\b(two|2|both) dies\b|\bdual[- ]die`)
	figures     = regexp.MustCompile(`([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]+/?s?)\b`)
)

// checkLinks looks for the two slips that data sheets of links invite: both directions for one, and bits for bytes.
func checkLinks(c *Chip, l *diag.List) {
	for _, k := range c.Links {
		q := k.Bandwidth
		direction := strings.HasSuffix(q.Written, "_way") || strings.HasSuffix(q.Written, "_ways")
		bits := strings.Contains(q.Written, "b/s")
		switch {
		case direction || !q.Stated():
		case bothWords.MatchString(q.Source) && q.Confidence != Derived && q.Confidence != Assumed:
			l.Warnf(codeLink, q.Range, "the citation speaks of both directions, the number is taken for one").
				Expect(q.Written+" both_ways, or one_way", q.Written)
		case k.Scope == "cluster" && !bits && q.Value > 100e9:
			l.Warnf(codeLink, q.Range, "%.4g GB/s a card between nodes: adapters are quoted in Gb/s", q.Value/1e9).
				Expect(fmt.Sprintf("%.4g Gb/s, or one_way behind it", q.Value/1e9), q.Written)
		case q.Value > 450e9:
			l.Warnf(codeLink, q.Range, "%.4g GB/s one way: links are often quoted for both directions together", q.Value/1e9).
				Expect(q.Written+" both_ways, or one_way", q.Written)
		}
		if l0 := k.Latency; l0.Stated() && (l0.Value < 0.1e-6 || l0.Value > 1e-3) {
			l.Warnf(codeField, l0.Range, "a latency of %.3g us for a link", l0.Value*1e6).Expect("0.1 to 1000 us", l0.Written)
		}
	}
}

// checkSources reads citations: what they say beside the number should not be something else. What is derived or assumed gives its
// formula or reason there and is left alone.
func checkSources(c *Chip, l *diag.List) {
	contested := map[string]bool{}
	for _, x := range c.Contested {
		contested[x.Fact] = true
	}
	for _, p := range c.Peaks {
		q := p.FlopsPerSecond
		text := c.detail(q)
		switch {
		case q.Confidence == Assumed:
		case !p.Sparse && sparseWords.MatchString(text) && !strings.Contains(text, "dense") && !strings.Contains(text, "without"):
			l.Warnf(codeText, q.Range, "the citation speaks of sparsity, the peak is taken for dense").
				Expect(q.Written+" sparse", q.Written)
		case p.Of == "device" && c.Dies == nil && dieWords.MatchString(text):
			l.Warnf(codeText, q.Range, "the citation speaks of several dies, the peak is taken for what the file describes").
				Helpf("state dies, or say of which level the peak is: of die, of device, of card")
		}
	}
	for _, f := range c.Facts {
		if f.Confidence == Derived || f.Confidence == Assumed || contested[f.Name] || f.Unit == "" || strings.HasPrefix(f.Name, "contested ") {
			continue
		}
		want := dimOf(f.Unit)
		if want != dimBytesPerSecond && want != dimFlops && want != dimHertz && want != dimBytes {
			continue
		}
		text := c.detail(f.Quantity)
		for _, at := range figures.FindAllStringSubmatchIndex(text, 8) {
			m := []string{"", text[at[2]:at[3]], text[at[4]:at[5]]}
			u, ok := units[m[2]]
			if !ok || u.dim != want || m[2] == "B" || strings.HasSuffix(text[:at[0]], "x ") || strings.HasPrefix(text[at[1]:], " x") {
				continue // also: a factor of a product
			}
			v, err := strconv.ParseFloat(m[1], 64)
			if err != nil {
				continue
			}
			r := u.convert(v) / f.Value
			if math.Abs(r-1) < 0.05 || math.Abs(r-2) < 0.1 && strings.HasSuffix(f.Written, "both_ways") {
				continue
			}
			l.Warnf(codeText, f.Range, "the citation has another figure than %s: %s %s", f.Written, m[1], m[2]).
				Helpf("if sources contradict one another, keep one and name the others: contested %q { also %s %s …; why \"…\" }", f.Name, m[1], m[2])
			break
		}
	}
}

// detail is the part of a number's source that was written beside it: without the text of the source that the file declares, which is
// about the whole document.
func (c *Chip) detail(q Quantity) string {
	for _, s := range c.Sources {
		if rest, ok := strings.CutPrefix(q.Source, s.Text); ok {
			return rest
		}
	}
	return q.Source
}
