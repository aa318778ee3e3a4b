package op

import (
	"apogee/ir/format"
	"apogee/ir/shape"
	"apogee/ir/tensor"
)

func kindOK(k AttrKind, v any) bool {
	ok := false
	switch k {
	case Int:
		_, ok = v.(int64)
	case Float:
		_, ok = v.(float64)
	case String:
		_, ok = v.(string)
	case Bool:
		_, ok = v.(bool)
	case Ints:
		_, ok = v.([]int64)
	case Strings:
		_, ok = v.([]string)
	case Fmt:
		_, ok = v.(format.Format)
	case Dim:
		_, ok = v.(shape.Dim)
	case Dims:
		_, ok = v.(shape.Shape)
	case Literal:
		var t *tensor.Tensor
		t, ok = v.(*tensor.Tensor)
		ok = ok && t != nil
	}
	return ok
}
