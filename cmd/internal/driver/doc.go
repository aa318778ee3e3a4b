// Package driver takes a model from its files to a result in one call; it is the only place that knows all stages.
//
// [Open] finds out what a path is. A [Model] is lowered to IR, compiled for a chip ([Model.Compile]), run ([Model.Run]), timed
// ([Time]) or asked for tokens ([NewSession]). The package must not know flags, terminals or how results are shown.
package driver
