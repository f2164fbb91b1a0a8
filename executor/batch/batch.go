// Package batch answers ad-hoc queries: it runs a batch plan once, over one consistent set of relations.
//
// The idea: each plan node becomes an operator that is pulled for chunks of about delta.BatchRows rows. Operators
// that must see all of their input (sort, window, the build side of a join) first gather it into one contiguous chunk
// and then work with row numbers of 32 bits; rows are copied again only when they leave. Keys are compared as encoded
// bytes: an equality encoding numbers groups (grouper), an order-preserving one sorts (sortRows). Sorts, aggregations,
// DISTINCT and equi-joins go to disk when memory runs short (spill.go).
//
// A query is driven by one goroutine. Where it reads much, that hires others (parallel.go): scans, filters, projections and the probing
// of joins exist once per worker, each with an evaluation context of its own, and what they yield is gathered, or
// aggregated by each worker and then merged. All share the memory budget. A sort hires others as well. Cancel the context from
// anywhere: it is asked about for each chunk, and every few thousand rows inside loops.
//
// Invariants: weights of stored rows are at least 1. Inside a plan a row of weight w stands for w equal rows;
// the chunks that leave the root have no weights. Chunks that were handed on are never written again. After an error
// or Close an operator is not called again, except for Close.
//
// It does not plan, does not know where relations are stored (Relations) and changes nothing: DML nodes, exchanges and
// sinks are an internal error here. Start at Build.
package batch

import (
	"context"
	"sync/atomic"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Relations is what a query reads, at the epoch the query was given.
type Relations interface {
	// Scan yields the rows of a stored relation, reduced to the columns cols. A lookup of nil means all rows;
	// otherwise the rows whose key starts with one of the prefixes, which are distinct and hold no NULL. The order of
	// rows is not promised.
	Scan(ctx context.Context, table catalog.ID, cols []int, lookup [][]sqltypes.Datum) (ChunkIter, error)
	// System yields the rows of a system relation.
	System(ctx context.Context, schema, name string, cols []int) (ChunkIter, error)
}

// ChunkIter is a stream of chunks that is pulled.
type ChunkIter interface {
	// Next returns the next chunk, nil at the end. Weights say how often a row occurs, at least once.
	Next(ctx context.Context) (*delta.Chunk, error)
	// Close gives everything up; it may be called at any time after the iterator was made, more than once.
	Close()
}

// Operator is a ChunkIter that begins its work at Open.
type Operator interface {
	// Open prepares the operator and what is below it. Call it once, before Next; call Close even if it fails.
	Open(ctx context.Context) error
	ChunkIter
}

// Options are the circumstances of a query.
type Options struct {
	// Ctx makes the evaluation context: settings, now(), session. Called once by Build.
	Ctx func() *expr.Ctx
	// MemoryBytes bounds what the query may hold at a time; 0: no bound. Operators that can do so
	// spill to TempDir when they reach it, others fail with 53200.
	MemoryBytes int64
	// TempDir is a folder for spill files; "": nothing is spilled. The files are unlinked while in use.
	TempDir string
	// Returned are the rows of data-modifying statements in WITH, by number.
	Returned map[int][]*delta.Chunk
	// Parallelism is the number of goroutines that one part of a query may use at a time; 0 and 1: the caller's only.
	Parallelism int
	// ExactTies: where an order leaves open which rows come first, windows and top-n go by the exact image, as streams
	// do; else by the order of arrival.
	ExactTies bool
}

// query is what the operators of one query share.
type query struct {
	c   *expr.Ctx
	rel Relations
	opt Options
	mem *budget // of all workers
	// spills counts the files that were made, by all workers.
	spills *atomic.Int64
	shared bool // this is a worker's
	// work are the working tables of recursive queries that run, by number; once are queries that run once.
	work map[int][]*delta.Chunk
	once map[int]*sharedRows
	// aggBySig and tableFuncBySig find functions in the library; tests bring their own.
	aggBySig       func(sig string) (*expr.AggFunc, bool)
	tableFuncBySig func(sig string) (*expr.TableFunc, bool)
}

func newQuery(rel Relations, o Options) *query {
	q := &query{rel: rel, opt: o, mem: &budget{limit: o.MemoryBytes}, spills: new(atomic.Int64),
		aggBySig: expr.AggBySig, tableFuncBySig: expr.TableFuncBySig}
	if o.Ctx != nil {
		q.c = o.Ctx()
	}
	if q.c == nil {
		q.c = &expr.Ctx{}
	}
	return q
}

// check fails the query with the first evaluation error, if there was one.
func (q *query) check() error {
	if len(q.c.Errs) == 0 {
		return nil
	}
	return q.c.FirstErr()
}

// evalConst evaluates an expression that reads no columns.
func (q *query) evalConst(e expr.Expr) (sqltypes.Datum, error) { return expr.EvalConst(q.c, e) }

// budget counts the bytes that operators hold. It is an estimate: vectors, tables and states, not the small change.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take asks for n bytes more; a negative n gives bytes back.
func (b *budget) take(n int64) error {
	if used := b.used.Add(n); n > 0 && b.limit > 0 && used > b.limit {
		return sqlerr.New(sqlerr.OutOfMemory, "out of memory").
			WithDetail("The query needs more than its memory limit of %d bytes.", b.limit).
			WithHint("Make the query smaller, or raise the limit.")
	}
	return nil
}

// holding is the part of the budget that one operator holds.
type holding struct {
	mem   *budget
	bytes int64
}

// set changes the holding to n bytes.
func (h *holding) set(n int64) error {
	d := n - h.bytes
	h.bytes = n
	return h.mem.take(d)
}

// release gives everything back.
func (h *holding) release() {
	if h.mem != nil {
		_ = h.set(0)
	}
}
