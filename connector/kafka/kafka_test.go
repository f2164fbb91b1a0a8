package kafka

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/conntest"
	"github.com/millrace/millrace/connector/offset"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

func cluster(t testing.TB, opts ...kfake.Opt) (*kfake.Cluster, string) {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(2, "events")}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, strings.Join(c.ListenAddrs(), ",")
}

func produce(t testing.TB, addr string, recs ...*kgo.Record) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.ProduceSync(context.Background(), recs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func jsonRecords(n int) []*kgo.Record {
	var out []*kgo.Record
	for i := range n {
		out = append(out, &kgo.Record{Topic: "events", Partition: int32(i % 2), Key: []byte(fmt.Sprintf("k%d", i)), Value: []byte(fmt.Sprintf(`{"id":%d,"name":"n%d"}`, i, i))})
	}
	return out
}

func sourceSpec(addr string, options ...string) *connector.SourceSpec {
	o := map[string]string{"topic": "events", "properties.bootstrap.server": addr}
	for i := 0; i+1 < len(options); i += 2 {
		o[options[i]] = options[i+1]
	}
	return &connector.SourceSpec{
		Name: "s", ID: 7, Connector: catalog.Connector{Name: "kafka", Options: o, Format: "PLAIN", Encode: "JSON"},
		Columns: []catalog.Column{{Name: "id", Type: sqltypes.Int8}, {Name: "name", Type: sqltypes.Text}},
		Cols:    []int{0, 1}, Settings: sqlio.DefaultSettings(),
	}
}

func TestSourceContract(t *testing.T) {
	_, addr := cluster(t)
	produce(t, addr, jsonRecords(5000)...)
	produce(t, addr, &kgo.Record{Topic: "events", Partition: 1, Value: []byte(`{"id":"many"}`)})
	conntest.Source(t, conntest.SourceCase{Source: Source{}, Spec: sourceSpec(addr), Rows: 5000, Errors: 1})
}

// next reads until n rows or a bad record have come.
func next(t *testing.T, r connector.Reader, n int) (rows []string, errs []connector.RecordError, offsets map[string]string) {
	t.Helper()
	offsets = map[string]string{}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for len(rows) < n && len(errs) == 0 {
		b, err := r.Next(ctx)
		if err != nil {
			t.Fatalf("Next after %d of %d rows: %v", len(rows), n, err)
		}
		if b.Chunk != nil {
			rows = append(rows, conntest.Rows(b.Chunk)...)
		}
		errs = append(errs, b.Errors...)
		for _, o := range b.Offsets {
			offsets[o.Split] = string(o.Offset)
		}
	}
	return rows, errs, offsets
}

func open(t *testing.T, spec *connector.SourceSpec, splits ...connector.SplitOffset) connector.Reader {
	t.Helper()
	r, err := Source{}.Open(context.Background(), spec, splits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestIncludes(t *testing.T) {
	_, addr := cluster(t)
	produce(t, addr, &kgo.Record{
		Topic: "events", Partition: 1, Key: []byte("the key"), Value: []byte(`{"id":1}`), Timestamp: time.UnixMilli(1700000000123),
		Headers: []kgo.RecordHeader{{Key: "trace", Value: []byte("abc")}, {Key: "n", Value: []byte("1")}},
	})
	spec := sourceSpec(addr)
	spec.Columns = []catalog.Column{
		{Name: "id", Type: sqltypes.Int4}, {Name: "k", Type: sqltypes.Bytea, Include: "key"}, {Name: "kt", Type: sqltypes.Text, Include: "key"},
		{Name: "p", Type: sqltypes.Varchar, Include: "partition"}, {Name: "o", Type: sqltypes.Int8, Include: "offset"},
		{Name: "ts", Type: sqltypes.Timestamptz, Include: "timestamp"}, {Name: "h", Type: sqltypes.JSONB, Include: "header"},
		{Name: "tr", Type: sqltypes.Bytea, Include: "header:trace"}, {Name: "no", Type: sqltypes.Bytea, Include: "header:none"},
	}
	spec.Cols = []int{0, 1, 2, 3, 4, 5, 6, 7, 8}
	rows, errs, _ := next(t, open(t, spec, connector.SplitOffset{Split: "1"}), 1)
	want := `1|\x746865206b6579|the key|1|0|2023-11-14 22:13:20.123+00|{"n": "1", "trace": "abc"}|\x616263|NULL`
	if len(rows) != 1 || rows[0] != want || errs != nil {
		t.Errorf("got %q, %v\nwant %q", rows, errs, want)
	}
}

func TestStartModes(t *testing.T) {
	_, addr := cluster(t)
	for i := range 4 {
		produce(t, addr, &kgo.Record{Topic: "events", Value: []byte(fmt.Sprintf(`{"id":%d}`, i)), Timestamp: time.UnixMilli(int64(1000 * i))})
	}
	later := &kgo.Record{Topic: "events", Value: []byte(`{"id":9}`), Timestamp: time.UnixMilli(9000)}
	cases := []struct {
		name    string
		options []string
		from    []byte
		want    []string
	}{
		{"default", nil, nil, []string{"0|NULL", "1|NULL", "2|NULL", "3|NULL", "9|NULL"}},
		{"latest", []string{"scan.startup.mode", "latest"}, nil, []string{"9|NULL"}},
		{"latest, new partition", []string{"scan.startup.mode", "latest"}, connector.FromStart, []string{"0|NULL", "1|NULL", "2|NULL", "3|NULL", "9|NULL"}},
		{"timestamp", []string{"scan.startup.timestamp.millis", "1500"}, nil, []string{"2|NULL", "3|NULL", "9|NULL"}},
		{"timestamp ahead", []string{"scan.startup.timestamp.millis", "8000"}, nil, []string{"9|NULL"}},
		{"specific offset", []string{"scan.startup.specific-offsets", "partition:0,offset:3;partition:1,offset:9"}, nil, []string{"3|NULL", "9|NULL"}},
		{"specific offset, shorter", []string{"scan.startup.specific-offsets", "0:2"}, nil, []string{"2|NULL", "3|NULL", "9|NULL"}},
		{"specific offset beyond the end", []string{"scan.startup.specific-offsets", "0:99"}, nil, []string{"9|NULL"}},
		{"specific offsets of others", []string{"scan.startup.specific-offsets", "1:7", "scan.startup.mode", "specific-offsets"}, nil, []string{"0|NULL", "1|NULL", "2|NULL", "3|NULL", "9|NULL"}},
		{"offset", []string{"scan.startup.mode", "latest"}, offset.Encode(3), []string{"3|NULL", "9|NULL"}},
	}
	var readers []connector.Reader
	for _, c := range cases {
		readers = append(readers, open(t, sourceSpec(addr, c.options...), connector.SplitOffset{Split: "0", Offset: c.from}))
	}
	produce(t, addr, later)
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if rows, _, _ := next(t, readers[i], len(c.want)); !slices.Equal(rows, c.want) {
				t.Errorf("got %q, want %q", rows, c.want)
			}
		})
	}
}

