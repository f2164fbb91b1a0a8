package stream

import (
	"bytes"
	"slices"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/key"
	"github.com/millrace/millrace/storage/row"
)

// window evaluates window functions over input that changes, at the cost of what changes.
//
// The rows of all partitions lie in one ordered map: partition, order, image. Equal orders are told apart by the
// image, so that row_number means the same before and after a restart. The map knows its contents before the epoch,
// too, and counts and sums ranges of both; so at the barrier the functions are evaluated twice, over what was and
// over what is, for those rows only that a change can reach, and the differences leave. Nothing that was emitted is
// stored.
//
// What a change can reach is found by segment: the rows between two changed ones, which are the same in both
// versions. A function says how many rows at a segment's begin and end it may answer differently (lag(x, 2): two at
// the begin), or that it depends on all rows before or behind, in which case it is asked whether those still sum up to
// the same; see window_reach.go.
type window struct {
	env    *Env
	part   []row.KeyCol
	order  []row.KeyCol
	types  []sqltypes.Type
	out    []sqltypes.Type
	rows   *state.OrderedMap
	groups *state.OrderedMap // the orders there are, for functions that count peer groups; in memory only. nil: none does
	funcs  []*windowFunc
	batch  row.Batch
	parts  keySet
	close  *partClose // nil: no watermark says when a partition is done with
	key    []byte
	// The batch being evaluated: its distinct rows, in order, and which of them each version has how often.
	ents  []windowRow
	vecs  []*delta.Vec
	slots []windowSlot
	sides [2]*winSide // by state.Version
	runs  int         // batches evaluated
	emit  Emit
}

// windowRow is an entry of the map.
type windowRow struct {
	key      []byte
	orderLen int // of partition and order
}

func (r *windowRow) peers() []byte { return r.key[:r.orderLen] }

// windowSlot is one copy of a row: its place in each version's part of the batch, −1: the version does not have it.
type windowSlot [2]int32

// smallPartition is up to how many rows a partition is evaluated as a whole, which costs less than thinking about it.
// Tests change it.
var smallPartition int64 = 48

func newWindow(n *plan.Window, env *Env) (Operator, error) {
	w := &window{env: env, part: row.Cols(n.PartitionBy...), order: sortKeys(n.OrderBy), types: plan.Types(n.Input),
		out: plan.Types(n), rows: state.NewOrderedMap(env.Table(n.State))}
	w.vecs = newVecs(w.types)
	for i := range n.Funcs {
		f, err := newWindowFunc(w, n, &n.Funcs[i])
		if err != nil {
			return nil, err
		}
		w.funcs = append(w.funcs, f)
	}
	w.rows.Track(newWindowSums(w.funcs, w.types))
	if cols := markedOf(n.Input, n.PartitionBy); len(cols) > 0 {
		w.close = newPartClose(cols[0], w.part, w.types, w.rows)
	}
	if slices.ContainsFunc(w.funcs, func(f *windowFunc) bool { return f.needsGroups() }) {
		w.groups = state.NewOrderedMap(state.Config{})
		w.groups.Track(nil)
	}
	for v := range w.sides {
		w.sides[v] = newWinSide(w, state.Version(v))
	}
	return w, nil
}

// OnDelta implements Operator.
func (w *window) OnDelta(_ int, c *delta.Chunk, _ Emit) error {
	w.batch.Fill(c, w.part)
	for k := range c.Len() {
		i := c.Row(k)
		pk, hash := w.batch.Key(k), w.batch.Hashes[k]
		vnode := uint16(hash % row.VNodes)
		if len(w.part) == 0 {
			vnode = w.env.SingletonVNode
		}
		if _, fresh := w.parts.add(hash, vnode, pk); fresh {
			if err := w.load(vnode, pk); err != nil {
				return err
			}
			if w.close != nil && !w.holds(pk) {
				w.close.added(c, i, pk)
			}
		}
		w.key = row.AppendKey(append(w.key[:0], pk...), c.Cols, w.order, i)
		orderLen := len(w.key)
		w.key = row.AppendImage(w.key, c.Cols, nil, i)
		addEntry(w.rows, vnode, w.key, len(w.key)-orderLen, c.Weight(i))
	}
	return nil
}

// load brings a partition into memory, with the orders that it has.
func (w *window) load(vnode uint16, pk []byte) error {
	if w.rows.Loaded(pk) {
		return nil
	}
	if err := w.rows.Ensure(vnode, pk); err != nil || w.groups == nil {
		return err
	}
	w.restoreGroups(pk)
	return nil
}

