package stream

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// foldKind says how an aggregate keeps its state.
type foldKind uint8

const (
	foldFixed  foldKind = iota // a few words inside the group's slot
	foldObject                 // an object beside it
	foldValues                 // all live values of the group, in order
)

// aggCall is one aggregate of a hashAgg.
type aggCall struct {
	env  *Env
	n    *plan.AggCall
	fn   *expr.AggFunc
	kind foldKind
	// distinct: rows come from a distinctSet, which passes on what appears and disappears.
	distinct bool
	final    bool // the input holds partial states: see aggPartial
	off      int  // foldFixed: where the state begins in the slot's value
	args     []*delta.Vec
	argTypes []sqltypes.Type
	objects  *aggObjects
	values   *aggValues
	rows     []int32 // reused: rows after FILTER
	slots    []uint32
}

func newAggCall(env *Env, n *plan.AggCall, index int, in []sqltypes.Type, cfg state.Config, appendOnly bool) (*aggCall, error) {
	fn, ok := expr.AggBySig(n.Sig)
	if !ok {
		return nil, sqlerr.New(sqlerr.UndefinedFunction, "function %s does not exist", n.Sig)
	}
	c := &aggCall{env: env, n: n, fn: fn, distinct: n.Distinct, args: make([]*delta.Vec, len(n.Args))}
	for _, i := range n.Args {
		c.argTypes = append(c.argTypes, in[i])
	}
	takesBack := fn.Invertible || appendOnly
	switch {
	case fn.Ordered || n.Distinct && !c.exactArgs():
		c.kind = foldValues
	case fn.Fixed != nil && takesBack:
		c.kind = foldFixed
	case fn.New != nil && takesBack:
		c.kind = foldObject
		c.objects = newAggObjects(c, index, cfg)
	default:
		c.kind = foldValues
	}
	if c.kind == foldValues {
		if fn.New == nil && fn.Fixed == nil {
			return nil, fmt.Errorf("build aggregate %s: it has no state", n.Sig)
		}
		c.distinct = false // sorted values show what is equal
		c.values = newAggValues(c, index, in, cfg)
	}
	return c, nil
}

// exactArgs reports whether equal arguments are the same for the aggregate, so that any of them can be
// taken back for another.
func (c *aggCall) exactArgs() bool {
	if c.fn.Name == "count" {
		return true
	}
	for _, t := range c.argTypes {
		if !sqlio.KeyIsExact(t) {
			return false
		}
	}
	return true
}

// fold takes a chunk in; slots[k] is the group of its k-th row.
func (c *aggCall) fold(a *hashAgg, s *expr.States, ch *delta.Chunk, slots []uint32) error {
	if c.distinct {
		return nil // the distinctSet does it
	}
	if c.final {
		c.merge(s, ch, slots)
		return nil
	}
	rows := ch.Sel
	if c.n.Filter >= 0 {
		rows, slots = c.filter(ch, slots)
	}
	if len(slots) == 0 {
		return nil
	}
	if c.kind == foldValues {
		return c.values.fold(a, ch, rows, slots)
	}
	return c.update(a, s, ch, slots, rows, ch.Weights)
}

// passes reports whether FILTER lets row i through.
func (c *aggCall) passes(ch *delta.Chunk, i int) bool {
	if c.n.Filter < 0 {
		return true
	}
	v := ch.Cols[c.n.Filter]
	return v.Bools[i] && !v.IsNull(i)
}

func (c *aggCall) filter(ch *delta.Chunk, slots []uint32) ([]int32, []uint32) {
	if c.rows == nil {
		c.rows = make([]int32, 0, delta.BatchRows)
	}
	c.rows, c.slots = c.rows[:0], c.slots[:0]
	for k, s := range slots {
		if i := ch.Row(k); c.passes(ch, i) {
			c.rows, c.slots = append(c.rows, int32(i)), append(c.slots, s)
		}
	}
	return c.rows, c.slots
}

// update folds rows into fixed states or objects; weights is indexed by physical row.
func (c *aggCall) update(a *hashAgg, s *expr.States, ch *delta.Chunk, slots []uint32, rows []int32, weights []int64) error {
	for i, col := range c.n.Args {
		c.args[i] = ch.Cols[col]
	}
	if c.kind == foldFixed {
		st := *s
		st.Off += c.off
		c.fn.Fixed.Update(&st, slots, c.args, rows, weights)
		return nil
	}
	for k, slot := range slots {
		i := k
		if rows != nil {
			i = int(rows[k])
		}
		if c.skips(c.args, i) {
			continue
		}
		w := int64(1)
		if weights != nil {
			w = weights[i]
		}
		if err := c.objects.at(slot).Add(c.env.Ctx, c.args, i, w); err != nil {
			c.env.fail(w, sqlerr.From(err))
		}
	}
	return nil
}

