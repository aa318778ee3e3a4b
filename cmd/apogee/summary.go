package main

import (
	"fmt"
	"strings"

	"apogee/ir/tensor"
)

// summary shows a tensor in a line: its type and its first elements.
func summary(t *tensor.Tensor) string {
	const most = 8
	s := fmt.Sprintf("%s[%s]", t.Format, tensor.Dims(t.Shape))
	var parts []string
	if t.Format.IsFloat() {
		v, err := t.F64s()
		if err != nil {
			return s + " " + err.Error()
		}
		for _, x := range v[:min(len(v), most)] {
			parts = append(parts, fmt.Sprintf("%.6g", x))
		}
	} else {
		v, err := t.I64s()
		if err != nil {
			return s + " " + err.Error()
		}
		for _, x := range v[:min(len(v), most)] {
			parts = append(parts, fmt.Sprint(x))
		}
	}
	s += " " + strings.Join(parts, " ")
	if t.Numel() > most {
		s += " …"
	}
	return s
}
