package rule

import (
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
)

// maxTopN bounds the rows for which a heap beats sorting everything.
const maxTopN = 1_000_000

// limitToTopN keeps only the first rows while sorting: ORDER BY with a constant LIMIT. The sort stays on top, over few rows.
func limitToTopN(n plan.Node) plan.Node {
	return plan.Transform(n, func(x plan.Node) plan.Node {
		l, ok := x.(*plan.Limit)
		if !ok || l.Limit == nil {
			return x
		}
		s, ok := l.Input.(*plan.Sort)
		if !ok {
			return x
		}
		limit, ok := constCount(l.Limit)
		offset, ok2 := constCount(l.Offset)
		if !ok || !ok2 || limit+offset > maxTopN {
			return x
		}
		return &plan.Sort{Input: &plan.TopN{Input: s.Input, OrderBy: s.Keys, Limit: limit, Offset: offset}, Keys: s.Keys}
	})
}

// constCount reads a constant count; none is 0.
func constCount(e expr.Expr) (int64, bool) {
	if e == nil {
		return 0, true
	}
	c, ok := e.(*expr.Const)
	if !ok {
		return 0, false
	}
	n, ok := c.Val.(int64)
	return n, ok && n >= 0 && n <= maxTopN
}
