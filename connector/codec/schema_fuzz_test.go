package codec

import (
	"context"
	"testing"

	"github.com/bufbuild/protocompile"
	"github.com/hamba/avro/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/registry"
	"github.com/millrace/millrace/internal/sqltypes"
)

// fuzzAvroSchema has every kind of type.
const fuzzAvroSchema = `{"type":"record","name":"row","fields":[{"name":"i","type":"int"},{"name":"s","type":["null","string"]},
	{"name":"a","type":{"type":"array","items":["null","long"]}},{"name":"m","type":{"type":"map","values":"double"}},
	{"name":"r","type":{"type":"record","name":"inner","fields":[{"name":"b","type":"boolean"},{"name":"y","type":"bytes"}]}},
	{"name":"u","type":["int","string","inner"]},{"name":"e","type":{"type":"enum","name":"e","symbols":["A","B"]}},
	{"name":"f","type":{"type":"fixed","name":"f","size":2}},{"name":"t","type":{"type":"long","logicalType":"timestamp-micros"}},
	{"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":30,"scale":4}},{"name":"j","type":{"type":"array","items":{"type":"array","items":"float"}}},
	{"name":"n","type":["null",{"type":"record","name":"node","fields":[{"name":"next","type":["null","node"]}]}]}]}`

// checkAfter decodes a good record behind a fuzzed one: whatever came before, it is there whole.
func checkAfter(t *testing.T, d Decoder, spec *connector.SourceSpec, fuzzed, good []byte) (accepted bool) {
	t.Helper()
	rows := NewRows(typesOf(spec.Columns))
	accepted = d.Decode(&Record{Value: fuzzed}, rows) == nil
	if n := rows.Len(); accepted != (n == 1) {
		t.Errorf("accepted: %v, but %d rows", accepted, n)
	}
	if err := d.Decode(&Record{Value: good}, rows); err != nil {
		t.Fatal(err)
	}
	c := rows.Take()
	for i, v := range c.Cols {
		if v.Len() != c.Rows {
			t.Fatalf("column %d has %d of %d rows", i, v.Len(), c.Rows)
		}
	}
	both := printRows(c)
	if err := d.Decode(&Record{Value: good}, rows); err != nil {
		t.Fatal(err)
	}
	if alone := printRows(rows.Take()); alone[0] != both[len(both)-1] {
		t.Errorf("behind another record: %s, alone: %s", both[len(both)-1], alone[0])
	}
	return accepted
}

// FuzzAvro: what is accepted, the library accepts, too.
func FuzzAvro(f *testing.F) {
	reg := fakeRegistry(f)
	id := register(f, reg, "t-value", fuzzAvroSchema)
	schema := avro.MustParse(fuzzAvroSchema)
	value := map[string]any{"i": 1, "s": map[string]any{"string": "x"}, "a": []any{int64(1), nil}, "m": map[string]any{"k": 1.5},
		"r": map[string]any{"b": true, "y": []byte{1}}, "u": map[string]any{"string": "u"}, "e": "B", "f": [2]byte{1, 2},
		"t": int64(1), "d": []byte{255}, "j": [][]float32{{1}, {2, 3}}, "n": map[string]any{"node": map[string]any{"next": nil}}}
	raw, err := avro.ParseWithCache(`{"type":"record","name":"row","fields":[{"name":"i","type":"int"},{"name":"s","type":["null","string"]},
		{"name":"a","type":{"type":"array","items":["null","long"]}},{"name":"m","type":{"type":"map","values":"double"}},
		{"name":"r","type":{"type":"record","name":"inner","fields":[{"name":"b","type":"boolean"},{"name":"y","type":"bytes"}]}},
		{"name":"u","type":["int","string","inner"]},{"name":"e","type":{"type":"enum","name":"e","symbols":["A","B"]}},
		{"name":"f","type":{"type":"fixed","name":"f","size":2}},{"name":"t","type":"long"},{"name":"d","type":"bytes"},
		{"name":"j","type":{"type":"array","items":{"type":"array","items":"float"}}},
		{"name":"n","type":["null",{"type":"record","name":"node","fields":[{"name":"next","type":["null","node"]}]}]}]}`, "", &avro.SchemaCache{})
	if err != nil {
		f.Fatal(err)
	}
	good := avroMessage(f, id, raw, value)
	spec := described(f, "PLAIN", "AVRO", reg.URL())
	d, _, err := NewDecoder(spec)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good[magicSize:])
	f.Add(good[magicSize : len(good)-3])
	f.Fuzz(func(t *testing.T, b []byte) {
		if checkAfter(t, d, spec, append(good[:magicSize:magicSize], b...), good) {
			var v any
			if err := avro.Unmarshal(schema, b, &v); err != nil {
				t.Errorf("accepted %x, which is not valid: %v", b, err)
			}
		}
	})
}

