package expr

import (
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/jsonb"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// How SQL values become JSON: to_json, to_jsonb and everything that builds documents. Numbers stay numbers unless
// they are NaN or infinite, dates and times are ISO 8601 whatever the settings, other types are their text.

// isoSettings print dates for JSON in the session's zone.
func (c *Ctx) isoSettings() *sqlio.Settings {
	s := *c.settings()
	s.Time.DateStyle = datetime.DateStyle{}
	return &s
}

func isDateTime(k sqltypes.Kind) bool {
	return k == sqltypes.KDate || k == sqltypes.KTimestamp || k == sqltypes.KTimestamptz
}

// jsonDateTime prints a date or timestamp with a T and, for a zone, minutes.
func (c *Ctx) jsonDateTime(t sqltypes.Type, d sqltypes.Datum) []byte {
	b := sqlio.AppendTextDatum(nil, t, d, c.isoSettings())
	for i := range b {
		if b[i] == ' ' && i+1 < len(b) && b[i+1] >= '0' && b[i+1] <= '9' {
			b[i] = 'T'
			break
		}
	}
	if n := len(b); t.Kind == sqltypes.KTimestamptz && n > 3 && (b[n-3] == '+' || b[n-3] == '-') {
		b = append(b, ":00"...)
	}
	return b
}

// appendJSON appends d as JSON text.
func appendJSON(c *Ctx, dst []byte, t sqltypes.Type, d sqltypes.Datum) ([]byte, error) {
	switch x := d.(type) {
	case nil:
		return append(dst, "null"...), nil
	case bool:
		return strconv.AppendBool(dst, x), nil
	case numeric.Dec:
		if x.IsFinite() {
			return x.AppendText(dst), nil
		}
	case float64:
		if !math.IsNaN(x) && !math.IsInf(x, 0) {
			return sqlio.AppendTextDatum(dst, t, d, c.settings()), nil
		}
	}
	switch t.Kind {
	case sqltypes.KInt2, sqltypes.KInt4, sqltypes.KInt8:
		return strconv.AppendInt(dst, d.(int64), 10), nil
	case sqltypes.KJSON:
		return append(dst, bytesOfDatum(d)...), nil
	case sqltypes.KJSONB:
		return jsonb.AppendText(dst, bytesOfDatum(d)), nil
	case sqltypes.KArray, sqltypes.KInt2Vector, sqltypes.KOidVector:
		return appendJSONArray(c, dst, t, bytesOfDatum(d), ",")
	case sqltypes.KMap:
		return appendJSONMap(c, dst, t, bytesOfDatum(d))
	case sqltypes.KRecord:
		return appendJSONRow(c, dst, t, bytesOfDatum(d), ",")
	case sqltypes.KDate, sqltypes.KTimestamp, sqltypes.KTimestamptz:
		return appendJSONString(dst, c.jsonDateTime(t, d)), nil
	}
	return appendJSONString(dst, sqlio.AppendTextDatum(nil, t, d, c.settings())), nil
}

func appendJSONString(dst, s []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, b := range s {
		switch b {
		case '"', '\\':
			dst = append(dst, '\\', b)
		case '\b':
			dst = append(dst, `\b`...)
		case '\f':
			dst = append(dst, `\f`...)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			if b < ' ' {
				dst = append(dst, '\\', 'u', '0', '0', hex[b>>4], hex[b&15])
			} else {
				dst = append(dst, b)
			}
		}
	}
	return append(dst, '"')
}

// appendJSONArray nests the dimensions; sep parts the elements of the outermost one.
func appendJSONArray(c *Ctx, dst []byte, t sqltypes.Type, b []byte, sep string) ([]byte, error) {
	arr, err := sqlio.ReadArray(t, b)
	if err != nil {
		return dst, err
	}
	if arr.Len() == 0 {
		return append(dst, "[]"...), nil
	}
	next := 0
	var level func(k int, sep string) error
	level = func(k int, sep string) error {
		n, _ := arr.Dim(k)
		dst = append(dst, '[')
		for i := range n {
			if i > 0 {
				dst = append(dst, sep...)
			}
			var err error
			if k+1 < arr.NDim() {
				err = level(k+1, ",")
			} else {
				dst, err = appendJSON(c, dst, arr.Elem(), arr.At(next))
				next++
			}
			if err != nil {
				return err
			}
		}
		dst = append(dst, ']')
		return nil
	}
	err = level(0, sep)
	return dst, err
}

// rowFields decodes a record with its field names; nameless ones are f1, f2….
func rowFields(t sqltypes.Type, b []byte) (names []string, types []sqltypes.Type, vals []sqltypes.Datum, err error) {
	if vals, err = sqlio.DecodeRecord(t, b); err != nil {
		return nil, nil, nil, err
	}
	types = sqlio.RecordTypes(t, b)
	names = make([]string, len(vals))
	for i := range vals {
		names[i] = "f" + strconv.Itoa(i+1)
		if t.HasFields() && i < len(t.Fields()) && t.Fields()[i].Name != "" {
			names[i] = t.Fields()[i].Name
		}
	}
	return names, types, vals, nil
}

func appendJSONRow(c *Ctx, dst []byte, t sqltypes.Type, b []byte, sep string) ([]byte, error) {
	names, types, vals, err := rowFields(t, b)
	if err != nil {
		return dst, err
	}
	dst = append(dst, '{')
	for i := range vals {
		if i > 0 {
			dst = append(dst, sep...)
		}
		dst = append(appendJSONString(dst, []byte(names[i])), ':')
		if dst, err = appendJSON(c, dst, types[i], vals[i]); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

// addJSONB adds d to a document under construction.
func addJSONB(c *Ctx, b *jsonb.Builder, t sqltypes.Type, d sqltypes.Datum) error {
	switch x := d.(type) {
	case nil:
		b.Null()
		return nil
	case bool:
		b.Bool(x)
		return nil
	case numeric.Dec:
		if x.IsFinite() {
			b.Numeric(x)
			return nil
		}
	case float64:
		if !math.IsNaN(x) && !math.IsInf(x, 0) {
			dec, err := numeric.ParseBytes(sqlio.AppendTextDatum(nil, t, d, c.settings()))
			if err == nil {
				b.Numeric(dec)
			}
			return err
		}
	}
	switch t.Kind {
	case sqltypes.KInt2, sqltypes.KInt4, sqltypes.KInt8:
		b.Int(d.(int64))
	case sqltypes.KJSONB:
		b.Value(bytesOfDatum(d))
	case sqltypes.KJSON:
		v, err := jsonb.Parse(bytesOfDatum(d))
		if err != nil {
			return err
		}
		b.Value(v)
	case sqltypes.KArray, sqltypes.KInt2Vector, sqltypes.KOidVector:
		return addJSONBArray(c, b, t, bytesOfDatum(d))
	case sqltypes.KMap:
		text, err := appendJSONMap(c, nil, t, bytesOfDatum(d))
		if err != nil {
			return err
		}
		v, err := jsonb.Parse(text)
		if err == nil {
			b.Value(v)
		}
		return err
	case sqltypes.KRecord:
		return addJSONBRow(c, b, t, bytesOfDatum(d))
	case sqltypes.KDate, sqltypes.KTimestamp, sqltypes.KTimestamptz:
		b.StringBytes(c.jsonDateTime(t, d))
	case sqltypes.KText, sqltypes.KVarchar:
		b.StringBytes(bytesOfDatum(d))
	default:
		b.StringBytes(sqlio.AppendTextDatum(nil, t, d, c.settings()))
	}
	return nil
}

// appendJSONMap prints a map as an object.
func appendJSONMap(c *Ctx, dst []byte, t sqltypes.Type, b []byte) ([]byte, error) {
	kt, vt := t.KeyValue()
	keys, values, err := sqlio.ReadMap(t, b)
	if err != nil {
		return dst, err
	}
	dst = append(dst, '{')
	for i := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendJSONString(dst, sqlio.AppendTextDatum(nil, kt, keys[i], c.settings())), ':')
		if dst, err = appendJSON(c, dst, vt, values[i]); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

func addJSONBArray(c *Ctx, b *jsonb.Builder, t sqltypes.Type, enc []byte) error {
	arr, err := sqlio.ReadArray(t, enc)
	if err != nil {
		return err
	}
	if arr.Len() == 0 {
		b.BeginArray()
		b.EndArray()
		return nil
	}
	next := 0
	var level func(k int) error
	level = func(k int) error {
		n, _ := arr.Dim(k)
		b.BeginArray()
		for range n {
			var err error
			if k+1 < arr.NDim() {
				err = level(k + 1)
			} else {
				err = addJSONB(c, b, arr.Elem(), arr.At(next))
				next++
			}
			if err != nil {
				return err
			}
		}
		b.EndArray()
		return nil
	}
	return level(0)
}

func addJSONBRow(c *Ctx, b *jsonb.Builder, t sqltypes.Type, enc []byte) error {
	names, types, vals, err := rowFields(t, enc)
	if err != nil {
		return err
	}
	b.BeginObject()
	for i := range vals {
		b.Key(names[i])
		if err := addJSONB(c, b, types[i], vals[i]); err != nil {
			return err
		}
	}
	b.EndObject()
	return nil
}

// keyText is the text of an object key.
func keyText(c *Ctx, t sqltypes.Type, d sqltypes.Datum) (string, error) {
	switch t.Kind {
	case sqltypes.KArray, sqltypes.KInt2Vector, sqltypes.KOidVector, sqltypes.KRecord, sqltypes.KJSON, sqltypes.KJSONB:
		return "", sqlerr.New(sqlerr.InvalidParameterValue, "key value must be scalar, not array, composite, or json")
	}
	if isDateTime(t.Kind) {
		return string(c.jsonDateTime(t, d)), nil
	}
	if b, ok := d.(bool); ok {
		return strconv.FormatBool(b), nil
	}
	return sqlio.TextOf(t, d, c.settings()), nil
}

// rawJSON walks JSON text without decoding it, so that values of type json keep their spelling.
type rawJSON struct {
	s   []byte
	pos int
}

func (r *rawJSON) space() {
	for r.pos < len(r.s) && (r.s[r.pos] == ' ' || r.s[r.pos] == '\n' || r.s[r.pos] == '\t' || r.s[r.pos] == '\r') {
		r.pos++
	}
}

func (r *rawJSON) peek() byte {
	r.space()
	if r.pos < len(r.s) {
		return r.s[r.pos]
	}
	return 0
}

// skip passes one value of valid JSON and returns its text.
func (r *rawJSON) skip() []byte {
	r.space()
	start, depth := r.pos, 0
	for r.pos < len(r.s) {
		switch b := r.s[r.pos]; {
		case b == '"':
			r.string()
			if depth == 0 {
				return r.s[start:r.pos]
			}
			continue
		case b == '{' || b == '[':
			depth++
		case b == '}' || b == ']':
			if depth == 0 {
				return trimJSON(r.s[start:r.pos])
			}
			depth--
			if depth == 0 {
				r.pos++
				return r.s[start:r.pos]
			}
		case b == ',' && depth == 0:
			return trimJSON(r.s[start:r.pos])
		}
		r.pos++
	}
	return trimJSON(r.s[start:r.pos])
}

func trimJSON(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\n' || b[len(b)-1] == '\t' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return b
}

// string passes a string literal and returns it with its quotes.
func (r *rawJSON) string() []byte {
	start := r.pos
	r.pos++
	for r.pos < len(r.s) && r.s[r.pos] != '"' {
		if r.s[r.pos] == '\\' {
			r.pos++
		}
		r.pos++
	}
	r.pos = min(r.pos+1, len(r.s))
	return r.s[start:r.pos]
}

// members calls f for every member of an object, elements (with a nil key) for every element of an array.
func (r *rawJSON) members(f func(key, val []byte) bool) {
	object := r.peek() == '{'
	if !object && r.peek() != '[' {
		return
	}
	r.pos++
	for {
		b := r.peek()
		if b == '}' || b == ']' || b == 0 {
			return
		}
		if b == ',' {
			r.pos++
			continue
		}
		var key []byte
		if object {
			key = unquoteJSON(r.string())
			r.space()
			r.pos++ // the colon
		}
		if !f(key, r.skip()) {
			return
		}
	}
}

// unquoteJSON decodes a string literal.
func unquoteJSON(q []byte) []byte {
	s := q
	if len(q) >= 2 {
		s = q[1 : len(q)-1]
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 >= len(s) {
			out = append(out, s[i])
			continue
		}
		i++
		switch s[i] {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, n := unicodeEscape(s[i-1:])
			out = utf8.AppendRune(out, r)
			i += n - 2
		default:
			out = append(out, s[i])
		}
	}
	return out
}

// unicodeEscape reads \uXXXX, or a pair of them, at the start of s.
func unicodeEscape(s []byte) (r rune, n int) {
	if len(s) < 6 {
		return utf8.RuneError, len(s)
	}
	r, _ = parseHex(s[2:6])
	if r >= 0xD800 && r < 0xDC00 && len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
		if low, ok := parseHex(s[8:12]); ok && low >= 0xDC00 && low < 0xE000 {
			return (r-0xD800)<<10 + (low - 0xDC00) + 0x10000, 12
		}
	}
	return r, 6
}

// jsonArgs boxes row i of every vector.
func jsonArgs(vecs []*delta.Vec, i int) ([]sqltypes.Datum, []sqltypes.Type) {
	d, t := make([]sqltypes.Datum, len(vecs)), make([]sqltypes.Type, len(vecs))
	for k, v := range vecs {
		d[k], t[k] = v.Datum(i), v.Type
	}
	return d, t
}
