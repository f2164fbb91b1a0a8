package datetime

import (
	"cmp"
	"time"

	"github.com/millrace/millrace/internal/sqlerr"
)

// DateToTimestamp returns midnight of a date. Error: 22008.
func DateToTimestamp(d int64) (int64, error) {
	switch {
	case d == DateInfinity:
		return Infinity, nil
	case d == DateNegInfinity:
		return NegInfinity, nil
	case d >= endTimestamp/MicrosPerDay:
		return 0, sqlerr.New(sqlerr.DatetimeFieldOverflow, "date out of range for timestamp")
	}
	return d * MicrosPerDay, nil
}

// DateToTimestamptz returns midnight of a date by the clocks of loc. Error: 22008.
func DateToTimestamptz(d int64, loc *time.Location) (int64, error) {
	ts, err := DateToTimestamp(d)
	if err != nil || !IsFiniteTimestamp(ts) {
		return ts, err
	}
	ts, fits := fromLocal(ts, loc)
	if !fits {
		return 0, sqlerr.New(sqlerr.DatetimeFieldOverflow, "date out of range for timestamp")
	}
	return ts, nil
}

// TimestampToDate returns the date of a timestamp.
func TimestampToDate(ts int64) int64 {
	switch ts {
	case Infinity:
		return DateInfinity
	case NegInfinity:
		return DateNegInfinity
	}
	return floorDiv(ts, MicrosPerDay)
}

// TimestamptzToDate returns the date that the clocks of loc show.
func TimestamptzToDate(ts int64, loc *time.Location) int64 {
	if IsFiniteTimestamp(ts) {
		ts = toLocal(ts, loc)
	}
	return TimestampToDate(ts)
}

// TimestampToTimestamptz reads a timestamp as the clocks of loc. Error: 22008.
func TimestampToTimestamptz(ts int64, loc *time.Location) (int64, error) {
	if !IsFiniteTimestamp(ts) {
		return ts, nil
	}
	ts, fits := fromLocal(ts, loc)
	if !fits {
		return 0, errRange("timestamp")
	}
	return ts, nil
}

// TimestamptzToTimestamp returns what the clocks of loc show. Error: 22008.
func TimestamptzToTimestamp(ts int64, loc *time.Location) (int64, error) {
	if !IsFiniteTimestamp(ts) {
		return ts, nil
	}
	ts = toLocal(ts, loc)
	if ts < minTimestamp || ts >= endTimestamp {
		return 0, errRange("timestamp")
	}
	return ts, nil
}

// TimestampToTime returns the time of day; ok is false (NULL) for ±infinity.
func TimestampToTime(ts int64) (t int64, ok bool) {
	return floorMod(ts, MicrosPerDay), IsFiniteTimestamp(ts)
}

// TimestamptzToTime returns the time of day by the clocks of loc; ok is false (NULL) for ±infinity.
func TimestamptzToTime(ts int64, loc *time.Location) (t int64, ok bool) {
	if !IsFiniteTimestamp(ts) {
		return 0, false
	}
	return floorMod(toLocal(ts, loc), MicrosPerDay), true
}

// TimestamptzToTimetz returns the time of day and offset in loc; ok is false (NULL) for ±infinity.
func TimestamptzToTimetz(ts int64, loc *time.Location) (t int64, ok bool) {
	if !IsFiniteTimestamp(ts) {
		return 0, false
	}
	east, _ := offsetAt(ts, loc)
	return PackTimetz(floorMod(ts+int64(east)*MicrosPerSecond, MicrosPerDay), int32(-east)), true
}

// TimeToTimetz gives a time the offset that loc has at that time today.
func TimeToTimetz(t int64, loc *time.Location, now int64) int64 {
	today := floorDiv(toLocal(now, loc), MicrosPerDay)
	return PackTimetz(t, int32(-localOffset(today*MicrosPerDay+t, loc)))
}

// TimetzToTime drops the offset.
func TimetzToTime(t int64) int64 {
	micros, _ := UnpackTimetz(t)
	return micros
}

// TimeToInterval returns the time since midnight.
func TimeToInterval(t int64) Interval { return Interval{Micros: t} }

// IntervalToTime returns the time part, around the clock.
func IntervalToTime(iv Interval) int64 { return floorMod(iv.Micros, MicrosPerDay) }

// dateInstant places a date among timestamps, saturating beyond their range.
func dateInstant(d int64) (ts int64, beyond bool) {
	ts, err := DateToTimestamp(d)
	return ts, err != nil
}

// CompareDateTimestamp compares the midnight of a date with a timestamp.
func CompareDateTimestamp(d, ts int64) int {
	at, beyond := dateInstant(d)
	if beyond {
		if ts == Infinity {
			return -1
		}
		return 1
	}
	return cmp.Compare(at, ts)
}

// CompareDateTimestamptz compares the midnight of a date by the clocks of loc with a timestamptz.
func CompareDateTimestamptz(d, ts int64, loc *time.Location) int {
	at, beyond := dateInstant(d)
	if beyond {
		return CompareDateTimestamp(d, ts)
	}
	return CompareTimestampTimestamptz(at, ts, loc)
}

// CompareTimestampTimestamptz compares a timestamp, read by the clocks of loc, with a timestamptz.
func CompareTimestampTimestamptz(ts, tz int64, loc *time.Location) int {
	if IsFiniteTimestamp(ts) {
		ts -= int64(localOffset(ts, loc)) * MicrosPerSecond
	}
	return cmp.Compare(ts, tz)
}
