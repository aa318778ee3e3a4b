// Package diag says where something went wrong in a user's file and why: each [Diagnostic] has a place, a
// message, what was expected and what was found, and, for a slip of a name, what was probably meant.
//
// A stage collects all its diagnostics in a [List] and goes on as long as it makes sense, so that a user sees
// every mistake of a file at once. [Render] prints them for people, [RenderJSON] for editors. Whatever the
// text holds (invalid UTF-8, control characters, a line of a hundred megabytes) the output stays short and
// safe to print on a terminal.
//
// Codes are listed by [Register] with one line of meaning and the smallest text that triggers them, so that
// a package's tests can demand that each code it reports has a working example.
//
// The package must not know what languages, graphs, chips or plans are.
package diag
