package stream

import (
	"encoding/binary"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/key"
	"github.com/millrace/millrace/storage/row"
)

// temporalJoin pairs left rows with the right rows of the moment. The moment is the end of the left row's epoch: left
// rows wait for the barrier, behind the right rows of the epoch.
//
// What a left row has met is what has to be taken back when the row is; so, unless the left side only grows, it is
// kept: per left row (its 128-bit hash) and arrival, the number of copies and the right rows with their weights. Of
// copies that came at different times, the last ones go first.
type temporalJoin struct {
	env     *Env
	outer   bool
	grows   bool // the left side only grows
	cond    expr.Program
	types   [2][]sqltypes.Type
	keys    [2][]row.KeyCol
	right   *state.MultiMap
	met     *state.OrderedMap // nil if the left side only grows
	batch   row.Batch
	waiting []*delta.Chunk // grows
	net     *Consolidator  // else
	buf     []byte
	out     *delta.Builder
}

func newTemporalJoin(n *plan.TemporalJoin, env *Env) (Operator, error) {
	j := &temporalJoin{env: env, outer: n.Outer, grows: env.appendOnly(n.Left), out: delta.NewBuilder(plan.Types(n)),
		types: [2][]sqltypes.Type{plan.Types(n.Left), plan.Types(n.Right)}, keys: [2][]row.KeyCol{row.Cols(n.LeftKeys...), row.Cols(n.RightKeys...)}}
	hint := 0
	for _, k := range n.RightKeys {
		hint += keyHint(j.types[1][k])
	}
	j.right = state.NewMultiMap(env.Table(n.State), hint, false, 0)
	if !j.grows {
		j.met = state.NewOrderedMap(env.Table(n.State + 1))
		j.net = NewConsolidator(nil)
	}
	var err error
	if n.Cond != nil {
		j.cond, err = expr.Compile(n.Cond)
	}
	return j, err
}

// OnDelta implements Operator.
func (j *temporalJoin) OnDelta(port int, c *delta.Chunk, _ Emit) error {
	if port == 0 {
		if j.grows {
			j.waiting = append(j.waiting, c)
		} else {
			j.net.Add(c)
		}
		return nil
	}
	j.batch.Fill(c, j.keys[1])
	for k := range c.Len() {
		i := c.Row(k)
		if row.HasNull(c.Cols, j.keys[1], i) {
			continue
		}
		hash := j.batch.Hashes[k]
		j.buf = row.AppendImage(j.buf[:0], c.Cols, nil, i)
		if _, _, _, err := j.right.Add(hash, j.vnode(hash, 1), j.batch.Key(k), j.buf, c.Weight(i)); err != nil {
			return err
		}
	}
	return nil
}

func (j *temporalJoin) vnode(hash uint64, port int) uint16 {
	if len(j.keys[port]) == 0 {
		return j.env.SingletonVNode
	}
	return uint16(hash % row.VNodes)
}