// FuzzAvroSchema: a schema is read or refused, and so is a record of it.
func FuzzAvroSchema(f *testing.F) {
	f.Add(fuzzAvroSchema, []byte{2, 0, 0, 0})
	f.Add(`{"type":"record","name":"a","fields":[{"name":"x","type":["null","a"],"default":null}]}`, []byte{2, 2, 2, 0})
	f.Add(`{"type":"record","name":"a","fields":[{"name":"x","type":{"type":"array","items":{"type":"record","name":"z","fields":[]}},"default":[{}]}]}`, []byte{200, 1, 0})
	f.Fuzz(func(t *testing.T, text string, record []byte) {
		s, err := parseAvro(&registry.Schema{Kind: "AVRO", Text: text})
		if err != nil || s.kind != avroRecord || len(s.fields) == 0 {
			return
		}
		spec := sourceSpec("PLAIN", "AVRO")
		setColumns(spec, avroTypes{}.columns(s)...)
		target, err := newTarget(spec, true)
		if err != nil {
			t.Fatal(err)
		}
		d := newAvroRows(target, &avroOptions{}, nil, 0)
		p, err := d.compile(s)
		if err != nil {
			t.Fatalf("columns derived from the schema do not fit it: %v", err)
		}
		rows := NewRows(typesOf(spec.Columns))
		if d.record(p, &avroReader{b: record}, rows) == nil {
			rows.end(1)
			printRows(rows.Take())
		}
		for i := range s.fields {
			if s.fields[i].def != nil {
				_, _ = appendAvroDefault(nil, s.fields[i].schema, s.fields[i].def)
			}
		}
	})
}

const fuzzProtoSchema = `syntax = "proto3"; import "google/protobuf/timestamp.proto"; import "google/protobuf/duration.proto"; import "google/protobuf/struct.proto";
	import "google/protobuf/wrappers.proto"; import "google/protobuf/any.proto";
	message Row { int32 a = 1; string b = 2; repeated sint64 c = 3; M d = 4; map<string, M> e = 5; google.protobuf.Timestamp f = 6; google.protobuf.Duration g = 7;
		google.protobuf.Struct h = 8; google.protobuf.Int32Value i = 9; google.protobuf.Any j = 10; oneof o { double k = 11; bytes l = 12; } Row m = 13; E n = 14; repeated float p = 15; }
	message M { uint64 x = 1; repeated string y = 2; } enum E { A = 0; B = 1; }`

// FuzzProto: what is accepted, the library accepts, too.
func FuzzProto(f *testing.F) {
	reg := fakeRegistry(f)
	id := registerProto(f, reg, "t-value", fuzzProtoSchema)
	src := compileTest(f, fuzzProtoSchema)
	body := src.encode("Row", `{"a":-1,"b":"x","c":["1","-2"],"d":{"x":"7","y":["p","q"]},"e":{"k":{"x":"1"}},"f":"2024-01-01T00:00:00Z","g":"1s","h":{"a":1},"i":5,
		"j":{"@type":"x/Row","a":1},"k":1.5,"m":{"m":{"a":3}},"n":"B","p":[1,2]}`)
	good := registered(id, nil, body)
	spec := described(f, "PLAIN", "PROTOBUF", reg.URL())
	d, _, err := NewDecoder(spec)
	if err != nil {
		f.Fatal(err)
	}
	message, err := src.file.message("Row")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add(body[:len(body)-2])
	f.Add([]byte{0x6b, 0x6c, 0x1a, 2, 1, 3, 0x18, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		if checkAfter(t, d, spec, registered(id, nil, b), good) {
			defer func() { _ = recover() }() // the library panics at some malformed maps
			if err := proto.Unmarshal(b, dynamicpb.NewMessage(message)); err != nil {
				t.Errorf("accepted %x, which is not valid: %v", b, err)
			}
		}
	})
}

// FuzzProtoSchema: a schema is read or refused, and so is a message of it.
func FuzzProtoSchema(f *testing.F) {
	f.Add(fuzzProtoSchema, []byte{8, 1})
	f.Add(`syntax = "proto2"; message A { repeated group B = 1 { optional A a = 2; } extensions 100 to 200; } extend A { optional int32 x = 100; }`, []byte{11, 18, 0, 12})
	f.Add(`edition = "2023"; message A { A a = 1 [features.message_encoding = DELIMITED]; int32 b = 2 [features.field_presence = IMPLICIT]; }`, []byte{11, 12, 16, 1})
	f.Fuzz(func(t *testing.T, text string, b []byte) {
		file, err := compileProto(context.Background(), "x.proto", &protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(map[string]string{"x.proto": text})})
		if err != nil {
			return
		}
		m, err := file.message("")
		if err != nil || m.Fields().Len() == 0 {
			return
		}
		var want []wanted
		var types []sqltypes.Type
		for i, c := range (protoTypes{}).columns(m) {
			want, types = append(want, wanted{c.Name, c.Type, i}), append(types, c.Type)
		}
		target := &target{types: types}
		p, err := protoCompiler{settings: nil, file: file}.plan(m, nil, want)
		if err != nil {
			t.Fatalf("columns derived from the schema do not fit it: %v", err)
		}
		rows := NewRows(target.types)
		if p.scan(b) != nil {
			return
		}
		for i := range p.fields {
			if f := &p.fields[i]; (f.node != nil || f.whole) && p.append(f, rows.cols[f.slot]) != nil {
				return
			}
		}
		rows.end(1)
		printRows(rows.Take())
	})
}
