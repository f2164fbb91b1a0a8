package expr

import (
	"bytes"
	"slices"
	"sort"
	"strconv"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Arrays. Entries are polymorphic; the element type comes from the actual arguments.

// elemOf is the element type of an array or vector type.
func elemOf(t sqltypes.Type) sqltypes.Type {
	if isVector(t) {
		return sqltypes.Type{Kind: vectorElem(t)}
	}
	return t.ElemType()
}

// arrayOfArg reads argument k of row i.
func arrayOfArg(vecs []*delta.Vec, k, i int) (sqlio.ArrayReader, error) {
	return sqlio.ReadArray(vecs[k].Type, vecs[k].Bytes(i))
}

var errNotOneDim = sqlerr.New(sqlerr.DataException, "argument must be empty or one-dimensional array")

// insertElem is array_append and array_prepend; NULL counts as an empty array.
func insertElem(arrayArg int, atEnd bool) Kernel {
	return bytesOf(func(_ *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
		t, elem := vecs[arrayArg].Type, vecs[1-arrayArg].Datum(i)
		var elems []sqltypes.Datum
		lower := 1
		if !vecs[arrayArg].IsNull(i) {
			arr, err := arrayOfArg(vecs, arrayArg, i)
			if err != nil {
				return dst, err
			}
			if arr.NDim() > 1 {
				return dst, errNotOneDim
			}
			if arr.NDim() == 1 {
				_, lower = arr.Dim(0)
			}
			elems = arr.Elems()
		}
		if atEnd {
			elems = append(elems, elem)
		} else {
			elems = append([]sqltypes.Datum{elem}, elems...)
		}
		return appendArray(dst, t, []int{len(elems)}, []int{lower}, elems)
	})
}

func appendArray(dst []byte, t sqltypes.Type, dims, lower []int, elems []sqltypes.Datum) ([]byte, error) {
	if len(elems) == 0 {
		return append(dst, sqlio.MakeArray(t, nil)...), nil
	}
	b, err := sqlio.MakeArrayDims(t, dims, lower, elems)
	return append(dst, b...), err
}

func errConcat(detail string, args ...any) error {
	return sqlerr.New(sqlerr.ArraySubscriptError, "cannot concatenate incompatible arrays").WithDetail(detail, args...)
}

// arrayCat joins arrays of equal dimensions, or adds one of one dimension less as a row of the other.
func arrayCat(_ *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	switch {
	case vecs[0].IsNull(i) && vecs[1].IsNull(i):
		return dst, errNull
	case vecs[0].IsNull(i):
		return append(dst, vecs[1].Bytes(i)...), nil
	case vecs[1].IsNull(i):
		return append(dst, vecs[0].Bytes(i)...), nil
	}
	a, err := arrayOfArg(vecs, 0, i)
	if err != nil {
		return dst, err
	}
	b, err := arrayOfArg(vecs, 1, i)
	if err != nil {
		return dst, err
	}
	switch {
	case a.Len() == 0:
		return append(dst, vecs[1].Bytes(i)...), nil
	case b.Len() == 0:
		return append(dst, vecs[0].Bytes(i)...), nil
	}
	dims, lower, err := catShape(a, b)
	if err != nil {
		return dst, err
	}
	return appendArray(dst, vecs[0].Type, dims, lower, append(a.Elems(), b.Elems()...))
}

func catShape(a, b sqlio.ArrayReader) (dims, lower []int, err error) {
	da, la := shapeOf(a)
	db, lb := shapeOf(b)
	switch len(da) - len(db) {
	case 0:
		for k := 1; k < len(da); k++ {
			if da[k] != db[k] || la[k] != lb[k] {
				return nil, nil, errConcat("Arrays with differing element dimensions are not compatible for concatenation.")
			}
		}
		da[0] += db[0]
		return da, la, nil
	case 1:
		if !sameShape(b, da[1:], la[1:]) {
			return nil, nil, errConcat("Arrays with differing dimensions are not compatible for concatenation.")
		}
		da[0]++
		return da, la, nil
	case -1:
		if !sameShape(a, db[1:], lb[1:]) {
			return nil, nil, errConcat("Arrays with differing dimensions are not compatible for concatenation.")
		}
		db[0]++
		return db, lb, nil
	}
	return nil, nil, errConcat("Arrays of %d and %d dimensions are not compatible for concatenation.", len(da), len(db))
}

func sameShape(a sqlio.ArrayReader, dims, lower []int) bool {
	d, l := shapeOf(a)
	for k := range d {
		if d[k] != dims[k] || l[k] != lower[k] {
			return false
		}
	}
	return true
}

// arrayInt adapts a function of an array with an integer result.
func arrayInt(f func(arr sqlio.ArrayReader, vecs []*delta.Vec, i int) (int64, error)) Kernel {
	return int64Rows(func(_ *Ctx, vecs []*delta.Vec, i int) (int64, error) {
		arr, err := arrayOfArg(vecs, 0, i)
		if err != nil {
			return 0, err
		}
		return f(arr, vecs, i)
	})
}

// ofDim adapts a property of one dimension, NULL for dimensions that the array does not have.
func ofDim(f func(length, lower int) int) Kernel {
	return arrayInt(func(arr sqlio.ArrayReader, vecs []*delta.Vec, i int) (int64, error) {
		d := vecs[1].Ints[i]
		if d < 1 || d > int64(arr.NDim()) {
			return 0, errNull
		}
		return int64(f(arr.Dim(int(d) - 1))), nil
	})
}

func arrayNDims(arr sqlio.ArrayReader, _ []*delta.Vec, _ int) (int64, error) {
	if arr.NDim() == 0 {
		return 0, errNull
	}
	return int64(arr.NDim()), nil
}

func cardinality(arr sqlio.ArrayReader, _ []*delta.Vec, _ int) (int64, error) {
	return int64(arr.Len()), nil
}

func arrayDims(_ *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	arr, err := arrayOfArg(vecs, 0, i)
	if err != nil {
		return dst, err
	}
	if arr.NDim() == 0 {
		return dst, errNull
	}
	for k := range arr.NDim() {
		n, lo := arr.Dim(k)
		dst = strconv.AppendInt(append(dst, '['), int64(lo), 10)
		dst = strconv.AppendInt(append(dst, ':'), int64(lo+n-1), 10)
		dst = append(dst, ']')
	}
	return dst, nil
}

// sameElem compares elements of type t; NULL equals NULL.
func sameElem(t sqltypes.Type, a, b sqltypes.Datum) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return sqlio.Compare(t, a, b) == 0
}

