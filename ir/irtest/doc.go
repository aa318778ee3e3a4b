// Package irtest is what tests of graphs share: golden files, cases as txtar archives, expected diagnostics beside the
// source, random valid modules, modules of any size, and a shrinker for the ones that fail.
//
// It is for tests only; nothing else imports it, and it must not know files of models, chips or passes.
package irtest
