package codec

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// fakeRegistry runs a schema registry in the process.
func fakeRegistry(t testing.TB, opts ...srfake.Option) *srfake.Registry {
	t.Helper()
	r := srfake.New(opts...)
	t.Cleanup(r.Close)
	return r
}

// register registers a schema and returns its id.
func register(t testing.TB, r *srfake.Registry, subject, schema string, refs ...sr.SchemaReference) int {
	t.Helper()
	id, _, err := r.RegisterSchema(subject, sr.Schema{Schema: schema, References: refs})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// message encodes a value with the library, and puts the schema's id in front.
func message(t testing.TB, id int, schema string, v any) []byte {
	t.Helper()
	return avroMessage(t, id, avro.MustParse(schema), v)
}

func avroMessage(t testing.TB, id int, schema avro.Schema, v any) []byte {
	t.Helper()
	b, err := avro.Marshal(schema, v)
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(id)), b...)
}

// described makes the spec of a source whose columns, key and options are those that its schema says.
func described(t testing.TB, format, encode, url string, options ...string) *connector.SourceSpec {
	t.Helper()
	spec := sourceSpec(format, encode)
	spec.Connector.Options = map[string]string{"topic": "t"}
	spec.Connector.FormatOptions = map[string]string{"schema.registry": url}
	for i := 0; i+1 < len(options); i += 2 {
		spec.Connector.FormatOptions[options[i]] = options[i+1]
	}
	d, err := Describe(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	setColumns(spec, d.Columns...)
	for i, c := range d.Columns {
		if slices.Contains(d.Key, c.Name) {
			spec.PrimaryKey = append(spec.PrimaryKey, i)
		}
	}
	maps.Copy(spec.Connector.FormatOptions, d.FormatOptions)
	return spec
}

func setColumns(spec *connector.SourceSpec, cols ...catalog.Column) {
	spec.Columns, spec.Cols = cols, nil
	for i := range cols {
		spec.Cols = append(spec.Cols, i)
	}
}

// typesText prints the columns of a spec.
func typesText(cols []catalog.Column) string {
	var out []string
	for _, c := range cols {
		out = append(out, c.Name+" "+c.Type.StructString())
	}
	return strings.Join(out, ", ")
}

func check(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestAvroTypes reads a value of each type that Avro has.
func TestAvroTypes(t *testing.T) {
	moment := time.Date(2024, 2, 29, 12, 34, 56, 789_012_000, time.UTC)
	cases := []struct {
		name, schema string
		value        any
		typ, want    string
	}{
		{"boolean", `"boolean"`, true, "boolean", "t"},
		{"int", `"int"`, -42, "integer", "-42"},
		{"long", `"long"`, int64(-1) << 62, "bigint", "-4611686018427387904"},
		{"float", `"float"`, float32(0.1), "real", "0.1"},
		{"double", `"double"`, 0.1, "double precision", "0.1"},
		{"bytes", `"bytes"`, []byte{0, 255}, "bytea", `\x00ff`},
		{"string", `"string"`, "héllo", "character varying", "héllo"},
		{"enum", `{"type":"enum","name":"e","symbols":["A","B"]}`, "B", "character varying", "B"},
		{"fixed", `{"type":"fixed","name":"f","size":3}`, [3]byte{1, 2, 3}, "bytea", `\x010203`},
		{"null or int", `["null","int"]`, map[string]any{"int": 7}, "integer", "7"},
		{"int or null", `["int","null"]`, nil, "integer", "NULL"},
		{"date", `{"type":"int","logicalType":"date"}`, moment, "date", "2024-02-29"},
		{"time-millis", `{"type":"int","logicalType":"time-millis"}`, 45296789 * time.Millisecond, "time without time zone", "12:34:56.789"},
		{"time-micros", `{"type":"long","logicalType":"time-micros"}`, 45296789012 * time.Microsecond, "time without time zone", "12:34:56.789012"},
		{"timestamp-millis", `{"type":"long","logicalType":"timestamp-millis"}`, moment, "timestamp with time zone", "2024-02-29 12:34:56.789+00"},
		{"timestamp-micros", `{"type":"long","logicalType":"timestamp-micros"}`, moment, "timestamp with time zone", "2024-02-29 12:34:56.789012+00"},
		{"timestamp-nanos", `{"type":"long","logicalType":"timestamp-nanos"}`, moment.UnixNano(), "timestamp with time zone", "2024-02-29 12:34:56.789012+00"},
		{"before 1970, in nanoseconds", `{"type":"long","logicalType":"timestamp-nanos"}`, int64(-1), "timestamp with time zone", "1969-12-31 23:59:59.999999+00"},
		{"local-timestamp-millis", `{"type":"long","logicalType":"local-timestamp-millis"}`, moment.UnixMilli(), "timestamp without time zone", "2024-02-29 12:34:56.789"},
		{"local-timestamp-micros", `{"type":"long","logicalType":"local-timestamp-micros"}`, moment.UnixMicro(), "timestamp without time zone", "2024-02-29 12:34:56.789012"},
		{"local-timestamp-nanos", `{"type":"long","logicalType":"local-timestamp-nanos"}`, moment.UnixNano(), "timestamp without time zone", "2024-02-29 12:34:56.789012"},
		{"decimal", `{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}`, big.NewRat(-12345, 100), "numeric", "-123.45"},
		{"large decimal", `{"type":"bytes","logicalType":"decimal","precision":40,"scale":1}`, rat("-1234567890123456789012345678901234567.5"), "numeric", "-1234567890123456789012345678901234567.5"},
		{"fixed decimal", `{"type":"fixed","name":"d","size":6,"logicalType":"decimal","precision":12,"scale":3}`, rat("1.5"), "numeric", "1.500"},
		{"uuid", `{"type":"string","logicalType":"uuid"}`, "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "uuid", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"},
		{"fixed uuid", `{"type":"fixed","name":"u","size":16,"logicalType":"uuid"}`, [16]byte{15: 1}, "uuid", "00000000-0000-0000-0000-000000000001"},
		{"duration", `{"type":"fixed","name":"i","size":12,"logicalType":"duration"}`, avro.LogicalDuration{Months: 14, Days: 3, Milliseconds: 1500}, "interval", "1 year 2 mons 3 days 00:00:01.5"},
		{"misplaced logical type", `{"type":"string","logicalType":"date"}`, "x", "character varying", "x"},
		{"array", `{"type":"array","items":["null","long"]}`, []any{int64(1), nil, int64(3)}, "bigint[]", "{1,NULL,3}"},
		{"empty array", `{"type":"array","items":"string"}`, []string{}, "character varying[]", "{}"},
		{"array of arrays", `{"type":"array","items":{"type":"array","items":"int"}}`, [][]int{{1}, {2, 3}}, "jsonb", "[[1], [2, 3]]"},
		{"map", `{"type":"map","values":"int"}`, map[string]int{"b": 2, "a": 1}, "map(character varying,integer)", "{a:1,b:2}"},
		{"record", `{"type":"record","name":"r","fields":[{"name":"x","type":"int"},{"name":"Y","type":["null","string"]}]}`,
			map[string]any{"x": 1, "Y": "why, not"}, `struct<x integer, "Y" character varying>`, `(1,"why, not")`},
		{"array of records", `{"type":"array","items":{"type":"record","name":"r","fields":[{"name":"x","type":"int"},{"name":"y","type":"string"}]}}`,
			[]map[string]any{{"x": 1, "y": "a"}, {"x": 2, "y": "b"}}, "struct<x integer, y character varying>[]", `{"(1,a)","(2,b)"}`},
		{"union", `["null","int","string"]`, map[string]any{"string": "s"}, `struct<int integer, string character varying>`, "(,s)"},
		{"list", `{"type":"record","name":"node","fields":[{"name":"v","type":"int"},{"name":"next","type":["null","node"]}]}`,
			map[string]any{"v": 1, "next": map[string]any{"node": map[string]any{"v": 2, "next": nil}}}, "struct<v integer, next jsonb>", `(1,"{""v"": 2, ""next"": null}")`},
		{"Debezium's time", `{"type":"long","connect.version":1,"connect.name":"io.debezium.time.MicroTimestamp"}`, moment.UnixMicro(), "timestamp without time zone", "2024-02-29 12:34:56.789012"},
		{"Debezium's zoned time", `{"type":"string","connect.name":"io.debezium.time.ZonedTimestamp"}`, "2024-02-29T12:34:56+02:00", "timestamp with time zone", "2024-02-29 10:34:56+00"},
		{"Debezium's JSON", `{"type":"string","connect.name":"io.debezium.data.Json"}`, `{"a":[1]}`, "jsonb", `{"a": [1]}`},
		{"Debezium's decimal", `{"type":"record","name":"VariableScaleDecimal","namespace":"io.debezium.data","fields":[{"name":"scale","type":"int"},{"name":"value","type":"bytes"}]}`,
			map[string]any{"scale": 3, "value": []byte{0xff}}, "numeric", "-0.001"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			reg := fakeRegistry(t)
			schema := `{"type":"record","name":"row","fields":[{"name":"skipped","type":"string"},{"name":"v","type":` + c.schema + `},{"name":"w","type":"int"}]}`
			id := register(t, reg, "t-value", schema)
			spec := described(t, "PLAIN", "AVRO", reg.URL())
			if got, want := typesText(spec.Columns), "skipped character varying, v "+c.typ+", w integer"; got != want {
				t.Errorf("columns are %s, not %s", got, want)
			}
			spec.Cols = []int{1, 2}
			parsed, err := avro.ParseWithCache(schema, "", &avro.SchemaCache{})
			if err != nil {
				t.Fatal(err)
			}
			got := decodeAll(t, spec, Record{Value: avroMessage(t, id, parsed, map[string]any{"skipped": "s", "v": c.value, "w": 5})})
			check(t, got, []string{c.want + "|5"})
		})
	}
}

func rat(s string) *big.Rat {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		panic(s)
	}
	return r
}

