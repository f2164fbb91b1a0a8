package elementary

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

const prec = 300

func bigOf(x float64) *big.Float { return new(big.Float).SetPrec(prec).SetFloat64(x) }

func bigNew() *big.Float { return new(big.Float).SetPrec(prec) }

// series sums x^n/n! with the sign and step of the function.
func series(x *big.Float, from, step int, alternate bool) *big.Float {
	term, sum := bigOf(1), bigNew()
	for n := 1; n <= from; n++ {
		term.Quo(term.Mul(term, x), bigOf(float64(n)))
	}
	for n := from; ; n += step {
		if alternate && (n-from)/step%2 == 1 {
			sum.Sub(sum, term)
		} else {
			sum.Add(sum, term)
		}
		for k := 1; k <= step; k++ {
			term.Quo(term.Mul(term, x), bigOf(float64(n+k)))
		}
		if term.Sign() == 0 || term.MantExp(nil) < -prec-20 {
			return sum
		}
	}
}

func bigExp(x *big.Float) *big.Float {
	// e^x = (e^(x/2^12))^(2^12).
	e := series(bigNew().SetMantExp(x, -12), 0, 1, false)
	for range 12 {
		e.Mul(e, e)
	}
	return e
}
func bigSinh(x *big.Float) *big.Float {
	e := bigExp(x)
	e.Sub(e, bigNew().Quo(bigOf(1), e))
	return e.SetMantExp(e, -1)
}
func bigCosh(x *big.Float) *big.Float {
	e := bigExp(x)
	e.Add(e, bigNew().Quo(bigOf(1), e))
	return e.SetMantExp(e, -1)
}
func bigTanh(x *big.Float) *big.Float { return bigNew().Quo(bigSinh(x), bigCosh(x)) }

// bigSinCos takes out multiples of 2π.
func bigSinCos(x *big.Float) (sin, cos *big.Float) {
	twoPi := new(big.Float).SetMantExp(halfPi(), 2)
	wide := new(big.Float).SetPrec(largePrecision).Set(x)
	q, _ := new(big.Float).SetPrec(largePrecision).Quo(wide, twoPi).Int(nil)
	wide.Sub(wide, new(big.Float).SetPrec(largePrecision).Mul(twoPi, new(big.Float).SetPrec(largePrecision).SetInt(q)))
	r := bigNew().Set(wide)
	return series(r, 1, 2, true), series(r, 0, 2, true)
}
func bigSin(x *big.Float) *big.Float  { s, _ := bigSinCos(x); return s }
func bigCos(x *big.Float) *big.Float  { _, c := bigSinCos(x); return c }
func bigTan(x *big.Float) *big.Float  { s, c := bigSinCos(x); return bigNew().Quo(s, c) }
func bigCube(x *big.Float) *big.Float { return bigNew().Mul(x, bigNew().Mul(x, x)) }

// TestRounding compares with series summed to 300 bits: a result is the float nearest to the value, or the value is
// within a billionth of the middle between two. Of an inverse function the test is that the function, at the
// middles to both sides of the result, is below and above the argument.
func TestRounding(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	spread := func(lo, hi float64) func() float64 { // of either sign, from 2^lo to 2^hi
		return func() float64 {
			return math.Copysign(math.Exp2(lo+(hi-lo)*rng.Float64())*(1+rng.Float64()*1e-6), rng.Float64()-0.5)
		}
	}
	positive := func(f func() float64) func() float64 { return func() float64 { return math.Abs(f()) } }
	above1 := func() float64 { return 1 + math.Exp2(-30+60*rng.Float64()) }
	for _, c := range []struct {
		name    string
		f       func(float64) float64
		arg     func() float64
		exact   func(*big.Float) *big.Float
		inverse bool
		falling bool
	}{
		{"exp", Exp, spread(-20, 9.4), bigExp, false, false},
		{"sin", Sin, spread(-25, 1023), bigSin, false, false},
		{"sin near", Sin, spread(-25, 5), bigSin, false, false},
		{"cos", Cos, spread(-25, 100), bigCos, false, false},
		{"tan", Tan, spread(-25, 30), bigTan, false, false},
		{"sinh", Sinh, spread(-25, 9), bigSinh, false, false},
		{"cosh", Cosh, spread(-25, 9), bigCosh, false, false},
		{"tanh", Tanh, spread(-25, 4.3), bigTanh, false, false},
		{"log", Log, positive(spread(-1000, 1000)), bigExp, true, false},
		{"log near 1", Log, func() float64 { return 1 + 0.2*(rng.Float64()-0.5) }, bigExp, true, false},
		{"cbrt", Cbrt, spread(-1000, 1000), bigCube, true, false},
		{"asin", Asin, func() float64 { return 2*rng.Float64() - 1 }, bigSin, true, false},
		{"asin near 1", Asin, func() float64 { return 1 - math.Exp2(-50*rng.Float64()) }, bigSin, true, false},
		{"acos", Acos, func() float64 { return 2*rng.Float64() - 1 }, bigCos, true, true},
		{"acos near 1", Acos, func() float64 { return 1 - math.Exp2(-40*rng.Float64()) }, bigCos, true, true},
		{"atan", Atan, spread(-25, 50), bigTan, true, false},
		{"asinh", Asinh, spread(-25, 100), bigSinh, true, false},
		{"acosh", Acosh, above1, bigCosh, true, false},
		{"atanh", Atanh, func() float64 { return 2*rng.Float64() - 1 }, bigTanh, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 2000 {
				x := c.arg()
				y := c.f(x)
				if y == 0 || math.IsInf(y, 0) {
					continue
				}
				// The middles between y and its neighbours, a billionth of their distance further out.
				lo, hi := middle(y, math.Inf(-1)), middle(y, math.Inf(1))
				if !c.inverse {
					if v := c.exact(bigOf(x)); v.Cmp(lo) < 0 || v.Cmp(hi) > 0 {
						t.Fatalf("of %v: got %v (%x), want %s", x, y, y, v.Text('g', 20))
					}
					continue
				}
				below, above := c.exact(lo), c.exact(hi)
				if c.falling {
					below, above = above, below
				}
				if below.Cmp(bigOf(x)) > 0 || above.Cmp(bigOf(x)) < 0 {
					t.Fatalf("of %v: got %v (%x), which is not nearest", x, y, y)
				}
			}
		})
	}
}

