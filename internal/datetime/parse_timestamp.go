package datetime

import (
	"math"
	"time"

	"github.com/millrace/millrace/internal/sqlerr"
)

// ParseDate reads a date; a time and zone in the text are ignored. Errors: 22007, 22008, 22009, 22023.
func ParseDate(s string, st *Settings) (int64, error) {
	if ts, n := fastDate(s); n > 0 && n == len(s) {
		return ts, nil
	}
	p, f, err := decode(s, st)
	if err == nil {
		err = f.errText(s, "date")
	}
	if err != nil {
		return 0, err
	}
	switch p.special {
	case rEpoch:
		return -unixEpochDays, nil
	case rLate:
		return DateInfinity, nil
	case rEarly:
		return DateNegInfinity, nil
	}
	if d := p.days(); d >= minDate && d < endDate {
		return d, nil
	}
	return 0, sqlerr.New(sqlerr.DatetimeFieldOverflow, "date out of range: \"%s\"", s)
}

// ParseTimestamp reads a timestamp; a zone in the text is ignored. Errors: 22007, 22008, 22009, 22023.
func ParseTimestamp(s string, st *Settings) (int64, error) {
	if ts, rest, fast := fastTimestamp(s); fast && rest == "" {
		return ts, nil
	}
	return parseTimestamp(s, st, "timestamp", false)
}

// ParseTimestamptz reads a timestamptz; without a zone in the text it is a time of the session's zone. Errors as
// ParseTimestamp.
func ParseTimestamptz(s string, st *Settings) (int64, error) {
	if ts, rest, fast := fastTimestamp(s); fast {
		switch rest {
		case "":
			if st.location() == time.UTC {
				return ts, nil
			}
			if ts, inRange := fromLocal(ts, st.location()); inRange {
				return ts, nil
			}
		case "Z", "+00", "+00:00":
			return ts, nil
		}
	}
	return parseTimestamp(s, st, "timestamp with time zone", true)
}

func parseTimestamp(s string, st *Settings, typeName string, zoned bool) (int64, error) {
	p, f, err := decode(s, st)
	if err == nil {
		err = f.errText(s, typeName)
	}
	if err != nil {
		return 0, err
	}
	switch p.special {
	case rEpoch:
		return -unixEpochDays * MicrosPerDay, nil
	case rLate:
		return Infinity, nil
	case rEarly:
		return NegInfinity, nil
	}
	days := p.days()
	if days >= minDate-1 && days <= math.MaxInt64/MicrosPerDay-2 {
		ts := days*MicrosPerDay + p.timeOfDay()
		if zoned {
			ts += int64(p.west) * MicrosPerSecond
		}
		if ts >= minTimestamp && ts < endTimestamp {
			return ts, nil
		}
	}
	return 0, sqlerr.New(sqlerr.DatetimeFieldOverflow, "timestamp out of range: \"%s\"", s)
}

// two reads two digits, −1 for anything else.
func two(s string, i int) int {
	a, b := s[i]-'0', s[i+1]-'0'
	if a > 9 || b > 9 {
		return -1
	}
	return int(a)*10 + int(b)
}

// fastDate reads yyyy-mm-dd at the start of s and returns the bytes used, 0 for anything else.
func fastDate(s string) (days int64, n int) {
	if len(s) < 10 || s[4] != '-' || s[7] != '-' {
		return 0, 0
	}
	c, y, m, d := two(s, 0), two(s, 2), two(s, 5), two(s, 8)
	if c < 0 || y < 0 || m < 1 || m > 12 || d < 1 || c+y == 0 || d > daysInMonth(c*100+y, m) {
		return 0, 0
	}
	return DaysFromCivil(c*100+y, m, d), 10
}

// fastTimestamp reads yyyy-mm-dd hh:mm:ss[.f…] (or with a T), the form that machines write; ok is false for
// anything else. rest is what follows, a zone perhaps.
func fastTimestamp(s string) (ts int64, rest string, ok bool) {
	days, n := fastDate(s)
	if n == 0 || len(s) < 19 || s[10] != ' ' && s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		return 0, "", false
	}
	h, m, sec := two(s, 11), two(s, 14), two(s, 17)
	if h < 0 || h > 23 || m < 0 || m > 59 || sec < 0 || sec > 59 {
		return 0, "", false
	}
	ts = days*MicrosPerDay + int64(h)*MicrosPerHour + int64(m)*MicrosPerMinute + int64(sec)*MicrosPerSecond
	rest = s[19:]
	if rest != "" && rest[0] == '.' {
		i, unit := 1, MicrosPerSecond
		for ; i < len(rest) && isDigit(rest[i]); i++ {
			if i > 6 {
				return 0, "", false // more digits than microseconds: needs rounding
			}
			unit /= 10
			ts += int64(rest[i]-'0') * unit
		}
		rest = rest[i:]
	}
	return ts, rest, true
}