// TestAvroEvolution reads records of older and newer schemas into the columns that the source was created with.
func TestAvroEvolution(t *testing.T) {
	reg := fakeRegistry(t)
	v := []string{
		`{"type":"record","name":"r","fields":[{"name":"id","type":"int"},{"name":"gone","type":"string"}]}`,
		`{"type":"record","name":"r","fields":[{"name":"id","type":"long"},{"name":"name","type":"string","default":"nobody"},{"name":"note","type":["null","string"],"default":null},{"name":"n","type":"double","default":1.5}]}`,
		`{"type":"record","name":"r","fields":[{"name":"more","type":{"type":"array","items":"int"}},{"name":"n","type":"int"},{"name":"called","aliases":["name"],"type":["null","string"]},{"name":"ID","type":"long"}]}`,
		`{"type":"record","name":"r","fields":[{"name":"id","type":"boolean"}]}`,
	}
	first, second := register(t, reg, "t-value", v[0]), register(t, reg, "t-value", v[1])
	spec := described(t, "PLAIN", "AVRO", reg.URL())
	if got := typesText(spec.Columns); got != "id bigint, name character varying, note character varying, n double precision" {
		t.Fatal(got)
	}
	third, fourth := register(t, reg, "t-value", v[2]), register(t, reg, "t-value", v[3]) // after the source was created
	got := decodeAll(t, spec,
		Record{Value: message(t, second, v[1], map[string]any{"id": int64(1), "name": "one", "note": "x", "n": 2.5})},
		Record{Value: message(t, first, v[0], map[string]any{"id": 2, "gone": "g"})},
		Record{Value: message(t, third, v[2], map[string]any{"more": []int{1, 2}, "n": 3, "called": "three", "ID": int64(3)})},
		Record{Value: message(t, fourth, v[3], map[string]any{"id": true})},
		Record{Value: message(t, second, v[1], map[string]any{"id": int64(4), "name": "four", "note": nil, "n": 0.0})},
	)
	check(t, got, []string{"1|one|x|2.5", "2|nobody|NULL|1.5", "3|three|NULL|3",
		fmt.Sprintf(`error: schema %d: decode column "id": Avro type boolean cannot become bigint (SQLSTATE 42804)`, fourth), "4|four|NULL|0"})
}

