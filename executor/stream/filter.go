package stream

import (
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
)

// filter passes on the rows for which its condition is true.
type filter struct {
	stateless
	env  *Env
	cond expr.Program
}

func newFilter(n *plan.Filter, env *Env) (Operator, error) {
	p, err := expr.Compile(n.Cond)
	return &filter{env: env, cond: p}, err
}

// OnDelta implements Operator.
func (f *filter) OnDelta(_ int, c *delta.Chunk, emit Emit) error {
	sel := expr.Filter(f.env.Ctx, f.cond, c)
	f.env.report(c)
	if sel == nil {
		return emit(c)
	}
	if len(sel) == 0 {
		return nil
	}
	out := c.WithSel(sel)
	if out.Sparse() {
		out = out.Compact()
	}
	return emit(out)
}
