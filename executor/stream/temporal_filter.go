package stream

import (
	"encoding/binary"
	"math"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/row"
)

// temporalFilter shows the rows for which its conditions on the current time hold.
//
// After each barrier a row is shown if the conditions hold at the barrier's time. Of a row whose turn is still to come, to
// enter or to leave, an entry is kept under the time at which it changes next; at a barrier the entries whose time has come
// are looked at again. All of this is linear: weights add up, so equal rows share an entry and order does not matter.
//
// The engine asks for a barrier when the first entry is due (Wake), so that rows move without any input.
type temporalFilter struct {
	env    *Env
	bounds []*timeBound
	dist   []row.KeyCol
	types  []sqltypes.Type
	rows   *state.OrderedMap
	vnode  uint16 // without dist
	chunks []*delta.Chunk
	last   int64 // time of the last barrier
	batch  row.Batch
	key    []byte
	out    *delta.Builder
}

// Waker is an Operator that changes its output at a time of its own.
type Waker interface {
	// Wake is when (µs since 2000-01-01 UTC) a barrier is wanted next; ok false: not at all.
	Wake() (at int64, ok bool)
}

// timeBound is one condition. Times are compared on one line, in microseconds: see plan.Drift.
type timeBound struct {
	value expr.Program
	clock expr.Program
	unit  int64 // of the compared type, in microseconds
	above bool  // value > clock or ≥ rather than < or ≤
	equal bool  // it also holds when they are equal
	drift plan.Drift
	ctx   expr.Ctx        // of clock
	at    map[int64]int64 // what clock is at some times
	flips map[int64]flip
}

// flip says that from a time on, and until another, a value's condition does not change.
type flip struct{ from, to int64 }

// never is the time of a change that does not come.
const never = math.MaxInt64

func newTemporalFilter(n *plan.TemporalFilter, env *Env) (Operator, error) {
	t := &temporalFilter{env: env, dist: row.Cols(n.Dist...), types: plan.Types(n.Input), rows: state.NewOrderedMap(env.Table(n.State)),
		last: math.MinInt64, out: delta.NewBuilder(plan.Types(n.Input))}
	for v := range uint16(row.VNodes) {
		if env.owns(v) {
			t.vnode = v
			break
		}
	}
	for _, b := range n.Bounds {
		x := &timeBound{unit: 1, above: b.Op[0] == '>', equal: len(b.Op) == 2, at: map[int64]int64{}, flips: map[int64]flip{}}
		if b.Value.Type().Kind == sqltypes.KDate {
			x.unit = microsPerDay
		}
		x.ctx.Settings = env.Ctx.Settings
		x.drift = b.Drift
		var err error
		if x.value, err = expr.Compile(b.Value); err != nil {
			return nil, err
		}
		if x.clock, err = expr.Compile(b.Clock); err != nil {
			return nil, err
		}
		t.bounds = append(t.bounds, x)
	}
	return t, nil
}

// OnDelta implements Operator. What a row means is known when the epoch has its time.
func (t *temporalFilter) OnDelta(_ int, c *delta.Chunk, _ Emit) error {
	t.chunks = append(t.chunks, c)
	return nil
}

// OnBarrier implements Operator.
func (t *temporalFilter) OnBarrier(b Barrier, emit Emit) error {
	if err := t.rows.LoadAll(t.env.owns); err != nil {
		return err
	}
	now := max(b.Now, t.last)
	t.last = now
	// First what was there before, so that new rows find the entries of equal ones under the same time.
	if err := t.turn(now, emit); err != nil {
		return err
	}
	for _, c := range t.chunks {
		if err := t.take(c, now, emit); err != nil {
			return err
		}
	}
	t.chunks = nil
	return emitRest(t.out, emit)
}

// take shows and keeps new changes.
func (t *temporalFilter) take(c *delta.Chunk, now int64, emit Emit) error {
	values := make([]*delta.Vec, len(t.bounds))
	for i, b := range t.bounds {
		values[i] = b.value.Eval(t.env.Ctx, c)
	}
	t.env.report(c)
	if len(t.dist) > 0 {
		t.batch.Fill(c, t.dist)
	}
	var sel []int32
	for k := range c.Len() {
		i := c.Row(k)
		shown, next, ok := t.judge(values, i, now)
		if !ok {
			continue
		}
		if shown {
			sel = append(sel, int32(i))
		}
		if next == never {
			continue
		}
		vnode := t.vnode
		if len(t.dist) > 0 {
			vnode = t.batch.VNode(k)
		}
		t.put(vnode, next, row.AppendImage(nil, c.Cols, nil, i), c.Weight(i))
	}
	if len(sel) == 0 {
		return nil
	}
	return emit(c.WithSel(sel).Compact())
}

// judge reports whether row i is shown at a time, and when that changes next; not ok: it never is.
func (t *temporalFilter) judge(values []*delta.Vec, i int, now int64) (shown bool, next int64, ok bool) {
	shown, next = true, never
	for k, b := range t.bounds {
		if values[k].IsNull(i) {
			return false, never, false
		}
		v := b.scaled(values[k].Ints[i])
		holds, change := b.holds(v, now), b.change(v, now)
		if !holds && change == never {
			return false, never, true // nothing to show from here on
		}
		shown = shown && holds
		next = min(next, change)
	}
	return shown, next, true
}

func (t *temporalFilter) put(vnode uint16, at int64, image []byte, w int64) {
	t.key = append(binary.BigEndian.AppendUint64(t.key[:0], uint64(at)^1<<63), image...)
	addEntry(t.rows, vnode, t.key, len(image), w)
}

func dueTime(k []byte) int64 { return int64(binary.BigEndian.Uint64(k) ^ 1<<63) }

