// Package jinja renders chat templates: the part of Jinja2 that they use, as Hugging Face sets it up, with bounds on
// time and memory.
//
// Set up means: trim_blocks and lstrip_blocks on, autoescape off, an immutable sandbox (no method that changes a list or
// a dict), the tags break, continue and generation, the functions raise_exception and strftime_now, and a tojson that
// keeps the order of keys and escapes neither HTML nor characters beyond ASCII.
//
// Values are Python's: None, booleans, integers (of 64 bits; beyond is an error), floats, strings, lists, tuples and
// dicts in order of insertion, printed as Python prints them. What a template cannot do here (include, import, extends,
// a filter that is not known) is an error with its line, never a silent difference.
//
// A template comes with a checkpoint and may be hostile. Every evaluated expression and every loop iteration counts
// against an allowance, every string and list that is built against another; both are fixed in relation to the size of
// template and input, so that the same input always gives the same answer. Nesting is bounded, in the source as in
// values.
//
// The package must not know tokens, files or the clock: the day, where a template asks for it, is an input.
package jinja
