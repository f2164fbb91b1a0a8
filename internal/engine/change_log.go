package engine

import (
	"encoding/binary"
	"sort"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/key"
	"github.com/millrace/millrace/storage/row"
)

// changeLog is a durable log of changes in a state table: a row per change, keyed by epoch and number, written with the
// checkpoint that holds the epoch. Its owner decides what leaves it: a sink what was delivered, a subscription what is too old.
type changeLog struct {
	e     *Engine
	table uint32
	vnode uint16 // the actor's number: its own part of the table
	types []sqltypes.Type
	// The last change written: an epoch of the snapshot phase spans several flushes.
	lastEpoch, lastSeq uint64
}

// netChanges yields the epoch's net changes and empties the consolidator; of one key, deletes come before inserts.
func netChanges(cons *stream.Consolidator, types []sqltypes.Type) ([]*delta.Chunk, error) {
	out := delta.NewBuilder(types)
	var chunks []*delta.Chunk
	err := cons.Net(func(_ []byte, _ uint64, rows []stream.NetRow) error {
		sort.SliceStable(rows, func(i, j int) bool { return rows[i].Weight < rows[j].Weight })
		for _, r := range rows {
			out.AppendRow(r.Chunk, r.Row, r.Weight)
		}
		if out.Len() >= delta.BatchRows {
			chunks = append(chunks, out.Take())
		}
		return nil
	})
	cons.Reset()
	if c := out.Take(); c != nil {
		chunks = append(chunks, c)
	}
	return chunks, err
}

// put writes changes of an epoch, and returns how many bytes that were.
func (l *changeLog) put(d *state.Delta, epoch uint64, chunks []*delta.Chunk) (size int64) {
	if epoch != l.lastEpoch {
		l.lastEpoch, l.lastSeq = epoch, 0
	}
	var k, v []byte
	for _, c := range chunks {
		for j := range c.Len() {
			i := c.Row(j)
			k = appendLogKey(k[:0], epoch, l.lastSeq)
			v = row.AppendImage(binary.AppendVarint(v[:0], c.Weight(i)), c.Cols, nil, i)
			d.Put(l.table, l.vnode, k, v)
			l.lastSeq++
			size += int64(len(k) + len(v))
		}
	}
	return size
}

func appendLogKey(dst []byte, epoch, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, epoch), seq)
}

// at is the first key of an epoch in the actor's part of the log.
func (l *changeLog) at(epoch uint64) []byte {
	return binary.BigEndian.AppendUint64(key.AppendPrefix(nil, l.table, l.vnode), epoch)
}

// scan reads the log as of the last checkpoint.
func (l *changeLog) scan(lo, hi []byte, f func(k, v []byte) bool) error {
	snap, err := l.e.cfg.Shard.Snapshot()
	if err != nil {
		return err
	}
	defer snap.Close()
	return snapshot{snap}.Scan(lo, hi, f)
}

// firstFrom finds the earliest epoch from low to high in the log, 0 for none.
func (l *changeLog) firstFrom(low, high uint64) (epoch uint64, err error) {
	var bad error
	err = l.scan(l.at(low), l.at(high+1), func(full, _ []byte) bool {
		epoch, _, bad = placeOf(full)
		return false
	})
	if err == nil {
		err = bad
	}
	return epoch, err
}

// placeOf reads a key of the log.
func placeOf(full []byte) (epoch, seq uint64, err error) {
	_, _, k, err := key.Split(full)
	if err == nil && len(k) != 16 {
		err = key.ErrCorrupt
	}
	if err != nil {
		return 0, 0, err
	}
	return binary.BigEndian.Uint64(k), binary.BigEndian.Uint64(k[8:]), nil
}

// readStored calls f for the changes of an epoch, in chunks, and returns how many there were.
func (l *changeLog) readStored(epoch uint64, f func(*delta.Chunk) error) (n int64, err error) {
	for seq := uint64(0); ; {
		c, next, err := l.page(epoch, seq, delta.BatchRows)
		if err != nil || c == nil {
			return n, err
		}
		n += int64(c.Rows)
		if err := f(c); err != nil {
			return n, err
		}
		if next == 0 {
			return n, nil
		}
		seq = next
	}
}

// page reads up to max changes of an epoch from number seq on; next is where to go on, 0 at the epoch's end.
func (l *changeLog) page(epoch, seq uint64, max int) (c *delta.Chunk, next uint64, err error) {
	bld := delta.NewBuilder(l.types)
	cols := make([]*delta.Vec, len(l.types))
	lo := binary.BigEndian.AppendUint64(l.at(epoch), seq)
	var bad error
	err = l.scan(lo, l.at(epoch+1), func(full, v []byte) bool {
		if bld.Len() == max {
			_, next, bad = placeOf(full)
			return false
		}
		for i := range cols {
			cols[i] = bld.Col(i)
		}
		w, k := binary.Varint(v)
		if _, bad = row.DecodeImage(v[k:], l.types, cols); bad != nil {
			return false
		}
		bld.EndRow(w)
		return true
	})
	if err == nil {
		err = bad
	}
	return bld.Take(), next, err
}
