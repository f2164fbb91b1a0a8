package codec

import (
	"encoding/hex"
	"encoding/json"
	"strconv"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/jsonb"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// appendAvroJSON reads a value into a jsonb document: records and maps as objects, byte strings as \x and hexadecimal
// digits, dates and times as row_to_json writes them, unions as what they hold.
func appendAvroJSON(b *jsonb.Builder, r *avroReader, s *avroSchema, set *sqlio.Settings, depth int) error {
	if depth > maxSchemaDepth {
		return errAvroDeep
	}
	if m := s.sense(); m.meaning != plainValue {
		return appendSensedJSON(b, r, s, m, set)
	}
	switch s.kind {
	case avroNull:
		b.Null()
	case avroBoolean:
		x, err := r.boolean()
		if err != nil {
			return err
		}
		b.Bool(x)
	case avroInt, avroLong:
		x, err := r.long()
		if err != nil {
			return err
		}
		b.Int(x)
	case avroFloat, avroDouble:
		return appendFloatJSON(b, r, s)
	case avroString:
		x, err := r.bytes()
		if err == nil {
			err = checkText(x)
		}
		if err != nil {
			return err
		}
		b.StringBytes(x)
	case avroBytes, avroFixed:
		n := avroNode{schema: s}
		x, err := n.raw(r)
		if err != nil {
			return err
		}
		b.StringBytes(hex.AppendEncode([]byte(`\x`), x))
	case avroEnum:
		x, err := r.symbol(s.symbols)
		if err != nil {
			return err
		}
		b.String(x)
	case avroUnion:
		k, err := r.branch(len(s.union))
		if err != nil {
			return err
		}
		return appendAvroJSON(b, r, s.union[k], set, depth+1)
	case avroArray:
		b.BeginArray()
		if err := r.each(func() error { return appendAvroJSON(b, r, s.items, set, depth+1) }); err != nil {
			return err
		}
		b.EndArray()
	case avroMap:
		return appendMapJSON(b, r, s, set, depth)
	case avroRecord:
		b.BeginObject()
		for i := range s.fields {
			b.Key(s.fields[i].name)
			if err := appendAvroJSON(b, r, s.fields[i].schema, set, depth+1); err != nil {
				return err
			}
		}
		b.EndObject()
	}
	return nil
}

func appendFloatJSON(b *jsonb.Builder, r *avroReader, s *avroSchema) error {
	n := avroNode{schema: s}
	f, err := n.number(r)
	if err != nil {
		return err
	}
	appendJSONFloat(b, f, s.kind == avroFloat)
	return nil
}

// appendJSONFloat appends the shortest number that is f, of single precision if it was.
func appendJSONFloat(b *jsonb.Builder, f float64, single bool) {
	if single {
		f, _ = strconv.ParseFloat(strconv.FormatFloat(f, 'g', -1, 32), 64)
	}
	b.Float(f)
}

func appendMapJSON(b *jsonb.Builder, r *avroReader, s *avroSchema, set *sqlio.Settings, depth int) error {
	b.BeginObject()
	err := r.each(func() error {
		k, err := r.bytes()
		if err == nil {
			err = checkText(k)
		}
		if err != nil {
			return err
		}
		b.KeyBytes(k)
		return appendAvroJSON(b, r, s.items, set, depth+1)
	})
	if err != nil {
		return err
	}
	b.EndObject()
	return nil
}

// appendSensedJSON appends a value of a logical type: a numeric as a number, JSON as it is, others as text.
func appendSensedJSON(b *jsonb.Builder, r *avroReader, s *avroSchema, m sense, set *sqlio.Settings) error {
	n, err := avroCompiler{settings: set}.node(s, m.typ)
	if err != nil {
		return err
	}
	v := scratchVec(m.typ)
	if err := n.append(r, v); err != nil {
		return err
	}
	appendDatumJSON(b, v, set)
	return nil
}

// appendDatumJSON appends the only value of v.
func appendDatumJSON(b *jsonb.Builder, v *delta.Vec, set *sqlio.Settings) {
	switch v.Type.Kind {
	case sqltypes.KNumeric:
		b.Numeric(v.Decs[0])
	case sqltypes.KJSONB:
		b.Value(v.Bytes(0))
	default:
		e := jsonEncoder{settings: outputSettings(set)}
		text := e.value(nil, v, 0) // a JSON string, in the form that sinks write
		var s string
		if json.Unmarshal(text, &s) != nil {
			s = string(text)
		}
		b.String(s)
	}
}

// appendAvroDefault encodes a field's default, which a schema gives as JSON, as a record would hold it.
func appendAvroDefault(dst []byte, s *avroSchema, text json.RawMessage) ([]byte, error) {
	bad := func() ([]byte, error) { return nil, badAvro("default %s is not of type %s", text, s) }
	if (string(text) == "null") != (s.kind == avroNull) && s.kind != avroUnion {
		return bad()
	}
	switch s.kind {
	case avroNull:
		return dst, nil
	case avroBoolean:
		var x bool
		if json.Unmarshal(text, &x) != nil {
			return bad()
		}
		if x {
			return append(dst, 1), nil
		}
		return append(dst, 0), nil
	case avroInt, avroLong:
		var x int64
		if json.Unmarshal(text, &x) != nil {
			return bad()
		}
		return appendAvroLong(dst, x), nil
	case avroFloat, avroDouble:
		var x float64
		if json.Unmarshal(text, &x) != nil {
			return bad()
		}
		return appendAvroFloat(dst, s.kind, x), nil
	case avroString, avroBytes, avroFixed, avroEnum:
		var x string
		if json.Unmarshal(text, &x) != nil {
			return bad()
		}
		return appendAvroTextDefault(dst, s, x)
	case avroUnion: // the default is of the first branch; writers exist that think otherwise
		for i, b := range s.union {
			if out, err := appendAvroDefault(appendAvroLong(dst, int64(i)), b, text); err == nil {
				return out, nil
			}
		}
		return bad()
	case avroArray:
		var list []json.RawMessage
		if json.Unmarshal(text, &list) != nil {
			return bad()
		}
		return appendAvroItems(dst, len(list), func(dst []byte, i int) ([]byte, error) { return appendAvroDefault(dst, s.items, list[i]) })
	case avroMap:
		var m map[string]json.RawMessage
		if json.Unmarshal(text, &m) != nil {
			return bad()
		}
		var keys []string
		for k := range m {
			keys = append(keys, k)
		}
		return appendAvroItems(dst, len(keys), func(dst []byte, i int) ([]byte, error) {
			return appendAvroDefault(appendAvroBytes(dst, []byte(keys[i])), s.items, m[keys[i]])
		})
	}
	return appendAvroRecordDefault(dst, s, text)
}

func appendAvroTextDefault(dst []byte, s *avroSchema, text string) ([]byte, error) {
	switch s.kind {
	case avroString:
		return appendAvroBytes(dst, []byte(text)), nil
	case avroEnum:
		for i, sym := range s.symbols {
			if sym == text {
				return appendAvroLong(dst, int64(i)), nil
			}
		}
		return nil, badAvro("default %q is not a symbol of %s", text, s)
	}
	var raw []byte
	for _, c := range text { // a character per byte
		if c > 255 {
			return nil, badAvro("default %q is not a byte string", text)
		}
		raw = append(raw, byte(c))
	}
	if s.kind == avroFixed {
		if len(raw) != s.size {
			return nil, badAvro("default of %s has %d bytes", s, len(raw))
		}
		return append(dst, raw...), nil
	}
	return appendAvroBytes(dst, raw), nil
}

func appendAvroItems(dst []byte, n int, item func([]byte, int) ([]byte, error)) ([]byte, error) {
	var err error
	if n > 0 {
		dst = appendAvroLong(dst, int64(n))
	}
	for i := range n {
		if dst, err = item(dst, i); err != nil {
			return nil, err
		}
	}
	return append(dst, 0), nil
}

func appendAvroRecordDefault(dst []byte, s *avroSchema, text json.RawMessage) ([]byte, error) {
	var m map[string]json.RawMessage
	if json.Unmarshal(text, &m) != nil || m == nil {
		return nil, badAvro("default %s is not of type %s", text, s)
	}
	var err error
	for i := range s.fields {
		f := &s.fields[i]
		v, ok := m[f.name]
		if !ok {
			v = f.def
		}
		if v == nil {
			return nil, badAvro("default %s lacks the field %q of %s", text, f.name, s)
		}
		if dst, err = appendAvroDefault(dst, f.schema, v); err != nil {
			return nil, err
		}
	}
	return dst, nil
}
