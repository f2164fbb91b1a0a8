package kafkatest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// soon is how long a server may take to show what it was sent; generous, for the CPU is shared.
const soon = 30 * time.Second

func with(b *Broker, topic, more string) string {
	return fmt.Sprintf("WITH (connector = 'kafka', topic = '%s', properties.bootstrap.server = '%s'%s)", topic, b.Addr(), more)
}

// TestUpsert keeps the last value of each key, deletes by tombstones, and survives kills.
func TestUpsert(t *testing.T) {
	b := broker(t)
	topic := newTopic(t, b, 3)
	s := harness.New(t)
	run(t, s, "CREATE TABLE people (id BIGINT PRIMARY KEY, name VARCHAR, age INT) "+with(b, topic, "")+" FORMAT UPSERT ENCODE JSON")
	run(t, s, "CREATE MATERIALIZED VIEW ages AS SELECT count(*) AS n, sum(age) AS total FROM people")
	const keys = 500
	for round := range 4 {
		var recs []*kgo.Record
		for id := range keys {
			r := &kgo.Record{Topic: topic, Partition: int32(id % 3), Key: fmt.Appendf(nil, `{"id":%d}`, id)}
			if id%5 != round { // one key in five has been deleted after this round
				r.Value = fmt.Appendf(nil, `{"id":%d,"name":"name %d","age":%d}`, id, id, round)
			}
			recs = append(recs, r)
		}
		produce(t, b, recs...)
		if round%2 == 0 {
			s.Restart()
		}
		await(t, s, soon, "SELECT n, total FROM ages", fmt.Sprintf("%d|%d", keys*4/5, round*keys*4/5))
	}
	expect(t, s, "SELECT name, age FROM people WHERE id IN (2, 3) ORDER BY id", "name 2|3")
	expect(t, s, "SELECT count(*), count(DISTINCT id) FROM people", "400|400")
}

// TestDebezium applies change events, those that move a key included.
func TestDebezium(t *testing.T) {
	b := broker(t)
	topic := newTopic(t, b, 1)
	s := harness.New(t)
	run(t, s, "CREATE TABLE orders (id INT PRIMARY KEY, product VARCHAR, amount NUMERIC) "+with(b, topic, "")+" FORMAT DEBEZIUM ENCODE JSON")
	run(t, s, "CREATE MATERIALIZED VIEW sales AS SELECT product, sum(amount) AS total, count(*) AS n FROM orders GROUP BY product")
	event := func(op, before, after string) *kgo.Record {
		return &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, `{"schema":null,"payload":{"before":%s,"after":%s,"source":{"db":"shop"},"op":%q,"ts_ms":1}}`, before, after, op)}
	}
	produce(t, b,
		event("r", "null", `{"id":1,"product":"mill","amount":10.5}`),
		event("c", "null", `{"id":2,"product":"mill","amount":4.5}`),
		event("c", "null", `{"id":3,"product":"race","amount":1}`),
		event("u", `{"id":2,"product":"mill","amount":4.5}`, `{"id":2,"product":"race","amount":5}`),
		event("d", `{"id":1,"product":"mill","amount":10.5}`, "null"),
		&kgo.Record{Topic: topic, Key: []byte(`{"id":1}`)}, // the tombstone after a delete
		event("c", "null", `{"id":4,"product":"wheel","amount":7}`),
	)
	await(t, s, soon, "SELECT product, total, n FROM sales ORDER BY product", "race|6|2", "wheel|7|1")
	s.Restart()
	produce(t, b, event("d", `{"id":3,"product":"race","amount":1}`, "null"), event("c", "null", `{"id":5,"product":"wheel","amount":0.25}`))
	await(t, s, soon, "SELECT product, total, n FROM sales ORDER BY product", "race|5|1", "wheel|7.25|2")
}