// TestStartIsAnnounced: a resolved start is an offset before any record came.
func TestStartIsAnnounced(t *testing.T) {
	_, addr := cluster(t)
	produce(t, addr, jsonRecords(10)...)
	r := open(t, sourceSpec(addr, "scan.startup.mode", "latest"), connector.SplitOffset{Split: "0"})
	b, err := r.Next(context.Background())
	if err != nil || b.Chunk != nil || len(b.Offsets) != 1 || string(b.Offsets[0].Offset) != "1/5" {
		t.Errorf("first batch %+v, %v", b, err)
	}
}

func TestUpsertAndDebezium(t *testing.T) {
	cases := []struct {
		format string
		recs   []*kgo.Record
		want   []string
	}{
		{"UPSERT", []*kgo.Record{
			{Key: []byte(`{"id":1}`), Value: []byte(`{"id":1,"name":"a"}`)},
			{Key: []byte(`2`), Value: []byte(`{"name":"b"}`)},
			{Key: []byte(`{"id":1}`)},
		}, []string{"1|a", "2|b", "-1|NULL"}},
		{"DEBEZIUM", []*kgo.Record{
			{Value: []byte(`{"schema":{},"payload":{"before":null,"after":{"id":1,"name":"a"},"op":"c"}}`)},
			{Value: []byte(`{"ts_ms":17}`)},
			{Value: []byte(`{"before":{"id":1,"name":"a"},"after":{"id":1,"name":"b"},"op":"u"}`)},
			{Value: []byte(`{"before":{"id":1,"name":"b"},"after":null,"op":"d"}`)},
			{Key: []byte(`{"id":1}`)},
			{Key: []byte(`{"schema":{},"payload":{"id":3}}`), Value: []byte(`{"before":null,"after":null,"op":"d"}`)},
		}, []string{"1|a", "1|b", "-1|NULL", "-3|NULL"}},
	}
	for _, c := range cases {
		t.Run(c.format, func(t *testing.T) {
			_, addr := cluster(t)
			for _, r := range c.recs {
				r.Topic = "events"
			}
			produce(t, addr, c.recs...)
			spec := sourceSpec(addr)
			spec.Connector.Format = c.format
			if _, err := (Source{}).Validate(context.Background(), spec); sqlerr.CodeOf(err) != sqlerr.InvalidTableDefinition {
				t.Errorf("without a key: %v", err)
			}
			spec.PrimaryKey = []int{0}
			facts, err := Source{}.Validate(context.Background(), spec)
			if err != nil || !facts.Upsert || facts.AppendOnly {
				t.Fatalf("Validate = %+v, %v", facts, err)
			}
			rows, errs, _ := next(t, open(t, spec, connector.SplitOffset{Split: "0"}), len(c.want))
			if !slices.Equal(rows, c.want) || errs != nil {
				t.Errorf("got %q, %v, want %q", rows, errs, c.want)
			}
		})
	}
}

