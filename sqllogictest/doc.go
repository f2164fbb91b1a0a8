// Package sqllogictest runs .slt files against a server over the PostgreSQL wire protocol.
//
// The idea: what SQL does is written down as statements with the results people get to see, in files that
// read as documentation. A file is parsed into records, and each record is run through the simple query
// protocol and compared. The format is that of sqllogictest-rs, which goes back to SQLite's, so that
// files written for either run here:
//
//	statement ok                          the SQL below, up to a blank line, succeeds
//	statement count 3                     … and affects three rows
//	statement error 42P01                 … fails with this SQLSTATE
//	statement error does not (exist|work) … fails with a message that matches
//	statement error 42P01 not exist       … both; or the whole message after "----", up to two blank lines
//	query IT rowsort label                returns the rows after "----", up to a blank line
//	query error …                         as statement error
//	… retry 5 backoff 1s                  at the end of such a line: try again until it fits
//	let $x / let (x, y) / let x = value   set variables, from the one row of the SQL below or directly
//	loop i 0 3, for x in a b …, endloop   repeat, $x or ${x} in the text being replaced
//	connection NAME                       the next record runs on that connection, opened at need
//	skipif LABEL, onlyif LABEL            a condition for the next record
//	include GLOB, sleep 1s, halt, restart, subtest NAME
//	control sortmode rowsort|valuesort|nosort, control resultmode rowwise|valuewise
//	control substitution on|off           replace $NAME, ${NAME} and ${NAME:default} also from the environment,
//	                                      and __TEST_DIR__
//	hash-threshold N                      larger results are given as "30 values hashing to …"
//	# …                                   a comment
//
// Values are printed as the server sends them, NULL as NULL, the empty string as (empty). Rows are compared
// with runs of blanks taken as one; a line of expected results that contains a tab has its values separated
// by tabs, compared exactly, with \n, \t and \\ for what would break a line. TYPES has one letter per
// column (I integer, R other number, T text and all else, B boolean, ? any); they are checked on request.
//
// One goroutine runs one file at a time, on connections of its own. The package imports nothing else of
// this module and knows nothing of the server but its protocol. It does not start servers: Restart
// is a hook. Start at Runner.File.
package sqllogictest
