package sqlio

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/jsonb"
	"github.com/millrace/millrace/internal/jsonpath"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// ParseText is the input function of t: the value that text denotes. The type's modifier is not applied; see
// ApplyTypmod. Errors: 22P02, 22003, 22007, 22008, and those of the type.
func ParseText(t sqltypes.Type, text string, s *Settings) (sqltypes.Datum, error) {
	switch t.Kind {
	case sqltypes.KBool:
		return boxed(parseBool(text))
	case sqltypes.KFloat4:
		return boxed(parseFloat(text, 32))
	case sqltypes.KFloat8:
		return boxed(parseFloat(text, 64))
	case sqltypes.KNumeric:
		return boxed(numeric.Parse(text))
	case sqltypes.KInterval:
		return boxed(datetime.ParseIntervalTypmod(text, &s.Time, t.Typmod()))
	}
	if t.Phys() == sqltypes.PhysInt64 {
		return boxed(parseIntKind(t, text, s))
	}
	b, err := parseBytesKind(t, text, s)
	if err != nil {
		return nil, err
	}
	return b, nil
}

func boxed[T any](v T, err error) (sqltypes.Datum, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}

func parseIntKind(t sqltypes.Type, text string, s *Settings) (int64, error) {
	k := t.Kind
	switch k {
	case sqltypes.KDate:
		return datetime.ParseDate(text, &s.Time)
	case sqltypes.KTime:
		return datetime.ParseTime(text, &s.Time)
	case sqltypes.KTimetz:
		return datetime.ParseTimetz(text, &s.Time)
	case sqltypes.KTimestamp:
		return datetime.ParseTimestamp(text, &s.Time)
	case sqltypes.KTimestamptz:
		return datetime.ParseTimestamptz(text, &s.Time)
	case sqltypes.KOid:
		return parseOid(text)
	case sqltypes.KRegclass, sqltypes.KRegtype, sqltypes.KRegproc, sqltypes.KRegprocedure, sqltypes.KRegoper, sqltypes.KRegoperator,
		sqltypes.KRegrole, sqltypes.KRegnamespace:
		return parseReg(k, text, s)
	case sqltypes.KEnum:
		return parseEnum(t, text)
	}
	return parseInt(k, text)
}

func parseBytesKind(t sqltypes.Type, text string, s *Settings) ([]byte, error) {
	switch t.Kind {
	case sqltypes.KBytea:
		return parseBytea(text)
	case sqltypes.KJSONB:
		return jsonb.Parse([]byte(text))
	case sqltypes.KJSON:
		return []byte(text), jsonb.Validate([]byte(text))
	case sqltypes.KJSONPath:
		_, err := jsonpath.Parse(text)
		return []byte(text), err
	case sqltypes.KUUID:
		return parseUUID(text)
	case sqltypes.KArray:
		return parseArray(t, text, s)
	case sqltypes.KInt2Vector, sqltypes.KOidVector:
		return parseVector(t, text, s)
	case sqltypes.KRecord:
		return parseRecord(t, text, s)
	case sqltypes.KMap:
		return parseMap(t, text, s)
	case sqltypes.KVector:
		return parseFloats(text)
	case sqltypes.KBit, sqltypes.KVarbit:
		return parseBits(text)
	case sqltypes.KName:
		return []byte(clip(text, 63)), nil
	case sqltypes.KChar:
		return ParseChar(text), nil
	case sqltypes.KVoid:
		return []byte{}, nil
	}
	return []byte(text), nil
}

// ParseChar reads the type "char": one byte, written as itself or as a backslash and three octal digits; none stands
// for the zero byte.
func ParseChar(text string) []byte {
	isOctal := func(c byte) bool { return c >= '0' && c <= '7' }
	b := byte(0)
	switch {
	case len(text) == 4 && text[0] == '\\' && isOctal(text[1]) && isOctal(text[2]) && isOctal(text[3]):
		b = (text[1]-'0')<<6 | (text[2]-'0')<<3 | (text[3] - '0')
	case text != "":
		b = text[0]
	}
	if b == 0 {
		return []byte{}
	}
	return []byte{b}
}

// AppendChar prints what ParseChar reads.
func AppendChar(dst, b []byte) []byte {
	if len(b) == 1 && b[0] >= 0x80 {
		return fmt.Appendf(dst, "\\%03o", b[0])
	}
	return append(dst, b...)
}

