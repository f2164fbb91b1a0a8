package stream

import (
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
)

// dynamicFilters turns joins with one row of which only a comparison is wanted, as in WHERE x > (SELECT max(y) …), into
// filters that keep their input in the order of x. Such a join would take back and emit all rows when the row changes.
func dynamicFilters(n plan.Node) plan.Node {
	return plan.Transform(n, func(x plan.Node) plan.Node {
		p, ok := x.(*plan.Project)
		if !ok {
			return x
		}
		j, ok := p.Input.(*plan.Join)
		if !ok || j.Kind != plan.Inner && j.Kind != plan.Semi || len(j.LeftKeys) > 0 || j.Cond == nil || !plan.AtMostOneRow(j.Right) {
			return x
		}
		lw := len(j.Left.Columns())
		for _, e := range p.Exprs {
			right := false
			expr.Columns(e, func(i int) { right = right || i >= lw })
			if right {
				return x
			}
		}
		if f := dynamicFilter(j, lw); f != nil {
			return p.WithChildren([]plan.Node{f})
		}
		return x
	})
}

// dynamicFilter returns nil if the condition is not one comparison of the two sides.
func dynamicFilter(j *plan.Join, lw int) plan.Node {
	call, ok := j.Cond.(*expr.Call)
	if !ok {
		return nil
	}
	l, r, op, ok := comparison(call, lw)
	if !ok {
		return nil
	}
	f := &plan.DynamicFilter{Op: op}
	f.Input, f.Col = withColumn(j.Left, l)
	f.Bound, f.BoundCol = withColumn(j.Right, expr.MapColumns(r, func(i int) int { return i - lw }))
	in, bound := f.Input.Columns(), f.Bound.Columns()
	c := *call
	c.Args = []expr.Expr{&expr.Col{Index: f.Col, Ty: in[f.Col].Type, Name: in[f.Col].Name},
		&expr.Col{Index: len(in) + f.BoundCol, Ty: bound[f.BoundCol].Type, Name: bound[f.BoundCol].Name}}
	c.Sig = op + "(" + c.Args[0].Type().Base().String() + "," + c.Args[1].Type().Base().String() + ")"
	f.Cond = &c
	return f
}

// withColumn returns n with e as a column, and which one.
func withColumn(n plan.Node, e expr.Expr) (plan.Node, int) {
	if c, ok := e.(*expr.Col); ok {
		return n, c.Index
	}
	p := &plan.Project{Input: n}
	for i, c := range n.Columns() {
		p.Exprs, p.Names = append(p.Exprs, &expr.Col{Index: i, Ty: c.Type, Name: c.Name}), append(p.Names, c.Name)
	}
	p.Exprs, p.Names = append(p.Exprs, e), append(p.Names, "compared")
	return p, len(p.Exprs) - 1
}

// dynamicFilter leaves the rows where they are, if they are spread by a rule, and sends the bound to all.
func (d *distributor) dynamicFilter(x *plan.DynamicFilter) (plan.Node, spread) {
	f := *x
	var in, bound spread
	f.Input, in = d.visit(x.Input)
	f.Bound, bound = d.visit(x.Bound)
	if in.kind == anyhow {
		f.Input, in = d.hash(f.Input, in, comparable(f.Input))
	}
	if in.kind == onOne {
		f.Bound, _ = d.single(f.Bound, bound)
		return &f, in
	}
	f.Dist = in.cols
	if d.parallelism > 1 {
		f.Bound = &plan.Exchange{Input: f.Bound, Kind: plan.ExchangeBroadcast}
	}
	return &f, in
}