// TestAvroDefaults fills columns that a record's schema lacks with defaults of each type.
func TestAvroDefaults(t *testing.T) {
	reg := fakeRegistry(t)
	old := register(t, reg, "t-value", `{"type":"record","name":"r","fields":[{"name":"id","type":"int"}]}`)
	register(t, reg, "t-value", `{"type":"record","name":"r","fields":[{"name":"id","type":"int"},
		{"name":"b","type":"boolean","default":true},{"name":"y","type":"bytes","default":"\u0000\u00ff"},
		{"name":"e","type":{"type":"enum","name":"e","symbols":["A","B"]},"default":"B"},
		{"name":"a","type":{"type":"array","items":"int"},"default":[1,2]},{"name":"m","type":{"type":"map","values":"string"},"default":{"k":"v"}},
		{"name":"f","type":{"type":"fixed","name":"f","size":2},"default":"ab"},
		{"name":"s","type":{"type":"record","name":"s","fields":[{"name":"x","type":"int"},{"name":"y","type":"string","default":"dy"}]},"default":{"x":1}},
		{"name":"u","type":["string","null"],"default":"first"},{"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":4,"scale":2},"default":"\u0001"}]}`)
	spec := described(t, "PLAIN", "AVRO", reg.URL())
	got := decodeAll(t, spec, Record{Value: append([]byte{0, 0, 0, 0, byte(old)}, 6)})
	check(t, got, []string{`3|t|\x00ff|B|{1,2}|{k:v}|\x6162|(1,dy)|first|0.01`})
}

