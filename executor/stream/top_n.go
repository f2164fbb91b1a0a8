package stream

import (
	"math"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/row"
)

// topN keeps the rows of each partition in order and shows a window of them.
//
// An entry's key is partition, order, image: the image tells equal rows apart from others and breaks ties.
// The window of a partition is taken down when the epoch first changes the partition, and compared with the
// new one at the barrier. From input that only grows, rows behind the window are never kept: they cannot come
// back.
type topN struct {
	env       *Env
	part      []row.KeyCol
	order     []row.KeyCol
	limit     int64 // rows from the partition's first to the window's last; MaxInt64: no end
	offset    int64
	ties      bool
	numbered  bool
	shrinks   bool // rows behind the window may be needed again
	types     []sqltypes.Type
	rows      *state.OrderedMap
	batch     row.Batch
	parts     keySet
	wins      []topWindow // by partition in parts
	old       windowBuf
	now       windowBuf
	key       []byte
	out       *delta.Builder
	surplus   []byte // keys to delete, one after the other
	surplusAt []int
	close     *partClose // nil: no watermark says when a partition is done with
}

// topWindow is a partition's rows before the epoch: entries from–to of old. behind: rows whose key is above the
// last entry's cannot enter.
type topWindow struct {
	from, to int32
	full     bool
	changed  bool
}

// windowBuf holds copies of entries.
type windowBuf struct {
	buf  []byte
	ents []windowEnt
}

type windowEnt struct {
	off, klen, ilen int32
	orderLen        int32 // of the key: partition and order
	first, last     int64 // the row's copies have the numbers first … last−1, from 0
}

func (b *windowBuf) key(e *windowEnt) []byte   { return b.buf[e.off : e.off+e.klen] }
func (b *windowBuf) image(e *windowEnt) []byte { return b.buf[e.off+e.klen-e.ilen : e.off+e.klen] }
func (b *windowBuf) reset()                    { b.buf, b.ents = b.buf[:0], b.ents[:0] }

func newTopN(n *plan.TopN, env *Env) (Operator, error) {
	if n.Limit == 1 && n.Offset == 0 && !n.WithTies && env.appendOnly(n.Input) {
		return newTopOne(n, env), nil
	}
	t := &topN{env: env, part: row.Cols(n.PartitionBy...), order: sortKeys(n.OrderBy), limit: math.MaxInt64,
		offset: n.Offset, ties: n.WithTies && n.Limit > 0, numbered: n.RowNumber, types: plan.Types(n.Input),
		rows: state.NewOrderedMap(env.Table(n.State)), out: delta.NewBuilder(plan.Types(n))}
	if n.Limit >= 0 && n.Limit <= math.MaxInt64-n.Offset {
		t.limit = n.Offset + n.Limit
	}
	t.shrinks = !env.appendOnly(n.Input) || t.limit == math.MaxInt64
	if cols := markedOf(n.Input, n.PartitionBy); len(cols) > 0 {
		t.close = newPartClose(cols[0], t.part, t.types, t.rows)
	}
	return t, nil
}

// OnDelta implements Operator.
func (t *topN) OnDelta(_ int, c *delta.Chunk, _ Emit) error {
	t.batch.Fill(c, t.part)
	for k := range c.Len() {
		i := c.Row(k)
		pk, hash := t.batch.Key(k), t.batch.Hashes[k]
		vnode := uint16(hash % row.VNodes)
		if len(t.part) == 0 {
			vnode = t.env.SingletonVNode
		}
		n, fresh := t.parts.add(hash, vnode, pk)
		if fresh {
			if err := t.open(n); err != nil {
				return err
			}
			if w := t.wins[n]; t.close != nil && w.from == w.to {
				t.close.added(c, i, pk)
			}
		}
		t.key = row.AppendKey(append(t.key[:0], pk...), c.Cols, t.order, i)
		orderLen := len(t.key)
		if t.beyond(n, t.key) {
			continue
		}
		t.key = row.AppendImage(t.key, c.Cols, nil, i)
		t.wins[n].changed = true
		addEntry(t.rows, vnode, t.key, len(t.key)-orderLen, c.Weight(i))
	}
	return nil
}

// open takes down the window of the n-th partition.
func (t *topN) open(n int) error {
	pk := t.parts.key(n)
	if err := t.rows.Ensure(t.parts.vnode(n), pk); err != nil {
		return err
	}
	w := topWindow{from: int32(len(t.old.ents))}
	w.full = t.read(pk, &t.old)
	w.to = int32(len(t.old.ents))
	t.wins = append(t.wins, w)
	return nil
}

// beyond reports whether a row, whose partition and order are k, can never be shown: the partition was full
// before the epoch, all its rows in the window come first, and none of them will go. What is equal to the last row
// in order may come before it by its image.
func (t *topN) beyond(n int, k []byte) bool {
	w := &t.wins[n]
	if t.shrinks || !w.full || w.to == w.from {
		return false
	}
	e := &t.old.ents[w.to-1]
	return string(k) > string(t.old.buf[e.off:e.off+e.orderLen])
}

