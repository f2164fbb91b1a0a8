package bind

import (
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// mapLit binds MAP {key: value, …}; to is the map type that a cast around it says, or Unknown.
func (x *exprCtx) mapLit(e *parser.MapLit, to sqltypes.Type) expr.Expr {
	if len(e.Keys) == 0 {
		if to.Kind != sqltypes.KMap {
			fail(sqlerr.New(sqlerr.IndeterminateDatatype, "cannot determine type of empty map").At(e.Pos).
				WithHint("Explicitly cast to the desired type, for example MAP {}::map(int, int)."))
		}
		v, err := sqlio.MakeMap(to, nil, nil)
		if err != nil {
			failAt(err, e.Pos)
		}
		return &expr.Const{Ty: to, Val: v}
	}
	keys, kt := x.unify("MAP", x.bindAll(e.Keys))
	if err := expr.CheckMapKey(kt); err != nil {
		failAt(err, e.Keys[0].At())
	}
	values, _ := x.unify("MAP", x.bindAll(e.Values))
	args := make([]expr.Expr, 0, 2*len(keys))
	for i := range keys {
		args = append(args, keys[i], values[i])
	}
	return x.function("map_from_pairs", e.Pos, args)
}

// mapSubscript binds m[key].
func (x *exprCtx) mapSubscript(base expr.Expr, e *parser.Subscript) expr.Expr {
	for i, it := range e.Items {
		if it.Slice {
			fail(sqlerr.New(sqlerr.DatatypeMismatch, "map subscript does not support slices").At(it.Pos))
		}
		if base.Type().Kind != sqltypes.KMap {
			rest := *e
			rest.Items = e.Items[i:]
			return x.subscripted(base, &rest)
		}
		base = x.function("map_access", e.Pos, []expr.Expr{base, x.bind(it.Upper)})
	}
	return base
}
