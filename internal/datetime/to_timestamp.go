package datetime

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/sqlerr"
)

// reader takes the fields of a template from text. Fields that were not seen are 0, as in PostgreSQL.
type reader struct {
	text  string
	fixed bool // FX
	// standard: every character of the template must be met, and nothing may be left.
	standard bool
	nodes    []node

	hh, mi, ss, ssss     int
	ms, us               int
	clock12, pm, bc      bool
	cc, year, yearDigits int
	month, day, yearDay  int
	weekday, week, wMon  int
	julian               int
	isoDate, gregorian   bool
	zoneSign, tzh, tzm   int
	haveZone             bool
}

// ToTimestamp is to_timestamp(text, format): a timestamptz by the clocks of loc unless the text has an offset.
// Errors: 22007, 22008.
func ToTimestamp(text, format string, loc *time.Location) (int64, error) {
	r := &reader{text: text, nodes: parseTemplate(format)}
	c, err := r.read(text)
	if err != nil {
		return 0, err
	}
	local := c.days()*MicrosPerDay + c.timeOfDay()
	east := 0
	if r.haveZone {
		east = r.zoneSign * (r.tzh*3600 + r.tzm*60)
	} else {
		east = localOffset(local, loc)
	}
	return shifted(local, -int64(east))
}

// ToDate is to_date(text, format). Errors: 22007, 22008.
func ToDate(text, format string) (int64, error) {
	r := &reader{text: text, nodes: parseTemplate(format)}
	c, err := r.read(text)
	if err != nil {
		return 0, err
	}
	days := c.days()
	if days < minDate || days >= endDate {
		return 0, sqlerr.New(sqlerr.DatetimeFieldOverflow, "date out of range: \"%s\"", text)
	}
	return days, nil
}

func (r *reader) read(text string) (civil, error) {
	if err := r.fields(); err != nil {
		return civil{}, err
	}
	return r.assemble(text)
}

func errValue(format string, args ...any) *sqlerr.Error {
	return sqlerr.New(sqlerr.InvalidDatetimeFormat, format, args...)
}

func (r *reader) skipSpace() (n int) {
	for r.text != "" && isSpace(r.text[0]) {
		r.text = r.text[1:]
		n++
	}
	return n
}

func (r *reader) skipRune() {
	_, n := utf8.DecodeRuneInString(r.text)
	r.text = r.text[n:]
}

// fields matches the text against the template.
func (r *reader) fields() error {
	for _, n := range r.nodes {
		if n.id == pFX {
			r.fixed = true
		}
	}
	r.fixed = r.fixed || r.standard
	extra := 0 // blanks skipped in the text that the template may still account for
	for i := range r.nodes {
		n := &r.nodes[i]
		if r.text == "" {
			if r.standard {
				return errValue("input string is too short for datetime format")
			}
			return nil
		}
		if !r.fixed && (n.id != pNone || i == 0 || n.space || n.separator) && n.id != pFX {
			extra += r.skipSpace()
		}
		switch {
		case n.id == pFX:
		case n.id == pNone && r.standard:
			if err := r.exactly(n); err != nil {
				return err
			}
		case n.id != pNone:
			if err := r.field(n, i); err != nil {
				return err
			}
			if !r.fixed {
				extra = r.skipSpace()
			}
		case n.space || n.separator:
			if r.fixed {
				r.skipRune()
				continue
			}
			extra--
			if r.text != "" && (isSpace(r.text[0]) || isSeparator(r.text[0])) {
				r.text = r.text[1:]
				extra++
			}
		case !r.fixed && extra > 0:
			extra--
		default:
			r.skipRune()
		}
	}
	if r.standard {
		if r.skipSpace(); r.text != "" {
			return errValue("trailing characters remain in input string after datetime format")
		}
	}
	return nil
}

// exactly takes a literal of the template in standard mode.
func (r *reader) exactly(n *node) error {
	rest, ok := strings.CutPrefix(r.text, n.text)
	if !ok {
		what := "character"
		if n.space || n.separator {
			what = "separator"
		}
		return errValue("unmatched format %s \"%s\"", what, n.text)
	}
	r.text = rest
	return nil
}

// nextIsBoundary reports whether what follows node i cannot continue a number.
func (r *reader) nextIsBoundary(i int) bool {
	if r.nodes[i].th != 0 || i+1 == len(r.nodes) {
		return true
	}
	next := &r.nodes[i+1]
	if next.id != pNone {
		return !next.digit
	}
	return !(len(next.text) == 1 && isDigit(next.text[0]))
}

const hintFM = "If your source string is not fixed-width, try using the \"FM\" modifier."

