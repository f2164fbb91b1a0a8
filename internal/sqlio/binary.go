package sqlio

import (
	"bytes"
	"encoding/binary"
	"math"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/jsonb"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// jsonbVersion is the byte before the text in jsonb's wire format.
const jsonbVersion = 1

// AppendBinary appends the binary wire format of row i, which must not be NULL: what PostgreSQL's send
// function returns.
func AppendBinary(dst []byte, v *delta.Vec, i int) []byte {
	switch v.Type.Phys() {
	case sqltypes.PhysBool:
		return appendBoolBinary(dst, v.Bools[i])
	case sqltypes.PhysInt64:
		return appendIntBinary(dst, v.Type, v.Ints[i])
	case sqltypes.PhysFloat64:
		return appendFloatBinary(dst, v.Type.Kind, v.Floats[i])
	case sqltypes.PhysNumeric:
		return v.Decs[i].AppendBinary(dst)
	case sqltypes.PhysInterval:
		return appendIntervalBinary(dst, v.Intervals[i])
	}
	return appendBytesBinary(dst, v.Type, v.Bytes(i))
}

// AppendBinaryDatum is AppendBinary for a boxed value; it must not be NULL.
func AppendBinaryDatum(dst []byte, t sqltypes.Type, d sqltypes.Datum) []byte {
	switch x := d.(type) {
	case bool:
		return appendBoolBinary(dst, x)
	case int64:
		return appendIntBinary(dst, t, x)
	case float64:
		return appendFloatBinary(dst, t.Kind, x)
	case numeric.Dec:
		return x.AppendBinary(dst)
	case datetime.Interval:
		return appendIntervalBinary(dst, x)
	}
	return appendBytesBinary(dst, t, toBytes(d))
}

func appendBoolBinary(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func appendIntBinary(dst []byte, t sqltypes.Type, x int64) []byte {
	switch t.Kind {
	case sqltypes.KInt2:
		return binary.BigEndian.AppendUint16(dst, uint16(x))
	case sqltypes.KInt8, sqltypes.KTime, sqltypes.KTimestamp, sqltypes.KTimestamptz:
		return binary.BigEndian.AppendUint64(dst, uint64(x))
	case sqltypes.KTimetz:
		micros, zone := datetime.UnpackTimetz(x)
		dst = binary.BigEndian.AppendUint64(dst, uint64(micros))
		return binary.BigEndian.AppendUint32(dst, uint32(zone))
	case sqltypes.KEnum:
		return appendEnum(dst, t, x)
	}
	return binary.BigEndian.AppendUint32(dst, uint32(x))
}

func appendFloatBinary(dst []byte, k sqltypes.Kind, f float64) []byte {
	if k == sqltypes.KFloat4 {
		return binary.BigEndian.AppendUint32(dst, math.Float32bits(float32(f)))
	}
	if f != f { // one NaN for all, as PostgreSQL's
		return binary.BigEndian.AppendUint64(dst, 0x7ff8<<48)
	}
	return binary.BigEndian.AppendUint64(dst, math.Float64bits(f))
}

func appendIntervalBinary(dst []byte, iv datetime.Interval) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(iv.Micros))
	dst = binary.BigEndian.AppendUint32(dst, uint32(iv.Days))
	return binary.BigEndian.AppendUint32(dst, uint32(iv.Months))
}

func appendBytesBinary(dst []byte, t sqltypes.Type, b []byte) []byte {
	switch t.Kind {
	case sqltypes.KChar:
		if len(b) == 0 {
			return append(dst, 0)
		}
	case sqltypes.KJSONB:
		return jsonb.AppendText(append(dst, jsonbVersion), b)
	case sqltypes.KJSONPath:
		return appendJSONPath(append(dst, jsonbVersion), b)
	case sqltypes.KArray, sqltypes.KInt2Vector, sqltypes.KOidVector, sqltypes.KMap:
		return appendArrayBinary(dst, t, b)
	case sqltypes.KRecord:
		return appendRecordBinary(dst, t, b)
	case sqltypes.KVector:
		return appendFloatsBinary(dst, b)
	case sqltypes.KBit, sqltypes.KVarbit:
		return appendBitsBinary(dst, b)
	}
	return append(dst, b...)
}

