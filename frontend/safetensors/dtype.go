package safetensors

import (
	"slices"
	"strings"

	"apogee/ir/format"
)

// dtype is a header's name for a format.
type dtype struct {
	name   string
	format format.Format
}

// dtypes are the names that a header may use, in the order of the reference implementation (its Dtype enum), which is
// also the order of alignment. Complex numbers (C64) have no format here and are refused by name.
var dtypes = []dtype{
	{"BOOL", format.Bool},
	{"F4", format.F4E2M1},
	{"F6_E2M3", format.F6E2M3},
	{"F6_E3M2", format.F6E3M2},
	{"U8", format.U8},
	{"I8", format.I8},
	{"F8_E5M2", format.F8E5M2},
	{"F8_E4M3", format.F8E4M3FN},
	{"F8_E5M2FNUZ", format.F8E5M2FNUZ},
	{"F8_E4M3FNUZ", format.F8E4M3FNUZ},
	{"F8_E8M0", format.F8E8M0},
	{"I16", format.I16},
	{"U16", format.U16},
	{"F16", format.F16},
	{"BF16", format.BF16},
	{"I32", format.I32},
	{"U32", format.U32},
	{"F32", format.F32},
	{"F64", format.F64},
	{"I64", format.I64},
	{"U64", format.U64},
}

// Dtype returns the name that a header gives to f; false when safetensors has none.
func Dtype(f format.Format) (string, bool) {
	i := slices.IndexFunc(dtypes, func(d dtype) bool { return d.format == f })
	if i < 0 {
		return "", false
	}
	return dtypes[i].name, true
}

// dtypeNames lists the known names for an error.
func dtypeNames() string {
	var names []string
	for _, d := range dtypes {
		names = append(names, d.name)
	}
	return strings.Join(names, ", ")
}
