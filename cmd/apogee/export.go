package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"runtime/debug"

	"github.com/spf13/pflag"

	"apogee/frontend/onnx/export"
)

func init() {
	register(&command{
		name: "export", args: "MODEL", short: "Write an entry of a model as an ONNX file",
		long: `
Writes what the entry computes as nodes of ONNX's standard operator set, for other programs to run. Inputs and results keep their names;
a state becomes an input of its name and an output NAME.next. Symbols stay dimensions of the model unless --set gives them values.
Weights stand in the file, or in FILE.onnx.data beside it when there are too many for one (` + fmt.Sprintf("%.1f", float64(export.Limit)/1e9) + ` GB) or --external asks for it.
What ONNX cannot hold, such as rounding to a format that it does not have, is listed with op and place, and nothing is written.`,
		example: `  apogee export examples/r1-nano --to onnx -o r1-nano.onnx
  apogee export examples/r1-nano --to onnx --entry decode --set B=1,S=256 -o decode.onnx --external
  apogee export examples/norm.mg --to onnx -o norm.onnx`,
		complete: "model",
		setup: func(f *pflag.FlagSet) func(context.Context, *app, []string) error {
			m := addModelFlags(f, "target", "precision", "pipeline", "disable-rule", "verify-each")
			to := f.String("to", "", "the `FORMAT` to write: onnx")
			out := f.StringP("output", "o", "", "write the model to `FILE`")
			external := f.Bool("external", false, "put the weights into FILE.data, whatever their size")
			return func(ctx context.Context, a *app, args []string) error {
				path, err := one(args, "MODEL")
				switch {
				case err != nil:
					return err
				case *to != "onnx":
					return usagef("export writes one format: --to onnx, found %q", *to)
				case *out == "":
					return usagef("export needs -o FILE.onnx")
				}
				file, err := a.files.Create(ctx, *out)
				if err != nil {
					return err
				}
				j, err := m.open(a, path, chipMaybe)
				if err != nil {
					return err
				}
				defer j.Close()
				j.req.Context = ctx
				mod, fn, err := j.Lower(j.req)
				a.warn(j.Warnings)
				if err != nil {
					return err
				}
				opt := export.Options{Name: mod.Name, Producer: "apogee", Version: buildVersion(), Bind: j.req.Bind, Weights: j.Weights(), Context: ctx}
				x, err := export.Convert(fn, opt)
				if err != nil {
					return err
				}
				n, err := x.Size()
				if err != nil {
					return err
				}
				beside := ""
				if *external || n > export.Limit {
					x.SetExternal(filepath.Base(*out) + ".data")
					data, err := a.files.Create(ctx, *out+".data")
					if err != nil {
						return err
					}
					beside = " in " + *out + ".data"
					if n, err = x.Size(); err != nil {
						return err
					}
					if n > export.Limit {
						return fmt.Errorf("%s: the graph alone takes %s, more than a model file may have", path, size(n))
					}
					if err := writeTo(data, x.WriteData); err != nil {
						return err
					}
				}
				a.progress.Step("writing "+*out, 0, 0)
				if err := writeTo(file, x.Write); err != nil {
					return err
				}
				if err := a.files.Commit(); err != nil {
					return err
				}
				fmt.Fprintf(a.out, "%s: entry %s in operator set %d, %d nodes, %d weights and constants, %s of weights%s\n", *out, fn.Name, x.Opset(), x.Nodes(), x.Initialisers(),
					size(x.WeightBytes()), beside)
				return nil
			}
		},
	})
}

// writeTo lets a function fill a file.
func writeTo(file *outFile, write func(io.Writer) error) error {
	w := bufio.NewWriterSize(file, 1<<16)
	err := write(w)
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", file.path, reason(err))
	}
	return nil
}

// buildVersion is the version of this program.
func buildVersion() string {
	if b, ok := debug.ReadBuildInfo(); ok {
		return b.Main.Version
	}
	return "(devel)"
}
