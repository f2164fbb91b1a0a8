package expr

import (
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Enums. The argument's type says which labels there are; its value may be NULL.

// enumEnd is enum_first and enum_last.
func enumEnd(pick func(labels []sqltypes.Label) sqltypes.Label) Kernel {
	return func(c *Ctx, a Args, out *delta.Vec) {
		t := a.Vecs[0].Type
		labels := t.Labels()
		a.each(out, func(i int) {
			if len(labels) == 0 {
				c.Fail(out, i, sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "enum %s contains no values", t))
				return
			}
			out.Ints[i] = pick(labels).Place
		})
	}
}

// enumRange lists the labels between two, NULL standing for the first or last.
func enumRange(_ *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	t := vecs[0].Type
	var out []sqltypes.Datum
	for _, l := range t.Labels() {
		if len(vecs) == 2 && (!vecs[0].IsNull(i) && l.Place < vecs[0].Ints[i] || !vecs[1].IsNull(i) && l.Place > vecs[1].Ints[i]) {
			continue
		}
		out = append(out, l.Place)
	}
	return append(dst, sqlio.MakeArray(sqltypes.ArrayOf(t), out)...), nil
}

func enumFuncs() []Func {
	e, arr := sqltypes.AnyEnum, sqltypes.AnyArray
	same := func(args []sqltypes.Type) sqltypes.Type { return args[0] }
	array := func(args []sqltypes.Type) sqltypes.Type { return sqltypes.ArrayOf(args[0]) }
	return []Func{
		fn("enum_first", ts(e), e, enumEnd(func(l []sqltypes.Label) sqltypes.Label { return l[0] }), "first value of an enum type").onNulls().stable().resultOf(same),
		fn("enum_last", ts(e), e, enumEnd(func(l []sqltypes.Label) sqltypes.Label { return l[len(l)-1] }), "last value of an enum type").onNulls().stable().resultOf(same),
		fn("enum_range", ts(e), arr, bytesOf(enumRange), "all values of an enum type").onNulls().stable().resultOf(array),
		fn("enum_range", ts(e, e), arr, bytesOf(enumRange), "values of an enum type from one to another").onNulls().stable().resultOf(array),
	}
}
