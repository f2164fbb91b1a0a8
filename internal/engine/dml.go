package engine

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/millrace/millrace/executor/job"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/storage/row"
)

// dml is the sequencer: it knows which keys were written and are not visible yet, gives transactions their
// place in the log, and hands logged transactions to epochs.
type dml struct {
	mu      sync.Mutex
	pending []logged // in log order, not yet in an epoch
	taken   uint64   // position up to which epochs have read
	epochs  []epochPos
	recent  map[catalog.ID]map[string]uint64 // key → position of its last write, while not visible everywhere
	queue   []recentKey                      // the same in log order
	pins    map[uint64]int                   // log positions that transactions under way have read at
}

type logged struct {
	pos    uint64
	chunks map[catalog.ID][]*delta.Chunk
	// A sink's epoch that the transaction delivers, if any.
	sink      catalog.ID
	sinkEpoch uint64
}

type recentKey struct {
	pos   uint64
	table catalog.ID
	key   string
}

func (d *dml) init(epoch, pos uint64) {
	d.taken = pos
	d.epochs = []epochPos{{epoch, pos}}
	d.recent = map[catalog.ID]map[string]uint64{}
	d.pins = map[uint64]int{}
}

// conflictError says that a row was written by somebody else, at log position pos, after the statement had
// read it.
type conflictError struct{ pos uint64 }

func (e *conflictError) Error() string {
	return fmt.Sprintf("a row read by the statement has changed at log position %d", e.pos)
}

// pin returns the log position that an epoch reads up to and keeps what was written after it on record until
// unpin. ok is false when some of that is forgotten already: the caller should read at a later epoch.
func (d *dml) pin(epoch uint64) (pos uint64, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if epoch < d.epochs[0].epoch {
		return 0, false
	}
	pos = d.posLocked(epoch)
	d.pins[pos]++
	return pos, true
}

func (d *dml) unpin(pos uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pins[pos]--; d.pins[pos] == 0 {
		delete(d.pins, pos)
		d.forgetLocked()
	}
}

// write is one table's part of a transaction.
type write struct {
	rel    *catalog.Relation
	chunks []*delta.Chunk
	keys   []string // full store keys of all rows touched
	read   uint64   // log position of the view that the rows were computed from
}

// appendTxn logs a transaction unless one of its rows, or of what reads names, has changed since it was read. It
// returns the position; the transaction is durable when wait returns nil.
func (e *Engine) appendTxn(ws []write, sink catalog.ID, sinkEpoch uint64, reads []*readSet) (pos uint64, wait func() error, err error) {
	payload := encodeTxn(ws, sink, sinkEpoch)
	d := &e.dml
	d.mu.Lock()
	defer d.mu.Unlock()
	rels := e.cfg.Catalog.Snapshot()
	for _, w := range ws {
		if stricter(rels.Relations[w.rel.ID], w.rel) {
			return 0, nil, sqlerr.New(sqlerr.SerializationFailure, "could not serialize access due to a new constraint of table %q", w.rel.Name)
		}
		recent := d.recent[w.rel.ID]
		for _, k := range w.keys {
			if at := recent[k]; at > w.read {
				return 0, nil, &conflictError{at}
			}
		}
	}
	for _, r := range reads {
		for i := len(d.queue) - 1; i >= 0 && d.queue[i].pos > r.pos; i-- {
			if q := d.queue[i]; r.has(q.table, q.key) {
				return 0, nil, &conflictError{q.pos}
			}
		}
	}
	pos, wait = e.cfg.Log.Enqueue(payload)
	l := logged{pos: pos, chunks: make(map[catalog.ID][]*delta.Chunk, len(ws))}
	for _, w := range ws {
		l.chunks[w.rel.ID] = w.chunks
		recent := d.recent[w.rel.ID]
		if recent == nil {
			recent = map[string]uint64{}
			d.recent[w.rel.ID] = recent
		}
		for _, k := range w.keys {
			recent[k] = pos
			d.queue = append(d.queue, recentKey{pos, w.rel.ID, k})
		}
	}
	d.pending = append(d.pending, l)
	return pos, wait, nil
}

// written returns the log position of the last write of a key, 0 when every reader sees it.
func (d *dml) written(id catalog.ID, k []byte) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.recent[id][string(k)]
}

// stricter reports whether a table has got constraints since what was written by its older definition was computed.
func stricter(now, then *catalog.Relation) bool {
	if now == nil || now == then {
		return false
	}
	for _, c := range now.Constraints {
		if !slices.ContainsFunc(then.Constraints, func(o catalog.Constraint) bool { return o.ID == c.ID }) {
			return true
		}
	}
	for i := range then.Columns {
		if k, ok := now.ColumnAt(then.Columns[i].ID); ok && now.Columns[k].NotNull && !then.Columns[i].NotNull {
			return true
		}
	}
	return false
}

// take gives an epoch all durable transactions that no earlier one had.
func (d *dml) take(epoch, durable uint64) (pos uint64, chunks map[catalog.ID][]*delta.Chunk) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for n < len(d.pending) && d.pending[n].pos <= durable {
		l := d.pending[n]
		d.taken = l.pos
		for id, c := range l.chunks {
			if chunks == nil {
				chunks = map[catalog.ID][]*delta.Chunk{}
			}
			chunks[id] = append(chunks[id], c...)
		}
		n++
	}
	d.pending = append([]logged(nil), d.pending[n:]...)
	d.epochs = append(d.epochs, epochPos{epoch, d.taken})
	return d.taken, chunks
}

