package codec

import "math"

// Differences between the epoch of 1970, which formats use, and that of 2000, which columns use.
const (
	epochDays   = 10957
	epochMicros = epochDays * 86_400_000_000
)

// micros converts a bare number of a format into µs since 2000. Unless the mode says otherwise the unit is
// guessed from the size: seconds, milli-, micro- or nanoseconds, whichever lies between 1973 and 5138.
func (m jsonModes) micros(n int64) (int64, bool) {
	size := n
	if size < 0 {
		size = -size
	}
	scale, divide := int64(1), int64(1)
	switch {
	case m.stamps == "milli":
		scale = 1000
	case m.stamps == "micro":
	case size < 1e11:
		scale = 1_000_000
	case size < 1e14:
		scale = 1000
	case size >= 1e17:
		divide = 1000
	}
	if n > math.MaxInt64/scale || n < math.MinInt64/scale {
		return 0, false
	}
	n = n * scale / divide
	if n < math.MinInt64+epochMicros {
		return 0, false
	}
	n -= epochMicros
	return n, n >= minTimestamp && n < endTimestamp
}

// The range of timestamp: 4713 BC to 294276 AD.
const (
	minTimestamp = -211813488000000000
	endTimestamp = 9223371331200000000
)

// fastTimestamp reads "2006-01-02 15:04:05" with T or a blank between and up to six digits of a second, as µs
// since 2000. Anything else is left to the full parser.
func fastTimestamp(b []byte) (int64, bool) {
	if len(b) < 19 || len(b) > 26 || b[4] != '-' || b[7] != '-' || b[10] != 'T' && b[10] != ' ' || b[13] != ':' || b[16] != ':' {
		return 0, false
	}
	century, y := two(b[0:]), two(b[2:])
	mo, d, h, mi, s := two(b[5:]), two(b[8:]), two(b[11:]), two(b[14:]), two(b[17:])
	if century|y|mo|d|h|mi|s >= 128 || h > 23 || mi > 59 || s > 59 || mo-1 > 11 {
		return 0, false
	}
	year := century*100 + y
	if year == 0 || d == 0 || d > daysIn(year, mo) {
		return 0, false
	}
	micros := int64(0)
	if len(b) > 19 {
		if b[19] != '.' || len(b) == 20 {
			return 0, false
		}
		unit := int64(100_000)
		for _, c := range b[20:] {
			if c-'0' > 9 {
				return 0, false
			}
			micros += int64(c-'0') * unit
			unit /= 10
		}
	}
	days := civilDays(int64(year), int64(mo), int64(d))
	return ((days*24+int64(h))*60+int64(mi))*60_000_000 + int64(s)*1_000_000 + micros, true
}

// two reads two digits; 128 or more when they are not.
func two(b []byte) uint {
	hi, lo := uint(b[0]-'0'), uint(b[1]-'0')
	if hi > 9 || lo > 9 {
		return 128
	}
	return hi*10 + lo
}

func daysIn(year, month uint) uint {
	switch {
	case month != 2:
		return 30 + (month+month>>3)&1
	case year%4 == 0 && (year%100 != 0 || year%400 == 0):
		return 29
	}
	return 28
}

// civilDays counts days from 2000-01-01, by years that start in March.
func civilDays(y, m, d int64) int64 {
	if m <= 2 {
		y--
		m += 12
	}
	return 365*y + y/4 - y/100 + y/400 + (153*(m-3)+2)/5 + d - 1 - 730425
}
