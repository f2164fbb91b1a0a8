package bind

import (
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// orderedSet binds f(direct) WITHIN GROUP (ORDER BY values).
func (x *exprCtx) orderedSet(e *parser.FuncCall, name string) *aggCall {
	in := *x
	in.inAgg = true
	direct := in.bindArgs(e)
	n := len(direct)
	all := append(direct[:n:n], in.withinGroup(e)...)
	a := &aggCall{fn: x.aggFunc(e, name, all)}
	if !a.fn.OrderedSet {
		fail(sqlerr.New(sqlerr.WrongObjectType, "%s is not an ordered-set aggregate, so it cannot have WITHIN GROUP", name).At(e.Pos))
	}
	if a.fn.Direct != n {
		x.noFunction(e, all)
	}
	sig, _ := expand(a.fn.Args, 0, a.fn.Variadic, len(all))
	all = x.coerceArgs(sig, false, all, e.Pos)
	a.result = aggResult(a.fn, all)
	a.args = append(all[n:len(all):len(all)], all[:n]...)
	for i := range n {
		a.direct = append(a.direct, typed{all[i], e.Args[i].Value.At()})
	}
	a.filter = x.aggFilter(e)
	for i, o := range e.WithinGroup {
		a.order = append(a.order, x.orderKey(o, all[n+i]))
	}
	if !a.fn.Ordered { // it does not look at the order of rows: the fraction counts from the other end instead
		if a.order[0].desc {
			one := &expr.Const{Ty: sqltypes.Float8, Val: float64(1)}
			a.args[1] = x.operator("-", e.Pos, one, a.args[1])
		}
		a.order = nil
	}
	return a
}

func (x *exprCtx) withinGroup(e *parser.FuncCall) []expr.Expr {
	out := make([]expr.Expr, len(e.WithinGroup))
	for i, o := range e.WithinGroup {
		out[i] = x.bind(o.Expr)
	}
	return out
}

// checkDirect refuses ungrouped columns in direct arguments, which belong to the group and not to its rows.
func (g *grouping) checkDirect(a *aggCall) {
	for _, d := range a.direct {
		g.walkUngrouped(d.e, func(idx int, at expr.Expr) {
			fail(g.ungrouped(idx, g.posOf(at)).WithDetail("Direct arguments of an ordered-set aggregate must use only grouped columns."))
		})
	}
}

func isHypothetical(name string) bool {
	switch name {
	case "rank", "dense_rank", "percent_rank", "cume_dist":
		return true
	}
	return false
}

// hypothetical binds rank(a, b) WITHIN GROUP (ORDER BY x, y) and its kin: what the row (a, b) would have among the group's
// rows. They are counts of the rows that sort before it, so that they cost no more than those and can be kept up
// to date.
func (x *exprCtx) hypothetical(e *parser.FuncCall, name string) expr.Expr {
	x.checkAggregateAllowed(e)
	in := *x
	in.inAgg = true
	direct, values := in.bindArgs(e), in.withinGroup(e)
	if len(direct) != len(values) {
		all := append(direct, values...)
		fail(undefinedFunction(e.Name.String(), all).At(e.Pos).
			WithHint("To use the hypothetical-set aggregate %s, the number of hypothetical direct arguments (here %d) must match the number of ordering columns (here %d).",
				name, len(direct), len(values)))
	}
	h := &hypothetical{exprCtx: x, filter: x.aggFilter(e), pos: e.Pos}
	for i := range direct {
		both, _ := x.unify("WITHIN GROUP", []typed{{values[i], e.WithinGroup[i].Expr.At()}, {direct[i], e.Args[i].Value.At()}})
		h.keys = append(h.keys, x.orderKey(e.WithinGroup[i], both[0]))
		h.row = append(h.row, typed{both[1], e.Args[i].Value.At()})
	}
	return h.result(name)
}

// hypothetical is a hypothetical-set aggregate in the making.
type hypothetical struct {
	*exprCtx
	keys   []orderKey
	row    []typed // what the keys are compared with
	filter expr.Expr
	pos    int
}

func (h *hypothetical) result(name string) expr.Expr {
	before := h.before()
	one := &expr.Const{Ty: sqltypes.Int8, Val: int64(1)}
	switch name {
	case "rank":
		return h.operator("+", h.pos, h.count(before, nil), one)
	case "dense_rank":
		return h.operator("+", h.pos, h.count(before, h.valueRow()), one)
	case "percent_rank":
		rows := h.count(nil, nil)
		return &expr.Case{Ty: sqltypes.Float8,
			Whens: []expr.When{{Cond: h.positive(rows), Then: h.ratio(h.count(before, nil), rows)}},
			Else:  &expr.Const{Ty: sqltypes.Float8, Val: float64(0)}}
	}
	upTo := &expr.BoolOp{Or: true, Args: []expr.Expr{before, h.same(len(h.keys))}}
	return h.ratio(h.operator("+", h.pos, h.count(upTo, nil), one), h.operator("+", h.pos, h.count(nil, nil), one))
}

func (h *hypothetical) ratio(a, b expr.Expr) expr.Expr {
	return h.operator("/", h.pos, h.mustCoerce(a, sqltypes.Float8, explicit, h.pos), h.mustCoerce(b, sqltypes.Float8, explicit, h.pos))
}

// count counts the rows for which cond holds, or their distinct values of arg.
func (h *hypothetical) count(cond expr.Expr, arg expr.Expr) expr.Expr {
	a := &aggCall{result: sqltypes.Int8, direct: h.row}
	sig := "count()"
	if arg != nil {
		sig, a.args, a.distinct = "count(\"any\")", []expr.Expr{arg}, true
	}
	a.fn, _ = expr.AggBySig(sig)
	var conds []expr.Expr
	if h.filter != nil {
		conds = append(conds, h.filter)
	}
	if cond != nil {
		conds = append(conds, cond)
	}
	if len(conds) > 0 {
		a.filter = expr.And(conds)
	}
	return h.addAggregate(a)
}

// valueRow makes one value of the keys, so that those with NULLs count, too.
func (h *hypothetical) valueRow() expr.Expr {
	var row []sqltypes.RowField
	out := &expr.MakeRow{}
	for _, k := range h.keys {
		out.Args = append(out.Args, k.e)
		row = append(row, sqltypes.RowField{Name: "key", Type: k.e.Type()})
	}
	out.Ty = sqltypes.StructOf(row)
	return out
}

// before says that a row sorts before the hypothetical one.
func (h *hypothetical) before() expr.Expr {
	var any []expr.Expr
	for i := range h.keys {
		c := h.keyBefore(i)
		if i > 0 {
			c = &expr.BoolOp{Args: []expr.Expr{h.same(i), c}}
		}
		any = append(any, c)
	}
	if len(any) == 1 {
		return any[0]
	}
	return &expr.BoolOp{Or: true, Args: any}
}

func (h *hypothetical) keyBefore(i int) expr.Expr {
	k, v := h.keys[i], h.row[i].e
	op, first, second := "<", k.e, v
	if k.desc {
		op = ">"
	}
	if !k.nullsFirst { // the one that is not NULL comes first
		first, second = v, k.e
	}
	less := &expr.Coalesce{Ty: sqltypes.Bool, Args: []expr.Expr{h.operator(op, h.pos, k.e, v), &expr.Const{Ty: sqltypes.Bool, Val: false}}}
	nulls := &expr.BoolOp{Args: []expr.Expr{&expr.IsNull{Arg: first}, &expr.IsNull{Arg: second, Negate: true}}}
	return &expr.BoolOp{Or: true, Args: []expr.Expr{less, nulls}}
}

// same says that the first n keys are those of the hypothetical row.
func (h *hypothetical) same(n int) expr.Expr {
	var all []expr.Expr
	for i := range n {
		all = append(all, &expr.Not{Arg: h.resolve("isdistinct", "=", h.pos, []expr.Expr{h.keys[i].e, h.row[i].e})})
	}
	return expr.And(all)
}
