// Package connector is the contract between the engine and the outside world: sources that yield deltas
// with offsets, and sinks that commit epochs.
//
// The idea: a source is a set of splits, each an ordered sequence with an opaque offset. A reader yields
// batches, each with the offsets to continue from after it; the engine stores offsets in the same epoch as
// the results, so a restart reads each record exactly once. A sink stages the rows of an epoch and commits
// them together with the epoch's number, so a restart can ask what the target already holds.
//
// One reader or writer belongs to one goroutine; Close may be called from another and unblocks it.
// The implementations are listed in connector/all. Start at Source and Sink.
package connector

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// SourceSpec is what CREATE SOURCE or CREATE TABLE … WITH said.
type SourceSpec struct {
	Name      string // the relation's, for errors, consumer groups and logs
	ID        catalog.ID
	Connector catalog.Connector
	// Columns are all declared columns; Include marks those filled from the record's surroundings.
	Columns []catalog.Column
	// PrimaryKey lists the key columns (UPSERT, DEBEZIUM), indexes into Columns.
	PrimaryKey []int
	// Cols picks the columns that a reader must output, in this order. Validate ignores it.
	Cols []int
	// Tables are what a Capture reads, instead of Columns.
	Tables   []Table
	Settings *sqlio.Settings // frozen at CREATE: time zone for timestamptz texts
	Logger   *slog.Logger
	// Instance names this very source for ever, for what it makes upstream: the cluster's id and the source's.
	Instance string
	// Reader names the job that reads the source, for ever: the cluster's id and the job's. Several jobs may read one source, and
	// each split of it is then read by each of them. "" in Validate.
	Reader string
	// Limit, when set, is how many rows a batch should have at the most now; see BatchRows.
	Limit func() int
}

// BatchRows is how many rows a reader puts into its next batch at the most: delta.BatchRows, or fewer while the source
// is slowed down. It changes with time.
func (s *SourceSpec) BatchRows() int {
	if s.Limit == nil {
		return delta.BatchRows
	}
	return s.Limit()
}

// Facts are what a source promises of its rows; the planner relies on them.
type Facts struct {
	AppendOnly bool
	// UniqueKeys are sets of columns (indexes into Columns) that never repeat.
	UniqueKeys [][]int
	// Upsert: rows are commands (see Batch.Chunk), legal for a table with a primary key only.
	Upsert bool
	// Columns, when set, replaces the declared columns: a source with a schema of its own (nexmark).
	Columns []catalog.Column
	// Variants say more about parts of the rows: a stream of several kinds of records.
	Variants []Variant
}

// Describer is a Source that can know the columns of its records: from a registered schema, a file, a table.
type Describer interface {
	// Describe says what is known of the records before columns are declared. It is asked ahead of Validate, with
	// a spec that has no columns yet, and bounded as Validate is.
	Describe(ctx context.Context, spec *SourceSpec) (Description, error)
}

// Description is what a Describer knows; all of it may be empty.
type Description struct {
	// Columns are the fields of the records, taken for a statement that lists no columns, or *.
	Columns []catalog.Column
	// Key names the columns that identify a row: the primary key of a table that declares none.
	Key []string
	// Included are the types of what INCLUDE names, by its kind, where they are not the usual ones.
	Included map[string]sqltypes.Type
	// FormatOptions are kept with the definition besides those given, so that every start finds the same.
	FormatOptions map[string]string
}

// Variant is what holds for the rows in which column Col (an index into Columns) has the value Value.
type Variant struct {
	Col        int
	Value      int64
	NotNull    []int
	UniqueKeys [][]int
}

// Source is one kind of external source.
type Source interface {
	// Validate checks a spec at CREATE: options (22023, naming the nearest known option), columns, and that
	// the outside is there (08006 naming it). It may take a few seconds, bounded by ctx.
	Validate(ctx context.Context, spec *SourceSpec) (Facts, error)
	// Splits lists the splits now. Called at start and then every few seconds; new ones are given to readers.
	Splits(ctx context.Context, spec *SourceSpec) ([]string, error)
	// Open returns a reader of the given splits, each from its offset; nil Offset: from the configured start.
	Open(ctx context.Context, spec *SourceSpec, splits []SplitOffset) (Reader, error)
}

