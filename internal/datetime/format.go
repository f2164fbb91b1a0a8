package datetime

import (
	"strconv"
)

// appendPadded appends v with at least width digits.
func appendPadded(dst []byte, v, width int) []byte {
	if width == 4 && v >= 0 && v < 10000 {
		return append(dst, byte('0'+v/1000), byte('0'+v/100%10), byte('0'+v/10%10), byte('0'+v%10))
	}
	if v < 0 {
		dst, v = append(dst, '-'), -v
	}
	limit := 1
	for range width - 1 {
		limit *= 10
	}
	for ; limit > 1 && v < limit; limit /= 10 {
		dst = append(dst, '0')
	}
	return strconv.AppendInt(dst, int64(v), 10)
}

func appendTwo(dst []byte, v int) []byte {
	if v > 99 || v < 0 {
		return appendPadded(dst, v, 2)
	}
	return append(dst, byte('0'+v/10), byte('0'+v%10))
}

// AppendDate appends a date in the style of st.
func AppendDate(dst []byte, d int64, st *Settings) []byte {
	switch d {
	case DateInfinity:
		return append(dst, "infinity"...)
	case DateNegInfinity:
		return append(dst, "-infinity"...)
	}
	y, m, day := CivilFromDays(d)
	dst = appendCivil(dst, y, m, day, st.DateStyle)
	return appendEra(dst, y)
}

func appendEra(dst []byte, year int) []byte {
	if year <= 0 {
		return append(dst, " BC"...)
	}
	return dst
}

// appendCivil appends a date without the era.
func appendCivil(dst []byte, y, m, d int, style DateStyle) []byte {
	if y <= 0 {
		y = 1 - y
	}
	sep := byte('-')
	switch style.Format {
	case ISO:
		dst = appendPadded(dst, y, 4)
		return append(dst, sep, byte('0'+m/10), byte('0'+m%10), sep, byte('0'+d/10), byte('0'+d%10))
	case SQL:
		sep = '/'
	case German:
		sep = '.'
	}
	if style.Format == German || style.Order == DMY {
		m, d = d, m
	}
	dst = append(appendTwo(dst, m), sep)
	dst = append(appendTwo(dst, d), sep)
	return appendPadded(dst, y, 4)
}

// appendClock appends hh:mm:ss and the fraction without trailing zeros.
func appendClock(dst []byte, c *civil) []byte {
	dst = append(dst, byte('0'+c.hour/10), byte('0'+c.hour%10), ':', byte('0'+c.minute/10), byte('0'+c.minute%10), ':',
		byte('0'+c.sec/10), byte('0'+c.sec%10))
	return appendFraction(dst, c.micros)
}

func appendFraction(dst []byte, micros int) []byte {
	if micros == 0 {
		return dst
	}
	var digits [6]byte
	for i := 5; i >= 0; i-- {
		digits[i] = byte('0' + micros%10)
		micros /= 10
	}
	n := 6
	for digits[n-1] == '0' {
		n--
	}
	return append(append(dst, '.'), digits[:n]...)
}

// appendOffset appends ±hh[:mm[:ss]].
func appendOffset(dst []byte, east int) []byte {
	sign := byte('+')
	if east < 0 {
		sign, east = '-', -east
	}
	dst = appendTwo(append(dst, sign), east/3600)
	if east%3600 != 0 {
		dst = appendTwo(append(dst, ':'), east%3600/60)
	}
	if east%60 != 0 {
		dst = appendTwo(append(dst, ':'), east%60)
	}
	return dst
}

// AppendTime appends a time of day.
func AppendTime(dst []byte, t int64) []byte {
	var c civil
	c.setTime(t)
	return appendClock(dst, &c)
}

// AppendTimetz appends a time with its offset.
func AppendTimetz(dst []byte, t int64) []byte {
	micros, west := UnpackTimetz(t)
	return appendOffset(AppendTime(dst, micros), -int(west))
}

// AppendTimestamp appends a timestamp in the style of st.
func AppendTimestamp(dst []byte, ts int64, st *Settings) []byte {
	if !IsFiniteTimestamp(ts) {
		return appendInfinite(dst, ts)
	}
	c := breakDown(ts)
	return appendEra(appendCivilTime(dst, &c, st.DateStyle), c.year)
}

func appendInfinite(dst []byte, ts int64) []byte {
	if ts < 0 {
		dst = append(dst, '-')
	}
	return append(dst, "infinity"...)
}