func errMultiDim(what string) error {
	return sqlerr.New(sqlerr.FeatureNotSupported, "%s multidimensional arrays is not supported", what)
}

// find calls f with the subscript of each element equal to the second argument until f returns false.
func findElem(vecs []*delta.Vec, i int, f func(subscript int) bool) error {
	arr, err := arrayOfArg(vecs, 0, i)
	if err != nil || arr.Len() == 0 {
		return err
	}
	if arr.NDim() > 1 {
		return errMultiDim("searching for elements in")
	}
	_, lower := arr.Dim(0)
	want, t := vecs[1].Datum(i), elemOf(vecs[0].Type)
	for k := range arr.Len() {
		if sameElem(t, arr.At(k), want) && !f(lower+k) {
			break
		}
	}
	return nil
}

func arrayPosition(_ *Ctx, vecs []*delta.Vec, i int) (int64, error) {
	if vecs[0].IsNull(i) {
		return 0, errNull
	}
	if arr, err := arrayOfArg(vecs, 0, i); err == nil && arr.NDim() == 0 {
		return 0, errNull
	}
	from := int64(-1 << 31)
	if len(vecs) > 2 {
		if vecs[2].IsNull(i) {
			return 0, sqlerr.New(sqlerr.NullValueNotAllowed, "initial position must not be null")
		}
		from = vecs[2].Ints[i]
	}
	at, found := int64(0), false
	err := findElem(vecs, i, func(s int) bool {
		at, found = int64(s), int64(s) >= from
		return !found
	})
	if err == nil && !found {
		err = errNull
	}
	return at, err
}

func arrayPositions(_ *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	if vecs[0].IsNull(i) {
		return dst, errNull
	}
	var hits []sqltypes.Datum
	err := findElem(vecs, i, func(s int) bool { hits = append(hits, int64(s)); return true })
	return append(dst, sqlio.MakeArray(sqltypes.ArrayOf(sqltypes.Int4), hits)...), err
}

