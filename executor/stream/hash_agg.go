package stream

import (
	"encoding/binary"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/row"
)

// hashAgg is GROUP BY, and DISTINCT when there are no aggregates.
//
// A group is a slot of a Map: the number of its rows, then the fixed-width states side by side. Rows are
// folded in as they come. What a group looked like before the epoch is taken down when the epoch first
// touches it; at the barrier each touched group emits −old +new, unless they are the same.
type hashAgg struct {
	env    *Env
	scalar bool
	key    []row.KeyCol
	cols   *groupColumns
	groups *state.Map
	calls  []*aggCall
	sets   []*distinctSet
	close  *aggClose // nil: no watermark says when a group is complete

	batch   row.Batch
	slots   []uint32     // by counted row of the running chunk
	mark    []uint32     // by slot: position in touched + 1, in this epoch
	touched []uint32     // slots
	oldAt   []int32      // by position in touched: row of old, −1 for a group that was not there
	old     []*delta.Vec // by call: results before the epoch
	now     []*delta.Vec // reused: results of the groups being emitted
	keys    []*delta.Vec // reused: their columns
	fresh   []uint32     // groups that the running chunk is the first to touch and that were there
	olds    int
	started bool
	merges  bool // some rows of the input were folded by a preAgg
}

// countWidth is the room of the row count in front of the states.
const countWidth = 8

func newHashAgg(n *plan.Agg, env *Env) (Operator, error) {
	if n.Phase == plan.AggPartial {
		return newAggPartial(n, env)
	}
	in := plan.Types(n.Input)
	cfg := env.Table(n.State)
	a := &hashAgg{env: env, scalar: n.Scalar && len(n.GroupBy) == 0, key: row.Cols(n.GroupBy...),
		cols: newGroupColumns(n.GroupBy, in, cfg), close: newAggClose(n), merges: n.Merges}
	width := countWidth
	// Partial states of a deletion are rows like others: the input of a final phase never retracts.
	appendOnly := env.appendOnly(n.Input) || n.Phase == plan.AggFinal
	for i := range n.Aggs {
		c, err := newAggCall(env, &n.Aggs[i], i, in, cfg, appendOnly)
		if err != nil {
			return nil, err
		}
		if c.final = n.Phase == plan.AggFinal; c.final && c.kind != foldFixed {
			return nil, sqlerr.New(sqlerr.FeatureNotSupported, "aggregate %s cannot be split in a streaming query", n.Aggs[i].Sig)
		}
		if c.kind == foldFixed {
			c.off = width
			width += c.fn.Fixed.Width
		}
		a.calls = append(a.calls, c)
		a.old = append(a.old, &delta.Vec{Type: c.n.Result})
		a.now = append(a.now, &delta.Vec{Type: c.n.Result})
		if c.distinct {
			a.addDistinct(c, in, appendOnly)
		}
	}
	a.keys = newVecs(a.cols.types)
	hint := 0
	for _, t := range a.cols.types {
		hint += keyHint(t)
	}
	a.groups = state.NewMap(cfg, hint, width)
	for _, s := range a.sets {
		s.closes = a.close != nil
		s.open(cfg, a.groups)
	}
	return a, nil
}

// keyHint is the usual length of a key column of type t.
func keyHint(t sqltypes.Type) int {
	if t.Phys() == sqltypes.PhysInt64 || t.Phys() == sqltypes.PhysFloat64 {
		return 9
	}
	return 16
}

func (a *hashAgg) addDistinct(c *aggCall, in []sqltypes.Type, grows bool) {
	for _, s := range a.sets {
		if s.add(c) {
			return
		}
	}
	a.sets = append(a.sets, newDistinctSet(len(a.sets), c, in, grows))
}

// OnDelta implements Operator.
func (a *hashAgg) OnDelta(_ int, c *delta.Chunk, _ Emit) error {
	if a.close != nil {
		if err := a.loadAll(); err != nil {
			return err
		}
		kept, dropped := a.close.late(c)
		a.env.late(dropped)
		if c = kept; c.Len() == 0 {
			return nil
		}
	}
	if a.merges {
		rows, folded := a.halves(c)
		if folded != nil {
			if err := a.mergeFolded(folded); err != nil {
				return err
			}
		}
		if c = rows; c.Len() == 0 {
			return nil
		}
	}
	if err := a.assign(c); err != nil {
		return err
	}
	if err := a.remember(); err != nil {
		return err
	}
	blocks, shift, stride, off := a.groups.Layout()
	states := expr.States{Blocks: blocks, Shift: shift, Width: stride, Off: off}
	countRows(&states, a.slots, c)
	for _, call := range a.calls {
		if err := call.fold(a, &states, c, a.slots); err != nil {
			return err
		}
	}
	for _, s := range a.sets {
		if err := s.fold(a, &states, c, a.slots); err != nil {
			return err
		}
	}
	a.env.report(c)
	return nil
}

