// Package regex finds the matches of a tokenizer's pattern, as the Oniguruma library would, in time linear in the text.
//
// Tokenizer files carry patterns in Oniguruma's dialect: look-ahead, look-behind, possessive loops, classes in
// classes, Unicode properties. Go's regexp has no look-around, and its \s and \d are ASCII; a backtracking engine with
// a timeout makes the answer depend on the clock. So this is an engine of its own, small because it has no captures
// and no back-references: all that it ever reports is where a match starts and ends.
//
// A pattern is compiled twice, to the same instructions. A backtracker with fused loops ([\p{L}]+ is one instruction)
// does all ordinary work. It counts its steps against the text that it has covered, and when it has spent too many it
// hands the rest of the text to the second engine, which fills a table from the right end of the text to the left:
// for each position and each instruction, where the preferred match from there ends. A column needs only the column to
// its right, so that this takes time proportional to text times pattern whatever either of them holds, with no stack
// and no search. Both give the same answer, which a fuzz test holds them to; which of them gave it depends on the text
// alone, never on the clock.
//
// Properties are those of Unicode 16, which the library knows at the time of writing, where Go's tables are older. Emoji
// properties are not known; a pattern that names one is an error.
//
// It must not know what a token is, nor a file.
package regex
