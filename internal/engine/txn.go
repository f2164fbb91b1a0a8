package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/millrace/millrace/executor/job"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/storage/change"
	"github.com/millrace/millrace/storage/key"
	"github.com/millrace/millrace/storage/row"
	"github.com/millrace/millrace/storage/table"
)

// Level says what the statements of a transaction read.
type Level uint8

// The levels.
const (
	ReadCommitted  Level = iota // each statement a view of its own
	RepeatableRead              // all of them the first one's
	Serializable                // likewise, and a commit finds nothing changed of what was read
)

// Txn collects a transaction's writes until Commit. Its reads see them. One goroutine.
//
// Up to largeBytes of writes are kept twice, in order as chunks for the log and the jobs and by key for the transaction's
// own reads. A larger transaction keeps them by key only (see large.go).
type Txn struct {
	e      *Engine
	level  Level
	tables map[catalog.ID]*txnTable
	order  []*txnTable
	undo   []undo // how to go back to a Mark
	bytes  int    // of keys and values written, roughly
	large  bool
	end    txnEnd
	holds  bool     // it may commit although writers are held
	pins   []uint64 // log positions read at; see dml.pin
	fixed  *fixed   // what a transaction above ReadCommitted reads, once it has read
	locks  []*readSet
	load   *load // a COPY under way
}

type txnTable struct {
	rel    *catalog.Relation
	layout job.Layout
	out    *delta.Builder
	sealed []*delta.Chunk // rows of out from before the last Mark
	own    change.Map     // full key → stored value, or deleted
	marked int            // number of keys at the last Mark
	read   uint64
	unique []*uniqueKey
}

// undo is the former state of one key.
type undo struct {
	x   *txnTable
	was change.Saved
}

// Mark is a point in a transaction to go back to.
type Mark struct {
	undo int
	rows []markedTable // by place in order
}

// markedTable is what a table's part of a transaction had when it was marked.
type markedTable struct {
	sealed int
	keys   []int // its own, then those of its unique keys
}

// parts are the table and its unique keys.
func (x *txnTable) parts() []*txnTable {
	out := []*txnTable{x}
	for _, u := range x.unique {
		out = append(out, &u.txnTable)
	}
	return out
}

// Mark notes the present state. Marks taken later are void once the transaction has gone back before them.
func (t *Txn) Mark() Mark {
	m := Mark{undo: len(t.undo)}
	for _, x := range t.order {
		x.seal()
		at := markedTable{sealed: len(x.sealed)}
		for _, p := range x.parts() {
			p.marked = p.own.Len()
			at.keys = append(at.keys, p.marked)
		}
		m.rows = append(m.rows, at)
	}
	return m
}

func (x *txnTable) seal() {
	if c := x.out.Take(); c != nil {
		x.sealed = append(x.sealed, c)
	}
}

// Rollback takes back what was written since a mark.
func (t *Txn) Rollback(m Mark) {
	for i := len(t.undo) - 1; i >= m.undo; i-- {
		t.undo[i].x.own.Restore(t.undo[i].was)
	}
	t.undo = t.undo[:m.undo]
	for i, x := range t.order {
		x.seal()
		if i >= len(m.rows) {
			delete(t.tables, x.rel.ID)
			continue
		}
		if !t.large {
			x.sealed = x.sealed[:m.rows[i].sealed]
		}
		for k, p := range x.parts() {
			p.marked = m.rows[i].keys[k]
			p.own.Shrink(p.marked)
		}
	}
	t.order = t.order[:len(m.rows)]
}

// rows takes all rows written to the table.
func (x *txnTable) rows() []*delta.Chunk {
	x.seal()
	return x.sealed
}

// Begin starts a transaction.
func (e *Engine) Begin(l Level) *Txn { return &Txn{e: e, level: l, tables: map[catalog.ID]*txnTable{}} }

// Empty reports whether nothing was written.
func (t *Txn) Empty() bool { return len(t.order) == 0 }

// Block makes the transaction that of a block with definitions: its record in the log decides about them, so there will be one, whatever
// it has written. holds: it may commit although HoldWriters keeps others from it.
func (t *Txn) Block(id catalog.ID, holds bool) { t.end.block, t.holds = id, holds }

