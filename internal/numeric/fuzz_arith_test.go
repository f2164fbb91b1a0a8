package numeric

import (
	"math/big"
	"strings"
	"testing"
)

// FuzzArith compares sums, products, order and rounding with math/big, over coefficients of up to 16 bytes.
func FuzzArith(f *testing.F) {
	f.Add([]byte{1}, []byte{3}, uint8(0), uint8(2), int8(1), false)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, []byte{5}, uint8(19), uint8(0), int8(-3), true)
	f.Add([]byte("0123456789abcdef"), []byte("fedcba9876543210"), uint8(38), uint8(37), int8(20), true)
	f.Fuzz(func(t *testing.T, x, y []byte, xs, ys uint8, digits int8, negative bool) {
		cx, cy := new(big.Int).SetBytes(x[:min(16, len(x))]), new(big.Int).SetBytes(y[:min(16, len(y))])
		if negative {
			cx.Neg(cx)
		}
		sx, sy := int32(xs%60), int32(ys%60)
		a, b := FromBig(cx, sx), FromBig(cy, sy)
		ra, rb := ratio(cx, sx), ratio(cy, sy)
		check := func(what string, got Dec, err error, want *big.Rat, scale int32) {
			t.Helper()
			if err != nil {
				t.Fatalf("%s of %s and %s: %v", what, a, b, err)
			}
			s := want.FloatString(int(scale))
			if got.Sign() == 0 {
				s = strings.TrimPrefix(s, "-") // what rounds to zero has no sign
			}
			if got.String() != s {
				t.Fatalf("%s of %s and %s is %s, want %s", what, a, b, got, s)
			}
		}
		sum, err := a.Add(b)
		check("sum", sum, err, new(big.Rat).Add(ra, rb), max(sx, sy))
		diff, err := a.Sub(b)
		check("difference", diff, err, new(big.Rat).Sub(ra, rb), max(sx, sy))
		product, err := a.Mul(b)
		check("product", product, err, new(big.Rat).Mul(ra, rb), sx+sy)
		if got, want := a.Cmp(b), ra.Cmp(rb); got != want {
			t.Fatalf("%s compares with %s as %d, want %d", a, b, got, want)
		}
		// FloatString rounds half away from zero, as numeric does.
		if n := int32(digits); n >= 0 {
			r, err := a.Round(n)
			check("rounding", r, err, ra, n)
		}
		back, err := Parse(a.String())
		if err != nil || back.Cmp(a) != 0 || back.String() != a.String() {
			t.Fatalf("%s reads as %s, %v", a, back, err)
		}
	})
}

func ratio(coef *big.Int, scale int32) *big.Rat {
	return new(big.Rat).SetFrac(coef, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
}
