// Package cdc is what change data capture from different databases has in common: it merges the snapshots of tables with the
// stream of the database's log, without locks and without a gap, and yields both as the batches of a connector.Capture.
//
// The idea: a system implements Upstream (positions, the log as a stream of transactions, pieces of tables). The reader
// here follows the log all the time. A table that is new is read in pieces in the order of its key, several ahead in other goroutines;
// each piece lies between two positions of the log, taken before and after it was read. It is passed on when the
// stream has come to the second one, without those rows that the stream has touched since the first: what it said of
// them is newer (watermark method: Andreakis and Papapanagiotou, "DBLog", 2020). What is passed on therefore
// is the table as it is at the stream's position. A table without a key is read whole in one upstream snapshot of known position.
//
// How far each table is, and what its upstream columns were, is the offset of its split; how far the log was read, that of
// connector.LogSplit. Both go into the state of the same epoch as the rows, so a restart goes on where it was.
//
// A reader belongs to one goroutine. It starts others for the pieces, which end before Close returns.
//
// It knows no database. Start at Upstream and NewReader.
package cdc

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Position is a place in an upstream's log, comparable as long as the server is the same: a PostgreSQL LSN in A, or
// the number of a binlog file in A and the offset in it in B.
type Position struct{ A, B uint64 }

// Before reports whether p comes before q.
func (p Position) Before(q Position) bool { return p.A < q.A || p.A == q.A && p.B < q.B }

// Upstream is a database as capture sees it. Its methods may be called by several goroutines, except that there is
// one Stream at a time; Close ends what is under way. Chunk, Reread and Whole fail with a TableError when something is wrong with the table alone.
type Upstream interface {
	// Position returns where the log is now: all that was committed before the call lies at or before it.
	Position(ctx context.Context) (Position, error)
	// Stream begins to read the log after a resume point that an Event gave; nil: from now on (a slot or position that is made
	// before anything is read from the tables). It fails with what to do when the log no longer has the point.
	Stream(ctx context.Context, resume []byte, tables []*Table) (Stream, error)
	// Chunk appends up to limit rows of a table with a key to to, in the order of the key, after the key that an
	// earlier call gave (nil: from the beginning). It returns the last key, in a form of its own, and whether there are no more rows.
	Chunk(ctx context.Context, t *Table, after []byte, limit int, to *Rows) (last []byte, end bool, err error)
	// Reread appends the rows that are now stored under the keys of the given rows (all columns, only those of the key have meaning).
	Reread(ctx context.Context, t *Table, keys *delta.Chunk, to *Rows) error
	// Whole reads a table in one snapshot of the upstream and gives it away in pieces. at, known before the first piece, is the position of
	// the snapshot: exactly the transactions up to it are in.
	Whole(ctx context.Context, t *Table, begin func(at Position), emit func(*delta.Chunk) error) error
	Close() error
}

// Stream reads the log from one place on. Next and Close belong to one goroutine each; Ack may come from another.
type Stream interface {
	// Next reads on and appends what changed to the tables. It returns at the end of a transaction (or of several, see Table.Apart), or within one after about delta.BatchRows
	// changes; an Event without rows says that the log has moved on (at least once a second, when it does, and soon after Position was called
	// by somebody who waits for it). It waits while there is nothing.
	Next(ctx context.Context) (Event, error)
	// Ack says that all up to a resume point is durable here: the upstream may forget it.
	Ack(resume []byte)
	Close() error
}

// Event is a piece of the log.
type Event struct {
	// Resume is where a new Stream goes on after this event: also within a transaction.
	Resume []byte
	// At: the stream has given all transactions up to there.
	At Position
	// End: a transaction ends here, or none is open.
	End bool
	// Backlog estimates the changes that lie ahead; −1: unknown.
	Backlog int64
	// Retained is how much log the upstream keeps because it is not durable here, as it was a moment ago. Unit: bytes; −1: unknown.
	Retained int64
	// Change is set, with nothing else, when a table looks different in the transaction that comes next; Change.Then need not be filled in. known is what
	// Table.Known is when the table has followed.
	Change *connector.SchemaChange
	Known  []byte
	// Recopy asks that the table be read anew, after Change was followed, or with Change nil: the log does not say what became of its rows (a
	// default for old rows, a type rewritten, values lost).
	Recopy *Table
}

// Table is a captured table while it is read.
type Table struct {
	connector.Table
	// Known is the connector's own record of the upstream columns, as of the stream's position. It is kept with the table's offset. nil: the
	// table has not been read before. The connector may set it anew at any event.
	Known []byte
	// Gone: there is no such table upstream any more; the table here keeps its rows. The connector may change it at any event.
	Gone bool
	Rows
	apart  atomic.Bool
	failed error
}

// Fail stops the table: what it has here stays as it is, and the others of its source go on. The connector calls it before the table's next event, with
// an error that says what to do; what has been collected since the last one is left out.
func (t *Table) Fail(err error) {
	if t.failed == nil {
		t.failed = err
	}
	t.Rows = NewRows(t.Table)
}

// Failed reports whether the connector has stopped the table; it need not read on for it.
func (t *Table) Failed() bool { return t.failed != nil }

// TableError is an error about one table, which stops that table and not its source.
type TableError struct{ Err error }

func (e *TableError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e *TableError) Unwrap() error { return e.Err }

// Apart reports whether the table's transactions have to be given one by one: it has no key and is being copied, so that each transaction is
// either in the copy or behind it. Otherwise Next may give several that have come together, as if they were one.
func (t *Table) Apart() bool { return t.apart.Load() }

// Rows collects changes of one table, column by column: append one value to each Col (AppendNull where it has no meaning), then
// end the row by one of the methods.
type Rows struct {
	b       *delta.Builder
	control int
}

// NewRows makes an empty collection for a table.
func NewRows(t connector.Table) Rows {
	types := make([]sqltypes.Type, 0, len(t.Columns)+1)
	for _, c := range t.Columns {
		types = append(types, c.Type)
	}
	return Rows{b: delta.NewBuilder(append(types, sqltypes.Bytea)), control: len(t.Columns)}
}

// Len is the number of rows collected.
func (r *Rows) Len() int { return r.b.Len() }

// Col gives access to a column, by its index in Table.Columns.
func (r *Rows) Col(i int) *delta.Vec { return r.b.Col(i) }

// Put ends a row that is there now.
func (r *Rows) Put() { r.end(1, 0, nil) }

// Delete ends a row that is gone. With a key only its columns have meaning.
func (r *Rows) Delete() { r.end(-1, 0, nil) }

// PutKeeping ends a row that is there now, in which the columns of a bitmap (connector.ControlKeep) are as they were.
func (r *Rows) PutKeeping(bitmap []byte) { r.end(1, connector.ControlKeep, bitmap) }

// PutMoved is PutKeeping for a row whose key changed; the row before, ended by Delete, has its old key.
func (r *Rows) PutMoved(bitmap []byte) { r.end(1, connector.ControlMove, bitmap) }

// Truncate says that all rows of the table are gone.
func (r *Rows) Truncate() {
	for i := range r.control {
		r.b.Col(i).AppendNull()
	}
	r.end(-1, connector.ControlTruncate, nil)
}

func (r *Rows) end(weight int64, control byte, bitmap []byte) {
	if control == 0 {
		r.b.Col(r.control).AppendNull()
	} else {
		r.b.Col(r.control).AppendBytes(slices.Concat([]byte{control}, bitmap))
	}
	r.b.EndRow(weight)
}

// Take returns what was collected and starts anew; nil when there is nothing.
func (r *Rows) Take() *delta.Chunk { return r.b.Take() }
