package kafka

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/connector/conntest"
)

// TestRealBroker runs both contracts against the cluster that MILLRACE_TEST_KAFKA names (host:port), on a
// topic of its own that is deleted afterwards.
func TestRealBroker(t *testing.T) {
	addr := os.Getenv("MILLRACE_TEST_KAFKA")
	if addr == "" {
		t.Skip("MILLRACE_TEST_KAFKA is not set")
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	run := func(name string, test func(t *testing.T, topic string)) {
		t.Run(name, func(t *testing.T) {
			topic := fmt.Sprintf("millrace-test-%s-%d", name, time.Now().UnixNano())
			if _, err := adm.CreateTopic(t.Context(), 2, 1, nil, topic); err != nil {
				t.Fatal(err)
			}
			awaitTopic(t, adm, topic)
			defer func() {
				if _, err := adm.DeleteTopic(context.Background(), topic); err != nil {
					t.Error(err)
				}
			}()
			test(t, topic)
		})
	}
	run("source", func(t *testing.T, topic string) {
		recs := jsonRecords(5000)
		for _, r := range recs {
			r.Topic = topic
		}
		produce(t, addr, recs...)
		conntest.Source(t, conntest.SourceCase{Source: Source{}, Spec: sourceSpec(addr, "topic", topic), Rows: 5000, Idle: 2 * time.Second})
	})
	run("sink", func(t *testing.T, topic string) {
		spec := sinkSpec(addr, "PLAIN", "topic", topic)
		spec.Instance = topic
		conntest.Sink(t, conntest.SinkCase{
			Sink: Sink{}, Spec: spec, ExactlyOnce: true,
			Visible: func(t *testing.T) []string { return messagesOf(t, addr, topic) },
			Row:     func(id int64, name string) string { return fmt.Sprintf(`{"id":%d,"name":%q}`, id, name) },
		})
	})
}

// awaitTopic waits until the broker knows a topic that its controller has just created.
func awaitTopic(t *testing.T, adm *kadm.Client, topic string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		topics, err := adm.ListTopics(t.Context(), topic)
		if err == nil && topics.Error() == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("topic %q does not appear: %v, %v", topic, err, topics.Error())
		}
	}
}
