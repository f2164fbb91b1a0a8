package codec

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math"
	"strconv"
	"unsafe"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/jsonb"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// jsonValue appends JSON values to one column.
//
// Texts are read as PostgreSQL's input functions do; besides, a number or a truth value becomes its text in
// a text column, an object or array its JSON text, and numbers in date and time columns count from 1970 in
// days, milli- or microseconds.
type jsonValue struct {
	column
	also     []int // further slots of the same field
	settings *sqlio.Settings
	modes    jsonModes
	low, top int64 // range of an integer column
	elem     *jsonValue
	fields   []jsonValue   // of a composite column
	connect  *connectValue // what a schema beside the record says of the field; nil: nothing
	buf      []byte
	depth    int
}

func newJSONValue(c column, s *sqlio.Settings, m jsonModes) jsonValue {
	v := jsonValue{column: c, settings: s, modes: m, low: math.MinInt64, top: math.MaxInt64}
	switch c.typ.Kind {
	case sqltypes.KInt2:
		v.low, v.top = math.MinInt16, math.MaxInt16
	case sqltypes.KInt4:
		v.low, v.top = math.MinInt32, math.MaxInt32
	case sqltypes.KArray:
		e := newJSONValue(column{name: c.name, typ: c.typ.ElemType()}, s, m)
		v.elem = &e
	case sqltypes.KRecord:
		if c.typ.HasFields() {
			for _, f := range c.typ.Fields() {
				v.fields = append(v.fields, newJSONValue(column{name: f.Name, typ: f.Type}, s, m))
			}
		}
	}
	return v
}

// field appends a field's value to its columns, in place of an earlier one of the same row.
func (v *jsonValue) field(s *scanner, to *Rows) error {
	col := to.cols[v.slot]
	if col.Len() > to.n {
		truncate(col, to.n)
		to.unkeep(v.slot)
	}
	if v.modes.partial && lacksValue(s) {
		to.keep(v.slot)
		return nil
	}
	if err := v.append(s, col); err != nil {
		return wrapColumn(v.name, err)
	}
	if v.typ.Mod != 0 {
		if err := applyTypmod(col, v.typ); err != nil {
			return wrapColumn(v.name, err)
		}
	}
	for _, slot := range v.also {
		if to.cols[slot].Len() > to.n {
			truncate(to.cols[slot], to.n)
		}
		to.cols[slot].AppendFrom(col, to.n)
	}
	return nil
}

// applyTypmod checks the last value of v against its type's modifier, or rounds it to that.
func applyTypmod(v *delta.Vec, t sqltypes.Type) error {
	last := v.Len() - 1
	if v.IsNull(last) {
		return nil
	}
	d, err := sqlio.ApplyTypmod(t, v.Datum(last), false)
	if err != nil {
		return err
	}
	if b, ok := d.([]byte); ok { // it may alias what truncate gives free
		d = string(b)
	}
	truncate(v, last)
	v.AppendDatum(d)
	return nil
}

// append appends the value that follows.
func (v *jsonValue) append(s *scanner, col *delta.Vec) error {
	if v.connect != nil {
		if done, err := v.connect.append(v, s, col); done {
			return err
		}
	}
	switch s.peek() {
	case '"':
		raw, escaped, err := s.str()
		if err != nil {
			return err
		}
		return v.text(raw, escaped, col)
	case 'n':
		col.AppendNull()
		return s.literal("null")
	case 't':
		return v.boolean(true, "true", s, col)
	case 'f':
		return v.boolean(false, "false", s, col)
	case '{', '[':
		return v.nested(s, col)
	}
	return v.number(s, col)
}

func (v *jsonValue) boolean(b bool, word string, s *scanner, col *delta.Vec) error {
	if err := s.literal(word); err != nil {
		return err
	}
	switch {
	case v.typ.Kind == sqltypes.KBool:
		col.AppendBool(b)
	case v.typ.IsString() || v.typ.Kind == sqltypes.KJSON:
		col.AppendString(word)
	case v.typ.Kind == sqltypes.KJSONB:
		return appendRaw(col, []byte(word), nil)
	default:
		return v.mismatch(word)
	}
	return nil
}

