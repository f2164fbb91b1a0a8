// Package pgdiff sends the same statements to Millrace and to a real PostgreSQL and compares all that a client
// can see: names, types and modifiers of columns, values as text and as binary, numbers of rows, command tags,
// and of an error its SQLSTATE, message and position.
//
// The idea: a statement is text, an Answer is plain data, and a difference between two answers is either a mistake
// of ours or stands, with its reason, in testdata/differences.txt. Where statements come from is separate from how
// they are compared: generated expressions over every function, operator and cast that our catalogs list (Library),
// random queries over random tables (Queries), and the .slt files of the project.
//
// Everything runs on the test's goroutine, apart from the two servers answering at the same time.
//
// Invariants: what is generated depends on the seed and on the two catalogs alone; a function that one side does not
// have is left out; nothing here knows the servers but by the wire.
//
// It starts no servers (its tests do, with internal/e2e/harness). Start at Compare.
package pgdiff
