package datetime

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // the zones must not depend on the machine

	"github.com/millrace/millrace/internal/sqlerr"
)

// zoneIndex maps lower-case zone names to their spelling.
var zoneIndex = sync.OnceValue(func() map[string]string {
	m := map[string]string{}
	for _, n := range strings.Fields(zoneNames) {
		m[strings.ToLower(n)] = n
	}
	return m
})

// zoneCache keeps loaded zones by lower-case name, including those written as offsets. Its size is bounded by
// maxCachedZones because offsets come from the user.
var zoneCache struct {
	sync.Mutex
	zones map[string]*time.Location
}

const maxCachedZones = 2000

// ZoneNames lists the names of all time zones, for pg_timezone_names.
func ZoneNames() []string { return strings.Fields(zoneNames) }

// findZone returns the zone of a name in any case, or of a POSIX offset such as XYZ+3 (west of UTC positive).
func findZone(name string) (*time.Location, bool) {
	key := strings.ToLower(name)
	zoneCache.Lock()
	defer zoneCache.Unlock()
	if l, ok := zoneCache.zones[key]; ok {
		return l, true
	}
	l, ok := loadZone(key)
	if !ok {
		return nil, false
	}
	if zoneCache.zones == nil || len(zoneCache.zones) >= maxCachedZones {
		zoneCache.zones = map[string]*time.Location{}
	}
	zoneCache.zones[key] = l
	return l, true
}

func loadZone(key string) (*time.Location, bool) {
	if spelled, ok := zoneIndex()[key]; ok {
		if spelled == "UTC" {
			return time.UTC, true
		}
		l, err := time.LoadLocation(spelled)
		return l, err == nil
	}
	return posixZone(strings.ToUpper(key))
}

// LoadLocation returns the zone that a value of the setting TimeZone names: a zone, a number of hours east of UTC,
// a POSIX offset. Error: 22023.
func LoadLocation(name string) (*time.Location, error) {
	if hours, err := strconv.ParseFloat(strings.TrimSpace(name), 64); err == nil && hours > -168 && hours < 168 {
		return offsetZone(int(hours * 3600)), nil
	}
	if l, ok := findZone(name); ok {
		if east, _ := offsetAt(0, l); east%60 != 0 { // what PostgreSQL tells leap seconds by
			return nil, sqlerr.New(sqlerr.InvalidParameterValue, "time zone \"%s\" appears to use leap seconds", name).
				WithDetail("PostgreSQL does not support leap seconds.")
		}
		return l, nil
	}
	return nil, sqlerr.New(sqlerr.InvalidParameterValue, "invalid value for parameter \"TimeZone\": \"%s\"", name)
}

// ZoneOf returns the zone that an argument of a function names, an abbreviation of a fixed offset included. Error: 22023.
func ZoneOf(name string) (*time.Location, error) {
	loc, a, err := namedZone(name)
	if loc == nil && err == nil {
		loc = time.FixedZone(strings.ToUpper(name), int(a.offset))
	}
	return loc, err
}

// LocationOf returns the zone that SET TIME ZONE INTERVAL sets. Error: 22023 unless it is only a time.
func LocationOf(iv Interval) (*time.Location, error) {
	if iv.Months != 0 || iv.Days != 0 {
		return nil, sqlerr.New(sqlerr.InvalidParameterValue, "cannot specify months or days in time zone interval")
	}
	return offsetZone(int(iv.Micros / MicrosPerSecond)), nil
}

// offsetZone returns a zone with a fixed offset, named as PostgreSQL shows it: <+05:30>-05:30.
func offsetZone(east int) *time.Location {
	text := func(sign byte, s int) string {
		if s < 0 {
			s = -s
		}
		out := fmt.Sprintf("%c%02d", sign, s/3600)
		if s%3600 != 0 {
			out += fmt.Sprintf(":%02d", s%3600/60)
		}
		if s%60 != 0 {
			out += fmt.Sprintf(":%02d", s%60)
		}
		return out
	}
	plus, minus := byte('+'), byte('-')
	if east < 0 {
		plus, minus = minus, plus
	}
	return time.FixedZone("<"+text(plus, east)+">"+text(minus, east), east)
}

