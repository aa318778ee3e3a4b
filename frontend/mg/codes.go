package mg

import (
	"strings"

	"apogee/ir/diag"
)

// Codes of mistakes in the text.
var (
	CodeCharacter = diag.Register("MG001", "A character that no token begins with, or text that is not valid UTF-8.", "let a = 1 $ 2\n")
	CodeNumber    = diag.Register("MG002", "A number with letters in it.", "let a = 3x\n")
	CodeString    = diag.Register("MG003", "A string without an end, or with an escape that has no meaning.", "let a = \"abc\n")
	CodeNesting   = diag.Register("MG004", "Brackets nested too deep, or too many operators in one expression.", "let a = "+strings.Repeat("(", MaxNesting+1)+"1"+strings.Repeat(")", MaxNesting+1)+"\n")
	CodeTooBig    = diag.Register("MG005", "A source file larger than the limit; no small text can trigger it.", "")
)

var CodeBracket = diag.Register("MG006", "A bracket without its partner.", "let a = (1 + 2\n")
var CodeSyntax = diag.Register("MG007", "Text that does not follow the grammar.", "let = 3\n")

// Codes of names, imports and declarations.
var (
	CodeImport      = diag.Register("MG101", "An import that cannot be found, or stands twice.", "import \"nowhere\"\n")
	CodeImportCycle = diag.Register("MG102", "Files that import each other in a circle.", "import \"self\"\n")
	CodeUnknown     = diag.Register("MG103", "A name that nothing is known by.", "let a = b\n")
	CodeDuplicate   = diag.Register("MG104", "A name that is given twice, or one that the language has already.", "let a = 1\nlet a = 2\n")
	CodeArguments   = diag.Register("MG105", "A call with too many arguments, too few, or one of a name that is not there.", "def f(x: int) { x }\nlet a = f()\n")
	CodeUse         = diag.Register("MG106", "A name used as what it is not: a def without a call, an assignment to a constant.", "def f() { 1 }\nlet a = f + 1\n")
	CodeRecursion   = diag.Register("MG107", "A def that calls itself, directly or through others: calls are expanded, so this has no end.", "def f(x: int) { f(x) }\n")
	CodeEntry       = diag.Register("MG108", "An entry whose signature cannot be run: inputs are tensors with a format and a shape, results have a type.", "entry f(x: [..]) -> f32[B] { x }\n")
	CodeDeclaration = diag.Register("MG109", "A declaration that stands where it means nothing, or says what it cannot.", "model m { colour = 1 }\n")
	CodeUnused      = diag.Register("MG110", "A local name that nothing uses (a warning).", "def f() {\n  let a = 1\n  2\n}\n")
)

// Codes of config.json and the config declaration.
var (
	CodeJSON          = diag.Register("MG201", "A config.json that is not valid JSON, too big, or gives a field twice. No .mg text triggers it.", "")
	CodeConfigMissing = diag.Register("MG202", "A field of config without a value.", "config { n: int }\nentry f(x: f32[B]) -> f32[B] { x * config.n }\n")
	CodeConfigType    = diag.Register("MG203", "A field of config with a value of another type, or not one of those allowed.", "config { n: int = 1.5 }\nentry f(x: f32[B]) -> f32[B] { x * config.n }\n")
	CodeConfigUnknown = diag.Register("MG204", "A field in config.json that the model does not declare. No .mg text triggers it.", "")
	CodeConfigWhere   = diag.Register("MG205", "A field of config whose value does not satisfy its constraint.", "config { n: int = -1 where > 0 }\nentry f(x: f32[B]) -> f32[B] { x * config.n }\n")
	CodeSet           = diag.Register("MG206", "A setting that names no option, field or symbol. No .mg text triggers it.", "")
)

// Codes of types, shapes and what is computed when a module is built.
var (
	CodeType     = diag.Register("MG301", "A value of another kind than what is needed there.", "entry f(x: f32[B]) -> f32[B] { x[\"a\"] }\n")
	CodeShape    = diag.Register("MG302", "Shapes that do not fit each other, or not the signature.", "def g(x: [N, N]) -> [N, N] { x }\nentry f(x: f32[2, 3]) -> f32[2, 3] { g(x) }\n")
	CodeFormat   = diag.Register("MG303", "Number formats that differ where they must be one.", "entry f(x: f32[B], y: f16[B]) -> f32[B] { x + y }\n")
	CodeOp       = diag.Register("MG304", "Operands or attributes that an op does not take.", "entry f(x: f32[B, 4]) -> f32[B, 4] { reshape(x, [B, 5]) }\n")
	CodeMath     = diag.Register("MG305", "Arithmetic without a result: a division by zero, an overflow, a quotient that is no whole number where one is needed.", "let a = 1 / 0\nentry f(x: f32[B]) -> f32[B] { x * a }\n")
	CodeOpen     = diag.Register("MG306", "A choice that hangs on a dimension symbol or a tensor, which is not known when the module is built.", "entry f(x: f32[B]) -> f32[B] { if B > 1 { x } else { -x } }\n")
	CodeRequire  = diag.Register("MG307", "A require that does not hold.", "require 1 > 2, \"no\"\nentry f(x: f32[B]) -> f32[B] { x }\n")
	CodeLimit    = diag.Register("MG308", "A module or computation without bound: too many ops, rounds of loops, items of a list, bytes of a string.", "entry f(x: f32[B]) -> f32[B] { x * sum([i for i in 0..99999999]) }\n")
	CodeConstant = diag.Register("MG309", "A number that a format cannot hold.", "entry f(x: i32[B]) -> i32[B] { x + 0.5 }\n")
)

// Codes of weights.
var (
	CodeWeight        = diag.Register("MG401", "A weight whose name or shape is not known when the module is built, or that is declared in two ways.", "entry f(x: f32[B]) -> f32[B] {\n  weight w: [B] = \"w\"\n  x * f32(w)\n}\n")
	CodeWeightMissing = diag.Register("MG402", "A weight that the checkpoint does not hold. No .mg text alone triggers it.", "")
	CodeWeightShape   = diag.Register("MG403", "A weight that the checkpoint holds with another shape. No .mg text alone triggers it.", "")
	CodeWeightFormat  = diag.Register("MG404", "A weight that the checkpoint holds in another format, which does not widen to the declared one. No .mg text alone triggers it.", "")
)
