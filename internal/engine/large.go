package engine

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"

	"github.com/millrace/millrace/executor/job"
	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/storage/table"
	"github.com/millrace/millrace/storage/wal"
)

// Large transactions. What they write is held once: by key, as the store will have it (change.Map). These bytes are what the
// transaction reads of itself, what the sequencer compares with the writes of others, what readers of the table see as a layer
// once it is committed, and what the checkpoint writes.
//
// The commit puts the net changes into the log in pieces, which mean nothing by themselves, and then one record, the mark, by which they
// count. Pieces without a mark, of a transaction that failed or died, are passed over at replay. Other transactions come
// between the pieces; the log is not cut behind the first piece before a checkpoint holds the mark.
//
// An epoch takes one large transaction and nothing else.

// largeBytes is how much a transaction may write before it is large. Unit: bytes of keys and values.
const largeBytes = 4 << 20

// pieceBytes is about the size of a piece. Small transactions that share its sync wait for no more.
const pieceBytes = 2 << 20

// The first byte of a piece and of a mark. A piece: the position of the transaction's first piece, 0 in that one itself; then
// tables and rows as in txnFormat. A mark: the first piece's position, the number of pieces, and the sink's epoch
// that is delivered, if any. See docs/format/log.md.
const (
	pieceFormat = 2
	markFormat  = 3
)

// largeWrite is a large transaction on its way into the tables.
type largeWrite struct {
	pos    uint64 // of its mark
	tables map[catalog.ID]*largeTable
}

// largeTable is one table's part of it.
type largeTable struct {
	*txnTable
	all   []*txnTable  // the table, and its unique keys
	layer *table.Layer // of a keyed table: what readers will see
}

// enlarge makes a transaction large: from now on its writes are kept by key only.
func (t *Txn) enlarge() {
	t.large = true
	for _, x := range t.order {
		x.out, x.sealed = delta.NewBuilder(x.rel.Types()), nil
	}
}

// Large reports whether the transaction has written so much that it cannot be run again from what its session remembers.
func (t *Txn) Large() bool { return t.large }

func newLargeWrite(xs []*txnTable) *largeWrite {
	l := &largeWrite{tables: map[catalog.ID]*largeTable{}}
	for _, x := range xs {
		lt := &largeTable{txnTable: x, all: x.parts()}
		if len(x.layout.Key) > 0 {
			set := x.own.Set // without the index, which is not needed for as long
			lt.layer = table.NewLayer(0, &set)
			lt.layer.Sort()
		}
		l.tables[x.rel.ID] = lt
	}
	return l
}

// wrote reports whether the transaction has written a key of a table.
func (l *largeWrite) wrote(id catalog.ID, k []byte) bool {
	x := l.tables[id]
	return x != nil && slices.ContainsFunc(x.all, func(p *txnTable) bool { return p.own.Has(k) })
}

// touches reports whether the transaction may have written something that another has read. Of ranges of keys it always may.
func (l *largeWrite) touches(r *readSet) bool {
	for id := range l.tables {
		x := r.tables[id]
		if x == nil {
			continue
		}
		if x.all {
			return true
		}
		for _, g := range x.ranges {
			if point := string(g.Hi) == string(g.Lo)+"\x00"; !point || l.wrote(id, g.Lo) {
				return true
			}
		}
	}
	return false
}

// overtaken finds writes of others after a position that are in the transaction's way.
func (l *largeWrite) overtaken(queue []recentKey, large []*largeWrite, after uint64) error {
	first := sort.Search(len(queue), func(i int) bool { return queue[i].pos > after })
	for _, q := range queue[first:] {
		x := l.tables[q.table]
		if x == nil || q.pos <= x.read {
			continue
		}
		for _, p := range x.all {
			if i := p.own.Find([]byte(q.key)); i >= 0 && p.binds(i) {
				return &conflictError{q.pos}
			}
		}
	}
	for _, o := range large {
		if o.pos > after && l.meets(o) {
			return &conflictError{o.pos}
		}
	}
	return nil
}

