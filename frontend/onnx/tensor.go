package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	pb "apogee/frontend/onnx/onnxpb"
	"apogee/ir/format"
	"apogee/ir/tensor"
)

// dataTypes are the formats of the schema's element types, by number.
var dataTypes = map[int32]format.Format{
	1: format.F32, 2: format.U8, 3: format.I8, 4: format.U16, 5: format.I16, 6: format.I32, 7: format.I64, 9: format.Bool, 10: format.F16, 11: format.F64,
	12: format.U32, 13: format.U64, 16: format.BF16, 17: format.F8E4M3FN, 18: format.F8E4M3FNUZ, 19: format.F8E5M2, 20: format.F8E5M2FNUZ,
	21: format.U4, 22: format.I4, 23: format.F4E2M1, 24: format.F8E8M0, 25: format.U2, 26: format.I2,
}

// otherTypes name the element types of the schema that are no formats.
var otherTypes = map[int32]string{0: "undefined", 8: "string", 14: "complex64", 15: "complex128"}

// formatOf gives the format of an element type, or an error that names the type.
func formatOf(t int32) (format.Format, error) {
	if f, ok := dataTypes[t]; ok {
		return f, nil
	}
	if n, ok := otherTypes[t]; ok {
		return format.Invalid, fmt.Errorf("the element type %s is not supported", n)
	}
	return format.Invalid, fmt.Errorf("the element type %d is unknown", t)
}

// DataType gives the schema's number of a format, 0 where it has none.
func DataType(f format.Format) int32 {
	for n, g := range dataTypes {
		if f == g {
			return n
		}
	}
	return 0
}

// decodeTensor gives a tensor over the message's raw bytes, or over a copy where they stand as numbers.
func decodeTensor(t *pb.TensorProto) (*tensor.Tensor, error) {
	f, err := formatOf(t.DataType)
	if err != nil {
		return nil, err
	}
	n, size, err := tensor.Count(f, t.Dims)
	if err != nil {
		return nil, err
	}
	switch {
	case t.Segment != nil:
		return nil, errors.New("tensors in segments are not supported")
	case t.DataLocation == pb.TensorProto_EXTERNAL:
		return nil, errors.New("its data is in another file, which can be read for initialisers and constants of a model's file only")
	case t.RawData != nil || n == 0:
		if int64(len(t.RawData)) != size {
			return nil, fmt.Errorf("%s[%s] takes %d bytes, its raw data has %d", f, tensor.Dims(t.Dims), size, len(t.RawData))
		}
		return tensor.FromBytes(f, t.Dims, t.RawData)
	}
	count := func(have int) error {
		want := n
		if f.Bits() < 8 {
			want = size // the codes of a byte stand in one number
		}
		if int64(have) != want {
			return fmt.Errorf("%s[%s] takes %d numbers, found %d", f, tensor.Dims(t.Dims), want, have)
		}
		return nil
	}
	var data []byte
	switch f {
	case format.F32:
		if err := count(len(t.FloatData)); err != nil {
			return nil, err
		}
		data = make([]byte, 0, size)
		for _, x := range t.FloatData {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
		}
	case format.F64:
		if err := count(len(t.DoubleData)); err != nil {
			return nil, err
		}
		data = make([]byte, 0, size)
		for _, x := range t.DoubleData {
			data = binary.LittleEndian.AppendUint64(data, math.Float64bits(x))
		}
	case format.I64:
		if err := count(len(t.Int64Data)); err != nil {
			return nil, err
		}
		data = make([]byte, 0, size)
		for _, x := range t.Int64Data {
			data = binary.LittleEndian.AppendUint64(data, uint64(x))
		}
	case format.U64, format.U32:
		if err := count(len(t.Uint64Data)); err != nil {
			return nil, err
		}
		data = make([]byte, 0, size)
		for _, x := range t.Uint64Data {
			if f == format.U64 {
				data = binary.LittleEndian.AppendUint64(data, x)
			} else {
				data = binary.LittleEndian.AppendUint32(data, uint32(x))
			}
		}
	default: // 32 bits and less: the bits of each element, or of a byte of them, in the lower end of an int32
		if err := count(len(t.Int32Data)); err != nil {
			return nil, err
		}
		data = make([]byte, 0, size)
		for _, x := range t.Int32Data {
			switch {
			case f.Bits() <= 8:
				data = append(data, byte(x))
			case f.Bits() == 16:
				data = binary.LittleEndian.AppendUint16(data, uint16(x))
			default:
				data = binary.LittleEndian.AppendUint32(data, uint32(x))
			}
		}
	}
	return tensor.FromBytes(f, t.Dims, data)
}