// read copies a partition's entries up to the window's end to b, and reports whether there were enough of them.
func (t *topN) read(pk []byte, b *windowBuf) (full bool) {
	at := int64(0)
	t.surplus, t.surplusAt = t.surplus[:0], t.surplusAt[:0]
	t.rows.Ascend(pk, nil, func(k, v []byte) bool {
		w := entryWeight(v)
		image := entryImage(k, v)
		e := windowEnt{klen: int32(len(k)), ilen: int32(len(image)), orderLen: int32(len(k) - len(image)),
			first: at, last: at + max(w, 0)}
		if at >= t.limit && !t.tied(b, k[:e.orderLen]) {
			full = true
			if t.shrinks {
				return false
			}
			t.surplus = append(t.surplus, k...)
			t.surplusAt = append(t.surplusAt, len(t.surplus))
			return true
		}
		at = e.last
		if !t.ties && e.last > t.limit {
			e.last = t.limit
		}
		if e.last <= t.offset && t.shrinks || w <= 0 {
			return true
		}
		e.off = int32(len(b.buf))
		b.buf = append(b.buf, k...)
		b.ents = append(b.ents, e)
		return true
	})
	return full || at >= t.limit
}

// tied reports whether a row with the given order comes in with the last one of the window.
func (t *topN) tied(b *windowBuf, order []byte) bool {
	if !t.ties || len(b.ents) == 0 {
		return false
	}
	e := &b.ents[len(b.ents)-1]
	return string(b.buf[e.off:e.off+e.orderLen]) == string(order)
}

// OnBarrier implements Operator.
func (t *topN) OnBarrier(_ Barrier, emit Emit) error {
	for n := range t.parts.len() {
		if !t.wins[n].changed {
			continue
		}
		t.now.reset()
		t.read(t.parts.key(n), &t.now)
		t.prune()
		w := t.wins[n]
		if err := t.diff(t.old.ents[w.from:w.to], t.now.ents, emit); err != nil {
			return err
		}
	}
	t.parts.reset()
	t.old.reset()
	t.wins = t.wins[:0]
	if err := emitRest(t.out, emit); err != nil || t.close == nil {
		return err
	}
	return t.close.sweep(t.env.owns)
}

// OnWatermarks implements Watermarker.
func (t *topN) OnWatermarks(_ int, m Marks) {
	if t.close != nil {
		t.close.set(m)
	}
}

// prune deletes the entries that read found behind the window.
func (t *topN) prune() {
	from := 0
	for _, to := range t.surplusAt {
		t.rows.Delete(t.surplus[from:to])
		from = to
	}
}

// diff emits the difference of two windows, both in order of their keys.
func (t *topN) diff(old, now []windowEnt, emit Emit) error {
	for len(old) > 0 || len(now) > 0 {
		var err error
		switch c := t.compare(old, now); {
		case c < 0:
			err = t.show(&t.old, &old[0], nil, -1, emit)
			old = old[1:]
		case c > 0:
			err = t.show(&t.now, &now[0], nil, 1, emit)
			now = now[1:]
		default:
			if err = t.show(&t.old, &old[0], &now[0], -1, emit); err == nil {
				err = t.show(&t.now, &now[0], &old[0], 1, emit)
			}
			old, now = old[1:], now[1:]
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *topN) compare(old, now []windowEnt) int {
	switch {
	case len(old) == 0:
		return 1
	case len(now) == 0:
		return -1
	}
	a, b := t.old.key(&old[0]), t.now.key(&now[0])
	switch {
	case string(a) < string(b):
		return -1
	case string(a) > string(b):
		return 1
	}
	return 0
}

// show emits the copies of an entry that the window shows, but for those of the same row in the other window.
func (t *topN) show(b *windowBuf, e, other *windowEnt, sign int64, emit Emit) error {
	first, last := max(e.first, t.offset), e.last
	if last <= first {
		return nil
	}
	if !t.numbered {
		w := last - first
		if other != nil {
			w -= max(other.last-max(other.first, t.offset), 0)
		}
		if w <= 0 {
			return nil
		}
		return t.put(b.image(e), sign*w, -1, emit)
	}
	for n := first; n < last; n++ {
		if other != nil && n >= max(other.first, t.offset) && n < other.last {
			continue
		}
		if err := t.put(b.image(e), sign, n+1, emit); err != nil {
			return err
		}
	}
	return nil
}

// put adds a row to the output, with its number if that is not negative.
func (t *topN) put(image []byte, w, number int64, emit Emit) error {
	vecs := make([]*delta.Vec, len(t.types))
	for i := range vecs {
		vecs[i] = t.out.Col(i)
	}
	if err := decodeImage(image, t.types, vecs); err != nil {
		return err
	}
	if number >= 0 {
		t.out.Col(len(vecs)).AppendInt(number)
	}
	t.out.EndRow(w)
	if t.out.Len() < delta.BatchRows {
		return nil
	}
	return emit(t.out.Take())
}

// Flush implements Operator.
func (t *topN) Flush(d *state.Delta) { t.rows.Flush(d) }

// Stats implements Operator.
func (t *topN) Stats() state.Stats { return t.rows.Stats() }
