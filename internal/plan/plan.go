// Package plan is the relational algebra that planner and executor meet in: plain, serialisable trees.
//
// The idea: one vocabulary of nodes serves logical, stream and batch plans. The planner rewrites trees of
// these nodes; for a stream it then adds Exchange nodes, numbers the state of each operator and puts
// Materialize or Sink on top; for a batch it puts Sort and Limit where they belong. Columns are referred to by index
// into the concatenation of the children's columns.
//
// Nodes are immutable once built; derived facts (Facts) are computed from them, never stored by hand.
//
// It decides nothing (planner) and runs nothing (executor). Start at Node.
package plan

import (
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Column is one output column of a node.
type Column struct {
	Name string
	Type sqltypes.Type
}

// Node is one operator of a plan.
type Node interface {
	// Columns are the output columns.
	Columns() []Column
	Children() []Node
	// WithChildren returns a copy over other children (as many as Children gives).
	WithChildren([]Node) Node
}

// SortKey is one column of an order.
type SortKey = catalog.SortKey

// TableScan reads a stored relation: in a batch its rows at the query's epoch, in a stream its snapshot
// and changelog.
type TableScan struct {
	Table catalog.ID
	Name  string
	// Cols lists the table's columns (by index) that are output, in output order.
	Cols []int
	Out  []Column
	// Lookup restricts a batch scan to equal values of a prefix of the relation's Key; each inner slice
	// is one key prefix, of constants or parameters of exactly the key columns' types. nil: no restriction.
	Lookup [][]expr.Expr
	// Facts of the relation, in terms of the output columns where they survive the projection.
	Key        []SortKey // storage order; a column not output is left out and ends the list
	UniqueKeys [][]int
	AppendOnly bool
	Dist       []int // output columns whose hash gives the vnode; nil if one of them is not output
	Singleton  bool
	State      int // stream: backfill progress
	// Watermarks lists the output columns with a watermark.
	Watermarks []int
	// Stats is what a batch planner knows of the relation; nil: nothing.
	Stats *Stats
}

// Stats are guesses about a stored relation.
type Stats struct {
	Rows float64
	// Distinct is the number of values of each column of the relation; 0: not known.
	Distinct []float64
}

// SourceScan reads an external source inside a streaming job.
type SourceScan struct {
	Source    catalog.ID
	Name      string
	Connector catalog.Connector
	// Fields are all columns that the source declares; Cols picks the output ones.
	Fields     []catalog.Column
	Cols       []int
	Out        []Column
	AppendOnly bool
	UniqueKeys [][]int
	Variants   []catalog.Variant // in terms of the output columns
	// Upsert: rows are commands keyed by UpsertKey (output columns); legal under a table's Materialize only.
	Upsert    bool
	UpsertKey []int
	State     int // split offsets
}

// Capture is the whole job of a source that captures tables: it reads the log of the database and the snapshots of tables, and hands each
// table's changes to that table's own job.
type Capture struct {
	Source    catalog.ID
	Name      string
	Connector catalog.Connector
	State     int // offsets of the log and of the tables' snapshots
}

// CaptureScan is the leaf of a captured table's job. Its output is the table's columns and the control column of
// connector.TableChunk.
type CaptureScan struct {
	Source, Table catalog.ID
	Out           []Column
}

// DML is the leaf of a table's job: changes written by INSERT, UPDATE, DELETE and COPY.
type DML struct {
	Table catalog.ID
	Out   []Column
}

// SystemScan reads a system relation (pg_catalog, information_schema, millrace_catalog); batch only.
type SystemScan struct {
	Schema, Name string
	Cols         []int
	Out          []Column
}

// Values is a list of rows; its expressions have no input.
type Values struct {
	Rows [][]expr.Expr
	Out  []Column
}

// Filter keeps the rows for which Cond is true.
type Filter struct {
	Input Node
	Cond  expr.Expr
}

// Project computes Exprs over the input.
type Project struct {
	Input Node
	Exprs []expr.Expr
	Names []string
}

// JoinKind says which rows a join yields.
type JoinKind uint8

// The join kinds. Semi, Anti and NullAnti output the left columns only; NullAnti is NOT IN: no row
// passes once the right side holds a NULL, nor does a left NULL unless the right side is empty.
const (
	Inner JoinKind = iota
	Left
	Right
	Full
	Semi
	Anti
	NullAnti
)

// Preserved says of which sides rows leave depending on whether they have a match.
func (k JoinKind) Preserved() (left, right bool) {
	return k == Left || k == Full || k >= Semi, k == Right || k == Full
}

// Padded says of which sides the columns are NULL in rows without a match.
func (k JoinKind) Padded() (left, right bool) { return k == Right || k == Full, k == Left || k == Full }

// Join combines two inputs on equal keys and a further condition.
type Join struct {
	Kind        JoinKind
	Left, Right Node
	// LeftKeys and RightKeys are compared pairwise and have the same types; empty: a cross join.
	LeftKeys, RightKeys []int
	// NullSafe[i]: NULL equals NULL in key i (IS NOT DISTINCT FROM). nil: all false.
	NullSafe []bool
	// Cond is a further condition over left then right columns; nil: none.
	Cond expr.Expr
	// Range says by what a stream keeps the sides in order, so that a row reads only what it can match; nil: by the keys alone.
	Range *JoinRange
	State int // first of two state tables (left, right), followed by two for outer, semi and anti joins' degrees
}

// AggCall is one aggregate of an Agg node.
type AggCall struct {
	Sig      string // entry of the aggregate library (expr.AggFunc.Sig)
	Args     []int  // input columns
	ArgTypes []sqltypes.Type
	Result   sqltypes.Type
	Distinct bool
	Filter   int // input column of type boolean; -1: none
	OrderBy  []SortKey
	Name     string // of the output column
}

// AggPhase says which part of a split aggregation a node does.
type AggPhase uint8

// The phases.
const (
	AggWhole   AggPhase = iota
	AggPartial          // emits one row of partial states per group and chunk (stateless)
	AggFinal            // merges partial states
)

// Agg groups by columns. With no GroupBy columns and Scalar, there is always exactly one output row.
// Output: the group columns, then the aggregates. Without aggregates it is DISTINCT.
type Agg struct {
	Input   Node
	GroupBy []int
	Aggs    []AggCall
	Scalar  bool
	Phase   AggPhase
	// Merges: a PreAgg below has folded some of the rows.
	Merges bool
	State  int // group states, then one table for each DISTINCT or multiset aggregate
	// Close lists output columns, all of them groups: a group leaves once, when their watermarks have passed it. nil: groups
	// are shown as they are.
	Close []int
}

// TopN keeps, in each partition, rows Offset … Offset+Limit−1 of the order. RowNumber appends the
// row's number from 1 as a bigint column.
type TopN struct {
	Input       Node
	PartitionBy []int
	OrderBy     []SortKey
	Limit       int64 // -1: no limit
	Offset      int64
	WithTies    bool
	RowNumber   bool
	State       int
}

// Sort orders a batch result.
type Sort struct {
	Input Node
	Keys  []SortKey
}

// Limit cuts a batch result; the expressions have no input; nil: none.
type Limit struct {
	Input         Node
	Limit, Offset expr.Expr
}

// Union is UNION ALL over inputs with the same column types.
type Union struct{ Inputs []Node }

// SetOp is INTERSECT or EXCEPT, with or without ALL.
type SetOp struct {
	Left, Right Node
	Except      bool
	All         bool
	State       int
}

// WindowFunc is one window function of a Window node.
type WindowFunc struct {
	Name        string // row_number, rank, lag, …; or an aggregate
	Sig         string // of an aggregate or window function in the library
	Args        []int
	Result      sqltypes.Type
	Filter      int
	Frame       Frame
	ColName     string
	IgnoreNulls bool
}

// FrameBound is one end of a frame.
type FrameBound struct {
	Kind   BoundKind
	Offset expr.Expr // for Preceding and Following, without input
}

// BoundKind says what a frame bound is relative to.
type BoundKind uint8

// The kinds of frame bounds.
const (
	UnboundedPreceding BoundKind = iota
	Preceding
	CurrentRow
	Following
	UnboundedFollowing
)

// Frame is a window frame. Mode: 'R' ROWS, 'A' RANGE, 'G' GROUPS. Exclude: 0 no others, 'C' current row,
// 'G' group, 'T' ties.
type Frame struct {
	Mode       byte
	Start, End FrameBound
	Exclude    byte
}

// Window evaluates window functions that share a partition and an order. Output: input columns, then functions.
type Window struct {
	Input       Node
	PartitionBy []int
	OrderBy     []SortKey
	Funcs       []WindowFunc
	State       int
}

// TableFunc calls a set-returning function for each input row (Input nil: once). Output: input columns,
// then the function's columns, then, WithOrdinality, a bigint from 1.
type TableFunc struct {
	Input          Node
	Sig            string
	Args           []expr.Expr // over Input's columns
	Out            []Column    // the function's columns
	WithOrdinality bool
	Outer          bool // LEFT JOIN LATERAL: an input row without results yields NULLs
	// Parts: several functions side by side, in the place of Sig. Args and Out are theirs one after the other; rows end
	// with the longest, and NULLs stand where a shorter one has ended.
	Parts []TableFuncPart
}

// TableFuncPart is one function of several.
type TableFuncPart struct {
	Sig        string
	Args, Cols int // how many
}

// Hop assigns each row to the windows of Size that start every Slide. Output: the input columns, then
// window_start and window_end of the time column's type. Rows with a NULL time have no window.
// Size and Slide are in microseconds; Months are not allowed.
type Hop struct {
	Input        Node
	TimeCol      int
	SizeMicros   int64
	SlideMicros  int64
	OffsetMicros int64
	// Cumulate: windows begin every Size and end every Slide from there on, up to Size.
	Cumulate bool
}

// Expand repeats each row for every grouping set. Output: the input columns, a copy of each of Keys that is NULL where
// the set does not have it, and the set's number as a bigint column.
type Expand struct {
	Input Node
	Keys  []int
	Sets  [][]bool // Sets[s][k]: set s has Keys[k]
}

// Recursive is WITH RECURSIVE, batch only: Init, then Step over the rows that the round before has added (WorkTable),
// until a round adds none. Distinct (UNION) drops rows that there have been.
type Recursive struct {
	ID         int
	Init, Step Node
	Distinct   bool
}

// WorkTable is what the round before of Recursive ID has added.
type WorkTable struct {
	ID  int
	Out []Column
}

// Shared is a query that runs once for all places that refer to it, batch only. Nodes with one ID are the same.
type Shared struct {
	ID    int
	Input Node
}

// Returned are the rows of RETURNING of a data-modifying statement in WITH, batch only.
type Returned struct {
	ID  int
	Out []Column
}

// MaxOneRow fails with 21000 when its input has more than one row, and yields one row of NULLs when it
// has none: a scalar subquery. With PartitionBy (a correlated scalar subquery) each partition is such an
// input of its own; there is no partition without rows, so no row of NULLs either.
type MaxOneRow struct {
	Input       Node
	PartitionBy []int
	State       int
}

// ExchangeKind says where an Exchange sends rows.
type ExchangeKind uint8

// The exchanges.
const (
	ExchangeHash      ExchangeKind = iota // by the vnode of columns Keys
	ExchangeSingle                        // all rows to one actor
	ExchangeBroadcast                     // every row to every actor
)

// Exchange moves rows between the actors of two fragments.
type Exchange struct {
	Input Node
	Kind  ExchangeKind
	Keys  []int
}

// Share marks a part of a stream plan that occurs more than once and runs once: all Shares of a plan with the
// same ID have equal inputs, and each of them reads all of that input's output.
type Share struct {
	Input Node
	ID    int // from 1; an ID is greater than those below it
}

// Materialize is the root of a table's, view's or index's job: it keeps the input's contents as relation Table.
type Materialize struct {
	Input Node
	Table catalog.ID
	Key   []SortKey // empty: bag
	Dist  []int
	// Commands: the input is a command stream (upserts), resolved against the stored rows by key.
	Commands bool
	// OnConflict: what happens to a key that is there already, for inputs that may repeat keys (tables with a
	// connector): "overwrite" or "ignore"; "" means the input never does that.
	OnConflict string
	// Captured: the last column of the input is the control column of captured rows, which is not part of the relation.
	Captured bool
	State    int // row counts of a bag
}

// Sink is the root of a sink's job.
type Sink struct {
	Input     Node
	Connector catalog.Connector
	// Key lists the columns that identify a row for an upsert sink; nil for append-only.
	Key             []int
	AppendOnly      bool // declared or derived: retractions are refused or dropped
	ForceAppendOnly bool
	Into            catalog.ID // CREATE SINK … INTO; 0: external
	IntoCols        []int      // target columns, in input order
	// Single: one actor takes all changes, as the log of a subscription wants it.
	Single bool
	State  int
}
