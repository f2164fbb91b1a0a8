package sqlio

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"math"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/jsonb"
	"github.com/millrace/millrace/internal/keyenc"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Compare orders two values of type t as PostgreSQL's default btree operator class does; NULL is greatest.
// json, which PostgreSQL does not order, goes by its bytes.
func Compare(t sqltypes.Type, a, b sqltypes.Datum) int {
	if a == nil || b == nil {
		return compareNull(a == nil, b == nil)
	}
	switch x := a.(type) {
	case bool:
		return compareBool(x, b.(bool))
	case int64:
		return cmp.Compare(x, b.(int64))
	case float64:
		return CompareFloat(x, b.(float64))
	case numeric.Dec:
		return x.Cmp(b.(numeric.Dec))
	case datetime.Interval:
		return x.Cmp(b.(datetime.Interval))
	}
	return CompareBytes(t, toBytes(a), toBytes(b))
}

func compareNull(a, b bool) int { return compareBool(a, b) }

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// CompareFloat is PostgreSQL's order of floats: NaN equals itself and is greatest.
func CompareFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	case a == b:
		return 0
	}
	return compareBool(math.IsNaN(a), math.IsNaN(b))
}

// CompareBytes is Compare for types of PhysBytes.
func CompareBytes(t sqltypes.Type, a, b []byte) int {
	switch t.Kind {
	case sqltypes.KJSONB:
		return jsonb.Compare(a, b)
	case sqltypes.KArray, sqltypes.KInt2Vector, sqltypes.KOidVector, sqltypes.KMap:
		return compareArrays(t, a, b)
	case sqltypes.KRecord:
		return compareRecords(t, a, b)
	case sqltypes.KVector:
		return compareVectors(a, b)
	case sqltypes.KBit, sqltypes.KVarbit:
		return compareBits(a, b)
	case sqltypes.KBpchar:
		return bytes.Compare(TrimBpchar(a), TrimBpchar(b))
	}
	return bytes.Compare(a, b)
}

// TrimBpchar drops the trailing blanks that do not count when values of char(n) are compared.
func TrimBpchar(b []byte) []byte { return bytes.TrimRight(b, " ") }

// AppendKey appends the memcomparable encoding of row i, which must not be NULL: byte order is Compare's order,
// equal values have equal bytes, no encoding is a prefix of another of its type. There is no marker for NULL
// and no direction; the storage layer adds both.
func AppendKey(dst []byte, v *delta.Vec, i int) []byte {
	switch v.Type.Phys() {
	case sqltypes.PhysBool:
		return keyenc.AppendBool(dst, v.Bools[i])
	case sqltypes.PhysInt64:
		return keyenc.AppendInt64(dst, v.Ints[i])
	case sqltypes.PhysFloat64:
		return keyenc.AppendFloat64(dst, v.Floats[i])
	case sqltypes.PhysNumeric:
		return v.Decs[i].AppendKey(dst)
	case sqltypes.PhysInterval:
		return v.Intervals[i].AppendKey(dst)
	}
	return appendBytesKey(dst, v.Type, v.Bytes(i))
}

// AppendKeyDatum is AppendKey for a boxed value; it must not be NULL.
func AppendKeyDatum(dst []byte, t sqltypes.Type, d sqltypes.Datum) []byte {
	switch x := d.(type) {
	case bool:
		return keyenc.AppendBool(dst, x)
	case int64:
		return keyenc.AppendInt64(dst, x)
	case float64:
		return keyenc.AppendFloat64(dst, x)
	case numeric.Dec:
		return x.AppendKey(dst)
	case datetime.Interval:
		return x.AppendKey(dst)
	}
	return appendBytesKey(dst, t, toBytes(d))
}

func appendBytesKey(dst []byte, t sqltypes.Type, b []byte) []byte {
	switch t.Kind {
	case sqltypes.KJSONB:
		return jsonb.AppendKey(dst, b)
	case sqltypes.KArray, sqltypes.KInt2Vector, sqltypes.KOidVector, sqltypes.KMap:
		return appendArrayKey(dst, t, b)
	case sqltypes.KRecord:
		return appendRecordKey(dst, t, b)
	case sqltypes.KVector:
		return appendVectorKey(dst, b)
	case sqltypes.KBit, sqltypes.KVarbit:
		return appendBitsKey(dst, b)
	case sqltypes.KBpchar:
		return keyenc.AppendBytes(dst, TrimBpchar(b))
	}
	return keyenc.AppendBytes(dst, b)
}

// KeyIsExact reports whether DecodeKey gives back exactly the value, not merely an equal one. Where it does not
// (numeric, interval, jsonb, char(n), floats because of −0, arrays and records), keep an image beside the key.
func KeyIsExact(t sqltypes.Type) bool {
	switch t.Kind {
	case sqltypes.KJSONB, sqltypes.KBpchar, sqltypes.KRecord, sqltypes.KArray, sqltypes.KInt2Vector, sqltypes.KOidVector,
		sqltypes.KMap, sqltypes.KVector:
		return false
	}
	p := t.Phys()
	return p == sqltypes.PhysBool || p == sqltypes.PhysInt64 || p == sqltypes.PhysBytes
}

// KeyHasOwnForm reports whether the key of a PhysBytes type that KeyIsExact holds for is more than its bytes by
// keyenc.AppendBytes, so that DecodeKey has to read it.
func KeyHasOwnForm(t sqltypes.Type) bool {
	return t.Kind == sqltypes.KBit || t.Kind == sqltypes.KVarbit
}