// TestAvroConversions reads into columns of other types than the schema's.
func TestAvroConversions(t *testing.T) {
	cases := []struct {
		schema, typ string
		value       any
		want        string
	}{
		{`"long"`, "int2", int64(12), "12"},
		{`"long"`, "int2", int64(70000), `error: decode column "v": value "70000" is out of range for type smallint (SQLSTATE 22003)`},
		{`"int"`, "float8", 3, "3"},
		{`"int"`, "numeric", 3, "3"},
		{`"double"`, "numeric", 2.5, "2.5"},
		{`"int"`, "text", 3, "3"},
		{`"boolean"`, "text", true, "true"},
		{`"string"`, "int4", "12", "12"},
		{`"string"`, "timestamp", "2024-01-02 03:04:05", "2024-01-02 03:04:05"},
		{`"string"`, "int4", "x", `error: decode column "v": invalid input syntax for type integer: "x" (SQLSTATE 22P02)`},
		{`"string"`, "bytea", "ab", `\x6162`},
		{`"bytes"`, "text", []byte("ab"), "ab"},
		{`"bytes"`, "text", []byte{0xff}, `error: decode column "v": invalid byte sequence for encoding "UTF8": 0xff (SQLSTATE 22021)`},
		{`{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}`, "text", big.NewRat(5, 2), "2.50"},
		{`{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}`, "float8", big.NewRat(5, 2), "2.5"},
		{`{"type":"long","logicalType":"timestamp-millis"}`, "timestamp", time.UnixMilli(1500).UTC(), "1970-01-01 00:00:01.5"},
		{`{"type":"long","logicalType":"timestamp-millis"}`, "bigint", time.UnixMilli(1500).UTC(), "1500"},
		{`{"type":"long","logicalType":"timestamp-millis"}`, "date", time.UnixMilli(-1).UTC(), "1969-12-31"},
		{`{"type":"long","logicalType":"timestamp-millis"}`, "text", time.UnixMilli(1500).UTC(), "1970-01-01 00:00:01.5+00"},
		{`{"type":"record","name":"x","fields":[{"name":"a","type":"int"},{"name":"b","type":{"type":"map","values":"double"}}]}`, "jsonb",
			map[string]any{"a": 1, "b": map[string]float64{"k": 2.5}}, `{"a": 1, "b": {"k": 2.5}}`},
		{`["null","int","string"]`, "jsonb", map[string]any{"int": 4}, "4"},
		{`["null","int","string"]`, "text", map[string]any{"int": 4}, "4"},
		{`{"type":"array","items":{"type":"array","items":"int"}}`, "int[]", [][]int{{1, 2}, {3, 4}}, "{{1,2},{3,4}}"},
		{`{"type":"array","items":{"type":"array","items":"int"}}`, "int[]", [][]int{{1, 2}, {3}},
			`error: decode column "v": multidimensional arrays must have array expressions with matching dimensions (SQLSTATE 2202E)`},
		{`"string"`, "varchar(3)", "abcd", `error: decode column "v": value too long for type character varying(3) (SQLSTATE 22001)`},
		{`{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}`, "numeric(4,1)", rat("2.55"), "2.6"},
	}
	for _, c := range cases {
		t.Run(c.schema+" to "+c.typ, func(t *testing.T) {
			reg := fakeRegistry(t)
			schema := `{"type":"record","name":"row","fields":[{"name":"v","type":` + c.schema + `}]}`
			id := register(t, reg, "t-value", schema)
			spec := described(t, "PLAIN", "AVRO", reg.URL())
			setColumns(spec, col("v", typeNamed(t, c.typ)))
			if _, err := Check(spec); err != nil {
				t.Fatal(err)
			}
			parsed, err := avro.ParseWithCache(schema, "", &avro.SchemaCache{})
			if err != nil {
				t.Fatal(err)
			}
			check(t, decodeAll(t, spec, Record{Value: avroMessage(t, id, parsed, map[string]any{"v": c.value})}), []string{c.want})
		})
	}
}

