package numeric

import (
	"encoding/binary"
	"errors"
	"math"
	"math/big"

	"github.com/millrace/millrace/internal/sqlerr"
)

// Sign words of PostgreSQL's wire format.
const (
	wirePos    = 0x0000
	wireNeg    = 0x4000
	wireNaN    = 0xC000
	wirePosInf = 0xD000
	wireNegInf = 0xF000
)

// AppendBinary appends PostgreSQL's binary format: ndigits, weight, sign, dscale and base-10000 digits, int16 each.
func (d Dec) AppendBinary(dst []byte) []byte {
	if d.form != finite {
		// The scale of 32 is what PostgreSQL happens to send with infinities.
		switch d.form {
		case posInf:
			return appendHeader(dst, 0, 0, wirePosInf, 32)
		case negInf:
			return appendHeader(dst, 0, 0, wireNegInf, 32)
		}
		return appendHeader(dst, 0, 0, wireNaN, 0)
	}
	var buf [40]byte
	digits := d.appendCoef(buf[:0])
	sign := uint16(wirePos)
	if d.Sign() < 0 {
		sign = wireNeg
	}
	if d.IsZero() {
		return appendHeader(dst, 0, 0, sign, d.scale)
	}
	// Pad on both sides so that the point falls between groups of four.
	tailPad := (decDigits - int(d.scale)%decDigits) % decDigits
	headPad := (decDigits - (len(digits)+tailPad)%decDigits) % decDigits
	groups := (headPad + len(digits) + tailPad) / decDigits
	weight := groups - 1 - (int(d.scale)+tailPad)/decDigits
	group := func(g int) uint16 {
		v := uint16(0)
		for k := g*decDigits - headPad; k < (g+1)*decDigits-headPad; k++ {
			v *= 10
			if k >= 0 && k < len(digits) {
				v += uint16(digits[k] - '0')
			}
		}
		return v
	}
	last := groups
	for last > 0 && group(last-1) == 0 {
		last--
	}
	dst = appendHeader(dst, last, weight, sign, d.scale)
	for g := range last {
		dst = binary.BigEndian.AppendUint16(dst, group(g))
	}
	return dst
}

func appendHeader(dst []byte, ndigits, weight int, sign uint16, scale int32) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(ndigits))
	dst = binary.BigEndian.AppendUint16(dst, uint16(int16(weight)))
	dst = binary.BigEndian.AppendUint16(dst, sign)
	return binary.BigEndian.AppendUint16(dst, uint16(scale))
}

// appendCoef appends the decimal digits of |coefficient|, without leading zeros except for 0 itself.
func (d Dec) appendCoef(dst []byte) []byte {
	if d.big != nil {
		dst = d.big.Append(dst, 10)
		if dst[0] == '-' {
			dst = dst[1:]
		}
		return dst
	}
	u, _ := d.abs128()
	return u.appendDigits(dst)
}

func errBinary(format string, args ...any) error {
	return sqlerr.New(sqlerr.InvalidBinaryRepresentation, format, args...)
}

// ParseBinary reads PostgreSQL's binary format. Errors: 22P03, 22003.
func ParseBinary(b []byte) (Dec, error) {
	if len(b) < 8 {
		return Dec{}, sqlerr.New(sqlerr.ProtocolViolation, "insufficient data left in message")
	}
	n := int(binary.BigEndian.Uint16(b))
	weight := int(int16(binary.BigEndian.Uint16(b[2:])))
	sign := binary.BigEndian.Uint16(b[4:])
	scale := int(binary.BigEndian.Uint16(b[6:]))
	if len(b) < 8+2*n {
		return Dec{}, sqlerr.New(sqlerr.ProtocolViolation, "insufficient data left in message")
	}
	if len(b) > 8+2*n {
		return Dec{}, errBinary("incorrect binary data format")
	}
	switch sign {
	case wireNaN:
		return NaN(), nil
	case wirePosInf:
		return Inf(1), nil
	case wireNegInf:
		return Inf(-1), nil
	case wirePos, wireNeg:
	default:
		return Dec{}, errBinary("invalid sign in external \"numeric\" value")
	}
	if scale > maxScale {
		return Dec{}, errBinary("invalid scale in external \"numeric\" value")
	}
	return parseGroups(b[8:], n, weight, int32(scale), sign == wireNeg)
}

