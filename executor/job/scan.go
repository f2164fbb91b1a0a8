package job

import (
	"context"
	"sync/atomic"

	"github.com/millrace/millrace/executor/actor"
	"github.com/millrace/millrace/executor/changelog"
	"github.com/millrace/millrace/executor/exchange"
	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/storage/key"
	"github.com/millrace/millrace/storage/row"
	"github.com/millrace/millrace/storage/table"
)

// scanPump feeds one actor from one partition of an upstream relation: first its snapshot, when the job is
// new, then its changelog. One goroutine.
//
// While the snapshot is read the job's barriers come from Backfill and all carry the snapshot's epoch; the
// job's state is saved at each of them, so a large snapshot needs no large memory.
type scanPump struct {
	node      *plan.TableScan
	layout    Layout
	sub       *changelog.Sub
	edge      *actor.Edge
	partition int
	parts     int
	view      *table.View // nil: no snapshot
	bf        *Backfill
	after     stream.Epoch // changelog entries up to here are part of the snapshot, or of what was kept
	missed    *Missed      // nil: nothing
	base      catalog.ID   // of the job's state tables
	again     stream.Epoch // see Config
	captured  bool         // upstream is a source that captures tables
}

// Backfill coordinates the snapshot phase of a job over all its scans.
type Backfill struct {
	Total   atomic.Int64 // rows to read, an estimate; 0: unknown
	Rows    atomic.Int64 // rows read
	pending atomic.Int64 // scans that have not finished their snapshot
	// Barriers: per pump, the barriers to send during the snapshot; closed after the last one.
	barriers []chan *stream.Barrier
	ended    chan struct{} // closed when pending reaches 0
}

// Ended is closed when every scan has read its snapshot.
func (b *Backfill) Ended() <-chan struct{} { return b.ended }

// Done reports whether every scan has read its snapshot.
func (b *Backfill) Done() bool { return b.pending.Load() == 0 }

func (p *scanPump) run(ctx context.Context, barriers <-chan *stream.Barrier) error {
	if p.view != nil {
		err := p.snapshot(ctx, barriers)
		p.view.Close()
		if err != nil {
			return err
		}
		if err := p.drain(ctx, barriers); err != nil {
			return err
		}
	}
	if p.missed != nil {
		if err := p.catchUp(ctx); err != nil {
			return err
		}
	}
	for {
		e, err := p.sub.Next(ctx)
		if err != nil {
			return err
		}
		if e.Barrier.Epoch <= p.after {
			continue
		}
		for _, c := range e.Chunks {
			if err := p.edge.Send(ctx, actor.Message{Chunk: p.project(c)}); err != nil {
				return err
			}
		}
		b := e.Barrier
		if b.Epoch <= p.again {
			b.Evict = nil
		}
		if err := p.edge.Send(ctx, actor.Message{Barrier: &b, Marks: p.marks(e.Marks)}); err != nil {
			return err
		}
	}
}

// marks renumbers an upstream's watermarks. While the snapshot is read there are none: its rows may be older.
func (p *scanPump) marks(m stream.Marks) stream.Marks {
	var out stream.Marks
	for _, i := range p.node.Watermarks {
		v, ok := m.Of(p.node.Cols[i])
		if !ok {
			v = stream.NoMark
		}
		out = append(out, stream.Mark{Col: i, Origin: p.node.State, Value: v})
	}
	return out
}

// drain passes on the remaining barriers of the snapshot phase.
func (p *scanPump) drain(ctx context.Context, barriers <-chan *stream.Barrier) error {
	if p.bf.pending.Add(-1) == 0 {
		close(p.bf.ended)
	}
	for {
		select {
		case b, ok := <-barriers:
			if !ok {
				return nil
			}
			if err := p.edge.Send(ctx, actor.Message{Barrier: b}); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *scanPump) project(c *delta.Chunk) *delta.Chunk {
	cols := make([]*delta.Vec, len(p.node.Cols))
	for i, k := range p.node.Cols {
		cols[i] = c.Cols[k]
	}
	return c.WithCols(cols)
}

// snapshot sends the partition's rows, passing barriers on between chunks.
func (p *scanPump) snapshot(ctx context.Context, barriers <-chan *stream.Barrier) error {
	out := delta.NewBuilder(plan.Types(p.node))
	send := func() error {
		c := out.Take()
		if c == nil {
			return nil
		}
		p.bf.Rows.Add(int64(c.Len()))
		if err := p.edge.Send(ctx, actor.Message{Chunk: c}); err != nil {
			return err
		}
		for {
			select {
			case b := <-barriers:
				if err := p.edge.Send(ctx, actor.Message{Barrier: b}); err != nil {
					return err
				}
			default:
				return nil
			}
		}
	}
	vecs := make([]*delta.Vec, len(p.layout.types))
	for v := range row.VNodes {
		if exchange.Owner(uint16(v), p.parts) != p.partition {
			continue
		}
		r := key.VNodeRange(uint32(p.node.Table), uint16(v))
		var bad error
		err := p.view.Scan(p.node.Table, r.Lo, r.Hi, func(_, val []byte) bool {
			for i, c := range p.node.Cols {
				vecs[c] = out.Col(i)
			}
			n, w, err := p.layout.DecodeRows(val, vecs)
			if err == nil {
				out.EndRows(n, w)
				if out.Len() >= delta.BatchRows {
					err = send()
				}
			}
			bad = err
			return bad == nil
		})
		if err == nil {
			err = bad
		}
		if err != nil {
			return err
		}
	}
	return send()
}
