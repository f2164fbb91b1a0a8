package numeric

import (
	"math"
	"math/big"

	"github.com/millrace/millrace/internal/sqlerr"
)

// Sqrt returns the square root at PostgreSQL's scale. Error: 2201F for negative values.
func (d Dec) Sqrt() (Dec, error) {
	if d.form == nan || d.form == posInf {
		return d, nil
	}
	if d.Sign() < 0 {
		return Dec{}, sqlerr.New(sqlerr.InvalidArgumentForPower, "cannot take square root of a negative number")
	}
	w, _ := d.leading()
	// Go's division truncates like C's; the weight is negative for values below 1.
	sweight := (w+1)*decDigits/2 - 1
	scale := min(max(minSigDigits-int32(sweight), d.scale, 0), maxDisplayScale)
	return d.sqrtAt(scale)
}

// sqrtAt returns the square root of d ≥ 0 rounded to scale digits after the point.
func (d Dec) sqrtAt(scale int32) (Dec, error) {
	// A root truncated to one digit more than wanted rounds half up correctly whatever follows.
	shift := 2*(int(scale)+1) - int(d.scale)
	n := new(big.Int).Set(d.bigCoef())
	if shift >= 0 {
		n.Mul(n, bigPow10(shift))
	} else {
		n.Quo(n, bigPow10(-shift))
	}
	root := new(big.Int).Sqrt(n)
	return checked(roundBig(root, 1), scale)
}

func errLogNegative() error {
	return sqlerr.New(sqlerr.InvalidArgumentForLog, "cannot take logarithm of a negative number")
}

func errLogZero() error {
	return sqlerr.New(sqlerr.InvalidArgumentForLog, "cannot take logarithm of zero")
}

func checkLog(d Dec) error {
	switch {
	case d.form == nan || d.Sign() > 0:
		return nil
	case d.Sign() < 0:
		return errLogNegative()
	}
	return errLogZero()
}

// Exp returns e^d at PostgreSQL's scale. Error: 22003.
func (d Dec) Exp() (Dec, error) {
	switch d.form {
	case nan, posInf:
		return d, nil
	case negInf:
		return Dec{}, nil
	}
	val := d.noOverflowFloat() * 0.434294481903252
	val = max(min(val, maxResultScale), -maxResultScale)
	scale := min(max(minSigDigits-int32(val), d.scale, 0), maxDisplayScale)
	return d.expAt(scale)
}

// expAt returns e^d rounded to scale digits after the point. Beyond e^±6000 it overflows or is 0.
func (d Dec) expAt(scale int32) (Dec, error) {
	val := d.noOverflowFloat()
	if math.Abs(val) >= maxResultScale*3 {
		if val > 0 {
			return Dec{}, errOverflow()
		}
		return Dec{scale: scale}, nil
	}
	prec := bitsFor(int(scale) + max(int(val*0.4343), 0) + 12)
	x := fixedFrom(d, prec)
	return fixedTo(fixedExp(x, prec), prec, scale)
}

// lnDweight estimates the decimal weight of ln(d), as PostgreSQL does; d > 0.
func lnDweight(d Dec) int {
	if d.Cmp(FromScaled(9, 1)) >= 0 && d.Cmp(FromScaled(11, 1)) <= 0 {
		x, _ := d.Sub(FromInt64(1))
		if x.IsZero() {
			return 0
		}
		w, digit := x.leading()
		return w*decDigits + int(math.Log10(float64(digit)))
	}
	mantissa, exp := d.twoDigits()
	return int(math.Log10(math.Abs(math.Log(mantissa) + float64(exp)*2.302585092994046)))
}

// twoDigits returns the first two base-10000 digits and the power of ten to scale them by.
func (d Dec) twoDigits() (mantissa float64, exp int) {
	w, digit := d.leading()
	exp = w * decDigits
	stored := int(d.TrimScale().digits()) // digits that PostgreSQL would not have stripped
	rest := stored - decimalLen(digit)
	if rest <= 0 {
		return float64(digit), exp
	}
	first := FromInt64(int64(digit))
	scaled, _ := first.shift(exp)
	tail, _ := d.Sub(scaled)
	next, _ := tail.shift(decDigits - exp)
	v, _ := next.Trunc(0).ToInt64()
	if tail.IsZero() {
		return float64(digit), exp
	}
	return float64(digit*10000) + float64(v), exp - decDigits
}

func decimalLen(n int) int {
	l := 1
	for n >= 10 {
		n /= 10
		l++
	}
	return l
}