func arrayRemove(_ *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	if vecs[0].IsNull(i) {
		return dst, errNull
	}
	arr, err := arrayOfArg(vecs, 0, i)
	if err != nil {
		return dst, err
	}
	if arr.NDim() > 1 {
		return dst, errMultiDim("removing elements from")
	}
	drop, t := vecs[1].Datum(i), elemOf(vecs[0].Type)
	var kept []sqltypes.Datum
	for _, d := range arr.Elems() {
		if !sameElem(t, d, drop) {
			kept = append(kept, d)
		}
	}
	_, lower := shapeOf(arr)
	return appendArray(dst, vecs[0].Type, []int{len(kept)}, lower, kept)
}

func arrayReplace(_ *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	if vecs[0].IsNull(i) {
		return dst, errNull
	}
	arr, err := arrayOfArg(vecs, 0, i)
	if err != nil {
		return dst, err
	}
	from, to, t := vecs[1].Datum(i), vecs[2].Datum(i), elemOf(vecs[0].Type)
	elems := arr.Elems()
	for k, d := range elems {
		if sameElem(t, d, from) {
			elems[k] = to
		}
	}
	dims, lower := shapeOf(arr)
	return appendArray(dst, vecs[0].Type, dims, lower, elems)
}

func arrayToString(c *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	if vecs[0].IsNull(i) || vecs[1].IsNull(i) {
		return dst, errNull
	}
	arr, err := arrayOfArg(vecs, 0, i)
	if err != nil {
		return dst, err
	}
	withNulls := len(vecs) > 2 && !vecs[2].IsNull(i)
	sep, t, first := vecs[1].Bytes(i), elemOf(vecs[0].Type), true
	for k := range arr.Len() {
		d := arr.At(k)
		if d == nil && !withNulls {
			continue
		}
		if !first {
			dst = append(dst, sep...)
		}
		first = false
		if d == nil {
			dst = append(dst, vecs[2].Bytes(i)...)
		} else {
			dst = sqlio.AppendTextDatum(dst, t, d, c.settings())
		}
	}
	return dst, nil
}

// splitText cuts s for string_to_array: at sep, at every character when sep is NULL, not at all when it is empty.
func splitText(s, sep []byte, sepNull bool, nullText []byte, hasNull bool) []sqltypes.Datum {
	var parts [][]byte
	switch {
	case len(s) == 0:
		return nil
	case sepNull:
		for len(s) > 0 {
			n := charOffset(s, 1)
			parts, s = append(parts, s[:n]), s[n:]
		}
	case len(sep) == 0:
		parts = [][]byte{s}
	default:
		parts = bytes.Split(s, sep)
	}
	out := make([]sqltypes.Datum, len(parts))
	for k, p := range parts {
		if !hasNull || !bytes.Equal(p, nullText) {
			out[k] = p
		}
	}
	return out
}

func stringToArray(_ *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	if vecs[0].IsNull(i) {
		return dst, errNull
	}
	var nullText []byte
	hasNull := len(vecs) > 2 && !vecs[2].IsNull(i)
	if hasNull {
		nullText = vecs[2].Bytes(i)
	}
	parts := splitText(vecs[0].Bytes(i), vecs[1].Bytes(i), vecs[1].IsNull(i), nullText, hasNull)
	return append(dst, sqlio.MakeArray(textArray, parts)...), nil
}

func trimArray(_ *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	arr, err := arrayOfArg(vecs, 0, i)
	if err != nil {
		return dst, err
	}
	dims, _ := shapeOf(arr)
	if len(dims) == 0 {
		dims = []int{0}
	}
	n := vecs[1].Ints[i]
	if n < 0 || n > int64(dims[0]) {
		return dst, sqlerr.New(sqlerr.ArraySubscriptError, "number of elements to trim must be between 0 and %d", dims[0])
	}
	return sliceOf(dst, vecs[0].Type, arr, []bound{{to: dims[0] - int(n), hasTo: true, relative: true}})
}

