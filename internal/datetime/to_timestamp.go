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
	extra    int  // characters skipped in the text beyond those of the template; may be negative
	minus    bool // the last character skipped is a minus

	hh, mi, ss, ssss     int
	ms, us               int
	clock12              bool
	pm, bc               int // 1: yes
	cc, year, yearDigits int
	month, day, yearDay  int
	weekday, week, wMon  int
	julian               int
	isoDate, gregorian   bool
	zoneSign, tzh, tzm   int // sign 0: there is no zone
	precision            int // of the last FF1 … FF6, 0: there is none
}

// ToTimestamp is to_timestamp(text, format): a timestamptz by the clocks of loc unless the text has an offset.
// Errors: 22007, 22008, 22009.
func ToTimestamp(text, format string, loc *time.Location) (int64, error) {
	r := &reader{text: text, nodes: parseTemplate(format)}
	c, err := r.read(text)
	if err != nil {
		return 0, err
	}
	days := c.days()
	if days < minDate || days > math.MaxInt64/MicrosPerDay-2 { // far beyond timestamps, and within what can be multiplied
		return 0, errRange("timestamp")
	}
	local := days*MicrosPerDay + c.timeOfDay()
	east := r.zoneSign * (r.tzh*3600 + r.tzm*60)
	if r.zoneSign == 0 {
		east = localOffset(local, loc)
	}
	ts, err := shifted(local, -int64(east))
	if err != nil || r.precision == 0 {
		return ts, err
	}
	return RoundTimestamp(ts, int32(r.precision))
}

