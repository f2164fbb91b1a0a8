package bind

import (
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
)

// This file joins a subquery's plan to the plan around it. If they are not correlated that is a join. If they are, the
// correlated conditions are pulled up out of the subquery until they can stand in the join (pullUp); where
// something is in the way, the subquery is evaluated for the set of outer values instead (dependent.go).

// apply joins r, which may refer to l's columns as outerRefs of scope, to l. on is over l's columns then r's;
// nil is true. The output is l's columns, followed by r's for inner and left joins.
func (b *binder) apply(kind plan.JoinKind, l plan.Node, scope int, r plan.Node, on expr.Expr) plan.Node {
	if !refersTo(r, scope) {
		return &plan.Join{Kind: kind, Left: l, Right: r, Cond: on}
	}
	width, rw := len(l.Columns()), len(r.Columns())
	if in, conds, ok := b.pullUp(r, scope); ok {
		j := &plan.Join{Kind: kind, Left: l, Right: in, Cond: joinCond(on, conds, scope, width)}
		if kind >= plan.Semi {
			return j
		}
		return firstColumns(j, width+rw)
	}
	if out := applySimple(kind, l, scope, r, on); out != nil {
		return out
	}
	return dependentJoin(kind, l, scope, r, on)
}

// joinCond joins on with pulled-up conditions, which are over r's columns and outerRefs.
func joinCond(on expr.Expr, conds []expr.Expr, scope, width int) expr.Expr {
	var all []expr.Expr
	if on != nil {
		all = append(all, on)
	}
	for _, c := range conds {
		all = append(all, overJoin(c, scope, width))
	}
	return expr.And(all)
}

// overJoin moves an expression over r's columns and outerRefs to the columns of the join of l and r.
func overJoin(e expr.Expr, scope, width int) expr.Expr {
	return mapExprRefs(shiftExpr(e, width), scope, func(o *outerRef) expr.Expr {
		return &expr.Col{Index: o.idx, Ty: o.ty, Name: o.name}
	})
}

// applySimple handles LATERAL functions and the like: where r has one row stream per row of l, l itself can be the input.
func applySimple(kind plan.JoinKind, l plan.Node, scope int, r plan.Node, on expr.Expr) plan.Node {
	if kind == plan.Left {
		if on != nil && !isTrue(on) {
			return nil
		}
		var ok bool
		if r, ok = outerFunc(r); !ok {
			return nil
		}
	} else if kind != plan.Inner {
		return nil
	}
	if !isSimple(r, scope) {
		return nil
	}
	d := &domain{node: l, scope: scope, width: len(l.Columns()), at: func(idx int) int { return idx }}
	out := d.push(r)
	if on != nil && kind == plan.Inner {
		out = &plan.Filter{Input: out, Cond: on}
	}
	return out
}

func isTrue(e expr.Expr) bool {
	c, ok := e.(*expr.Const)
	return ok && c.Val == true
}

// outerFunc makes a set-returning function without results yield a row of NULLs; false when r is something else.
func outerFunc(r plan.Node) (plan.Node, bool) {
	switch x := r.(type) {
	case *plan.Project:
		for _, e := range x.Exprs {
			if _, ok := e.(*expr.Col); !ok {
				return nil, false
			}
		}
		in, ok := outerFunc(x.Input)
		return &plan.Project{Input: in, Exprs: x.Exprs, Names: x.Names}, ok
	case *plan.TableFunc:
		if x.Input != nil {
			return nil, false
		}
		f := *x
		f.Outer = true
		return &f, true
	}
	return nil, false
}

// isSimple says that r maps each row of l to rows of its own, so that equal rows of l need not be told apart first.
func isSimple(r plan.Node, scope int) bool {
	if !refersTo(r, scope) {
		return true
	}
	switch x := r.(type) {
	case *plan.Filter:
		return isSimple(x.Input, scope)
	case *plan.Project:
		return isSimple(x.Input, scope)
	case *plan.Hop:
		return isSimple(x.Input, scope)
	case *plan.TableFunc:
		return x.Input == nil || isSimple(x.Input, scope)
	case *plan.Values:
		return len(x.Rows) == 1
	case *plan.Join:
		l, r := refersTo(x.Left, scope), refersTo(x.Right, scope)
		return x.Kind == plan.Inner && !(l && r) && (!l || isSimple(x.Left, scope)) && (!r || isSimple(x.Right, scope))
	}
	return false
}

