package codec

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/sr/srfake"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// registeredSink is the spec of a sink into topic t with a registry.
func registeredSink(encode, url string, cols []catalog.Column, options ...string) *connector.SinkSpec {
	spec := sinkSpec(encode, cols)
	spec.Key = []int{0}
	spec.Connector.Options = map[string]string{"topic": "t"}
	spec.Connector.FormatOptions = map[string]string{"schema.registry": url}
	for i := 0; i+1 < len(options); i += 2 {
		spec.Connector.FormatOptions[options[i]] = options[i+1]
	}
	return spec
}

// emitted returns the messages that a sink makes of a chunk.
func emitted(t testing.TB, spec *connector.SinkSpec, mode Mode, c *delta.Chunk) []Record {
	t.Helper()
	m, err := NewMessages(spec, mode, true)
	if err != nil {
		t.Fatal(err)
	}
	m.now = func() time.Time { return time.UnixMilli(1000) }
	var recs []Record
	if err := m.Each(c, func(k, v []byte) error { recs = append(recs, Record{Key: k, Value: v}); return nil }); err != nil {
		t.Fatal(err)
	}
	return recs
}

// changed is one update, one delete and one insert.
func changed(cols []catalog.Column) *delta.Chunk {
	b := delta.NewBuilder(typesOf(cols))
	for _, r := range []struct {
		id     int64
		v      any
		weight int64
	}{{1, "old", -1}, {2, "gone", -1}, {1, "new", 1}, {3, nil, 1}} {
		b.AppendDatums([]sqltypes.Datum{r.id, r.v}, r.weight)
	}
	return b.Take()
}

