package expr

import (
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqltypes"
)

// boolTest is IS [NOT] TRUE, FALSE, which are never NULL.
func boolTest(want, negate bool) Kernel {
	return func(_ *Ctx, a Args, out *delta.Vec) {
		v := a.Vecs[0]
		a.each(out, func(i int) { out.Bools[i] = (!v.IsNull(i) && v.Bools[i] == want) != negate })
	}
}

// countNulls is num_nulls and num_nonnulls.
func countNulls(null bool) Kernel {
	return func(_ *Ctx, a Args, out *delta.Vec) {
		a.each(out, func(i int) {
			n := int64(0)
			for _, v := range a.Vecs {
				if v.IsNull(i) == null {
					n++
				}
			}
			out.Ints[i] = n
		})
	}
}

// boolFuncs lists the tests of truth and of NULL. (AND, OR, NOT and IS NULL are nodes of their own.)
func boolFuncs() []Func {
	b, any := ts(sqltypes.Bool), ts(sqltypes.Any)
	return []Func{
		fn("istrue", b, sqltypes.Bool, boolTest(true, false), "IS TRUE").onNulls(),
		fn("isnottrue", b, sqltypes.Bool, boolTest(true, true), "IS NOT TRUE").onNulls(),
		fn("isfalse", b, sqltypes.Bool, boolTest(false, false), "IS FALSE").onNulls(),
		fn("isnotfalse", b, sqltypes.Bool, boolTest(false, true), "IS NOT FALSE").onNulls(),
		fn("num_nulls", any, sqltypes.Int4, countNulls(true), "number of arguments that are NULL").variadic().onNulls(),
		fn("num_nonnulls", any, sqltypes.Int4, countNulls(false), "number of arguments that are not NULL").variadic().onNulls(),
	}
}