// pullUp takes the conditions that refer to scope out of n. The result has n's columns first; the conditions are over
// its columns and outerRefs. ok is false where a correlated part cannot be moved.
func (b *binder) pullUp(n plan.Node, scope int) (out plan.Node, conds []expr.Expr, ok bool) {
	if !refersTo(n, scope) {
		return n, nil, true
	}
	switch x := n.(type) {
	case *plan.Filter:
		return b.pullFilter(x, scope)
	case *plan.Project:
		return b.pullProject(x, scope)
	case *plan.Join:
		return b.pullJoin(x, scope)
	case *plan.Sort: // an order means nothing here, but below a limit
		return b.pullUp(x.Input, scope)
	case *plan.Agg:
		if !x.Scalar {
			return b.pullAgg(x, scope)
		}
	case *plan.TopN:
		return b.pullPartitioned(x.Input, scope, func(in plan.Node, keys []int) (plan.Node, int) {
			m := *x
			m.Input, m.PartitionBy = in, append(x.PartitionBy[:len(x.PartitionBy):len(x.PartitionBy)], keys...)
			if x.RowNumber {
				return &m, 1
			}
			return &m, 0
		})
	case *plan.Window:
		return b.pullPartitioned(x.Input, scope, func(in plan.Node, keys []int) (plan.Node, int) {
			m := *x
			m.Input, m.PartitionBy = in, append(x.PartitionBy[:len(x.PartitionBy):len(x.PartitionBy)], keys...)
			return &m, len(x.Funcs)
		})
	case *plan.Expand:
		return b.pullPartitioned(x.Input, scope, func(in plan.Node, _ []int) (plan.Node, int) {
			m := *x
			m.Input = in
			return &m, len(x.Keys) + 1
		})
	case *plan.Limit:
		if top := asTopN(x); top != nil {
			return b.pullUp(top, scope)
		}
	}
	return nil, nil, false
}

func (b *binder) pullFilter(x *plan.Filter, scope int) (plan.Node, []expr.Expr, bool) {
	in, conds, ok := b.pullUp(x.Input, scope)
	if !ok {
		return nil, nil, false
	}
	var rest []expr.Expr
	for _, c := range expr.Conjuncts(x.Cond) {
		if exprRef(c, func(o *outerRef) bool { return o.scope == scope }) {
			conds = append(conds, c)
		} else {
			rest = append(rest, c)
		}
	}
	if len(rest) > 0 {
		in = &plan.Filter{Input: in, Cond: expr.And(rest)}
	}
	return in, conds, true
}

// pullProject passes on, behind its own columns, those that the conditions need.
func (b *binder) pullProject(x *plan.Project, scope int) (plan.Node, []expr.Expr, bool) {
	for _, e := range x.Exprs {
		if exprRef(e, func(o *outerRef) bool { return o.scope == scope }) {
			return nil, nil, false
		}
	}
	in, conds, ok := b.pullUp(x.Input, scope)
	if !ok {
		return nil, nil, false
	}
	out := &plan.Project{Input: in, Exprs: x.Exprs[:len(x.Exprs):len(x.Exprs)], Names: x.Names[:len(x.Names):len(x.Names)]}
	cols := in.Columns()
	at := map[int]int{}
	for i, c := range conds {
		conds[i] = expr.MapColumns(c, func(k int) int {
			to, seen := at[k]
			if !seen {
				to = len(out.Exprs)
				at[k] = to
				out.Exprs = append(out.Exprs, &expr.Col{Index: k, Ty: cols[k].Type, Name: cols[k].Name})
				out.Names = append(out.Names, cols[k].Name)
			}
			return to
		})
	}
	return out, conds, true
}

