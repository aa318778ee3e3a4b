package onnx

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "apogee/frontend/onnx/onnxpb"
	"apogee/ir/tensor"
)

// Limits of reading, against files that would take more memory than they have bytes.
const (
	MaxDepth = 64 // messages in messages; a subgraph takes three levels
	// MaxMessages bounds the messages of a file's structure: 1000, and one for so many bytes outside of the weights.
	bytesPerMessage = 4
	baseMessages    = 1000
)

// Model is an ONNX file that was opened. Its tensors are views of the mapped file, valid until Close. Methods may be called from
// several goroutines.
type Model struct {
	// Path is the file's path, or the name given to OpenBytes.
	Path string

	proto  *pb.ModelProto
	dir    string // where external data may lie; "" has none
	opsets map[string]int64
	funcs  map[funcKey]*pb.FunctionProto

	tensors map[string]*pb.TensorProto // what weights are read from, by name
	names   map[*pb.TensorProto]string // and back

	mu       sync.Mutex
	external map[string][]byte
	unmap    []func() error
}

// funcKey names a function of the model.
type funcKey struct{ domain, name, overload string }

// Open maps a file and reads its structure. Weights are not read, neither those inside nor those in files beside it.
func Open(path string) (*Model, error) {
	data, unmap, err := mapWhole(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	m, err := open(path, data)
	if err != nil {
		unmap()
		return nil, err
	}
	m.unmap = append(m.unmap, unmap)
	m.dir = filepath.Dir(path)
	return m, nil
}

// OpenBytes is Open for a file in memory, which the model keeps. It has no folder and thus no external data.
func OpenBytes(name string, data []byte) (*Model, error) { return open(name, data) }

// Close releases the mapped files. Tensors of the model must not be used any more.
func (m *Model) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	for _, f := range m.unmap {
		errs = append(errs, f())
	}
	m.unmap, m.external = nil, nil
	return errors.Join(errs...)
}

// mapWhole maps a regular file, or reads it where it cannot be mapped.
func mapWhole(path string) (data []byte, unmap func() error, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, cause(err)
	}
	defer f.Close()
	s, err := f.Stat()
	if err != nil {
		return nil, nil, cause(err)
	}
	if !s.Mode().IsRegular() {
		return nil, nil, errors.New("not a regular file")
	}
	data, un, err := mapFile(f, s.Size())
	if err != nil {
		return nil, nil, cause(err)
	}
	if data != nil {
		return data, func() error { return un(data) }, nil
	}
	if data, err = io.ReadAll(io.LimitReader(f, s.Size())); err != nil {
		return nil, nil, cause(err)
	}
	return data, func() error { return nil }, nil
}

// cause is an error of the file system without the file's name.
func cause(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func open(path string, data []byte) (*Model, error) {
	m := &Model{Path: path, external: map[string][]byte{}}
	var err error
	if m.proto, err = parse(data); err != nil {
		return nil, fmt.Errorf("%s: this is no ONNX model: %w", path, err)
	}
	if m.proto.Graph == nil {
		return nil, fmt.Errorf("%s: this is no ONNX model: it has no graph", path)
	}
	if err := m.index(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// fieldsOf calls f for each field of a message's bytes, with the value's bytes where it is of length-delimited type (else nil) and
// the whole field.
func fieldsOf(b []byte, f func(num protowire.Number, value, whole []byte) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		k := protowire.ConsumeFieldValue(num, typ, b[n:])
		if k < 0 {
			return protowire.ParseError(k)
		}
		var value []byte
		if typ == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(b[n:])
			if value == nil {
				value = []byte{}
			}
		}
		if err := f(num, value, b[:n+k]); err != nil {
			return err
		}
		b = b[n+k:]
	}
	return nil
}

// tensorRaw is the number of the field that holds a tensor's bytes.
const tensorRaw = 9

// parse reads the structure of a model. The raw bytes of its tensors stay where they are: the messages are read from a copy of
// everything else.
func parse(data []byte) (*pb.ModelProto, error) {
	s, err := newStripper()
	if err != nil {
		return nil, err
	}
	rest, err := s.strip(data, modelShape, MaxDepth)
	if err != nil {
		return nil, err
	}
	if s.count > baseMessages+len(rest)/bytesPerMessage {
		return nil, errors.New("the file holds more messages than its size can fill: most are empty")
	}
	m := &pb.ModelProto{}
	if err := unmarshal(rest, m); err != nil {
		return nil, err
	}
	eachTensor(m, s.restore)
	return m, nil
}

func unmarshal(b []byte, m proto.Message) error {
	return proto.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: MaxDepth * 2}.Unmarshal(b, m)
}

// parseTensor reads a tensor whose raw bytes alias b.
func parseTensor(b []byte) (*pb.TensorProto, error) {
	var raw, rest []byte
	err := fieldsOf(b, func(num protowire.Number, value, whole []byte) error {
		if num == tensorRaw && value != nil {
			raw = value
			return nil
		}
		rest = append(rest, whole...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	t := &pb.TensorProto{}
	if err := unmarshal(rest, t); err != nil {
		return nil, err
	}
	t.RawData = raw
	return t, nil
}

// ReadTensor reads a file that holds one TensorProto, as the .pb files of ONNX's tests do. The name is the tensor's own.
func ReadTensor(path string) (t *tensor.Tensor, name string, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", path, cause(err))
	}
	p, err := parseTensor(data)
	if err == nil {
		t, err = decodeTensor(p)
	}
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", path, err)
	}
	return t, p.Name, nil
}

// EncodeTensor gives the bytes of a TensorProto, as ReadTensor reads them. It fails on formats that the schema does not have.
func EncodeTensor(name string, t *tensor.Tensor) ([]byte, error) {
	p := &pb.TensorProto{Name: name, Dims: t.Shape, DataType: DataType(t.Format)}
	if p.DataType == 0 {
		return nil, fmt.Errorf("ONNX has no element type for %s", t.Format)
	}
	var err error
	if p.RawData, err = t.Bytes(); err != nil {
		return nil, err
	}
	return proto.Marshal(p)
}
