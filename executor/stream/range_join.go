package stream

import (
	"bytes"
	"encoding/binary"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/storage/key"
	"github.com/millrace/millrace/storage/row"
)

// rangeJoin is a join whose condition compares values of the two sides (a.x < b.y). It differs from hashJoin in how rows are kept: under the
// join key in the order of the first value that is compared; the further ones bound the subtrees. So a row reads the rows
// that it can match, and few others.
//
// Which rows of a preserved side have a match is counted by row, as in hashJoin. After a restart a row's count is found out at the
// barrier of the epoch that first touches the row, from what the other side held before the epoch.
type rangeJoin struct {
	hashJoin
	cmp   []plan.RangeCompare
	own   []byte // values of a row, one after the other
	ends  []int
	parts []state.PartRange
}

// joinOrder holds a side's rows in order: key, values, image; the value of an entry ends with the lengths of the values (4 bytes each).
type joinOrder struct {
	*state.OrderedMap
	values []expr.Program
	vecs   []*delta.Vec // the values of the running chunk
	known  []bool       // by row: its matches are counted
	buf    []byte
	rest   []byte
	lo, hi []byte
}

func newRangeJoin(n *plan.Join, env *Env) (Operator, error) {
	j := &rangeJoin{cmp: n.Range.Compare}
	if err := j.init(n, env); err != nil {
		return nil, err
	}
	for p, es := range [][]expr.Expr{n.Range.Left, n.Range.Right} {
		o := &joinOrder{OrderedMap: state.NewOrderedMap(env.Table(n.State + p))}
		var err error
		if o.values, err = expr.CompileAll(es); err != nil {
			return nil, err
		}
		if j.match == matchByRow {
			o.Track(nil)
		}
		if more := len(es) - 1; more > 0 {
			o.Bound(more, func(k, v []byte, i int) []byte {
				from, to := valueSpan(k, v, i+1, len(es))
				return k[from:to]
			})
		}
		s := &j.sides[p]
		s.order, s.rows = o, o
	}
	j.expire = newJoinExpire(n, &j.hashJoin)
	return j, nil
}

// valueSpan returns where the i-th of an entry's n values lies in its key.
func valueSpan(k, v []byte, i, n int) (from, to int) {
	to = orderLen(k, v)
	for x := n - 1; ; x-- {
		from = to - int(binary.LittleEndian.Uint32(v[entryValueLen+4*x:]))
		if x == i {
			return from, to
		}
		to = from
	}
}

// Image implements sideRows.
func (o *joinOrder) Image(r uint32) []byte { return entryImage(o.EntryKey(r), o.EntryValue(r)) }

// Weight implements sideRows.
func (o *joinOrder) Weight(r uint32) int64 {
	if o.Dead(r) {
		return 0
	}
	return entryWeight(o.EntryValue(r))
}

// Remove implements sideRows.
func (o *joinOrder) Remove(r uint32) {
	o.Delete(o.EntryKey(r))
	o.setKnown(r, false)
}

// EachRow implements sideRows.
func (o *joinOrder) EachRow(f func(r uint32)) {
	o.Search(nil, nil, nil, func(e uint32) bool {
		if !o.Dead(e) {
			f(e)
		}
		return true
	})
}

func (o *joinOrder) isKnown(r uint32) bool { return int(r) < len(o.known) && o.known[r] }

func (o *joinOrder) setKnown(r uint32, known bool) {
	if n := int(r) + 1; n > len(o.known) {
		o.known = append(o.known, make([]bool, n+n/2-len(o.known))...)
	}
	o.known[r] = known
}

// add changes the weight of a row: the values under a key, which end at ends, and the image.
func (o *joinOrder) add(vnode uint16, k, values []byte, ends []int, image []byte, w int64) (r uint32, before, after int64) {
	o.buf = append(append(append(o.buf[:0], k...), values...), image...)
	o.rest = binary.LittleEndian.AppendUint32(o.rest[:0], uint32(len(image)))
	from := 0
	for _, to := range ends {
		o.rest = binary.LittleEndian.AppendUint32(o.rest, uint32(to-from))
		from = to
	}
	return o.PutWeight(vnode, o.buf, o.rest, w)
}

// OnDelta implements Operator.
func (j *rangeJoin) OnDelta(port int, c *delta.Chunk, emit Emit) error {
	own, other := &j.sides[port], &j.sides[1-port]
	j.batch.Fill(c, own.key)
	strict := own.nullable(c)
	own.order.vecs = own.order.vecs[:0]
	for _, p := range own.order.values {
		own.order.vecs = append(own.order.vecs, p.Eval(j.env.Ctx, c))
	}
	j.env.report(c)
	own.beginChunk(j.match, c.Rows)
	j.lone = j.lone[:0]
	for k := range c.Len() {
		i := c.Row(k)
		if len(strict) > 0 && anyNull(c, strict, i) || !j.rowValues(own.order, i) {
			j.lone = append(j.lone, int32(i))
			continue
		}
		hash, pk := j.batch.Hashes[k], j.batch.Key(k)
		vnode := j.vnode(hash)
		for p := range j.sides {
			if err := j.sides[p].order.Ensure(vnode, pk); err != nil {
				return err
			}
		}
		j.image = row.AppendImage(j.image[:0], c.Cols, nil, i)
		r, before, after := own.order.add(vnode, pk, j.own, j.ends, j.image, c.Weight(i))
		if before == 0 {
			own.order.setKnown(r, true)
			if x := j.expire[port]; x != nil {
				x.added(r, c, i)
			}
		}
		if own.preserved {
			own.changed(&j.hashJoin, i, r, before, after)
		}
		if after == 0 {
			own.forget(r)
		}
		var err error
		j.search(port, pk, j.own, j.ends, func(e uint32) bool {
			if w := other.order.Weight(e); w != 0 {
				j.pairs.add(int32(i), e, w)
			}
			if len(j.pairs.chunk) >= delta.BatchRows {
				err = j.flushPairs(port, c, emit)
			}
			return err == nil
		})
		if err != nil {
			return err
		}
	}
	if err := j.flushPairs(port, c, emit); err != nil {
		return err
	}
	return j.emitLone(port, c, emit)
}

