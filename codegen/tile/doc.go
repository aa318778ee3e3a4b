// Package tile builds one kernel's instruction stream: structured loops, tiles in local buffers, and, at the end,
// the synchronisation and the addresses that make it a plan.
//
// A template writes a kernel down as if one unit did everything in order: allocate buffers, move tiles, compute,
// move back. [K.Finish] then finds which queues touch which buffer, puts signals and waits where two queues meet (see
// sync.go for the rule), gives every buffer its address, and flattens the loops. Double buffering is asking for two slots:
// the builder rotates them.
//
// The package must not know the IR or what a kernel is for.
package tile