func arrayFill(_ *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	if vecs[1].IsNull(i) || len(vecs) > 2 && vecs[2].IsNull(i) {
		return dst, sqlerr.New(sqlerr.NullValueNotAllowed, "dimension array or low bound array cannot be null")
	}
	for k := 1; k < len(vecs); k++ {
		if arr, err := arrayOfArg(vecs, k, i); err == nil && arr.NDim() > 1 {
			return dst, sqlerr.New(sqlerr.ArraySubscriptError, "wrong number of array subscripts").
				WithDetail("Dimension array must be one dimensional.")
		}
	}
	dims, err := intElems(vecs, 1, i)
	if err != nil {
		return dst, err
	}
	lower := make([]int, len(dims))
	for k := range lower {
		lower[k] = 1
	}
	if len(vecs) > 2 {
		given, err := intElems(vecs, 2, i)
		if err != nil {
			return dst, err
		}
		if len(given) != len(dims) {
			return dst, sqlerr.New(sqlerr.ArraySubscriptError, "wrong number of array subscripts").
				WithDetail("Low bound array has different size than dimensions array.")
		}
		lower = given
	}
	n := 1
	for _, d := range dims {
		if d < 0 || n*d > maxAlloc/8 {
			return dst, sqlerr.New(sqlerr.ProgramLimitExceeded, "array size exceeds the maximum allowed (%d)", maxAlloc/8)
		}
		n *= d
	}
	if len(dims) == 0 {
		n = 0
	}
	elems := make([]sqltypes.Datum, n)
	for k := range elems {
		elems[k] = vecs[0].Datum(i)
	}
	return appendArray(dst, sqltypes.ArrayOf(vecs[0].Type), dims, lower, elems)
}

func intElems(vecs []*delta.Vec, k, i int) ([]int, error) {
	arr, err := arrayOfArg(vecs, k, i)
	if err != nil {
		return nil, err
	}
	out := make([]int, arr.Len())
	for j := range out {
		d := arr.At(j)
		if d == nil {
			return nil, sqlerr.New(sqlerr.NullValueNotAllowed, "dimension values cannot be null")
		}
		out[j] = int(d.(int64))
	}
	return out, nil
}

// keySet holds the equality keys of an array's elements that are not NULL.
func keySet(arr sqlio.ArrayReader) (map[string]bool, bool) {
	set, hasNull := map[string]bool{}, false
	for k := range arr.Len() {
		if d := arr.At(k); d == nil {
			hasNull = true
		} else {
			set[string(sqlio.AppendKeyDatum(nil, arr.Elem(), d))] = true
		}
	}
	return set, hasNull
}

func arrayPair(vecs []*delta.Vec, i int) (a, b sqlio.ArrayReader, err error) {
	if a, err = arrayOfArg(vecs, 0, i); err == nil {
		b, err = arrayOfArg(vecs, 1, i)
	}
	return a, b, err
}

// arrayContains says whether the array at position outer has every element of the other; NULL equals nothing.
func arrayContains(outer int) Kernel {
	return boolRows(func(_ *Ctx, vecs []*delta.Vec, i int) (bool, error) {
		a, b, err := arrayPair(vecs, i)
		if err != nil {
			return false, err
		}
		if outer == 1 {
			a, b = b, a
		}
		have, _ := keySet(a)
		want, hasNull := keySet(b)
		for k := range want {
			if !have[k] {
				return false, nil
			}
		}
		return !hasNull, nil
	})
}

func arrayOverlap(_ *Ctx, vecs []*delta.Vec, i int) (bool, error) {
	a, b, err := arrayPair(vecs, i)
	if err != nil {
		return false, err
	}
	x, _ := keySet(a)
	y, _ := keySet(b)
	for k := range x {
		if y[k] {
			return true, nil
		}
	}
	return false, nil
}

// subscript finds an element by one subscript for each dimension; anything out of bounds is NULL.
func subscript(_ *Ctx, args []sqltypes.Datum, types []sqltypes.Type) (sqltypes.Datum, error) {
	arr, err := sqlio.ReadArray(types[0], bytesOfDatum(args[0]))
	if err != nil {
		return nil, err
	}
	if len(args)-1 != arr.NDim() {
		return nil, nil
	}
	at := 0
	for k, d := range args[1:] {
		n, lower := arr.Dim(k)
		off := d.(int64) - int64(lower)
		if off < 0 || off >= int64(n) {
			return nil, nil
		}
		at = at*n + int(off)
	}
	return arr.At(at), nil
}