// TestAvroBadRecords names what is wrong, and leaves no trace in the rows.
func TestAvroBadRecords(t *testing.T) {
	reg := fakeRegistry(t)
	schema := `{"type":"record","name":"r","fields":[{"name":"s","type":"string"},{"name":"n","type":["null","int"]},{"name":"e","type":{"type":"enum","name":"e","symbols":["A"]}}]}`
	id := register(t, reg, "t-value", schema)
	other := register(t, reg, "other", `"string"`)
	proto, _, err := reg.RegisterSchema("proto", sr.Schema{Schema: `syntax = "proto3"; message M {}`, Type: sr.TypeProtobuf})
	if err != nil {
		t.Fatal(err)
	}
	spec := described(t, "PLAIN", "AVRO", reg.URL())
	head := []byte{0, 0, 0, 0, byte(id)}
	with := func(b ...byte) Record { return Record{Value: append(slices.Clone(head), b...)} }
	got := decodeAll(t, spec,
		Record{}, Record{Value: []byte(`{"s":"x"}`)}, Record{Value: []byte{0, 0}}, Record{Value: []byte{0, 0, 0, 0, 99, 1}},
		Record{Value: []byte{0, 0, 0, 0, byte(other), 2, 'x'}}, Record{Value: []byte{0, 0, 0, 0, byte(proto), 0}},
		with(), with(4, 'a'), with(3, 'a'), with(2, 'a', 4), with(2, 'a', 0, 2), with(2, 'a', 0, 0, 0),
		with(2, 0xff, 0, 0), with(2, 'a', 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), with(2, 'a', 2, 4, 0))
	noID := "error: record does not begin with the id of a registered schema (SQLSTATE 22P03)"
	short := "Avro record ends in the middle of a value (SQLSTATE 22P03)"
	check(t, got, []string{noID, noID, noID,
		"error: schema registry at " + reg.URL() + " has no schema with the id 99 (SQLSTATE 42704)",
		fmt.Sprintf("error: schema %d: Avro type string is not a record (SQLSTATE 42804)", other),
		fmt.Sprintf("error: schema %d is of type PROTOBUF, not AVRO (SQLSTATE 42804)", proto),
		`error: decode column "s": ` + short, `error: decode column "s": ` + short,
		`error: decode column "s": Avro record has a negative length (SQLSTATE 22P03)`,
		`error: decode column "n": Avro record has branch 2 of a union of 2 (SQLSTATE 22P03)`,
		`error: decode column "e": Avro record has symbol 1 of an enum of 1 (SQLSTATE 22P03)`,
		"error: Avro record has 1 bytes more than its schema says (SQLSTATE 22P03)",
		`error: decode column "s": invalid byte sequence for encoding "UTF8": 0xff (SQLSTATE 22021)`,
		`error: decode column "n": Avro record has a number of more than 64 bits (SQLSTATE 22P03)`,
		"a|2|A"})
}

