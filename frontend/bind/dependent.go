package bind

import (
	"slices"
	"sort"
	"strings"

	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
)

// This file evaluates a correlated subquery for all outer rows at once ("Unnesting Arbitrary Queries", Neumann and
// Kemper 2015): the distinct outer values that it depends on, the domain, are pushed down into it, so that it yields its
// rows for each of them; the result is then joined to the outer rows by those values, NULL equal to NULL.

// domain is the set of outer values pushed into a subquery.
type domain struct {
	node  plan.Node
	scope int
	width int
	at    func(idx int) int // the domain column of an outer column
	work  []int             // recursive queries whose working tables have the domain's columns
}

// dependentJoin is apply for any correlated r.
func dependentJoin(kind plan.JoinKind, l plan.Node, scope int, r plan.Node, on expr.Expr) plan.Node {
	refs := outerColumns(r, scope)
	d := &domain{
		node:  &plan.Agg{Input: pick(l, refs), GroupBy: seq(0, len(refs))},
		scope: scope, width: len(refs),
		at: func(idx int) int { return indexOf(refs, idx) },
	}
	right := d.push(r)
	width, rw := len(l.Columns()), len(r.Columns())
	j := &plan.Join{Kind: kind, Left: l, Right: right, LeftKeys: refs, RightKeys: seq(0, d.width), NullSafe: allTrue(d.width)}
	if on != nil {
		j.Cond = expr.MapColumns(on, func(i int) int {
			if i >= width {
				return i + d.width
			}
			return i
		})
	}
	if kind >= plan.Semi {
		return j
	}
	return pick(j, append(seq(0, width), seq(width+d.width, width+d.width+rw)...))
}

func allTrue(n int) []bool {
	out := make([]bool, n)
	for i := range out {
		out[i] = true
	}
	return out
}

// outerColumns lists the columns of scope that a plan refers to, ascending.
func outerColumns(n plan.Node, scope int) []int {
	seen := map[int]bool{}
	anyRef(n, func(o *outerRef) bool {
		if o.scope == scope {
			seen[o.idx] = true
		}
		return false
	})
	out := make([]int, 0, len(seen))
	for i := range seen {
		out = append(out, i)
	}
	sort.Ints(out)
	return out
}

// reaches says that n's rows depend on the domain: by naming its columns, or by reading the working table of a recursive
// query that has them.
func (d *domain) reaches(n plan.Node) bool {
	found := refersTo(n, d.scope)
	plan.Walk(n, func(x plan.Node) bool {
		w, ok := x.(*plan.WorkTable)
		found = found || ok && slices.Contains(d.work, w.ID)
		return !found
	})
	return found
}

// pushRecursive gives the rows of a recursive query the domain's columns, in its working table, too.
func (d *domain) pushRecursive(x *plan.Recursive) plan.Node {
	m := *x
	in := *d
	in.work = append(slices.Clone(d.work), x.ID)
	m.Init, m.Step = in.push(x.Init), in.push(x.Step)
	return &m
}

