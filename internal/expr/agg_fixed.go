package expr

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Aggregates whose state is a few words. The words lie little-endian in the caller's blocks; all zero is the
// state of no input. The loops touch no heap.

func word(p []byte, k int) int64 { return int64(binary.LittleEndian.Uint64(p[8*k:])) }

func setWord(p []byte, k int, v int64) { binary.LittleEndian.PutUint64(p[8*k:], uint64(v)) }

// rowOf maps the k-th row of a call to its physical row.
func rowOf(rows []int32, k int) int {
	if rows == nil {
		return k
	}
	return int(rows[k])
}

func weightOf(weights []int64, i int) int64 {
	if weights == nil {
		return 1
	}
	return weights[i]
}

// eachInput calls f for every row whose first argument is not NULL.
func eachInput(s *States, slots []uint32, v *delta.Vec, rows []int32, weights []int64, f func(p []byte, i int, w int64)) {
	for k, slot := range slots {
		if i := rowOf(rows, k); !v.IsNull(i) {
			f(s.At(slot), i, weightOf(weights, i))
		}
	}
}

// countAgg counts rows, or values that are not NULL. State: the count.
func countAgg() *FixedAgg {
	return &FixedAgg{Width: 8, Update: updateCount, Merge: mergeSums(1),
		Result: func(_ *Ctx, s *States, slots []uint32, out *delta.Vec) {
			for _, slot := range slots {
				out.AppendInt(word(s.At(slot), 0))
			}
		}}
}

func updateCount(s *States, slots []uint32, args []*delta.Vec, rows []int32, weights []int64) {
	nullable := len(args) > 0 && args[0].HasNulls()
	for k, slot := range slots {
		i := rowOf(rows, k)
		if nullable && args[0].IsNull(i) {
			continue
		}
		p := s.At(slot)
		setWord(p, 0, word(p, 0)+weightOf(weights, i))
	}
}

// mergeSums adds n words.
func mergeSums(n int) func(dst, src []byte) {
	return func(dst, src []byte) {
		for k := range n {
			setWord(dst, k, word(dst, k)+word(src, k))
		}
	}
}

// The state of integer sums: a 128-bit total in words 0 (low) and 1 (high), and the number of values in word 2.

func updateIntSum(s *States, slots []uint32, args []*delta.Vec, rows []int32, weights []int64) {
	v := args[0]
	x, nullable := v.Ints, v.HasNulls()
	for k, slot := range slots {
		i := rowOf(rows, k)
		if nullable && v.IsNull(i) {
			continue
		}
		p := s.At(slot)[:24]
		w := weightOf(weights, i)
		hi, lo := x[i]>>63, uint64(x[i])
		if w != 1 {
			hi, lo = mulHigh(x[i], w), uint64(x[i]*w)
		}
		low, carry := bits.Add64(binary.LittleEndian.Uint64(p), lo, 0)
		binary.LittleEndian.PutUint64(p, low)
		setWord(p, 1, word(p, 1)+hi+int64(carry))
		setWord(p, 2, word(p, 2)+w)
	}
}

func mergeIntSum(dst, src []byte) {
	low, carry := bits.Add64(binary.LittleEndian.Uint64(dst), binary.LittleEndian.Uint64(src), 0)
	binary.LittleEndian.PutUint64(dst, low)
	setWord(dst, 1, word(dst, 1)+word(src, 1)+int64(carry))
	setWord(dst, 2, word(dst, 2)+word(src, 2))
}

// sumToInt is sum over smallint and integer, a bigint.
func sumToInt(c *Ctx, s *States, slots []uint32, out *delta.Vec) {
	for _, slot := range slots {
		p := s.At(slot)
		lo, hi := word(p, 0), word(p, 1)
		switch {
		case word(p, 2) == 0:
			out.AppendNull()
		case hi != lo>>63:
			out.AppendNull()
			c.Fail(out, out.Len()-1, errInt8Range)
		default:
			out.AppendInt(lo)
		}
	}
}

func sumOf(p []byte) numeric.Dec { return numeric.FromInt(word(p, 1), uint64(word(p, 0))) }

// sumToDec is sum over bigint, a numeric.
func sumToDec(_ *Ctx, s *States, slots []uint32, out *delta.Vec) {
	for _, slot := range slots {
		p := s.At(slot)
		if word(p, 2) == 0 {
			out.AppendNull()
		} else {
			out.AppendDec(sumOf(p))
		}
	}
}

func avgToDec(c *Ctx, s *States, slots []uint32, out *delta.Vec) {
	for _, slot := range slots {
		p := s.At(slot)
		n := word(p, 2)
		if n == 0 {
			out.AppendNull()
			continue
		}
		d, err := numeric.Avg(sumOf(p), n)
		appendDec(c, out, d, err)
	}
}