// restoreGroups notes the orders of the rows under a prefix that came from the store.
func (w *window) restoreGroups(prefix []byte) {
	for c := w.rows.Seek(prefix); c.Valid() && bytes.HasPrefix(c.Key(), prefix); c.Next() {
		r := windowRow{c.Key(), orderLen(c.Key(), c.Value())}
		if _, ok := w.groups.Get(r.peers()); !ok && c.Weight(state.Now) > 0 {
			w.groups.Restore(0, r.peers(), groupValue)
		}
	}
}

// holds reports whether a partition has rows.
func (w *window) holds(pk []byte) (found bool) {
	w.rows.Ascend(pk, nil, func(_, _ []byte) bool {
		found = true
		return false
	})
	return found
}

// OnWatermarks implements Watermarker.
func (w *window) OnWatermarks(_ int, m Marks) {
	if w.close != nil {
		w.close.set(m)
	}
}

// closeParts forgets the partitions that a watermark of one of their columns has passed. It comes before the versions are settled, so
// that what it deletes is no change of the next epoch.
func (w *window) closeParts() error {
	if w.groups == nil {
		return w.close.sweep(w.env.owns)
	}
	if w.close.moved && !w.rows.Complete() {
		if err := w.close.load(w.env.owns); err != nil {
			return err
		}
		w.restoreGroups(nil)
	}
	if !w.close.takeMoved() {
		return nil
	}
	return w.close.each(func(pk []byte) error {
		for _, m := range []*state.OrderedMap{w.rows, w.groups} {
			var gone [][]byte
			m.Ascend(pk, nil, func(k, _ []byte) bool {
				gone = append(gone, k)
				return true
			})
			for _, k := range gone {
				m.Delete(k)
			}
		}
		return nil
	})
}

// groupValue counts a peer group as one row.
var groupValue = []byte{1, 0, 0, 0, 0, 0, 0, 0}

func orderLen(k, val []byte) int { return len(k) - len(entryImage(k, val)) }

// OnBarrier implements Operator.
func (w *window) OnBarrier(_ Barrier, emit Emit) error {
	changes := w.rows.Changes()
	w.emit = emit
	w.changeGroups(changes)
	for _, pk := range w.sortedParts() {
		n := 0
		for n < len(changes) && bytes.HasPrefix(changes[n].Key, pk) {
			n++
		}
		if n == 0 {
			continue
		}
		if err := w.partition(pk, changes[:n]); err != nil {
			return err
		}
		changes = changes[n:]
	}
	w.parts.reset()
	if w.close != nil {
		if err := w.closeParts(); err != nil {
			return err
		}
	}
	w.rows.Settle()
	if w.groups != nil {
		w.groups.Settle()
		w.groups.Flush(&state.Delta{}) // nobody stores them; this frees what has gone
	}
	return nil
}

// changeGroups adds and removes the orders that have got their first row or lost their last.
func (w *window) changeGroups(changes []state.Change) {
	if w.groups == nil {
		return
	}
	var last []byte
	for i := range changes {
		c := &changes[i]
		peers := c.Key[:orderLen(c.Key, c.Value)]
		if i > 0 && string(peers) == string(last) {
			continue
		}
		last = peers
		if w.rows.CountRange(state.Now, peers, key.PrefixEnd(peers)) == 0 {
			w.groups.Delete(peers)
		} else if _, ok := w.groups.Get(peers); !ok {
			w.groups.Put(0, peers, groupValue)
		}
	}
}

// sortedParts lists the partitions that the epoch touched, in key order.
func (w *window) sortedParts() [][]byte {
	out := make([][]byte, w.parts.len())
	for n := range out {
		out[n] = w.parts.key(n)
	}
	slices.SortFunc(out, bytes.Compare)
	return out
}

// partition emits what changes in the rows of a partition.
func (w *window) partition(pk []byte, changes []state.Change) error {
	total := int64(0)
	for _, s := range w.sides {
		s.begin(pk)
		total = max(total, s.size)
	}
	if total <= smallPartition || len(changes) >= int(total) {
		c := w.rows.Seek(pk)
		for ; c.Valid() && bytes.HasPrefix(c.Key(), pk); c.Next() {
			if err := w.take(c); err != nil {
				return err
			}
		}
		return w.run()
	}
	c := w.rows.Seek(changes[0].Key)
	seg := segment{len: w.rows.CountRange(state.Now, pk, changes[0].Key)}
	for i := range changes {
		seg.next = &changes[i]
		if seg.len > 0 {
			if err := w.segment(&seg); err != nil {
				return err
			}
			c = w.rows.Seek(changes[i].Key)
		}
		if err := w.jump(seg.end()); err != nil {
			return err
		}
		if err := w.take(c); err != nil {
			return err
		}
		w.following(c)
		seg = w.segmentAfter(&changes[i], c, pk)
		if i+1 < len(changes) {
			seg.len = 0
			if string(c.Key()) != string(changes[i+1].Key) {
				seg.len = w.rows.CountRange(state.Now, pk, changes[i+1].Key) - seg.pos[state.Now]
			}
		}
	}
	if seg.len > 0 {
		if err := w.segment(&seg); err != nil {
			return err
		}
	}
	return w.run()
}

