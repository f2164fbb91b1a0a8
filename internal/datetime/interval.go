package datetime

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"

	"github.com/millrace/millrace/internal/keyenc"
	"github.com/millrace/millrace/internal/sqlerr"
)

// Interval is PostgreSQL's interval: three fields that are added to a timestamp one after the other.
type Interval struct {
	Months int32
	Days   int32
	Micros int64
}

// String returns the text in the postgres style, for messages.
func (a Interval) String() string { return string(AppendInterval(nil, a, &Settings{})) }

func errIntervalRange() error { return errRange("interval") }

// span returns the interval as whole days, a month being 30 of them, and microseconds of a day: what comparison,
// keys and hashing go by.
func (a Interval) span() (days, micros int64) {
	whole := floorDiv(a.Micros, MicrosPerDay)
	return int64(a.Months)*30 + int64(a.Days) + whole, a.Micros - whole*MicrosPerDay
}

// Cmp returns −1, 0 or 1; '1 mon' equals '30 days', which equals '720:00:00'.
func (a Interval) Cmp(b Interval) int {
	da, ma := a.span()
	db, mb := b.span()
	return cmp.Or(cmp.Compare(da, db), cmp.Compare(ma, mb))
}

// Sign returns −1, 0 or 1 as the interval compares with zero.
func (a Interval) Sign() int { return a.Cmp(Interval{}) }

// AppendKey appends 16 bytes whose order is Cmp's; equal intervals have equal bytes.
func (a Interval) AppendKey(dst []byte) []byte {
	days, micros := a.span()
	return keyenc.AppendInt64(keyenc.AppendInt64(dst, days), micros)
}

var errKey = errors.New("decode interval key: malformed bytes")

// DecodeIntervalKey reads an AppendKey encoding and returns what follows it. The split into months, days and time
// is not part of a key: whole days come back as days (and months of 30 where days alone would overflow).
func DecodeIntervalKey(src []byte) (iv Interval, rest []byte, err error) {
	days, rest, err := keyenc.DecodeInt64(src)
	if err != nil {
		return iv, nil, err
	}
	micros, rest, err := keyenc.DecodeInt64(rest)
	if err != nil {
		return iv, nil, err
	}
	if micros < 0 || micros >= MicrosPerDay {
		return iv, nil, errKey
	}
	if months := days / 30; days > math.MaxInt32 || days < math.MinInt32 {
		months = min(max(months, math.MinInt32), math.MaxInt32)
		iv.Months = int32(months)
		days -= months * 30
	}
	// What is left beyond 32 bits fits in the time of an interval that existed.
	extra := days - min(max(days, math.MinInt32), math.MaxInt32)
	if extra > math.MaxInt64/MicrosPerDay-1 || extra < math.MinInt64/MicrosPerDay+1 {
		return iv, nil, errKey
	}
	iv.Days = int32(days - extra)
	iv.Micros = micros + extra*MicrosPerDay
	return iv, rest, nil
}

// AppendImage appends the three fields as varints: exact and self-delimiting.
func (a Interval) AppendImage(dst []byte) []byte {
	dst = binary.AppendVarint(dst, int64(a.Months))
	dst = binary.AppendVarint(dst, int64(a.Days))
	return binary.AppendVarint(dst, a.Micros)
}

var errImage = errors.New("decode interval image: malformed bytes")

// DecodeIntervalImage reads an AppendImage encoding and returns what follows it.
func DecodeIntervalImage(src []byte) (iv Interval, rest []byte, err error) {
	var v [3]int64
	for i := range v {
		n := 0
		if v[i], n = binary.Varint(src); n <= 0 {
			return iv, nil, errImage
		}
		src = src[n:]
	}
	if v[0] != int64(int32(v[0])) || v[1] != int64(int32(v[1])) {
		return iv, nil, errImage
	}
	return Interval{int32(v[0]), int32(v[1]), v[2]}, src, nil
}

// addInt64 adds with overflow check.
func addInt64(a, b int64) (int64, bool) {
	s := a + b
	return s, (a^s)&(b^s) >= 0
}

func mulInt64(a, b int64) (int64, bool) {
	if a == 0 || b == 0 {
		return 0, true
	}
	p := a * b
	return p, p/b == a && !(a == -1 && b == math.MinInt64) && !(b == -1 && a == math.MinInt64)
}

// fromParts builds an interval from fields that may have overflowed 32 bits. Error: 22008.
func fromParts(months, days, micros int64, fits bool) (Interval, error) {
	if !fits || months != int64(int32(months)) || days != int64(int32(days)) {
		return Interval{}, errIntervalRange()
	}
	return Interval{int32(months), int32(days), micros}, nil
}

// Add returns a + b field by field. Error: 22008.
func (a Interval) Add(b Interval) (Interval, error) {
	t, fits := addInt64(a.Micros, b.Micros)
	return fromParts(int64(a.Months)+int64(b.Months), int64(a.Days)+int64(b.Days), t, fits)
}

// Sub returns a − b field by field. Error: 22008.
func (a Interval) Sub(b Interval) (Interval, error) {
	t := a.Micros - b.Micros
	fits := (a.Micros^b.Micros)&(a.Micros^t) >= 0
	return fromParts(int64(a.Months)-int64(b.Months), int64(a.Days)-int64(b.Days), t, fits)
}

