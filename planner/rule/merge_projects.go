package rule

import (
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
)

// mergeProjects makes one projection of two and drops those that change nothing.
func mergeProjects(n plan.Node) plan.Node {
	return plan.Transform(n, func(x plan.Node) plan.Node {
		p, ok := x.(*plan.Project)
		if !ok {
			return x
		}
		for {
			in, ok := p.Input.(*plan.Project)
			if !ok || !mergeable(p, in) {
				break
			}
			next := &plan.Project{Input: in.Input, Exprs: make([]expr.Expr, len(p.Exprs)), Names: p.Names}
			for i, e := range p.Exprs {
				next.Exprs[i] = substitute(e, in.Exprs)
			}
			p = next
		}
		if isIdentity(p) {
			return p.Input
		}
		return p
	})
}

// mergeable says that merging computes nothing twice.
func mergeable(outer, inner *plan.Project) bool {
	uses := make([]int, len(inner.Exprs))
	for _, e := range outer.Exprs {
		expr.Columns(e, func(i int) { uses[i]++ })
	}
	for i, e := range inner.Exprs {
		switch e.(type) {
		case *expr.Col, *expr.Const, *expr.Param:
			continue
		}
		if uses[i] > 1 || uses[i] == 0 && isVolatile(e) {
			return false
		}
	}
	return true
}

func isIdentity(p *plan.Project) bool {
	if len(p.Exprs) != len(p.Input.Columns()) {
		return false
	}
	for i, e := range p.Exprs {
		if c, ok := e.(*expr.Col); !ok || c.Index != i {
			return false
		}
	}
	return true
}
