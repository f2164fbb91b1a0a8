package stream

import (
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// expand repeats each row for every grouping set; the columns are shared between the copies.
type expand struct {
	stateless
	n     *plan.Expand
	types []sqltypes.Type // of the keys
}

func newExpand(n *plan.Expand) Operator {
	e := &expand{n: n}
	in := plan.Types(n.Input)
	for _, k := range n.Keys {
		e.types = append(e.types, in[k])
	}
	return e
}

// OnDelta implements Operator.
func (e *expand) OnDelta(_ int, c *delta.Chunk, emit Emit) error {
	nulls := make([]*delta.Vec, len(e.types))
	for s, has := range e.n.Sets {
		cols := append(make([]*delta.Vec, 0, len(c.Cols)+len(nulls)+1), c.Cols...)
		for k, in := range has {
			if in {
				cols = append(cols, c.Cols[e.n.Keys[k]])
				continue
			}
			if nulls[k] == nil {
				nulls[k] = delta.Repeat(e.types[k], nil, c.Rows)
			}
			cols = append(cols, nulls[k])
		}
		cols = append(cols, delta.Repeat(sqltypes.Int8, int64(s), c.Rows))
		if err := emit(c.WithCols(cols)); err != nil {
			return err
		}
	}
	return nil
}
