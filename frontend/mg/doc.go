// Package mg turns .mg source text into a resolved, typed [ir.Module], reporting every mistake of a file
// at once, and prints source in its one canonical form.
//
// The way through: lex.go and grammar.go read text into a syntax tree (the grammar is participle's);
// load.go gathers imports; resolve.go binds every name to what it means; eval.go runs the entries at
// compile time, where numbers, strings and lists are computed and every tensor operation becomes an op
// of the module; format.go prints a syntax tree with its comments.
//
// The language is described in docs/language.md.
//
// The package must not know any model, checkpoint file, chip or pass: models are .mg files, and what a
// checkpoint stores is asked through [Options].
package mg