// integer takes a number of at most width digits into dst; used counts what was taken.
func (r *reader) integer(dst *int, width, i int) (used int, err error) {
	n := &r.nodes[i]
	r.skipSpace()
	s := r.text
	var v int64
	if n.fill || n.id == pJ || r.nextIsBoundary(i) {
		used = intPrefix(s)
	} else {
		field := firstChars(s, width)
		if len(field) < width {
			return 0, errValue("source string too short for \"%s\" formatting field", n.name).
				WithDetail("Field requires %d characters, but only %d remain.", width, len(field)).WithHint(hintFM)
		}
		used = intPrefix(field)
		if used > 0 && used < width {
			return 0, errValue("invalid value \"%s\" for \"%s\"", field, n.name).
				WithDetail("Field requires %d characters, but only %d could be parsed.", width, used).WithHint(hintFM)
		}
	}
	if used == 0 {
		return 0, errValue("invalid value \"%s\" for \"%s\"", firstChars(s, width), n.name).WithDetail("Value must be an integer.")
	}
	v, perr := strconv.ParseInt(strings.TrimLeft(s[:used], " \t\n\v\f\r"), 10, 64)
	if perr != nil || v > math.MaxInt32 || v < math.MinInt32 {
		return 0, sqlerr.New(sqlerr.DatetimeFieldOverflow, "value for \"%s\" in source string is out of range", n.name).
			WithDetail("Value must be in the range %d to %d.", math.MinInt32, math.MaxInt32)
	}
	r.text = s[used:]
	return used, r.assign(dst, int(v), n)
}

func firstChars(s string, n int) string { return s[:min(n, len(s))] }

// intPrefix is how much of s strtol would read.
func intPrefix(s string) int {
	i := 0
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		i++
	}
	from := i
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	if i == from {
		return 0
	}
	return i
}

// assign stores a field; another value for it is an error.
func (r *reader) assign(dst *int, v int, n *node) error {
	if *dst != 0 && *dst != v {
		return errValue("conflicting values for \"%s\" field in formatting string", n.name).
			WithDetail("This value contradicts a previous setting for the same field type.")
	}
	*dst = v
	return nil
}

// calendar notes whether the template counts in ISO weeks or in the usual calendar; mixing them is an error.
func (r *reader) calendar(n *node) error {
	switch n.id {
	case pIYYY, pIYY, pIY, pI, pIW, pIDDD, pID:
		r.isoDate = true
	case pDDD, pMM, pMONTH, pMON, pDD, pD, pDAY, pDY, pWW, pW, pYYYY, pYYY, pYY, pY, pYcomma, pCC, pRM:
		switch n.id {
		case pDAY, pDY:
		default:
			r.gregorian = true
		}
	}
	if r.isoDate && r.gregorian {
		return errValue("invalid combination of date conventions").
			WithHint("Do not mix Gregorian and ISO week date conventions in a formatting template.")
	}
	return nil
}

func (r *reader) field(n *node, i int) error {
	if err := r.calendar(n); err != nil {
		return err
	}
	var err error
	switch n.id {
	case pHH12:
		r.clock12 = true
		_, err = r.integer(&r.hh, 2, i)
	case pHH24:
		_, err = r.integer(&r.hh, 2, i)
	case pMI:
		_, err = r.integer(&r.mi, 2, i)
	case pSS:
		_, err = r.integer(&r.ss, 2, i)
	case pMS:
		err = r.millis(i)
	case pUS, pFF1, pFF2, pFF3, pFF4, pFF5, pFF6:
		err = r.micros(n, i)
	case pSSSS:
		_, err = r.integer(&r.ssss, 5, i)
	case pAM, pAMDots, pAD, pADDots, pMONTH, pMON, pDAY, pDY, pRM:
		return r.word(n)
	case pTZ, pOF, pTZH, pTZM:
		return r.zoneField(n, i)
	case pYcomma, pYYYY, pIYYY, pYYY, pIYY, pYY, pIY, pY, pI, pCC:
		return r.yearField(n, i)
	default:
		return r.dayField(n, i)
	}
	if err == nil {
		r.skipOrdinal(n)
	}
	return err
}

func (r *reader) skipOrdinal(n *node) {
	if n.th != 0 {
		r.text = r.text[min(2, len(r.text)):]
	}
}

func (r *reader) millis(i int) error {
	used, err := r.integer(&r.ms, 3, i)
	if err == nil {
		for ; used < 3; used++ { // 25 is 0.25, so 250 ms
			r.ms *= 10
		}
	}
	r.skipOrdinal(&r.nodes[i])
	return err
}

func (r *reader) micros(n *node, i int) error {
	width := 6
	if n.id != pUS {
		width = int(n.id-pFF1) + 1
	}
	used, err := r.integer(&r.us, width, i)
	if err == nil {
		for ; used < 6; used++ {
			r.us *= 10
		}
	}
	r.skipOrdinal(n)
	return err
}

