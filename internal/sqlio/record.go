package sqlio

import (
	"cmp"
	"encoding/binary"
	"errors"
	"strings"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

var errRecord = errors.New("read record: malformed bytes")

// EncodeRecord encodes a value of the composite type t from its fields, in order. Without a row type in t the
// field types are guessed from the Go types of the data (text for bytes).
func EncodeRecord(t sqltypes.Type, fields []sqltypes.Datum) []byte {
	dst := binary.AppendUvarint(nil, uint64(len(fields)))
	for i, d := range fields {
		ft := fieldType(t, i, d)
		dst = append(dst, byte(ft.Kind), byte(ft.Elem))
		dst = binary.AppendVarint(dst, int64(ft.Mod))
		if d == nil {
			dst = append(dst, 0)
			continue
		}
		dst = AppendImage(append(dst, 1), ft, d)
	}
	return dst
}

func fieldType(t sqltypes.Type, i int, d sqltypes.Datum) sqltypes.Type {
	if t.HasFields() && i < len(t.Fields()) {
		return t.Fields()[i].Type
	}
	switch d.(type) {
	case bool:
		return sqltypes.Bool
	case int64:
		return sqltypes.Int8
	case float64:
		return sqltypes.Float8
	case numeric.Dec:
		return sqltypes.Numeric
	case datetime.Interval:
		return sqltypes.IntervalT
	}
	return sqltypes.Text
}

// DecodeRecord returns the fields of an encoded record. Byte values alias b. The type is not needed: the
// encoding describes itself.
func DecodeRecord(t sqltypes.Type, b []byte) ([]sqltypes.Datum, error) {
	_, fields, err := openRecord(t, b)
	return fields, err
}

// RecordTypes returns the types of the fields of an encoded record of type t, nil for malformed bytes.
func RecordTypes(t sqltypes.Type, b []byte) []sqltypes.Type {
	types, _, err := openRecord(t, b)
	if err != nil {
		return nil
	}
	return types
}

// openRecord reads a record. The encoding says of what kind each field is; what else there is to know about its
// type, t says.
func openRecord(t sqltypes.Type, b []byte) (types []sqltypes.Type, fields []sqltypes.Datum, err error) {
	declared := t.Fields()
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)) {
		return nil, nil, errRecord
	}
	b = b[size:]
	types, fields = make([]sqltypes.Type, n), make([]sqltypes.Datum, n)
	for i := range types {
		if len(b) < 2 {
			return nil, nil, errRecord
		}
		types[i] = sqltypes.Type{Kind: sqltypes.Kind(b[0]), Elem: sqltypes.Kind(b[1])}
		if !types[i].IsStorable() {
			return nil, nil, errRecord
		}
		if len(declared) == len(types) && declared[i].Type.Kind == types[i].Kind && declared[i].Type.Elem == types[i].Elem {
			types[i].Ext = declared[i].Type.Ext
		}
		mod, size := binary.Varint(b[2:])
		if size <= 0 || len(b) <= 2+size {
			return nil, nil, errRecord
		}
		types[i].Mod = int32(mod)
		present := b[2+size]
		b = b[3+size:]
		if present == 0 {
			continue
		}
		if fields[i], b, err = DecodeImage(types[i], b); err != nil {
			return nil, nil, err
		}
	}
	if len(b) != 0 {
		return nil, nil, errRecord
	}
	return types, fields, nil
}

func appendRecordText(dst []byte, t sqltypes.Type, b []byte, s *Settings) []byte {
	types, fields, err := openRecord(t, b)
	if err != nil {
		return append(dst, '(', ')')
	}
	dst = append(dst, '(')
	for i, d := range fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		if d != nil {
			dst = appendFieldText(dst, types[i], d, s)
		}
	}
	return append(dst, ')')
}

func appendFieldText(dst []byte, t sqltypes.Type, d sqltypes.Datum, s *Settings) []byte {
	start := len(dst)
	dst = AppendTextDatum(dst, t, d, s)
	quote := len(dst) == start
	for _, c := range dst[start:] {
		quote = quote || isSpace(c) || strings.IndexByte(`"\(),`, c) >= 0
	}
	if !quote {
		return dst
	}
	text := string(dst[start:])
	dst = append(dst[:start], '"')
	for i := range len(text) {
		if c := text[i]; c == '"' || c == '\\' {
			dst = append(dst, c)
		}
		dst = append(dst, text[i])
	}
	return append(dst, '"')
}

