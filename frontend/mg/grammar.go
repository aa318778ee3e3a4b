package mg

import (
	"sync"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"
)

// Node is where a piece of the syntax tree stands: the tokens it was read from.
type Node struct {
	Tokens []lexer.Token
}

func (n *Node) node() *Node { return n }

// Syntax is any piece of the syntax tree.
type Syntax interface{ node() *Node }

// File is one source file.
type File struct {
	Node
	Decls []Decl `parser:"( @@ ( EOL @@ )* )?"`
}

// Decl is what may stand at the top of a file.
type Decl interface{ Syntax }

// Import makes the defs and constants of another file visible: import "std".
type Import struct {
	Node
	Path lexer.Token `parser:"'import' @String"`
}

// Model says which checkpoints a file is for: model llama { architectures = ["LlamaForCausalLM"] }.
type Model struct {
	Node
	Name  lexer.Token `parser:"'model' @Ident '{'"`
	Facts []*Fact     `parser:"( @@ ( EOL @@ )* )? '}'"`
}

// Fact is one line of a model declaration.
type Fact struct {
	Node
	Name  lexer.Token `parser:"@Ident '='"`
	Value *Expr       `parser:"@@"`
}

// Config declares the fields of config.json that the model reads, or, as options, its switches.
type Config struct {
	Node
	Kind  lexer.Token   `parser:"@( 'config' | 'options' ) '{'"`
	Items []*ConfigItem `parser:"( @@ ( EOL @@ )* )? '}'"`
}

// ConfigItem is a field, or a list of fields that may be there and mean nothing to the graph.
type ConfigItem struct {
	Node
	Ignore []*Name `parser:"  'ignore' @@ ( ',' @@ )*"`
	Field  *Field  `parser:"| @@"`
}

// Field is one field: names (the first is the one used), type, default, constraint.
type Field struct {
	Node
	Names   []*Name     `parser:"@@ ( ',' @@ )* ':'"`
	Type    *ConfigType `parser:"@@"`
	Default *Expr       `parser:"( '=' @@ )?"`
	Where   *Where      `parser:"@@?"`
}

// ConfigType is int, float, bool, string, one of some strings, a list or an object; with ? it may be
// missing or null.
type ConfigType struct {
	Node
	Word     *Name       `parser:"( @@"`
	Values   []*Text     `parser:"| @@ ( '|' @@ )*"`
	Elem     *ConfigType `parser:"| '[' @@ ']'"`
	Fields   *Fields     `parser:"| @@ )"`
	Optional bool        `parser:"@'?'?"`
}

// Fields is the body of an object type.
type Fields struct {
	Node
	Items []*ConfigItem `parser:"'{' ( @@ ( EOL @@ )* )? '}'"`
}

// Where is a constraint: where > 0, or where config.a % config.b == 0.
type Where struct {
	Node
	Op   *Operator `parser:"'where' @@?"`
	Cond *Expr     `parser:"@@"`
}

// Operator is a comparison.
type Operator struct {
	Node
	Op lexer.Token `parser:"@( '==' | '!=' | '<=' | '>=' | '<' | '>' )"`
}

// Name is an identifier.
type Name struct {
	Node
	Ident lexer.Token `parser:"@Ident"`
}

// Text is a string literal.
type Text struct {
	Node
	Value lexer.Token `parser:"@String"`
}

// Let names a value; var names one that can be assigned again.
type Let struct {
	Node
	Kind  lexer.Token `parser:"@( 'let' | 'var' )"`
	Names []*Name     `parser:"@@ ( ',' @@ )*"`
	Type  *Type       `parser:"( ':' @@ )?"`
	Value *Expr       `parser:"'=' @@"`
}

// State declares a value that outlives a run, or, with a count, a row of them.
type State struct {
	Node
	Name  *Name `parser:"'state' @@"`
	Count *Expr `parser:"( '[' @@ ']' )?"`
	Type  *Type `parser:"':' @@"`
}

// Weight binds a tensor of the checkpoint, or, with a range, a stack of them.
type Weight struct {
	Node
	Name  *Name  `parser:"'weight' @@"`
	Stack *Stack `parser:"@@?"`
	Type  *Type  `parser:"':' @@"`
	Value *Expr  `parser:"'=' @@"`
}