// TestNewPartitions finds partitions that are added while a view runs, and reads them from their beginning.
func TestNewPartitions(t *testing.T) {
	b := broker(t)
	topic := newTopic(t, b, 1)
	s := harness.New(t)
	run(t, s, "CREATE SOURCE ids (id BIGINT) "+with(b, topic, ", scan.startup.mode = 'latest'")+" FORMAT PLAIN ENCODE JSON")
	run(t, s, "CREATE MATERIALIZED VIEW c AS SELECT count(*) AS n, count(DISTINCT id) AS d FROM ids")
	await(t, s, soon, `SELECT split FROM millrace_catalog.splits WHERE position LIKE '%0'`, "0")
	produce(t, b, bids(topic, 0, 100, 1)...)
	await(t, s, soon, "SELECT n, d FROM c", "100|100")
	cl := client(t, b)
	if _, err := kadm.NewClient(cl).UpdatePartitions(t.Context(), 5, topic); err != nil {
		t.Fatal(err)
	}
	awaitPartitions(t, cl, topic, 5)
	produce(t, b, bids(topic, 100, 600, 5)...)
	await(t, s, soon, "SELECT n, d FROM c", "600|600")
	s.Restart()
	produce(t, b, bids(topic, 600, 700, 5)...)
	await(t, s, soon, "SELECT n, d FROM c", "700|700")
}

// TestNewPartitionsBehind adds partitions while the view is busy with records read before: they count once.
func TestNewPartitionsBehind(t *testing.T) {
	b := broker(t)
	topic := newTopic(t, b, 1)
	const n = 1_000_000
	cl := client(t, b, kgo.MaxBufferedRecords(50_000), kgo.ProducerLinger(5*time.Millisecond))
	fill(t, cl, topic, 0, n, 1)
	s := harness.New(t)
	run(t, s, bidSource(b, "bids", topic))
	// The expression takes its time, so that batches wait between reader and view.
	run(t, s, `CREATE MATERIALIZED VIEW c AS SELECT count(*) AS n, sum(id) AS s, max(length(regexp_replace(extra, '([0-9a-f])([0-9a-f])', '\2\1', 'g'))) AS l FROM bids`)
	if _, err := kadm.NewClient(cl).UpdatePartitions(t.Context(), 4, topic); err != nil {
		t.Fatal(err)
	}
	awaitPartitions(t, cl, topic, 4)
	fill(t, client(t, b), topic, n, n+4000, 4) // the other client knows one partition
	behind := countOf(t, s, "SELECT coalesce(sum(n), 0) FROM c")
	await(t, s, 2*time.Minute, "SELECT n, s, l FROM c", fmt.Sprintf("%d|%d|32", n+4000, (n+4000)*(n+3999)/2))
	t.Logf("%d of %d records were read when the partitions came", behind, n)
}

// TestCreateErrors wants a clear answer at CREATE to what cannot work, and a server that goes on.
func TestCreateErrors(t *testing.T) {
	b := broker(t)
	topic := newTopic(t, b, 1)
	s := harness.New(t)
	for _, c := range []struct{ name, sql, want string }{
		{"no such topic", "CREATE SOURCE x (id BIGINT) " + with(b, topic+"s", "") + " FORMAT PLAIN ENCODE JSON", `Kafka topic "` + topic + `s" does not exist`},
		{"no such topic for a sink", "CREATE SINK x AS SELECT 1 AS a " + with(b, topic+"s", "") + " FORMAT PLAIN ENCODE JSON (force_append_only = 'true')", "does not exist"},
		{"unknown option", "CREATE SOURCE x (id BIGINT) " + with(b, topic, ", scan.startup.mod = 'latest'") + " FORMAT PLAIN ENCODE JSON", `scan.startup.mod`},
		{"nobody listens", "CREATE SOURCE x (id BIGINT) WITH (connector = 'kafka', topic = 'x', properties.bootstrap.server = '127.0.0.1:1') FORMAT PLAIN ENCODE JSON", "could not reach Kafka at 127.0.0.1:1"},
		{"upsert source", "CREATE SOURCE x (id BIGINT) " + with(b, topic, "") + " FORMAT UPSERT ENCODE JSON", ""},
	} {
		_, err := query(s, c.sql)
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		t.Logf("%s: %v", c.name, err)
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; it should say %q", c.name, err, c.want)
		}
	}
	expect(t, s, "SELECT 1", "1")
}

