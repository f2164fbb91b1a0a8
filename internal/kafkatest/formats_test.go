package kafkatest

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hamba/avro/v2"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// world is a whole server in the process, a broker with one topic and a schema registry. These tests run without
// -kafka, too: they are about formats, for which a broker in the process is as good.
type world struct {
	t        *testing.T
	node     *harness.Node
	addr     string
	topic    string
	registry *srfake.Registry
	conn     *pgx.Conn
	client   *kgo.Client
}

func newWorld(t *testing.T) *world {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "in", "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	w := &world{t: t, addr: strings.Join(cluster.ListenAddrs(), ","), topic: "in", registry: srfake.New()}
	t.Cleanup(w.registry.Close)
	if w.client, err = kgo.NewClient(kgo.SeedBrokers(w.addr), kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.client.Close)
	w.node = harness.NewNode(t)
	w.conn = w.node.Conn()
	return w
}

// restart stops the server and starts it on the same folder.
func (w *world) restart() {
	w.t.Helper()
	w.node.Stop()
	w.node.Start()
	w.conn = w.node.Conn()
}

func (w *world) run(sql string) {
	w.t.Helper()
	if _, err := w.conn.Exec(context.Background(), sql); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// fails runs a statement that must fail with a text in its error.
func (w *world) fails(sql, want string) {
	w.t.Helper()
	if _, err := w.conn.Exec(context.Background(), sql); err == nil || !strings.Contains(err.Error(), want) {
		w.t.Errorf("%s: %v; it should say %q", sql, err, want)
	}
}

func (w *world) await(sql string, want ...string) {
	w.t.Helper()
	eventually(w.t, soon, sql, func() error {
		got, err := queryOn(context.Background(), w.conn, sql)
		if err != nil {
			return err
		}
		if g, e := strings.Join(got, "\n"), strings.Join(want, "\n"); g != e {
			return fmt.Errorf("it yields\n%s\nnot\n%s", g, e)
		}
		return nil
	})
}

// with is the WITH clause of a source of topic in.
func (w *world) with() string {
	return fmt.Sprintf("WITH (connector = 'kafka', topic = 'in', properties.bootstrap.server = '%s')", w.addr)
}

func (w *world) register(subject, schema string, kind sr.SchemaType) int {
	w.t.Helper()
	id, _, err := w.registry.RegisterSchema(subject, sr.Schema{Schema: schema, Type: kind})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) produce(recs ...*kgo.Record) {
	w.t.Helper()
	for _, r := range recs {
		r.Topic = "in"
	}
	if err := w.client.ProduceSync(context.Background(), recs...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// avro encodes a message of a registered schema.
func (w *world) avro(id int, schema string, v any) []byte {
	w.t.Helper()
	s, err := avro.ParseWithCache(schema, "", &avro.SchemaCache{})
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := avro.Marshal(s, v)
	if err != nil {
		w.t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(id)), b...)
}

// TestAvroPlain takes a source's columns from the registry, follows the schema as it evolves, and keeps bad records aside.
func TestAvroPlain(t *testing.T) {
	w := newWorld(t)
	format := fmt.Sprintf("%s FORMAT PLAIN ENCODE AVRO (schema.registry = '%s')", w.with(), w.registry.URL())
	w.fails("CREATE SOURCE s "+format, `no subject "in-value"`)
	one := `{"type":"record","name":"bid","fields":[{"name":"id","type":"int"},{"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
		{"name":"who","type":{"type":"record","name":"who","fields":[{"name":"name","type":"string"},{"name":"tags","type":{"type":"array","items":"string"}}]}},
		{"name":"note","type":"string","default":"none"}]}`
	two := `{"type":"record","name":"bid","fields":[{"name":"extra","type":"long"},{"name":"id","type":"long"},{"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}}]}`
	first := w.register("in-value", one, sr.TypeAvro)
	w.run("CREATE SOURCE s " + format)
	w.run("CREATE SOURCE mine (*, doubled numeric AS price * 2) INCLUDE offset AS o " + format)
	w.fails("CREATE SOURCE t (id int, prize numeric) "+format, `"prize" is not a field`)
	w.fails("CREATE SOURCE t (id boolean) "+format, "cannot become boolean")
	w.run("CREATE MATERIALIZED VIEW v AS SELECT id, price, (who).name, array_length((who).tags, 1) AS n, note FROM s")
	w.run("CREATE MATERIALIZED VIEW m AS SELECT id, doubled, o FROM mine")
	bid := func(id int) []byte {
		return w.avro(first, one, map[string]any{"id": id, "price": []byte{1, byte(id)}, "note": "n", "who": map[string]any{"name": "w", "tags": []string{"a", "b"}}})
	}
	w.produce(&kgo.Record{Value: bid(1)}, &kgo.Record{Value: []byte("text")})
	w.await("SELECT * FROM v", "1|2.57|w|2|n")
	w.await("SELECT * FROM m", "1|5.14|0")
	w.await("SELECT DISTINCT position FROM millrace_catalog.quarantine", "1")
	second := w.register("in-value", two, sr.TypeAvro)
	w.restart()
	w.produce(&kgo.Record{Value: w.avro(second, two, map[string]any{"extra": int64(5), "id": int64(2), "price": []byte{100}})}, &kgo.Record{Value: bid(3)})
	w.await("SELECT * FROM v ORDER BY id", "1|2.57|w|2|n", "2|1.00|NULL|NULL|none", "3|2.59|w|2|n")
}

// TestAvroUpsert keeps the newest value of each key, with the primary key that the keys' schema names.
func TestAvroUpsert(t *testing.T) {
	w := newWorld(t)
	format := fmt.Sprintf("%s FORMAT UPSERT ENCODE AVRO (schema.registry = '%s')", w.with(), w.registry.URL())
	key := `{"type":"record","name":"key","fields":[{"name":"id","type":"long"}]}`
	value := `{"type":"record","name":"person","fields":[{"name":"id","type":"long"},{"name":"name","type":["null","string"]}]}`
	v := w.register("in-value", value, sr.TypeAvro)
	k := w.register("in-key", key, sr.TypeAvro)
	w.run("CREATE TABLE people " + format)
	w.run("CREATE TABLE by_key (PRIMARY KEY (k)) INCLUDE KEY AS k " + format)
	w.run("CREATE TABLE named (*, PRIMARY KEY (name, id)) " + format)
	record := func(id int64, name string) *kgo.Record {
		r := &kgo.Record{Key: w.avro(k, key, map[string]any{"id": id}), Partition: int32(id % 2)}
		if name != "" {
			r.Value = w.avro(v, value, map[string]any{"id": id, "name": map[string]any{"string": name}})
		}
		return r
	}
	w.produce(record(1, "one"), record(2, "two"), record(3, "three"), record(2, ""), record(1, "uno"))
	w.await("SELECT * FROM people ORDER BY id", "1|uno", "3|three")
	w.await("SELECT (k).id, name FROM by_key ORDER BY 1", "1|uno", "3|three")
	w.restart()
	w.produce(record(3, ""), record(4, "four"))
	w.await("SELECT * FROM people ORDER BY id", "1|uno", "4|four")
	w.await("SELECT (k).id, name FROM by_key ORDER BY 1", "1|uno", "4|four")
}

// TestAvroDebezium applies change events.
func TestAvroDebezium(t *testing.T) {
	w := newWorld(t)
	key := `{"type":"record","name":"Key","namespace":"shop","fields":[{"name":"id","type":"int"}]}`
	value := `{"type":"record","name":"Envelope","namespace":"shop","fields":[
		{"name":"before","type":["null",{"type":"record","name":"Value","fields":[{"name":"id","type":"int"},{"name":"city","type":"string"},
			{"name":"at","type":{"type":"long","connect.name":"io.debezium.time.Timestamp"}}]}]},
		{"name":"after","type":["null","Value"]},{"name":"op","type":"string"},{"name":"ts_ms","type":["null","long"]}]}`
	k, v := w.register("in-key", key, sr.TypeAvro), w.register("in-value", value, sr.TypeAvro)
	w.run(fmt.Sprintf("CREATE TABLE orders %s FORMAT DEBEZIUM ENCODE AVRO (schema.registry = '%s')", w.with(), w.registry.URL()))
	w.run("CREATE MATERIALIZED VIEW cities AS SELECT city, count(*) AS n, max(at) AS at FROM orders GROUP BY city")
	event := func(op string, id int, before, after string) *kgo.Record {
		e := map[string]any{"before": nil, "after": nil, "op": op, "ts_ms": map[string]any{"long": int64(1)}}
		for side, city := range map[string]string{"before": before, "after": after} {
			if city != "" {
				e[side] = map[string]any{"shop.Value": map[string]any{"id": id, "city": city, "at": int64(86_400_000) * int64(id)}}
			}
		}
		return &kgo.Record{Key: w.avro(k, key, map[string]any{"id": id}), Value: w.avro(v, value, e)}
	}
	w.produce(event("r", 1, "", "ulm"), event("c", 2, "", "ulm"), event("c", 3, "", "bonn"), event("u", 2, "ulm", "bonn"), event("d", 3, "bonn", ""),
		event("u", 1, "ulm", "__debezium_unavailable_value")) // what was not sent stays
	w.await("SELECT * FROM cities ORDER BY city", "bonn|1|1970-01-03 00:00:00", "ulm|1|1970-01-02 00:00:00")
	w.restart()
	w.produce(event("d", 1, "ulm", ""), event("c", 4, "", "bonn"))
	w.await("SELECT * FROM cities ORDER BY city", "bonn|2|1970-01-05 00:00:00")
}

// TestProtobuf reads messages of a registered schema and of a file, and follows the schema as it evolves.
func TestProtobuf(t *testing.T) {
	w := newWorld(t)
	one := `syntax = "proto3"; package shop; import "google/protobuf/timestamp.proto"; message Order { int32 id = 1; repeated string tags = 2; google.protobuf.Timestamp at = 3; optional double price = 4; }`
	two := `syntax = "proto3"; package shop; import "google/protobuf/timestamp.proto"; message Order { int64 id = 1; repeated string labels = 2; google.protobuf.Timestamp at = 3; string more = 9; }`
	first := w.register("in-value", one, sr.TypeProtobuf)
	w.run(fmt.Sprintf("CREATE SOURCE s (*) %s FORMAT PLAIN ENCODE PROTOBUF (schema.registry = '%s', message = 'shop.Order')", w.with(), w.registry.URL()))
	w.fails(fmt.Sprintf("CREATE SOURCE x %s FORMAT PLAIN ENCODE PROTOBUF (schema.registry = '%s', message = 'shop.Ordre')", w.with(), w.registry.URL()), "does not exist")
	w.fails(fmt.Sprintf("CREATE SOURCE x %s FORMAT PLAIN ENCODE PROTOBUF (schema.location = 'file:///nowhere.proto', message = 'a')", w.with()), "cannot be read")
	w.run("CREATE MATERIALIZED VIEW v AS SELECT * FROM s")
	// The wire format, by hand: id 1, tags a and b, at 86400 s, price 1.5.
	body := func(id byte) []byte { return []byte{8, id, 18, 1, 'a', 18, 1, 'b', 26, 4, 8, 0x80, 0xa3, 0x05} }
	w.produce(&kgo.Record{Value: append(append([]byte{0, 0, 0, 0, byte(first), 0}, body(1)...), 0x21, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f)}, &kgo.Record{Value: []byte{0, 0, 0, 0, 99, 0}})
	w.await("SELECT id, tags, at AT TIME ZONE 'UTC', price FROM v", "1|{a,b}|1970-01-02 00:00:00|1.5")
	w.await("SELECT DISTINCT error LIKE '%no schema with the id 99%' FROM millrace_catalog.quarantine", "t")
	second := w.register("in-value", two, sr.TypeProtobuf)
	w.restart()
	w.produce(&kgo.Record{Value: append(append([]byte{0, 0, 0, 0, byte(second), 0}, body(2)...), 74, 1, 'x')})
	w.await("SELECT id, tags, at AT TIME ZONE 'UTC', price FROM v ORDER BY id", "1|{a,b}|1970-01-02 00:00:00|1.5", "2|{a,b}|1970-01-02 00:00:00|NULL")
	file := filepath.Join(t.TempDir(), "order.proto")
	if err := os.WriteFile(file, []byte(one), 0o600); err != nil {
		t.Fatal(err)
	}
	w.run(fmt.Sprintf("CREATE TABLE l (PRIMARY KEY (id)) WITH (connector = 'kafka', topic = 'out', properties.bootstrap.server = '%s') FORMAT UPSERT ENCODE PROTOBUF (schema.location = 'file://%s', message = 'shop.Order')", w.addr, file))
	if err := w.client.ProduceSync(context.Background(), &kgo.Record{Topic: "out", Key: []byte("5"), Value: body(5)}, &kgo.Record{Topic: "out", Key: []byte("6"), Value: body(6)},
		&kgo.Record{Topic: "out", Key: []byte("5")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	w.await("SELECT id, tags FROM l", "6|{a,b}")
}

// TestChangeFormats reads what Debezium, Canal and Maxwell write of one table's changes.
func TestChangeFormats(t *testing.T) {
	for format, messages := range map[string][]string{
		"DEBEZIUM": {`{"before":null,"after":{"id":1,"name":"a","price":1.5},"op":"r"}`, `{"before":null,"after":{"id":2,"name":"b","price":2},"op":"c"}`,
			`{"schema":{"type":"struct","fields":[{"type":"struct","fields":[{"type":"int32","field":"id"},{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"},"field":"price"}],"field":"after"}]},
				"payload":{"before":null,"after":{"id":1,"name":"A","price":"AAE="},"op":"u"}}`, `{"before":{"id":2},"after":null,"op":"d"}`,
			`{"before":null,"after":{"id":1,"name":"__debezium_unavailable_value","price":1.75},"op":"u"}`}, // what was not sent stays
		"CANAL": {`{"type":"INSERT","isDdl":false,"data":[{"id":"1","name":"a","price":"1.5"},{"id":"2","name":"b","price":"2"}],"old":null}`,
			`{"type":"UPDATE","data":[{"id":"1","name":"A","price":"1.75"}],"old":[{"name":"a","price":"1.5"}]}`, `{"type":"DELETE","data":[{"id":"2","name":"b","price":"2"}]}`,
			`{"type":"CREATE","isDdl":true,"sql":"create table"}`},
		"MAXWELL": {`{"type":"insert","data":{"id":1,"name":"a","price":1.5}}`, `{"type":"insert","data":{"id":2,"name":"b","price":2}}`,
			`{"type":"update","data":{"id":1,"name":"A","price":1.75},"old":{"name":"a"}}`, `{"type":"delete","data":{"id":2,"name":"b","price":2}}`},
	} {
		t.Run(format, func(t *testing.T) {
			w := newWorld(t)
			w.run(fmt.Sprintf("CREATE TABLE t (id int PRIMARY KEY, name varchar, price numeric) %s FORMAT %s ENCODE JSON", w.with(), format))
			for _, m := range messages {
				w.produce(&kgo.Record{Value: []byte(m)})
			}
			w.await("SELECT * FROM t", "1|A|1.75")
			w.await("SELECT count(*) FROM millrace_catalog.quarantine", "0")
			w.restart()
			w.await("SELECT * FROM t", "1|A|1.75")
		})
	}
}

// TestCSVAndBytes reads the formats without a schema.
func TestCSVAndBytes(t *testing.T) {
	w := newWorld(t)
	w.run("CREATE TABLE c (id int, name varchar) INCLUDE partition AS p " + w.with() + " FORMAT PLAIN ENCODE CSV (without_header = 'true', delimiter = ';')")
	w.run("CREATE TABLE b (raw bytea) INCLUDE key AS k " + w.with() + " FORMAT PLAIN ENCODE BYTES")
	w.produce(&kgo.Record{Key: []byte("k"), Value: []byte("1;\"a;b\""), Partition: 1})
	w.await("SELECT id, name, p FROM c", "1|a;b|1")
	w.await("SELECT convert_from(raw, 'UTF8'), convert_from(k, 'UTF8') FROM b", "1;\"a;b\"|k")
}

// TestSplitStatus shows of each split where it is, how far behind, and what went wrong.
func TestSplitStatus(t *testing.T) {
	w := newWorld(t)
	w.run("CREATE TABLE c (id int) " + w.with() + " FORMAT PLAIN ENCODE JSON")
	w.produce(&kgo.Record{Value: []byte(`{"id":1}`)}, &kgo.Record{Value: []byte(`{"id":2}`)}, &kgo.Record{Value: []byte(`{"id":3}`), Partition: 1}, &kgo.Record{Value: []byte(`no`), Partition: 1})
	w.await("SELECT split, position, rows, errors, backlog, last_error IS NOT NULL FROM millrace_catalog.splits ORDER BY split", "0|1/2|2|0|0|f", "1|1/2|1|1|0|t")
}

// TestSinks writes a view into a topic in each format, and reads it back from there, over restarts.
func TestSinks(t *testing.T) {
	proto := `syntax = "proto3"; message Row { string city = 1; int64 n = 2; } message Key { string city = 1; }
		message Event { Row before = 1; Row after = 2; string op = 3; int64 ts_ms = 4; }`
	for _, c := range []struct{ name, sink, source string }{
		{"UPSERT AVRO", "FORMAT UPSERT ENCODE AVRO (schema.registry = '%s')", "FORMAT UPSERT ENCODE AVRO (schema.registry = '%s')"},
		{"DEBEZIUM AVRO", "FORMAT DEBEZIUM ENCODE AVRO (schema.registry = '%s')", "FORMAT DEBEZIUM ENCODE AVRO (schema.registry = '%s')"},
		{"DEBEZIUM JSON", "FORMAT DEBEZIUM ENCODE JSON -- %s", "FORMAT DEBEZIUM ENCODE JSON -- %s"},
		{"UPSERT PROTOBUF", "FORMAT UPSERT ENCODE PROTOBUF (schema.registry = '%s', message = 'Row') KEY ENCODE TEXT", "FORMAT UPSERT ENCODE PROTOBUF (schema.registry = '%s', message = 'Row')"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.register("out-value-proto", proto, sr.TypeProtobuf)
			if strings.Contains(c.name, "PROTOBUF") {
				w.register("out-value", proto, sr.TypeProtobuf)
			}
			w.run("CREATE TABLE people (id int PRIMARY KEY, city varchar)")
			w.run("CREATE MATERIALIZED VIEW cities AS SELECT city, count(*) AS n FROM people GROUP BY city")
			out := fmt.Sprintf("WITH (connector = 'kafka', topic = 'out', properties.bootstrap.server = '%s', primary_key = 'city') ", w.addr)
			w.run("CREATE SINK s FROM cities " + out + fmt.Sprintf(c.sink, w.registry.URL()))
			w.run("INSERT INTO people VALUES (1, 'ulm'), (2, 'ulm'), (3, 'bonn')")
			w.run(fmt.Sprintf("CREATE TABLE back (city varchar PRIMARY KEY, n bigint) WITH (connector = 'kafka', topic = 'out', properties.bootstrap.server = '%s') ", w.addr) + fmt.Sprintf(c.source, w.registry.URL()))
			w.await("SELECT * FROM back ORDER BY city", "bonn|1", "ulm|2")
			w.restart()
			w.run("DELETE FROM people WHERE id = 3")
			w.run("UPDATE people SET city = 'jena' WHERE id = 1")
			w.await("SELECT * FROM back ORDER BY city", "jena|1", "ulm|1")
			w.await("SELECT count(*) FROM millrace_catalog.quarantine", "0")
		})
	}
}

// TestDocs pastes the examples of the documentation, one after the other, with other addresses.
func TestDocs(t *testing.T) {
	w := newWorld(t)
	adm := kadm.NewClient(w.client)
	for _, topic := range []string{"clicks", "pages", "shop.customers", "orders", "cities"} {
		if _, err := adm.CreateTopic(t.Context(), 2, 1, nil, topic); err != nil {
			t.Fatal(err)
		}
	}
	row := `{"type":"record","name":"Value","fields":[{"name":"id","type":"int"},{"name":"price","type":"double"},{"name":"amount","type":"int"}]}`
	w.register("shop.customers-value", `{"type":"record","name":"Envelope","fields":[{"name":"before","type":["null",`+row+`]},{"name":"after","type":["null","Value"]},{"name":"op","type":"string"}]}`, sr.TypeAvro)
	w.register("shop.customers-key", `{"type":"record","name":"Key","fields":[{"name":"id","type":"int"}]}`, sr.TypeAvro)
	w.register("orders-value", row, sr.TypeAvro)
	file := filepath.Join(t.TempDir(), "order.proto")
	if err := os.WriteFile(file, []byte(`syntax = "proto3"; package shop; message Order { int32 id = 1; }`), 0o600); err != nil {
		t.Fatal(err)
	}
	w.run("CREATE TABLE cities (city varchar PRIMARY KEY, n bigint)")
	real := strings.NewReplacer("127.0.0.1:9092", w.addr, "http://127.0.0.1:8081", w.registry.URL(), "/etc/schemas/shop/order.proto", file,
		"CREATE SOURCE orders", "CREATE SOURCE proto_orders")
	for _, page := range []string{"kafka.md", "formats.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", "connectors", page))
		if err != nil {
			t.Fatal(err)
		}
		blocks := strings.Split(string(text), "```sql\n")
		for _, b := range blocks[1:] {
			sql, _, _ := strings.Cut(b, "```")
			for _, statement := range strings.Split(strings.TrimSpace(real.Replace(sql)), ";\n") {
				w.run(statement)
			}
		}
	}
	w.await("SELECT count(*) FROM millrace_catalog.sources", "4")
}