// assign finds or makes the group of each row.
func (a *hashAgg) assign(c *delta.Chunk) error {
	n := c.Len()
	if cap(a.slots) < n {
		a.slots = make([]uint32, n)
	}
	a.slots = a.slots[:n]
	a.fresh = a.fresh[:0]
	a.batch.Fill(c, a.key)
	a.groups.Candidates(a.batch.Hashes, a.slots)
	for k := range n {
		hash := a.batch.Hashes[k]
		s, created, err := a.groups.UpsertAt(a.slots[k], hash, a.vnode(hash), a.batch.Key(k))
		if err != nil {
			return err
		}
		a.slots[k] = s
		if int(s) >= len(a.mark) || a.mark[s] == 0 {
			if err := a.touch(s, created); err != nil {
				return err
			}
			if created {
				if err := a.cols.created(a.vnode(hash), a.batch.Key(k), c, c.Row(k)); err != nil {
					return err
				}
				if a.close != nil {
					a.close.created(s, c, c.Row(k))
				}
			}
		}
	}
	return nil
}

// vnode of a group's state. Groups never move apart from their key's hash; the only group of a scalar
// aggregation lies where singletons lie.
func (a *hashAgg) vnode(hash uint64) uint16 {
	if len(a.key) == 0 {
		return a.env.SingletonVNode
	}
	return uint16(hash % row.VNodes)
}

// touch notes that the epoch changes a group.
func (a *hashAgg) touch(s uint32, created bool) error {
	for int(s) >= len(a.mark) {
		a.mark = append(a.mark, make([]uint32, len(a.mark)+1024)...)
	}
	a.touched = append(a.touched, s)
	a.mark[s] = uint32(len(a.touched))
	a.groups.MarkDirty(s)
	if created || a.emitsOnClose() {
		a.oldAt = append(a.oldAt, -1)
	} else {
		a.oldAt = append(a.oldAt, int32(a.olds))
		a.olds++
		a.fresh = append(a.fresh, s)
	}
	for _, c := range a.calls {
		if err := c.touch(a.groups, s, created); err != nil {
			return err
		}
	}
	return nil
}

// remember takes down the results of groups that are about to change for the first time in the epoch.
func (a *hashAgg) remember() error {
	if len(a.fresh) == 0 {
		return nil
	}
	return a.results(a.fresh, a.old, -1)
}

// results appends the results of groups to vecs. Failures concern rows of the given weight.
func (a *hashAgg) results(slots []uint32, vecs []*delta.Vec, weight int64) error {
	blocks, shift, stride, off := a.groups.Layout()
	states := expr.States{Blocks: blocks, Shift: shift, Width: stride, Off: off}
	for i, c := range a.calls {
		if err := c.results(a, &states, slots, vecs[i], weight); err != nil {
			return err
		}
	}
	for _, re := range a.env.Ctx.TakeErrs() {
		a.env.fail(weight, re.Err)
	}
	return nil
}

// countRows keeps the number of rows of each group, in the word in front of the states.
func countRows(s *expr.States, slots []uint32, c *delta.Chunk) {
	if c.Weights == nil {
		for _, slot := range slots {
			addWord(s.At(slot), 1)
		}
		return
	}
	for k, slot := range slots {
		addWord(s.At(slot), c.Weights[c.Row(k)])
	}
}

func addWord(p []byte, n int64) {
	binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)+uint64(n))
}

// OnBarrier implements Operator.
func (a *hashAgg) OnBarrier(_ Barrier, emit Emit) error {
	if a.scalar && !a.started {
		if err := a.start(); err != nil {
			return err
		}
	}
	const step = delta.BatchRows
	for lo := 0; lo < len(a.touched) && !a.emitsOnClose(); lo += step {
		if err := a.emit(lo, min(lo+step, len(a.touched)), emit); err != nil {
			return err
		}
	}
	for _, s := range a.touched {
		a.mark[s] = 0
		if a.count(s) == 0 && !a.scalar {
			if err := a.drop(s); err != nil {
				return err
			}
		}
	}
	a.touched, a.oldAt, a.olds = a.touched[:0], a.oldAt[:0], 0
	clearVecs(a.old)
	if a.close != nil {
		return a.closeGroups(emit)
	}
	return nil
}

