package datetime

import (
	"strings"
	"time"

	"github.com/millrace/millrace/internal/sqlerr"
)

var (
	fullMonths = [...]string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
		"November", "December"}
	fullDays    = [...]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}
	romanMonths = [...]string{"I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"}
)

// moment is what to_char prints: a timestamp's fields, or an interval's.
type moment struct {
	civil
	interval bool
	yearDay  int
	weekday  int
	days     int64 // since 2000-01-01
	east     int
	zone     string
	out      []byte
}

// ToCharTimestamp is to_char(timestamp, format); ok false is NULL. Error: 22007.
func ToCharTimestamp(ts int64, format string) (text string, ok bool, err error) {
	if format == "" || !IsFiniteTimestamp(ts) {
		return "", false, nil
	}
	text = templateOf(format).local(ts)
	return text, true, nil
}

// ToCharTimestamptz is to_char(timestamptz, format) by the clocks of loc; ok false is NULL. Error: 22007.
func ToCharTimestamptz(ts int64, format string, loc *time.Location) (text string, ok bool, err error) {
	if format == "" || !IsFiniteTimestamp(ts) {
		return "", false, nil
	}
	t := templateOf(format)
	east, abbrev := offsetAt(ts, loc)
	local := ts + int64(east)*MicrosPerSecond
	if !t.zoned {
		return t.local(local), true, nil
	}
	m := momentOf(local)
	m.east, m.zone = east, abbrev
	return m.format(t.nodes)
}

// shownText is what a template makes of all times within one of its units.
type shownText struct {
	unit int64
	text string
}

// local formats a timestamp without a zone. Neighbouring rows mostly lie in the same unit: in the same day, if the
// format names nothing smaller. The texts of a few units are remembered; two goroutines may replace each other's.
func (t *template) local(ts int64) string {
	if t.micros == 0 {
		m := momentOf(ts)
		text, _, _ := m.format(t.nodes) // only intervals fail
		return text
	}
	unit := ts / t.micros
	if ts%t.micros < 0 {
		unit--
	}
	at := &t.shown[uint64(unit)%uint64(len(t.shown))]
	if s := at.Load(); s != nil && s.unit == unit {
		return s.text
	}
	m := momentOf(ts)
	text, _, _ := m.format(t.nodes)
	at.Store(&shownText{unit, text})
	return text
}

func momentOf(local int64) moment {
	m := moment{civil: breakDown(local)}
	m.days = m.civil.days()
	m.yearDay, m.weekday = yearDay(m.year, m.month, m.day), weekday(m.days)
	return m
}

// ToCharInterval is to_char(interval, format); ok false is NULL. Error: 22007 for fields of the calendar.
func ToCharInterval(iv Interval, format string) (text string, ok bool, err error) {
	if format == "" {
		return "", false, nil
	}
	f := iv.fields()
	m := moment{interval: true}
	m.year, m.month, m.day = int(f.year), int(f.mon), int(f.day)
	m.hour, m.minute, m.sec, m.micros = int(f.hour), int(f.min), int(f.sec), int(f.micros)
	m.yearDay = int(int32((m.year*12+m.month)*30 + m.day)) // within 32 bits, as PostgreSQL
	return m.format(parseTemplate(format))
}

func (m *moment) format(nodes []node) (string, bool, error) {
	var room [64]byte
	m.out = room[:0]
	for i := range nodes {
		n := &nodes[i]
		if n.id == pNone {
			m.out = append(m.out, n.text...)
			continue
		}
		if m.interval && calendarOnly(n.id) {
			return "", false, sqlerr.New(sqlerr.InvalidDatetimeFormat, "invalid format specification for an interval value").
				WithHint("Intervals are not tied to specific calendar dates.")
		}
		m.node(n)
	}
	return string(m.out), true, nil
}

// calendarOnly lists the patterns that make no sense for intervals.
func calendarOnly(p pattern) bool {
	switch p {
	case pAD, pADDots, pMONTH, pMON, pDAY, pDY, pD, pID, pTZ, pTZH, pTZM, pOF:
		return true
	}
	return false
}

// node appends one field.
func (m *moment) node(n *node) {
	switch n.id {
	case pAM, pAMDots, pAD, pADDots, pMONTH, pMON, pDAY, pDY, pTZ, pRM:
		m.textField(n)
	case pTZH, pTZM, pOF:
		m.zoneField(n)
	case pFX:
	case pYcomma, pYYYY, pYYY, pYY, pY, pIYYY, pIYY, pIY, pI, pCC:
		m.yearField(n)
	default:
		m.numberField(n)
	}
}