func (r *reader) dayField(n *node, i int) error {
	dst, width := &r.day, 2
	switch n.id {
	case pMM:
		dst = &r.month
	case pDDD, pIDDD:
		dst, width = &r.yearDay, 3
	case pD, pID:
		dst, width = &r.weekday, 1
	case pWW, pIW:
		dst = &r.week
	case pW:
		dst, width = &r.wMon, 1
	case pJ:
		dst, width = &r.julian, 10
	case pQ:
		// The quarter says nothing more than the month does: it is read and not used.
		var ignored int
		dst, width = &ignored, 1
	}
	_, err := r.integer(dst, width, i)
	if err != nil {
		return err
	}
	if n.id == pID && r.weekday == 7 {
		r.weekday = 0
	}
	if n.id == pID {
		r.weekday++ // from 1 for Sunday, as D counts
	}
	r.skipOrdinal(n)
	return nil
}

func (r *reader) yearField(n *node, i int) error {
	switch n.id {
	case pCC:
		_, err := r.integer(&r.cc, 2, i)
		r.skipOrdinal(n)
		return err
	case pYcomma:
		return r.yearComma(n)
	}
	width := map[pattern]int{pYYYY: 4, pIYYY: 4, pYYY: 3, pIYY: 3, pYY: 2, pIY: 2, pY: 1, pI: 1}[n.id]
	year := 0
	used, err := r.integer(&year, width, i)
	if err != nil {
		return err
	}
	if width < 4 && used < 4 {
		year = fullYear(year)
	}
	r.yearDigits = width
	r.skipOrdinal(n)
	return r.assign(&r.year, year, n)
}

// fullYear completes a year of fewer than four digits to the one nearest to 2020.
func fullYear(y int) int {
	switch {
	case y < 70:
		return y + 2000
	case y < 100:
		return y + 1900
	case y < 520:
		return y + 2000
	case y < 1000:
		return y + 1000
	}
	return y
}

func (r *reader) yearComma(n *node) error {
	head, tail, found := strings.Cut(r.text, ",")
	thousands, err1 := strconv.Atoi(head)
	used := intPrefix(tail)
	rest, err2 := strconv.Atoi(tail[:min(used, 3)])
	if !found || err1 != nil || err2 != nil {
		return errValue("invalid input string for \"Y,YYY\"")
	}
	r.text = tail[min(used, 3):]
	r.yearDigits = 4
	r.skipOrdinal(n)
	return r.assign(&r.year, thousands*1000+rest, n)
}

// pick finds the longest of names that the text begins with, whatever the case.
func (r *reader) pick(n *node, names []string) (int, error) {
	best, size := -1, 0
	for i, name := range names {
		if len(name) > size && len(r.text) >= len(name) && strings.EqualFold(r.text[:len(name)], name) {
			best, size = i, len(name)
		}
	}
	if best < 0 {
		word := r.text
		if i := strings.IndexFunc(word, func(c rune) bool { return c < 0x80 && isSpace(byte(c)) }); i >= 0 {
			word = word[:i]
		}
		return 0, errValue("invalid value \"%s\" for \"%s\"", word, n.name).
			WithDetail("The given value did not match any of the allowed values for this field.")
	}
	r.text = r.text[size:]
	return best, nil
}

func shortNames(names []string) []string {
	out := make([]string, len(names))
	for i, s := range names {
		out[i] = s[:3]
	}
	return out
}

func (r *reader) word(n *node) error {
	names := map[pattern][]string{
		pAM: {"am", "pm"}, pAMDots: {"a.m.", "p.m."}, pAD: {"ad", "bc"}, pADDots: {"a.d.", "b.c."},
		pMONTH: fullMonths[:], pMON: shortNames(fullMonths[:]), pDAY: fullDays[:], pDY: shortNames(fullDays[:]), pRM: romanMonths[:],
	}[n.id]
	i, err := r.pick(n, names)
	if err != nil {
		return err
	}
	switch n.id {
	case pAM, pAMDots:
		r.pm, r.clock12 = i == 1, true
	case pAD, pADDots:
		r.bc = i == 1
	case pMONTH, pMON, pRM:
		return r.assign(&r.month, i+1, n)
	case pDAY, pDY:
		return r.assign(&r.weekday, i+1, n)
	}
	return nil
}

