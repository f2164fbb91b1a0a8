package engine

import (
	"bytes"
	"context"
	"time"

	"github.com/millrace/millrace/executor/batch"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/row"
	"github.com/millrace/millrace/storage/table"
)

// SinceKind says where a cursor over a subscription begins.
type SinceKind uint8

// The beginnings.
const (
	SinceNow   SinceKind = iota // with what changes from now on
	SinceBegin                  // with the oldest change kept
	SinceTime                   // with the first change after a time
	SinceFull                   // with the relation's rows as they are now
)

// Since is where a cursor over a subscription begins.
type Since struct {
	Kind SinceKind
	Time uint64 // of SinceTime: an epoch, which is ms since 1970
}

// The values of the column op.
const (
	opInsert       = "Insert"
	opDelete       = "Delete"
	opUpdateInsert = "UpdateInsert"
	opUpdateDelete = "UpdateDelete"
)

// SubscriptionCursor reads the changes of a subscription, in the order of their epochs. It belongs to one goroutine.
type SubscriptionCursor struct {
	e     *Engine
	rel   *catalog.Relation
	types []sqltypes.Type // of its rows: the relation's columns, op, rw_timestamp

	rows  batch.ChunkIter // what is left of the snapshot; nil: nothing
	view  *table.View
	after uint64 // epochs up to here have been read, or are part of the snapshot
	at    indexed
	seq   uint64 // of at, the next change; only while reading
	in    bool   // at is being read

	ready *delta.Chunk // read, and not returned yet
	next  int          // row of ready
}

// Subscribe opens a cursor over a subscription of relation up. SinceTime is for those who have seen all changes up to
// that time: the next ones follow, each once.
func (e *Engine) Subscribe(ctx context.Context, rel, up *catalog.Relation, since Since) (*SubscriptionCursor, error) {
	c := &SubscriptionCursor{e: e, rel: rel, types: append(rel.Types(), sqltypes.Text, sqltypes.Int8)}
	// What has been acknowledged by now is in an epoch that the log has seen.
	if err := e.WaitLogged(ctx); err != nil {
		return nil, err
	}
	s, err := c.current()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	floor, seen := s.totals.floor, s.epoch
	s.mu.Unlock()
	switch since.Kind {
	case SinceBegin:
		c.after = max(floor, keptFrom(rel)-1)
	case SinceNow:
		c.after = seen
	case SinceTime:
		if now := max(uint64(time.Now().UnixMilli()), seen); since.Time > now {
			return nil, sqlerr.New(sqlerr.InvalidParameterValue, "rw_timestamp %d is in the future", since.Time).
				WithDetail("The latest is %d.", now)
		}
		c.after = since.Time
		if _, _, err := c.following(s); err != nil {
			return nil, err
		}
	case SinceFull:
		if err := c.snapshot(ctx, up, seen); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// current finds the log that the subscription's job writes.
func (c *SubscriptionCursor) current() (*subscription, error) {
	c.e.mu.Lock()
	s := c.e.subscriptions[c.rel.ID]
	c.e.mu.Unlock()
	if s != nil && !s.catchesUp() {
		return s, nil
	}
	if c.e.cfg.Catalog.Snapshot().Relations[c.rel.ID] != nil {
		return nil, sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "subscription %q is not running", c.rel.Name)
	}
	return nil, sqlerr.New(sqlerr.UndefinedObject, "subscription %q does not exist", c.rel.Name)
}

func (s *subscription) catchesUp() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hidden
}

// snapshot opens the relation at a committed epoch that is not before epoch.
func (c *SubscriptionCursor) snapshot(ctx context.Context, up *catalog.Relation, epoch uint64) error {
	v, at, err := c.e.committedView(ctx, up.ID, epoch)
	if err != nil {
		return err
	}
	r := &Reader{View: v, Rels: c.e.cfg.Catalog.Snapshot()}
	cols := make([]int, len(c.rel.Columns))
	for i := range cols {
		cols[i] = i
	}
	if c.rows, err = r.Scan(ctx, up.ID, cols, nil); err != nil {
		v.Close()
		return err
	}
	c.view, c.after = v, at
	return nil
}

