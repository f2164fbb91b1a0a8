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

// asofJoin pairs each left row with the nearest right row in time.
//
// Both sides lie in ordered maps: key, time, image; when the right row is to be the later one, times are in falling
// order, so that the partner is always the last right time that is not behind the left one. The maps know their
// contents before the epoch. A change of a left row concerns that row; a change of a right row concerns the left rows
// from its time to the next right row that was there before and still is. For those, the partners of both versions
// are looked up at the barrier, and what differs leaves.
type asofJoin struct {
	env    *Env
	outer  bool
	strict bool
	sides  [2]asofSide
	batch  row.Batch
	parts  keySet
	key    []byte
	out    *delta.Builder
}

type asofSide struct {
	rows  *state.OrderedMap
	types []sqltypes.Type
	cols  []row.KeyCol // the join key
	time  []row.KeyCol
}

func newAsofJoin(n *plan.AsofJoin, env *Env) (Operator, error) {
	a := &asofJoin{env: env, outer: n.Outer, strict: n.Strict, out: delta.NewBuilder(plan.Types(n))}
	a.sides[0] = asofSide{types: plan.Types(n.Left), cols: row.Cols(n.LeftKeys...), time: []row.KeyCol{{Col: n.LeftTime, Desc: n.Later}}}
	a.sides[1] = asofSide{types: plan.Types(n.Right), cols: row.Cols(n.RightKeys...), time: []row.KeyCol{{Col: n.RightTime, Desc: n.Later}}}
	for p := range a.sides {
		a.sides[p].rows = state.NewOrderedMap(env.Table(n.State + p))
		a.sides[p].rows.Track(nil)
	}
	return a, nil
}

// OnDelta implements Operator.
func (a *asofJoin) OnDelta(port int, c *delta.Chunk, emit Emit) error {
	s := &a.sides[port]
	a.batch.Fill(c, s.cols)
	for k := range c.Len() {
		i := c.Row(k)
		if row.HasNull(c.Cols, s.cols, i) || row.HasNull(c.Cols, s.time, i) {
			if err := a.lone(port, c, i, emit); err != nil {
				return err
			}
			continue
		}
		pk, hash := a.batch.Key(k), a.batch.Hashes[k]
		vnode := uint16(hash % row.VNodes)
		if len(s.cols) == 0 {
			vnode = a.env.SingletonVNode
		}
		if _, fresh := a.parts.add(hash, vnode, pk); fresh {
			for p := range a.sides {
				if err := a.sides[p].rows.Ensure(vnode, pk); err != nil {
					return err
				}
			}
		}
		a.key = row.AppendKey(append(a.key[:0], pk...), c.Cols, s.time, i)
		n := len(a.key)
		a.key = row.AppendImage(a.key, c.Cols, nil, i)
		addEntry(s.rows, vnode, a.key, len(a.key)-n, c.Weight(i))
	}
	return emitRest(a.out, emit)
}

// lone passes on a row that can have no partner.
func (a *asofJoin) lone(port int, c *delta.Chunk, i int, emit Emit) error {
	if port == 1 || !a.outer {
		return nil
	}
	for k, v := range c.Cols {
		a.out.Col(k).AppendFrom(v, i)
	}
	for k := range a.sides[1].types {
		a.out.Col(len(c.Cols) + k).AppendNull()
	}
	return a.end(c.Weight(i), emit)
}

func (a *asofJoin) end(w int64, emit Emit) error {
	a.out.EndRow(w)
	if a.out.Len() < delta.BatchRows {
		return nil
	}
	return emit(a.out.Take())
}

// OnBarrier implements Operator.
func (a *asofJoin) OnBarrier(_ Barrier, emit Emit) error {
	left, right := a.sides[0].rows.Changes(), a.sides[1].rows.Changes()
	keys := make([][]byte, a.parts.len())
	for n := range keys {
		keys[n] = a.parts.key(n)
	}
	slices.SortFunc(keys, bytes.Compare)
	for _, pk := range keys {
		l, r := takeGroup(&left, pk), takeGroup(&right, pk)
		if err := a.settle(pk, l, r, emit); err != nil {
			return err
		}
	}
	a.parts.reset()
	for p := range a.sides {
		a.sides[p].rows.Settle()
	}
	return emitRest(a.out, emit)
}

// takeGroup takes the changes of a group off the front of a sorted list.
func takeGroup(changes *[]state.Change, pk []byte) []state.Change {
	n := 0
	for n < len(*changes) && bytes.HasPrefix((*changes)[n].Key, pk) {
		n++
	}
	group := (*changes)[:n]
	*changes = (*changes)[n:]
	return group
}

