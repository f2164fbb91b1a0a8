package numeric

import (
	"encoding/binary"
	"math/big"
	"math/bits"
)

// Acc is a running sum of weighted values: the state of sum(numeric) and avg(numeric). Adding with a negative
// weight takes values back, exactly: NaN and the infinities are counted apart from the finite total, and the
// rows are counted by display scale, so that the result has the scale of the rows that remain.
// The zero Acc is an empty sum. One goroutine.
type Acc struct {
	hi     int64 // the total of finite values at `scale`, two's complement; 0 when big is in use
	lo     uint64
	big    *big.Int
	scale  int32
	scales []scaleCount // ascending; counts may be negative inside an epoch
	nan    int64
	posInf int64
	negInf int64
}

type scaleCount struct {
	scale int32
	count int64
}

// Add folds in weight copies of d; weight may be negative.
func (a *Acc) Add(d Dec, weight int64) {
	switch d.form {
	case nan:
		a.nan += weight
		return
	case posInf:
		a.posInf += weight
		return
	case negInf:
		a.negInf += weight
		return
	}
	a.countScale(d.scale, weight)
	a.addFinite(d, weight)
}

func (a *Acc) countScale(scale int32, weight int64) {
	for i := range a.scales {
		if a.scales[i].scale == scale {
			a.scales[i].count += weight
			if a.scales[i].count == 0 {
				a.scales = append(a.scales[:i], a.scales[i+1:]...)
			}
			return
		}
	}
	if weight == 0 {
		return
	}
	i := 0
	for i < len(a.scales) && a.scales[i].scale < scale {
		i++
	}
	a.scales = append(a.scales, scaleCount{})
	copy(a.scales[i+1:], a.scales[i:])
	a.scales[i] = scaleCount{scale, weight}
}

func (a *Acc) addFinite(d Dec, weight int64) {
	if d.scale < a.scale && d.big == nil { // align with the total without leaving 128 bits
		u, neg := d.abs128()
		if u, ok := u.mulPow10(a.scale - d.scale); ok && u.hi>>63 == 0 {
			d, _ = fromU128(u, neg, a.scale)
		}
	}
	if d.scale == a.scale && a.big == nil && d.big == nil && d.hi == int64(d.lo)>>63 {
		hi, lo := mul64Signed(int64(d.lo), weight)
		slo, carry := bits.Add64(a.lo, lo, 0)
		shi := a.hi + hi + int64(carry)
		if (a.hi^shi)&(hi^shi) >= 0 {
			a.hi, a.lo = shi, slo
			return
		}
	}
	a.addSlow(d, weight)
}

func (a *Acc) addSlow(d Dec, weight int64) {
	total := Dec{hi: a.hi, lo: a.lo, big: a.big, scale: a.scale}
	term := new(big.Int).Mul(d.bigCoef(), big.NewInt(weight))
	x, y, scale := align(total, fromBig(term, d.scale))
	a.setTotal(fromBig(new(big.Int).Add(x, y), scale))
}

func (a *Acc) setTotal(d Dec) { a.hi, a.lo, a.big, a.scale = d.hi, d.lo, d.big, d.scale }

// Merge adds all that b has seen.
func (a *Acc) Merge(b *Acc) {
	a.nan += b.nan
	a.posInf += b.posInf
	a.negInf += b.negInf
	for _, s := range b.scales {
		a.countScale(s.scale, s.count)
	}
	a.addSlow(Dec{hi: b.hi, lo: b.lo, big: b.big, scale: b.scale}, 1)
}

// Result returns the sum with PostgreSQL's scale: the largest among the rows in it. Whether there are rows at
// all (sum is NULL without) is the caller's to count. Error: 22003 beyond the numeric format.
func (a *Acc) Result() (Dec, error) {
	switch {
	case a.nan != 0 || a.posInf != 0 && a.negInf != 0:
		return NaN(), nil
	case a.posInf != 0:
		return Inf(1), nil
	case a.negInf != 0:
		return Inf(-1), nil
	}
	total := Dec{hi: a.hi, lo: a.lo, big: a.big, scale: a.scale}
	want := int32(0)
	if n := len(a.scales); n > 0 {
		want = a.scales[n-1].scale
	}
	if want != total.scale {
		return total.atScale(want, true)
	}
	if total.big != nil {
		return checked(total.big, total.scale)
	}
	return total, nil
}

// IsEmpty reports whether everything added has been taken back.
func (a *Acc) IsEmpty() bool {
	return len(a.scales) == 0 && a.nan == 0 && a.posInf == 0 && a.negInf == 0
}

// SizeBytes is the memory held, for accounting.
func (a *Acc) SizeBytes() int {
	n := 88 + 16*cap(a.scales)
	if a.big != nil {
		n += 8 * len(a.big.Bits())
	}
	return n
}

// AppendImage appends the state: three counts, the scales and the total. Equal states have equal images.
func (a *Acc) AppendImage(dst []byte) []byte {
	dst = binary.AppendVarint(dst, a.nan)
	dst = binary.AppendVarint(dst, a.posInf)
	dst = binary.AppendVarint(dst, a.negInf)
	dst = binary.AppendUvarint(dst, uint64(len(a.scales)))
	want := int32(0)
	for _, s := range a.scales {
		dst = binary.AppendUvarint(dst, uint64(s.scale))
		dst = binary.AppendVarint(dst, s.count)
		want = max(want, s.scale)
	}
	// Drop digits that rows since taken back had brought, so that the image depends on the rows only.
	total := Dec{hi: a.hi, lo: a.lo, big: a.big, scale: a.scale}.TrimScale()
	if total.scale < want {
		if t, err := total.atScale(want, true); err == nil {
			total = t
		}
	}
	return total.AppendImage(dst)
}

// DecodeImage replaces the state by an image and returns what follows it.
func (a *Acc) DecodeImage(src []byte) (rest []byte, err error) {
	*a = Acc{}
	var n uint64
	for _, p := range []*int64{&a.nan, &a.posInf, &a.negInf} {
		if *p, src, err = varint(src); err != nil {
			return nil, err
		}
	}
	if n, src, err = uvarint(src); err != nil || n > maxScale+1 {
		return nil, errImage
	}
	for range n {
		var s uint64
		var c int64
		if s, src, err = uvarint(src); err != nil || s > maxScale {
			return nil, errImage
		}
		if c, src, err = varint(src); err != nil {
			return nil, err
		}
		a.scales = append(a.scales, scaleCount{int32(s), c})
	}
	total, rest, err := DecodeImage(src)
	if err != nil || !total.IsFinite() {
		return nil, errImage
	}
	a.setTotal(total)
	return rest, nil
}

func varint(src []byte) (int64, []byte, error) {
	v, n := binary.Varint(src)
	if n <= 0 {
		return 0, nil, errImage
	}
	return v, src[n:], nil
}

func uvarint(src []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(src)
	if n <= 0 {
		return 0, nil, errImage
	}
	return v, src[n:], nil
}
