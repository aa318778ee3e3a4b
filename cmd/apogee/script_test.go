package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"apogee/ir/format"
	"apogee/ir/tensor"
	"apogee/ir/tensor/npy"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"apogee": main})
}

// TestScripts are stories of the command line: what a user types, what is printed, which files there are afterwards. Each has the
// shipped examples beside it.
func TestScripts(t *testing.T) {
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: false,
		Setup: func(e *testscript.Env) error {
			for _, n := range []string{"r1-nano", "norm.mg", "deepseek-v3", "digits"} {
				if err := os.Symlink(filepath.Join(examples, n), filepath.Join(e.WorkDir, n)); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits, "only": only, "npy": makeNpy, "edit": edit},
	})
}

// exits runs a command and holds its exit code: exits 2 apogee nonsense. What it prints can be looked at afterwards.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	if x, ok := err.(interface{ ExitCode() int }); ok {
		code = strconv.Itoa(x.ExitCode())
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if code != args[0] {
		ts.Fatalf("exit code %s, expected %s", code, args[0])
	}
}

// only holds that a folder has these files and no others: nothing half-written lies about.
func only(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: only FOLDER [FILE…]")
	}
	want := map[string]bool{}
	for _, n := range args[1:] {
		want[n] = true
	}
	list, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	for _, e := range list {
		if !want[e.Name()] {
			ts.Fatalf("%s holds %s", args[0], e.Name())
		}
		delete(want, e.Name())
	}
	for n := range want {
		ts.Fatalf("%s lacks %s", args[0], n)
	}
}

// makeNpy writes an array of small numbers that repeat, or, for iota, of 0, 1, 2, …: npy x.npy f32 4,256.
func makeNpy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: npy FILE FORMAT SHAPE")
	}
	f, ok := format.Parse(args[1])
	iota := args[1] == "iota"
	if iota {
		f, ok = format.I32, true
	}
	if !ok {
		ts.Fatalf("no format %s", args[1])
	}
	n := int64(1)
	var shape []int64
	for _, d := range strings.Split(args[2], ",") {
		x, err := strconv.ParseInt(d, 10, 64)
		ts.Check(err)
		shape = append(shape, x)
		n *= x
	}
	v := make([]float64, n)
	for i := range v {
		v[i] = float64(i*7%13) - 6
		switch {
		case iota:
			v[i] = float64(i)
		case f.IsInt():
			v[i] = float64(i * 7 % 13)
		}
	}
	t, err := tensor.FromF64(f, shape, v)
	ts.Check(err)
	ts.Check(npy.WriteFile(ts.MkAbs(args[0]), t))
}

// edit writes a file anew with the first match of a regular expression replaced: edit FROM TO EXPRESSION REPLACEMENT.
func edit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: edit FROM TO EXPRESSION REPLACEMENT")
	}
	text := ts.ReadFile(args[0])
	re, err := regexp.Compile("(?m)" + args[2])
	ts.Check(err)
	at := re.FindStringSubmatchIndex(text)
	if at == nil {
		ts.Fatalf("%s has no match for %s", args[0], args[2])
	}
	out := append([]byte(text[:at[0]]), re.ExpandString(nil, args[3], text, at)...)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), append(out, text[at[1]:]...), 0o666))
}