// AppendTimestamptz appends a timestamptz in the style and time zone of st.
func AppendTimestamptz(dst []byte, ts int64, st *Settings) []byte {
	if !IsFiniteTimestamp(ts) {
		return appendInfinite(dst, ts)
	}
	east, abbrev := offsetAt(ts, st.location())
	c := breakDown(ts + int64(east)*MicrosPerSecond)
	dst = appendCivilTime(dst, &c, st.DateStyle)
	if st.DateStyle.Format == ISO {
		return appendEra(appendOffset(dst, east), c.year)
	}
	dst = append(dst, ' ')
	dst = append(dst, abbrev[:min(len(abbrev), 10)]...)
	return appendEra(dst, c.year)
}

const (
	dayNames   = "SunMonTueWedThuFriSat"
	monthNames = "JanFebMarAprMayJunJulAugSepOctNovDec"
)

func appendCivilTime(dst []byte, c *civil, style DateStyle) []byte {
	if style.Format != Postgres {
		dst = append(appendCivil(dst, c.year, c.month, c.day, style), ' ')
		return appendClock(dst, c)
	}
	w := 3 * weekday(c.days())
	m := 3 * (c.month - 1)
	dst = append(append(dst, dayNames[w:w+3]...), ' ')
	if style.Order == DMY {
		dst = append(appendTwo(dst, c.day), ' ')
		dst = append(dst, monthNames[m:m+3]...)
	} else {
		dst = append(append(dst, monthNames[m:m+3]...), ' ')
		dst = appendTwo(dst, c.day)
	}
	dst = append(appendClock(append(dst, ' '), c), ' ')
	year := c.year
	if year <= 0 {
		year = 1 - year
	}
	return appendPadded(dst, year, 4)
}

// intervalFields are the fields of an interval as printed; all have their own sign.
type intervalFields struct {
	year, mon, day, hour int64
	min, sec, micros     int64
}

func (a Interval) fields() intervalFields {
	t := a.Micros
	return intervalFields{
		year: int64(a.Months / 12), mon: int64(a.Months % 12), day: int64(a.Days),
		hour: t / MicrosPerHour, min: t % MicrosPerHour / MicrosPerMinute,
		sec: t % MicrosPerMinute / MicrosPerSecond, micros: t % MicrosPerSecond,
	}
}

func abs64(v int64) int64 {
	if v < 0 {
		return -v
	}
	return v
}

// appendSeconds appends |seconds| with the fraction, with two digits before the point if fill is set.
func (f *intervalFields) appendSeconds(dst []byte, fill bool) []byte {
	if fill {
		dst = appendTwo(dst, int(abs64(f.sec)))
	} else {
		dst = strconv.AppendInt(dst, abs64(f.sec), 10)
	}
	return appendFraction(dst, int(abs64(f.micros)))
}

func (f *intervalFields) hasTime() bool { return f.hour|f.min|f.sec|f.micros != 0 }

// AppendInterval appends an interval in the style of st.
func AppendInterval(dst []byte, iv Interval, st *Settings) []byte {
	f := iv.fields()
	switch st.IntervalStyle {
	case StylePostgresVerbose:
		return f.verbose(dst)
	case StyleSQLStandard:
		return f.sqlStandard(dst)
	case StyleISO8601:
		return f.iso(dst)
	}
	return f.postgres(dst)
}

func (f *intervalFields) postgres(dst []byte) []byte {
	zero, before := true, false
	part := func(v int64, name string) {
		if v == 0 {
			return
		}
		if !zero {
			dst = append(dst, ' ')
		}
		if before && v > 0 {
			dst = append(dst, '+')
		}
		dst = append(strconv.AppendInt(dst, v, 10), ' ')
		dst = append(dst, name...)
		if v != 1 {
			dst = append(dst, 's')
		}
		before, zero = v < 0, false
	}
	part(f.year, "year")
	part(f.mon, "mon")
	part(f.day, "day")
	if !zero && !f.hasTime() {
		return dst
	}
	if !zero {
		dst = append(dst, ' ')
	}
	if f.hour < 0 || f.min < 0 || f.sec < 0 || f.micros < 0 {
		dst = append(dst, '-')
	} else if before {
		dst = append(dst, '+')
	}
	dst = append(appendTwo(dst, int(abs64(f.hour))), ':')
	dst = append(appendTwo(dst, int(abs64(f.min))), ':')
	return f.appendSeconds(dst, true)
}

