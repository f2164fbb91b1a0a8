// Package numeric is PostgreSQL's numeric: exact decimals with a display scale, NaN and ±Infinity.
//
// A Dec is a coefficient times 10^-scale. The scale is part of the value as printed (1.0 and 1.00 differ as
// text) but not of its worth (they compare equal, hash equal and have the same key). Coefficients of up to
// 127 bits (38 digits) lie inline and are worked on without allocation; larger ones are a *big.Int, up to
// PostgreSQL's limits of 131072 digits before and 16383 after the point. Results, their scales and the
// SQLSTATEs of failures are those of PostgreSQL 15.
//
// A Dec is an immutable value and may be used by any goroutine; an Acc belongs to one goroutine.
//
// Invariants: a finite Dec has big == nil exactly if its coefficient fits in 128 bits; a Dec with form other
// than finite has all other fields zero; 0 ≤ scale ≤ 16383; big is never written after construction.
//
// Keys (AppendKey) and images (AppendImage) are persisted: their bytes may change only with the storage format.
//
// The package does not resolve types or apply casts, except for the type modifier. Start at Dec and Mul.
package numeric

import (
	"math"
	"math/big"

	"github.com/millrace/millrace/internal/sqlerr"
)

// Dec is one numeric value; the zero Dec is 0. Immutable: big is never written after construction.
type Dec struct {
	hi    int64    // upper half of the two's-complement 128-bit coefficient
	lo    uint64   // lower half
	big   *big.Int // the coefficient when it does not fit in 128 bits; hi and lo are then 0
	scale int32    // digits after the point, as printed
	form  form
}

type form uint8

const (
	finite form = iota
	nan
	posInf
	negInf
)

// PostgreSQL's limits.
const (
	maxScale          = 16383  // digits after the point that a value can carry
	maxIntDigits      = 131072 // digits before the point
	maxDisplayScale   = 1000   // digits after the point that a computed scale is cut to
	minSigDigits      = 16     // significant digits that division and friends aim for
	maxResultScale    = 2000   // bound of the scales that exp and power compute
	maxPrecision      = 1000   // largest declarable precision
	decDigits         = 4      // decimal digits per digit of PostgreSQL's base-10000 representation
	float8Digits      = 15     // digits kept when converting double precision
	float4Digits      = 6      // digits kept when converting real
	maxFactorialInput = 32177  // the factorial of anything larger overflows
)

// NaN is PostgreSQL's not-a-number: equal to itself and greater than everything else.
func NaN() Dec { return Dec{form: nan} }

// Inf returns Infinity, or -Infinity for a negative sign.
func Inf(sign int) Dec {
	if sign < 0 {
		return Dec{form: negInf}
	}
	return Dec{form: posInf}
}

// FromInt64 returns v with scale 0.
func FromInt64(v int64) Dec { return Dec{hi: v >> 63, lo: uint64(v)} }

// FromInt returns the two's-complement 128-bit integer hi:lo with scale 0.
func FromInt(hi int64, lo uint64) Dec { return Dec{hi: hi, lo: lo} }

// FromScaled returns coef × 10^-scale; 0 ≤ scale ≤ 16383.
func FromScaled(coef int64, scale int32) Dec {
	return Dec{hi: coef >> 63, lo: uint64(coef), scale: scale}
}

// FromScaled128 returns the two's-complement 128-bit integer hi:lo × 10^-scale; 0 ≤ scale ≤ 16383.
func FromScaled128(hi int64, lo uint64, scale int32) Dec { return Dec{hi: hi, lo: lo, scale: scale} }

// FromBig returns coef × 10^-scale; 0 ≤ scale ≤ 16383. It keeps no reference to coef.
func FromBig(coef *big.Int, scale int32) Dec { return fromBig(new(big.Int).Set(coef), scale) }

// fromBig is FromBig taking ownership of coef.
func fromBig(coef *big.Int, scale int32) Dec {
	if coef.BitLen() > 127 {
		return Dec{big: coef, scale: scale}
	}
	words := coef.Bits()
	var u u128
	switch {
	case len(words) >= 2:
		u = u128{uint64(words[1]), uint64(words[0])}
	case len(words) == 1:
		u.lo = uint64(words[0])
	}
	d, _ := fromU128(u, coef.Sign() < 0, scale)
	return d
}

