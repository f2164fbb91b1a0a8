package rule

import (
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
)

// foldConstants evaluates constant expressions, drops conditions that always hold and empties plans whose condition
// never does.
func foldConstants(n plan.Node) plan.Node {
	return plan.Transform(n, func(x plan.Node) plan.Node {
		if _, ok := x.(*plan.Values); !ok { // long lists of literals have nothing to fold
			x = mapChanged(x, expr.Fold)
		}
		switch y := x.(type) {
		case *plan.Filter:
			return foldFilter(y)
		case *plan.Join:
			return foldJoin(y)
		case *plan.Project:
			return foldProject(y)
		}
		return x
	})
}

// mapChanged maps the expressions of a node and returns the node itself when none changes.
func mapChanged(n plan.Node, f func(expr.Expr) expr.Expr) plan.Node {
	changed := false
	for _, e := range plan.Exprs(n) {
		if f(e) != e {
			changed = true
			break
		}
	}
	if !changed {
		return n
	}
	return plan.MapExprs(n, f)
}

func foldFilter(f *plan.Filter) plan.Node {
	var keep []expr.Expr
	for _, c := range expr.Conjuncts(f.Cond) {
		if k, ok := c.(*expr.Const); ok {
			if k.Val == true {
				continue
			}
			return &plan.Values{Out: f.Input.Columns()}
		}
		keep = append(keep, c)
	}
	if len(keep) == 0 {
		return f.Input
	}
	return &plan.Filter{Input: f.Input, Cond: expr.And(keep)}
}

// foldJoin drops a condition that is true; one that is never true empties an inner join.
func foldJoin(j *plan.Join) plan.Node {
	if out := withoutOneRow(j); out != nil {
		return out
	}
	k, ok := j.Cond.(*expr.Const)
	if !ok {
		return j
	}
	if k.Val != true {
		if j.Kind == plan.Inner || j.Kind == plan.Semi {
			return &plan.Values{Out: j.Columns()}
		}
		return j
	}
	m := *j
	m.Cond = nil
	return &m
}

// foldProject turns a projection of the one empty row into a row of values.
func foldProject(p *plan.Project) plan.Node {
	v, ok := p.Input.(*plan.Values)
	if !ok || len(v.Rows) != 1 || len(v.Out) != 0 {
		return p
	}
	return &plan.Values{Rows: [][]expr.Expr{p.Exprs}, Out: p.Columns()}
}

// withoutOneRow drops the side of an inner join that is the one empty row.
func withoutOneRow(j *plan.Join) plan.Node {
	if j.Kind != plan.Inner {
		return nil
	}
	for i, side := range []plan.Node{j.Left, j.Right} {
		if v, ok := side.(*plan.Values); ok && len(v.Rows) == 1 && len(v.Out) == 0 {
			return withFilter([]plan.Node{j.Right, j.Left}[i], expr.Conjuncts(j.Cond))
		}
	}
	return nil
}
