package datetime

import (
	"strings"
)

// ParseTime reads a time of day; a date and zone in the text are ignored. Errors: 22007, 22008, 22009, 22023.
func ParseTime(s string, st *Settings) (int64, error) {
	t, _, err := parseTime(s, st, "time")
	return t, err
}

// ParseTimetz reads a time with zone; see PackTimetz for the value. Without a zone in the text it is the session's
// zone at that date, or today. Errors as ParseTime.
func ParseTimetz(s string, st *Settings) (int64, error) {
	t, west, err := parseTime(s, st, "time with time zone")
	if err != nil {
		return 0, err
	}
	return PackTimetz(t, int32(west)), nil
}

func parseTime(s string, st *Settings, typeName string) (t int64, west int, err error) {
	fields, f := splitFields(s)
	d := decoder{st: st, order: st.DateStyle.Order, special: -1, timeOnly: true}
	for i := 0; i < len(fields) && f == noFault; i++ {
		if f = d.timeField(fields, i); f == badZone {
			return 0, 0, errZone(d.badZone)
		}
	}
	if f == noFault {
		f = d.finishTime()
	}
	if f != noFault {
		return 0, 0, f.errText(s, typeName)
	}
	return d.timeOfDay(), d.west, nil
}

// timeField reads one field of a time. Numbers are times here unless a date is plain to see.
func (d *decoder) timeField(fields []textField, i int) fault {
	t := fields[i]
	last := fields[len(fields)-1].kind
	var m mask
	f := noFault
	switch t.kind {
	case fDate:
		switch {
		case i == 0 && len(fields) >= 2 && (last == fDate || fields[1].kind == fTime):
			m, f = d.date(t.text)
		case isDigit(t.text[0]):
			m, f = d.timeWithZone(t.text)
		default:
			m, f = d.fullZone(t.text)
		}
	case fTime:
		f = d.clock(t.text)
		d.label, m = uNone, mTime
	case fZone:
		d.west, f = zoneOffset(t.text)
		m = mZone
	case fNumber:
		m, f = d.timeNumber(t.text, i == 0 && len(fields) >= 2 && last == fDate)
	default:
		m, f = d.word(t.text)
	}
	if f != noFault {
		return f
	}
	return d.add(m)
}

// timeWithZone reads hhmmss-zz.
func (d *decoder) timeWithZone(s string) (mask, fault) {
	dash := strings.IndexByte(s, '-')
	if d.have&mTime == mTime || dash < 0 {
		return 0, badFormat
	}
	var f fault
	if d.west, f = zoneOffset(s[dash:]); f != noFault {
		return 0, f
	}
	m, f := d.runTogether(s[:dash], d.have|mDate)
	return m | mZone, f
}

func (d *decoder) timeNumber(s string, date bool) (mask, fault) {
	if d.label != uNone {
		return d.labelled(s)
	}
	switch point := strings.IndexByte(s, '.'); {
	case point >= 0 && date:
		return d.date(s)
	case point > 2, point < 0 && len(s) > 4:
		return d.runTogether(s, d.have|mDate)
	case point >= 0:
		return 0, badFormat
	}
	return d.number(s, d.have|mDate, false)
}

func (d *decoder) finishTime() fault {
	if d.label != uNone {
		return badFormat
	}
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
	if clockOverflows(&d.civil) {
		return fieldOverflow
	}
	if d.have&mTime != mTime {
		return badFormat
	}
	return d.timeZone()
}

// timeZone works out the offset of a time: zones with daylight saving need a date.
func (d *decoder) timeZone() fault {
	complete := d.have&mDate == mDate
	switch {
	case d.zone != nil:
		if d.have&mZoneMod != 0 {
			return badFormat
		}
		if complete {
			d.west = -d.zoneAt(d.days()*MicrosPerDay + d.timeOfDay())
			return noFault
		}
		east, fixed := fixedOffset(d.zone, d.st.now())
		if !fixed {
			return badFormat
		}
		d.west = -east
	case d.have&mZone == 0:
		if d.have&mZoneMod != 0 || d.have&mDate != 0 && !complete {
			return badFormat
		}
		loc := d.st.location()
		day := d.days()
		if !complete {
			day = floorDiv(toLocal(d.st.now(), loc), MicrosPerDay)
		}
		d.west = -localOffset(day*MicrosPerDay+d.timeOfDay(), loc)
	}
	return noFault
}
