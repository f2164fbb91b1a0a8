package batch

import (
	"context"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// expand repeats each chunk for every grouping set; the columns are shared between the copies.
type expand struct {
	n     *plan.Expand
	in    Operator
	types []sqltypes.Type // of the keys

	cur   *delta.Chunk
	set   int          // the next one for cur
	nulls []*delta.Vec // of each key, for cur, once needed
}

func newExpand(q *query, n *plan.Expand) (Operator, error) {
	in, err := q.build(n.Input)
	return &expand{n: n, in: in, types: pick(plan.Types(n.Input), n.Keys)}, err
}

// Open implements Operator.
func (e *expand) Open(ctx context.Context) error { return e.in.Open(ctx) }

// Next implements ChunkIter.
func (e *expand) Next(ctx context.Context) (*delta.Chunk, error) {
	if e.cur == nil || e.set == len(e.n.Sets) {
		ch, err := e.in.Next(ctx)
		if err != nil || ch == nil {
			return nil, err
		}
		e.cur, e.set, e.nulls = ch, 0, make([]*delta.Vec, len(e.types))
	}
	cols := append(make([]*delta.Vec, 0, len(e.cur.Cols)+len(e.types)+1), e.cur.Cols...)
	for k, in := range e.n.Sets[e.set] {
		if in {
			cols = append(cols, e.cur.Cols[e.n.Keys[k]])
			continue
		}
		if e.nulls[k] == nil {
			e.nulls[k] = delta.Repeat(e.types[k], nil, e.cur.Rows)
		}
		cols = append(cols, e.nulls[k])
	}
	cols = append(cols, delta.Repeat(sqltypes.Int8, int64(e.set), e.cur.Rows))
	e.set++
	return e.cur.WithCols(cols), nil
}

// Close implements ChunkIter.
func (e *expand) Close() { e.in.Close() }
