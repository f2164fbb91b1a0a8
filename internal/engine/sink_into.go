package engine

import (
	"context"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqltypes"
)

// sinkInto writes an epoch's changes into a table, through the table's DML log; the record carries the
// sink's epoch, so that a restart knows what was written.
func (e *Engine) sinkInto(ctx context.Context, d *delivery, epoch uint64, rows []int64, chunks []*delta.Chunk) error {
	target := e.cfg.Catalog.Snapshot().Relations[d.node.Into]
	for {
		err := e.tryInto(ctx, d, target, epoch, rows, chunks)
		pos, ok := Conflict(err)
		if !ok {
			return err
		}
		if err := e.WaitSeen(ctx, pos); err != nil {
			return err
		}
	}
}

// deliveredInto is the last epoch that the log says a sink has delivered, 0 for none.
func (e *Engine) deliveredInto(sink catalog.ID) uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.delivered[sink]
}

func (e *Engine) tryInto(ctx context.Context, d *delivery, target *catalog.Relation, epoch uint64, rows []int64, chunks []*delta.Chunk) error {
	txn := e.Begin(ReadCommitted)
	defer txn.Abort()
	txn.end = txnEnd{sink: d.rel.ID, sinkEpoch: epoch}
	view, pos, err := txn.view(ctx, []catalog.ID{target.ID}, &Query{})
	if err != nil {
		return err
	}
	defer view.Close()
	w := txn.table(target, e.cfg.Catalog.Snapshot(), view, pos)
	types := target.Types()
	// Deletes first: an update of a key may come as an insert and a delete from different actors.
	for _, sign := range []int64{-1, 1} {
		for _, c := range chunks {
			full := intoColumns(c, d.node.IntoCols, types)
			for j := range c.Len() {
				i := c.Row(j)
				if c.Weight(i)*sign <= 0 {
					continue
				}
				if err := w.apply(full, i, sign, c.Weight(i)*sign); err != nil {
					return err
				}
			}
		}
	}
	d.landing.Lock()
	defer d.landing.Unlock()
	if _, err = txn.Commit(ctx); err == nil {
		d.settle(epoch, rows)
	}
	return err
}

// intoColumns arranges a chunk's columns as the target's; columns not given are NULL.
func intoColumns(c *delta.Chunk, into []int, types []sqltypes.Type) *delta.Chunk {
	cols := make([]*delta.Vec, len(types))
	for i, k := range into {
		cols[k] = c.Cols[i].Retype(types[k])
	}
	for k := range cols {
		if cols[k] == nil {
			cols[k] = delta.Repeat(types[k], nil, c.Rows)
		}
	}
	return &delta.Chunk{Cols: cols, Weights: c.Weights, Sel: c.Sel, Rows: c.Rows}
}

// apply changes the table by a row: a keyed table takes it as an upsert or a delete of the key.
func (w *Writer) apply(c *delta.Chunk, i int, sign, times int64) error {
	if len(w.x.rel.PrimaryKey) == 0 {
		for range times {
			if err := w.change(c, i, sign); err != nil {
				return err
			}
		}
		return nil
	}
	old, err := w.Existing(c, i)
	if err != nil {
		return err
	}
	if old != nil {
		if err := w.Delete(old, 0); err != nil {
			return err
		}
	}
	if sign > 0 {
		return w.Insert(c, i)
	}
	return nil
}
