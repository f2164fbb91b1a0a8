package bind

import (
	"strings"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/planner/rule"
)

// timedJoin binds ASOF [LEFT] JOIN, and a join with a relation FOR SYSTEM_TIME AS OF PROCTIME(): as the join that it looks
// like, of which another one is made then.
func (b *binder) timedJoin(x *parser.JoinRef, left, outer *scope) *frame {
	if x.Kind != parser.InnerJoin && x.Kind != parser.LeftJoin {
		fail(unsupported(x.Pos, "", "this join must be INNER or LEFT"))
	}
	y := *x
	y.AsOf = false
	temporal := false
	if r, ok := x.Right.(*parser.RelRef); ok && r.AsOf != nil {
		b.processTime(r.AsOf)
		z := *r
		z.AsOf, y.Right, temporal = nil, &z, true
	}
	if temporal && x.AsOf {
		fail(unsupported(x.Pos, "", "an ASOF join cannot be FOR SYSTEM_TIME AS OF PROCTIME() too"))
	}
	f := b.joinRef(&y, left, outer)
	make := b.asofJoin
	if temporal {
		make = b.temporalJoin
	}
	if f.node = replaceJoin(f.node, func(j *plan.Join) plan.Node { return make(x, j) }); f.node == nil {
		fail(unsupported(x.Pos, "", "the condition of this join must compare columns of its two sides"))
	}
	return f
}

// processTime refuses every point of time but the present.
func (b *binder) processTime(e parser.Expr) {
	if c, ok := e.(*parser.FuncCall); ok && len(c.Args) == 0 && strings.EqualFold(c.Name.Last(), "proctime") {
		return
	}
	fail(unsupported(e.At(), "Use FOR SYSTEM_TIME AS OF PROCTIME().", "relations can be joined as of the present only"))
}

// replaceJoin replaces the topmost join below projections; nil: there is none.
func replaceJoin(n plan.Node, by func(*plan.Join) plan.Node) plan.Node {
	switch x := n.(type) {
	case *plan.Join:
		return by(x)
	case *plan.Project:
		if in := replaceJoin(x.Input, by); in != nil {
			return x.WithChildren([]plan.Node{in})
		}
	}
	return nil
}

// temporalJoin is a plain join in a query, which reads all relations at one time.
func (b *binder) temporalJoin(x *parser.JoinRef, j *plan.Join) plan.Node {
	if !b.env.Streaming {
		return j
	}
	k, lw, rw := keyed(j)
	t := &plan.TemporalJoin{Left: k.Left, Right: k.Right, LeftKeys: k.LeftKeys, RightKeys: k.RightKeys, Cond: k.Cond, Outer: j.Kind == plan.Left}
	return sides(t, k, lw, rw)
}

// keyed turns the equalities of a join into keys, which may be computed behind the columns of its sides.
func keyed(j *plan.Join) (k *plan.Join, lw, rw int) {
	n := rule.JoinKeys(j)
	if p, ok := n.(*plan.Project); ok {
		n = p.Input
	}
	return n.(*plan.Join), len(j.Left.Columns()), len(j.Right.Columns())
}

// sides drops computed keys: the first lw columns of the left side and the first rw of the right side stay.
func sides(n plan.Node, k *plan.Join, lw, rw int) plan.Node {
	l := len(k.Left.Columns())
	if l == lw && len(k.Right.Columns()) == rw {
		return n
	}
	return pick(n, append(seq(0, lw), seq(l, l+rw)...))
}

// asofJoin takes a condition of equalities and one inequality.
func (b *binder) asofJoin(x *parser.JoinRef, j *plan.Join) plan.Node {
	lw, rw := len(j.Left.Columns()), len(j.Right.Columns())
	a := &plan.AsofJoin{Outer: j.Kind == plan.Left}
	var lt, rt expr.Expr
	var equal []expr.Expr
	for _, c := range expr.Conjuncts(j.Cond) {
		l, r, op, ok := inequality(c, lw)
		switch {
		case !ok:
			equal = append(equal, c)
			continue
		case lt != nil:
			fail(asofError(x, "an ASOF join takes one inequality"))
		}
		if lt, rt, ok = rule.SameType(l, r); !ok {
			fail(asofError(x, "an ASOF join cannot compare %s with %s", l.Type(), r.Type()))
		}
		a.Later, a.Strict = op[0] == '<', len(op) == 1
	}
	if lt == nil {
		fail(asofError(x, "an ASOF join needs an inequality between its sides, such as a.t >= b.t"))
	}
	// The times become the first column behind those of their side.
	with := func(n plan.Node, e expr.Expr) plan.Node {
		es, names := columnExprs(n, 0, len(n.Columns()))
		return &plan.Project{Input: n, Exprs: append(es, e), Names: append(names, "time")}
	}
	t := &plan.Join{Kind: plan.Inner, Left: with(j.Left, lt), Right: with(j.Right, expr.MapColumns(rt, func(i int) int { return i - lw }))}
	for i, c := range equal {
		equal[i] = expr.MapColumns(c, func(i int) int {
			if i >= lw {
				return i + 1
			}
			return i
		})
	}
	t.Cond = expr.And(equal)
	k, _, _ := keyed(t)
	if k.Cond != nil {
		fail(asofError(x, "an ASOF join takes equalities and one inequality between its sides, and no other condition"))
	}
	a.Left, a.Right, a.LeftKeys, a.RightKeys, a.LeftTime, a.RightTime = k.Left, k.Right, k.LeftKeys, k.RightKeys, lw, rw
	return sides(a, k, lw, rw)
}

func asofError(x *parser.JoinRef, format string, args ...any) *sqlerr.Error {
	pos := x.Pos
	if x.On != nil {
		pos = leftmost(x.On)
	}
	return unsupported(pos, "Filter the sides in subqueries, or after the join.", format, args...)
}

// inequality reads l op r, where l is of the left side and r of the right one.
func inequality(c expr.Expr, lw int) (l, r expr.Expr, op string, ok bool) {
	call, isCall := c.(*expr.Call)
	if !isCall || len(call.Args) != 2 {
		return nil, nil, "", false
	}
	op, _, _ = strings.Cut(call.Sig, "(")
	mirrored, known := map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<="}[op]
	if !known {
		return nil, nil, "", false
	}
	side := func(e expr.Expr, left bool) bool {
		within := plan.ReadsColumns(e)
		expr.Columns(e, func(i int) { within = within && i < lw == left })
		return within
	}
	l, r = call.Args[0], call.Args[1]
	if side(r, true) && side(l, false) {
		l, r, op = r, l, mirrored
	}
	return l, r, op, side(l, true) && side(r, false)
}
