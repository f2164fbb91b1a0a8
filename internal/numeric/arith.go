package numeric

import (
	"math"
	"math/big"
	"math/bits"
)

// Cmp returns −1, 0 or 1 in PostgreSQL's order: −Infinity, finite values, Infinity, NaN. Scales do not matter.
func (a Dec) Cmp(b Dec) int {
	if a.form|b.form != finite {
		return cmpInt(formRank(a.form), formRank(b.form))
	}
	if a.scale == b.scale && a.big == nil && b.big == nil {
		return cmp128(a, b)
	}
	return a.cmpScaled(b)
}

// Equal reports whether a and b have the same worth.
func (a Dec) Equal(b Dec) bool { return a.Cmp(b) == 0 }

func cmpInt(a, b int) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func formRank(f form) int {
	switch f {
	case negInf:
		return 0
	case posInf:
		return 2
	case nan:
		return 3
	}
	return 1
}

func cmp128(a, b Dec) int {
	switch {
	case a.hi < b.hi:
		return -1
	case a.hi > b.hi:
		return 1
	case a.lo < b.lo:
		return -1
	case a.lo > b.lo:
		return 1
	}
	return 0
}

func (a Dec) cmpScaled(b Dec) int {
	sa, sb := a.Sign(), b.Sign()
	if sa != sb || sa == 0 {
		return cmpInt(sa, sb)
	}
	if a.big == nil && b.big == nil {
		ua, _ := a.abs128()
		ub, _ := b.abs128()
		ok := true
		if a.scale < b.scale {
			ua, ok = ua.mulPow10(b.scale - a.scale)
			if !ok {
				return sa
			}
		} else {
			ub, ok = ub.mulPow10(a.scale - b.scale)
			if !ok {
				return -sa
			}
		}
		return sa * ua.cmp(ub)
	}
	// Compare the places of the leading digits before aligning huge coefficients.
	if ea, eb := a.digits()-int(a.scale), b.digits()-int(b.scale); ea != eb {
		return sa * cmpInt(ea, eb)
	}
	ba, bb, _ := align(a, b)
	return ba.Cmp(bb)
}

// align returns both coefficients at the larger of the two scales. They must not be written.
func align(a, b Dec) (x, y *big.Int, scale int32) {
	x, y = a.bigCoef(), b.bigCoef()
	switch {
	case a.scale < b.scale:
		return new(big.Int).Mul(x, bigPow10(int(b.scale-a.scale))), y, b.scale
	case a.scale > b.scale:
		return x, new(big.Int).Mul(y, bigPow10(int(a.scale-b.scale))), a.scale
	}
	return x, y, a.scale
}

// Add returns a + b at the larger scale. Error: 22003 beyond the numeric format.
func (a Dec) Add(b Dec) (Dec, error) {
	if a.scale == b.scale && a.form|b.form == finite && a.big == nil && b.big == nil {
		lo, carry := bits.Add64(a.lo, b.lo, 0)
		hi := a.hi + b.hi + int64(carry)
		// Overflow exactly if both operands have the sign that the result lacks.
		if (a.hi^hi)&(b.hi^hi) >= 0 {
			return Dec{hi: hi, lo: lo, scale: a.scale}, nil
		}
	}
	return a.addSlow(b)
}

func (a Dec) addSlow(b Dec) (Dec, error) {
	if a.form|b.form != finite {
		switch {
		case a.form == nan || b.form == nan:
			return NaN(), nil
		case a.form == finite:
			return b, nil
		case b.form == finite || a.form == b.form:
			return a, nil
		}
		return NaN(), nil
	}
	if r, ok := a.addAligned(b); ok {
		return r, nil
	}
	x, y, scale := align(a, b)
	return checked(new(big.Int).Add(x, y), scale)
}

// addAligned adds inline values of different scales when everything stays within 128 bits.
func (a Dec) addAligned(b Dec) (Dec, bool) {
	if a.big != nil || b.big != nil || a.scale == b.scale {
		return Dec{}, false
	}
	if a.scale < b.scale {
		a, b = b, a
	}
	u, neg := b.abs128()
	u, ok := u.mulPow10(a.scale - b.scale)
	if !ok {
		return Dec{}, false
	}
	b, ok = fromU128(u, neg, a.scale)
	if !ok {
		return Dec{}, false
	}
	lo, carry := bits.Add64(a.lo, b.lo, 0)
	hi := a.hi + b.hi + int64(carry)
	return Dec{hi: hi, lo: lo, scale: a.scale}, (a.hi^hi)&(b.hi^hi) >= 0
}

