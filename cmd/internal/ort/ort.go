package ort

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"apogee/frontend/onnx"
	pb "apogee/frontend/onnx/onnxpb"
	"apogee/ir/format"
	"apogee/ir/tensor"
)

//go:embed run.js
var script []byte

// Env names the folder in which the package was installed; empty or missing, tests that need it are skipped.
const Env = "APOGEE_ORT"

// Runtime is an installed ONNX Runtime.
type Runtime struct{ dir, node string }

// Find gives the runtime, or skips the test and says why. Where the variable is set, a runtime that cannot be used fails it.
func Find(t testing.TB) *Runtime {
	t.Helper()
	r, err := Lookup()
	switch {
	case err == nil:
		return r
	case os.Getenv(Env) != "":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
	return nil
}

// Lookup gives the runtime, or an error that says what is missing.
func Lookup() (*Runtime, error) {
	dir := os.Getenv(Env)
	if dir == "" {
		return nil, fmt.Errorf("ONNX Runtime is not here: install onnxruntime-node in a folder and name that in %s", Env)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, errors.New("ONNX Runtime is not here: there is no node")
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "onnxruntime-node")); err != nil {
		return nil, fmt.Errorf("%s=%s holds no node_modules/onnxruntime-node", Env, dir)
	}
	return &Runtime{dir, node}, nil
}

// Job is a model to be run. Inputs may have any format of ONNX: those that the runtime's interface lacks are handed over in wider
// ones and cast inside of the model, and so are results.
type Job struct {
	Model    []byte // the file's bytes; nil reads Path
	Path     string
	Inputs   map[string]*tensor.Tensor
	Threads  int  // 0 is one
	Optimise bool // let the runtime rewrite the graph
	Runs     int  // 0 is one
}

// Result is what came of a job: results by name, or an error; and how long loading and each run took.
type Result struct {
	Err     error
	Outputs map[string]*tensor.Tensor
	Load    time.Duration
	Runs    []time.Duration
}

type port struct {
	Name string  `json:"name"`
	Type string  `json:"type"`
	Dims []int64 `json:"dims"`
	File string  `json:"file"`
}

type jobFile struct {
	Model    string `json:"model"`
	Inputs   []port `json:"inputs"`
	Threads  int    `json:"threads"`
	Optimise bool   `json:"optimise"`
	Runs     int    `json:"runs"`
}

type doneFile struct {
	Error   string    `json:"error"`
	Load    float64   `json:"load"`
	Seconds []float64 `json:"seconds"`
	Outputs []port    `json:"outputs"`
}

// types are the names that the interface has for formats.
var types = map[format.Format]string{
	format.F32: "float32", format.F64: "float64", format.F16: "float16", format.I8: "int8", format.U8: "uint8", format.I16: "int16", format.U16: "uint16",
	format.I32: "int32", format.U32: "uint32", format.I64: "int64", format.U64: "uint64", format.Bool: "bool",
}

// batch is how many jobs one process is given.
const batch = 100

// Run runs jobs one after the other, in a folder that it empties. One that ends the runtime's process has an error, and those behind
// it are run in another.
func (r *Runtime) Run(ctx context.Context, temp string, jobs []Job) ([]Result, error) {
	js := filepath.Join(temp, "run.js")
	if err := os.WriteFile(js, script, 0o644); err != nil {
		return nil, err
	}
	dirs := make([]string, len(jobs))
	outs := make([]map[string]format.Format, len(jobs))
	for i, j := range jobs {
		dirs[i] = filepath.Join(temp, fmt.Sprintf("job%d", i))
		if err := os.MkdirAll(dirs[i], 0o755); err != nil {
			return nil, err
		}
		var err error
		if outs[i], err = j.write(dirs[i]); err != nil {
			return nil, err
		}
	}
	results := make([]Result, len(jobs))
	for at := 0; at < len(jobs); {
		end := min(at+batch, len(jobs))
		cmd := exec.CommandContext(ctx, r.node, append([]string{js, r.dir}, dirs[at:end]...)...)
		var msg bytes.Buffer
		cmd.Stderr = &msg
		fault := cmd.Run()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for ; at < end; at++ {
			done, err := os.ReadFile(filepath.Join(dirs[at], "done.json"))
			if err != nil {
				results[at].Err = fmt.Errorf("the runtime ended: %v: %s", fault, bytes.TrimSpace(msg.Bytes()[:min(msg.Len(), 500)]))
				at++
				break
			}
			results[at] = read(dirs[at], done, outs[at])
		}
		if fault == nil && at < end {
			return nil, errors.New("the runtime ended too early")
		}
	}
	return results, nil
}

