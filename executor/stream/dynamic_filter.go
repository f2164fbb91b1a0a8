package stream

import (
	"bytes"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/key"
	"github.com/millrace/millrace/storage/row"
)

// dynamicFilter passes the rows that compare with a bound which may change. Rows lie in the order of the compared
// column; at the barrier those that changed, and of the others those between the old bound and the new one, leave.
type dynamicFilter struct {
	env    *Env
	op     string
	col    []row.KeyCol
	bcol   []row.KeyCol
	dist   []row.KeyCol
	types  []sqltypes.Type
	rows   *state.OrderedMap // column, image
	bound  *state.OrderedMap // column, image of the bound's row; each actor has its own, under a vnode that it owns
	loaded bool
	vnode  uint16
	key    []byte
	out    *delta.Builder
}

func newDynamicFilter(n *plan.DynamicFilter, env *Env) (Operator, error) {
	f := &dynamicFilter{env: env, op: n.Op, col: row.Cols(n.Col), bcol: row.Cols(n.BoundCol), dist: row.Cols(n.Dist...), types: plan.Types(n.Input),
		rows: state.NewOrderedMap(env.Table(n.State)), bound: state.NewOrderedMap(env.Table(n.State + 1)),
		vnode: env.SingletonVNode, out: delta.NewBuilder(plan.Types(n))}
	f.rows.Track(nil)
	f.bound.Track(nil)
	if n.Dist != nil {
		for f.vnode = 0; !env.owns(f.vnode) && f.vnode < row.VNodes-1; {
			f.vnode++
		}
	}
	return f, nil
}

// load brings everything into memory: the bound may pass any row.
func (f *dynamicFilter) load() error {
	if f.loaded {
		return nil
	}
	f.loaded = true
	owns := f.env.owns
	if len(f.dist) == 0 {
		owns = func(v uint16) bool { return v == f.vnode }
	}
	if err := f.rows.LoadAll(owns); err != nil {
		return err
	}
	return f.bound.LoadAll(func(v uint16) bool { return v == f.vnode })
}

// OnDelta implements Operator.
func (f *dynamicFilter) OnDelta(port int, c *delta.Chunk, _ Emit) error {
	if err := f.load(); err != nil {
		return err
	}
	m, cols := f.rows, f.col
	if port == 1 {
		m, cols = f.bound, f.bcol
	}
	for k := range c.Len() {
		i := c.Row(k)
		if row.HasNull(c.Cols, cols, i) {
			continue // a NULL compares with nothing
		}
		vnode := f.vnode
		if port == 0 && len(f.dist) > 0 {
			f.key = row.AppendKey(f.key[:0], c.Cols, f.dist, i)
			vnode = uint16(key.Hash(f.key) % row.VNodes)
		}
		f.key = row.AppendKey(f.key[:0], c.Cols, cols, i)
		n := len(f.key)
		f.key = row.AppendImage(f.key, c.Cols, nil, i)
		addEntry(m, vnode, f.key, len(f.key)-n, c.Weight(i))
	}
	return nil
}

// span is a range of keys; hi nil: no end. An empty one has none.
type span struct {
	lo, hi []byte
	empty  bool
}

func (s span) has(k []byte) bool {
	return !s.empty && bytes.Compare(k, s.lo) >= 0 && (s.hi == nil || bytes.Compare(k, s.hi) < 0)
}

// passing returns the keys that pass in a version.
func (f *dynamicFilter) passing(v state.Version) span {
	c := f.bound.Seek(nil)
	for c.Valid() && c.Weight(v) == 0 {
		c.Next()
	}
	if !c.Valid() {
		return span{empty: true}
	}
	at := bytes.Clone(timeOf(c.Key(), c.Value()))
	switch f.op {
	case "<":
		return span{hi: at}
	case "<=":
		return span{hi: key.PrefixEnd(at)}
	case ">":
		return span{lo: key.PrefixEnd(at)}
	}
	return span{lo: at}
}

// OnBarrier implements Operator.
func (f *dynamicFilter) OnBarrier(_ Barrier, emit Emit) error {
	was, is := f.passing(state.Before), f.passing(state.Now)
	for _, c := range f.rows.Changes() {
		w := int64(0)
		if was.has(c.Key) {
			w -= c.Old
		}
		if is.has(c.Key) {
			w += c.New
		}
		if err := f.put(entryImage(c.Key, c.Value), w, emit); err != nil {
			return err
		}
	}
	if len(f.bound.Changes()) > 0 {
		for _, m := range moved(was, is) {
			if err := f.move(m.span, m.sign, emit); err != nil {
				return err
			}
		}
	}
	f.rows.Settle()
	f.bound.Settle()
	return emitRest(f.out, emit)
}

type movedSpan struct {
	span
	sign int64
}

// moved lists what passes no more and what passes now. Both ranges are open at the same end.
func moved(was, is span) []movedSpan {
	switch {
	case was.empty && is.empty:
		return nil
	case was.empty:
		return []movedSpan{{is, 1}}
	case is.empty:
		return []movedSpan{{was, -1}}
	}
	if was.hi == nil && is.hi == nil {
		if bytes.Compare(was.lo, is.lo) < 0 {
			return []movedSpan{{span{lo: was.lo, hi: is.lo}, -1}}
		}
		return []movedSpan{{span{lo: is.lo, hi: was.lo}, 1}}
	}
	if bytes.Compare(was.hi, is.hi) < 0 {
		return []movedSpan{{span{lo: was.hi, hi: is.hi}, 1}}
	}
	return []movedSpan{{span{lo: is.hi, hi: was.hi}, -1}}
}

// move emits the rows of a range that did not change themselves.
func (f *dynamicFilter) move(s span, sign int64, emit Emit) error {
	for c := f.rows.Seek(s.lo); c.Valid() && s.has(c.Key()); c.Next() {
		w := c.Weight(state.Now)
		if w != c.Weight(state.Before) {
			continue
		}
		if err := f.put(entryImage(c.Key(), c.Value()), sign*w, emit); err != nil {
			return err
		}
	}
	return nil
}

func (f *dynamicFilter) put(image []byte, w int64, emit Emit) error {
	if w == 0 {
		return nil
	}
	vecs := make([]*delta.Vec, len(f.types))
	for i := range vecs {
		vecs[i] = f.out.Col(i)
	}
	if err := decodeImage(image, f.types, vecs); err != nil {
		return err
	}
	f.out.EndRow(w)
	if f.out.Len() < delta.BatchRows {
		return nil
	}
	return emit(f.out.Take())
}

// Flush implements Operator.
func (f *dynamicFilter) Flush(d *state.Delta) {
	f.rows.Flush(d)
	f.bound.Flush(d)
}

// Stats implements Operator.
func (f *dynamicFilter) Stats() state.Stats {
	st := f.rows.Stats()
	addStats(&st, f.bound.Stats())
	return st
}