// Wrote reports whether the transaction has written to a relation.
func (t *Txn) Wrote(id catalog.ID) bool { return t.tables[id] != nil }

// Overlay puts the transaction's writes to some relations on top of a view.
func (t *Txn) Overlay(v *table.View, ids []catalog.ID) {
	for _, id := range ids {
		x := t.tables[id]
		if x == nil || x.own.Len() == 0 {
			continue
		}
		v.Overlay(x.rel.ID, x.own.Set.Clone())
	}
}

// view opens relations for a statement that writes: whatever is written after it stays on record until the
// transaction ends, so that its commit can tell what has changed.
func (t *Txn) view(ctx context.Context, ids []catalog.ID, q *Query) (*table.View, uint64, error) {
	t.EndLoad()
	if err := t.e.awaitCreated(ctx, ids); err != nil {
		return nil, 0, err
	}
	if t.level > ReadCommitted {
		return t.fixedView(ctx, ids, q)
	}
	ids, err := q.existing(ids)
	if err != nil {
		return nil, 0, err
	}
	for {
		v, err := t.e.View(ctx, ids, q.MinPos)
		if err != nil {
			return nil, 0, t.e.vanished(ids, err)
		}
		if pos, ok := t.e.dml.pin(v.Epoch); ok {
			t.pins = append(t.pins, pos)
			return v, pos, nil
		}
		v.Close()
	}
}

// load is the view of a COPY, which gives its rows in many calls.
type load struct {
	statementView
	rel   *catalog.Relation
	until time.Time
}

// loadViewFor is how long a COPY looks at one view. A new one has to wait for what others have written last, which a large COPY
// beside many small writers should not do for each of its chunks; an old one keeps the store from forgetting.
const loadViewFor = time.Second

// loadView opens what a COPY into a table looks its rows up in, or goes on with it.
func (t *Txn) loadView(ctx context.Context, rel *catalog.Relation, q *Query) (*table.View, uint64, error) {
	if l := t.load; l != nil && l.rel == rel && time.Now().Before(l.until) {
		return l.view, l.pos, nil
	}
	view, pos, err := t.view(ctx, append(uniqueIndexes(rel, q.Catalog), rel.ID), q)
	if err != nil {
		return nil, 0, err
	}
	t.load = &load{statementView{view, pos}, rel, time.Now().Add(loadViewFor)}
	return view, pos, nil
}

// EndLoad ends a COPY.
func (t *Txn) EndLoad() {
	if t.load != nil {
		t.load.view.Close()
		t.load = nil
	}
}

// Abort ends the transaction without writing anything; also after Commit, where it does nothing.
func (t *Txn) Abort() {
	t.EndLoad()
	for _, pos := range t.pins {
		t.e.dml.unpin(pos)
	}
	t.pins = nil
	if t.fixed != nil {
		t.fixed.view.Close()
		t.fixed = nil
	}
}

// table prepares writing to a relation with rows computed from view v, which reads up to log position pos.
// rels is the catalog that the writing was decided by.
func (t *Txn) table(rel *catalog.Relation, rels *catalog.Snapshot, v *table.View, pos uint64) *Writer {
	x := t.tables[rel.ID]
	if x == nil {
		x = &txnTable{rel: rel, layout: job.NewLayout(rel), out: delta.NewBuilder(rel.Types()), read: pos, unique: uniqueKeys(rel, rels)}
		t.tables[rel.ID] = x
		t.order = append(t.order, x)
	}
	x.read = min(x.read, pos)
	return &Writer{t: t, x: x, view: v}
}

// Writer changes one relation within a transaction.
type Writer struct {
	t     *Txn
	x     *txnTable
	view  *table.View
	k     []byte // key and, without a key, image of the row that keyOf was last asked for
	val   []byte
	of    *delta.Chunk
	row   int
	buf   []byte
	asked int  // how often the view was asked for a row
	blank bool // the view has no row of the relation
}

// manyAsked is how many rows are looked up one by one before it is found out whether there are any.
const manyAsked = 32

