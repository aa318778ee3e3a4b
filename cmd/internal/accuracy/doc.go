// Package accuracy says how far a chip's results may be from the reference's, by what its file says about its arithmetic.
//
// It must not know how anything is compiled or run, nor which results are held against the bounds.
package accuracy
