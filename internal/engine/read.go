package engine

import (
	"context"
	"errors"
	"time"

	"github.com/millrace/millrace/executor/batch"
	"github.com/millrace/millrace/executor/job"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/key"
	"github.com/millrace/millrace/storage/row"
	"github.com/millrace/millrace/storage/table"
)

// View opens relations at the latest epoch that all of them have completed and that holds the log up to
// minPos (a session's own writes), waiting for it and asking for a barrier where needed.
func (e *Engine) View(ctx context.Context, ids []catalog.ID, minPos uint64) (*table.View, error) {
	asked := false
	minPos = max(minPos, e.startPos)
	for {
		changed := e.progress.changed()
		v, ok, err := e.tryView(ids, minPos)
		if ok || err != nil {
			return v, err
		}
		if !asked || !e.dml.idle() {
			e.demand()
			asked = true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, e.waitError(ctx, ids)
		case <-e.ctx.Done():
			return nil, sqlerr.New(sqlerr.AdminShutdown, "terminating connection due to administrator command")
		}
	}
}

// waitError explains why a read gave up: the statement was cancelled, or a job lags.
func (e *Engine) waitError(ctx context.Context, ids []catalog.ID) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ctx.Err()
	}
	snap := e.cfg.Catalog.Snapshot()
	low, name := ^uint64(0), ""
	for _, id := range ids {
		if c, ok := e.tables.Completed(id); ok && c < low && snap.Relations[id] != nil {
			low, name = c, snap.Relations[id].Name
		}
	}
	return sqlerr.New(sqlerr.QueryCanceled, "canceling statement due to statement timeout").
		WithDetail("Relation %q has not caught up.", name).WithHint("SHOW JOBS tells how far each job is behind.").WithCause(ctx.Err())
}

func (e *Engine) tryView(ids []catalog.ID, minPos uint64) (*table.View, bool, error) {
	at := ^uint64(0)
	for _, id := range ids {
		c, ok := e.tables.Completed(id)
		if !ok {
			return nil, false, e.unreadable(id)
		}
		at = min(at, c)
	}
	if len(ids) > 0 && minPos > 0 && e.dml.posOf(at) < minPos {
		return nil, false, nil
	}
	v, err := e.tables.View(ids, at)
	if errors.Is(err, table.ErrNotRetained) {
		return nil, false, nil
	}
	return v, err == nil, err
}

func (e *Engine) unreadable(id catalog.ID) error {
	name := "?"
	if r := e.cfg.Catalog.Snapshot().Relations[id]; r != nil {
		name = r.Name
		if r.Creating {
			return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "relation %q is still being created", name).
				WithHint("SHOW JOBS tells how far it is.")
		}
		return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "relation %q cannot be read: its job has failed and has yet to catch up", name).
			WithHint("SHOW JOBS tells why it failed.")
	}
	return sqlerr.New(sqlerr.UndefinedTable, "relation %q does not exist", name)
}

// Reader reads stored relations at one view; it implements the stored part of batch.Relations.
type Reader struct {
	View  *table.View
	Rels  *catalog.Snapshot
	reads *readSet // notes what is read; nil: nobody asks
}

// Scan implements batch.Relations.
func (r *Reader) Scan(ctx context.Context, id catalog.ID, cols []int, lookup [][]sqltypes.Datum) (batch.ChunkIter, error) {
	rel := r.Rels.Relations[id]
	it := &scan{view: r.View, id: id, layout: job.NewLayout(rel), cols: cols}
	it.vecs = make([]*delta.Vec, len(rel.Columns))
	for _, c := range cols {
		it.types = append(it.types, rel.Columns[c].Type)
	}
	if lookup == nil {
		if r.reads != nil {
			r.reads.whole(r.Rels, id)
		}
		lo, hi := table.Range(id)
		it.ranges = append(it.ranges, key.Range{Lo: lo, Hi: hi})
		return it, nil
	}
	for _, prefix := range lookup {
		it.addPrefix(rel, prefix)
	}
	if r.reads != nil {
		r.reads.ranges(r.Rels, id, it.ranges)
		for _, k := range it.points {
			r.reads.key(id, k)
		}
	}
	return it, nil
}

// scan yields a relation's rows range by range, resuming after the last key of each batch.
type scan struct {
	view   *table.View
	id     catalog.ID
	layout job.Layout
	cols   []int
	types  []sqltypes.Type
	vecs   []*delta.Vec
	ranges []key.Range
	points [][]byte // full keys, read before the ranges
}

