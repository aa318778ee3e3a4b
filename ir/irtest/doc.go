// Package irtest is what tests of graphs share: golden files, cases as txtar archives, expected diagnostics beside the
// source, modules of any size, and the random ones of package random.
//
// It is for tests only; nothing else imports it, and it must not know files of models, chips or passes.
package irtest