// skips reports whether the aggregate ignores row i because its first argument is NULL.
func (c *aggCall) skips(args []*delta.Vec, i int) bool {
	return c.fn.IgnoresNulls && len(args) > 0 && args[0].IsNull(i)
}

// touch prepares the state of a group that the epoch is about to change.
func (c *aggCall) touch(groups *state.Map, s uint32, created bool) error {
	switch c.kind {
	case foldObject:
		return c.objects.load(groups, s, created)
	case foldValues:
		return c.values.load(groups, s)
	}
	return nil
}

// results appends the values of groups to out.
func (c *aggCall) results(a *hashAgg, s *expr.States, slots []uint32, out *delta.Vec, weight int64) error {
	switch c.kind {
	case foldFixed:
		st := *s
		st.Off += c.off
		c.fn.Fixed.Result(c.env.Ctx, &st, slots, out)
	case foldObject:
		for _, slot := range slots {
			c.result(c.objects.at(slot), out, weight)
		}
	default:
		for _, slot := range slots {
			if err := c.values.result(a.groups, slot, out, weight); err != nil {
				return err
			}
		}
	}
	return nil
}

// result appends an object's value; one that cannot be computed is NULL and reported.
func (c *aggCall) result(o expr.AggObject, out *delta.Vec, weight int64) {
	n := out.Len()
	if err := o.Result(c.env.Ctx, out); err != nil {
		if out.Len() == n {
			out.AppendNull()
		}
		c.env.fail(weight, sqlerr.From(err))
	}
}

// drop forgets a group that has no rows any more.
func (c *aggCall) drop(vnode uint16, k []byte, s uint32) error {
	if c.kind == foldObject {
		return c.objects.drop(vnode, k, s)
	}
	return nil // the values went with the rows
}

func (c *aggCall) flush(groups *state.Map, d *state.Delta) {
	switch c.kind {
	case foldObject:
		c.objects.flush(groups, d)
	case foldValues:
		c.values.store.Flush(d)
	}
}

func (c *aggCall) stats() state.Stats {
	switch c.kind {
	case foldObject:
		return c.objects.stats()
	case foldValues:
		return c.values.store.Stats()
	}
	return state.Stats{}
}

// aggObjects keeps the object states of one aggregate: in memory by slot, and as images in the store.
type aggObjects struct {
	call  *aggCall
	tag   []byte
	store *state.OrderedMap
	objs  []expr.AggObject // by slot
	dirty []uint32         // slots changed since the last flush, possibly repeated
	bytes int
	buf   []byte
}

func newAggObjects(c *aggCall, index int, cfg state.Config) *aggObjects {
	return &aggObjects{call: c, tag: binary.AppendUvarint([]byte{tagObject}, uint64(index)), store: state.NewOrderedMap(cfg)}
}

func (o *aggObjects) key(group []byte) []byte {
	o.buf = append(append(o.buf[:0], o.tag...), group...)
	return o.buf
}

func (o *aggObjects) at(s uint32) expr.AggObject { return o.objs[s] }

// load makes sure that the group's object is in memory.
func (o *aggObjects) load(groups *state.Map, s uint32, created bool) error {
	for int(s) >= len(o.objs) {
		o.objs = append(o.objs, make([]expr.AggObject, len(o.objs)+64)...)
	}
	o.dirty = append(o.dirty, s)
	if o.objs[s] != nil {
		return nil
	}
	obj := o.call.fn.New(o.call.argTypes)
	o.objs[s] = obj
	k := o.key(groups.Key(s))
	if err := o.store.Ensure(groups.VNode(s), k); err != nil || created {
		return err
	}
	image, ok := o.store.Get(k)
	if !ok {
		return fmt.Errorf("load aggregate %s: its state is missing", o.call.n.Sig)
	}
	if err := obj.DecodeImage(append([]byte(nil), image...)); err != nil {
		return fmt.Errorf("load aggregate %s: %w", o.call.n.Sig, err)
	}
	return nil
}

func (o *aggObjects) drop(vnode uint16, group []byte, s uint32) error {
	if int(s) < len(o.objs) { // else it was not needed since the start
		o.objs[s] = nil
	}
	o.store.Delete(o.key(group))
	return nil
}

// flush writes the images of the objects that changed. A slot may have passed to another group since; then
// that group is in the list too.
func (o *aggObjects) flush(groups *state.Map, d *state.Delta) {
	o.bytes = 0
	slices.Sort(o.dirty)
	for _, s := range slices.Compact(o.dirty) {
		if o.objs[s] != nil {
			o.store.Put(groups.VNode(s), o.key(groups.Key(s)), o.objs[s].AppendImage(nil))
			o.bytes += o.objs[s].SizeBytes()
		}
	}
	o.dirty = o.dirty[:0]
	o.store.Flush(d)
}

func (o *aggObjects) stats() state.Stats {
	s := o.store.Stats()
	s.Bytes += 2*o.bytes + 16*len(o.objs)
	return s
}
