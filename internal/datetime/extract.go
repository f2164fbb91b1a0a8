package datetime

import (
	"strings"
	"time"

	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
)

// The type names in errors about units.
const (
	nameDate        = "date"
	nameTime        = "time without time zone"
	nameTimetz      = "time with time zone"
	nameTimestamp   = "timestamp without time zone"
	nameTimestamptz = "timestamp with time zone"
	nameInterval    = "interval"
)

// lowerASCII folds a name as PostgreSQL does: letters beyond ASCII stay.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

// parseUnit finds the unit that a text such as 'hour' or 'Years' names.
func parseUnit(field, typeName string) (unit, error) {
	field = lowerASCII(field)
	w := lookupUnit(field)
	switch {
	case w.kind == wUnit:
		return unit(w.value), nil
	case w.kind == wReserved && w.value == rEpoch:
		return uEpoch, nil
	}
	return uNone, errUnknownUnit(field, typeName)
}

// parseTruncUnit is parseUnit for date_trunc, which knows fewer of them.
func parseTruncUnit(field, typeName string) (unit, error) {
	field = lowerASCII(field)
	w := unitWords[clip(field)]
	if w.kind != wUnit {
		return uNone, errUnknownUnit(field, typeName)
	}
	return unit(w.value), nil
}

func errUnknownUnit(field, typeName string) error {
	return sqlerr.New(sqlerr.InvalidParameterValue, "unit \"%s\" not recognized for type %s", field, typeName)
}

func errUnsupported(field, typeName string) error {
	return sqlerr.New(sqlerr.FeatureNotSupported, "unit \"%s\" not supported for type %s", lowerASCII(field), typeName)
}

func integer(v int) numeric.Dec { return numeric.FromInt64(int64(v)) }

// timePart returns a field of the time of day.
func timePart(u unit, c *civil) (numeric.Dec, bool) {
	seconds := int64(c.sec)*MicrosPerSecond + int64(c.micros)
	switch u {
	case uMicrosecond:
		return numeric.FromInt64(seconds), true
	case uMillisecond:
		return numeric.FromScaled(seconds, 3), true
	case uSecond:
		return numeric.FromScaled(seconds, 6), true
	case uMinute:
		return integer(c.minute), true
	case uHour:
		return integer(c.hour), true
	}
	return numeric.Dec{}, false
}

// yearGroup numbers decades, centuries and millennia; there is no century 0.
func century(year, size int) int {
	if year > 0 {
		return (year + size - 1) / size
	}
	return -((size - 1 - (year - 1)) / size)
}

func decade(year int) int { return int(floorDiv(int64(year), 10)) }

func withoutZero(year int) int {
	if year <= 0 {
		return year - 1
	}
	return year
}

// datePart returns a field of the date.
func datePart(u unit, c *civil) (numeric.Dec, bool) {
	days := c.days()
	switch u {
	case uDay:
		return integer(c.day), true
	case uMonth:
		return integer(c.month), true
	case uQuarter:
		return integer((c.month-1)/3 + 1), true
	case uWeek:
		_, w := isoWeek(days)
		return integer(w), true
	case uYear:
		return integer(withoutZero(c.year)), true
	case uDecade:
		return integer(decade(c.year)), true
	case uCentury:
		return integer(century(c.year, 100)), true
	case uMillennium:
		return integer(century(c.year, 1000)), true
	case uIsoYear:
		y, _ := isoWeek(days)
		return integer(withoutZero(y)), true
	case uDow:
		return integer(weekday(days)), true
	case uIsoDow:
		return integer((weekday(days)+6)%7 + 1), true
	case uDoy:
		return integer(yearDay(c.year, c.month, c.day)), true
	}
	return numeric.Dec{}, false
}

// infinitePart is the field of ±infinity: infinite for what grows without bound, NULL for what comes around. known
// is false for units that the type does not have.
func infinitePart(u unit, sign int) (d numeric.Dec, ok, known bool) {
	switch u {
	case uMicrosecond, uMillisecond, uSecond, uMinute, uHour, uDay, uMonth, uQuarter, uWeek, uDow, uIsoDow, uDoy,
		uZone, uZoneHour, uZoneMinute:
		return d, false, true
	case uYear, uDecade, uCentury, uMillennium, uJulian, uIsoYear, uEpoch:
		return numeric.Inf(sign), true, true
	}
	return d, false, false
}