// clip cuts s to at most n bytes at a character boundary.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func errSyntax(t string, text string) error {
	return sqlerr.New(sqlerr.InvalidTextRepresentation, "invalid input syntax for type %s: \"%s\"", t, text)
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// trim drops C's white space at both ends.
func trim(s string) string { return strings.Trim(s, " \t\n\v\f\r") }

// parseBool accepts unique prefixes of true, false, yes, no, and on, off, 1, 0.
func parseBool(text string) (bool, error) {
	if len(text) == 1 && (text[0] == 't' || text[0] == 'f') {
		return text[0] == 't', nil
	}
	s := strings.ToLower(trim(text))
	switch {
	case s == "":
	case strings.HasPrefix("true", s), strings.HasPrefix("yes", s), s == "on", s == "1":
		return true, nil
	case strings.HasPrefix("false", s), strings.HasPrefix("no", s), s == "of", s == "off", s == "0":
		return false, nil
	}
	return false, errSyntax("boolean", text)
}

// intLimit returns the greatest value of an integer type.
func intLimit(k sqltypes.Kind) int64 {
	switch k {
	case sqltypes.KInt2:
		return math.MaxInt16
	case sqltypes.KInt4:
		return math.MaxInt32
	}
	return math.MaxInt64
}

func parseInt(k sqltypes.Kind, text string) (int64, error) {
	v, ok := fastInt(text)
	if !ok {
		var err error
		if v, err = slowInt(k, text); err != nil {
			return 0, err
		}
	}
	if limit := intLimit(k); v > limit || v < -limit-1 {
		return 0, errIntRange(k, text)
	}
	return v, nil
}

func errIntRange(k sqltypes.Kind, text string) error {
	return sqlerr.New(sqlerr.NumericValueOutOfRange, "value \"%s\" is out of range for type %s", text, k.Info().Name)
}

// fastInt reads an optional sign and up to 18 digits, nothing else.
func fastInt[T string | []byte](s T) (v int64, ok bool) {
	i := 0
	neg := len(s) > 0 && s[0] == '-'
	if neg {
		i = 1
	}
	if n := len(s) - i; n == 0 || n > 18 {
		return 0, false
	}
	for ; i < len(s); i++ {
		c := s[i] - '0'
		if c > 9 {
			return 0, false
		}
		v = v*10 + int64(c)
	}
	if neg {
		v = -v
	}
	return v, true
}

func slowInt(k sqltypes.Kind, text string) (int64, error) {
	s := trim(text)
	digits := s
	if s != "" && (s[0] == '-' || s[0] == '+') {
		digits = s[1:]
	}
	if digits == "" {
		return 0, errSyntax(k.Info().Name, text)
	}
	for i := range len(digits) {
		if digits[i]-'0' > 9 {
			return 0, errSyntax(k.Info().Name, text)
		}
	}
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, errIntRange(k, text)
	}
	return v, nil
}

// parseOid accepts what strtoul does: negative numbers wrap around.
func parseOid(text string) (int64, error) {
	v, err := slowInt(sqltypes.KOid, text)
	if err != nil {
		return 0, err
	}
	if v < math.MinInt32 || v > math.MaxUint32 {
		return 0, errIntRange(sqltypes.KOid, text)
	}
	return int64(uint32(v)), nil
}

func parseReg(k sqltypes.Kind, text string, s *Settings) (int64, error) {
	name := trim(text)
	if name == "-" {
		return 0, nil
	}
	if v, ok := fastInt(name); ok && v >= 0 && v <= math.MaxUint32 {
		return v, nil
	}
	if s.RegOID != nil {
		return s.RegOID(k, name)
	}
	if k == sqltypes.KRegtype {
		if t, ok := sqltypes.ByName(strings.ToLower(name)); ok {
			return int64(t.OID()), nil
		}
	}
	return 0, sqlerr.New(sqlerr.InvalidName, "invalid name syntax: \"%s\"", name)
}

