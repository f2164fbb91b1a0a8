package stream

import (
	"fmt"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/key"
	"github.com/millrace/millrace/storage/row"
)

// emitOnClose holds rows back until watermarks have passed them, then lets what is left of them go, in the order of the
// first watermark column. Nothing can change such a row any more, so the output never retracts.
//
// An entry's key is the watermark columns and the image, so closing is a walk from the front.
type emitOnClose struct {
	env    *Env
	closed *closedBy
	key    []row.KeyCol
	dist   []row.KeyCol
	types  []sqltypes.Type
	rows   *state.OrderedMap
	buf    []byte
	batch  row.Batch
	gone   []byte // keys to delete, one after the other
	goneAt []int
	out    *delta.Builder
}

func newEmitOnClose(n *plan.EmitOnClose, env *Env) Operator {
	return &emitOnClose{env: env, closed: newClosedBy(n.Cols), key: row.Cols(n.Cols...), dist: row.Cols(n.Dist...),
		types: plan.Types(n.Input), rows: state.NewOrderedMap(env.Table(n.State)), out: delta.NewBuilder(plan.Types(n.Input))}
}

// OnDelta implements Operator.
func (o *emitOnClose) OnDelta(_ int, c *delta.Chunk, _ Emit) error {
	if err := o.rows.LoadAll(o.env.owns); err != nil {
		return err
	}
	c, dropped := o.closed.late(c)
	o.env.late(dropped)
	if len(o.dist) > 0 {
		o.batch.Fill(c, o.dist)
	}
	for k := range c.Len() {
		i := c.Row(k)
		vnode := o.env.SingletonVNode
		if len(o.dist) > 0 {
			vnode = o.batch.VNode(k)
		}
		o.buf = row.AppendKey(o.buf[:0], c.Cols, o.key, i)
		at := len(o.buf)
		o.buf = row.AppendImage(o.buf, c.Cols, nil, i)
		addEntry(o.rows, vnode, o.buf, len(o.buf)-at, c.Weight(i))
	}
	return nil
}

// OnWatermarks implements Watermarker.
func (o *emitOnClose) OnWatermarks(_ int, m Marks) { o.closed.set(m) }

// OnBarrier implements Operator.
func (o *emitOnClose) OnBarrier(_ Barrier, emit Emit) error {
	if !o.closed.takeMoved() {
		return nil
	}
	if err := o.rows.LoadAll(o.env.owns); err != nil {
		return err
	}
	var bad error
	o.gone, o.goneAt = o.gone[:0], o.goneAt[:0]
	vecs := make([]*delta.Vec, len(o.types))
	o.rows.Ascend(nil, nil, func(k, v []byte) bool {
		first, all, err := o.passed(k)
		if err != nil || !all {
			bad = err
			return bad == nil && first
		}
		for i := range vecs {
			vecs[i] = o.out.Col(i)
		}
		if bad = decodeImage(entryImage(k, v), o.types, vecs); bad != nil {
			return false
		}
		o.out.EndRow(entryWeight(v))
		o.gone = append(o.gone, k...)
		o.goneAt = append(o.goneAt, len(o.gone))
		if o.out.Len() >= delta.BatchRows {
			bad = emit(o.out.Take())
		}
		return bad == nil
	})
	if bad != nil {
		return bad
	}
	from := 0
	for _, to := range o.goneAt {
		o.rows.Delete(o.gone[from:to])
		from = to
	}
	return emitRest(o.out, emit)
}

// passed reports whether the watermark of the first column, and those of all, are above an entry.
func (o *emitOnClose) passed(k []byte) (first, all bool, err error) {
	all = true
	for n, mark := range o.closed.marks {
		null, rest, err := key.DecodeNull(k)
		v := int64(0)
		if k = rest; err == nil && !null {
			v, k, err = key.DecodeInt64(rest)
		}
		if err != nil {
			return false, false, fmt.Errorf("decode key of a held row: %w", err)
		}
		in := !null && v < mark
		if n == 0 {
			first = in
		}
		all = all && in
	}
	return first, all, nil
}

// Flush implements Operator.
func (o *emitOnClose) Flush(d *state.Delta) { o.rows.Flush(d) }

// Stats implements Operator.
func (o *emitOnClose) Stats() state.Stats { return o.rows.Stats() }