func (b *binder) pullJoin(x *plan.Join, scope int) (plan.Node, []expr.Expr, bool) {
	inner := x.Kind == plan.Inner
	condRef := x.Cond != nil && exprRef(x.Cond, func(o *outerRef) bool { return o.scope == scope })
	if !inner && (x.Kind == plan.Right || x.Kind == plan.Full || condRef || refersTo(x.Right, scope)) {
		return nil, nil, false
	}
	l, lconds, lok := b.pullUp(x.Left, scope)
	r, rconds, rok := b.pullUp(x.Right, scope)
	if !lok || !rok {
		return nil, nil, false
	}
	lw, rw := len(x.Left.Columns()), len(x.Right.Columns())
	lw2 := len(l.Columns())
	move := func(i int) int { // a column of x among those of l and r
		if i < lw {
			return i
		}
		return i - lw + lw2
	}
	j := *x
	j.Left, j.Right, j.Cond = l, r, nil
	conds := append(lconds, mapAll(rconds, func(i int) int { return i + lw2 })...)
	var own []expr.Expr
	for _, c := range expr.Conjuncts(x.Cond) {
		c = expr.MapColumns(c, move)
		if exprRef(c, func(o *outerRef) bool { return o.scope == scope }) {
			conds = append(conds, c)
		} else {
			own = append(own, c)
		}
	}
	j.Cond = expr.And(own)
	if x.Kind >= plan.Semi || lw == lw2 {
		return &j, conds, true
	}
	// Bring x's columns to the front again.
	order := append(seq(0, lw), seq(lw2, lw2+rw)...)
	order = append(order, seq(lw, lw2)...)
	order = append(order, seq(lw2+rw, len(j.Columns()))...)
	return pick(&j, order), mapAll(conds, func(i int) int { return indexOf(order, i) }), true
}

func mapAll(es []expr.Expr, f func(int) int) []expr.Expr {
	out := make([]expr.Expr, len(es))
	for i, e := range es {
		out[i] = expr.MapColumns(e, f)
	}
	return out
}

func indexOf(list []int, x int) int {
	for i, y := range list {
		if x == y {
			return i
		}
	}
	return -1
}

// equalities splits conditions into inner = outer; each inner side becomes a column of the returned plan. ok is
// false if a condition has another shape.
func equalities(in plan.Node, conds []expr.Expr) (out plan.Node, keys []int, eqs []equality, ok bool) {
	var more []expr.Expr
	width := len(in.Columns())
	for _, c := range conds {
		eq, is := asEquality(c)
		if !is {
			return nil, nil, nil, false
		}
		at := -1
		if col, isCol := eq.inner.(*expr.Col); isCol {
			at = col.Index
		} else {
			at = width + len(more)
			more = append(more, eq.inner)
		}
		keys, eqs = append(keys, at), append(eqs, eq)
	}
	if len(more) > 0 {
		in = appendColumns(in, more)
	}
	return in, keys, eqs, true
}

// equality is inner = outer: one side over columns, the other over outerRefs only.
type equality struct {
	call      *expr.Call
	inner     expr.Expr
	innerSide int
}

func asEquality(c expr.Expr) (equality, bool) {
	call, ok := c.(*expr.Call)
	if !ok || !isEquality(call) {
		return equality{}, false
	}
	for side := range 2 {
		inner, outer := call.Args[side], call.Args[1-side]
		if !exprRef(inner, func(*outerRef) bool { return true }) && readsColumns(inner) && !readsColumns(outer) {
			return equality{call, inner, side}, true
		}
	}
	return equality{}, false
}

func readsColumns(e expr.Expr) bool {
	found := false
	expr.Columns(e, func(int) { found = true })
	return found
}

// over is the equality with its inner side read from column i of n.
func (q equality) over(n plan.Node, i int) expr.Expr {
	c := n.Columns()[i]
	args := append([]expr.Expr(nil), q.call.Args...)
	args[q.innerSide] = &expr.Col{Index: i, Ty: c.Type, Name: c.Name}
	return &expr.Call{Sig: q.call.Sig, Args: args, Ty: q.call.Ty}
}