// mismatch is PostgreSQL's error about text that a type cannot have.
func (v *jsonValue) mismatch(text string) error {
	return sqlerr.New(sqlerr.InvalidTextRepresentation, "invalid input syntax for type %s: \"%s\"", v.typ, text)
}

// text appends a string's value.
func (v *jsonValue) text(raw []byte, escaped bool, col *delta.Vec) error {
	if v.modes.latin1 && v.typ.Kind == sqltypes.KBytea {
		return v.latin1(raw, col)
	}
	if escaped && v.typ.Kind != sqltypes.KJSONB && v.typ.Kind != sqltypes.KJSON {
		var err error
		if v.buf, err = unescape(v.buf[:0], raw); err != nil {
			return err
		}
		raw = v.buf
	}
	switch v.typ.Kind {
	case sqltypes.KText, sqltypes.KVarchar, sqltypes.KBpchar:
		col.AppendBytes(raw)
		return nil
	case sqltypes.KTimestamp:
		if ts, ok := fastTimestamp(raw); ok {
			col.AppendInt(ts)
			return nil
		}
		if v.isZeroDate(raw) {
			col.AppendNull()
			return nil
		}
	case sqltypes.KDate:
		if v.isZeroDate(raw) {
			col.AppendNull()
			return nil
		}
	case sqltypes.KNumeric:
		if v.modes.precise {
			if scale, ok := v.declaredScale(); ok {
				return v.appendBase64Decimal(raw, scale, col)
			}
		}
	case sqltypes.KTimestamptz:
		if n := len(raw); n > 0 && raw[n-1] == 'Z' {
			if ts, ok := fastTimestamp(raw[:n-1]); ok {
				col.AppendInt(ts)
				return nil
			}
		} else if v.modes.utc {
			if ts, ok := fastTimestamp(raw); ok {
				col.AppendInt(ts)
				return nil
			}
		}
		if v.isZeroDate(raw) {
			col.AppendNull()
			return nil
		}
	case sqltypes.KBytea:
		return v.bytea(raw, col)
	case sqltypes.KJSON:
		col.Data = append(append(append(col.Data, '"'), raw...), '"')
		col.EndRow()
		return nil
	case sqltypes.KJSONB:
		if v.modes.jsonTexts {
			if escaped {
				var err error
				if raw, err = unescape(v.buf[:0], raw); err != nil {
					return err
				}
				v.buf = raw
			}
			if doc, err := jsonb.Parse(raw); err == nil {
				col.AppendBytes(doc)
				return nil
			}
			col.AppendBytes(jsonb.FromString(string(raw))) // a bare string, as our own sinks write it
			return nil
		}
		v.buf = append(append(append(v.buf[:0], '"'), raw...), '"')
		return appendRaw(col, v.buf, nil)
	}
	return sqlio.AppendParsed(col, raw, v.settings)
}

// latin1 appends a byte string that is written with a character for each byte, \u0000 included.
func (v *jsonValue) latin1(raw []byte, col *delta.Vec) error {
	var text string
	if err := json.Unmarshal(append(append([]byte{'"'}, raw...), '"'), &text); err != nil {
		return v.mismatch(string(raw))
	}
	start := len(col.Data)
	for _, c := range text {
		if c > 255 {
			col.Data = col.Data[:start]
			return v.mismatch(text)
		}
		col.Data = append(col.Data, byte(c))
	}
	col.EndRow()
	return nil
}

// isZeroDate reports whether a text is the date that MySQL has for "none".
func (v *jsonValue) isZeroDate(raw []byte) bool {
	return v.modes.zeroDates && len(raw) >= 10 && string(raw[:10]) == "0000-00-00"
}

// declaredScale returns the digits behind the point that the column's type asks for.
func (v *jsonValue) declaredScale() (int, bool) {
	if v.typ.Mod == 0 {
		return 0, false
	}
	return int((v.typ.Typmod() - 4) & 0x7ff), true
}

