package batch

import (
	"context"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// aggCall is one aggregate of a hashAgg: its rows pass FILTER, then DISTINCT or the sorting of an ORDER BY, and reach
// the state.
type aggCall struct {
	q     *query
	n     *plan.AggCall
	fn    *expr.AggFunc
	args  []*delta.Vec // reused
	types []sqltypes.Type

	blocks *fixedStates
	states expr.States // with fn.Fixed
	objs   []objState  // without; index = slot
	// objBytes is the sum of the objects' sizes as last measured.
	objBytes int64
	// totals sums numerics up by slot, without objects: small values of one scale, that of the first one. All others go to objs. nil:
	// the aggregate is not such a sum.
	totals   []numeric.Total
	scale    int32
	hasScale bool
	sums     bool

	// seen numbers the (slot, arguments) that occurred; nil without DISTINCT.
	seen *grouper
	// later collects slot, arguments and order columns for sorting; nil when rows are folded as they come.
	later     *collector
	laterCols []int // columns of the input after the slot
	laterKeys []orderKey

	rows  []int32 // reused: rows after FILTER
	slots []uint32
}

// objState is the object state of one group. Its size is measured when its number of rows has grown by a quarter.
type objState struct {
	obj        expr.AggObject
	size       int
	adds, next int
}

func newAggCall(q *query, n *plan.AggCall, in []sqltypes.Type, blocks *fixedStates) (*aggCall, error) {
	fn, err := q.agg(n.Sig)
	if err != nil {
		return nil, err
	}
	c := &aggCall{q: q, n: n, fn: fn, blocks: blocks, args: make([]*delta.Vec, len(n.Args)), types: pick(in, n.Args)}
	if fn.Fixed != nil {
		c.states = expr.States{Shift: stateShift, Off: blocks.width}
		blocks.width += fn.Fixed.Width
	}
	if fn.Fixed == nil && len(c.types) == 1 && c.types[0].Phys() == sqltypes.PhysNumeric {
		_, c.sums = fn.New(c.types).(expr.DecTotaler)
	}
	switch {
	case fn.Ordered && (n.Distinct || len(n.OrderBy) > 0):
		c.collectLater(q, in)
	case n.Distinct:
		types := append([]sqltypes.Type{sqltypes.Int8}, c.types...)
		c.seen = newGrouper(types, allCols(types), nil)
	}
	return c, nil
}

// collectLater prepares the sorting by slot, then the ORDER BY, then, with DISTINCT, the arguments.
func (c *aggCall) collectLater(q *query, in []sqltypes.Type) {
	types := []sqltypes.Type{sqltypes.Int8}
	c.laterKeys = []orderKey{{col: 0, class: keyInt}}
	add := func(col int) int {
		c.laterCols = append(c.laterCols, col)
		types = append(types, in[col])
		return len(types) - 1
	}
	for _, a := range c.n.Args {
		add(a)
	}
	for _, k := range c.n.OrderBy {
		at := add(k.Col)
		c.laterKeys = append(c.laterKeys, orderKey{at, classOf(in[k.Col]), k.Desc, k.NullsFirst})
	}
	if c.n.Distinct {
		for i := range c.n.Args {
			c.laterKeys = append(c.laterKeys, orderKey{col: 1 + i, class: classOf(c.types[i])})
		}
	}
	c.later = newCollector(q, types)
}

// fold takes a chunk in; slots[k] is the group of the k-th row that counts.
func (c *aggCall) fold(ch *delta.Chunk, slots []uint32) error {
	for i, a := range c.n.Args {
		c.args[i] = ch.Cols[a]
	}
	rows, weights := ch.Sel, ch.Weights
	if c.n.Filter >= 0 {
		rows, slots = c.filter(ch, slots)
	}
	switch {
	case len(slots) == 0:
		return nil
	case c.later != nil:
		return c.later.add(c.withSlots(ch, rows, slots, c.laterCols))
	case c.seen != nil:
		rows, slots = c.firsts(ch, rows, slots)
		weights = nil
	}
	return c.update(slots, rows, weights)
}

// filter picks the rows for which FILTER's column is true.
func (c *aggCall) filter(ch *delta.Chunk, slots []uint32) ([]int32, []uint32) {
	v := ch.Cols[c.n.Filter]
	c.rows, c.slots = c.rows[:0], c.slots[:0]
	for k, s := range slots {
		if i := ch.Row(k); v.Bools[i] && !v.IsNull(i) {
			c.rows = append(c.rows, int32(i))
			c.slots = append(c.slots, s)
		}
	}
	return nonNil(c.rows), c.slots
}

// withSlots is a chunk of the slots and some input columns.
func (c *aggCall) withSlots(ch *delta.Chunk, rows []int32, slots []uint32, cols []int) *delta.Chunk {
	ids := make([]int64, ch.Rows)
	for k, s := range slots {
		ids[physical(rows, k)] = int64(s)
	}
	out := &delta.Chunk{Cols: make([]*delta.Vec, 1, 1+len(cols)), Weights: ch.Weights, Rows: ch.Rows}
	if rows != nil {
		out.Sel = append([]int32{}, rows...)
	}
	out.Cols[0] = delta.IntVec(sqltypes.Int8, ids)
	for _, col := range cols {
		out.Cols = append(out.Cols, ch.Cols[col])
	}
	return out
}

// physical maps the k-th of rows to its physical index; rows nil means all.
func physical(rows []int32, k int) int {
	if rows == nil {
		return k
	}
	return int(rows[k])
}

// firsts picks the rows whose arguments are new in their group.
func (c *aggCall) firsts(ch *delta.Chunk, rows []int32, slots []uint32) ([]int32, []uint32) {
	with := c.withSlots(ch, rows, slots, c.n.Args)
	c.seen.assign(with)
	c.slots = c.slots[:0]
	ids := with.Cols[0].Ints
	for _, i := range c.seen.fresh {
		c.slots = append(c.slots, uint32(ids[i]))
	}
	return nonNil(c.seen.fresh), c.slots
}

// update folds rows into their groups' states.
func (c *aggCall) update(slots []uint32, rows []int32, weights []int64) error {
	if f := c.fn.Fixed; f != nil {
		c.states.Blocks, c.states.Width = c.blocks.blocks, c.blocks.width
		f.Update(&c.states, slots, c.args, rows, weights)
		return nil
	}
	if c.sums && weights == nil {
		return c.sumUp(slots, rows)
	}
	for k, s := range slots {
		i := physical(rows, k)
		w := int64(1)
		if weights != nil {
			w = weights[i]
		}
		if err := c.addObject(s, i, w); err != nil {
			return err
		}
	}
	return nil
}

// sumUp adds numerics to totals.
func (c *aggCall) sumUp(slots []uint32, rows []int32) error {
	v := c.args[0]
	if len(slots) > 0 {
		c.growTotals(slots)
	}
	for k, s := range slots {
		i := physical(rows, k)
		if v.Valid != nil && v.IsNull(i) {
			continue
		}
		d := &v.Decs[i]
		if !c.hasScale {
			c.scale, c.hasScale = d.Scale()
		}
		if !c.totals[s].AddSmall(d, c.scale) {
			if err := c.addObject(s, i, 1); err != nil {
				return err
			}
		}
	}
	return nil
}

// growTotals makes room for the slots.
func (c *aggCall) growTotals(slots []uint32) {
	top := uint32(0)
	for _, s := range slots {
		top = max(top, s)
	}
	if n := int(top) + 1; n > len(c.totals) {
		c.totals = append(c.totals, make([]numeric.Total, max(n-len(c.totals), len(c.totals)))...)
	}
}

// settle moves the total of a slot into its object.
func (c *aggCall) settle(slot uint32) *objState {
	o := c.object(slot)
	if int(slot) < len(c.totals) {
		o.obj.(expr.DecTotaler).AddTotal(&c.totals[slot], c.scale)
		c.totals[slot] = numeric.Total{}
	}
	return o
}

func (c *aggCall) addObject(slot uint32, row int, weight int64) error {
	if c.fn.IgnoresNulls && len(c.args) > 0 && c.args[0].IsNull(row) {
		return nil
	}
	o := c.object(slot)
	if err := o.obj.Add(c.q.c, c.args, row, weight); err != nil {
		return err
	}
	o.adds++
	if o.adds >= o.next {
		n := o.obj.SizeBytes()
		c.objBytes += int64(n - o.size)
		o.size, o.next = n, o.adds+1+o.adds/4
	}
	return nil
}

// object returns the state of a group, making it if need be.
func (c *aggCall) object(slot uint32) *objState {
	for int(slot) >= len(c.objs) {
		c.objs = append(c.objs, objState{})
	}
	o := &c.objs[slot]
	if o.obj == nil {
		o.obj = c.fn.New(c.types)
	}
	return o
}

func (c *aggCall) sizeBytes() int64 {
	n := c.objBytes + int64(48*cap(c.objs)) + int64(24*cap(c.totals))
	if c.seen != nil {
		n += c.seen.sizeBytes()
	}
	return n
}

// finish folds the rows that had to be sorted first.
func (c *aggCall) finish(ctx context.Context) error {
	if c.later == nil {
		return nil
	}
	ch, err := c.later.finish(ctx)
	if err != nil {
		return err
	}
	perm, err := sortRows(ctx, c.q, ch, c.laterKeys)
	if err != nil {
		return err
	}
	args := make([]int, len(c.n.Args)+1)
	for i := range args {
		args[i] = i
	}
	same := newRowEqual(ch, args)
	copy(c.args, ch.Cols[1:])
	weights := ch.Weights
	var slot [1]uint32
	for k, r := range perm {
		if k%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if c.n.Distinct {
			weights = nil
			if k > 0 && same.equal(int(perm[k-1]), int(r)) {
				continue
			}
		}
		slot[0] = uint32(ch.Cols[0].Ints[r])
		if err := c.update(slot[:], perm[k:k+1], weights); err != nil {
			return err
		}
	}
	c.later.release()
	return c.q.check()
}

// result appends the values of some groups.
func (c *aggCall) result(slots []uint32) (*delta.Vec, error) {
	out := emptyVec(c.n.Result, len(slots))
	if f := c.fn.Fixed; f != nil {
		c.states.Blocks, c.states.Width = c.blocks.blocks, c.blocks.width
		f.Result(c.q.c, &c.states, slots, out)
		return out, nil
	}
	if c.sums {
		return out, c.sumResults(slots, out)
	}
	for _, s := range slots {
		if err := c.object(s).obj.Result(c.q.c, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// sumResults makes an object for one slot at a time, where totals are all there is.
func (c *aggCall) sumResults(slots []uint32, out *delta.Vec) error {
	for _, s := range slots {
		var obj expr.AggObject
		if int(s) < len(c.objs) && c.objs[s].obj != nil {
			obj = c.settle(s).obj
		} else {
			obj = c.fn.New(c.types)
			if int(s) < len(c.totals) {
				obj.(expr.DecTotaler).AddTotal(&c.totals[s], c.scale)
			}
		}
		if err := obj.Result(c.q.c, out); err != nil {
			return err
		}
	}
	return nil
}

func (c *aggCall) release() { c.later.release() }
