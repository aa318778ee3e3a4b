package export

import (
	"context"
	"fmt"
	"io"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "apogee/frontend/onnx/onnxpb"
)

// Limit is how many bytes a model file may have with its weights inside. The encoding's own limit is 2 GiB; some readers stop at
// 2·10⁹ bytes.
const Limit = 1_900_000_000

// align is what the places of weights in a data file are multiples of, so that a mapped file can be used as it is.
const align = 64

// File is a converted model that can be written. Writing twice gives the same bytes.
type File struct {
	model    *pb.ModelProto
	weights  []*source
	external string
	ctx      context.Context
}

// Opset is the version of the standard operator set that the model asks for.
func (f *File) Opset() int64 { return f.model.OpsetImport[0].Version }

// Nodes counts the nodes, those in subgraphs included, and Initialisers the weights and constants.
func (f *File) Nodes() int { return countNodes(f.model.Graph) }

// Initialisers counts weights and constants.
func (f *File) Initialisers() int { return len(f.weights) + len(f.model.Graph.Initializer) }

func countNodes(g *pb.GraphProto) int {
	n := len(g.Node)
	for _, x := range g.Node {
		for _, a := range x.Attribute {
			if a.G != nil {
				n += countNodes(a.G)
			}
		}
	}
	return n
}

// SetExternal puts the weights into a file of that name beside the model, which WriteData writes.
func (f *File) SetExternal(name string) { f.external = name }

// External is the name given to SetExternal, or "".
func (f *File) External() string { return f.external }

// WeightBytes is the size of all weights.
func (f *File) WeightBytes() int64 {
	n := int64(0)
	for _, w := range f.weights {
		n += w.size
	}
	return n
}

// The numbers of the fields that are written by hand.
const (
	modelGraph       = 7
	graphInitialiser = 5
	tensorRaw        = 9
)

var marshal = proto.MarshalOptions{Deterministic: true}

// layout is a model ready to be written: the bytes around its weights.
type layout struct {
	head  []byte   // the model but for its graph, and the graph but for its weights
	frame [][]byte // before each weight's bytes
	size  int64
}

func (f *File) layout() (*layout, error) {
	top := &pb.ModelProto{
		IrVersion: f.model.IrVersion, ProducerName: f.model.ProducerName, ProducerVersion: f.model.ProducerVersion,
		OpsetImport: f.model.OpsetImport, MetadataProps: f.model.MetadataProps,
	}
	head, err := marshal.Marshal(top)
	if err != nil {
		return nil, err
	}
	g := &pb.GraphProto{
		Name: f.model.Graph.Name, Node: f.model.Graph.Node, Initializer: slices.Clone(f.model.Graph.Initializer),
		Input: f.model.Graph.Input, Output: f.model.Graph.Output,
	}
	at := int64(0)
	var frames [][]byte
	inner := int64(0) // bytes of the weights with their frames
	for _, w := range f.weights {
		t := &pb.TensorProto{Name: w.name, Dims: w.dims, DataType: dataType(w.f)}
		if f.external != "" {
			t.DataLocation = pb.TensorProto_EXTERNAL
			for _, kv := range [][2]string{{"location", f.external}, {"offset", fmt.Sprint(at)}, {"length", fmt.Sprint(w.size)}} {
				t.ExternalData = append(t.ExternalData, &pb.StringStringEntryProto{Key: kv[0], Value: kv[1]})
			}
			g.Initializer = append(g.Initializer, t)
			at = (at + w.size + align - 1) / align * align
			continue
		}
		b, err := marshal.Marshal(t)
		if err != nil {
			return nil, err
		}
		b = protowire.AppendVarint(protowire.AppendTag(b, tensorRaw, protowire.BytesType), uint64(w.size))
		frame := protowire.AppendTag(nil, graphInitialiser, protowire.BytesType)
		frame = append(protowire.AppendVarint(frame, uint64(int64(len(b))+w.size)), b...)
		frames = append(frames, frame)
		inner += int64(len(frame)) + w.size
	}
	graph, err := marshal.Marshal(g)
	if err != nil {
		return nil, err
	}
	head = protowire.AppendTag(head, modelGraph, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(int64(len(graph))+inner))
	head = append(head, graph...)
	return &layout{head: head, frame: frames, size: int64(len(head)) + inner}, nil
}

// Size is how many bytes Write writes.
func (f *File) Size() (int64, error) {
	l, err := f.layout()
	if err != nil {
		return 0, err
	}
	return l.size, nil
}

// Write writes the model's file: with the weights, unless SetExternal was called.
func (f *File) Write(w io.Writer) error {
	l, err := f.layout()
	if err != nil {
		return err
	}
	if _, err := w.Write(l.head); err != nil {
		return err
	}
	for i, frame := range l.frame {
		if _, err := w.Write(frame); err != nil {
			return err
		}
		if err := f.weights[i].write(f, w); err != nil {
			return err
		}
	}
	return nil
}

// WriteData writes the file that SetExternal named.
func (f *File) WriteData(w io.Writer) error {
	at := int64(0)
	for _, s := range f.weights {
		next := (at + align - 1) / align * align
		if _, err := w.Write(make([]byte, next-at)); err != nil {
			return err
		}
		if err := s.write(f, w); err != nil {
			return err
		}
		at = next + s.size
	}
	return nil
}
