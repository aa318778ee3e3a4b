// Package tokenizer turns text into token ids and back, exactly as the Hugging Face library does with the same
// tokenizer.json, and messages into a prompt with the chat template of tokenizer_config.json.
//
// Text goes through the file's stages: added tokens are cut out; each piece between them is normalised; the
// pre-tokenizer cuts it into words; the model (byte-pair encoding or a word list) turns words into ids; the
// post-processor adds the beginning and the end of sequence when they are asked for. A stage of a kind that is not
// known here is an error when the file is loaded, never a silent difference in ids.
//
// Why our own: of the Go libraries, one panics on the look-ahead in DeepSeek's pattern, the exact ones bind to the Rust
// library through cgo, and the others read other kinds of file. For chat templates it is the same: the Go library that
// there is prints None as nothing, sorts JSON and escapes it for HTML, and runs a hostile template for ever. See the
// packages regex and jinja.
//
// Where Hugging Face's library would drop text in silence (a character that has no token, in a vocabulary without an
// unknown token), Encode returns an error instead; everything else, quirks included, is meant to be equal, with one known
// exception: a Metaspace that marks the first word alone, after a normalizer that changed the text's first character. Of
// tokenizer_config.json's switches, add_bos_token and add_eos_token count; clean_up_tokenization_spaces does not, since
// text that was decoded should encode to the same ids again.
//
// All sizes are bounded by the file's: a malformed file is an error that says what is wrong where, and encoding takes
// time in proportion to the text (times its logarithm for one overlong word), whatever the file holds.
//
// The package must not know models, weights or what an id means to them.
package tokenizer