// pullAgg groups by the inner sides of correlated equalities as well.
func (b *binder) pullAgg(x *plan.Agg, scope int) (plan.Node, []expr.Expr, bool) {
	in, conds, ok := b.pullUp(x.Input, scope)
	if !ok {
		return nil, nil, false
	}
	in, keys, eqs, ok := equalities(in, conds)
	if !ok {
		return nil, nil, false
	}
	agg, at := groupAlso(x, in, keys)
	// agg's columns: x's groups, further keys, aggregates. x's own first:
	g, extra := len(x.GroupBy), len(agg.GroupBy)-len(x.GroupBy)
	order := append(seq(0, g), seq(g+extra, len(agg.Columns()))...)
	order = append(order, seq(g, g+extra)...)
	out := pick(agg, order)
	pulled := make([]expr.Expr, len(eqs))
	for i, q := range eqs {
		pulled[i] = q.over(out, indexOf(order, at[i]))
	}
	return out, pulled, true
}

// groupAlso adds keys to an aggregation's groups; at[i] is the output column of keys[i].
func groupAlso(x *plan.Agg, in plan.Node, keys []int) (agg *plan.Agg, at []int) {
	m := *x
	m.Input, m.Scalar = in, false
	m.GroupBy = append([]int(nil), x.GroupBy...)
	for _, k := range keys {
		i := indexOf(m.GroupBy, k)
		if i < 0 {
			i = len(m.GroupBy)
			m.GroupBy = append(m.GroupBy, k)
		}
		at = append(at, i)
	}
	return &m, at
}

// pullPartitioned handles operators that keep their input's columns and add some behind: they get more partition keys.
func (b *binder) pullPartitioned(input plan.Node, scope int, build func(plan.Node, []int) (plan.Node, int)) (plan.Node, []expr.Expr, bool) {
	width := len(input.Columns())
	in, conds, ok := b.pullUp(input, scope)
	if !ok {
		return nil, nil, false
	}
	in, keys, eqs, ok := equalities(in, conds)
	if !ok {
		return nil, nil, false
	}
	top, added := build(in, keys)
	w := len(in.Columns())
	order := append(seq(0, width), seq(w, w+added)...)
	order = append(order, seq(width, w)...)
	out := pick(top, order)
	pulled := make([]expr.Expr, len(eqs))
	for i, q := range eqs {
		pulled[i] = q.over(out, indexOf(order, keys[i]))
	}
	return out, pulled, true
}

// asTopN reads LIMIT and OFFSET constants, with the order below them, as a TopN; nil for anything else.
func asTopN(x *plan.Limit) *plan.TopN {
	top := &plan.TopN{Input: x.Input, Limit: -1}
	if x.Limit != nil {
		n, ok := constInt(x.Limit)
		if !ok {
			return nil
		}
		top.Limit = n
	}
	if x.Offset != nil {
		n, ok := constInt(x.Offset)
		if !ok {
			return nil
		}
		top.Offset = n
	}
	if s, ok := x.Input.(*plan.Sort); ok {
		top.Input, top.OrderBy = s.Input, s.Keys
	}
	return top
}

func constInt(e expr.Expr) (int64, bool) {
	c, ok := e.(*expr.Const)
	if !ok {
		return 0, false
	}
	n, ok := c.Val.(int64)
	return n, ok && n >= 0
}

// applyScalar appends the columns of r, which has at most one row for each row of l, and NULLs where it has none.
func (b *binder) applyScalar(l plan.Node, scope int, r plan.Node) plan.Node {
	if !refersTo(r, scope) {
		if m, ok := r.(*plan.MaxOneRow); ok && plan.AtMostOneRow(m.Input) {
			return &plan.Join{Kind: plan.Left, Left: l, Right: m.Input}
		}
		return &plan.Join{Kind: plan.Inner, Left: l, Right: r} // always exactly one row
	}
	if out := b.applyScalarAgg(l, scope, r); out != nil {
		return out
	}
	m, ok := r.(*plan.MaxOneRow)
	if !ok {
		return dependentJoin(plan.Left, l, scope, r, nil)
	}
	width, rw := len(l.Columns()), len(r.Columns())
	if in, conds, ok := b.pullUp(m.Input, scope); ok && atMostOne(in, conds) {
		j := &plan.Join{Kind: plan.Left, Left: l, Right: in, Cond: joinCond(nil, conds, scope, width)}
		return firstColumns(j, width+rw)
	}
	return dependentJoin(plan.Left, l, scope, r, nil)
}