func parseFloat(text string, bits int) (float64, error) {
	name := "double precision"
	if bits == 32 {
		name = "real"
	}
	s := trim(text)
	if !floatShaped(s) {
		return 0, errSyntax(name, text)
	}
	if len(s) > 1 && (s[1] == 'x' || s[1] == 'X' || len(s) > 2 && (s[2] == 'x' || s[2] == 'X')) && !strings.ContainsAny(s, "pP") {
		s += "p0" // C reads hexadecimal floats without an exponent, Go does not
	}
	if len(s) == 4 && (s[0] == '-' || s[0] == '+') && strings.EqualFold(s[1:], "nan") {
		return math.NaN(), nil
	}
	f, err := strconv.ParseFloat(s, bits)
	if err != nil {
		if e, ok := err.(*strconv.NumError); ok && e.Err == strconv.ErrRange {
			return 0, errFloatRange(trim(text), name)
		}
		return 0, errSyntax(name, text)
	}
	if f == 0 && hasNonZeroDigit(s) {
		return 0, errFloatRange(trim(text), name)
	}
	return f, nil
}

func errFloatRange(text, name string) error {
	return sqlerr.New(sqlerr.NumericValueOutOfRange, "\"%s\" is out of range for type %s", text, name)
}

// floatShaped refuses what Go's ParseFloat accepts and C's strtod does not: underscores.
func floatShaped(s string) bool {
	return s != "" && !strings.Contains(s, "_")
}

// hasNonZeroDigit tells a literal zero from an underflow.
func hasNonZeroDigit(s string) bool {
	mantissa, _, _ := strings.Cut(strings.ToLower(s), "e")
	return strings.ContainsAny(mantissa, "123456789")
}

func parseBytea(text string) ([]byte, error) {
	if strings.HasPrefix(text, `\x`) {
		return parseByteaHex(text[2:])
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c != '\\' {
			out = append(out, c)
			continue
		}
		switch rest := text[i+1:]; {
		case len(rest) >= 1 && rest[0] == '\\':
			out = append(out, '\\')
			i++
		case len(rest) >= 3 && rest[0] >= '0' && rest[0] <= '3' && isOctal(rest[1]) && isOctal(rest[2]):
			out = append(out, (rest[0]-'0')<<6|(rest[1]-'0')<<3|(rest[2]-'0'))
			i += 3
		default:
			return nil, sqlerr.New(sqlerr.InvalidTextRepresentation, "invalid input syntax for type bytea")
		}
	}
	return out, nil
}

func isOctal(c byte) bool { return c >= '0' && c <= '7' }

func parseByteaHex(s string) ([]byte, error) {
	out := make([]byte, 0, len(s)/2)
	for i := 0; i < len(s); {
		if c := s[i]; c == ' ' || c == '\n' || c == '\t' || c == '\r' {
			i++
			continue
		}
		if !isHex(s[i]) {
			return nil, errHexDigit(s[i:])
		}
		if i+1 >= len(s) {
			return nil, sqlerr.New(sqlerr.InvalidParameterValue, "invalid hexadecimal data: odd number of digits")
		}
		if !isHex(s[i+1]) {
			return nil, errHexDigit(s[i+1:])
		}
		var b [1]byte
		_, _ = hex.Decode(b[:], []byte(s[i:i+2])) // both digits were checked
		out = append(out, b[0])
		i += 2
	}
	return out, nil
}

func errHexDigit(s string) error {
	_, n := utf8.DecodeRuneInString(s)
	return sqlerr.New(sqlerr.InvalidParameterValue, "invalid hexadecimal digit: \"%s\"", s[:n])
}

func isHex(c byte) bool {
	return c-'0' < 10 || c|0x20 >= 'a' && c|0x20 <= 'f'
}

// parseUUID accepts braces around it and a hyphen after any group of four digits.
func parseUUID(text string) ([]byte, error) {
	s, braced := strings.CutPrefix(text, "{")
	out := make([]byte, 16)
	for i := range out {
		if len(s) < 2 || !isHex(s[0]) || !isHex(s[1]) {
			return nil, errSyntax("uuid", text)
		}
		_, _ = hex.Decode(out[i:i+1], []byte(s[:2])) // both digits were checked
		s = s[2:]
		if i%2 == 1 && i < 15 {
			s = strings.TrimPrefix(s, "-")
		}
	}
	if braced {
		if s == "" || s[0] != '}' {
			return nil, errSyntax("uuid", text)
		}
		s = s[1:]
	}
	if s != "" {
		return nil, errSyntax("uuid", text)
	}
	return out, nil
}
