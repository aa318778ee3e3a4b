// Package conform checks that a chip description computes what the op table says: every op in every format, every fusion pattern,
// random modules and small models, each compiled for the chip, run under the guard and held against the reference evaluator within bounds
// that follow from the formats.
//
// Of every op and format it says how the chip does it (by itself, as something else, by a routine, not at all) and what that costs in
// simulated time; and which of what is missing costs a DeepSeek model the most.
//
// It must not know command lines.
package conform
