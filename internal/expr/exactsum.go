package expr

import (
	"encoding/binary"
	"errors"
	"math"
	"math/big"
	"math/bits"
)

// exactSum is a sum of floats without rounding, so that values can be taken back and order does not matter:
// 1e20 + 1 − 1e20 is 1. The finite part is a two's-complement integer that counts units of 2^−originBits; of its
// words only the window that is in use is kept. NaN and the infinities are counted apart.
type exactSum struct {
	limbs            []uint64 // least significant first; the top one is all sign
	base             int      // index of limbs[0] among all words
	nan, plus, minus int64
	negZero          int64 // how many of the values are −0
	n                int64
}

// originBits is beyond the smallest product of two floats, 2^−2148, and a multiple of 64.
const originBits = 2176

// split returns the integer mantissa and the exponent of |x|.
func split(x float64) (mant uint64, exp int) {
	b := math.Float64bits(x)
	exp = int(b >> 52 & 0x7ff)
	mant = b & (1<<52 - 1)
	if exp == 0 {
		return mant, -1074
	}
	return mant | 1<<52, exp - 1075
}

// add folds in w copies of x.
func (a *exactSum) add(x float64, w int64) {
	a.n += w
	switch {
	case x != x:
		a.nan += w
	case math.IsInf(x, 1):
		a.plus += w
	case math.IsInf(x, -1):
		a.minus += w
	case x == 0:
		if math.Signbit(x) {
			a.negZero += w
		}
	default:
		m, e := split(x)
		a.addScaled(0, m, e, math.Signbit(x), w)
	}
}

// addProduct folds in w copies of x·y. Infinite and NaN factors are the caller's business.
func (a *exactSum) addProduct(x, y float64, w int64) {
	a.n += w
	mx, ex := split(x)
	my, ey := split(y)
	hi, lo := bits.Mul64(mx, my)
	a.addScaled(hi, lo, ex+ey, math.Signbit(x) != math.Signbit(y), w)
}

// addScaled adds ±(hi:lo)·2^exp·w.
func (a *exactSum) addScaled(hi, lo uint64, exp int, negative bool, w int64) {
	if w < 0 {
		negative = !negative
	}
	m := magnitude(w)
	// (hi:lo)·m in three words
	c1, p0 := bits.Mul64(lo, m)
	c2, p1 := bits.Mul64(hi, m)
	p1, carry := bits.Add64(p1, c1, 0)
	p2 := c2 + carry
	if p0|p1|p2 == 0 {
		return
	}
	pos := exp + originBits
	at, shift := pos>>6, uint(pos&63)
	var v [4]uint64
	v[0] = p0 << shift
	v[1] = p1<<shift | p0>>(64-shift)
	v[2] = p2<<shift | p1>>(64-shift)
	v[3] = p2 >> (64 - shift)
	a.reserve(at, len(v))
	limbs := a.limbs[at-a.base:]
	if negative {
		subWords(limbs, v)
	} else {
		addWords(limbs, v)
	}
}

func addWords(limbs []uint64, v [4]uint64) {
	var carry uint64
	for i, x := range v {
		limbs[i], carry = bits.Add64(limbs[i], x, carry)
	}
	for i := len(v); carry != 0 && i < len(limbs); i++ {
		limbs[i], carry = bits.Add64(limbs[i], 0, carry)
	}
}

func subWords(limbs []uint64, v [4]uint64) {
	var borrow uint64
	for i, x := range v {
		limbs[i], borrow = bits.Sub64(limbs[i], x, borrow)
	}
	for i := len(v); borrow != 0 && i < len(limbs); i++ {
		limbs[i], borrow = bits.Sub64(limbs[i], 0, borrow)
	}
}

func (a *exactSum) sign() uint64 {
	if len(a.limbs) == 0 {
		return 0
	}
	return uint64(int64(a.limbs[len(a.limbs)-1]) >> 63)
}

// reserve makes the window reach over words at … at+n−1 with a word of pure sign above.
func (a *exactSum) reserve(at, n int) {
	if len(a.limbs) == 0 {
		a.base = at
	}
	if at < a.base {
		a.limbs = append(make([]uint64, a.base-at, a.base-at+len(a.limbs)), a.limbs...)
		a.base = at
	}
	sign := a.sign()
	for len(a.limbs) <= at+n-a.base || a.limbs[len(a.limbs)-1] != sign {
		a.limbs = append(a.limbs, sign)
	}
}

// merge adds all that b has seen.
func (a *exactSum) merge(b *exactSum) {
	a.n += b.n
	a.nan, a.plus, a.minus, a.negZero = a.nan+b.nan, a.plus+b.plus, a.minus+b.minus, a.negZero+b.negZero
	if len(b.limbs) == 0 {
		return
	}
	a.reserve(b.base, len(b.limbs)+1)
	sign, carry := b.sign(), uint64(0)
	for i := b.base - a.base; i < len(a.limbs); i++ {
		x := sign
		if k := i - (b.base - a.base); k < len(b.limbs) {
			x = b.limbs[k]
		}
		a.limbs[i], carry = bits.Add64(a.limbs[i], x, carry)
	}
}