// TestBrokerAway stops the broker while a view runs: reads go on, the state shows why nothing comes, and
// everything comes when the broker is back.
func TestBrokerAway(t *testing.T) {
	b := broker(t)
	topic := newTopic(t, b, 2)
	s := harness.New(t)
	run(t, s, bidSource(b, "bids", topic))
	run(t, s, "CREATE MATERIALIZED VIEW c AS SELECT count(*) AS n, sum(id) AS s FROM bids")
	produce(t, b, bids(topic, 0, 1000, 2)...)
	await(t, s, soon, "SELECT n, s FROM c", "1000|499500")
	b.Stop()
	expect(t, s, "SELECT n, s FROM c", "1000|499500")
	await(t, s, soon, "SELECT count(*) > 0 FROM millrace_catalog.splits WHERE last_error LIKE '%could not reach Kafka at "+b.Addr()+"%'", "t")
	expect(t, s, "SELECT n, s FROM c", "1000|499500")
	s.Restart() // the broker need not be there at a start
	expect(t, s, "SELECT n, s FROM c", "1000|499500")
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	produce(t, b, bids(topic, 1000, 2000, 2)...)
	await(t, s, soon, "SELECT n, s FROM c", "2000|1999000")
	await(t, s, soon, "SELECT count(*) FROM millrace_catalog.splits WHERE last_error IS NOT NULL", "0")
}

// TestBadRecords counts records that do not decode and keeps them aside; the others arrive.
func TestBadRecords(t *testing.T) {
	b := broker(t)
	topic := newTopic(t, b, 1)
	s := harness.New(t)
	run(t, s, bidSource(b, "bids", topic))
	run(t, s, "CREATE MATERIALIZED VIEW c AS SELECT count(*) AS n, sum(id) AS s FROM bids")
	recs := bids(topic, 0, 10, 1)
	for i, v := range []string{`{"id": 5`, `not json`, `{"id": "eleven"}`, `{"id": 99999999999999999999}`, "{\"id\":1,\"channel\":\"\xff\"}"} {
		recs = append(recs[:i*2:i*2], append([]*kgo.Record{{Topic: topic, Value: []byte(v)}}, recs[i*2:]...)...)
	}
	produce(t, b, recs...)
	await(t, s, soon, "SELECT n, s FROM c", "10|45")
	expect(t, s, `SELECT split, position, error IS NOT NULL FROM millrace_catalog.quarantine ORDER BY position`, "0|0|t", "0|2|t", "0|4|t", "0|6|t", "0|8|t")
	expect(t, s, `SELECT convert_from(data, 'UTF8') FROM millrace_catalog.quarantine WHERE position = '2'`, "not json")
	expect(t, s, "SELECT sum(errors) FROM millrace_catalog.splits", "5")
	expect(t, s, "SELECT count(*) FROM millrace_catalog.jobs WHERE state = 'running' AND name = 'c'", "1")
}

// TestInclude reads what surrounds a record.
func TestInclude(t *testing.T) {
	b := broker(t)
	topic := newTopic(t, b, 2)
	s := harness.New(t)
	run(t, s, `CREATE SOURCE r (id BIGINT) INCLUDE key AS k INCLUDE offset AS o INCLUDE partition AS p INCLUDE timestamp AS ts
		INCLUDE header 'trace' AS trace INCLUDE header AS headers `+with(b, topic, "")+" FORMAT PLAIN ENCODE JSON")
	run(t, s, "CREATE MATERIALIZED VIEW v AS SELECT * FROM r")
	at := time.Date(2024, 7, 15, 12, 0, 0, 123e6, time.UTC)
	produce(t, b,
		&kgo.Record{Topic: topic, Partition: 1, Key: []byte("k1"), Value: []byte(`{"id":1}`), Timestamp: at,
			Headers: []kgo.RecordHeader{{Key: "trace", Value: []byte("abc")}, {Key: "n", Value: []byte("7")}}},
		&kgo.Record{Topic: topic, Partition: 1, Value: []byte(`{"id":2}`), Timestamp: at.Add(time.Second)},
	)
	await(t, s, soon, `SELECT id, convert_from(k, 'UTF8'), o, p, ts AT TIME ZONE 'UTC', convert_from(trace, 'UTF8'), headers->>'n' FROM v ORDER BY id`,
		"1|k1|0|1|2024-07-15 12:00:00.123|abc|7", "2|NULL|1|1|2024-07-15 12:00:01.123|NULL|NULL")
}

