package batch

import (
	"context"
	"math"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/gapfill"
	"github.com/millrace/millrace/internal/plan"
)

// gapFill walks its input in order of partition and time and adds rows where two neighbours are too far apart.
type gapFill struct {
	q    *query
	n    *plan.GapFill
	in   Operator
	part []keyClass
	fill *gapfill.Filler
	prev *delta.Chunk // of the row before
	row  int
	pk   []byte
	out  []*delta.Chunk
}

func newGapFill(q *query, n *plan.GapFill) (Operator, error) {
	var keys []plan.SortKey
	for _, c := range n.PartitionBy {
		keys = append(keys, plan.SortKey{Col: c})
	}
	in, err := q.build(&plan.Sort{Input: n.Input, Keys: append(keys, n.Order()...)})
	if err != nil {
		return nil, err
	}
	f, err := gapfill.New(n, q.c)
	return &gapFill{q: q, n: n, in: in, part: classesOf(plan.Types(n.Input), n.PartitionBy), fill: f}, err
}

// Open implements Operator.
func (g *gapFill) Open(ctx context.Context) error { return g.in.Open(ctx) }

// Next implements ChunkIter.
func (g *gapFill) Next(ctx context.Context) (*delta.Chunk, error) {
	for len(g.out) == 0 {
		ch, err := g.in.Next(ctx)
		if err != nil || ch == nil {
			return nil, err
		}
		if err := g.take(ch); err != nil {
			return nil, err
		}
	}
	c := g.out[0]
	g.out = g.out[1:]
	return c, nil
}

func (g *gapFill) take(ch *delta.Chunk) error {
	times := ch.Cols[g.n.TimeCol]
	emit := func(c *delta.Chunk) error {
		g.out = append(g.out, c)
		return nil
	}
	var pk []byte
	for k := range ch.Len() {
		i := ch.Row(k)
		if times.IsNull(i) || times.Ints[i] == math.MinInt64 || times.Ints[i] == math.MaxInt64 {
			continue
		}
		pk = partitionKey(pk[:0], g.part, g.n.PartitionBy, ch, i)
		if g.prev != nil && string(pk) == string(g.pk) {
			if err := g.fill.Between(g.prev, g.row, ch, i, 1, emit); err != nil {
				return err
			}
		}
		g.prev, g.row, g.pk = ch, i, append(g.pk[:0], pk...)
	}
	g.out = append(g.out, ch)
	return nil
}

// Close implements ChunkIter.
func (g *gapFill) Close() { g.in.Close() }