func appendDec(c *Ctx, out *delta.Vec, d numeric.Dec, err error) {
	if err != nil {
		out.AppendNull()
		c.Fail(out, out.Len()-1, err)
		return
	}
	out.AppendDec(d)
}

func intSumAgg(result func(*Ctx, *States, []uint32, *delta.Vec)) *FixedAgg {
	return &FixedAgg{Width: 24, Update: updateIntSum, Merge: mergeIntSum, Result: result}
}

// The state of min and max: word 0 says whether there is a value, word 1 is it.

func extremeInts(sign int) *FixedAgg {
	return &FixedAgg{Width: 16,
		Update: func(s *States, slots []uint32, args []*delta.Vec, rows []int32, _ []int64) {
			v := args[0]
			for k, slot := range slots {
				i := rowOf(rows, k)
				if v.IsNull(i) {
					continue
				}
				p, x := s.At(slot)[:16], v.Ints[i]
				if old := word(p, 1); word(p, 0) == 0 || x < old == (sign < 0) && x != old {
					setWord(p, 0, 1)
					setWord(p, 1, x)
				}
			}
		},
		Merge: func(dst, src []byte) {
			if word(src, 0) != 0 && (word(dst, 0) == 0 || sign*compareInt(word(src, 1), word(dst, 1)) > 0) {
				copy(dst[:16], src[:16])
			}
		},
		Result: func(_ *Ctx, s *States, slots []uint32, out *delta.Vec) {
			for _, slot := range slots {
				if p := s.At(slot); word(p, 0) == 0 {
					out.AppendNull()
				} else {
					out.AppendInt(word(p, 1))
				}
			}
		}}
}

func floatWord(p []byte, k int) float64 { return math.Float64frombits(uint64(word(p, k))) }

func extremeFloats(sign int) *FixedAgg {
	take := func(p []byte, x float64) {
		if word(p, 0) == 0 || sign*compareFloat(x, floatWord(p, 1)) > 0 {
			setWord(p, 0, 1)
			setWord(p, 1, int64(math.Float64bits(x)))
		}
	}
	return &FixedAgg{Width: 16,
		Update: func(s *States, slots []uint32, args []*delta.Vec, rows []int32, weights []int64) {
			v := args[0]
			eachInput(s, slots, v, rows, weights, func(p []byte, i int, _ int64) { take(p, v.Floats[i]) })
		},
		Merge: func(dst, src []byte) {
			if word(src, 0) != 0 {
				take(dst, floatWord(src, 1))
			}
		},
		Result: func(_ *Ctx, s *States, slots []uint32, out *delta.Vec) {
			for _, slot := range slots {
				if p := s.At(slot); word(p, 0) == 0 {
					out.AppendNull()
				} else {
					out.AppendFloat(floatWord(p, 1))
				}
			}
		}}
}

// boolAgg is bool_and and bool_or. State: how many values are true, and how many are false.
func boolAgg(or bool) *FixedAgg {
	return &FixedAgg{Width: 16, Merge: mergeSums(2),
		Update: func(s *States, slots []uint32, args []*delta.Vec, rows []int32, weights []int64) {
			v := args[0]
			eachInput(s, slots, v, rows, weights, func(p []byte, i int, w int64) {
				k := 1
				if v.Bools[i] {
					k = 0
				}
				setWord(p, k, word(p, k)+w)
			})
		},
		Result: func(_ *Ctx, s *States, slots []uint32, out *delta.Vec) {
			for _, slot := range slots {
				p := s.At(slot)
				yes, no := word(p, 0) != 0, word(p, 1) != 0
				switch {
				case !yes && !no:
					out.AppendNull()
				case or:
					out.AppendBool(yes)
				default:
					out.AppendBool(!no)
				}
			}
		}}
}

// bitAgg is bit_and, bit_or and bit_xor. State: the number of values and the bits.
func bitAgg(op func(a, b int64) int64, xor bool) *FixedAgg {
	fold := func(p []byte, x, w int64) {
		switch {
		case xor:
			if w&1 != 0 {
				setWord(p, 1, word(p, 1)^x)
			}
		case word(p, 0) == 0:
			setWord(p, 1, x)
		default:
			setWord(p, 1, op(word(p, 1), x))
		}
		setWord(p, 0, word(p, 0)+w)
	}
	return &FixedAgg{Width: 16,
		Update: func(s *States, slots []uint32, args []*delta.Vec, rows []int32, weights []int64) {
			v := args[0]
			eachInput(s, slots, v, rows, weights, func(p []byte, i int, w int64) { fold(p, v.Ints[i], w) })
		},
		Merge: func(dst, src []byte) {
			n := word(src, 0)
			if xor {
				setWord(dst, 1, word(dst, 1)^word(src, 1))
				setWord(dst, 0, word(dst, 0)+n)
			} else if n != 0 {
				fold(dst, word(src, 1), n)
			}
		},
		Result: func(_ *Ctx, s *States, slots []uint32, out *delta.Vec) {
			for _, slot := range slots {
				if p := s.At(slot); word(p, 0) == 0 {
					out.AppendNull()
				} else {
					out.AppendInt(word(p, 1))
				}
			}
		}}
}

