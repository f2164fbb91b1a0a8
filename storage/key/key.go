// Package key turns values into bytes whose bytewise order is the order of the values.
//
// A key is a sequence of pieces. Each piece is self-delimiting, so pieces can be concatenated and
// taken apart again, and bytes.Compare on whole keys orders them piece by piece. A piece that may
// be NULL is preceded by a marker: 01 for a value, 00 for a NULL that sorts first, 02 for a NULL
// that sorts last. The marker does not depend on the direction, so NULLS FIRST and DESC are
// independent, as in PostgreSQL. A descending piece is the ascending one with each bit inverted.
//
//	piece    bytes
//	bool     00 or 01
//	uint64   8, big-endian
//	int64    8, big-endian, sign bit inverted
//	float64  8, IEEE bits; sign bit inverted when positive, all bits when negative
//	bytes    the bytes, 00 written as 00 FF; then 00 01
//
// Text escapes instead of using groups of eight: a text without a zero byte, which is nearly every
// one, is one search and one copy, and costs two bytes more instead of up to nine.
//
// The package also holds the layout of a key in a shard (table.go) and the hashes that decide
// vnodes and row identities (hash.go). All of it is persisted: changing a byte is a format change.
//
// No state; any goroutine. SQL types, collations and column lists are the caller's. Start at
// AppendInt64 and DecodeInt64.
package key

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
)

// ErrCorrupt is returned by every decoder when the bytes are not what the encoder writes.
var ErrCorrupt = errors.New("key is truncated or corrupt")

const (
	nullFirst byte = 0x00
	notNull   byte = 0x01
	nullLast  byte = 0x02

	escape     byte = 0xFF // after 00: a zero byte of the value
	terminator byte = 0x01 // after 00: end of the value; smaller than escape, so "a" < "a\0"

	signBit = uint64(1) << 63
)

// AppendNull appends the marker of a NULL. PostgreSQL's default is last for ASC and first for DESC.
func AppendNull(dst []byte, first bool) []byte {
	if first {
		return append(dst, nullFirst)
	}
	return append(dst, nullLast)
}

// AppendNotNull appends the marker that precedes a value; the same for both places of NULLs.
func AppendNotNull(dst []byte) []byte { return append(dst, notNull) }

// DecodeNull reads a marker and tells whether it is that of a NULL.
func DecodeNull(b []byte) (null bool, rest []byte, err error) {
	if len(b) == 0 || b[0] > nullLast {
		return false, nil, ErrCorrupt
	}
	return b[0] != notNull, b[1:], nil
}

// AppendBool appends one byte; false sorts before true.
func AppendBool(dst []byte, v bool) []byte { return append(dst, boolByte(v)) }

// AppendBoolDesc is AppendBool in descending order.
func AppendBoolDesc(dst []byte, v bool) []byte { return append(dst, ^boolByte(v)) }

