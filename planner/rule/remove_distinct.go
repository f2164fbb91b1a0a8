package rule

import (
	"github.com/millrace/millrace/internal/plan"
)

// removeDistinct drops a DISTINCT over rows that are distinct already, and one below another.
func removeDistinct(n plan.Node) plan.Node {
	return plan.Transform(n, func(x plan.Node) plan.Node {
		a, ok := x.(*plan.Agg)
		if !ok || len(a.Aggs) > 0 || a.Scalar {
			return x
		}
		if plan.Covers(a.Input, a.GroupBy) {
			return pick(a.Input, a.GroupBy)
		}
		return x
	})
}
