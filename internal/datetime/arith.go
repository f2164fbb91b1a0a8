package datetime

import (
	"math"
	"time"

	"github.com/millrace/millrace/internal/sqlerr"
)

// AddInterval is timestamp + interval: months first (keeping within the month), then days, then time. Error: 22008.
func AddInterval(ts int64, iv Interval) (int64, error) {
	if !IsFiniteTimestamp(ts) {
		return ts, nil
	}
	if iv.Months|iv.Days != 0 {
		local, fits := addCalendar(ts, int(iv.Months), int64(iv.Days))
		if !fits {
			return 0, errRange("timestamp")
		}
		ts = local
	}
	return addMicros(ts, iv.Micros)
}

func addMicros(ts, micros int64) (int64, error) {
	ts, fits := addInt64(ts, micros)
	if !fits || ts < minTimestamp || ts >= endTimestamp {
		return 0, errRange("timestamp")
	}
	return ts, nil
}

// addCalendar adds months and days to a local timestamp; ok is false beyond PostgreSQL's range.
func addCalendar(ts int64, months int, days int64) (out int64, ok bool) {
	day := floorDiv(ts, MicrosPerDay)
	tod := ts - day*MicrosPerDay
	if months != 0 {
		y, m, d := CivilFromDays(day)
		total := int64(y)*12 + int64(m-1+months)
		y, m = int(floorDiv(total, 12)), int(floorMod(total, 12))+1
		day = DaysFromCivil(y, m, min(d, daysInMonth(y, m)))
		if day < minDate || day > endTimestamp/MicrosPerDay {
			return 0, false
		}
	}
	day += days
	if day < minDate || day > endTimestamp/MicrosPerDay {
		return 0, false
	}
	ts = day*MicrosPerDay + tod
	return ts, ts >= minTimestamp && ts < endTimestamp
}

// negated returns −iv. The least values stay as they are; they are out of range for any timestamp either way.
func negated(iv Interval) Interval { return Interval{-iv.Months, -iv.Days, -iv.Micros} }

// SubInterval is timestamp − interval. Error: 22008.
func SubInterval(ts int64, iv Interval) (int64, error) { return AddInterval(ts, negated(iv)) }

// AddIntervalTz is timestamptz + interval: months and days are counted on the clocks of loc. Error: 22008.
func AddIntervalTz(ts int64, iv Interval, loc *time.Location) (int64, error) {
	if !IsFiniteTimestamp(ts) {
		return ts, nil
	}
	for _, step := range [2]Interval{{Months: iv.Months}, {Days: iv.Days}} {
		if step.Months|step.Days == 0 {
			continue
		}
		local, fits := addCalendar(toLocal(ts, loc), int(step.Months), int64(step.Days))
		if fits {
			ts, fits = fromLocal(local, loc)
		}
		if !fits {
			return 0, errRange("timestamp")
		}
	}
	return addMicros(ts, iv.Micros)
}

// SubIntervalTz is timestamptz − interval. Error: 22008.
func SubIntervalTz(ts int64, iv Interval, loc *time.Location) (int64, error) {
	return AddIntervalTz(ts, negated(iv), loc)
}

// SubTimestamps is a − b, in days and time. Error: 22008.
func SubTimestamps(a, b int64) (Interval, error) {
	if !IsFiniteTimestamp(a) || !IsFiniteTimestamp(b) {
		return Interval{}, sqlerr.New(sqlerr.DatetimeFieldOverflow, "cannot subtract infinite timestamps")
	}
	t := a - b
	if (a^b)&(a^t) < 0 {
		return Interval{}, errIntervalRange()
	}
	return Interval{Micros: t}.JustifyHours()
}

// AddDays is date + integer. Error: 22008.
func AddDays(d, n int64) (int64, error) {
	if !IsFiniteDate(d) {
		return d, nil
	}
	d += n
	if d < minDate || d >= endDate {
		return 0, errRange("date")
	}
	return d, nil
}

// SubDates is date − date, in days. Error: 22008.
func SubDates(a, b int64) (int64, error) {
	if !IsFiniteDate(a) || !IsFiniteDate(b) {
		return 0, sqlerr.New(sqlerr.DatetimeFieldOverflow, "cannot subtract infinite dates")
	}
	return a - b, nil
}

// TimeAddInterval is time + interval, around the clock; months and days are ignored.
func TimeAddInterval(t int64, iv Interval) int64 {
	return floorMod(t+iv.Micros%MicrosPerDay, MicrosPerDay)
}

// TimeSubInterval is time − interval.
func TimeSubInterval(t int64, iv Interval) int64 {
	return floorMod(t-iv.Micros%MicrosPerDay, MicrosPerDay)
}

// TimetzAddInterval is timetz + interval.
func TimetzAddInterval(t int64, iv Interval) int64 {
	micros, west := UnpackTimetz(t)
	return PackTimetz(TimeAddInterval(micros, iv), west)
}

// TimetzSubInterval is timetz − interval.
func TimetzSubInterval(t int64, iv Interval) int64 {
	micros, west := UnpackTimetz(t)
	return PackTimetz(TimeSubInterval(micros, iv), west)
}

// SubTimes is time − time.
func SubTimes(a, b int64) Interval { return Interval{Micros: a - b} }

// DateAddTime is date + time, a timestamp. Error: 22008.
func DateAddTime(d, t int64) (int64, error) {
	ts, err := DateToTimestamp(d)
	if err != nil || !IsFiniteTimestamp(ts) {
		return ts, err
	}
	return addMicros(ts, t)
}

