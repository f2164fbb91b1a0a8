package stream

import (
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
)

// project computes expressions; rows and weights stay.
type project struct {
	stateless
	env   *Env
	exprs []expr.Program
}

func newProject(n *plan.Project, env *Env) (Operator, error) {
	ps, err := expr.CompileAll(n.Exprs)
	return &project{env: env, exprs: ps}, err
}

// OnDelta implements Operator.
func (p *project) OnDelta(_ int, c *delta.Chunk, emit Emit) error {
	cols := make([]*delta.Vec, len(p.exprs))
	for i, e := range p.exprs {
		cols[i] = e.Eval(p.env.Ctx, c)
	}
	p.env.report(c)
	return emit(c.WithCols(cols))
}
