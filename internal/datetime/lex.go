package datetime

import (
	"math"
	"strconv"
	"strings"

	"github.com/millrace/millrace/internal/sqlerr"
)

// fieldKind is what a piece of date or time text looks like.
type fieldKind uint8

const (
	fNumber  fieldKind = iota // digits, perhaps with a point
	fDate                     // numbers or names joined by - / .
	fTime                     // digits with colons
	fZone                     // sign and digits
	fString                   // letters
	fSpecial                  // sign and letters
)

type textField struct {
	kind fieldKind
	text string // letters in lower case
}

// maxFields bounds the pieces of one text.
const maxFields = 25

// fault is why a text was not read; the caller words it, because only it knows the type.
type fault uint8

const (
	noFault fault = iota
	badFormat
	fieldOverflow
	monthDayOverflow // perhaps the order of the fields was meant differently
	zoneOverflow
	badZone
)

// errText turns a fault into the error that PostgreSQL raises for the text of the named type.
func (f fault) errText(text, typeName string) error {
	const overflow = "date/time field value out of range: \"%s\""
	switch f {
	case noFault:
		return nil
	case fieldOverflow:
		if typeName == "interval" {
			return sqlerr.New(sqlerr.IntervalFieldOverflow, "interval field value out of range: \"%s\"", text)
		}
		return sqlerr.New(sqlerr.DatetimeFieldOverflow, overflow, text)
	case monthDayOverflow:
		return sqlerr.New(sqlerr.DatetimeFieldOverflow, overflow, text).
			WithHint("Perhaps you need a different \"datestyle\" setting.")
	case zoneOverflow:
		return sqlerr.New(sqlerr.InvalidTimeZoneDisplacement, "time zone displacement out of range: \"%s\"", text)
	}
	return sqlerr.New(sqlerr.InvalidDatetimeFormat, "invalid input syntax for type %s: \"%s\"", typeName, text)
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
func isDigit(c byte) bool { return c-'0' < 10 }
func isAlpha(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isAlnum(c byte) bool { return isDigit(c) || isAlpha(c) }
func isPunct(c byte) bool { return c > ' ' && c < 0x7f && !isAlnum(c) }

// scanner cuts text into fields.
type scanner struct {
	s   string
	pos int
}

func (sc *scanner) at() byte {
	if sc.pos < len(sc.s) {
		return sc.s[sc.pos]
	}
	return 0
}

// skip moves over bytes that match.
func (sc *scanner) skip(match func(byte) bool) {
	for sc.pos < len(sc.s) && match(sc.s[sc.pos]) {
		sc.pos++
	}
}

func (sc *scanner) skipDigits() { sc.skip(isDigit) }

// splitFields cuts text into fields without looking at what they mean.
func splitFields(s string) ([]textField, fault) {
	sc := &scanner{s: s}
	var fields []textField
	for sc.pos < len(s) {
		c := s[sc.pos]
		if isSpace(c) {
			sc.pos++
			continue
		}
		start := sc.pos
		var kind fieldKind
		switch {
		case isDigit(c):
			kind = sc.number()
		case c == '.':
			sc.pos++
			sc.skipDigits()
			kind = fNumber
		case isAlpha(c):
			kind = sc.word()
		case c == '+' || c == '-':
			sc.pos++
			sc.skip(isSpace)
			text := string(c)
			from := sc.pos
			switch {
			case isDigit(sc.at()):
				sc.skip(func(c byte) bool { return isDigit(c) || c == ':' || c == '.' || c == '-' })
				kind = fZone
			case isAlpha(sc.at()):
				sc.skip(isAlpha)
				kind = fSpecial
			default:
				return nil, badFormat
			}
			if len(fields) == maxFields {
				return nil, badFormat
			}
			fields = append(fields, textField{kind, text + strings.ToLower(s[from:sc.pos])})
			continue
		case isPunct(c):
			sc.pos++
			continue
		default:
			return nil, badFormat
		}
		if len(fields) == maxFields {
			return nil, badFormat
		}
		fields = append(fields, textField{kind, strings.ToLower(s[start:sc.pos])})
	}
	return fields, noFault
}

// number reads a field that begins with a digit.
func (sc *scanner) number() fieldKind {
	sc.skipDigits()
	switch delim := sc.at(); delim {
	case ':':
		sc.skip(func(c byte) bool { return isDigit(c) || c == ':' || c == '.' })
		return fTime
	case '-', '/', '.':
		sc.pos++
		if !isDigit(sc.at()) { // a month by name may follow
			sc.skip(func(c byte) bool { return isAlnum(c) || c == delim })
			return fDate
		}
		sc.skipDigits()
		if sc.at() == delim {
			sc.skip(func(c byte) bool { return isDigit(c) || c == delim })
			return fDate
		}
		if delim == '.' {
			return fNumber
		}
		return fDate
	}
	return fNumber
}

// word reads a field that begins with a letter: a name, a date with a month by name, or a time zone.
func (sc *scanner) word() fieldKind {
	start := sc.pos
	sc.skip(isAlpha)
	c := sc.at()
	joined := c == '-' || c == '/' || c == '.'
	if c == '+' || isDigit(c) {
		// y2001m02d04 has labels that are words of their own; UTC+3 has not.
		_, known := lookupWord(strings.ToLower(sc.s[start:sc.pos]))
		joined = !known
	}
	if !joined {
		return fString
	}
	sc.skip(func(c byte) bool {
		return isAlnum(c) || c == '+' || c == '-' || c == '/' || c == '_' || c == '.' || c == ':'
	})
	return fDate
}

// wordKind is the role of a word in a date, time or interval.
type wordKind uint8

const (
	wUnknown wordKind = iota
	wIgnore
	wReserved // now, today, epoch, …
	wMonth
	wDay // of the week
	wAMPM
	wADBC
	wUnit
	wISOTime
	wZoneMod // DST
	wZone    // a fixed offset
	wDSTZone
	wDynZone // an abbreviation whose offset depends on the date
	wAgo
)

type word struct {
	kind  wordKind
	value int
}

// Values of wReserved.
const (
	rNow = iota
	rToday
	rTomorrow
	rYesterday
	rZulu
	rEpoch
	rLate
	rEarly
)

const (
	anyHalf = iota
	am
	pm
)

// unit is a unit or field of time.
type unit int

const (
	uNone unit = iota
	uMicrosecond
	uMillisecond
	uSecond
	uMinute
	uHour
	uDay
	uWeek
	uMonth
	uQuarter
	uYear
	uDecade
	uCentury
	uMillennium
	uJulian
	uDow
	uDoy
	uIsoDow
	uIsoYear
	uEpoch
	uZone
	uZoneHour
	uZoneMinute
	uTime // the label t before an ISO time
)

// words are those of dates and times. Only the first ten letters of a word count.
var words = map[string]word{
	"ad": {wADBC, 0}, "bc": {wADBC, 1}, "am": {wAMPM, am}, "pm": {wAMPM, pm}, "at": {wIgnore, 0}, "on": {wIgnore, 0},
	"allballs": {wReserved, rZulu}, "now": {wReserved, rNow}, "today": {wReserved, rToday}, "tomorrow": {wReserved, rTomorrow},
	"yesterday": {wReserved, rYesterday}, "epoch": {wReserved, rEpoch}, "infinity": {wReserved, rLate}, "-infinity": {wReserved, rEarly},
	"jan": {wMonth, 1}, "january": {wMonth, 1}, "feb": {wMonth, 2}, "february": {wMonth, 2}, "mar": {wMonth, 3}, "march": {wMonth, 3},
	"apr": {wMonth, 4}, "april": {wMonth, 4}, "may": {wMonth, 5}, "jun": {wMonth, 6}, "june": {wMonth, 6}, "jul": {wMonth, 7},
	"july": {wMonth, 7}, "aug": {wMonth, 8}, "august": {wMonth, 8}, "sep": {wMonth, 9}, "sept": {wMonth, 9}, "september": {wMonth, 9},
	"oct": {wMonth, 10}, "october": {wMonth, 10}, "nov": {wMonth, 11}, "november": {wMonth, 11}, "dec": {wMonth, 12}, "december": {wMonth, 12},
	"sun": {wDay, 0}, "sunday": {wDay, 0}, "mon": {wDay, 1}, "monday": {wDay, 1}, "tue": {wDay, 2}, "tues": {wDay, 2}, "tuesday": {wDay, 2},
	"wed": {wDay, 3}, "weds": {wDay, 3}, "wednesday": {wDay, 3}, "thu": {wDay, 4}, "thur": {wDay, 4}, "thurs": {wDay, 4}, "thursday": {wDay, 4},
	"fri": {wDay, 5}, "friday": {wDay, 5}, "sat": {wDay, 6}, "saturday": {wDay, 6}, "dst": {wZoneMod, 3600}, "t": {wISOTime, int(uTime)},
	"d": {wUnit, int(uDay)}, "dow": {wUnit, int(uDow)}, "doy": {wUnit, int(uDoy)}, "h": {wUnit, int(uHour)}, "isodow": {wUnit, int(uIsoDow)},
	"isoyear": {wUnit, int(uIsoYear)}, "j": {wUnit, int(uJulian)}, "jd": {wUnit, int(uJulian)}, "julian": {wUnit, int(uJulian)},
	"m": {wUnit, int(uMonth)}, "mm": {wUnit, int(uMinute)}, "s": {wUnit, int(uSecond)}, "y": {wUnit, int(uYear)},
}

// unitWords are those of intervals. Only the first ten letters of a word count.
var unitWords = map[string]word{
	"@": {wIgnore, 0}, "ago": {wAgo, 0},
	"us": {wUnit, int(uMicrosecond)}, "usec": {wUnit, int(uMicrosecond)}, "usecs": {wUnit, int(uMicrosecond)},
	"usecond": {wUnit, int(uMicrosecond)}, "useconds": {wUnit, int(uMicrosecond)}, "microsecon": {wUnit, int(uMicrosecond)},
	"ms": {wUnit, int(uMillisecond)}, "msec": {wUnit, int(uMillisecond)}, "msecs": {wUnit, int(uMillisecond)},
	"msecond": {wUnit, int(uMillisecond)}, "mseconds": {wUnit, int(uMillisecond)}, "millisecon": {wUnit, int(uMillisecond)},
	"s": {wUnit, int(uSecond)}, "sec": {wUnit, int(uSecond)}, "secs": {wUnit, int(uSecond)}, "second": {wUnit, int(uSecond)},
	"seconds": {wUnit, int(uSecond)}, "m": {wUnit, int(uMinute)}, "min": {wUnit, int(uMinute)}, "mins": {wUnit, int(uMinute)},
	"minute": {wUnit, int(uMinute)}, "minutes": {wUnit, int(uMinute)}, "h": {wUnit, int(uHour)}, "hr": {wUnit, int(uHour)},
	"hrs": {wUnit, int(uHour)}, "hour": {wUnit, int(uHour)}, "hours": {wUnit, int(uHour)}, "d": {wUnit, int(uDay)}, "day": {wUnit, int(uDay)},
	"days": {wUnit, int(uDay)}, "w": {wUnit, int(uWeek)}, "week": {wUnit, int(uWeek)}, "weeks": {wUnit, int(uWeek)},
	"mon": {wUnit, int(uMonth)}, "mons": {wUnit, int(uMonth)}, "month": {wUnit, int(uMonth)}, "months": {wUnit, int(uMonth)},
	"qtr": {wUnit, int(uQuarter)}, "quarter": {wUnit, int(uQuarter)}, "y": {wUnit, int(uYear)}, "yr": {wUnit, int(uYear)},
	"yrs": {wUnit, int(uYear)}, "year": {wUnit, int(uYear)}, "years": {wUnit, int(uYear)}, "dec": {wUnit, int(uDecade)},
	"decs": {wUnit, int(uDecade)}, "decade": {wUnit, int(uDecade)}, "decades": {wUnit, int(uDecade)}, "c": {wUnit, int(uCentury)},
	"cent": {wUnit, int(uCentury)}, "century": {wUnit, int(uCentury)}, "centuries": {wUnit, int(uCentury)}, "mil": {wUnit, int(uMillennium)},
	"mils": {wUnit, int(uMillennium)}, "millennia": {wUnit, int(uMillennium)}, "millennium": {wUnit, int(uMillennium)},
	"timezone": {wUnit, int(uZone)}, "timezone_h": {wUnit, int(uZoneHour)}, "timezone_m": {wUnit, int(uZoneMinute)},
}

// clip keeps the ten letters that count.
func clip(s string) string { return s[:min(len(s), 10)] }

func lookupWord(s string) (word, bool) {
	w, found := words[clip(s)]
	return w, found
}

// lookupUnit finds a unit among the words of intervals, then those of dates.
func lookupUnit(s string) word {
	if w, found := unitWords[clip(s)]; found {
		return w
	}
	w := words[clip(s)]
	return w
}

// fraction reads .digits as microseconds, rounded; the text must end there.
func fraction(s string) (micros int, f fault) {
	if s == "." {
		return 0, noFault
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, badFormat
	}
	return int(math.RoundToEven(v * 1e6)), noFault
}

// leadingInt reads an optional sign and digits, within 32 bits; rest is what follows. digits says how many there were.
func leadingInt(s string) (v int, rest string, digits int, f fault) {
	v64, rest, digits, f := leadingInt64(s)
	if f == noFault && (v64 > math.MaxInt32 || v64 < math.MinInt32) {
		return 0, rest, digits, fieldOverflow
	}
	return int(v64), rest, digits, f
}

func leadingInt64(s string) (v int64, rest string, digits int, f fault) {
	i := 0
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		i++
	}
	from := i
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	if i == from {
		return 0, s, 0, noFault
	}
	v, err := strconv.ParseInt(s[:i], 10, 64)
	if err != nil {
		return 0, s[i:], i - from, fieldOverflow
	}
	return v, s[i:], i - from, noFault
}