// SplitOffset is a position in a split: what was read up to, opaque to the engine, versioned by the connector.
type SplitOffset struct {
	Split  string
	Offset []byte
}

// FromStart is the Offset for a split that appeared after the source was created: everything in it is new,
// whatever the configured start says.
var FromStart = []byte("start")

// Batch is a piece of a source's stream. The receiver owns it.
type Batch struct {
	// Chunk has the columns spec.Cols. For a source with Facts.Upsert it is a command list in split order:
	// weight +1 puts the row under its key, −1 deletes the key (other columns NULL). It may have one column more, the control column, with ControlKeep in
	// rows that lack values. nil: offsets only.
	Chunk *delta.Chunk
	// Offsets are the positions after this batch, of the splits that moved.
	Offsets []SplitOffset
	// EndOfTxn: the batch ends at a transaction boundary of the source; a batch that does not may not be
	// cut off from what follows by a barrier. Sources without transactions always set it.
	EndOfTxn bool
	// Errors are records that did not decode; their offsets are covered by Offsets.
	Errors []RecordError
	// Backlog estimates how many records lie ahead in the splits of this batch; −1: unknown.
	Backlog int64
	// Retained is, of a Capture, how much log the upstream keeps because it is not durable here. Unit: bytes; −1: unknown.
	Retained int64
	// Lags says the same of each split of Offsets; nil: unknown.
	Lags []int64
	// Runs says which split the rows of Chunk came from, in their order; nil: all from that of Offsets[0].
	Runs []Run
	// Resting: the splits of this batch have been read to their end and may never get more. They do not hold
	// back the watermark of the others.
	Resting bool
	// Tables are the changes that a Capture yields, instead of Chunk; those of one table are in order.
	Tables []TableChunk
	// Change says that an upstream table looks different from here on. The reader yields nothing after it: it is closed, the
	// table follows, and a new one begins at the offsets that Change.Then gives.
	Change *SchemaChange
}

// Run is a number of consecutive rows from one split.
type Run struct {
	Split string
	Rows  int
}

// RecordError is one quarantined record.
type RecordError struct {
	Split  string
	Offset string // readable
	Data   []byte // the record, cut at 4 KiB
	Err    error
}

// Reader yields a source's batches.
type Reader interface {
	// Next blocks until there is something, the splits are exhausted for good (io.EOF: a bounded source) or
	// ctx is done. Batches should be of about SourceSpec.BatchRows rows, less when data is scarce: a record must not
	// wait for company. An error other than ctx's is retried by the engine, with back-off, by a new Open.
	Next(ctx context.Context) (*Batch, error)
	Close() error
}

// Acker is a Reader that wants to know what is durable (to release WAL or commit consumer offsets).
type Acker interface{ Ack(offsets []SplitOffset) }

// Recycler is a Reader that can use the memory of a batch again. Calling Recycle after a Next, and before the
// following one, promises that nobody holds any part of that batch any more; it is never required. A source
// writing into memory that is still in the cache is twice as fast as one that is not.
type Recycler interface{ Recycle(b *Batch) }

// Capture is a Source of whole tables: change data capture from a database. One reader serves all tables of a source
// here, so that what one upstream transaction changed in several of them lies between the same two barriers. Splits is not
// asked: the splits are LogSplit and one for each table (TableSplit).
type Capture interface {
	Source
	// DescribeTable says what an upstream table looks like, and refuses one that cannot be captured, with what to do.
	// key lists the columns that CREATE TABLE declared as primary key; nil: none.
	DescribeTable(ctx context.Context, spec *SourceSpec, upstream string, key []string) (TableFacts, error)
	// Drop removes what the source made upstream (a replication slot, a publication). It is called after the last reader
	// has been closed, and may be called again.
	Drop(ctx context.Context, spec *SourceSpec) error
}

// Readable is a Capture whose offsets of LogSplit are not text.
type Readable interface {
	// ReadableOffset says where an offset is, in the words of the upstream.
	ReadableOffset(log []byte) string
}

// LogSplit is the split of a Capture whose offset says how far the upstream log was read.
const LogSplit = "log"

// TableSplit is the split of a Capture whose offset says how far a table's snapshot is, and which columns the
// upstream table had.
func TableSplit(id catalog.ID) string { return "table:" + strconv.FormatUint(uint64(id), 10) }

