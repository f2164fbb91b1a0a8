package datetime

import (
	"strings"
	"time"

	"github.com/millrace/millrace/internal/sqlerr"
)

// Item is a date or time of a type that is known only when it has been read, as SQL/JSON path reads them.
type Item struct {
	Kind  ItemKind
	Value int64 // in the form of its type
	East  int   // of ItemTimestamptz: the offset that was written, in seconds
}

// ItemKind is the type of an Item.
type ItemKind uint8

// The kinds.
const (
	ItemDate ItemKind = iota
	ItemTime
	ItemTimetz
	ItemTimestamp
	ItemTimestamptz
)

// String is the name of the type in SQL.
func (k ItemKind) String() string {
	return [...]string{"date", "time without time zone", "time with time zone", "timestamp without time zone", "timestamp with time zone"}[k]
}

// standardSeparators are what a template in standard mode may have between its fields.
const standardSeparators = "-./,':; "

// ParseItem reads text by a template in the standard's strict mode, where all of the text must match all of the template.
// The fields of the template say which type results. Errors: 22007, 22008; hard says that the template itself is bad.
func ParseItem(text, format string) (it Item, hard bool, err error) {
	nodes := parseTemplate(format)
	var dated, timed, zoned bool
	precision := int32(-1)
	for _, n := range nodes {
		switch n.id {
		case pNone:
			if n.bare && !strings.Contains(standardSeparators, n.text) {
				return it, true, errValue("invalid datetime format separator: \"%s\"", n.text)
			}
		case pFF1, pFF2, pFF3, pFF4, pFF5, pFF6:
			timed, precision = true, int32(n.id-pFF1)+1
		case pAM, pAMDots, pHH12, pHH24, pMI, pSS, pMS, pUS, pSSSS:
			timed = true
		case pTZ, pOF, pTZH, pTZM:
			zoned = true
		case pFX:
		default:
			dated = true
		}
	}
	r := &reader{text: text, nodes: nodes, standard: true}
	c, err := r.read(text)
	switch {
	case err != nil:
		return it, false, err
	case dated && zoned && !timed:
		return it, false, errValue("datetime format is zoned but not timed")
	case !dated && !timed:
		return it, false, errValue("datetime format is not dated and not timed")
	}
	east := r.zoneSign * (r.tzh*3600 + r.tzm*60)
	switch {
	case dated && !timed:
		it = Item{Kind: ItemDate, Value: c.days()}
	case !dated && zoned:
		it = Item{Kind: ItemTimetz, Value: RoundTimetz(PackTimetz(c.timeOfDay(), int32(-east)), precision)}
	case !dated:
		it = Item{Kind: ItemTime, Value: RoundTime(c.timeOfDay(), precision)}
	case zoned:
		it = Item{Kind: ItemTimestamptz, East: east}
		if it.Value, err = shifted(c.days()*MicrosPerDay+c.timeOfDay(), -int64(east)); err == nil {
			it.Value, err = RoundTimestamp(it.Value, precision)
		}
	default:
		it = Item{Kind: ItemTimestamp}
		it.Value, err = RoundTimestamp(c.days()*MicrosPerDay+c.timeOfDay(), precision)
	}
	return it, false, err
}

// AppendText appends the item as JSON writes it: ISO 8601 with a T, minutes in every offset.
func (it Item) AppendText(dst []byte) []byte {
	at := len(dst)
	st := &Settings{Location: time.UTC}
	switch it.Kind {
	case ItemDate:
		return AppendDate(dst, it.Value, st)
	case ItemTime:
		return AppendTime(dst, it.Value)
	case ItemTimetz:
		micros, west := UnpackTimetz(it.Value)
		return appendFullOffset(AppendTime(dst, micros), int(-west))
	case ItemTimestamp:
		dst = AppendTimestamp(dst, it.Value, st)
	case ItemTimestamptz:
		dst = AppendTimestamp(dst, it.Value+int64(it.East)*MicrosPerSecond, st)
	}
	if i := strings.IndexByte(string(dst[at:]), ' '); i >= 0 {
		dst[at+i] = 'T'
	}
	if it.Kind != ItemTimestamptz {
		return dst
	}
	text, bc := strings.CutSuffix(string(dst[at:]), " BC")
	dst = appendFullOffset(append(dst[:at], text...), it.East)
	if bc {
		dst = append(dst, " BC"...)
	}
	return dst
}

func appendFullOffset(dst []byte, east int) []byte {
	sign := byte('+')
	if east < 0 {
		sign, east = '-', -east
	}
	dst = appendTwo(append(dst, sign), east/3600)
	dst = appendTwo(append(dst, ':'), east/60%60)
	if east%60 != 0 {
		dst = appendTwo(append(dst, ':'), east%60)
	}
	return dst
}

// CompareItems compares two items; ok is false for types that cannot be compared. Where one of them has a zone and the other
// has none, loc stands for the missing one; without loc that is an error (0A000).
func CompareItems(a, b Item, loc *time.Location, now int64) (cmp int, ok bool, err error) {
	if a.Kind > b.Kind {
		cmp, ok, err = CompareItems(b, a, loc, now)
		return -cmp, ok, err
	}
	dateA, dateB := a.Kind == ItemDate || a.Kind >= ItemTimestamp, b.Kind == ItemDate || b.Kind >= ItemTimestamp
	if dateA != dateB {
		return 0, false, nil
	}
	x, y := a.Value, b.Value
	if a.Kind != b.Kind {
		zoned := b.Kind == ItemTimetz || b.Kind == ItemTimestamptz
		if zoned && loc == nil {
			return 0, false, sqlerr.New(sqlerr.FeatureNotSupported, "cannot convert value from %s to %s without time zone usage", shortName(a.Kind), shortName(b.Kind)).
				WithHint("Use *_tz() function for time zone support.")
		}
		switch {
		case a.Kind == ItemTime:
			x = TimeToTimetz(x, loc, now)
		case a.Kind == ItemDate && zoned:
			x, err = DateToTimestamptz(x, loc)
		case a.Kind == ItemDate:
			x, err = DateToTimestamp(x)
		default:
			x, err = TimestampToTimestamptz(x, loc)
		}
		if err != nil {
			return 0, false, err
		}
	}
	return compareInt64(x, y), true, nil
}

func shortName(k ItemKind) string {
	return [...]string{"date", "time", "timetz", "timestamp", "timestamptz"}[k]
}

func compareInt64(x, y int64) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}