// parseRecord reads (a,"b c",): an empty field is NULL.
func parseRecord(t sqltypes.Type, text string, s *Settings) ([]byte, error) {
	if !t.HasFields() {
		return nil, sqlerr.New(sqlerr.FeatureNotSupported, "input of anonymous composite types is not implemented")
	}
	bad := func(detail string) ([]byte, error) { return nil, errMalformed("record", text, "%s", detail) }
	rest := strings.TrimLeft(text, " \t\n\v\f\r")
	if rest == "" || rest[0] != '(' {
		return bad("Missing left parenthesis.")
	}
	rest = rest[1:]
	fields := make([]sqltypes.Datum, len(t.Fields()))
	for i, f := range t.Fields() {
		if i > 0 {
			if rest == "" || rest[0] != ',' {
				return bad("Too few columns.")
			}
			rest = rest[1:]
		}
		if rest != "" && (rest[0] == ',' || rest[0] == ')') {
			continue
		}
		field, tail, ok := takeFieldText(rest)
		if !ok {
			return bad("Unexpected end of input.")
		}
		rest = tail
		d, err := ParseText(f.Type, field, s)
		if err == nil {
			d, err = ApplyTypmod(f.Type, d, false)
		}
		if err != nil {
			return nil, err
		}
		fields[i] = d
	}
	if rest == "" || rest[0] != ')' {
		return bad("Too many columns.")
	}
	if trim(rest[1:]) != "" {
		return bad("Junk after right parenthesis.")
	}
	return EncodeRecord(t, fields), nil
}

// takeFieldText reads up to the next comma or parenthesis outside quotes; ok is false at the end of the text.
func takeFieldText(s string) (field, rest string, ok bool) {
	var b strings.Builder
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case !quoted && (c == ',' || c == ')'):
			return b.String(), s[i:], true
		case c == '\\':
			if i++; i == len(s) {
				return "", "", false
			}
			b.WriteByte(s[i])
		case c == '"' && quoted && i+1 < len(s) && s[i+1] == '"':
			b.WriteByte('"')
			i++
		case c == '"':
			quoted = !quoted
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}

// compareRecords orders by the fields one after the other, NULL greatest, then by their number.
func compareRecords(t sqltypes.Type, x, y []byte) int {
	ta, a, errA := openRecord(t, x)
	tb, b, errB := openRecord(t, y)
	if errA != nil || errB != nil {
		return compareBool(errA != nil, errB != nil)
	}
	for i := range min(len(a), len(b)) {
		if a[i] != nil && b[i] != nil && ta[i].Phys() != tb[i].Phys() {
			return cmp.Compare(ta[i].Kind, tb[i].Kind)
		}
		if c := Compare(ta[i], a[i], b[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

func appendRecordKey(dst []byte, t sqltypes.Type, b []byte) []byte {
	types, fields, err := openRecord(t, b)
	if err != nil {
		return append(dst, keyNull+1, keyEnd)
	}
	for i, d := range fields {
		if d == nil {
			dst = append(dst, keyNull)
			continue
		}
		dst = AppendKeyDatum(append(dst, keyValue), types[i], d)
	}
	return append(dst, keyEnd)
}

func appendRecordBinary(dst []byte, t sqltypes.Type, b []byte) []byte {
	types, fields, err := openRecord(t, b)
	if err != nil {
		return binary.BigEndian.AppendUint32(dst, 0)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(fields)))
	for i, d := range fields {
		dst = binary.BigEndian.AppendUint32(dst, types[i].OID())
		dst = appendField(dst, types[i], d)
	}
	return dst
}

func parseRecordBinary(t sqltypes.Type, b []byte) ([]byte, error) {
	if !t.HasFields() {
		return nil, sqlerr.New(sqlerr.FeatureNotSupported, "input of anonymous composite types is not implemented")
	}
	if len(b) < 4 {
		return nil, errShortBinary()
	}
	n := int(int32(binary.BigEndian.Uint32(b)))
	b = b[4:]
	if n != len(t.Fields()) {
		return nil, sqlerr.New(sqlerr.DatatypeMismatch, "wrong number of columns: %d, expected %d", n, len(t.Fields()))
	}
	fields := make([]sqltypes.Datum, n)
	for i, f := range t.Fields() {
		if len(b) < 4 {
			return nil, errShortBinary()
		}
		if oid := binary.BigEndian.Uint32(b); oid != f.Type.OID() {
			return nil, sqlerr.New(sqlerr.DatatypeMismatch, "binary data has type %d instead of expected %d in record column %d",
				oid, f.Type.OID(), i+1)
		}
		var err error
		if fields[i], b, err = takeField(f.Type, b[4:]); err != nil {
			return nil, err
		}
	}
	if len(b) != 0 {
		return nil, errLongBinary()
	}
	return EncodeRecord(t, fields), nil
}