func parseGroups(b []byte, n, weight int, scale int32, neg bool) (Dec, error) {
	text := make([]byte, 0, n*decDigits+1)
	for i := range n {
		g := binary.BigEndian.Uint16(b[2*i:])
		if g >= 10000 {
			return Dec{}, errBinary("invalid digit in external \"numeric\" value")
		}
		text = append(text, byte('0'+g/1000), byte('0'+g/100%10), byte('0'+g/10%10), byte('0'+g%10))
	}
	if len(text) == 0 {
		return Dec{scale: scale}, nil
	}
	coef, _ := new(big.Int).SetString(string(text), 10)
	if coef.Sign() == 0 {
		return Dec{scale: scale}, nil
	}
	have := (n - 1 - weight) * decDigits // digits after the point in coef
	if have < int(scale) {
		coef.Mul(coef, bigPow10(int(scale)-have))
	} else {
		// Digits beyond the display scale are dropped, as PostgreSQL does.
		coef.Quo(coef, bigPow10(have-int(scale)))
	}
	if neg {
		coef.Neg(coef)
	}
	return checked(coef, scale)
}

// Classes of a key, in order.
const (
	keyNegInf = 0x10
	keyNeg    = 0x20
	keyZero   = 0x30
	keyPos    = 0x40
	keyInf    = 0x50
	keyNaN    = 0x60
)

// keyExpBias centres the decimal exponent (the place of the leading digit, −16383…131072) in 24 bits.
const keyExpBias = 1 << 20

// AppendKey appends an encoding whose byte order is Cmp's order: equal values (1.0 and 1.00) have equal
// bytes, and no encoding is a prefix of another.
//
// The layout is a class byte; for finite non-zero values then the exponent (one byte 0x80+e for |e| < 100,
// four bytes otherwise), then the significant digits in pairs, each byte 2·pair+1, and 2·pair for the last
// one. Negative values have everything after the class inverted.
func (d Dec) AppendKey(dst []byte) []byte {
	switch d.form {
	case nan:
		return append(dst, keyNaN)
	case posInf:
		return append(dst, keyInf)
	case negInf:
		return append(dst, keyNegInf)
	}
	if d.IsZero() {
		return append(dst, keyZero)
	}
	var buf [40]byte
	digits := d.appendCoef(buf[:0])
	exp := len(digits) - int(d.scale)
	for digits[len(digits)-1] == '0' {
		digits = digits[:len(digits)-1]
	}
	neg := d.Sign() < 0
	class := byte(keyPos)
	if neg {
		class = keyNeg
	}
	dst = append(dst, class)
	start := len(dst)
	dst = appendKeyExp(dst, exp)
	for i := 0; i < len(digits); i += 2 {
		pair := 10 * (digits[i] - '0')
		if i+1 < len(digits) {
			pair += digits[i+1] - '0'
		}
		dst = append(dst, 2*pair+1)
	}
	dst[len(dst)-1]--
	if neg {
		for i := start; i < len(dst); i++ {
			dst[i] = ^dst[i]
		}
	}
	return dst
}

func appendKeyExp(dst []byte, e int) []byte {
	switch {
	case e > -100 && e < 100:
		return append(dst, byte(0x80+e))
	case e < 0:
		e += keyExpBias
		return append(dst, 0x01, byte(e>>16), byte(e>>8), byte(e))
	}
	e += keyExpBias
	return append(dst, 0xFE, byte(e>>16), byte(e>>8), byte(e))
}

var errKey = errors.New("decode numeric key: malformed bytes")

// DecodeKey reads one AppendKey encoding and returns what follows it. The display scale is not part of a
// key: the value comes back with its least scale.
func DecodeKey(src []byte) (d Dec, rest []byte, err error) {
	if len(src) == 0 {
		return Dec{}, nil, errKey
	}
	class, src := src[0], src[1:]
	switch class {
	case keyNaN:
		return NaN(), src, nil
	case keyInf:
		return Inf(1), src, nil
	case keyNegInf:
		return Inf(-1), src, nil
	case keyZero:
		return Dec{}, src, nil
	case keyPos:
		return decodeKeyBody(src, 0)
	case keyNeg:
		return decodeKeyBody(src, 0xFF)
	}
	return Dec{}, nil, errKey
}

func decodeKeyBody(src []byte, invert byte) (d Dec, rest []byte, err error) {
	exp, src, err := decodeKeyExp(src, invert)
	if err != nil {
		return Dec{}, nil, err
	}
	var buf [40]byte
	digits := buf[:0]
	for {
		if len(src) == 0 {
			return Dec{}, nil, errKey
		}
		b := src[0] ^ invert
		src = src[1:]
		if b > 199 {
			return Dec{}, nil, errKey
		}
		digits = append(digits, '0'+b/2/10, '0'+b/2%10)
		if b&1 == 0 {
			break
		}
	}
	for len(digits) > 0 && digits[len(digits)-1] == '0' {
		digits = digits[:len(digits)-1]
	}
	d, err = assemble(string(digits), 0, exp-len(digits), invert != 0)
	if err != nil || d.IsZero() {
		return Dec{}, nil, errKey
	}
	return d, src, nil
}

