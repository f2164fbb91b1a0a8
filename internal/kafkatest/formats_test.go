package kafkatest

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/hamba/avro/v2"
	"github.com/jackc/pgx/v5"
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
	w.produce(event("r", 1, "", "ulm"), event("c", 2, "", "ulm"), event("c", 3, "", "bonn"), event("u", 2, "ulm", "bonn"), event("d", 3, "bonn", ""))
	w.await("SELECT * FROM cities ORDER BY city", "bonn|1|1970-01-03 00:00:00", "ulm|1|1970-01-02 00:00:00")
	w.restart()
	w.produce(event("d", 1, "ulm", ""), event("c", 4, "", "bonn"))
	w.await("SELECT * FROM cities ORDER BY city", "bonn|2|1970-01-05 00:00:00")
}