// push returns the rows of n for each row of the domain: the domain's columns, then n's.
func (d *domain) push(n plan.Node) plan.Node {
	if !d.reaches(n) {
		return &plan.Join{Kind: plan.Inner, Left: d.node, Right: n}
	}
	switch x := n.(type) {
	case *plan.Filter:
		return &plan.Filter{Input: d.push(x.Input), Cond: d.expr(x.Cond)}
	case *plan.Project:
		return d.project(d.push(x.Input), x.Exprs, x.Names, d.expr)
	case *plan.Values:
		return d.pushValues(x)
	case *plan.Join:
		return d.pushJoin(x)
	case *plan.Agg:
		return d.pushAgg(x)
	case *plan.TopN:
		m := *x
		m.Input, m.PartitionBy, m.OrderBy = d.push(x.Input), d.with(x.PartitionBy), shiftKeys(x.OrderBy, d.width)
		return &m
	case *plan.Sort:
		return d.push(x.Input)
	case *plan.Limit:
		if top := asTopN(x); top != nil {
			return d.push(top)
		}
	case *plan.Union:
		u := &plan.Union{}
		for _, in := range x.Inputs {
			u.Inputs = append(u.Inputs, d.push(in))
		}
		return u
	case *plan.SetOp:
		m := *x
		m.Left, m.Right = d.push(x.Left), d.push(x.Right)
		return &m
	case *plan.Window:
		return d.pushWindow(x)
	case *plan.TableFunc:
		return d.pushTableFunc(x)
	case *plan.GapFill:
		m := *x
		m.Input, m.TimeCol, m.PartitionBy = d.push(x.Input), x.TimeCol+d.width, d.with(x.PartitionBy)
		m.Fill = append(slices.Repeat([]plan.Fill{plan.FillLast}, d.width), x.Fill...)
		return &m
	case *plan.Session:
		m := *x
		m.Input, m.TimeCol, m.PartitionBy = d.push(x.Input), x.TimeCol+d.width, d.with(x.PartitionBy)
		return &m
	case *plan.Hop:
		m := *x
		m.Input, m.TimeCol = d.push(x.Input), x.TimeCol+d.width
		return &m
	case *plan.Shared:
		return d.push(x.Input)
	case *plan.Recursive:
		return d.pushRecursive(x)
	case *plan.WorkTable:
		m := *x
		m.Out = append(slices.Clone(d.node.Columns()), x.Out...)
		return &m
	case *plan.Expand:
		m := *x
		m.Input, m.Keys = d.push(x.Input), shift(x.Keys, d.width)
		return &m
	case *plan.MaxOneRow:
		in := d.push(x.Input)
		if plan.Covers(in, d.with(x.PartitionBy)) {
			return in
		}
		return &plan.MaxOneRow{Input: in, PartitionBy: d.with(x.PartitionBy)}
	}
	fail(unsupported(-1, "Rewrite the subquery as a join.", "this form of correlated subquery is not supported"))
	return nil
}

// expr moves an expression over a subquery's columns to those behind the domain's.
func (d *domain) expr(e expr.Expr) expr.Expr {
	return mapExprRefs(shiftExpr(e, d.width), d.scope, d.ref)
}

func (d *domain) ref(o *outerRef) expr.Expr {
	return &expr.Col{Index: d.at(o.idx), Ty: o.ty, Name: o.name}
}

// with puts the domain's columns before others, which move behind them.
func (d *domain) with(cols []int) []int { return append(seq(0, d.width), shift(cols, d.width)...) }

func (d *domain) project(in plan.Node, es []expr.Expr, names []string, f func(expr.Expr) expr.Expr) plan.Node {
	out, outNames := columnExprs(in, 0, d.width)
	for _, e := range es {
		out = append(out, f(e))
	}
	return &plan.Project{Input: in, Exprs: out, Names: append(outNames, names...)}
}

func (d *domain) pushValues(x *plan.Values) plan.Node {
	names := make([]string, len(x.Out))
	for i, c := range x.Out {
		names[i] = c.Name
	}
	u := &plan.Union{}
	for _, row := range x.Rows {
		u.Inputs = append(u.Inputs, d.project(d.node, row, names, func(e expr.Expr) expr.Expr { return mapExprRefs(e, d.scope, d.ref) }))
	}
	if len(u.Inputs) == 1 {
		return u.Inputs[0]
	}
	return u
}

func (d *domain) pushJoin(x *plan.Join) plan.Node {
	lref, rref := d.reaches(x.Left), d.reaches(x.Right)
	lw := len(x.Left.Columns())
	m := *x
	switch {
	case !rref && x.Kind != plan.Right && x.Kind != plan.Full:
		m.Left, m.LeftKeys = d.push(x.Left), shift(x.LeftKeys, d.width)
		m.Cond = d.optional(x.Cond)
		return &m
	case !lref && x.Kind == plan.Inner:
		m.Right, m.RightKeys = d.push(x.Right), shift(x.RightKeys, d.width)
		m.Cond = d.condBehind(x.Cond, lw, 0)
		rw := len(x.Right.Columns())
		return pick(&m, append(append(seq(lw, lw+d.width), seq(0, lw)...), seq(lw+d.width, lw+d.width+rw)...))
	case x.Kind == plan.NullAnti:
		fail(unsupported(-1, "Use NOT EXISTS.", "NOT IN over a correlated query inside another subquery is not supported"))
	}
	return d.pushBoth(x, lw)
}