// Neg returns −a. Error: 22008.
func (a Interval) Neg() (Interval, error) {
	return fromParts(-int64(a.Months), -int64(a.Days), -a.Micros, a.Micros != math.MinInt64)
}

// Mul returns a × f; fractions of months become days, those of days time. Error: 22008.
func (a Interval) Mul(f float64) (Interval, error) {
	return a.scale(func(x float64) float64 { return x * f })
}

// Div returns a / f, as Mul. Errors: 22012, 22008.
func (a Interval) Div(f float64) (Interval, error) {
	if f == 0 {
		return Interval{}, sqlerr.New(sqlerr.DivisionByZero, "division by zero")
	}
	return a.scale(func(x float64) float64 { return x / f })
}

// scale applies a linear function to all fields and cascades the fractions downwards.
func (a Interval) scale(by func(float64) float64) (Interval, error) {
	months, days := by(float64(a.Months)), by(float64(a.Days))
	if !fitsInt32(months) || !fitsInt32(days) {
		return Interval{}, errIntervalRange()
	}
	out := Interval{Months: int32(months), Days: int32(days)}
	restDays := roundMicros((months - math.Trunc(months)) * 30)
	restSecs := roundMicros((days - math.Trunc(days) + restDays - math.Trunc(restDays)) * secondsPerDay)
	total := int64(out.Days) + int64(restDays)
	if math.Abs(restSecs) >= secondsPerDay {
		whole := math.Trunc(restSecs / secondsPerDay)
		total += int64(whole)
		restSecs -= whole * secondsPerDay
	}
	micros := math.RoundToEven(by(float64(a.Micros)) + restSecs*1e6)
	fits := !math.IsNaN(micros) && micros >= math.MinInt64 && micros < math.MaxInt64
	return fromParts(int64(out.Months), total, int64(micros), fits)
}

func fitsInt32(f float64) bool { return f >= math.MinInt32 && f < -math.MinInt32 }

// roundMicros rounds a number of days or seconds to a millionth.
func roundMicros(f float64) float64 { return math.RoundToEven(f*1e6) / 1e6 }

// JustifyHours turns whole 24 hours into days. Error: 22008.
func (a Interval) JustifyHours() (Interval, error) {
	days, t := int64(a.Days)+a.Micros/MicrosPerDay, a.Micros%MicrosPerDay
	days, t = sameSign(days, t, MicrosPerDay)
	return fromParts(int64(a.Months), days, t, true)
}

// JustifyDays turns whole 30 days into months. Error: 22008.
func (a Interval) JustifyDays() (Interval, error) {
	months, days := int64(a.Months)+int64(a.Days/30), int64(a.Days%30)
	months, days = sameSign(months, days, 30)
	return fromParts(months, days, a.Micros, true)
}

// Justify does both and gives all fields the same sign. Error: 22008.
func (a Interval) Justify() (Interval, error) {
	months, days, t := int64(a.Months), int64(a.Days), a.Micros
	days, t = days+t/MicrosPerDay, t%MicrosPerDay
	months, days = months+days/30, days%30
	if months > 0 && (days < 0 || days == 0 && t < 0) {
		months, days = months-1, days+30
	} else if months < 0 && (days > 0 || days == 0 && t > 0) {
		months, days = months+1, days-30
	}
	days, t = sameSign(days, t, MicrosPerDay)
	return fromParts(months, days, t, true)
}

// sameSign moves one unit between fields of opposite signs.
func sameSign(high, low, unit int64) (int64, int64) {
	switch {
	case high > 0 && low < 0:
		return high - 1, low + unit
	case high < 0 && low > 0:
		return high + 1, low - unit
	}
	return high, low
}

// A type modifier of interval holds the declared fields in its upper half and the precision in its lower half.
const (
	fullRange     = 0x7FFF
	fullPrecision = 0xFFFF

	rangeMonth  = 1 << 1
	rangeYear   = 1 << 2
	rangeDay    = 1 << 3
	rangeHour   = 1 << 10
	rangeMinute = 1 << 11
	rangeSecond = 1 << 12
)

// ApplyTypmod cuts an interval to the fields and precision of PostgreSQL's atttypmod. Error: 22008.
func (a Interval) ApplyTypmod(mod int32) (Interval, error) {
	if mod < 0 {
		return a, nil
	}
	switch r := mod >> 16 & fullRange; r {
	case rangeYear:
		a = Interval{Months: a.Months / 12 * 12}
	case rangeMonth, rangeYear | rangeMonth:
		a = Interval{Months: a.Months}
	case rangeDay:
		a.Micros = 0
	case rangeHour, rangeDay | rangeHour:
		a.Micros = a.Micros / MicrosPerHour * MicrosPerHour
	case rangeMinute, rangeHour | rangeMinute, rangeDay | rangeHour | rangeMinute:
		a.Micros = a.Micros / MicrosPerMinute * MicrosPerMinute
	}
	if p := mod & fullPrecision; p != fullPrecision && p < 6 {
		a.Micros = roundTo(a.Micros, p)
	}
	return a, nil
}

// roundTo rounds microseconds to p digits of a second, half away from zero.
func roundTo(t int64, p int32) int64 {
	unit := MicrosPerSecond
	for range p {
		unit /= 10
	}
	if t >= 0 {
		return (t + unit/2) / unit * unit
	}
	return -((-t + unit/2) / unit * unit)
}
