package datetime

import (
	"math"
	"strconv"
	"strings"
)

// intervalParts adds up the fields of an interval with the overflow checks of PostgreSQL.
type intervalParts struct {
	years, months, days, micros int64
}

// ParseInterval reads an interval: PostgreSQL's forms, SQL's and ISO 8601's. Errors: 22007, 22015, 22008.
func ParseInterval(s string, st *Settings) (Interval, error) { return ParseIntervalTypmod(s, st, -1) }

// ParseIntervalTypmod is ParseInterval for a type with PostgreSQL's atttypmod mod (−1: none): its fields say what
// a number without unit means. The modifier is not applied otherwise.
func ParseIntervalTypmod(s string, st *Settings, mod int32) (Interval, error) {
	r := int32(fullRange)
	if mod >= 0 {
		r = mod >> 16 & fullRange
	}
	d := intervalDecoder{style: st.IntervalStyle, fields: r}
	fields, f := splitFields(s)
	if f == noFault {
		f = d.decode(fields)
	}
	if f == badFormat {
		d.parts = intervalParts{}
		f = d.parts.iso8601(s)
	}
	if f != noFault {
		return Interval{}, f.errText(s, "interval")
	}
	months, fits := mulInt64(d.parts.years, 12)
	months, fits2 := addInt64(months, d.parts.months)
	return fromParts(months, d.parts.days, d.parts.micros, fits && fits2)
}

type intervalDecoder struct {
	parts    intervalParts
	style    IntervalStyle
	fields   int32 // of the type modifier
	have     mask2
	unit     unit
	negative bool // the leading sign counts for all fields
}

// mask2 is a set of interval units, by unit number.
type mask2 uint32

// decode reads the fields backwards, so that a unit is seen before its number.
func (d *intervalDecoder) decode(fields []textField) fault {
	d.negative = d.style == StyleSQLStandard && len(fields) > 0 && fields[0].text[0] == '-'
	for _, t := range fields[min(1, len(fields)):] {
		if c := t.text[0]; c == '-' || c == '+' {
			d.negative = false
		}
	}
	ago := false
	for i := len(fields) - 1; i >= 0; i-- {
		var got mask2
		var f fault
		switch t := fields[i]; t.kind {
		case fTime:
			got, f = d.time(t.text, false)
		case fZone:
			if strings.Contains(t.text, ":") {
				save := d.parts
				if got, f = d.time(t.text[1:], t.text[0] == '-'); f == noFault {
					break
				}
				d.parts = save
			}
			got, f = d.number(t.text)
		case fDate, fNumber:
			got, f = d.number(t.text)
		default:
			w := unitWords[clip(t.text)]
			switch w.kind {
			case wIgnore:
				continue
			case wUnit:
				d.unit = unit(w.value)
				continue
			case wAgo:
				ago, d.unit = true, uNone
				continue
			}
			return badFormat
		}
		if f != noFault {
			return f
		}
		if d.have&got != 0 {
			return badFormat
		}
		d.have |= got
	}
	if d.have == 0 {
		return badFormat
	}
	if ago {
		return d.parts.negate()
	}
	return noFault
}

func (p *intervalParts) negate() fault {
	if p.years == math.MinInt32 || p.months == math.MinInt32 || p.days == math.MinInt32 || p.micros == math.MinInt64 {
		return fieldOverflow
	}
	p.years, p.months, p.days, p.micros = -p.years, -p.months, -p.days, -p.micros
	return noFault
}

const timeUnits = mask2(1<<uHour | 1<<uMinute | 1<<uSecond | 1<<uMillisecond | 1<<uMicrosecond)

// time reads hh:mm[:ss] with any number of hours; the field before it is days unless it has a unit.
func (d *intervalDecoder) time(s string, minus bool) (mask2, fault) {
	micros, f := intervalClock(s, d.fields == rangeMinute|rangeSecond)
	if f != noFault {
		return 0, f
	}
	d.parts.micros = micros
	if minus || d.negative && micros > 0 {
		d.parts.micros = -micros
	}
	d.unit = uDay
	return timeUnits, noFault
}