func (r *reader) zoneField(n *node, i int) error {
	switch n.id {
	case pTZ, pOF:
		return sqlerr.New(sqlerr.FeatureNotSupported, "formatting field \"%s\" is only supported in to_char", strings.ToUpper(n.name))
	case pTZM:
		r.haveZone = true
		if r.zoneSign == 0 {
			r.zoneSign = 1
		}
		_, err := r.integer(&r.tzm, 2, i)
		return err
	}
	r.haveZone, r.zoneSign = true, 1
	if r.text != "" && (r.text[0] == '+' || r.text[0] == '-' || r.text[0] == ' ') {
		if r.text[0] == '-' {
			r.zoneSign = -1
		}
		r.text = r.text[1:]
	}
	_, err := r.integer(&r.tzh, 2, i)
	return err
}

func errTimestampText(text string) error {
	return sqlerr.New(sqlerr.DatetimeFieldOverflow, "date/time field value out of range: \"%s\"", text)
}

// assemble makes a date and time of the fields.
func (r *reader) assemble(text string) (civil, error) {
	c := civil{year: r.year, month: r.month, day: r.day, hour: r.hh, minute: r.mi, sec: r.ss}
	if r.ssss != 0 {
		c.hour, c.minute, c.sec = r.ssss/3600, r.ssss%3600/60, r.ssss%60
	}
	if r.clock12 {
		if c.hour < 1 || c.hour > 12 {
			return c, errValue("hour \"%d\" is invalid for the 12-hour clock", c.hour).
				WithHint("Use the 24-hour clock, or give an hour between 1 and 12.")
		}
		if r.pm && c.hour < 12 {
			c.hour += 12
		} else if !r.pm && c.hour == 12 {
			c.hour = 0
		}
	}
	r.fullYear(&c)
	if err := r.fullDate(&c, text); err != nil {
		return c, err
	}
	c.micros = r.ms*1000 + r.us
	if c.hour < 0 || c.hour >= 24 || c.minute < 0 || c.minute > 59 || c.sec < 0 || c.sec > 59 ||
		c.micros < 0 || c.micros >= int(MicrosPerSecond) || r.tzh > 15 || r.tzm > 59 || r.tzh < 0 || r.tzm < 0 {
		return c, errTimestampText(text)
	}
	return c, nil
}

// fullYear works out the year from year, century and era; a missing year is 1 BC.
func (r *reader) fullYear(c *civil) {
	switch {
	case r.year != 0:
		if r.cc != 0 && r.yearDigits <= 2 {
			// The century and the year within it; 2000 belongs to the 20th.
			cc := r.cc
			if r.bc {
				cc = -cc
			}
			c.year = r.year % 100
			if c.year != 0 {
				if cc >= 0 {
					c.year += (cc - 1) * 100
				} else {
					c.year = (cc+1)*100 - c.year + 1
				}
			} else {
				c.year = cc * 100
				if cc < 0 {
					c.year++
				}
			}
			return
		}
		if r.bc {
			c.year = -c.year
		}
		if c.year < 0 {
			c.year++
		}
	case r.cc != 0:
		cc := r.cc
		if r.bc {
			cc = -cc
		}
		if cc >= 0 {
			c.year = (cc-1)*100 + 1
		} else {
			c.year = cc*100 + 1
		}
	}
}

// fullDate works out month and day from Julian day, weeks or the day of the year.
func (r *reader) fullDate(c *civil, text string) error {
	fromDays := func(days int64) { c.year, c.month, c.day = CivilFromDays(days) }
	have := r.year != 0 || r.cc != 0
	if r.julian != 0 {
		fromDays(int64(r.julian) - epochJulian)
		have = true
	}
	if r.week != 0 {
		if r.isoDate {
			monday := isoWeekStart(c.year) + int64(r.week-1)*7
			if r.weekday > 0 {
				monday += int64((r.weekday + 5) % 7)
			}
			fromDays(monday)
			have = true
		} else {
			r.yearDay = (r.week-1)*7 + 1
		}
	}
	if r.wMon != 0 {
		c.day = (r.wMon-1)*7 + 1
	}
	if r.yearDay != 0 && (c.month <= 1 || c.day <= 1) && r.julian == 0 {
		if !have {
			return errValue("cannot calculate day of year without year information")
		}
		start := DaysFromCivil(c.year, 1, 1)
		if r.isoDate {
			start = isoWeekStart(c.year)
		}
		limit := 365
		if isLeap(c.year) {
			limit = 366
		}
		if r.yearDay < 1 || !r.isoDate && r.yearDay > limit {
			return errTimestampText(text)
		}
		fromDays(start + int64(r.yearDay) - 1)
	}
	if c.month == 0 {
		c.month = 1
	}
	if c.day == 0 {
		c.day = 1
	}
	if c.month < 1 || c.month > 12 || c.day < 1 || c.day > daysInMonth(c.year, c.month) {
		return errTimestampText(text)
	}
	return nil
}
