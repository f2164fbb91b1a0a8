package batch

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// hashAgg is GROUP BY. Groups are numbered by a grouper; the states of all fixed-width aggregates of a group lie side by
// side in blocks free of pointers; the other aggregates keep an object for each group.
//
// When memory runs short, no more groups are added: rows of groups that are there go on being folded, all others go to
// disk, spread by key, and are aggregated when the groups in memory have left. So states are never written.
type hashAgg struct {
	q      *query
	n      *plan.Agg
	in     Operator
	types  []sqltypes.Type // of the input
	spill  spilled
	groups *grouper // nil: one group, there from the beginning
	// reps collects the group columns of each group's first row.
	reps  *collector
	calls []*aggCall
	fixed fixedStates
	zeros []uint32 // slots of the only group
	held  holding

	out  *delta.Chunk // group columns of the result, one row for each group
	next int          // next group to put out
	open bool         // the input has not been read yet
}

// stateShift sets the size of a block: this many groups, as a power of two.
const stateShift = 10

// fixedStates are the blocks that hold the states of all fixed-width aggregates.
type fixedStates struct {
	blocks [][]byte
	width  int
}

// grow makes room for n slots of zeros.
func (f *fixedStates) grow(n int) {
	for f.width > 0 && len(f.blocks)<<stateShift < n {
		f.blocks = append(f.blocks, make([]byte, f.width<<stateShift))
	}
}

func (f *fixedStates) sizeBytes() int64 { return int64(len(f.blocks) * f.width << stateShift) }

// newAgg also serves DISTINCT, which is an Agg without aggregates.
func newAgg(q *query, n *plan.Agg) (Operator, error) {
	if n.Phase != plan.AggWhole {
		return nil, fmt.Errorf("build batch aggregation of phase %d", n.Phase)
	}
	types := plan.Types(n.Input)
	if len(n.Aggs) > 0 {
		if op, err := newParallelAgg(q, n, types); op != nil || err != nil {
			return op, err
		}
	}
	in, err := q.build(n.Input)
	if err != nil {
		return nil, err
	}
	if len(n.Aggs) == 0 && !n.Scalar {
		return newDistinct(q, in, types, n.GroupBy, 0), nil
	}
	return newAggOver(q, n, in, types, 0)
}

// newAggOver aggregates the rows of an operator; level says how often they have been spread over partitions.
func newAggOver(q *query, n *plan.Agg, in Operator, types []sqltypes.Type, level int) (*hashAgg, error) {
	a := &hashAgg{q: q, n: n, in: in, types: types, open: true, held: holding{mem: q.mem}}
	if len(n.GroupBy) > 0 || !n.Scalar {
		a.groups = newGrouper(types, n.GroupBy, nil)
		a.reps = newCollector(q, pick(types, n.GroupBy))
		a.spill = spilled{q: q, types: types, cols: n.GroupBy, level: level}
	}
	for i := range n.Aggs {
		c, err := newAggCall(q, &n.Aggs[i], types, &a.fixed)
		if err != nil {
			return nil, err
		}
		a.calls = append(a.calls, c)
	}
	return a, nil
}

func pick[T any](from []T, idx []int) []T {
	out := make([]T, len(idx))
	for k, i := range idx {
		out[k] = from[i]
	}
	return out
}

// Open implements Operator.
func (a *hashAgg) Open(ctx context.Context) error { return a.in.Open(ctx) }