// subscriptKernel is subscript; one subscript of an array of texts and their like goes without boxes.
func subscriptKernel(c *Ctx, a Args, out *delta.Vec) {
	if len(a.Vecs) != 2 || out.Type.Phys() != sqltypes.PhysBytes {
		boxed(subscript)(c, a, out)
		return
	}
	bytesRows(c, a, out, func(dst []byte, i int) ([]byte, error) {
		arr, err := arrayOfArg(a.Vecs, 0, i)
		if err != nil {
			return dst, err
		}
		if arr.NDim() != 1 {
			return dst, errNull
		}
		n, lower := arr.Dim(0)
		off := a.Vecs[1].Ints[i] - int64(lower)
		if off < 0 || off >= int64(n) {
			return dst, errNull
		}
		b, ok := arr.Bytes(int(off))
		if !ok {
			return dst, errNull
		}
		return append(dst, b...), nil
	})
}

// bound is one dimension of a slice; relative counts from the dimension's start.
type bound struct {
	from, to       int
	hasFrom, hasTo bool
	relative       bool
}

// arraySlice takes a pair of bounds for each dimension; a NULL bound is one left out.
func arraySlice(_ *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	if vecs[0].IsNull(i) {
		return dst, errNull
	}
	arr, err := arrayOfArg(vecs, 0, i)
	if err != nil {
		return dst, err
	}
	var bounds []bound
	for k := 1; k+1 < len(vecs); k += 2 {
		b := bound{hasFrom: !vecs[k].IsNull(i), hasTo: !vecs[k+1].IsNull(i)}
		if b.hasFrom {
			b.from = int(vecs[k].Ints[i])
		}
		if b.hasTo {
			b.to = int(vecs[k+1].Ints[i])
		}
		bounds = append(bounds, b)
	}
	return sliceOf(dst, vecs[0].Type, arr, bounds)
}

// sliceOf cuts the block between the bounds; dimensions without bounds are taken whole. Lower bounds become 1.
func sliceOf(dst []byte, t sqltypes.Type, arr sqlio.ArrayReader, bounds []bound) ([]byte, error) {
	if arr.NDim() < len(bounds) {
		return append(dst, sqlio.MakeArray(t, nil)...), nil
	}
	dims, lower := shapeOf(arr)
	from, size, ones := make([]int, len(dims)), make([]int, len(dims)), make([]int, len(dims))
	for k, n := range dims {
		lo, hi := lower[k], lower[k]+n-1
		if k < len(bounds) {
			b := bounds[k]
			if b.relative {
				b.to += lo - 1
			}
			if b.hasFrom {
				lo = max(lo, b.from)
			}
			if b.hasTo {
				hi = min(hi, b.to)
			}
		}
		if hi < lo {
			return append(dst, sqlio.MakeArray(t, nil)...), nil
		}
		from[k], size[k], ones[k] = lo-lower[k], hi-lo+1, 1
	}
	var elems []sqltypes.Datum
	var walk func(k, at int)
	walk = func(k, at int) {
		if k == len(dims) {
			elems = append(elems, arr.At(at))
			return
		}
		for j := range size[k] {
			walk(k+1, at*dims[k]+from[k]+j)
		}
	}
	walk(0, 0)
	return appendArray(dst, t, size, ones, elems)
}

// arrayExtreme is array_max (sign 1) and array_min (sign −1).
func arrayExtreme(sign int) Kernel {
	return boxed(func(_ *Ctx, args []sqltypes.Datum, types []sqltypes.Type) (sqltypes.Datum, error) {
		arr, err := sqlio.ReadArray(types[0], bytesOfDatum(args[0]))
		if err != nil {
			return nil, err
		}
		var best sqltypes.Datum
		for k := range arr.Len() {
			if d := arr.At(k); d != nil && (best == nil || sign*sqlio.Compare(arr.Elem(), d, best) > 0) {
				best = d
			}
		}
		return best, nil
	})
}

