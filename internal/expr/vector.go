package expr

import (
	"math"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Vectors: names, operators and errors are those of the pgvector extension. Sums are made in double precision.

func sameDimensions(a, b []byte) error {
	if len(a) != len(b) {
		return sqlerr.New(sqlerr.DataException, "different vector dimensions %d and %d", sqlio.FloatsLen(a), sqlio.FloatsLen(b))
	}
	return nil
}

// sumOver adds up f over the pairs of numbers.
func sumOver(a, b []byte, f func(x, y float64) float64) float64 {
	sum := 0.0
	for i := range sqlio.FloatsLen(a) {
		sum += f(float64(sqlio.FloatAt(a, i)), float64(sqlio.FloatAt(b, i)))
	}
	return sum
}

func dot(a, b []byte) float64 { return sumOver(a, b, func(x, y float64) float64 { return x * y }) }

// distance makes the kernel of a distance.
func distance(f func(a, b []byte) float64) Kernel {
	return k2e(func(a, b []byte) (float64, error) {
		if err := sameDimensions(a, b); err != nil {
			return 0, err
		}
		return f(a, b), nil
	})
}

func l2(a, b []byte) float64 {
	return math.Sqrt(sumOver(a, b, func(x, y float64) float64 { return (x - y) * (x - y) }))
}

func l1(a, b []byte) float64 {
	return sumOver(a, b, func(x, y float64) float64 { return math.Abs(x - y) })
}

// cosine is one minus the cosine of the angle, NaN for a vector of zeros.
func cosine(a, b []byte) float64 {
	return 1 - max(-1, min(1, dot(a, b)/math.Sqrt(dot(a, a)*dot(b, b))))
}

// elementwise makes the kernel of an operator on pairs of numbers.
func elementwise(f func(x, y float32) float32) Kernel {
	return b2e(func(dst, a, b []byte) ([]byte, error) {
		if err := sameDimensions(a, b); err != nil {
			return dst, err
		}
		return appendFloats(dst, sqlio.FloatsLen(a), func(i int) float32 { return f(sqlio.FloatAt(a, i), sqlio.FloatAt(b, i)) })
	})
}

func appendFloats(dst []byte, n int, at func(i int) float32) ([]byte, error) {
	fs := make([]float32, n)
	for i := range fs {
		if fs[i] = at(i); math.IsInf(float64(fs[i]), 0) {
			return dst, sqlerr.New(sqlerr.NumericValueOutOfRange, "value out of range: overflow")
		}
	}
	b, err := sqlio.MakeFloats(fs)
	return append(dst, b...), err
}

func normalizeVector(dst, a []byte) ([]byte, error) {
	norm := math.Sqrt(dot(a, a))
	return appendFloats(dst, sqlio.FloatsLen(a), func(i int) float32 {
		if norm == 0 {
			return 0
		}
		return float32(float64(sqlio.FloatAt(a, i)) / norm)
	})
}

// subvector takes count numbers from place start on, counted from 1; what lies outside is left out.
func subvector(_ *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	a, start, count := vecs[0].Bytes(i), vecs[1].Ints[i], vecs[2].Ints[i]
	from, to := max(start, 1), min(start+count, int64(sqlio.FloatsLen(a))+1)
	if count < 1 || from >= to {
		return dst, sqlerr.New(sqlerr.DataException, "vector must have at least 1 dimension")
	}
	return append(dst, a[4*(from-1):4*(to-1)]...), nil
}

// arrayToVector casts an array of numbers.
func arrayToVector(from sqltypes.Type) Kernel {
	return b1e(func(dst, b []byte) ([]byte, error) {
		arr, err := sqlio.ReadArray(from, b)
		switch {
		case err != nil:
			return dst, err
		case arr.NDim() > 1:
			return dst, sqlerr.New(sqlerr.DataException, "array must be 1-D")
		case arr.HasNulls():
			return dst, sqlerr.New(sqlerr.NullValueNotAllowed, "array must not contain nulls")
		}
		fs := make([]float32, arr.Len())
		for i := range fs {
			switch x := arr.At(i).(type) {
			case int64:
				fs[i] = float32(x)
			case float64:
				fs[i] = float32(x)
			case numeric.Dec:
				f, _ := x.ToFloat32()
				fs[i] = f
			}
		}
		out, err := sqlio.MakeFloats(fs)
		return append(dst, out...), err
	})
}

// vectorToArray casts to real[].
func vectorToArray(dst, b []byte) []byte {
	elems := make([]sqltypes.Datum, sqlio.FloatsLen(b))
	for i := range elems {
		elems[i] = float64(sqlio.FloatAt(b, i))
	}
	return append(dst, sqlio.MakeArray(sqltypes.ArrayOf(sqltypes.Float4), elems)...)
}

// vectorCast is a cast between vector and an array of numbers.
func vectorCast(from, to sqltypes.Type) (CastContext, bool) {
	switch {
	case from.Kind == sqltypes.KVector && to.Kind == sqltypes.KArray && to.Elem == sqltypes.KFloat4:
		return CastImplicit, true
	case to.Kind == sqltypes.KVector && from.Kind == sqltypes.KArray:
		switch from.Elem {
		case sqltypes.KInt4, sqltypes.KFloat4, sqltypes.KFloat8, sqltypes.KNumeric:
			return CastAssignment, true
		}
	}
	return 0, false
}

func vectorFuncs() []Func {
	v, f8, i4 := sqltypes.Vector, sqltypes.Float8, sqltypes.Int4
	negDot := func(a, b []byte) float64 { return -dot(a, b) }
	cat := b2(func(dst, a, b []byte) []byte { return append(append(dst, a...), b...) })
	return []Func{
		fn("l2_distance", ts(v, v), f8, distance(l2), "Euclidean distance"),
		fn("l1_distance", ts(v, v), f8, distance(l1), "taxicab distance"),
		fn("cosine_distance", ts(v, v), f8, distance(cosine), "cosine distance"),
		fn("inner_product", ts(v, v), f8, distance(dot), "inner product"),
		fn("<->", ts(v, v), f8, distance(l2), "Euclidean distance"),
		fn("<+>", ts(v, v), f8, distance(l1), "taxicab distance"),
		fn("<=>", ts(v, v), f8, distance(cosine), "cosine distance"),
		fn("<#>", ts(v, v), f8, distance(negDot), "negative inner product"),
		fn("l2_norm", ts(v), f8, k1(func(a []byte) float64 { return math.Sqrt(dot(a, a)) }), "Euclidean norm"),
		fn("vector_norm", ts(v), f8, k1(func(a []byte) float64 { return math.Sqrt(dot(a, a)) }), "Euclidean norm"),
		fn("vector_dims", ts(v), i4, k1(func(a []byte) int64 { return int64(sqlio.FloatsLen(a)) }), "number of dimensions"),
		fn("l2_normalize", ts(v), v, b1e(normalizeVector), "vector of the same direction and norm 1"),
		fn("subvector", ts(v, i4, i4), v, bytesOf(subvector), "part of a vector: first place and number of dimensions"),
		fn("+", ts(v, v), v, elementwise(func(x, y float32) float32 { return x + y }), "element-wise sum"),
		fn("-", ts(v, v), v, elementwise(func(x, y float32) float32 { return x - y }), "element-wise difference"),
		fn("*", ts(v, v), v, elementwise(func(x, y float32) float32 { return x * y }), "element-wise product"),
		fn("||", ts(v, v), v, cat, "concatenation"),
		fn("vec_concat", ts(v, v), v, cat, "concatenation"),
	}
}