func errShortBinary() error {
	return sqlerr.New(sqlerr.ProtocolViolation, "insufficient data left in message")
}

func errLongBinary() error {
	return sqlerr.New(sqlerr.InvalidBinaryRepresentation, "incorrect binary data format")
}

// exactly checks the length of a fixed-size value.
func exactly(b []byte, n int) error {
	switch {
	case len(b) < n:
		return errShortBinary()
	case len(b) > n:
		return errLongBinary()
	}
	return nil
}

// ParseBinary is the receive function of t. It keeps no reference to b. Errors: 08P01 for too few bytes, 22P03
// for malformed ones, 22021 for text that is not UTF-8, and those of the type.
func ParseBinary(t sqltypes.Type, b []byte) (sqltypes.Datum, error) {
	switch t.Phys() {
	case sqltypes.PhysBool:
		return boxed(len(b) > 0 && b[0] != 0, exactly(b, 1))
	case sqltypes.PhysInt64:
		return boxed(parseIntBinary(t, b))
	case sqltypes.PhysFloat64:
		return boxed(parseFloatBinary(t.Kind, b))
	case sqltypes.PhysNumeric:
		return boxed(numeric.ParseBinary(b))
	case sqltypes.PhysInterval:
		if err := exactly(b, 16); err != nil {
			return nil, err
		}
		return datetime.Interval{
			Micros: int64(binary.BigEndian.Uint64(b)),
			Days:   int32(binary.BigEndian.Uint32(b[8:])),
			Months: int32(binary.BigEndian.Uint32(b[12:])),
		}, nil
	}
	out, err := parseBytesBinary(t, b)
	if err != nil {
		return nil, err
	}
	return out, nil
}

func parseIntBinary(t sqltypes.Type, b []byte) (int64, error) {
	k := t.Kind
	switch k {
	case sqltypes.KInt2:
		if err := exactly(b, 2); err != nil {
			return 0, err
		}
		return int64(int16(binary.BigEndian.Uint16(b))), nil
	case sqltypes.KInt4, sqltypes.KDate:
		if err := exactly(b, 4); err != nil {
			return 0, err
		}
		return checkTimeRange(k, int64(int32(binary.BigEndian.Uint32(b))))
	case sqltypes.KInt8, sqltypes.KTime, sqltypes.KTimestamp, sqltypes.KTimestamptz:
		if err := exactly(b, 8); err != nil {
			return 0, err
		}
		return checkTimeRange(k, int64(binary.BigEndian.Uint64(b)))
	case sqltypes.KTimetz:
		if err := exactly(b, 12); err != nil {
			return 0, err
		}
		return parseTimetzBinary(b)
	case sqltypes.KEnum:
		return parseEnum(t, string(b))
	}
	if err := exactly(b, 4); err != nil {
		return 0, err
	}
	return int64(binary.BigEndian.Uint32(b)), nil
}

// checkTimeRange refuses dates and times that no text could have denoted.
func checkTimeRange(k sqltypes.Kind, x int64) (int64, error) {
	ok, what := true, ""
	switch k {
	case sqltypes.KDate:
		ok, what = datetime.ValidDate(x), "date"
	case sqltypes.KTime:
		ok, what = x >= 0 && x <= datetime.MicrosPerDay, "time"
	case sqltypes.KTimestamp, sqltypes.KTimestamptz:
		ok, what = datetime.ValidTimestamp(x), "timestamp"
	}
	if !ok {
		return 0, sqlerr.New(sqlerr.DatetimeFieldOverflow, "%s out of range", what)
	}
	return x, nil
}