// readAvro decodes a message by the library, with the schema that the registry has under the id in front.
func readAvro(t *testing.T, reg *srfake.Registry, subject string, b []byte) any {
	t.Helper()
	if b == nil {
		return "tombstone"
	}
	s, ok := reg.GetSchema(subject, 1)
	if !ok || uint32(s.ID) != binary.BigEndian.Uint32(b[1:]) || b[0] != 0 {
		t.Fatalf("message %x is not of the registered schema of %s", b, subject)
	}
	parsed, err := avro.ParseWithCache(s.Schema.Schema, "", &avro.SchemaCache{})
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := avro.Unmarshal(parsed, b[magicSize:], &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAvroMessages(t *testing.T) {
	cols := []catalog.Column{col("id", sqltypes.Int8), col("a name", sqltypes.Text)}
	for mode, want := range map[Mode][]string{
		Upsert:     {"map[id:1] map[a_name:new id:1]", "map[id:3] map[a_name:<nil> id:3]", "map[id:2] tombstone"},
		AppendOnly: {"map[id:1] map[a_name:new id:1]", "map[id:3] map[a_name:<nil> id:3]"},
		Debezium: {"map[id:1] map[after:map[t_value:map[a_name:new id:1]] before:map[t_value:map[a_name:old id:1]] op:u ts_ms:1000]",
			"map[id:3] map[after:map[t_value:map[a_name:<nil> id:3]] before:<nil> op:c ts_ms:1000]",
			"map[id:2] map[after:<nil> before:map[t_value:map[a_name:gone id:2]] op:d ts_ms:1000]", "map[id:2] tombstone"},
	} {
		t.Run(string(mode), func(t *testing.T) {
			reg := fakeRegistry(t)
			var got []string
			for _, r := range emitted(t, registeredSink("AVRO", reg.URL(), cols), mode, changed(cols)) {
				got = append(got, fmt.Sprint(readAvro(t, reg, "t-key", r.Key), " ", readAvro(t, reg, "t-value", r.Value)))
			}
			check(t, got, want)
			if _, again := reg.GetSchema("t-value", 2); again {
				t.Error("the schema was registered twice")
			}
		})
	}
}

// every type of a sink, written and read back by the source of the same format.
func TestAvroMessagesAreReadBack(t *testing.T) {
	cols, chunk := every(t)
	cols = append([]catalog.Column{col("id", sqltypes.Int8)}, cols...)
	chunk = chunk.WithCols(append([]*delta.Vec{delta.IntVec(sqltypes.Int8, []int64{1, 2, 3})}, chunk.Cols...))
	for mode, format := range map[Mode]string{Upsert: "UPSERT", Debezium: "DEBEZIUM"} {
		t.Run(format, func(t *testing.T) {
			reg := fakeRegistry(t)
			recs := emitted(t, registeredSink("AVRO", reg.URL(), cols), mode, chunk)
			src := described(t, format, "AVRO", reg.URL())
			setColumns(src, cols...)
			src.PrimaryKey = []int{0}
			if _, err := Check(src); err != nil {
				t.Fatal(err)
			}
			check(t, decodeAll(t, src, recs...), printRows(chunk))
		})
	}
}

// TestAvroNested writes composite values, arrays of them and maps.
func TestAvroNested(t *testing.T) {
	point := sqltypes.StructOf([]sqltypes.RowField{{Name: "x", Type: sqltypes.Int4}, {Name: "y", Type: sqltypes.Numeric}})
	cols := []catalog.Column{col("id", sqltypes.Int8), col("p", point), col("l", sqltypes.ArrayOf(point)), col("m", sqltypes.MapOf(sqltypes.Varchar, sqltypes.Int4)), col("n", sqltypes.Numeric.WithTypmod(6<<16|2+4))}
	b := delta.NewBuilder(typesOf(cols))
	parse := func(t0 sqltypes.Type, text string) sqltypes.Datum {
		d, err := sqlio.ParseText(t0, text, sqlio.DefaultSettings())
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	b.AppendDatums([]sqltypes.Datum{int64(1), parse(point, "(1,2.50)"), parse(cols[2].Type, `{"(3,)",NULL}`), parse(cols[3].Type, "{a:1,b:NULL}"), parse(sqltypes.Numeric, "-1.28")}, 1)
	b.AppendDatums([]sqltypes.Datum{int64(2), nil, nil, nil, parse(sqltypes.Numeric, "1.28")}, 1)
	chunk := b.Take()
	reg := fakeRegistry(t)
	recs := emitted(t, registeredSink("AVRO", reg.URL(), cols), Upsert, chunk)
	if got, want := fmt.Sprint(readAvro(t, reg, "t-value", recs[0].Value)), "map[id:1 l:map[array:[map[t_value_l:map[x:3 y:<nil>]] <nil>]] m:map[map:map[a:1 b:<nil>]] n:-32/25 p:map[t_value_p:map[x:1 y:2.50]]]"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	src := described(t, "UPSERT", "AVRO", reg.URL())
	if got := typesText(src.Columns); got != "id bigint, p struct<x integer, y character varying>, l struct<x integer, y character varying>[], m map(character varying,integer), n numeric" {
		t.Error(got)
	}
	setColumns(src, cols...)
	src.PrimaryKey = []int{0}
	check(t, decodeAll(t, src, recs...), printRows(chunk))
}

// TestAvroSinkIntoSchema writes what a registered schema asks for, and refuses columns that it has no place for.
func TestAvroSinkIntoSchema(t *testing.T) {
	cols := []catalog.Column{col("id", sqltypes.Int8), col("v", sqltypes.Text)}
	existing := `{"type":"record","name":"x","fields":[{"name":"more","type":"int","default":7},{"name":"v","type":{"type":"enum","name":"e","symbols":["new","B"]}},{"name":"ID","type":"int"}]}`
	reg := fakeRegistry(t)
	register(t, reg, "t-value", existing)
	register(t, reg, "t-key", `"long"`)
	spec := registeredSink("AVRO", reg.URL(), cols, "auto.register.schemas", "false")
	b := delta.NewBuilder(typesOf(cols))
	b.AppendDatums([]sqltypes.Datum{int64(1), "new"}, 1)
	recs := emitted(t, spec, Upsert, b.Take())
	check(t, []string{fmt.Sprint(readAvro(t, reg, "t-key", recs[0].Key), " ", readAvro(t, reg, "t-value", recs[0].Value))}, []string{"1 map[ID:1 more:7 v:new]"})
	m, err := NewMessages(spec, Upsert, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		id   int64
		v    any
		code sqlerr.Code
	}{{1, "other", sqlerr.InvalidTextRepresentation}, {1, nil, sqlerr.NotNullViolation}, {1 << 40, "new", sqlerr.NumericValueOutOfRange}} {
		b.AppendDatums([]sqltypes.Datum{c.id, c.v}, 1)
		if err := m.Each(b.Take(), func(_, _ []byte) error { return nil }); sqlerr.CodeOf(err) != c.code {
			t.Errorf("%d, %v: %v, want %s", c.id, c.v, err, c.code)
		}
	}
	for name, c := range map[string]struct {
		cols    []catalog.Column
		subject string
		code    sqlerr.Code
	}{
		"no field":   {append(slices.Clone(cols), col("w", sqltypes.Text)), "t", sqlerr.DatatypeMismatch},
		"type":       {[]catalog.Column{cols[0], col("v", sqltypes.Int4)}, "t", sqlerr.DatatypeMismatch},
		"no column":  {cols[:1], "t", sqlerr.DatatypeMismatch},
		"no subject": {cols, "u", sqlerr.UndefinedObject},
	} {
		bad := registeredSink("AVRO", reg.URL(), c.cols, "auto.register.schemas", "false")
		bad.Connector.Options["topic"] = c.subject
		if _, err := NewMessages(bad, Upsert, false); sqlerr.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}

// TestKeyEncode writes keys in another format than the values.
func TestKeyEncode(t *testing.T) {
	cols := []catalog.Column{col("id", sqltypes.Int8), col("v", sqltypes.Text)}
	reg := fakeRegistry(t)
	for encode, want := range map[string]string{"TEXT": "1", "JSON": `{"id":1}`} {
		recs := emitted(t, registeredSink("AVRO", reg.URL(), cols, "key.encode", encode), Upsert, changed(cols))
		if string(recs[0].Key) != want {
			t.Errorf("KEY ENCODE %s: %q", encode, recs[0].Key)
		}
	}
	spec := sinkSpec("JSON", cols)
	spec.Key = []int{0, 1}
	spec.Connector.FormatOptions = map[string]string{"key.encode": "TEXT"}
	if _, err := NewMessages(spec, Upsert, false); sqlerr.CodeOf(err) != sqlerr.InvalidParameterValue {
		t.Errorf("text of two columns: %v", err)
	}
}

const sinkProto = `syntax = "proto3"; package shop; message Ignored {}
	message Row { int64 id = 1; optional string v = 2; } message Key { int64 id = 1; }
	message Event { Row before = 1; Row after = 2; string op = 3; int64 ts_ms = 4; }`

func TestProtoSinkMessages(t *testing.T) {
	cols := []catalog.Column{col("id", sqltypes.Int8), col("v", sqltypes.Text)}
	file := filepath.Join(t.TempDir(), "sink.proto")
	if err := os.WriteFile(file, []byte(sinkProto), 0o600); err != nil {
		t.Fatal(err)
	}
	src := compileTest(t, sinkProto)
	for _, c := range []struct {
		mode    Mode
		message string
		want    []string
	}{
		{Upsert, "Row", []string{`1 {"id":"1","v":"new"}`, `3 {"id":"3"}`, "2 tombstone"}},
		{AppendOnly, "Row", []string{`1 {"id":"1","v":"new"}`, `3 {"id":"3"}`}},
		{Debezium, "Event", []string{`1 {"before":{"id":"1","v":"old"},"after":{"id":"1","v":"new"},"op":"u","tsMs":"1000"}`,
			`3 {"after":{"id":"3"},"op":"c","tsMs":"1000"}`, `2 {"before":{"id":"2","v":"gone"},"op":"d","tsMs":"1000"}`, "2 tombstone"}},
	} {
		for _, registry := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, registry %v", c.mode, registry), func(t *testing.T) {
				reg := fakeRegistry(t)
				registerProto(t, reg, "t-value", sinkProto)
				spec := registeredSink("PROTOBUF", reg.URL(), cols, "message", "shop."+c.message, "key.encode", "TEXT")
				if !registry {
					delete(spec.Connector.FormatOptions, "schema.registry")
					spec.Connector.FormatOptions["schema.location"] = "file://" + file
				}
				m, err := src.file.message(c.message)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, r := range emitted(t, spec, c.mode, changed(cols)) {
					if r.Value == nil {
						got = append(got, string(r.Key)+" tombstone")
						continue
					}
					if registry {
						head := registered(1, []int{m.Index()}, nil)
						if !strings.HasPrefix(string(r.Value), string(head)) {
							t.Fatalf("message %x does not begin with %x", r.Value, head)
						}
						r.Value = r.Value[len(head):]
					}
					msg := dynamicpb.NewMessage(m)
					if err := proto.Unmarshal(r.Value, msg); err != nil {
						t.Fatal(err)
					}
					text, err := protojson.Marshal(msg)
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, string(r.Key)+" "+strings.ReplaceAll(string(text), " ", ""))
				}
				check(t, got, c.want)
			})
		}
	}
}

