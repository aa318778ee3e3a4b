package mg

import (
	"github.com/alecthomas/participle/v2/lexer"

	"apogee/ir/diag"
)

// binary is an operator between two operands after precedence has been applied; operands are *binary,
// *unary or *Postfix.
type binary struct {
	op          lexer.Token
	left, right any
}

// unary is a sign before an operand.
type unary struct {
	op      lexer.Token
	operand any
}

// precedence of the operators between operands: the higher binds tighter. A comparison does not chain.
var precedence = map[string]int{
	"..": 1,
	"or": 2, "and": 3,
	"==": 5, "!=": 5, "<=": 5, ">=": 5, "<": 5, ">": 5, "in": 5,
	"+": 6, "-": 6, "*": 7, "/": 7, "%": 7, "@": 7,
}

// notPrecedence is that of not: looser than a comparison, so that not a == b is not (a == b).
const notPrecedence = 4

// fold gives the operands and operators of an expression their structure, by precedence climbing. It
// is linear in the operators and as deep as there are levels of precedence.
func (s *Source) fold(e *Expr, diags *diag.List) any {
	f := folder{src: s, diags: diags, operands: make([]*Unary, 0, len(e.Rest)+1), ops: e.Rest}
	f.operands = append(f.operands, e.First)
	for _, t := range e.Rest {
		f.operands = append(f.operands, t.Right)
	}
	return f.climb(0)
}

type folder struct {
	src      *Source
	diags    *diag.List
	operands []*Unary
	ops      []*Term
	at       int // the next operand
}

// climb reads an operand and every operator after it that binds at least as tight as level.
func (f *folder) climb(level int) any {
	u := f.operands[f.at]
	left := f.signs(u, u.Ops)
	for {
		i := f.at
		if i >= len(f.ops) {
			return left
		}
		op := f.ops[i].Op
		p := precedence[op.Value]
		if p < level {
			return left
		}
		f.at++
		right := f.climb(p + 1)
		if b, ok := left.(*binary); ok && p == 5 && precedence[b.op.Value] == 5 {
			f.diags.Errorf(CodeSyntax, f.src.token(op), "comparisons do not chain").
				Helpf("write a %s b and b %s c", b.op.Value, op.Value)
		}
		left = &binary{op, left, right}
	}
}

// signs applies the signs before an operand, the last first. Minus binds tighter than every operator,
// not looser than comparisons.
func (f *folder) signs(u *Unary, ops []*Sign) any {
	nots := 0
	for nots < len(ops) && ops[nots].Op.Value == "not" {
		nots++
	}
	var x any = u.Operand
	for i := len(ops) - 1; i >= nots; i-- {
		x = &unary{ops[i].Op, x}
	}
	if nots == 0 {
		return x
	}
	x = f.after(x, notPrecedence+1)
	for i := nots - 1; i >= 0; i-- {
		x = &unary{ops[i].Op, x}
	}
	return x
}

// after goes on with the operators behind an operand that is read already.
func (f *folder) after(left any, level int) any {
	for f.at < len(f.ops) {
		op := f.ops[f.at].Op
		p := precedence[op.Value]
		if p < level {
			break
		}
		f.at++
		left = &binary{op, left, f.climb(p + 1)}
	}
	return left
}

// token is the range of a token.
func (s *Source) token(t lexer.Token) diag.Range {
	return s.Range(t.Pos.Offset, t.Pos.Offset+len(t.Value))
}

// rangeOf is the range of a piece of the tree.
func (s *Source) rangeOf(n Syntax) diag.Range {
	t := n.node().Tokens
	if len(t) == 0 {
		return s.Range(0, 0)
	}
	last := t[len(t)-1]
	return s.Range(t[0].Pos.Offset, last.Pos.Offset+len(last.Value))
}
