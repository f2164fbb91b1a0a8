package kafkatest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/internal/e2e/harness"
)

func seed(t testing.TB) *rand.Rand {
	s := *seedFlag
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed %d", s)
	return rand.New(rand.NewPCG(s, 1))
}

// TestStory is the README's story under load: records of a topic in views, over kills of the server and of
// the broker at random moments, counted exactly once.
func TestStory(t *testing.T) {
	b := broker(t)
	rnd := seed(t)
	const partitions = 4
	topic := newTopic(t, b, partitions)
	load := startLoad(t, b, topic, partitions)
	s := harness.New(t)
	run(t, s, bidSource(b, "bids", topic))
	for _, v := range []string{
		`CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS n, count(DISTINCT id) AS ids, sum(id) AS s, sum(price) AS p FROM bids`,
		`CREATE MATERIALIZED VIEW by_auction AS SELECT auction, count(*) AS n, sum(price) AS total, max(price) AS high, max(id) AS last FROM bids GROUP BY auction`,
		`CREATE MATERIALIZED VIEW hot AS SELECT auction, total FROM by_auction ORDER BY total DESC, auction LIMIT 5`,
		`CREATE MATERIALIZED VIEW minutes AS SELECT window_start, channel, count(*) AS n FROM TUMBLE(bids, date_time, INTERVAL '10' SECOND) GROUP BY window_start, channel`,
	} {
		run(t, s, v)
	}
	for i := range *killsFlag {
		time.Sleep(time.Duration(rnd.IntN(1500)) * time.Millisecond) // the moment of the kill is the test
		if i%10 == 5 {
			b.Kill()
			if rnd.IntN(2) == 0 {
				s.Kill()
			}
			if err := b.Start(); err != nil {
				t.Fatal(err)
			}
			if s.Alive() {
				time.Sleep(time.Duration(rnd.IntN(1000)) * time.Millisecond)
			}
		}
		s.Kill()
		took := s.Start()
		n := countOf(t, s, "SELECT coalesce(sum(n), 0) FROM totals")
		t.Logf("kill %d: ready after %v with %d records", i+1, took.Round(time.Millisecond), n)
	}
	n := load.stop(t)
	t.Logf("%d records produced", n)
	want := expected(t, consume(t, b, topic), n)
	await(t, s, 2*time.Minute, "SELECT n, ids, s, p FROM totals", want.totals)
	expect(t, s, "SELECT auction, n, total, high, last FROM by_auction ORDER BY auction", want.auctions...)
	expect(t, s, "SELECT h.total - b.total FROM hot h JOIN by_auction b ON h.auction = b.auction", "0", "0", "0", "0", "0")
	expect(t, s, "SELECT sum(n), count(*) FROM minutes", fmt.Sprintf("%d|%d", n, want.windows))
	expect(t, s, "SELECT sum(rows), sum(errors) FROM millrace_catalog.splits WHERE errors > 0", "NULL|NULL")
}

func countOf(t *testing.T, s *harness.Server, sql string) (n int64) {
	t.Helper()
	got, err := query(s, sql)
	if err != nil || len(got) != 1 {
		t.Fatalf("%s: %v, %v", sql, got, err)
	}
	if _, err := fmt.Sscan(got[0], &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// expectation is what the views must hold when they have read the whole topic.
type expectation struct {
	totals   string
	auctions []string
	windows  int
}

// expected derives the views from what the topic holds, which must be each of the records 0 to n-1 once.
func expected(t *testing.T, recs []*kgo.Record, n int) expectation {
	t.Helper()
	if len(recs) != n {
		t.Fatalf("the topic holds %d records of %d produced", len(recs), n)
	}
	type group struct{ n, total, high, last int64 }
	groups := map[int64]*group{}
	ids := make(map[int64]bool, n)
	windows := map[string]bool{}
	var s, p int64
	for _, r := range recs {
		var v struct {
			ID, Auction, Price int64
			Channel, Date_time string
		}
		if err := json.Unmarshal(r.Value, &v); err != nil {
			t.Fatal(err)
		}
		g := groups[v.Auction]
		if g == nil {
			g = &group{}
			groups[v.Auction] = g
		}
		g.n, g.total, g.high, g.last = g.n+1, g.total+v.Price, max(g.high, v.Price), max(g.last, v.ID)
		ids[v.ID] = true
		windows[v.Date_time[:len("2024-07-15 00:00:0")]+v.Channel] = true
		s, p = s+v.ID, p+v.Price
	}
	e := expectation{totals: fmt.Sprintf("%d|%d|%d|%d", n, len(ids), s, p), windows: len(windows)}
	for a := int64(0); a < 97; a++ {
		if g := groups[a]; g != nil {
			e.auctions = append(e.auctions, fmt.Sprintf("%d|%d|%d|%d|%d", a, g.n, g.total, g.high, g.last))
		}
	}
	return e
}

// load produces bids as fast as a share of the machine allows, until it is stopped.
type load struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	n      int
	err    error
}

// loadRate is how many records a second a load produces.
const loadRate = 20_000

func startLoad(t *testing.T, b *Broker, topic string, partitions int32) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel}
	cl := client(t, b, kgo.RecordDeliveryTimeout(2*time.Minute), kgo.MaxBufferedRecords(50_000), kgo.ProducerLinger(5*time.Millisecond))
	var mu sync.Mutex
	l.done.Add(1)
	go func() { // stop waits
		defer l.done.Done()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			for _, r := range bids(topic, l.n, l.n+loadRate/100, partitions) {
				cl.Produce(context.Background(), r, func(_ *kgo.Record, err error) {
					if err != nil {
						mu.Lock()
						l.err = err
						mu.Unlock()
					}
				})
			}
			l.n += loadRate / 100
		}
		if err := cl.Flush(context.Background()); err != nil {
			mu.Lock()
			l.err = err
			mu.Unlock()
		}
	}()
	t.Cleanup(func() { cancel(); l.done.Wait() })
	return l
}

// stop ends the load and returns how many records it produced, all acknowledged.
func (l *load) stop(t *testing.T) int {
	t.Helper()
	l.cancel()
	l.done.Wait()
	if l.err != nil {
		t.Fatalf("produce: %v", l.err)
	}
	return l.n
}
