package codec

import (
	"strings"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqltypes"
)

// meaning is what a logical type makes of the values of a schema.
type meaning uint8

const (
	plainValue    meaning = iota
	dateDays              // int: days since 1970
	timeScaled            // int or long: since midnight
	stampScaled           // long: since 1970
	spanScaled            // long: a length of time
	decimalBytes          // bytes or fixed: big-endian two's complement
	uuidText              // string, or fixed(16)
	spanFixed             // fixed(12): months, days, milliseconds
	parsedText            // string that is the text of the type
	jsonText              // string that is a JSON document
	scaledDecimal         // record of scale and value
)

// sense is a meaning with the type it makes, and for those that count, how many microseconds a unit is: mul/div.
type sense struct {
	meaning  meaning
	typ      sqltypes.Type
	mul, div int64
}

// senses says what logical types mean: those of Avro, then those of Kafka Connect and Debezium.
var senses = map[string]struct {
	kinds []avroKind
	sense
}{
	"date":                   {[]avroKind{avroInt}, sense{meaning: dateDays, typ: sqltypes.Date}},
	"time-millis":            {[]avroKind{avroInt}, sense{timeScaled, sqltypes.Time, 1000, 1}},
	"time-micros":            {[]avroKind{avroLong}, sense{timeScaled, sqltypes.Time, 1, 1}},
	"time-nanos":             {[]avroKind{avroLong}, sense{timeScaled, sqltypes.Time, 1, 1000}},
	"timestamp-millis":       {[]avroKind{avroLong}, sense{stampScaled, sqltypes.Timestamptz, 1000, 1}},
	"timestamp-micros":       {[]avroKind{avroLong}, sense{stampScaled, sqltypes.Timestamptz, 1, 1}},
	"timestamp-nanos":        {[]avroKind{avroLong}, sense{stampScaled, sqltypes.Timestamptz, 1, 1000}},
	"local-timestamp-millis": {[]avroKind{avroLong}, sense{stampScaled, sqltypes.Timestamp, 1000, 1}},
	"local-timestamp-micros": {[]avroKind{avroLong}, sense{stampScaled, sqltypes.Timestamp, 1, 1}},
	"local-timestamp-nanos":  {[]avroKind{avroLong}, sense{stampScaled, sqltypes.Timestamp, 1, 1000}},
	"decimal":                {[]avroKind{avroBytes, avroFixed}, sense{meaning: decimalBytes, typ: sqltypes.Numeric}},
	"uuid":                   {[]avroKind{avroString, avroFixed}, sense{meaning: uuidText, typ: sqltypes.UUID}},
	"duration":               {[]avroKind{avroFixed}, sense{meaning: spanFixed, typ: sqltypes.IntervalT}},

	"org.apache.kafka.connect.data.Date":      {[]avroKind{avroInt}, sense{meaning: dateDays, typ: sqltypes.Date}},
	"org.apache.kafka.connect.data.Time":      {[]avroKind{avroInt}, sense{timeScaled, sqltypes.Time, 1000, 1}},
	"org.apache.kafka.connect.data.Timestamp": {[]avroKind{avroLong}, sense{stampScaled, sqltypes.Timestamp, 1000, 1}},
	"org.apache.kafka.connect.data.Decimal":   {[]avroKind{avroBytes, avroFixed}, sense{meaning: decimalBytes, typ: sqltypes.Numeric}},
	"io.debezium.time.Date":                   {[]avroKind{avroInt}, sense{meaning: dateDays, typ: sqltypes.Date}},
	"io.debezium.time.Time":                   {[]avroKind{avroInt}, sense{timeScaled, sqltypes.Time, 1000, 1}},
	"io.debezium.time.MicroTime":              {[]avroKind{avroLong}, sense{timeScaled, sqltypes.Time, 1, 1}},
	"io.debezium.time.NanoTime":               {[]avroKind{avroLong}, sense{timeScaled, sqltypes.Time, 1, 1000}},
	"io.debezium.time.Timestamp":              {[]avroKind{avroLong}, sense{stampScaled, sqltypes.Timestamp, 1000, 1}},
	"io.debezium.time.MicroTimestamp":         {[]avroKind{avroLong}, sense{stampScaled, sqltypes.Timestamp, 1, 1}},
	"io.debezium.time.NanoTimestamp":          {[]avroKind{avroLong}, sense{stampScaled, sqltypes.Timestamp, 1, 1000}},
	"io.debezium.time.MicroDuration":          {[]avroKind{avroLong}, sense{spanScaled, sqltypes.IntervalT, 1, 1}},
	"io.debezium.time.NanoDuration":           {[]avroKind{avroLong}, sense{spanScaled, sqltypes.IntervalT, 1, 1000}},
	"io.debezium.time.ZonedTimestamp":         {[]avroKind{avroString}, sense{meaning: parsedText, typ: sqltypes.Timestamptz}},
	"io.debezium.time.ZonedTime":              {[]avroKind{avroString}, sense{meaning: parsedText, typ: sqltypes.Timetz}},
	"io.debezium.time.Interval":               {[]avroKind{avroString}, sense{meaning: parsedText, typ: sqltypes.IntervalT}},
	"io.debezium.data.Uuid":                   {[]avroKind{avroString}, sense{meaning: uuidText, typ: sqltypes.UUID}},
	"io.debezium.data.Json":                   {[]avroKind{avroString}, sense{meaning: jsonText, typ: sqltypes.JSONB}},
	"io.debezium.data.VariableScaleDecimal":   {[]avroKind{avroRecord}, sense{meaning: scaledDecimal, typ: sqltypes.Numeric}},
}

