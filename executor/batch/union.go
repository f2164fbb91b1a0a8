package batch

import (
	"context"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
)

// union is UNION ALL: one input after the other.
type union struct {
	ins []Operator
	cur int
}

func newUnion(q *query, n *plan.Union) (Operator, error) {
	u := &union{}
	for _, c := range n.Inputs {
		in, err := q.build(c)
		if err != nil {
			return nil, err
		}
		u.ins = append(u.ins, in)
	}
	return u, nil
}

// Open implements Operator.
func (u *union) Open(ctx context.Context) error { return openAll(ctx, u.ins...) }

func openAll(ctx context.Context, ops ...Operator) error {
	for _, op := range ops {
		if err := op.Open(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Next implements ChunkIter.
func (u *union) Next(ctx context.Context) (*delta.Chunk, error) {
	for ; u.cur < len(u.ins); u.cur++ {
		ch, err := u.ins[u.cur].Next(ctx)
		if err != nil || ch != nil {
			return ch, err
		}
	}
	return nil, nil
}

// Close implements ChunkIter.
func (u *union) Close() {
	for _, in := range u.ins {
		in.Close()
	}
}

// setOp is INTERSECT and EXCEPT. The right side is counted by row, then the left side streams past the counts.
type setOp struct {
	q           *query
	n           *plan.SetOp
	left, right Operator
	rows        *grouper
	counts      []int64 // of each distinct right row: copies not yet matched
	// Without ALL, seen numbers the rows that were put out already.
	seen *grouper
	held holding
}

func newSetOp(q *query, n *plan.SetOp) (Operator, error) {
	left, err := q.build(n.Left)
	if err != nil {
		return nil, err
	}
	right, err := q.build(n.Right)
	if err != nil {
		return nil, err
	}
	types := plan.Types(n)
	s := &setOp{q: q, n: n, left: left, right: right, rows: newGrouper(types, allCols(types), nil),
		held: holding{mem: q.mem}}
	if !n.All {
		s.seen = newGrouper(types, allCols(types), nil)
	}
	return s, nil
}

func allCols[T any](types []T) []int {
	out := make([]int, len(types))
	for i := range out {
		out[i] = i
	}
	return out
}

// Open implements Operator.
func (s *setOp) Open(ctx context.Context) error {
	if err := openAll(ctx, s.left, s.right); err != nil {
		return err
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		ch, err := s.right.Next(ctx)
		if err != nil || ch == nil {
			return err
		}
		for k, id := range s.rows.assign(ch) {
			if int(id) == len(s.counts) {
				s.counts = append(s.counts, 0)
			}
			s.counts[id] += ch.Weight(ch.Row(k))
		}
		if err := s.account(); err != nil {
			return err
		}
	}
}

func (s *setOp) account() error {
	n := s.rows.sizeBytes() + int64(8*cap(s.counts))
	if s.seen != nil {
		n += s.seen.sizeBytes()
	}
	return s.held.set(n)
}

// Next implements ChunkIter.
func (s *setOp) Next(ctx context.Context) (*delta.Chunk, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ch, err := s.left.Next(ctx)
		if err != nil || ch == nil {
			return nil, err
		}
		if s.n.All {
			ch = s.nextAll(ch)
		} else {
			ch = s.nextDistinct(ch)
		}
		if ch.Len() > 0 {
			return ch, s.account()
		}
	}
}

// nextDistinct keeps the first of equal rows that are (INTERSECT) or are not (EXCEPT) on the right.
func (s *setOp) nextDistinct(ch *delta.Chunk) *delta.Chunk {
	sel := make([]int32, 0, ch.Len())
	for k, id := range s.rows.find(ch) {
		if (id == noGroup) == s.n.Except {
			sel = append(sel, int32(ch.Row(k)))
		}
	}
	s.seen.assign(ch.WithSel(sel))
	return &delta.Chunk{Cols: ch.Cols, Sel: append([]int32{}, s.seen.fresh...), Rows: ch.Rows}
}

// nextAll matches each copy on the left with one on the right, and keeps the matched (INTERSECT ALL) or the
// unmatched ones (EXCEPT ALL).
func (s *setOp) nextAll(ch *delta.Chunk) *delta.Chunk {
	sel := make([]int32, 0, ch.Len())
	weights := make([]int64, ch.Rows)
	for k, id := range s.rows.find(ch) {
		i := ch.Row(k)
		w, matched := ch.Weight(i), int64(0)
		if id != noGroup {
			matched = min(w, s.counts[id])
			s.counts[id] -= matched
		}
		if s.n.Except {
			w -= matched
		} else {
			w = matched
		}
		if w > 0 {
			sel = append(sel, int32(i))
			weights[i] = w
		}
	}
	return &delta.Chunk{Cols: ch.Cols, Weights: weights, Sel: sel, Rows: ch.Rows}
}

// Close implements ChunkIter.
func (s *setOp) Close() {
	s.left.Close()
	s.right.Close()
	s.held.release()
}
