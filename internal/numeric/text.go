package numeric

import (
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/millrace/millrace/internal/sqlerr"
)

func errSyntax(s string) error {
	return sqlerr.New(sqlerr.InvalidTextRepresentation, "invalid input syntax for type numeric: \"%s\"", s)
}

// Parse reads a number as PostgreSQL's numeric input does: blanks around, a sign, digits with a point, an
// exponent, NaN, Infinity. Errors: 22P02, 22003.
func Parse(s string) (Dec, error) { return parse(s) }

// ParseBytes is Parse without a copy of the text.
func ParseBytes(b []byte) (Dec, error) { return parse(b) }

// isSpace is C's isspace.
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func isDigit(c byte) bool { return c-'0' < 10 }

func parse[T string | []byte](s T) (Dec, error) {
	i, end := 0, len(s)
	for i < end && isSpace(s[i]) {
		i++
	}
	for end > i && isSpace(s[end-1]) {
		end--
	}
	body := s[i:end]
	if len(body) == 0 {
		return Dec{}, errSyntax(string(s))
	}
	neg := body[0] == '-'
	if neg || body[0] == '+' {
		body = body[1:]
	}
	if len(body) > 0 && !isDigit(body[0]) && body[0] != '.' {
		return parseSpecial(string(body), string(s), neg, end-i != len(body))
	}
	return parseFinite(body, neg, s)
}

func parseSpecial(body, whole string, neg, signed bool) (Dec, error) {
	switch lower := strings.ToLower(body); {
	case lower == "nan" && !signed:
		return NaN(), nil
	case lower == "infinity" || lower == "inf":
		if neg {
			return Inf(-1), nil
		}
		return Inf(1), nil
	}
	return Dec{}, errSyntax(whole)
}

// parseFinite reads digits[.digits][e±digits]; body has no blanks and no sign.
func parseFinite[T string | []byte](body T, neg bool, whole T) (Dec, error) {
	var u u128
	digits, scale, point, i := 0, 0, false, 0
	fits := true // u holds all digits so far
	for ; i < len(body); i++ {
		c := body[i]
		if c == '.' && !point {
			point = true
			if i == 0 && (len(body) == 1 || !isDigit(body[1])) {
				return Dec{}, errSyntax(string(whole))
			}
			continue
		}
		if !isDigit(c) {
			break
		}
		digits++
		if point {
			scale++
		}
		if fits && u.hi == 0 && u.lo < math.MaxUint64/10 {
			u.lo = u.lo*10 + uint64(c-'0')
			continue
		}
		if fits {
			u, fits = appendDigit(u, c-'0')
		}
	}
	if digits == 0 {
		return Dec{}, errSyntax(string(whole))
	}
	exp := 0
	if i < len(body) {
		var err error
		if exp, err = parseExponent(string(body[i:]), string(whole)); err != nil {
			return Dec{}, err
		}
		if exp == 0 && fits && u.hi>>63 == 0 && scale <= maxScale {
			d, _ := fromU128(u, neg, int32(scale))
			return d, nil
		}
	} else if fits && u.hi>>63 == 0 && scale <= maxScale {
		d, _ := fromU128(u, neg, int32(scale))
		return d, nil
	}
	return assemble(string(body[:i]), scale, exp, neg)
}

func appendDigit(u u128, digit byte) (u128, bool) {
	p, ok := u.mul64(10)
	if !ok || p.hi>>63 != 0 {
		return p, false
	}
	lo := p.lo + uint64(digit)
	if lo < p.lo {
		p.hi++
	}
	p.lo = lo
	return p, p.hi>>63 == 0
}

// parseExponent reads what follows the digits; strtol's leading blanks are allowed, as in PostgreSQL.
func parseExponent(s, whole string) (int, error) {
	if s[0] != 'e' && s[0] != 'E' {
		return 0, errSyntax(whole)
	}
	t := strings.TrimLeft(s[1:], " \t\n\v\f\r")
	digits := strings.TrimLeft(t, "+-")
	if len(t)-len(digits) > 1 || digits == "" {
		return 0, errSyntax(whole)
	}
	for i := range len(digits) {
		if !isDigit(digits[i]) {
			return 0, errSyntax(whole)
		}
	}
	e, err := strconv.Atoi(t)
	if err != nil || e >= math.MaxInt32/2 || e <= -(math.MaxInt32/2) {
		return 0, errOverflow()
	}
	return e, nil
}

// assemble builds the value of mantissa × 10^exp where the mantissa (digits and perhaps a point) has scale
// digits after the point.
func assemble(mantissa string, scale, exp int, neg bool) (Dec, error) {
	digits := strings.TrimLeft(strings.Replace(mantissa, ".", "", 1), "0")
	newScale := scale - exp
	shown := max(newScale, 0)
	if digits == "" {
		if shown > maxScale {
			return Dec{}, errOverflow()
		}
		return Dec{scale: int32(shown)}, nil
	}
	if len(digits)-newScale > maxIntDigits || shown > maxScale {
		return Dec{}, errOverflow()
	}
	b, ok := new(big.Int).SetString(digits, 10)
	if !ok {
		return Dec{}, errSyntax(mantissa)
	}
	if newScale < 0 {
		b.Mul(b, bigPow10(-newScale))
	}
	if neg {
		b.Neg(b)
	}
	return fromBig(b, int32(shown)), nil
}

// String returns the value as PostgreSQL prints it.
func (d Dec) String() string {
	var buf [48]byte
	return string(d.AppendText(buf[:0]))
}

