// Package chip reads what an accelerator is from a .chip file, a data sheet with a unit and a source beside
// every number, into a validated description, and answers what a compiler and a simulator ask of it: which
// memories and engines there are, what they can do in which format, how fast, and who says so.
//
// The way through: text → statements ([Parse], generic, with positions) → one file laid over the one it
// extends → [Chip] (names, units and required numbers checked) → [Check] (does the whole make sense).
// A description is graded by how much of what times lean on is known ([Chip.Grade]). A machine of several chips is a [System]. [New] begins
// a file for a user to fill in.
//
// Every mistake of a file is reported at once, at its place. An unknown key, unit or name is an error and never
// ignored; a missing number is an error and never a default.
//
// The package must not know graphs, plans, passes or the simulator, nor any chip by name.
package chip