// Sub returns a − b at the larger scale. Error: 22003 beyond the numeric format.
func (a Dec) Sub(b Dec) (Dec, error) {
	if a.scale == b.scale && a.form|b.form == finite && a.big == nil && b.big == nil {
		lo, borrow := bits.Sub64(a.lo, b.lo, 0)
		hi := a.hi - b.hi - int64(borrow)
		if (a.hi^b.hi)&(a.hi^hi) >= 0 {
			return Dec{hi: hi, lo: lo, scale: a.scale}, nil
		}
	}
	return a.addSlow(b.Neg())
}

// Mul returns a × b at the sum of the scales (at most 16383, rounded). Error: 22003 beyond the numeric format.
func (a Dec) Mul(b Dec) (Dec, error) {
	// Both coefficients in 64 bits: the product always fits inline.
	if a.form|b.form == finite && a.big == nil && b.big == nil &&
		a.hi == int64(a.lo)>>63 && b.hi == int64(b.lo)>>63 && a.scale+b.scale <= maxScale {
		hi, lo := mul64Signed(int64(a.lo), int64(b.lo))
		return Dec{hi: hi, lo: lo, scale: a.scale + b.scale}, nil
	}
	return a.mulSlow(b)
}

// MulInt64 returns a × b for an integer b; the loop behind `0.908 * price`.
func MulInt64(a Dec, b int64) (Dec, error) {
	if a.form == finite && a.big == nil && a.hi == int64(a.lo)>>63 {
		hi, lo := mul64Signed(int64(a.lo), b)
		return Dec{hi: hi, lo: lo, scale: a.scale}, nil
	}
	return a.mulSlow(FromInt64(b))
}

// mul64Signed returns the signed 128-bit product.
func mul64Signed(a, b int64) (hi int64, lo uint64) {
	h, l := bits.Mul64(uint64(a), uint64(b))
	return int64(h) - a>>63&b - b>>63&a, l
}

func (a Dec) mulSlow(b Dec) (Dec, error) {
	if a.form|b.form != finite {
		if a.form == nan || b.form == nan {
			return NaN(), nil
		}
		s := a.Sign() * b.Sign()
		if s == 0 {
			return NaN(), nil
		}
		return Inf(s), nil
	}
	scale := a.scale + b.scale
	if a.big == nil && b.big == nil && scale <= maxScale {
		ua, na := a.abs128()
		ub, nb := b.abs128()
		if p, ok := ua.mul(ub); ok {
			d, _ := fromU128(p, na != nb, scale)
			return d, nil
		}
	}
	p := new(big.Int).Mul(a.bigCoef(), b.bigCoef())
	if scale > maxScale {
		p, scale = roundBig(p, int(scale-maxScale)), maxScale
	}
	return checked(p, scale)
}

// leading returns the weight and the value of the first non-zero base-10000 digit, as PostgreSQL stores d;
// both are 0 for 0.
func (d Dec) leading() (weight, digit int) {
	n := d.digits()
	if n == 0 {
		return 0, 0
	}
	exp := n - 1 - int(d.scale)
	weight = floorDiv(exp, decDigits)
	take := exp - weight*decDigits + 1 // leading decimal digits that make up the first base-10000 digit
	if d.big == nil {
		u, _ := d.abs128()
		if n <= take {
			return weight, int(u.lo) * int(pow10x64[take-n])
		}
		u, _ = u.divPow10(int32(n - take))
		return weight, int(u.lo)
	}
	q := new(big.Int).Quo(d.big, bigPow10(n-take))
	return weight, int(q.Abs(q).Int64())
}

