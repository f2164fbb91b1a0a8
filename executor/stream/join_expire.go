package stream

import (
	"container/heap"
	"math"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// joinExpire forgets rows of one side of an interval join: those whose time lies so far below the other side's watermark that nothing
// which still changes there can meet them (plan.JoinExpiry). If the side's rows can go again, they stay until its own watermark has passed them too.
// If rows of the other side show whether they have a match, what they may have met goes after them, never before.
//
// Rows are looked at in groups of a step of time, so a row may stay a step longer than it has to. After a restart all rows
// are loaded at once: only those that have not expired are left.
type joinExpire struct {
	rows  sideRows
	types []sqltypes.Type
	col   int // of the side, the time of its rows
	step  int64
	// The other side's watermark of column otherCol, plus shift, is what rows are compared with.
	otherCol int
	shift    int64
	// partners: and with the side's own, plus lag.
	partners   bool
	lag        int64
	other, own int64 // watermarks
	whole      bool  // rows never go: own does not matter
	at         map[int64][]uint32
	heap       valueHeap
	vecs       []*delta.Vec
	loaded     bool
}

// newJoinExpire looks for a bound of each side.
func newJoinExpire(n *plan.Join, j *hashJoin) (out [2]*joinExpire) {
	lw := len(n.Left.Columns())
	children := []plan.Node{n.Left, n.Right}
	bounds := plan.JoinExpiry(n)
	for port, b := range bounds {
		if b == nil {
			continue
		}
		// later ≥ earlier + shift: what changes on the earlier side is at least its watermark.
		col, otherCol := b.Later, b.Earlier-lw
		if port == 1 {
			col, otherCol = b.Later-lw, b.Earlier
		}
		x := &joinExpire{rows: j.sides[port].rows, types: j.sides[port].types, col: col, otherCol: otherCol, shift: b.Shift, step: 1,
			other: NoMark, own: NoMark, whole: j.env.appendOnly(children[port]), at: map[int64][]uint32{}, vecs: newVecs(j.sides[port].types)}
		if k := x.types[col].Kind; k == sqltypes.KTimestamp || k == sqltypes.KTimestamptz {
			x.step = 1_000_000
		}
		if j.sides[1-port].preserved {
			// Rows of the other side that this one meets are below its time less shift; they go a step late.
			x.partners, x.lag = true, expr.SatAdd(expr.SatAdd(bounds[1-port].Shift, b.Shift), -x.step)
		}
		out[port] = x
	}
	return out
}

// set takes the watermarks of the side itself (own) or of the other one.
func (x *joinExpire) set(own bool, m Marks) {
	if own {
		if v, ok := m.Of(x.col); ok {
			x.own = v
		}
		return
	}
	if v, ok := m.Of(x.otherCol); ok {
		x.other = v
	}
}

// passed is the time below which rows have expired.
func (x *joinExpire) passed() int64 {
	if x.other == NoMark || (!x.whole || x.partners) && x.own == NoMark {
		return NoMark
	}
	v := expr.SatAdd(x.other, x.shift)
	if x.partners {
		v = min(v, expr.SatAdd(x.own, x.lag))
	}
	if !x.whole {
		v = min(v, x.own)
	}
	return v
}

// added notes stored row r, which is row i of c. A row without a time meets nothing.
func (x *joinExpire) added(r uint32, c *delta.Chunk, i int) {
	if v := c.Cols[x.col]; !v.IsNull(i) {
		x.note(v.Ints[i], r)
	}
}

func (x *joinExpire) note(v int64, r uint32) {
	if v > math.MaxInt64-2*x.step {
		return // infinity
	}
	k := v / x.step
	if v > k*x.step {
		k++
	}
	list, ok := x.at[k]
	if !ok {
		heap.Push(&x.heap, k)
	}
	x.at[k] = append(list, r)
}

// time reads the time of a stored row; not ok: the row is gone, or has none.
func (x *joinExpire) time(r uint32) (int64, bool, error) {
	if x.rows.Weight(r) == 0 {
		return 0, false, nil
	}
	clearVecs(x.vecs)
	if err := decodeImage(x.rows.Image(r), x.types, x.vecs); err != nil {
		return 0, false, err
	}
	v := x.vecs[x.col]
	return v.Ints[0], !v.IsNull(0), nil
}

// sweep forgets what has expired.
func (x *joinExpire) sweep(owns func(uint16) bool) error {
	limit := x.passed()
	if limit == NoMark {
		return nil
	}
	if !x.loaded && !x.rows.Complete() {
		if err := x.load(owns); err != nil {
			return err
		}
	}
	x.loaded = true
	for len(x.heap) > 0 && x.heap[0]*x.step < limit {
		k := heap.Pop(&x.heap).(int64)
		rows := x.at[k]
		delete(x.at, k)
		for _, r := range rows {
			// The number may have passed to another row meanwhile, which has its own entry.
			if v, ok, err := x.time(r); err != nil {
				return err
			} else if ok && v < limit && v <= k*x.step {
				x.rows.Remove(r)
			}
		}
	}
	return nil
}

// load brings all rows into memory and notes those that came from the store.
func (x *joinExpire) load(owns func(uint16) bool) error {
	if err := x.rows.LoadAll(owns); err != nil {
		return err
	}
	x.at, x.heap = map[int64][]uint32{}, nil
	var bad error
	x.rows.EachRow(func(r uint32) {
		v, ok, err := x.time(r)
		if err != nil {
			bad = err
		} else if ok {
			x.note(v, r)
		}
	})
	return bad
}
