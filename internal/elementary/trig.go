package elementary

import (
	"math"
	"math/big"
	"sync"
)

// reduce returns x − k·π/2 with the nearest k, modulo 4.
func reduce(x float64) (r double, k int) {
	if math.Abs(x) > 1e6 {
		return reduceLarge(x)
	}
	n := math.RoundToEven(x / pi2Hi)
	r = one(x)
	for _, part := range []float64{pi2Hi, pi2Mid, pi2Lo} {
		r = r.sub(product(n, part))
	}
	return r, int(n) & 3
}

// largePrecision is enough for the largest float (1024 bits before the point) and for the closest that any comes to
// a multiple of π/2 (about 62 bits behind it). Unit: bits.
const largePrecision = 1400

var halfPi = sync.OnceValue(func() *big.Float {
	// Machin: π/4 = 4 arctan(1/5) − arctan(1/239), in fixed point.
	arctan := func(n int64) *big.Int {
		power := new(big.Int).Quo(new(big.Int).Lsh(big.NewInt(1), largePrecision), big.NewInt(n))
		out := new(big.Int)
		for k := int64(1); power.Sign() != 0; k += 2 {
			term := new(big.Int).Quo(power, big.NewInt(k))
			if k%4 == 1 {
				out.Add(out, term)
			} else {
				out.Sub(out, term)
			}
			power.Quo(power, big.NewInt(n*n))
		}
		return out
	}
	quarter := arctan(5)
	quarter.Sub(quarter.Lsh(quarter, 2), arctan(239))
	f := new(big.Float).SetPrec(largePrecision).SetInt(quarter)
	return f.SetMantExp(f, 1-largePrecision)
})

func reduceLarge(x float64) (double, int) {
	b := new(big.Float).SetPrec(largePrecision).SetFloat64(x)
	q := new(big.Float).SetPrec(largePrecision).Quo(b, halfPi())
	q.Add(q, new(big.Float).SetFloat64(math.Copysign(0.5, x)))
	n, _ := q.Int(nil) // toward zero, so the nearest
	b.Sub(b, new(big.Float).SetPrec(largePrecision).Mul(halfPi(), new(big.Float).SetPrec(largePrecision).SetInt(n)))
	hi, _ := b.Float64()
	lo, _ := b.Sub(b, new(big.Float).SetFloat64(hi)).Float64()
	return double{hi, lo}, int(new(big.Int).And(n, big.NewInt(3)).Int64())
}

// sinCosNear computes both for |r| ≤ π/4 by their series.
func sinCosNear(r double) (sin, cos double) {
	const last = 27
	sq := r.mul(r)
	sin, cos = inverseFactorials[last], inverseFactorials[last-1]
	for n := last - 2; n >= 1; n -= 2 {
		sin = inverseFactorials[n].sub(sin.mul(sq))
		cos = inverseFactorials[n-1].sub(cos.mul(sq))
	}
	return sin.mul(r), cos
}

func sinCos(x float64) (sin, cos double) {
	r, k := reduce(x)
	sin, cos = sinCosNear(r)
	switch k {
	case 1:
		sin, cos = cos, sin.neg()
	case 2:
		sin, cos = sin.neg(), cos.neg()
	case 3:
		sin, cos = cos.neg(), sin
	}
	return sin, cos
}

func isSpecial(x float64) bool { return x == 0 || x != x || math.IsInf(x, 0) }

// tiny is below which x³ does not show in x.
const tiny = 1e-9

// Sin returns the sine of x.
func Sin(x float64) float64 {
	if isSpecial(x) || math.Abs(x) < tiny {
		return math.Sin(x)
	}
	s, _ := sinCos(x)
	return s.hi
}

// Cos returns the cosine of x.
func Cos(x float64) float64 {
	if isSpecial(x) {
		return math.Cos(x)
	}
	_, c := sinCos(x)
	return c.hi
}

// Tan returns the tangent of x.
func Tan(x float64) float64 {
	if isSpecial(x) || math.Abs(x) < tiny {
		return math.Tan(x)
	}
	s, c := sinCos(x)
	return s.div(c).hi
}

// Atan returns the inverse tangent of x.
func Atan(x float64) float64 {
	if isSpecial(x) || math.Abs(x) < tiny || math.Abs(x) > 1e17 {
		return math.Atan(x)
	}
	return atan(one(x)).hi
}

func atan(x double) double {
	y := math.Atan(x.hi)
	s, c := sinCos(y)
	// atan x − y = atan((x cos y − sin y)/(cos y + x sin y)), and that is so small that it is its own tangent.
	return one(y).add(x.mul(c).sub(s).div(c.add(x.mul(s))))
}

// Atan2 returns the angle of the point (x, y).
func Atan2(y, x float64) float64 {
	f := math.Atan2(y, x)
	if isSpecial(x) || isSpecial(y) {
		return f
	}
	if q := math.Abs(y / x); !(q > 1e-300 && q < 1e17) {
		return f
	}
	a := atan(one(y).div(one(x)))
	if x < 0 {
		a = a.add(double{math.Copysign(pi2.hi, y) * 2, math.Copysign(pi2.lo, y) * 2})
	}
	return a.hi
}

// Asin returns the inverse sine of x.
func Asin(x float64) float64 {
	if isSpecial(x) || math.Abs(x) >= 1 || math.Abs(x) < tiny {
		return math.Asin(x)
	}
	y := one(math.Asin(x))
	for range 2 {
		s, c := sinCosNearby(y)
		y = y.add(one(x).sub(s).div(c))
	}
	return y.hi
}

// Acos returns the inverse cosine of x.
func Acos(x float64) float64 {
	if isSpecial(x) || math.Abs(x) >= 1 {
		return math.Acos(x)
	}
	y := one(math.Acos(x))
	for range 2 {
		s, c := sinCosNearby(y)
		y = y.add(c.sub(one(x)).div(s))
	}
	return y.hi
}

// sinCosNearby is sinCos of a double, by the addition theorems for its low part.
func sinCosNearby(y double) (sin, cos double) {
	s, c := sinCos(y.hi)
	return s.add(c.times(y.lo)), c.sub(s.times(y.lo))
}
