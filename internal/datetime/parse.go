package datetime

import (
	"strconv"
	"strings"
	"time"
)

// mask is a set of date and time fields.
type mask uint32

const (
	mYear mask = 1 << iota
	mMonth
	mDay
	mHour
	mMinute
	mSecond
	mMilli
	mMicro
	mZone
	mZoneMod
	mDayOfYear
	mHalf
	mEra
	mWeekday
	mReserved

	mSeconds = mSecond | mMilli | mMicro
	mDate    = mYear | mMonth | mDay
	mTime    = mHour | mMinute | mSeconds
)

// decoder gives meaning to the fields of a date, time or timestamp, one after the other.
type decoder struct {
	civil
	st        *Settings
	have      mask
	order     DateOrder
	yearDay   int
	label     unit // a unit that labels the next field
	julian    bool
	twoDigits bool // the year has one or two digits
	bc        bool
	textMonth bool
	half      int
	west      int // seconds west of UTC
	zone      *time.Location
	abbrev    string // the abbreviation that zone explains, "" if the zone was given by name
	special   int    // rEpoch, rLate, rEarly, or −1
	badZone   string
	timeOnly  bool
}

// parsed is what decode found.
type parsed struct {
	civil
	west    int
	special int
}

// decode reads the fields of a date or timestamp.
func decode(text string, st *Settings) (p parsed, f fault, err error) {
	fields, f := splitFields(text)
	if f != noFault {
		return p, f, nil
	}
	d := decoder{st: st, order: st.DateStyle.Order, special: -1}
	for _, field := range fields {
		if f := d.field(field); f != noFault {
			if f == badZone {
				return p, f, errZone(d.badZone)
			}
			return p, f, nil
		}
	}
	if d.label != uNone {
		return p, badFormat, nil
	}
	if d.special < 0 {
		f = d.finish()
	}
	return parsed{d.civil, d.west, d.special}, f, nil
}

// add notes the fields that were just read.
func (d *decoder) add(m mask) fault {
	if d.have&m != 0 {
		return badFormat
	}
	d.have |= m
	return noFault
}

func (d *decoder) field(t textField) fault {
	var m mask
	f := noFault
	switch t.kind {
	case fDate:
		m, f = d.dateField(t.text)
	case fTime:
		if d.label != uNone && d.label != uTime {
			return badFormat
		}
		d.label = uNone
		if f = d.clock(t.text); f == noFault && clockOverflows(&d.civil) {
			f = fieldOverflow
		}
		m = mTime
	case fZone:
		d.west, f = zoneOffset(t.text)
		m = mZone
	case fNumber:
		m, f = d.numberField(t.text)
	default:
		m, f = d.word(t.text)
	}
	if f != noFault {
		return f
	}
	return d.add(m)
}

// clockOverflows checks a time of day; 24:00:00 is its end.
func clockOverflows(c *civil) bool {
	return c.hour < 0 || c.hour > 24 || c.minute < 0 || c.minute > 59 || c.sec < 0 || c.sec > 60 ||
		c.micros < 0 || c.micros > int(MicrosPerSecond) || c.timeOfDay() > MicrosPerDay
}

// dateField reads a field of joined parts: a date, or once there is one, a zone name or time with zone.
func (d *decoder) dateField(s string) (mask, fault) {
	if d.label == uJulian {
		v, rest, _, f := leadingInt(s)
		if f != noFault || v < 0 {
			return 0, fieldOverflow
		}
		d.year, d.month, d.day = CivilFromDays(int64(v) - epochJulian)
		d.julian, d.label = true, uNone
		d.west, f = zoneOffset(rest)
		return mDate | mTime | mZone, f
	}
	if d.label == uNone && d.have&(mMonth|mDay) != mMonth|mDay {
		return d.date(s)
	}
	if !isDigit(s[0]) && d.label == uNone {
		return d.fullZone(s)
	}
	if d.label != uNone && d.label != uTime {
		return 0, badFormat
	}
	d.label = uNone
	dash := strings.IndexByte(s, '-')
	if d.have&mTime == mTime || dash < 0 {
		return 0, badFormat
	}
	var f fault
	if d.west, f = zoneOffset(s[dash:]); f != noFault {
		return 0, f
	}
	m, f := d.runTogether(s[:dash], d.have)
	return m | mZone, f
}

