package main

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"apogee/cmd/internal/driver"
	"apogee/targets/sim/exec"
)

func init() {
	register(&command{
		name: "run", args: "MODEL", short: "Run an entry of a model on a simulated chip, or on the reference",
		long: `
Compiles the entry for the shapes of the inputs and runs the plan instruction by instruction in the chip's formats. Inputs and results
are .npy files. Results that no --output takes are summed up on standard output. --tap gives values inside the model as
further results, by the names of its taps; * stands for anything.`,
		example: `  apogee run examples/r1-nano --target ascend-910b --input tokens=examples/r1-nano/reference/len7.tokens.npy --output logits=logits.npy
  apogee run examples/r1-nano --target reference --input tokens=t.npy --tap 'topk_ids.*' --output topk_ids.1=ids.npy
  apogee run linear.mg --target nvidia-h100 --precision fp8 --input x=x.npy`,
		complete: "model",
		setup: func(f *pflag.FlagSet) func(context.Context, *app, []string) error {
			m := addModelFlags(f)
			in := f.StringArray("input", nil, "NAME=FILE.npy, once for each input")
			out := f.StringArray("output", nil, "NAME=FILE.npy, for each result to keep")
			taps := f.StringSlice("tap", nil, "patterns of internal values to give as results")
			guard := f.Bool("guard", false, "look for missing waits, unwritten reads and overlaps while running")
			return func(ctx context.Context, a *app, args []string) error {
				path, err := one(args, "MODEL")
				if err != nil {
					return err
				}
				c, err := m.chip()
				if err != nil {
					return err
				}
				if _, _, err := files("output", *out); err != nil {
					return err
				}
				inputs, err := readInputs(*in)
				if err != nil {
					return err
				}
				a.progress.Step("reading "+path, 0, 0)
				model, err := driver.Open(path)
				if err != nil {
					return err
				}
				defer model.Close()
				req, err := m.request(model, c)
				if err != nil {
					return err
				}
				req.Taps = *taps
				var results driver.Tensors
				a.progress.Step("running", 0, 0)
				if c == nil {
					results, err = model.RunReference(ctx, req, inputs)
				} else {
					results, _, err = model.Run(ctx, req, inputs, exec.Options{Guard: *guard})
				}
				if err != nil {
					return err
				}
				if err := writeOutputs(*out, results); err != nil {
					return err
				}
				kept, _, _ := files("output", *out)
				for _, n := range sortedNames(results) {
					if kept[n] == "" {
						fmt.Fprintf(a.out, "%s: %s\n", n, summary(results[n]))
					}
				}
				return nil
			}
		},
	})
}