// AppendText appends the value as PostgreSQL prints it: all digits, never an exponent.
func (d Dec) AppendText(dst []byte) []byte {
	switch d.form {
	case nan:
		return append(dst, "NaN"...)
	case posInf:
		return append(dst, "Infinity"...)
	case negInf:
		return append(dst, "-Infinity"...)
	}
	if d.big != nil {
		return d.appendBig(dst)
	}
	u, neg := d.abs128()
	if neg {
		dst = append(dst, '-')
	}
	if d.scale == 0 && u.hi == 0 {
		return strconv.AppendUint(dst, u.lo, 10)
	}
	var buf [40]byte
	return appendPoint(dst, u.appendDigits(buf[:0]), int(d.scale))
}

// appendDigits appends u in decimal.
func (u u128) appendDigits(dst []byte) []byte {
	if u.hi == 0 {
		return strconv.AppendUint(dst, u.lo, 10)
	}
	q, r := u.div64(pow10x64[19])
	dst = q.appendDigits(dst)
	var tail [19]byte
	for i := 18; i >= 0; i-- {
		tail[i] = byte('0' + r%10)
		r /= 10
	}
	return append(dst, tail[:]...)
}

// appendPoint appends digits with the decimal point scale places from the right.
func appendPoint(dst, digits []byte, scale int) []byte {
	if scale == 0 {
		return append(dst, digits...)
	}
	if len(digits) <= scale {
		dst = append(dst, '0', '.')
		for range scale - len(digits) {
			dst = append(dst, '0')
		}
		return append(dst, digits...)
	}
	dst = append(dst, digits[:len(digits)-scale]...)
	dst = append(dst, '.')
	return append(dst, digits[len(digits)-scale:]...)
}

func (d Dec) appendBig(dst []byte) []byte {
	text := d.big.Append(nil, 10)
	if text[0] == '-' {
		dst, text = append(dst, '-'), text[1:]
	}
	return appendPoint(dst, text, int(d.scale))
}

// FromFloat64 converts as PostgreSQL's cast from double precision: 15 significant digits.
func FromFloat64(f float64) Dec { return fromFloat(f, float8Digits) }

// FromFloat32 converts as PostgreSQL's cast from real: 6 significant digits.
func FromFloat32(f float32) Dec { return fromFloat(float64(f), float4Digits) }

func fromFloat(f float64, digits int) Dec {
	switch {
	case math.IsNaN(f):
		return NaN()
	case math.IsInf(f, 0):
		return Inf(int(math.Copysign(1, f)))
	}
	var buf [32]byte
	text := strconv.AppendFloat(buf[:0], f, 'e', digits-1, 64)
	// %g drops trailing zeros of the mantissa; do the same before the exponent is applied.
	mantissa, exp, _ := strings.Cut(string(text), "e")
	if strings.Contains(mantissa, ".") {
		mantissa = strings.TrimRight(strings.TrimRight(mantissa, "0"), ".")
	}
	d, err := Parse(mantissa + "e" + exp)
	if err != nil { // a double has at most 309+15 digits
		return NaN()
	}
	return d
}

// ToFloat64 returns the nearest double; ok is false when it overflows (value ±Inf) or underflows to 0.
func (d Dec) ToFloat64() (f float64, ok bool) {
	switch d.form {
	case nan:
		return math.NaN(), true
	case posInf, negInf:
		return math.Inf(d.Sign()), true
	}
	if f, ok := d.exactFloat(); ok {
		return f, true
	}
	f, err := strconv.ParseFloat(d.String(), 64)
	return f, err == nil && (f != 0 || d.IsZero())
}

// ToFloat32 is ToFloat64 for real.
func (d Dec) ToFloat32() (f float32, ok bool) {
	if d.form != finite {
		f, ok := d.ToFloat64()
		return float32(f), ok
	}
	v, err := strconv.ParseFloat(d.String(), 32)
	return float32(v), err == nil && (v != 0 || d.IsZero())
}

// ApplyTypmod rounds d to numeric(precision, scale) given as PostgreSQL's atttypmod; −1 changes nothing.
// Error: 22003 with PostgreSQL's detail.
func (d Dec) ApplyTypmod(typmod int32) (Dec, error) {
	if typmod < 4 {
		return d, nil
	}
	return d.ApplyPrecision((typmod-4)>>16, (typmod-4)&0x7ff^1024-1024)
}

func fieldOverflow() *sqlerr.Error {
	return sqlerr.New(sqlerr.NumericValueOutOfRange, "numeric field overflow")
}

// ApplyPrecision rounds d to numeric(precision, scale); the scale may be negative. Error: 22003.
func (d Dec) ApplyPrecision(precision, scale int32) (Dec, error) {
	if d.form == nan {
		return d, nil
	}
	if d.form != finite {
		return Dec{}, fieldOverflow().WithDetail("A field with precision %d, scale %d cannot hold an infinite value.", precision, scale)
	}
	r, err := d.atScale(scale, true)
	if err != nil {
		return Dec{}, err
	}
	limit := precision - scale
	if !r.IsZero() && int32(r.digits())-r.scale > limit {
		bound := "1"
		if limit != 0 {
			bound = "10^" + strconv.Itoa(int(limit))
		}
		return Dec{}, fieldOverflow().WithDetail(
			"A field with precision %d, scale %d must round to an absolute value less than %s.", precision, scale, bound)
	}
	return r, nil
}
