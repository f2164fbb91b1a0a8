package codec

import (
	"encoding/base64"
	"encoding/json"
	"strconv"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// connectSchema is a schema as Kafka Connect writes it beside a JSON document.
type connectSchema struct {
	Type       string            `json:"type"`
	Name       string            `json:"name"`
	Field      string            `json:"field"`
	Fields     []connectSchema   `json:"fields"`
	Parameters map[string]string `json:"parameters"`
}

// connectKinds are the names of Kafka Connect's types, as far as logical types build on them.
var connectKinds = map[string]avroKind{"int8": avroInt, "int16": avroInt, "int32": avroInt, "int64": avroLong, "string": avroString, "bytes": avroBytes}

// connectValue reads a JSON value as its schema means it.
type connectValue struct {
	sense
	scale int
	count *avroNode // how a number becomes a date or time; nil for others
}

// applySchema lets the fields be read as a schema says: the fields of its part "after" (the row's).
func (f *jsonFields) applySchema(text []byte, part string) error {
	for i := range f.values {
		f.values[i].connect = nil
	}
	var s connectSchema
	if err := json.Unmarshal(text, &s); err != nil {
		return sqlerr.New(sqlerr.InvalidTextRepresentation, "schema of a change event is not valid").WithDetail("%v", err)
	}
	for i := range s.Fields {
		if s.Fields[i].Field != part {
			continue
		}
		for _, field := range s.Fields[i].Fields {
			if v := f.find([]byte(field.Field)); v >= 0 {
				f.values[v].connect = newConnectValue(&field, &f.values[v])
			}
		}
	}
	return nil
}

// newConnectValue returns how a field's values become those of its column; nil: as they would without a schema.
func newConnectValue(s *connectSchema, v *jsonValue) *connectValue {
	a := avroSchema{kind: connectKinds[s.Type], logical: s.Name}
	if s.Type == "struct" {
		if a.kind = avroRecord; len(s.Fields) == 2 {
			a.fields = []avroField{{schema: &avroSchema{kind: avroInt}}, {schema: &avroSchema{kind: avroBytes}}}
		}
	}
	c := &connectValue{sense: a.sense()}
	c.scale, _ = strconv.Atoi(s.Parameters["scale"])
	switch c.meaning {
	case dateDays, timeScaled, stampScaled, spanScaled:
		n := &avroNode{schema: &a, typ: v.typ}
		if ok, err := (avroCompiler{}).senseNode(n, &a, c.sense, v.typ); !ok || err != nil || n.op != avroToScaled && n.op != avroToSpan {
			return nil
		}
		c.count = n
	case decimalBytes, scaledDecimal:
		if v.typ.Kind != sqltypes.KNumeric && !v.typ.IsString() {
			return nil
		}
	case jsonText:
		if v.typ.Kind != sqltypes.KJSONB {
			return nil
		}
	default:
		return nil
	}
	return c
}

// append appends the value that follows; done is false for one that is not written as the schema would have it.
func (c *connectValue) append(v *jsonValue, s *scanner, col *delta.Vec) (done bool, err error) {
	next := s.peek()
	switch {
	case c.count != nil && (next == '-' || next-'0' < 10):
		text, err := s.number()
		if err != nil {
			return true, err
		}
		x, ok := wholeNumber(text)
		if !ok {
			return true, v.mismatch(string(text))
		}
		if x, err = c.count.rescale(x); err != nil {
			return true, err
		}
		appendCount(col, x)
		return true, nil
	case c.meaning == decimalBytes && next == '"':
		raw, escaped, err := s.str()
		if err == nil && escaped {
			raw, err = unescape(nil, raw)
		}
		if err != nil {
			return true, err
		}
		return true, v.appendBase64Decimal(raw, c.scale, col)
	case c.meaning == scaledDecimal && next == '{':
		raw, err := s.skip()
		if err != nil {
			return true, err
		}
		return true, v.appendScaledDecimal(raw, col)
	case c.meaning == jsonText && next == '"':
		raw, escaped, err := s.str()
		if err == nil && escaped {
			raw, err = unescape(nil, raw)
		}
		if err != nil {
			return true, err
		}
		return true, appendRaw(col, raw, nil)
	}
	return false, nil
}

// appendBase64Decimal appends a decimal that is the base64 of its unscaled big-endian value.
func (v *jsonValue) appendBase64Decimal(raw []byte, scale int, col *delta.Vec) error {
	b, err := base64.StdEncoding.AppendDecode(nil, raw)
	if err != nil || scale < -maxDecimalScale || scale > maxDecimalScale {
		return v.mismatch(string(raw))
	}
	d := twosComplement(b, max(scale, 0))
	if scale < 0 {
		text := d.String()
		for range -scale {
			text += "0"
		}
		return v.decimal([]byte(text), col)
	}
	if v.typ.Kind == sqltypes.KNumeric {
		col.AppendDec(d)
	} else {
		col.AppendString(d.String())
	}
	return nil
}

// appendScaledDecimal appends {"scale": n, "value": base64}, Debezium's decimal that brings its scale along.
func (v *jsonValue) appendScaledDecimal(raw []byte, col *delta.Vec) error {
	var d struct {
		Scale *int
		Value *string
	}
	if json.Unmarshal(raw, &d) != nil || d.Scale == nil || d.Value == nil {
		return v.mismatch(string(raw[:min(len(raw), 64)]))
	}
	return v.appendBase64Decimal([]byte(*d.Value), *d.Scale, col)
}
