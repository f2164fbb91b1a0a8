package batch

import (
	"context"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// parallelAgg is a GROUP BY whose input is shared out: each worker aggregates what it reads, then the groups of all are
// merged. Rows that a worker had to put on disk are read again once the groups in memory are complete.
type parallelAgg struct {
	w     *workers
	parts []*hashAgg // by worker; the first one becomes the whole
	read  bool
}

// newParallelAgg returns nil when the aggregation cannot be shared out.
func newParallelAgg(q *query, n *plan.Agg, types []sqltypes.Type) (Operator, error) {
	for i := range n.Aggs {
		a := &n.Aggs[i]
		fn, ok := q.aggBySig(a.Sig)
		if !ok || a.Distinct || fn.Ordered || !fn.Mergeable(pick(types, a.Args)) {
			return nil, nil
		}
	}
	w, err := q.fork(n.Input)
	if err != nil || w == nil {
		return nil, err
	}
	p := &parallelAgg{w: w}
	for i, in := range w.ops {
		a, err := newAggOver(w.qs[i], n, in, types, 0)
		if err != nil {
			return nil, err
		}
		p.parts = append(p.parts, a)
	}
	return p, nil
}

// Open implements Operator.
func (p *parallelAgg) Open(ctx context.Context) error { return openAll(ctx, p.w.ops...) }

// Next implements ChunkIter.
func (p *parallelAgg) Next(ctx context.Context) (*delta.Chunk, error) {
	whole := p.parts[0]
	if !p.read {
		p.read = true
		whole.open = false
		if err := p.w.each(ctx, func(ctx context.Context, i int) error { return p.parts[i].foldAll(ctx) }); err != nil {
			return nil, err
		}
		if err := p.merge(ctx, whole); err != nil {
			return nil, err
		}
	}
	return whole.Next(ctx)
}

// merge makes the first worker's groups those of all.
func (p *parallelAgg) merge(ctx context.Context, whole *hashAgg) error {
	var onDisk []*partitions
	for _, part := range p.parts {
		if part.spill.parts != nil {
			onDisk = append(onDisk, part.spill.parts)
			part.spill.parts = nil
		}
	}
	defer func() {
		for _, d := range onDisk {
			d.close()
		}
	}()
	for _, part := range p.parts[1:] {
		if err := whole.absorb(ctx, part); err != nil {
			return err
		}
		part.release()
	}
	if len(onDisk) > 0 {
		whole.spill.begin()
	}
	for _, d := range onDisk {
		for _, f := range d.files {
			if f == nil {
				continue
			}
			if err := f.Open(ctx); err != nil {
				return err
			}
			for {
				ch, err := f.Next(ctx)
				if err != nil {
					return err
				}
				if ch == nil {
					break
				}
				if err := whole.fold(ch); err != nil {
					return err
				}
			}
			f.Close()
		}
	}
	return whole.finish(ctx)
}

// absorb takes in the groups of another aggregation of the same kind.
func (a *hashAgg) absorb(ctx context.Context, b *hashAgg) error {
	if a.groups == nil {
		a.fixed.grow(1)
		return a.absorbStates(b, []uint32{0}, 0)
	}
	reps, err := b.reps.finish(ctx)
	if err != nil {
		return err
	}
	for lo := 0; lo < reps.Rows; lo += delta.BatchRows {
		if err := ctx.Err(); err != nil {
			return err
		}
		piece := sliceChunk(reps, lo, min(lo+delta.BatchRows, reps.Rows))
		in := &delta.Chunk{Cols: make([]*delta.Vec, len(a.types)), Rows: piece.Rows}
		for k, c := range a.n.GroupBy {
			in.Cols[c] = piece.Cols[k]
		}
		slots, err := a.slots(in)
		if err != nil {
			return err
		}
		if err := a.absorbStates(b, slots, uint32(lo)); err != nil {
			return err
		}
	}
	return a.account()
}

// absorbStates merges b's states from slot first on into slots.
func (a *hashAgg) absorbStates(b *hashAgg, slots []uint32, first uint32) error {
	for i, c := range a.calls {
		d := b.calls[i]
		if f := c.fn.Fixed; f != nil {
			c.states.Blocks, c.states.Width = c.blocks.blocks, c.blocks.width
			d.states.Blocks, d.states.Width = d.blocks.blocks, d.blocks.width
			if len(d.states.Blocks) == 0 {
				continue // it has seen nothing
			}
			for k, s := range slots {
				f.Merge(c.states.At(s)[:f.Width], d.states.At(first + uint32(k))[:f.Width])
			}
			continue
		}
		if c.sums {
			c.absorbTotals(d, slots, first)
		}
		for k, s := range slots {
			from := int(first) + k
			if from >= len(d.objs) || d.objs[from].obj == nil {
				continue
			}
			to := c.object(s)
			to.obj.(expr.AggMerger).Merge(d.objs[from].obj)
			n := to.obj.SizeBytes()
			c.objBytes += int64(n - to.size)
			to.size = n
		}
	}
	return nil
}

// absorbTotals merges d's totals from slot first on; where the scales differ they become objects of d.
func (c *aggCall) absorbTotals(d *aggCall, slots []uint32, first uint32) {
	if !d.hasScale {
		return
	}
	if !c.hasScale {
		c.scale, c.hasScale = d.scale, true
	}
	c.growTotals(slots)
	for k, s := range slots {
		from := first + uint32(k)
		if int(from) >= len(d.totals) || d.totals[from].Count() == 0 {
			continue
		}
		if c.scale == d.scale {
			c.totals[s].Merge(&d.totals[from])
		} else {
			d.settle(from)
		}
	}
}

// Close implements ChunkIter.
func (p *parallelAgg) Close() {
	for _, a := range p.parts {
		a.Close()
	}
}