// bytea appends a byte string: \x and hexadecimal digits, or base64, or else the characters themselves.
func (v *jsonValue) bytea(raw []byte, col *delta.Vec) error {
	if v.modes.base64 {
		start := len(col.Data)
		data, err := base64.StdEncoding.AppendDecode(col.Data, raw)
		if err != nil {
			col.Data = col.Data[:start]
			return sqlerr.New(sqlerr.InvalidTextRepresentation, "invalid base64 in a string for type bytea")
		}
		col.Data = data
		col.EndRow()
		return nil
	}
	if len(raw) >= 2 && raw[0] == '\\' && raw[1] == 'x' {
		start := len(col.Data)
		data, err := hex.AppendDecode(col.Data, raw[2:])
		if err == nil {
			col.Data = data
			col.EndRow()
			return nil
		}
		col.Data = col.Data[:start]
	}
	col.AppendBytes(raw)
	return nil
}

// number appends a number's value; whole numbers of up to 18 digits take no second look.
func (v *jsonValue) number(s *scanner, col *delta.Vec) error {
	b, i := s.b, s.i
	neg := i < len(b) && b[i] == '-'
	if neg {
		i++
	}
	from, n := i, int64(0)
	for i < len(b) && b[i]-'0' < 10 && i-from < 19 {
		n = n*10 + int64(b[i]-'0')
		i++
	}
	digits := i - from
	whole := digits > 0 && digits <= 18 && (b[from] != '0' || digits == 1)
	if whole && i < len(b) && (b[i] == '.' || b[i]|0x20 == 'e' || b[i]-'0' < 10) {
		whole = false
	}
	if whole && v.typ.Phys() == sqltypes.PhysInt64 {
		s.i = i
		if neg {
			n = -n
		}
		return v.integer(n, col)
	}
	text, err := s.number()
	if err != nil {
		return err
	}
	return v.decimal(text, col)
}

// integer appends a whole number to a column of PhysInt64.
func (v *jsonValue) integer(n int64, col *delta.Vec) error {
	switch v.typ.Kind {
	case sqltypes.KInt2, sqltypes.KInt4, sqltypes.KInt8:
		if n < v.low || n > v.top {
			return sqlerr.New(sqlerr.NumericValueOutOfRange, "value \"%d\" is out of range for type %s", n, v.typ)
		}
		col.AppendInt(n)
	case sqltypes.KTimestamp, sqltypes.KTimestamptz:
		micros, ok := v.modes.micros(n)
		if !ok {
			return sqlerr.New(sqlerr.DatetimeFieldOverflow, "timestamp out of range: \"%d\"", n)
		}
		col.AppendInt(micros)
	case sqltypes.KDate:
		if n < -2440588 || n > 2147483647 {
			return sqlerr.New(sqlerr.DatetimeFieldOverflow, "date out of range: \"%d\"", n)
		}
		col.AppendInt(n - epochDays)
	case sqltypes.KTime:
		if v.modes.times == "milli" {
			n *= 1000
		}
		if n < 0 || n > 86_400_000_000 {
			return sqlerr.New(sqlerr.DatetimeFieldOverflow, "date/time field value out of range: \"%d\"", n)
		}
		col.AppendInt(n)
	default:
		return sqlio.AppendParsed(col, strconv.AppendInt(v.buf[:0], n, 10), v.settings)
	}
	return nil
}

// decimal appends a number that is not a small whole one, or goes to a column that does not hold integers.
func (v *jsonValue) decimal(text []byte, col *delta.Vec) error {
	switch {
	case v.typ.Phys() == sqltypes.PhysFloat64 && v.typ.Kind == sqltypes.KFloat8:
		f, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(text), len(text)), 64)
		if err != nil {
			return sqlerr.New(sqlerr.NumericValueOutOfRange, "\"%s\" is out of range for type %s", text, v.typ)
		}
		col.AppendFloat(f)
		return nil
	case v.typ.IsString() || v.typ.Kind == sqltypes.KJSON:
		col.AppendBytes(text)
		return nil
	case v.typ.Kind == sqltypes.KJSONB:
		return appendRaw(col, text, nil)
	case v.typ.Phys() == sqltypes.PhysInt64:
		if n, ok := wholeNumber(text); ok {
			return v.integer(n, col)
		}
	}
	return sqlio.AppendParsed(col, text, v.settings)
}

