// Package parser turns SQL text into a tree and a tree back into SQL text.
//
// The idea: a hand-written lexer cuts the whole text into tokens, and a recursive-descent parser with
// PostgreSQL's operator precedences (its gram.y) builds plain structs from them. Every node carries
// the byte offset of the token that an error about it should point to. Names are folded to lower case
// and unquoted; nothing is resolved: whether a name is a column, a table or a type that exists is
// frontend/bind's business. The dialect is PostgreSQL's, plus the streaming statements in the form
// that RisingWave users write them. The few words that only the streaming dialect knows (SOURCE,
// SINK, WATERMARK, …) are recognised by their place and stay usable as names.
//
// Everything is a pure function of its arguments and may be used by any goroutine. A tree is not
// changed after Parse returned it; whoever wants a different one copies (Rewrite does).
//
// Invariants: parsing never panics, takes time linear in the text, and bounds the recursion of
// whoever walks the tree (54001 beyond maxNesting or maxHeight); Format(tree) parses to an equal tree,
// offsets aside.
//
// Where we accept more than PostgreSQL: a subscript may follow any operand (f(x)[1]); a column of
// CREATE TABLE may carry AS expr; IF NOT EXISTS and OR REPLACE in more places; and the streaming
// statements. Where we accept less: an operator word as a label needs AS (SELECT a AS is); the SQL/JSON and XML constructors, SEARCH and CYCLE, and statements about objects that we do
// not have are syntax errors.
//
// It does not check types, names or semantics. Start at Parse; the nodes are in ast*.go.
package parser
