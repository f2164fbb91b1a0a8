package kafkatest

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// benchRecords is how many records BenchmarkBids reads. Their text has about 200 bytes each.
const benchRecords = 4_000_000

// bidViews are what the benchmarks read the topic into: a view that needs two columns of eight, which lets the
// decoder skip the others, and one that needs all.
var bidViews = []struct{ name, sql string }{
	{"group-by", `CREATE MATERIALIZED VIEW v AS SELECT auction, count(*) AS n, sum(price) AS total, max(price) AS high FROM bids GROUP BY auction`},
	{"all-columns", `CREATE MATERIALIZED VIEW v AS SELECT auction, count(*) AS n, sum(price) AS total, max(id) AS last, max(bidder) AS bidder, max(channel) AS channel,
		max(url) AS url, max(date_time) AS at, max(extra) AS extra FROM bids GROUP BY auction`},
}

// BenchmarkBids reads JSON bids that lie in a topic into a GROUP BY view. It reports records per second of
// wall time, and per second of the server's own CPU time, times two: what two cores yield when the broker has
// others to run on.
func BenchmarkBids(b *testing.B) {
	br := broker(b)
	topic := filledTopic(b, br, benchRecords)
	for _, v := range bidViews {
		b.Run(v.name, func(b *testing.B) {
			for b.Loop() {
				s := harness.New(b, "--parallelism", "2")
				run(b, s, bidSource(br, "bids", topic))
				cpu, began := cpuOf(b, s.PID()), time.Now()
				run(b, s, v.sql)
				await(b, s, 5*time.Minute, "SELECT sum(n) FROM v", strconv.Itoa(benchRecords))
				wall, used := time.Since(began), cpuOf(b, s.PID())-cpu
				b.ReportMetric(benchRecords/wall.Seconds(), "records/s-wall")
				if used > 0 {
					b.ReportMetric(2*benchRecords/used.Seconds(), "records/s-2-cores")
				}
				s.Kill()
			}
		})
	}
}

// BenchmarkBidsProfile is BenchmarkBids with the server inside the test process; MILLRACE_TEST_PROFILE names a
// file to write the CPU profile to, of the reading alone.
func BenchmarkBidsProfile(b *testing.B) {
	br := broker(b)
	topic := filledTopic(b, br, benchRecords)
	out := os.Getenv("MILLRACE_TEST_PROFILE")
	view := bidViews[0].sql
	if *allColumns {
		view = bidViews[1].sql
	}
	for b.Loop() {
		n := harness.NewNode(b)
		c := n.Conn()
		if _, err := c.Exec(b.Context(), bidSource(br, "bids", topic)); err != nil {
			b.Fatal(err)
		}
		if out != "" {
			f, err := os.Create(out)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			if err := pprof.StartCPUProfile(f); err != nil {
				b.Fatal(err)
			}
		}
		began := time.Now()
		if _, err := c.Exec(b.Context(), view); err != nil {
			b.Fatal(err)
		}
		for got := ""; got != strconv.Itoa(benchRecords); {
			if err := c.QueryRow(b.Context(), "SELECT coalesce(sum(n), 0)::text FROM v").Scan(&got); err != nil {
				b.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond)
		}
		b.ReportMetric(benchRecords/time.Since(began).Seconds(), "records/s-wall")
		if out != "" {
			pprof.StopCPUProfile()
		}
		n.Stop()
	}
}

// filledTopic makes a topic of n bids in 4 partitions.
func filledTopic(b *testing.B, br *Broker, n int) string {
	b.Helper()
	topic := newTopic(b, br, 4)
	cl := client(b, br, kgo.MaxBufferedRecords(100_000), kgo.ProducerLinger(5*time.Millisecond), kgo.ProducerBatchCompression(kgo.Lz4Compression()))
	fill(b, cl, topic, 0, n, 4)
	return topic
}

// cpuOf returns the CPU time that a process has used; 0 where it cannot be told.
func cpuOf(t testing.TB, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * (time.Second / 100) // USER_HZ is 100 everywhere
}

var allColumns = flag.Bool("all-columns", false, "profile the view of all columns")

// BenchmarkFreshness produces a record, waits until a view shows it, and reports how long that takes, at a low
// rate and with a reader that asks a thousand times a second at most.
func BenchmarkFreshness(b *testing.B) {
	br := broker(b)
	topic := newTopic(b, br, 2)
	s := harness.New(b)
	run(b, s, bidSource(br, "bids", topic))
	run(b, s, "CREATE MATERIALIZED VIEW c AS SELECT count(*) AS n FROM bids")
	cl := client(b, br)
	c := s.Conn()
	shown := func(n int) {
		for got := -1; got < n; {
			if err := c.QueryRow(b.Context(), "SELECT coalesce(sum(n), 0)::bigint FROM c", pgx.QueryExecModeSimpleProtocol).Scan(&got); err != nil {
				b.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
	}
	produce(b, br, bids(topic, 0, 10, 2)...) // connections and metadata are not what is measured
	if err := cl.ProduceSync(b.Context(), bids(topic, 10, 20, 2)...).FirstErr(); err != nil {
		b.Fatal(err)
	}
	shown(20)
	var acked, seen, after []time.Duration
	n := 20
	for b.Loop() {
		time.Sleep(time.Duration(40+n%30) * time.Millisecond) // the low rate
		began := time.Now()
		if err := cl.ProduceSync(b.Context(), bids(topic, n, n+1, 2)...).FirstErr(); err != nil {
			b.Fatal(err)
		}
		acked = append(acked, time.Since(began))
		n++
		shown(n)
		seen = append(seen, time.Since(began))
		after = append(after, seen[len(seen)-1]-acked[len(acked)-1])
	}
	for name, d := range map[string][]time.Duration{"ack": acked, "visible": seen, "after-ack": after} {
		slices.Sort(d)
		b.ReportMetric(float64(d[len(d)/2].Microseconds())/1000, "ms-"+name+"-p50")
		b.ReportMetric(float64(d[len(d)*99/100].Microseconds())/1000, "ms-"+name+"-p99")
	}
}