func (a *hashAgg) emitsOnClose() bool { return a.close != nil && a.close.emits }

// start makes the only group of a scalar aggregation, which is there even without rows.
func (a *hashAgg) start() error {
	a.started = true
	if !a.env.owns(a.env.SingletonVNode) {
		return nil
	}
	a.batch.Fill(&delta.Chunk{Rows: 1}, nil)
	s, created, err := a.groups.Upsert(a.batch.Hashes[0], a.env.SingletonVNode, nil)
	if err != nil || !created {
		return err
	}
	return a.touch(s, true)
}

func (a *hashAgg) count(s uint32) int64 {
	return int64(binary.LittleEndian.Uint64(a.groups.Value(s)))
}

// emit puts out the changes of the touched groups lo … hi−1.
func (a *hashAgg) emit(lo, hi int, emit Emit) error {
	touched := a.touched[lo:hi]
	live := make([]uint32, 0, len(touched))
	liveAt := make([]int32, len(touched)) // row of now, −1: the group is gone
	for k, s := range touched {
		liveAt[k] = -1
		if a.scalar || a.count(s) > 0 {
			liveAt[k] = int32(len(live))
			live = append(live, s)
		}
	}
	clearVecs(a.now)
	now := a.now
	if err := a.results(live, now, 1); err != nil {
		return err
	}
	var minus, minusOld, plus, plusNow []int32 // group row and row of old or now
	for k := range touched {
		o, w := a.oldAt[lo+k], liveAt[k]
		if o >= 0 && w >= 0 && sameRow(a.old, int(o), now, int(w)) {
			continue
		}
		if o >= 0 {
			minus, minusOld = append(minus, int32(k)), append(minusOld, o)
		}
		if w >= 0 {
			plus, plusNow = append(plus, int32(k)), append(plusNow, w)
		}
	}
	if len(minus)+len(plus) == 0 {
		return nil
	}
	clearVecs(a.keys)
	keys := a.keys
	for _, s := range touched {
		if err := a.cols.append(a.groups.VNode(s), a.groups.Key(s), keys); err != nil {
			return err
		}
	}
	if err := emitGathered(emit, -1, keys, minus, a.old, minusOld); err != nil {
		return err
	}
	return emitGathered(emit, 1, keys, plus, now, plusNow)
}

// emitGathered emits rows put together from two sets of columns.
func emitGathered(emit Emit, weight int64, a []*delta.Vec, rowsA []int32, b []*delta.Vec, rowsB []int32) error {
	if len(rowsA) == 0 {
		return nil
	}
	cols := make([]*delta.Vec, 0, len(a)+len(b))
	for _, v := range a {
		cols = append(cols, v.Gather(rowsA))
	}
	for _, v := range b {
		cols = append(cols, v.Gather(rowsB))
	}
	return emit(delta.NewChunk(cols, repeatWeight(weight, len(rowsA)), len(rowsA)))
}

// repeatWeight is a chunk's weights when all are w.
func repeatWeight(w int64, n int) []int64 {
	if w == 1 {
		return nil
	}
	out := make([]int64, n)
	for i := range out {
		out[i] = w
	}
	return out
}

// drop removes a group without rows.
func (a *hashAgg) drop(s uint32) error {
	vnode, k := a.groups.VNode(s), a.groups.Key(s)
	if err := a.cols.deleted(vnode, k); err != nil {
		return err
	}
	for _, c := range a.calls {
		if err := c.drop(vnode, k, s); err != nil {
			return err
		}
	}
	a.groups.Delete(s)
	return nil
}

// Flush implements Operator.
func (a *hashAgg) Flush(d *state.Delta) {
	for _, c := range a.calls {
		c.flush(a.groups, d)
	}
	for _, s := range a.sets {
		s.values.Flush(d)
	}
	a.cols.flush(d)
	a.groups.Flush(d)
}

// Stats implements Operator.
func (a *hashAgg) Stats() state.Stats {
	st := a.groups.Stats()
	addStats(&st, a.cols.stats())
	for _, c := range a.calls {
		addStats(&st, c.stats())
	}
	for _, s := range a.sets {
		addStats(&st, s.values.Stats())
	}
	return st
}