func intervalClock(s string, minuteSecond bool) (int64, fault) {
	var c civil
	hours, rest, digits, f := leadingInt64(s)
	if f != noFault {
		return 0, f
	}
	if digits == 0 || hours <= math.MaxInt32 && hours >= math.MinInt32 {
		if f := readClock(s, &c, minuteSecond); f != noFault {
			return 0, f
		}
		return c.timeOfDay(), noFault
	}
	// More hours than a clock has room for: read the rest as 0:mm:ss.
	if f := readClock("0"+rest, &c, false); f != noFault || hours < 0 || strings.Count(rest, ":")+1 == 2 && strings.Contains(rest, ".") {
		return 0, fieldOverflow
	}
	t, fits := mulInt64(hours, MicrosPerHour)
	t, fits2 := addInt64(t, c.timeOfDay())
	if !fits || !fits2 {
		return 0, fieldOverflow
	}
	return t, noFault
}

// impliedUnit is what a number without unit means under the type modifier's fields.
func (d *intervalDecoder) impliedUnit() unit {
	switch d.fields {
	case rangeYear:
		return uYear
	case rangeMonth, rangeYear | rangeMonth:
		return uMonth
	case rangeDay:
		return uDay
	case rangeHour, rangeDay | rangeHour:
		return uHour
	case rangeMinute, rangeHour | rangeMinute, rangeDay | rangeHour | rangeMinute:
		return uMinute
	}
	return uSecond
}

// number reads a number of units, or years-months.
func (d *intervalDecoder) number(s string) (mask2, fault) {
	if d.unit == uNone {
		d.unit = d.impliedUnit()
	}
	v, rest, _, f := leadingInt64(s)
	if f != noFault {
		return 0, f
	}
	part := 0.0
	switch {
	case rest == "":
	case rest[0] == '-':
		m, tail, digits, f := leadingInt(rest[1:])
		if f != noFault || m < 0 || m > 11 {
			return 0, fieldOverflow
		}
		if tail != "" || digits == 0 && rest != "-" {
			return 0, badFormat
		}
		if s[0] == '-' {
			m = -m
		}
		d.unit = uMonth
		months, fits := mulInt64(v, 12)
		if v, fits = addInt64(months, int64(m)); !fits || months/12 != v/12 && m == 0 {
			return 0, fieldOverflow
		}
	case rest[0] == '.':
		if rest != "." {
			var err error
			if part, err = strconv.ParseFloat(rest, 64); err != nil {
				return 0, badFormat
			}
		}
		if s[0] == '-' {
			part = -part
		}
	default:
		return 0, badFormat
	}
	if d.negative {
		v, part = min(v, -v), min(part, -part)
	}
	return d.addUnits(v, part)
}

// addUnits adds v and a fraction of the current unit.
func (d *intervalDecoder) addUnits(v int64, part float64) (mask2, fault) {
	p, u := &d.parts, d.unit
	got := mask2(1) << u
	fits := false
	switch u {
	case uMicrosecond:
		fits = p.addMicros(v, part, 1)
	case uMillisecond:
		fits = p.addMicros(v, part, 1000)
	case uSecond:
		fits = p.addMicros(v, part, MicrosPerSecond)
		if part != 0 {
			got |= 1<<uMillisecond | 1<<uMicrosecond
		}
	case uMinute:
		fits = p.addMicros(v, part, MicrosPerMinute)
	case uHour:
		fits = p.addMicros(v, part, MicrosPerHour)
		d.unit = uDay
	case uDay:
		fits = p.addDays(v, 1) && p.addFraction(part, MicrosPerDay)
	case uWeek:
		fits = p.addDays(v, 7) && p.addDayFraction(part, 7)
	case uMonth:
		fits = p.addMonths(v) && p.addDayFraction(part, 30)
	case uYear:
		fits = p.addYears(v, part, 1)
	case uDecade:
		fits = p.addYears(v, part, 10)
	case uCentury:
		fits = p.addYears(v, part, 100)
	case uMillennium:
		fits = p.addYears(v, part, 1000)
	default:
		return 0, badFormat
	}
	if !fits {
		return 0, fieldOverflow
	}
	return got, noFault
}