func middle(y, to float64) *big.Float {
	d := bigNew().Sub(bigOf(math.Nextafter(y, to)), bigOf(y))
	return d.Add(bigOf(y), d.Mul(d, bigOf(0.5+1e-9)))
}

func TestPow(t *testing.T) {
	for n := range 309 { // powers of ten are exact up to 22 and correctly rounded above
		want, _ := new(big.Float).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)).Float64()
		if got := Pow(10, float64(n)); got != want {
			t.Errorf("10^%d = %v, want %v", n, got, want)
		}
	}
	for _, c := range [][3]float64{{2, 0.5, math.Sqrt2}, {-2, 3, -8}, {-2, -2, 0.25}, {9, 0.5, 3}, {2, -1074, 0x1p-1074}, {2, 1023, 0x1p1023}, {200001, 3, 8000120000600001},
		{208065, 3, 9007351116674624}, // 9007351116674625 lies between two floats
		{0.5, 1074, 0x1p-1074}, {math.Inf(1), -1, 0}, {1, math.NaN(), 1}} {
		if got := Pow(c[0], c[1]); got != c[2] {
			t.Errorf("%v^%v = %v, want %v", c[0], c[1], got, c[2])
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 { // small whole exponents against exact products
		x, n := rng.Float64()*10, 3+rng.IntN(20)
		exact := bigOf(1).SetPrec(2000)
		for range n {
			exact.Mul(exact, new(big.Float).SetFloat64(x))
		}
		if want, _ := exact.Float64(); Pow(x, float64(n)) != want {
			t.Errorf("%v^%d = %v, want %v", x, n, Pow(x, float64(n)), want)
		}
	}
}

func TestSpecialValues(t *testing.T) {
	for name, c := range map[string][2]func(float64) float64{
		"exp": {Exp, math.Exp}, "log": {Log, math.Log}, "log10": {Log10, math.Log10}, "cbrt": {Cbrt, math.Cbrt}, "sin": {Sin, math.Sin}, "cos": {Cos, math.Cos},
		"tan": {Tan, math.Tan}, "asin": {Asin, math.Asin}, "acos": {Acos, math.Acos}, "atan": {Atan, math.Atan}, "sinh": {Sinh, math.Sinh}, "cosh": {Cosh, math.Cosh},
		"tanh": {Tanh, math.Tanh}, "asinh": {Asinh, math.Asinh}, "acosh": {Acosh, math.Acosh}, "atanh": {Atanh, math.Atanh},
	} {
		for _, x := range []float64{0, math.Copysign(0, -1), 1, -1, 5e-324, -5e-324, 1e300, -1e300, math.Inf(1), math.Inf(-1), math.NaN()} {
			got, want := c[0](x), c[1](x)
			same := got == want && math.Signbit(got) == math.Signbit(want) || got != got && want != want || math.Abs(got-want) <= math.Abs(want)*1e-15
			if !same && !(x == 5e-324 && (name == "log" || name == "log10")) { // package math's are wrong there
				t.Errorf("%s(%v) = %v, want %v", name, x, got, want)
			}
		}
	}
}

// TestLog10 has values of a real PostgreSQL.
func TestLog10(t *testing.T) {
	for x, want := range map[float64]float64{90: 1.9542425094393248, 45: 1.6532125137753437, 1000: 3, 1e-4: -4, 1e15: 15, 3.141592653589793: 0.4971498726941338,
		5e-324: -323.3062153431158, 1e-310: -310, 1e22: 22, 1: 0, 2: 0.3010299956639812} {
		if got := Log10(x); got != want {
			t.Errorf("log10(%v) = %v, want %v", x, got, want)
		}
	}
}

func BenchmarkExp(b *testing.B) {
	x := 0.0
	for b.Loop() {
		x += Exp(1.2345)
	}
}

func BenchmarkPow(b *testing.B) {
	x := 0.0
	for b.Loop() {
		x += Pow(1.2345, 6.789)
	}
}

func BenchmarkSin(b *testing.B) {
	x := 0.0
	for b.Loop() {
		x += Sin(1.2345)
	}
}
