package expr

import (
	"math"
	"strings"

	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Functions that read what people write in SQL: names and sizes.

// splitIdentifier takes a dotted name apart.
func splitIdentifier(dst, s []byte, strict bool) ([]byte, error) {
	bad := func(detail string) error {
		e := sqlerr.New(sqlerr.InvalidParameterValue, "string is not a valid identifier: \"%s\"", s)
		if detail != "" {
			e = e.WithDetail("%s", detail)
		}
		return e
	}
	var parts []sqltypes.Datum
	rest := strings.TrimLeft(string(s), " \t\n\r\f")
	afterDot := false
	for {
		name, left, detail := takeIdentifier(rest)
		if detail == "" && left == rest { // nothing there
			switch {
			case strings.HasPrefix(rest, "."):
				detail = "No valid identifier before \".\"."
			case afterDot:
				detail = "No valid identifier after \".\"."
			default:
				return dst, bad("")
			}
		}
		if detail != "" {
			return dst, bad(detail)
		}
		parts = append(parts, name)
		rest = strings.TrimLeft(left, " \t\n\r\f")
		if after, ok := strings.CutPrefix(rest, "."); ok {
			afterDot, rest = true, strings.TrimLeft(after, " \t\n\r\f")
			continue
		}
		if rest != "" && strict {
			return dst, bad("")
		}
		return append(dst, sqlio.MakeArray(textArray, parts)...), nil
	}
}

// takeIdentifier takes one name off s; rest is s when there is none.
func takeIdentifier(s string) (name []byte, rest, detail string) {
	if strings.HasPrefix(s, `"`) {
		rest = s[1:]
		for {
			end := strings.IndexByte(rest, '"')
			if end < 0 {
				return nil, s, "String has unclosed double quotes."
			}
			name = append(name, rest[:end]...)
			rest = rest[end+1:]
			if !strings.HasPrefix(rest, `"`) {
				break
			}
			name, rest = append(name, '"'), rest[1:]
		}
		if len(name) == 0 {
			return nil, s, "Quoted identifier must not be empty."
		}
		return name, rest, ""
	}
	i := 0
	for i < len(s) && (s[i] == '_' || s[i] >= 0x80 || s[i]|0x20 >= 'a' && s[i]|0x20 <= 'z' || i > 0 && (s[i] >= '0' && s[i] <= '9' || s[i] == '$')) {
		i++
	}
	return []byte(strings.Map(asciiLower, s[:i])), s[i:], ""
}

func asciiLower(r rune) rune {
	if r >= 'A' && r <= 'Z' {
		return r + 32
	}
	return r
}

var sizeUnits = []struct {
	name  string
	shift int
}{{"bytes", 0}, {"kb", 10}, {"mb", 20}, {"gb", 30}, {"tb", 40}, {"pb", 50}}

// sizeBytes is pg_size_bytes, the inverse of pg_size_pretty.
func sizeBytes(s []byte) (int64, error) {
	text := strings.TrimLeft(string(s), " \t\n\v\f\r")
	bad := func() *sqlerr.Error { return sqlerr.New(sqlerr.InvalidParameterValue, "invalid size: \"%s\"", s) }
	i, digits := 0, 0
	if i < len(text) && (text[i] == '-' || text[i] == '+') {
		i++
	}
	for ; i < len(text) && (isDigitByte(text[i]) || text[i] == '.' && !strings.Contains(text[:i], ".")); i++ {
		if text[i] != '.' {
			digits++
		}
	}
	if digits == 0 {
		return 0, bad()
	}
	if i < len(text) && text[i]|0x20 == 'e' { // an exponent, unless it is none
		k := i + 1
		if k < len(text) && (text[k] == '-' || text[k] == '+') {
			k++
		}
		if k < len(text) && isDigitByte(text[k]) {
			for i = k; i < len(text) && isDigitByte(text[i]); i++ {
			}
		}
	}
	d, err := numeric.Parse(text[:i])
	if err != nil {
		return 0, err
	}
	unit := strings.Trim(text[i:], " \t\n\v\f\r")
	shift := -1
	for _, u := range sizeUnits {
		if strings.EqualFold(unit, u.name) {
			shift = u.shift
		}
	}
	if unit == "" {
		shift = 0
	}
	if shift < 0 {
		return 0, bad().WithDetail("Invalid size unit: \"%s\".", unit).
			WithHint("Valid units are \"bytes\", \"kB\", \"MB\", \"GB\", \"TB\", and \"PB\".")
	}
	d, err = d.Mul(numeric.FromInt64(1 << shift))
	if err == nil {
		d, err = d.Round(0)
	}
	if err != nil {
		return 0, err
	}
	v, ok := d.ToInt64()
	if !ok {
		return 0, sqlerr.New(sqlerr.NumericValueOutOfRange, "bigint out of range")
	}
	return v, nil
}

func isDigitByte(c byte) bool { return c >= '0' && c <= '9' }

// hexToNumber is hex_to_int256: a number of up to 256 bits in two's complement, for which there is no type of its own.
func hexToNumber(s []byte) (numeric.Dec, error) {
	text := strings.TrimPrefix(strings.TrimPrefix(string(s), "0x"), "0X")
	bad := sqlerr.New(sqlerr.InvalidTextRepresentation, "invalid hexadecimal number: \"%s\"", s)
	if text == "" || len(text) > 64 {
		return numeric.Dec{}, bad
	}
	d := numeric.FromInt64(0)
	negative := false
	for i := range len(text) {
		v, ok := hexDigit(text[i])
		if !ok {
			return d, bad
		}
		negative = negative || i == 0 && len(text) == 64 && v >= 8
		d = mustDec(mustDec(d.Mul(numeric.FromInt64(16))).Add(numeric.FromInt64(int64(v))))
	}
	if negative {
		limit := numeric.FromInt64(1)
		for range 8 {
			limit = mustDec(limit.Mul(numeric.FromInt64(math.MaxUint32 + 1)))
		}
		d = mustDec(d.Sub(limit))
	}
	return d, nil
}

// mustDec is for sums and products far from numeric's bounds.
func mustDec(d numeric.Dec, err error) numeric.Dec {
	if err != nil {
		return numeric.NaN()
	}
	return d
}

// identFuncs lists the functions that read names and sizes.
func identFuncs() []Func {
	t := sqltypes.Text
	return []Func{
		fn("parse_ident", ts(t), textArray, b1e(func(dst, s []byte) ([]byte, error) { return splitIdentifier(dst, s, true) }), "parts of a dotted name"),
		fn("parse_ident", ts(t, sqltypes.Bool), textArray, b2e(splitIdentifier), "parts of a dotted name; false lets something follow it"),
		fn("pg_size_bytes", ts(t), sqltypes.Int8, k1e(sizeBytes), "bytes that a size such as 10 MB stands for"),
		fn("hex_to_int256", ts(t), sqltypes.Numeric, k1e(hexToNumber), "number of up to 256 bits in hexadecimal"),
	}
}
