package datetime

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/sqlerr"
)

// truncate cuts a broken-down timestamp to a unit; ok is false for units that cannot be cut to. wholeDay says that
// the time of day became midnight.
func (c *civil) truncate(u unit) (wholeDay, ok bool) {
	switch u {
	case uMicrosecond:
		return false, true
	case uMillisecond:
		c.micros = c.micros / 1000 * 1000
		return false, true
	case uSecond:
		c.micros = 0
		return false, true
	case uMinute:
		c.sec, c.micros = 0, 0
		return false, true
	case uHour:
		c.minute, c.sec, c.micros = 0, 0, 0
		return false, true
	case uDay:
	case uWeek:
		days := c.days()
		c.year, c.month, c.day = CivilFromDays(days - floorMod(days+5, 7))
	case uMonth:
		c.day = 1
	case uQuarter:
		c.month, c.day = (c.month-1)/3*3+1, 1
	case uYear:
		c.month, c.day = 1, 1
	case uDecade:
		c.year, c.month, c.day = decade(c.year)*10, 1, 1
	case uCentury:
		c.year, c.month, c.day = firstYear(c.year, 100), 1, 1
	case uMillennium:
		c.year, c.month, c.day = firstYear(c.year, 1000), 1, 1
	default:
		return false, false
	}
	c.hour, c.minute, c.sec, c.micros = 0, 0, 0, 0
	return true, true
}

// firstYear returns the first year of the century or millennium of a year; 2001 begins one.
func firstYear(year, size int) int {
	if year > 0 {
		return (year+size-1)/size*size - size + 1
	}
	return -((size-1-(year-1))/size)*size + 1
}

// TruncTimestamp is date_trunc(field, timestamp). Errors: 22023, 0A000, 22008.
func TruncTimestamp(field string, ts int64) (int64, error) {
	if !IsFiniteTimestamp(ts) {
		return ts, nil
	}
	u, err := parseTruncUnit(field, nameTimestamp)
	if err != nil {
		return 0, err
	}
	if unitMicros := fixedUnit(u); unitMicros > 0 {
		return floorDiv(ts, unitMicros) * unitMicros, nil
	}
	c := breakDown(ts)
	if _, ok := c.truncate(u); !ok {
		return 0, errUnsupported(field, nameTimestamp)
	}
	ts, fits := c.timestamp()
	if !fits {
		return 0, errRange("timestamp")
	}
	return ts, nil
}

// fixedUnit returns the length of a unit that divides the day evenly, 0 for others.
func fixedUnit(u unit) int64 {
	switch u {
	case uMicrosecond:
		return 1
	case uMillisecond:
		return 1000
	case uSecond:
		return MicrosPerSecond
	case uMinute:
		return MicrosPerMinute
	case uHour:
		return MicrosPerHour
	case uDay:
		return MicrosPerDay
	}
	return 0
}

// TruncTimestamptz is date_trunc(field, timestamptz, zone): by the clocks of loc. Errors as TruncTimestamp.
func TruncTimestamptz(field string, ts int64, loc *time.Location) (int64, error) {
	if !IsFiniteTimestamp(ts) {
		return ts, nil
	}
	u, err := parseTruncUnit(field, nameTimestamptz)
	if err != nil {
		return 0, err
	}
	east, _ := offsetAt(ts, loc)
	c := breakDown(ts + int64(east)*MicrosPerSecond)
	wholeDay, ok := c.truncate(u)
	if !ok {
		return 0, errUnsupported(field, nameTimestamptz)
	}
	local := c.days()*MicrosPerDay + c.timeOfDay()
	if wholeDay { // another day may have another offset
		east = localOffset(local, loc)
	}
	out := local - int64(east)*MicrosPerSecond
	if out < minTimestamp || out >= endTimestamp {
		return 0, errRange("timestamp")
	}
	return out, nil
}

// TruncTimestamptzAt is date_trunc with the name of a zone. Errors as TruncTimestamp, 22023.
func TruncTimestamptzAt(field string, ts int64, zone string) (int64, error) {
	if !IsFiniteTimestamp(ts) {
		return ts, nil
	}
	loc, err := ZoneOf(zone)
	if err != nil {
		return 0, err
	}
	return TruncTimestamptz(field, ts, loc)
}

// TruncInterval is date_trunc(field, interval). Errors: 22023, 0A000.
func TruncInterval(field string, iv Interval) (Interval, error) {
	u, err := parseTruncUnit(field, nameInterval)
	if err != nil {
		return Interval{}, err
	}
	if u == uWeek {
		e := errUnsupported(field, nameInterval).(*sqlerr.Error)
		return Interval{}, e.WithDetail("Months usually have fractional weeks.")
	}
	if n := map[unit]int32{uMonth: 1, uQuarter: 3, uYear: 12, uDecade: 120, uCentury: 1200, uMillennium: 12000}[u]; n > 0 {
		return Interval{Months: iv.Months / n * n}, nil
	}
	if u == uDay {
		return Interval{Months: iv.Months, Days: iv.Days}, nil
	}
	n := fixedUnit(u)
	if n == 0 {
		return Interval{}, errUnsupported(field, nameInterval)
	}
	iv.Micros = iv.Micros / n * n
	return iv, nil
}

