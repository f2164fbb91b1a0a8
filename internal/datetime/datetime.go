// Package datetime is PostgreSQL's date and time arithmetic, parsing and printing.
//
// The idea: values are plain integers as PostgreSQL stores them, so that columns of them are []int64 and most
// comparisons are integer comparisons:
//
//	date         days since 2000-01-01
//	time         microseconds since midnight; 24:00:00 is allowed
//	timetz       see PackTimetz
//	timestamp    microseconds since 2000-01-01 00:00
//	timestamptz  microseconds since 2000-01-01 00:00 UTC
//	interval     Interval: months, days and microseconds
//
// ±infinity are the extreme values: of int64 for timestamps, of int32 for dates (DateInfinity). The calendar is
// proleptic Gregorian; internally there is a year 0, which is printed as 0001 BC.
//
// Everything is pure and safe for any goroutine: what input and output depend on (DateStyle, IntervalStyle, the
// time zone, what "now" is) is passed in Settings. Time zones come from the database embedded in the binary.
//
// Texts, results and SQLSTATEs are those of PostgreSQL 15. Interval keys and images and the packing of timetz are
// persisted: they may change only with the storage format.
//
// The package does not resolve types. Start at ParseTimestamp, AppendTimestamp and AddInterval.
package datetime

import (
	"strings"
	"time"

	"github.com/millrace/millrace/internal/sqlerr"
)

// The values that stand for ±infinity.
const (
	Infinity        int64 = 1<<63 - 1
	NegInfinity     int64 = -1 << 63
	DateInfinity    int64 = 1<<31 - 1
	DateNegInfinity int64 = -1 << 31
)

// Units of time.
const (
	MicrosPerSecond int64 = 1000000
	MicrosPerMinute       = 60 * MicrosPerSecond
	MicrosPerHour         = 60 * MicrosPerMinute
	MicrosPerDay          = 24 * MicrosPerHour
	secondsPerDay         = 86400
)

// PostgreSQL's range: 4713-11-24 BC to 294276 for timestamps, to 5874897 for dates; the upper bounds are exclusive.
const (
	minTimestamp int64 = -211813488000000000
	endTimestamp int64 = 9223371331200000000
	minDate      int64 = -epochJulian
	endDate      int64 = 2147483494 - epochJulian
	// epochJulian is the Julian day number of 2000-01-01.
	epochJulian = 2451545
	// unixEpochDays is 2000-01-01 as days since 1970-01-01.
	unixEpochDays = 10957
	// MaxZoneSeconds bounds offsets from UTC, exclusively.
	MaxZoneSeconds = 16 * 3600
)

// DateFormat is how dates are printed: the first half of DateStyle.
type DateFormat uint8

// The date formats; the zero value is PostgreSQL's default.
const (
	ISO DateFormat = iota
	Postgres
	SQL
	German
)

// DateOrder is how ambiguous numbers in dates are read: the second half of DateStyle.
type DateOrder uint8

// The date orders; the zero value is PostgreSQL's default.
const (
	MDY DateOrder = iota
	DMY
	YMD
)

// DateStyle is the setting of that name.
type DateStyle struct {
	Format DateFormat
	Order  DateOrder
}

// IntervalStyle is the setting of that name: how intervals are printed, and for SQL standard how signs are read.
type IntervalStyle uint8

// The interval styles; the zero value is PostgreSQL's default.
const (
	StylePostgres IntervalStyle = iota
	StylePostgresVerbose
	StyleSQLStandard
	StyleISO8601
)

// Settings is what reading and printing depend on. The zero value is ISO, MDY, postgres intervals and UTC.
type Settings struct {
	DateStyle     DateStyle
	IntervalStyle IntervalStyle
	// Location is the session's time zone; nil is UTC.
	Location *time.Location
	// Now is what 'now' and 'today' mean: microseconds since 2000-01-01 UTC. nil: the wall clock.
	Now func() int64
}

func (st *Settings) location() *time.Location {
	if st.Location == nil {
		return time.UTC
	}
	return st.Location
}

func (st *Settings) now() int64 {
	if st.Now != nil {
		return st.Now()
	}
	return FromTime(time.Now())
}