func boolByte(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// DecodeBool reads what AppendBool wrote.
func DecodeBool(b []byte) (bool, []byte, error) {
	if len(b) == 0 || b[0] > 1 {
		return false, nil, ErrCorrupt
	}
	return b[0] == 1, b[1:], nil
}

// DecodeBoolDesc reads what AppendBoolDesc wrote.
func DecodeBoolDesc(b []byte) (bool, []byte, error) {
	if len(b) == 0 || ^b[0] > 1 {
		return false, nil, ErrCorrupt
	}
	return ^b[0] == 1, b[1:], nil
}

// AppendUint64 appends eight bytes, big-endian.
func AppendUint64(dst []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(dst, v) }

// AppendUint64Desc is AppendUint64 in descending order.
func AppendUint64Desc(dst []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(dst, ^v) }

// DecodeUint64 reads what AppendUint64 wrote.
func DecodeUint64(b []byte) (uint64, []byte, error) {
	if len(b) < 8 {
		return 0, nil, ErrCorrupt
	}
	return binary.BigEndian.Uint64(b), b[8:], nil
}

// DecodeUint64Desc reads what AppendUint64Desc wrote.
func DecodeUint64Desc(b []byte) (uint64, []byte, error) {
	v, rest, err := DecodeUint64(b)
	return ^v, rest, err
}

// AppendInt64 appends eight bytes. All integer types, dates and times use it, so that equal numbers
// of different widths have equal keys.
func AppendInt64(dst []byte, v int64) []byte { return AppendUint64(dst, uint64(v)^signBit) }

// AppendInt64Desc is AppendInt64 in descending order.
func AppendInt64Desc(dst []byte, v int64) []byte { return AppendUint64(dst, ^(uint64(v) ^ signBit)) }

// DecodeInt64 reads what AppendInt64 wrote.
func DecodeInt64(b []byte) (int64, []byte, error) {
	v, rest, err := DecodeUint64(b)
	return int64(v ^ signBit), rest, err
}

// DecodeInt64Desc reads what AppendInt64Desc wrote.
func DecodeInt64Desc(b []byte) (int64, []byte, error) {
	v, rest, err := DecodeUint64(b)
	return int64(^v ^ signBit), rest, err
}

// AppendFloat64 appends eight bytes in PostgreSQL's order: −0 equals 0, and all NaNs are one value
// above +Inf.
func AppendFloat64(dst []byte, v float64) []byte { return AppendUint64(dst, floatOrder(v)) }

// AppendFloat64Desc is AppendFloat64 in descending order.
func AppendFloat64Desc(dst []byte, v float64) []byte { return AppendUint64(dst, ^floatOrder(v)) }

func floatOrder(v float64) uint64 {
	if v != v {
		v = math.NaN()
	}
	bits := math.Float64bits(v + 0) // −0 + 0 is +0
	// A negative number inverts all its bits, a positive one its sign only.
	return bits ^ (uint64(int64(bits)>>63) | signBit)
}

// DecodeFloat64 reads what AppendFloat64 wrote.
func DecodeFloat64(b []byte) (float64, []byte, error) {
	u, rest, err := DecodeUint64(b)
	return orderFloat(u), rest, err
}

// DecodeFloat64Desc reads what AppendFloat64Desc wrote.
func DecodeFloat64Desc(b []byte) (float64, []byte, error) {
	u, rest, err := DecodeUint64Desc(b)
	return orderFloat(u), rest, err
}

func orderFloat(u uint64) float64 {
	if u&signBit != 0 {
		return math.Float64frombits(u ^ signBit)
	}
	return math.Float64frombits(^u)
}

// AppendBytes appends v, escaped and terminated. Text uses it too: it collates as C.
func AppendBytes[T []byte | string](dst []byte, v T) []byte {
	start := len(dst)
	dst = append(dst, v...)
	if bytes.IndexByte(dst[start:], 0) >= 0 {
		dst = appendEscaped(dst[:start], v)
	}
	return append(dst, 0, terminator)
}

func appendEscaped[T []byte | string](dst []byte, v T) []byte {
	for i := 0; i < len(v); i++ {
		dst = append(dst, v[i])
		if v[i] == 0 {
			dst = append(dst, escape)
		}
	}
	return dst
}

// AppendBytesDesc is AppendBytes in descending order.
func AppendBytesDesc[T []byte | string](dst []byte, v T) []byte {
	start := len(dst)
	dst = AppendBytes(dst, v)
	Invert(dst[start:])
	return dst
}

// DecodeBytes reads what AppendBytes wrote and appends the value to buf, which may be nil.
func DecodeBytes(b, buf []byte) (v, rest []byte, err error) {
	for {
		i := bytes.IndexByte(b, 0)
		if i < 0 || i+1 >= len(b) {
			return nil, nil, ErrCorrupt
		}
		switch b[i+1] {
		case terminator:
			return append(buf, b[:i]...), b[i+2:], nil
		case escape:
			buf = append(buf, b[:i+1]...)
			b = b[i+2:]
		default:
			return nil, nil, ErrCorrupt
		}
	}
}

// DecodeBytesDesc reads what AppendBytesDesc wrote and appends the value to buf, which may be nil.
func DecodeBytesDesc(b, buf []byte) (v, rest []byte, err error) {
	start := len(buf)
	for {
		i := bytes.IndexByte(b, 0xFF)
		if i < 0 || i+1 >= len(b) {
			return nil, nil, ErrCorrupt
		}
		switch ^b[i+1] {
		case terminator:
			buf = append(buf, b[:i]...)
			Invert(buf[start:])
			return buf, b[i+2:], nil
		case escape:
			buf = append(buf, b[:i+1]...)
			b = b[i+2:]
		default:
			return nil, nil, ErrCorrupt
		}
	}
}

// SkipBytes returns what follows a piece that AppendBytes (or, with desc, AppendBytesDesc) wrote.
func SkipBytes(b []byte, desc bool) (rest []byte, err error) {
	zero, end, esc := byte(0), terminator, escape
	if desc {
		zero, end, esc = ^zero, ^end, ^esc
	}
	for {
		i := bytes.IndexByte(b, zero)
		if i < 0 || i+1 >= len(b) || b[i+1] != end && b[i+1] != esc {
			return nil, ErrCorrupt
		}
		done := b[i+1] == end
		b = b[i+2:]
		if done {
			return b, nil
		}
	}
}

// Invert inverts each bit of b in place: it makes an encoded piece descending, or ascending again.
func Invert(b []byte) {
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, ^binary.LittleEndian.Uint64(b))
		b = b[8:]
	}
	for i := range b {
		b[i] = ^b[i]
	}
}
