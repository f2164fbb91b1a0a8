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
	"github.com/millrace/millrace/storage/wal"
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
	large   []*largeWrite                    // large transactions that are not visible everywhere
	closed  map[catalog.ID]bool              // tables that take no more writes
	kept    map[uint64]uint64                // by first piece in the log: commit mark of a large transaction, open until it has one
	pins    map[uint64]int                   // log positions that transactions under way have read at
	blocks  map[catalog.ID]uint64            // records of transaction blocks that the log keeps, see keepLocked
	gate    sync.RWMutex                     // commits hold it to read, before mu; see HoldWriters
}

type logged struct {
	pos    uint64
	chunks map[catalog.ID][]*delta.Chunk
	large  *largeWrite // in place of chunks
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
	d.kept = map[uint64]uint64{}
	d.blocks = map[catalog.ID]uint64{}
	d.closed = map[catalog.ID]bool{}
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
	checks []string // those that nobody else may have written since
	read   uint64   // log position of the view that the rows were computed from
}

// appendTxn logs a transaction unless one of its rows, or of what reads names, has changed since it was read. It
// returns the position; the transaction is durable when wait returns nil.
func (e *Engine) appendTxn(ws []write, end txnEnd, reads []*readSet) (pos uint64, wait func() error, err error) {
	payload := encodeTxn(ws, end)
	d := &e.dml
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range ws {
		if err := e.stricterNow(w.rel); err != nil {
			return 0, nil, err
		}
		for _, k := range w.checks {
			if at := d.writtenLocked(w.rel.ID, k); at > w.read {
				return 0, nil, &conflictError{at}
			}
		}
	}
	if err := d.readConflictLocked(reads); err != nil {
		return 0, nil, err
	}
	pos, wait = e.cfg.Log.Enqueue(payload)
	d.keepLocked(pos, end.block)
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
	return d.writtenLocked(id, string(k))
}

func (d *dml) writtenLocked(id catalog.ID, k string) uint64 {
	at := d.recent[id][k]
	for _, l := range d.large {
		if l.pos > at && l.wrote(id, []byte(k)) {
			at = l.pos
		}
	}
	return at
}

// readConflictLocked finds a write of what was read since it was read.
func (d *dml) readConflictLocked(reads []*readSet) error {
	for _, r := range reads {
		for i := len(d.queue) - 1; i >= 0 && d.queue[i].pos > r.pos; i-- {
			if q := d.queue[i]; r.has(q.table, q.key) {
				return &conflictError{q.pos}
			}
		}
		for _, l := range d.large {
			if l.pos > r.pos && l.touches(r) {
				return &conflictError{l.pos}
			}
		}
	}
	return nil
}

// stricterNow fails when a table has got constraints since the definition that was written by, or takes no more writes. d.mu is held.
func (e *Engine) stricterNow(rel *catalog.Relation) error {
	if e.dml.closed[rel.ID] {
		return sqlerr.New(sqlerr.SerializationFailure, "could not serialize access due to concurrent ALTER TABLE of table %q", rel.Name).
			WithHint("The transaction might succeed if retried.")
	}
	if stricter(e.cfg.Catalog.Snapshot().Relations[rel.ID], rel) {
		return sqlerr.New(sqlerr.SerializationFailure, "could not serialize access due to a new constraint of table %q", rel.Name)
	}
	return nil
}

// CloseToWriters refuses commits that write to a table, until open is called; what is logged before it is all there will be. If the table is
// gone by then it stays closed, to those who still know it.
func (e *Engine) CloseToWriters(id catalog.ID) (open func()) {
	d := &e.dml
	d.mu.Lock()
	d.closed[id] = true
	d.mu.Unlock()
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if e.cfg.Catalog.Snapshot().Relations[id] != nil {
			delete(d.closed, id)
		}
	}
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

// take gives an epoch all durable transactions that no earlier one had, or one large one.
func (d *dml) take(epoch, durable uint64) (pos uint64, chunks map[catalog.ID][]*delta.Chunk, large *largeWrite) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for n < len(d.pending) && d.pending[n].pos <= durable && large == nil {
		l := d.pending[n]
		if l.large != nil && n > 0 {
			break
		}
		large = l.large
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
	return d.taken, chunks, large
}

func (d *dml) takenUpTo() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.taken
}

// committed returns the position of the last transaction that is durable.
func (d *dml) committed(durable uint64) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := len(d.pending) - 1; i >= 0; i-- {
		if d.pending[i].pos <= durable {
			return d.pending[i].pos
		}
	}
	return d.taken
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
	d.large = slices.DeleteFunc(d.large, func(l *largeWrite) bool { return l.pos <= low })
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

// txnFormat stands first in the log record of a transaction (large.go has the others). Then: number of tables; per table its id, schema version,
// number of rows, and per row the weight (varint), the image's length and the image. A transaction that
// delivers an epoch of a sink into a table ends with the sink's id and the epoch. Numbers are uvarints.
// See docs/format/log.md.
const txnFormat = 1

func encodeTxn(ws []write, end txnEnd) []byte {
	b := []byte{txnFormat}
	b = binary.AppendUvarint(b, uint64(len(ws)))
	var img []byte
	for _, w := range ws {
		n := 0
		for _, c := range w.chunks {
			n += c.Len()
		}
		b = appendTable(b, w.rel, n)
		for _, c := range w.chunks {
			for k := range c.Len() {
				i := c.Row(k)
				img = row.AppendImage(img[:0], c.Cols, nil, i)
				b = appendRow(b, img, c.Weight(i))
			}
		}
	}
	return end.append(b)
}