// TestProtoMessagesAreReadBack writes values of each type that messages have, and reads them again.
func TestProtoMessagesAreReadBack(t *testing.T) {
	schema := `syntax = "proto3"; import "google/protobuf/timestamp.proto"; import "google/protobuf/duration.proto"; import "google/protobuf/wrappers.proto";
		message Row { int64 id = 1; optional bool b = 2; optional sint32 i = 3; optional fixed64 u = 4; optional float f = 5; optional double d = 6; optional bytes y = 7;
		repeated int32 l = 8; map<string, double> m = 9; P p = 10; repeated P ps = 11; google.protobuf.Timestamp t = 12; google.protobuf.Duration s = 13; google.protobuf.StringValue w = 14;
		optional E e = 15; optional string n = 16; optional sfixed32 sf = 17; optional uint64 big = 18; }
		message P { int32 x = 1; optional string y = 2; } enum E { A = 0; B = 1; }`
	reg := fakeRegistry(t)
	registerProto(t, reg, "t-value", schema)
	src := described(t, "PLAIN", "PROTOBUF", reg.URL())
	b := delta.NewBuilder(typesOf(src.Columns))
	for _, row := range [][]string{
		{"1", "t", "-5", "7", "0.5", "-1e300", `\x00ff`, "{1,-2}", "{a:1.5}", "(1,y)", `{"(1,)","(2,z)"}`, "1969-12-31 23:59:59.5+00", "-00:00:01.5", "", "B", "text", "-9", "18446744073709551615"},
		{"2", "", "", "", "", "", "", "{}", "{}", "", "{}", "", "", "", "", "", "", ""},
	} {
		var ds []sqltypes.Datum
		for i, text := range row {
			if text == "" && !(row[0] == "1" && i == 13) {
				ds = append(ds, nil)
				continue
			}
			d, err := sqlio.ParseText(src.Columns[i].Type, text, sqlio.DefaultSettings())
			if err != nil {
				t.Fatal(err)
			}
			ds = append(ds, d)
		}
		b.AppendDatums(ds, 1)
	}
	chunk := b.Take()
	recs := emitted(t, registeredSink("PROTOBUF", reg.URL(), src.Columns, "key.encode", "JSON"), AppendOnly, chunk)
	check(t, decodeAll(t, src, recs...), printRows(chunk))
}