// julianDay returns the Julian date of a local timestamp, with the time as a fraction.
func julianDay(ts int64) (numeric.Dec, error) {
	day := floorDiv(ts, MicrosPerDay)
	part, err := numeric.FromInt64(ts - day*MicrosPerDay).Div(numeric.FromInt64(MicrosPerDay))
	if err != nil {
		return numeric.Dec{}, err
	}
	return numeric.FromInt64(day + epochJulian).Add(part)
}

func sign(v int64) int {
	if v < 0 {
		return -1
	}
	return 1
}

// ExtractDate is extract(field from date); ok false is NULL. Errors: 22023, 0A000.
func ExtractDate(field string, d int64) (v numeric.Dec, ok bool, err error) {
	u, err := parseUnit(field, nameDate)
	if err != nil {
		return v, false, err
	}
	if u == uMicrosecond || u == uMillisecond || u == uSecond || u == uMinute || u == uHour || u >= uZone {
		return v, false, errUnsupported(field, nameDate)
	}
	if !IsFiniteDate(d) {
		v, ok, _ = infinitePart(u, sign(d))
		return v, ok, nil
	}
	switch u {
	case uJulian:
		return numeric.FromInt64(d + epochJulian), true, nil
	case uEpoch:
		return numeric.FromInt64((d + unixEpochDays) * secondsPerDay), true, nil
	}
	var c civil
	c.year, c.month, c.day = CivilFromDays(d)
	v, ok = datePart(u, &c)
	return v, ok, nil
}

// ExtractTime is extract(field from time). Errors: 22023, 0A000.
func ExtractTime(field string, t int64) (v numeric.Dec, ok bool, err error) {
	u, err := parseUnit(field, nameTime)
	if err != nil {
		return v, false, err
	}
	if u == uEpoch {
		return numeric.FromScaled(t, 6), true, nil
	}
	var c civil
	c.setTime(t)
	if v, ok = timePart(u, &c); !ok {
		return v, false, errUnsupported(field, nameTime)
	}
	return v, true, nil
}

// zonePart returns a field of an offset, in seconds east.
func zonePart(u unit, east int) (numeric.Dec, bool) {
	switch u {
	case uZone:
		return integer(east), true
	case uZoneHour:
		return integer(east / 3600), true
	case uZoneMinute:
		return integer(east % 3600 / 60), true
	}
	return numeric.Dec{}, false
}

// ExtractTimetz is extract(field from timetz). Errors: 22023, 0A000.
func ExtractTimetz(field string, t int64) (v numeric.Dec, ok bool, err error) {
	u, err := parseUnit(field, nameTimetz)
	if err != nil {
		return v, false, err
	}
	micros, west := UnpackTimetz(t)
	if u == uEpoch {
		return numeric.FromScaled(micros+int64(west)*MicrosPerSecond, 6), true, nil
	}
	if v, ok = zonePart(u, -int(west)); ok {
		return v, true, nil
	}
	var c civil
	c.setTime(micros)
	if v, ok = timePart(u, &c); !ok {
		return v, false, errUnsupported(field, nameTimetz)
	}
	return v, true, nil
}

// ExtractTimestamp is extract(field from timestamp); ok false is NULL. Errors: 22023, 0A000.
func ExtractTimestamp(field string, ts int64) (v numeric.Dec, ok bool, err error) {
	u, err := parseUnit(field, nameTimestamp)
	if err != nil {
		return v, false, err
	}
	if IsFiniteTimestamp(ts) && (u == uZone || u == uZoneHour || u == uZoneMinute) {
		return v, false, errUnsupported(field, nameTimestamp)
	}
	return extract(u, field, nameTimestamp, ts, ts)
}

// ExtractTimestamptz is extract(field from timestamptz) by the clocks of loc. Errors: 22023, 0A000.
func ExtractTimestamptz(field string, ts int64, loc *time.Location) (v numeric.Dec, ok bool, err error) {
	u, err := parseUnit(field, nameTimestamptz)
	if err != nil {
		return v, false, err
	}
	if !IsFiniteTimestamp(ts) {
		return extract(u, field, nameTimestamptz, ts, ts)
	}
	east, _ := offsetAt(ts, loc)
	if v, ok = zonePart(u, east); ok {
		return v, true, nil
	}
	return extract(u, field, nameTimestamptz, ts+int64(east)*MicrosPerSecond, ts)
}

