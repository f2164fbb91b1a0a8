package stream

import (
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// aggPartial is the first half of a scalar aggregation whose rows are spread over actors: it folds each chunk
// into one row of fixed-width states, which the AggFinal in the single actor behind it merges. It keeps
// nothing; states of deletions are merged like any other, for the planner splits invertible aggregates only.
type aggPartial struct {
	stateless
	env   *Env
	calls []*aggCall
	types []sqltypes.Type
	slots []uint32 // all 0
	buf   []byte
}

func newAggPartial(n *plan.Agg, env *Env) (Operator, error) {
	in := plan.Types(n.Input)
	a := &aggPartial{env: env}
	for i := range n.Aggs {
		c, err := newAggCall(env, &n.Aggs[i], i, in, env.Table(n.State), env.appendOnly(n.Input))
		if err != nil {
			return nil, err
		}
		if c.kind != foldFixed || c.fn.Fixed.Merge == nil || len(n.GroupBy) > 0 {
			return nil, sqlerr.New(sqlerr.FeatureNotSupported, "aggregate %s cannot be split in a streaming query", n.Aggs[i].Sig)
		}
		a.calls, a.types = append(a.calls, c), append(a.types, sqltypes.Bytea)
	}
	return a, nil
}

// OnDelta implements Operator.
func (a *aggPartial) OnDelta(_ int, ch *delta.Chunk, emit Emit) error {
	for len(a.slots) < ch.Len() {
		a.slots = append(a.slots, 0)
	}
	out := delta.NewBuilder(a.types)
	for i, c := range a.calls {
		width := c.fn.Fixed.Width
		a.buf = append(a.buf[:0], make([]byte, width)...)
		s := expr.States{Blocks: [][]byte{a.buf}, Shift: 31, Width: width}
		rows, slots := ch.Sel, a.slots[:ch.Len()]
		if c.n.Filter >= 0 {
			rows, slots = c.filter(ch, slots)
		}
		if len(slots) > 0 {
			for k, col := range c.n.Args {
				c.args[k] = ch.Cols[col]
			}
			c.fn.Fixed.Update(&s, slots, c.args, rows, ch.Weights)
		}
		out.Col(i).AppendBytes(a.buf)
	}
	out.EndRow(1)
	a.env.report(ch)
	return emit(out.Take())
}

// merge folds partial states, one row each, into the states of their groups.
func (c *aggCall) merge(s *expr.States, ch *delta.Chunk, slots []uint32) {
	st := *s
	st.Off += c.off
	v := ch.Cols[c.n.Args[0]]
	for k, slot := range slots {
		c.fn.Fixed.Merge(st.At(slot)[:c.fn.Fixed.Width], v.Bytes(ch.Row(k)))
	}
}