func decodeKeyExp(src []byte, invert byte) (exp int, rest []byte, err error) {
	if len(src) == 0 {
		return 0, nil, errKey
	}
	b := src[0] ^ invert
	if b != 0x01 && b != 0xFE {
		return int(b) - 0x80, src[1:], nil
	}
	if len(src) < 4 {
		return 0, nil, errKey
	}
	e := int(src[1]^invert)<<16 | int(src[2]^invert)<<8 | int(src[3]^invert)
	return e - keyExpBias, src[4:], nil
}

// Image kinds: the low bits of the head of an image, below the scale.
const (
	image64 = iota
	image128
	imageBigPos
	imageBigNeg
	imageNaN
	imageInf
	imageNegInf
)

// AppendImage appends a compact exact encoding: uvarint scale·8+kind, then the coefficient (a zigzag varint up
// to 64 bits, 16 bytes little-endian up to 128, else a length and big-endian magnitude). Self-delimiting.
func (d Dec) AppendImage(dst []byte) []byte {
	switch d.form {
	case nan:
		return append(dst, imageNaN)
	case posInf:
		return append(dst, imageInf)
	case negInf:
		return append(dst, imageNegInf)
	}
	head := uint64(d.scale) << 3
	if d.big != nil {
		kind := uint64(imageBigPos)
		if d.big.Sign() < 0 {
			kind = imageBigNeg
		}
		dst = binary.AppendUvarint(dst, head|kind)
		mag := d.big.Bytes()
		dst = binary.AppendUvarint(dst, uint64(len(mag)))
		return append(dst, mag...)
	}
	if d.hi == int64(d.lo)>>63 {
		dst = binary.AppendUvarint(dst, head|image64)
		return binary.AppendVarint(dst, int64(d.lo))
	}
	dst = binary.AppendUvarint(dst, head|image128)
	dst = binary.LittleEndian.AppendUint64(dst, d.lo)
	return binary.LittleEndian.AppendUint64(dst, uint64(d.hi))
}

var errImage = errors.New("decode numeric image: malformed bytes")

// DecodeImage reads one AppendImage encoding and returns what follows it.
func DecodeImage(src []byte) (d Dec, rest []byte, err error) {
	head, n := binary.Uvarint(src)
	if n <= 0 || head>>3 > maxScale {
		return Dec{}, nil, errImage
	}
	src = src[n:]
	scale := int32(head >> 3)
	switch head & 7 {
	case image64:
		v, n := binary.Varint(src)
		if n <= 0 {
			return Dec{}, nil, errImage
		}
		return FromScaled(v, scale), src[n:], nil
	case image128:
		if len(src) < 16 {
			return Dec{}, nil, errImage
		}
		lo, hi := binary.LittleEndian.Uint64(src), binary.LittleEndian.Uint64(src[8:])
		return FromScaled128(int64(hi), lo, scale), src[16:], nil
	case imageBigPos, imageBigNeg:
		return decodeBigImage(src, scale, head&7 == imageBigNeg)
	case imageNaN:
		return NaN(), src, nil
	case imageInf:
		return Inf(1), src, nil
	case imageNegInf:
		return Inf(-1), src, nil
	}
	return Dec{}, nil, errImage
}

func decodeBigImage(src []byte, scale int32, neg bool) (Dec, []byte, error) {
	size, n := binary.Uvarint(src)
	if n <= 0 || size > uint64(len(src)-n) || size > math.MaxUint16 {
		return Dec{}, nil, errImage
	}
	b := new(big.Int).SetBytes(src[n : n+int(size)])
	if neg {
		b.Neg(b)
	}
	return fromBig(b, scale), src[n+int(size):], nil
}

// GobEncode implements gob.GobEncoder with the image.
func (d Dec) GobEncode() ([]byte, error) { return d.AppendImage(nil), nil }

// GobDecode implements gob.GobDecoder.
func (d *Dec) GobDecode(b []byte) error {
	v, rest, err := DecodeImage(b)
	if err == nil && len(rest) != 0 {
		err = errImage
	}
	*d = v
	return err
}
