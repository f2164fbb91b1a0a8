package elementary

import "math"

// double is the number hi + lo.
type double struct{ hi, lo float64 }

// sum adds exactly.
func sum(a, b float64) double {
	s := a + b
	t := s - a
	return double{s, (a - (s - t)) + (b - t)}
}

// quickSum adds exactly where |a| ≥ |b|.
func quickSum(a, b float64) double {
	s := a + b
	return double{s, b - (s - a)}
}

// product multiplies exactly.
func product(a, b float64) double {
	p := float64(a * b) // the conversion keeps a compiler from fusing it with an addition
	return double{p, math.FMA(a, b, -p)}
}

func (x double) neg() double { return double{-x.hi, -x.lo} }

func (x double) add(y double) double {
	s, t := sum(x.hi, y.hi), sum(x.lo, y.lo)
	s = quickSum(s.hi, s.lo+t.hi)
	return quickSum(s.hi, s.lo+t.lo)
}

func (x double) sub(y double) double { return x.add(y.neg()) }

func (x double) mul(y double) double {
	p := product(x.hi, y.hi)
	return quickSum(p.hi, p.lo+(float64(x.hi*y.lo)+float64(x.lo*y.hi)))
}

// times multiplies by a float.
func (x double) times(f float64) double { return x.mul(double{f, 0}) }

// scale multiplies by a power of two, exactly.
func (x double) scale(f float64) double { return double{x.hi * f, x.lo * f} }

func (x double) div(y double) double {
	q := x.hi / y.hi
	r := x.sub(y.times(q))
	q2 := r.hi / y.hi
	r = r.sub(y.times(q2))
	s := quickSum(q, q2)
	return s.add(double{r.hi / y.hi, 0})
}

func one(f float64) double { return double{f, 0} }

// The constants, in two or three floats. Go's own have more digits than that.
const (
	ln2Hi  = 0x1.62e42fefa39efp-1
	pi2Hi  = 0x1.921fb54442d18p+0
	pi2Mid = 0x1.1a62633145c07p-54
)

var (
	ln2   = double{ln2Hi, math.Ln2 - ln2Hi}
	pi2   = double{pi2Hi, pi2Mid}
	pi2Lo = math.Pi/2 - pi2Hi - pi2Mid
)

// inverseFactorials are 1/n!.
var inverseFactorials = func() (out [30]double) {
	f := one(1)
	out[0] = f
	for n := 1; n < len(out); n++ {
		f = f.div(one(float64(n)))
		out[n] = f
	}
	return out
}()