// Next implements ChunkIter.
func (a *hashAgg) Next(ctx context.Context) (*delta.Chunk, error) {
	if a.open {
		a.open = false
		if err := a.read(ctx); err != nil {
			return nil, err
		}
	}
	if a.next >= a.out.Rows {
		a.release()
		return a.spill.next(ctx, func(in Operator, level int) (Operator, error) {
			return newAggOver(a.q, a.n, in, a.types, level)
		})
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	lo, hi := a.next, min(a.next+delta.BatchRows, a.out.Rows)
	a.next = hi
	return a.results(lo, hi)
}

// read folds the whole input into the states and makes them ready for results.
func (a *hashAgg) read(ctx context.Context) error {
	if err := a.foldAll(ctx); err != nil {
		return err
	}
	return a.finish(ctx)
}

// foldAll folds the whole input into the states.
func (a *hashAgg) foldAll(ctx context.Context) error {
	if a.groups == nil {
		a.fixed.grow(1)
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		ch, err := a.in.Next(ctx)
		if err != nil {
			return err
		}
		if ch == nil {
			return nil
		}
		if err := a.fold(ch); err != nil {
			return err
		}
	}
}

func (a *hashAgg) fold(ch *delta.Chunk) error {
	if a.groups != nil && a.spill.begun() {
		var err error
		if ch, err = a.spill.divert(a.groups, ch); err != nil {
			return err
		}
	}
	slots, err := a.slots(ch)
	if err != nil {
		return err
	}
	for _, c := range a.calls {
		if err := c.fold(ch, slots); err != nil {
			return err
		}
	}
	if err := a.q.check(); err != nil {
		return err
	}
	return a.account()
}

// slots finds the group of each row, and takes note of the new ones.
func (a *hashAgg) slots(ch *delta.Chunk) ([]uint32, error) {
	if a.groups == nil {
		if n := ch.Len(); len(a.zeros) < n {
			a.zeros = make([]uint32, n)
		}
		return a.zeros[:ch.Len()], nil
	}
	slots := a.groups.assign(ch)
	if len(a.groups.fresh) > 0 {
		a.fixed.grow(a.groups.groups())
		sel := append([]int32{}, a.groups.fresh...)
		rep := &delta.Chunk{Cols: pick(ch.Cols, a.n.GroupBy), Sel: sel, Rows: ch.Rows}
		if len(sel) < smallRows {
			rep = rep.Compact() // else a whole chunk is kept for a few new groups
		}
		if err := a.reps.add(rep); err != nil {
			return nil, err
		}
	}
	return slots, nil
}

func (a *hashAgg) account() error {
	n := a.fixed.sizeBytes()
	if a.groups != nil {
		n += a.groups.sizeBytes()
	}
	for _, c := range a.calls {
		n += c.sizeBytes()
	}
	if a.groups != nil && a.q.crowded(n+a.reps.held.bytes, a.held.bytes+a.reps.held.bytes) {
		a.spill.begin()
	}
	return a.held.set(n)
}

// finish makes the group columns of the result, and gives the aggregates that wait for all input their rows in order.
func (a *hashAgg) finish(ctx context.Context) error {
	if a.groups == nil {
		a.out = &delta.Chunk{Rows: 1}
	} else {
		out, err := a.reps.finish(ctx)
		if err != nil {
			return err
		}
		a.out = out
	}
	for _, c := range a.calls {
		if err := c.finish(ctx); err != nil {
			return err
		}
	}
	return a.q.check()
}

// results makes the output of the groups lo … hi-1.
func (a *hashAgg) results(lo, hi int) (*delta.Chunk, error) {
	slots := make([]uint32, hi-lo)
	for k := range slots {
		slots[k] = uint32(lo + k)
	}
	out := &delta.Chunk{Rows: hi - lo}
	out.Cols = append(out.Cols, sliceChunk(a.out, lo, hi).Cols...)
	for _, c := range a.calls {
		v, err := c.result(slots)
		if err != nil {
			return nil, err
		}
		out.Cols = append(out.Cols, v)
	}
	return out, a.q.check()
}

// Close implements ChunkIter.
func (a *hashAgg) Close() {
	a.in.Close()
	a.release()
	a.spill.close()
}

// release gives up the groups in memory.
func (a *hashAgg) release() {
	a.reps.release()
	for _, c := range a.calls {
		c.release()
	}
	a.groups, a.calls, a.fixed, a.reps = nil, nil, fixedStates{}, nil
	a.out, a.next = &delta.Chunk{}, 0
	a.held.release()
}

// agg looks an aggregate up in the library.
func (q *query) agg(sig string) (*expr.AggFunc, error) {
	f, ok := q.aggBySig(sig)
	if !ok {
		return nil, sqlerr.New(sqlerr.UndefinedFunction, "function %s does not exist", sig)
	}
	if f.Fixed == nil && f.New == nil {
		return nil, fmt.Errorf("build aggregate %s: it has no state", sig)
	}
	return f, nil
}

// emptyVec returns a vector to append to.
func emptyVec(t sqltypes.Type, n int) *delta.Vec {
	if t.Phys() == sqltypes.PhysBytes {
		return delta.NewBytesVec(t, n, 0)
	}
	return &delta.Vec{Type: t}
}
