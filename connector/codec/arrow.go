package codec

import (
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Arrow's types for ours. bigint, double precision, text and bytea columns share their memory with the Arrow
// array; the others are converted: Arrow counts time from 1970, packs booleans into bits and narrow integers
// into narrow words. A numeric without precision, or of more than 38 digits, is its text; so are json, jsonb, uuid,
// interval and composite values.

// ArrowType returns the Arrow type for values of t.
func ArrowType(t sqltypes.Type) arrow.DataType {
	switch t.Kind {
	case sqltypes.KBool:
		return arrow.FixedWidthTypes.Boolean
	case sqltypes.KInt2:
		return arrow.PrimitiveTypes.Int16
	case sqltypes.KInt4:
		return arrow.PrimitiveTypes.Int32
	case sqltypes.KInt8, sqltypes.KOid:
		return arrow.PrimitiveTypes.Int64
	case sqltypes.KFloat4:
		return arrow.PrimitiveTypes.Float32
	case sqltypes.KFloat8:
		return arrow.PrimitiveTypes.Float64
	case sqltypes.KBytea:
		return arrow.BinaryTypes.Binary
	case sqltypes.KDate:
		return arrow.FixedWidthTypes.Date32
	case sqltypes.KTime:
		return arrow.FixedWidthTypes.Time64us
	case sqltypes.KTimestamp:
		return &arrow.TimestampType{Unit: arrow.Microsecond}
	case sqltypes.KTimestamptz:
		return &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	case sqltypes.KNumeric:
		if p, s, ok := decimalOf(t); ok {
			return &arrow.Decimal128Type{Precision: p, Scale: s}
		}
	case sqltypes.KArray:
		return arrow.ListOf(ArrowType(t.ElemType()))
	}
	return arrow.BinaryTypes.String
}

// decimalOf returns precision and scale of a numeric type that fits in 128 bits.
func decimalOf(t sqltypes.Type) (precision, scale int32, ok bool) {
	if t.Mod == 0 {
		return 0, 0, false
	}
	m := t.Typmod()
	precision, scale = (m-4)>>16, sqltypes.NumericScale(m)
	return precision, scale, precision <= 38 && scale >= 0 && scale <= precision
}

// ArrowSchema returns the schema for columns.
func ArrowSchema(cols []catalog.Column) *arrow.Schema {
	fields := make([]arrow.Field, len(cols))
	for i, c := range cols {
		fields[i] = arrow.Field{Name: c.Name, Type: ArrowType(c.Type), Nullable: !c.NotNull}
	}
	return arrow.NewSchema(fields, nil)
}

// ToArrow returns the rows of c that count as a record batch of the given schema, weights aside. It may share
// memory with c.
func ToArrow(schema *arrow.Schema, c *delta.Chunk, s *sqlio.Settings) (arrow.RecordBatch, error) {
	c = c.Compact()
	cols := make([]arrow.Array, len(c.Cols))
	for i, v := range c.Cols {
		a, err := ToArrowArray(v.Prefix(c.Rows), s)
		if err != nil {
			return nil, err
		}
		cols[i] = a
	}
	return array.NewRecordBatch(schema, cols, int64(c.Rows)), nil
}

// ToArrowArray returns the values of v as an array of type ArrowType(v.Type).
func ToArrowArray(v *delta.Vec, s *sqlio.Settings) (arrow.Array, error) {
	t := ArrowType(v.Type)
	switch v.Type.Kind {
	case sqltypes.KBool:
		bits := make([]byte, bitutil.BytesForBits(int64(v.Len())))
		for i, b := range v.Bools[:v.Len()] {
			if b {
				bitutil.SetBit(bits, i)
			}
		}
		return makeArray(t, v, bits), nil
	case sqltypes.KInt2:
		return makeArray(t, v, bytesOf(narrow[int16](v.Ints))), nil
	case sqltypes.KInt4:
		return makeArray(t, v, bytesOf(narrow[int32](v.Ints))), nil
	case sqltypes.KInt8, sqltypes.KOid, sqltypes.KTime:
		return makeArray(t, v, bytesOf(v.Ints)), nil
	case sqltypes.KFloat8:
		return makeArray(t, v, bytesOf(v.Floats)), nil
	case sqltypes.KFloat4:
		out := make([]float32, len(v.Floats))
		for i, f := range v.Floats {
			out[i] = float32(f)
		}
		return makeArray(t, v, bytesOf(out)), nil
	case sqltypes.KDate:
		out := make([]int32, len(v.Ints))
		for i, d := range v.Ints {
			out[i] = int32(min(d, 1<<31-1-epochDays) + epochDays)
		}
		return makeArray(t, v, bytesOf(out)), nil
	case sqltypes.KTimestamp, sqltypes.KTimestamptz:
		out := make([]int64, len(v.Ints))
		for i, ts := range v.Ints {
			out[i] = min(ts, 1<<63-1-epochMicros) + epochMicros
		}
		return makeArray(t, v, bytesOf(out)), nil
	case sqltypes.KText, sqltypes.KVarchar, sqltypes.KBpchar, sqltypes.KName, sqltypes.KBytea, sqltypes.KJSON:
		return makeArray(t, v, bytesOf(v.Offsets), v.Data), nil
	case sqltypes.KNumeric:
		if d, ok := t.(*arrow.Decimal128Type); ok {
			return decimals(d, v, s)
		}
	case sqltypes.KArray:
		return lists(t, v, s)
	}
	return texts(t, v, s), nil
}

// makeArray wraps buffers, with v's bitmap in front, as an array.
func makeArray(t arrow.DataType, v *delta.Vec, buffers ...[]byte) arrow.Array {
	all := []*memory.Buffer{nil}
	if v.Valid != nil {
		all[0] = memory.NewBufferBytes(bytesOf(v.Valid))
	}
	for _, b := range buffers {
		all = append(all, memory.NewBufferBytes(b))
	}
	return array.MakeFromData(array.NewData(t, v.Len(), all, nil, v.CountNulls(), 0))
}

// bytesOf views values as the bytes they consist of.
func bytesOf[T any](values []T) []byte {
	var zero T
	if len(values) == 0 {
		return []byte{}
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), len(values)*int(unsafe.Sizeof(zero)))
}

