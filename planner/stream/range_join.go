package stream

import (
	"reflect"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/planner/rule"
)

// rangeJoins finds the joins without keys whose sides are better kept in the order of a comparison, so that a changed row reads the rows that it
// can match and not all of the other side. Under a key there are few rows as a rule, and those are found by hash at a tenth of the cost.
func rangeJoins(n plan.Node) plan.Node {
	return plan.Transform(n, func(x plan.Node) plan.Node {
		j, ok := x.(*plan.Join)
		if !ok || j.Kind == plan.NullAnti || len(j.LeftKeys) > 0 || j.Cond == nil {
			return x
		}
		m := *j
		m.Range = joinRange(j)
		return &m
	})
}

// between returns a value of a side with a bound below and one above; −1: there is none.
func between(r *plan.JoinRange, side func(plan.RangeCompare) int) int {
	for _, a := range r.Compare {
		if slices.ContainsFunc(r.Compare, func(b plan.RangeCompare) bool { return side(a) == side(b) && a.Op[0] != b.Op[0] }) {
			return side(a)
		}
	}
	return -1
}

// joinRange collects the comparisons of one side with the other; nil: there are none.
func joinRange(j *plan.Join) *plan.JoinRange {
	lw := len(j.Left.Columns())
	r := &plan.JoinRange{}
	for _, e := range expr.Conjuncts(j.Cond) {
		if l, right, op, ok := comparison(e, lw); ok {
			c := plan.RangeCompare{Op: op}
			r.Left, c.Left = added(r.Left, l)
			r.Right, c.Right = added(r.Right, expr.MapColumns(right, func(i int) int { return i - lw }))
			r.Compare = append(r.Compare, c)
		}
	}
	if len(r.Compare) == 0 {
		return nil
	}
	// What lies between two values of the other side narrows a search most.
	if i := between(r, func(c plan.RangeCompare) int { return c.Left }); i > 0 {
		r.Left[0], r.Left[i] = r.Left[i], r.Left[0]
		exchange(r.Compare, i, func(c *plan.RangeCompare) *int { return &c.Left })
	}
	if i := between(r, func(c plan.RangeCompare) int { return c.Right }); i > 0 {
		r.Right[0], r.Right[i] = r.Right[i], r.Right[0]
		exchange(r.Compare, i, func(c *plan.RangeCompare) *int { return &c.Right })
	}
	return r
}

// exchange swaps the numbers 0 and i.
func exchange(list []plan.RangeCompare, i int, side func(*plan.RangeCompare) *int) {
	for k := range list {
		switch n := side(&list[k]); *n {
		case 0:
			*n = i
		case i:
			*n = 0
		}
	}
}

// added returns list with e in it, and where.
func added(list []expr.Expr, e expr.Expr) ([]expr.Expr, int) {
	for i, x := range list {
		if reflect.DeepEqual(x, e) {
			return list, i
		}
	}
	return append(list, e), len(list)
}

// comparison reads a condition that compares something of the left side with something of the right one.
func comparison(e expr.Expr, lw int) (l, r expr.Expr, op string, ok bool) {
	call, isCall := e.(*expr.Call)
	if !isCall || len(call.Args) != 2 {
		return nil, nil, "", false
	}
	op, _, _ = strings.Cut(call.Sig, "(")
	if plan.Mirrored(op) == "" || expr.VolatilityOf(call) == expr.Volatile {
		return nil, nil, "", false
	}
	side := func(e expr.Expr, left bool) bool {
		within := plan.ReadsColumns(e)
		expr.Columns(e, func(i int) { within = within && i < lw == left })
		return within
	}
	l, r = call.Args[0], call.Args[1]
	if side(l, false) && side(r, true) {
		l, r, op = r, l, plan.Mirrored(op)
	}
	if !side(l, true) || !side(r, false) {
		return nil, nil, "", false
	}
	if l, r, ok = rule.SameType(l, r); !ok {
		return nil, nil, "", false
	}
	t := l.Type().Base().String()
	if _, known := expr.BySig(op + "(" + t + "," + t + ")"); !known {
		return nil, nil, "", false
	}
	return l, r, op, true
}