// extract takes a field of a local timestamp; utc is the instant that the epoch counts from.
func extract(u unit, field, typeName string, local, utc int64) (v numeric.Dec, ok bool, err error) {
	if !IsFiniteTimestamp(local) {
		v, ok, known := infinitePart(u, sign(local))
		if !known {
			return v, false, errUnsupported(field, typeName)
		}
		return v, ok, nil
	}
	switch u {
	case uEpoch:
		sum, err := numeric.FromScaled(utc, 6).Add(numeric.FromInt64(unixEpochDays * secondsPerDay))
		return sum, true, err
	case uJulian:
		v, err := julianDay(local)
		return v, true, err
	}
	c := breakDown(local)
	if v, ok = timePart(u, &c); ok {
		return v, true, nil
	}
	if v, ok = datePart(u, &c); ok {
		return v, true, nil
	}
	return v, false, errUnsupported(field, typeName)
}

// ExtractInterval is extract(field from interval). Errors: 22023, 0A000.
func ExtractInterval(field string, iv Interval) (v numeric.Dec, ok bool, err error) {
	u, err := parseUnit(field, nameInterval)
	if err != nil {
		return v, false, err
	}
	f := iv.fields()
	c := civil{minute: int(f.min), sec: int(f.sec), micros: int(f.micros)}
	switch u {
	case uHour:
		return numeric.FromInt64(f.hour), true, nil
	case uDay:
		return numeric.FromInt64(f.day), true, nil
	case uMonth:
		return numeric.FromInt64(f.mon), true, nil
	case uQuarter:
		return numeric.FromInt64(f.mon/3 + 1), true, nil
	case uYear:
		return numeric.FromInt64(f.year), true, nil
	case uDecade:
		return numeric.FromInt64(f.year / 10), true, nil
	case uCentury:
		return numeric.FromInt64(f.year / 100), true, nil
	case uMillennium:
		return numeric.FromInt64(f.year / 1000), true, nil
	case uEpoch:
		v, err := iv.epoch()
		return v, true, err
	}
	if v, ok = timePart(u, &c); !ok {
		return v, false, errUnsupported(field, nameInterval)
	}
	return v, true, nil
}

// epoch returns the seconds of an interval: years have 365.25 days, other months 30.
func (a Interval) epoch() (numeric.Dec, error) {
	quarterDays := int64(a.Months/12)*1461 + int64(a.Months%12)*120 + int64(a.Days)*4
	return numeric.FromInt64(quarterDays * (secondsPerDay / 4)).Add(numeric.FromScaled(a.Micros, 6))
}

// asFloat turns a result of extract into one of date_part.
func asFloat(v numeric.Dec, ok bool, err error) (float64, bool, error) {
	f, _ := v.ToFloat64()
	return f, ok, err
}

// DatePartDate is date_part(field, date): as for the timestamp at midnight. Errors: 22023, 0A000.
func DatePartDate(field string, d int64) (f float64, ok bool, err error) {
	ts, err := DateToTimestamp(d)
	if err != nil {
		return 0, false, err
	}
	return DatePartTimestamp(field, ts)
}

// DatePartTime is date_part(field, time).
func DatePartTime(field string, t int64) (f float64, ok bool, err error) {
	return asFloat(ExtractTime(field, t))
}

// DatePartTimetz is date_part(field, timetz).
func DatePartTimetz(field string, t int64) (f float64, ok bool, err error) {
	return asFloat(ExtractTimetz(field, t))
}

// DatePartTimestamp is date_part(field, timestamp).
func DatePartTimestamp(field string, ts int64) (f float64, ok bool, err error) {
	return asFloat(ExtractTimestamp(field, ts))
}

// DatePartTimestamptz is date_part(field, timestamptz) by the clocks of loc.
func DatePartTimestamptz(field string, ts int64, loc *time.Location) (f float64, ok bool, err error) {
	return asFloat(ExtractTimestamptz(field, ts, loc))
}

// DatePartInterval is date_part(field, interval).
func DatePartInterval(field string, iv Interval) (f float64, ok bool, err error) {
	return asFloat(ExtractInterval(field, iv))
}