// shift returns d × 10^n exactly.
func (d Dec) shift(n int) (Dec, error) {
	s := int(d.scale) - n
	if s >= 0 {
		d.scale = int32(s)
		return d, nil
	}
	b := new(big.Int).Mul(d.bigCoef(), bigPow10(-s))
	return fromBig(b, 0), nil
}

// Ln returns the natural logarithm at PostgreSQL's scale. Error: 2201E.
func (d Dec) Ln() (Dec, error) {
	if err := checkLog(d); err != nil {
		return Dec{}, err
	}
	if d.form != finite {
		return d, nil
	}
	scale := min(max(int32(minSigDigits-lnDweight(d)), d.scale, 0), maxDisplayScale)
	return d.lnAt(scale)
}

func (d Dec) lnAt(scale int32) (Dec, error) {
	prec := bitsFor(int(scale) + 12)
	return fixedTo(fixedLn(d, prec), prec, scale)
}

// Log10 returns the base 10 logarithm. Error: 2201E.
func (d Dec) Log10() (Dec, error) { return Log(FromInt64(10), d) }

// Log returns the logarithm of x to the given base at PostgreSQL's scale. Errors: 2201E, 22012 for base 1.
func Log(base, x Dec) (Dec, error) {
	if base.form == nan || x.form == nan {
		return NaN(), nil
	}
	if base.form|x.form != finite && (base.Sign() < 0 || x.Sign() < 0) {
		return Dec{}, errLogNegative()
	}
	if err := checkLog(base); err != nil {
		return Dec{}, err
	}
	if err := checkLog(x); err != nil {
		return Dec{}, err
	}
	switch {
	case base.form == posInf && x.form == posInf:
		return NaN(), nil
	case base.form == posInf:
		return Dec{}, nil
	case x.form == posInf:
		return x, nil
	}
	wb, wx := lnDweight(base), lnDweight(x)
	scale := min(max(int32(minSigDigits-(wx-wb)), base.scale, x.scale, 0), maxDisplayScale)
	if base.Equal(FromInt64(1)) {
		return Dec{}, errDivisionByZero()
	}
	prec := bitsFor(int(scale) + 2*max(wx, 0) + 2*max(-wb, 0) + 24)
	q := fixedLn(x, prec)
	q.Lsh(q, uint(prec))
	return fixedTo(quoBig(q, fixedLn(base, prec), false), prec, scale)
}

func errZeroToNegative() error {
	return sqlerr.New(sqlerr.InvalidArgumentForPower, "zero raised to a negative power is undefined")
}

func errComplexPower() error {
	return sqlerr.New(sqlerr.InvalidArgumentForPower, "a negative number raised to a non-integer power yields a complex result")
}

// Pow returns a^b at PostgreSQL's scale. Errors: 2201F, 22003.
func (a Dec) Pow(b Dec) (Dec, error) {
	if a.form|b.form != finite {
		return powSpecial(a, b)
	}
	if a.IsZero() && b.Sign() < 0 {
		return Dec{}, errZeroToNegative()
	}
	integral := b.isIntegral()
	if a.Sign() < 0 && !integral {
		return Dec{}, errComplexPower()
	}
	if integral {
		if e, ok := b.ToInt64(); ok && e >= math.MinInt32 && e <= math.MaxInt32 {
			return a.powInt(int(e))
		}
	}
	return a.powReal(b, integral)
}

func powSpecial(a, b Dec) (Dec, error) {
	one := FromInt64(1)
	if a.form == nan || b.form == nan {
		if a.form == nan && b.IsZero() || b.form == nan && a.form == finite && a.Equal(one) {
			return one, nil
		}
		return NaN(), nil
	}
	sa, sb := a.Sign(), b.Sign()
	switch {
	case sa == 0 && sb < 0:
		return Dec{}, errZeroToNegative()
	case sa < 0 && b.form == finite && !b.isIntegral():
		return Dec{}, errComplexPower()
	case a.form == finite && a.Equal(one), sb == 0:
		return one, nil
	case sa == 0:
		return Dec{}, nil
	case b.form != finite:
		if a.form == finite && a.Equal(FromInt64(-1)) {
			return one, nil
		}
		big := a.form != finite || a.Abs().Cmp(one) > 0
		if big == (sb > 0) {
			return Inf(1), nil
		}
		return Dec{}, nil
	case sb < 0:
		return Dec{}, nil
	case a.form == negInf && b.isOdd():
		return a, nil
	}
	return Inf(1), nil
}

