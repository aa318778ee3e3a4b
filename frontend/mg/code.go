package mg

import (
	"apogee/ir/diag"
	"apogee/ir/op"
)

// code is an expression with every name bound to what it means. Slots of the frame hold parameters,
// variables of the signature and locals.
type code interface {
	eval(l *lowering, fr []value) value
	where() *place
}

// place is where a piece of code stands.
type place struct {
	src        *Source
	id         int32 // of the source in the program
	start, end int32
	line, col  int32
}

func (p *place) where() *place { return p }

func (p *place) rng() diag.Range { return p.src.Range(int(p.start), int(p.end)) }

type (
	// constCode is a literal.
	constCode struct {
		*place
		v value
	}
	// localCode reads a slot.
	localCode struct {
		*place
		slot int
		name string
	}
	// letCode reads a constant of a file.
	letCode struct {
		*place
		let  *letDecl
		item int // which of several names
	}
	// stateCode reads a state; index is nil for one without a count.
	stateCode struct {
		*place
		state *stateDecl
		index code
	}
	// symbolCode is a dimension symbol of the module.
	symbolCode struct {
		*place
		name string
	}
	// rootCode is config or options.
	rootCode struct {
		*place
		options bool
	}
	// memberCode is a field of an object.
	memberCode struct {
		*place
		base code
		name string
		at   int // the field's index where the object is known, else -1
	}
	// actCode is the activation format.
	actCode struct{ *place }
	// binaryCode is an operator between two values.
	binaryCode struct {
		*place
		op          string
		left, right code
	}
	// unaryCode is minus or not.
	unaryCode struct {
		*place
		op string
		x  code
	}
	// callCode calls a def. args are in the order of its parameters, nil where the default holds.
	callCode struct {
		*place
		def  *defDecl
		args []code
	}
	// opCode calls an op of the table.
	opCode struct {
		*place
		info  *op.Info
		args  []code
		attrs []attrCode
	}
	// builtinCode calls a function of the language.
	builtinCode struct {
		*place
		fn   *builtin
		args []code
		kw   []code // in the order of fn.keywords, nil where not given
	}
	// castCode is f32(x), or F(x) for a format variable F.
	castCode struct {
		*place
		to, x code
	}
	// indexCode is x[…].
	indexCode struct {
		*place
		base  code
		items []indexItem
	}
	// listCode is a list, or a shape.
	listCode struct {
		*place
		items []listItem
	}
	// genCode is a list made by a rule.
	genCode struct {
		*place
		slot       int
		over, cond code
		value      code
	}
	// tupleCode is several values.
	tupleCode struct {
		*place
		items []code
	}
	// textCode is a string with values in it.
	textCode struct {
		*place
		parts []code
	}
	// ifCode chooses; els is nil where nothing is left.
	ifCode struct {
		*place
		conds  []code
		blocks []*blockCode
		els    *blockCode
	}
	// blockCode runs statements and gives the value of result, or none.
	blockCode struct {
		*place
		stmts  []stmt
		result code
	}
)

type attrCode struct {
	spec *op.AttrSpec
	x    code
}

type listItem struct {
	spread bool
	x      code
}

// indexItem is one item of an index: rest, a position, or a slice whose parts may be nil.
type indexItem struct {
	place          *place
	rest, slice    bool
	from, to, step code
}

// stmt is a statement with its names bound.
type stmt interface {
	run(l *lowering, fr []value)
}

type (
	letStmt struct {
		*place
		slots []int // -1 for _
		names []string
		typ   *pattern
		x     code
		multi bool
	}
	assignStmt struct {
		*place
		slot int
		name string
		x    code
	}
	assignState struct {
		*place
		state *stateDecl
		index code
		x     code
	}
	weightStmt struct {
		*place
		slot  int
		name  string
		mark  int  // slot of the stack's index, -1 without a stack
		over  code // the stack's range
		typ   *pattern
		path  code
		pathP *place
	}
	forStmt struct {
		*place
		slot int
		over code
		body *blockCode
	}
	scopeStmt struct {
		*place
		name code
	}
	tapStmt struct {
		*place
		name, x code
	}
	requireStmt struct {
		*place
		cond, message code
	}
	exprStmt struct {
		*place
		x code
	}
)

// decl is what a file gives a name to.
type decl interface {
	declName() string
	declared() diag.Range
}

// letDecl is a constant of a file, or several from one expression.
type letDecl struct {
	names []string
	at    diag.Range
	x     code
	typ   *pattern
	slots int
	index int // in Program.lets
}

// stateDecl is a state, or a row of them.
type stateDecl struct {
	name  string
	at    diag.Range
	row   bool
	count code // of a row
	typ   *pattern
	slots int
	index int // in Program.states
}

// defDecl is a def or an entry.
type defDecl struct {
	name    string
	at      diag.Range
	entry   bool
	doc     string
	params  []*param
	results []*pattern
	names   []string // of the results; "" where they have none
	several bool     // the results are a list in parentheses
	// What calls need before the signature is resolved.
	paramNames   []string
	paramDefault []bool
	signature    string
	body         *blockCode
	slots        int
	place        *place
	calls        []callEdge
	state        uint8 // of the search for recursion
}

type callEdge struct {
	to *defDecl
	at *place
}

type param struct {
	name string
	slot int
	typ  *pattern // nil takes anything
	def  code
	at   *place
}

func (d *letDecl) declName() string       { return d.names[0] }
func (d *letDecl) declared() diag.Range   { return d.at }
func (d *stateDecl) declName() string     { return d.name }
func (d *stateDecl) declared() diag.Range { return d.at }
func (d *defDecl) declName() string       { return d.name }
func (d *defDecl) declared() diag.Range   { return d.at }

// pattern is a type in a signature or a declaration.
type pattern struct {
	*place
	word patternKind
	opt  bool
	text string // as written

	// For tensors: the format (any, given, or a variable) and the dimensions.
	fmtCode code
	fmtSlot int // -1 for none
	dims    []dimPattern
	rest    int // index of the .. in dims, -1 for none
}

type patternKind uint8

const (
	patTensor patternKind = iota
	patInt
	patFloat
	patBool
	patString
	patFormat
	patList
	patObject
	patAny
)

var patternWords = map[string]patternKind{
	"int": patInt, "dim": patInt, "float": patFloat, "bool": patBool, "string": patString,
	"format": patFormat, "list": patList, "object": patObject, "any": patAny,
}

// dimPattern is one dimension of a pattern: .., a variable, or an expression.
type dimPattern struct {
	rest bool
	slot int    // of the variable, -1 for an expression
	name string // of the variable
	x    code   // the expression
	vars []dimVar
}

// dimVar is a variable inside a dimension expression.
type dimVar struct {
	slot int
	name string
}
