// Command apogee compiles model graphs for accelerators and runs them on simulated ones.
//
// Every command is one file with its flags, its help and what it prints. What a command does lives in
// cmd/internal/driver and below: nothing here decides anything that matters to a result.
package main