// trim drops words that say nothing, so that equal sums have equal images.
func (a *exactSum) trim() {
	sign := a.sign()
	for len(a.limbs) > 1 && a.limbs[len(a.limbs)-1] == sign && uint64(int64(a.limbs[len(a.limbs)-2])>>63) == sign {
		a.limbs = a.limbs[:len(a.limbs)-1]
	}
	for len(a.limbs) > 0 && a.limbs[0] == 0 {
		a.limbs, a.base = a.limbs[1:], a.base+1
	}
	if len(a.limbs) == 0 {
		a.limbs, a.base = nil, 0
	}
}

// special returns the result when it is not finite.
func (a *exactSum) special() (float64, bool) {
	switch {
	case a.nan != 0 || a.plus != 0 && a.minus != 0:
		return math.NaN(), true
	case a.plus != 0:
		return math.Inf(1), true
	case a.minus != 0:
		return math.Inf(-1), true
	}
	return 0, false
}

// round returns the float of the given precision (53 or 24 bits) nearest to the sum, ties to even; infinite when
// it is too large.
func (a *exactSum) round(precision, minExp int) float64 {
	if f, ok := a.special(); ok {
		return f
	}
	mag, negative := a.magnitude()
	top := len(mag) - 1
	for top >= 0 && mag[top] == 0 {
		top--
	}
	if top < 0 {
		if a.negZero != 0 && a.negZero == a.n {
			return math.Copysign(0, -1)
		}
		return 0
	}
	lead := bits.LeadingZeros64(mag[top])
	exp := (a.base+top)*64 + 63 - lead - originBits // of the leading bit
	t, sticky := leadingWord(mag, top, lead)
	keep := precision
	if exp < minExp {
		keep = max(precision-(minExp-exp), -1)
	}
	f := math.Ldexp(roundTop(t, sticky, keep), exp-keep+1)
	if precision == 24 {
		f = float64(float32(f))
	}
	if negative {
		f = -f
	}
	return f
}

// leadingWord returns the 64 bits from the leading one on, and whether anything lies below them.
func leadingWord(mag []uint64, top, lead int) (t uint64, sticky bool) {
	t = mag[top] << lead
	if top > 0 {
		if lead > 0 {
			t |= mag[top-1] >> (64 - lead)
		}
		sticky = mag[top-1]<<lead != 0
	}
	for i := 0; i < top-1; i++ {
		sticky = sticky || mag[i] != 0
	}
	return t, sticky
}

// roundTop rounds t, whose top bit is set, to keep bits.
func roundTop(t uint64, sticky bool, keep int) float64 {
	if keep < 0 {
		return 0
	}
	shift := uint(64 - keep)
	q := t >> shift // 0 for a shift of 64
	rest := t << uint(keep)
	const half = 1 << 63
	if rest > half || rest == half && (sticky || q&1 == 1) {
		q++
	}
	return float64(q)
}

func (a *exactSum) magnitude() (mag []uint64, negative bool) {
	if a.sign() == 0 {
		return a.limbs, false
	}
	mag = make([]uint64, len(a.limbs))
	carry := uint64(1)
	for i, x := range a.limbs {
		mag[i], carry = bits.Add64(^x, 0, carry)
	}
	return mag, true
}

// big returns the finite sum in units of 2^−originBits.
func (a *exactSum) big() *big.Int {
	mag, negative := a.magnitude()
	buf := make([]byte, 8*len(mag))
	for i, x := range mag {
		binary.BigEndian.PutUint64(buf[8*(len(mag)-1-i):], x)
	}
	v := new(big.Int).SetBytes(buf)
	v.Lsh(v, uint(64*a.base))
	if negative {
		v.Neg(v)
	}
	return v
}

func (a *exactSum) appendImage(dst []byte) []byte {
	a.trim()
	for _, v := range []int64{a.n, a.nan, a.plus, a.minus, a.negZero} {
		dst = binary.AppendVarint(dst, v)
	}
	dst = binary.AppendUvarint(dst, uint64(a.base))
	dst = binary.AppendUvarint(dst, uint64(len(a.limbs)))
	for _, x := range a.limbs {
		dst = binary.LittleEndian.AppendUint64(dst, x)
	}
	return dst
}

var errImage = errors.New("aggregate state image is damaged")

func (a *exactSum) decodeImage(src []byte) (rest []byte, err error) {
	*a = exactSum{}
	for _, p := range []*int64{&a.n, &a.nan, &a.plus, &a.minus, &a.negZero} {
		if *p, src, err = takeVarint(src); err != nil {
			return nil, err
		}
	}
	base, src, err := takeUvarint(src)
	if err != nil {
		return nil, err
	}
	n, src, err := takeUvarint(src)
	if err != nil || n > 256 || base > 256 || uint64(len(src)) < 8*n {
		return nil, errImage
	}
	a.base = int(base)
	for range n {
		a.limbs = append(a.limbs, binary.LittleEndian.Uint64(src))
		src = src[8:]
	}
	return src, nil
}

func takeVarint(src []byte) (int64, []byte, error) {
	v, n := binary.Varint(src)
	if n <= 0 {
		return 0, nil, errImage
	}
	return v, src[n:], nil
}

func takeUvarint(src []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(src)
	if n <= 0 {
		return 0, nil, errImage
	}
	return v, src[n:], nil
}

func (a *exactSum) sizeBytes() int { return 80 + 8*cap(a.limbs) }
