package expr

import (
	"encoding/binary"
	"math"
	"slices"

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

// vectorSum is sum and avg of vectors, dimension by dimension. Sums are exact, so that vectors can be taken back; only
// results are rounded.
type vectorSum struct {
	avg bool
	// parts has an entry for each number of dimensions that was seen, ascending, and is there to be taken back: of two
	// at the end of an epoch there is no sum.
	parts []vectorPart
}

type vectorPart struct {
	n    int64
	sums []exactSum // one for each dimension
}

// part returns the entry for vectors of that many dimensions.
func (a *vectorSum) part(dims int) *vectorPart {
	i, ok := slices.BinarySearchFunc(a.parts, dims, func(p vectorPart, dims int) int { return len(p.sums) - dims })
	if !ok {
		a.parts = slices.Insert(a.parts, i, vectorPart{sums: make([]exactSum, dims)})
	}
	return &a.parts[i]
}

func (a *vectorSum) Add(_ *Ctx, args []*delta.Vec, row int, weight int64) error {
	if args[0].IsNull(row) {
		return nil
	}
	b := args[0].Bytes(row)
	p := a.part(sqlio.FloatsLen(b))
	p.n += weight
	for i := range p.sums {
		p.sums[i].add(float64(sqlio.FloatAt(b, i)), weight)
	}
	return nil
}

func (a *vectorSum) Result(_ *Ctx, out *delta.Vec) error {
	var p *vectorPart
	for i := range a.parts {
		q := &a.parts[i]
		switch {
		case q.n == 0:
			continue
		case p != nil && a.avg:
			return sqlerr.New(sqlerr.DataException, "expected %d dimensions, not %d", len(p.sums), len(q.sums))
		case p != nil:
			return sqlerr.New(sqlerr.DataException, "different vector dimensions %d and %d", len(p.sums), len(q.sums))
		}
		p = q
	}
	if p == nil {
		out.AppendNull()
		return nil
	}
	b, err := appendFloats(nil, len(p.sums), func(i int) float32 {
		if a.avg {
			return float32(p.sums[i].round(53, -1022) / float64(p.n))
		}
		return float32(p.sums[i].round(24, -126))
	})
	if err == nil {
		out.AppendBytes(b)
	}
	return err
}

// Merge implements AggMerger.
func (a *vectorSum) Merge(src AggObject) {
	for _, q := range src.(*vectorSum).parts {
		p := a.part(len(q.sums))
		p.n += q.n
		for i := range q.sums {
			p.sums[i].merge(&q.sums[i])
		}
	}
}

func (a *vectorSum) AppendImage(dst []byte) []byte {
	a.parts = slices.DeleteFunc(a.parts, vectorPart.empty)
	dst = binary.AppendUvarint(dst, uint64(len(a.parts)))
	for _, p := range a.parts {
		dst = binary.AppendVarint(binary.AppendUvarint(dst, uint64(len(p.sums))), p.n)
		for i := range p.sums {
			dst = p.sums[i].appendImage(dst)
		}
	}
	return dst
}

// empty reports whether everything was taken back.
func (p vectorPart) empty() bool {
	for i := range p.sums {
		if s := &p.sums[i]; s.negZero != 0 || slices.ContainsFunc(s.limbs, func(x uint64) bool { return x != 0 }) {
			return false
		}
	}
	return p.n == 0
}

func (a *vectorSum) DecodeImage(src []byte) error {
	count, src, err := takeUvarint(src)
	if err != nil || count > sqlio.MaxDimensions {
		return errImage
	}
	a.parts = make([]vectorPart, count)
	for k := range a.parts {
		dims, rest, err := takeUvarint(src)
		if err != nil || dims > sqlio.MaxDimensions {
			return errImage
		}
		p := &a.parts[k]
		if p.n, src, err = takeVarint(rest); err != nil {
			return err
		}
		p.sums = make([]exactSum, dims)
		for i := range p.sums {
			if src, err = p.sums[i].decodeImage(src); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *vectorSum) SizeBytes() int {
	n := 32
	for _, p := range a.parts {
		n += 32
		for i := range p.sums {
			n += p.sums[i].sizeBytes()
		}
	}
	return n
}

func vectorAggs() []AggFunc {
	v := sqltypes.Vector
	return []AggFunc{
		floatAgg("sum", ts(v), v, func() AggObject { return &vectorSum{} }, "sum, dimension by dimension"),
		floatAgg("avg", ts(v), v, func() AggObject { return &vectorSum{avg: true} }, "average, dimension by dimension"),
	}
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
