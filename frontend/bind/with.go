package bind

import (
	"slices"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// cteList are the common table expressions that are visible, innermost first.
type cteList struct {
	name string
	node plan.Node
	// later: it stands further on in the same WITH and cannot be referred to yet.
	later bool
	// self: the recursive term of the query is being bound, and node is its working table.
	self bool
	// noRows: a data-modifying statement without RETURNING.
	noRows bool
	next   *cteList
}

func (l *cteList) find(name string) *cteList {
	for ; l != nil; l = l.next {
		if l.name == name {
			return l
		}
	}
	return nil
}

// cte is the frame of a reference to a common table expression.
func (b *binder) cte(c *cteList, pos int) *frame {
	if c.noRows {
		fail(unsupported(pos, "", "WITH query %q does not have a RETURNING clause", c.name))
	}
	if s, ok := c.node.(*plan.Shared); ok {
		b.shared[s.ID]++
	}
	f := newFrame(c.node, c.name, "")
	f.items[0].self = c.self
	f.cols = slices.DeleteFunc(f.cols, func(v visible) bool { return hides(v.name) })
	return f
}

// with binds a WITH clause and returns a scope in which its names are visible. Plans are immutable, so that
// all references share one. top: the clause is that of the statement itself.
func (b *binder) with(w *parser.With, outer *scope, top bool) *scope {
	sc := b.newScope(&frame{node: oneRow()}, outer)
	for i, c := range w.CTEs {
		if slices.ContainsFunc(w.CTEs[:i], func(o parser.CTE) bool { return o.Name == c.Name }) {
			fail(sqlerr.New(sqlerr.DuplicateAlias, "WITH query name %q specified more than once", c.Name).At(c.Pos))
		}
	}
	for i, c := range inOrder(w) {
		in := *sc
		if !w.Recursive {
			in.ctes = withLater(w.CTEs[i:], sc.ctes)
		}
		out := &cteList{name: c.Name, next: sc.ctes}
		switch {
		case c.Query == nil:
			out.node, out.noRows = b.changeInWith(c, &in, top)
		case w.Recursive && refersToName(c.Query, c.Name) != nil:
			out.node = b.share(b.recursive(c, &in), c, true)
		case c.Search != nil || c.Cycle != nil:
			fail(sqlerr.New(sqlerr.SyntaxError, "WITH query is not recursive").At(c.Pos))
		default:
			out.node = b.share(b.query(c.Query, &in, true).node, c, false)
		}
		checkColumnNames(c, out.node)
		if s, ok := out.node.(*plan.Shared); ok {
			out.node = &plan.Shared{ID: s.ID, Input: renamed(s.Input, c.Columns)}
		} else {
			out.node = renamed(out.node, c.Columns)
		}
		sc.ctes = out
	}
	return sc
}

func checkColumnNames(c parser.CTE, n plan.Node) {
	if have := len(n.Columns()); len(c.Columns) > have {
		fail(sqlerr.New(sqlerr.InvalidColumnReference, "WITH query %q has %d columns available but %d columns specified", c.Name, have, len(c.Columns)).At(c.Pos))
	}
}

// share makes a query run once for all its references where that is asked for or can be seen: when it is recursive or
// volatile. unshare takes it back if there is only one reference.
func (b *binder) share(n plan.Node, c parser.CTE, recursive bool) plan.Node {
	volatile := isVolatile(n)
	if b.env.Streaming || c.Materialized != nil && !*c.Materialized && !volatile || refersToAny(n) {
		return n
	}
	if c.Materialized == nil && !recursive && !volatile {
		return n
	}
	b.shares++
	if c.Materialized != nil && *c.Materialized || volatile {
		b.shared[b.shares] = 1 // at least one more than the references
	}
	return &plan.Shared{ID: b.shares, Input: n}
}

func isVolatile(n plan.Node) bool {
	found := false
	plan.Walk(n, func(x plan.Node) bool {
		for _, e := range plan.Exprs(x) {
			found = found || expr.VolatilityOf(e) == expr.Volatile
		}
		return !found
	})
	return found
}

// unshare drops the Shared nodes of queries with one reference.
func (b *binder) unshare(n plan.Node) plan.Node {
	if len(b.shared) == 0 {
		return n
	}
	return plan.Transform(n, func(x plan.Node) plan.Node {
		if s, ok := x.(*plan.Shared); ok && b.shared[s.ID] < 2 {
			return s.Input
		}
		return x
	})
}

// inOrder lists the queries of a WITH so that each comes after those that it refers to, which RECURSIVE allows in any order.
func inOrder(w *parser.With) []parser.CTE {
	if !w.Recursive {
		return w.CTEs
	}
	var out []parser.CTE
	state := make([]int, len(w.CTEs)) // 1: under way, 2: done
	var visit func(i int)
	visit = func(i int) {
		state[i] = 1
		for k, o := range w.CTEs {
			if k == i || state[k] == 2 || refersToName(cteBody(w.CTEs[i]), o.Name) == nil {
				continue
			}
			if state[k] == 1 {
				fail(unsupported(o.Pos, "", "mutual recursion between WITH items is not implemented"))
			}
			visit(k)
		}
		state[i] = 2
		out = append(out, w.CTEs[i])
	}
	for i := range w.CTEs {
		if state[i] == 0 {
			visit(i)
		}
	}
	return out
}

func cteBody(c parser.CTE) parser.Node {
	if c.Query != nil {
		return c.Query
	}
	return c.DML
}

// refersToName finds a reference to a relation by its bare name.
func refersToName(n parser.Node, name string) *parser.RelRef {
	var found *parser.RelRef
	parser.Walk(n, func(x parser.Node) bool {
		if r, ok := x.(*parser.RelRef); ok && found == nil && len(r.Name.Parts) == 1 && r.Name.Last() == name {
			found = r
		}
		return found == nil
	})
	return found
}

// withLater puts names that cannot be referred to yet behind those that can, so that these win.
func withLater(ctes []parser.CTE, visible *cteList) *cteList {
	if visible != nil {
		c := *visible
		c.next = withLater(ctes, visible.next)
		return &c
	}
	var out *cteList
	for _, c := range ctes {
		out = &cteList{name: c.Name, later: true, next: out}
	}
	return out
}

// recursive binds init UNION [ALL] step, where step refers to the query itself.
func (b *binder) recursive(c parser.CTE, outer *scope) plan.Node {
	if b.env.Streaming && !b.env.Plain {
		fail(unsupported(c.Pos, "Query the tables with WITH RECURSIVE when the result is needed.",
			"WITH RECURSIVE is not supported in a view that is kept up to date"))
	}
	q := c.Query
	u, ok := q.Body.(*parser.SetOp)
	if !ok || u.Kind != parser.Union {
		fail(sqlerr.New(sqlerr.InvalidRecursion, "recursive query %q does not have the form non-recursive-term UNION [ALL] recursive-term", c.Name).At(c.Pos))
	}
	b.checkRecursion(c.Name, q, u)
	if q.With != nil {
		outer = b.with(q.With, outer, false)
	}
	left := b.resolveOutputs(b.body(u.Left, outer, true))
	checkColumnNames(c, left)
	var t *traced
	if c.Search != nil || c.Cycle != nil {
		t = b.trace(c, u, renamed(left, c.Columns))
		left = t.begin(renamed(left, c.Columns))
	}
	b.recursions++
	work := &plan.WorkTable{ID: b.recursions, Out: renamed(left, c.Columns).Columns()}
	step := u.Right
	if t != nil {
		step = t.step(u.Right.(*parser.Select))
	}
	in := *outer
	in.ctes = &cteList{name: c.Name, node: work, self: true, next: outer.ctes}
	right := b.body(step, &in, false)
	if t != nil && len(right.Columns()) == len(left.Columns()) {
		right = t.next(right)
	}
	b.sameWidth("UNION", left, right, columnPos(u.Right, 0))
	right = b.stepColumns(c, u, left, right)
	if !u.All {
		for _, col := range left.Columns() {
			b.mustBeComparable(col.Type, u.Pos)
		}
	}
	out := plan.Node(&plan.Recursive{ID: work.ID, Init: left, Step: right, Distinct: !u.All})
	if t != nil {
		out = t.end(out)
	}
	return out
}

// stepColumns converts the recursive term's columns to those of the other, which decides the types.
func (b *binder) stepColumns(c parser.CTE, u *parser.SetOp, left, right plan.Node) plan.Node {
	ts := plan.Types(left)
	pos := make([]int, len(ts))
	for i, l := range left.Columns() {
		pos[i] = columnPos(u.Right, i)
		r := right.Columns()[i]
		common := b.commonType("UNION", []typed{
			{&expr.Col{Index: i, Ty: l.Type}, columnPos(u.Left, i)}, {&expr.Col{Index: i, Ty: r.Type}, pos[i]},
		})
		if common.Base() != l.Type.Base() {
			fail(sqlerr.New(sqlerr.DatatypeMismatch, "recursive query %q column %d has type %s in non-recursive term but type %s overall",
				c.Name, i+1, l.Type, common).At(columnPos(u.Left, i)).WithHint("Cast the output of the non-recursive term to the correct type."))
		}
		ts[i] = common
	}
	return b.coerceOutputs(right, ts, pos, implicit, func(i int, t sqltypes.Type) *sqlerr.Error {
		return sqlerr.New(sqlerr.CannotCoerce, "UNION could not convert type %s to %s", t.Base(), ts[i]).At(pos[i])
	})
}

// checkRecursion refuses references to the query where the working table does not do: the rows found so far would not be
// all that the query means.
func (b *binder) checkRecursion(name string, q *parser.Query, u *parser.SetOp) {
	clause := ""
	pos := -1
	switch {
	case q.OrderBy != nil:
		clause, pos = "ORDER BY", leftmost(q.OrderBy[0].Expr)
	case q.Offset != nil:
		clause, pos = "OFFSET", leftmost(q.Offset)
	case q.Limit != nil:
		clause, pos = "LIMIT", leftmost(q.Limit)
	case q.Locking != nil:
		clause = "FOR UPDATE/SHARE"
	}
	if clause != "" {
		fail(unsupported(pos, "", "%s in a recursive query is not implemented", clause))
	}
	r := &recursionCheck{name: name}
	if ref := refersToName(u.Left, name); ref != nil {
		r.refuse(ref, "within its non-recursive term")
	}
	r.body(u.Right, "")
}

// recursionCheck walks a recursive term.
type recursionCheck struct {
	name string
	seen bool
}

func (r *recursionCheck) refuse(ref *parser.RelRef, where string) {
	fail(sqlerr.New(sqlerr.InvalidRecursion, "recursive reference to query %q must not appear %s", r.name, where).At(ref.Pos))
}

// body walks a query body; where is what it stands in that forbids a reference, "" for nothing.
func (r *recursionCheck) body(n parser.QueryBody, where string) {
	switch x := n.(type) {
	case *parser.Query:
		r.query(x, where)
	case *parser.SetOp:
		left, right := where, where
		switch {
		case x.Kind == parser.Intersect && x.All:
			left, right = "within INTERSECT", "within INTERSECT"
		case x.Kind == parser.Except:
			right = "within EXCEPT"
			if x.All {
				left = right
			}
		}
		r.body(x.Left, left)
		r.body(x.Right, right)
	case *parser.Select:
		for _, t := range x.From {
			r.table(t, where)
		}
		r.exprs(x, where)
	case *parser.Values:
		r.exprs(x, where)
	}
}

func (r *recursionCheck) query(q *parser.Query, where string) {
	if q.With != nil {
		for _, c := range q.With.CTEs {
			if c.Query != nil {
				r.query(c.Query, "within a subquery")
			}
		}
	}
	r.body(q.Body, where)
}

func (r *recursionCheck) table(t parser.TableRef, where string) {
	switch x := t.(type) {
	case *parser.RelRef:
		if len(x.Name.Parts) != 1 || x.Name.Last() != r.name {
			return
		}
		if where != "" {
			r.refuse(x, where)
		}
		if r.seen {
			r.refuse(x, "more than once")
		}
		r.seen = true
	case *parser.SubqueryRef:
		r.query(x.Query, where)
	case *parser.JoinRef:
		left, right := where, where
		if x.Kind == parser.RightJoin || x.Kind == parser.FullJoin {
			left = "within an outer join"
		}
		if x.Kind == parser.LeftJoin || x.Kind == parser.FullJoin {
			right = "within an outer join"
		}
		r.table(x.Left, left)
		r.table(x.Right, right)
		if x.On != nil {
			r.inExpr(x.On)
		}
	case *parser.FuncRef:
		for _, f := range x.Funcs {
			r.inExpr(f.Call)
		}
	}
}

// exprs looks into the expressions of a SELECT or VALUES.
func (r *recursionCheck) exprs(n parser.Node, _ string) {
	parser.Walk(n, func(x parser.Node) bool {
		if x == n {
			return true
		}
		if _, isTable := x.(parser.TableRef); isTable {
			return false
		}
		if e, ok := x.(parser.Expr); ok {
			r.inExpr(e)
			return false
		}
		return true
	})
}

func (r *recursionCheck) inExpr(e parser.Node) {
	if ref := refersToName(e, r.name); ref != nil {
		r.refuse(ref, "within a subquery")
	}
}

// changeInWith binds INSERT, UPDATE or DELETE in WITH. It runs once, whether or not its rows are read, and sees the
// tables as they were before the statement.
func (b *binder) changeInWith(c parser.CTE, sc *scope, top bool) (n plan.Node, noRows bool) {
	switch {
	case b.env.Streaming || b.env.views > 0:
		fail(unsupported(c.Pos, "", "views must not contain data-modifying statements in WITH"))
	case !top:
		fail(unsupported(c.Pos, "", "WITH clause containing a data-modifying statement must be at the top level"))
	}
	ch := &plan.Change{}
	switch s := c.DML.(type) {
	case *parser.InsertStmt:
		if InsertQueries(s) {
			return b.insertAndQuery(s, sc, top), false
		}
		ch.Insert = b.insert(s, sc, false)
	case *parser.UpdateStmt:
		ch.Update = b.update(s, sc, false)
	case *parser.DeleteStmt:
		ch.Delete = b.delete(s, sc, false)
	default:
		fail(unsupported(c.Pos, "", "MERGE not supported in WITH query"))
	}
	b.env.Changes = append(b.env.Changes, ch)
	ch.ID = len(b.env.Changes)
	out := &plan.Returned{ID: ch.ID}
	es, names := ch.Returns()
	for i, e := range es {
		out.Out = append(out.Out, plan.Column{Name: names[i], Type: e.Type()})
	}
	return out, es == nil
}
