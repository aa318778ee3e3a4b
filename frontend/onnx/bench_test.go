package onnx

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "apogee/frontend/onnx/onnxpb"
	"apogee/ir/format"
	"apogee/ir/irtest"
)

// BenchmarkImport opens and imports a model of 1000 nodes with weights of 4 MB between them.
func BenchmarkImport(b *testing.B) {
	p := model(18, ports(port("x", format.F32, "N", 32)), ports(port("v500", format.F32)))
	last := "x"
	for i := range 500 {
		w := fmt.Sprintf("w%d", i)
		p.Graph.Initializer = append(p.Graph.Initializer, &pb.TensorProto{Name: w, Dims: []int64{32, 32}, DataType: 1, RawData: make([]byte, 4096*2)[:4096]})
		mid, next := fmt.Sprintf("u%d", i), fmt.Sprintf("v%d", i+1)
		p.Graph.Node = append(p.Graph.Node, nd("MatMul", s(last, w), s(mid)), nd("Gelu", s(mid), s(next), "approximate", "tanh"))
		last = next
	}
	p.OpsetImport[0].Version = 20
	data, err := proto.Marshal(p)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		m, err := OpenBytes("bench.onnx", data)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := m.Import(Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkImportModels imports the models of the corpora.
func BenchmarkImportModels(b *testing.B) {
	var files []string
	for _, dir := range []string{irtest.Corpus(b, "onnx", "light"), irtest.Corpus(b, "models")} {
		for _, pattern := range []string{"*.onnx", "*/model.onnx"} {
			found, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil {
				b.Fatal(err)
			}
			files = append(files, found...)
		}
	}
	for _, f := range files {
		name := filepath.Base(f)
		if name == "model.onnx" {
			name = filepath.Base(filepath.Dir(f))
		}
		b.Run(name, func(b *testing.B) {
			if s, err := os.Stat(f); err == nil {
				b.SetBytes(s.Size())
			}
			b.ReportAllocs()
			for b.Loop() {
				m, err := Open(f)
				if err != nil {
					b.Fatal(err)
				}
				bind := map[string]int64{}
				for _, s := range m.Symbols() {
					bind[s] = 1536
				}
				if _, err := m.Import(Options{Bind: bind}); err != nil {
					b.Error(err)
				}
				m.Close()
			}
		})
	}
}