// fullZone reads a zone name.
func (d *decoder) fullZone(s string) (mask, fault) {
	loc, found := findZone(s)
	if !found {
		d.badZone = s
		return 0, badZone
	}
	d.zone = loc
	return mZone, noFault
}

// date reads a date in one field, such as 2001-02-03 or 3-Feb-2001.
func (d *decoder) date(s string) (mask, fault) {
	parts, f := splitDate(s)
	if f != noFault {
		return 0, f
	}
	have, got, text := d.have, mask(0), false
	for i, p := range parts {
		if !isAlpha(p[0]) {
			continue
		}
		w, _ := lookupWord(p)
		if w.kind == wIgnore {
			continue
		}
		if w.kind != wMonth || have&mMonth != 0 {
			return 0, badFormat
		}
		d.month, text = w.value, true
		have, got = have|mMonth, got|mMonth
		parts[i] = ""
	}
	for _, p := range parts {
		if p == "" {
			continue
		}
		if isAlpha(p[0]) {
			return 0, badFormat
		}
		m, f := d.number(p, have, text)
		if f != noFault {
			return 0, f
		}
		if have&m != 0 {
			return 0, badFormat
		}
		have, got = have|m, got|m
	}
	if have&^(mDayOfYear|mZone) != mDate {
		return 0, badFormat
	}
	return got, noFault
}

// splitDate cuts a date at anything that is neither letter nor digit, and between letters and digits.
func splitDate(s string) ([]string, fault) {
	var parts []string
	for i := 0; i < len(s); {
		for i < len(s) && !isAlnum(s[i]) {
			i++
		}
		if i == len(s) {
			return nil, badFormat
		}
		from := i
		class := isAlpha
		if isDigit(s[i]) {
			class = isDigit
		}
		for i < len(s) && class(s[i]) {
			i++
		}
		parts = append(parts, s[from:i])
		if i < len(s) && !isAlnum(s[i]) {
			i++
		} else if i < len(s) {
			i++ // PostgreSQL overwrites one character here, whatever it is
		}
	}
	return parts, noFault
}

// clock reads hh:mm[:ss[.ffffff]] or mm:ss.ffffff.
func (d *decoder) clock(s string) fault { return readClock(s, &d.civil, false) }

// readClock reads a time of day into c. minuteSecond takes two numbers as minutes and seconds. The hour is not
// checked against 24.
func readClock(s string, c *civil, minuteSecond bool) fault {
	var f fault
	if c.hour, s, _, f = leadingInt(s); f != noFault {
		return f
	}
	if s == "" || s[0] != ':' {
		return badFormat
	}
	if c.minute, s, _, f = leadingInt(s[1:]); f != noFault {
		return f
	}
	c.sec, c.micros = 0, 0
	switch {
	case s == "":
		if minuteSecond {
			c.hour, c.minute, c.sec = 0, c.hour, c.minute
		}
	case s[0] == '.':
		if c.micros, f = fraction(s); f != noFault {
			return f
		}
		c.hour, c.minute, c.sec = 0, c.hour, c.minute
	case s[0] == ':':
		if c.sec, s, _, f = leadingInt(s[1:]); f != noFault {
			return f
		}
		if s != "" {
			if s[0] != '.' {
				return badFormat
			}
			if c.micros, f = fraction(s); f != noFault {
				return f
			}
		}
	default:
		return badFormat
	}
	if c.hour < 0 || c.minute < 0 || c.minute > 59 || c.sec < 0 || c.sec > 60 || c.micros < 0 || c.micros > int(MicrosPerSecond) {
		return fieldOverflow
	}
	return noFault
}