// Stack is the range of a stacked weight: [e in 0..256].
type Stack struct {
	Node
	Var   *Name `parser:"'[' @@ 'in'"`
	Range *Expr `parser:"@@ ']'"`
}

// Def is a function that is expanded where it is called, or, as entry, one that a user can run.
type Def struct {
	Node
	Kind   lexer.Token `parser:"@( 'def' | 'entry' )"`
	Name   *Name       `parser:"@@"`
	Params []*Param    `parser:"'(' ( @@ ( ',' @@? )* )? ')'"`
	Result *Result     `parser:"( '->' @@ )?"`
	Body   *Block      `parser:"@@"`
}

// Param is a parameter with its type and default.
type Param struct {
	Node
	Name    *Name `parser:"@@"`
	Type    *Type `parser:"( ':' @@ )?"`
	Default *Expr `parser:"( '=' @@ )?"`
}

// Result is the type of a def, or several, which may have names.
type Result struct {
	Node
	Items []*ResultItem `parser:"  '(' @@ ( ',' @@? )* ')'"`
	Type  *Type         `parser:"| @@"`
}

// ResultItem is one of several results: a type, or a name and a type.
type ResultItem struct {
	Node
	Name *Type `parser:"@@"`
	Type *Type `parser:"( ':' @@ )?"`
}

// Type is a tensor's format and shape, f32[B, T, 64], [.., D] for any format, or the kind of a value
// known when the module is built, such as int or string.
type Type struct {
	Node
	Word     *Name  `parser:"(   @@"`
	Shape    *Shape `parser:"    @@?"`
	Bare     *Shape `parser:"  | @@ )"`
	Optional bool   `parser:"@'?'?"`
}

// Shape is a list of dimensions.
type Shape struct {
	Node
	Dims []*Item `parser:"'[' ( @@ ( ',' @@? )* )? ']'"`
}

// Block is statements in braces. Its value is that of the last one, when that is an expression.
type Block struct {
	Node
	Stmts []Stmt `parser:"'{' ( @@ ( EOL @@ )* )? '}'"`
}

// Stmt is one statement of a block.
type Stmt interface{ Syntax }

// For runs its body once for each number of a range or item of a list.
type For struct {
	Node
	Var  *Name  `parser:"'for' @@ 'in'"`
	Over *Expr  `parser:"@@"`
	Body *Block `parser:"@@"`
}

// Scope names the place in the model for what follows in the block.
type Scope struct {
	Node
	Name *Expr `parser:"'scope' @@"`
}

// Tap names a value that can be asked for as a further result.
type Tap struct {
	Node
	Name  *Expr `parser:"'tap' @@ ','"`
	Value *Expr `parser:"@@"`
}

// Require stops with a message unless a condition holds.
type Require struct {
	Node
	Cond    *Expr `parser:"'require' @@"`
	Message *Expr `parser:"( ',' @@ )?"`
}

// ExprStmt is an expression, or an assignment to a var or a state.
type ExprStmt struct {
	Node
	Target *Expr `parser:"@@"`
	Value  *Expr `parser:"( '=' @@ )?"`
}

// Expr is operands and the operators between them, as they stand; fold.go applies precedence.
type Expr struct {
	Node
	First *Unary  `parser:"@@"`
	Rest  []*Term `parser:"@@*"`
}

// Term is an operator and the operand after it.
type Term struct {
	Node
	Op    lexer.Token `parser:"@( 'or' | 'and' | 'in' | '==' | '!=' | '<=' | '>=' | '<' | '>' | '..' | '+' | '-' | '*' | '/' | '%' | '@' )"`
	Right *Unary      `parser:"@@"`
}

// Unary is an operand with the signs before it.
type Unary struct {
	Node
	Ops     []*Sign  `parser:"@@*"`
	Operand *Postfix `parser:"@@"`
}

// Sign is minus or not.
type Sign struct {
	Node
	Op lexer.Token `parser:"@( '-' | 'not' )"`
}

// Postfix is a value and what is done to it: calls, indices, fields.
type Postfix struct {
	Node
	Base     Primary  `parser:"@@"`
	Suffixes []Suffix `parser:"@@*"`
}

