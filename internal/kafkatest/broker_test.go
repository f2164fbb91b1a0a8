package kafkatest

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestBrokerComesBack kills the broker and finds what was acknowledged when it is back.
func TestBrokerComesBack(t *testing.T) {
	b := broker(t)
	topic := newTopic(t, b, 2)
	produce(t, b, bids(topic, 0, 1000, 2)...)
	b.Kill()
	began := time.Now()
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	t.Logf("back after %v", time.Since(began))
	if got := consume(t, b, topic); len(got) != 1000 {
		t.Errorf("%d of 1000 records are there after the kill", len(got))
	}
}

// TestConnector runs the contract suites of connector/kafka against the broker.
func TestConnector(t *testing.T) {
	b := broker(t)
	cmd := exec.Command("go", "test", "-count=1", "-run", "^TestRealBroker$", "-v", "github.com/millrace/millrace/connector/kafka")
	cmd.Env = append(os.Environ(), "MILLRACE_TEST_KAFKA="+b.Addr())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\nbroker:\n%s", err, out, b.Log())
	}
}
