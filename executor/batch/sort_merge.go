package batch

import (
	"bytes"
	"context"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqltypes"
)

const (
	// runBlock is the number of rows of a run that are in memory at a time while runs are merged.
	runBlock = 256
	// maxRuns bounds the runs that are merged at a time.
	maxRuns = 64
)

// runMerger merges sorted runs. Among equal rows those of an earlier run come first.
type runMerger struct {
	keys []orderKey
	// heap has the run with the smallest row on top.
	heap []*runCursor
	out  *delta.Builder
}

// runCursor is a place in a run.
type runCursor struct {
	run   *spillFile
	order int // of the run among runs
	ch    *delta.Chunk
	row   int
	key   []byte
}

func newRunMerger(ctx context.Context, types []sqltypes.Type, keys []orderKey, runs []*spillFile) (*runMerger, error) {
	m := &runMerger{keys: keys, out: delta.NewBuilder(types)}
	for i, r := range runs {
		if err := r.Open(ctx); err != nil {
			return nil, err
		}
		c := &runCursor{run: r, order: i, row: -1}
		if err := c.advance(ctx, keys); err != nil {
			return nil, err
		}
		if c.ch != nil {
			m.heap = append(m.heap, c)
		}
	}
	for i := len(m.heap)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	return m, nil
}

// advance moves to the next row; ch is nil at the end.
func (c *runCursor) advance(ctx context.Context, keys []orderKey) error {
	c.row++
	if c.ch == nil || c.row >= c.ch.Rows {
		var err error
		if c.ch, err = c.run.Next(ctx); err != nil || c.ch == nil {
			return err
		}
		c.row = 0
	}
	c.key = appendSortKey(c.key[:0], keys, c.ch.Cols, c.row, true)
	return nil
}

func (m *runMerger) less(a, b *runCursor) bool {
	if c := bytes.Compare(a.key, b.key); c != 0 {
		return c < 0
	}
	return a.order < b.order
}

// down restores the heap below place i.
func (m *runMerger) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(m.heap) {
			return
		}
		if child+1 < len(m.heap) && m.less(m.heap[child+1], m.heap[child]) {
			child++
		}
		if !m.less(m.heap[child], m.heap[i]) {
			return
		}
		m.heap[i], m.heap[child] = m.heap[child], m.heap[i]
		i = child
	}
}

// next yields the next rows in order, nil at the end.
func (m *runMerger) next(ctx context.Context) (*delta.Chunk, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for len(m.heap) > 0 && m.out.Len() < runBlock {
		c := m.heap[0]
		m.out.AppendRow(c.ch, c.row, 1)
		if err := c.advance(ctx, m.keys); err != nil {
			return nil, err
		}
		if c.ch == nil {
			last := len(m.heap) - 1
			m.heap[0] = m.heap[last]
			m.heap = m.heap[:last]
		}
		m.down(0)
	}
	return m.out.Take(), nil
}
