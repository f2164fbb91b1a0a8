package rule

import (
	"strings"

	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
)

// simplifyOuter returns the kind that an outer join has in effect under conditions that no padded row passes.
func simplifyOuter(x *plan.Join, preds []expr.Expr, lw int) plan.JoinKind {
	if x.Kind != plan.Left && x.Kind != plan.Right && x.Kind != plan.Full {
		return x.Kind
	}
	noLeftNull, noRightNull := false, false // a row whose left, right side is padded is dropped
	for _, p := range preds {
		noLeftNull = noLeftNull || rejectsNull(p, func(i int) bool { return i < lw })
		noRightNull = noRightNull || rejectsNull(p, func(i int) bool { return i >= lw })
	}
	switch {
	case x.Kind == plan.Left && noRightNull, x.Kind == plan.Right && noLeftNull, x.Kind == plan.Full && noLeftNull && noRightNull:
		return plan.Inner
	case x.Kind == plan.Full && noLeftNull:
		return plan.Left
	case x.Kind == plan.Full && noRightNull:
		return plan.Right
	}
	return x.Kind
}

// rejectsNull says that condition p is not true whenever all columns with in are NULL.
func rejectsNull(p expr.Expr, in func(int) bool) bool {
	switch x := p.(type) {
	case *expr.BoolOp:
		for _, a := range x.Args {
			if rejectsNull(a, in) != x.Or {
				return !x.Or
			}
		}
		return x.Or
	case *expr.Not:
		return nullIfNull(x.Arg, in)
	case *expr.IsNull:
		return x.Negate && nullIfNull(x.Arg, in)
	}
	return nullIfNull(p, in)
}

// nullIfNull says that e is NULL whenever all columns with in are.
func nullIfNull(e expr.Expr, in func(int) bool) bool {
	switch x := e.(type) {
	case *expr.Col:
		return in(x.Index)
	case *expr.Cast:
		return nullIfNull(x.Arg, in)
	case *expr.Not:
		return nullIfNull(x.Arg, in)
	case *expr.InList:
		return nullIfNull(x.Arg, in)
	case *expr.Call:
		f, ok := expr.BySig(x.Sig)
		if !ok || f.Nulls != expr.Strict || strings.HasPrefix(x.Sig, "isdistinct(") {
			return false
		}
		for _, a := range x.Args {
			if nullIfNull(a, in) {
				return true
			}
		}
	}
	return false
}
