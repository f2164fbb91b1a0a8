package stream

import (
	"encoding/binary"
	"slices"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/row"
)

// topOne is a top-N with a limit of one row per partition over input that only grows (the newest row of each
// key, say). A hash finds the partition, which holds one row; nothing has to be kept in order.
//
// A stored row is [length of the order, 4 bytes][order][image]. What showed before the epoch is the row that a
// partition's first change of the epoch replaced; its bytes can be read until the flush after the barrier.
type topOne struct {
	env      *Env
	part     []row.KeyCol
	order    []row.KeyCol
	numbered bool
	types    []sqltypes.Type
	best     *state.MultiMap
	batch    row.Batch
	guess    []uint32
	mark     []bool // by bucket: changed in this epoch
	touched  []replaced
	buf      []byte
	out      *delta.Builder
	close    *bucketClose // nil: no watermark says when a partition is done with
}

// replaced is a partition that changed, and the row it had; NoSlot: none.
type replaced struct{ bucket, old uint32 }

func newTopOne(n *plan.TopN, env *Env) *topOne {
	types := plan.Types(n.Input)
	hint := 0
	for _, c := range n.PartitionBy {
		hint += keyHint(types[c])
	}
	t := &topOne{env: env, part: row.Cols(n.PartitionBy...), order: sortKeys(n.OrderBy), numbered: n.RowNumber, types: types,
		best: state.NewMultiMap(env.Table(n.State), hint, true, uint64(env.StartEpoch)<<20), out: delta.NewBuilder(plan.Types(n))}
	if cols := markedOf(n.Input, n.PartitionBy); len(cols) > 0 {
		b := newBucketClose(cols[0], t.best, func(image []byte, vecs []*delta.Vec) error {
			return decodeImage(image[4+binary.LittleEndian.Uint32(image):], types, vecs)
		}, newVecs(types))
		t.close = &b
	}
	return t
}

// markedOf lists those of the columns that have a watermark.
func markedOf(n plan.Node, cols []int) []int {
	have := plan.MarkCols(n)
	var out []int
	for _, c := range cols {
		if slices.Contains(have, c) {
			out = append(out, c)
		}
	}
	return out
}

// OnWatermarks implements Watermarker.
func (t *topOne) OnWatermarks(_ int, m Marks) {
	if t.close != nil {
		t.close.set(m)
	}
}

// OnDelta implements Operator.
func (t *topOne) OnDelta(_ int, c *delta.Chunk, _ Emit) error {
	t.batch.Fill(c, t.part)
	if n := c.Len(); cap(t.guess) < n {
		t.guess = make([]uint32, n)
	}
	t.guess = t.guess[:c.Len()]
	t.best.Candidates(t.batch.Hashes, t.guess)
	for k := range c.Len() {
		if err := t.offer(c, c.Row(k), t.guess[k], t.batch.Hashes[k], t.batch.Key(k)); err != nil {
			return err
		}
	}
	return nil
}

// offer keeps row i if it comes before the partition's row.
func (t *topOne) offer(c *delta.Chunk, i int, guess uint32, hash uint64, k []byte) error {
	vnode := uint16(hash % row.VNodes)
	if len(t.part) == 0 {
		vnode = t.env.SingletonVNode
	}
	b, err := t.best.FindAt(guess, hash, vnode, k)
	if err != nil {
		return err
	}
	old := state.NoSlot
	if b != state.NoSlot {
		old = t.best.First(b)
	}
	t.buf = row.AppendKey(append(t.buf[:0], 0, 0, 0, 0), c.Cols, t.order, i)
	binary.LittleEndian.PutUint32(t.buf, uint32(len(t.buf)-4))
	if old != state.NoSlot {
		have := t.best.Image(old)[4:]
		if n := min(len(have), len(t.buf)-4); string(have[:n]) < string(t.buf[4:4+n]) {
			return nil // decided by the order alone
		}
		t.buf = row.AppendImage(t.buf, c.Cols, nil, i)
		if string(have) <= string(t.buf[4:]) {
			return nil
		}
		t.best.Clear(b)
	} else {
		t.buf = row.AppendImage(t.buf, c.Cols, nil, i)
	}
	b, _, _, err = t.best.Add(hash, vnode, k, t.buf, 1)
	if err != nil {
		return err
	}
	if t.close != nil && old == state.NoSlot {
		t.close.added(b, c, i)
	}
	for int(b) >= len(t.mark) {
		t.mark = append(t.mark, make([]bool, len(t.mark)+1024)...)
	}
	if !t.mark[b] {
		t.mark[b] = true
		t.touched = append(t.touched, replaced{b, old})
	}
	return nil
}

// OnBarrier implements Operator.
func (t *topOne) OnBarrier(_ Barrier, emit Emit) error {
	for _, x := range t.touched {
		t.mark[x.bucket] = false
		if err := t.put(x.old, -1, emit); err != nil {
			return err
		}
		if err := t.put(t.best.First(x.bucket), 1, emit); err != nil {
			return err
		}
	}
	t.touched = t.touched[:0]
	if err := emitRest(t.out, emit); err != nil || t.close == nil || !t.close.takeMoved() {
		return err
	}
	if !t.best.Complete() {
		if err := t.close.load(t.env.owns); err != nil {
			return err
		}
	}
	return t.close.sweep()
}

func (t *topOne) put(r uint32, w int64, emit Emit) error {
	if r == state.NoSlot {
		return nil
	}
	b := t.best.Image(r)
	vecs := make([]*delta.Vec, len(t.types))
	for i := range vecs {
		vecs[i] = t.out.Col(i)
	}
	if err := decodeImage(b[4+binary.LittleEndian.Uint32(b):], t.types, vecs); err != nil {
		return err
	}
	if t.numbered {
		t.out.Col(len(vecs)).AppendInt(1)
	}
	t.out.EndRow(w)
	if t.out.Len() < delta.BatchRows {
		return nil
	}
	return emit(t.out.Take())
}

// Flush implements Operator.
func (t *topOne) Flush(d *state.Delta) { t.best.Flush(d) }

// Stats implements Operator.
func (t *topOne) Stats() state.Stats { return t.best.Stats() }