func arraySum(_ *Ctx, args []sqltypes.Datum, types []sqltypes.Type) (sqltypes.Datum, error) {
	arr, err := sqlio.ReadArray(types[0], bytesOfDatum(args[0]))
	if err != nil {
		return nil, err
	}
	var sum numeric.Dec
	some := false
	for k := range arr.Len() {
		d := arr.At(k)
		if d == nil {
			continue
		}
		some = true
		var v numeric.Dec
		switch x := d.(type) {
		case int64:
			v = numeric.FromInt64(x)
		case numeric.Dec:
			v = x
		case float64:
			v = numeric.FromFloat64(x)
		}
		if sum, err = sum.Add(v); err != nil {
			return nil, err
		}
	}
	if !some {
		return nil, nil
	}
	return sum, nil
}

// reorderArray is array_distinct and array_sort.
func reorderArray(f func(t sqltypes.Type, elems []sqltypes.Datum) []sqltypes.Datum) Kernel {
	return bytesOf(func(_ *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
		arr, err := arrayOfArg(vecs, 0, i)
		if err != nil {
			return dst, err
		}
		return append(dst, sqlio.MakeArray(vecs[0].Type, f(arr.Elem(), arr.Elems()))...), nil
	})
}

func distinctElems(t sqltypes.Type, elems []sqltypes.Datum) []sqltypes.Datum {
	seen, sawNull := map[string]bool{}, false
	var out []sqltypes.Datum
	for _, d := range elems {
		if d == nil {
			if !sawNull {
				out = append(out, nil)
			}
			sawNull = true
			continue
		}
		key := string(sqlio.AppendKeyDatum(nil, t, d))
		if !seen[key] {
			seen[key] = true
			out = append(out, d)
		}
	}
	return out
}

func sortedElems(t sqltypes.Type, elems []sqltypes.Datum) []sqltypes.Datum {
	slices.SortStableFunc(elems, func(a, b sqltypes.Datum) int {
		switch {
		case a == nil && b == nil:
			return 0
		case a == nil:
			return 1
		case b == nil:
			return -1
		}
		return sqlio.Compare(t, a, b)
	})
	return elems
}

// widthBucketArray finds the bucket of a value among sorted thresholds.
func widthBucketArray(_ *Ctx, vecs []*delta.Vec, i int) (int64, error) {
	arr, err := arrayOfArg(vecs, 1, i)
	switch {
	case err != nil:
		return 0, err
	case arr.NDim() > 1:
		return 0, sqlerr.New(sqlerr.ArraySubscriptError, "thresholds must be one-dimensional array")
	case arr.HasNulls():
		return 0, sqlerr.New(sqlerr.NullValueNotAllowed, "thresholds array must not contain NULLs")
	}
	x := vecs[0].Datum(i)
	n := sort.Search(arr.Len(), func(k int) bool { return sqlio.Compare(arr.Elem(), x, arr.At(k)) < 0 })
	return int64(n), nil
}

