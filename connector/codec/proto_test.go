package codec

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/millrace/millrace/internal/sqlerr"
)

// protoSource is a schema that tests encode messages of, by the library, from JSON.
type protoSource struct {
	t    testing.TB
	file *protoFile
}

func compileTest(t testing.TB, text string) *protoSource {
	t.Helper()
	f, err := compileProto(context.Background(), "x.proto", &protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(map[string]string{"x.proto": text})})
	if err != nil {
		t.Fatal(err)
	}
	return &protoSource{t, f}
}

func (s *protoSource) encode(message, json string) []byte {
	s.t.Helper()
	m := dynamicpb.NewMessage(s.file.desc.Messages().ByName(protoreflect.Name(message)))
	if err := (protojson.UnmarshalOptions{Resolver: s.file.types}).Unmarshal([]byte(json), m); err != nil {
		s.t.Fatal(err)
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// registered puts the head of a record of a registered schema in front of a message.
func registered(id int, path []int, b []byte) []byte {
	head := binary.BigEndian.AppendUint32([]byte{0}, uint32(id))
	if path == nil {
		head = append(head, 0)
	} else {
		head = binary.AppendVarint(head, int64(len(path)))
		for _, p := range path {
			head = binary.AppendVarint(head, int64(p))
		}
	}
	return append(head, b...)
}

func registerProto(t testing.TB, r *srfake.Registry, subject, schema string, refs ...sr.SchemaReference) int {
	t.Helper()
	id, _, err := r.RegisterSchema(subject, sr.Schema{Schema: schema, Type: sr.TypeProtobuf, References: refs})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestProtoTypes reads a value of each type that Protobuf has, given and absent.
func TestProtoTypes(t *testing.T) {
	cases := []struct{ name, field, json, typ, want, absent string }{
		{"bool", "bool v = 2;", `true`, "boolean", "t", "f"},
		{"int32", "int32 v = 2;", `-5`, "integer", "-5", "0"},
		{"int64", "int64 v = 2;", `"-9223372036854775808"`, "bigint", "-9223372036854775808", "0"},
		{"uint32", "uint32 v = 2;", `4294967295`, "bigint", "4294967295", "0"},
		{"uint64", "uint64 v = 2;", `"18446744073709551615"`, "numeric", "18446744073709551615", "0"},
		{"sint32", "sint32 v = 2;", `-3`, "integer", "-3", "0"},
		{"sint64", "sint64 v = 2;", `"-3"`, "bigint", "-3", "0"},
		{"fixed32", "fixed32 v = 2;", `4294967295`, "bigint", "4294967295", "0"},
		{"fixed64", "fixed64 v = 2;", `"18446744073709551615"`, "numeric", "18446744073709551615", "0"},
		{"sfixed32", "sfixed32 v = 2;", `-3`, "integer", "-3", "0"},
		{"sfixed64", "sfixed64 v = 2;", `"-3"`, "bigint", "-3", "0"},
		{"float", "float v = 2;", `0.1`, "real", "0.1", "0"},
		{"double", "double v = 2;", `0.1`, "double precision", "0.1", "0"},
		{"string", "string v = 2;", `"häh"`, "character varying", "häh", ""},
		{"bytes", "bytes v = 2;", `"AP8="`, "bytea", `\x00ff`, `\x`},
		{"enum", "E v = 2;", `"B"`, "character varying", "B", "A"},
		{"unknown enum value", "E v = 2;", `7`, "character varying", "7", "A"},
		{"optional", "optional int32 v = 2;", `0`, "integer", "0", "NULL"},
		{"repeated", "repeated int32 v = 2;", `[1,2,300]`, "integer[]", "{1,2,300}", "{}"},
		{"not packed", "repeated int32 v = 2 [packed = false];", `[1,2,300]`, "integer[]", "{1,2,300}", "{}"},
		{"repeated double", "repeated double v = 2;", `[1.5,2]`, "double precision[]", "{1.5,2}", "{}"},
		{"repeated string", "repeated string v = 2;", `["a","b"]`, "character varying[]", "{a,b}", "{}"},
		{"message", "M v = 2;", `{"x":1,"y":"why"}`, `struct<x integer, y character varying>`, "(1,why)", "NULL"},
		{"repeated message", "repeated M v = 2;", `[{"x":1},{"y":"z"}]`, `struct<x integer, y character varying>[]`, `{"(1,\"\")","(0,z)"}`, "{}"},
		{"map", "map<string, int64> v = 2;", `{"b":"2","a":"1"}`, "map(character varying,bigint)", "{a:1,b:2}", "{}"},
		{"map of messages", "map<int32, M> v = 2;", `{"7":{"x":1}}`, "map(integer,record)", `{7:(1,"")}`, "{}"},
		{"timestamp", "google.protobuf.Timestamp v = 2;", `"2024-02-29T12:34:56.789012345Z"`, "timestamp with time zone", "2024-02-29 12:34:56.789012+00", "NULL"},
		{"duration", "google.protobuf.Duration v = 2;", `"-1.5s"`, "interval", "-00:00:01.5", "NULL"},
		{"wrapper", "google.protobuf.Int64Value v = 2;", `"0"`, "bigint", "0", "NULL"},
		{"string wrapper", "google.protobuf.StringValue v = 2;", `"x"`, "character varying", "x", "NULL"},
		{"struct", "google.protobuf.Struct v = 2;", `{"a":[1,null,"x"],"b":{"c":true}}`, "jsonb", `{"a": [1, null, "x"], "b": {"c": true}}`, "NULL"},
		{"value", "google.protobuf.Value v = 2;", `[1.5]`, "jsonb", `[1.5]`, "NULL"},
		{"any", "google.protobuf.Any v = 2;", `{"@type":"type.googleapis.com/shop.M","x":3}`, "jsonb", `{"x": 3, "y": "", "@type": "type.googleapis.com/shop.M"}`, "NULL"},
		{"any of a known type", "google.protobuf.Any v = 2;", `{"@type":"type.googleapis.com/google.protobuf.Duration","value":"2s"}`, "jsonb", `{"@type": "type.googleapis.com/google.protobuf.Duration", "value": "2s"}`, "NULL"},
		{"field mask", "google.protobuf.FieldMask v = 2;", `"a,b"`, "character varying", "a,b", "NULL"},
		{"oneof", "oneof o { int32 v = 2; string z = 3; }", `5`, "integer", "5", "NULL"},
		{"itself", "Row v = 2;", `{"w":1,"v":{"w":2}}`, "jsonb", `{"v": {"w": 2, "skipped": ""}, "w": 1, "skipped": ""}`, "NULL"},
		{"nested itself", "Node v = 2;", `{"v":1,"next":{"v":2}}`, "struct<v integer, next jsonb>", `(1,"{""v"": 2}")`, "NULL"},
		{"empty message", "google.protobuf.Empty v = 2;", `{}`, "jsonb", "{}", "NULL"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			reg := fakeRegistry(t)
			schema := `syntax = "proto3"; package shop;
				import "google/protobuf/timestamp.proto"; import "google/protobuf/duration.proto"; import "google/protobuf/wrappers.proto";
				import "google/protobuf/struct.proto"; import "google/protobuf/any.proto"; import "google/protobuf/field_mask.proto"; import "google/protobuf/empty.proto";
				message Row { string skipped = 1; ` + c.field + ` int32 w = 9000; }
				message M { int32 x = 1; string y = 2; }
				message Node { int32 v = 1; Node next = 2; }
				enum E { A = 0; B = 1; }`
			id := registerProto(t, reg, "t-value", schema)
			spec := described(t, "PLAIN", "PROTOBUF", reg.URL())
			if got, want := typesText(spec.Columns), ", v "+c.typ+","; !strings.Contains(got, want) {
				t.Errorf("columns are %s, not %s", got, want)
			}
			v := 1
			spec.Cols = []int{v, len(spec.Columns) - 1}
			src := compileTest(t, schema)
			got := decodeAll(t, spec,
				Record{Value: registered(id, nil, src.encode("Row", `{"skipped":"s","v":`+c.json+`,"w":5}`))},
				Record{Value: registered(id, []int{0}, src.encode("Row", `{"w":6}`))})
			check(t, got, []string{c.want + "|5", c.absent + "|6"})
		})
	}
}

// TestProtoSyntax2 has groups, defaults and required fields.
func TestProtoSyntax2(t *testing.T) {
	reg := fakeRegistry(t)
	schema := `syntax = "proto2"; message Row { optional int32 a = 1 [default = -7]; optional string b = 2; required sint32 c = 3;
		repeated group Item = 4 { optional int32 n = 1; } optional E e = 5 [default = Y]; } enum E { X = 1; Y = 2; }`
	id := registerProto(t, reg, "t-value", schema)
	spec := described(t, "PLAIN", "PROTOBUF", reg.URL())
	src := compileTest(t, schema)
	got := decodeAll(t, spec,
		Record{Value: registered(id, nil, src.encode("Row", `{"c":-1,"item":[{"n":1},{}],"e":"X"}`))},
		Record{Value: registered(id, nil, nil)})
	check(t, got, []string{`-7|NULL|-1|{(1),()}|X`, "-7|NULL|NULL|{}|Y"})
}

// TestProtoMerging takes the last of several values, merges messages, and lets a member of a oneof replace the others.
func TestProtoMerging(t *testing.T) {
	reg := fakeRegistry(t)
	schema := `syntax = "proto3"; message Row { int32 a = 1; M m = 2; oneof o { string x = 3; int32 y = 4; bool unwanted = 5; } repeated int32 l = 6; }
		message M { int32 p = 1; repeated string q = 2; }`
	id := registerProto(t, reg, "t-value", schema)
	spec := described(t, "PLAIN", "PROTOBUF", reg.URL())
	setColumns(spec, spec.Columns[0], spec.Columns[1], spec.Columns[2], spec.Columns[3], spec.Columns[5])
	src := compileTest(t, schema)
	join := func(docs ...string) Record {
		var all []byte
		for _, d := range docs {
			all = append(all, src.encode("Row", d)...)
		}
		return Record{Value: registered(id, nil, all)}
	}
	got := decodeAll(t, spec,
		join(`{"a":1,"m":{"p":1,"q":["a"]},"x":"x","l":[1]}`, `{"a":2,"m":{"q":["b"]},"y":3,"l":[2,3]}`),
		join(`{"y":3}`, `{"x":"last"}`), join(`{"x":"x"}`, `{"unwanted":true}`), join(`{}`))
	check(t, got, []string{`2|(1,"{a,b}")|NULL|3|{1,2,3}`, "0|NULL|last|NULL|{}", "0|NULL|NULL|NULL|{}", "0|NULL|NULL|NULL|{}"})
}

// TestProtoEvolution follows a schema in which fields come, go, change their names and grow.
func TestProtoEvolution(t *testing.T) {
	reg := fakeRegistry(t)
	v := []string{
		`syntax = "proto3"; message Row { int32 id = 1; string gone = 2; }`,
		`syntax = "proto3"; message Row { int64 id = 1; string name = 3; optional string note = 4; M m = 5; } message M { int32 x = 1; }`,
		`syntax = "proto3"; message Other {} message Row { sint64 extra = 9; string called = 3; int64 id = 1; M m = 5; } message M { int32 y = 1; int32 x = 2; }`,
		`syntax = "proto3"; message Row { bool id = 1; }`,
	}
	var ids []int
	ids = append(ids, registerProto(t, reg, "t-value", v[0]), registerProto(t, reg, "t-value", v[1]))
	spec := described(t, "PLAIN", "PROTOBUF", reg.URL())
	ids = append(ids, registerProto(t, reg, "t-value", v[2]), registerProto(t, reg, "t-value", v[3]))
	enc := func(i int, json string) []byte { return compileTest(t, v[i]).encode("Row", json) }
	got := decodeAll(t, spec,
		Record{Value: registered(ids[1], nil, enc(1, `{"id":"1","name":"one","note":"n","m":{"x":4}}`))},
		Record{Value: registered(ids[0], nil, enc(0, `{"id":2,"gone":"g"}`))},
		Record{Value: registered(ids[2], []int{1}, enc(2, `{"extra":"5","called":"three","id":"3","m":{"y":6}}`))},
		Record{Value: registered(ids[3], nil, enc(3, `{"id":true}`))})
	check(t, got, []string{"1|one|n|(4)", "2||NULL|NULL", "3|three|NULL|(6)",
		fmt.Sprintf(`error: schema %d: decode column "id": Protobuf field Row.id of type bool cannot become bigint (SQLSTATE 42804)`, ids[3])})
}

// TestProtoMessages finds the message that a record says it is.
func TestProtoMessages(t *testing.T) {
	reg := fakeRegistry(t)
	schema := `syntax = "proto3"; package p; message A { string a = 1; } message B { message C { int32 c = 1; } int32 b = 1; }`
	id := registerProto(t, reg, "t-value", schema)
	spec := described(t, "PLAIN", "PROTOBUF", reg.URL(), "message", "p.B.C")
	if got := typesText(spec.Columns); got != "c integer" {
		t.Error(got)
	}
	got := decodeAll(t, spec, Record{Value: registered(id, []int{1, 0}, []byte{8, 3})}, Record{Value: registered(id, []int{1}, []byte{8, 3})},
		Record{Value: registered(id, []int{5}, nil)}, Record{Value: registered(id, []int{1, 0}, []byte{8, 4})})
	check(t, got, []string{"3", "error: record is a message p.B, not p.B.C (SQLSTATE 42804)",
		"error: record names message [5], which its schema does not have (SQLSTATE 22P03)", "4"})
}

func TestProtoReferences(t *testing.T) {
	reg := fakeRegistry(t)
	registerProto(t, reg, "money", `syntax = "proto3"; package shop; message Money { int64 amount = 1; }`)
	id := registerProto(t, reg, "t-value", `syntax = "proto3"; package shop; import "shop/money.proto"; message Order { Money price = 1; }`,
		sr.SchemaReference{Name: "shop/money.proto", Subject: "money", Version: 1})
	spec := described(t, "PLAIN", "PROTOBUF", reg.URL())
	check(t, decodeAll(t, spec, Record{Value: registered(id, nil, []byte{10, 2, 8, 42})}), []string{"(42)"})
}

// TestProtoBadRecords names what is wrong, and leaves no trace in the rows.
func TestProtoBadRecords(t *testing.T) {
	reg := fakeRegistry(t)
	id := registerProto(t, reg, "t-value", `syntax = "proto3"; import "google/protobuf/timestamp.proto"; message Row { string s = 1; int32 n = 2; google.protobuf.Timestamp at = 3; repeated int32 l = 4; }`)
	avroID := register(t, reg, "other", `"string"`)
	spec := described(t, "PLAIN", "PROTOBUF", reg.URL())
	with := func(b ...byte) Record { return Record{Value: registered(id, nil, b)} }
	got := decodeAll(t, spec, Record{}, Record{Value: []byte("{}")}, Record{Value: []byte{0, 0, 0, 0, 77, 0}}, Record{Value: []byte{0, 0, 0, 0, byte(avroID), 0}},
		Record{Value: []byte{0, 0, 0, 0, byte(id)}}, with(10, 5, 'a'), with(10), with(8, 1), with(10, 1, 0xff), with(0), with(15),
		with(0x1a, 2, 0x10, 0xff), with(0x1a, 6, 0x10, 0xff, 0xff, 0xff, 0xff, 0x0f), with(0x22, 1, 0xff), with(99<<1|1, 0xff), with(16, 3))
	cut := "Protobuf message is cut short or malformed (SQLSTATE 22P03)"
	check(t, got, []string{"error: record has no value (SQLSTATE 22004)", "error: record does not begin with the id of a registered schema (SQLSTATE 22P03)",
		"error: schema registry at " + reg.URL() + " has no schema with the id 77 (SQLSTATE 42704)",
		fmt.Sprintf("error: schema %d is of type AVRO, not PROTOBUF (SQLSTATE 42804)", avroID),
		"error: record does not say which message of its schema it is (SQLSTATE 22P03)",
		"error: " + cut, "error: " + cut, "error: field 1 of the Protobuf message has wire type 0, but type string (SQLSTATE 22P03)",
		`error: decode column "s": invalid byte sequence for encoding "UTF8": 0xff (SQLSTATE 22021)`, "error: " + cut, "error: " + cut,
		`error: decode column "at": ` + cut, `error: decode column "at": timestamp out of range: 0 seconds, -1 nanoseconds (SQLSTATE 22008)`,
		"error: " + cut, "error: " + cut, "|3|NULL|{}"})
}

// TestProtoConversions reads into columns of other types than the schema's.
func TestProtoConversions(t *testing.T) {
	cases := []struct{ field, typ, json, want string }{
		{"int64 v = 1;", "int2", `"70000"`, `error: decode column "v": value "70000" is out of range for type smallint (SQLSTATE 22003)`},
		{"uint64 v = 1;", "int8", `"7"`, "7"},
		{"uint64 v = 1;", "int8", `"18446744073709551615"`, `error: decode column "v": value "18446744073709551615" is out of range for type bigint (SQLSTATE 22003)`},
		{"int32 v = 1;", "text", `-1`, "-1"},
		{"bool v = 1;", "text", `true`, "true"},
		{"int32 v = 1;", "float8", `3`, "3"},
		{"float v = 1;", "numeric", `0.1`, "0.1"},
		{"string v = 1;", "timestamp", `"2024-01-02 03:04:05"`, "2024-01-02 03:04:05"},
		{"E v = 1;", "int4", `"B"`, "1"},
		{"google.protobuf.Timestamp v = 1;", "timestamp", `"2024-01-02T03:04:05Z"`, "2024-01-02 03:04:05"},
		{"google.protobuf.Timestamp v = 1;", "text", `"2024-01-02T03:04:05Z"`, "2024-01-02 03:04:05+00"},
		{"M v = 1;", "jsonb", `{"x":"5","at":"2024-01-02T03:04:05Z"}`, `{"x": 5, "at": "2024-01-02T03:04:05Z"}`},
		{"repeated M v = 1;", "jsonb", `[{"x":"5"},{}]`, `[{"x": 5}, {"x": 0}]`},
		{"map<string, M> v = 1;", "jsonb", `{"k":{"x":"5"}}`, `{"k": {"x": 5}}`},
		{"repeated int32 v = 1;", "int8[]", `[1,2]`, "{1,2}"},
		{"int32 v = 1;", "jsonb", `5`, "5"},
		{"string v = 1;", "varchar(3)", `"abcd"`, `error: decode column "v": value too long for type character varying(3) (SQLSTATE 22001)`},
	}
	for _, c := range cases {
		t.Run(c.field+" to "+c.typ, func(t *testing.T) {
			reg := fakeRegistry(t)
			schema := `syntax = "proto3"; import "google/protobuf/timestamp.proto"; message Row { ` + c.field + ` }
				message M { int64 x = 1; google.protobuf.Timestamp at = 2; } enum E { A = 0; B = 1; }`
			id := registerProto(t, reg, "t-value", schema)
			spec := described(t, "PLAIN", "PROTOBUF", reg.URL())
			setColumns(spec, col("v", typeNamed(t, c.typ)))
			if _, err := Check(spec); err != nil {
				t.Fatal(err)
			}
			check(t, decodeAll(t, spec, Record{Value: registered(id, nil, compileTest(t, schema).encode("Row", `{"v":`+c.json+`}`))}), []string{c.want})
		})
	}
}

// TestProtoLocation reads schemas from files and over HTTP, as text with imports and as a descriptor set.
func TestProtoLocation(t *testing.T) {
	root := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	money := `syntax = "proto3"; package shop; message Money { int64 amount = 1; }`
	order := `syntax = "proto3"; package shop; import "shop/money.proto"; import "google/protobuf/timestamp.proto"; message Ignored {} message Order { int32 id = 1; Money price = 2; google.protobuf.Timestamp at = 3; }`
	write("shop/money.proto", []byte(money))
	file := write("shop/order.proto", []byte(order))
	set := write("orders.pb", descriptorSet(t, map[string]string{"shop/money.proto": money, "shop/order.proto": order}, "shop/money.proto", "shop/order.proto"))
	srv := httptest.NewServer(http.StripPrefix("/schemas/shop", http.FileServer(http.Dir(root))))
	defer srv.Close()
	flat := write("flat.proto", []byte(strings.ReplaceAll(strings.ReplaceAll(order, "shop/money", "money2"), "Money price = 2;", "Money price = 2;")))
	write("money2.proto", []byte(money))
	for _, location := range []string{"file://" + file, file, "file://" + set, srv.URL + "/schemas/shop/orders.pb", srv.URL + "/schemas/shop/" + filepath.Base(flat)} {
		spec := sourceSpec("PLAIN", "PROTOBUF")
		spec.Connector.FormatOptions = map[string]string{"schema.location": location, "message": "shop.Order"}
		d, err := Describe(context.Background(), spec)
		if err != nil {
			t.Errorf("%s: %v", location, err)
			continue
		}
		if got := typesText(d.Columns); got != "id integer, price struct<amount bigint>, at timestamp with time zone" {
			t.Errorf("%s: %s", location, got)
		}
		setColumns(spec, d.Columns...)
		check(t, decodeAll(t, spec, Record{Value: []byte{8, 1, 18, 2, 8, 42}}, Record{Value: []byte{}}), []string{"1|(42)|NULL", "0|NULL|NULL"})
	}
	for _, c := range []struct {
		location, message string
		code              sqlerr.Code
	}{
		{"file://" + file, "shop.Ordre", sqlerr.UndefinedObject},
		{"file://" + file, "", sqlerr.InvalidParameterValue},
		{"file://" + root + "/none.proto", "x", sqlerr.InvalidParameterValue},
		{"s3://bucket/x.proto", "x", sqlerr.FeatureNotSupported},
		{"file://relative.proto", "x", sqlerr.InvalidParameterValue},
		{srv.URL + "/nothing", "x", sqlerr.UndefinedObject},
		{"http://127.0.0.1:1/x.proto", "x", sqlerr.ConnectionFailure},
		{"file://" + write("bad.proto", []byte("message {")), "x", sqlerr.InvalidTextRepresentation},
		{"file://" + write("bad.pb", []byte("message {")), "x", sqlerr.InvalidTextRepresentation},
	} {
		spec := sourceSpec("PLAIN", "PROTOBUF")
		spec.Connector.FormatOptions = map[string]string{"schema.location": c.location, "message": c.message}
		if _, err := Describe(context.Background(), spec); sqlerr.CodeOf(err) != c.code {
			t.Errorf("%s, message %q: %v, want %s", c.location, c.message, err, c.code)
		}
	}
}

func descriptorSet(t testing.TB, sources map[string]string, names ...string) []byte {
	t.Helper()
	set := &descriptorpb.FileDescriptorSet{}
	for _, n := range names {
		f, err := compileProto(context.Background(), n, &protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(sources)})
		if err != nil {
			t.Fatal(err)
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(f.desc))
	}
	b, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestProtoUpsert deletes by keys that are text, JSON or messages.
func TestProtoUpsert(t *testing.T) {
	schema := `syntax = "proto3"; message Row { int32 id = 1; string name = 2; } message Key { int32 id = 1; }`
	for _, c := range []struct {
		name    string
		options []string
		key     []byte
	}{
		{"text", nil, []byte("7")}, {"JSON", []string{"key.encode", "JSON"}, []byte(`{"id":7}`)},
		{"message", []string{"message", "Row", "key.message", "Key"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			reg := fakeRegistry(t)
			id := registerProto(t, reg, "t-value", schema)
			keyID := registerProto(t, reg, "t-key", `syntax = "proto3"; message Key { int32 id = 1; }`)
			spec := described(t, "UPSERT", "PROTOBUF", reg.URL(), c.options...)
			key := c.key
			if key == nil {
				key = registered(keyID, nil, []byte{8, 7})
				check(t, []string{fmt.Sprint(spec.PrimaryKey)}, []string{"[0]"})
			}
			spec.PrimaryKey = []int{0}
			got := decodeAll(t, spec, Record{Key: key, Value: registered(id, nil, []byte{8, 7, 18, 1, 'a'})}, Record{Key: key})
			check(t, got, []string{"7|a", "-7|NULL"})
		})
	}
}