// meets reports whether another large transaction has written a row that is this one's.
func (l *largeWrite) meets(o *largeWrite) bool {
	for id, x := range l.tables {
		if o.tables[id] == nil || o.pos <= x.read {
			continue
		}
		for _, p := range x.all {
			for i, e := range p.own.Entries {
				if p.binds(i) && o.wrote(id, p.own.KeyOf(e)) {
					return true
				}
			}
		}
	}
	return false
}

// fewWrites of others are compared with the large transaction while they wait.
const fewWrites = 200

// ahead looks for conflicts without keeping others waiting, until few of their writes are left to look at. It returns
// the position up to which it has looked.
func (d *dml) ahead(l *largeWrite) (uint64, error) {
	after := ^uint64(0)
	for _, x := range l.tables {
		after = min(after, x.read)
	}
	for {
		d.mu.Lock()
		queue, large := d.queue, slices.Clone(d.large)
		d.mu.Unlock()
		if err := l.overtaken(queue, large, after); err != nil {
			return 0, err
		}
		end := after
		if n := len(queue); n > 0 {
			end = max(end, queue[n-1].pos)
		}
		for _, o := range large {
			end = max(end, o.pos)
		}
		first := sort.Search(len(queue), func(i int) bool { return queue[i].pos > after })
		after = end
		if len(queue)-first < fewWrites {
			return after, nil
		}
	}
}

// commitLarge is Commit of a large transaction.
func (t *Txn) commitLarge(ctx context.Context, reads []*readSet) (uint64, error) {
	e, d := t.e, &t.e.dml
	l := newLargeWrite(t.order)
	seen, err := d.ahead(l)
	if err != nil {
		return 0, err
	}
	p := &pieceWriter{e: e, ctx: ctx}
	for _, x := range t.order {
		if err := p.table(x); err != nil {
			p.drop()
			return 0, err
		}
	}
	if p.n == 0 {
		return t.commitNothing(reads)
	}
	pos, wait, err := e.mark(l, p, t, reads, seen)
	if err != nil {
		p.drop()
		return 0, err
	}
	if err := wait(); err != nil {
		return 0, logError(err)
	}
	e.demand()
	return pos, nil
}

// commitNothing is for a transaction whose writes have undone each other.
func (t *Txn) commitNothing(reads []*readSet) (uint64, error) {
	if t.end == (txnEnd{}) {
		return 0, nil
	}
	pos, wait, err := t.e.appendTxn(nil, t.end, reads)
	if err != nil {
		return 0, err
	}
	if err := wait(); err != nil {
		return 0, logError(err)
	}
	return pos, nil
}

// mark logs the record by which the pieces count, unless somebody has written what the transaction read or wrote.
func (e *Engine) mark(l *largeWrite, p *pieceWriter, t *Txn, reads []*readSet, seen uint64) (uint64, func() error, error) {
	payload := binary.AppendUvarint([]byte{markFormat}, p.first)
	payload = t.end.append(binary.AppendUvarint(payload, p.n))
	d := &e.dml
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, x := range t.order {
		if err := e.stricterNow(x.rel); err != nil {
			return 0, nil, err
		}
	}
	if err := l.overtaken(d.queue, d.large, seen); err != nil {
		return 0, nil, err
	}
	if err := d.readConflictLocked(reads); err != nil {
		return 0, nil, err
	}
	pos, wait := e.cfg.Log.Enqueue(payload)
	l.pos = pos
	d.kept[p.first] = pos
	d.keepLocked(pos, t.end.block)
	d.large = append(d.large, l)
	d.pending = append(d.pending, logged{pos: pos, large: l, sink: t.end.sink, sinkEpoch: t.end.sinkEpoch})
	return pos, wait, nil
}

// noMark stands for the mark of a large transaction that has none yet.
const noMark = ^uint64(0)

// pieceWriter puts a large transaction's changes into the log.
type pieceWriter struct {
	e     *Engine
	ctx   context.Context
	first uint64 // position of the first piece
	n     uint64 // number of pieces
	rows  []byte
}