// zoneOffset reads ±hh[:mm[:ss]] or ±hhmm and returns seconds west of UTC.
func zoneOffset(s string) (west int, f fault) {
	if s == "" || s[0] != '+' && s[0] != '-' {
		return 0, badFormat
	}
	hour, rest, _, f := leadingInt(s[1:])
	if f != noFault {
		return 0, zoneOverflow
	}
	minute, sec := 0, 0
	if strings.HasPrefix(rest, ":") {
		if minute, rest, _, f = leadingInt(rest[1:]); f != noFault {
			return 0, zoneOverflow
		}
		if strings.HasPrefix(rest, ":") {
			if sec, rest, _, f = leadingInt(rest[1:]); f != noFault {
				return 0, zoneOverflow
			}
		}
	} else if rest == "" && len(s) > 3 {
		hour, minute = hour/100, hour%100
	}
	if hour < 0 || hour > 15 || minute < 0 || minute > 59 || sec < 0 || sec > 59 {
		return 0, zoneOverflow
	}
	if rest != "" {
		return 0, badFormat
	}
	west = -(hour*3600 + minute*60 + sec)
	if s[0] == '-' {
		west = -west
	}
	return west, noFault
}

func (d *decoder) numberField(s string) (mask, fault) {
	if d.label != uNone {
		return d.labelled(s)
	}
	point := strings.IndexByte(s, '.')
	switch {
	case point >= 0 && d.have&mDate == 0 && !d.timeOnly:
		return d.date(s)
	case point > 2:
		return d.runTogether(s, d.have)
	case len(s) >= 6 && (d.have&mDate == 0 || d.have&mTime == 0):
		return d.runTogether(s, d.have)
	}
	return d.number(s, d.have, d.textMonth)
}

// labelled reads the number after a label such as the y in y2001m02d04, or the j of a Julian day.
func (d *decoder) labelled(s string) (mask, fault) {
	label := d.label
	d.label = uNone
	v, rest, _, f := leadingInt(s)
	if f != noFault {
		return 0, f
	}
	if rest != "" && rest[0] != '.' {
		return 0, badFormat
	}
	switch label {
	case uYear:
		d.year = v
		return mYear, noFault
	case uMonth:
		if d.have&mMonth != 0 && d.have&mHour != 0 {
			d.minute = v
			return mMinute, noFault
		}
		d.month = v
		return mMonth, noFault
	case uDay:
		d.day = v
		return mDay, noFault
	case uHour:
		d.hour = v
		return mHour, noFault
	case uMinute:
		d.minute = v
		return mMinute, noFault
	case uSecond:
		d.sec = v
		if rest == "" {
			return mSecond, noFault
		}
		d.micros, f = fraction(rest)
		return mSeconds, f
	case uJulian:
		return d.julianDay(v, rest)
	case uTime:
		m, f := d.runTogether(s, d.have|mDate)
		if f == noFault && m != mTime {
			f = badFormat
		}
		return m, f
	}
	return 0, badFormat
}

func (d *decoder) julianDay(v int, rest string) (mask, fault) {
	if v < 0 {
		return 0, fieldOverflow
	}
	d.year, d.month, d.day = CivilFromDays(int64(v) - epochJulian)
	d.julian = true
	if rest == "" {
		return mDate, noFault
	}
	part := 0.0
	if rest != "." {
		var err error
		if part, err = strconv.ParseFloat(rest, 64); err != nil {
			return 0, badFormat
		}
	}
	d.setTime(int64(part * float64(MicrosPerDay)))
	return mDate | mTime, noFault
}

