package elementary

import "math"

// sinhCosh computes both for |x| below 1000, to be multiplied by 2^k.
func sinhCosh(x double) (sinh, cosh double, k int) {
	if math.Abs(x.hi) < 0.3 {
		const last = 21
		sq := x.mul(x)
		sinh, cosh = inverseFactorials[last], inverseFactorials[last-1]
		for n := last - 2; n >= 1; n -= 2 {
			sinh = sinh.mul(sq).add(inverseFactorials[n])
			cosh = cosh.mul(sq).add(inverseFactorials[n-1])
		}
		return sinh.mul(x), cosh, 0
	}
	e, k := exp(x)
	inverse := one(1).div(e)
	if 2*k < 1000 && 2*k > -1000 {
		inverse = inverse.scale(math.Ldexp(1, -2*k))
	} else if k > 0 {
		inverse = double{}
	} else { // e^x is nothing beside e^−x
		return inverse.neg(), inverse, -k - 1
	}
	return e.sub(inverse), e.add(inverse), k - 1
}

// Sinh returns the hyperbolic sine of x.
func Sinh(x float64) float64 {
	if isSpecial(x) || math.Abs(x) < tiny || math.Abs(x) > 1000 {
		return math.Sinh(x)
	}
	s, _, k := sinhCosh(one(x))
	return math.Ldexp(s.hi, k)
}

// Cosh returns the hyperbolic cosine of x.
func Cosh(x float64) float64 {
	if isSpecial(x) || math.Abs(x) > 1000 {
		return math.Cosh(x)
	}
	_, c, k := sinhCosh(one(x))
	return math.Ldexp(c.hi, k)
}

// Tanh returns the hyperbolic tangent of x.
func Tanh(x float64) float64 {
	if isSpecial(x) || math.Abs(x) < tiny || math.Abs(x) > 100 {
		return math.Tanh(x)
	}
	s, c, _ := sinhCosh(one(x))
	return s.div(c).hi
}

// large is where x² + 1 and x² − 1 are x², to more digits than a double has.
const large = 1e17

// Asinh returns the inverse hyperbolic sine of x.
func Asinh(x float64) float64 {
	switch a := math.Abs(x); {
	case isSpecial(x) || a < tiny:
		return math.Asinh(x)
	case a > large:
		return math.Copysign(logOf(a).add(ln2).hi, x)
	}
	y := one(math.Asinh(x))
	for range 2 {
		s, c, k := sinhCosh(y)
		p := math.Ldexp(1, k)
		y = y.add(one(x).sub(s.scale(p)).div(c.scale(p)))
	}
	return y.hi
}

// Acosh returns the inverse hyperbolic cosine of x.
func Acosh(x float64) float64 {
	switch {
	case isSpecial(x) || x <= 1:
		return math.Acosh(x)
	case x > large:
		return logOf(x).add(ln2).hi
	}
	y := one(math.Acosh(x))
	for range 3 {
		s, c, k := sinhCosh(y)
		p := math.Ldexp(1, k)
		y = y.add(one(x).sub(c.scale(p)).div(s.scale(p)))
	}
	return y.hi
}

// Atanh returns the inverse hyperbolic tangent of x.
func Atanh(x float64) float64 {
	if isSpecial(x) || math.Abs(x) >= 1 || math.Abs(x) < tiny {
		return math.Atanh(x)
	}
	// Half the logarithm of (1 + x)/(1 − x), improved through tanh: y + (x cosh y − sinh y)/(cosh y − x sinh y).
	y := one(math.Atanh(x))
	for range 2 {
		s, c, _ := sinhCosh(y)
		y = y.add(c.times(x).sub(s).div(c.sub(s.times(x))))
	}
	return y.hi
}
