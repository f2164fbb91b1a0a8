package e2e

import (
	"context"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// TestNumbers prints what an idle server costs and how long one row takes from INSERT to the view. It fails at several times the
// promised numbers only: a busy machine must not fail a test (make bench holds the numbers).
func TestNumbers(t *testing.T) {
	s := harness.New(t)
	c := s.Conn()
	exec(t, c, "CREATE TABLE t (id bigint PRIMARY KEY, k int); CREATE MATERIALIZED VIEW v AS SELECT k, count(*) AS n FROM t GROUP BY k")
	exec(t, c, "INSERT INTO t SELECT i, (i % 1000)::int FROM generate_series(1, 10000) AS g(i)")
	n := 500
	if testing.Short() {
		n = 50
	}
	ack, visible := make([]time.Duration, 0, n), make([]time.Duration, 0, n)
	ctx := context.Background()
	for i := range n {
		began := time.Now()
		if _, err := c.Exec(ctx, "INSERT INTO t VALUES ($1, $2)", 1_000_000+i, -1-i); err != nil {
			t.Fatal(err)
		}
		ack = append(ack, time.Since(began))
		var count int
		if err := c.QueryRow(ctx, "SELECT n FROM v WHERE k = $1", -1-i).Scan(&count); err != nil || count != 1 {
			t.Fatalf("row %d is not in the view: %d %v", i, count, err)
		}
		visible = append(visible, time.Since(began))
	}
	a50, a99 := percentiles(ack)
	v50, v99 := percentiles(visible)
	t.Logf("one-row INSERT: acknowledged p50 %v p99 %v, seen in the view p50 %v p99 %v (promised 3 ms and 20 ms)", a50, a99, v50, v99)
	if v50 > 30*time.Millisecond {
		t.Errorf("p50 from INSERT to the view is %v", v50)
	}
	time.Sleep(2 * time.Second) // checkpoints of what was written
	cpu0, _ := usage(t, s.PID())
	idle := 10 * time.Second
	if !*long {
		idle = 4 * time.Second
	}
	time.Sleep(idle)
	cpu1, rss := usage(t, s.PID())
	share := 100 * float64(cpu1-cpu0) / float64(idle)
	t.Logf("idle for %v: %.2f %% of a core (promised 2), %d MB resident (promised 150)", idle, share, rss>>20)
	if share > 20 || rss > 600<<20 {
		t.Errorf("an idle server takes %.1f %% of a core and %d MB", share, rss>>20)
	}
}

func percentiles(d []time.Duration) (p50, p99 time.Duration) {
	sort.Slice(d, func(i, j int) bool { return d[i] < d[j] })
	return d[len(d)/2], d[len(d)*99/100]
}

// usage returns the CPU time and the resident memory of a process.
func usage(t *testing.T, pid int) (cpu time.Duration, rss int64) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Skipf("no /proc here: %v", err)
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	ticks := func(i int) int64 { n, _ := strconv.ParseInt(f[i], 10, 64); return n }
	const perTick = 10 * time.Millisecond // USER_HZ is 100
	return time.Duration(ticks(11)+ticks(12)) * perTick, ticks(21) * int64(os.Getpagesize())
}