// number reads a single number; what it is depends on what is there already and on the date order.
func (d *decoder) number(s string, have mask, textMonth bool) (mask, fault) {
	v, rest, digits, f := leadingInt(s)
	if f != noFault {
		return 0, f
	}
	if digits == 0 {
		return 0, badFormat
	}
	if rest != "" {
		if rest[0] != '.' {
			return 0, badFormat
		}
		if digits > 2 {
			return d.runTogether(s, have|mDate)
		}
		if d.micros, f = fraction(rest); f != noFault {
			return 0, f
		}
	}
	if len(s) == 3 && have&mDate == mYear && v >= 1 && v <= 366 {
		d.yearDay = v
		return mDayOfYear | mMonth | mDay, noFault
	}
	year := len(s) >= 3 || d.order == YMD
	switch have & mDate {
	case 0:
		switch {
		case year:
			return d.setYear(v, len(s)), noFault
		case d.order == DMY:
			d.day = v
			return mDay, noFault
		}
		d.month = v
		return mMonth, noFault
	case mYear, mDay:
		d.month = v
		return mMonth, noFault
	case mMonth:
		if textMonth && year {
			return d.setYear(v, len(s)), noFault
		}
		d.day = v
		return mDay, noFault
	case mYear | mMonth:
		if textMonth && len(s) >= 3 && d.twoDigits {
			// The first number was taken for a year and is the day.
			d.day, d.year, d.twoDigits = d.year, v, false
			return mDay, noFault
		}
		d.day = v
		return mDay, noFault
	case mMonth | mDay:
		return d.setYear(v, len(s)), noFault
	case mDate:
		return d.runTogether(s, have)
	}
	return 0, badFormat
}

func (d *decoder) setYear(v, digits int) mask {
	d.year, d.twoDigits = v, digits <= 2
	return mYear
}

// runTogether reads yyyymmdd, yymmdd, hhmmss or hhmm, the times with a fraction perhaps.
func (d *decoder) runTogether(s string, have mask) (mask, fault) {
	num := func(s string) int { v, _ := strconv.Atoi(s); return v }
	if i := strings.IndexByte(s, '.'); i >= 0 {
		d.micros, _ = fraction(s[i:])
		s = s[:i]
	} else if have&mDate != mDate && len(s) >= 6 {
		n := len(s)
		d.day, d.month, d.year = num(s[n-2:]), num(s[n-4:n-2]), num(s[:n-4])
		d.twoDigits = d.twoDigits || n == 6
		return mDate, noFault
	}
	if have&mTime != mTime {
		switch len(s) {
		case 6:
			d.hour, d.minute, d.sec = num(s[:2]), num(s[2:4]), num(s[4:])
			return mTime, noFault
		case 4:
			d.hour, d.minute, d.sec = num(s[:2]), num(s[2:]), 0
			return mTime, noFault
		}
	}
	return 0, badFormat
}

// word reads a name: a zone abbreviation before all, then the known words, then a zone name.
func (d *decoder) word(s string) (mask, fault) {
	if a, found := zoneAbbrevs[s]; found {
		return d.abbreviation(s, a)
	}
	w, _ := lookupWord(s)
	switch w.kind {
	case wIgnore:
		return 0, noFault
	case wReserved:
		return d.reserved(w.value)
	case wMonth:
		m := mMonth
		if d.have&mMonth != 0 && !d.textMonth && d.have&mDay == 0 && d.month >= 1 && d.month <= 31 {
			d.day, m = d.month, mDay // the number before was the day
		}
		d.textMonth, d.month = true, w.value
		return m, noFault
	case wZoneMod:
		d.west -= w.value
		return mZoneMod, noFault
	case wAMPM:
		d.half = w.value
		return mHalf, noFault
	case wADBC:
		d.bc = w.value == 1
		return mEra, noFault
	case wDay:
		return mWeekday, noFault
	case wUnit, wISOTime:
		if d.label != uNone || w.kind == wISOTime && !d.timeOnly && d.have&mDate != mDate {
			return 0, badFormat
		}
		d.label = unit(w.value)
		return 0, noFault
	}
	m, f := d.fullZone(s)
	if f == badZone {
		f = badFormat
	}
	return m, f
}

