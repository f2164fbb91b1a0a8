package batch

import (
	"context"
	"slices"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
)

// recursive runs WITH RECURSIVE in rounds: each has the rows that the one before has added as its working table. Rows leave
// as they are found, so that a LIMIT ends what would not end by itself.
type recursive struct {
	q    *query
	n    *plan.Recursive
	cur  Operator // the running round
	seen *grouper // nil: rows may repeat
	next []*delta.Chunk
	held holding
	// nextBytes is the size of next, workBytes that of the working table.
	nextBytes, workBytes int64
}

func newRecursive(q *query, n *plan.Recursive) (Operator, error) {
	r := &recursive{q: q, n: n, held: holding{mem: q.mem}}
	if n.Distinct {
		types := plan.Types(n)
		r.seen = newGrouper(types, allCols(types), nil)
	}
	var err error
	r.cur, err = q.buildPlain(n.Init)
	return r, err
}

// Open implements Operator.
func (r *recursive) Open(ctx context.Context) error { return r.cur.Open(ctx) }

// Next implements ChunkIter.
func (r *recursive) Next(ctx context.Context) (*delta.Chunk, error) {
	for r.cur != nil {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ch, err := r.cur.Next(ctx)
		if err != nil {
			return nil, err
		}
		if ch == nil {
			if err := r.round(ctx); err != nil {
				return nil, err
			}
			continue
		}
		if ch = r.fresh(ch); ch.Len() == 0 {
			continue
		}
		r.next = append(r.next, ch)
		r.nextBytes += int64(ch.SizeBytes())
		return ch, r.account()
	}
	return nil, nil
}

// fresh picks the rows that have not been there.
func (r *recursive) fresh(ch *delta.Chunk) *delta.Chunk {
	if r.seen == nil {
		return ch
	}
	r.seen.assign(ch)
	return &delta.Chunk{Cols: ch.Cols, Sel: append([]int32{}, r.seen.fresh...), Rows: ch.Rows}
}

func (r *recursive) account() error {
	n := r.nextBytes + r.workBytes
	if r.seen != nil {
		n += r.seen.sizeBytes()
	}
	return r.held.set(n)
}

// round begins the next round, or ends the query when the last one has added nothing.
func (r *recursive) round(ctx context.Context) error {
	r.cur.Close()
	r.cur = nil
	if len(r.next) == 0 {
		return nil
	}
	if r.q.work == nil {
		r.q.work = map[int][]*delta.Chunk{}
	}
	r.q.work[r.n.ID], r.next = r.next, nil
	r.workBytes, r.nextBytes = r.nextBytes, 0
	step, err := r.q.buildPlain(r.n.Step)
	if err != nil {
		return err
	}
	r.cur = step
	return step.Open(ctx)
}

// Close implements ChunkIter.
func (r *recursive) Close() {
	if r.cur != nil {
		r.cur.Close()
	}
	r.held.release()
}

// workTable reads a working table as it is when it is opened.
type workTable struct {
	q  *query
	id int
	chunks
}

// Open implements Operator.
func (w *workTable) Open(context.Context) error {
	w.list = slices.Clone(w.q.work[w.id])
	return nil
}

// chunks is a list of chunks to be read.
type chunks struct{ list []*delta.Chunk }

// Next implements ChunkIter.
func (c *chunks) Next(ctx context.Context) (*delta.Chunk, error) {
	if len(c.list) == 0 {
		return nil, ctx.Err()
	}
	ch := c.list[0]
	c.list = c.list[1:]
	return ch, ctx.Err()
}

// Close implements ChunkIter.
func (c *chunks) Close() {}

// sharedRows is a query that several operators read. It goes as far as the reader that is ahead has asked.
type sharedRows struct {
	op     Operator
	opened bool
	ended  bool
	rows   []*delta.Chunk
	held   holding
}

// shared reads the rows of a query from the first one on.
type shared struct {
	s  *sharedRows
	at int
}

func newShared(q *query, n *plan.Shared) (Operator, error) {
	s := q.once[n.ID]
	if s == nil {
		op, err := q.buildPlain(n.Input)
		if err != nil {
			return nil, err
		}
		s = &sharedRows{op: op, held: holding{mem: q.mem}}
		if q.once == nil {
			q.once = map[int]*sharedRows{}
		}
		q.once[n.ID] = s
	}
	return &shared{s: s}, nil
}

// Open implements Operator.
func (r *shared) Open(ctx context.Context) error {
	if r.s.opened {
		return nil
	}
	r.s.opened = true
	return r.s.op.Open(ctx)
}

// Next implements ChunkIter.
func (r *shared) Next(ctx context.Context) (*delta.Chunk, error) {
	s := r.s
	if r.at == len(s.rows) && !s.ended {
		ch, err := s.op.Next(ctx)
		if err != nil {
			return nil, err
		}
		if ch == nil {
			s.ended = true
			return nil, nil
		}
		s.rows = append(s.rows, ch)
		if err := s.held.set(s.held.bytes + int64(ch.SizeBytes())); err != nil {
			return nil, err
		}
	}
	if r.at == len(s.rows) {
		return nil, nil
	}
	r.at++
	return s.rows[r.at-1], nil
}

// Close implements ChunkIter. The query goes on for the other readers; sharing closes it.
func (r *shared) Close() {}

// sharing is the root of a query with shared parts, which end with it.
type sharing struct {
	Operator
	q *query
}

// Close implements ChunkIter.
func (s *sharing) Close() {
	s.Operator.Close()
	for _, r := range s.q.once {
		r.op.Close()
		r.held.release()
	}
}