func inInt32(v int64) bool { return v == int64(int32(v)) }

func (p *intervalParts) addMicros(v int64, part float64, unit int64) bool {
	t, fits := mulInt64(v, unit)
	if !fits {
		return false
	}
	if p.micros, fits = addInt64(p.micros, t); !fits {
		return false
	}
	return p.addFraction(part, unit)
}

// addFraction adds a fraction of a unit, rounded to microseconds.
func (p *intervalParts) addFraction(part float64, unit int64) bool {
	if part == 0 {
		return true
	}
	part *= float64(unit)
	micros := int64(part)
	switch part -= float64(micros); {
	case part > 0.5:
		micros++
	case part < -0.5:
		micros--
	}
	var fits bool
	p.micros, fits = addInt64(p.micros, micros)
	return fits
}

func (p *intervalParts) addDays(v, scale int64) bool {
	if !inInt32(v) || !inInt32(v*scale) {
		return false
	}
	p.days += v * scale
	return inInt32(p.days)
}

func (p *intervalParts) addDayFraction(part float64, scale int64) bool {
	part *= float64(scale)
	whole := math.Trunc(part)
	return p.addDays(int64(whole), 1) && p.addFraction(part-whole, MicrosPerDay)
}

func (p *intervalParts) addMonths(v int64) bool {
	if !inInt32(v) {
		return false
	}
	p.months += v
	return inInt32(p.months)
}

func (p *intervalParts) addYears(v int64, part float64, scale int64) bool {
	if !inInt32(v) || !inInt32(v*scale) {
		return false
	}
	p.years += v * scale
	return inInt32(p.years) && p.addMonths(int64(math.RoundToEven(part*float64(scale)*12)))
}

// isoNumber reads a number of an ISO 8601 interval as whole and fraction.
func isoNumber(s string) (whole int64, part float64, rest string, f fault) {
	if s == "" || !isDigit(s[0]) && s[0] != '-' && s[0] != '.' {
		return 0, 0, s, badFormat
	}
	n := floatPrefix(s)
	v, err := strconv.ParseFloat(s[:n], 64)
	if n == 0 || err != nil {
		return 0, 0, s, badFormat
	}
	if math.Abs(v) > 1e15 {
		return 0, 0, s, fieldOverflow
	}
	t := math.Trunc(v)
	return int64(t), v - t, s[n:], noFault
}

// floatPrefix returns the length of the number that s begins with.
func floatPrefix(s string) int {
	i := 0
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		i++
	}
	digits := 0
	for ; i < len(s) && (isDigit(s[i]) || s[i] == '.'); i++ {
		if isDigit(s[i]) {
			digits++
		}
	}
	if digits == 0 {
		return 0
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		j := i + 1
		if j < len(s) && (s[j] == '-' || s[j] == '+') {
			j++
		}
		if j < len(s) && isDigit(s[j]) {
			for j < len(s) && isDigit(s[j]) {
				j++
			}
			return j
		}
	}
	return i
}