// DateAddTimetz is date + timetz, a timestamptz. Error: 22008.
func DateAddTimetz(d, t int64) (int64, error) {
	ts, err := DateToTimestamp(d)
	if err != nil || !IsFiniteTimestamp(ts) {
		return ts, err
	}
	micros, west := UnpackTimetz(t)
	return addMicros(ts, micros+int64(west)*MicrosPerSecond)
}

// Age is age(a, b): the difference in years, months, days and time, as a person would count it. Error: 22008.
func Age(a, b int64) (Interval, error) {
	if !IsFiniteTimestamp(a) || !IsFiniteTimestamp(b) {
		return Interval{}, errRange("timestamp")
	}
	x, y := breakDown(a), breakDown(b)
	if a < b {
		x, y = y, x
	}
	micros := x.timeOfDay() - y.timeOfDay()
	days, months := x.day-y.day, (x.year-y.year)*12+x.month-y.month
	if micros < 0 {
		micros += MicrosPerDay
		days--
	}
	for days < 0 {
		// Borrow the length of the month that the earlier time is in.
		days += daysInMonth(y.year, y.month)
		months--
	}
	out := Interval{int32(months), int32(days), micros}
	if a < b {
		return out.Neg()
	}
	return out, nil
}

// AgeTz is age of two timestamptz by the clocks of loc. Error: 22008.
func AgeTz(a, b int64, loc *time.Location) (Interval, error) {
	if !IsFiniteTimestamp(a) || !IsFiniteTimestamp(b) {
		return Interval{}, errRange("timestamp")
	}
	return Age(toLocal(a, loc), toLocal(b, loc))
}

// A timetz is packed so that integers compare as PostgreSQL compares the values: by the time in UTC, then by the
// offset. The low zoneBits bits are the offset west plus zoneBias, in seconds; above is the time in UTC, in
// microseconds, possibly negative or beyond a day.
const (
	zoneBits = 18
	zoneBias = 1 << (zoneBits - 1)
)

// PackTimetz packs a local time of day and its offset from UTC, in seconds west.
func PackTimetz(micros int64, zoneSecondsWest int32) int64 {
	utc := micros + int64(zoneSecondsWest)*MicrosPerSecond
	return utc<<zoneBits | int64(zoneSecondsWest+zoneBias)
}

// UnpackTimetz is the inverse of PackTimetz.
func UnpackTimetz(t int64) (micros int64, zoneSecondsWest int32) {
	west := int32(t&(1<<zoneBits-1)) - zoneBias
	return t>>zoneBits - int64(west)*MicrosPerSecond, west
}

// RoundTimestamp rounds to precision digits after the seconds, half away from 2000. Error: 22008.
func RoundTimestamp(ts int64, precision int32) (int64, error) {
	if precision < 0 || precision >= 6 || !IsFiniteTimestamp(ts) {
		return ts, nil
	}
	r := roundTo(ts, precision)
	if r < minTimestamp || r >= endTimestamp {
		return 0, errRange("timestamp")
	}
	return r, nil
}

// RoundTime rounds to precision digits after the seconds.
func RoundTime(t int64, precision int32) int64 {
	if precision < 0 || precision >= 6 {
		return t
	}
	return roundTo(t, precision)
}

// RoundTimetz rounds to precision digits after the seconds.
func RoundTimetz(t int64, precision int32) int64 {
	micros, west := UnpackTimetz(t)
	return PackTimetz(RoundTime(micros, precision), west)
}

// OverlapsInts is (s1, e1) OVERLAPS (s2, e2) over instants as integers; nil is NULL, ok false a NULL result.
func OverlapsInts(s1, e1, s2, e2 *int64) (overlap, ok bool) {
	s1, e1, ok1 := period(s1, e1)
	s2, e2, ok2 := period(s2, e2)
	if !ok1 || !ok2 {
		return false, false
	}
	if *s1 > *s2 {
		s1, e1, s2, e2 = s2, e2, s1, e1
	}
	if *s1 == *s2 {
		// Known to share their start, they overlap; with both ends unknown nothing else is needed, but
		// PostgreSQL answers NULL as soon as one end is unknown.
		return true, e1 != nil && e2 != nil
	}
	// s1 is before s2.
	if e1 == nil {
		return false, false
	}
	if *s2 < *e1 {
		return true, true
	}
	if e2 == nil {
		return false, false
	}
	return false, true
}

// period puts the ends of a period in order; a single known end counts as the start.
func period(s, e *int64) (start, end *int64, ok bool) {
	switch {
	case s == nil && e == nil:
		return nil, nil, false
	case s == nil:
		return e, nil, true
	case e != nil && *s > *e:
		return e, s, true
	}
	return s, e, true
}

// FromEpoch is to_timestamp(double precision): seconds since 1970 UTC. Error: 22008.
func FromEpoch(f float64) (int64, error) {
	switch {
	case math.IsNaN(f):
		return 0, sqlerr.New(sqlerr.DatetimeFieldOverflow, "timestamp cannot be NaN")
	case math.IsInf(f, 1):
		return Infinity, nil
	case math.IsInf(f, -1):
		return NegInfinity, nil
	}
	out := func() (int64, error) {
		return 0, sqlerr.New(sqlerr.DatetimeFieldOverflow, "timestamp out of range: \"%s\"", shortFloat(f))
	}
	if f < float64(minDate+unixEpochDays)*secondsPerDay || f >= float64(endTimestamp/MicrosPerDay+unixEpochDays)*secondsPerDay {
		return out()
	}
	ts := int64(math.RoundToEven((f - unixEpochDays*secondsPerDay) * 1e6))
	if ts < minTimestamp || ts >= endTimestamp {
		return out()
	}
	return ts, nil
}
