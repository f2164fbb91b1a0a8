package batch

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
)

// Build turns a plan into an operator tree. Parameters must have been replaced by constants. The chunks of the
// operator have no weights.
func Build(n plan.Node, rel Relations, o Options) (Operator, error) {
	rounds, once := false, false
	plan.Walk(n, func(x plan.Node) bool {
		switch x.(type) {
		case *plan.Recursive:
			rounds = true
		case *plan.Shared:
			once = true
		}
		return x != nil
	})
	if rounds || once { // their rows pass between operators that workers would run side by side
		o.Parallelism = 1
	}
	q := newQuery(rel, o)
	op, err := q.buildPlain(n)
	if err == nil && once {
		op = &sharing{op, q}
	}
	return op, err
}

// buildPlain builds an operator whose chunks have no weights.
func (q *query) buildPlain(n plan.Node) (Operator, error) {
	op, err := q.build(n)
	if err != nil {
		return nil, err
	}
	if plainOutput(n) {
		return op, nil
	}
	return &unweight{in: op}, nil
}

// plainOutput reports whether the node's operator never yields weights.
func plainOutput(n plan.Node) bool {
	switch x := n.(type) {
	case *plan.Values, *plan.AsofJoin, *plan.Agg, *plan.TopN, *plan.Sort, *plan.Limit, *plan.Window, *plan.MaxOneRow, *plan.SystemScan, *plan.Recursive,
		*plan.WorkTable, *plan.Shared:
		return true
	case *plan.TableFunc:
		return x.Input == nil || plainOutput(x.Input)
	case *plan.Filter:
		return plainOutput(x.Input)
	case *plan.Project:
		return plainOutput(x.Input)
	case *plan.Hop:
		return plainOutput(x.Input)
	case *plan.Expand:
		return plainOutput(x.Input)
	}
	return false
}

// build is the list of all batch operators. What reads much is shared out among workers.
func (q *query) build(n plan.Node) (Operator, error) {
	if w, err := q.fork(n); err != nil {
		return nil, err
	} else if w != nil {
		return &gather{w: w}, nil
	}
	switch x := n.(type) {
	case *plan.TableScan:
		if op, err := q.newBlockScan(x, nil, nil); op != nil || err != nil {
			return op, err
		}
		return newTableScan(q, x), nil
	case *plan.SystemScan:
		return &scan{open: func(ctx context.Context) (ChunkIter, error) {
			return q.rel.System(ctx, x.Schema, x.Name, x.Cols)
		}, plain: true}, nil
	case *plan.Values:
		return &values{q: q, n: x}, nil
	case *plan.Filter:
		if s, ok := x.Input.(*plan.TableScan); ok {
			if op, err := q.newBlockScan(s, x.Cond, nil); op != nil || err != nil {
				return op, err
			}
		}
		return newFilter(q, x)
	case *plan.Project:
		return newProject(q, x)
	case *plan.Join:
		return newHashJoin(q, x)
	case *plan.AsofJoin:
		return newAsofJoin(q, x)
	case *plan.Agg:
		return newAgg(q, x)
	case *plan.TopN:
		return newTopN(q, x)
	case *plan.Sort:
		return newSort(q, x)
	case *plan.Limit:
		return newLimit(q, x)
	case *plan.Union:
		return newUnion(q, x)
	case *plan.SetOp:
		return newSetOp(q, x)
	case *plan.Window:
		return newWindow(q, x)
	case *plan.TableFunc:
		return newTableFunc(q, x)
	case *plan.Hop:
		return newHop(q, x)
	case *plan.GapFill:
		return newGapFill(q, x)
	case *plan.Session:
		return newSession(q, x)
	case *plan.Expand:
		return newExpand(q, x)
	case *plan.Recursive:
		return newRecursive(q, x)
	case *plan.WorkTable:
		return &workTable{q: q, id: x.ID}, nil
	case *plan.Shared:
		return newShared(q, x)
	case *plan.Returned:
		if q.opt.Returned == nil {
			return nil, sqlerr.New(sqlerr.FeatureNotSupported, "data-modifying statements in WITH are not supported here")
		}
		return &scan{open: func(context.Context) (ChunkIter, error) { return &chunks{list: q.opt.Returned[x.ID]}, nil }}, nil
	case *plan.MaxOneRow:
		return newMaxOneRow(q, x)
	}
	return nil, fmt.Errorf("build batch operator for a plan node of type %T", n)
}

// unweight repeats each row as often as its weight says.
type unweight struct {
	in   Operator
	cur  *delta.Chunk
	k    int   // next counted row of cur
	done int64 // copies of it already out
}

// Open implements Operator.
func (u *unweight) Open(ctx context.Context) error { return u.in.Open(ctx) }

// Next implements ChunkIter.
func (u *unweight) Next(ctx context.Context) (*delta.Chunk, error) {
	for {
		if u.cur != nil {
			if out := u.repeat(); out != nil {
				return out, nil
			}
			u.cur = nil
		}
		ch, err := u.in.Next(ctx)
		if err != nil || ch == nil {
			return nil, err
		}
		if ch.Weights == nil {
			return ch, nil
		}
		if allOnes(ch) {
			return &delta.Chunk{Cols: ch.Cols, Sel: ch.Sel, Rows: ch.Rows}, nil
		}
		u.cur, u.k, u.done = ch, 0, 0
	}
}

// repeat makes the next chunk of copies from cur, nil when there are no more.
func (u *unweight) repeat() *delta.Chunk {
	var idx []int32
	for ; u.k < u.cur.Len(); u.k, u.done = u.k+1, 0 {
		i := u.cur.Row(u.k)
		for w := u.cur.Weights[i]; u.done < w; u.done++ {
			if len(idx) == delta.BatchRows {
				return gatherChunk(u.cur.Cols, idx)
			}
			idx = append(idx, int32(i))
		}
	}
	if len(idx) == 0 {
		return nil
	}
	return gatherChunk(u.cur.Cols, idx)
}

// Close implements ChunkIter.
func (u *unweight) Close() { u.in.Close() }

func allOnes(ch *delta.Chunk) bool {
	for k := range ch.Len() {
		if ch.Weights[ch.Row(k)] != 1 {
			return false
		}
	}
	return true
}
