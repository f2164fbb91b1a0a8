package numeric

import (
	"math/big"
)

// Fixed-point helpers for transcendental functions: a *big.Int x with prec stands for x / 2^prec.
// Callers add guard digits, so the last few bits of each result may be wrong.

// bitsFor returns the binary digits that hold n decimal ones, with some to spare.
func bitsFor(decimal int) int { return decimal*3322/1000 + 64 }

// fixedFrom converts d.
func fixedFrom(d Dec, prec int) *big.Int {
	x := new(big.Int).Lsh(d.bigCoef(), uint(prec))
	return x.Quo(x, bigPow10(int(d.scale)))
}

// fixedTo rounds x to scale decimal digits.
func fixedTo(x *big.Int, prec int, scale int32) (Dec, error) {
	n := new(big.Int).Mul(x, bigPow10(int(scale)))
	half := new(big.Int).Lsh(big.NewInt(1), uint(prec-1))
	neg := n.Sign() < 0
	n.Abs(n)
	n.Add(n, half)
	n.Rsh(n, uint(prec))
	if neg {
		n.Neg(n)
	}
	return checked(n, scale)
}

// fixedAtanhInv returns atanh(1/k).
func fixedAtanhInv(k int64, prec int) *big.Int {
	term := new(big.Int).Lsh(big.NewInt(1), uint(prec))
	term.Quo(term, big.NewInt(k))
	sum := new(big.Int).Set(term)
	sq := big.NewInt(k * k)
	t := new(big.Int)
	for n := int64(3); term.Sign() != 0; n += 2 {
		term.Quo(term, sq)
		sum.Add(sum, t.Quo(term, big.NewInt(n)))
	}
	return sum
}

// fixedLn2 returns ln 2 by a Machin-like sum.
func fixedLn2(prec int) *big.Int {
	p := prec + 16
	sum := new(big.Int).Mul(fixedAtanhInv(26, p), big.NewInt(18))
	sum.Sub(sum, new(big.Int).Mul(fixedAtanhInv(4801, p), big.NewInt(2)))
	sum.Add(sum, new(big.Int).Mul(fixedAtanhInv(8749, p), big.NewInt(8)))
	return sum.Rsh(sum, 16)
}

// fixedExp returns e^x.
func fixedExp(x *big.Int, prec int) *big.Int {
	const halvings = 12
	// The squarings double the error each time; k·ln2 adds the size of k.
	p := prec + 2*halvings + 32
	x = new(big.Int).Lsh(x, uint(p-prec))
	ln2 := fixedLn2(p)
	k, r := new(big.Int).DivMod(x, ln2, new(big.Int))
	r.Rsh(r, halvings)
	sum := new(big.Int).Lsh(big.NewInt(1), uint(p))
	term := new(big.Int).Set(sum)
	for n := int64(1); term.Sign() != 0; n++ {
		term.Mul(term, r)
		term.Rsh(term, uint(p))
		term.Quo(term, big.NewInt(n))
		sum.Add(sum, term)
	}
	for range halvings {
		sum.Mul(sum, sum)
		sum.Rsh(sum, uint(p))
	}
	shift := int(k.Int64()) - (p - prec)
	if shift >= 0 {
		return sum.Lsh(sum, uint(shift))
	}
	return sum.Rsh(sum, uint(-shift))
}

// fixedLn returns ln d for d > 0.
func fixedLn(d Dec, prec int) *big.Int {
	const roots = 8
	p := prec + 2*roots + 32
	// d = m · 2^k with m in [1, 2).
	num, den := d.bigCoef(), bigPow10(int(d.scale))
	k := num.BitLen() - den.BitLen()
	shift := p - k
	var m *big.Int
	if shift >= 0 {
		m = new(big.Int).Lsh(num, uint(shift))
		m.Quo(m, den)
	} else {
		m = new(big.Int).Quo(num, new(big.Int).Lsh(den, uint(-shift)))
	}
	one := new(big.Int).Lsh(big.NewInt(1), uint(p))
	if m.Cmp(one) < 0 {
		// Keep values just below 1 in place: 2·m with k−1 would cancel digits, but absolute precision holds.
		m.Lsh(m, 1)
		k--
	}
	for range roots {
		m.Lsh(m, uint(p))
		m.Sqrt(m)
	}
	// ln m = 2 atanh((m−1)/(m+1)), and m is now within 2^(1/256) of 1.
	y := new(big.Int).Sub(m, one)
	y.Lsh(y, uint(p))
	y.Quo(y, new(big.Int).Add(m, one))
	sq := new(big.Int).Mul(y, y)
	sq.Rsh(sq, uint(p))
	sum, t := new(big.Int).Set(y), new(big.Int)
	for n := int64(3); y.Sign() != 0; n += 2 {
		y.Mul(y, sq)
		y.Rsh(y, uint(p))
		sum.Add(sum, t.Quo(y, big.NewInt(n)))
	}
	sum.Lsh(sum, roots+1)
	if k != 0 {
		sum.Add(sum, new(big.Int).Mul(fixedLn2(p), big.NewInt(int64(k))))
	}
	return sum.Rsh(sum, uint(p-prec))
}