// segmentAfter is what lies between a change, which has just been taken, and the partition's end; c stands behind the change.
func (w *window) segmentAfter(prev *state.Change, c *state.Cursor, pk []byte) segment {
	seg := segment{prev: prev, at: c}
	for v, s := range w.sides {
		seg.pos[v] = s.pos
	}
	if c.Valid() && bytes.HasPrefix(c.Key(), pk) {
		seg.len = w.sides[state.Now].size - seg.pos[state.Now]
	}
	return seg
}

// following moves to the next entry that some version has.
func (w *window) following(c *state.Cursor) {
	for c.Next(); c.Valid() && c.Weight(state.Now) == 0 && c.Weight(state.Before) == 0; {
		c.Next()
	}
}

// jump goes on at the given positions. If that leaves out rows, what has been taken is evaluated: a batch has no gaps.
func (w *window) jump(pos [2]int64) error {
	if w.sides[0].pos == pos[0] && w.sides[1].pos == pos[1] {
		return nil
	}
	if err := w.run(); err != nil {
		return err
	}
	for v, s := range w.sides {
		s.pos = pos[v]
	}
	return nil
}

// take adds a row, with all its copies, to the batch.
func (w *window) take(c *state.Cursor) error {
	k, val := c.Key(), c.Value()
	var weights [2]int64
	for v := range weights {
		weights[v] = c.Weight(state.Version(v))
	}
	for copies, n := max(weights[0], weights[1]), int64(0); n < copies; {
		if err := decodeImage(entryImage(k, val), w.types, w.vecs); err != nil {
			return err
		}
		ent := int32(len(w.ents))
		w.ents = append(w.ents, windowRow{k, orderLen(k, val)})
		for ; n < copies && len(w.slots) < delta.BatchRows; n++ {
			slot := windowSlot{-1, -1}
			for v, s := range w.sides {
				if n < weights[v] {
					slot[v] = s.take(ent)
				}
			}
			w.slots = append(w.slots, slot)
		}
		if len(w.slots) >= delta.BatchRows {
			if err := w.run(); err != nil {
				return err
			}
		}
	}
	return nil
}

// run evaluates the batch in both versions and emits what differs.
func (w *window) run() error {
	if len(w.slots) == 0 {
		return nil
	}
	for _, s := range w.sides {
		if err := s.eval(); err != nil {
			return err
		}
	}
	if err := w.diff(); err != nil {
		return err
	}
	w.runs++
	w.ents, w.slots = w.ents[:0], w.slots[:0]
	clearVecs(w.vecs) // what left are copies
	for _, s := range w.sides {
		s.forget()
	}
	return nil
}

// diff emits the rows of the batch that only one version has, or whose values differ.
func (w *window) diff() error {
	var gone, come []int32 // places in the version's part of the batch
	was, is := w.sides[state.Before], w.sides[state.Now]
	for _, slot := range w.slots {
		a, b := slot[state.Before], slot[state.Now]
		if a >= 0 && b >= 0 && sameRow(was.out, int(a), is.out, int(b)) {
			continue
		}
		if a >= 0 {
			gone = append(gone, a)
		}
		if b >= 0 {
			come = append(come, b)
		}
	}
	if err := w.leave(was, gone, -1); err != nil {
		return err
	}
	return w.leave(is, come, 1)
}

// leave emits rows of a version with its values.
func (w *window) leave(s *winSide, places []int32, weight int64) error {
	if len(places) == 0 {
		return nil
	}
	ents := make([]int32, len(places))
	for i, p := range places {
		ents[i] = s.ents[p]
	}
	cols := make([]*delta.Vec, 0, len(w.out))
	for _, v := range w.vecs {
		cols = append(cols, v.Gather(ents))
	}
	for _, v := range s.out {
		cols = append(cols, v.Gather(places))
	}
	var weights []int64
	if weight != 1 {
		weights = make([]int64, len(places))
		for i := range weights {
			weights[i] = weight
		}
	}
	return w.emit(delta.NewChunk(cols, weights, len(places)))
}

// Flush implements Operator.
func (w *window) Flush(d *state.Delta) { w.rows.Flush(d) }

// Stats implements Operator.
func (w *window) Stats() state.Stats {
	st := w.rows.Stats()
	if w.groups != nil {
		addStats(&st, state.Stats{Bytes: w.groups.Stats().Bytes})
	}
	return st
}
