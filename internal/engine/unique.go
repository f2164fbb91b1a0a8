package engine

import (
	"context"
	"slices"
	"time"

	"github.com/millrace/millrace/executor/job"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
)

// Unique keys beside the primary key. Who has a key is looked up in the index behind it, read at the same epoch as the
// table, below what the transaction has written itself. Keys taken and given up are among what the sequencer compares,
// so that of two transactions that take one key the second sees the first.

// uniqueKey is one unique key of a table that a transaction writes.
type uniqueKey struct {
	con      *catalog.Constraint
	cols     []int
	txnTable // of the index; only rel, layout and own are in use
}

// uniqueKeys lists the unique keys of a table.
func uniqueKeys(rel *catalog.Relation, rels *catalog.Snapshot) []*uniqueKey {
	var out []*uniqueKey
	for i := range rel.Constraints {
		c := &rel.Constraints[i]
		idx := rels.Relations[c.Index]
		if c.Kind != catalog.UniqueKey || idx == nil {
			continue
		}
		u := &uniqueKey{con: c, txnTable: txnTable{rel: idx, layout: job.NewLayout(idx)}}
		for _, id := range c.Columns {
			k, _ := rel.ColumnAt(id)
			u.cols = append(u.cols, k)
		}
		out = append(out, u)
	}
	return out
}

// uniqueIndexes lists the indexes that writing to a table reads.
func uniqueIndexes(rel *catalog.Relation, rels *catalog.Snapshot) []catalog.ID {
	var out []catalog.ID
	for _, c := range rel.Constraints {
		if c.Kind == catalog.UniqueKey && rels.Relations[c.Index] != nil {
			out = append(out, c.Index)
		}
	}
	return out
}

// awaitCreated waits for indexes that are still reading their first snapshot: writes must be looked up in them.
func (e *Engine) awaitCreated(ctx context.Context, ids []catalog.ID) error {
	for {
		changed, rels := e.progress.changed(), e.cfg.Catalog.Snapshot()
		if !slices.ContainsFunc(ids, func(id catalog.ID) bool {
			r := rels.Relations[id]
			return r != nil && r.Kind == catalog.Index && r.Creating
		}) {
			return nil
		}
		select {
		case <-changed:
		case <-time.After(createdPoll): // the catalog may come after the progress
		case <-ctx.Done():
			return ctx.Err()
		case <-e.ctx.Done():
			return errClosing
		}
	}
}

// vanished says 40001 in place of err when a relation is gone since the statement was bound: a unique key was dropped
// or could not be made, and the statement may be run again without it.
func (e *Engine) vanished(ids []catalog.ID, err error) error {
	rels := e.cfg.Catalog.Snapshot()
	if slices.ContainsFunc(ids, func(id catalog.ID) bool { return rels.Relations[id] == nil }) {
		return sqlerr.New(sqlerr.SerializationFailure, "could not serialize access due to a dropped relation").WithCause(err)
	}
	return err
}

// createdPoll is how often the catalog is asked whether an index is complete.
const createdPoll = 20 * time.Millisecond

// part is the part of c that the index knows: columns added to the table later are not in it.
func (u *uniqueKey) part(c *delta.Chunk) *delta.Chunk { return c.WithCols(c.Cols[:len(u.rel.Columns)]) }

// exempt says that row i is not bound by the key, because it has NULL there.
func (u *uniqueKey) exempt(c *delta.Chunk, i int) bool {
	return !u.con.NullsNotDistinct && slices.ContainsFunc(u.cols, func(k int) bool { return c.Cols[k].IsNull(i) })
}

// holder returns the row that has the key of row i, as the index keeps it, or nil.
func (w *Writer) holder(u *uniqueKey, c *delta.Chunk, i int) (*delta.Chunk, error) {
	if u.exempt(c, i) {
		return nil, nil
	}
	at := &Writer{t: w.t, x: &u.txnTable, view: w.view}
	return at.Existing(u.part(c), i)
}

// note records that row i comes (weight 1) or goes.
func (w *Writer) note(c *delta.Chunk, i int, weight int64) {
	for _, u := range w.x.unique {
		if u.exempt(c, i) {
			continue
		}
		at := &Writer{t: w.t, x: &u.txnTable, view: w.view}
		p := u.part(c)
		at.keyOf(p, i)
		u.set(w.t, at, p, i, weight, 1)
	}
}

