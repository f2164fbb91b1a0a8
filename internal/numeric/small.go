package numeric

import "math/bits"

// Fast paths for values whose coefficients fit in 64 bits, for loops over columns: operands and result by reference, and
// false where the general operation has to be asked.

// pow10s are the powers of ten that fit in an int64.
var pow10s = [...]int64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18}

// isSmall says that d is finite with a coefficient of 64 bits.
func (d *Dec) isSmall() bool { return d.hi == int64(d.lo)>>63 && d.big == nil && d.form == finite }

// AddSmall sets r to x + y.
func AddSmall(r, x, y *Dec) bool {
	if !x.isSmall() || !y.isSmall() {
		return false
	}
	a, b, scale := int64(x.lo), int64(y.lo), x.scale
	if x.scale != y.scale {
		var ok bool
		if a, b, scale, ok = alignSmall(x, y); !ok {
			return false
		}
	}
	sum := a + b
	if (a^sum)&(b^sum) < 0 {
		return false
	}
	*r = Dec{hi: sum >> 63, lo: uint64(sum), scale: scale}
	return true
}

// SubSmall sets r to x − y.
func SubSmall(r, x, y *Dec) bool {
	if !x.isSmall() || !y.isSmall() {
		return false
	}
	a, b, scale := int64(x.lo), int64(y.lo), x.scale
	if x.scale != y.scale {
		var ok bool
		if a, b, scale, ok = alignSmall(x, y); !ok {
			return false
		}
	}
	diff := a - b
	if (a^b)&(a^diff) < 0 {
		return false
	}
	*r = Dec{hi: diff >> 63, lo: uint64(diff), scale: scale}
	return true
}

// alignSmall brings two values to the larger scale of both.
func alignSmall(x, y *Dec) (a, b int64, scale int32, ok bool) {
	a, b = int64(x.lo), int64(y.lo)
	switch d := y.scale - x.scale; {
	case d > 0 && int(d) < len(pow10s):
		a, ok = timesPow10(a, d)
		return a, b, y.scale, ok
	case d < 0 && int(-d) < len(pow10s):
		b, ok = timesPow10(b, -d)
		return a, b, x.scale, ok
	}
	return 0, 0, 0, false
}

func timesPow10(a int64, n int32) (int64, bool) {
	hi, lo := mul64Signed(a, pow10s[n])
	return int64(lo), hi == int64(lo)>>63
}

// MulSmall sets r to x · y.
func MulSmall(r, x, y *Dec) bool {
	if !x.isSmall() || !y.isSmall() || x.scale+y.scale > maxDisplayScale {
		return false
	}
	hi, lo := mul64Signed(int64(x.lo), int64(y.lo))
	*r = Dec{hi: hi, lo: lo, scale: x.scale + y.scale}
	return true
}

// Total is a sum of values with coefficients of 64 bits at one scale, which its owner knows. The zero Total is empty. At
// most 2^62 values.
type Total struct {
	hi int64
	lo uint64
	n  int64
}

// AddSmall adds a value; false when it is of another scale, or too large.
func (t *Total) AddSmall(d *Dec, scale int32) bool {
	if !d.isSmall() || d.scale != scale {
		return false
	}
	var carry uint64
	t.lo, carry = bits.Add64(t.lo, d.lo, 0)
	t.hi += d.hi + int64(carry)
	t.n++
	return true
}

// Merge adds what another total at the same scale has seen.
func (t *Total) Merge(o *Total) {
	var carry uint64
	t.lo, carry = bits.Add64(t.lo, o.lo, 0)
	t.hi += o.hi + int64(carry)
	t.n += o.n
}

// Count is the number of values.
func (t *Total) Count() int64 { return t.n }

// AddTotal folds in all values of a total at a scale.
func (a *Acc) AddTotal(t *Total, scale int32) {
	if t.n == 0 {
		return
	}
	a.countScale(scale, t.n)
	a.addFinite(Dec{hi: t.hi, lo: t.lo, scale: scale}, 1)
}
