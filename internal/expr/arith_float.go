package expr

import (
	"math"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Floating-point arithmetic. Like the integer loops these run over every physical row and look closer only when
// a result is infinite, zero or not a number where that may be an error.

// floatOp computes one row with PostgreSQL's checks.
type floatOp func(a, b float64) (float64, error)

// checkFloat raises overflow when r is infinite though no operand was.
func checkFloat(r float64, a, b float64) (float64, error) {
	if math.IsInf(r, 0) && !math.IsInf(a, 0) && !math.IsInf(b, 0) {
		return 0, errOverflow
	}
	return r, nil
}

func addFloat(a, b float64) (float64, error) { return checkFloat(a+b, a, b) }

func subFloat(a, b float64) (float64, error) { return checkFloat(a-b, a, b) }

func mulFloat(a, b float64) (float64, error) {
	r := a * b
	if r == 0 && a != 0 && b != 0 {
		return 0, errUnderflow
	}
	return checkFloat(r, a, b)
}

func divFloat(a, b float64) (float64, error) {
	if b == 0 && a == a {
		return 0, errDivByZero
	}
	r := a / b
	if r == 0 && a != 0 && !math.IsInf(b, 0) {
		return 0, errUnderflow
	}
	if math.IsInf(r, 0) && !math.IsInf(a, 0) {
		return 0, errOverflow
	}
	return r, nil
}

// round32 redoes the range checks after rounding to real.
func round32(op floatOp) floatOp {
	return func(a, b float64) (float64, error) {
		r, err := op(a, b)
		if err != nil {
			return 0, err
		}
		s := float64(float32(r))
		if math.IsInf(s, 0) && !math.IsInf(r, 0) {
			return 0, errOverflow
		}
		if s == 0 && r != 0 {
			return 0, errUnderflow
		}
		return s, nil
	}
}

// floatLoop computes whole slices and says whether some row needs a closer look.
type floatLoop func(r, a, b []float64) (suspect bool)

// suspicious is true for ±Inf and NaN: their exponent bits are all ones.
func suspicious(r float64) bool { return !(math.Abs(r) <= math.MaxFloat64) }

func addFloats(r, a, b []float64) (suspect bool) {
	r, b = r[:len(a)], b[:len(a)]
	for i, x := range a {
		s := x + b[i]
		r[i] = s
		if suspicious(s) {
			suspect = true
		}
	}
	return suspect
}

func subFloats(r, a, b []float64) (suspect bool) {
	r, b = r[:len(a)], b[:len(a)]
	for i, x := range a {
		s := x - b[i]
		r[i] = s
		if suspicious(s) {
			suspect = true
		}
	}
	return suspect
}

func mulFloats(r, a, b []float64) (suspect bool) {
	r, b = r[:len(a)], b[:len(a)]
	for i, x := range a {
		s := x * b[i]
		r[i] = s
		if s == 0 || suspicious(s) {
			suspect = true
		}
	}
	return suspect
}

func divFloats(r, a, b []float64) (suspect bool) {
	r, b = r[:len(a)], b[:len(a)]
	for i, x := range a {
		s := x / b[i]
		r[i] = s
		if s == 0 || suspicious(s) {
			suspect = true
		}
	}
	return suspect
}

func floatArith(result sqltypes.Kind, loop floatLoop, op floatOp) Kernel {
	if result == sqltypes.KFloat4 {
		op = round32(op)
		return k2e(op)
	}
	return func(c *Ctx, a Args, out *delta.Vec) {
		x, y := a.Vecs[0].Floats, a.Vecs[1].Floats
		if a.dense() && !loop(out.Floats, x[:a.N], y[:a.N]) {
			return
		}
		a.each(out, func(i int) {
			r, err := op(x[i], y[i])
			out.Floats[i] = r
			if err != nil {
				c.Fail(out, i, err)
			}
		})
	}
}

var floatTypes = ts(sqltypes.Float4, sqltypes.Float8)

// floatArithFuncs lists the operators of real and double precision and of their mixtures.
func floatArithFuncs() []Func {
	var out []Func
	for _, l := range floatTypes {
		for _, r := range floatTypes {
			t := sqltypes.Float8
			if l == r {
				t = l
			}
			args := ts(l, r)
			out = append(out,
				fn("+", args, t, floatArith(t.Kind, addFloats, addFloat), "sum"),
				fn("-", args, t, floatArith(t.Kind, subFloats, subFloat), "difference"),
				fn("*", args, t, floatArith(t.Kind, mulFloats, mulFloat), "product"),
				fn("/", args, t, floatArith(t.Kind, divFloats, divFloat), "quotient"))
		}
		out = append(out,
			fn("-", ts(l), l, k1(func(a float64) float64 { return -a }), "negation"),
			fn("+", ts(l), l, k1(func(a float64) float64 { return a }), "the number itself"),
			fn("@", ts(l), l, k1(math.Abs), "absolute value"),
			fn("abs", ts(l), l, k1(math.Abs), "absolute value"))
	}
	return out
}
