package mysql

import (
	"fmt"
	"math"
	"strconv"

	"github.com/millrace/millrace/connector/mysql/binlog"
	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/jsonb"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// accepts reports whether values of an upstream column can be kept in a column of a type here.
func accepts(c *column, t sqltypes.Type) bool {
	k := t.Kind
	text := k == sqltypes.KText || k == sqltypes.KVarchar
	switch c.family() {
	case famInt, famBit:
		return t.IsInteger() || k == sqltypes.KNumeric || k == sqltypes.KBool || text
	case famDecimal:
		return k == sqltypes.KNumeric || text
	case famFloat:
		return t.IsFloat() || text
	case famDouble:
		return k == sqltypes.KFloat8 || text
	case famDate:
		return k == sqltypes.KDate || k == sqltypes.KTimestamp || text
	case famDatetime:
		return k == sqltypes.KTimestamp || text
	case famTimestamp:
		return k == sqltypes.KTimestamptz || k == sqltypes.KTimestamp || text
	case famTime:
		return k == sqltypes.KTime || k == sqltypes.KInterval || text
	case famText:
		return text || k == sqltypes.KJSONB || k == sqltypes.KJSON
	case famEnum, famSet, famInet6, famInet4:
		return text
	case famBytes:
		return k == sqltypes.KBytea || text
	case famJSON:
		return k == sqltypes.KJSONB || k == sqltypes.KJSON || text
	case famUUID:
		return k == sqltypes.KUUID || text
	}
	return false
}

// asText makes an appender for a column that keeps values of another type as texts: of the type that they would have here, a TIME as an interval.
func asText(c *column, t sqltypes.Type, add appender) appender {
	if t.Kind != sqltypes.KText && t.Kind != sqltypes.KVarchar {
		return add
	}
	var natural sqltypes.Type
	switch c.family() {
	case famFloat, famDouble, famDate, famDatetime, famTimestamp, famBytes:
		natural, _ = c.typ()
	case famTime:
		natural = sqltypes.IntervalT
	default:
		return add
	}
	settings := sqlio.DefaultSettings()
	return func(v *delta.Vec, b []byte) error {
		one := &delta.Vec{Type: natural}
		if err := add(one, b); err != nil {
			return err
		}
		if one.IsNull(0) {
			v.AppendNull()
			return nil
		}
		v.Data = sqlio.AppendText(v.Data, one, 0, settings)
		v.EndRow()
		return nil
	}
}

// zeroPolicy says what becomes of a date that is none: 0000-00-00, 2024-02-00.
type zeroPolicy string

// The values of the option zero.dates.
const (
	zeroNull  zeroPolicy = "null"
	zeroEpoch zeroPolicy = "epoch" // 1970-01-01
	zeroError zeroPolicy = "error"
)

const unixEpochDays = 10957 // from 1970-01-01 to 2000-01-01

func outOfRange(v any, t sqltypes.Type) error {
	return sqlerr.New(sqlerr.NumericValueOutOfRange, "value \"%v\" is out of range for type %s", v, t)
}

func putInt(v *delta.Vec, x int64) error {
	switch v.Type.Kind {
	case sqltypes.KInt2:
		if x != int64(int16(x)) {
			return outOfRange(x, v.Type)
		}
	case sqltypes.KInt4:
		if x != int64(int32(x)) {
			return outOfRange(x, v.Type)
		}
	case sqltypes.KBool:
		v.AppendBool(x != 0)
		return nil
	case sqltypes.KNumeric:
		v.AppendDec(numeric.FromInt64(x))
		return nil
	case sqltypes.KText, sqltypes.KVarchar:
		v.Data = strconv.AppendInt(v.Data, x, 10)
		v.EndRow()
		return nil
	}
	v.AppendInt(x)
	return nil
}

func putUint(v *delta.Vec, x uint64) error {
	if x <= math.MaxInt64 {
		return putInt(v, int64(x))
	}
	switch v.Type.Kind {
	case sqltypes.KBool:
		v.AppendBool(true)
	case sqltypes.KNumeric:
		v.AppendDec(numeric.FromInt(0, x))
	case sqltypes.KText, sqltypes.KVarchar:
		v.Data = strconv.AppendUint(v.Data, x, 10)
		v.EndRow()
	default:
		return outOfRange(x, v.Type)
	}
	return nil
}

func putDec(v *delta.Vec, d numeric.Dec) error {
	if v.Type.Kind == sqltypes.KNumeric {
		v.AppendDec(d)
		return nil
	}
	v.Data = d.AppendText(v.Data)
	v.EndRow()
	return nil
}

// putJSONText appends a text that should be JSON.
func putJSONText(v *delta.Vec, b []byte) error {
	if v.Type.Kind == sqltypes.KJSONB {
		x, err := jsonb.Parse(b)
		if err != nil {
			return err
		}
		v.AppendBytes(x)
		return nil
	}
	if v.Type.Kind == sqltypes.KJSON {
		if err := jsonb.Validate(b); err != nil {
			return err
		}
	}
	v.AppendBytes(b)
	return nil
}

// putUUID appends 16 bytes in the order in which they are written.
func putUUID(v *delta.Vec, b []byte) error {
	if len(b) != 16 {
		return fmt.Errorf("a uuid of %d bytes", len(b))
	}
	if v.Type.Kind == sqltypes.KUUID {
		v.AppendBytes(b)
		return nil
	}
	v.Data = fmt.Appendf(v.Data, "%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	v.EndRow()
	return nil
}

// putSpan appends a TIME. What is not a time of day needs an interval.
func putSpan(v *delta.Vec, s binlog.Span) error {
	if v.Type.Kind == sqltypes.KInterval {
		v.AppendInterval(datetime.Interval{Micros: int64(s)})
		return nil
	}
	if s < 0 || int64(s) > datetime.MicrosPerDay {
		t := datetime.Interval{Micros: int64(s)}.String()
		return sqlerr.New(sqlerr.DatetimeFieldOverflow, "the TIME %s is not a time of day", t).
			WithHint("Declare the column as interval or as varchar.")
	}
	v.AppendInt(int64(s))
	return nil
}

// putMoment appends a DATE or DATETIME to a date or timestamp column.
func putMoment(v *delta.Vec, m binlog.Moment, zero zeroPolicy) error {
	days, ok := daysOf(m.Year, m.Month, m.Day)
	if !ok {
		return putZero(v, m, zero)
	}
	if v.Type.Kind == sqltypes.KDate {
		v.AppendInt(days)
		return nil
	}
	v.AppendInt(((days*24+int64(m.Hour))*60+int64(m.Minute))*datetime.MicrosPerMinute + int64(m.Second)*datetime.MicrosPerSecond + int64(m.Micros))
	return nil
}

// putUnix appends a TIMESTAMP, in microseconds since 1970. 0 is a zero date.
func putUnix(v *delta.Vec, micros int64, zero zeroPolicy) error {
	if micros == 0 {
		return putZero(v, binlog.Moment{}, zero)
	}
	v.AppendInt(micros - unixEpochDays*datetime.MicrosPerDay)
	return nil
}

func putZero(v *delta.Vec, m binlog.Moment, zero zeroPolicy) error {
	switch zero {
	case zeroNull:
		v.AppendNull()
		return nil
	case zeroEpoch:
		if v.Type.Kind == sqltypes.KDate {
			v.AppendInt(-unixEpochDays)
		} else {
			v.AppendInt(-unixEpochDays * datetime.MicrosPerDay)
		}
		return nil
	}
	return sqlerr.New(sqlerr.DatetimeFieldOverflow, "\"%04d-%02d-%02d\" is not a date", m.Year, m.Month, m.Day).
		WithHint("The option \"zero.dates\" can be set to null or epoch.")
}

var monthDays = [...]int{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// daysOf counts the days from 2000-01-01; ok is false for what is not a date.
func daysOf(y, m, d int) (days int64, ok bool) {
	if m < 1 || m > 12 || d < 1 || d > monthDays[m-1] || m == 2 && d == 29 && (y%4 != 0 || y%100 == 0 && y%400 != 0) {
		return 0, false
	}
	// Days of a calendar whose years begin in March.
	if m <= 2 {
		y--
		m += 12
	}
	era := int64(y)
	if y < 0 {
		era = int64(y) - 399
	}
	era /= 400
	yoe := int64(y) - era*400
	doy := int64(153*(m-3)+2)/5 + int64(d) - 1
	return era*146097 + yoe*365 + yoe/4 - yoe/100 + doy - 730425, true
}