// addPrefix adds the ranges of a key prefix: one when its columns decide the vnode, else one per vnode. A prefix that is a whole key
// is a point.
func (s *scan) addPrefix(rel *catalog.Relation, vals []sqltypes.Datum) {
	types := make([]sqltypes.Type, len(vals))
	for i := range vals {
		if vals[i] == nil {
			return // equality with NULL matches nothing
		}
		types[i] = rel.Columns[rel.Key[i].Col].Type
	}
	pk := row.AppendKeyDatums(nil, types, s.layout.Key[:len(vals)], vals)
	if vnode, ok := s.vnode(rel, vals); ok {
		k := key.TableKey(uint32(rel.ID), vnode, pk)
		if len(vals) == len(rel.Key) {
			s.points = append(s.points, k)
		} else {
			s.ranges = append(s.ranges, key.PrefixRange(k))
		}
		return
	}
	for v := range row.VNodes {
		s.ranges = append(s.ranges, key.PrefixRange(key.TableKey(uint32(rel.ID), uint16(v), pk)))
	}
}

func (s *scan) vnode(rel *catalog.Relation, vals []sqltypes.Datum) (uint16, bool) {
	if len(rel.Dist) == 0 {
		return job.SingletonVNode(rel.ID), true
	}
	vecs := make([]*delta.Vec, len(rel.Columns))
	for i, d := range vals {
		c := rel.Key[i].Col
		vecs[c] = delta.Repeat(rel.Columns[c].Type, d, 1)
	}
	for _, c := range rel.Dist {
		if vecs[c] == nil {
			return 0, false
		}
	}
	return s.layout.VNode(vecs, 0), true
}

// Next implements batch.ChunkIter.
func (s *scan) Next(ctx context.Context) (*delta.Chunk, error) {
	if len(s.points) > 0 {
		c, err := s.get(ctx)
		if err != nil || c != nil {
			return c, err
		}
	}
	for len(s.ranges) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c, err := s.batch()
		if err != nil || c != nil {
			return c, err
		}
	}
	return nil, nil
}

// get reads the points.
func (s *scan) get(ctx context.Context) (*delta.Chunk, error) {
	out := delta.NewBuilder(s.types)
	for i, c := range s.cols {
		s.vecs[c] = out.Col(i)
	}
	for _, k := range s.points {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		v, ok, err := s.view.Get(s.id, k)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		w, err := s.layout.Decode(v, s.vecs)
		if err != nil {
			return nil, err
		}
		out.EndRow(w)
	}
	s.points = nil
	return out.Take(), nil
}

func (s *scan) batch() (*delta.Chunk, error) {
	r := s.ranges[0]
	out := delta.NewBuilder(s.types)
	for i, c := range s.cols {
		s.vecs[c] = out.Col(i)
	}
	var bad error
	var last []byte
	err := s.view.Scan(s.id, r.Lo, r.Hi, func(k, v []byte) bool {
		n, w, err := s.layout.DecodeRows(v, s.vecs)
		if err != nil {
			bad = err
			return false
		}
		out.EndRows(n, w)
		if out.Len() >= delta.BatchRows {
			last = append(append([]byte(nil), k...), 0)
			return false
		}
		return true
	})
	if err == nil {
		err = bad
	}
	if last != nil {
		s.ranges[0].Lo = last
	} else {
		s.ranges = s.ranges[1:]
	}
	return out.Take(), err
}

// Close implements batch.ChunkIter.
func (s *scan) Close() {}

// Logged returns the log position up to which writes have been acknowledged, or are about to be.
func (e *Engine) Logged() uint64 { return e.dml.committed(e.cfg.Log.Durable()) }

// WaitLogged waits until everything logged so far can be read.
func (e *Engine) WaitLogged(ctx context.Context) error { return e.WaitSeen(ctx, e.Logged()) }

// WaitSeen waits until everything up to a log position can be read.
func (e *Engine) WaitSeen(ctx context.Context, target uint64) error {
	for {
		changed := e.progress.changed()
		if e.dml.seen() >= target {
			return nil
		}
		e.demand()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-e.ctx.Done():
			return errClosing
		}
	}
}

// Flush ends the running epoch and waits until every job has completed it: what was written, and what sources
// had sent, can be read then.
func (e *Engine) Flush(ctx context.Context) error {
	var after uint64
	e.call(func(now time.Time) {
		after = e.machine.Last()
		e.apply(e.machine.Demand(now), now)
	})
	for {
		changed := e.progress.changed()
		var floor uint64
		if !e.call(func(time.Time) { floor = e.machine.Floor() }) {
			return errClosing
		}
		if floor > after {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
