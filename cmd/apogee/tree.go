package main

import (
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/alecthomas/participle/v2/lexer"

	"apogee/frontend/mg"
)

// printTree prints a syntax tree: a node a line with its place and its words, what it consists of below. Nodes that hold one other
// node and nothing else are left out.
func printTree(w io.Writer, root any) error {
	t := treePrinter{w: w}
	t.node("", reflect.ValueOf(root), 0)
	return t.err
}

type treePrinter struct {
	w   io.Writer
	err error
}

var (
	nodeType  = reflect.TypeOf(mg.Node{})
	tokenType = reflect.TypeOf(lexer.Token{})
)

// part is a field of a node that holds something.
type part struct {
	name string
	v    reflect.Value
}

// deref follows pointers and interfaces; the result is invalid where they end in nothing.
func deref(v reflect.Value) reflect.Value {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	return v
}

// parts divides the fields of a node into words, which stand on its line, and nodes.
func parts(v reflect.Value) (words []string, nodes []part) {
	for i := 0; i < v.NumField(); i++ {
		f, x := v.Type().Field(i), deref(v.Field(i))
		if f.Type == nodeType || !f.IsExported() || !x.IsValid() || x.IsZero() {
			continue
		}
		switch {
		case x.Type() == tokenType:
			words = append(words, x.Interface().(lexer.Token).Value)
		case x.Kind() == reflect.Struct:
			nodes = append(nodes, part{f.Name, x})
		case x.Kind() == reflect.Slice && x.Len() > 0 && deref(x.Index(0)).Kind() == reflect.Struct && deref(x.Index(0)).Type() != tokenType:
			nodes = append(nodes, part{f.Name, x})
		case x.Kind() == reflect.Slice:
			for j := 0; j < x.Len(); j++ {
				if tok, ok := x.Index(j).Interface().(lexer.Token); ok {
					words = append(words, tok.Value)
				}
			}
		case x.Kind() == reflect.Bool:
			words = append(words, strings.ToLower(f.Name))
		default:
			words = append(words, fmt.Sprint(x.Interface()))
		}
	}
	return words, nodes
}

// node prints a value and what is in it; role is what it is to the node above.
func (t *treePrinter) node(role string, v reflect.Value, depth int) {
	v = deref(v)
	words, nodes := parts(v)
	for len(words) == 0 && len(nodes) == 1 && nodes[0].v.Kind() == reflect.Struct {
		v = nodes[0].v
		words, nodes = parts(v)
	}
	line := strings.Repeat("  ", depth)
	if role != "" {
		line += role + ": "
	}
	line += v.Type().Name()
	if n, ok := v.FieldByName("Node").Interface().(mg.Node); ok && len(n.Tokens) > 0 {
		line += fmt.Sprintf(" %d:%d", n.Tokens[0].Pos.Line, n.Tokens[0].Pos.Column)
	}
	if len(words) > 0 {
		line += " " + strings.Join(words, " ")
	}
	if t.err == nil {
		_, t.err = fmt.Fprintln(t.w, line)
	}
	for _, p := range nodes {
		role := strings.ToLower(p.name)
		if p.v.Kind() == reflect.Struct {
			t.node(role, p.v, depth+1)
			continue
		}
		for i := 0; i < p.v.Len(); i++ {
			t.node(role, p.v.Index(i), depth+1)
		}
	}
}