// TestAvroReferences reads a schema that is made of others.
func TestAvroReferences(t *testing.T) {
	reg := fakeRegistry(t)
	register(t, reg, "currency", `{"type":"enum","name":"shop.Currency","symbols":["EUR","USD"]}`)
	register(t, reg, "money", `{"type":"record","name":"shop.Money","fields":[{"name":"amount","type":"long"},{"name":"currency","type":"Currency"}]}`,
		sr.SchemaReference{Name: "shop.Currency", Subject: "currency", Version: 1})
	id := register(t, reg, "t-value", `{"type":"record","name":"shop.Order","fields":[{"name":"id","type":"int"},{"name":"price","type":"shop.Money"},{"name":"c","type":["null","Currency"]}]}`,
		sr.SchemaReference{Name: "shop.Money", Subject: "money", Version: 1}, sr.SchemaReference{Name: "shop.Currency", Subject: "currency", Version: 1})
	spec := described(t, "PLAIN", "AVRO", reg.URL())
	if got := typesText(spec.Columns); got != "id integer, price struct<amount bigint, currency character varying>, c character varying" {
		t.Error(got)
	}
	check(t, decodeAll(t, spec, Record{Value: []byte{0, 0, 0, 0, byte(id), 2, 20, 2, 2, 0}}), []string{"1|(10,USD)|EUR"})
}

// TestAvroRegistry wants clear errors of a registry that is away, refuses, or lacks the subject.
func TestAvroRegistry(t *testing.T) {
	reg := fakeRegistry(t, srfake.WithAuth("Basic dXNlcjpzZWNyZXQ="))
	id := register(t, reg, "t-value", `{"type":"record","name":"r","fields":[{"name":"a","type":"int"}]}`)
	describe := func(topic string, options ...string) error {
		spec := sourceSpec("PLAIN", "AVRO")
		spec.Connector.Options = map[string]string{"topic": topic}
		for i := 0; i+1 < len(options); i += 2 {
			spec.Connector.FormatOptions[options[i]] = options[i+1]
		}
		_, err := Describe(context.Background(), spec)
		return err
	}
	for _, c := range []struct {
		name string
		err  error
		code sqlerr.Code
	}{
		{"no registry", describe("t"), sqlerr.InvalidParameterValue},
		{"bad address", describe("t", "schema.registry", "ftp://x"), sqlerr.InvalidParameterValue},
		{"unknown option", describe("t", "schema.registry", reg.URL(), "schema.registri.username", "x"), sqlerr.InvalidParameterValue},
		{"nobody there", describe("t", "schema.registry", "http://127.0.0.1:1"), sqlerr.ConnectionFailure},
		{"no password", describe("t", "schema.registry", reg.URL()), sqlerr.InvalidPassword},
		{"no subject", describe("u", "schema.registry", reg.URL(), "schema.registry.username", "user", "schema.registry.password", "secret"), sqlerr.UndefinedObject},
		{"strategy without message", describe("t", "schema.registry", reg.URL(), "schema.registry.name.strategy", "record_name_strategy"), sqlerr.InvalidParameterValue},
		{"well", describe("t", "schema.registry", reg.URL(), "schema.registry.username", "user", "schema.registry.password", "secret"), sqlerr.SuccessfulCompletion},
		{"second address", describe("t", "schema.registry", "http://127.0.0.1:1, "+reg.URL(), "schema.registry.username", "user", "schema.registry.password", "secret"), sqlerr.SuccessfulCompletion},
		{"password in the address", describe("t", "schema.registry", strings.Replace(reg.URL(), "//", "//user:secret@", 1)), sqlerr.SuccessfulCompletion},
	} {
		if sqlerr.CodeOf(c.err) != c.code || c.err != nil && strings.Contains(c.err.Error(), "secret") {
			t.Errorf("%s: %v, want %s", c.name, c.err, c.code)
		}
	}
	// An outage is not the record's fault.
	spec := described(t, "PLAIN", "AVRO", reg.URL(), "schema.registry.username", "user", "schema.registry.password", "secret")
	d, _, err := NewDecoder(spec)
	if err != nil {
		t.Fatal(err)
	}
	reg.Close()
	rows := NewRows(typesOf(spec.Columns))
	if err := d.Decode(&Record{Value: []byte{0, 0, 0, 0, byte(id), 2}}, rows); !IsOutage(err) || rows.Len() != 0 {
		t.Errorf("decode without a registry: %v", err)
	}
}