// isOdd reports whether an integral finite value is odd.
func (d Dec) isOdd() bool {
	t := d.Trunc(0)
	return t.bigCoef().Bit(0) == 1
}

// powInt is PostgreSQL's power with an integer exponent: 16 digits after the point, or as many as a has.
func (a Dec) powInt(exp int) (Dec, error) {
	scale := min(max(minSigDigits, a.scale), maxDisplayScale)
	f := 0.0 // approximate decimal weight of the result
	if !a.IsZero() {
		f = float64(exp) * a.log10Approx()
	}
	switch {
	case exp == 0:
		return FromInt64(1).atScale(scale, true)
	case exp == 1:
		return a.atScale(scale, true)
	case exp == -1:
		return FromInt64(1).divAt(a, scale, true)
	case exp == 2:
		return fromBigRounded(new(big.Int).Mul(a.bigCoef(), a.bigCoef()), 2*int(a.scale), scale)
	case a.IsZero():
		return Dec{scale: scale}, nil
	case f > 3*math.MaxInt16*decDigits:
		return Dec{}, errOverflow()
	case f+1 < -float64(scale):
		return Dec{scale: scale}, nil
	}
	sig := max(1+int(scale)+int(f), 1) + int(math.Log(math.Abs(float64(exp)))) + 16
	return a.powBySquaring(exp, sig, scale)
}

// log10Approx is log10(|d|) from the leading 16 digits.
func (d Dec) log10Approx() float64 {
	n := d.digits()
	b := new(big.Int).Abs(d.bigCoef())
	exp := -int(d.scale)
	if n > 17 {
		b.Quo(b, bigPow10(n-17))
		exp += n - 17
	}
	f, _ := new(big.Float).SetInt(b).Float64()
	return math.Log10(f) + float64(exp)
}

// fromBigRounded returns coef × 10^-have rounded to scale digits after the point.
func fromBigRounded(coef *big.Int, have int, scale int32) (Dec, error) {
	if have <= int(scale) {
		return checked(coef.Mul(coef, bigPow10(int(scale)-have)), scale)
	}
	return checked(roundBig(coef, have-int(scale)), scale)
}

// powBySquaring raises a to exp with sig significant digits kept along the way.
func (a Dec) powBySquaring(exp, sig int, scale int32) (Dec, error) {
	base := floating{new(big.Int).Set(a.bigCoef()), -int(a.scale)}
	result := floating{big.NewInt(1), 0}
	for e := uint64(absInt(exp)); e > 0; e >>= 1 {
		if e&1 == 1 {
			result = result.mul(base, sig)
		}
		if e > 1 {
			base = base.mul(base, sig)
		}
		if result.weight() > maxIntDigits+4 || base.weight() > 4*maxIntDigits && e > 1 {
			if exp > 0 {
				return Dec{}, errOverflow()
			}
			return Dec{scale: scale}, nil
		}
	}
	if exp < 0 {
		return result.inverse(scale)
	}
	if result.exp >= 0 {
		return fromBigRounded(result.coef.Mul(result.coef, bigPow10(result.exp)), 0, scale)
	}
	return fromBigRounded(result.coef, -result.exp, scale)
}

func absInt(n int) int {
	if n < 0 {
		return -n
	}
	return n
}

// floating is coef × 10^exp without a bound on exp, for intermediate products.
type floating struct {
	coef *big.Int
	exp  int
}

func (x floating) weight() int { return bigDigits(x.coef) + x.exp }

func (x floating) mul(y floating, sig int) floating {
	p := floating{new(big.Int).Mul(x.coef, y.coef), x.exp + y.exp}
	if n := bigDigits(p.coef); n > sig {
		p.coef, p.exp = roundBig(p.coef, n-sig), p.exp+n-sig
	}
	return p
}

// inverse returns 1/x rounded to scale digits after the point.
func (x floating) inverse(scale int32) (Dec, error) {
	shift := int(scale) - x.exp
	if shift < 0 {
		return Dec{scale: scale}, nil
	}
	return checked(quoBig(bigPow10(shift), x.coef, true), scale)
}