// number appends v padded with zeros to width digits, or unpadded, and the ordinal suffix.
func (m *moment) number(n *node, v, width int) {
	if n.fill {
		width = 0
	} else if v < 0 {
		width++
	}
	m.digits(v, width)
	m.ordinal(n, v)
}

// digits appends v padded with zeros to width characters, the sign included.
func (m *moment) digits(v, width int) {
	if v < 0 {
		width--
	}
	m.out = appendPadded(m.out, v, width)
}

// unsigned is number for fields where a sign takes the place of a digit.
func (m *moment) unsigned(n *node, v, width int) {
	if v < 0 {
		width--
	}
	m.number(n, v, width)
}

func (m *moment) ordinal(n *node, v int) {
	if n.th == 0 {
		return
	}
	if v < 0 {
		v = -v
	}
	suffix := "th"
	if v/10%10 != 1 {
		switch v % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	if n.th == 'T' {
		suffix = strings.ToUpper(suffix)
	}
	m.out = append(m.out, suffix...)
}

func (m *moment) numberField(n *node) {
	switch n.id {
	case pHH12:
		h := m.hour % 12
		if h == 0 {
			h = 12
		}
		if m.hour < 0 && h > 0 && m.hour%12 != 0 {
			h = m.hour % 12
		}
		m.number(n, h, 2)
	case pHH24:
		m.number(n, m.hour, 2)
	case pMI:
		m.number(n, m.minute, 2)
	case pSS:
		m.number(n, m.sec, 2)
	case pFF1, pFF2, pFF3, pFF4, pFF5, pFF6:
		digits := int(n.id-pFF1) + 1
		m.fraction(n, digits)
	case pMS:
		m.fraction(n, 3)
	case pUS:
		m.fraction(n, 6)
	case pSSSS:
		v := m.hour*3600 + m.minute*60 + m.sec
		m.plain(n, v)
	default:
		m.dayField(n)
	}
}

// fraction appends the first digits of the fraction of the second.
func (m *moment) fraction(n *node, digits int) {
	v := m.micros
	for range 6 - digits {
		v /= 10
	}
	m.digits(v, digits)
	m.ordinal(n, v)
}

func (m *moment) dayField(n *node) {
	switch n.id {
	case pMM:
		m.number(n, m.month, 2)
	case pDD:
		m.unsigned(n, m.day, 2)
	case pDDD:
		m.unsigned(n, m.yearDay, 3)
	case pIDDD:
		_, _, day := m.iso()
		m.unsigned(n, day, 3)
	case pD:
		m.plain(n, m.weekday+1)
	case pID:
		m.plain(n, (m.weekday+6)%7+1)
	case pWW:
		m.unsigned(n, (m.yearDay-1)/7+1, 2)
	case pIW:
		_, w, _ := m.iso()
		m.unsigned(n, w, 2)
	case pW:
		m.plain(n, (m.day-1)/7+1)
	case pQ:
		if m.month != 0 {
			m.plain(n, (m.month-1)/3+1)
		}
	case pJ:
		m.plain(n, m.julian())
	}
}

func (m *moment) plain(n *node, v int) {
	m.digits(v, 0)
	m.ordinal(n, v)
}

// julian is the Julian day number; of an interval what PostgreSQL's formula makes of its fields.
func (m *moment) julian() int {
	if !m.interval {
		return int(m.days) + epochJulian
	}
	return julianOf(m.year, m.month, m.day)
}

// julianOf is PostgreSQL's formula, which also takes fields that are no date; it stays within 32 bits.
func julianOf(year, month, day int) int {
	y, mo := int32(year), int32(month)
	if mo > 2 {
		mo, y = mo+1, y+4800
	} else {
		mo, y = mo+13, y+4799
	}
	c := y / 100
	j := y*365 - 32167
	j += y/4 - c + c/4
	return int(j + 7834*mo/256 + int32(day))
}

// iso returns year, week and day of the year by ISO 8601; of an interval what PostgreSQL makes of its fields.
func (m *moment) iso() (year, week, day int) {
	if !m.interval {
		year, week = isoWeek(m.days)
		return year, week, int(m.days-isoWeekStart(year)) + 1
	}
	monday := func(year int) int { // of the first week
		fourth := julianOf(year, 1, 4)
		weekday := fourth % 7 // from 0 for Monday
		if weekday < 0 {
			weekday += 7
		}
		return fourth - weekday
	}
	year = m.year
	at, start := julianOf(m.year, m.month, m.day), monday(m.year)
	if at < start {
		year--
		start = monday(year)
	}
	week = (at-start)/7 + 1
	if week >= 52 {
		if next := monday(year + 1); at >= next {
			year, week = year+1, (at-next)/7+1
		}
	}
	return year, week, at - monday(year) + 1
}

func (m *moment) yearField(n *node) {
	year := m.year
	switch n.id {
	case pIYYY, pIYY, pIY, pI:
		year, _, _ = m.iso()
	case pCC:
		m.century(n)
		return
	}
	if !m.interval && year <= 0 {
		year = 1 - year
	}
	number := func(n *node, v, width int) { // there is room for a sign if the interval's years have one
		switch {
		case n.fill:
			width = 0
		case m.interval && m.year < 0:
			width++
		}
		m.digits(v, width)
		m.ordinal(n, v)
	}
	switch n.id {
	case pYcomma:
		m.digits(year/1000, 0)
		m.out = append(m.out, ',')
		m.digits(year%1000, 3)
		m.ordinal(n, year)
	case pYYYY, pIYYY:
		number(n, year, 4)
	case pYYY, pIYY:
		number(n, year%1000, 3)
	case pYY, pIY:
		number(n, year%100, 2)
	case pY, pI:
		m.plain(n, year%10)
	}
}

func (m *moment) century(n *node) {
	c := m.year / 100
	if !m.interval {
		if m.year > 0 {
			c = (m.year-1)/100 + 1
		} else {
			c--
		}
	}
	if c > 99 || c < -99 {
		m.plain(n, c)
		return
	}
	m.number(n, c, 2)
}

// word appends a name in the case of the keyword, padded with blanks to width.
func (m *moment) word(n *node, s string, width int) {
	for _, c := range []byte(s) { // names are ASCII
		switch {
		case n.letter == upper && 'a' <= c && c <= 'z':
			c -= 'a' - 'A'
		case n.letter == lower && 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		m.out = append(m.out, c)
	}
	if n.fill || n.local {
		return
	}
	for i := len(s); i < width; i++ {
		m.out = append(m.out, ' ')
	}
}

func (m *moment) textField(n *node) {
	switch n.id {
	case pAM, pAMDots:
		m.half(n, ((m.hour%24)+24)%24 >= 12 && m.hour >= 0, "pm", "am", n.id == pAMDots)
	case pAD, pADDots:
		m.half(n, m.year <= 0, "bc", "ad", n.id == pADDots)
	case pMONTH:
		m.word(n, fullMonths[m.month-1], 9)
	case pMON:
		m.word(n, fullMonths[m.month-1][:3], 0)
	case pDAY:
		m.word(n, fullDays[m.weekday], 9)
	case pDY:
		m.word(n, fullDays[m.weekday][:3], 0)
	case pTZ:
		m.word(n, m.zone, 0)
	case pRM:
		m.roman(n)
	}
}

func (m *moment) half(n *node, second bool, yes, no string, dots bool) {
	s := no
	if second {
		s = yes
	}
	if dots {
		s = s[:1] + "." + s[1:] + "."
	}
	m.word(n, s, 0)
}

func (m *moment) roman(n *node) {
	if m.month == 0 && m.year == 0 {
		return
	}
	i := m.month - 1
	switch {
	case m.month == 0 && m.year >= 0: // whole years: the last month
		i = 11
	case m.month == 0:
		i = 0
	case m.month < 0: // counted backwards from the end of the year
		i = 12 + m.month
	}
	padded := *n
	padded.local = false // Roman numerals are those of no language
	m.word(&padded, romanMonths[i], 4)
}

func (m *moment) zoneField(n *node) {
	sign, abs := byte('+'), m.east
	if m.east < 0 {
		sign, abs = '-', -m.east
	}
	switch n.id {
	case pTZH:
		m.out = append(m.out, sign)
		m.digits(abs/3600, 2)
	case pTZM:
		m.digits(abs%3600/60, 2)
	case pOF:
		width := 2
		if n.fill {
			width = 0
		}
		m.out = append(m.out, sign)
		m.digits(abs/3600, width)
		if abs%3600 != 0 {
			m.out = append(m.out, ':')
			m.digits(abs%3600/60, 2)
		}
	}
}
