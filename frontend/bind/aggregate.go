package bind

import (
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// collector gathers what a SELECT's expressions compute in steps of their own. In the expressions stand slots, which
// become columns once the step has been put on the plan.
type collector struct {
	aggs []*aggCall
	wins []*winCall
	srfs []*srfCall
	// groupings are the GROUPING calls.
	groupings []*groupingCall
	// noAggs, noWindows and noSRFs restrict a clause (GROUP BY, HAVING) that shares the collector.
	noAggs, noWindows, noSRFs bool
	windows                   map[string]*parser.WindowSpec
}

// slotKind says which list of the collector a slot points into.
type slotKind uint8

const (
	slotAgg slotKind = iota
	slotWindow
	slotSRF
	slotGrouping
)

// slot stands for the n-th result of its kind.
type slot struct {
	kind slotKind
	n    int
	ty   sqltypes.Type
}

// Type implements expr.Expr.
func (s *slot) Type() sqltypes.Type { return s.ty }

// orderKey is one bound key of an ORDER BY.
type orderKey struct {
	e                expr.Expr
	desc, nullsFirst bool
}

// aggCall is one bound aggregate call, over the columns of the FROM clause.
type aggCall struct {
	fn       *expr.AggFunc
	args     []expr.Expr
	distinct bool
	filter   expr.Expr
	order    []orderKey
	result   sqltypes.Type
	// direct are the direct arguments of an ordered-set aggregate; they may use grouped columns only.
	direct []typed
	pos    int
}

func (a *aggCall) same(c *aggCall) bool {
	if a.fn != c.fn || a.distinct != c.distinct || len(a.args) != len(c.args) || len(a.order) != len(c.order) || !sameExpr(a.filter, c.filter) {
		return false
	}
	for i := range a.args {
		if !sameExpr(a.args[i], c.args[i]) {
			return false
		}
	}
	for i, o := range a.order {
		p := c.order[i]
		if o.desc != p.desc || o.nullsFirst != p.nullsFirst || !sameExpr(o.e, p.e) {
			return false
		}
	}
	return true
}

// aggregate binds an aggregate call into the collector.
func (x *exprCtx) aggregate(e *parser.FuncCall, name string) expr.Expr {
	a := x.bindAggregate(e, name)
	a.pos = e.Pos
	if s := x.owner(a); s != nil {
		return x.outerAggregate(e, a, s)
	}
	x.checkAggregateAllowed(e)
	return x.addAggregate(a)
}

// addAggregate puts a call into the collector, once.
func (x *exprCtx) addAggregate(a *aggCall) expr.Expr {
	for i, c := range x.sel.aggs {
		if c.same(a) {
			return &slot{slotAgg, i, c.result}
		}
	}
	x.sel.aggs = append(x.sel.aggs, a)
	return &slot{slotAgg, len(x.sel.aggs) - 1, a.result}
}

func (x *exprCtx) checkAggregateAllowed(e *parser.FuncCall) {
	switch {
	case x.inFilter:
		fail(sqlerr.New(sqlerr.GroupingError, "aggregate functions are not allowed in FILTER").At(e.Pos))
	case x.inAgg:
		fail(sqlerr.New(sqlerr.GroupingError, "aggregate function calls cannot be nested").At(e.Pos))
	case x.sel == nil || x.sel.noAggs:
		fail(sqlerr.New(sqlerr.GroupingError, "aggregate functions are not allowed in %s", x.clause).At(e.Pos))
	}
}

// bindAggregate resolves the overload and binds arguments, FILTER and ORDER BY.
func (x *exprCtx) bindAggregate(e *parser.FuncCall, name string) *aggCall {
	if e.WithinGroup != nil {
		return x.orderedSet(e, name)
	}
	in := *x
	in.inAgg = true
	args := in.bindArgs(e)
	a := &aggCall{fn: x.aggFunc(e, name, args), distinct: e.Distinct}
	sig, _ := expand(a.fn.Args, 0, a.fn.Variadic, len(args))
	a.args = x.coerceArgs(sig, false, args, e.Pos)
	a.result = aggResult(a.fn, a.args)
	if a.fn.OrderedSet {
		fail(sqlerr.New(sqlerr.WrongObjectType, "WITHIN GROUP is required for ordered-set aggregate %s", name).At(e.Pos))
	}
	a.filter = in.aggFilter(e)
	if e.OrderBy != nil {
		a.order = in.aggOrder(e, args, a.args)
	}
	if a.distinct {
		x.checkDistinct(e, a)
	}
	if !a.fn.Ordered {
		a.order = nil
	}
	switch name { // where duplicates do not matter
	case "min", "max", "bool_and", "bool_or", "every", "bit_and", "bit_or":
		a.distinct = false
	}
	return a
}

// aggFilter binds FILTER; nil without it.
func (x *exprCtx) aggFilter(e *parser.FuncCall) expr.Expr {
	if e.Filter == nil {
		return nil
	}
	f := *x
	f.inAgg, f.inFilter, f.clause = true, true, "FILTER"
	return f.cond(e.Filter, "FILTER")
}

func aggResult(fn *expr.AggFunc, args []expr.Expr) sqltypes.Type {
	if fn.ResultOf == nil {
		return fn.Result
	}
	ts := make([]sqltypes.Type, len(args))
	for i, a := range args {
		ts[i] = a.Type().Base()
	}
	return fn.ResultOf(ts)
}

// aggFunc chooses the overload of an aggregate.
func (x *exprCtx) aggFunc(e *parser.FuncCall, name string, args []expr.Expr) *expr.AggFunc {
	if e.Star && len(args) > 0 {
		x.noFunction(e, args)
	}
	if !e.Star && len(args) == 0 {
		for _, f := range expr.AggByName(name) {
			if len(f.Args) == 0 {
				fail(sqlerr.New(sqlerr.WrongObjectType, "%s(*) must be used to call a parameterless aggregate function", name).At(e.Pos))
			}
		}
	}
	actual := flatTypes(args)
	var cands []candidate
	for _, f := range expr.AggByName(name) {
		if sig, ok := expand(f.Args, 0, f.Variadic, len(args)); ok {
			cands = append(cands, candidate{args: sig, of: f})
		}
	}
	c, ambiguous := choose(cands, actual, false)
	if ambiguous {
		fail(sqlerr.New(sqlerr.AmbiguousFunction, "function %s(%s) is not unique", name, argList(actual)).At(e.Pos).
			WithHint("Could not choose a best candidate function. You might need to add explicit type casts."))
	}
	if c == nil {
		if e.Star {
			fail(sqlerr.New(sqlerr.UndefinedFunction, "function %s() does not exist", name).At(e.Pos).
				WithHint("No function matches the given name and argument types. You might need to add explicit type casts."))
		}
		x.noFunction(e, args)
	}
	return c.of.(*expr.AggFunc)
}

func (x *exprCtx) aggOrder(e *parser.FuncCall, args, coerced []expr.Expr) []orderKey {
	var out []orderKey
	for _, o := range e.OrderBy {
		k := x.orderKey(o, x.value(o.Expr))
		for i, a := range args { // ORDER BY x where x is also an argument: the same column after coercion
			if sameExpr(a, k.e) {
				k.e = coerced[i]
			}
		}
		out = append(out, k)
	}
	return out
}

// checkDistinct refuses what DISTINCT inside an aggregate cannot do.
func (x *exprCtx) checkDistinct(e *parser.FuncCall, a *aggCall) {
	if len(a.args) == 0 {
		fail(sqlerr.New(sqlerr.UndefinedFunction, "DISTINCT is not allowed for a parameterless aggregate").At(e.Pos))
	}
	for i, t := range a.args {
		pos := e.Pos
		if i < len(e.Args) {
			pos = leftmost(e.Args[i].Value)
		}
		x.mustBeComparable(t.Type(), pos)
	}
	for i, o := range a.order {
		found := false
		for _, arg := range a.args {
			found = found || sameExpr(arg, o.e)
		}
		if !found {
			fail(sqlerr.New(sqlerr.InvalidColumnReference, "in an aggregate with DISTINCT, ORDER BY expressions must appear in argument list").At(e.OrderBy[i].Expr.At()))
		}
	}
}

// mustBeComparable refuses types without an equality operator where rows are told apart.
func (b *binder) mustBeComparable(t sqltypes.Type, pos int) {
	if t.Kind == sqltypes.KJSON || t.Kind == sqltypes.KJSONPath || t.Elem == sqltypes.KJSON {
		fail(sqlerr.New(sqlerr.UndefinedFunction, "could not identify an equality operator for type %s", t.Base()).At(pos))
	}
}

// exprs lists what an aggregate is computed from.
func (a *aggCall) exprs() []*expr.Expr {
	var out []*expr.Expr
	for i := range a.args {
		out = append(out, &a.args[i])
	}
	for i := range a.order {
		out = append(out, &a.order[i].e)
	}
	for i := range a.direct {
		out = append(out, &a.direct[i].e)
	}
	if a.filter != nil {
		out = append(out, &a.filter)
	}
	return out
}

// owner is the enclosing scope that an aggregate belongs to: the nearest of those whose columns it names, unless
// it names columns of its own query. nil: its own.
func (x *exprCtx) owner(a *aggCall) *scope {
	own, outer := false, map[int]bool{}
	note := func(o *outerRef) bool {
		own = own || o.scope == x.sc.id
		outer[o.scope] = true
		return false
	}
	for _, e := range a.exprs() {
		expr.Walk(*e, func(n expr.Expr) bool {
			switch y := n.(type) {
			case *outerRef:
				note(y)
			case *expr.Col, *slot:
				own = true
			case *subquery:
				anyRef(y.node, note)
			}
			return true
		})
	}
	if own {
		return nil
	}
	for s := x.sc.parent; s != nil; s = s.parent {
		if outer[s.id] {
			return s
		}
	}
	return nil
}

// outerAggregate puts an aggregate into the collector of the enclosing query that it belongs to.
func (x *exprCtx) outerAggregate(e *parser.FuncCall, a *aggCall, s *scope) expr.Expr {
	at := s.place
	if at == nil {
		fail(sqlerr.New(sqlerr.GroupingError, "aggregate functions are not allowed in FROM clause of their own query level").At(e.Pos))
	}
	at.checkAggregateAllowed(e)
	for _, p := range a.exprs() {
		*p = expr.Transform(*p, func(n expr.Expr) expr.Expr {
			switch y := n.(type) {
			case *outerRef:
				if y.scope == s.id && !y.agg {
					c := &expr.Col{Index: y.idx, Ty: y.ty, Name: y.name}
					x.pos[c] = y.pos
					return c
				}
			case *subquery:
				c := *y
				c.scope = s.id
				return &c
			}
			return n
		})
	}
	sl := at.addAggregate(a).(*slot)
	return &outerRef{scope: s.id, idx: sl.n, agg: true, ty: sl.ty, name: a.fn.Name, pos: e.Pos}
}

// tableFunc chooses the overload of a set-returning function and coerces its arguments.
func (b *binder) tableFunc(shown, name string, args []expr.Expr, pos int) (*expr.TableFunc, []expr.Expr) {
	actual := flatTypes(args)
	var cands []candidate
	for _, f := range expr.TableFuncsByName(name) {
		if sig, ok := expand(f.Args, f.Optional, false, len(args)); ok {
			cands = append(cands, candidate{args: sig, of: f})
		}
	}
	c, ambiguous := choose(cands, actual, false)
	if ambiguous {
		fail(sqlerr.New(sqlerr.AmbiguousFunction, "function %s(%s) is not unique", shown, argList(actual)).At(pos).
			WithHint("Could not choose a best candidate function. You might need to add explicit type casts."))
	}
	if c == nil {
		fail(undefinedFunction(shown, args).At(pos))
	}
	return c.of.(*expr.TableFunc), b.coerceArgs(c.args, false, args, pos)
}

func tableFuncCols(f *expr.TableFunc, args []expr.Expr) []plan.Column {
	cols := f.Cols
	if f.ColsOf != nil {
		ts := make([]sqltypes.Type, len(args))
		for i, a := range args {
			ts[i] = a.Type().Base()
		}
		cols = f.ColsOf(ts)
	}
	out := make([]plan.Column, len(cols))
	for i, c := range cols {
		out[i] = plan.Column{Name: c.Name, Type: c.Type}
	}
	return out
}