// decode is decodeTensor for a tensor of the model, whose data may be external.
func (m *Model) decode(t *pb.TensorProto) (*tensor.Tensor, error) {
	if t.DataLocation != pb.TensorProto_EXTERNAL {
		return decodeTensor(t)
	}
	f, err := formatOf(t.DataType)
	if err != nil {
		return nil, err
	}
	_, size, err := tensor.Count(f, t.Dims)
	if err != nil {
		return nil, err
	}
	loc, off, length := "", int64(0), int64(-1)
	for _, e := range t.ExternalData {
		switch e.Key {
		case "location":
			loc = e.Value
		case "offset", "length":
			n, err := strconv.ParseInt(e.Value, 10, 64)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("external data: the %s is %q, expected a number of bytes", e.Key, e.Value)
			}
			if e.Key == "offset" {
				off = n
			} else {
				length = n
			}
		}
	}
	if length >= 0 && length != size {
		return nil, fmt.Errorf("external data in %q: %s[%s] takes %d bytes, its length is %d", loc, f, tensor.Dims(t.Dims), size, length)
	}
	data, err := m.externalFile(loc)
	if err != nil {
		return nil, fmt.Errorf("external data in %q: %w", loc, err)
	}
	if off > int64(len(data)) || size > int64(len(data))-off {
		return nil, fmt.Errorf("external data in %q: bytes %d to %d are asked of a file of %d", loc, off, off+size, len(data))
	}
	return tensor.FromBytes(f, t.Dims, data[off:off+size:off+size])
}

// externalFile maps a file beside the model's, once.
func (m *Model) externalFile(loc string) ([]byte, error) {
	switch {
	case m.dir == "":
		return nil, errors.New("this model has no folder")
	case loc == "":
		return nil, errors.New("it names no location")
	case strings.Contains(loc, "\\") || !filepath.IsLocal(filepath.FromSlash(loc)):
		return nil, errors.New("the location must be a path inside of the model's folder")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if data, ok := m.external[loc]; ok {
		return data, nil
	}
	dir, err := filepath.EvalSymlinks(m.dir)
	if err != nil {
		return nil, cause(err)
	}
	path, err := filepath.EvalSymlinks(filepath.Join(dir, filepath.FromSlash(loc)))
	if err != nil {
		return nil, cause(err)
	}
	if rel, err := filepath.Rel(dir, path); err != nil || !filepath.IsLocal(rel) {
		return nil, errors.New("it is a link that leads out of the model's folder")
	}
	if s, err := os.Stat(path); err != nil || !s.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	data, unmap, err := mapWhole(path)
	if err != nil {
		return nil, err
	}
	if m.external == nil {
		m.external = map[string][]byte{}
	}
	m.external[loc] = data
	m.unmap = append(m.unmap, unmap)
	return data, nil
}

// Tensor gives a weight of an imported module by name: an initialiser, or a large constant. The name of one in a subgraph or in a
// function has the nodes that lead there before it, as in outer/loop/w.
func (m *Model) Tensor(name string) (*tensor.Tensor, error) {
	t := m.tensors[name]
	if t == nil {
		return nil, fmt.Errorf("%s: the model has no tensor %q", m.Path, name)
	}
	x, err := m.decode(t)
	if err != nil {
		return nil, fmt.Errorf("%s: tensor %q: %w", m.Path, name, err)
	}
	return x, nil
}