// LocationName returns the name that SHOW TimeZone prints.
func LocationName(l *time.Location) string {
	if l == nil {
		return "UTC"
	}
	return l.String()
}

// offsetAt returns the seconds east of UTC in effect at a point in time, and the zone's abbreviation then.
func offsetAt(ts int64, loc *time.Location) (east int, abbrev string) {
	if loc == time.UTC {
		return 0, "UTC"
	}
	t := time.Unix(floorDiv(ts, MicrosPerSecond)+unixEpochDays*secondsPerDay, 0).In(loc)
	abbrev, east = t.Zone()
	if abbrev == loc.String() { // a fixed offset: its name is abbreviation and offset
		abbrev = posixAbbrev(abbrev)
	}
	return east, abbrev
}

// localOffset returns the seconds east of UTC for a local timestamp. A time that a transition skips is read with
// the offset before it, one that occurs twice with the offset after it, as PostgreSQL does.
func localOffset(local int64, loc *time.Location) int {
	if loc == time.UTC {
		return 0
	}
	sec := floorDiv(local, MicrosPerSecond) + unixEpochDays*secondsPerDay
	prev := time.Unix(sec-secondsPerDay, 0).In(loc)
	_, before := prev.Zone()
	_, end := prev.ZoneBounds()
	if end.IsZero() {
		return before
	}
	boundary := end.Unix()
	_, after := end.Zone()
	beforeTime, afterTime := sec-int64(before), sec-int64(after)
	switch {
	case beforeTime < boundary && afterTime < boundary:
		return before
	case beforeTime > boundary && afterTime >= boundary:
		return after
	case beforeTime > afterTime:
		return before
	}
	return after
}

// toLocal returns the wall clock of loc at ts.
func toLocal(ts int64, loc *time.Location) int64 {
	east, _ := offsetAt(ts, loc)
	return ts + int64(east)*MicrosPerSecond
}

// fromLocal returns the point in time of a wall clock of loc; ok is false beyond PostgreSQL's range.
func fromLocal(local int64, loc *time.Location) (ts int64, ok bool) {
	ts = local - int64(localOffset(local, loc))*MicrosPerSecond
	return ts, ts >= minTimestamp && ts < endTimestamp
}

// namedZone finds the zone for AT TIME ZONE and the like: an abbreviation first, then a zone name. abbrev is the
// fixed meaning of an abbreviation, in seconds east. Error: 22023.
func namedZone(name string) (loc *time.Location, abbrev zoneAbbrev, err error) {
	if a, ok := zoneAbbrevs[strings.ToLower(name)]; ok {
		if a.zone == "" {
			return nil, a, nil
		}
		name = a.zone
	}
	if l, ok := findZone(name); ok {
		return l, zoneAbbrev{}, nil
	}
	return nil, zoneAbbrev{}, errZone(name)
}

// abbrevOffset returns what an abbreviation meant in a zone at a point in time: its latest use by then, else its
// first one after.
func abbrevOffset(ts int64, abbrev string, loc *time.Location) (east int, found bool) {
	start := ToTime(ts).In(loc)
	for t := start; ; {
		if name, offset := t.Zone(); name == abbrev {
			return offset, true
		}
		from, _ := t.ZoneBounds()
		if from.IsZero() {
			break
		}
		t = from.Add(-time.Second)
	}
	for t := start; ; {
		_, to := t.ZoneBounds()
		if to.IsZero() || to.Year() > 2100 {
			return 0, false
		}
		if name, offset := to.Zone(); name == abbrev {
			return offset, true
		}
		t = to
	}
}

func errZone(name string) error {
	return sqlerr.New(sqlerr.InvalidParameterValue, "time zone \"%s\" not recognized", name)
}

// dynamicAbbrev returns name in upper case if it is an abbreviation whose meaning depends on the date.
func dynamicAbbrev(name string) string {
	if a, found := zoneAbbrevs[strings.ToLower(name)]; found && a.zone != "" {
		return strings.ToUpper(name)
	}
	return ""
}