// pushBoth evaluates both sides for the domain and matches them by it.
func (d *domain) pushBoth(x *plan.Join, lw int) plan.Node {
	m := *x
	m.Left, m.Right = d.push(x.Left), d.push(x.Right)
	m.LeftKeys = append(seq(0, d.width), shift(x.LeftKeys, d.width)...)
	m.RightKeys = append(seq(0, d.width), shift(x.RightKeys, d.width)...)
	m.NullSafe = append(allTrue(d.width), make([]bool, len(x.LeftKeys))...)
	copy(m.NullSafe[d.width:], x.NullSafe)
	m.Cond = d.condBehind(x.Cond, lw, d.width)
	if x.Kind >= plan.Semi {
		return &m
	}
	rw := len(x.Right.Columns())
	right := d.width + lw // where the right side's domain columns begin
	if x.Kind == plan.Inner || x.Kind == plan.Left {
		return pick(&m, append(seq(0, right), seq(right+d.width, right+d.width+rw)...))
	}
	cols := m.Columns()
	p := &plan.Project{Input: &m}
	add := func(i int) expr.Expr { return &expr.Col{Index: i, Ty: cols[i].Type, Name: cols[i].Name} }
	for i := range d.width { // the left side's are NULL where only the right has a row
		p.Exprs = append(p.Exprs, &expr.Coalesce{Args: []expr.Expr{add(i), add(right + i)}, Ty: cols[i].Type})
		p.Names = append(p.Names, cols[i].Name)
	}
	for _, i := range append(seq(d.width, right), seq(right+d.width, right+d.width+rw)...) {
		p.Exprs, p.Names = append(p.Exprs, add(i)), append(p.Names, cols[i].Name)
	}
	return p
}

// condBehind moves a join condition: left columns by leftBy, right columns by leftBy and the domain's width; outer
// references are read from the left side's domain columns if it has them, else from the right side's.
func (d *domain) condBehind(c expr.Expr, lw, leftBy int) expr.Expr {
	if c == nil {
		return nil
	}
	c = expr.MapColumns(c, func(i int) int {
		if i < lw {
			return i + leftBy
		}
		return i + leftBy + d.width
	})
	return mapExprRefs(c, d.scope, func(o *outerRef) expr.Expr {
		e := d.ref(o).(*expr.Col)
		if leftBy == 0 {
			e.Index += lw
		}
		return e
	})
}

func (d *domain) optional(e expr.Expr) expr.Expr {
	if e == nil {
		return nil
	}
	return d.expr(e)
}

// pushAgg groups by the domain as well. An aggregate without GROUP BY has a row for values without rows, too.
func (d *domain) pushAgg(x *plan.Agg) plan.Node {
	m := *x
	m.Input, m.GroupBy, m.Scalar = d.push(x.Input), d.with(x.GroupBy), false
	m.Aggs = make([]plan.AggCall, len(x.Aggs))
	for i, a := range x.Aggs {
		a.Args, a.OrderBy = shift(a.Args, d.width), shiftKeys(a.OrderBy, d.width)
		if a.Filter >= 0 {
			a.Filter += d.width
		}
		m.Aggs[i] = a
	}
	if !x.Scalar {
		return &m
	}
	j := &plan.Join{Kind: plan.Left, Left: d.node, Right: &m, LeftKeys: seq(0, d.width), RightKeys: seq(0, d.width), NullSafe: allTrue(d.width)}
	es, names := columnExprs(j, 0, d.width)
	for i, e := range aggDefaults(x, j, 2*d.width) {
		es, names = append(es, e), append(names, x.Aggs[i].Name)
	}
	return &plan.Project{Input: j, Exprs: es, Names: names}
}

func (d *domain) pushWindow(x *plan.Window) plan.Node {
	m := *x
	m.Input, m.PartitionBy, m.OrderBy = d.push(x.Input), d.with(x.PartitionBy), shiftKeys(x.OrderBy, d.width)
	m.Funcs = make([]plan.WindowFunc, len(x.Funcs))
	for i, f := range x.Funcs {
		f.Args = shift(f.Args, d.width)
		if f.Filter >= 0 {
			f.Filter += d.width
		}
		m.Funcs[i] = f
	}
	return &m
}

func (d *domain) pushTableFunc(x *plan.TableFunc) plan.Node {
	m := *x
	m.Args = make([]expr.Expr, len(x.Args))
	if x.Input == nil {
		m.Input = d.node
	} else {
		m.Input = d.push(x.Input)
	}
	for i, a := range x.Args {
		m.Args[i] = d.expr(a)
	}
	return &m
}

func cutSig(sig string) (name, args string, ok bool) { return strings.Cut(sig, "(") }
