package rule

import (
	"strings"

	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
)

// windowToTopN turns a filter row_number() ≤ k over a window into a top-n, which keeps k rows of a partition where a
// window keeps all; likewise rank() and, for the first rank, dense_rank(), with ties.
func windowToTopN(n plan.Node) plan.Node {
	return plan.Transform(n, func(x plan.Node) plan.Node {
		f, ok := x.(*plan.Filter)
		if !ok {
			return x
		}
		w, ok := f.Input.(*plan.Window)
		if !ok {
			return x
		}
		return rankFilter(f, w)
	})
}

// rankFilter rewrites a filter over a window of ranking functions.
func rankFilter(f *plan.Filter, w *plan.Window) plan.Node {
	width := len(w.Input.Columns())
	for _, fn := range w.Funcs { // each must depend on preceding rows only, so that the rows cut off do not matter
		if !isRanking(fn.Name) {
			return f
		}
	}
	conds := expr.Conjuncts(f.Cond)
	best, limit := -1, int64(0)
	for i, fn := range w.Funcs {
		k, ok := upperBound(conds, width+i)
		if !ok || fn.Name == "dense_rank" && k > 1 {
			continue
		}
		if best < 0 || k < limit {
			best, limit = i, k
		}
	}
	if best < 0 {
		return f
	}
	limit = max(limit, 0)
	fn := w.Funcs[best]
	top := &plan.TopN{Input: w.Input, PartitionBy: w.PartitionBy, OrderBy: w.OrderBy, Limit: limit, WithTies: fn.Name != "row_number"}
	var rest []expr.Expr
	for _, c := range conds {
		if k, ok := bound(c, width+best); !ok || k < limit || isEqual(c) && limit != 1 {
			rest = append(rest, c)
		}
	}
	if len(w.Funcs) == 1 && fn.Name == "row_number" {
		top.RowNumber = true
		return withFilter(top, rest)
	}
	m := *w
	m.Input = top
	return withFilter(&m, rest)
}

func isRanking(name string) bool {
	return name == "row_number" || name == "rank" || name == "dense_rank"
}

// upperBound finds the largest value of column col that conds allow.
func upperBound(conds []expr.Expr, col int) (int64, bool) {
	best, found := int64(0), false
	for _, c := range conds {
		if k, ok := bound(c, col); ok && (!found || k < best) {
			best, found = k, true
		}
	}
	return best, found
}

// bound reads col ≤ k, col < k, col = k and their mirrored forms as col ≤ result.
func bound(c expr.Expr, col int) (int64, bool) {
	call, ok := c.(*expr.Call)
	if !ok || len(call.Args) != 2 {
		return 0, false
	}
	op, _, _ := strings.Cut(call.Sig, "(")
	l, r := call.Args[0], call.Args[1]
	if isColumn(r, col) {
		l, r = r, l
		op = mirrored[op]
	}
	k, isConst := r.(*expr.Const)
	if !isColumn(l, col) || !isConst {
		return 0, false
	}
	v, isInt := k.Val.(int64)
	if !isInt || !k.Ty.IsInteger() {
		return 0, false
	}
	switch op {
	case "<=", "=":
		return v, true
	case "<":
		return v - 1, true
	}
	return 0, false
}

var mirrored = map[string]string{"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

func isEqual(c expr.Expr) bool {
	call, ok := c.(*expr.Call)
	return ok && strings.HasPrefix(call.Sig, "=(")
}

func isColumn(e expr.Expr, col int) bool {
	c, ok := e.(*expr.Col)
	return ok && c.Index == col
}
