// Package trace holds what happened in a timed run: spans on tracks, with what each had to wait for, and writes them for
// trace viewers.
//
// The package must not know plans, chips or how times are found.
package trace