// sense returns what the schema's logical type means; one that its values cannot have counts for nothing, as Avro's
// specification wants it.
func (s *avroSchema) sense() sense {
	name := s.logical
	if s.kind == avroRecord && name == "" {
		name = s.name
	}
	m, ok := senses[name]
	if !ok {
		return sense{}
	}
	for _, k := range m.kinds {
		switch {
		case k != s.kind:
		case k == avroFixed && m.meaning == uuidText && s.size != 16:
		case k == avroFixed && m.meaning == spanFixed && s.size != 12:
		case k == avroRecord && (len(s.fields) != 2 || s.fields[0].schema.kind != avroInt || s.fields[1].schema.kind != avroBytes):
		default:
			return m.sense
		}
	}
	return sense{}
}

// avroTypes derives the types of columns from schemas.
type avroTypes struct {
	mapsAsJSON bool
	open       []*avroSchema // records that are being looked at
}

// columns returns the fields of a record as columns.
func (t avroTypes) columns(s *avroSchema) []catalog.Column {
	var out []catalog.Column
	for i := range s.fields {
		out = append(out, catalog.Column{Name: s.fields[i].name, Type: t.of(s.fields[i].schema)})
	}
	return out
}

var avroPlainTypes = [...]sqltypes.Type{
	avroNull: sqltypes.Varchar, avroBoolean: sqltypes.Bool, avroInt: sqltypes.Int4, avroLong: sqltypes.Int8,
	avroFloat: sqltypes.Float4, avroDouble: sqltypes.Float8, avroBytes: sqltypes.Bytea, avroString: sqltypes.Varchar,
	avroEnum: sqltypes.Varchar, avroFixed: sqltypes.Bytea,
}

// of returns the type that values of a schema have unless a column says otherwise. What SQL has no type for is
// jsonb: a record within itself, arrays of arrays (which need not be rectangles).
func (t avroTypes) of(s *avroSchema) sqltypes.Type {
	if m := s.sense(); m.meaning != plainValue {
		return m.typ
	}
	switch s.kind {
	case avroRecord:
		return t.record(s)
	case avroArray:
		elem := t.of(s.items)
		if elem.Kind == sqltypes.KArray {
			return sqltypes.JSONB
		}
		return sqltypes.ArrayOf(elem)
	case avroMap:
		if t.mapsAsJSON {
			return sqltypes.JSONB
		}
		return sqltypes.MapOf(sqltypes.Varchar, t.of(s.items))
	case avroUnion:
		if b, ok := s.nullable(); ok {
			return t.of(b)
		}
		return t.union(s)
	}
	return avroPlainTypes[s.kind]
}

func (t avroTypes) record(s *avroSchema) sqltypes.Type {
	for _, o := range t.open {
		if o == s {
			return sqltypes.JSONB
		}
	}
	t.open = append(t.open[:len(t.open):len(t.open)], s)
	if len(s.fields) == 0 {
		return sqltypes.JSONB
	}
	var fields []sqltypes.RowField
	for i := range s.fields {
		fields = append(fields, sqltypes.RowField{Name: s.fields[i].name, Type: t.of(s.fields[i].schema)})
	}
	return sqltypes.StructOf(fields)
}

// union is a composite type with a field per branch, of which one at most is not NULL.
func (t avroTypes) union(s *avroSchema) sqltypes.Type {
	var fields []sqltypes.RowField
	for i, b := range s.union {
		if b.kind != avroNull {
			fields = append(fields, sqltypes.RowField{Name: s.branchName(i), Type: t.of(b)})
		}
	}
	if len(fields) == 0 {
		return sqltypes.Varchar
	}
	return sqltypes.StructOf(fields)
}

// branchName names a branch of a union: a type's short name, or its full one where two are alike.
func (s *avroSchema) branchName(i int) string {
	b := s.union[i]
	if b.name == "" {
		return b.kind.String()
	}
	short := b.name[strings.LastIndexByte(b.name, '.')+1:]
	for k, o := range s.union {
		if k != i && o.name[strings.LastIndexByte(o.name, '.')+1:] == short {
			return b.name
		}
	}
	return short
}