// arrayFuncs lists the operators and functions on arrays.
func arrayFuncs() []Func {
	arr, el, i4, t, b := sqltypes.AnyArray, sqltypes.AnyElement, sqltypes.Int4, sqltypes.Text, sqltypes.Bool
	i4s := sqltypes.ArrayOf(i4)
	same := func(k int) func([]sqltypes.Type) sqltypes.Type {
		return func(args []sqltypes.Type) sqltypes.Type { return args[k] }
	}
	elem := func(args []sqltypes.Type) sqltypes.Type { return elemOf(args[0]) }
	lower := func(_, lo int) int { return lo }
	upper := func(n, lo int) int { return lo + n - 1 }
	length := func(n, _ int) int { return n }
	return []Func{
		fn("||", ts(arr, arr), arr, bytesOf(arrayCat), "concatenation").onNulls().resultOf(same(0)).compatible(),
		fn("||", ts(arr, el), arr, insertElem(0, true), "array with an element added at the end").onNulls().resultOf(same(0)).compatible(),
		fn("||", ts(el, arr), arr, insertElem(1, false), "array with an element added at the start").onNulls().resultOf(same(1)).compatible(),
		fn("array_append", ts(arr, el), arr, insertElem(0, true), "array with an element added at the end").onNulls().resultOf(same(0)).compatible(),
		fn("array_prepend", ts(el, arr), arr, insertElem(1, false), "array with an element added at the start").onNulls().resultOf(same(1)).compatible(),
		fn("array_cat", ts(arr, arr), arr, bytesOf(arrayCat), "concatenation").onNulls().resultOf(same(0)).compatible(),
		fn("array_length", ts(arr, i4), i4, ofDim(length), "length of a dimension"),
		fn("array_lower", ts(arr, i4), i4, ofDim(lower), "lower bound of a dimension"),
		fn("array_upper", ts(arr, i4), i4, ofDim(upper), "upper bound of a dimension"),
		fn("array_ndims", ts(arr), i4, arrayInt(arrayNDims), "number of dimensions"),
		fn("array_dims", ts(arr), t, bytesOf(arrayDims), "bounds of the dimensions as text"),
		fn("cardinality", ts(arr), i4, arrayInt(cardinality), "number of elements"),
		fn("array_position", ts(arr, el), i4, int64Rows(arrayPosition), "subscript of the first equal element").onNulls().compatible(),
		fn("array_position", ts(arr, el, i4), i4, int64Rows(arrayPosition), "subscript of the first equal element from a subscript on").onNulls().compatible(),
		fn("array_positions", ts(arr, el), i4s, bytesOf(arrayPositions), "subscripts of all equal elements").onNulls().compatible(),
		fn("array_remove", ts(arr, el), arr, bytesOf(arrayRemove), "without elements equal to a value").onNulls().resultOf(same(0)).compatible(),
		fn("array_replace", ts(arr, el, el), arr, bytesOf(arrayReplace), "equal elements replaced").onNulls().resultOf(same(0)).compatible(),
		fn("array_to_string", ts(arr, t), t, bytesOf(arrayToString), "elements joined by a separator").onNulls().stable(),
		fn("array_to_string", ts(arr, t, t), t, bytesOf(arrayToString), "elements joined by a separator, NULLs as a text").onNulls().stable(),
		fn("string_to_array", ts(t, t), textArray, bytesOf(stringToArray), "text cut at a separator").onNulls(),
		fn("string_to_array", ts(t, t, t), textArray, bytesOf(stringToArray), "text cut at a separator, one text becoming NULL").onNulls(),
		fn("trim_array", ts(arr, i4), arr, bytesOf(trimArray), "without the last n elements").resultOf(same(0)),
		fn("array_fill", ts(el, i4s), arr, bytesOf(arrayFill), "array of one value").onNulls().resultOf(func(a []sqltypes.Type) sqltypes.Type { return sqltypes.ArrayOf(a[0]) }),
		fn("array_fill", ts(el, i4s, i4s), arr, bytesOf(arrayFill), "array of one value with lower bounds").onNulls().resultOf(func(a []sqltypes.Type) sqltypes.Type { return sqltypes.ArrayOf(a[0]) }),
		fn("@>", ts(arr, arr), b, arrayContains(0), "contains every element of"),
		fn("<@", ts(arr, arr), b, arrayContains(1), "has only elements of"),
		fn("&&", ts(arr, arr), b, boolRows(arrayOverlap), "has an element in common with"),
		fn("array_contains", ts(arr, arr), b, arrayContains(0), "contains every element of"),
		fn("array_contained", ts(arr, arr), b, arrayContains(1), "has only elements of"),
		fn("array_subscript", ts(arr, i4), el, subscriptKernel, "element at subscripts").variadic().resultOf(elem),
		fn("array_slice", ts(arr, i4), arr, bytesOf(arraySlice), "part between pairs of bounds, NULL for one left out").variadic().onNulls().resultOf(same(0)),
		fn("width_bucket", ts(el, arr), i4, int64Rows(widthBucketArray), "number of the bucket between sorted thresholds").compatible(),
		fn("array_max", ts(arr), el, arrayExtreme(1), "largest element").resultOf(elem),
		fn("array_min", ts(arr), el, arrayExtreme(-1), "smallest element").resultOf(elem),
		fn("array_sum", ts(arr), sqltypes.Numeric, boxed(arraySum), "sum of the elements"),
		fn("array_distinct", ts(arr), arr, reorderArray(distinctElems), "without repeated elements").resultOf(same(0)),
		fn("array_sort", ts(arr), arr, reorderArray(sortedElems), "elements in order, NULLs last").resultOf(same(0)),
	}
}
