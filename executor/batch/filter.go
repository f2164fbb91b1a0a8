package batch

import (
	"context"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
)

// filter keeps the rows for which all conjuncts are true. Each conjunct sees only what the earlier ones left.
type filter struct {
	q     *query
	in    Operator
	conds []expr.Program
}

func newFilter(q *query, n *plan.Filter) (Operator, error) {
	in, err := q.build(n.Input)
	if err != nil {
		return nil, err
	}
	conds, err := expr.CompileAll(expr.Conjuncts(n.Cond))
	return &filter{q, in, conds}, err
}

// Open implements Operator.
func (f *filter) Open(ctx context.Context) error { return f.in.Open(ctx) }

// Next implements ChunkIter.
func (f *filter) Next(ctx context.Context) (*delta.Chunk, error) {
	for {
		ch, err := f.in.Next(ctx)
		if err != nil || ch == nil {
			return nil, err
		}
		if ch, err = f.q.filter(f.conds, ch); err != nil {
			return nil, err
		}
		if ch.Len() > 0 {
			return ch, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// filter reduces a chunk to the rows for which all conds are true.
func (q *query) filter(conds []expr.Program, ch *delta.Chunk) (*delta.Chunk, error) {
	for _, p := range conds {
		if ch.Len() == 0 {
			break
		}
		sel := expr.Filter(q.c, p, ch)
		if err := q.check(); err != nil {
			return nil, err
		}
		if len(sel) < ch.Len() && sel != nil {
			ch = ch.WithSel(sel)
		}
	}
	return ch, nil
}

// Close implements ChunkIter.
func (f *filter) Close() { f.in.Close() }

// project computes expressions.
type project struct {
	q     *query
	n     *plan.Project
	in    Operator
	exprs []expr.Program
}

func newProject(q *query, n *plan.Project) (Operator, error) {
	build := q.build
	for _, e := range n.Exprs {
		if expr.VolatilityOf(e) == expr.Volatile {
			build = q.buildPlain // each copy of a row gets a value of its own
		}
	}
	in, err := build(n.Input)
	if err != nil {
		return nil, err
	}
	return newProjectOver(q, in, n)
}

func newProjectOver(q *query, in Operator, n *plan.Project) (Operator, error) {
	exprs, err := expr.CompileAll(n.Exprs)
	return &project{q, n, in, exprs}, err
}

// Open implements Operator.
func (p *project) Open(ctx context.Context) error { return p.in.Open(ctx) }

// Next implements ChunkIter.
func (p *project) Next(ctx context.Context) (*delta.Chunk, error) {
	ch, err := p.in.Next(ctx)
	if err != nil || ch == nil {
		return nil, err
	}
	return p.q.project(p.exprs, ch)
}

// project evaluates expressions over the rows that count.
func (q *query) project(exprs []expr.Program, ch *delta.Chunk) (*delta.Chunk, error) {
	if ch.Sparse() && len(exprs) > 0 {
		ch = ch.Compact()
	}
	cols := make([]*delta.Vec, len(exprs))
	for i, e := range exprs {
		cols[i] = e.Eval(q.c, ch)
	}
	return ch.WithCols(cols), q.check()
}

// Close implements ChunkIter.
func (p *project) Close() { p.in.Close() }
