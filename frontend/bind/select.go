package bind

import (
	"strconv"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// relation is a bound query: its plan, whose columns are exactly the query's.
type relation struct{ node plan.Node }

// query binds a query inside outer (nil at the top). resolve gives untyped outputs the type text; without it they
// stay for the caller to coerce, as in UNION and INSERT.
func (b *binder) query(q *parser.Query, outer *scope, resolve bool) *relation {
	b.enter()
	defer b.leave()
	if q.With != nil {
		outer = b.with(q.With, outer, q == b.top)
	}
	b.locking(q)
	if s, ok := q.Body.(*parser.Select); ok {
		return &relation{b.selectQuery(q, s, outer, resolve)}
	}
	n := b.body(q.Body, outer, resolve && len(q.OrderBy) == 0)
	if len(q.OrderBy) > 0 {
		n = b.resolveOutputs(n)
	}
	return &relation{b.orderOutput(q, n, outer)}
}

// body binds a query body; the operands of set operations come here, too.
func (b *binder) body(body parser.QueryBody, outer *scope, resolve bool) plan.Node {
	switch x := body.(type) {
	case *parser.Query:
		return b.query(x, outer, resolve).node
	case *parser.Select:
		return b.selectQuery(&parser.Query{Loc: x.Loc, Body: x}, x, outer, resolve)
	case *parser.Values:
		return b.values(x, outer, resolve)
	case *parser.SetOp:
		return b.setOp(x, outer, resolve)
	}
	fail(unsupported(body.At(), "", "this query is not supported"))
	return nil
}

// target is one bound item of a select list.
type target struct {
	name string
	e    expr.Expr
	pos  int
}

// selection is the state of binding one SELECT.
type selection struct {
	*binder
	q    *parser.Query
	sel  *parser.Select
	sc   *scope
	coll *collector
	// out are the select list and, from visible on, expressions that only ORDER BY or DISTINCT ON need.
	out     []target
	visible int
	keys    []plan.SortKey // over out
	on      []int          // DISTINCT ON, over out
	// srfKeys are GROUP BY's keys while set-returning functions in them are expanded.
	srfKeys []expr.Expr
}

func (b *binder) selectQuery(q *parser.Query, sel *parser.Select, outer *scope, resolve bool) plan.Node {
	f := b.from(sel.From, outer)
	s := &selection{binder: b, q: q, sel: sel, coll: &collector{windows: map[string]*parser.WindowSpec{}}}
	s.sc = b.newScope(f, outer)
	for _, w := range sel.Windows {
		if _, dup := s.coll.windows[w.Name]; dup {
			fail(sqlerr.New(sqlerr.WindowingError, "window %q is already defined", w.Name).At(w.Pos))
		}
		s.coll.windows[w.Name] = w.Spec
	}
	s.bindTargets(resolve)
	if sel.Where != nil {
		cond := b.ctx(s.sc, "WHERE").cond(sel.Where, "WHERE")
		f.node = b.filter(f.node, s.sc.id, cond)
	}
	having := s.bindHaving()
	groups := s.bindGroups()
	s.bindDistinctOn()
	s.bindOrder()
	s.refuseRecursiveAggregates()
	n := f.node
	if groups.given || len(s.coll.aggs) > 0 || len(s.coll.groupings) > 0 || having != nil {
		n = s.group(s.groupSRFs(n, groups), groups, having)
	}
	n = s.windows(n)
	n = s.placeTargets(n)
	n = s.expandSRFs(n, nil)
	return s.finish(s.project(n))
}

// refuseRecursiveAggregates: the working table holds one round's rows only.
func (s *selection) refuseRecursiveAggregates() {
	for _, it := range s.sc.frame.items {
		if it.self && len(s.coll.aggs) > 0 {
			fail(sqlerr.New(sqlerr.InvalidRecursion, "aggregate functions are not allowed in a recursive query's recursive term").At(s.coll.aggs[0].pos))
		}
	}
}

// ctx is the context of expressions that may hold aggregates and window functions.
func (s *selection) ctx(clause string) *exprCtx {
	x := s.binder.ctx(s.sc, clause)
	x.sel = s.coll
	return x
}

func (s *selection) bindTargets(resolve bool) {
	x := s.ctx("SELECT")
	for _, t := range s.sel.Targets {
		if star, ok := t.Expr.(*parser.Star); ok {
			s.out = append(s.out, x.expandStar(star)...)
			continue
		}
		e := x.bind(t.Expr)
		if resolve || s.sel.Distinct || len(s.q.OrderBy) > 0 {
			e = s.resolved(e)
		}
		name := t.Alias
		if name == "" {
			name = columnName(t.Expr)
		}
		s.out = append(s.out, target{name, e, leftmost(t.Expr)})
	}
	s.visible = len(s.out)
	if s.sel.Distinct {
		for _, t := range s.out {
			s.mustBeComparable(t.e.Type(), t.pos)
		}
	}
}

func (s *selection) bindHaving() expr.Expr {
	if s.sel.Having == nil {
		return nil
	}
	x := s.ctx("HAVING")
	own := *s.coll
	own.noWindows, own.noSRFs = true, true
	x.sel = &own
	having := x.cond(s.sel.Having, "HAVING")
	s.coll.aggs, s.coll.groupings = own.aggs, own.groupings
	return having
}

func (s *selection) refuseInGroup(e expr.Expr, pos int) {
	expr.Walk(e, func(n expr.Expr) bool {
		if sl, ok := n.(*slot); ok {
			switch sl.kind {
			case slotAgg:
				fail(sqlerr.New(sqlerr.GroupingError, "aggregate functions are not allowed in GROUP BY").At(pos))
			case slotWindow:
				fail(sqlerr.New(sqlerr.WindowingError, "window functions are not allowed in GROUP BY").At(pos))
			case slotGrouping:
				fail(sqlerr.New(sqlerr.GroupingError, "grouping operations are not allowed in GROUP BY").At(pos))
			}
		}
		return true
	})
}

// outputRef finds the select-list item that an ordinal or a bare name means, or −1. inputFirst: a column of the
// FROM clause with that name wins (GROUP BY); else the output name wins (ORDER BY).
func (s *selection) outputRef(e parser.Expr, clause string, inputFirst bool) int {
	switch x := e.(type) {
	case *parser.NumberLit:
		n, ok := intModifier(x)
		if v, err := strconv.ParseInt(x.Text, 10, 32); !x.Int || err != nil && v != 0 {
			fail(sqlerr.New(sqlerr.SyntaxError, "non-integer constant in %s", clause).At(x.Pos))
		}
		if !ok || n < 1 || int(n) > s.visible {
			fail(sqlerr.New(sqlerr.InvalidColumnReference, "%s position %s is not in select list", clause, x.Text).At(x.Pos))
		}
		return int(n) - 1
	case *parser.StringLit, *parser.BoolLit, *parser.NullLit:
		fail(sqlerr.New(sqlerr.SyntaxError, "non-integer constant in %s", clause).At(e.At()))
	case *parser.ColumnRef:
		if len(x.Parts) != 1 || inputFirst && s.hasInput(x.Parts[0]) {
			return -1
		}
		found := -1
		for i := range s.visible {
			if s.out[i].name != x.Parts[0] {
				continue
			}
			if found >= 0 && !sameExpr(s.out[found].e, s.out[i].e) {
				fail(sqlerr.New(sqlerr.AmbiguousColumn, "%s %q is ambiguous", clause, x.Parts[0]).At(x.Pos))
			}
			if found < 0 {
				found = i
			}
		}
		return found
	}
	return -1
}

func (s *selection) hasInput(name string) bool {
	for _, v := range s.sc.frame.cols {
		if v.name == name {
			return true
		}
	}
	return false
}

// outputOf returns the index in out of the item that e means, adding a hidden one if it must.
func (s *selection) outputOf(e parser.Expr, clause string) int {
	if i := s.outputRef(e, clause, false); i >= 0 {
		return i
	}
	v := s.ctx(clause).value(e)
	for i := range s.out {
		if sameExpr(s.out[i].e, v) {
			return i
		}
	}
	s.out = append(s.out, target{columnName(e), v, e.At()})
	return len(s.out) - 1
}

func (s *selection) bindDistinctOn() {
	for _, e := range s.sel.DistinctOn {
		s.on = append(s.on, s.outputOf(e, "DISTINCT ON"))
	}
}

func (s *selection) bindOrder() {
	x := s.ctx("ORDER BY")
	for _, o := range s.q.OrderBy {
		i := s.outputOf(o.Expr, "ORDER BY")
		if s.sel.Distinct && s.on == nil && i >= s.visible {
			fail(sqlerr.New(sqlerr.InvalidColumnReference, "for SELECT DISTINCT, ORDER BY expressions must appear in select list").At(o.Expr.At()))
		}
		k := x.orderKey(o, s.out[i].e)
		if !hasKey(s.keys, i) {
			s.keys = append(s.keys, plan.SortKey{Col: i, Desc: k.desc, NullsFirst: k.nullsFirst})
		}
	}
	if s.on == nil {
		return
	}
	for i, k := range s.keys {
		if i < len(s.on) && indexOf(s.on, k.Col) < 0 {
			fail(sqlerr.New(sqlerr.InvalidColumnReference, "SELECT DISTINCT ON expressions must match initial ORDER BY expressions").At(s.sel.DistinctOn[0].At()))
		}
	}
}

func hasKey(keys []plan.SortKey, col int) bool {
	for _, k := range keys {
		if k.Col == col {
			return true
		}
	}
	return false
}

// placeTargets turns the subqueries of the select list into columns.
func (s *selection) placeTargets(n plan.Node) plan.Node {
	for i := range s.out {
		n, s.out[i].e = s.place(n, s.sc.id, s.out[i].e)
	}
	return n
}

// project computes the select list and the hidden expressions.
func (s *selection) project(n plan.Node) plan.Node {
	p := &plan.Project{Input: n, Exprs: make([]expr.Expr, len(s.out)), Names: make([]string, len(s.out))}
	for i, t := range s.out {
		p.Exprs[i], p.Names[i] = t.e, t.name
	}
	return p
}

// finish applies DISTINCT, ORDER BY and LIMIT and drops the hidden columns.
func (s *selection) finish(n plan.Node) plan.Node {
	switch {
	case s.on != nil:
		n = &plan.TopN{Input: n, PartitionBy: s.on, OrderBy: s.keys, Limit: 1}
	case s.sel.Distinct:
		n = &plan.Agg{Input: n, GroupBy: seq(0, len(s.out))}
	}
	n = s.sortLimit(s.q, n, s.keys, s.sc)
	return firstColumns(n, s.visible)
}

// oneRow is the plan of no FROM clause: one row without columns.
func oneRow() *plan.Values { return &plan.Values{Rows: [][]expr.Expr{{}}} }

// orderOutput orders and limits a set operation or VALUES list by its output columns.
func (b *binder) orderOutput(q *parser.Query, n plan.Node, outer *scope) plan.Node {
	cols := n.Columns()
	s := &selection{binder: b, visible: len(cols)}
	s.sc = b.newScope(newFrame(n, "*VALUES*", ""), outer)
	for i, c := range cols {
		s.out = append(s.out, target{c.Name, &expr.Col{Index: i, Ty: c.Type, Name: c.Name}, -1})
	}
	_, isValues := q.Body.(*parser.Values)
	var keys []plan.SortKey
	for _, o := range q.OrderBy {
		i := s.outputRef(o.Expr, "ORDER BY", false)
		if i < 0 {
			if !isValues {
				s.binder.ctx(s.sc, "ORDER BY").bind(o.Expr)
				fail(unsupported(leftmost(o.Expr), "Add the expression/function to every SELECT, or move the UNION into a FROM clause.",
					"invalid UNION/INTERSECT/EXCEPT ORDER BY clause").WithDetail("Only result column names can be used, not expressions or functions."))
			}
			s.out = append(s.out, target{"", b.ctx(s.sc, "ORDER BY").value(o.Expr), o.Expr.At()})
			i = len(s.out) - 1
		}
		k := b.ctx(s.sc, "ORDER BY").orderKey(o, s.out[i].e)
		keys = append(keys, plan.SortKey{Col: i, Desc: k.desc, NullsFirst: k.nullsFirst})
	}
	if len(s.out) > len(cols) {
		n = s.project(s.placeTargets(n))
	}
	return firstColumns(b.sortLimit(q, n, keys, s.sc), len(cols))
}

// resolveOutputs gives untyped output columns the type text.
func (b *binder) resolveOutputs(n plan.Node) plan.Node {
	cols := n.Columns()
	ts := make([]sqltypes.Type, len(cols))
	unknown := false
	for i, c := range cols {
		ts[i] = c.Type
		if c.Type.Kind == sqltypes.KUnknown {
			ts[i], unknown = sqltypes.Text, true
		}
	}
	if !unknown {
		return n
	}
	return b.coerceOutputs(n, ts, nil, implicit, nil)
}

// coerceOutputs converts n's columns to the types ts. Where n computes its columns, untyped literals are still visible
// and are read as the new type. onFail makes the error for column i; nil: it cannot happen.
func (b *binder) coerceOutputs(n plan.Node, ts []sqltypes.Type, pos []int, at level, onFail func(i int, t sqltypes.Type) *sqlerr.Error) plan.Node {
	conv := func(i int, e expr.Expr) expr.Expr {
		p := -1
		if pos != nil {
			p = pos[i]
		}
		out, ok := b.coerce(e, ts[i], at, p)
		if !ok {
			fail(onFail(i, e.Type()))
		}
		if t := out.Type(); at == implicit && t != ts[i] && t.Base() == ts[i] { // lengths that differ are none
			out = &expr.Cast{Arg: out, Ty: ts[i]}
		}
		return out
	}
	same := true
	for i, c := range n.Columns() {
		same = same && c.Type == ts[i]
	}
	switch x := n.(type) {
	case *plan.Project:
		out := &plan.Project{Input: x.Input, Exprs: make([]expr.Expr, len(x.Exprs)), Names: x.Names}
		for i, e := range x.Exprs {
			out.Exprs[i] = conv(i, e)
		}
		return out
	case *plan.Values:
		return b.coerceValues(x, ts, conv)
	case *plan.Union:
		if same {
			return n
		}
		u := &plan.Union{}
		for _, in := range x.Inputs {
			u.Inputs = append(u.Inputs, b.coerceOutputs(in, ts, pos, at, onFail))
		}
		return u
	}
	if same {
		return n
	}
	es, names := columnExprs(n, 0, len(ts))
	for i := range es {
		es[i] = conv(i, es[i])
	}
	return &plan.Project{Input: n, Exprs: es, Names: names}
}

func (b *binder) coerceValues(x *plan.Values, ts []sqltypes.Type, conv func(int, expr.Expr) expr.Expr) plan.Node {
	out := &plan.Values{Rows: make([][]expr.Expr, len(x.Rows)), Out: make([]plan.Column, len(x.Out))}
	for r, row := range x.Rows {
		out.Rows[r] = make([]expr.Expr, len(row))
		for i, e := range row {
			out.Rows[r][i] = conv(i, e)
		}
	}
	for i, c := range x.Out {
		out.Out[i] = plan.Column{Name: c.Name, Type: ts[i]}
	}
	return out
}