// atMostOne says that the equalities among conds fix a unique key of n.
func atMostOne(n plan.Node, conds []expr.Expr) bool {
	fixed := map[int]bool{}
	for _, c := range conds {
		if eq, ok := asEquality(c); ok {
			if col, ok := eq.inner.(*expr.Col); ok {
				fixed[col.Index] = true
			}
		}
	}
	for _, key := range plan.UniqueKeys(n) {
		covered := true
		for _, k := range key {
			covered = covered && fixed[k]
		}
		if covered {
			return true
		}
	}
	return false
}

// applyScalarAgg handles projections over an aggregate without GROUP BY whose correlation is by equality: it becomes
// a grouped aggregate joined from the left, and what the aggregates are for no rows is put in.
func (b *binder) applyScalarAgg(l plan.Node, scope int, r plan.Node) plan.Node {
	var projects []*plan.Project
	n := r
	if m, ok := n.(*plan.MaxOneRow); ok {
		n = m.Input
	}
	for {
		p, ok := n.(*plan.Project)
		if !ok {
			break
		}
		projects, n = append(projects, p), p.Input
	}
	x, ok := n.(*plan.Agg)
	if !ok || !x.Scalar {
		return nil
	}
	in, conds, ok := b.pullUp(x.Input, scope)
	if !ok {
		return nil
	}
	in, keys, eqs, ok := equalities(in, conds)
	if !ok || len(keys) == 0 {
		return nil
	}
	agg, at := groupAlso(x, in, keys)
	width := len(l.Columns())
	pulled := make([]expr.Expr, len(eqs))
	for i, q := range eqs {
		pulled[i] = q.over(agg, at[i])
	}
	j := &plan.Join{Kind: plan.Left, Left: l, Right: agg, Cond: joinCond(nil, pulled, scope, width)}
	return b.projectOver(j, width, aggDefaults(x, j, width+len(agg.GroupBy)), projects, scope)
}

// aggDefaults reads x's aggregates from columns of n on, with counts of no rows made 0.
func aggDefaults(x *plan.Agg, n plan.Node, from int) []expr.Expr {
	cols := n.Columns()
	out := make([]expr.Expr, len(x.Aggs))
	for i, a := range x.Aggs {
		var e expr.Expr = &expr.Col{Index: from + i, Ty: cols[from+i].Type, Name: a.Name}
		if zero, ok := emptyValue(a); ok {
			e = &expr.Coalesce{Args: []expr.Expr{e, zero}, Ty: a.Result}
		}
		out[i] = e
	}
	return out
}

// emptyValue is what an aggregate of no rows is, when that is not NULL.
func emptyValue(a plan.AggCall) (expr.Expr, bool) {
	switch name, _, _ := cutSig(a.Sig); name {
	case "count", "regr_count", "approx_count_distinct":
		return &expr.Const{Ty: a.Result, Val: int64(0)}, true
	}
	return nil, false
}

// projectOver computes a chain of projections (outermost first) over values, keeping the first width columns of n.
func (b *binder) projectOver(n plan.Node, width int, values []expr.Expr, projects []*plan.Project, scope int) plan.Node {
	for i := len(projects) - 1; i >= 0; i-- {
		next := make([]expr.Expr, len(projects[i].Exprs))
		for k, e := range projects[i].Exprs {
			next[k] = expr.Transform(e, func(y expr.Expr) expr.Expr {
				switch c := y.(type) {
				case *expr.Col:
					return values[c.Index]
				case *outerRef:
					if c.scope == scope {
						return &expr.Col{Index: c.idx, Ty: c.ty, Name: c.name}
					}
				}
				return y
			})
		}
		values = next
	}
	es, names := columnExprs(n, 0, width)
	for range values {
		names = append(names, "?column?")
	}
	return &plan.Project{Input: n, Exprs: append(es, values...), Names: names}
}
