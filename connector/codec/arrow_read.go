package codec

import (
	"encoding/hex"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// CanRead reports whether FromArrow reads arrays of type a into columns of type t.
func CanRead(a arrow.DataType, t sqltypes.Type) bool {
	switch a.ID() {
	case arrow.NULL, arrow.STRING, arrow.LARGE_STRING:
		return true // text is parsed
	case arrow.BOOL:
		return t.Kind == sqltypes.KBool || t.IsString()
	case arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64:
		return t.IsNumber() || t.IsString()
	case arrow.FLOAT16, arrow.FLOAT32, arrow.FLOAT64:
		return t.IsFloat() || t.Kind == sqltypes.KNumeric || t.IsString()
	case arrow.DECIMAL128, arrow.DECIMAL256:
		return t.Kind == sqltypes.KNumeric || t.IsFloat() || t.IsString()
	case arrow.BINARY, arrow.LARGE_BINARY, arrow.FIXED_SIZE_BINARY:
		return t.Kind == sqltypes.KBytea || t.IsString() || t.Kind == sqltypes.KUUID
	case arrow.DATE32, arrow.DATE64:
		return t.Kind == sqltypes.KDate
	case arrow.TIME32, arrow.TIME64:
		return t.Kind == sqltypes.KTime
	case arrow.TIMESTAMP:
		return t.Kind == sqltypes.KTimestamp || t.Kind == sqltypes.KTimestamptz
	case arrow.LIST, arrow.LARGE_LIST:
		return t.Kind == sqltypes.KArray && CanRead(a.(arrow.NestedType).Fields()[0].Type, t.ElemType()) || t.Kind == sqltypes.KJSONB || t.IsString()
	case arrow.STRUCT, arrow.MAP:
		return t.Kind == sqltypes.KJSONB || t.IsString()
	}
	return false
}

// FromArrow appends the values of a to v, converted to v's type; CanRead(a's type, v.Type) must hold. Bytes are
// copied.
func FromArrow(a arrow.Array, v *delta.Vec, s *sqlio.Settings) error {
	read, err := arrowReader(a, v, s)
	if err != nil {
		return err
	}
	for i := range a.Len() {
		if a.IsNull(i) {
			v.AppendNull()
			continue
		}
		if err := read(i); err != nil {
			return err
		}
	}
	return nil
}

// arrowReader returns a function that appends one value of a to v.
func arrowReader(a arrow.Array, v *delta.Vec, s *sqlio.Settings) (func(int) error, error) {
	switch a := a.(type) {
	case *array.Int64:
		if v.Type.Kind == sqltypes.KInt8 {
			return func(i int) error { v.AppendInt(a.Value(i)); return nil }, nil
		}
	case *array.Int32:
		if v.Type.Kind == sqltypes.KInt8 || v.Type.Kind == sqltypes.KInt4 {
			return func(i int) error { v.AppendInt(int64(a.Value(i))); return nil }, nil
		}
	case *array.Float64:
		if v.Type.Kind == sqltypes.KFloat8 {
			return func(i int) error { v.AppendFloat(a.Value(i)); return nil }, nil
		}
	case *array.Boolean:
		if v.Type.Kind == sqltypes.KBool {
			return func(i int) error { v.AppendBool(a.Value(i)); return nil }, nil
		}
	case *array.String:
		return func(i int) error { return appendString(v, a.Value(i), s) }, nil
	case *array.LargeString:
		return func(i int) error { return appendString(v, a.Value(i), s) }, nil
	case *array.Binary:
		return func(i int) error { return appendBinary(v, a.Value(i)) }, nil
	case *array.LargeBinary:
		return func(i int) error { return appendBinary(v, a.Value(i)) }, nil
	case *array.FixedSizeBinary:
		return func(i int) error { return appendBinary(v, a.Value(i)) }, nil
	case *array.Date32:
		return func(i int) error { v.AppendInt(int64(a.Value(i)) - epochDays); return nil }, nil
	case *array.Date64:
		return func(i int) error { v.AppendInt(floorDiv(int64(a.Value(i)), 86_400_000) - epochDays); return nil }, nil
	case *array.Time32:
		unit := a.DataType().(*arrow.Time32Type).Unit
		return func(i int) error { v.AppendInt(toMicros(int64(a.Value(i)), unit)); return nil }, nil
	case *array.Time64:
		unit := a.DataType().(*arrow.Time64Type).Unit
		return func(i int) error { v.AppendInt(toMicros(int64(a.Value(i)), unit)); return nil }, nil
	case *array.Timestamp:
		unit := a.DataType().(*arrow.TimestampType).Unit
		return func(i int) error { return appendStamp(v, int64(a.Value(i)), unit) }, nil
	case *array.List:
		if v.Type.Kind == sqltypes.KArray {
			return func(i int) error { lo, hi := a.ValueOffsets(i); return appendList(v, a.ListValues(), lo, hi, s) }, nil
		}
	case *array.LargeList:
		if v.Type.Kind == sqltypes.KArray {
			return func(i int) error { lo, hi := a.ValueOffsets(i); return appendList(v, a.ListValues(), lo, hi, s) }, nil
		}
	}
	if !CanRead(a.DataType(), v.Type) {
		return nil, sqlerr.New(sqlerr.DatatypeMismatch, "values of Arrow type %s cannot be read as %s", a.DataType(), v.Type)
	}
	return func(i int) error { return appendString(v, a.ValueStr(i), s) }, nil
}

func appendString(v *delta.Vec, text string, s *sqlio.Settings) error {
	switch v.Type.Kind {
	case sqltypes.KText, sqltypes.KVarchar:
		if err := checkText([]byte(text)); err != nil {
			return err
		}
		v.AppendString(text)
		return nil
	case sqltypes.KBytea:
		v.AppendString(text)
		return nil
	}
	return sqlio.AppendParsed(v, []byte(text), s)
}

func appendBinary(v *delta.Vec, b []byte) error {
	switch {
	case v.Type.Kind == sqltypes.KUUID && len(b) != 16:
		return sqlerr.New(sqlerr.InvalidBinaryRepresentation, "value of %d bytes is not a uuid", len(b)).WithDetail("%s", hex.EncodeToString(b))
	case v.Type.IsString():
		if err := checkText(b); err != nil {
			return err
		}
	}
	v.AppendBytes(b)
	return nil
}

func appendStamp(v *delta.Vec, n int64, unit arrow.TimeUnit) error {
	micros := toMicros(n, unit)
	if unit <= arrow.Millisecond && n != 0 && micros/n != toMicros(1, unit) || micros < -1<<63+epochMicros {
		return sqlerr.New(sqlerr.DatetimeFieldOverflow, "timestamp out of range: \"%s\"", strconv.FormatInt(n, 10))
	}
	v.AppendInt(micros - epochMicros)
	return nil
}

func toMicros(n int64, unit arrow.TimeUnit) int64 {
	switch unit {
	case arrow.Second:
		return n * 1_000_000
	case arrow.Millisecond:
		return n * 1000
	case arrow.Nanosecond:
		return floorDiv(n, 1000)
	}
	return n
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func appendList(v *delta.Vec, values arrow.Array, lo, hi int64, s *sqlio.Settings) error {
	part := array.NewSlice(values, lo, hi)
	defer part.Release()
	elems := scratchVec(v.Type.ElemType())
	if err := FromArrow(part, elems, s); err != nil {
		return err
	}
	boxed := make([]sqltypes.Datum, elems.Len())
	for i := range boxed {
		boxed[i] = elems.Datum(i)
	}
	v.AppendBytes(sqlio.MakeArray(v.Type, boxed))
	return nil
}