func (f *intervalFields) verbose(dst []byte) []byte {
	zero, before := true, false
	dst = append(dst, '@')
	part := func(v int64, name string) {
		if v == 0 {
			return
		}
		if zero {
			before = v < 0
			v = abs64(v)
		} else if before {
			v = -v
		}
		dst = strconv.AppendInt(append(dst, ' '), v, 10)
		dst = append(append(dst, ' '), name...)
		if v != 1 {
			dst = append(dst, 's')
		}
		zero = false
	}
	part(f.year, "year")
	part(f.mon, "mon")
	part(f.day, "day")
	part(f.hour, "hour")
	part(f.min, "min")
	if f.sec|f.micros != 0 {
		dst = append(dst, ' ')
		if f.sec < 0 || f.micros < 0 {
			if zero {
				before = true
			} else if !before {
				dst = append(dst, '-')
			}
		} else if before {
			dst = append(dst, '-')
		}
		dst = append(f.appendSeconds(dst, false), " sec"...)
		if abs64(f.sec) != 1 || f.micros != 0 {
			dst = append(dst, 's')
		}
		zero = false
	}
	if zero {
		dst = append(dst, " 0"...)
	}
	if before {
		dst = append(dst, " ago"...)
	}
	return dst
}

func (f *intervalFields) sqlStandard(dst []byte) []byte {
	all := []*int64{&f.year, &f.mon, &f.day, &f.hour, &f.min, &f.sec, &f.micros}
	neg, pos := false, false
	for _, v := range all {
		neg, pos = neg || *v < 0, pos || *v > 0
	}
	yearMonth, dayTime := f.year|f.mon != 0, f.day != 0 || f.hasTime()
	if !neg && !pos {
		return append(dst, '0')
	}
	if neg && pos || yearMonth && dayTime {
		return f.sqlMixed(dst)
	}
	if neg {
		dst = append(dst, '-')
		for _, v := range all {
			*v = -*v
		}
	}
	if yearMonth {
		dst = append(strconv.AppendInt(dst, f.year, 10), '-')
		return strconv.AppendInt(dst, f.mon, 10)
	}
	if f.day != 0 {
		dst = append(strconv.AppendInt(dst, f.day, 10), ' ')
	}
	dst = append(strconv.AppendInt(dst, f.hour, 10), ':')
	dst = append(appendTwo(dst, int(f.min)), ':')
	return f.appendSeconds(dst, true)
}

// sqlMixed gives every group its sign, because SQL has no form for mixed ones.
func (f *intervalFields) sqlMixed(dst []byte) []byte {
	sign := func(neg bool) {
		if neg {
			dst = append(dst, '-')
		} else {
			dst = append(dst, '+')
		}
	}
	sign(f.year < 0 || f.mon < 0)
	dst = append(strconv.AppendInt(dst, abs64(f.year), 10), '-')
	dst = append(strconv.AppendInt(dst, abs64(f.mon), 10), ' ')
	sign(f.day < 0)
	dst = append(strconv.AppendInt(dst, abs64(f.day), 10), ' ')
	sign(f.hour < 0 || f.min < 0 || f.sec < 0 || f.micros < 0)
	dst = append(strconv.AppendInt(dst, abs64(f.hour), 10), ':')
	dst = append(appendTwo(dst, int(abs64(f.min))), ':')
	return f.appendSeconds(dst, true)
}

func (f *intervalFields) iso(dst []byte) []byte {
	if f.year|f.mon|f.day == 0 && !f.hasTime() {
		return append(dst, "PT0S"...)
	}
	part := func(v int64, unit byte) {
		if v != 0 {
			dst = append(strconv.AppendInt(dst, v, 10), unit)
		}
	}
	dst = append(dst, 'P')
	part(f.year, 'Y')
	part(f.mon, 'M')
	part(f.day, 'D')
	if !f.hasTime() {
		return dst
	}
	dst = append(dst, 'T')
	part(f.hour, 'H')
	part(f.min, 'M')
	if f.sec|f.micros != 0 {
		if f.sec < 0 || f.micros < 0 {
			dst = append(dst, '-')
		}
		dst = append(f.appendSeconds(dst, false), 'S')
	}
	return dst
}
