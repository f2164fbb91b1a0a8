package batch

import (
	"context"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// window evaluates window functions. It sorts its whole input by partition and order, cuts it into partitions and
// groups of peers, and lets each function append one value for each row in that order.
type window struct {
	q     *query
	n     *plan.Window
	in    Operator
	types []sqltypes.Type
	rows  *collector
	funcs []windowFunc
	held  holding

	out  *delta.Chunk // the result; nil: the input has not been read yet
	next int
}

// partition is what a window function sees: all rows in order, and the part that it has to do now.
type partition struct {
	cols []*delta.Vec // all rows of the input, sorted
	// Row lo … hi-1 are the partition's.
	lo, hi int
	// peers[i] is the number of row i's peer group, counted from 0 over the whole input; groupStart[g] is the first row
	// of group g, with one more entry at the end.
	peers      []int32
	groupStart []int32
}

// peerStart and peerEnd delimit the peers of row i.
func (p *partition) peerStart(i int) int { return int(p.groupStart[p.peers[i]]) }
func (p *partition) peerEnd(i int) int   { return int(p.groupStart[p.peers[i]+1]) }

// windowFunc computes one function; eval appends a value for each row of the partition to out.
type windowFunc interface {
	// prepare sees the whole sorted input once, before the first partition.
	prepare(p *partition) error
	eval(ctx context.Context, p *partition, out *delta.Vec) error
}

// releaser is a windowFunc that holds memory from prepare on.
type releaser interface{ release() }

func releaseFunc(f windowFunc) {
	if r, ok := f.(releaser); ok {
		r.release()
	}
}

func newWindow(q *query, n *plan.Window) (Operator, error) {
	in, err := q.buildPlain(n.Input)
	if err != nil {
		return nil, err
	}
	types := plan.Types(n.Input)
	w := &window{q: q, n: n, in: in, types: types, rows: newCollector(q, types), held: holding{mem: q.mem}}
	for i := range n.Funcs {
		f, err := newWindowFunc(q, n, &n.Funcs[i], types)
		if err != nil {
			return nil, err
		}
		w.funcs = append(w.funcs, f)
	}
	return w, nil
}

// Open implements Operator.
func (w *window) Open(ctx context.Context) error { return w.in.Open(ctx) }

// Next implements ChunkIter.
func (w *window) Next(ctx context.Context) (*delta.Chunk, error) {
	if w.out == nil {
		if err := w.run(ctx); err != nil {
			return nil, err
		}
	}
	if w.next >= w.out.Rows {
		return nil, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	lo, hi := w.next, min(w.next+delta.BatchRows, w.out.Rows)
	w.next = hi
	return sliceChunk(w.out, lo, hi), nil
}

// run does all the work.
func (w *window) run(ctx context.Context) error {
	p, parts, err := w.sorted(ctx)
	if err != nil {
		return err
	}
	n := int(p.groupStart[len(p.groupStart)-1])
	out := &delta.Chunk{Cols: append([]*delta.Vec{}, p.cols...), Rows: n}
	for i, f := range w.funcs {
		v := emptyVec(w.n.Funcs[i].Result, n)
		p.lo, p.hi = 0, n
		if err := f.prepare(p); err != nil {
			return err
		}
		for k := 0; k+1 < len(parts); k++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			p.lo, p.hi = int(parts[k]), int(parts[k+1])
			if err := f.eval(ctx, p, v); err != nil {
				return err
			}
			if err := w.q.check(); err != nil {
				return err
			}
		}
		releaseFunc(f)
		out.Cols = append(out.Cols, v)
		if err := w.held.set(w.held.bytes + int64(v.SizeBytes())); err != nil {
			return err
		}
	}
	w.out = out
	return nil
}

// sorted reads the input and returns it in order, cut into peer groups; parts lists where partitions begin, and the end.
func (w *window) sorted(ctx context.Context) (p *partition, parts []int32, err error) {
	all, err := w.rows.collect(ctx, w.in)
	if err != nil {
		return nil, nil, err
	}
	size := int64(all.SizeBytes())
	if err := w.held.set(size); err != nil { // the sorted copy
		return nil, nil, err
	}
	keys := append(append(partitionKeys(w.types, w.n.PartitionBy), orderKeys(w.types, w.n.OrderBy)...), w.q.tieKeys()...)
	if len(keys) > 0 {
		perm, err := sortRows(ctx, w.q, all, keys)
		if err != nil {
			return nil, nil, err
		}
		sorted := &delta.Chunk{Rows: all.Rows}
		for _, v := range all.Cols {
			if err := ctx.Err(); err != nil {
				return nil, nil, err
			}
			sorted.Cols = append(sorted.Cols, v.Gather(perm))
		}
		all = sorted
	}
	w.rows.release()
	p = &partition{cols: all.Cols, peers: make([]int32, all.Rows)}
	samePart, samePeer := newRowEqual(all, w.n.PartitionBy), newRowEqual(all, sortCols(w.n.OrderBy))
	for i := range all.Rows {
		if i%sortRun == 0 && ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		newPart := i == 0 || !samePart.equal(i-1, i)
		if newPart {
			parts = append(parts, int32(i))
		}
		if newPart || !samePeer.equal(i-1, i) {
			p.groupStart = append(p.groupStart, int32(i))
		}
		p.peers[i] = int32(len(p.groupStart) - 1)
	}
	p.groupStart = append(p.groupStart, int32(all.Rows))
	return p, append(parts, int32(all.Rows)), w.held.set(size + int64(8*all.Rows))
}

// Close implements ChunkIter.
func (w *window) Close() {
	w.in.Close()
	w.rows.release()
	for _, f := range w.funcs {
		releaseFunc(f)
	}
	w.held.release()
}