// powReal is PostgreSQL's power with a fractional or huge exponent: e^(b·ln a).
func (a Dec) powReal(b Dec, integral bool) (Dec, error) {
	if a.IsZero() {
		return Dec{scale: minSigDigits}, nil
	}
	neg := a.Sign() < 0 && integral && b.isOdd()
	a = a.Abs()
	dweight := lnDweight(a)
	rough := int32(max(8-dweight, 0))
	ln, err := a.lnAt(rough)
	if err != nil {
		return Dec{}, err
	}
	product, err := ln.Mul(b)
	if err != nil {
		return Dec{}, err
	}
	if product, err = product.Round(rough); err != nil {
		return Dec{}, err
	}
	val := product.noOverflowFloat()
	if math.Abs(val) > maxResultScale*3.01 {
		if val > 0 {
			return Dec{}, errOverflow()
		}
		return Dec{scale: maxDisplayScale}, nil
	}
	val *= 0.434294481903252
	scale := min(max(minSigDigits-int32(val), a.scale, b.scale, 0), maxDisplayScale)
	sig := max(int(scale)+int(val), 0)
	local := int32(max(sig-dweight+20, 0))
	if local > maxScale {
		local = maxScale
	}
	if ln, err = a.lnAt(local); err != nil {
		return Dec{}, err
	}
	if product, err = ln.Mul(b); err != nil {
		return Dec{}, err
	}
	r, err := product.expAt(scale)
	if neg {
		r = r.Neg()
	}
	return r, err
}

// Factorial returns n!. Error: 22003 for negative n and beyond the numeric format.
func Factorial(n int64) (Dec, error) {
	if n < 0 {
		return Dec{}, sqlerr.New(sqlerr.NumericValueOutOfRange, "factorial of a negative number is undefined")
	}
	if n > maxFactorialInput {
		return Dec{}, errOverflow()
	}
	return checked(new(big.Int).MulRange(1, n), 0)
}

// WidthBucket returns the bucket of x among count equal ones between lo and hi. Errors: 2201G, 22003.
func WidthBucket(x, lo, hi Dec, count int32) (int32, error) {
	bad := func(text string) (int32, error) { return 0, sqlerr.New(sqlerr.InvalidArgumentForWidth, "%s", text) }
	switch {
	case count <= 0:
		return bad("count must be greater than zero")
	case x.IsNaN() || lo.IsNaN() || hi.IsNaN():
		return bad("operand, lower bound, and upper bound cannot be NaN")
	case lo.IsInf() || hi.IsInf():
		return bad("lower and upper bounds must be finite")
	}
	dir := hi.Cmp(lo)
	if dir == 0 {
		return bad("lower bound cannot equal upper bound")
	}
	switch {
	case x.Cmp(lo)*dir < 0:
		return 0, nil
	case x.Cmp(hi)*dir >= 0:
		if count == math.MaxInt32 {
			return 0, sqlerr.New(sqlerr.NumericValueOutOfRange, "integer out of range")
		}
		return count + 1, nil
	}
	return bucketInside(x, lo, hi, count), nil
}

func bucketInside(x, lo, hi Dec, count int32) int32 {
	scale := max(x.scale, lo.scale, hi.scale)
	at := func(d Dec) *big.Int {
		return new(big.Int).Mul(d.bigCoef(), bigPow10(int(scale-d.scale)))
	}
	l := at(lo)
	n := new(big.Int).Sub(at(x), l)
	n.Mul(n, big.NewInt(int64(count)))
	n.Quo(n, new(big.Int).Sub(at(hi), l))
	return int32(n.Int64()) + 1
}

// Avg returns sum / count at the scale of PostgreSQL's avg(numeric). Error: 22012 for count 0.
func Avg(sum Dec, count int64) (Dec, error) { return sum.Div(FromInt64(count)) }

// Variance returns the variance, or with root the standard deviation, of n values with the given sum and sum
// of squares; sample selects the n−1 form. It follows PostgreSQL's scales. n must be ≥ 1, or ≥ 2 for a sample.
func Variance(n int64, sum, sumSquares Dec, sample, root bool) (Dec, error) {
	if !sum.IsFinite() || !sumSquares.IsFinite() {
		return NaN(), nil
	}
	count := FromInt64(n)
	sq, err := sum.Mul(sum)
	if err != nil {
		return Dec{}, err
	}
	total, err := count.Mul(sumSquares)
	if err != nil {
		return Dec{}, err
	}
	if total, err = total.atScale(min(2*sum.scale, maxScale), true); err != nil {
		return Dec{}, err
	}
	num, err := total.Sub(sq)
	if err != nil || num.Sign() <= 0 {
		return Dec{}, err
	}
	other := n
	if sample {
		other = n - 1
	}
	den, err := count.Mul(FromInt64(other))
	if err != nil {
		return Dec{}, err
	}
	scale := divScale(num, den)
	v, err := num.divAt(den, scale, true)
	if err != nil || !root {
		return v, err
	}
	return v.sqrtAt(scale)
}