// settle emits what changes under one key. left and right are its changes, in order of time.
func (a *asofJoin) settle(pk []byte, left, right []state.Change, emit Emit) error {
	for i := 0; ; {
		var lo, hi []byte
		for ; i < len(right); i++ { // later right rows that lie in the range have the same end
			t := timeOf(right[i].Key, right[i].Value)
			from := a.edge(t)
			if lo != nil && bytes.Compare(from, hi) >= 0 {
				break
			}
			if lo == nil {
				lo, hi = from, a.stable(pk, t)
			}
		}
		// Left rows that changed before the range, or behind the last one.
		for len(left) > 0 && (lo == nil || bytes.Compare(left[0].Key, lo) < 0) {
			if err := a.row(pk, a.sides[0].rows.Seek(left[0].Key), emit); err != nil {
				return err
			}
			left = left[1:]
		}
		if lo == nil {
			return nil
		}
		for c := a.sides[0].rows.Seek(lo); c.Valid() && bytes.HasPrefix(c.Key(), pk) && bytes.Compare(c.Key(), hi) < 0; c.Next() {
			if err := a.row(pk, c, emit); err != nil {
				return err
			}
		}
		for len(left) > 0 && bytes.Compare(left[0].Key, hi) < 0 {
			left = left[1:]
		}
	}
}

// timeOf returns the key and time of an entry.
func timeOf(k, val []byte) []byte { return k[:orderLen(k, val)] }

// edge is where the left rows begin that a right row of a time can be the partner of.
func (a *asofJoin) edge(t []byte) []byte {
	if a.strict {
		return key.PrefixEnd(t)
	}
	return t
}

// stable is where the left rows begin whose partner is a right row behind time t, or one still later, in both versions.
func (a *asofJoin) stable(pk, t []byte) []byte {
	r := a.sides[1].rows
	for c := r.Seek(key.PrefixEnd(t)); c.Valid() && bytes.HasPrefix(c.Key(), pk); c.Next() {
		if c.Weight(state.Before) > 0 && c.Weight(state.Now) > 0 {
			return a.edge(timeOf(c.Key(), c.Value()))
		}
	}
	return append(slices.Clone(pk), 0xFF, 0xFF) // above any time: those begin with a marker below it
}

// row emits the difference between a left row with its partner of before and that of now.
func (a *asofJoin) row(pk []byte, c *state.Cursor, emit Emit) error {
	was, is := c.Weight(state.Before), c.Weight(state.Now)
	if was == 0 && is == 0 {
		return nil
	}
	image, t := entryImage(c.Key(), c.Value()), timeOf(c.Key(), c.Value())
	var old, now []byte
	if was > 0 {
		old = a.partner(state.Before, pk, t)
	}
	if is > 0 {
		now = a.partner(state.Now, pk, t)
	}
	if was > 0 && is > 0 && string(old) == string(now) && (old == nil) == (now == nil) {
		return a.put(image, now, is-was, emit)
	}
	if err := a.put(image, old, -was, emit); err != nil {
		return err
	}
	return a.put(image, now, is, emit)
}

// partner returns the image of the right row that goes with a left row of a time; nil: there is none.
func (a *asofJoin) partner(v state.Version, pk, t []byte) []byte {
	r := a.sides[1].rows
	end := key.PrefixEnd(t)
	if a.strict {
		end = t
	}
	n := r.CountRange(v, pk, end)
	if n == 0 {
		return nil
	}
	c, _ := r.Select(v, pk, n-1)
	if first := r.CountRange(v, pk, timeOf(c.Key(), c.Value())); first < n-1 {
		c, _ = r.Select(v, pk, first)
	}
	return entryImage(c.Key(), c.Value())
}

func (a *asofJoin) put(left, right []byte, w int64, emit Emit) error {
	if w == 0 || right == nil && !a.outer {
		return nil
	}
	lw := len(a.sides[0].types)
	vecs := make([]*delta.Vec, lw+len(a.sides[1].types))
	for i := range vecs {
		vecs[i] = a.out.Col(i)
	}
	if err := decodeImage(left, a.sides[0].types, vecs[:lw]); err != nil {
		return err
	}
	if right == nil {
		for _, v := range vecs[lw:] {
			v.AppendNull()
		}
	} else if err := decodeImage(right, a.sides[1].types, vecs[lw:]); err != nil {
		return err
	}
	return a.end(w, emit)
}

// Flush implements Operator.
func (a *asofJoin) Flush(d *state.Delta) {
	for p := range a.sides {
		a.sides[p].rows.Flush(d)
	}
}

// Stats implements Operator.
func (a *asofJoin) Stats() state.Stats {
	st := a.sides[0].rows.Stats()
	addStats(&st, a.sides[1].rows.Stats())
	return st
}
