package bind

import (
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// sortLimit puts order and limits on n.
func (b *binder) sortLimit(q *parser.Query, n plan.Node, keys []plan.SortKey, sc *scope) plan.Node {
	limit := b.limitExpr(q.Limit, "LIMIT", sc)
	offset := b.limitExpr(q.Offset, "OFFSET", sc)
	_, constant := constInt(limit)
	switch {
	case perRow(limit) || perRow(offset) || q.WithTies && limit != nil && !(constant && isConstInt(offset)):
		return b.limitByNumber(n, keys, limit, offset, q.WithTies, sc)
	case q.WithTies && limit != nil:
		top := &plan.TopN{Input: n, OrderBy: keys, WithTies: true}
		top.Limit, _ = constInt(limit)
		if offset != nil {
			top.Offset, _ = constInt(offset)
		}
		return &plan.Sort{Input: top, Keys: keys}
	}
	if len(keys) > 0 {
		n = &plan.Sort{Input: n, Keys: keys}
	}
	if limit != nil || offset != nil {
		n = &plan.Limit{Input: n, Limit: limit, Offset: offset}
	}
	return n
}

// perRow says that a bound depends on an enclosing query's row or has to be looked up.
func perRow(e expr.Expr) bool {
	return e != nil && (hasSubquery(e) || exprRef(e, func(*outerRef) bool { return true }))
}

func isConstInt(e expr.Expr) bool {
	if e == nil {
		return true
	}
	_, ok := constInt(e)
	return ok
}

// limitByNumber numbers the rows and keeps those whose numbers lie within the bounds, which may be any expressions.
func (b *binder) limitByNumber(n plan.Node, keys []plan.SortKey, limit, offset expr.Expr, ties bool, sc *scope) plan.Node {
	width := len(n.Columns())
	number := &expr.Col{Index: width, Ty: sqltypes.Int8, Name: "row_number"}
	last := number
	if ties { // rows equal to the last one have its rank
		n = &plan.Window{Input: n, OrderBy: keys, Funcs: []plan.WindowFunc{rowFunc("row_number"), rowFunc("rank")}}
		last = &expr.Col{Index: width + 1, Ty: sqltypes.Int8, Name: "rank"}
	} else {
		n = &plan.TopN{Input: n, OrderBy: keys, Limit: -1, RowNumber: true}
	}
	zero := &expr.Const{Ty: sqltypes.Int8, Val: int64(0)}
	from := expr.Expr(zero)
	var conds []expr.Expr
	if offset != nil {
		n, offset = b.place(n, sc.id, offset)
		from = &expr.Coalesce{Args: []expr.Expr{offset, zero}, Ty: sqltypes.Int8}
		conds = append(conds, b.operator(">", -1, number, from))
	}
	if limit != nil {
		n, limit = b.place(n, sc.id, limit)
		within := b.operator("<=", -1, b.operator("-", -1, last, from), limit)
		some := &expr.BoolOp{Args: []expr.Expr{b.operator(">", -1, limit, zero), within}}
		conds = append(conds, orTrue(some))
	}
	n = &plan.Filter{Input: n, Cond: expr.And(conds)}
	if len(keys) > 0 {
		n = &plan.Sort{Input: n, Keys: keys}
	}
	return firstColumns(n, width)
}

// rowFunc is a window function without arguments over rows in order.
func rowFunc(name string) plan.WindowFunc {
	return plan.WindowFunc{Name: name, Result: sqltypes.Int8, Filter: -1, ColName: name, Frame: plan.Frame{
		Mode: 'A', Start: plan.FrameBound{Kind: plan.UnboundedPreceding}, End: plan.FrameBound{Kind: plan.CurrentRow},
	}}
}

// limitExpr binds the count of LIMIT or OFFSET; NULL means none.
func (b *binder) limitExpr(e parser.Expr, what string, sc *scope) expr.Expr {
	if e == nil {
		return nil
	}
	v := b.ctx(sc, what).bind(e)
	expr.Walk(v, func(x expr.Expr) bool {
		variable := func(pos int) {
			fail(sqlerr.New(sqlerr.InvalidColumnReference, "argument of %s must not contain variables", what).At(pos))
		}
		switch y := x.(type) {
		case *expr.Col, *slot:
			variable(leftmost(e))
		case *subquery:
			anyRef(y.node, func(o *outerRef) bool {
				if o.scope == sc.id {
					variable(o.pos)
				}
				return false
			})
		}
		return true
	})
	out, ok := b.coerce(v, sqltypes.Int8, assignment, leftmost(e))
	if !ok {
		fail(sqlerr.New(sqlerr.DatatypeMismatch, "argument of %s must be type bigint, not type %s", what, v.Type().Base()).At(leftmost(e)))
	}
	if c := b.constant(out); c != nil {
		out = c
	}
	if isNullConst(out) {
		return nil
	}
	if c, isConst := out.(*expr.Const); isConst && c.Val.(int64) < 0 {
		if what == "LIMIT" {
			fail(sqlerr.New(sqlerr.InvalidRowCountInLimit, "LIMIT must not be negative"))
		}
		fail(sqlerr.New(sqlerr.InvalidRowCountInOffset, "OFFSET must not be negative"))
	}
	return out
}

// constant evaluates an expression that is the same whenever it is evaluated; nil for any other.
func (b *binder) constant(e expr.Expr) *expr.Const {
	ok := expr.VolatilityOf(e) == expr.Immutable
	expr.Walk(e, func(x expr.Expr) bool {
		switch x.(type) {
		case *expr.Param, *outerRef, *subquery, *expr.Col, *slot:
			ok = false
		}
		return ok
	})
	if !ok {
		return nil
	}
	v, err := expr.EvalConst(&b.eval, e)
	if err != nil {
		return nil
	}
	return &expr.Const{Ty: e.Type(), Val: v}
}