func TestAvroColumnMistakes(t *testing.T) {
	reg := fakeRegistry(t)
	register(t, reg, "t-value", `{"type":"record","name":"r","fields":[{"name":"amount","type":"string"}]}`)
	spec := described(t, "PLAIN", "AVRO", reg.URL())
	setColumns(spec, col("amuont", typeNamed(t, "text")))
	if _, err := Check(spec); sqlerr.CodeOf(err) != sqlerr.UndefinedColumn || !strings.Contains(sqlerr.From(err).Hint, "amount") {
		t.Errorf("unknown field: %v", err)
	}
	setColumns(spec, col("amount", typeNamed(t, "int[]")))
	if _, err := Check(spec); sqlerr.CodeOf(err) != sqlerr.DatatypeMismatch {
		t.Errorf("type: %v", err)
	}
}

// TestAvroUpsert has keys with a schema of their own.
func TestAvroUpsert(t *testing.T) {
	reg := fakeRegistry(t)
	keySchema := `{"type":"record","name":"k","fields":[{"name":"id","type":"int"}]}`
	valueSchema := `{"type":"record","name":"v","fields":[{"name":"id","type":"int"},{"name":"name","type":["null","string"]}]}`
	lean := `{"type":"record","name":"v","fields":[{"name":"name","type":["null","string"]}]}`
	k, v := register(t, reg, "t-key", keySchema), register(t, reg, "t-value", valueSchema)
	spec := described(t, "UPSERT", "AVRO", reg.URL())
	check(t, []string{typesText(spec.Columns), fmt.Sprint(spec.PrimaryKey)}, []string{"id integer, name character varying", "[0]"})
	l := register(t, reg, "t-value", lean)
	key := func(id int) []byte { return message(t, k, keySchema, map[string]any{"id": id}) }
	got := decodeAll(t, spec,
		Record{Key: key(1), Value: message(t, v, valueSchema, map[string]any{"id": 1, "name": "one"})},
		Record{Key: key(2), Value: message(t, l, lean, map[string]any{"name": "two"})},
		Record{Key: key(1)}, Record{Key: []byte("1")}, Record{},
	)
	check(t, got, []string{"1|one", "2|two", "-1|NULL", "error: record does not begin with the id of a registered schema (SQLSTATE 22P03)",
		"error: record has neither a key nor a value (SQLSTATE 22004)"})
}

// TestAvroUpsertKeyInParts has one column of the key in the value and one in the record's key; the value's goes before.
func TestAvroUpsertKeyInParts(t *testing.T) {
	reg := fakeRegistry(t)
	keySchema := `{"type":"record","name":"k","fields":[{"name":"a","type":"int"},{"name":"b","type":"int"}]}`
	valueSchema := `{"type":"record","name":"v","fields":[{"name":"b","type":"int"},{"name":"v","type":"string"}]}`
	k, v := register(t, reg, "t-key", keySchema), register(t, reg, "t-value", valueSchema)
	spec := described(t, "UPSERT", "AVRO", reg.URL())
	setColumns(spec, col("a", sqltypes.Int4), col("b", sqltypes.Int4), col("v", sqltypes.Text))
	spec.PrimaryKey = []int{0, 1}
	if _, err := Check(spec); err != nil {
		t.Fatal(err)
	}
	key := message(t, k, keySchema, map[string]any{"a": 1, "b": 9})
	got := decodeAll(t, spec, Record{Key: key, Value: message(t, v, valueSchema, map[string]any{"b": 2, "v": "x"})}, Record{Key: key})
	check(t, got, []string{"1|2|x", "-1|9|NULL"})
}

// TestAvroUpsertByIncludedKey makes the key itself a column.
func TestAvroUpsertByIncludedKey(t *testing.T) {
	for _, c := range []struct {
		schema string
		value  any
		typ    string
		want   string
	}{
		{`"string"`, "k1", "character varying", "k1"},
		{`"long"`, int64(7), "bigint", "7"},
		{`{"type":"record","name":"k","fields":[{"name":"a","type":"int"},{"name":"b","type":"string"}]}`, map[string]any{"a": 1, "b": "x"}, "struct<a integer, b character varying>", "(1,x)"},
	} {
		reg := fakeRegistry(t)
		k := register(t, reg, "t-key", c.schema)
		schema := `{"type":"record","name":"v","fields":[{"name":"name","type":"string"}]}`
		v := register(t, reg, "t-value", schema)
		spec := described(t, "UPSERT", "AVRO", reg.URL())
		d, err := Describe(context.Background(), spec)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Included["key"].StructString(); got != c.typ {
			t.Errorf("key has type %s, not %s", got, c.typ)
		}
		setColumns(spec, spec.Columns[0], catalog.Column{Name: "rw_key", Type: d.Included["key"], Include: "key"})
		spec.PrimaryKey = []int{1}
		if _, err := Check(spec); err != nil {
			t.Error(err)
		}
		key := message(t, k, c.schema, c.value)
		got := decodeAll(t, spec, Record{Key: key, Value: message(t, v, schema, map[string]any{"name": "n"})}, Record{Key: key})
		check(t, got, []string{"n|" + c.want, "-NULL|" + c.want})
	}
}

