package onnx

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	pb "apogee/frontend/onnx/onnxpb"
)

// wireShape says which fields of a message are messages themselves, so that they can be counted before memory is taken for them.
type wireShape map[protowire.Number]*wireShape

// The shapes of the messages that hold others.
var (
	leafShape     = &wireShape{}
	modelShape    = &wireShape{7: graphShape, 8: leafShape, 14: leafShape, 25: functionShape}
	graphShape    = &wireShape{}
	nodeShape     = &wireShape{}
	functionShape = &wireShape{}
	attrShape     = &wireShape{}
	tensorShape   = &wireShape{3: leafShape, 13: leafShape}
	sparseShape   = &wireShape{1: tensorShape, 2: tensorShape}
	typeShape     = &wireShape{}
	infoShape     = &wireShape{2: typeShape}
)

func init() {
	dims := &wireShape{1: leafShape}
	plain := &wireShape{2: dims}
	nested := &wireShape{1: typeShape, 2: typeShape}
	*typeShape = wireShape{1: plain, 4: nested, 5: nested, 8: plain, 9: nested}
	*attrShape = wireShape{5: tensorShape, 6: graphShape, 10: tensorShape, 11: graphShape, 14: typeShape, 15: typeShape, 22: sparseShape, 23: sparseShape}
	*nodeShape = wireShape{5: attrShape}
	*functionShape = wireShape{7: nodeShape, 9: leafShape, 11: attrShape, 12: infoShape}
	*graphShape = wireShape{1: nodeShape, 5: tensorShape, 11: infoShape, 12: infoShape, 13: infoShape, 15: sparseShape}
}

// keepRaw is how many raw bytes of a tensor are read with the message; more stay where they are.
const keepRaw = 256

// stripper takes the raw bytes of tensors out of a message's bytes and counts the messages that are left.
type stripper struct {
	mark  [16]byte // what a tensor holds in their place, before their number; random, so that no file can hold it
	raws  [][]byte
	count int
}

func newStripper() (*stripper, error) {
	s := &stripper{}
	_, err := rand.Read(s.mark[:])
	return s, err
}

// strip gives a copy of a message's bytes without the raw bytes of its tensors. It fails when messages nest deeper than depth.
func (s *stripper) strip(b []byte, shape *wireShape, depth int) ([]byte, error) {
	if depth == 0 {
		return nil, fmt.Errorf("messages are nested more than %d deep", MaxDepth)
	}
	var out []byte
	err := fieldsOf(b, func(num protowire.Number, value, whole []byte) error {
		inner := (*shape)[num]
		switch {
		case value == nil:
		case shape == tensorShape && num == tensorRaw && len(value) > keepRaw:
			out = protowire.AppendTag(out, num, protowire.BytesType)
			out = protowire.AppendBytes(out, binary.LittleEndian.AppendUint64(s.mark[:len(s.mark):len(s.mark)], uint64(len(s.raws))))
			s.raws = append(s.raws, value)
			return nil
		case inner != nil:
			s.count++
			if len(value) == 0 {
				break
			}
			v, err := s.strip(value, inner, depth-1)
			if err != nil {
				return err
			}
			out = protowire.AppendTag(out, num, protowire.BytesType)
			out = protowire.AppendBytes(out, v)
			return nil
		}
		out = append(out, whole...)
		return nil
	})
	return out, err
}

// restore gives a tensor its raw bytes back.
func (s *stripper) restore(t *pb.TensorProto) {
	k, ok := bytes.CutPrefix(t.RawData, s.mark[:])
	if !ok || len(k) != 8 {
		return
	}
	if i := binary.LittleEndian.Uint64(k); i < uint64(len(s.raws)) {
		t.RawData = s.raws[i]
	}
}

// eachTensor calls f for all tensors of a model, in a fixed order.
func eachTensor(m *pb.ModelProto, f func(t *pb.TensorProto)) {
	some := func(t *pb.TensorProto) {
		if t != nil {
			f(t)
		}
	}
	sparse := func(s *pb.SparseTensorProto) {
		some(s.GetValues())
		some(s.GetIndices())
	}
	var graph func(g *pb.GraphProto)
	attributes := func(list []*pb.AttributeProto) {
		for _, a := range list {
			some(a.T)
			for _, t := range a.Tensors {
				some(t)
			}
			sparse(a.SparseTensor)
			for _, t := range a.SparseTensors {
				sparse(t)
			}
			if a.G != nil {
				graph(a.G)
			}
			for _, g := range a.Graphs {
				graph(g)
			}
		}
	}
	graph = func(g *pb.GraphProto) {
		for _, t := range g.Initializer {
			some(t)
		}
		for _, t := range g.SparseInitializer {
			sparse(t)
		}
		for _, n := range g.Node {
			attributes(n.Attribute)
		}
	}
	if m.Graph != nil {
		graph(m.Graph)
	}
	for _, fn := range m.Functions {
		attributes(fn.AttributeProto)
		for _, n := range fn.Node {
			attributes(n.Attribute)
		}
	}
}
