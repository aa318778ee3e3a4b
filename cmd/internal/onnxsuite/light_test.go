package onnxsuite_test

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"apogee/cmd/internal/onnxsuite"
	"apogee/frontend/onnx"
	pb "apogee/frontend/onnx/onnxpb"
	"apogee/ir/irtest"
	"apogee/ir/tensor"
	"apogee/ir/tensor/npy"
	"apogee/targets/chip"
	"apogee/targets/chips"
)

// float32Type is the number of f32 in the format.
const float32Type = 1

var lightTarget = flag.String("light.target", "", "also run the light models on this chip")

// noise gives the numbers that the corpus' README defines for a tensor's name: r(i) in [-1, 1).
func noise(seed uint64, name string) func(i int) float64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	base := seed ^ h
	return func(i int) float64 {
		z := base + (uint64(i)+1)*0x9E3779B97F4A7C15
		z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
		z = (z ^ z>>27) * 0x94D049BB133111EB
		return float64((z^z>>31)>>40)/(1<<24)*2 - 1
	}
}

func floats(name string, dims []int64, f func(i int) float32) *pb.TensorProto {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	raw := make([]byte, 0, 4*n)
	for i := range int(n) {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(f(i)))
	}
	return &pb.TensorProto{Name: name, Dims: dims, DataType: float32Type, RawData: raw}
}

// lightFolder makes a test folder of a light model: as it is with the given output, or with generated weights for a seed.
func lightFolder(t testing.TB, dir, model string, want *tensor.Tensor, seed uint64) {
	t.Helper()
	text, err := os.ReadFile(model)
	if err != nil {
		t.Fatal(err)
	}
	m := &pb.ModelProto{}
	if err := proto.Unmarshal(text, m); err != nil {
		t.Fatal(err)
	}
	g := m.Graph
	shapes := map[string][]int64{} // of initialisers that hold shapes
	isInit := map[string]bool{}
	for _, x := range g.Initializer {
		isInit[x.Name] = true
		v := x.Int64Data
		for b := x.RawData; len(b) >= 8; b = b[8:] {
			v = append(v, int64(binary.LittleEndian.Uint64(b)))
		}
		shapes[x.Name] = v
	}
	if seed > 0 {
		var nodes []*pb.NodeProto
		for _, n := range g.Node {
			if n.OpType != "ConstantOfShape" {
				nodes = append(nodes, n)
				continue
			}
			dims, name := shapes[n.Input[0]], n.Output[0]
			r := noise(seed, name)
			f := func(i int) float32 { return float32(1 + 0.25*r(i)) }
			if len(dims) >= 2 {
				fan := int64(1)
				for _, d := range dims[1:] {
					fan *= d
				}
				f = func(i int) float32 { return float32(r(i) * math.Sqrt(2/float64(fan))) }
			}
			g.Initializer = append(g.Initializer, floats(name, dims, f))
		}
		g.Node = nodes
	}
	set := filepath.Join(dir, "test_data_set_0")
	if err := os.MkdirAll(set, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(path string, p proto.Message) {
		b, err := proto.Marshal(p)
		if err == nil {
			err = os.WriteFile(path, b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dir, "model.onnx"), m)
	for k, in := range g.Input {
		if isInit[in.Name] {
			continue
		}
		var dims []int64
		n := int64(1)
		for _, d := range in.Type.GetTensorType().Shape.Dim {
			dims = append(dims, d.GetDimValue())
			n *= d.GetDimValue()
		}
		f := func(i int) float32 { return float32(float64(i) / float64(n)) }
		if seed > 0 {
			r := noise(seed, in.Name)
			f = func(i int) float32 { return float32(r(i)) }
		}
		write(filepath.Join(set, fmt.Sprintf("input_%d.pb", k)), floats(in.Name, dims, f))
	}
	xs, err := want.F64s()
	if err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(set, "output_0.pb"), floats(g.Output[0].Name, want.Shape, func(i int) float32 { return float32(xs[i]) }))
}

// The light models, with their given outputs and with weights of a seed.
func TestLightModels(t *testing.T) {
	corpus := irtest.Corpus(t, "onnx")
	if testing.Short() {
		t.Skip("networks of some billion operations on the reference")
	}
	models, err := filepath.Glob(filepath.Join(corpus, "light", "*.onnx"))
	if err != nil || len(models) == 0 {
		t.Fatal("no light models", err)
	}
	opt := onnxsuite.Options{Rtol: 1e-3, Atol: 1e-9, Jobs: 2, Precision: "f32"}
	if *lightTarget != "" {
		if opt.Chip, err = chip.Load(*lightTarget); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range models {
		name := strings.TrimSuffix(filepath.Base(path), ".onnx")
		seeded, err := filepath.Glob(filepath.Join(corpus, "light_seeded", name+"_seed*.npy"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range seeded {
			var seed uint64
			if _, err := fmt.Sscanf(strings.TrimPrefix(filepath.Base(file), name+"_seed"), "%d.npy", &seed); err != nil {
				t.Fatal(err)
			}
			t.Run(fmt.Sprintf("%s/seed%d", name, seed), func(t *testing.T) {
				want, err := npy.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				o := opt
				if strings.Contains(name, "densenet") { // its results are no probabilities
					o.Atol = 1e-5
				}
				dir := t.TempDir()
				lightFolder(t, dir, path, want, seed)
				hold(t, dir, o)
			})
		}
	}
}

// The light models as they are, whose weights are one number each, give what the corpus says: graphs, shapes and the passes are held, the
// largest of the networks among them. They run on a chip, which takes seconds where the reference takes minutes.
func TestLightGiven(t *testing.T) {
	corpus := irtest.Corpus(t, "onnx")
	if testing.Short() {
		t.Skip("networks of some billion operations")
	}
	models, err := filepath.Glob(filepath.Join(corpus, "light", "*.onnx"))
	if err != nil || len(models) == 0 {
		t.Fatal("no light models", err)
	}
	name := *lightTarget
	if name == "" {
		name = chips.List()[0]
	}
	c, err := chip.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range models {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".onnx"), func(t *testing.T) {
			want, _, err := onnx.ReadTensor(strings.TrimSuffix(path, ".onnx") + "_output_0.pb")
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			lightFolder(t, dir, path, want, 0)
			hold(t, dir, onnxsuite.Options{Chip: c, Rtol: 1e-3, Atol: 1e-7, Jobs: 1, Precision: "f32"})
		})
	}
}

func hold(t *testing.T, dir string, opt onnxsuite.Options) {
	t.Helper()
	res, err := onnxsuite.Run(context.Background(), dir, []string{dir}, opt)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range res {
		t.Logf("%s, %.3f of what is allowed", r.Status, r.Error)
		if r.Status != onnxsuite.Pass {
			t.Errorf("%s: %s", r.Status, r.Why)
		}
	}
}