func digitsIn(s string) int {
	s = strings.TrimPrefix(s, "-")
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

// iso8601 reads P1Y2M3DT4H5M6S and the alternative forms P0001-02-03T04:05:06 and P00010203T040506.
func (p *intervalParts) iso8601(s string) fault {
	if len(s) < 2 || s[0] != 'P' {
		return badFormat
	}
	s = s[1:]
	datePart, seen := true, false
	for s != "" {
		if s[0] == 'T' {
			datePart, seen, s = false, false, s[1:]
			continue
		}
		start := s
		v, part, rest, f := isoNumber(s)
		if f != noFault {
			return f
		}
		unit := byte(0)
		if rest != "" {
			unit, rest = rest[0], rest[1:]
		}
		fits := true
		switch {
		case datePart && (unit == 0 || unit == 'T' || unit == '-'):
			if s, f = p.isoDate(start, v, part, unit, rest, seen); f != noFault {
				return f
			}
			datePart, seen = false, false
			continue
		case !datePart && (unit == 0 || unit == ':'):
			return p.isoTime(start, v, part, unit, rest, seen)
		case datePart && unit == 'Y':
			fits = p.addYears(v, part, 1)
		case datePart && unit == 'M':
			fits = p.addMonths(v) && p.addDayFraction(part, 30)
		case datePart && unit == 'W':
			fits = p.addDays(v, 7) && p.addDayFraction(part, 7)
		case datePart && unit == 'D':
			fits = p.addDays(v, 1) && p.addFraction(part, MicrosPerDay)
		case !datePart && unit == 'H':
			fits = p.addMicros(v, part, MicrosPerHour)
		case !datePart && unit == 'M':
			fits = p.addMicros(v, part, MicrosPerMinute)
		case !datePart && unit == 'S':
			fits = p.addMicros(v, part, MicrosPerSecond)
		default:
			return badFormat
		}
		if !fits {
			return fieldOverflow
		}
		s, seen = rest, true
	}
	return noFault
}

// isoDate reads an alternative date: start is its text, v and part its first number, which unit and rest follow.
// It returns what is left behind the T, or nothing.
func (p *intervalParts) isoDate(start string, v int64, part float64, unit byte, rest string, seen bool) (string, fault) {
	if unit != '-' && digitsIn(start) == 8 && !seen {
		if !(p.addYears(v/10000, 0, 1) && p.addMonths(v/100%100) && p.addDays(v%100, 1) && p.addFraction(part, MicrosPerDay)) {
			return "", fieldOverflow
		}
		return rest, noFault
	}
	if seen {
		return "", badFormat
	}
	if !p.addYears(v, part, 1) {
		return "", fieldOverflow
	}
	if unit != '-' {
		return rest, noFault
	}
	v, part, rest, f := isoNumber(rest)
	if f != noFault {
		return "", f
	}
	if !(p.addMonths(v) && p.addDayFraction(part, 30)) {
		return "", fieldOverflow
	}
	if rest == "" || rest[0] == 'T' {
		return strings.TrimPrefix(rest, "T"), noFault
	}
	if rest[0] != '-' {
		return "", badFormat
	}
	if v, part, rest, f = isoNumber(rest[1:]); f != noFault {
		return "", f
	}
	if !(p.addDays(v, 1) && p.addFraction(part, MicrosPerDay)) {
		return "", fieldOverflow
	}
	if rest == "" || rest[0] == 'T' {
		return strings.TrimPrefix(rest, "T"), noFault
	}
	return "", badFormat
}

// isoTime reads an alternative time, which ends the text.
func (p *intervalParts) isoTime(start string, v int64, part float64, unit byte, rest string, seen bool) fault {
	if unit == 0 && digitsIn(start) == 6 && !seen {
		if !(p.addMicros(v/10000, 0, MicrosPerHour) && p.addMicros(v/100%100, 0, MicrosPerMinute) &&
			p.addMicros(v%100, part, MicrosPerSecond)) {
			return fieldOverflow
		}
		return noFault
	}
	if seen {
		return badFormat
	}
	for _, u := range []int64{MicrosPerHour, MicrosPerMinute, MicrosPerSecond} {
		if !p.addMicros(v, part, u) {
			return fieldOverflow
		}
		if unit == 0 {
			return noFault
		}
		if unit != ':' || u == MicrosPerSecond {
			return badFormat
		}
		var f fault
		if v, part, rest, f = isoNumber(rest); f != noFault {
			return f
		}
		unit = 0
		if rest != "" {
			unit, rest = rest[0], rest[1:]
		}
	}
	return badFormat
}
