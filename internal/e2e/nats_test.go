package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// TestNATSOverKills: each message of a stream is counted once, and each change is published once, whatever happens to
// the server meanwhile.
func TestNATSOverKills(t *testing.T) {
	const messages = 20_000
	broker, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	broker.Start()
	t.Cleanup(func() { broker.Shutdown(); broker.WaitForShutdown() })
	if !broker.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server does not start")
	}
	nc, err := nats.Connect(broker.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []jetstream.StreamConfig{{Name: "IN", Subjects: []string{"in.*"}}, {Name: "OUT", Subjects: []string{"out"}}} {
		cfg.Storage = jetstream.MemoryStorage
		if _, err := js.CreateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	s := harness.New(t)
	c := s.Conn()
	exec(t, c, fmt.Sprintf("CREATE SOURCE src (id bigint, v bigint) WITH (connector = 'nats', server_url = '%s', stream = 'IN', subject = 'in.*', consumer.durable_name = 'millrace', consumer.ack_policy = 'all') FORMAT PLAIN ENCODE JSON", broker.ClientURL()))
	exec(t, c, "CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n, count(DISTINCT id) AS ids, sum(v) AS total FROM src")
	exec(t, c, fmt.Sprintf("CREATE SINK k AS SELECT id, v + 1 AS v FROM src WITH (connector = 'nats', server_url = '%s', subject = 'out') FORMAT PLAIN ENCODE JSON", broker.ClientURL()))
	published := make(chan error, 1)
	go func() { // the test receives
		for i := range messages {
			if _, err := js.PublishAsync(fmt.Sprintf("in.%d", i%3), fmt.Appendf(nil, `{"id":%d,"v":%d}`, i, i%7)); err != nil {
				published <- err
				return
			}
			if i%200 == 0 {
				time.Sleep(20 * time.Millisecond) // two seconds in all
			}
		}
		<-js.PublishAsyncComplete()
		published <- nil
	}()
	k := &killer{t: t, s: s, rng: newRand(t, 31)}
	for range rounds(3, 10) {
		c = k.kill(700 * time.Millisecond)
	}
	if err := <-published; err != nil {
		t.Fatal(err)
	}
	total := 0
	for i := range messages {
		total += i % 7
	}
	settled(t, c, "SELECT * FROM m", []string{fmt.Sprintf("%d|%d|%d", messages, messages, total)}, 30*time.Second)
	out, err := js.Stream(t.Context(), "OUT")
	if err != nil {
		t.Fatal(err)
	}
	n := func() uint64 {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		info, err := out.Info(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return info.State.Msgs
	}
	for end := time.Now().Add(30 * time.Second); n() < messages && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
	}
	time.Sleep(500 * time.Millisecond) // more would come now if anything came twice
	if got := n(); got != messages {
		t.Errorf("%d messages were published, want %d", got, messages)
	}
}