func appendTable(b []byte, rel *catalog.Relation, rows int) []byte {
	b = binary.AppendUvarint(b, uint64(rel.ID))
	b = binary.AppendUvarint(b, uint64(rel.SchemaVersion))
	return binary.AppendUvarint(b, uint64(rows))
}

func appendRow(b, image []byte, weight int64) []byte {
	b = binary.AppendVarint(b, weight)
	b = binary.AppendUvarint(b, uint64(len(image)))
	return append(b, image...)
}

// txnEnd is what stands behind the rows of a transaction.
type txnEnd struct {
	// sink and sinkEpoch: the transaction delivers an epoch of a CREATE SINK … INTO.
	sink      catalog.ID
	sinkEpoch uint64
	// block: it is that of a transaction block whose definitions count only if this record is in the log.
	block catalog.ID
}

func (t txnEnd) append(b []byte) []byte {
	if t.sink != 0 || t.block != 0 {
		b = binary.AppendUvarint(b, uint64(t.sink))
		b = binary.AppendUvarint(b, t.sinkEpoch)
	}
	if t.block != 0 {
		b = binary.AppendUvarint(b, uint64(t.block))
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

// errCorrupt says that a record is sound and makes no sense.
var errCorrupt = fmt.Errorf("decode log record: corrupt data")

// decodeTxn reads the record of a transaction; tables that are gone are left out.
func decodeTxn(b []byte, rels *catalog.Snapshot) (l logged, err error) {
	if len(b) == 0 || b[0] != txnFormat {
		return l, errCorrupt
	}
	r := &txnReader{b: b[1:]}
	l.chunks = map[catalog.ID][]*delta.Chunk{}
	err = r.tables(rels, func(rel *catalog.Relation, c *delta.Chunk) error {
		l.chunks[rel.ID] = append(l.chunks[rel.ID], c)
		return nil
	})
	if err == nil {
		end := r.end()
		l.sink, l.sinkEpoch = end.sink, end.sinkEpoch
	}
	return l, err
}

// tables reads rows by table; f gets them in chunks.
func (r *txnReader) tables(rels *catalog.Snapshot, f func(rel *catalog.Relation, c *delta.Chunk) error) error {
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
				return err
			}
			bld.EndRow(w)
			if bld.Len() >= delta.BatchRows {
				if err := f(rel, bld.Take()); err != nil {
					return err
				}
			}
		}
		if rel == nil {
			continue
		}
		if c := bld.Take(); c != nil {
			if err := f(rel, c); err != nil {
				return err
			}
		}
	}
	if r.bad {
		return errCorrupt
	}
	return nil
}

// end reads what stands behind the rows.
func (r *txnReader) end() txnEnd {
	var t txnEnd
	if len(r.b) > 0 {
		t.sink, t.sinkEpoch = catalog.ID(r.uvarint()), r.uvarint()
	}
	if len(r.b) > 0 {
		t.block = catalog.ID(r.uvarint())
	}
	return t
}

// Blocks finds the transaction blocks with definitions that are committed in a log: those of wanted whose record is there.
func Blocks(log *wal.Log, wanted []catalog.ID) (map[catalog.ID]bool, error) {
	out := map[catalog.ID]bool{}
	if len(wanted) == 0 {
		return out, nil
	}
	for rec, err := range log.Records(0) {
		if err != nil {
			return nil, fmt.Errorf("read log: %w", err)
		}
		if len(rec.Payload) == 0 {
			continue
		}
		r := &txnReader{b: rec.Payload[1:]}
		switch rec.Payload[0] {
		case txnFormat:
			if err := r.tables(&catalog.Snapshot{}, nil); err != nil {
				return nil, fmt.Errorf("read log at %d: %w", rec.Pos, err)
			}
		case markFormat:
			r.uvarint()
			r.uvarint()
		default:
			continue
		}
		if id := r.end().block; !r.bad && slices.Contains(wanted, id) {
			out[id] = true
		}
	}
	return out, nil
}

// keepLocked keeps the record of a transaction block in the log until DecidedBlock. d.mu is held.
func (d *dml) keepLocked(pos uint64, block catalog.ID) {
	if block != 0 {
		d.kept[pos], d.blocks[block] = noMark, pos
	}
}

// DecidedBlock lets go of the log record of a transaction block: the catalog knows that its definitions stay.
func (e *Engine) DecidedBlock(block catalog.ID) {
	d := &e.dml
	d.mu.Lock()
	defer d.mu.Unlock()
	if pos, ok := d.blocks[block]; ok {
		delete(d.kept, pos)
		delete(d.blocks, block)
	}
}

// HoldWriters lets no transaction but t commit until release is called.
func (e *Engine) HoldWriters(t *Txn) (release func()) {
	e.dml.gate.Lock()
	t.holds = true
	return e.dml.gate.Unlock
}

// replay queues the logged transactions after a position for the first epochs.
func (e *Engine) replay(after uint64) error {
	return e.logged(after, ^uint64(0), func(l logged) {
		e.dml.pending = append(e.dml.pending, l)
		if l.sink != 0 {
			e.delivered[l.sink] = l.sinkEpoch
		}
	})
}

// replayRecord reads a record; not ok: it is no transaction, but a piece of one.
func (e *Engine) replayRecord(rec wal.Record, snap *catalog.Snapshot) (l logged, ok bool, err error) {
	switch {
	case len(rec.Payload) > 0 && rec.Payload[0] == pieceFormat:
		return l, false, nil
	case len(rec.Payload) > 0 && rec.Payload[0] == markFormat:
		l, err = e.replayLarge(rec, snap)
	default:
		l, err = decodeTxn(rec.Payload, snap)
	}
	return l, err == nil, err
}

// seen returns the log position that every job's last completed epoch holds.
func (d *dml) seen() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.epochs[0].pos
}
