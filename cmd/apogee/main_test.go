package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestJSON: what --json prints is one JSON value, also when the findings are bad.
func TestJSON(t *testing.T) {
	root(t)
	for _, c := range []string{
		"chips --json", "chip show loongson-3c6000 --json", "ops --json", "passes --json", "check --json examples/norm.mg docs/mistakes/names.mg",
		"time examples/norm.mg --target hygon-k100-ai --set N=4 --json", "time examples/r1-nano/config.json --target loongson-3c6000 --json",
		"generate examples/r1-nano --target reference --tokens 1,2 -n 1 --json", "generate examples/r1-nano --target nvidia-h100 --tokens 1,2 -n 2 --json --check",
	} {
		_, out, errs := apogee(strings.Fields(c)...)
		var v any
		d := json.NewDecoder(strings.NewReader(out))
		if err := d.Decode(&v); err != nil || d.More() || errs != "" {
			t.Errorf("%s: %v\n%s%s", c, err, out, errs)
		}
	}
}

func TestSettings(t *testing.T) {
	for _, c := range []struct {
		in   []string
		want []setting
		err  string
	}{
		{[]string{"B=1,T=128", "S = 4096"}, []setting{{"B", "1"}, {"T", "128"}, {"S", "4096"}}, ""},
		{[]string{`a=[1,2],b="x,y"`}, []setting{{"a", "[1,2]"}, {"b", `"x,y"`}}, ""},
		{[]string{"B=1", "B=1"}, []setting{{"B", "1"}, {"B", "1"}}, ""},
		{[]string{"B=1", "B=2"}, nil, "--set gives B twice: 1 and 2"},
		{[]string{"B=1,"}, nil, `--set takes NAME=VALUE, found ""`},
		{[]string{"=1"}, nil, `--set takes NAME=VALUE, found "=1"`},
	} {
		got, err := (&modelFlags{set: &c.in}).settings()
		if msg := ""; err != nil || c.err != "" {
			if err != nil {
				msg = err.Error()
			}
			if msg != c.err {
				t.Errorf("%q: error %q, expected %q", c.in, msg, c.err)
			}
			continue
		}
		if d := cmp.Diff(c.want, got, cmp.AllowUnexported(setting{})); d != "" {
			t.Errorf("%q: %s", c.in, d)
		}
	}
}

// TestUpTo: a pipeline is cut behind the last pass of a name, whatever its options.
func TestUpTo(t *testing.T) {
	for _, c := range []struct{ pipeline, pass, want string }{
		{"a,b{x=1,y=2},c", "b", "a,b{x=1,y=2}"},
		{"a,b,a,c", "a", "a,b,a"},
		{"a,b", "b", "a,b"},
	} {
		if got, err := upTo(c.pipeline, c.pass); got != c.want || err != nil {
			t.Errorf("upTo(%q, %q) = %q, %v", c.pipeline, c.pass, got, err)
		}
	}
	if _, err := upTo("a,bee", "be"); err == nil || !strings.Contains(err.Error(), `did you mean "bee"?`) {
		t.Errorf("a pass that is not there: %v", err)
	}
}

// TestAbridge: an updated document leaves out what it left out before.
func TestAbridge(t *testing.T) {
	got := strings.Fields("head1 head2 x y kernel body body2 } z tail")
	for _, c := range []struct{ want, out string }{
		{"a b", "head1 head2 x y kernel body body2 } z tail"},
		{"a …", "head1 …"},
		{"… a", "… tail"},
		{"… kernel old } …", "… kernel body body2 } …"},
	} {
		if s := strings.Join(abridge(strings.Fields(c.want), got), " "); s != c.out {
			t.Errorf("abridge(%q) = %q, expected %q", c.want, s, c.out)
		}
	}
	if !matchLines([]string{"head1", "…", "}", "…"}, got) || matchLines([]string{"head1", "…", "{", "…"}, got) {
		t.Error("… stands for any number of lines and nothing else")
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no room") }

// TestStdout: a command that cannot say what it found has failed.
func TestStdout(t *testing.T) {
	var errs bytes.Buffer
	if code := Main([]string{"chips"}, nil, full{}, &errs); code != exitFailure || errs.String() != "error: standard output: no room\n" {
		t.Errorf("exit code %d, %q", code, &errs)
	}
}
