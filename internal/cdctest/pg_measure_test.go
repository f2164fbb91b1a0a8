package cdctest

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

var (
	measure = flag.Bool("measure", false, "measure how fast tables follow a PostgreSQL, for about a minute")
	rate    = flag.Int("rate", 0, "transactions per second of pgbench while the latency is measured; 0: as many as there is room for")
)

// TestPostgresLatency says how long a commit takes to be seen in a view while pgbench runs at -rate. It asserts nothing.
func TestPostgresLatency(t *testing.T) {
	if !*measure {
		t.Skip("takes half a minute: -measure")
	}
	newMeasured(t, 1).latency(t)
}

// newMeasured makes a world in which the tables of pgbench, with so much of them, and one for the probes are followed.
func newMeasured(t *testing.T, scale int) *pgWorld {
	w := newPgWorld(t)
	w.bench("-i", "-q", "-s", fmt.Sprint(scale))
	exec(t, w.there, `ALTER TABLE pgbench_history REPLICA IDENTITY FULL; CREATE TABLE probe (id int PRIMARY KEY, at timestamptz)`)
	exec(t, w.here, "CREATE SOURCE src WITH ("+w.options()+")")
	began := time.Now()
	exec(t, w.here, "CREATE TABLE pgbench_accounts (*) FROM src TABLE 'public.pgbench_accounts'")
	eventually(t, w.here, "SELECT phase FROM millrace_catalog.captured_tables", "live")
	took := time.Since(began)
	t.Logf("snapshot: %d rows of pgbench_accounts in %v: %.0f rows/s", scale*1e5, took.Round(time.Millisecond), float64(scale)*1e5/took.Seconds())
	for _, name := range []string{"pgbench_tellers", "pgbench_branches", "pgbench_history", "probe"} {
		exec(t, w.here, fmt.Sprintf("CREATE TABLE %s (*) FROM src TABLE 'public.%s'", name, name))
	}
	exec(t, w.here, "CREATE MATERIALIZED VIEW moved AS "+pgView)
	exec(t, w.here, "CREATE MATERIALIZED VIEW seen AS SELECT max(id) AS id FROM probe")
	eventually(t, w.here, "SELECT count(*) FROM millrace_catalog.captured_tables WHERE phase <> 'live'", "0")
	return w
}

// latency measures how long probes take from the commit to the view.
func (w *pgWorld) latency(t *testing.T) {
	args := []string{"-c", "4", "-T", "20", "-n"}
	if *rate > 0 {
		args = append(args, "-R", fmt.Sprint(*rate))
	}
	out := make(chan string)
	go func() { out <- w.bench(args...) }() // received below
	time.Sleep(time.Second)
	var waits []time.Duration
	for id := 1; len(waits) < 250; id++ {
		exec(t, w.there, fmt.Sprintf("INSERT INTO probe VALUES (%d)", id))
		began := time.Now()
		for seen := 0; seen < id; {
			if err := w.here.QueryRow(context.Background(), "SELECT coalesce(id, 0) FROM seen").Scan(&seen); err != nil && err != pgx.ErrNoRows {
				t.Fatal(err)
			}
		}
		waits = append(waits, time.Since(began))
		time.Sleep(50 * time.Millisecond)
	}
	slices.Sort(waits)
	t.Logf("commit → visible in a view under pgbench -c 4, %d a second: p50 %v, p90 %v, p99 %v, most %v", *rate, waits[len(waits)/2].Round(1e5), waits[len(waits)*9/10].Round(1e5), waits[len(waits)*99/100].Round(1e5), waits[len(waits)-1].Round(1e5))
	for _, line := range strings.Split(<-out, "\n") {
		if strings.Contains(line, "tps") {
			t.Log(line)
		}
	}
}

// TestPostgresMeasure says how fast a snapshot is, how long a commit takes to be seen in a view while pgbench runs, and whether
// the source keeps pace with it. It asserts nothing.
func TestPostgresMeasure(t *testing.T) {
	if !*measure {
		t.Skip("takes a minute: -measure")
	}
	w := newMeasured(t, 5)
	w.latency(t)
	began := time.Now()
	exec(t, w.there, "INSERT INTO probe VALUES (1000000)")
	eventually(t, w.here, "SELECT id FROM seen", "1000000")
	t.Logf("after pgbench: caught up in %v", time.Since(began).Round(time.Millisecond))

	// A backlog: the server is away while pgbench works.
	w.mr.Kill()
	n := w.bench("-c", "4", "-T", "10", "-n")
	exec(t, w.there, "INSERT INTO probe VALUES (2000000)")
	w.mr.Start()
	w.here = w.mr.Conn()
	began = time.Now()
	eventually(t, w.here, "SELECT id FROM seen", "2000000")
	took := time.Since(began)
	var transactions int
	if _, after, ok := strings.Cut(n, "transactions actually processed: "); ok {
		_, _ = fmt.Sscan(after, &transactions)
	}
	t.Logf("a backlog of %d transactions (4 changes each) in %v: %.0f transactions/s", transactions, took.Round(time.Millisecond), float64(transactions)/took.Seconds())

	began = time.Now()
	exec(t, w.there, "INSERT INTO pgbench_history (tid, bid, aid, delta) SELECT 1, 1, g, 0 FROM generate_series(1, 500000) g; INSERT INTO probe VALUES (3000000)")
	written := time.Since(began)
	eventually(t, w.here, "SELECT id FROM seen", "3000000")
	t.Logf("one transaction of 500,000 rows: written in %v, here %v later", written.Round(time.Millisecond), (time.Since(began) - written).Round(time.Millisecond))
}
