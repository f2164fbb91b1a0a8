package expr

import (
	"math"
	"math/big"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Aggregates over floats. States are exact, so that they can be retracted; only results are rounded.

// floatSum is sum and avg.
type floatSum struct {
	exactSum
	avg, real bool // real: the result is a real
}

func (a *floatSum) Add(_ *Ctx, args []*delta.Vec, row int, weight int64) error {
	if !args[0].IsNull(row) {
		a.add(args[0].Floats[row], weight)
	}
	return nil
}

func (a *floatSum) Result(c *Ctx, out *delta.Vec) error {
	if a.n == 0 {
		out.AppendNull()
		return nil
	}
	precision, minExp := 53, -1022
	if a.real {
		precision, minExp = 24, -126
	}
	f := a.round(precision, minExp)
	if _, special := a.special(); math.IsInf(f, 0) && !special {
		return errOverflow
	}
	if a.avg {
		f /= float64(a.n)
	}
	out.AppendFloat(f)
	return nil
}

// Merge implements AggMerger.
func (a *floatSum) Merge(src AggObject) { a.merge(&src.(*floatSum).exactSum) }

func (a *floatSum) AppendImage(dst []byte) []byte { return a.appendImage(dst) }

func (a *floatSum) DecodeImage(src []byte) error { _, err := a.decodeImage(src); return err }

func (a *floatSum) SizeBytes() int { return a.sizeBytes() }

// moments holds what variance, correlation and regression need: sums of x, y, x², y² and xy over the rows where
// neither is NULL. One-argument aggregates leave y alone.
type moments struct {
	x, y, xx, yy, xy exactSum
	odd              int64 // rows with a NaN or an infinity, which make every result NaN
	result           func(m *moments) (float64, bool)
	pair             bool
}

func (m *moments) Add(_ *Ctx, args []*delta.Vec, row int, weight int64) error {
	if args[0].IsNull(row) || m.pair && args[1].IsNull(row) {
		return nil
	}
	// PostgreSQL's order is (Y, X).
	x, y := args[0].Floats[row], 0.0
	if m.pair {
		x, y = args[1].Floats[row], x
	}
	m.x.add(x, weight)
	if m.pair {
		m.y.add(y, weight)
	}
	if suspicious(x) || suspicious(y) {
		m.odd += weight
		return nil
	}
	m.xx.addProduct(x, x, weight)
	if m.pair {
		m.yy.addProduct(y, y, weight)
		m.xy.addProduct(x, y, weight)
	}
	return nil
}

func (m *moments) Result(_ *Ctx, out *delta.Vec) error {
	if f, ok := m.result(m); ok {
		out.AppendFloat(f)
	} else {
		out.AppendNull()
	}
	return nil
}

// Merge implements AggMerger.
func (m *moments) Merge(src AggObject) {
	o := src.(*moments)
	from := o.sums()
	for i, s := range m.sums() {
		s.merge(from[i])
	}
	m.odd += o.odd
}

func (m *moments) sums() []*exactSum {
	if !m.pair {
		return []*exactSum{&m.x, &m.xx}
	}
	return []*exactSum{&m.x, &m.y, &m.xx, &m.yy, &m.xy}
}

func (m *moments) AppendImage(dst []byte) []byte {
	for _, s := range m.sums() {
		dst = s.appendImage(dst)
	}
	return dst
}

func (m *moments) DecodeImage(src []byte) (err error) {
	for _, s := range m.sums() {
		if src, err = s.decodeImage(src); err != nil {
			return err
		}
	}
	m.odd = m.x.n - m.xx.n
	return nil
}

func (m *moments) SizeBytes() int {
	n := 64
	for _, s := range m.sums() {
		n += s.sizeBytes()
	}
	return n
}

// momentBits is the precision of the final computation.
const momentBits = 256

// deviation returns n·Σab − Σa·Σb, exact in units of 2^(−2·originBits), as a float with room to spare.
func (m *moments) deviation(ab, a, b *exactSum) *big.Float {
	v := new(big.Int).Mul(ab.big(), big.NewInt(m.x.n))
	v.Lsh(v, originBits)
	v.Sub(v, new(big.Int).Mul(a.big(), b.big()))
	f := new(big.Float).SetPrec(momentBits).SetInt(v)
	return f.SetMantExp(f, -2*originBits)
}

func (m *moments) sxx() *big.Float { return m.deviation(&m.xx, &m.x, &m.x) }

func (m *moments) syy() *big.Float { return m.deviation(&m.yy, &m.y, &m.y) }

func (m *moments) sxy() *big.Float { return m.deviation(&m.xy, &m.x, &m.y) }

func quotient(a *big.Float, by ...int64) float64 {
	r := new(big.Float).SetPrec(momentBits).Set(a)
	for _, d := range by {
		r.Quo(r, new(big.Float).SetInt64(d))
	}
	f, _ := r.Float64()
	return f
}

// over applies f when there are at least least rows, none of them odd.
func over(least int64, f func(m *moments) (float64, bool)) func(m *moments) (float64, bool) {
	return func(m *moments) (float64, bool) {
		switch {
		case m.x.n < least:
			return 0, false
		case m.odd != 0:
			return math.NaN(), true
		}
		return f(m)
	}
}

func variance(sample, root bool) func(m *moments) (float64, bool) {
	least := int64(1)
	if sample {
		least = 2
	}
	return over(least, func(m *moments) (float64, bool) {
		n := m.x.n
		d := n
		if sample {
			d = n - 1
		}
		v := m.sxx()
		if v.Sign() <= 0 {
			return 0, true
		}
		if !root {
			return quotient(v, n, d), true
		}
		v.Quo(v, new(big.Float).SetInt64(n))
		v.Quo(v, new(big.Float).SetInt64(d))
		f, _ := v.Sqrt(v).Float64()
		return f, true
	})
}

func corr(m *moments) (float64, bool) {
	sxx, syy := m.sxx(), m.syy()
	if sxx.Sign() == 0 || syy.Sign() == 0 {
		return 0, false
	}
	d := new(big.Float).SetPrec(momentBits).Mul(sxx, syy)
	d.Sqrt(d)
	f, _ := d.Quo(m.sxy(), d).Float64()
	return f, true
}

func regrR2(m *moments) (float64, bool) {
	sxx, syy, sxy := m.sxx(), m.syy(), m.sxy()
	if sxx.Sign() == 0 {
		return 0, false
	}
	if syy.Sign() == 0 {
		return 1, true
	}
	r := new(big.Float).SetPrec(momentBits).Mul(sxy, sxy)
	r.Quo(r, sxx.Mul(sxx, syy))
	f, _ := r.Float64()
	return f, true
}

func regrSlope(m *moments) (float64, bool) {
	sxx := m.sxx()
	if sxx.Sign() == 0 {
		return 0, false
	}
	f, _ := sxx.Quo(m.sxy(), sxx).Float64()
	return f, true
}

func (a *exactSum) bigFloat() *big.Float {
	f := new(big.Float).SetPrec(momentBits).SetInt(a.big())
	return f.SetMantExp(f, -originBits)
}

func regrIntercept(m *moments) (float64, bool) {
	sxx := m.sxx()
	if sxx.Sign() == 0 {
		return 0, false
	}
	slope := sxx.Quo(m.sxy(), sxx)
	r := m.y.bigFloat()
	r.Sub(r, slope.Mul(slope, m.x.bigFloat()))
	return quotient(r, m.x.n), true
}

// floatAggs lists sum, avg and the statistics over floats.
func floatAggs() []AggFunc {
	f8 := sqltypes.Float8
	var out []AggFunc
	for _, t := range floatTypes {
		real := t == sqltypes.Float4
		out = append(out,
			floatAgg("sum", ts(t), t, func() AggObject { return &floatSum{real: real} }, "sum"),
			floatAgg("avg", ts(t), f8, func() AggObject { return &floatSum{avg: true} }, "average"))
		for _, v := range varianceNames {
			result := variance(v.sample, v.root)
			out = append(out, floatAgg(v.name, ts(t), f8, func() AggObject { return &moments{result: result} }, v.doc))
		}
	}
	for _, p := range []struct {
		name   string
		least  int64
		result func(m *moments) (float64, bool)
		doc    string
	}{
		{"corr", 1, corr, "correlation coefficient"},
		{"covar_pop", 1, func(m *moments) (float64, bool) { return quotient(m.sxy(), m.x.n, m.x.n), true }, "population covariance"},
		{"covar_samp", 2, func(m *moments) (float64, bool) { return quotient(m.sxy(), m.x.n, m.x.n-1), true }, "sample covariance"},
		{"regr_avgx", 1, func(m *moments) (float64, bool) { return quotient(m.x.bigFloat(), m.x.n), true }, "average of the independent variable"},
		{"regr_avgy", 1, func(m *moments) (float64, bool) { return quotient(m.y.bigFloat(), m.x.n), true }, "average of the dependent variable"},
		{"regr_intercept", 1, regrIntercept, "intercept of the fitted line"},
		{"regr_r2", 1, regrR2, "square of the correlation coefficient"},
		{"regr_slope", 1, regrSlope, "slope of the fitted line"},
		{"regr_sxx", 1, func(m *moments) (float64, bool) { return quotient(m.sxx(), m.x.n), true }, "sum of squares of the independent variable"},
		{"regr_sxy", 1, func(m *moments) (float64, bool) { return quotient(m.sxy(), m.x.n), true }, "sum of products of the variables"},
		{"regr_syy", 1, func(m *moments) (float64, bool) { return quotient(m.syy(), m.x.n), true }, "sum of squares of the dependent variable"},
	} {
		result := over(p.least, p.result)
		out = append(out, floatAgg(p.name, ts(f8, f8), f8, func() AggObject { return &moments{result: result, pair: true} }, p.doc))
	}
	return append(out, floatAgg("regr_count", ts(f8, f8), sqltypes.Int8, func() AggObject { return &pairCount{} }, "number of rows where neither is NULL"))
}

func floatAgg(name string, args []sqltypes.Type, result sqltypes.Type, state func() AggObject, doc string) AggFunc {
	return AggFunc{Name: name, Args: args, Result: result, IgnoresNulls: true, Invertible: true, Doc: doc,
		New: func([]sqltypes.Type) AggObject { return state() }}
}

// varianceNames are the spellings of variance and standard deviation.
var varianceNames = []struct {
	name         string
	sample, root bool
	doc          string
}{
	{"var_pop", false, false, "population variance"},
	{"var_samp", true, false, "sample variance"},
	{"variance", true, false, "sample variance"},
	{"stddev_pop", false, true, "population standard deviation"},
	{"stddev_samp", true, true, "sample standard deviation"},
	{"stddev", true, true, "sample standard deviation"},
}

// pairCount counts rows with both values.
type pairCount struct{ n int64 }

func (a *pairCount) Add(_ *Ctx, args []*delta.Vec, row int, weight int64) error {
	if !args[0].IsNull(row) && !args[1].IsNull(row) {
		a.n += weight
	}
	return nil
}

func (a *pairCount) Result(_ *Ctx, out *delta.Vec) error { out.AppendInt(a.n); return nil }

// Merge implements AggMerger.
func (a *pairCount) Merge(src AggObject) { a.n += src.(*pairCount).n }

func (a *pairCount) AppendImage(dst []byte) []byte {
	var s exactSum
	s.n = a.n
	return s.appendImage(dst)
}

func (a *pairCount) DecodeImage(src []byte) error {
	var s exactSum
	_, err := s.decodeImage(src)
	a.n = s.n
	return err
}

func (a *pairCount) SizeBytes() int { return 16 }