// Table is a table here that a Capture feeds.
type Table struct {
	ID       catalog.ID
	Upstream string // its name there, as CREATE TABLE … FROM … TABLE gave it
	// Columns are all columns of the table here; they have the names of the upstream columns, but for those with Include.
	Columns []catalog.Column
	// Key lists the primary key (indexes into Columns), which is what identifies a row upstream. Empty: rows are a bag, and
	// the upstream gives deleted rows whole.
	Key []int
	// NoSnapshot: rows that were there before the table was created here are left out.
	NoSnapshot bool
}

// TableFacts are what an upstream table looks like.
type TableFacts struct {
	Columns []catalog.Column // Name, Type, NotNull
	// Key are the indexes of the columns that identify a row; empty: rows are captured as a bag.
	Key []int
	// Accepts reports whether the values of a column can be kept in one of another type here. nil: as texts only.
	Accepts func(col int, t sqltypes.Type) bool
}

// TableChunk is a piece of the changes of one table.
type TableChunk struct {
	Table catalog.ID
	// Chunk has the table's columns and, last, the control column (bytea; see Control). With a key its rows are commands in order, as those of a
	// source with Facts.Upsert; without, they are changes with weights.
	Chunk *delta.Chunk
}

// What the control column of a captured row begins with. NULL there is an ordinary row.
const (
	// ControlKeep: a bitmap follows, bit i%8 of byte i/8 for column i: the columns set keep the value of the row that is
	// stored under the key, and have no meaning here.
	ControlKeep = 'k'
	// ControlMove is ControlKeep, but the values come from the row that the command just before has deleted: its key changed.
	ControlMove = 'm'
	// ControlTruncate: all rows of the table are deleted; the columns have no meaning.
	ControlTruncate = 't'
)

// SchemaChange is how an upstream table differs from what it was. A change that has been carried out already is no error when it
// comes again (after a crash).
type SchemaChange struct {
	Table catalog.ID
	Add   []catalog.Column // Name, Type
	Drop  []string
	// Rename maps old names to new ones.
	Rename map[string]string
	// Retype lists columns whose type changed upstream, with the new type.
	Retype []catalog.Column
	// Then are the offsets to go on from when the table has followed, or has been found unable to.
	Then []SplitOffset
}

// SinkSpec is what CREATE SINK said.
type SinkSpec struct {
	Name      string
	ID        catalog.ID
	Connector catalog.Connector
	Columns   []catalog.Column
	// Key lists the columns that identify a row (primary_key option or derived); empty for append-only.
	Key        []int
	AppendOnly bool
	// Instance names this very sink for ever, in markers that it leaves in the target: the cluster's id and
	// the sink's. A sink created anew must not find the marker of its predecessor. "" means Name and ID.
	Instance string
	Settings *sqlio.Settings
	Logger   *slog.Logger
}

// Sink is one kind of external target.
type Sink interface {
	// Validate checks a spec at CREATE, as Source.Validate does.
	Validate(ctx context.Context, spec *SinkSpec) error
	// Open returns the writer. A sink has one writer at a time; an older one is fenced off where the target can.
	Open(ctx context.Context, spec *SinkSpec) (Writer, error)
}

// Writer delivers a sink's changes, one committed epoch after the other.
type Writer interface {
	// Committed returns the last epoch that the target holds, when it can tell (ok): exactly-once delivery
	// starts after it. A target that cannot tell gets every epoch after the engine's own mark: at least once.
	Committed(ctx context.Context) (epoch uint64, ok bool, err error)
	// Write stages rows of epoch: consolidated by row over the whole epoch, per key deletes before inserts
	// within one chunk order. May be called several times for one epoch.
	Write(ctx context.Context, epoch uint64, c *delta.Chunk) error
	// Commit makes all rows staged for epoch visible in the target, with the epoch's number, all or nothing.
	// After an error the writer is closed, and the epoch is delivered again to a new one.
	Commit(ctx context.Context, epoch uint64) error
	Close() error
}

// Gatherer is a Writer whose target is better off with few large commits. It takes several epochs before one Commit,
// which is then that of the last of them; until then they count as not delivered.
type Gatherer interface {
	// Due is when what was staged wants to be committed: the zero time for now.
	Due() time.Time
}
