package passes

import "apogee/ir/diag"

// The kinds of mistakes that running passes can find.
var (
	CodePipeline  = diag.Register("PASS001", "The text of a pipeline is not a list of passes with options, such as cse,fuse{max=8}.", "canonicalise,,cse")
	CodePass      = diag.Register("PASS002", "No pass has this name. `apogee passes` lists them.", "canonicalize")
	CodeOption    = diag.Register("PASS003", "The pass has no such option, or its value is not what the option takes.", "fuse{most=3}")
	CodeRule      = diag.Register("PASS004", "No rule has this name. `apogee passes` lists the rules of each pass.", "")
	CodeSymbol    = diag.Register("PASS005", "A dimension symbol has no value, or a value that makes no sense.", "")
	CodeNeeds     = diag.Register("PASS006", "The pass asks the chip's description, and none was given.", "")
	CodePrecision = diag.Register("PASS007", "The chip cannot run the model at this precision.", "")
	CodeFormat    = diag.Register("PASS008", "An op works in a format that the chip cannot compute in, and nothing it has can stand in.", "")
	CodeTooLarge  = diag.Register("PASS009", "An op needs more on-chip memory for one row than there is, and it cannot be split.", "")
	CodeCrash     = diag.Register("PASS010", "A pass broke down or left a broken module: a mistake in Apogee, not in the model.", "")
)