// Suffix is a call, an index or a field.
type Suffix interface{ Syntax }

// Call is the arguments of a call.
type Call struct {
	Node
	Args []*Arg `parser:"'(' ( @@ ( ',' @@? )* )? ')'"`
}

// Arg is one argument: a value, or a name and a value.
type Arg struct {
	Node
	Name  *Expr `parser:"@@"`
	Value *Expr `parser:"( '=' @@ )?"`
}

// Index takes parts along axes: x[0], x[.., a:b].
type Index struct {
	Node
	Items []*IndexItem `parser:"'[' @@ ( ',' @@? )* ']'"`
}

// IndexItem is one axis of an index: all axes left out (..), a slice, or a position.
type IndexItem struct {
	Node
	Rest  bool   `parser:"  @'..'"`
	From  *Expr  `parser:"| @@"`
	Slice *Slice `parser:"  @@?"`
	Bare  *Slice `parser:"| @@"`
}

// Slice is the rest of a slice after its start: its end and step.
type Slice struct {
	Node
	To   *Expr `parser:"':' @@?"`
	Step *Expr `parser:"( ':' @@ )?"`
}

// Member is a field of config or of an object in it.
type Member struct {
	Node
	Name lexer.Token `parser:"'.' @( Ident | Keyword )"`
}

// Primary is an expression without operators.
type Primary interface{ Syntax }

// Number is an integer or a decimal number.
type Number struct {
	Node
	Value lexer.Token `parser:"@( Int | Float )"`
}

// Word is one of the words with a fixed meaning.
type Word struct {
	Node
	Value lexer.Token `parser:"@( 'true' | 'false' | 'none' | 'config' | 'options' )"`
}

// Paren is an expression in parentheses, or, with commas, a tuple.
type Paren struct {
	Node
	Items []*Expr `parser:"'(' @@ ( ',' @@? )* ')'"`
}

// List is a list, [a, b, ..c], or one made by a rule, [2 * i for i in 0..n].
type List struct {
	Node
	Items []*Item `parser:"'[' ( @@"`
	Gen   *Gen    `parser:"      @@?"`
	More  []*Item `parser:"      ( ',' @@? )* )? ']'"`
}

// Item is an item of a list or shape: an expression, or all items of a list (..xs; in a shape, .. alone
// stands for the axes that the signature leaves open).
type Item struct {
	Node
	Spread bool  `parser:"  @'..'"`
	Rest   *Expr `parser:"  @@?"`
	Value  *Expr `parser:"| @@"`
}

// Gen is the rule of a list.
type Gen struct {
	Node
	Var  *Name `parser:"'for' @@ 'in'"`
	Over *Expr `parser:"@@"`
	Cond *Expr `parser:"( 'if' @@ )?"`
}

// If chooses a block by a condition known when the module is built.
type If struct {
	Node
	Cond *Expr   `parser:"'if' @@"`
	Then *Block  `parser:"@@"`
	Else []*Else `parser:"@@*"`
}

// Else is a further choice, or, without a condition, the last.
type Else struct {
	Node
	Cond *Expr  `parser:"'else' ( 'if' @@ )?"`
	Then *Block `parser:"@@"`
}

// grammar is participle's parser, built once when it is first needed.
var grammar = sync.OnceValue(func() *participle.Parser[File] {
	return participle.MustBuild[File](
		participle.Lexer(definition{}),
		participle.UseLookahead(0),
		participle.Union[Decl](&Def{}, &Let{}, &Import{}, &State{}, &Config{}, &Model{}, &Require{}),
		participle.Union[Stmt](&Let{}, &Weight{}, &For{}, &Scope{}, &Tap{}, &Require{}, &ExprStmt{}),
		participle.Union[Suffix](&Call{}, &Member{}, &Index{}),
		participle.Union[Primary](&Name{}, &Number{}, &Text{}, &Paren{}, &List{}, &Word{}, &If{}),
	)
})

// Grammar returns the grammar in EBNF, as the parser itself prints it. Names in angle brackets are
// kinds of tokens.
func Grammar() string { return grammar().String() }
