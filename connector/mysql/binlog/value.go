package binlog

import (
	"encoding/binary"
	"fmt"
	mathbig "math/big"

	"github.com/millrace/millrace/internal/numeric"
)

// digitBytes is how many bytes a number of decimal digits below nine takes.
var digitBytes = [...]int{0, 1, 1, 2, 2, 3, 3, 4, 4, 4}

func decimalSize(precision, scale int) int {
	whole := precision - scale
	return whole/9*4 + digitBytes[whole%9] + scale/9*4 + digitBytes[scale%9]
}

// Decimal reads a decimal of up to 65 digits: groups of nine digits, before and after the point, in four bytes each, the rest in fewer; the
// highest bit is the sign, and a negative number has all bits turned.
func Decimal(b []byte, precision, scale int) (numeric.Dec, error) {
	if precision <= 0 || precision > 81 || scale < 0 || scale > precision || len(b) != decimalSize(precision, scale) {
		return numeric.Dec{}, fmt.Errorf("decimal(%d,%d) of %d bytes", precision, scale, len(b))
	}
	var groups [20]uint32
	var digits [20]int
	n := 0
	turn := byte(0xff)
	if b[0]&0x80 != 0 {
		turn = 0
	}
	at := 0
	group := func(d int) {
		if d == 0 {
			return
		}
		v := uint32(0)
		for range digitBytes[d] {
			x := b[at] ^ turn
			if at == 0 {
				x ^= 0x80
			}
			v = v<<8 | uint32(x)
			at++
		}
		groups[n], digits[n] = v, d
		n++
	}
	whole := precision - scale
	group(whole % 9)
	for range whole / 9 {
		group(9)
	}
	for range scale / 9 {
		group(9)
	}
	group(scale % 9)
	for i := range n {
		if groups[i] >= powers[digits[i]] {
			return numeric.Dec{}, fmt.Errorf("decimal(%d,%d): a group of %d digits holds %d", precision, scale, digits[i], groups[i])
		}
	}
	if precision <= 18 {
		v := int64(0)
		for i := range n {
			v = v*int64(powers[digits[i]]) + int64(groups[i])
		}
		if turn != 0 {
			v = -v
		}
		return numeric.FromScaled(v, int32(scale)), nil
	}
	v, p := new(mathbig.Int), new(mathbig.Int)
	for i := range n {
		v.Mul(v, p.SetUint64(uint64(powers[digits[i]])))
		v.Add(v, p.SetUint64(uint64(groups[i])))
	}
	if turn != 0 {
		v.Neg(v)
	}
	return numeric.FromBig(v, int32(scale)), nil
}

var powers = [...]uint32{1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000}

// Moment is a date and time as MySQL has it: any part may be zero, also together with others that are not.
type Moment struct {
	Year, Month, Day, Hour, Minute, Second, Micros int
}

// Span is a TIME: between −838:59:59 and 838:59:59, in microseconds.
type Span int64

// Date reads a DATE.
func Date(b []byte) (Moment, error) {
	if len(b) != 3 {
		return Moment{}, errShort
	}
	v := int(little(b))
	return Moment{Year: v >> 9, Month: v >> 5 & 15, Day: v & 31}, nil
}

// Datetime reads a DATETIME of MySQL 5.6 and newer with digits fractional digits.
func Datetime(b []byte, digits int) (Moment, error) {
	if len(b) != 5+(digits+1)/2 {
		return Moment{}, errShort
	}
	v := int64(big(b[:5])) - 1<<39
	micros, err := fraction(b[5:])
	if err != nil || v < 0 {
		return Moment{}, fmt.Errorf("datetime %x", b)
	}
	months := int(v >> 22)
	return Moment{Year: months / 13, Month: months % 13, Day: int(v>>17) & 31, Hour: int(v>>12) & 31, Minute: int(v>>6) & 63,
		Second: int(v) & 63, Micros: micros}, nil
}

// Timestamp reads a TIMESTAMP of MySQL 5.6 and newer: microseconds since 1970. 0 is a zero date.
func Timestamp(b []byte, digits int) (int64, error) {
	if len(b) != 4+(digits+1)/2 {
		return 0, errShort
	}
	micros, err := fraction(b[4:])
	return int64(big(b[:4]))*1e6 + int64(micros), err
}

// Time reads a TIME of MySQL 5.6 and newer. A negative one is stored as its distance from the bottom, fraction included.
func Time(b []byte, digits int) (Span, error) {
	if len(b) != 3+(digits+1)/2 {
		return 0, errShort
	}
	bits := len(b) * 8
	v := int64(big(b)) - 1<<(bits-1)
	negative := v < 0
	if negative {
		v = -v
	}
	frac := v & (1<<(bits-24) - 1)
	micros, ok := scaleFraction(frac, bits-24)
	if !ok {
		return 0, fmt.Errorf("time %x", b)
	}
	v >>= bits - 24
	s := Span((v>>12&0x3ff)*3600+(v>>6&63)*60+v&63)*1e6 + Span(micros)
	if negative {
		s = -s
	}
	return s, nil
}

func fraction(b []byte) (int, error) {
	m, ok := scaleFraction(int64(big(b)), len(b)*8)
	if !ok {
		return 0, fmt.Errorf("fraction %x of a second", b)
	}
	return m, nil
}

// scaleFraction makes microseconds of a fraction that was stored in a number of bits.
func scaleFraction(v int64, bits int) (int, bool) {
	switch bits {
	case 8:
		v *= 10000
	case 16:
		v *= 100
	}
	return int(v), v >= 0 && v < 1e6
}

// OldDatetime reads a DATETIME of before MySQL 5.6: a decimal number YYYYMMDDhhmmss.
func OldDatetime(b []byte) (Moment, error) {
	if len(b) != 8 {
		return Moment{}, errShort
	}
	v := binary.LittleEndian.Uint64(b)
	d, t := int(v/1000000), int(v%1000000)
	return Moment{Year: d / 10000, Month: d / 100 % 100, Day: d % 100, Hour: t / 10000, Minute: t / 100 % 100, Second: t % 100}, nil
}

// OldTime reads a TIME of before MySQL 5.6: a signed decimal number hhmmss.
func OldTime(b []byte) (Span, error) {
	if len(b) != 3 {
		return 0, errShort
	}
	v := int64(int32(uint32(little(b))<<8) >> 8)
	negative := v < 0
	if negative {
		v = -v
	}
	s := Span(v/10000*3600+v/100%100*60+v%100) * 1e6
	if negative {
		s = -s
	}
	return s, nil
}
