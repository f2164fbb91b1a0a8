package expr

import (
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Calls f(…, VARIADIC array): the elements of the array are the last arguments.

// spreadMark ends the signature of such a call.
const spreadMark = " in an array"

// Spread is the entry that a call of f with VARIADIC uses; f is variadic. Its last parameter is an array.
func Spread(f *Func) *Func {
	s, _ := BySig(spreadOf(f).Sig())
	return s
}

func spreadOf(f *Func) *Func {
	s := *f
	last := len(f.Args) - 1
	s.Args = append(append([]sqltypes.Type{}, f.Args[:last]...), sqltypes.AnyArray)
	if t := f.Args[last]; !t.IsPseudo() {
		s.Args[last] = sqltypes.ArrayOf(t)
	}
	s.Variadic, s.Nulls, s.spread = false, OnNulls, true
	s.Kernel = spreadKernel(f)
	return &s
}

// spreadKernel calls f once a row, with as many arguments as the row's array has elements. A NULL array makes the result NULL,
// but for format, where it is an array without elements.
func spreadKernel(f *Func) Kernel {
	return func(c *Ctx, a Args, out *delta.Vec) {
		last := len(a.Vecs) - 1
		arrays := a.Vecs[last]
		row := func(i int) (sqltypes.Datum, error) {
			var elems []sqltypes.Datum
			elem := elemOf(arrays.Type)
			switch {
			case !arrays.IsNull(i):
				arr, err := sqlio.ReadArray(arrays.Type, arrays.Bytes(i))
				if err != nil {
					return nil, err
				}
				elems = arr.Elems()
			case f.Name != "format":
				return nil, nil
			}
			var vecs []*delta.Vec
			for _, v := range a.Vecs[:last] {
				vecs = append(vecs, v.Gather([]int32{int32(i)}))
			}
			for _, d := range elems {
				v := &delta.Vec{Type: elem}
				v.AppendDatum(d)
				vecs = append(vecs, v)
			}
			before := len(c.Errs)
			res := RunKernel(c, f.Kernel, f.Nulls, out.Type, vecs, &delta.Chunk{Rows: 1})
			if len(c.Errs) > before {
				err := c.Errs[before].Err
				c.Errs = c.Errs[:before]
				return nil, err
			}
			return res.Datum(0), nil
		}
		datumRows(c, a, out, row)
	}
}
