package rule

import (
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// equalSig finds the = operator between two values of type t, which is compared as text when it is varchar.
func equalSig(t sqltypes.Type) (f *expr.Func, as sqltypes.Type, ok bool) {
	as = t.Underlying().Base()
	if as.Kind == sqltypes.KVarchar {
		as = sqltypes.Text
	}
	any := as
	if as.Kind == sqltypes.KArray {
		any = sqltypes.AnyArray
	}
	for _, f := range expr.ByName("=") {
		if len(f.Args) == 2 && f.Args[0] == any && f.Args[1] == any {
			return f, as, true
		}
	}
	return nil, as, false
}

func hasEquality(t sqltypes.Type) bool {
	_, _, ok := equalSig(t)
	return ok
}

// equal is l = r for two columns of one type that has the operator.
func equal(l, r *expr.Col) expr.Expr {
	f, as, _ := equalSig(l.Ty)
	cast := func(c *expr.Col) expr.Expr {
		if c.Ty.Base() == as {
			return c
		}
		return &expr.Cast{Arg: c, Ty: as}
	}
	return expr.NewCall(f, cast(l), cast(r))
}
