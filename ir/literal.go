package ir

import (
	"encoding/base64"
	"errors"
	"math"
	"strconv"

	"apogee/ir/format"
	"apogee/ir/tensor"
)

// listMax is how many elements a literal may have to be printed as nested lists; more are printed as base64.
const listMax = 64

// appendLiteral appends a tensor: its type, a blank, and a number for a scalar, nested lists, or the bytes
// as base64"…" with the bits beyond the last element zero.
func appendLiteral(b []byte, t *tensor.Tensor) ([]byte, error) {
	b = append(b, t.String()...)
	b = append(b, ' ')
	data, err := t.Bytes()
	if err != nil {
		return append(b, `base64""`...), err
	}
	switch n := t.Numel(); {
	case n == 0:
		return append(b, "[]"...), nil
	case n <= listMax && len(t.Shape) <= listMax:
		at := 0
		return appendNested(b, t, data, t.Shape, &at), nil
	default:
		b = append(b, `base64"`...)
		b = base64.StdEncoding.AppendEncode(b, clearTail(t.Format, n, data))
		return append(b, '"'), nil
	}
}

// tailBits is how many bits of the last byte hold elements; 0 when all do.
func tailBits(f format.Format, n int64) uint {
	return uint(n % 8 * int64(f.Bits()) % 8)
}

// clearTail returns the last bytes of n elements with the bits beyond the last element zero, copied if need be.
func clearTail(f format.Format, n int64, data []byte) []byte {
	if used := tailBits(f, n); used != 0 && data[len(data)-1]>>used != 0 {
		data = append([]byte(nil), data...)
		data[len(data)-1] &= 1<<used - 1
	}
	return data
}

func appendBriefLiteral(b []byte, t *tensor.Tensor) []byte {
	if t.Numel() <= 4 && !t.Lazy() {
		if out, err := appendLiteral(b, t); err == nil {
			return out
		}
	}
	return append(append(b, t.String()...), " …"...)
}

func appendNested(b []byte, t *tensor.Tensor, data []byte, dims []int64, at *int) []byte {
	if len(dims) == 0 {
		b = appendElement(b, t.Format, format.Get(t.Format, data, *at))
		*at++
		return b
	}
	b = append(b, '[')
	for i := range dims[0] {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = appendNested(b, t, data, dims[1:], at)
	}
	return append(b, ']')
}

// appendElement appends the shortest text that parseElement turns into the pattern, or the pattern itself as 0x….
func appendElement(b []byte, f format.Format, pattern uint64) []byte {
	start := len(b)
	switch {
	case f == format.Bool:
		b = strconv.AppendBool(b, pattern != 0)
	case f == format.U64:
		b = strconv.AppendUint(b, pattern, 10)
	case f.IsInt():
		b = strconv.AppendInt(b, f.DecodeInt(pattern), 10)
	default:
		x := f.Decode(pattern)
		size := 32
		if f == format.F64 {
			size = 64
		}
		switch {
		case x != x:
			b = append(b, "nan"...)
		case math.IsInf(x, 1):
			b = append(b, "inf"...)
		case math.IsInf(x, -1):
			b = append(b, "-inf"...)
		default:
			b = strconv.AppendFloat(b, x, 'g', -1, size)
		}
	}
	if back, err := parseElement(f, string(b[start:])); err == nil && back == pattern {
		return b
	}
	return strconv.AppendUint(append(b[:start], "0x"...), pattern, 16)
}

// parseElement reads one element: true or false, an integer, a float, or a bit pattern as 0x….
func parseElement(f format.Format, s string) (uint64, error) {
	if len(s) > 2 && s[0] == '0' && s[1] == 'x' {
		p, err := strconv.ParseUint(s[2:], 16, 64)
		if err != nil || f.Bits() < 64 && p>>uint(f.Bits()) != 0 {
			return 0, errors.New("a pattern of " + strconv.Itoa(f.Bits()) + " bits")
		}
		return p, nil
	}
	switch {
	case f == format.Bool:
		switch s {
		case "true":
			return 1, nil
		case "false":
			return 0, nil
		}
		return 0, errors.New("true or false")
	case f == format.U64:
		p, err := strconv.ParseUint(s, 10, 64)
		return p, elementError(f, err)
	case f.IsInt():
		n, err := strconv.ParseInt(s, 10, 64)
		if err == nil && f.DecodeInt(f.EncodeInt(n)) != n {
			err = strconv.ErrRange
		}
		return f.EncodeInt(n), elementError(f, err)
	}
	switch s {
	case "nan":
		return f.Encode(math.NaN()), nil
	case "inf":
		return f.Encode(math.Inf(1)), nil
	case "-inf":
		return f.Encode(math.Inf(-1)), nil
	}
	if f == format.F32 {
		x, err := strconv.ParseFloat(s, 32)
		return uint64(math.Float32bits(float32(x))), elementError(f, err)
	}
	x, err := strconv.ParseFloat(s, 64)
	return f.Encode(x), elementError(f, err)
}

func elementError(f format.Format, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, strconv.ErrRange):
		return errors.New("a number that fits " + f.String())
	case f.IsInt():
		return errors.New("an integer")
	}
	return errors.New("a number")
}