func floorDiv(a, b int) int {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// divScale is PostgreSQL's choice of scale for a / b: at least 16 significant digits, and no fewer digits
// after the point than either operand.
func divScale(a, b Dec) int32 {
	wa, da := a.leading()
	wb, db := b.leading()
	q := wa - wb
	if da <= db {
		q--
	}
	s := int32(minSigDigits - q*decDigits)
	return min(max(s, a.scale, b.scale, 0), maxDisplayScale)
}

// divSpecial handles NaN and infinities for division-like operations; done is false for finite operands.
func divSpecial(a, b Dec) (r Dec, done bool, err error) {
	if a.form|b.form == finite {
		return Dec{}, false, nil
	}
	switch {
	case a.form == nan || b.form == nan:
		return NaN(), true, nil
	case a.form == finite: // finite / ±Infinity
		return Dec{}, true, nil
	case b.form != finite:
		return NaN(), true, nil
	case b.Sign() == 0:
		return Dec{}, true, errDivisionByZero()
	}
	return Inf(a.Sign() * b.Sign()), true, nil
}

// Div returns a / b rounded half away from zero at PostgreSQL's scale. Errors: 22012, 22003.
func (a Dec) Div(b Dec) (Dec, error) {
	if r, done, err := divSpecial(a, b); done {
		return r, err
	}
	if b.IsZero() {
		return Dec{}, errDivisionByZero()
	}
	return a.divAt(b, divScale(a, b), true)
}

// divAt returns a / b with the given scale, rounded half away from zero or truncated. b is not zero.
func (a Dec) divAt(b Dec, scale int32, round bool) (Dec, error) {
	shift := scale - a.scale + b.scale
	if a.big == nil && b.big == nil && shift >= 0 {
		ua, na := a.abs128()
		ub, nb := b.abs128()
		if n, ok := ua.mulPow10(shift); ok && ub.hi == 0 {
			q, r := n.div64(ub.lo)
			if round && r >= ub.lo-r {
				q.lo++
				if q.lo == 0 {
					q.hi++
				}
			}
			d, _ := fromU128(q, na != nb, scale)
			return d, nil
		}
	}
	n, m := a.bigCoef(), b.bigCoef()
	if shift >= 0 {
		n = new(big.Int).Mul(n, bigPow10(int(shift)))
	} else {
		m = new(big.Int).Mul(m, bigPow10(int(-shift)))
	}
	return checked(quoBig(n, m, round), scale)
}

// quoBig returns n / m, truncated or rounded half away from zero.
func quoBig(n, m *big.Int, round bool) *big.Int {
	q, r := new(big.Int).QuoRem(n, m, new(big.Int))
	if round && r.Lsh(r, 1).CmpAbs(m) >= 0 {
		if n.Sign()*m.Sign() < 0 {
			return q.Sub(q, big.NewInt(1))
		}
		return q.Add(q, big.NewInt(1))
	}
	return q
}

// DivTrunc is SQL's div(a, b): the quotient truncated to an integer. Errors: 22012, 22003.
func (a Dec) DivTrunc(b Dec) (Dec, error) {
	if r, done, err := divSpecial(a, b); done {
		return r, err
	}
	if b.IsZero() {
		return Dec{}, errDivisionByZero()
	}
	return a.divAt(b, 0, false)
}

// Mod returns the remainder of truncated division, with a's sign and the larger scale. Error: 22012.
func (a Dec) Mod(b Dec) (Dec, error) {
	if a.form|b.form != finite {
		switch {
		case a.form == nan || b.form == nan:
			return NaN(), nil
		case a.form == finite:
			return a, nil // x mod ±Infinity
		case b.Sign() == 0:
			return Dec{}, errDivisionByZero()
		}
		return NaN(), nil
	}
	if b.IsZero() {
		return Dec{}, errDivisionByZero()
	}
	if a.scale == b.scale && a.hi == int64(a.lo)>>63 && b.hi == int64(b.lo)>>63 && a.big == nil && b.big == nil {
		if int64(b.lo) == -1 {
			return Dec{scale: a.scale}, nil
		}
		m := int64(a.lo) % int64(b.lo)
		return Dec{hi: m >> 63, lo: uint64(m), scale: a.scale}, nil
	}
	x, y, scale := align(a, b)
	return fromBig(new(big.Int).Rem(x, y), scale), nil
}

// Round rounds half away from zero to n digits after the point; negative n rounds before it.
// Error: 22003 if rounding carries out of the numeric format.
func (d Dec) Round(n int32) (Dec, error) { return d.rescale(n, true) }

// Trunc cuts to n digits after the point; negative n cuts before it.
func (d Dec) Trunc(n int32) Dec {
	r, _ := d.rescale(n, false)
	return r
}

func (d Dec) rescale(n int32, round bool) (Dec, error) {
	if d.form != finite {
		return d, nil
	}
	n = min(max(n, -maxIntDigits-1), maxScale)
	return d.atScale(n, round)
}

// atScale returns d with n digits after the point; the display scale of a negative n is 0.
func (d Dec) atScale(n int32, round bool) (Dec, error) {
	if n == d.scale {
		return d, nil
	}
	if d.big == nil {
		if r, ok := d.atScale128(n, round); ok {
			return r, nil
		}
	}
	if n > d.scale {
		return checked(new(big.Int).Mul(d.bigCoef(), bigPow10(int(n-d.scale))), n)
	}
	b := new(big.Int).Set(d.bigCoef())
	if round {
		b = roundBig(b, int(d.scale-n))
	} else {
		b.Quo(b, bigPow10(int(d.scale-n)))
	}
	if n < 0 {
		b.Mul(b, bigPow10(int(-n)))
		n = 0
	}
	return checked(b, n)
}

func (d Dec) atScale128(n int32, round bool) (Dec, bool) {
	u, neg := d.abs128()
	ok := true
	switch {
	case n > d.scale:
		u, ok = u.mulPow10(n - d.scale)
	case round:
		u = u.roundPow10(d.scale - n)
	default:
		u, _ = u.divPow10(d.scale - n)
	}
	if n < 0 && ok {
		u, ok = u.mulPow10(-n)
		n = 0
	}
	if !ok || u.hi>>63 != 0 {
		return Dec{}, false
	}
	r, _ := fromU128(u, neg, n)
	return r, true
}

// Ceil returns the smallest integer ≥ d. Error: 22003.
func (d Dec) Ceil() (Dec, error) { return d.toward(1) }

// Floor returns the largest integer ≤ d. Error: 22003.
func (d Dec) Floor() (Dec, error) { return d.toward(-1) }

func (d Dec) toward(sign int) (Dec, error) {
	if d.form != finite {
		return d, nil
	}
	t := d.Trunc(0)
	if d.Sign() == sign && t.Cmp(d) != 0 {
		return t.Add(FromInt64(int64(sign)))
	}
	return t, nil
}

// MinScale returns the fewest digits after the point that represent d exactly; ok is false for NaN and infinities.
func (d Dec) MinScale() (scale int32, ok bool) {
	t := d.TrimScale()
	return t.scale, d.form == finite
}

// TrimScale drops trailing zeros after the point.
func (d Dec) TrimScale() Dec {
	if d.form != finite || d.scale == 0 {
		return d
	}
	if d.IsZero() {
		return Dec{}
	}
	if d.big != nil {
		return d.trimBig()
	}
	u, neg := d.abs128()
	s := d.scale
	for s > 0 {
		q, r := u.div64(10)
		if r != 0 {
			break
		}
		u, s = q, s-1
	}
	r, _ := fromU128(u, neg, s)
	return r
}

func (d Dec) trimBig() Dec {
	text := d.big.Text(10)
	zeros := int32(0)
	for zeros < d.scale && text[len(text)-1-int(zeros)] == '0' {
		zeros++
	}
	if zeros == 0 {
		return d
	}
	return fromBig(new(big.Int).Quo(d.big, bigPow10(int(zeros))), d.scale-zeros)
}

// Gcd returns the greatest common divisor, at the larger scale. NaN and infinities give NaN.
func (a Dec) Gcd(b Dec) Dec {
	if a.form|b.form != finite {
		return NaN()
	}
	x, y, scale := align(a, b)
	return fromBig(new(big.Int).GCD(nil, nil, new(big.Int).Abs(x), new(big.Int).Abs(y)), scale)
}

// Lcm returns the least common multiple, at the larger scale. Error: 22003.
func (a Dec) Lcm(b Dec) (Dec, error) {
	if a.form|b.form != finite {
		return NaN(), nil
	}
	x, y, scale := align(a, b)
	if x.Sign() == 0 || y.Sign() == 0 {
		return Dec{scale: scale}, nil
	}
	g := new(big.Int).GCD(nil, nil, new(big.Int).Abs(x), new(big.Int).Abs(y))
	p := new(big.Int).Mul(new(big.Int).Quo(x, g), y)
	return checked(p.Abs(p), scale)
}

// ToInt64 rounds half away from zero; ok is false when the result does not fit, and for NaN and infinities.
func (d Dec) ToInt64() (v int64, ok bool) {
	if d.form != finite {
		return 0, false
	}
	if d.scale != 0 {
		r, err := d.atScale(0, true)
		if err != nil {
			return 0, false
		}
		d = r
	}
	if d.big != nil || d.hi != int64(d.lo)>>63 {
		return 0, false
	}
	return int64(d.lo), true
}

// isIntegral reports whether a finite value has no fractional part.
func (d Dec) isIntegral() bool {
	s, _ := d.MinScale()
	return s == 0
}

// Hash returns a hash that is equal for values that compare equal. It is not persisted.
func (d Dec) Hash() uint64 {
	if d.form != finite {
		return uint64(d.form) * 0x9e3779b97f4a7c15
	}
	t := d.TrimScale()
	if t.big != nil {
		h := uint64(t.big.Sign())
		for _, w := range t.big.Bits() {
			h = mix(h, uint64(w))
		}
		return mix(h, uint64(t.scale))
	}
	return mix(mix(uint64(t.hi), t.lo), uint64(t.scale))
}

func mix(a, b uint64) uint64 {
	h, l := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xd6e8feb86659fd93)
	return h ^ l
}

// pow10Float[n] is 10^n, exact as float64.
var pow10Float = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// exactFloat converts small values with one correctly rounded division.
func (d Dec) exactFloat() (float64, bool) {
	c, s, ok := d.ToScaled64()
	if !ok || s >= int32(len(pow10Float)) || c > 1<<53 || c < -(1<<53) {
		return 0, false
	}
	return float64(c) / pow10Float[s], true
}

// noOverflowFloat is the nearest double, ±Inf beyond the range.
func (d Dec) noOverflowFloat() float64 {
	f, ok := d.ToFloat64()
	if !ok {
		return math.Inf(d.Sign())
	}
	return f
}
