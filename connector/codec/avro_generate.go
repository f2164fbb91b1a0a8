package codec

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/sqltypes"
)

// avroGenerator writes the schema that a sink registers for its columns. Every field may be null. What Avro has no type for
// is its text: numeric without a declared precision, intervals, enums; json and jsonb are marked as JSON.
type avroGenerator struct{ names map[string]bool }

type avroGenField struct {
	Name    string          `json:"name"`
	Type    any             `json:"type"`
	Default json.RawMessage `json:"default"`
}

// record returns the schema of a record of the columns.
func (g *avroGenerator) record(name string, spec *connector.SinkSpec, cols []int) map[string]any {
	fields, used := []avroGenField{}, map[string]bool{}
	full := g.name(name)
	for _, i := range cols {
		n := fieldName(spec.Columns[i].Name, used)
		fields = append(fields, avroGenField{n, nullable(g.of(spec.Columns[i].Type, full+"_"+n)), json.RawMessage("null")})
	}
	return map[string]any{"type": "record", "name": full, "fields": fields}
}

func nullable(t any) any { return []any{"null", t} }

// envelope returns the schema of Debezium's change events of a row.
func (g *avroGenerator) envelope(name string, row map[string]any) map[string]any {
	null := json.RawMessage("null")
	return map[string]any{"type": "record", "name": g.name(name), "fields": []any{
		avroGenField{"before", nullable(row), null}, avroGenField{"after", nullable(row["name"]), null},
		map[string]any{"name": "op", "type": "string"}, avroGenField{"ts_ms", nullable("long"), null},
	}}
}

// name returns a full name that no other type of the schema has.
func (g *avroGenerator) name(want string) string {
	parts := strings.Split(want, ".")
	for i, p := range parts {
		parts[i] = avroName(p)
	}
	want = strings.Join(parts, ".")
	for n := want; ; n += "_" {
		if !g.names[n] {
			g.names[n] = true
			return n
		}
	}
}

// fieldName makes a column's name one that Avro allows and that no earlier field has.
func fieldName(column string, used map[string]bool) string {
	base := avroName(column)
	name := base
	for k := 1; used[name]; k++ {
		name = base + "_" + strconv.Itoa(k)
	}
	used[name] = true
	return name
}

// avroName replaces what a name may not have: it is of letters, digits and underscores, and begins with no digit.
func avroName(s string) string {
	b := []byte(s)
	for i, c := range b {
		if !(c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9') {
			b[i] = '_'
		}
	}
	if len(b) == 0 || b[0] >= '0' && b[0] <= '9' {
		return "_" + string(b)
	}
	return string(b)
}

var avroGenPlain = map[sqltypes.Kind]any{
	sqltypes.KBool: "boolean", sqltypes.KInt2: "int", sqltypes.KInt4: "int", sqltypes.KInt8: "long", sqltypes.KOid: "long",
	sqltypes.KFloat4: "float", sqltypes.KFloat8: "double", sqltypes.KBytea: "bytes",
	sqltypes.KDate:        map[string]any{"type": "int", "logicalType": "date"},
	sqltypes.KTime:        map[string]any{"type": "long", "logicalType": "time-micros"},
	sqltypes.KTimestamp:   map[string]any{"type": "long", "logicalType": "local-timestamp-micros"},
	sqltypes.KTimestamptz: map[string]any{"type": "long", "logicalType": "timestamp-micros"},
	sqltypes.KUUID:        map[string]any{"type": "string", "logicalType": "uuid"},
	sqltypes.KJSON:        map[string]any{"type": "string", "connect.name": "io.debezium.data.Json"},
	sqltypes.KJSONB:       map[string]any{"type": "string", "connect.name": "io.debezium.data.Json"},
}

// of returns the schema of a type; path names the records within.
func (g *avroGenerator) of(t sqltypes.Type, path string) any {
	switch t.Kind {
	case sqltypes.KNumeric:
		if t.Mod == 0 {
			return "string"
		}
		m := t.Typmod() - 4
		return map[string]any{"type": "bytes", "logicalType": "decimal", "precision": m >> 16 & 0xffff, "scale": m & 0x7ff}
	case sqltypes.KArray:
		return map[string]any{"type": "array", "items": nullable(g.of(t.ElemType(), path))}
	case sqltypes.KMap:
		_, v := t.KeyValue()
		return map[string]any{"type": "map", "values": nullable(g.of(v, path))}
	case sqltypes.KRecord:
		if !t.HasFields() {
			return "string"
		}
		fields, used := []avroGenField{}, map[string]bool{}
		name := g.name(path)
		for _, f := range t.Fields() {
			n := fieldName(f.Name, used)
			fields = append(fields, avroGenField{n, nullable(g.of(f.Type, name+"_"+n)), json.RawMessage("null")})
		}
		return map[string]any{"type": "record", "name": name, "fields": fields}
	}
	if s, ok := avroGenPlain[t.Kind]; ok {
		return s
	}
	return "string"
}
