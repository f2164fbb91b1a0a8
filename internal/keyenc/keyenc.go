// Package keyenc holds the memcomparable encodings of machine values: the byte order of the encodings is the
// order of the values, and no encoding is a prefix of another of the same type.
//
// The idea: every key of a state table is a concatenation of such encodings, so ordered stores need no
// knowledge of SQL types. Null markers and descending order are added by the storage layer around them;
// internal/sqlio composes these primitives into encodings of SQL values.
//
// All functions are pure. The bytes are persisted: changing them is a format change. Start at AppendInt64.
package keyenc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
)

var errShort = errors.New("decode key: bytes end too early")

// AppendInt64 appends v as 8 bytes: big-endian with the sign bit flipped.
func AppendInt64(dst []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(v)^1<<63)
}

// DecodeInt64 reads an AppendInt64 encoding and returns what follows it.
func DecodeInt64(src []byte) (v int64, rest []byte, err error) {
	if len(src) < 8 {
		return 0, nil, errShort
	}
	return int64(binary.BigEndian.Uint64(src) ^ 1<<63), src[8:], nil
}

// AppendFloat64 appends f as 8 bytes in PostgreSQL's order: −0 equals 0, and NaN equals itself and is greater
// than everything else.
func AppendFloat64(dst []byte, f float64) []byte {
	switch {
	case f == 0:
		f = 0 // drops the sign of −0
	case f != f:
		return binary.BigEndian.AppendUint64(dst, math.MaxUint64)
	}
	u := math.Float64bits(f)
	if u>>63 != 0 {
		u = ^u
	} else {
		u |= 1 << 63
	}
	return binary.BigEndian.AppendUint64(dst, u)
}

// DecodeFloat64 reads an AppendFloat64 encoding and returns what follows it.
func DecodeFloat64(src []byte) (f float64, rest []byte, err error) {
	if len(src) < 8 {
		return 0, nil, errShort
	}
	u := binary.BigEndian.Uint64(src)
	switch {
	case u == math.MaxUint64:
		f = math.NaN()
	case u>>63 != 0:
		f = math.Float64frombits(u &^ (1 << 63))
	default:
		f = math.Float64frombits(^u)
	}
	return f, src[8:], nil
}

// AppendBool appends one byte, false before true.
func AppendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// DecodeBool reads an AppendBool encoding and returns what follows it.
func DecodeBool(src []byte) (b bool, rest []byte, err error) {
	if len(src) == 0 {
		return false, nil, errShort
	}
	return src[0] != 0, src[1:], nil
}

// AppendBytes appends b, each 00 escaped as 00 FF, and the terminator 00 01.
func AppendBytes(dst, b []byte) []byte {
	for {
		i := bytes.IndexByte(b, 0)
		if i < 0 {
			return append(append(dst, b...), 0, 1)
		}
		dst = append(append(dst, b[:i]...), 0, 0xFF)
		b = b[i+1:]
	}
}

// DecodeBytes reads an AppendBytes encoding and returns what follows it. The value aliases src unless it holds
// a zero byte.
func DecodeBytes(src []byte) (b, rest []byte, err error) {
	i := bytes.IndexByte(src, 0)
	if i < 0 || i+1 >= len(src) {
		return nil, nil, errShort
	}
	if src[i+1] == 1 {
		return src[:i:i], src[i+2:], nil
	}
	for {
		if src[i+1] != 0xFF && src[i+1] != 1 {
			return nil, nil, errors.New("decode key: bad escape")
		}
		b = append(b, src[:i]...)
		end := src[i+1] == 1
		src = src[i+2:]
		if end {
			return b, src, nil
		}
		b = append(b, 0)
		if i = bytes.IndexByte(src, 0); i < 0 || i+1 >= len(src) {
			return nil, nil, errShort
		}
	}
}