func TestAvroDebezium(t *testing.T) {
	reg := fakeRegistry(t)
	keySchema := `{"type":"record","name":"Key","fields":[{"name":"id","type":"int"}]}`
	envelope := `{"type":"record","name":"Envelope","namespace":"shop.orders","fields":[
		{"name":"before","type":["null",{"type":"record","name":"Value","fields":[{"name":"id","type":"int"},{"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":8,"scale":2}},
			{"name":"at","type":["null",{"type":"long","connect.name":"io.debezium.time.MicroTimestamp"}],"default":null}]}],"default":null},
		{"name":"after","type":["null","Value"],"default":null},
		{"name":"source","type":{"type":"record","name":"Source","namespace":"io.debezium.connector","fields":[{"name":"db","type":"string"}]}},
		{"name":"op","type":"string"},{"name":"ts_ms","type":["null","long"],"default":null},
		{"name":"transaction","type":["null",{"type":"record","name":"block","namespace":"event","fields":[{"name":"id","type":"string"}]}],"default":null}]}`
	k, v := register(t, reg, "t-key", keySchema), register(t, reg, "t-value", envelope)
	spec := described(t, "DEBEZIUM", "AVRO", reg.URL())
	check(t, []string{typesText(spec.Columns), fmt.Sprint(spec.PrimaryKey)}, []string{"id integer, price numeric, at timestamp without time zone", "[0]"})
	event := func(op string, before, after any) Record {
		e := map[string]any{"before": nil, "after": nil, "source": map[string]any{"db": "d"}, "op": op, "ts_ms": nil,
			"transaction": map[string]any{"event.block": map[string]any{"id": "1"}}}
		if before != nil {
			e["before"] = map[string]any{"shop.orders.Value": before}
		}
		if after != nil {
			e["after"] = map[string]any{"shop.orders.Value": after}
		}
		return Record{Key: message(t, k, keySchema, map[string]any{"id": 9}), Value: message(t, v, envelope, e)}
	}
	row := func(id int, price string) any {
		return map[string]any{"id": id, "price": rat(price), "at": map[string]any{"long": int64(1_700_000_000_123_456)}}
	}
	got := decodeAll(t, spec, event("c", nil, row(1, "1.5")), event("r", nil, row(2, "2")), event("u", row(2, "2"), row(2, "3.25")),
		event("d", row(1, "1.5"), nil), event("d", nil, nil), event("t", nil, nil), Record{Key: []byte("tombstone")}, event("c", nil, nil), event("x", nil, nil))
	check(t, got, []string{"1|1.50|2023-11-14 22:13:20.123456", "2|2.00|2023-11-14 22:13:20.123456", "2|3.25|2023-11-14 22:13:20.123456",
		"-1|NULL|NULL", "-9|NULL|NULL", `error: change event with op "c" has no "after" (SQLSTATE 22P02)`, `error: change event has unknown op "x" (SQLSTATE 22P02)`})
}

// typeNamed reads a type as tests write it.
func typeNamed(t *testing.T, name string) sqltypes.Type {
	t.Helper()
	mods := map[string]sqltypes.Type{"varchar(3)": sqltypes.Varchar.WithTypmod(7), "numeric(4,1)": sqltypes.Numeric.WithTypmod(4<<16 | 1 + 4)}
	if m, ok := mods[name]; ok {
		return m
	}
	base, array := strings.CutSuffix(name, "[]")
	typ, ok := sqltypes.ByName(base)
	if !ok {
		t.Fatalf("no type %s", name)
	}
	if array {
		return sqltypes.ArrayOf(typ)
	}
	return typ
}