func narrow[T int16 | int32](values []int64) []T {
	out := make([]T, len(values))
	for i, x := range values {
		out[i] = T(x)
	}
	return out
}

func decimals(t *arrow.Decimal128Type, v *delta.Vec, s *sqlio.Settings) (arrow.Array, error) {
	out := make([]decimal128.Num, v.Len())
	var buf []byte
	for i := range out {
		if v.IsNull(i) {
			continue
		}
		buf = sqlio.AppendText(buf[:0], v, i, s)
		n, err := decimal128.FromString(string(buf), t.Precision, t.Scale)
		if err != nil {
			return nil, sqlerr.New(sqlerr.NumericValueOutOfRange, "numeric value %s does not fit in decimal(%d,%d)", buf, t.Precision, t.Scale)
		}
		out[i] = n
	}
	return makeArray(t, v, bytesOf(out)), nil
}

func texts(t arrow.DataType, v *delta.Vec, s *sqlio.Settings) arrow.Array {
	offsets, data := make([]int32, 1, v.Len()+1), []byte{}
	for i := range v.Len() {
		if !v.IsNull(i) {
			data = sqlio.AppendText(data, v, i, s)
		}
		offsets = append(offsets, int32(len(data)))
	}
	return makeArray(t, v, bytesOf(offsets), data)
}

// lists converts arrays of one dimension.
func lists(t arrow.DataType, v *delta.Vec, s *sqlio.Settings) (arrow.Array, error) {
	elems := scratchVec(v.Type.ElemType())
	offsets := make([]int32, 1, v.Len()+1)
	for i := range v.Len() {
		if !v.IsNull(i) {
			a, err := sqlio.ReadArray(v.Type, v.Bytes(i))
			if err != nil {
				return nil, err
			}
			if a.NDim() > 1 {
				return nil, sqlerr.New(sqlerr.FeatureNotSupported, "arrays of several dimensions cannot be written as Arrow lists")
			}
			for k := range a.Len() {
				elems.AppendDatum(a.At(k))
			}
		}
		offsets = append(offsets, int32(elems.Len()))
	}
	child, err := ToArrowArray(elems, s)
	if err != nil {
		return nil, err
	}
	var valid *memory.Buffer
	if v.Valid != nil {
		valid = memory.NewBufferBytes(bytesOf(v.Valid))
	}
	return array.MakeFromData(array.NewData(t, v.Len(), []*memory.Buffer{valid, memory.NewBufferBytes(bytesOf(offsets))},
		[]arrow.ArrayData{child.Data()}, v.CountNulls(), 0)), nil
}
