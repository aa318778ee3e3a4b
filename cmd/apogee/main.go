package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"apogee/ir/diag"
)

// Exit codes, as the help documents them.
const (
	exitOK          = 0
	exitFailure     = 1 // bad input, or something that could not be done
	exitUsage       = 2 // a command line that makes no sense
	exitInterrupted = 130
)

// app is what a command works with.
type app struct {
	out      *stdout
	err      io.Writer
	in       io.Reader
	files    outputs
	color    bool // on standard error
	terminal bool // standard output is one
	progress *progress
}

// command is one subcommand.
type command struct {
	name    string
	args    string // what stands behind the flags, for the usage line
	short   string // one line
	long    string // more, may be empty
	example string // lines of examples
	// setup declares flags and returns the function that runs with the parsed ones.
	setup func(f *pflag.FlagSet) func(ctx context.Context, a *app, args []string) error
	// complete names what the arguments are, for shell completion: "model", "file", "chip" or "".
	complete string
}

var commands []*command

func register(c *command) {
	commands = append(commands, c)
	sort.Slice(commands, func(i, j int) bool { return commands[i].name < commands[j].name })
}

// usageError is a mistake in the command line.
type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

func main() {
	debug.SetGCPercent(400) // short runs: a third of the time is collecting otherwise
	os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// patience is how long a command has to stop by itself once it was interrupted. What sits in a place that cannot be cancelled, such as
// opening a pipe that nobody writes to, is left behind.
const patience = 700 * time.Millisecond

// Main runs the command line and returns the exit code.
func Main(args []string, in io.Reader, out, errw io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	buffered := newStdout(out)
	a := &app{out: buffered, err: &stderr{errw, buffered}, in: in, terminal: isTerminal(out), color: isTerminal(errw) && os.Getenv("NO_COLOR") == ""}
	a.progress = newProgress(errw)
	end := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				end <- &broken{r, debug.Stack()}
			}
		}()
		end <- dispatch(ctx, a, args)
	}()
	var err error
	select {
	case err = <-end:
	case <-ctx.Done():
		select {
		case err = <-end:
		case <-time.After(patience):
			err = ctx.Err()
		}
	}
	a.files.Discard()
	a.progress.done()
	if ferr := buffered.Flush(); ferr != nil {
		err = ferr
	}
	var u *usageError
	switch {
	case err == nil:
		return exitOK
	case ctx.Err() != nil:
		fmt.Fprintln(a.err, "apogee: interrupted")
		return exitInterrupted
	case errors.As(err, &u):
		fmt.Fprintf(a.err, "apogee: %s\n", u.msg)
		return exitUsage
	}
	if err != errFound {
		a.report(err)
	}
	return exitFailure
}

// broken is a panic: an invariant of the program does not hold.
type broken struct {
	what  any
	stack []byte
}

func (b *broken) Error() string {
	return fmt.Sprintf("a broken invariant, please report it with the command line: %v\n%s", b.what, b.stack)
}

// report prints an error: diagnostics with their source lines, others in one line.
func (a *app) report(err error) {
	var l *diag.List
	var d *diag.Diagnostic
	var fault interface{ Diagnostic() *diag.Diagnostic } // of the simulator
	out := &diag.List{}
	switch {
	case errors.As(err, &fault):
		out.Add(fault.Diagnostic())
	case errors.As(err, &l):
		l.Sort()
		a.within(err, l)
		out = l
	case errors.As(err, &d):
		a.within(err, d)
		out.Add(d)
	default:
		out.AddError("", err)
	}
	_ = diag.Render(a.err, out, diag.Options{Color: a.color})
}

// within prints what an error says around the diagnostics that it wraps.
func (a *app) within(err, inner error) {
	if around, ok := strings.CutSuffix(err.Error(), inner.Error()); ok && around != "" {
		fmt.Fprintln(a.err, "in "+strings.TrimRight(around, " \n"))
	}
}

// warn prints warnings.
func (a *app) warn(l *diag.List) {
	if l != nil && l.Len() > 0 {
		l.Sort()
		_ = diag.Render(a.err, l, diag.Options{Color: a.color})
	}
}

func dispatch(ctx context.Context, a *app, args []string) error {
	if len(args) == 0 {
		usage(a.err)
		return usagef("no command given")
	}
	switch args[0] {
	case "--version":
		args[0] = "version"
	case "help", "-h", "--help":
		if len(args) > 1 {
			if c := find(args[1]); c != nil {
				help(a.out, c)
				return nil
			}
			return unknown(args[1])
		}
		usage(a.out)
		return nil
	}
	c := find(args[0])
	if c == nil {
		return unknown(args[0])
	}
	f := flagSet(c)
	run := c.setup(f)
	if err := f.Parse(args[1:]); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			help(a.out, c)
			return nil
		}
		return usagef("%s: %v%s; see apogee help %s", c.name, err, nearFlag(err, f), c.name)
	}
	return run(ctx, a, f.Args())
}

// nearFlag says which flag was probably meant by one that is not there.
func nearFlag(err error, f *pflag.FlagSet) string {
	var e *pflag.NotExistError
	if !errors.As(err, &e) {
		return ""
	}
	var names []string
	f.VisitAll(func(x *pflag.Flag) { names = append(names, x.Name) })
	if s := diag.DidYouMean(e.GetSpecifiedName(), names); s != "" {
		return fmt.Sprintf("; did you mean --%s?", s)
	}
	return ""
}

func flagSet(c *command) *pflag.FlagSet {
	f := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.SortFlags = false
	return f
}

func find(name string) *command {
	for _, c := range commands {
		if c.name == name {
			return c
		}
	}
	return nil
}

func unknown(name string) error {
	var names []string
	for _, c := range commands {
		names = append(names, c.name)
	}
	if s := diag.DidYouMean(name, names); s != "" {
		return usagef("no command %q; did you mean %q?", name, s)
	}
	return usagef("no command %q; apogee help lists them", name)
}

func usage(w io.Writer) {
	fmt.Fprint(w, `Apogee compiles model graphs for accelerators and runs them on simulated ones.

Usage: apogee COMMAND [flags] [arguments]

Commands:
`)
	for _, c := range commands {
		fmt.Fprintf(w, "  %-11s %s\n", c.name, c.short)
	}
	fmt.Fprint(w, `
MODEL is a .mg or .onnx file, a checkpoint folder, a config.json, a dumped IR (.ir) or a plan.
CHIP is a name that apogee chips lists, the path of a .chip file, or reference.

Exit codes: 0 done; 1 bad input, or it could not be done; 2 a mistake in the command line; 130 interrupted.
apogee help COMMAND says more, with examples.
`)
}

func help(w io.Writer, c *command) {
	fmt.Fprintf(w, "%s\n\nUsage: apogee %s [flags] %s\n", c.short, c.name, c.args)
	if c.long != "" {
		for _, p := range strings.Split(strings.TrimSpace(c.long), "\n\n") {
			fmt.Fprintf(w, "\n%s\n", wrap(p, 100))
		}
	}
	f := flagSet(c)
	c.setup(f)
	if u := f.FlagUsagesWrapped(110); u != "" {
		fmt.Fprintf(w, "\nFlags:\n%s", u)
	}
	if c.example != "" {
		fmt.Fprintf(w, "\nExamples:\n%s\n", strings.TrimRight(c.example, "\n"))
	}
}