// write puts a job into a folder and gives the formats that results are asked for in.
func (j *Job) write(dir string) (map[string]format.Format, error) {
	file := jobFile{Model: j.Path, Threads: max(j.Threads, 1), Optimise: j.Optimise, Runs: max(j.Runs, 1)}
	outs := map[string]format.Format{}
	renamed := map[string]string{}
	if j.Model != nil {
		m := &pb.ModelProto{}
		if err := proto.Unmarshal(j.Model, m); err != nil {
			return nil, err
		}
		data := j.Model
		if renamed = adapt(m.Graph, outs); len(renamed) > 0 {
			var err error
			if data, err = proto.Marshal(m); err != nil {
				return nil, err
			}
		}
		file.Model = filepath.Join(dir, "model.onnx")
		if err := os.WriteFile(file.Model, data, 0o644); err != nil {
			return nil, err
		}
	}
	k := 0
	for _, name := range sorted(j.Inputs) {
		t := j.Inputs[name]
		if types[t.Format] == "" {
			w := wider(t.Format)
			var err error
			if t.Format.IsFloat() {
				var v []float64
				if v, err = t.F64s(); err == nil {
					t, err = tensor.FromF64(w, t.Shape, v)
				}
			} else {
				var v []int64
				if v, err = t.I64s(); err == nil {
					t, err = tensor.FromI64(w, t.Shape, v)
				}
			}
			if err != nil {
				return nil, err
			}
		}
		raw, err := t.Bytes()
		if err != nil {
			return nil, err
		}
		if n := renamed[name]; n != "" {
			name = n
		}
		dims := t.Shape
		if dims == nil {
			dims = []int64{}
		}
		p := port{name, types[t.Format], dims, fmt.Sprintf("in_%d.bin", k)}
		k++
		if err := os.WriteFile(filepath.Join(dir, p.File), raw, 0o644); err != nil {
			return nil, err
		}
		file.Inputs = append(file.Inputs, p)
	}
	text, err := json.Marshal(file)
	if err != nil {
		return nil, err
	}
	return outs, os.WriteFile(filepath.Join(dir, "job.json"), text, 0o644)
}

func wider(f format.Format) format.Format {
	if f.IsFloat() {
		return format.F32
	}
	return format.I32
}

// adapt gives inputs and outputs whose element types the interface lacks wider ones, with a cast inside. It returns the new names of
// inputs; formats receives the old formats of outputs, by their new names.
func adapt(g *pb.GraphProto, formats map[string]format.Format) map[string]string {
	renamed := map[string]string{}
	find := func(p *pb.ValueInfoProto) (format.Format, bool) {
		for _, f := range format.All() {
			if onnx.DataType(f) == p.Type.GetTensorType().ElemType {
				return f, types[f] == ""
			}
		}
		return format.Invalid, false
	}
	cast := func(from, to string, f format.Format) *pb.NodeProto {
		return &pb.NodeProto{OpType: "Cast", Input: []string{from}, Output: []string{to}, Attribute: []*pb.AttributeProto{
			{Name: "to", Type: pb.AttributeProto_INT, I: int64(onnx.DataType(f))}}}
	}
	var first []*pb.NodeProto
	for _, p := range g.Input {
		if f, odd := find(p); odd {
			wide := p.Name + "/wide"
			first = append(first, cast(wide, p.Name, f))
			renamed[p.Name], p.Name = wide, wide
			p.Type.GetTensorType().ElemType = onnx.DataType(wider(f))
		}
	}
	for _, p := range g.Output {
		if f, odd := find(p); odd {
			wide := p.Name + "/wide"
			g.Node = append(g.Node, cast(p.Name, wide, wider(f)))
			renamed[p.Name], p.Name = wide, wide
			formats[wide] = f
			p.Type.GetTensorType().ElemType = onnx.DataType(wider(f))
		}
	}
	g.Node = append(first, g.Node...)
	return renamed
}

func read(dir string, text []byte, formats map[string]format.Format) Result {
	var d doneFile
	if err := json.Unmarshal(text, &d); err != nil {
		return Result{Err: err}
	}
	if d.Error != "" {
		return Result{Err: errors.New(d.Error)}
	}
	res := Result{Outputs: map[string]*tensor.Tensor{}, Load: seconds(d.Load)}
	for _, s := range d.Seconds {
		res.Runs = append(res.Runs, seconds(s))
	}
	for _, p := range d.Outputs {
		raw, err := os.ReadFile(filepath.Join(dir, p.File))
		if err != nil {
			return Result{Err: err}
		}
		f := format.Invalid
		for g, n := range types {
			if n == p.Type {
				f = g
			}
		}
		t, err := tensor.FromBytes(f, p.Dims, raw)
		if err != nil {
			return Result{Err: fmt.Errorf("result %s: %w", p.Name, err)}
		}
		name := p.Name
		if narrow, ok := formats[name]; ok {
			name = name[:len(name)-len("/wide")]
			if narrow.IsFloat() {
				var v []float64
				if v, err = t.F64s(); err == nil {
					t, err = tensor.FromF64(narrow, t.Shape, v)
				}
			} else {
				var v []int64
				if v, err = t.I64s(); err == nil {
					t, err = tensor.FromI64(narrow, t.Shape, v)
				}
			}
			if err != nil {
				return Result{Err: err}
			}
		}
		res.Outputs[name] = t
	}
	return res
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func sorted(m map[string]*tensor.Tensor) []string {
	var out []string
	for n := range m {
		out = append(out, n)
	}
	for i := range out { // few: by insertion
		for k := i; k > 0 && out[k] < out[k-1]; k-- {
			out[k], out[k-1] = out[k-1], out[k]
		}
	}
	return out
}