// Bin is date_bin(stride, ts, origin): the start of the bin of that length that holds ts, bins being counted from
// origin. It serves timestamp and timestamptz. Errors: 22008, 0A000.
func Bin(stride Interval, ts, origin int64) (int64, error) {
	if !IsFiniteTimestamp(ts) {
		return ts, nil
	}
	if !IsFiniteTimestamp(origin) {
		return 0, errRange("origin")
	}
	if stride.Months != 0 {
		return 0, sqlerr.New(sqlerr.FeatureNotSupported, "timestamps cannot be binned into intervals containing months or years")
	}
	days, fits := mulInt64(int64(stride.Days), MicrosPerDay)
	width, fits2 := addInt64(days, stride.Micros)
	if !fits || !fits2 {
		return 0, errIntervalRange()
	}
	if width <= 0 {
		return 0, sqlerr.New(sqlerr.DatetimeFieldOverflow, "stride must be greater than zero")
	}
	diff := ts - origin
	if (ts^origin)&(ts^diff) < 0 {
		return 0, errIntervalRange()
	}
	out := origin + floorDiv(diff, width)*width
	if out < minTimestamp || out >= endTimestamp {
		return 0, errRange("timestamp")
	}
	return out, nil
}

// MakeDate is make_date; negative years are BC. Error: 22008.
func MakeDate(y, m, d int32) (int64, error) {
	year := int(y)
	if y < 0 {
		year = 1 - int(-y)
	}
	if y == 0 || y == math.MinInt32 || m < 1 || m > 12 || d < 1 || int(d) > daysInMonth(year, int(m)) {
		return 0, sqlerr.New(sqlerr.DatetimeFieldOverflow, "date field value out of range: %d-%02d-%02d", y, m, d)
	}
	days := DaysFromCivil(year, int(m), int(d))
	if days < minDate || days >= endDate {
		return 0, sqlerr.New(sqlerr.DatetimeFieldOverflow, "date out of range: %d-%02d-%02d", y, m, d)
	}
	return days, nil
}

// shortFloat is C's %g.
func shortFloat(f float64) string {
	if math.IsInf(f, 0) {
		return strings.TrimPrefix(strconv.FormatFloat(f, 'g', 6, 64)+"inity", "+")
	}
	s := strconv.FormatFloat(f, 'g', 6, 64)
	if i := strings.IndexByte(s, 'e'); i >= 0 && len(s)-i == 3 {
		s = s[:i+2] + "0" + s[i+2:]
	}
	return s
}

// twoPlaces is C's %02g.
func twoPlaces(f float64) string {
	s := shortFloat(f)
	if len(s) < 2 && f >= 0 {
		s = "0" + s
	}
	return s
}

// MakeTime is make_time. Error: 22008.
func MakeTime(h, m int32, sec float64) (int64, error) {
	micros := int64(math.RoundToEven(sec * 1e6))
	t := int64(h)*MicrosPerHour + int64(m)*MicrosPerMinute + micros
	if h < 0 || h > 24 || m < 0 || m > 59 || !(sec >= 0 && sec <= 60) || micros > MicrosPerMinute || t > MicrosPerDay {
		return 0, sqlerr.New(sqlerr.DatetimeFieldOverflow, "time field value out of range: %d:%02d:%s", h, m, twoPlaces(sec))
	}
	return t, nil
}

// MakeTimestamp is make_timestamp. Error: 22008.
func MakeTimestamp(y, mo, d, h, mi int32, sec float64) (int64, error) {
	days, err := MakeDate(y, mo, d)
	if err != nil {
		return 0, err
	}
	t, err := MakeTime(h, mi, sec)
	if err != nil {
		return 0, err
	}
	if ts := days*MicrosPerDay + t; days <= endTimestamp/MicrosPerDay && ts >= minTimestamp && ts < endTimestamp {
		return ts, nil
	}
	return 0, sqlerr.New(sqlerr.DatetimeFieldOverflow, "timestamp out of range: %d-%02d-%02d %d:%02d:%s", y, mo, d, h, mi, twoPlaces(sec))
}

// MakeTimestamptz is make_timestamptz by the clocks of loc. Error: 22008.
func MakeTimestamptz(y, mo, d, h, mi int32, sec float64, loc *time.Location) (int64, error) {
	ts, err := MakeTimestamp(y, mo, d, h, mi, sec)
	if err != nil {
		return 0, err
	}
	return TimestampToTimestamptz(ts, loc)
}

// MakeTimestamptzAt is make_timestamptz with the name or offset of a zone. Errors: 22008, 22023.
func MakeTimestamptzAt(y, mo, d, h, mi int32, sec float64, zone string) (int64, error) {
	ts, err := MakeTimestamp(y, mo, d, h, mi, sec)
	if err != nil {
		return 0, err
	}
	if zone != "" && isDigit(zone[0]) {
		return 0, sqlerr.New(sqlerr.InvalidParameterValue, "invalid input syntax for type %s: \"%s\"", "numeric time zone", zone).
			WithHint("Numeric time zones must have \"-\" or \"+\" as first character.")
	}
	west, f := zoneOffset(zone)
	switch {
	case f == noFault:
		return shifted(ts, int64(west))
	case f == zoneOverflow:
		return 0, sqlerr.New(sqlerr.InvalidParameterValue, "numeric time zone \"%s\" out of range", zone)
	}
	return TimestampAtZone(ts, zone)
}

// MakeInterval is make_interval. Error: 22008.
func MakeInterval(y, mo, w, d, h, mi int32, sec float64) (Interval, error) {
	if math.IsInf(sec, 0) || math.IsNaN(sec) || math.Abs(sec) > 9e12 {
		return Interval{}, errIntervalRange()
	}
	micros := int64(h)*MicrosPerHour + int64(mi)*MicrosPerMinute + int64(math.RoundToEven(sec*1e6))
	return fromParts(int64(y)*12+int64(mo), int64(w)*7+int64(d), micros, true)
}
