package engine

import (
	"context"
	"slices"
	"strings"

	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// What the target demands of its rows (CHECK, UNIQUE, NOT NULL, domains) is tested like that of an INSERT. A step that
// would violate it is not taken: the target stays at the last one that it could take, the sink says why and tries again.
// Steps that are owed behind it are taken together with it where that puts it right.

// demands is what a target demands, as of a revision of the catalog.
type demands struct {
	revision int64
	check    *checker
	ctx      *expr.Ctx
}

// demanded returns what the target demands now.
func (d *delivery) demanded(ctx context.Context, target *catalog.Relation, revision int64) (*demands, error) {
	if d.demands != nil && d.demands.revision == revision {
		return d.demands, nil
	}
	out := &demands{revision: revision}
	var checks []plan.Check
	var err error
	if d.e.cfg.Demands != nil {
		if checks, out.ctx, err = d.e.cfg.Demands(ctx, target); err != nil {
			return nil, err
		}
	}
	if out.check, err = newChecker(target, checks); err != nil {
		return nil, err
	}
	d.demands = out
	return out, nil
}

// violates reports whether a target has refused a row.
func violates(err error) bool {
	return err != nil && strings.HasPrefix(string(sqlerr.CodeOf(err)), "23")
}

// deliverInto brings an epoch's changes, read already, into a table.
func (d *delivery) deliverInto(ctx context.Context, epoch uint64, rows []int64, chunks []*delta.Chunk) error {
	refused := d.e.sinkInto(ctx, d, epoch, rows, chunks)
	if !violates(refused) {
		return refused
	}
	// What is owed behind it may put it right: then the target goes over the steps that it cannot take.
	all := stream.NewConsolidator(nil)
	size, last := 0, epoch
	add := func(c *delta.Chunk) error {
		size += c.SizeBytes()
		all.Add(c)
		return nil
	}
	for _, c := range chunks {
		_ = add(c)
	}
	rows = slices.Clone(rows)
	for size < owedBytes {
		next, ok, err := d.next(last)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		for i, s := range d.logs {
			n, err := s.read(next, add)
			if err != nil {
				return err
			}
			rows[i] += n
		}
		last = next
	}
	if last == epoch {
		return refused
	}
	net, err := netChanges(all, d.types)
	if err != nil {
		return err
	}
	return d.e.sinkInto(ctx, d, last, rows, net)
}

// sinkInto writes an epoch's changes into a table, through the table's DML log; the record carries the
// sink's epoch, so that a restart knows what was written.
func (e *Engine) sinkInto(ctx context.Context, d *delivery, epoch uint64, rows []int64, chunks []*delta.Chunk) error {
	for {
		err := e.tryInto(ctx, d, epoch, rows, chunks)
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

func (e *Engine) tryInto(ctx context.Context, d *delivery, epoch uint64, rows []int64, chunks []*delta.Chunk) error {
	rels := e.cfg.Catalog.Snapshot()
	target := rels.Relations[d.node.Into]
	want, err := d.demanded(ctx, target, rels.Revision)
	if err != nil {
		return err
	}
	txn := e.Begin(ReadCommitted)
	defer txn.Abort()
	txn.end = txnEnd{sink: d.rel.ID, sinkEpoch: epoch}
	view, pos, err := txn.view(ctx, append(uniqueIndexes(target, rels), target.ID), &Query{Catalog: rels})
	if err != nil {
		return err
	}
	defer view.Close()
	w := txn.table(target, rels, view, pos)
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
				if sign > 0 {
					if err := want.check.row(want.ctx, full, i); err != nil {
						return err
					}
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

// apply changes the table by a row: a keyed table takes it as an upsert or a delete of the key. A row that is to go and that somebody else has
// deleted is gone already.
func (w *Writer) apply(c *delta.Chunk, i int, sign, times int64) error {
	if len(w.x.rel.PrimaryKey) == 0 {
		if sign < 0 {
			there, err := w.copies(c, i)
			if err != nil {
				return err
			}
			times = min(times, there)
		}
		for range times {
			if sign > 0 {
				if err := w.free(c, i); err != nil {
					return err
				}
			}
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
	if sign < 0 {
		return nil
	}
	if err := w.free(c, i); err != nil {
		return err
	}
	return w.Insert(c, i)
}
