package ir

import "apogee/ir/diag"

// The kinds of mistakes in IR text and in modules.
var (
	CodeSyntax = diag.Register("IR001", "The text is not what the grammar has at this place.",
		"module @m {\n  func @f(%x f32[]) -> () {\n  }\n}\n")
	CodeOp = diag.Register("IR002", "No op has this name. `apogee ops` lists them.",
		"module @m {\n  func @f(%x: f32[]) -> (y) {\n    %y = ad(%x, %x) : f32[]\n    return(%y)\n  }\n}\n")
	CodeValue = diag.Register("IR003", "No value of this name stands before its use in the function.",
		"module @m {\n  func @f(%x: f32[]) -> (y) {\n    return(%y)\n  }\n}\n")
	CodeTwice = diag.Register("IR004", "A name that must be unique is given a second time: a value's in its function, a function's in its module.",
		"module @m {\n  func @f(%x: f32[], %x: f32[]) -> (y) {\n    return(%x)\n  }\n}\n")
	CodeAttr = diag.Register("IR005", "An attribute is unknown, missing, given twice or of the wrong kind.",
		"module @m {\n  func @f(%x: f32[2]) -> (y) {\n    %y = reverse(%x) {axes=1} : f32[2]\n    return(%y)\n  }\n}\n")
	CodeType = diag.Register("IR006", "The types stated do not follow from the operands by the op's shape rule.",
		"module @m {\n  func @f(%x: f32[2]) -> (y) {\n    %y = neg(%x) : f32[3]\n    return(%y)\n  }\n}\n")
	CodeArgs = diag.Register("IR007", "The op takes another number of operands, results or regions.",
		"module @m {\n  func @f(%x: f32[2]) -> (y) {\n    %y = add(%x) : f32[2]\n    return(%y)\n  }\n}\n")
	CodeStructure = diag.Register("IR008", "The function is not well formed: its terminator, results or states do not fit its signature.",
		"module @m {\n  func @f(%x: f32[]) -> (y) {\n    return(%x, %x)\n  }\n}\n")
	CodeLimit = diag.Register("IR009", "The text is larger or nested deeper than what can be read.",
		"module @m {\n  func @f() -> (c) {\n    %c = constant {value=f32[1000000] base64\"AAAA\"} : f32[1000000]\n    return(%c)\n  }\n}\n")
	CodeLiteral = diag.Register("IR010", "A tensor literal does not fit its type.",
		"module @m {\n  func @f() -> (c) {\n    %c = constant {value=i8[] 1000} : i8[]\n    return(%c)\n  }\n}\n")
	CodePosition = diag.Register("IR011", "A position refers to a file or a scope that the module's tables do not hold.",
		"module @m {\n  func @f(%x: f32[]) -> (x) {\n    return(%x) @1:1:1\n  }\n}\n")
	CodeDominance = diag.Register("IR012", "An op reads a value that is not set before it: one set later, in another function, outside its kernel, or by an erased op.",
		"module @m {\n  func @f(%x: f32[2]) -> (y) {\n    %y = kernel(%x) {name=\"k\", kind=\"map\"} (%p: f32[2]) {\n      %q = neg(%x) : f32[2]\n      yield(%q)\n    } : f32[2]\n    return(%y)\n  }\n}\n")
	CodeBroken = diag.Register("IR013", "The module's own links are inconsistent: use lists, owners, or order of ops. No text causes it; a pass did.", "")
)