func TestBadRecord(t *testing.T) {
	_, addr := cluster(t)
	produce(t, addr, &kgo.Record{Topic: "events", Value: []byte(`{"id":1,`)}, &kgo.Record{Topic: "events", Value: []byte(`{"id":2}`)})
	_, errs, offsets := next(t, open(t, sourceSpec(addr), connector.SplitOffset{Split: "0"}), 99)
	if len(errs) != 1 || errs[0].Split != "0" || errs[0].Offset != "0" || string(errs[0].Data) != `{"id":1,` || sqlerr.CodeOf(errs[0].Err) != sqlerr.InvalidTextRepresentation {
		t.Errorf("got %+v", errs)
	}
	if offsets["0"] == "1/0" {
		t.Errorf("offsets %v do not cover the bad record", offsets)
	}
}

func TestMistakes(t *testing.T) {
	_, addr := cluster(t)
	cases := []struct {
		name string
		spec *connector.SourceSpec
		code sqlerr.Code
		text string
	}{
		{"topic", sourceSpec(addr, "topic", "event"), sqlerr.UndefinedObject, `Kafka topic "event" does not exist`},
		{"mode", sourceSpec(addr, "scan.startup.mode", "lates"), sqlerr.InvalidParameterValue, "must be one of earliest, latest, timestamp"},
		{"broker", sourceSpec("127.0.0.1:1"), sqlerr.ConnectionFailure, "could not reach Kafka at 127.0.0.1:1"},
		{"ca", sourceSpec(addr, "properties.security.protocol", "SSL", "properties.ssl.ca.location", "/nowhere.pem"), sqlerr.InvalidParameterValue, `names the file "/nowhere.pem"`},
		{"user", sourceSpec(addr, "properties.security.protocol", "SASL_PLAINTEXT"), sqlerr.InvalidParameterValue, `needs the option "properties.sasl.username"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Source{}.Validate(context.Background(), c.spec)
			if sqlerr.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.text) {
				t.Errorf("Validate: %v", err)
			}
		})
	}
}

func TestSASL(t *testing.T) {
	for _, mech := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mech, func(t *testing.T) {
			c, addr := cluster(t, kfake.EnableSASL(), kfake.Superuser(mech, "ann", "secret"))
			options := []string{"properties.security.protocol", "SASL_PLAINTEXT", "properties.sasl.mechanism", mech, "properties.sasl.username", "ann", "properties.sasl.password", "secret"}
			if _, err := (Source{}).Validate(context.Background(), sourceSpec(addr, options...)); err != nil {
				t.Errorf("right password: %v", err)
			}
			options[len(options)-1] = "wrong" // kfake hangs up, as brokers before 1.0 did
			_, err := Source{}.Validate(context.Background(), sourceSpec(addr, options...))
			var e *sqlerr.Error
			if !errors.As(err, &e) || e.Code != sqlerr.ConnectionFailure || !strings.Contains(e.Hint, "password") {
				t.Errorf("wrong password: %v", err)
			}
			c.ControlKey(36, func(req kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
				resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
				return resp, nil, true
			})
			if _, err := (Source{}).Validate(context.Background(), sourceSpec(addr, options...)); sqlerr.CodeOf(err) != sqlerr.InvalidPassword {
				t.Errorf("wrong password: %v", err)
			}
		})
	}
}

// TestDeletedRecords: offsets that are gone are an error that names them.
func TestDeletedRecords(t *testing.T) {
	_, addr := cluster(t)
	produce(t, addr, jsonRecords(10)...)
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	del := kadm.Offsets{}
	del.AddOffset("events", 0, 4, -1)
	if _, err := kadm.NewClient(cl).DeleteRecords(context.Background(), del); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[int64]string{2: "offset 2 of partition 0", 99: "offset 99 of partition 0"} {
		_, err := Source{}.Open(context.Background(), sourceSpec(addr), []connector.SplitOffset{{Split: "0", Offset: offset.Encode(at)}})
		if sqlerr.CodeOf(err) != sqlerr.ObjectNotInPrerequisiteState || !strings.Contains(err.Error(), want) {
			t.Errorf("from %d: %v", at, err)
		}
	}
}

func TestAckCommitsToGroup(t *testing.T) {
	_, addr := cluster(t)
	produce(t, addr, jsonRecords(10)...)
	r := open(t, sourceSpec(addr, "group.id.prefix", "watch"), connector.SplitOffset{Split: "0"})
	next(t, r, 5)
	r.(connector.Acker).Ack([]connector.SplitOffset{{Split: "0", Offset: offset.Encode(5)}})
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		got, err := kadm.NewClient(cl).FetchOffsets(context.Background(), "watch-7")
		if o, ok := got.Lookup("events", 0); err == nil && ok && o.At == 5 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("offsets of the group: %v, %v", got, err)
		}
	}
}

func TestBrokerComesAndGoes(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "events"))
	if err != nil {
		t.Fatal(err)
	}
	addr := c.ListenAddrs()[0]
	produce(t, addr, jsonRecords(10)...)
	r := open(t, sourceSpec(addr), connector.SplitOffset{Split: "0"})
	r.(*Reader).away = 100 * time.Millisecond
	next(t, r, 5)
	c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		_, err := r.Next(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			t.Fatal("Next does not notice that the broker is away")
		}
		if err != nil {
			if sqlerr.CodeOf(err) != sqlerr.ConnectionFailure {
				t.Errorf("Next: %v", err)
			}
			return
		}
	}
}

// TestTopicIsDeleted: a topic that goes away is an error, not silence.
func TestTopicIsDeleted(t *testing.T) {
	_, addr := cluster(t)
	produce(t, addr, jsonRecords(10)...)
	r := open(t, sourceSpec(addr), connector.SplitOffset{Split: "0"})
	next(t, r, 5)
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).DeleteTopics(context.Background(), "events"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, err := r.Next(ctx); sqlerr.CodeOf(err) != sqlerr.UndefinedObject {
		t.Errorf("Next: %v", err)
	}
}

func sinkSpec(addr, format string, options ...string) *connector.SinkSpec {
	o := map[string]string{"topic": "events", "properties.bootstrap.server": addr}
	for i := 0; i+1 < len(options); i += 2 {
		o[options[i]] = options[i+1]
	}
	s := &connector.SinkSpec{
		Name: "out", ID: 9, Connector: catalog.Connector{Name: "kafka", Options: o, Format: format, Encode: "JSON"},
		Columns: conntest.SinkColumns(), AppendOnly: true, Settings: sqlio.DefaultSettings(),
	}
	if format != "PLAIN" {
		s.Key, s.AppendOnly = []int{0}, false
	}
	return s
}

func messages(t *testing.T, addr string) []string { t.Helper(); return messagesOf(t, addr, "events") }

// messagesOf reads all committed messages of a topic.
func messagesOf(t *testing.T, addr, topic string) []string {
	t.Helper()
	var out []string
	for _, r := range recordsOf(t, addr, topic) {
		v := "tombstone"
		if r.Value != nil {
			v = string(r.Value)
		}
		if r.Key != nil {
			v = string(r.Key) + " " + v
		}
		out = append(out, v)
	}
	return out
}

func recordsOf(t *testing.T, addr, topic string) []*kgo.Record {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var out []*kgo.Record
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		f := cl.PollFetches(ctx)
		cancel()
		if f.NumRecords() == 0 {
			return out
		}
		out = append(out, f.Records()...)
	}
}

func TestSinkContract(t *testing.T) {
	for _, format := range []string{"PLAIN", "UPSERT"} {
		t.Run(format, func(t *testing.T) {
			_, addr := cluster(t)
			conntest.Sink(t, conntest.SinkCase{
				Sink: Sink{}, Spec: sinkSpec(addr, format), ExactlyOnce: true,
				Visible: func(t *testing.T) []string { return messages(t, addr) },
				Row: func(id int64, name string) string {
					row := fmt.Sprintf(`{"id":%d,"name":%q}`, id, name)
					if format == "UPSERT" {
						return fmt.Sprintf(`{"id":%d} %s`, id, row)
					}
					return row
				},
			})
		})
	}
}

// TestAvroSinkContract is the same with a schema: what the topic has, the library reads by the registered schema.
func TestAvroSinkContract(t *testing.T) {
	reg := srfake.New()
	t.Cleanup(reg.Close)
	_, addr := cluster(t)
	spec := sinkSpec(addr, "UPSERT")
	spec.Connector.Encode, spec.Connector.FormatOptions = "AVRO", map[string]string{"schema.registry": reg.URL()}
	decode := func(subject, b string) any {
		s, ok := reg.GetSchema(subject, 1)
		if !ok || len(b) < 5 {
			t.Fatalf("no schema for the message %q", b)
		}
		parsed, err := avro.ParseWithCache(s.Schema.Schema, "", &avro.SchemaCache{})
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := avro.Unmarshal(parsed, []byte(b[5:]), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	conntest.Sink(t, conntest.SinkCase{
		Sink: Sink{}, Spec: spec, ExactlyOnce: true,
		Visible: func(t *testing.T) (out []string) {
			for _, r := range recordsOf(t, addr, "events") {
				value := "tombstone"
				if r.Value != nil {
					value = fmt.Sprint(decode("events-value", string(r.Value)))
				}
				out = append(out, fmt.Sprint(decode("events-key", string(r.Key)), " ", value))
			}
			return out
		},
		Row: func(id int64, name string) string { return fmt.Sprintf("map[id:%d] map[id:%d name:%s]", id, id, name) },
	})
}

// TestFencing: a second writer makes the first one's commit fail.
func TestFencing(t *testing.T) {
	_, addr := cluster(t)
	ctx := context.Background()
	first, err := Sink{}.Open(ctx, sinkSpec(addr, "PLAIN"))
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if err := first.Write(ctx, 1, conntest.SinkRows(1)); err != nil {
		t.Fatal(err)
	}
	second, err := Sink{}.Open(ctx, sinkSpec(addr, "PLAIN"))
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := first.Commit(ctx, 1); err == nil {
		t.Error("the fenced writer could commit")
	}
	if err := second.Write(ctx, 1, conntest.SinkRows(1)); err != nil {
		t.Fatal(err)
	}
	if err := second.Commit(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if got := messages(t, addr); len(got) != 1 {
		t.Errorf("topic has %q", got)
	}
}

// TestFailedCommit: an epoch whose marker was refused is not there, and is there once when delivered again.
func TestFailedCommit(t *testing.T) {
	c, addr := cluster(t)
	ctx := context.Background()
	w, err := Sink{}.Open(ctx, sinkSpec(addr, "PLAIN"))
	if err != nil {
		t.Fatal(err)
	}
	c.ControlKey(28, func(req kmsg.Request) (kmsg.Response, error, bool) {
		resp := req.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
		topic := kmsg.NewTxnOffsetCommitResponseTopic()
		topic.Topic = "events"
		part := kmsg.NewTxnOffsetCommitResponseTopicPartition()
		part.ErrorCode = kerr.InvalidTxnState.Code
		topic.Partitions = append(topic.Partitions, part)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
	if err := w.Write(ctx, 5, conntest.SinkRows(1, 2)); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(ctx, 5); !errors.Is(err, kerr.InvalidTxnState) {
		t.Errorf("Commit: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if w, err = (Sink{}).Open(ctx, sinkSpec(addr, "PLAIN")); err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, ok, err := w.Committed(ctx); ok || err != nil {
		t.Errorf("Committed after a failed commit: %v, %v", ok, err)
	}
	if err := errors.Join(w.Write(ctx, 5, conntest.SinkRows(1, 2)), w.Commit(ctx, 5)); err != nil {
		t.Fatal(err)
	}
	if got := messages(t, addr); len(got) != 2 {
		t.Errorf("topic has %q", got)
	}
}

// certificate makes a self-signed certificate for a host and writes it to a file.
func certificate(t *testing.T, host string) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{host},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if ip := net.ParseIP(host); ip != nil {
		tmpl.DNSNames, tmpl.IPAddresses = nil, []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func TestTLS(t *testing.T) {
	_, otherCA := certificate(t, "127.0.0.1")
	for _, c := range []struct {
		name, host, anyHost string
		trusted, ok         bool
	}{
		{"trusted", "127.0.0.1", "https", true, true},
		{"not trusted", "127.0.0.1", "https", false, false},
		{"other name", "kafka.example", "https", true, false},
		{"other name allowed", "kafka.example", "none", true, true},
		{"other name allowed, not trusted", "kafka.example", "none", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cert, ca := certificate(t, c.host)
			if !c.trusted {
				ca = otherCA
			}
			_, addr := cluster(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert}}))
			_, err := Source{}.Validate(context.Background(), sourceSpec(addr, "properties.security.protocol", "SSL",
				"properties.ssl.ca.location", ca, "properties.ssl.endpoint.identification.algorithm", c.anyHost))
			if (err == nil) != c.ok || err != nil && sqlerr.CodeOf(err) != sqlerr.ConnectionFailure {
				t.Errorf("Validate: %v", err)
			}
		})
	}
}

func TestSinkMistakes(t *testing.T) {
	_, addr := cluster(t)
	changing := sinkSpec(addr, "PLAIN")
	changing.AppendOnly = false
	keyless := sinkSpec(addr, "UPSERT")
	keyless.Key = nil
	for name, c := range map[string]struct {
		spec *connector.SinkSpec
		code sqlerr.Code
		text string
	}{
		"topic":    {sinkSpec(addr, "PLAIN", "topic", "evens"), sqlerr.UndefinedObject, `"evens" does not exist`},
		"changing": {changing, sqlerr.InvalidParameterValue, "is append-only, but its query changes rows"},
		"keyless":  {keyless, sqlerr.InvalidParameterValue, "needs a primary key"},
		"range":    {sinkSpec(addr, "PLAIN", "properties.batch.size", fmt.Sprint(math.MaxInt64)), sqlerr.InvalidParameterValue, "must be between"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Sink{}.Validate(context.Background(), c.spec)
			if sqlerr.CodeOf(err) != c.code || !strings.Contains(fmt.Sprint(err), c.text) {
				t.Errorf("Validate: %v", err)
			}
		})
	}
}

// TestIsolation: records of aborted and open transactions are not seen, unless asked for.
func TestIsolation(t *testing.T) {
	_, addr := cluster(t)
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.TransactionalID("x"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for id, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "events", Value: fmt.Appendf(nil, `{"id":%d}`, id)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := cl.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		options []string
		want    []string
	}{
		{nil, []string{"1|NULL"}},
		{[]string{"properties.isolation.level", "read_committed"}, []string{"1|NULL"}},
		{[]string{"properties.isolation.level", "read_uncommitted"}, []string{"0|NULL", "1|NULL"}},
	} {
		rows, _, _ := next(t, open(t, sourceSpec(addr, c.options...), connector.SplitOffset{Split: "0"}), len(c.want))
		if !slices.Equal(rows, c.want) {
			t.Errorf("%q: got %q, want %q", c.options, rows, c.want)
		}
	}
}

// TestLags: a batch says of each of its splits how far behind it is.
func TestLags(t *testing.T) {
	_, addr := cluster(t)
	produce(t, addr, jsonRecords(100)...)
	produce(t, addr, &kgo.Record{Topic: "events", Partition: 1, Value: []byte(`{"id":1}`)})
	r := open(t, sourceSpec(addr), connector.SplitOffset{Split: "0"}, connector.SplitOffset{Split: "1"})
	b, err := r.Next(t.Context())
	if err != nil || b.Chunk != nil || !slices.Equal(b.Lags, []int64{50, 51}) || b.Backlog != 101 {
		t.Errorf("at the start: lags %v, backlog %d, %v", b.Lags, b.Backlog, err)
	}
	last := map[string]int64{}
	for rows := 0; rows < 101; rows += b.Chunk.Len() {
		if b, err = r.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, o := range b.Offsets {
			last[o.Split] = b.Lags[i]
		}
	}
	if last["0"] != 0 || last["1"] != 0 || len(last) != 2 {
		t.Errorf("at the end: lags %v", last)
	}
}

// TestBackPressure: a reader that nobody asks for batches stops fetching: at most one answer lies ahead.
func TestBackPressure(t *testing.T) {
	c, addr := cluster(t)
	large := bytes.Repeat([]byte("x"), 100_000)
	for range 4 {
		var recs []*kgo.Record
		for i := range 25 {
			recs = append(recs, &kgo.Record{Topic: "events", Partition: int32(i % 2), Value: fmt.Appendf(nil, `{"id":%d,"name":%q}`, i, large)})
		}
		produce(t, addr, recs...)
	}
	var fetched atomic.Int64
	c.ControlKey(1, func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		fetched.Add(1)
		return nil, nil, false
	})
	r := open(t, sourceSpec(addr, "properties.fetch.max.bytes", "300000"), connector.SplitOffset{Split: "0"}, connector.SplitOffset{Split: "1"})
	for deadline := time.Now().Add(10 * time.Second); fetched.Load() == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing is fetched")
		}
	}
	time.Sleep(300 * time.Millisecond) // time enough to fetch all 10 MB
	if n := fetched.Load(); n > 3 {
		t.Errorf("%d answers were fetched ahead", n)
	}
	if rows, _, _ := next(t, r, 100); len(rows) != 100 {
		t.Errorf("%d rows", len(rows))
	}
}

// TestRegistryOutage: a schema that cannot be fetched holds the reader up, and puts no record aside; what came before it is
// there, and the rest comes when the registry is back.
func TestRegistryOutage(t *testing.T) {
	reg := srfake.New()
	defer reg.Close()
	_, addr := cluster(t)
	schema := func(name string) string {
		return fmt.Sprintf(`{"type":"record","name":%q,"fields":[{"name":"id","type":"long"}]}`, name)
	}
	var ids []int
	for _, name := range []string{"a", "b"} {
		id, _, err := reg.RegisterSchema("events-value", sr.Schema{Schema: schema(name)})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	spec := sourceSpec(addr)
	spec.Connector.Encode, spec.Connector.FormatOptions = "AVRO", map[string]string{"schema.registry": reg.URL()}
	spec.Columns, spec.Cols = spec.Columns[:1], []int{0}
	var down atomic.Bool
	reg.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		if down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return down.Load()
	})
	message := func(id int, value byte) *kgo.Record {
		return &kgo.Record{Topic: "events", Value: []byte{0, 0, 0, 0, byte(id), value << 1}}
	}
	r := open(t, spec, connector.SplitOffset{Split: "0"})
	produce(t, addr, message(ids[0], 1))
	if rows, _, _ := next(t, r, 1); !slices.Equal(rows, []string{"1"}) {
		t.Fatalf("before: %q", rows)
	}
	down.Store(true)
	produce(t, addr, message(ids[0], 2), message(ids[1], 3), message(ids[0], 4))
	rows, errs, offsets := next(t, r, 1)
	if !slices.Equal(rows, []string{"2"}) || errs != nil {
		t.Errorf("in front of the new schema: %q, %v", rows, errs)
	}
	if _, err := r.Next(t.Context()); sqlerr.CodeOf(err) != sqlerr.ConnectionFailure || !strings.Contains(err.Error(), "registry") {
		t.Errorf("at the new schema: %v", err)
	}
	down.Store(false)
	again := open(t, spec, connector.SplitOffset{Split: "0", Offset: []byte(offsets["0"])})
	if rows, errs, _ = next(t, again, 2); !slices.Equal(rows, []string{"3", "4"}) || errs != nil {
		t.Errorf("afterwards: %q, %v", rows, errs)
	}
}