// FromTime converts a point in time to microseconds since 2000-01-01 UTC, rounded down.
func FromTime(t time.Time) int64 { return t.UnixMicro() - unixEpochDays*MicrosPerDay }

// ToTime converts a finite timestamptz to a point in time, in UTC.
func ToTime(ts int64) time.Time { return time.UnixMicro(ts + unixEpochDays*MicrosPerDay).UTC() }

var dateFormats = map[string]DateFormat{"iso": ISO, "sql": SQL, "german": German}

var dateOrders = map[string]DateOrder{"ymd": YMD, "dmy": DMY, "euro": DMY, "european": DMY, "mdy": MDY, "us": MDY,
	"noneuro": MDY, "noneuropean": MDY}

// ParseDateStyle reads a value of the setting DateStyle; what it does not mention stays as in cur. Error: 22023.
func ParseDateStyle(s string, cur DateStyle) (DateStyle, error) {
	bad := func(format string, args ...any) (DateStyle, error) {
		return cur, sqlerr.New(sqlerr.InvalidParameterValue, "invalid value for parameter \"DateStyle\": \"%s\"", s).
			WithDetail(format, args...)
	}
	out, haveFormat, haveOrder := cur, false, false
	setFormat := func(f DateFormat) bool {
		ok := !haveFormat || out.Format == f
		out.Format, haveFormat = f, true
		return ok
	}
	setOrder := func(o DateOrder) bool {
		ok := !haveOrder || out.Order == o
		out.Order, haveOrder = o, true
		return ok
	}
	for _, word := range strings.Split(s, ",") {
		word = strings.ToLower(strings.Trim(strings.TrimSpace(word), `"'`))
		ok := true
		format, isFormat := dateFormats[word]
		order, isOrder := dateOrders[word]
		switch {
		case isFormat:
			ok = setFormat(format)
			if format == German && !haveOrder {
				out.Order = DMY
			}
		case strings.HasPrefix(word, "postgres"):
			ok = setFormat(Postgres)
		case isOrder:
			ok = setOrder(order)
		case word == "default":
			if !haveFormat {
				out.Format, haveFormat = ISO, true
			}
			if !haveOrder {
				out.Order, haveOrder = MDY, true
			}
		default:
			return bad("Unrecognized key word: \"%s\".", word)
		}
		if !ok {
			return bad("Conflicting \"datestyle\" specifications.")
		}
	}
	return out, nil
}

// String returns the style as SHOW prints it.
func (d DateStyle) String() string {
	return [...]string{"ISO", "Postgres", "SQL", "German"}[d.Format] + ", " + [...]string{"MDY", "DMY", "YMD"}[d.Order]
}

var intervalStyles = [...]string{"postgres", "postgres_verbose", "sql_standard", "iso_8601"}

// ParseIntervalStyle reads a value of the setting IntervalStyle. Error: 22023.
func ParseIntervalStyle(s string) (IntervalStyle, error) {
	for i, name := range intervalStyles {
		if strings.EqualFold(s, name) {
			return IntervalStyle(i), nil
		}
	}
	return 0, sqlerr.New(sqlerr.InvalidParameterValue, "invalid value for parameter \"intervalstyle\": \"%s\"", s).
		WithHint("Available values: postgres, postgres_verbose, sql_standard, iso_8601.")
}

// String returns the style as SHOW prints it.
func (s IntervalStyle) String() string { return intervalStyles[s] }

// ValidDate reports whether d is infinite or within PostgreSQL's range.
func ValidDate(d int64) bool {
	return d >= minDate && d < endDate || d == DateInfinity || d == DateNegInfinity
}

// ValidTimestamp reports whether ts is infinite or within PostgreSQL's range.
func ValidTimestamp(ts int64) bool {
	return ts >= minTimestamp && ts < endTimestamp || !IsFiniteTimestamp(ts)
}

// IsFiniteDate reports whether d is neither infinity nor -infinity.
func IsFiniteDate(d int64) bool { return d != DateInfinity && d != DateNegInfinity }

// IsFiniteTimestamp reports whether ts is neither infinity nor -infinity.
func IsFiniteTimestamp(ts int64) bool { return ts != Infinity && ts != NegInfinity }