func TestProtoSinkMistakes(t *testing.T) {
	cols := []catalog.Column{col("id", sqltypes.Int8), col("v", sqltypes.Text)}
	reg := fakeRegistry(t)
	registerProto(t, reg, "t-value", `syntax = "proto3"; message Row { int32 id = 1; bool v = 2; } message Small { int32 id = 1; string v = 2; }`)
	for name, c := range map[string]struct {
		cols    []catalog.Column
		message string
		mode    Mode
		code    sqlerr.Code
	}{
		"type":    {cols, "Row", Upsert, sqlerr.DatatypeMismatch},
		"field":   {append(slices.Clone(cols), col("w", sqltypes.Text)), "Small", Upsert, sqlerr.DatatypeMismatch},
		"message": {cols, "Smal", Upsert, sqlerr.UndefinedObject},
		"event":   {cols, "Small", Debezium, sqlerr.DatatypeMismatch},
	} {
		if _, err := NewMessages(registeredSink("PROTOBUF", reg.URL(), c.cols, "message", c.message), c.mode, false); sqlerr.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	m, err := NewMessages(registeredSink("PROTOBUF", reg.URL(), cols, "message", "Small"), Upsert, false)
	if err != nil {
		t.Fatal(err)
	}
	b := delta.NewBuilder(typesOf(cols))
	b.AppendDatums([]sqltypes.Datum{int64(1) << 40, "x"}, 1)
	if err := m.Each(b.Take(), func(_, _ []byte) error { return nil }); sqlerr.CodeOf(err) != sqlerr.NumericValueOutOfRange {
		t.Errorf("value too large: %v", err)
	}
}
