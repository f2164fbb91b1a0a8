package elementary

import "math"

// exp returns e^x as a double to be multiplied by 2^k. |x| is below 1100.
func exp(x double) (r double, k int) {
	k = int(math.RoundToEven(x.hi / ln2Hi))
	r = x.sub(ln2.times(float64(k)))
	const halvings = 8
	r = r.scale(1.0 / (1 << halvings))
	// expm1 by its series, then doubled: e^2r − 1 = (e^r − 1)² + 2(e^r − 1).
	const terms = 10
	s := inverseFactorials[terms]
	for n := terms - 1; n >= 1; n-- {
		s = s.mul(r).add(inverseFactorials[n])
	}
	s = s.mul(r)
	for range halvings {
		s = s.mul(s).add(s.scale(2))
	}
	return s.add(one(1)), k
}

// ldexp rounds r·2^k once, also where the result is subnormal.
func ldexp(r double, k int) float64 {
	f := math.Ldexp(r.hi, k)
	if math.Abs(f) >= 0x1p-1022 || f == 0 && k < -1100 {
		return f
	}
	// Fewer bits are left than hi has, so that lo decides only when what is cut off of hi is half.
	back := math.Ldexp(f, -k)
	rest := (r.hi - back) + r.lo
	ulp := math.Ldexp(0x1p-1074, -k)
	switch {
	case rest > ulp/2:
		f += 0x1p-1074
	case rest < -ulp/2:
		f -= 0x1p-1074
	}
	return f
}

// Exp returns e^x.
func Exp(x float64) float64 {
	if !(math.Abs(x) < 1000) {
		return math.Exp(x)
	}
	return ldexp(exp(one(x)))
}

// logOf returns the logarithm of a positive finite x.
func logOf(x float64) double {
	m, k := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m, k = m*2, k-1
	}
	// Newton: y + 2(m − e^y)/(m + e^y) has three times the digits of y.
	y := math.Log(m)
	e, ek := exp(one(y))
	e = e.scale(math.Ldexp(1, ek))
	d := one(m).sub(e).div(one(m).add(e)).scale(2)
	return ln2.times(float64(k)).add(one(y).add(d))
}

// Log returns the natural logarithm of x.
func Log(x float64) float64 {
	if !(x > 0) || math.IsInf(x, 1) {
		return math.Log(x)
	}
	return logOf(x).hi
}

// Log10 returns the decimal logarithm of x. It is not rounded once: it adds up, in floats, the exponent's part and the
// mantissa's, as the C library does, whose answers are PostgreSQL's. Powers of ten come out whole.
func Log10(x float64) float64 {
	if !(x > 0) || math.IsInf(x, 1) {
		return math.Log(x)
	}
	m, k := math.Frexp(x)
	n := float64(k - 1)
	if m *= 2; n < 0 { // the exponent is rounded toward zero
		m, n = m/2, n+1
	}
	const lg2Hi = 0x1.34413509f6p-2 // so few bits that n times it is exact
	const lg2Lo = math.Log10E*math.Ln2 - lg2Hi
	z := float64(n*lg2Lo) + float64(math.Log10E*logOf(m).hi)
	return z + float64(n*lg2Hi)
}

// Pow returns x^y.
func Pow(x, y float64) float64 {
	switch {
	case y == 1 || y == 0 || x == 1 || x == 0 || x != x || y != y || math.IsInf(x, 0) || math.IsInf(y, 0):
		return math.Pow(x, y)
	case y == 2:
		return x * x
	case x < 0 && math.Floor(y) != y:
		return math.NaN()
	}
	l := logOf(math.Abs(x)).times(y)
	if !(math.Abs(l.hi) < 1000) {
		return math.Pow(x, y)
	}
	r, k := exp(l)
	r = settleTie(r)
	f := ldexp(r, k)
	if x < 0 && math.Mod(y, 2) != 0 {
		return -f
	}
	return f
}

// settleTie rounds to even what is half-way between two floats as far as the digits go: a power can be exactly that.
func settleTie(r double) double {
	_, k := math.Frexp(r.hi)
	half := math.Ldexp(1, k-54)
	if math.Abs(math.Abs(r.lo)-half) > half*0x1p-35 || math.Float64bits(r.hi)&1 == 0 {
		return r
	}
	if r.lo > 0 {
		return one(math.Nextafter(r.hi, math.Inf(1)))
	}
	return one(math.Nextafter(r.hi, math.Inf(-1)))
}

// Cbrt returns the cube root of x.
func Cbrt(x float64) float64 {
	y := math.Cbrt(x)
	if y == 0 || y != y || math.IsInf(y, 0) {
		return y
	}
	// Scaled so that nothing underflows.
	_, k := math.Frexp(y)
	m, t := math.Ldexp(y, -k), math.Ldexp(x, -3*k)
	d := product(m, m).times(m).sub(one(t)).div(product(m, m).times(3))
	return math.Ldexp(one(m).sub(d).hi, k)
}
