package mysql

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/millrace/millrace/connector/mysql/binlog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/numeric"
)

// textAppender makes the appender for values of a query's result, which selectExpr has asked for.
func textAppender(c *column, zero zeroPolicy) appender {
	switch c.family() {
	case famInt, famBit:
		return func(v *delta.Vec, b []byte) error {
			if len(b) > 0 && b[0] == '-' {
				n, err := strconv.ParseInt(string(b), 10, 64)
				if err != nil {
					return err
				}
				return putInt(v, n)
			}
			n, ok := digits(b)
			if !ok {
				return fmt.Errorf("%q is not an integer", b)
			}
			return putUint(v, n)
		}
	case famDecimal:
		return func(v *delta.Vec, b []byte) error {
			d, err := numeric.ParseBytes(b)
			if err != nil {
				return err
			}
			return putDec(v, d)
		}
	case famFloat, famDouble:
		single := c.family() == famFloat
		return func(v *delta.Vec, b []byte) error {
			f, err := strconv.ParseFloat(string(b), 64)
			if err != nil {
				return err
			}
			if single {
				f = float64(float32(f))
			}
			v.AppendFloat(f)
			return nil
		}
	case famDate, famDatetime:
		return func(v *delta.Vec, b []byte) error {
			m, err := parseMoment(b)
			if err != nil {
				return err
			}
			return putMoment(v, m, zero)
		}
	case famTimestamp:
		return func(v *delta.Vec, b []byte) error {
			m, err := parseMoment(b) // the session is in UTC
			if err != nil {
				return err
			}
			return putMoment(v, m, zero)
		}
	case famTime:
		return func(v *delta.Vec, b []byte) error {
			s, err := parseSpan(b)
			if err != nil {
				return err
			}
			return putSpan(v, s)
		}
	case famText, famJSON:
		return putText
	case famUUID:
		return func(v *delta.Vec, b []byte) error {
			u, err := hex.DecodeString(string(bytes.ReplaceAll(b, []byte("-"), nil)))
			if err != nil {
				return err
			}
			return putUUID(v, u)
		}
	}
	return func(v *delta.Vec, b []byte) error { v.AppendBytes(b); return nil }
}

// putText appends a text in UTF-8.
func putText(v *delta.Vec, b []byte) error { return putJSONText(v, b) }

// digits reads an unsigned number.
func digits(b []byte) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	if len(b) == 20 {
		n, err := strconv.ParseUint(string(b), 10, 64)
		return n, err == nil
	}
	for _, c := range b {
		if c-'0' > 9 {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}

// parseMoment reads YYYY-MM-DD, perhaps with hh:mm:ss and a fraction.
func parseMoment(b []byte) (m binlog.Moment, err error) {
	bad := fmt.Errorf("%q is not a date", b)
	if len(b) < 10 || b[4] != '-' || b[7] != '-' {
		return m, bad
	}
	ok := true
	part := func(b []byte) int {
		n, is := digits(b)
		ok = ok && is
		return int(n)
	}
	m.Year, m.Month, m.Day = part(b[:4]), part(b[5:7]), part(b[8:10])
	if len(b) > 10 {
		if len(b) < 19 || b[13] != ':' || b[16] != ':' {
			return m, bad
		}
		m.Hour, m.Minute, m.Second = part(b[11:13]), part(b[14:16]), part(b[17:19])
		m.Micros = parseFraction(b[19:], &ok)
	}
	if !ok {
		return m, bad
	}
	return m, nil
}

// parseFraction reads .ffffff of any length, in microseconds.
func parseFraction(b []byte, ok *bool) int {
	if len(b) == 0 {
		return 0
	}
	n, is := digits(b[1:])
	if b[0] != '.' || !is || len(b) > 7 {
		*ok = false
		return 0
	}
	for range 7 - len(b) {
		n *= 10
	}
	return int(n)
}

// parseSpan reads a TIME: -838:59:59.000000.
func parseSpan(b []byte) (binlog.Span, error) {
	text := b
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		b = b[1:]
	}
	i := bytes.IndexByte(b, ':')
	if i < 0 || len(b) < i+6 || b[i+3] != ':' {
		return 0, fmt.Errorf("%q is not a time", text)
	}
	ok := true
	h, ok1 := digits(b[:i])
	m, ok2 := digits(b[i+1 : i+3])
	s, ok3 := digits(b[i+4 : i+6])
	micros := parseFraction(b[i+6:], &ok)
	if !ok || !ok1 || !ok2 || !ok3 {
		return 0, fmt.Errorf("%q is not a time", text)
	}
	t := binlog.Span((h*3600+m*60+s)*1e6) + binlog.Span(micros)
	if negative {
		t = -t
	}
	return t, nil
}

// selectExpr is what a query asks for to get a column's value in a form that textAppender reads exactly: as a text, a FLOAT is
// rounded to six digits, and a BIT comes as bytes.
func (c *column) selectExpr() string {
	name := ident(c.Name)
	switch c.family() {
	case famFloat, famDouble:
		return name + "+0e0"
	case famBit:
		return name + "+0"
	}
	return name
}

// keyExpr is what a query asks for to go on after a key: of labels the number, for that is their order.
func (c *column) keyExpr() string {
	switch c.family() {
	case famEnum, famSet, famBit:
		return ident(c.Name) + "+0"
	case famFloat, famDouble:
		return ident(c.Name) + "+0e0"
	}
	return ident(c.Name)
}

// literal writes a value that keyExpr has given as SQL, so that the comparison with the column is the one of its index.
func (c *column) literal(b []byte) string {
	switch c.family() {
	case famInt, famBit, famDecimal, famEnum, famSet, famFloat, famDouble:
		return string(b)
	case famText:
		if len(b) == 0 {
			return "''"
		}
		return fmt.Sprintf("_utf8mb4 X'%X'", b)
	case famBytes:
		if len(b) == 0 {
			return "''"
		}
		return fmt.Sprintf("X'%X'", b)
	}
	return quote(string(b))
}

// ident quotes a name.
func ident(name string) string {
	return "`" + string(bytes.ReplaceAll([]byte(name), []byte("`"), []byte("``"))) + "`"
}

// quote makes a literal of a text. The session has no NO_BACKSLASH_ESCAPES.
func quote(s string) string {
	b := []byte{'\''}
	for i := range len(s) {
		switch s[i] {
		case '\'', '\\':
			b = append(b, '\\')
		case 0:
			b = append(b, '\\', '0')
			continue
		}
		b = append(b, s[i])
	}
	return string(append(b, '\''))
}