func (p *pieceWriter) table(x *txnTable) error {
	n := 0
	for i := range x.own.Entries {
		err := x.layout.Net(&x.own, i, func(val []byte, weight int64) error {
			p.rows = appendRow(p.rows, x.layout.Image(val), weight)
			n++
			return nil
		})
		if err == nil && len(p.rows) >= pieceBytes {
			err, n = p.flush(x.rel, n), 0
		}
		if err != nil {
			return err
		}
	}
	if n == 0 {
		return nil
	}
	return p.flush(x.rel, n)
}

// flush logs a piece and waits until it is durable. The first one keeps the log from being cut behind it.
func (p *pieceWriter) flush(rel *catalog.Relation, rows int) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	b := binary.AppendUvarint(make([]byte, 0, len(p.rows)+64), pieceFormat)
	b = binary.AppendUvarint(b, p.first)
	b = append(appendTable(binary.AppendUvarint(b, 1), rel, rows), p.rows...)
	p.rows = p.rows[:0]
	d := &p.e.dml
	d.mu.Lock()
	pos, wait := p.e.cfg.Log.Enqueue(b)
	if p.n++; p.first == 0 {
		p.first = pos
		d.kept[pos] = noMark
	}
	d.mu.Unlock()
	if err := wait(); err != nil {
		return logError(err)
	}
	return nil
}

// drop lets go of pieces that will have no mark.
func (p *pieceWriter) drop() {
	d := &p.e.dml
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.kept, p.first)
}

// needed returns the log position from which on records are needed once a checkpoint holds everything up to logPos.
func (d *dml) needed(logPos uint64) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	low := logPos + 1
	for first, mark := range d.kept {
		if mark <= logPos {
			delete(d.kept, first)
			continue
		}
		low = min(low, first)
	}
	return low
}

// replayLarge puts a large transaction together again from its pieces; rec is its mark.
func (e *Engine) replayLarge(rec wal.Record, snap *catalog.Snapshot) (logged, error) {
	r := &txnReader{b: rec.Payload[1:]}
	first, n := r.uvarint(), r.uvarint()
	l := logged{}
	end := r.end()
	if l.sink, l.sinkEpoch = end.sink, end.sinkEpoch; r.bad || first == 0 || first >= rec.Pos {
		return l, errCorrupt
	}
	t := &Txn{e: e, tables: map[catalog.ID]*txnTable{}}
	writers := map[catalog.ID]*Writer{}
	for piece, err := range e.cfg.Log.Records(first - 1) {
		if err != nil {
			return l, err
		}
		if piece.Pos >= rec.Pos {
			break
		}
		if piece.Payload[0] != pieceFormat {
			continue
		}
		r := &txnReader{b: piece.Payload[1:]}
		if of := r.uvarint(); of != first && piece.Pos != first {
			continue // another transaction's
		}
		n--
		err := r.tables(snap, func(rel *catalog.Relation, c *delta.Chunk) error {
			w := writers[rel.ID]
			if w == nil {
				w = t.table(rel, &catalog.Snapshot{}, nil, 0)
				writers[rel.ID] = w
			}
			w.replay(c)
			return nil
		})
		if err != nil {
			return l, fmt.Errorf("piece at %d: %w", piece.Pos, err)
		}
	}
	if n != 0 {
		return l, fmt.Errorf("%w: pieces of a transaction are missing", errCorrupt)
	}
	e.dml.mu.Lock()
	e.dml.kept[first] = rec.Pos
	e.dml.mu.Unlock()
	l.large = newLargeWrite(t.order)
	l.large.pos = rec.Pos
	return l, nil
}

// replay adds logged rows. What a row without a key weighs in all is not known here, nor needed.
func (w *Writer) replay(c *delta.Chunk) {
	for k := range c.Len() {
		i := c.Row(k)
		w.keyOf(c, i)
		w.x.set(w.t, w, c, i, c.Weight(i), max(c.Weight(i), 1))
	}
}

// injectLarge sends a table's part of a large transaction, and the barrier of its epoch, into the table's job.
func (e *Engine) injectLarge(j *job.Job, x *largeTable, b *stream.Barrier) {
	if j.TakesBulk() && x.layer != nil {
		e.tables.ApplyAt(x.rel.ID, x.layer, uint64(b.Epoch))
	}
	j.InjectBulk(b, &x.own)
}