// visible forgets what every job has left behind.
func (d *dml) visible(floor uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := 0
	for i+1 < len(d.epochs) && d.epochs[i+1].epoch <= floor {
		i++
	}
	if i == 0 {
		return
	}
	d.epochs = append([]epochPos(nil), d.epochs[i:]...)
	d.forgetLocked()
}

// forgetLocked drops the record of writes that every reader sees and nobody has read below of.
func (d *dml) forgetLocked() {
	low := d.epochs[0].pos
	for pos := range d.pins {
		low = min(low, pos)
	}
	n := 0
	for n < len(d.queue) && d.queue[n].pos <= low {
		q := d.queue[n]
		if d.recent[q.table][q.key] == q.pos {
			delete(d.recent[q.table], q.key)
		}
		n++
	}
	if n > 0 {
		d.queue = append([]recentKey(nil), d.queue[n:]...)
	}
}

// posOf returns the log position that an epoch reads up to; 0 for an epoch that every job has left behind
// meanwhile: the caller's idea of what is complete is out of date.
func (d *dml) posOf(epoch uint64) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if epoch < d.epochs[0].epoch {
		return 0
	}
	return d.posLocked(epoch)
}

func (d *dml) posLocked(epoch uint64) uint64 {
	pos := d.epochs[0].pos
	for _, e := range d.epochs {
		if e.epoch > epoch {
			break
		}
		pos = e.pos
	}
	return pos
}

// idle reports whether nothing logged waits for an epoch.
func (d *dml) idle() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.pending) == 0
}

// txnFormat stands first in each log record. Then: number of tables; per table its id, schema version,
// number of rows, and per row the weight (varint), the image's length and the image. A transaction that
// delivers an epoch of a sink into a table ends with the sink's id and the epoch. Numbers are uvarints.
// See docs/format/log.md.
const txnFormat = 1

func encodeTxn(ws []write, sink catalog.ID, sinkEpoch uint64) []byte {
	b := []byte{txnFormat}
	b = binary.AppendUvarint(b, uint64(len(ws)))
	var img []byte
	for _, w := range ws {
		b = binary.AppendUvarint(b, uint64(w.rel.ID))
		b = binary.AppendUvarint(b, uint64(w.rel.SchemaVersion))
		n := 0
		for _, c := range w.chunks {
			n += c.Len()
		}
		b = binary.AppendUvarint(b, uint64(n))
		for _, c := range w.chunks {
			for k := range c.Len() {
				i := c.Row(k)
				img = row.AppendImage(img[:0], c.Cols, nil, i)
				b = binary.AppendVarint(b, c.Weight(i))
				b = binary.AppendUvarint(b, uint64(len(img)))
				b = append(b, img...)
			}
		}
	}
	if sink != 0 {
		b = binary.AppendUvarint(b, uint64(sink))
		b = binary.AppendUvarint(b, sinkEpoch)
	}
	return b
}

type txnReader struct {
	b   []byte
	bad bool
}

func (r *txnReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *txnReader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *txnReader) bytes(n uint64) []byte {
	if uint64(len(r.b)) < n {
		r.bad = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

// decodeTxn reads a log record; tables that are gone are left out.
func decodeTxn(b []byte, rels *catalog.Snapshot) (l logged, err error) {
	corrupt := fmt.Errorf("decode log record: corrupt data")
	if len(b) == 0 || b[0] != txnFormat {
		return l, corrupt
	}
	r := &txnReader{b: b[1:]}
	l.chunks = map[catalog.ID][]*delta.Chunk{}
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		id, version, rows := catalog.ID(r.uvarint()), r.uvarint(), r.uvarint()
		rel := rels.Relations[id]
		var bld *delta.Builder
		var layout job.Layout
		if rel != nil {
			bld, layout = delta.NewBuilder(rel.Types()), job.NewLayout(rel)
		}
		for ; rows > 0 && !r.bad; rows-- {
			w := r.varint()
			img := r.bytes(r.uvarint())
			if rel == nil || r.bad {
				continue
			}
			vecs := make([]*delta.Vec, len(rel.Columns))
			for i := range vecs {
				vecs[i] = bld.Col(i)
			}
			if err := layout.DecodeImage(version, img, vecs); err != nil {
				return l, err
			}
			bld.EndRow(w)
			if bld.Len() >= delta.BatchRows {
				l.chunks[id] = append(l.chunks[id], bld.Take())
			}
		}
		if rel != nil {
			if c := bld.Take(); c != nil {
				l.chunks[id] = append(l.chunks[id], c)
			}
		}
	}
	if r.bad {
		return l, corrupt
	}
	if len(r.b) > 0 {
		l.sink, l.sinkEpoch = catalog.ID(r.uvarint()), r.uvarint()
	}
	return l, nil
}

// replay queues the logged transactions after a position for the first epoch.
func (e *Engine) replay(after uint64) error {
	snap := e.cfg.Catalog.Snapshot()
	for rec, err := range e.cfg.Log.Records(after) {
		if err != nil {
			return fmt.Errorf("replay log: %w", err)
		}
		l, err := decodeTxn(rec.Payload, snap)
		if err != nil {
			return fmt.Errorf("replay log at %d: %w", rec.Pos, err)
		}
		l.pos = rec.Pos
		e.dml.pending = append(e.dml.pending, l)
		if l.sink != 0 {
			e.delivered[l.sink] = l.sinkEpoch
		}
	}
	return nil
}

// seen returns the log position that every job's last completed epoch holds.
func (d *dml) seen() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.epochs[0].pos
}
