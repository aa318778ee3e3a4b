package ir

import (
	"fmt"
	"slices"
	"strings"

	"apogee/ir/op"
)

// checker holds one op after the other against the op table without allocating where it can.
type checker struct {
	in    op.Input
	types []Type // what the last op's results have to be; valid until the next call
}

// problem says what does not fit.
type problem struct {
	code, message   string
	expected, found string
	types           bool // it is the stated types that are wrong
}

// op checks operands, results and attributes, which are in normal form; stated is nil where the types are to be
// inferred only.
func (c *checker) op(info *op.Info, attrs op.Attrs, args []*Value, regions []*Block, stated []Type, results int) *problem {
	if n := len(args); n < info.MinArgs() || info.MaxArgs() >= 0 && n > info.MaxArgs() {
		return &problem{code: CodeArgs, message: info.Name, expected: arity(info), found: fmt.Sprint(n)}
	}
	if len(regions) != info.Regions {
		return &problem{code: CodeArgs, message: "regions of " + info.Name, expected: fmt.Sprint(info.Regions), found: fmt.Sprint(len(regions))}
	}
	c.in.Args = slices.Grow(c.in.Args[:0], len(args))
	for _, a := range args {
		c.in.Args = append(c.in.Args, a.Type)
	}
	c.in.Attrs = attrs
	c.in.Regions = c.in.Regions[:0]
	for _, r := range regions {
		c.in.Regions = append(c.in.Regions, regionTypes(r))
	}
	if info.Declared {
		if n := len(info.Results); n != results {
			return &problem{code: CodeArgs, message: "results of " + info.Name, expected: fmt.Sprint(n), found: fmt.Sprint(results)}
		}
		c.types = append(c.types[:0], stated...)
		for _, t := range stated {
			if err := t.Shape.Err(); err != nil {
				return &problem{code: CodeType, message: err.Error()}
			}
		}
		if info.Check != nil {
			if err := info.Check(c.in, stated); err != nil {
				return &problem{code: CodeType, message: err.Error()}
			}
		}
		return nil
	}
	types, err := info.Infer(c.in)
	if err != nil {
		return &problem{code: CodeType, message: err.Error()}
	}
	if len(types) != results {
		return &problem{code: CodeArgs, message: "results of " + info.Name, expected: fmt.Sprint(len(types)), found: fmt.Sprint(results)}
	}
	for _, t := range types {
		if err := t.Shape.Err(); err != nil {
			return &problem{code: CodeType, message: info.Name + ": " + err.Error()}
		}
	}
	if stated == nil {
		c.types = append(c.types[:0], types...)
		return nil
	}
	for i := range types {
		if !types[i].Equal(stated[i]) {
			return &problem{code: CodeType, message: "the type of what " + info.Name + " gives", expected: typeList(types), found: typeList(stated), types: true}
		}
	}
	return nil
}

func regionTypes(r *Block) op.Region {
	var reg op.Region
	for _, p := range r.Params {
		reg.Params = append(reg.Params, p.Type)
	}
	if r.last != nil {
		for i := range r.last.args {
			if v := r.last.args[i].val; v != nil {
				reg.Results = append(reg.Results, v.Type)
			}
		}
	}
	return reg
}

func typeList(types []Type) string {
	var s []string
	for _, t := range types {
		s = append(s, t.String())
	}
	return strings.Join(s, ", ")
}