// committedView opens a relation at an epoch not before epoch, and returns when that is committed.
func (e *Engine) committedView(ctx context.Context, id catalog.ID, epoch uint64) (*table.View, uint64, error) {
	for {
		changed := e.progress.changed()
		at, ok := e.tables.Completed(id)
		if !ok {
			return nil, 0, e.unreadable(id)
		}
		if at >= epoch {
			if v, err := e.tables.View([]catalog.ID{id}, at); err == nil {
				if err := e.waitCommitted(ctx, at); err != nil {
					v.Close()
					return nil, 0, err
				}
				return v, at, nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		case <-e.ctx.Done():
			return nil, 0, errClosing
		}
	}
}

// waitCommitted returns when an epoch is committed.
func (e *Engine) waitCommitted(ctx context.Context, epoch uint64) error {
	for {
		changed := e.commits.changed()
		if e.durable.Load() >= epoch {
			return nil
		}
		if err := e.Checkpoint(ctx); err != nil {
			return err
		}
		if e.durable.Load() >= epoch {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-e.ctx.Done():
			return errClosing
		}
	}
}

// Close gives up what the cursor holds.
func (c *SubscriptionCursor) Close() {
	if c.view != nil {
		c.rows.Close()
		c.view.Close()
		c.rows, c.view = nil, nil
	}
}

// Types are those of the rows: the relation's columns, op, rw_timestamp.
func (c *SubscriptionCursor) Types() []sqltypes.Type { return c.types }

// Fetch returns up to max rows that are there. When there are none it waits for some, at most for wait, and then returns
// nothing.
func (c *SubscriptionCursor) Fetch(ctx context.Context, max int64, wait time.Duration) ([]*delta.Chunk, error) {
	var out []*delta.Chunk
	bld := delta.NewBuilder(c.types)
	deadline := time.Now().Add(wait)
	for n := int64(0); n < max; {
		changed := c.e.commits.changed()
		if c.ready == nil {
			if err := c.fill(ctx); err != nil {
				return nil, err
			}
		}
		if c.ready == nil {
			if n > 0 || time.Until(deadline) <= 0 {
				break
			}
			if err := waitFor(ctx, changed, deadline, c.e.ctx); err != nil {
				return nil, err
			}
			continue
		}
		bld.AppendRow(c.ready, c.next, 1)
		n++
		if c.next++; c.next == c.ready.Rows {
			c.ready = nil
		}
		if bld.Len() == delta.BatchRows {
			out = append(out, bld.Take())
		}
	}
	if last := bld.Take(); last != nil {
		out = append(out, last)
	}
	return out, nil
}

// waitFor returns at a signal, or without an error when the time is over.
func waitFor(ctx context.Context, signal <-chan struct{}, deadline time.Time, life context.Context) error {
	t := time.NewTimer(time.Until(deadline))
	defer t.Stop()
	select {
	case <-signal:
	case <-t.C:
	case <-ctx.Done():
		return ctx.Err()
	case <-life.Done():
		return errClosing
	}
	return nil
}

// fill reads on; nothing is ready when there is nothing to be read.
func (c *SubscriptionCursor) fill(ctx context.Context) error {
	c.next = 0
	if c.view != nil {
		ch, err := c.rows.Next(ctx)
		if err != nil {
			return err
		}
		if ch != nil {
			c.ready = c.shown(ch, nil)
			return nil
		}
		c.Close()
	}
	s, err := c.current()
	if err != nil {
		return err
	}
	for c.ready == nil {
		if !c.in {
			x, ok, err := c.following(s)
			if err != nil || !ok {
				return err
			}
			c.at, c.seq, c.in = x, 0, true
		}
		if err := c.page(s); err != nil {
			return err
		}
	}
	return nil
}

// following finds the next epoch that is committed; ok is false when there is none yet.
func (c *SubscriptionCursor) following(s *subscription) (x indexed, ok bool, err error) {
	committed := c.e.durable.Load()
	err = s.index(c.after+1, func(y indexed) bool {
		x, ok = y, y.epoch <= committed
		return false
	})
	if err != nil {
		return x, false, err
	}
	s.mu.Lock()
	floor, folded := s.totals.floor, s.folded
	s.mu.Unlock()
	if folded.low < c.after && c.after < folded.high {
		return x, false, c.behind(folded.high + 1)
	}
	kept := max(floor+1, keptFrom(c.rel))
	if c.after < floor || ok && x.epoch < kept {
		return x, false, c.behind(kept)
	}
	return x, ok, nil
}

// behind is the error of a cursor whose next changes may be gone.
func (c *SubscriptionCursor) behind(oldest uint64) error {
	return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "changes of subscription %q after rw_timestamp %d are no longer kept", c.rel.Name, c.after).
		WithDetail("The subscription keeps changes from rw_timestamp %d on.", oldest).
		WithHint("Declare the cursor again, FULL or SINCE a later time.")
}