// forget says that row r is gone; its number may pass to another row.
func (s *joinSide) forget(r uint32) {
	s.order.setKnown(r, false)
	if int(r) < len(s.degrees) {
		s.degrees[r] = 0
	}
}

// rowValues leaves the values of row i in own and ends; false if one is NULL, which compares with nothing.
func (j *rangeJoin) rowValues(o *joinOrder, i int) bool {
	j.own, j.ends = j.own[:0], j.ends[:0]
	for n, v := range o.vecs {
		if v.IsNull(i) {
			return false
		}
		j.own = row.AppendKey(j.own, o.vecs, []row.KeyCol{{Col: n}}, i)
		j.ends = append(j.ends, len(j.own))
	}
	return true
}

// search calls f for the rows of the side other than port, dead ones among them, that a row of port with these values may match.
func (j *rangeJoin) search(port int, pk, values []byte, ends []int, f func(r uint32) bool) {
	o := j.sides[1-port].order
	o.lo, o.hi = append(o.lo[:0], pk...), key.PrefixEnd(pk)
	j.parts = j.parts[:0]
	for _, c := range j.cmp {
		at, mine, op := c.Right, c.Left, plan.Mirrored(c.Op) // what the other side's value is to mine
		if port == 1 {
			at, mine, op = c.Left, c.Right, c.Op
		}
		from := 0
		if mine > 0 {
			from = ends[mine-1]
		}
		v := values[from:ends[mine]]
		if at > 0 {
			j.parts = append(j.parts, partRange(at-1, op, v))
			continue
		}
		lo, hi := keyRange(op, append(append(make([]byte, 0, len(pk)+len(v)), pk...), v...))
		if lo != nil && bytes.Compare(lo, o.lo) > 0 {
			o.lo = lo
		}
		if hi != nil && (o.hi == nil || bytes.Compare(hi, o.hi) < 0) {
			o.hi = hi
		}
	}
	o.Search(o.lo, o.hi, j.parts, f)
}

// keyRange is where the keys lie that compare with k so; nil: no end.
func keyRange(op string, k []byte) (lo, hi []byte) {
	switch op {
	case "<":
		return nil, k
	case "<=":
		return nil, key.PrefixEnd(k)
	case ">":
		return key.PrefixEnd(k), nil
	}
	return k, nil
}

func partRange(part int, op string, v []byte) state.PartRange {
	lo, hi := keyRange(op, v)
	return state.PartRange{Part: part, Lo: lo, Hi: hi}
}

// OnBarrier implements Operator.
func (j *rangeJoin) OnBarrier(b Barrier, emit Emit) error {
	if j.match == matchByRow {
		for p := range j.sides {
			if err := j.learnRows(p); err != nil {
				return err
			}
		}
	}
	if err := j.hashJoin.OnBarrier(b, emit); err != nil {
		return err
	}
	if j.match == matchByRow {
		for p := range j.sides {
			j.sides[p].order.Settle()
		}
	}
	return nil
}

// learnRows counts the matches, before the epoch, of those rows that it touched and that had not been counted.
func (j *rangeJoin) learnRows(p int) error {
	s, o := &j.sides[p], &j.sides[1-p]
	var mine, theirs []uint32
	counts := map[uint32]int64{}
	count := func() error {
		if len(mine) == 0 {
			return nil
		}
		ch, err := j.pairsOf(p, mine, theirs)
		if err != nil {
			return err
		}
		for k := range ch.Len() {
			x := ch.Row(k)
			counts[mine[x]] += o.order.WeightBefore(theirs[x])
		}
		mine, theirs = mine[:0], theirs[:0]
		return nil
	}
	for _, t := range s.touched {
		if !t.unknown || t.old == 0 {
			continue
		}
		k, v := s.order.EntryKey(t.row), s.order.EntryValue(t.row)
		pk, values, ends := j.splitEntry(s.order, k, v)
		var err error
		j.search(p, pk, values, ends, func(e uint32) bool {
			if o.order.WeightBefore(e) != 0 {
				mine, theirs = append(mine, t.row), append(theirs, e)
			}
			if len(mine) >= delta.BatchRows {
				err = count()
			}
			return err == nil
		})
		if err != nil {
			return err
		}
	}
	if err := count(); err != nil {
		return err
	}
	for i := range s.touched {
		t := &s.touched[i]
		if !t.unknown {
			continue
		}
		n := counts[t.row]
		t.old = j.shows(t.old, n != 0)
		if !s.order.isKnown(t.row) { // else it went and came back, and was counted then
			s.degrees[t.row] += n
			s.order.setKnown(t.row, true)
		}
	}
	return nil
}

// splitEntry takes an entry's key apart.
func (j *rangeJoin) splitEntry(o *joinOrder, k, v []byte) (pk, values []byte, ends []int) {
	from, _ := valueSpan(k, v, 0, len(o.values))
	for i := range o.values {
		_, to := valueSpan(k, v, i, len(o.values))
		ends = append(ends, to-from)
	}
	return k[:from], k[from:orderLen(k, v)], ends
}