var (
	errKeyless = errors.New("decode key: type has no decodable key")
	errBitsKey = errors.New("decode key: malformed bit string")
)

// DecodeKey reads one AppendKey encoding of a value of type t and returns what follows it. See KeyIsExact for
// what a key does not keep. Keys of jsonb, arrays and records cannot be decoded.
func DecodeKey(t sqltypes.Type, src []byte) (d sqltypes.Datum, rest []byte, err error) {
	switch t.Phys() {
	case sqltypes.PhysBool:
		return box3(keyenc.DecodeBool(src))
	case sqltypes.PhysInt64:
		return box3(keyenc.DecodeInt64(src))
	case sqltypes.PhysFloat64:
		return box3(keyenc.DecodeFloat64(src))
	case sqltypes.PhysNumeric:
		return box3(numeric.DecodeKey(src))
	case sqltypes.PhysInterval:
		return box3(datetime.DecodeIntervalKey(src))
	}
	switch t.Kind {
	case sqltypes.KJSONB, sqltypes.KArray, sqltypes.KInt2Vector, sqltypes.KOidVector, sqltypes.KRecord, sqltypes.KMap, sqltypes.KVector:
		return nil, nil, errKeyless
	case sqltypes.KBit, sqltypes.KVarbit:
		return box3(decodeBitsKey(src))
	}
	b, rest, err := keyenc.DecodeBytes(src)
	if err == nil && t.Kind == sqltypes.KBpchar && t.Mod > 0 {
		b, err = FitBpchar(b, int(t.Typmod())-4, true)
	}
	return box3(b, rest, err)
}

func box3[T any](v T, rest []byte, err error) (sqltypes.Datum, []byte, error) {
	if err != nil {
		return nil, nil, err
	}
	return v, rest, nil
}

// AppendImage appends an exact, self-delimiting encoding of a value, which must not be NULL: zigzag varints for
// integers, 8 bytes for floats, the image of numerics and intervals, a length and the bytes of others.
func AppendImage(dst []byte, t sqltypes.Type, d sqltypes.Datum) []byte {
	switch x := d.(type) {
	case bool:
		return keyenc.AppendBool(dst, x)
	case int64:
		return binary.AppendVarint(dst, x)
	case float64:
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(x))
	case numeric.Dec:
		return x.AppendImage(dst)
	case datetime.Interval:
		return x.AppendImage(dst)
	}
	b := toBytes(d)
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// AppendImageAt is AppendImage of row i of a vector, which must not be NULL.
func AppendImageAt(dst []byte, v *delta.Vec, i int) []byte {
	switch v.Type.Phys() {
	case sqltypes.PhysBool:
		return keyenc.AppendBool(dst, v.Bools[i])
	case sqltypes.PhysInt64:
		return binary.AppendVarint(dst, v.Ints[i])
	case sqltypes.PhysFloat64:
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v.Floats[i]))
	case sqltypes.PhysNumeric:
		return v.Decs[i].AppendImage(dst)
	case sqltypes.PhysInterval:
		return v.Intervals[i].AppendImage(dst)
	}
	b := v.Bytes(i)
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

var errImage = errors.New("decode image: malformed bytes")

// DecodeImage reads one AppendImage encoding of a value of type t and returns what follows it. Byte values
// alias src.
func DecodeImage(t sqltypes.Type, src []byte) (d sqltypes.Datum, rest []byte, err error) {
	switch t.Phys() {
	case sqltypes.PhysBool:
		return box3(keyenc.DecodeBool(src))
	case sqltypes.PhysInt64:
		v, n := binary.Varint(src)
		if n <= 0 {
			return nil, nil, errImage
		}
		return v, src[n:], nil
	case sqltypes.PhysFloat64:
		if len(src) < 8 {
			return nil, nil, errImage
		}
		return math.Float64frombits(binary.LittleEndian.Uint64(src)), src[8:], nil
	case sqltypes.PhysNumeric:
		return box3(numeric.DecodeImage(src))
	case sqltypes.PhysInterval:
		return box3(datetime.DecodeIntervalImage(src))
	}
	b, rest, err := decodeSized(src)
	return box3(b, rest, err)
}

// AppendDecoded reads one AppendImage encoding and appends the value to v, without boxing.
func AppendDecoded(v *delta.Vec, src []byte) (rest []byte, err error) {
	switch v.Type.Phys() {
	case sqltypes.PhysInt64:
		x, n := binary.Varint(src)
		if n <= 0 {
			return nil, errImage
		}
		v.AppendInt(x)
		return src[n:], nil
	case sqltypes.PhysNumeric:
		d, rest, err := numeric.DecodeImage(src)
		if err != nil {
			return nil, err
		}
		v.AppendDec(d)
		return rest, nil
	case sqltypes.PhysBytes:
		b, rest, err := decodeSized(src)
		if err != nil {
			return nil, err
		}
		v.AppendBytes(b)
		return rest, nil
	}
	d, rest, err := DecodeImage(v.Type, src)
	if err != nil {
		return nil, err
	}
	v.AppendDatum(d)
	return rest, nil
}

func decodeSized(src []byte) (b, rest []byte, err error) {
	size, n := binary.Uvarint(src)
	if n <= 0 || size > uint64(len(src)-n) {
		return nil, nil, errImage
	}
	end := n + int(size)
	return src[n:end:end], src[end:], nil
}
