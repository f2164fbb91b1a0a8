package rule

import (
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
)

// factorOr takes what all arms of an OR have in common out of it: (a AND x) OR (a AND y) is a AND (x OR y), in three-valued
// logic too. A condition that joins two relations is then found where it can become a key.
func factorOr(n plan.Node) plan.Node {
	return plan.Transform(n, func(x plan.Node) plan.Node {
		switch y := x.(type) {
		case *plan.Filter:
			if c := factored(y.Cond); c != nil {
				return &plan.Filter{Input: y.Input, Cond: c}
			}
		case *plan.Join:
			if c := factored(y.Cond); c != nil {
				j := *y
				j.Cond = c
				return &j
			}
		}
		return x
	})
}

// factored is the condition with its ORs factored, nil when there is nothing to factor.
func factored(cond expr.Expr) expr.Expr {
	var out []expr.Expr
	changed := false
	for _, c := range expr.Conjuncts(cond) {
		arms, ok := disjuncts(c)
		if !ok || isVolatile(c) {
			out = append(out, c)
			continue
		}
		var common []expr.Expr
		for _, e := range arms[0] {
			if inAll(e, arms[1:]) {
				common = append(common, e)
			}
		}
		if len(common) == 0 {
			out = append(out, c)
			continue
		}
		changed = true
		out = append(out, common...)
		if rest := withoutCommon(arms, common); rest != nil {
			out = append(out, rest)
		}
	}
	if !changed {
		return nil
	}
	return expr.And(out)
}

// disjuncts splits an OR into its arms, each into its conjuncts.
func disjuncts(e expr.Expr) ([][]expr.Expr, bool) {
	b, ok := e.(*expr.BoolOp)
	if !ok || !b.Or {
		return nil, false
	}
	var arms [][]expr.Expr
	for _, a := range b.Args {
		if inner, ok := disjuncts(a); ok {
			arms = append(arms, inner...)
		} else {
			arms = append(arms, expr.Conjuncts(a))
		}
	}
	return arms, true
}

func inAll(e expr.Expr, arms [][]expr.Expr) bool {
	for _, arm := range arms {
		if !contains(arm, e) {
			return false
		}
	}
	return true
}

func contains(list []expr.Expr, e expr.Expr) bool {
	for _, x := range list {
		if expr.Same(x, e, nil) {
			return true
		}
	}
	return false
}

// withoutCommon is the OR of what is left of the arms; nil when an arm is no more than what they have in common.
func withoutCommon(arms [][]expr.Expr, common []expr.Expr) expr.Expr {
	or := &expr.BoolOp{Or: true}
	for _, arm := range arms {
		var rest []expr.Expr
		for _, e := range arm {
			if !contains(common, e) {
				rest = append(rest, e)
			}
		}
		if len(rest) == 0 {
			return nil
		}
		or.Args = append(or.Args, expr.And(rest))
	}
	return or
}

// impliedOver derives from an OR over several relations what it says about one of them: the OR of each arm's conjuncts over
// its columns; nil when some arm says nothing.
func impliedOver(e expr.Expr, in func(int) bool) expr.Expr {
	arms, ok := disjuncts(e)
	if !ok || isVolatile(e) {
		return nil
	}
	or := &expr.BoolOp{Or: true}
	for _, arm := range arms {
		var own []expr.Expr
		for _, c := range arm {
			if plan.ReadsColumns(c) && colsWithin(c, in) {
				own = append(own, c)
			}
		}
		if len(own) == 0 {
			return nil
		}
		or.Args = append(or.Args, expr.And(own))
	}
	return or
}
