package engine

import (
	"context"
	"sync/atomic"

	"github.com/millrace/millrace/executor/batch"
	"github.com/millrace/millrace/executor/job"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/storage/column"
	"github.com/millrace/millrace/storage/key"
	"github.com/millrace/millrace/storage/table"
)

// Blocks implements batch.BlockSource: the relation's image in memory where it has the columns, and else the store's rows, of
// which the image is then made.
func (r *Reader) Blocks(_ context.Context, id catalog.ID, cols []int, n int) ([]batch.BlockIter, error) {
	rel := r.Rels.Relations[id]
	if r.reads != nil {
		r.reads.whole(r.Rels, id)
	}
	p := &partList{view: r.View, rel: rel, cols: cols, image: r.View.Image(id, int(rel.SchemaVersion))}
	if p.image == nil {
		lo, hi := table.Range(id)
		p.ranges = []key.Range{{Lo: lo, Hi: hi}}
	} else {
		for _, part := range p.image.Parts {
			p.ranges = append(p.ranges, part.Range)
		}
	}
	out := make([]batch.BlockIter, n)
	for i := range out {
		out[i] = &blockIter{parts: p}
	}
	return out, nil
}

// RowCount implements batch.RowCounter.
func (r *Reader) RowCount(id catalog.ID) float64 { return r.View.Rows(id) }

// Stats tells the planner about a relation; nil: nothing is known.
func (e *Engine) Stats(rel *catalog.Relation) *plan.Stats {
	c, ok := e.tables.Completed(rel.ID)
	if !ok {
		return nil
	}
	v, err := e.tables.View([]catalog.ID{rel.ID}, c)
	if err != nil {
		return nil
	}
	defer v.Close()
	s := &plan.Stats{Rows: v.Rows(rel.ID), Distinct: make([]float64, len(rel.Columns))}
	if m := v.Image(rel.ID, int(rel.SchemaVersion)); m != nil {
		for i := range s.Distinct {
			s.Distinct[i] = min(m.Distinct(i), s.Rows)
		}
	}
	if len(rel.PrimaryKey) == 1 {
		s.Distinct[rel.PrimaryKey[0]] = s.Rows
	}
	return s
}

// partList is a scan of a whole relation; its iterators take one part after the other.
type partList struct {
	view   *table.View
	rel    *catalog.Relation
	cols   []int
	image  *column.Image // nil: there is none
	ranges []key.Range
	taken  atomic.Int64
}

// blockIter yields the blocks of the parts that it has taken.
type blockIter struct {
	parts  *partList
	blocks []*column.Block // left of the current part
	rows   *scan           // the current part, read from the store; nil: it is in blocks
}

// Next implements batch.BlockIter.
func (b *blockIter) Next(ctx context.Context) (batch.Block, error) {
	for {
		if len(b.blocks) > 0 {
			next := b.blocks[0]
			b.blocks = b.blocks[1:]
			return packedBlock{next, b.parts.cols}, nil
		}
		if b.rows != nil {
			ch, err := b.rows.Next(ctx)
			if err != nil {
				return nil, err
			}
			if ch != nil {
				return batch.BlockOf(ch), nil
			}
			b.rows = nil
		}
		k := int(b.parts.taken.Add(1)) - 1
		if k >= len(b.parts.ranges) {
			return nil, nil
		}
		if err := b.begin(ctx, k); err != nil {
			return nil, err
		}
	}
}

// begin starts on a part.
func (b *blockIter) begin(ctx context.Context, k int) (err error) {
	p := b.parts
	r := p.ranges[k]
	if p.image != nil && !p.view.Touched(p.rel.ID, r.Lo, r.Hi) {
		part := p.image.Parts[k]
		var ok bool
		if b.blocks, ok = part.Blocks(p.cols); ok {
			return nil
		}
		if part.Fill.TryLock() {
			defer part.Fill.Unlock()
			b.blocks, err = p.fill(ctx, part)
			return err
		}
	}
	b.rows = p.scan(p.cols, r)
	return nil
}

// scan reads rows from the store.
func (p *partList) scan(cols []int, r key.Range) *scan {
	it := &scan{view: p.view, id: p.rel.ID, layout: job.NewLayout(p.rel), cols: cols, ranges: []key.Range{r}}
	it.vecs = make([]*delta.Vec, len(p.rel.Columns))
	for _, c := range cols {
		it.types = append(it.types, p.rel.Columns[c].Type)
	}
	return it
}

// fill reads those columns of a part that are not in memory, and puts them there.
func (p *partList) fill(ctx context.Context, part *column.Part) ([]*column.Block, error) {
	known := part.Known()
	var missing []int
	for _, c := range p.cols {
		if len(known) == 0 || known[0].Cols[c] == nil {
			missing = append(missing, c)
		}
	}
	var blocks []*column.Block
	for it := p.scan(missing, part.Range); ; {
		ch, err := it.Next(ctx)
		if err != nil {
			return nil, err
		}
		if ch == nil {
			break
		}
		b := &column.Block{Rows: ch.Rows, Weights: ch.Weights, Cols: make([]*column.Col, len(p.rel.Columns))}
		if known != nil {
			copy(b.Cols, known[len(blocks)].Cols)
		}
		for i, c := range missing {
			b.Cols[c] = column.Pack(ch.Cols[i])
		}
		blocks = append(blocks, b)
	}
	part.Set(blocks)
	return blocks, nil
}

// packedBlock is a block in memory, reduced to some columns.
type packedBlock struct {
	b    *column.Block
	cols []int
}

// Len implements batch.Block.
func (b packedBlock) Len() int { return b.b.Rows }

// Weights implements batch.Block.
func (b packedBlock) Weights() []int64 { return b.b.Weights }

// Col implements batch.Block.
func (b packedBlock) Col(i int, sel []int32) *delta.Vec { return b.b.Cols[b.cols[i]].Vec(sel) }

// Dict implements batch.Block.
func (b packedBlock) Dict(i int) (*delta.Vec, []uint8, []uint64) {
	c := b.b.Cols[b.cols[i]]
	values, codes := c.Dict()
	return values, codes, c.Valid()
}

// Close implements batch.BlockIter.
func (b *blockIter) Close() {}
