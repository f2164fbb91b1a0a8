package expr

import (
	"slices"

	"github.com/millrace/millrace/internal/jsonb"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// RisingWave's functions on arrays beyond PostgreSQL's.

// reversedArray turns the outermost dimension around.
func reversedArray(_ *Ctx, args []sqltypes.Datum, types []sqltypes.Type) (sqltypes.Datum, error) {
	arr, err := sqlio.ReadArray(types[0], bytesOfDatum(args[0]))
	if err != nil {
		return nil, err
	}
	dims, lower := arr.Dims()
	if len(dims) == 0 {
		return sqlio.MakeArray(types[0], nil), nil
	}
	each := arr.Len() / dims[0]
	var out []sqltypes.Datum
	for _, part := range slices.Backward(slices.Collect(slices.Chunk(arr.Elems(), each))) {
		out = append(out, part...)
	}
	return sqlio.MakeArrayDims(types[0], dims, lower, out)
}

// flattenArray joins the two outermost dimensions.
func flattenArray(_ *Ctx, args []sqltypes.Datum, types []sqltypes.Type) (sqltypes.Datum, error) {
	arr, err := sqlio.ReadArray(types[0], bytesOfDatum(args[0]))
	if err != nil {
		return nil, err
	}
	dims, lower := arr.Dims()
	switch len(dims) {
	case 0:
		return sqlio.MakeArray(types[0], nil), nil
	case 1:
		return nil, sqlerr.New(sqlerr.ArraySubscriptError, "array_flatten takes an array of arrays")
	}
	dims = append([]int{dims[0] * dims[1]}, dims[2:]...)
	lower = append([]int{1}, lower[2:]...)
	return sqlio.MakeArrayDims(types[0], dims, lower, arr.Elems())
}

// jsonbToArray lists the elements of a JSON array.
func jsonbToArray(dst, v []byte) ([]byte, error) {
	if k := jsonb.KindOf(v); k != jsonb.Array {
		return dst, sqlerr.New(sqlerr.InvalidParameterValue, "cannot make an array of a jsonb %s", k)
	}
	var out []sqltypes.Datum
	for _, e := range jsonb.Elements(v) {
		out = append(out, e)
	}
	return append(dst, sqlio.MakeArray(sqltypes.ArrayOf(sqltypes.JSONB), out)...), nil
}

// moreArrayFuncs lists them, and RisingWave's second names for what PostgreSQL has.
func moreArrayFuncs() []Func {
	arr, b, t := sqltypes.AnyArray, sqltypes.Bool, sqltypes.Text
	same := func(args []sqltypes.Type) sqltypes.Type { return args[0] }
	const common = "has an element in common with"
	return []Func{
		fn("array_reverse", ts(arr), arr, boxed(reversedArray), "elements in reverse order").resultOf(same),
		fn("array_flatten", ts(arr), arr, boxed(flattenArray), "elements of an array of arrays").resultOf(same),
		fn("array_overlaps", ts(arr, arr), b, boolRows(arrayOverlap), common),
		fn("array_is_overlap", ts(arr, arr), b, boolRows(arrayOverlap), common),
		fn("array_is_intersect", ts(arr, arr), b, boolRows(arrayOverlap), common),
		fn("array_join", ts(arr, t), t, bytesOf(arrayToString), "elements joined by a separator").onNulls().stable(),
		fn("array_join", ts(arr, t, t), t, bytesOf(arrayToString), "elements joined by a separator, NULLs as a text").onNulls().stable(),
		fn("jsonb_to_array", ts(sqltypes.JSONB), sqltypes.ArrayOf(sqltypes.JSONB), b1e(jsonbToArray), "array of the elements of a JSON array"),
	}
}
