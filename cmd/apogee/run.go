package main

import (
	"bytes"
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"apogee/cmd/internal/driver"
	"apogee/frontend/safetensors"
	"apogee/ir/tensor"
	"apogee/targets/sim/exec"
)

func init() {
	register(&command{
		name: "run", args: "MODEL", short: "Run an entry of a model on a simulated chip, or on the reference",
		long: `
Compiles the entry for the shapes of the inputs and runs the plan instruction by instruction in the chip's formats. Inputs and results
are .npy files, or .pb files with ONNX's TensorProto. Results that no --output takes are summed up on standard output. --tap gives values inside the model as
further results, by the names of its taps; * stands for anything. A .mg file, IR, a config.json or a plan that reads weights takes them
from --weights.

--state-out keeps the states that a run leaves, such as a cache of keys and values, in one .safetensors file; --state-in begins with them. A prefill
gives its cache as much room as it has tokens unless --set S=… asks for more.`,
		example: `  apogee run examples/r1-nano --target ascend-910b --input tokens=examples/r1-nano/reference/len7.tokens.npy --output logits=logits.npy
  apogee run examples/r1-nano --target reference --input tokens=t.npy --tap 'topk_ids.*' --output topk_ids.1=ids.npy
  apogee run examples/r1-nano --target reference --input tokens=t.npy --set S=64 --state-out cache.safetensors
  apogee run examples/r1-nano --target reference --entry decode --input tokens=next.npy --input pos=pos.npy --state-in cache.safetensors
  apogee run linear.mg --target nvidia-h100 --precision fp8 --input x=x.npy
  apogee run prefill.plan --weights examples/r1-nano --input tokens=t.npy --output logits=logits.npy`,
		complete: "model",
		setup: func(f *pflag.FlagSet) func(context.Context, *app, []string) error {
			m := addModelFlags(f)
			in := f.StringArray("input", nil, "read an input: `NAME=FILE`, once for each")
			out := f.StringArray("output", nil, "write a result: `NAME=FILE`, once for each to keep")
			taps := f.StringSlice("tap", nil, "give internal values whose names match `PATTERN` as results")
			stateIn := f.String("state-in", "", "begin with the states of `FILE.safetensors`")
			stateOut := f.String("state-out", "", "keep the states that the run leaves in `FILE.safetensors`")
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
				var left *outFile
				if *stateOut != "" {
					if left, err = a.files.Create(ctx, *stateOut); err != nil {
						return err
					}
				}
				states, err := readStates(*stateIn)
				if err != nil {
					return err
				}
				j, err := m.open(a, path, chipOrReference)
				if err != nil {
					return err
				}
				defer j.Close()
				j.req.Taps, j.req.Keep = *taps, results.names
				j.req.States = states
				if left != nil {
					j.req.Left = func(t driver.Tensors) error { return writeStates(left, t) }
				}
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

// readStates reads the states of a file; "" is none.
func readStates(path string) (driver.Tensors, error) {
	if path == "" {
		return nil, nil
	}
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, named(path, err)
	}
	defer f.Close()
	out := driver.Tensors{}
	for _, n := range f.Names() {
		t, err := f.Tensor(n)
		if err != nil {
			return nil, err
		}
		b, err := t.Bytes()
		if err != nil {
			return nil, err
		}
		// Copied: the file is let go of, and may be the one that the new states take the place of.
		if out[n], err = tensor.FromBytes(t.Format, t.Shape, bytes.Clone(b)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// writeStates writes states to a file that takes its place when the command has succeeded.
func writeStates(w *outFile, states driver.Tensors) error {
	var list []safetensors.Named
	for _, n := range sortedNames(states) {
		list = append(list, safetensors.Named{Name: n, Tensor: states[n]})
	}
	if err := safetensors.Encode(w, list, nil); err != nil {
		return fmt.Errorf("cannot write %s: %w", w.path, reason(err))
	}
	return nil
}
