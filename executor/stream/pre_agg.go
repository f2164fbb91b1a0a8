package stream

import (
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/row"
)

// hotRows is how many rows of a group a chunk must have for them to be folded. Below, a state is as large as the rows. Tests change it.
var hotRows int32 = 16

// restChunks is up to how many chunks pass unseen after some without hot groups.
const restChunks = 32

// preAgg folds the rows of hot groups (plan.PreAgg). Where groups are many and none is hot, it soon looks at few chunks only.
type preAgg struct {
	stateless
	env   *Env
	calls []*aggCall
	width int
	types []sqltypes.Type // of the output
	key   []row.KeyCol
	group []bool // by input column
	batch row.Batch
	set   keySet
	nums  []int32 // by row: its group
	count []int32 // by group: rows
	slot  []int32 // by group: place among the hot ones; −1: cold
	rest  int     // chunks to pass unseen
	pause int     // how many there were last time
	slots []uint32
	buf   []byte
}

func newPreAgg(n *plan.PreAgg, env *Env) (Operator, error) {
	in := plan.Types(n.Input)
	a := &preAgg{env: env, types: plan.Types(n), key: row.Cols(n.GroupBy...), group: make([]bool, len(in))}
	for _, g := range n.GroupBy {
		a.group[g] = true
	}
	for i := range n.Aggs {
		c, err := newAggCall(env, &n.Aggs[i], i, in, env.Table(0), env.appendOnly(n.Input))
		if err != nil {
			return nil, err
		}
		if c.kind != foldFixed || c.distinct || c.fn.Fixed.Merge == nil {
			return nil, sqlerr.New(sqlerr.FeatureNotSupported, "aggregate %s cannot be split in a streaming query", n.Aggs[i].Sig)
		}
		c.off = a.width
		a.width += c.fn.Fixed.Width
		a.calls = append(a.calls, c)
	}
	return a, nil
}

// OnDelta implements Operator.
func (a *preAgg) OnDelta(_ int, c *delta.Chunk, emit Emit) error {
	if c.Len() < int(hotRows) {
		return a.pass(c, emit)
	}
	if a.rest > 0 {
		a.rest--
		return a.pass(c, emit)
	}
	hot := a.number(c)
	if hot == 0 {
		a.pause = min(2*a.pause+1, restChunks)
		a.rest = a.pause
		return a.pass(c, emit)
	}
	a.pause = 0
	hotSel, coldSel := make([]int32, 0, c.Len()), make([]int32, 0, c.Len())
	a.slots = a.slots[:0]
	for k, n := range a.nums {
		i := int32(c.Row(k))
		if a.slot[n] < 0 {
			coldSel = append(coldSel, i)
			continue
		}
		hotSel = append(hotSel, i)
		a.slots = append(a.slots, uint32(a.slot[n]))
	}
	if len(coldSel) > 0 {
		if err := a.pass(c.WithSel(coldSel), emit); err != nil {
			return err
		}
	}
	return a.fold(c.WithSel(hotSel), hot, emit)
}

// number finds the groups of a chunk's rows and returns how many are hot.
func (a *preAgg) number(c *delta.Chunk) (hot int) {
	a.batch.Fill(c, a.key)
	a.set.reset()
	a.nums, a.count, a.slot = a.nums[:0], a.count[:0], a.slot[:0]
	for k := range c.Len() {
		n, fresh := a.set.add(a.batch.Hashes[k], 0, a.batch.Key(k))
		if fresh {
			a.count = append(a.count, 0)
		}
		a.count[n]++
		a.nums = append(a.nums, int32(n))
	}
	for _, n := range a.count {
		if n < hotRows {
			a.slot = append(a.slot, -1)
			continue
		}
		a.slot = append(a.slot, int32(hot))
		hot++
	}
	return hot
}

// pass adds the columns of folded rows.
func (a *preAgg) pass(c *delta.Chunk, emit Emit) error {
	return emit(c.WithCols(append(c.Cols[:len(c.Cols):len(c.Cols)], nullVecs(a.types[len(a.group):], c.Rows)...)))
}

// fold makes one row of each hot group; slots has the groups of c's rows.
func (a *preAgg) fold(c *delta.Chunk, hot int, emit Emit) error {
	a.buf = append(a.buf[:0], make([]byte, hot*a.width)...)
	for _, call := range a.calls {
		s := expr.States{Blocks: [][]byte{a.buf}, Shift: 31, Width: a.width, Off: call.off}
		rows, slots := c.Sel, a.slots
		if call.n.Filter >= 0 {
			rows, slots = call.filter(c, slots)
		}
		if len(slots) == 0 {
			continue
		}
		for k, col := range call.n.Args {
			call.args[k] = c.Cols[col]
		}
		call.fn.Fixed.Update(&s, slots, call.args, rows, c.Weights)
	}
	a.env.report(c)
	first, folded := make([]int32, hot), make([]int64, hot)
	seen := 0
	for k, s := range a.slots {
		i := c.Row(k)
		if int(s) == seen { // slots are numbered as they come
			first[s] = int32(i)
			seen++
		}
		folded[s] += c.Weight(i)
	}
	cols := nullVecs(a.types, hot)
	for i, is := range a.group {
		if is {
			cols[i] = c.Cols[i].Gather(first)
		}
	}
	states := newVecs([]sqltypes.Type{sqltypes.Bytea})[0]
	for s := range hot {
		states.AppendBytes(a.buf[s*a.width : (s+1)*a.width])
	}
	cols[len(a.group)], cols[len(a.group)+1] = states, delta.IntVec(sqltypes.Int8, folded)
	return emit(delta.NewChunk(cols, nil, hot))
}

// halves tells the rows that PreAgg let pass from those that it folded.
func (a *hashAgg) halves(c *delta.Chunk) (rows, folded *delta.Chunk) {
	v := c.Cols[len(c.Cols)-1]
	r, f := make([]int32, 0, c.Len()), []int32(nil) // nil selects all
	for k := range c.Len() {
		if i := c.Row(k); v.IsNull(i) {
			r = append(r, int32(i))
		} else {
			f = append(f, int32(i))
		}
	}
	if len(f) == 0 {
		return c, nil
	}
	return c.WithSel(r), c.WithSel(f)
}

// mergeFolded takes folded rows in.
func (a *hashAgg) mergeFolded(c *delta.Chunk) error {
	if err := a.assign(c); err != nil {
		return err
	}
	if err := a.remember(); err != nil {
		return err
	}
	blocks, shift, stride, off := a.groups.Layout()
	states := expr.States{Blocks: blocks, Shift: shift, Width: stride, Off: off}
	n := len(c.Cols)
	for k, slot := range a.slots {
		i := c.Row(k)
		p := states.At(slot)
		addWord(p, c.Cols[n-1].Ints[i])
		part := c.Cols[n-2].Bytes(i)
		for _, call := range a.calls {
			w := call.fn.Fixed.Width
			call.fn.Fixed.Merge(p[call.off:call.off+w], part[:w])
			part = part[w:]
		}
	}
	return nil
}