// keyOf computes the full store key of row i.
func (w *Writer) keyOf(c *delta.Chunk, i int) {
	if w.of == c && w.row == i {
		return
	}
	x := w.x
	w.of, w.row = c, i
	w.k = key.AppendPrefix(w.k[:0], uint32(x.rel.ID), x.layout.VNode(c.Cols, i))
	if len(x.layout.Key) > 0 {
		w.k = row.AppendKey(w.k, c.Cols, x.layout.Key, i)
		return
	}
	w.val = row.AppendImage(w.val[:0], c.Cols, nil, i)
	hi, lo := key.Hash128(w.val)
	w.k = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(w.k, hi), lo)
}

// sameKey reports whether row i of two chunks has the same primary key. Rows without a key have none in common.
func (w *Writer) sameKey(a, b *delta.Chunk, i int) bool {
	if len(w.x.layout.Key) == 0 {
		return false
	}
	w.keyOf(a, i)
	w.buf = append(w.buf[:0], w.k...)
	w.keyOf(b, i)
	return bytes.Equal(w.buf, w.k)
}

func (w *Writer) stored() ([]byte, bool, error) {
	if at := w.x.own.Find(w.k); at >= 0 {
		e := w.x.own.Entries[at]
		return w.x.own.ValueOf(e), !e.Del, nil
	}
	if w.asked++; w.asked == manyAsked {
		var err error
		if w.blank, err = w.view.Empty(w.x.rel.ID); err != nil {
			return nil, false, err
		}
	}
	if w.blank {
		return nil, false, nil
	}
	return w.view.Get(w.x.rel.ID, w.k)
}

// copies returns how many rows equal to row i a table without a key holds, after what the transaction has done.
func (w *Writer) copies(c *delta.Chunk, i int) (n int64, err error) {
	w.keyOf(c, i)
	if at := w.x.own.Find(w.k); at >= 0 {
		n = job.BagWeight(w.x.own.ValueOf(w.x.own.Entries[at])) // below zero when rows in an older form have gone
	} else if v, ok, err := w.stored(); err != nil {
		return 0, err
	} else if ok {
		n = job.BagWeight(v)
	}
	for version := int(w.x.rel.SchemaVersion) - 1; version >= 0; version-- {
		vnode, k, _, ok := w.x.layout.OlderKey(version, c.Cols, i)
		if !ok {
			continue
		}
		v, ok, err := w.view.Get(w.x.rel.ID, key.TableKey(uint32(w.x.rel.ID), vnode, k))
		if err != nil {
			return 0, err
		}
		if ok {
			n += job.BagWeight(v)
		}
	}
	return n, nil
}

// Existing returns the stored row with the key of row i, or nil. Keyed relations only.
func (w *Writer) Existing(c *delta.Chunk, i int) (*delta.Chunk, error) {
	w.keyOf(c, i)
	if w.t.level == Serializable {
		w.t.fixed.reads.key(w.x.rel.ID, w.k) // also of a row that ON CONFLICT leaves alone
	}
	v, ok, err := w.stored()
	if err != nil || !ok {
		return nil, err
	}
	return w.x.layout.DecodeRow(v)
}

// Insert adds row i of c; its key must not be there (see Existing).
func (w *Writer) Insert(c *delta.Chunk, i int) error { return w.change(c, i, 1) }

// Delete removes row i of c, which must be a stored row.
func (w *Writer) Delete(c *delta.Chunk, i int) error { return w.change(c, i, -1) }

func (w *Writer) change(c *delta.Chunk, i int, weight int64) error {
	x, t := w.x, w.t
	w.note(c, i, weight)
	w.keyOf(c, i)
	keyed := len(x.layout.Key) > 0
	if t.level > ReadCommitted && (keyed || weight < 0) {
		if at := t.e.dml.written(x.rel.ID, w.k); at > x.read {
			return &conflictError{at} // no use in going on: the commit would find it
		}
	}
	n := int64(1)
	if !keyed {
		v, ok, err := w.stored()
		if err != nil {
			return err
		}
		if n = weight; ok {
			n += job.BagWeight(v)
		}
	}
	x.set(t, w, c, i, weight, n)
	if t.large {
		return nil
	}
	x.out.AppendRow(c, i, weight)
	if x.out.Len() >= delta.BatchRows {
		x.seal() // so that many rows are many chunks, and copied no more
	}
	if t.bytes > largeBytes {
		t.enlarge()
	}
	return nil
}

