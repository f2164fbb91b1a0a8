package batch

import (
	"context"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqltypes"
)

// distinct puts rows out as soon as it sees them for the first time. When memory runs short, rows that have not been seen
// go to disk.
type distinct struct {
	q     *query
	in    Operator
	types []sqltypes.Type // of the input
	cols  []int
	rows  *grouper
	spill spilled
	held  holding
	ended bool // the input has been read
}

func newDistinct(q *query, in Operator, types []sqltypes.Type, cols []int, level int) *distinct {
	return &distinct{q: q, in: in, types: types, cols: cols, rows: newGrouper(types, cols, nil),
		spill: spilled{q: q, types: types, cols: cols, level: level}, held: holding{mem: q.mem}}
}

// Open implements Operator.
func (d *distinct) Open(ctx context.Context) error { return d.in.Open(ctx) }

// Next implements ChunkIter.
func (d *distinct) Next(ctx context.Context) (*delta.Chunk, error) {
	for !d.ended {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ch, err := d.in.Next(ctx)
		if err != nil {
			return nil, err
		}
		if ch == nil {
			d.ended = true
			break
		}
		if ch, err = d.firsts(ch); err != nil || ch != nil {
			return ch, err
		}
	}
	d.rows = nil
	d.held.release()
	return d.spill.next(ctx, func(in Operator, level int) (Operator, error) {
		return newDistinct(d.q, in, d.types, d.cols, level), nil
	})
}

// firsts picks the rows that have not been seen; nil when there are none.
func (d *distinct) firsts(ch *delta.Chunk) (*delta.Chunk, error) {
	if d.spill.begun() {
		_, err := d.spill.divert(d.rows, ch)
		return nil, err
	}
	d.rows.assign(ch)
	n := d.rows.sizeBytes()
	if d.q.crowded(n, d.held.bytes) {
		d.spill.begin()
	}
	if err := d.held.set(n); err != nil || len(d.rows.fresh) == 0 {
		return nil, err
	}
	sel := append([]int32{}, d.rows.fresh...)
	return &delta.Chunk{Cols: pick(ch.Cols, d.cols), Sel: sel, Rows: ch.Rows}, nil
}

// Close implements ChunkIter.
func (d *distinct) Close() {
	d.in.Close()
	d.spill.close()
	d.held.release()
}

// spilled is the part of a grouping operator's input that went to disk: the rows of groups that did not fit.
type spilled struct {
	q     *query
	types []sqltypes.Type
	cols  []int
	level int
	parts *partitions // nil: all groups fit so far
	at    int         // next partition to do
	sub   Operator    // the operator over the partition before it
}

// begin makes rows of new groups go to disk from now on; not when that has been tried too often.
func (s *spilled) begin() {
	if s.parts == nil && s.level < spillLevels {
		s.parts = newPartitions(s.q, s.types, s.cols, nil, s.level)
	}
}

func (s *spilled) begun() bool { return s.parts != nil }

// divert writes the rows whose groups are not in memory, and returns the others.
func (s *spilled) divert(groups *grouper, ch *delta.Chunk) (*delta.Chunk, error) {
	stay, leave := make([]int32, 0, ch.Len()), make([]int32, 0, ch.Len())
	for k, id := range groups.find(ch) {
		if i := int32(ch.Row(k)); id == noGroup {
			leave = append(leave, i)
		} else {
			stay = append(stay, i)
		}
	}
	if len(leave) == 0 {
		return ch, nil
	}
	return ch.WithSel(stay), s.parts.add(ch.WithSel(leave))
}

// next yields the results over what went to disk, one partition after the other; over makes the operator for one.
func (s *spilled) next(ctx context.Context, over func(in Operator, level int) (Operator, error)) (*delta.Chunk, error) {
	for s.parts != nil {
		if s.sub != nil {
			ch, err := s.sub.Next(ctx)
			if err != nil || ch != nil {
				return ch, err
			}
			s.sub.Close()
			s.sub = nil
		}
		if s.at == spillFanout {
			return nil, nil
		}
		f := s.parts.files[s.at]
		s.at++
		if f == nil {
			continue
		}
		var err error
		if s.sub, err = over(f, s.level+1); err != nil {
			return nil, err
		}
		if err = s.sub.Open(ctx); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (s *spilled) close() {
	if s.sub != nil {
		s.sub.Close()
	}
	s.parts.close()
}
