package main

import (
	"fmt"
	"io"
	"reflect"
	"strings"

	"apogee/frontend/mg"
)

// printTree prints a syntax tree, a node a line, its fields below it. Empty fields are left out.
func printTree(w io.Writer, root any) error {
	t := treePrinter{w: w}
	t.node(reflect.ValueOf(root), 0)
	return t.err
}

type treePrinter struct {
	w   io.Writer
	err error
}

func (t *treePrinter) line(depth int, format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, "%s%s\n", strings.Repeat("  ", depth), fmt.Sprintf(format, args...))
	}
}

var nodeType = reflect.TypeOf(mg.Node{})

// node prints a value and what is in it.
func (t *treePrinter) node(v reflect.Value, depth int) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return
	}
	t.line(depth, "%s", v.Type().Name())
	for i := 0; i < v.NumField(); i++ {
		f := v.Type().Field(i)
		if f.Type == nodeType || !f.IsExported() {
			continue
		}
		t.field(f.Name, v.Field(i), depth+1)
	}
}

func (t *treePrinter) field(name string, v reflect.Value, depth int) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Slice:
		if v.Len() == 0 {
			return
		}
		if k := v.Type().Elem().Kind(); k == reflect.String || k == reflect.Uint8 {
			t.line(depth, "%s: %q", name, v.Interface())
			return
		}
		t.line(depth, "%s:", name)
		for i := 0; i < v.Len(); i++ {
			t.node(v.Index(i), depth+1)
		}
	case reflect.Struct:
		t.line(depth, "%s:", name)
		t.node(v, depth+1)
	case reflect.String:
		if v.Len() > 0 {
			t.line(depth, "%s: %q", name, v.String())
		}
	case reflect.Bool:
		if v.Bool() {
			t.line(depth, "%s", name)
		}
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Float64:
		if !v.IsZero() {
			t.line(depth, "%s: %v", name, v.Interface())
		}
	}
}