func errRange(what string) error {
	return sqlerr.New(sqlerr.DatetimeFieldOverflow, "%s out of range", what)
}

// floorDiv divides rounding down; floorMod is what remains, never negative for a positive divisor.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func floorMod(a, b int64) int64 { return a - floorDiv(a, b)*b }

// DaysFromCivil returns days since 2000-01-01 for a calendar date; year 0 is 1 BC. The month must be 1–12, the day
// may run over.
func DaysFromCivil(y, m, d int) int64 {
	// Count from March so that the leap day comes last; 400 years have 146097 days.
	if m <= 2 {
		y--
	}
	era := floorDiv(int64(y), 400)
	yoe := int64(y) - era*400
	mp := int64((m + 9) % 12)
	doy := (153*mp+2)/5 + int64(d) - 1
	doe := yoe*365 + yoe/4 - yoe/100 + doy
	return era*146097 + doe - 719468 - unixEpochDays
}

// CivilFromDays is the inverse of DaysFromCivil.
func CivilFromDays(days int64) (y, m, d int) {
	z := days + unixEpochDays + 719468
	era := floorDiv(z, 146097)
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	d = int(doy - (153*mp+2)/5 + 1)
	m = int(mp + 3)
	if m > 12 {
		m -= 12
	}
	y = int(yoe + era*400)
	if m <= 2 {
		y++
	}
	return y, m, d
}

func isLeap(y int) bool { return y%4 == 0 && (y%100 != 0 || y%400 == 0) }

var monthDays = [...]int{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// daysInMonth returns the length of a month, 1–12.
func daysInMonth(y, m int) int {
	if m == 2 && isLeap(y) {
		return 29
	}
	return monthDays[m-1]
}

// civil is a broken-down timestamp.
type civil struct {
	year, month, day  int
	hour, minute, sec int
	micros            int
}

// breakDown splits a finite local timestamp.
func breakDown(ts int64) civil {
	days := floorDiv(ts, MicrosPerDay)
	var c civil
	c.year, c.month, c.day = CivilFromDays(days)
	c.setTime(ts - days*MicrosPerDay)
	return c
}

func (c *civil) setTime(t int64) {
	c.hour, t = int(t/MicrosPerHour), t%MicrosPerHour
	c.minute, t = int(t/MicrosPerMinute), t%MicrosPerMinute
	c.sec, c.micros = int(t/MicrosPerSecond), int(t%MicrosPerSecond)
}

// timeOfDay returns the time fields as microseconds.
func (c *civil) timeOfDay() int64 {
	return int64(c.hour)*MicrosPerHour + int64(c.minute)*MicrosPerMinute + int64(c.sec)*MicrosPerSecond + int64(c.micros)
}

// days returns the date as days since 2000-01-01.
func (c *civil) days() int64 { return DaysFromCivil(c.year, c.month, c.day) }

// timestamp puts the fields together; ok is false beyond PostgreSQL's range.
func (c *civil) timestamp() (ts int64, ok bool) {
	days := c.days()
	if days < minDate || days > endTimestamp/MicrosPerDay {
		return 0, false
	}
	ts = days*MicrosPerDay + c.timeOfDay()
	return ts, ts >= minTimestamp && ts < endTimestamp
}

// weekday returns 0 for Sunday to 6.
func weekday(days int64) int { return int(floorMod(days+6, 7)) }

// yearDay returns 1 for January 1st.
func yearDay(y, m, d int) int { return int(DaysFromCivil(y, m, d)-DaysFromCivil(y, 1, 1)) + 1 }

// isoWeekStart returns the Monday of week 1 of an ISO year.
func isoWeekStart(year int) int64 {
	fourth := DaysFromCivil(year, 1, 4)
	return fourth - floorMod(fourth+5, 7)
}

// isoWeek returns the ISO 8601 year and week of a day.
func isoWeek(days int64) (year, week int) {
	year, _, _ = CivilFromDays(days)
	start := isoWeekStart(year)
	if days < start {
		year--
		start = isoWeekStart(year)
	} else if next := isoWeekStart(year + 1); days >= next {
		year++
		start = next
	}
	return year, int((days-start)/7) + 1
}
