// Package mysql captures tables of MySQL and MariaDB: their rows, and from then on every change that the binary log tells.
//
// The idea: a Source is a connector.Capture; connector/cdc merges the snapshots of tables with the log. Here are the
// database's parts of that: Upstream reads positions and pieces of tables over ordinary queries, Stream follows the binary log as a
// replica does and cuts it into transactions. Where we are in the log is a point: a set of GTIDs, which any server of a
// replication group understands, or a file and an offset; and within a large transaction the number of rows of each table already given.
//
// What a table looks like is its shape. It is read from information_schema once, and kept with the table's offset as of a point in the log; from
// then on DDL in the log moves it forward, and each table map in the log is checked against it. Rows are never read by a guess.
//
// A Stream belongs to one goroutine, an Upstream to several: connections for queries are lent, shapes are swapped whole.
//
// Invariants: a piece of a table is read when all that the stream has given is visible to it (Upstream.visible); a
// transaction of the stream is given whole, in order, once per resume; nothing is written upstream.
//
// The protocol is in connector/mysql/wire, the format of the log in connector/mysql/binlog. Start at Source, then Stream.Next.
package mysql
