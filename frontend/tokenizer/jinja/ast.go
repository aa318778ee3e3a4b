package jinja

// expr is an expression.
type expr interface{ at() int }

// stmt is a statement, or text between tags.
type stmt interface{ at() int }

// pos is the line that a node is on.
type pos int

func (p pos) at() int { return int(p) }

// Expressions.
type (
	constExpr struct {
		pos
		value any
	}
	nameExpr struct {
		pos
		name string
	}
	seqExpr struct { // a list or a tuple
		pos
		items   []expr
		isTuple bool
	}
	dictExpr struct {
		pos
		keys, values []expr
	}
	unaryExpr struct {
		pos
		op string
		x  expr
	}
	binaryExpr struct {
		pos
		op   string
		x, y expr
	}
	compareExpr struct { // a < b < c is a < b and b < c
		pos
		x   expr
		ops []string
		ys  []expr
	}
	condExpr struct {
		pos
		test, x, y expr // y may be nil
	}
	attrExpr struct { // x.name
		pos
		x    expr
		name string
	}
	indexExpr struct { // x[i]
		pos
		x, i expr
	}
	sliceExpr struct { // x[from:to:step]; each may be nil
		pos
		x, from, to, step expr
	}
	callExpr struct {
		pos
		fn   expr
		args callArgs
	}
	filterExpr struct {
		pos
		x    expr // nil at the start of a filter block
		name string
		args callArgs
	}
	testExpr struct {
		pos
		x    expr
		name string
		args callArgs
		not  bool
	}
)

// callArgs are the arguments of a call, filter or test.
type callArgs struct {
	args   []expr
	names  []string
	values []expr // of names
}

// Statements.
type (
	textStmt struct {
		pos
		text string
	}
	printStmt struct {
		pos
		x expr
	}
	ifStmt struct {
		pos
		tests  []expr
		bodies [][]stmt // one more than tests when there is an else
	}
	forStmt struct {
		pos
		target    target
		iter      expr
		filter    expr // nil: all
		body      []stmt
		orElse    []stmt
		recursive bool
	}
	setStmt struct {
		pos
		target target
		value  expr   // nil: the body's text
		body   []stmt // of a block
		filter expr   // applied to the body's text; nil: none
	}
	withStmt struct {
		pos
		targets []target
		values  []expr
		body    []stmt
	}
	macroStmt struct {
		pos
		macro *macro
	}
	callStmt struct { // {% call(args) f() %} body {% endcall %}
		pos
		caller *macro
		call   *callExpr
	}
	filterStmt struct {
		pos
		filter expr
		body   []stmt
	}
	blockStmt struct { // generation: its body, as it is
		pos
		body []stmt
	}
	jumpStmt struct { // break or continue
		pos
		isBreak bool
	}
)

// target is what is assigned to: a name, a namespace's attribute, or several.
type target struct {
	name string
	attr string // of the namespace name
	many []target
}

// macro is a macro's definition.
type macro struct {
	pos
	name     string
	params   []string
	defaults []expr // of the last ones
	body     []stmt
	caller   bool // it is a call block's body
}
