package batch

import (
	"context"
	"math"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
)

// session walks its input in order of partition and time and gives each row the bounds of its session, which are known when
// the next one begins.
type session struct {
	n    *plan.Session
	in   Operator
	part []keyClass

	rows  *delta.Builder // of the running session
	pk    []byte
	start int64
	last  int64
	out   []*delta.Chunk // sessions that have ended
	done  bool
}

func newSession(q *query, n *plan.Session) (Operator, error) {
	keys := make([]plan.SortKey, 0, len(n.PartitionBy)+1)
	for _, c := range append(n.PartitionBy[:len(n.PartitionBy):len(n.PartitionBy)], n.TimeCol) {
		keys = append(keys, plan.SortKey{Col: c})
	}
	in, err := q.build(&plan.Sort{Input: n.Input, Keys: keys})
	if err != nil {
		return nil, err
	}
	return &session{n: n, in: in, part: classesOf(plan.Types(n.Input), n.PartitionBy), rows: delta.NewBuilder(plan.Types(n.Input))}, nil
}

// Open implements Operator.
func (s *session) Open(ctx context.Context) error { return s.in.Open(ctx) }

// Next implements ChunkIter.
func (s *session) Next(ctx context.Context) (*delta.Chunk, error) {
	for len(s.out) == 0 && !s.done {
		ch, err := s.in.Next(ctx)
		if err != nil {
			return nil, err
		}
		if ch == nil {
			s.done = true
			s.end()
			break
		}
		s.take(ch)
	}
	if len(s.out) == 0 {
		return nil, nil
	}
	c := s.out[0]
	s.out = s.out[1:]
	return c, nil
}

func (s *session) take(ch *delta.Chunk) {
	times := ch.Cols[s.n.TimeCol]
	var pk []byte
	for k := range ch.Len() {
		i := ch.Row(k)
		if times.IsNull(i) || times.Ints[i] == math.MinInt64 || times.Ints[i] == math.MaxInt64 {
			continue
		}
		t := times.Ints[i]
		pk = partitionKey(pk[:0], s.part, s.n.PartitionBy, ch, i)
		if s.rows.Len() == 0 || string(pk) != string(s.pk) || t-s.last >= s.n.GapMicros {
			s.end()
			s.start = t
			s.pk = append(s.pk[:0], pk...)
		}
		s.last = t
		s.rows.AppendRow(ch, i, ch.Weight(i))
	}
}

// partitionKey appends what tells the partition of row i.
func partitionKey(dst []byte, classes []keyClass, cols []int, ch *delta.Chunk, i int) []byte {
	for k, c := range cols {
		v := ch.Cols[c]
		if v.IsNull(i) {
			dst = append(dst, 0)
			continue
		}
		dst = appendEqual(append(dst, 1), classes[k], v, i)
	}
	return dst
}

// end completes the running session.
func (s *session) end() {
	c := s.rows.Take()
	if c == nil {
		return
	}
	starts, ends := make([]int64, c.Rows), make([]int64, c.Rows)
	for i := range starts {
		starts[i], ends[i] = s.start, s.last+s.n.GapMicros
	}
	ty := c.Cols[s.n.TimeCol].Type
	c.Cols = append(c.Cols, delta.IntVec(ty, starts), delta.IntVec(ty, ends))
	s.out = append(s.out, c)
}

// Close implements ChunkIter.
func (s *session) Close() { s.in.Close() }