// OnBarrier implements Operator.
func (j *temporalJoin) OnBarrier(b Barrier, emit Emit) error {
	for _, c := range j.waiting {
		for k := range c.Len() {
			i := c.Row(k)
			if err := j.meet(c, i, func(image []byte, w int64) error { return j.put(c, i, image, w*c.Weight(i), emit) }); err != nil {
				return err
			}
		}
	}
	j.waiting = nil
	if j.net != nil {
		if err := j.net.Net(func(k []byte, _ uint64, rows []NetRow) error {
			for _, r := range rows {
				if err := j.change(k, r, uint64(b.Epoch), emit); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
		j.net.Reset()
	}
	return emitRest(j.out, emit)
}

// meet calls f with each right row that row i of c meets now; nil for none, if that shows.
func (j *temporalJoin) meet(c *delta.Chunk, i int, f func(image []byte, w int64) error) error {
	found := false
	if !row.HasNull(c.Cols, j.keys[0], i) {
		k := row.AppendKey(nil, c.Cols, j.keys[0], i)
		hash := key.Hash(k)
		b, err := j.right.Find(hash, j.vnode(hash, 0), k)
		if err != nil {
			return err
		}
		if b != state.NoSlot {
			for r := j.right.First(b); r != state.NoSlot; r = j.right.Next(r) {
				w, image := j.right.Weight(r), j.right.Image(r)
				ok, err := j.matches(c, i, image)
				if err != nil {
					return err
				}
				if !ok || w <= 0 {
					continue
				}
				found = true
				if err := f(image, w); err != nil {
					return err
				}
			}
		}
	}
	if !found && j.outer {
		return f(nil, 1)
	}
	return nil
}

// matches tests the further condition.
func (j *temporalJoin) matches(c *delta.Chunk, i int, image []byte) (bool, error) {
	if j.cond == nil {
		return true, nil
	}
	cols := make([]*delta.Vec, 0, len(j.types[0])+len(j.types[1]))
	for _, v := range c.Cols {
		cols = append(cols, v.Gather([]int32{int32(i)}))
	}
	right := newVecs(j.types[1])
	if err := decodeImage(image, j.types[1], right); err != nil {
		return false, err
	}
	ch := delta.NewChunk(append(cols, right...), []int64{c.Weight(i)}, 1)
	sel := expr.Filter(j.env.Ctx, j.cond, ch)
	j.env.report(ch)
	return sel == nil || len(sel) > 0, nil
}

// An entry of met: the row's hash and the epoch → copies (8), then for each right row its weight and image.

// change applies a net change of a left row.
func (j *temporalJoin) change(hash []byte, r NetRow, epoch uint64, emit Emit) error {
	i := r.Row
	vnode := j.env.SingletonVNode
	if len(j.keys[0]) > 0 {
		vnode = uint16(key.Hash(row.AppendKey(nil, r.Chunk.Cols, j.keys[0], i)) % row.VNodes)
	}
	if err := j.met.Ensure(vnode, hash); err != nil {
		return err
	}
	if r.Weight < 0 {
		return j.takeBack(vnode, hash, r, -r.Weight, emit)
	}
	val := binary.LittleEndian.AppendUint64(nil, uint64(r.Weight))
	err := j.meet(r.Chunk, i, func(image []byte, w int64) error {
		size := int64(len(image))
		if image == nil {
			size = -1
		}
		val = binary.AppendVarint(binary.AppendVarint(val, w), size)
		val = append(val, image...)
		return j.put(r.Chunk, i, image, w*r.Weight, emit)
	})
	if err == nil {
		j.met.Put(vnode, binary.BigEndian.AppendUint64(append([]byte(nil), hash...), epoch), val)
	}
	return err
}

// takeBack retracts copies of a left row with what they met, the last ones first.
func (j *temporalJoin) takeBack(vnode uint16, hash []byte, r NetRow, copies int64, emit Emit) error {
	type arrival struct{ key, val []byte }
	var list []arrival
	j.met.Descend(hash, func(k, v []byte) bool {
		list = append(list, arrival{append([]byte(nil), k...), append([]byte(nil), v...)})
		return true
	})
	for _, a := range list {
		if copies == 0 {
			return nil
		}
		have := int64(binary.LittleEndian.Uint64(a.val))
		n := min(have, copies)
		copies -= n
		for v := a.val[8:]; len(v) > 0; {
			w, k := binary.Varint(v)
			size, m := binary.Varint(v[k:])
			v = v[k+m:]
			var image []byte
			if size >= 0 {
				image, v = v[:size], v[size:]
			}
			if err := j.put(r.Chunk, r.Row, image, -w*n, emit); err != nil {
				return err
			}
		}
		if n == have {
			j.met.Delete(a.key)
			continue
		}
		binary.LittleEndian.PutUint64(a.val, uint64(have-n))
		j.met.Put(vnode, a.key, a.val)
	}
	return nil
}

// put emits a left row beside a right one; nil: NULLs.
func (j *temporalJoin) put(c *delta.Chunk, i int, image []byte, w int64, emit Emit) error {
	lw := len(c.Cols)
	for k, v := range c.Cols {
		j.out.Col(k).AppendFrom(v, i)
	}
	vecs := make([]*delta.Vec, len(j.types[1]))
	for k := range vecs {
		vecs[k] = j.out.Col(lw + k)
		if image == nil {
			vecs[k].AppendNull()
		}
	}
	if image != nil {
		if err := decodeImage(image, j.types[1], vecs); err != nil {
			return err
		}
	}
	j.out.EndRow(w)
	if j.out.Len() < delta.BatchRows {
		return nil
	}
	return emit(j.out.Take())
}

// Flush implements Operator.
func (j *temporalJoin) Flush(d *state.Delta) {
	j.right.Flush(d)
	if j.met != nil {
		j.met.Flush(d)
	}
}

// Stats implements Operator.
func (j *temporalJoin) Stats() state.Stats {
	st := j.right.Stats()
	if j.met != nil {
		addStats(&st, j.met.Stats())
	}
	return st
}
