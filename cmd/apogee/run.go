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
are .npy files, or .pb files with ONNX's TensorProto. Results that no --output takes are summed up on standard output. --tap gives values inside the model as
further results, by the names of its taps; * stands for anything. A .mg file, IR, a config.json or a plan that reads weights takes them
from --weights.`,
		example: `  apogee run examples/r1-nano --target ascend-910b --input tokens=examples/r1-nano/reference/len7.tokens.npy --output logits=logits.npy
  apogee run examples/r1-nano --target reference --input tokens=t.npy --tap 'topk_ids.*' --output topk_ids.1=ids.npy
  apogee run linear.mg --target nvidia-h100 --precision fp8 --input x=x.npy
  apogee run prefill.plan --weights examples/r1-nano --input tokens=t.npy --output logits=logits.npy`,
		complete: "model",
		setup: func(f *pflag.FlagSet) func(context.Context, *app, []string) error {
			m := addModelFlags(f)
			in := f.StringArray("input", nil, "read an input: `NAME=FILE`, once for each")
			out := f.StringArray("output", nil, "write a result: `NAME=FILE`, once for each to keep")
			taps := f.StringSlice("tap", nil, "give internal values whose names match `PATTERN` as results")
			guard := f.Bool("guard", true, "look for missing waits, unwritten reads, overlaps and accesses out of range while running")
			return func(ctx context.Context, a *app, args []string) error {
				path, err := one(args, "MODEL")
				if err != nil {
					return err
				}
				results, err := createResults(ctx, a, *out)
				if err != nil {
					return err
				}
				inputs, err := readInputs(*in)
				if err != nil {
					return err
				}
				j, err := m.open(a, path, chipOrReference)
				if err != nil {
					return err
				}
				defer j.Close()
				j.req.Taps, j.req.Keep = *taps, results.names
				var got driver.Tensors
				a.progress.Step("running", 0, 0)
				if j.chip == nil {
					got, err = j.RunReference(ctx, j.req, inputs)
				} else {
					got, _, err = j.Run(ctx, j.req, inputs, exec.Options{Guard: *guard})
				}
				a.warn(j.Warnings)
				if err != nil {
					return err
				}
				if err := results.write(a, got); err != nil {
					return err
				}
				for _, n := range sortedNames(got) {
					if results.files[n] == nil {
						fmt.Fprintf(a.out, "%s: %s\n", n, summary(got[n]))
					}
				}
				return nil
			}
		},
	})
}
