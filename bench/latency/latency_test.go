package latency

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/server"
)

// TestMain lets Run start this test binary as the server: start --listen ADDRESS --data DIR.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "start" {
		if len(os.Args) != 6 {
			fmt.Fprintln(os.Stderr, "start: arguments that are not expected here")
			os.Exit(1)
		}
		os.Exit(serve(os.Args[3], os.Args[5]))
	}
	os.Exit(m.Run())
}

func serve(addr, dir string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	s, err := server.Start(ctx, server.Config{DataDir: dir}, addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Printf("psql -h %s -p %d\n", s.Addr().IP, s.Addr().Port)
	<-ctx.Done()
	if err := s.Stop(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func TestRun(t *testing.T) {
	var out bytes.Buffer
	o := Options{Inserts: 20, Idle: 10 * time.Millisecond, JSON: true}
	if err := Run(context.Background(), o, &out); err != nil {
		t.Fatal(err)
	}
	var r Result
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if r.Reads != 1 || r.Durable.P50 <= 0 || r.Visible.P50 < r.Durable.P50 || r.Visible.Max < r.Visible.P99 {
		t.Errorf("result %+v: each row must be seen by the first read", r)
	}
	out.Reset()
	write(&out, o, &r)
	if strings.Count(out.String(), "\n") != 6 {
		t.Errorf("report:\n%s", &out)
	}
}

func TestStartSaysWhatWentWrong(t *testing.T) {
	if _, err := start(context.Background(), t.TempDir(), "no://store"); err == nil {
		t.Error("started with an argument too many")
	}
}

func TestSpread(t *testing.T) {
	if spread(nil) != (Spread{}) {
		t.Error("a spread of nothing")
	}
	if s := spread([]float64{3, 1, 2}); s != (Spread{2, 2, 3}) {
		t.Errorf("spread = %+v", s)
	}
}
