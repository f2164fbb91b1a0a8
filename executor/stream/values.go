package stream

import (
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// values emits its rows at the first barrier of the job's life. That saved state exists says that there has
// been such a barrier: a job's output and state of an epoch are saved together or not at all.
type values struct {
	stateless
	env  *Env
	n    *plan.Values
	once once
}

// once is the decision of a leaf that emits only one time, and from one actor.
type once struct {
	pending bool
}

func newOnce(env *Env) once { return once{env.isNew() && env.owns(env.SingletonVNode)} }

// take reports true the first time.
func (o *once) take() bool {
	p := o.pending
	o.pending = false
	return p
}

func newValues(n *plan.Values, env *Env) (Operator, error) {
	for _, r := range n.Rows {
		if _, err := expr.CompileAll(r); err != nil {
			return nil, err
		}
	}
	return &values{env: env, n: n, once: newOnce(env)}, nil
}

// OnDelta implements Operator; there is no input.
func (*values) OnDelta(int, *delta.Chunk, Emit) error { return nil }

// OnBarrier implements Operator.
func (v *values) OnBarrier(_ Barrier, emit Emit) error {
	if !v.once.take() {
		return nil
	}
	types := plan.Types(v.n)
	out := delta.NewBuilder(types)
	one := &delta.Chunk{Rows: 1}
	for _, exprs := range v.n.Rows {
		vals := make([]sqltypes.Datum, len(exprs))
		for i, e := range exprs {
			p, err := expr.Compile(e)
			if err != nil {
				return err
			}
			vals[i] = p.Eval(v.env.Ctx, one).Datum(0)
		}
		v.env.report(one)
		out.AppendDatums(vals, 1)
		if out.Len() >= delta.BatchRows {
			if err := emit(out.Take()); err != nil {
				return err
			}
		}
	}
	return emitRest(out, emit)
}

// emitRest emits what a builder holds, if anything.
func emitRest(b *delta.Builder, emit Emit) error {
	if c := b.Take(); c != nil {
		return emit(c)
	}
	return nil
}
