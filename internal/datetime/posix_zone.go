package datetime

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// POSIX time zones: EST5EDT,M3.2.0,M11.1.0 is a name, an offset west of UTC, the name and offset (an hour less if there is
// none) of summer time, and when that begins and ends. Without rules those of the United States hold.

// NB: before 1970 the zone library takes the hours around a change for those of another day.
const usRules = ",M3.2.0,M11.1.0"

// posixZone makes the zone of a specification in upper case.
func posixZone(s string) (*time.Location, bool) {
	std, rest, ok := posixName(s)
	if !ok || rest == "" {
		return nil, false
	}
	west, rest, ok := posixOffset(rest)
	if !ok || !isZoneOffset(west) {
		return nil, false
	}
	if rest == "" {
		return time.FixedZone(s, -west), true
	}
	dst, rest, ok := posixName(rest)
	if !ok || dst == "" {
		return nil, false
	}
	summer := west - 3600
	if rest != "" && rest[0] != ',' {
		if summer, rest, ok = posixOffset(rest); !ok || !isZoneOffset(summer) {
			return nil, false
		}
	}
	if rest == "" {
		rest = usRules
	}
	start, end, both := strings.Cut(rest[1:], ",")
	if !both || !posixRule(start) || !posixRule(end) {
		return nil, false
	}
	// The zone library has names of letters only, unless they are quoted.
	l, err := time.LoadLocationFromTZData(s, ruleFile(fmt.Sprintf("<%s>%s<%s>%s,%s,%s", std, clock(west), dst, clock(summer), start, end)))
	return l, err == nil
}

// isZoneOffset reports whether values of type time with time zone can have an offset.
func isZoneOffset(west int) bool { return west > -MaxZoneSeconds && west < MaxZoneSeconds }

// posixName takes <anything>, or what stands in front of a number or a rule.
func posixName(s string) (name, rest string, ok bool) {
	if strings.HasPrefix(s, "<") {
		name, rest, ok = strings.Cut(s[1:], ">")
		return name, rest, ok
	}
	i := strings.IndexAny(s, "0123456789,+-")
	if i < 0 {
		i = len(s)
	}
	return s[:i], s[i:], !strings.ContainsAny(s[:i], "<>")
}

// posixOffset takes [±]hh[:mm[:ss]], up to 167 hours, in seconds. A minute may have 60 seconds.
func posixOffset(s string) (seconds int, rest string, ok bool) {
	sign := 1
	if s != "" && (s[0] == '-' || s[0] == '+') {
		if s[0] == '-' {
			sign = -1
		}
		s = s[1:]
	}
	for k, limit := range [...]int{167, 59, 60} {
		if k > 0 {
			if !strings.HasPrefix(s, ":") {
				break
			}
			s = s[1:]
		}
		v, tail, ok := posixNumber(s, 0, limit)
		if !ok {
			return 0, "", false
		}
		seconds += v * [...]int{3600, 60, 1}[k]
		s = tail
	}
	return sign * seconds, s, true
}

// posixNumber takes a number between two bounds.
func posixNumber(s string, low, high int) (v int, rest string, ok bool) {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	v, err := strconv.Atoi(s[:n])
	return v, s[n:], err == nil && v >= low && v <= high
}

// posixRule reports whether s says when summer time begins or ends: Jn, n or Mm.w.d, and /time if it is not 2 o'clock.
func posixRule(s string) bool {
	s, at, timed := strings.Cut(s, "/")
	if timed {
		if _, rest, ok := posixOffset(at); !ok || rest != "" {
			return false
		}
	}
	var ok bool
	switch {
	case strings.HasPrefix(s, "J"):
		_, s, ok = posixNumber(s[1:], 1, 365)
	case strings.HasPrefix(s, "M"):
		parts := strings.Split(s[1:], ".")
		if ok = len(parts) == 3; ok {
			for k, bounds := range [...][2]int{{1, 12}, {1, 5}, {0, 6}} {
				_, rest, fits := posixNumber(parts[k], bounds[0], bounds[1])
				ok = ok && fits && rest == ""
			}
		}
		s = ""
	default:
		_, s, ok = posixNumber(s, 0, 365)
	}
	return ok && s == ""
}

// clock writes an offset as POSIX does.
func clock(seconds int) string {
	sign := ""
	if seconds < 0 {
		sign, seconds = "-", -seconds
	}
	return fmt.Sprintf("%s%d:%02d:%02d", sign, seconds/3600, seconds/60%60, seconds%60)
}

// ruleFile is a file of the zone library, version 2 of TZif, without any transitions, for which the rule at its end holds
// at all times.
func ruleFile(rule string) []byte {
	header := func(dst []byte) []byte {
		dst = append(append(dst, "TZif2"...), make([]byte, 15)...)
		for _, n := range [...]uint32{0, 0, 0, 0, 1, 4} { // one type, four bytes of names
			dst = binary.BigEndian.AppendUint32(dst, n)
		}
		return append(dst, 0, 0, 0, 0, 0, 0, 'U', 'T', 'C', 0) // the type: UTC
	}
	return append(append(append(header(header(nil)), '\n'), rule...), '\n')
}

// posixAbbrev is the abbreviation that a POSIX zone begins with, which may be empty.
func posixAbbrev(spec string) string {
	name, _, _ := posixName(spec)
	return name
}
