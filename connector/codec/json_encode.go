package codec

import (
	"encoding/hex"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/jsonb"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// jsonEncoder writes rows as JSON objects, as PostgreSQL's row_to_json does: numbers as numbers (NaN and the
// infinities as strings), json and jsonb as they are, arrays as arrays, dates and times as ISO strings, bytea as
// \x and hexadecimal digits. A timestamptz is in UTC and ends with Z.
type jsonEncoder struct {
	cols     []int
	names    [][]byte // `"name":`, with the comma or brace in front
	settings *sqlio.Settings
	buf      []byte
}

// JSONValues writes single values as JSON, as rows hold them.
type JSONValues struct{ e jsonEncoder }

// NewJSONValues returns a writer of values for a sink.
func NewJSONValues(s *sqlio.Settings) *JSONValues {
	return &JSONValues{jsonEncoder{settings: outputSettings(s)}}
}

// Append appends the value of row i.
func (x *JSONValues) Append(dst []byte, v *delta.Vec, i int) []byte { return x.e.value(dst, v, i) }

// newJSONEncoder writes the columns cols of spec.
func newJSONEncoder(spec *connector.SinkSpec, cols []int) *jsonEncoder {
	e := &jsonEncoder{cols: cols, settings: outputSettings(spec.Settings)}
	for i, c := range cols {
		name := []byte{','}
		if i == 0 {
			name[0] = '{'
		}
		name = appendJSONString(name, []byte(spec.Columns[c].Name))
		e.names = append(e.names, append(name, ':'))
	}
	return e
}

// outputSettings are those that formats are written in: ISO, UTC, shortest exact floats; whatever the
// session that created the sink had.
func outputSettings(s *sqlio.Settings) *sqlio.Settings {
	out := sqlio.DefaultSettings()
	if s != nil {
		out.Time.IntervalStyle = s.Time.IntervalStyle
	}
	return out
}

// AppendRow implements Encoder.
func (e *jsonEncoder) AppendRow(dst []byte, c *delta.Chunk, row int) []byte {
	if len(e.cols) == 0 {
		return append(dst, "{}"...)
	}
	for i, col := range e.cols {
		dst = append(dst, e.names[i]...)
		dst = e.value(dst, c.Cols[col], row)
	}
	return append(dst, '}')
}

func (e *jsonEncoder) value(dst []byte, v *delta.Vec, i int) []byte {
	if v.IsNull(i) {
		return append(dst, "null"...)
	}
	switch v.Type.Kind {
	case sqltypes.KBool:
		return strconv.AppendBool(dst, v.Bools[i])
	case sqltypes.KInt2, sqltypes.KInt4, sqltypes.KInt8, sqltypes.KOid:
		return strconv.AppendInt(dst, v.Ints[i], 10)
	case sqltypes.KFloat4, sqltypes.KFloat8:
		return e.float(dst, v, i)
	case sqltypes.KNumeric:
		return e.numeric(dst, v, i)
	case sqltypes.KText, sqltypes.KVarchar, sqltypes.KBpchar, sqltypes.KName:
		return appendJSONString(dst, v.Bytes(i))
	case sqltypes.KJSON:
		return append(dst, v.Bytes(i)...)
	case sqltypes.KJSONB:
		return jsonb.AppendText(dst, v.Bytes(i))
	case sqltypes.KBytea:
		return append(hex.AppendEncode(append(dst, `"\\x`...), v.Bytes(i)), '"')
	case sqltypes.KTimestamp:
		return append(sqlio.AppendText(append(dst, '"'), v, i, e.settings), '"')
	case sqltypes.KTimestamptz:
		return e.timestamptz(dst, v, i)
	case sqltypes.KArray:
		return e.array(dst, v.Type, v.Bytes(i))
	case sqltypes.KRecord:
		return e.record(dst, v.Type, v.Bytes(i))
	}
	e.buf = sqlio.AppendText(e.buf[:0], v, i, e.settings)
	return appendJSONString(dst, e.buf)
}

func (e *jsonEncoder) float(dst []byte, v *delta.Vec, i int) []byte {
	if f := v.Floats[i]; math.IsNaN(f) || math.IsInf(f, 0) {
		return append(sqlio.AppendText(append(dst, '"'), v, i, e.settings), '"')
	}
	return sqlio.AppendText(dst, v, i, e.settings)
}

func (e *jsonEncoder) numeric(dst []byte, v *delta.Vec, i int) []byte {
	start := len(dst)
	dst = sqlio.AppendText(dst, v, i, e.settings)
	if last := dst[len(dst)-1]; last < '0' || last > '9' { // NaN, Infinity
		text := string(dst[start:])
		return append(append(append(dst[:start], '"'), text...), '"')
	}
	return dst
}

// timestamptz turns the "+00" that UTC is printed with into Z, and the blank into T.
func (e *jsonEncoder) timestamptz(dst []byte, v *delta.Vec, i int) []byte {
	e.buf = sqlio.AppendText(e.buf[:0], v, i, e.settings)
	n := len(e.buf)
	if n > 19 && e.buf[10] == ' ' && string(e.buf[n-3:]) == "+00" {
		e.buf[10] = 'T'
		e.buf = append(e.buf[:n-3], 'Z')
	}
	return appendJSONString(dst, e.buf)
}

func (e *jsonEncoder) array(dst []byte, t sqltypes.Type, b []byte) []byte {
	a, err := sqlio.ReadArray(t, b)
	if err != nil {
		return append(dst, "null"...)
	}
	next := 0
	return e.dimension(dst, &a, t.ElemType(), 0, &next)
}

// dimension writes one dimension of an array; its elements lie row by row from *next on.
func (e *jsonEncoder) dimension(dst []byte, a *sqlio.ArrayReader, t sqltypes.Type, dim int, next *int) []byte {
	if a.NDim() == 0 {
		return append(dst, "[]"...)
	}
	n, _ := a.Dim(dim)
	dst = append(dst, '[')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dim+1 < a.NDim() {
			dst = e.dimension(dst, a, t, dim+1, next)
		} else {
			dst = e.datum(dst, t, a.At(*next))
			*next++
		}
	}
	return append(dst, ']')
}

func (e *jsonEncoder) record(dst []byte, t sqltypes.Type, b []byte) []byte {
	values, err := sqlio.DecodeRecord(t, b)
	if err != nil || !t.HasFields() || len(values) != len(t.Fields()) {
		return append(dst, "null"...)
	}
	dst = append(dst, '{')
	for i, f := range t.Fields() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendJSONString(dst, []byte(f.Name)), ':')
		dst = e.datum(dst, f.Type, values[i])
	}
	return append(dst, '}')
}

func (e *jsonEncoder) datum(dst []byte, t sqltypes.Type, d sqltypes.Datum) []byte {
	if d == nil {
		return append(dst, "null"...)
	}
	v := scratchVec(t)
	v.AppendDatum(d)
	return e.value(dst, v, 0)
}

const hexDigits = "0123456789abcdef"

// appendJSONString appends s as a JSON string; what is not UTF-8 becomes U+FFFD.
func appendJSONString(dst, s []byte) []byte {
	dst = append(dst, '"')
	sc := scanner{b: s}
	for i := 0; i < len(s); {
		n := sc.plain(i)
		dst = append(dst, s[i:i+n]...)
		if i += n; i >= len(s) {
			break
		}
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			r, size := utf8.DecodeRune(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += size - 1
		}
		i++
	}
	return append(dst, '"')
}