// TimestampAtZone is timestamp AT TIME ZONE: the point in time when the zone's clocks show ts. Errors: 22023, 22008.
func TimestampAtZone(ts int64, zone string) (int64, error) {
	if !IsFiniteTimestamp(ts) {
		return ts, nil
	}
	loc, a, err := namedZone(zone)
	if err != nil {
		return 0, err
	}
	if loc == nil {
		return shifted(ts, -int64(a.offset))
	}
	d := decoder{zone: loc, abbrev: dynamicAbbrev(zone)}
	return shifted(ts, -int64(d.zoneAt(ts)))
}

// TimestamptzAtZone is timestamptz AT TIME ZONE: what the zone's clocks show at ts. Errors: 22023, 22008.
func TimestamptzAtZone(ts int64, zone string) (int64, error) {
	if !IsFiniteTimestamp(ts) {
		return ts, nil
	}
	loc, a, err := namedZone(zone)
	if err != nil {
		return 0, err
	}
	if loc == nil {
		return shifted(ts, int64(a.offset))
	}
	east, _ := offsetAt(ts, loc)
	if abbrev := dynamicAbbrev(zone); abbrev != "" {
		if e, found := abbrevOffset(ts, abbrev, loc); found {
			east = e
		}
	}
	return shifted(ts, int64(east))
}

func shifted(ts, seconds int64) (int64, error) {
	ts += seconds * MicrosPerSecond
	if ts < minTimestamp || ts >= endTimestamp {
		return 0, errRange("timestamp")
	}
	return ts, nil
}

// zoneInterval checks an interval used as an offset from UTC and returns its seconds east.
func zoneInterval(iv Interval, st *Settings) (int64, error) {
	if iv.Months != 0 || iv.Days != 0 {
		text := AppendInterval(nil, iv, st)
		return 0, sqlerr.New(sqlerr.InvalidParameterValue, "interval time zone \"%s\" must not include months or days", text)
	}
	return iv.Micros / MicrosPerSecond, nil
}

// TimestampAtInterval is timestamp AT TIME ZONE interval. Errors: 22023, 22008.
func TimestampAtInterval(ts int64, zone Interval, st *Settings) (int64, error) {
	if !IsFiniteTimestamp(ts) {
		return ts, nil
	}
	east, err := zoneInterval(zone, st)
	if err != nil {
		return 0, err
	}
	return shifted(ts, -east)
}

// TimestamptzAtInterval is timestamptz AT TIME ZONE interval. Errors: 22023, 22008.
func TimestamptzAtInterval(ts int64, zone Interval, st *Settings) (int64, error) {
	if !IsFiniteTimestamp(ts) {
		return ts, nil
	}
	east, err := zoneInterval(zone, st)
	if err != nil {
		return 0, err
	}
	return shifted(ts, east)
}

// TimetzAtZone is timetz AT TIME ZONE; the zone's rules are taken as of now. Error: 22023.
func TimetzAtZone(t int64, zone string, now int64) (int64, error) {
	loc, a, err := namedZone(zone)
	if err != nil {
		return 0, err
	}
	east := int(a.offset)
	if loc != nil {
		east, _ = offsetAt(now, loc)
	}
	return timetzAt(t, int32(-east)), nil
}

// TimetzAtInterval is timetz AT TIME ZONE interval. Error: 22023.
func TimetzAtInterval(t int64, zone Interval, st *Settings) (int64, error) {
	east, err := zoneInterval(zone, st)
	if err != nil {
		return 0, err
	}
	return timetzAt(t, int32(-east)), nil
}

func timetzAt(t int64, west int32) int64 {
	micros, old := UnpackTimetz(t)
	return PackTimetz(floorMod(micros+int64(old-west)*MicrosPerSecond, MicrosPerDay), west)
}

// fixedOffset returns the offset of a zone that never had another one.
func fixedOffset(loc *time.Location, now int64) (east int, fixed bool) {
	t := ToTime(now).In(loc)
	start, end := t.ZoneBounds()
	_, east = t.Zone()
	return east, start.IsZero() && end.IsZero()
}