func parseTimetzBinary(b []byte) (int64, error) {
	micros := int64(binary.BigEndian.Uint64(b))
	zone := int32(binary.BigEndian.Uint32(b[8:]))
	if micros < 0 || micros > datetime.MicrosPerDay {
		return 0, sqlerr.New(sqlerr.DatetimeFieldOverflow, "time out of range")
	}
	if zone <= -datetime.MaxZoneSeconds || zone >= datetime.MaxZoneSeconds {
		return 0, sqlerr.New(sqlerr.InvalidTimeZoneDisplacement, "time zone displacement out of range")
	}
	return datetime.PackTimetz(micros, zone), nil
}

func parseFloatBinary(k sqltypes.Kind, b []byte) (float64, error) {
	if k == sqltypes.KFloat4 {
		if err := exactly(b, 4); err != nil {
			return 0, err
		}
		return float64(math.Float32frombits(binary.BigEndian.Uint32(b))), nil
	}
	if err := exactly(b, 8); err != nil {
		return 0, err
	}
	return math.Float64frombits(binary.BigEndian.Uint64(b)), nil
}

func parseBytesBinary(t sqltypes.Type, b []byte) ([]byte, error) {
	switch t.Kind {
	case sqltypes.KBytea:
		return append([]byte{}, b...), nil
	case sqltypes.KUUID:
		return append([]byte{}, b...), exactly(b, 16)
	case sqltypes.KChar:
		return bytes.TrimRight(b, "\x00"), exactly(b, 1)
	case sqltypes.KArray, sqltypes.KInt2Vector, sqltypes.KOidVector, sqltypes.KMap:
		return parseArrayBinary(t, b)
	case sqltypes.KRecord:
		return parseRecordBinary(t, b)
	case sqltypes.KVector:
		return parseFloatsBinary(b)
	case sqltypes.KBit, sqltypes.KVarbit:
		return parseBitsBinary(b)
	case sqltypes.KJSONB, sqltypes.KJSONPath:
		if len(b) == 0 {
			return nil, errShortBinary()
		}
		if b[0] != jsonbVersion {
			return nil, sqlerr.New(sqlerr.InternalError, "unsupported %s version number %d", t, b[0])
		}
		b = b[1:]
	}
	if err := CheckUTF8(b); err != nil {
		return nil, err
	}
	switch t.Kind {
	case sqltypes.KJSONB:
		return jsonb.Parse(b)
	case sqltypes.KJSONPath:
		return parseBytesKind(t, string(b), nil)
	case sqltypes.KJSON:
		return append([]byte{}, b...), jsonb.Validate(b)
	case sqltypes.KName:
		return []byte(clip(string(b), 63)), nil
	}
	return append([]byte{}, b...), nil
}

// CheckUTF8 refuses text that is not UTF-8 or holds a zero byte. Error: 22021, as PostgreSQL words it.
func CheckUTF8(b []byte) error {
	for i := 0; i < len(b); {
		if c := b[i]; c < utf8.RuneSelf {
			if c == 0 {
				return errEncoding(b[i : i+1])
			}
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return errEncoding(b[i:min(i+sequenceLen(b[i]), len(b))])
		}
		i += n
	}
	return nil
}

// sequenceLen is the length that the first byte of a UTF-8 sequence announces.
func sequenceLen(c byte) int {
	switch {
	case c&0xE0 == 0xC0:
		return 2
	case c&0xF0 == 0xE0:
		return 3
	case c&0xF8 == 0xF0:
		return 4
	}
	return 1
}

func errEncoding(b []byte) error {
	const hexDigits = "0123456789abcdef"
	var text []byte
	for i, c := range b {
		if i > 0 {
			text = append(text, ' ')
		}
		text = append(text, '0', 'x', hexDigits[c>>4], hexDigits[c&15])
	}
	return sqlerr.New(sqlerr.CharacterNotInRepertoire, "invalid byte sequence for encoding \"UTF8\": %s", text)
}