func (d *decoder) abbreviation(name string, a zoneAbbrev) (mask, fault) {
	switch {
	case a.zone != "":
		d.abbrev = strings.ToUpper(name)
		return d.fullZone(a.zone)
	case a.dst:
		d.west = -int(a.offset)
		return mZone | mZoneMod, noFault
	}
	d.west = -int(a.offset)
	return mZone, noFault
}

// reserved handles words that stand for a point in time.
func (d *decoder) reserved(v int) (mask, fault) {
	loc := d.st.location()
	switch v {
	case rNow:
		now := d.st.now()
		east, _ := offsetAt(now, loc)
		d.civil = breakDown(now + int64(east)*MicrosPerSecond)
		if d.timeOnly {
			return mTime, noFault
		}
		d.west = -east
		return mDate | mTime | mZone, noFault
	case rZulu:
		d.hour, d.minute, d.sec, d.west = 0, 0, 0, 0
		return mTime | mZone, noFault
	}
	if d.timeOnly {
		return 0, badFormat
	}
	switch v {
	case rToday, rTomorrow, rYesterday:
		day := floorDiv(toLocal(d.st.now(), loc), MicrosPerDay) + map[int]int64{rTomorrow: 1, rYesterday: -1}[v]
		d.year, d.month, d.day = CivilFromDays(day)
		d.julian = true // complete as it is
		return mDate, noFault
	}
	d.special = v
	return mReserved, noFault
}

// finish checks the fields against each other and works out the zone.
func (d *decoder) finish() fault {
	if f := d.validDate(); f != noFault {
		return f
	}
	if d.half != anyHalf && d.hour > 12 {
		return fieldOverflow
	}
	switch {
	case d.half == am && d.hour == 12:
		d.hour = 0
	case d.half == pm && d.hour != 12:
		d.hour += 12
	}
	if d.have&mDate != mDate {
		return badFormat
	}
	if d.zone != nil {
		if d.have&mZoneMod != 0 {
			return badFormat
		}
		d.west = -d.zoneAt(d.days()*MicrosPerDay + d.timeOfDay())
		return noFault
	}
	if d.have&mZone == 0 {
		if d.have&mZoneMod != 0 {
			return badFormat
		}
		d.west = -localOffset(d.days()*MicrosPerDay+d.timeOfDay(), d.st.location())
	}
	return noFault
}

// zoneAt returns the offset east of the named zone, or of the abbreviation, at a local time.
func (d *decoder) zoneAt(local int64) int {
	east := localOffset(local, d.zone)
	if d.abbrev != "" {
		if e, found := abbrevOffset(local-int64(east)*MicrosPerSecond, d.abbrev, d.zone); found {
			return e
		}
	}
	return east
}

func (d *decoder) validDate() fault {
	if d.have&mYear != 0 {
		switch {
		case d.julian:
		case d.bc:
			if d.year <= 0 {
				return fieldOverflow
			}
			d.year = 1 - d.year
		case d.twoDigits:
			switch {
			case d.year < 0:
				return fieldOverflow
			case d.year < 70:
				d.year += 2000
			case d.year < 100:
				d.year += 1900
			}
		case d.year <= 0:
			return fieldOverflow
		}
	}
	if d.have&mDayOfYear != 0 {
		d.year, d.month, d.day = CivilFromDays(DaysFromCivil(d.year, 1, 1) + int64(d.yearDay) - 1)
	}
	if d.have&mMonth != 0 && (d.month < 1 || d.month > 12) {
		return monthDayOverflow
	}
	if d.have&mDay != 0 && (d.day < 1 || d.day > 31) {
		return monthDayOverflow
	}
	if d.have&mDate == mDate && d.day > daysInMonth(d.year, d.month) {
		return fieldOverflow
	}
	return noFault
}