// wholeNumber reads long numbers, and those such as 12.0 and 1e3, which are whole although they do not look
// like it.
func wholeNumber(text []byte) (int64, bool) {
	if n, err := strconv.ParseInt(string(text), 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int64(f), true
}

// nested appends an object or an array: as jsonb, as text, as an array or as a composite value.
func (v *jsonValue) nested(s *scanner, col *delta.Vec) error {
	switch {
	case v.elem != nil && s.peek() == '[':
		arr, err := v.array(s, 0)
		if err != nil {
			return err
		}
		col.AppendBytes(arr)
		return nil
	case v.modes.scaled && v.typ.Kind == sqltypes.KNumeric && s.peek() == '{':
		raw, err := s.skip()
		if err != nil {
			return err
		}
		return v.appendScaledDecimal(raw, col)
	case v.fields != nil && s.peek() == '{':
		rec, err := v.record(s)
		if err != nil {
			return err
		}
		col.AppendBytes(rec)
		return nil
	}
	raw, err := s.skip()
	if err != nil {
		return err
	}
	switch {
	case v.typ.Kind == sqltypes.KJSONB:
		doc, err := jsonb.Parse(raw)
		if err != nil {
			return err
		}
		col.AppendBytes(doc)
	case v.typ.IsString() || v.typ.Kind == sqltypes.KJSON:
		col.AppendBytes(raw)
	default:
		return v.mismatch(string(raw[:min(len(raw), 64)]))
	}
	return nil
}

// array reads a JSON array as a value of the column's array type; arrays in it are further dimensions.
func (v *jsonValue) array(s *scanner, depth int) ([]byte, error) {
	if depth > 5 {
		return nil, sqlerr.New(sqlerr.ProgramLimitExceeded, "number of array dimensions exceeds the maximum allowed (6)")
	}
	s.i++
	var elems, rows []sqltypes.Datum
	if s.peek() == ']' {
		s.i++
		return sqlio.MakeArray(v.typ, nil), nil
	}
	for {
		if s.peek() == '[' && v.elem.typ.Kind != sqltypes.KJSONB && v.elem.typ.Kind != sqltypes.KJSON {
			row, err := v.array(s, depth+1)
			if err != nil {
				return nil, err
			}
			rows = append(rows, row)
		} else {
			d, err := v.elem.datum(s)
			if err != nil {
				return nil, err
			}
			elems = append(elems, d)
		}
		if more, err := s.next(']'); err != nil {
			return nil, err
		} else if !more {
			break
		}
	}
	switch {
	case rows == nil:
		return sqlio.MakeArray(v.typ, elems), nil
	case elems != nil:
		return nil, v.mismatch("[…]")
	}
	return sqlio.StackArrays(v.typ, rows)
}

// datum reads the value that follows, boxed.
func (v *jsonValue) datum(s *scanner) (sqltypes.Datum, error) {
	col := scratchVec(v.typ)
	if err := v.append(s, col); err != nil {
		return nil, err
	}
	return col.Datum(0), nil
}

// record reads an object as a composite value.
func (v *jsonValue) record(s *scanner) ([]byte, error) {
	s.i++
	values := make([]sqltypes.Datum, len(v.fields))
	if s.peek() == '}' {
		s.i++
		return sqlio.EncodeRecord(v.typ, values), nil
	}
	for {
		if s.peek() != '"' {
			return nil, s.bad()
		}
		raw, escaped, err := s.str()
		if err != nil {
			return nil, err
		}
		if escaped {
			if raw, err = unescape(nil, raw); err != nil {
				return nil, err
			}
		}
		if err := s.expect(':'); err != nil {
			return nil, err
		}
		if err := v.recordField(s, string(raw), values); err != nil {
			return nil, err
		}
		if more, err := s.next('}'); err != nil {
			return nil, err
		} else if !more {
			return sqlio.EncodeRecord(v.typ, values), nil
		}
	}
}

func (v *jsonValue) recordField(s *scanner, name string, values []sqltypes.Datum) error {
	at := -1
	for i := range v.fields {
		if v.fields[i].name == name || at < 0 && lower(v.fields[i].name) == lower(name) {
			at = i
		}
	}
	if at < 0 {
		return s.skipValue(1)
	}
	d, err := v.fields[at].datum(s)
	if err != nil {
		return wrapColumn(name, err)
	}
	values[at] = d
	return nil
}
