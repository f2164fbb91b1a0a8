package numeric

import (
	"math/big"
	"math/bits"
)

// u128 is an unsigned 128-bit magnitude.
type u128 struct{ hi, lo uint64 }

// pow10x64[n] is 10^n; pow10x128[n] likewise, up to the largest power below 2^127.
var (
	pow10x64  = powers64()
	pow10x128 = powers128()
)

func powers64() (p [20]uint64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = p[i-1] * 10
	}
	return p
}

func powers128() (p [39]u128) {
	p[0] = u128{0, 1}
	for i := 1; i < len(p); i++ {
		p[i], _ = p[i-1].mul64(10)
	}
	return p
}

// abs128 returns the magnitude and sign of an inline coefficient.
func (d Dec) abs128() (u u128, neg bool) {
	if d.hi >= 0 {
		return u128{uint64(d.hi), d.lo}, false
	}
	lo := -d.lo
	hi := ^uint64(d.hi)
	if lo == 0 {
		hi++
	}
	return u128{hi, lo}, true
}

// fromU128 builds a Dec from a magnitude; ok is false when it exceeds 127 bits (the Dec is then big).
func fromU128(u u128, neg bool, scale int32) (d Dec, ok bool) {
	if u.hi>>63 != 0 {
		b := u.big()
		if neg {
			b.Neg(b)
		}
		return Dec{big: b, scale: scale}, false
	}
	if !neg {
		return Dec{hi: int64(u.hi), lo: u.lo, scale: scale}, true
	}
	lo := -u.lo
	hi := ^u.hi
	if lo == 0 {
		hi++
	}
	return Dec{hi: int64(hi), lo: lo, scale: scale}, true
}

func (u u128) big() *big.Int {
	b := new(big.Int).SetUint64(u.hi)
	b.Lsh(b, 64)
	return b.Or(b, new(big.Int).SetUint64(u.lo))
}

func (u u128) isZero() bool { return u.hi|u.lo == 0 }

func (u u128) cmp(v u128) int {
	switch {
	case u.hi != v.hi:
		if u.hi < v.hi {
			return -1
		}
		return 1
	case u.lo < v.lo:
		return -1
	case u.lo > v.lo:
		return 1
	}
	return 0
}

// mul64 returns u × m; ok is false on overflow of 128 bits.
func (u u128) mul64(m uint64) (p u128, ok bool) {
	h1, l1 := bits.Mul64(u.lo, m)
	h2, l2 := bits.Mul64(u.hi, m)
	hi, carry := bits.Add64(h1, l2, 0)
	return u128{hi, l1}, h2 == 0 && carry == 0
}

// mul returns u × v; ok is false on overflow of 128 bits.
func (u u128) mul(v u128) (p u128, ok bool) {
	if v.hi == 0 {
		return u.mul64(v.lo)
	}
	if u.hi == 0 {
		return v.mul64(u.lo)
	}
	return u128{}, false
}

// mulPow10 returns u × 10^n; ok is false on overflow of 128 bits.
func (u u128) mulPow10(n int32) (p u128, ok bool) {
	switch {
	case n <= 0:
		return u, true
	case n < 20:
		return u.mul64(pow10x64[n])
	case n > 38:
		return u, u.isZero()
	}
	p, ok = u.mul64(pow10x64[19])
	if !ok {
		return p, false
	}
	return p.mul64(pow10x64[n-19])
}

// div64 returns the quotient and remainder of u / d.
func (u u128) div64(d uint64) (q u128, r uint64) {
	if u.hi == 0 {
		return u128{0, u.lo / d}, u.lo % d
	}
	q.hi, r = u.hi/d, u.hi%d
	q.lo, r = bits.Div64(r, u.lo, d)
	return q, r
}

// divPow10 returns u / 10^n rounded towards zero, and whether anything was cut off.
func (u u128) divPow10(n int32) (q u128, inexact bool) {
	if n > 38 {
		return u128{}, !u.isZero()
	}
	if n > 19 {
		q, r := u.div64(pow10x64[19])
		q, r2 := q.div64(pow10x64[n-19])
		return q, r|r2 != 0
	}
	q, r := u.div64(pow10x64[n])
	return q, r != 0
}

// roundPow10 returns u / 10^n rounded half away from zero.
func (u u128) roundPow10(n int32) u128 {
	if n <= 0 {
		return u
	}
	q, _ := u.divPow10(n - 1)
	q, r := q.div64(10)
	if r >= 5 {
		q.lo++
		if q.lo == 0 {
			q.hi++
		}
	}
	return q
}

// digits returns the number of decimal digits of u, 0 for 0.
func (u u128) digits() int {
	n := bits.Len64(u.hi) + 64
	if u.hi == 0 {
		n = bits.Len64(u.lo)
	}
	if n == 0 {
		return 0
	}
	d := n * 1233 >> 12 // n·log10(2), at most one too small
	if d >= 39 || u.cmp(pow10At(d)) < 0 {
		return d
	}
	return d + 1
}

// pow10At returns 10^d for d ≤ 38.
func pow10At(d int) u128 { return pow10x128[d] }

// bigPow10 returns 10^n as a fresh big.Int.
func bigPow10(n int) *big.Int {
	if n < 20 {
		return new(big.Int).SetUint64(pow10x64[n])
	}
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

// bigDigits returns the number of decimal digits of |b|, 0 for 0.
func bigDigits(b *big.Int) int {
	n := b.BitLen()
	if n == 0 {
		return 0
	}
	d := int(float64(n-1) * 0.30102999566398119521)
	for b.CmpAbs(bigPow10(d)) >= 0 {
		d++
	}
	return d
}

// digits returns the number of decimal digits of the coefficient, 0 for 0.
func (d Dec) digits() int {
	if d.big != nil {
		return bigDigits(d.big)
	}
	u, _ := d.abs128()
	return u.digits()
}

// roundBig returns b / 10^n rounded half away from zero; b may be overwritten.
func roundBig(b *big.Int, n int) *big.Int {
	if n <= 0 {
		return b
	}
	p := bigPow10(n)
	half := new(big.Int).Rsh(p, 1)
	if b.Sign() < 0 {
		b.Sub(b, half)
	} else {
		b.Add(b, half)
	}
	return b.Quo(b, p)
}