// turn looks again at the rows whose time has come.
func (t *temporalFilter) turn(now int64, emit Emit) error {
	for {
		due := delta.NewBuilder(t.types)
		vecs := make([]*delta.Vec, len(t.types))
		for i := range vecs {
			vecs[i] = due.Col(i)
		}
		var keys [][]byte
		var vnodes []uint16
		var bad error
		t.rows.Ascend(nil, nil, func(k, v []byte) bool {
			if dueTime(k) > now || due.Len() >= delta.BatchRows {
				return false
			}
			if bad = decodeImage(entryImage(k, v), t.types, vecs); bad != nil {
				return false
			}
			due.EndRow(entryWeight(v))
			keys = append(keys, append([]byte(nil), k...))
			vnodes = append(vnodes, t.rows.VNode(k))
			return true
		})
		if bad != nil {
			return bad
		}
		c := due.Take()
		if c == nil {
			return nil
		}
		if err := t.again(c, keys, vnodes, now, emit); err != nil {
			return err
		}
	}
}

// again moves the entries of rows that were due: before that time they were shown or not, now they are or not.
func (t *temporalFilter) again(c *delta.Chunk, keys [][]byte, vnodes []uint16, now int64, emit Emit) error {
	values := make([]*delta.Vec, len(t.bounds))
	for i, b := range t.bounds {
		values[i] = b.value.Eval(t.env.Ctx, c)
	}
	t.env.Ctx.TakeErrs() // they were reported when the row came
	for i := range c.Rows {
		t.rows.Delete(keys[i])
		before := true
		for k, b := range t.bounds {
			before = before && b.holds(b.scaled(values[k].Ints[i]), dueTime(keys[i])-1)
		}
		after, next, _ := t.judge(values, i, now)
		w := c.Weight(i)
		if next != never {
			t.put(vnodes[i], next, keys[i][8:], w)
		}
		if before == after {
			continue
		}
		if before {
			w = -w
		}
		t.out.AppendRow(c, i, w)
		if t.out.Len() >= delta.BatchRows {
			if err := emit(t.out.Take()); err != nil {
				return err
			}
		}
	}
	return nil
}

// Wake implements Waker.
func (t *temporalFilter) Wake() (at int64, ok bool) {
	t.rows.Ascend(nil, nil, func(k, _ []byte) bool {
		at, ok = dueTime(k), true
		return false
	})
	return at, ok
}

// Flush implements Operator.
func (t *temporalFilter) Flush(d *state.Delta) { t.rows.Flush(d) }

// Stats implements Operator.
func (t *temporalFilter) Stats() state.Stats { return t.rows.Stats() }

// scaled puts a value on the line of microseconds; infinities stay.
func (b *timeBound) scaled(v int64) int64 {
	if b.unit == 1 {
		return v
	}
	switch {
	case v >= math.MaxInt32:
		return math.MaxInt64
	case v <= math.MinInt32:
		return math.MinInt64
	}
	return v * b.unit
}

// clockAt is what the function of the current time is at a time.
func (b *timeBound) clockAt(t int64) int64 {
	if v, ok := b.at[t]; ok {
		return v
	}
	b.ctx.Now, b.ctx.StmtNow = t, t
	out := b.clock.Eval(&b.ctx, &delta.Chunk{Rows: 1})
	v := int64(math.MinInt64)
	if b.ctx.TakeErrs() == nil && !out.IsNull(0) {
		v = b.scaled(out.Ints[0])
	}
	if len(b.at) > cached {
		clear(b.at)
	}
	b.at[t] = v
	return v
}

// cached bounds how many times a condition remembers something of.
const cached = 1 << 16

func (b *timeBound) holds(v, t int64) bool { return b.compare(v, b.clockAt(t)) }

func (b *timeBound) compare(v, clock int64) bool {
	switch {
	case v == clock:
		return b.equal
	case b.above:
		return v > clock
	}
	return v < clock
}

// change is the first time after now at which the condition on v becomes something else.
func (b *timeBound) change(v, now int64) int64 {
	if v == math.MaxInt64 || v == math.MinInt64 {
		return never
	}
	if b.drift.Exact() {
		at := v - b.drift.Lo
		if b.above == b.equal { // it is still what it was when the clock has just reached v
			at++
		}
		if at > now {
			return at
		}
		return never
	}
	if f, ok := b.flips[v]; ok && f.from <= now && now < f.to {
		return f.to
	}
	if len(b.flips) > cached {
		clear(b.flips)
	}
	f := flip{now, b.search(v, now)}
	b.flips[v] = f
	return f.to
}

// step is a length of time within which no time zone changes its offset and no day begins, counted from a multiple of it.
const step = 15 * 60 * 1_000_000

// search finds the next change where the clock's function is not a plain shift. It lies where the function may reach v. A
// function that never falls reaches it once; any other at most once between two multiples of step.
func (b *timeBound) search(v, now int64) int64 {
	from, to := max(now, v-b.drift.Hi-1), v-b.drift.Lo+1
	if from >= to {
		return never
	}
	held := b.holds(v, now)
	if b.holds(v, from) != held {
		return b.bisect(v, now, from, held)
	}
	if !b.drift.Falls {
		if b.holds(v, to) == held {
			return never
		}
		return b.bisect(v, from, to, held)
	}
	for at := from; at < to; {
		next := at - floorMod(at, step) + step
		if b.holds(v, next-1) != held {
			return b.bisect(v, at, next-1, held)
		}
		if b.holds(v, next) != held {
			return next
		}
		at = next
	}
	return never
}

// bisect finds the first time in (lo, hi] at which the condition is not what it is at lo.
func (b *timeBound) bisect(v, lo, hi int64, held bool) int64 {
	for hi-lo > 1 {
		mid := lo + (hi-lo)/2
		if b.holds(v, mid) == held {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}
