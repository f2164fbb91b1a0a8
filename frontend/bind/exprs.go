package bind

import (
	"reflect"
	"strings"

	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
)

// sameExpr reports whether two bound expressions are the same, names of columns aside.
func sameExpr(a, b expr.Expr) bool {
	return expr.Same(a, b, func(a, b expr.Expr) (same, known bool) {
		switch x := a.(type) {
		case *outerRef:
			y, ok := b.(*outerRef)
			return ok && x.scope == y.scope && x.idx == y.idx && x.agg == y.agg, true
		case *innerCol:
			y, ok := b.(*innerCol)
			return ok && *x == *y, true
		case *slot:
			y, ok := b.(*slot)
			return ok && x.kind == y.kind && x.n == y.n, true
		case *subquery:
			y, ok := b.(*subquery)
			return ok && (x == y || x.kind == y.kind && x.scope == y.scope && sameExpr(x.test, y.test) && reflect.DeepEqual(x.node, y.node)), true
		}
		return false, false
	})
}

// isEquality says that a call is the = operator.
func isEquality(c *expr.Call) bool { return strings.HasPrefix(c.Sig, "=(") }

// mapRefs rewrites references to scope's columns in a whole plan: f gets each outerRef of that scope.
func mapRefs(n plan.Node, scope int, f func(*outerRef) expr.Expr) plan.Node {
	if !refersTo(n, scope) {
		return n
	}
	return plan.Transform(n, func(x plan.Node) plan.Node {
		return plan.MapExprs(x, func(e expr.Expr) expr.Expr { return mapExprRefs(e, scope, f) })
	})
}

func mapExprRefs(e expr.Expr, scope int, f func(*outerRef) expr.Expr) expr.Expr {
	return expr.Transform(e, func(x expr.Expr) expr.Expr {
		if o, ok := x.(*outerRef); ok && o.scope == scope {
			return f(o)
		}
		return x
	})
}

// refersTo reports whether a plan names columns of scope.
func refersTo(n plan.Node, scope int) bool {
	return anyRef(n, func(o *outerRef) bool { return o.scope == scope })
}

// refersToAny reports whether a plan is correlated with any enclosing query.
func refersToAny(n plan.Node) bool { return anyRef(n, func(*outerRef) bool { return true }) }

func anyRef(n plan.Node, hit func(*outerRef) bool) bool {
	found := false
	plan.Walk(n, func(x plan.Node) bool {
		for _, e := range plan.Exprs(x) {
			found = found || exprRef(e, hit)
		}
		return !found
	})
	return found
}

func exprRef(e expr.Expr, hit func(*outerRef) bool) bool {
	found := false
	expr.Walk(e, func(x expr.Expr) bool {
		if o, ok := x.(*outerRef); ok && hit(o) {
			found = true
		}
		return !found
	})
	return found
}

// columnExprs lists columns [from, to) of n as expressions.
func columnExprs(n plan.Node, from, to int) ([]expr.Expr, []string) {
	cols := n.Columns()
	es, names := make([]expr.Expr, 0, to-from), make([]string, 0, to-from)
	for i := from; i < to; i++ {
		es = append(es, &expr.Col{Index: i, Ty: cols[i].Type, Name: cols[i].Name})
		names = append(names, cols[i].Name)
	}
	return es, names
}

// appendColumns puts computed columns behind those of n.
func appendColumns(n plan.Node, more []expr.Expr) plan.Node {
	es, names := columnExprs(n, 0, len(n.Columns()))
	for range more {
		names = append(names, "?column?")
	}
	return &plan.Project{Input: n, Exprs: append(es, more...), Names: names}
}

// firstColumns cuts n down to its first columns.
func firstColumns(n plan.Node, width int) plan.Node {
	if len(n.Columns()) == width {
		return n
	}
	es, names := columnExprs(n, 0, width)
	return &plan.Project{Input: n, Exprs: es, Names: names}
}

// pick projects n to the columns listed.
func pick(n plan.Node, cols []int) plan.Node {
	in := n.Columns()
	p := &plan.Project{Input: n}
	for _, i := range cols {
		p.Exprs = append(p.Exprs, &expr.Col{Index: i, Ty: in[i].Type, Name: in[i].Name})
		p.Names = append(p.Names, in[i].Name)
	}
	return p
}

func seq(from, to int) []int {
	out := make([]int, 0, to-from)
	for i := from; i < to; i++ {
		out = append(out, i)
	}
	return out
}

func shift(cols []int, by int) []int {
	out := make([]int, len(cols))
	for i, c := range cols {
		out[i] = c + by
	}
	return out
}

func shiftKeys(keys []plan.SortKey, by int) []plan.SortKey {
	out := make([]plan.SortKey, len(keys))
	for i, k := range keys {
		k.Col += by
		out[i] = k
	}
	return out
}

func shiftExpr(e expr.Expr, by int) expr.Expr {
	return expr.MapColumns(e, func(i int) int { return i + by })
}
