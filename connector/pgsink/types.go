package pgsink

import (
	"slices"

	"github.com/millrace/millrace/internal/sqltypes"
)

// accepted lists, for our types, the PostgreSQL types (pg_type.typname) that hold all their values. Texts fit into
// any type of texts; enums are apart.
var accepted = map[sqltypes.Kind][]string{
	sqltypes.KBool:        {"bool"},
	sqltypes.KInt2:        {"int2", "int4", "int8", "numeric", "float4", "float8"},
	sqltypes.KInt4:        {"int4", "int8", "numeric", "float8"},
	sqltypes.KInt8:        {"int8", "numeric"},
	sqltypes.KOid:         {"oid", "int8", "numeric"},
	sqltypes.KFloat4:      {"float4", "float8"},
	sqltypes.KFloat8:      {"float8"},
	sqltypes.KNumeric:     {"numeric"},
	sqltypes.KText:        texts,
	sqltypes.KVarchar:     texts,
	sqltypes.KBpchar:      texts,
	sqltypes.KName:        texts,
	sqltypes.KChar:        {"char", "text", "varchar"},
	sqltypes.KBytea:       {"bytea"},
	sqltypes.KDate:        {"date"},
	sqltypes.KTime:        {"time"},
	sqltypes.KTimetz:      {"timetz"},
	sqltypes.KTimestamp:   {"timestamp"},
	sqltypes.KTimestamptz: {"timestamptz"},
	sqltypes.KInterval:    {"interval"},
	sqltypes.KJSON:        {"json", "jsonb", "text", "varchar"},
	sqltypes.KJSONB:       {"jsonb", "json", "text", "varchar"},
	sqltypes.KJSONPath:    {"jsonpath", "text", "varchar"},
	sqltypes.KUUID:        {"uuid", "text", "varchar"},
	sqltypes.KBit:         {"bit", "varbit", "text", "varchar"},
	sqltypes.KVarbit:      {"varbit", "text", "varchar"},
	sqltypes.KVector:      {"vector", "text", "varchar"},
	sqltypes.KRecord:      {"text", "varchar"},
	sqltypes.KMap:         {"text", "varchar"},
	sqltypes.KEnum:        {"text", "varchar"},
}

var texts = []string{"text", "varchar", "bpchar", "citext", "name"}

// fits reports whether every value of t can be written into c.
func fits(t sqltypes.Type, c *column) bool {
	if t.Kind == sqltypes.KArray {
		elem := *c
		elem.array = false
		return c.array && fits(t.ElemType(), &elem)
	}
	if c.array {
		return false
	}
	switch {
	case c.kind == "e":
		return t.Kind == sqltypes.KEnum || t.IsString()
	case c.kind == "c":
		return t.Kind == sqltypes.KRecord
	}
	return slices.Contains(accepted[t.Kind], c.typ) || t.Kind.IsReg() && slices.Contains(texts, c.typ)
}

// missingLabels returns a label of the enum t that the target's enum lacks, or "".
func missingLabels(t sqltypes.Type, c *column) string {
	if t.Kind == sqltypes.KArray {
		t = t.ElemType()
	}
	if t.Kind != sqltypes.KEnum || c.kind != "e" {
		return ""
	}
	for _, l := range t.Labels() {
		if !slices.Contains(c.labels, l.Name) {
			return l.Name
		}
	}
	return ""
}

// suggested names the PostgreSQL type that a column of our type should have.
func suggested(t sqltypes.Type) string {
	base := t
	if t.Kind == sqltypes.KArray {
		base = t.ElemType()
	}
	switch base.Kind {
	case sqltypes.KRecord, sqltypes.KMap, sqltypes.KEnum:
		if t.Kind == sqltypes.KArray {
			return "text[]"
		}
		return "text"
	}
	return t.String()
}