// page reads a part of the epoch that the cursor is in. A pair that makes up an update is not torn.
func (c *SubscriptionCursor) page(s *subscription) error {
	ch, next, err := s.page(c.at.epoch, c.seq, delta.BatchRows)
	if err != nil {
		return err
	}
	s.mu.Lock()
	gone := s.totals.floor >= c.at.epoch
	s.mu.Unlock()
	if gone {
		return c.behind(c.at.epoch + 1)
	}
	if ch == nil {
		return sqlerr.New(sqlerr.InternalError, "epoch %d of subscription %q is not in its log", c.at.epoch, c.rel.Name)
	}
	n := ch.Rows
	if next != 0 && n > 1 && ch.Weight(n-1) < 0 {
		n, next = n-1, next-1
	}
	cols := make([]*delta.Vec, len(ch.Cols))
	for i, v := range ch.Cols {
		cols[i] = v.Prefix(n)
	}
	part := &delta.Chunk{Cols: cols, Weights: ch.Weights, Rows: n}
	if part.Weights != nil {
		part.Weights = part.Weights[:n]
	}
	c.ready = c.shown(part, s.key)
	if c.seq = next; next == 0 {
		c.in, c.after = false, c.at.epoch
	}
	return nil
}

// shown gives changes their op and rw_timestamp, a row for each unit of weight. With a key, a delete followed by an insert of
// the same key is an update.
func (c *SubscriptionCursor) shown(ch *delta.Chunk, key []row.KeyCol) *delta.Chunk {
	out := delta.NewBuilder(c.types)
	add := func(i int, op string, times int64) {
		for range times {
			for k, v := range ch.Cols {
				out.Col(k).AppendFrom(v, i)
			}
			out.Col(len(ch.Cols)).AppendString(op)
			if c.in {
				out.Col(len(ch.Cols) + 1).AppendInt(int64(c.at.epoch))
			} else {
				out.Col(len(ch.Cols) + 1).AppendNull()
			}
			out.EndRow(1)
		}
	}
	var a, b []byte
	for j := 0; j < ch.Len(); j++ {
		i := ch.Row(j)
		w := ch.Weight(i)
		if w > 0 {
			add(i, opInsert, w)
			continue
		}
		if key != nil && w == -1 && j+1 < ch.Len() && ch.Weight(ch.Row(j+1)) == 1 {
			to := ch.Row(j + 1)
			a, b = row.AppendKey(a[:0], ch.Cols, key, i), row.AppendKey(b[:0], ch.Cols, key, to)
			if bytes.Equal(a, b) {
				add(i, opUpdateDelete, 1)
				add(to, opUpdateInsert, 1)
				j++
				continue
			}
		}
		add(i, opDelete, -w)
	}
	return out.Take()
}