// set notes a change of the row whose key w has: keyed rows come or go, others weigh n from now on.
func (x *txnTable) set(t *Txn, w *Writer, c *delta.Chunk, i int, weight, n int64) {
	keyed := len(x.layout.Key) > 0
	w.buf = w.buf[:0]
	if !keyed || weight > 0 {
		w.buf = x.layout.AppendValue(w.buf, c.Cols, i, n)
	}
	at := x.own.Find(w.k)
	known := at >= 0
	if known && at < x.marked {
		t.undo = append(t.undo, undo{x, x.own.Save(at)})
	}
	at = x.own.Write(at, w.k, w.buf, keyed && weight < 0 || n <= 0)
	t.bytes += len(w.k) + len(w.buf)
	switch {
	case !keyed:
		x.own.Weigh(at, weight)
	case !known && weight < 0:
		w.buf = x.layout.AppendValue(w.buf[:0], c.Cols, i, 1)
		x.own.Replaces(at, w.buf)
		t.bytes += len(w.buf)
	}
}

// Lock makes the commit fail if others have changed the relations after this moment.
func (t *Txn) Lock(ctx context.Context, ids []catalog.ID, q *Query) error {
	v, pos, err := t.view(ctx, ids, q)
	if err != nil {
		return err
	}
	v.Close()
	l := &readSet{pos: pos}
	for _, id := range ids {
		l.whole(q.Catalog, id)
	}
	t.locks = append(t.locks, l)
	return nil
}

// Locked reports whether something is locked.
func (t *Txn) Locked() bool { return len(t.locks) > 0 }

// Forget drops what was written to a relation that the transaction removes.
func (t *Txn) Forget(id catalog.ID) {
	delete(t.tables, id)
	t.order = slices.DeleteFunc(t.order, func(x *txnTable) bool { return x.rel.ID == id })
}

// Commit logs the transaction and returns its position once it is durable. See Conflict for the
// error when somebody else changed a row first.
func (t *Txn) Commit(ctx context.Context) (pos uint64, err error) {
	defer t.Abort()
	if p := t.e.failed.Load(); p != nil && (len(t.order) > 0 || t.end != (txnEnd{})) {
		return 0, sqlerr.New(sqlerr.IOError, "the server cannot write checkpoints and takes no more changes").WithCause(*p)
	}
	if !t.holds {
		t.e.dml.gate.RLock()
		defer t.e.dml.gate.RUnlock()
	}
	reads := t.locks
	if t.level == Serializable && t.fixed != nil {
		reads = append(slices.Clone(reads), &t.fixed.reads)
	}
	if t.large {
		return t.commitLarge(ctx, reads)
	}
	var ws []write
	for _, x := range t.order {
		if cs := x.rows(); len(cs) > 0 {
			ws = append(ws, x.write(cs))
		}
	}
	if len(ws) == 0 && t.end == (txnEnd{}) {
		return 0, nil
	}
	pos, wait, err := t.e.appendTxn(ws, t.end, reads)
	if err != nil {
		return 0, err
	}
	if err := wait(); err != nil {
		return 0, logError(err)
	}
	t.e.demand()
	return pos, nil
}

func logError(err error) error {
	return sqlerr.New(sqlerr.IOError, "could not write the log: %v", err).WithCause(err)
}

// write lists what a table's part of a small transaction has changed.
func (x *txnTable) write(cs []*delta.Chunk) write {
	w := write{rel: x.rel, chunks: cs, read: x.read}
	for _, p := range x.parts() {
		for i, e := range p.own.Entries {
			k := string(p.own.KeyOf(e))
			if w.keys = append(w.keys, k); p.binds(i) {
				w.checks = append(w.checks, k)
			}
		}
	}
	return w
}

// binds reports whether another transaction's write of a key, unseen by this one, is in its way. Rows without a key that only
// come are added to whatever is there.
func (x *txnTable) binds(i int) bool { return len(x.layout.Key) > 0 || x.own.Net(i) < 0 }

// Conflict returns the log position of the write that made a commit fail, because it changed a row that the
// transaction had read.
func Conflict(err error) (pos uint64, ok bool) {
	var c *conflictError
	if errors.As(err, &c) {
		return c.pos, true
	}
	return 0, false
}
