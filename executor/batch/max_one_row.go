package batch

import (
	"context"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// maxOneRow is a scalar subquery that does not depend on rows around it.
type maxOneRow struct {
	in   Operator
	n    *plan.MaxOneRow
	done bool
}

func newMaxOneRow(q *query, n *plan.MaxOneRow) (Operator, error) {
	in, err := q.buildPlain(n.Input)
	if err != nil || len(n.PartitionBy) == 0 {
		return &maxOneRow{in: in, n: n}, err
	}
	return newOnePerKey(q, in, plan.Types(n), n.PartitionBy, 0), nil
}

// Open implements Operator.
func (m *maxOneRow) Open(ctx context.Context) error { return m.in.Open(ctx) }

// Next implements ChunkIter.
func (m *maxOneRow) Next(ctx context.Context) (*delta.Chunk, error) {
	if m.done {
		return nil, nil
	}
	m.done = true
	var row *delta.Chunk
	for {
		ch, err := m.in.Next(ctx)
		if err != nil {
			return nil, err
		}
		switch {
		case ch == nil && row == nil:
			return nullChunk(plan.Types(m.n), 1), nil
		case ch == nil:
			return row, nil
		case ch.Len() == 0:
			continue
		case row != nil || ch.Len() > 1:
			return nil, errSeveralRows()
		}
		row = ch
	}
}

// Close implements ChunkIter.
func (m *maxOneRow) Close() { m.in.Close() }

func errSeveralRows() error {
	return sqlerr.New(sqlerr.CardinalityViolation, "more than one row returned by a subquery used as an expression")
}

// onePerKey passes rows on and fails at the second row of a key: a scalar subquery that depends on rows around it. When
// memory runs short, rows with new keys go to disk, spread by key.
type onePerKey struct {
	q     *query
	in    Operator
	types []sqltypes.Type
	cols  []int
	keys  *grouper
	spill spilled
	held  holding
	ended bool
}

func newOnePerKey(q *query, in Operator, types []sqltypes.Type, cols []int, level int) *onePerKey {
	return &onePerKey{q: q, in: in, types: types, cols: cols, keys: newGrouper(types, cols, nil),
		spill: spilled{q: q, types: types, cols: cols, level: level}, held: holding{mem: q.mem}}
}

// Open implements Operator.
func (o *onePerKey) Open(ctx context.Context) error { return o.in.Open(ctx) }

// Next implements ChunkIter.
func (o *onePerKey) Next(ctx context.Context) (*delta.Chunk, error) {
	for !o.ended {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ch, err := o.in.Next(ctx)
		if err != nil {
			return nil, err
		}
		if ch == nil {
			o.ended = true
			break
		}
		if ch, err = o.check(ch); err != nil || ch != nil {
			return ch, err
		}
	}
	o.keys = nil
	o.held.release()
	return o.spill.next(ctx, func(in Operator, level int) (Operator, error) {
		return newOnePerKey(o.q, in, o.types, o.cols, level), nil
	})
}

// check takes note of a chunk's keys and returns the chunk, or nil when it went to disk.
func (o *onePerKey) check(ch *delta.Chunk) (*delta.Chunk, error) {
	if o.spill.begun() {
		again, err := o.spill.divert(o.keys, ch)
		if err == nil && again.Len() > 0 {
			err = errSeveralRows()
		}
		return nil, err
	}
	o.keys.assign(ch)
	if len(o.keys.fresh) < ch.Len() {
		return nil, errSeveralRows()
	}
	n := o.keys.sizeBytes()
	if o.q.crowded(n, o.held.bytes) {
		o.spill.begin()
	}
	return ch, o.held.set(n)
}

// Close implements ChunkIter.
func (o *onePerKey) Close() {
	o.in.Close()
	o.spill.close()
	o.held.release()
}