// bigCoef returns the coefficient as a big.Int that must not be written.
func (d Dec) bigCoef() *big.Int {
	if d.big != nil {
		return d.big
	}
	u, neg := d.abs128()
	b := u.big()
	if neg {
		b.Neg(b)
	}
	return b
}

// ToBig returns the coefficient and scale of a finite value; ok is false for NaN and infinities.
func (d Dec) ToBig() (coef *big.Int, scale int32, ok bool) {
	if d.form != finite {
		return nil, 0, false
	}
	return new(big.Int).Set(d.bigCoef()), d.scale, true
}

// ToScaled64 returns the coefficient and scale when the coefficient fits in 64 bits.
func (d Dec) ToScaled64() (coef int64, scale int32, ok bool) {
	if d.form != finite || d.big != nil || d.hi != int64(d.lo)>>63 {
		return 0, 0, false
	}
	return int64(d.lo), d.scale, true
}

// ToScaled128 returns the two's-complement coefficient and scale when it fits in 128 bits.
func (d Dec) ToScaled128() (hi int64, lo uint64, scale int32, ok bool) {
	return d.hi, d.lo, d.scale, d.form == finite && d.big == nil
}

// IsNaN reports whether d is NaN.
func (d Dec) IsNaN() bool { return d.form == nan }

// IsInf reports whether d is Infinity or -Infinity.
func (d Dec) IsInf() bool { return d.form == posInf || d.form == negInf }

// IsFinite reports whether d is neither NaN nor infinite.
func (d Dec) IsFinite() bool { return d.form == finite }

// IsZero reports whether d is 0 at any scale.
func (d Dec) IsZero() bool { return d.form == finite && d.big == nil && d.hi == 0 && d.lo == 0 }

// Sign returns −1, 0 or 1. NaN has no sign: 0.
func (d Dec) Sign() int {
	switch d.form {
	case posInf:
		return 1
	case negInf:
		return -1
	case nan:
		return 0
	}
	switch {
	case d.big != nil:
		return d.big.Sign()
	case d.hi < 0:
		return -1
	case d.hi|int64(d.lo) != 0:
		return 1
	}
	return 0
}

// Scale returns the display scale; ok is false for NaN and infinities, where SQL's scale() is NULL.
func (d Dec) Scale() (scale int32, ok bool) { return d.scale, d.form == finite }

// Neg returns −d.
func (d Dec) Neg() Dec {
	switch d.form {
	case posInf:
		return Inf(-1)
	case negInf:
		return Inf(1)
	case nan:
		return d
	}
	if d.big != nil {
		return fromBig(new(big.Int).Neg(d.big), d.scale)
	}
	if d.hi == math.MinInt64 && d.lo == 0 {
		return fromBig(new(big.Int).Neg(d.bigCoef()), d.scale)
	}
	d.lo = -d.lo
	d.hi = ^d.hi
	if d.lo == 0 {
		d.hi++
	}
	return d
}

// Abs returns |d|.
func (d Dec) Abs() Dec {
	if d.Sign() < 0 {
		return d.Neg()
	}
	return d
}

func errOverflow() error {
	return sqlerr.New(sqlerr.NumericValueOutOfRange, "value overflows numeric format")
}

func errDivisionByZero() error { return sqlerr.New(sqlerr.DivisionByZero, "division by zero") }

// checked returns coef × 10^-scale or the overflow error; it takes ownership of coef.
func checked(coef *big.Int, scale int32) (Dec, error) {
	if scale > maxScale {
		return Dec{}, errOverflow()
	}
	// 3.32 bits a digit: only coefficients near the limit pay for the exact count.
	if bits := coef.BitLen(); bits > 435000 && bigDigits(coef)-int(scale) > maxIntDigits {
		return Dec{}, errOverflow()
	}
	return fromBig(coef, scale), nil
}

// Identical reports whether two numbers are the same as printed: 1.0 and 1.00 are not.
func (d Dec) Identical(e Dec) bool {
	if d.form != e.form || d.scale != e.scale || (d.big == nil) != (e.big == nil) {
		return false
	}
	if d.big != nil {
		return d.big.Cmp(e.big) == 0
	}
	return d.hi == e.hi && d.lo == e.lo
}
