package expr

import (
	"math"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// percentile_disc and percentile_cont. The rows of a call hold the value, sorted, and the fraction behind it, which is the
// same in all of them.

var floatArray = sqltypes.ArrayOf(sqltypes.Float8)

// percentileFunc finds the value at one fraction.
type percentileFunc func(rows [][]sqltypes.Datum, p float64) (sqltypes.Datum, error)

// percentileDisc is the first value whose share of rows reaches p.
func percentileDisc(rows [][]sqltypes.Datum, p float64) (sqltypes.Datum, error) {
	k := int(math.Ceil(p * float64(len(rows))))
	return rows[max(k-1, 0)][0], nil
}

// percentileCont interpolates between the two values next to p.
func percentileCont(between func(a, b sqltypes.Datum, by float64) (sqltypes.Datum, error)) percentileFunc {
	return func(rows [][]sqltypes.Datum, p float64) (sqltypes.Datum, error) {
		at := p * float64(len(rows)-1)
		lo, hi := math.Floor(at), math.Ceil(at)
		if lo == hi {
			return rows[int(lo)][0], nil
		}
		return between(rows[int(lo)][0], rows[int(hi)][0], at-lo)
	}
}

func betweenFloats(a, b sqltypes.Datum, by float64) (sqltypes.Datum, error) {
	x, y := a.(float64), b.(float64)
	return x + by*(y-x), nil
}

func betweenIntervals(a, b sqltypes.Datum, by float64) (sqltypes.Datum, error) {
	x, y := a.(datetime.Interval), b.(datetime.Interval)
	d, err := y.Sub(x)
	if err == nil {
		d, err = d.Mul(by)
	}
	if err == nil {
		d, err = x.Add(d)
	}
	return d, err
}

func checkFraction(p float64) error {
	if p < 0 || p > 1 || math.IsNaN(p) {
		return sqlerr.New(sqlerr.NumericValueOutOfRange, "percentile value %s is not between 0 and 1", sqlio.AppendFloat(nil, p, 64))
	}
	return nil
}

// atFraction is the aggregate of one fraction.
func atFraction(f percentileFunc) finishFunc {
	return func(_ *Ctx, _ []sqltypes.Type, rows [][]sqltypes.Datum) (sqltypes.Datum, error) {
		p, ok := rows[0][1].(float64)
		if !ok {
			return nil, nil
		}
		if err := checkFraction(p); err != nil {
			return nil, err
		}
		return f(rows, p)
	}
}

// atFractions is the aggregate of an array of fractions: an array of the same shape.
func atFractions(f percentileFunc) finishFunc {
	return func(_ *Ctx, types []sqltypes.Type, rows [][]sqltypes.Datum) (sqltypes.Datum, error) {
		if rows[0][1] == nil {
			return nil, nil
		}
		arr, err := sqlio.ReadArray(floatArray, bytesOfDatum(rows[0][1]))
		if err != nil {
			return nil, err
		}
		out := make([]sqltypes.Datum, arr.Len())
		for i := range out {
			p, ok := arr.At(i).(float64)
			if !ok {
				continue
			}
			if err := checkFraction(p); err != nil {
				return nil, err
			}
			if out[i], err = f(rows, p); err != nil {
				return nil, err
			}
		}
		dims, lower := arr.Dims()
		return sqlio.MakeArrayDims(sqltypes.ArrayOf(types[0]), dims, lower, out)
	}
}

// percentileAggs lists percentile_cont and percentile_disc.
func percentileAggs() []AggFunc {
	f8, iv, el := sqltypes.Float8, sqltypes.IntervalT, sqltypes.AnyElement
	entry := func(name string, fraction, value, result sqltypes.Type, finish finishFunc, doc string) AggFunc {
		return AggFunc{Name: name, Args: ts(fraction, value), Result: result, IgnoresNulls: true, Ordered: true, Multiset: true,
			OrderedSet: true, Direct: 1, Doc: doc,
			New: func(types []sqltypes.Type) AggObject { return &collect{types: types, skip: true, finish: finish} }}
	}
	const disc, cont = "first value whose share of the rows in order reaches a fraction", "value at a fraction of the rows in order, between two of them if need be"
	one := entry("percentile_disc", f8, el, el, atFraction(percentileDisc), disc)
	one.ResultOf = func(args []sqltypes.Type) sqltypes.Type { return args[1] }
	many := entry("percentile_disc", floatArray, el, sqltypes.AnyArray, atFractions(percentileDisc), disc)
	many.ResultOf = func(args []sqltypes.Type) sqltypes.Type { return sqltypes.ArrayOf(args[1]) }
	return []AggFunc{
		one, many,
		entry("percentile_cont", f8, f8, f8, atFraction(percentileCont(betweenFloats)), cont),
		entry("percentile_cont", f8, iv, iv, atFraction(percentileCont(betweenIntervals)), cont),
		entry("percentile_cont", floatArray, f8, floatArray, atFractions(percentileCont(betweenFloats)), cont),
		entry("percentile_cont", floatArray, iv, sqltypes.ArrayOf(iv), atFractions(percentileCont(betweenIntervals)), cont),
	}
}
