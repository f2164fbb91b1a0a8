package bind

import (
	"strconv"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// setOp binds UNION, INTERSECT and EXCEPT. A chain of UNION ALL becomes one node, however long.
func (b *binder) setOp(x *parser.SetOp, outer *scope, resolve bool) plan.Node {
	b.enter()
	defer b.leave()
	var left []parser.QueryBody // the operands of a left-deep chain of the same operator
	var body parser.QueryBody = x
	for {
		s, ok := body.(*parser.SetOp)
		if !ok || s.Kind != x.Kind || s.All != x.All || x.Kind != parser.Union {
			break
		}
		left, body = append(left, s.Right), s.Left
	}
	if x.Kind != parser.Union {
		return b.setOpPair(x, outer, resolve)
	}
	nodes, bodies := []plan.Node{b.body(body, outer, false)}, []parser.QueryBody{body}
	for i := len(left) - 1; i >= 0; i-- {
		n := b.body(left[i], outer, false)
		b.sameWidth("UNION", nodes[0], n, columnPos(left[i], 0))
		nodes, bodies = append(nodes, n), append(bodies, left[i])
	}
	u := &plan.Union{Inputs: b.unifyOutputs("UNION", nodes, bodies, resolve || !x.All)}
	if x.All {
		return u
	}
	for _, c := range u.Columns() {
		b.mustBeComparable(c.Type, x.Pos)
	}
	return &plan.Agg{Input: u, GroupBy: seq(0, len(u.Columns()))}
}

func (b *binder) setOpPair(x *parser.SetOp, outer *scope, resolve bool) plan.Node {
	what := "INTERSECT"
	if x.Kind == parser.Except {
		what = "EXCEPT"
	}
	l, r := b.body(x.Left, outer, false), b.body(x.Right, outer, false)
	b.sameWidth(what, l, r, columnPos(x.Right, 0))
	sides := b.unifyOutputs(what, []plan.Node{l, r}, []parser.QueryBody{x.Left, x.Right}, true)
	return &plan.SetOp{Left: sides[0], Right: sides[1], Except: x.Kind == parser.Except, All: x.All}
}

func (b *binder) sameWidth(what string, l, r plan.Node, pos int) {
	if len(l.Columns()) != len(r.Columns()) {
		fail(sqlerr.New(sqlerr.SyntaxError, "each %s query must have the same number of columns", what).At(pos))
	}
}

// unifyOutputs converts the columns of several queries to common types.
func (b *binder) unifyOutputs(what string, nodes []plan.Node, bodies []parser.QueryBody, resolve bool) []plan.Node {
	ts := make([]sqltypes.Type, len(nodes[0].Columns()))
	for c := range ts {
		es := make([]typed, len(nodes))
		unknown := true
		for i, n := range nodes {
			col := n.Columns()[c]
			es[i] = typed{&expr.Col{Index: c, Ty: col.Type}, columnPos(bodies[i], c)}
			unknown = unknown && col.Type.Kind == sqltypes.KUnknown
		}
		if unknown && !resolve {
			ts[c] = sqltypes.Unknown
			continue
		}
		ts[c] = b.commonType(what, es)
	}
	out := make([]plan.Node, len(nodes))
	names := nodes[0].Columns()
	for i, n := range nodes {
		p := make([]int, len(ts))
		for k := range p {
			p[k] = columnPos(bodies[i], k)
		}
		out[i] = b.coerceOutputs(n, ts, p, implicit, func(c int, t sqltypes.Type) *sqlerr.Error {
			return sqlerr.New(sqlerr.CannotCoerce, "%s could not convert type %s to %s", what, t.Base(), ts[c]).At(p[c])
		})
		if i == 0 && out[0] != n {
			out[0] = named(out[0], names)
		}
	}
	return out
}

// columnPos is where column i of a query body stands in the statement.
func columnPos(body parser.QueryBody, i int) int {
	switch x := body.(type) {
	case *parser.Query:
		return columnPos(x.Body, i)
	case *parser.SetOp:
		return columnPos(x.Left, i)
	case *parser.Select:
		if i < len(x.Targets) {
			return leftmost(x.Targets[i].Expr)
		}
	case *parser.Values:
		if i < len(x.Rows[0]) {
			return leftmost(x.Rows[0][i])
		}
	}
	return body.At()
}

// named gives a plan's columns the names of cols.
func named(n plan.Node, cols []plan.Column) plan.Node {
	same := true
	have := n.Columns()
	for i := range cols {
		same = same && have[i].Name == cols[i].Name
	}
	if same {
		return n
	}
	es, names := columnExprs(n, 0, len(cols))
	for i := range names {
		names[i] = cols[i].Name
	}
	return &plan.Project{Input: n, Exprs: es, Names: names}
}

// values binds a VALUES list.
func (b *binder) values(v *parser.Values, outer *scope, resolve bool) plan.Node {
	rows := make([][]typed, len(v.Rows))
	sc := b.newScope(&frame{node: oneRow()}, outer)
	x := b.ctx(sc, "VALUES")
	for i, r := range v.Rows {
		if len(r) != len(v.Rows[0]) {
			fail(sqlerr.New(sqlerr.SyntaxError, "VALUES lists must all be the same length").At(r[0].At()))
		}
		rows[i] = x.bindAll(r)
	}
	width := len(rows[0])
	out := &plan.Values{Rows: make([][]expr.Expr, len(rows)), Out: make([]plan.Column, width)}
	for i := range rows {
		out.Rows[i] = make([]expr.Expr, width)
	}
	column := make([]typed, len(rows))
	for c := range width {
		unknown := true
		for i := range rows {
			column[i] = rows[i][c]
			unknown = unknown && isUnknown(column[i].e)
		}
		var vals []expr.Expr
		t := sqltypes.Unknown
		if unknown && !resolve {
			for i := range rows {
				vals = append(vals, rows[i][c].e)
			}
		} else {
			vals, t = b.unify("VALUES", column)
		}
		out.Out[c] = plan.Column{Name: "column" + strconv.Itoa(c+1), Type: t}
		for i := range rows {
			out.Rows[i][c] = vals[i]
		}
	}
	return b.valuesPlan(out, sc.id)
}

// valuesPlan moves rows with subqueries out of a VALUES node, whose expressions have no input.
func (b *binder) valuesPlan(v *plan.Values, scope int) plan.Node {
	found := false
	for _, r := range v.Rows {
		for _, e := range r {
			found = found || hasSubquery(e)
		}
	}
	if !found {
		return v
	}
	u := &plan.Union{}
	names := make([]string, len(v.Out))
	for i, c := range v.Out {
		names[i] = c.Name
	}
	for _, r := range v.Rows {
		n, es := b.placeAll(oneRow(), scope, r)
		u.Inputs = append(u.Inputs, &plan.Project{Input: n, Exprs: es, Names: names})
	}
	if len(u.Inputs) == 1 {
		return u.Inputs[0]
	}
	return u
}

// renamed gives the first columns of n other names.
func renamed(n plan.Node, names []parser.Ident) plan.Node {
	if len(names) == 0 {
		return n
	}
	es, have := columnExprs(n, 0, len(n.Columns()))
	for i, id := range names {
		have[i] = id.Name
	}
	return &plan.Project{Input: n, Exprs: es, Names: have}
}
