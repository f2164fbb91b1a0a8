package bind

import (
	"strings"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// subKind says what a subquery's value is.
type subKind uint8

const (
	subScalar subKind = iota // the one column of its one row
	subExists
	subAny // some row passes test
	subAll // every row passes test
	subRow // test over the one row
)

// subquery stands for the value of a subquery until it is joined to the plan around it (place, filter).
type subquery struct {
	kind  subKind
	node  plan.Node
	scope int // the enclosing query's scope: the columns that node's outerRefs name
	// test, of subAny, subAll and subRow, is over the enclosing query's columns, with innerCol for node's.
	test expr.Expr
	ty   sqltypes.Type
	pos  int
}

// innerCol is a column of a subquery inside its test.
type innerCol struct {
	idx int
	ty  sqltypes.Type
}

// Type implements expr.Expr.
func (s *subquery) Type() sqltypes.Type { return s.ty }

// Type implements expr.Expr.
func (c *innerCol) Type() sqltypes.Type { return c.ty }

// Children implements expr.Parent.
func (s *subquery) Children() []expr.Expr {
	if s.test == nil {
		return nil
	}
	return []expr.Expr{s.test}
}

// WithChildren implements expr.Parent.
func (s *subquery) WithChildren(ch []expr.Expr) expr.Expr {
	c := *s
	if len(ch) > 0 {
		c.test = ch[0]
	}
	return &c
}

func hasSubquery(e expr.Expr) bool {
	found := false
	expr.Walk(e, func(n expr.Expr) bool {
		if _, ok := n.(*subquery); ok {
			found = true
		}
		return !found
	})
	return found
}

// subqueryExpr binds (SELECT …), EXISTS (…) and ARRAY(…).
func (x *exprCtx) subqueryExpr(e *parser.Subquery) expr.Expr {
	x.allowSubquery(e.Pos)
	switch e.Kind {
	case parser.Exists:
		return &subquery{kind: subExists, node: x.subquery(e.Query).node, scope: x.sc.id, ty: sqltypes.Bool, pos: e.Pos}
	case parser.ArrayOf:
		return x.arrayQuery(e)
	}
	n := x.subquery(e.Query).node
	cols := n.Columns()
	if len(cols) != 1 {
		fail(sqlerr.New(sqlerr.SyntaxError, "subquery must return only one column").At(e.Pos))
	}
	return &subquery{kind: subScalar, node: n, scope: x.sc.id, ty: cols[0].Type, pos: e.Pos}
}

// subquery binds a query that stands in an expression.
func (x *exprCtx) subquery(q *parser.Query) *relation {
	sc := *x.sc
	sc.place = x
	return x.query(q, &sc, true)
}

func (x *exprCtx) allowSubquery(pos int) {
	if x.noSubquery {
		fail(unsupported(pos, "", "cannot use subquery in %s", strings.TrimSuffix(x.clause, "s")))
	}
	if x.inAgg && x.inFilter {
		fail(unsupported(pos, "", "cannot use subquery in FILTER"))
	}
}

// arrayQuery is array_agg over the query, and an empty array where that is NULL.
func (x *exprCtx) arrayQuery(e *parser.Subquery) expr.Expr {
	n := x.subquery(e.Query).node
	cols := n.Columns()
	if len(cols) != 1 {
		fail(sqlerr.New(sqlerr.SyntaxError, "subquery must return only one column").At(e.Pos))
	}
	var keys []plan.SortKey
	if s, ok := n.(*plan.Sort); ok {
		keys = s.Keys
	}
	fake := &parser.FuncCall{Loc: e.Loc, Name: parser.Name{Parts: []string{"array_agg"}}}
	arg := &expr.Col{Index: 0, Ty: cols[0].Type}
	fn := x.aggFunc(fake, "array_agg", []expr.Expr{arg})
	ty := aggResult(fn, []expr.Expr{arg})
	agg := &plan.Agg{Input: n, Scalar: true, Aggs: []plan.AggCall{{
		Sig: fn.Sig(), Args: []int{0}, ArgTypes: []sqltypes.Type{arg.Ty}, Result: ty, Filter: -1, OrderBy: keys, Name: "array",
	}}}
	return &expr.Coalesce{Ty: ty, Args: []expr.Expr{
		&subquery{kind: subScalar, node: agg, scope: x.sc.id, ty: ty, pos: e.Pos},
		&expr.MakeArray{Ty: ty},
	}}
}

// quantifiedQuery binds x op ANY (query), IN and NOT IN among them.
func (x *exprCtx) quantifiedQuery(left parser.Expr, op string, q *parser.Query, not bool, pos int) expr.Expr {
	s := x.comparedQuery(left, op, q, pos)
	s.kind = subAny
	if not {
		return &expr.Not{Arg: s}
	}
	return s
}

func (x *exprCtx) allQuery(left parser.Expr, op string, q *parser.Query, pos int) expr.Expr {
	s := x.comparedQuery(left, op, q, pos)
	s.kind = subAll
	return s
}

// comparedQuery binds the comparison of an operand, or a row of them, with a query's columns.
func (x *exprCtx) comparedQuery(left parser.Expr, op string, q *parser.Query, pos int) *subquery {
	x.allowSubquery(pos)
	operands := []parser.Expr{left}
	if r, ok := left.(*parser.Row); ok {
		operands = r.Elems
	}
	l := x.bindAll(operands)
	n := x.subquery(q).node
	cols := n.Columns()
	if len(cols) < len(l) {
		fail(sqlerr.New(sqlerr.SyntaxError, "subquery has too few columns").At(pos))
	}
	if len(cols) > len(l) {
		fail(sqlerr.New(sqlerr.SyntaxError, "subquery has too many columns").At(pos))
	}
	r := make([]typed, len(cols))
	for i, c := range cols {
		r[i] = typed{&innerCol{i, c.Type}, pos}
	}
	test := x.compareRowsOr(op, l, r, pos)
	return &subquery{node: n, scope: x.sc.id, test: x.toBool(test, "operator "+op, pos), ty: sqltypes.Bool, pos: pos}
}

func (x *exprCtx) compareRowsOr(op string, l, r []typed, pos int) expr.Expr {
	if len(l) == 1 {
		return x.operator(op, pos, l[0].e, r[0].e)
	}
	return x.compareRows(op, l, r, pos)
}

// rowSubquery compares a row with the one row of a subquery; where it has none, with one of NULLs.
func (x *exprCtx) rowSubquery(e *parser.Binary, left *parser.Row, q *parser.Subquery) expr.Expr {
	s := x.comparedQuery(left, e.Op, q.Query, e.Pos)
	s.kind = subRow
	return s
}

// filter puts the condition cond on n, whose columns are those of scope. Conjuncts that are EXISTS, IN and their
// kin become semi and anti joins; other subqueries become columns appended to n.
func (b *binder) filter(n plan.Node, scope int, cond expr.Expr) plan.Node {
	var plain, calls, rest []expr.Expr
	for _, c := range expr.Conjuncts(cond) {
		switch {
		case hasSubquery(c):
			rest = append(rest, c)
		case hasSQLCall(c): // behind what costs less, as in PostgreSQL
			calls = append(calls, c)
		default:
			plain = append(plain, c)
		}
	}
	if plain = append(plain, calls...); len(plain) > 0 {
		n = &plan.Filter{Input: n, Cond: expr.And(plain)}
	}
	for _, c := range rest {
		n = b.filterBySubquery(n, scope, c)
	}
	return n
}

func hasSQLCall(e expr.Expr) bool {
	found := false
	expr.Walk(e, func(x expr.Expr) bool {
		_, is := x.(*expr.SQLCall)
		found = found || is
		return !found
	})
	return found
}

func (b *binder) filterBySubquery(n plan.Node, scope int, c expr.Expr) plan.Node {
	inner, negated := c, false
	for {
		not, ok := inner.(*expr.Not)
		if !ok {
			break
		}
		inner, negated = not.Arg, !negated
	}
	s, ok := inner.(*subquery)
	if ok && s.kind == subExists {
		kind := plan.Semi
		if negated {
			kind = plan.Anti
		}
		if always, known := b.existsAlways(s.node); known {
			if always != negated {
				return n
			}
			return &plan.Filter{Input: n, Cond: &expr.Const{Ty: sqltypes.Bool, Val: false}}
		}
		return b.apply(kind, n, scope, forExists(s.node), nil)
	}
	if !ok || s.kind == subScalar || s.kind == subRow || hasSubquery(s.test) {
		n, e := b.place(n, scope, c)
		return &plan.Filter{Input: n, Cond: e}
	}
	test := joined(s.test, len(n.Columns()))
	switch {
	case s.kind == subAny && !negated:
		return b.apply(plan.Semi, n, scope, s.node, test)
	case s.kind == subAll && negated: // some row fails the test
		return b.apply(plan.Semi, n, scope, s.node, &expr.Not{Arg: test})
	case s.kind == subAny: // no row passes, nor could pass
		if out := b.nullAnti(n, scope, s); out != nil {
			return out
		}
		return b.apply(plan.Anti, n, scope, s.node, orTrue(test))
	}
	return b.apply(plan.Anti, n, scope, s.node, orTrue(&expr.Not{Arg: test}))
}

// orTrue makes NULL count as true.
func orTrue(e expr.Expr) expr.Expr {
	return &expr.Coalesce{Args: []expr.Expr{e, expr.True()}, Ty: sqltypes.Bool}
}

// joined rewrites a test to the columns of a join whose left side is width wide.
func joined(test expr.Expr, width int) expr.Expr {
	return expr.Transform(test, func(e expr.Expr) expr.Expr {
		if c, ok := e.(*innerCol); ok {
			return &expr.Col{Index: width + c.idx, Ty: c.ty}
		}
		return e
	})
}

// nullAnti is NOT IN over an uncorrelated query of one column, by a join that knows about NULLs.
func (b *binder) nullAnti(n plan.Node, scope int, s *subquery) plan.Node {
	if refersTo(s.node, scope) || refersToAny(s.node) {
		return nil
	}
	l, r, ok := splitTest(s.test)
	if !ok || l.Type() != r.Type() {
		return nil
	}
	width := len(n.Columns())
	left := appendColumns(n, []expr.Expr{l})
	right := &plan.Project{Input: s.node, Exprs: []expr.Expr{innerToCol(r)}, Names: []string{"in"}}
	j := &plan.Join{Kind: plan.NullAnti, Left: left, Right: right, LeftKeys: []int{width}, RightKeys: []int{0}}
	return firstColumns(j, width)
}

// splitTest takes an equality test apart into an operand over the enclosing query and one over the subquery.
func splitTest(test expr.Expr) (outer, inner expr.Expr, ok bool) {
	c, isCall := test.(*expr.Call)
	if !isCall || len(c.Args) != 2 || !isEquality(c) || hasInner(c.Args[0]) || !onlyInner(c.Args[1]) {
		return nil, nil, false
	}
	return c.Args[0], c.Args[1], true
}

func hasInner(e expr.Expr) bool {
	found := false
	expr.Walk(e, func(n expr.Expr) bool {
		_, ok := n.(*innerCol)
		found = found || ok
		return !found
	})
	return found
}

func onlyInner(e expr.Expr) bool {
	ok := hasInner(e)
	expr.Walk(e, func(n expr.Expr) bool {
		switch n.(type) {
		case *expr.Col, *outerRef, *subquery:
			ok = false
		}
		return ok
	})
	return ok
}

func innerToCol(e expr.Expr) expr.Expr { return joined(e, 0) }

// place replaces the subqueries in e by columns appended to n, whose first columns are those of scope.
func (b *binder) place(n plan.Node, scope int, e expr.Expr) (plan.Node, expr.Expr) {
	if e == nil || !hasSubquery(e) {
		return n, e
	}
	out := expr.Transform(e, func(x expr.Expr) expr.Expr {
		s, ok := x.(*subquery)
		if !ok {
			return x
		}
		var v expr.Expr
		n, v = b.placeOne(n, scope, s)
		return v
	})
	return n, out
}

func (b *binder) placeAll(n plan.Node, scope int, es []expr.Expr) (plan.Node, []expr.Expr) {
	out := make([]expr.Expr, len(es))
	for i, e := range es {
		n, out[i] = b.place(n, scope, e)
	}
	return n, out
}

func (b *binder) placeOne(n plan.Node, scope int, s *subquery) (plan.Node, expr.Expr) {
	width := len(n.Columns())
	switch s.kind {
	case subScalar:
		out := b.applyScalar(n, scope, maxOneRow(s.node))
		return out, &expr.Col{Index: width, Ty: s.ty}
	case subRow:
		return b.applyScalar(n, scope, maxOneRow(s.node)), joined(s.test, width)
	case subExists:
		if always, known := b.existsAlways(s.node); known {
			return n, &expr.Const{Ty: sqltypes.Bool, Val: always}
		}
		agg := &plan.Agg{Input: forExists(s.node), Scalar: true, Aggs: []plan.AggCall{countRows(-1)}}
		return b.applyScalar(n, scope, agg), b.positive(&expr.Col{Index: width, Ty: sqltypes.Int8})
	}
	if s.kind == subAny && !refersToAny(s.node) {
		if l, r, ok := splitTest(s.test); ok && l.Type() == r.Type() {
			return b.placeIn(n, s, l, innerToCol(r))
		}
	}
	return b.placeCounted(n, scope, s)
}

// placeIn gives x IN (uncorrelated query) its value in three-valued logic: found by a join with the distinct
// values, and the two counts that tell false from NULL.
func (b *binder) placeIn(n plan.Node, s *subquery, l, r expr.Expr) (plan.Node, expr.Expr) {
	width := len(n.Columns())
	left := appendColumns(n, []expr.Expr{l}) // width: x
	values := &plan.Project{Input: s.node, Exprs: []expr.Expr{r}, Names: []string{"in"}}
	distinct := appendColumns(&plan.Agg{Input: values, GroupBy: []int{0}}, []expr.Expr{expr.True()})
	found := &plan.Join{Kind: plan.Left, Left: left, Right: distinct, LeftKeys: []int{width}, RightKeys: []int{0}} // width+1: y, width+2: true
	notNull := countRows(-1)
	notNull.Sig, notNull.Args, notNull.ArgTypes = "count(\"any\")", []int{0}, []sqltypes.Type{r.Type()}
	counts := &plan.Agg{Input: values, Scalar: true, Aggs: []plan.AggCall{countRows(-1), notNull}}
	all := &plan.Join{Kind: plan.Inner, Left: found, Right: counts} // width+3: rows, width+4: rows not NULL
	col := func(i int, t sqltypes.Type) expr.Expr { return &expr.Col{Index: width + i, Ty: t} }
	rows, known := col(3, sqltypes.Int8), col(4, sqltypes.Int8)
	val := &expr.Case{Ty: sqltypes.Bool, Whens: []expr.When{
		{Cond: &expr.Not{Arg: b.positive(rows)}, Then: &expr.Const{Ty: sqltypes.Bool, Val: false}},
		{Cond: &expr.IsNull{Arg: col(2, sqltypes.Bool), Negate: true}, Then: expr.True()},
		{Cond: &expr.BoolOp{Or: true, Args: []expr.Expr{
			&expr.IsNull{Arg: col(0, l.Type())}, b.operator("<", s.pos, known, rows),
		}}, Then: expr.Null(sqltypes.Bool)},
	}, Else: &expr.Const{Ty: sqltypes.Bool, Val: false}}
	return all, val
}

// placeCounted gives any ANY or ALL its value: it counts the rows that decide and those that are NULL.
func (b *binder) placeCounted(n plan.Node, scope int, s *subquery) (plan.Node, expr.Expr) {
	width := len(n.Columns())
	test := expr.Transform(s.test, func(e expr.Expr) expr.Expr {
		switch c := e.(type) {
		case *expr.Col:
			return &outerRef{scope: scope, idx: c.Index, ty: c.Ty, name: c.Name, pos: s.pos}
		case *innerCol:
			return &expr.Col{Index: c.idx, Ty: c.ty}
		}
		return e
	})
	decides := test
	if s.kind == subAll {
		decides = &expr.Not{Arg: test}
	}
	rows := &plan.Project{Input: s.node, Names: []string{"decides", "open"},
		Exprs: []expr.Expr{decides, &expr.IsNull{Arg: test}}}
	agg := &plan.Agg{Input: rows, Scalar: true, Aggs: []plan.AggCall{countRows(0), countRows(1)}}
	col := func(i int) expr.Expr { return &expr.Col{Index: width + i, Ty: sqltypes.Int8} }
	val := &expr.Case{Ty: sqltypes.Bool, Whens: []expr.When{
		{Cond: b.positive(col(0)), Then: &expr.Const{Ty: sqltypes.Bool, Val: s.kind == subAny}},
		{Cond: b.positive(col(1)), Then: expr.Null(sqltypes.Bool)},
	}, Else: &expr.Const{Ty: sqltypes.Bool, Val: s.kind == subAll}}
	return b.applyScalar(n, scope, agg), val
}

// positive is e > 0 for a count.
func (b *binder) positive(e expr.Expr) expr.Expr {
	return b.operator(">", -1, e, &expr.Const{Ty: sqltypes.Int8, Val: int64(0)})
}

// countRows is count(*), of the rows for which column filter is true (-1: all).
func countRows(filter int) plan.AggCall {
	return plan.AggCall{Sig: "count()", Result: sqltypes.Int8, Filter: filter, Name: "count"}
}

// existsAlways knows the answer to EXISTS without running it: an aggregate without GROUP BY has one row.
func (b *binder) existsAlways(n plan.Node) (always, known bool) {
	for {
		switch x := n.(type) {
		case *plan.Project:
			n = x.Input
		case *plan.Sort:
			n = x.Input
		case *plan.Agg:
			return true, x.Scalar
		default:
			return false, false
		}
	}
}

// forExists drops what cannot change whether a query has rows.
func forExists(n plan.Node) plan.Node {
	for {
		switch x := n.(type) {
		case *plan.Project:
			if hasSlots(x) {
				return n
			}
			n = x.Input
		case *plan.Sort:
			n = x.Input
		case *plan.Agg:
			if x.Scalar || len(x.Aggs) > 0 {
				return n
			}
			n = x.Input
		case *plan.Limit:
			if c, ok := x.Limit.(*expr.Const); x.Offset != nil || x.Limit != nil && (!ok || c.Val == int64(0)) {
				return n
			}
			n = x.Input
		default:
			return n
		}
	}
}

func hasSlots(p *plan.Project) bool {
	for _, e := range p.Exprs {
		if expr.VolatilityOf(e) == expr.Volatile {
			return true
		}
	}
	return false
}

// maxOneRow guards a scalar subquery that may have more than one row.
func maxOneRow(n plan.Node) plan.Node {
	for x := n; ; {
		switch y := x.(type) {
		case *plan.Project:
			x = y.Input
			continue
		case *plan.Agg:
			if y.Scalar {
				return n
			}
		case *plan.MaxOneRow:
			return n
		}
		return &plan.MaxOneRow{Input: n}
	}
}