// ToDate is to_date(text, format). Errors: 22007, 22008, 22009.
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
	r.fixed = r.standard
	for i := range r.nodes {
		n := &r.nodes[i]
		if r.text == "" {
			if r.standard {
				return errValue("input string is too short for datetime format")
			}
			return nil
		}
		if !r.fixed && n.id != pFX && (n.id != pNone || i == 0) {
			r.skipped(r.skipSpace())
		}
		switch {
		case n.id == pNone && r.standard:
			if err := r.exactly(n); err != nil {
				return err
			}
		case n.id != pNone:
			if n.id == pFX {
				r.fixed = true
			} else if err := r.field(n, i); err != nil {
				return err
			}
			if !r.fixed {
				r.extra, r.minus = 0, false
				r.skipped(r.skipSpace())
			}
		case r.fixed:
			r.skipRune()
		case n.space || n.separator:
			r.extra--
			if r.text != "" && (isSpace(r.text[0]) || isSeparator(r.text[0])) {
				r.minus = r.text[0] == '-'
				r.text = r.text[1:]
				r.extra++
			}
		case r.extra > 0:
			r.extra--
		default:
			r.minus = r.text != "" && r.text[0] == '-'
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

// skipped notes that blanks of the text were skipped that the template may still account for.
func (r *reader) skipped(blanks int) {
	r.extra += blanks
	if blanks > 0 {
		r.minus = false
	}
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

// integer takes a number into dst, nil for one that does not matter: of exactly width characters where more digits may
// follow, else as many digits as there are. used counts what was taken, blanks in front included.
func (r *reader) integer(dst *int, width, i int) (used int, err error) {
	n, before := &r.nodes[i], len(r.text)
	blanks := r.skipSpace()
	field := r.text[:min(width, len(r.text))]
	size := intPrefix(field)
	if n.fill || r.nextIsBoundary(i) {
		if size = intPrefix(r.text); size == 0 {
			blanks = 0
		}
	} else {
		if len(field) < width {
			return 0, errValue("source string too short for \"%s\" formatting field", n.name).
				WithDetail("Field requires %d characters, but only %d remain.", width, len(field)).WithHint(hintFM)
		}
		if size > 0 && size < width {
			return 0, errValue("invalid value \"%s\" for \"%s\"", field, n.name).
				WithDetail("Field requires %d characters, but only %d could be parsed.", width, size).WithHint(hintFM)
		}
	}
	if size+blanks == 0 {
		return 0, errValue("invalid value \"%s\" for \"%s\"", field, n.name).WithDetail("Value must be an integer.")
	}
	v := int64(0) // of blanks alone
	if size > 0 {
		if v, err = strconv.ParseInt(r.text[:size], 10, 64); err != nil || v > math.MaxInt32 || v < math.MinInt32 {
			return 0, sqlerr.New(sqlerr.DatetimeFieldOverflow, "value for \"%s\" in source string is out of range", n.name).
				WithDetail("Value must be in the range %d to %d.", math.MinInt32, math.MaxInt32)
		}
	}
	r.text = r.text[size:]
	if used = before - len(r.text); dst == nil {
		return used, nil
	}
	return used, r.assign(dst, int(v), n)
}

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
	case pDDD, pMM, pMONTH, pMON, pDD, pD, pWW, pW, pYYYY, pYYY, pYY, pY, pYcomma, pRM:
		r.gregorian = true
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
		_, err = r.integer(&r.ssss, len(n.name), i)
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
		r.skipRune()
		r.skipRune()
	}
}

func (r *reader) millis(i int) error {
	used, err := r.integer(&r.ms, 3, i)
	if err == nil {
		for ; used < 3; used++ { // 25 is 0.25, so 250 ms
			r.ms *= 10
		}
	}
	return err
}

func (r *reader) micros(n *node, i int) error {
	width := 6
	if n.id != pUS {
		width = int(n.id-pFF1) + 1
		r.precision = width
	}
	used, err := r.integer(&r.us, width, i)
	if err == nil {
		for ; used < 6; used++ {
			r.us *= 10
		}
	}
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
		dst, width = &r.julian, 1
	case pQ:
		// The quarter says nothing more than the month does: it is read and not used.
		dst, width = nil, 1
	}
	_, err := r.integer(dst, width, i)
	if err != nil {
		return err
	}
	if n.id == pID { // from 1 for Sunday, as D counts
		if r.weekday++; r.weekday > 7 {
			r.weekday = 1
		}
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
	used, err := r.integer(&r.year, width, i)
	if err != nil {
		return err
	}
	if width < 4 && used < 4 {
		r.year = fullYear(r.year)
	}
	r.yearDigits = width
	r.skipOrdinal(n)
	return nil
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

// yearComma reads thousands, a comma and up to three digits.
func (r *reader) yearComma(n *node) error {
	number := func(width int) (int, bool) {
		r.skipSpace()
		size := intPrefix(r.text[:min(width, len(r.text))])
		v, err := strconv.ParseInt(r.text[:size], 10, 32)
		r.text = r.text[size:]
		return int(v), err == nil
	}
	bad := errValue("invalid input string for \"Y,YYY\"")
	thousands, ok := number(len(r.text))
	if !ok || !strings.HasPrefix(r.text, ",") {
		return bad
	}
	r.text = r.text[1:]
	rest, ok := number(3)
	if !ok {
		return bad
	}
	r.yearDigits = 4
	err := r.assign(&r.year, thousands*1000+rest, n)
	r.skipOrdinal(n)
	return err
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
		r.clock12 = true
		return r.assign(&r.pm, i, n)
	case pAD, pADDots:
		return r.assign(&r.bc, i, n)
	case pMONTH, pMON, pRM:
		return r.assign(&r.month, i+1, n)
	case pDAY, pDY:
		err := r.assign(&r.weekday, i, n)
		r.weekday++ // from 1 for Sunday: a second name of a day never agrees with the first
		return err
	}
	return nil
}

func (r *reader) zoneField(n *node, i int) error {
	switch n.id {
	case pTZ, pOF:
		return sqlerr.New(sqlerr.FeatureNotSupported, "formatting field \"%s\" is only supported in to_char", n.name)
	case pTZM:
		if r.zoneSign == 0 {
			r.zoneSign = 1
		}
		_, err := r.integer(&r.tzm, 2, i)
		return err
	}
	r.zoneSign = 1
	switch {
	case r.text != "" && (r.text[0] == '+' || r.text[0] == '-' || r.text[0] == ' '):
		if r.text[0] == '-' {
			r.zoneSign = -1
		}
		r.text = r.text[1:]
	case r.extra > 0 && r.minus: // the sign was taken for a separator
		r.zoneSign = -1
	}
	_, err := r.integer(&r.tzh, 2, i)
	return err
}

func errTimestampText(text string) error {
	return sqlerr.New(sqlerr.DatetimeFieldOverflow, "date/time field value out of range: \"%s\"", text)
}

// assemble makes a date and time of the fields.
func (r *reader) assemble(text string) (civil, error) {
	c := civil{month: 1, day: 1, hour: r.ssss / 3600, minute: r.ssss % 3600 / 60, sec: r.ssss % 60}
	for _, f := range []struct {
		dst *int
		v   int
	}{{&c.hour, r.hh}, {&c.minute, r.mi}, {&c.sec, r.ss}} {
		if f.v != 0 {
			*f.dst = f.v
		}
	}
	if r.clock12 {
		if c.hour < 1 || c.hour > 12 {
			return c, errValue("hour \"%d\" is invalid for the 12-hour clock", c.hour).
				WithHint("Use the 24-hour clock, or give an hour between 1 and 12.")
		}
		if r.pm != 0 && c.hour < 12 {
			c.hour += 12
		} else if r.pm == 0 && c.hour == 12 {
			c.hour = 0
		}
	}
	r.fullYear(&c)
	if err := r.fullDate(&c, text); err != nil {
		return c, err
	}
	c.micros = r.ms*1000 + r.us
	if c.hour < 0 || c.hour >= 24 || c.minute < 0 || c.minute > 59 || c.sec < 0 || c.sec > 59 || c.micros < 0 || c.micros >= int(MicrosPerSecond) {
		return c, errTimestampText(text)
	}
	if r.zoneSign != 0 && (r.tzh > 15 || r.tzm > 59 || r.tzh < 0 || r.tzm < 0) {
		return c, sqlerr.New(sqlerr.InvalidTimeZoneDisplacement, "time zone displacement out of range: \"%s\"", text)
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
			if r.bc != 0 {
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
		c.year = r.year
		if r.bc != 0 {
			c.year = -c.year
		}
		if c.year < 0 {
			c.year++
		}
	case r.cc != 0:
		cc := r.cc
		if r.bc != 0 {
			cc = -cc
		}
		if cc >= 0 {
			c.year = (cc-1)*100 + 1
		} else {
			c.year = cc*100 + 1
		}
	}
}

// fullDate works out month and day from Julian day, weeks or the day of the year, and checks what was given.
func (r *reader) fullDate(c *civil, text string) error {
	haveYear, haveMonth, haveDay := r.year != 0 || r.cc != 0, false, false
	fromDays := func(days int64) {
		c.year, c.month, c.day = CivilFromDays(days)
		haveYear, haveMonth, haveDay = true, true, true
	}
	if r.julian != 0 {
		fromDays(int64(r.julian) - epochJulian)
	}
	switch {
	case r.week != 0 && r.isoDate:
		day := isoWeekStart(c.year) + int64(r.week-1)*7
		if r.weekday > 1 {
			day += int64(r.weekday - 2)
		} else if r.weekday != 0 {
			day += 6
		}
		fromDays(day)
	case r.week != 0:
		r.yearDay = (r.week-1)*7 + 1
	}
	if r.wMon != 0 {
		r.day = (r.wMon-1)*7 + 1
	}
	if r.day != 0 {
		c.day, haveDay = r.day, true
	}
	if r.month != 0 {
		c.month, haveMonth = r.month, true
	}
	if r.yearDay != 0 && (c.month <= 1 || c.day <= 1) {
		if c.year == 0 && r.bc == 0 {
			return errValue("cannot calculate day of year without year information")
		}
		if r.isoDate {
			fromDays(isoWeekStart(c.year) + int64(r.yearDay) - 1)
		} else {
			r.fromYearDay(c)
			haveMonth, haveDay = true, true
		}
	}
	if haveMonth && (c.month < 1 || c.month > 12) || haveDay && (c.day < 1 || c.day > 31) ||
		haveYear && haveMonth && haveDay && c.day > daysInMonth(c.year, c.month) {
		return errTimestampText(text)
	}
	return nil
}

// fromYearDay sets month and day, where they are not given, by the day of the year. One behind the year's end is in a
// thirteenth month.
func (r *reader) fromYearDay(c *civil) {
	month, before := 1, 0
	for ; month <= 12; month++ {
		days := daysInMonth(c.year, month)
		if r.yearDay <= before+days {
			break
		}
		before += days
	}
	if c.month <= 1 {
		c.month = month
	}
	if c.day <= 1 {
		c.day = r.yearDay - before
	}
}
