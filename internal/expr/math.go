package expr

import (
	"math"
	"math/rand/v2"

	"github.com/millrace/millrace/internal/elementary"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Mathematical functions. Errors and special values follow PostgreSQL's float.c and numeric.c.

// f1 adapts a float function whose result must not overflow or, when it may be zero only for zero, underflow.
func f1(f func(float64) float64, zeroOK bool) Kernel {
	return k1e(func(x float64) (float64, error) {
		r := f(x)
		if math.IsInf(r, 0) && !math.IsInf(x, 0) {
			return 0, errOverflow
		}
		if r == 0 && !zeroOK && x != 0 && !math.IsInf(x, 0) {
			return 0, errUnderflow
		}
		return r, nil
	})
}

// domain adapts a float function that is defined for finite x between lo and hi only.
func domain(f func(float64) float64, lo, hi float64) Kernel {
	return k1e(func(x float64) (float64, error) {
		if x < lo || x > hi {
			return 0, errInputRange
		}
		return f(x), nil
	})
}

// finite adapts a trigonometric function: an infinite argument is an error.
func finite(f func(float64) float64) Kernel {
	return k1e(func(x float64) (float64, error) {
		if math.IsInf(x, 0) {
			return 0, errInputRange
		}
		return f(x), nil
	})
}

// gammaFloat has poles at 0 and the negative integers.
func gammaFloat(x float64) (float64, error) {
	switch {
	case math.IsInf(x, -1), x <= 0 && x == math.Trunc(x):
		return 0, errOverflow
	case math.IsInf(x, 1), math.IsNaN(x):
		return x, nil
	}
	r := math.Gamma(x)
	switch {
	case math.IsInf(r, 0) || math.IsNaN(r):
		return 0, errOverflow
	case r == 0:
		return 0, errUnderflow
	}
	return r, nil
}

func lgammaFloat(x float64) (float64, error) {
	r, _ := math.Lgamma(x)
	if math.IsInf(r, 0) && !math.IsInf(x, 0) {
		return 0, errOverflow
	}
	return r, nil
}

func sqrtFloat(x float64) (float64, error) {
	if x < 0 {
		return 0, sqlerr.New(sqlerr.InvalidArgumentForPower, "cannot take square root of a negative number")
	}
	return math.Sqrt(x), nil
}

var (
	errLogZero     = sqlerr.New(sqlerr.InvalidArgumentForLog, "cannot take logarithm of zero")
	errLogNegative = sqlerr.New(sqlerr.InvalidArgumentForLog, "cannot take logarithm of a negative number")
)

func logFloat(f func(float64) float64) Kernel {
	return k1e(func(x float64) (float64, error) {
		switch {
		case x == 0:
			return 0, errLogZero
		case x < 0:
			return 0, errLogNegative
		}
		return f(x), nil
	})
}

func expFloat(x float64) (float64, error) {
	r := elementary.Exp(x)
	switch {
	case math.IsInf(r, 0) && !math.IsInf(x, 0):
		return 0, errOverflow
	case r == 0 && !math.IsInf(x, 0):
		return 0, errUnderflow
	}
	return r, nil
}

func powerFloat(a, b float64) (float64, error) {
	switch {
	case a != a:
		if b == 0 {
			return 1, nil
		}
		return a, nil
	case b != b:
		if a == 1 {
			return 1, nil
		}
		return b, nil
	case a == 0 && b < 0:
		return 0, sqlerr.New(sqlerr.InvalidArgumentForPower, "zero raised to a negative power is undefined")
	case a < 0 && math.Floor(b) != b:
		return 0, sqlerr.New(sqlerr.InvalidArgumentForPower, "a negative number raised to a non-integer power yields a complex result")
	}
	r := elementary.Pow(a, b)
	if !math.IsInf(a, 0) && !math.IsInf(b, 0) {
		if math.IsInf(r, 0) {
			return 0, errOverflow
		}
		if r == 0 && a != 0 {
			return 0, errUnderflow
		}
	}
	return r, nil
}

func signFloat(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

func signDec(d numeric.Dec) numeric.Dec {
	if d.IsNaN() {
		return d
	}
	return numeric.FromInt64(int64(d.Sign()))
}

// Degree versions give exact results at the points where that is possible.

func degreesIn(x, period float64) float64 { return math.Mod(x, period) }

// degree is PostgreSQL's factor. The reference values are computed like any other, so that x = 30 gives exactly ½.
const degree = 0.0174532925199432957692

func sinDegrees(x float64) float64 { return elementary.Sin(x * degree) }

func cosFromOne(x float64) float64 { return 1 - elementary.Cos(x*degree) }

func sind1q(x float64) float64 { // 0 ≤ x ≤ 90
	if x <= 30 {
		return sinDegrees(x) / sinDegrees(30) / 2
	}
	return 1 - cosFromOne(90-x)/cosFromOne(60)/2
}

func cosd1q(x float64) float64 {
	if x <= 60 {
		return 1 - cosFromOne(x)/cosFromOne(60)/2
	}
	return sinDegrees(90-x) / sinDegrees(30) / 2
}

func sind(x float64) float64 {
	x = degreesIn(x, 360)
	sign := 1.0
	if x < 0 {
		x, sign = -x, -sign
	}
	if x > 180 {
		x, sign = 360-x, -sign
	}
	if x > 90 {
		x = 180 - x
	}
	return sign * sind1q(x)
}

func cosd(x float64) float64 {
	x = math.Abs(degreesIn(x, 360))
	sign := 1.0
	if x > 180 {
		x = 360 - x
	}
	if x > 90 {
		x, sign = 180-x, -sign
	}
	return sign * cosd1q(x)
}

// tanLike folds x into the first quadrant and applies num/den, scaled so that 45° gives exactly 1.
func tanLike(x float64, num, den func(float64) float64, swap bool) float64 {
	x = degreesIn(x, 360)
	sign := 1.0
	if x < 0 {
		x, sign = -x, -sign
	}
	if x > 180 {
		x, sign = 360-x, -sign
	}
	if x > 90 {
		x, sign = 180-x, -sign
	}
	r := sign * (num(x) / den(x) / (num(45) / den(45)))
	if r == 0 && !swap {
		return 0
	}
	return r + 0
}

func tand(x float64) float64 { return tanLike(x, sind1q, cosd1q, false) }

func cotd(x float64) float64 { return tanLike(x, cosd1q, sind1q, true) }

func asind1q(x float64) float64 {
	if x <= 0.5 {
		return elementary.Asin(x) / elementary.Asin(0.5) * 30
	}
	return 90 - elementary.Acos(x)/elementary.Acos(0.5)*60
}

func acosd1q(x float64) float64 {
	if x <= 0.5 {
		return 90 - elementary.Asin(x)/elementary.Asin(0.5)*30
	}
	return elementary.Acos(x) / elementary.Acos(0.5) * 60
}

func asind(x float64) float64 {
	if x >= 0 || x != x {
		return asind1q(x)
	}
	return -asind1q(-x)
}

func acosd(x float64) float64 {
	if x >= 0 || x != x {
		return acosd1q(x)
	}
	return 90 + asind1q(-x)
}

func atand(x float64) float64 { return elementary.Atan(x) / elementary.Atan(1) * 45 }

func atan2d(y, x float64) float64 { return elementary.Atan2(y, x) / elementary.Atan(1) * 45 }

func cot(x float64) float64 { return 1 / elementary.Tan(x) }

func coth(x float64) float64 { return 1 / elementary.Tanh(x) }

// gcdInt and lcmInt are defined for negative arguments by their absolute values.
func gcdInt(k sqltypes.Kind) func(a, b int64) (int64, error) {
	return func(a, b int64) (int64, error) { return checkGcd(k, gcd(a, b)) }
}

func gcd(a, b int64) uint64 {
	x, y := magnitude(a), magnitude(b)
	for y != 0 {
		x, y = y, x%y
	}
	return x
}

func magnitude(a int64) uint64 {
	if a < 0 {
		return -uint64(a)
	}
	return uint64(a)
}

func checkGcd(k sqltypes.Kind, g uint64) (int64, error) {
	if g > math.MaxInt64 {
		return 0, errInt8Range
	}
	return checkInt(k, int64(g))
}

func lcmInt(k sqltypes.Kind) func(a, b int64) (int64, error) {
	return func(a, b int64) (int64, error) {
		if a == 0 || b == 0 {
			return 0, nil
		}
		r, ok := mulInt(a/int64(gcd(a, b)), b)
		if !ok || r == math.MinInt64 {
			_, _, err := intRange(k)
			return 0, err
		}
		if r < 0 {
			r = -r
		}
		return checkInt(k, r)
	}
}

// random draws from the context's generator: setseed makes it repeatable.
func (c *Ctx) random() float64 {
	if c.rng != nil {
		return c.rng.Float64()
	}
	return rand.Float64()
}

func setseed(c *Ctx, dst []byte, seed float64) ([]byte, error) {
	if !(seed >= -1 && seed <= 1) {
		return dst, sqlerr.New(sqlerr.InvalidParameterValue, "setseed parameter %v is out of allowed range [-1,1]", seed)
	}
	c.rng = rand.New(rand.NewPCG(math.Float64bits(seed), 0))
	return dst, nil
}

var (
	errBucketCount  = sqlerr.New(sqlerr.InvalidArgumentForWidth, "count must be greater than zero")
	errBucketNaN    = sqlerr.New(sqlerr.InvalidArgumentForWidth, "operand, lower bound, and upper bound cannot be NaN")
	errBucketBounds = sqlerr.New(sqlerr.InvalidArgumentForWidth, "lower and upper bounds must be finite")
	errBucketEqual  = sqlerr.New(sqlerr.InvalidArgumentForWidth, "lower bound cannot equal upper bound")
)

func widthBucketFloat(_ *Ctx, x, lo, hi float64, count int64) (int64, error) {
	switch {
	case count <= 0:
		return 0, errBucketCount
	case x != x || lo != lo || hi != hi:
		return 0, errBucketNaN
	case math.IsInf(lo, 0) || math.IsInf(hi, 0):
		return 0, errBucketBounds
	case lo == hi:
		return 0, errBucketEqual
	}
	if lo > hi { // a descending histogram is an ascending one in the mirror
		x, lo, hi = -x, -lo, -hi
	}
	switch {
	case x < lo:
		return 0, nil
	case x >= hi:
		return checkInt(sqltypes.KInt4, count+1)
	case hi-lo > math.MaxFloat64:
		return 1 + min(count-1, int64(float64(count)*(x/2-lo/2)/(hi/2-lo/2))), nil
	}
	return 1 + min(count-1, int64(float64(count)*((x-lo)/(hi-lo)))), nil
}

func widthBucketDec(_ *Ctx, x, lo, hi numeric.Dec, count int64) (int64, error) {
	n, err := numeric.WidthBucket(x, lo, hi, int32(count))
	return int64(n), err
}

func scaleOf(d numeric.Dec) (int64, error) { return nullable(d.Scale()) }

func minScaleOf(d numeric.Dec) (int64, error) { return nullable(d.MinScale()) }

func nullable(n int32, ok bool) (int64, error) {
	if !ok {
		return 0, errNull
	}
	return int64(n), nil
}

func roundDec(d numeric.Dec) (numeric.Dec, error) { return d.Round(0) }

func roundDecTo(d numeric.Dec, n int64) (numeric.Dec, error) { return d.Round(int32(n)) }

func truncDec(d numeric.Dec) numeric.Dec { return d.Trunc(0) }

func truncDecTo(d numeric.Dec, n int64) numeric.Dec { return d.Trunc(int32(n)) }

func factorial(n int64) (numeric.Dec, error) { return numeric.Factorial(n) }

// mathFuncs lists the mathematical functions, for double precision and numeric.
func mathFuncs() []Func {
	f, n, i4, i8 := sqltypes.Float8, sqltypes.Numeric, sqltypes.Int4, sqltypes.Int8
	out := []Func{
		fn("ceil", ts(f), f, k1(math.Ceil), "least integer not below"),
		fn("ceiling", ts(f), f, k1(math.Ceil), "least integer not below"),
		fn("floor", ts(f), f, k1(math.Floor), "greatest integer not above"),
		fn("round", ts(f), f, k1(math.RoundToEven), "nearest integer, ties to even"),
		fn("trunc", ts(f), f, k1(math.Trunc), "integer part"),
		fn("sign", ts(f), f, k1(signFloat), "−1, 0 or 1"),
		fn("sqrt", ts(f), f, k1e(sqrtFloat), "square root"),
		fn("|/", ts(f), f, k1e(sqrtFloat), "square root"),
		fn("cbrt", ts(f), f, k1(elementary.Cbrt), "cube root"),
		fn("||/", ts(f), f, k1(elementary.Cbrt), "cube root"),
		fn("gamma", ts(f), f, k1e(gammaFloat), "gamma function"),
		fn("lgamma", ts(f), f, k1e(lgammaFloat), "natural logarithm of the absolute value of the gamma function"),
		fn("exp", ts(f), f, k1e(expFloat), "e raised to a power"),
		fn("ln", ts(f), f, logFloat(elementary.Log), "natural logarithm"),
		fn("log", ts(f), f, logFloat(elementary.Log10), "decimal logarithm"),
		fn("log10", ts(f), f, logFloat(elementary.Log10), "decimal logarithm"),
		fn("power", ts(f, f), f, k2e(powerFloat), "power"),
		fn("pow", ts(f, f), f, k2e(powerFloat), "power"),
		fn("^", ts(f, f), f, k2e(powerFloat), "power"),
		fn("pi", nil, f, k0(func(*Ctx) (float64, error) { return math.Pi, nil }), "π"),
		fn("degrees", ts(f), f, f1(func(x float64) float64 { return x / (math.Pi / 180) }, false), "radians to degrees"),
		fn("radians", ts(f), f, f1(func(x float64) float64 { return x * (math.Pi / 180) }, false), "degrees to radians"),
		fn("random", nil, f, k0(func(c *Ctx) (float64, error) { return c.random(), nil }), "random number from 0 to below 1").volatile(),
		fn("setseed", ts(f), sqltypes.Void, b1c(setseed), "starts random() from a seed").volatile(),
		fn("width_bucket", ts(f, f, f, i4), i4, k4c(widthBucketFloat), "number of the histogram bucket"),

		fn("ceil", ts(n), n, k1e(numeric.Dec.Ceil), "least integer not below"),
		fn("ceiling", ts(n), n, k1e(numeric.Dec.Ceil), "least integer not below"),
		fn("floor", ts(n), n, k1e(numeric.Dec.Floor), "greatest integer not above"),
		fn("round", ts(n), n, k1e(roundDec), "nearest integer, ties away from zero"),
		fn("round", ts(n, i4), n, k2e(roundDecTo), "rounded to decimal places, ties away from zero"),
		fn("trunc", ts(n), n, k1(truncDec), "integer part"),
		fn("trunc", ts(n, i4), n, k2(truncDecTo), "cut to decimal places"),
		fn("sign", ts(n), n, k1(signDec), "−1, 0 or 1"),
		fn("sqrt", ts(n), n, k1e(numeric.Dec.Sqrt), "square root"),
		fn("exp", ts(n), n, k1e(numeric.Dec.Exp), "e raised to a power"),
		fn("ln", ts(n), n, k1e(numeric.Dec.Ln), "natural logarithm"),
		fn("log", ts(n), n, k1e(numeric.Dec.Log10), "decimal logarithm"),
		fn("log10", ts(n), n, k1e(numeric.Dec.Log10), "decimal logarithm"),
		fn("log", ts(n, n), n, k2e(numeric.Log), "logarithm to a base"),
		fn("gcd", ts(n, n), n, k2(numeric.Dec.Gcd), "greatest common divisor"),
		fn("lcm", ts(n, n), n, k2e(numeric.Dec.Lcm), "least common multiple"),
		fn("factorial", ts(i8), n, k1e(factorial), "factorial"),
		fn("scale", ts(n), i4, k1e(scaleOf), "digits after the point"),
		fn("min_scale", ts(n), i4, k1e(minScaleOf), "digits after the point that are needed"),
		fn("trim_scale", ts(n), n, k1(numeric.Dec.TrimScale), "without trailing zeros after the point"),
		fn("width_bucket", ts(n, n, n, i4), i4, k4c(widthBucketDec), "number of the histogram bucket"),
	}
	for _, t := range ts(i4, i8) {
		out = append(out,
			fn("gcd", ts(t, t), t, k2e(gcdInt(t.Kind)), "greatest common divisor"),
			fn("lcm", ts(t, t), t, k2e(lcmInt(t.Kind)), "least common multiple"))
	}
	return append(out, trigFuncs()...)
}

func trigFuncs() []Func {
	f := sqltypes.Float8
	inf := math.Inf(1)
	one := func(name string, k Kernel, doc string) Func { return fn(name, ts(f), f, k, doc) }
	return []Func{
		one("sin", finite(elementary.Sin), "sine"),
		one("cos", finite(elementary.Cos), "cosine"),
		one("tan", finite(elementary.Tan), "tangent"),
		one("cot", finite(cot), "cotangent"),
		one("asin", domain(elementary.Asin, -1, 1), "inverse sine"),
		one("acos", domain(elementary.Acos, -1, 1), "inverse cosine"),
		one("atan", k1(elementary.Atan), "inverse tangent"),
		fn("atan2", ts(f, f), f, k2(elementary.Atan2), "inverse tangent of a quotient"),
		one("sind", finite(sind), "sine of degrees"),
		one("cosd", finite(cosd), "cosine of degrees"),
		one("tand", finite(tand), "tangent of degrees"),
		one("cotd", finite(cotd), "cotangent of degrees"),
		one("asind", domain(asind, -1, 1), "inverse sine in degrees"),
		one("acosd", domain(acosd, -1, 1), "inverse cosine in degrees"),
		one("atand", k1(atand), "inverse tangent in degrees"),
		fn("atan2d", ts(f, f), f, k2(atan2d), "inverse tangent of a quotient in degrees"),
		one("sinh", k1(elementary.Sinh), "hyperbolic sine"),
		one("cosh", k1(elementary.Cosh), "hyperbolic cosine"),
		one("tanh", k1(elementary.Tanh), "hyperbolic tangent"),
		one("coth", k1(coth), "hyperbolic cotangent"),
		one("asinh", k1(elementary.Asinh), "inverse hyperbolic sine"),
		one("acosh", domain(elementary.Acosh, 1, inf), "inverse hyperbolic cosine"),
		one("atanh", domain(elementary.Atanh, -1, 1), "inverse hyperbolic tangent"),
	}
}