// TestStartModes begins at the end, or at a moment.
func TestStartModes(t *testing.T) {
	b := broker(t)
	topic := newTopic(t, b, 1)
	s := harness.New(t)
	at := time.Date(2024, 7, 15, 12, 0, 0, 0, time.UTC)
	recs := bids(topic, 0, 100, 1)
	for i, r := range recs {
		r.Timestamp = at.Add(time.Duration(i) * time.Second)
	}
	produce(t, b, recs...)
	for name, mode := range map[string]string{"late": "'latest'", "timed": fmt.Sprintf("'timestamp', scan.startup.timestamp.millis = '%d'", at.Add(40*time.Second).UnixMilli())} {
		run(t, s, fmt.Sprintf("CREATE SOURCE %s_s (id BIGINT) %s FORMAT PLAIN ENCODE JSON", name, with(b, topic, ", scan.startup.mode = "+mode)))
		run(t, s, fmt.Sprintf("CREATE MATERIALIZED VIEW %s AS SELECT count(*) AS n, min(id) AS low FROM %s_s", name, name))
	}
	await(t, s, soon, "SELECT n, low FROM timed", "60|40")
	await(t, s, soon, `SELECT count(*) FROM millrace_catalog.splits WHERE split = '0' AND position LIKE '%100'`, "2")
	s.Restart()
	produce(t, b, bids(topic, 100, 110, 1)...)
	await(t, s, soon, "SELECT n, low FROM timed", "70|40")
	await(t, s, soon, "SELECT n, low FROM late", "10|100")
}

// TestSCRAM connects with a password, and is told when it is wrong.
func TestSCRAM(t *testing.T) {
	b := broker(t)
	topic := newTopic(t, b, 1)
	produce(t, b, bids(topic, 0, 100, 1)...)
	s := harness.New(t)
	create := func(name, mechanism, password string) string {
		return fmt.Sprintf(`CREATE SOURCE %s (id BIGINT) WITH (connector = 'kafka', topic = '%s', properties.bootstrap.server = '%s',
			properties.security.protocol = 'SASL_PLAINTEXT', properties.sasl.mechanism = '%s', properties.sasl.username = '%s', properties.sasl.password = '%s')
			FORMAT PLAIN ENCODE JSON`, name, topic, b.SASLAddr(), mechanism, User, password)
	}
	for i, m := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
		run(t, s, create(fmt.Sprintf("s%d", i), m, Password))
		run(t, s, fmt.Sprintf("CREATE MATERIALIZED VIEW v%d AS SELECT count(*) AS n FROM s%d", i, i))
		await(t, s, soon, fmt.Sprintf("SELECT n FROM v%d", i), "100")
	}
	_, err := query(s, create("bad", "SCRAM-SHA-256", "chaff"))
	if err == nil || !strings.Contains(err.Error(), "28P01") || strings.Contains(err.Error(), "chaff") {
		t.Errorf("wrong password: %v", err)
	}
}

// TestAborted does not see records of transactions that were aborted, and sees those of committed ones.
func TestAborted(t *testing.T) {
	b := broker(t)
	topic := newTopic(t, b, 1)
	s := harness.New(t)
	run(t, s, bidSource(b, "bids", topic))
	run(t, s, "CREATE MATERIALIZED VIEW c AS SELECT count(*) AS n, min(id) AS low FROM bids")
	cl := client(t, b, kgo.TransactionalID(topic))
	ctx := context.Background()
	for i, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit, kgo.TryAbort} {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := cl.ProduceSync(ctx, bids(topic, i*10, i*10+10, 1)...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := cl.EndTransaction(ctx, end); err != nil {
			t.Fatal(err)
		}
	}
	await(t, s, soon, "SELECT n, low FROM c", "10|10")
	produce(t, b, bids(topic, 100, 101, 1)...)
	await(t, s, soon, "SELECT n, low FROM c", "11|10")
}
