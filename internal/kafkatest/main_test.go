package kafkatest

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/millrace/millrace/internal/e2e/harness"
)

var (
	withKafka = flag.Bool("kafka", false, "run the tests that start an Apache Kafka")
	seedFlag  = flag.Uint64("seed", 0, "seed of the random choices; 0: a new one")
	killsFlag = flag.Int("kills", 20, "kills of the server under load")
)

var shared struct {
	sync.Once
	b   *Broker
	err error
}

// broker returns the one broker of all tests, running.
func broker(t testing.TB) *Broker {
	t.Helper()
	if !*withKafka {
		t.Skip("needs -kafka")
	}
	shared.Do(func() { shared.b, shared.err = New() })
	if errors.Is(shared.err, ErrMissing) {
		t.Skip(shared.err)
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	if !shared.b.Running() {
		if err := shared.b.Start(); err != nil {
			t.Fatal(err)
		}
	}
	return shared.b
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := harness.Main(m)
	if shared.b != nil {
		if err := shared.b.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}