// free fails with 23505 if another row has one of row i's unique keys.
func (w *Writer) free(c *delta.Chunk, i int) error {
	for _, u := range w.x.unique {
		old, err := w.holder(u, c, i)
		if err != nil {
			return err
		}
		if old != nil {
			return duplicate(w.x.rel, u.con.Name, u.cols, c.Cols, i)
		}
	}
	return nil
}

// whole returns the row of the table that holder found.
func (w *Writer) whole(u *uniqueKey, held *delta.Chunk) (*delta.Chunk, error) {
	if len(held.Cols) == len(w.x.rel.Columns) {
		return held, nil
	}
	if len(w.x.rel.PrimaryKey) == 0 {
		return nil, sqlerr.New(sqlerr.FeatureNotSupported, "ON CONFLICT DO UPDATE on constraint %q does not know the columns that were added to table %q", u.con.Name, w.x.rel.Name).
			WithHint("Drop the constraint and add it again.")
	}
	wide := delta.NewBuilder(w.x.rel.Types())
	for k := range w.x.rel.Columns {
		if k < len(held.Cols) {
			wide.Col(k).AppendFrom(held.Cols[k], 0)
		} else {
			wide.Col(k).AppendNull()
		}
	}
	wide.EndRow(1)
	return w.Existing(wide.Take(), 0)
}

// checker tests CHECK constraints.
type checker struct {
	rel   *catalog.Relation
	input []expr.Program
	names []string
	progs []expr.Program
}

func newChecker(rel *catalog.Relation, checks []plan.Check) (*checker, error) {
	c := &checker{rel: rel}
	for _, x := range checks {
		p, err := expr.Compile(x.Cond)
		if err != nil {
			return nil, err
		}
		if x.Input {
			c.input = append(c.input, p)
			continue
		}
		c.names, c.progs = append(c.names, x.Name), append(c.progs, p)
	}
	return c, nil
}

// row tests row i of a chunk of whole rows: what it was made from first, then NOT NULL, then CHECK.
func (k *checker) row(ctx *expr.Ctx, c *delta.Chunk, i int) error {
	one := c.WithSel([]int32{int32(i)})
	for _, p := range k.input {
		p.Eval(ctx, one)
		if err := ctx.FirstErr(); err != nil {
			return err
		}
	}
	if err := notNull(k.rel, c.Cols, i); err != nil || len(k.progs) == 0 {
		return err
	}
	for n, p := range k.progs {
		v := p.Eval(ctx, one)
		if err := ctx.FirstErr(); err != nil {
			return err
		}
		if !v.IsNull(i) && !v.Bools[i] {
			return sqlerr.New(sqlerr.CheckViolation, "new row for relation %q violates check constraint %q", k.rel.Name, k.names[n]).
				WithDetail("Failing row contains (%s).", rowText(c.Cols[:len(k.rel.Columns)], i)).
				WithTable(k.rel.Schema, k.rel.Name, "", k.names[n])
		}
	}
	return nil
}

// duplicate is 23505 for row i of a table.
func duplicate(rel *catalog.Relation, constraint string, key []int, cols []*delta.Vec, i int) error {
	var names, vals []byte
	for n, k := range key {
		if n > 0 {
			names, vals = append(names, ", "...), append(vals, ", "...)
		}
		names = append(names, rel.Columns[k].Name...)
		if cols[k].IsNull(i) {
			vals = append(vals, "null"...)
			continue
		}
		vals = sqlio.AppendText(vals, cols[k], i, sqlio.DefaultSettings())
	}
	return sqlerr.New(sqlerr.UniqueViolation, "duplicate key value violates unique constraint %q", constraint).
		WithDetail("Key (%s)=(%s) already exists.", names, vals).
		WithTable(rel.Schema, rel.Name, "", constraint)
}

func duplicateKey(rel *catalog.Relation, cols []*delta.Vec, i int) error {
	return duplicate(rel, rel.PrimaryKeyLabel(), rel.PrimaryKey, cols, i)
}