// intervalAgg sums intervals field by field. State: months, days, microseconds (low, high), number of values.
func intervalAgg(avg bool) *FixedAgg {
	add := func(p []byte, months, days, microsLo, microsHi, n int64) {
		setWord(p, 0, word(p, 0)+months)
		setWord(p, 1, word(p, 1)+days)
		low, carry := bits.Add64(uint64(word(p, 2)), uint64(microsLo), 0)
		setWord(p, 2, int64(low))
		setWord(p, 3, word(p, 3)+microsHi+int64(carry))
		setWord(p, 4, word(p, 4)+n)
	}
	return &FixedAgg{Width: 40,
		Update: func(s *States, slots []uint32, args []*delta.Vec, rows []int32, weights []int64) {
			v := args[0]
			eachInput(s, slots, v, rows, weights, func(p []byte, i int, w int64) {
				x := v.Intervals[i]
				add(p, int64(x.Months)*w, int64(x.Days)*w, x.Micros*w, mulHigh(x.Micros, w), w)
			})
		},
		Merge: func(dst, src []byte) {
			add(dst, word(src, 0), word(src, 1), word(src, 2), word(src, 3), word(src, 4))
		},
		Result: func(c *Ctx, s *States, slots []uint32, out *delta.Vec) {
			for _, slot := range slots {
				p := s.At(slot)
				n := word(p, 4)
				if n == 0 {
					out.AppendNull()
					continue
				}
				iv, err := intervalTotal(p)
				if err == nil && avg {
					iv, err = iv.Div(float64(n))
				}
				if err != nil {
					out.AppendNull()
					c.Fail(out, out.Len()-1, err)
					continue
				}
				out.AppendInterval(iv)
			}
		}}
}

func intervalTotal(p []byte) (datetime.Interval, error) {
	months, days, micros := word(p, 0), word(p, 1), word(p, 2)
	if int64(int32(months)) != months || int64(int32(days)) != days || word(p, 3) != micros>>63 {
		return datetime.Interval{}, sqlerr.New(sqlerr.DatetimeFieldOverflow, "interval out of range")
	}
	return datetime.Interval{Months: int32(months), Days: int32(days), Micros: micros}, nil
}

// fixedAggs lists the aggregates with fixed states; min and max are in agg_extreme.go.
func fixedAggs() []AggFunc {
	n, iv, b := sqltypes.Numeric, sqltypes.IntervalT, sqltypes.Bool
	one := func(name string, arg, result sqltypes.Type, f *FixedAgg, doc string) AggFunc {
		return AggFunc{Name: name, Args: ts(arg), Result: result, IgnoresNulls: true, Invertible: true, Fixed: f, Doc: doc}
	}
	out := []AggFunc{
		{Name: "count", Result: sqltypes.Int8, Invertible: true, Fixed: countAgg(), Doc: "number of rows"},
		one("count", sqltypes.Any, sqltypes.Int8, countAgg(), "number of values that are not NULL"),
		one("sum", sqltypes.Int2, sqltypes.Int8, intSumAgg(sumToInt), "sum"),
		one("sum", sqltypes.Int4, sqltypes.Int8, intSumAgg(sumToInt), "sum"),
		one("sum", sqltypes.Int8, n, intSumAgg(sumToDec), "sum"),
		one("avg", sqltypes.Int2, n, intSumAgg(avgToDec), "average"),
		one("avg", sqltypes.Int4, n, intSumAgg(avgToDec), "average"),
		one("avg", sqltypes.Int8, n, intSumAgg(avgToDec), "average"),
		one("sum", iv, iv, intervalAgg(false), "sum"),
		one("avg", iv, iv, intervalAgg(true), "average"),
		one("bool_and", b, b, boolAgg(false), "whether all values are true"),
		one("every", b, b, boolAgg(false), "whether all values are true"),
		one("bool_or", b, b, boolAgg(true), "whether some value is true"),
	}
	for _, t := range intTypes {
		and := one("bit_and", t, t, bitAgg(func(a, b int64) int64 { return a & b }, false), "bitwise and")
		or := one("bit_or", t, t, bitAgg(func(a, b int64) int64 { return a | b }, false), "bitwise or")
		for _, f := range []*AggFunc{&and, &or} {
			f.Invertible, f.Multiset = false, true
		}
		out = append(out, and, or, one("bit_xor", t, t, bitAgg(nil, true), "bitwise exclusive or"))
	}
	return out
}
