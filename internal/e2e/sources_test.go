package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/internal/e2e/harness"
	"github.com/millrace/millrace/storage/object/objecttest"
)

// killer kills a server and starts it again at random moments.
type killer struct {
	t   *testing.T
	s   *harness.Server
	rng *rand.Rand
	n   int
}

// kill waits up to d and kills; it returns a connection to the next process.
func (k *killer) kill(d time.Duration) *pgx.Conn {
	k.t.Helper()
	time.Sleep(time.Duration(k.rng.Int64N(int64(d)))) // the moment of the kill
	k.s.Restart()
	k.n++
	return k.s.Conn()
}

// settled waits until a query has answered the same for a while, and returns the answer.
func settled(t *testing.T, c *pgx.Conn, sql string, want []string, within time.Duration) {
	t.Helper()
	eventually(t, c, sql, want, within)
	time.Sleep(300 * time.Millisecond) // more would come now if anything came twice
	eventually(t, c, sql, want, 0)
}

// TestNexmarkOverKills: a bounded nexmark stream counts each event once, whatever happens while it is read.
func TestNexmarkOverKills(t *testing.T) {
	const events = 400_000
	s := harness.New(t)
	c := s.Conn()
	exec(t, c, fmt.Sprintf(`CREATE SOURCE nexmark (event_type int, person_id bigint, auction_id bigint, auction_category bigint, auction_seller bigint,
		bid_auction bigint, bid_bidder bigint, bid_price bigint, bid_date_time timestamp)
		WITH (connector = 'nexmark', nexmark.event.num = '%d', nexmark.rows.per.second = '150000', nexmark.split.num = '4')`, events))
	exec(t, c, "CREATE MATERIALIZED VIEW kinds AS SELECT event_type, count(*) AS n FROM nexmark GROUP BY event_type")
	exec(t, c, "CREATE MATERIALIZED VIEW hot AS SELECT bid_auction, count(*) AS n, sum(bid_price) AS total, max(bid_price) AS high FROM nexmark WHERE event_type = 2 GROUP BY bid_auction")
	exec(t, c, `CREATE MATERIALIZED VIEW revenue AS SELECT a.auction_category, count(*) AS n, sum(b.bid_price) AS total
		FROM (SELECT bid_auction, bid_price FROM nexmark WHERE event_type = 2) b
		JOIN (SELECT auction_id, auction_category FROM nexmark WHERE event_type = 1) a ON b.bid_auction = a.auction_id GROUP BY a.auction_category`)
	k := &killer{t: t, s: s, rng: newRand(t, 31)}
	for range rounds(5, 30) {
		c = k.kill(700 * time.Millisecond)
	}
	// Of 50 events one is a person, three are auctions and 46 bids.
	settled(t, c, "SELECT * FROM kinds", []string{fmt.Sprintf("0|%d", events/50), fmt.Sprintf("1|%d", events*3/50), fmt.Sprintf("2|%d", events*46/50)}, 20*time.Second)
	// The stream is a function of its options: read again from scratch it must give the same.
	exec(t, c, `CREATE MATERIALIZED VIEW hot2 AS SELECT bid_auction, count(*) AS n, sum(bid_price) AS total, max(bid_price) AS high FROM nexmark WHERE event_type = 2 GROUP BY bid_auction`)
	settled(t, c, "SELECT sum(n) FROM hot2", []string{strconv.Itoa(events * 46 / 50)}, 20*time.Second)
	if d := diff(rows(t, c, "SELECT * FROM hot2"), rows(t, c, "SELECT * FROM hot")); d != "" {
		t.Errorf("the view that lived through %d kills differs from one made afterwards\n%s", k.n, d)
	}
	want := rows(t, c, "SELECT sum(n) FROM revenue")
	c = k.kill(time.Millisecond)
	if d := diff(want, rows(t, c, "SELECT sum(n) FROM revenue")); d != "" {
		t.Errorf("a kill when all was still changed the join\n%s", d)
	}
}

// TestDatagenOverKills: every row of a sequence is counted once.
func TestDatagenOverKills(t *testing.T) {
	const n = 60_000
	s := harness.New(t)
	c := s.Conn()
	exec(t, c, fmt.Sprintf(`CREATE SOURCE seq (id bigint, word varchar) WITH (connector = 'datagen', datagen.rows.per.second = '20000', datagen.split.num = '3',
		fields.id.kind = 'sequence', fields.id.start = '1', fields.id.end = '%d', fields.word.length = '5')`, n))
	exec(t, c, "CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n, count(DISTINCT id) AS d, sum(id) AS total FROM seq")
	k := &killer{t: t, s: s, rng: newRand(t, 32)}
	for range rounds(4, 20) {
		c = k.kill(900 * time.Millisecond)
	}
	settled(t, c, "SELECT * FROM counted", []string{fmt.Sprintf("%d|%d|%d", n, n, n*(n+1)/2)}, 20*time.Second)
}

// TestFilesOverKills: lines that are added to files, and files that appear, are read once; what a sink writes to a folder is each
// row once.
func TestFilesOverKills(t *testing.T) {
	in, out := t.TempDir(), t.TempDir()
	s := harness.New(t)
	c := s.Conn()
	exec(t, c, fmt.Sprintf(`CREATE TABLE lines (id bigint, word varchar) WITH (connector = 'posix_fs', posix_fs.root = '%s', match_pattern = '*.json',
		posix_fs.poll.interval = '20') FORMAT PLAIN ENCODE JSON`, in))
	exec(t, c, "CREATE MATERIALIZED VIEW words AS SELECT word, count(*) AS n, sum(id) AS total FROM lines GROUP BY word")
	exec(t, c, fmt.Sprintf(`CREATE SINK copy AS SELECT id, word FROM lines WITH (connector = 'posix_fs', fs.path = '%s', type = 'append-only', force_append_only = 'true', rollover_seconds = '0') FORMAT PLAIN ENCODE JSON`, out))
	k := &killer{t: t, s: s, rng: newRand(t, 33)}
	next := 0
	add := func(file string, n int) {
		f, err := os.OpenFile(filepath.Join(in, file), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var b strings.Builder
		for range n {
			next++
			fmt.Fprintf(&b, "{\"id\": %d, \"word\": \"w%d\"}\n", next, next%7)
		}
		if _, err := f.WriteString(b.String()); err != nil {
			t.Fatal(err)
		}
	}
	for i := range rounds(8, 40) {
		add(fmt.Sprintf("part%d.json", i%3), 1+k.rng.IntN(3000))
		add(fmt.Sprintf("new%d.json", i), 1+k.rng.IntN(500))
		c = k.kill(700 * time.Millisecond)
	}
	total := int64(next) * int64(next+1) / 2
	settled(t, c, "SELECT count(*), count(DISTINCT id), sum(id) FROM lines", []string{fmt.Sprintf("%d|%d|%d", next, next, total)}, 20*time.Second)
	if got := one(t, c, "SELECT sum(n), sum(total) FROM words"); got != fmt.Sprintf("%d|%d", next, total) {
		t.Errorf("the view adds up to %s, want %d|%d", got, next, total)
	}
	exec(t, c, "FLUSH")
	deadline := time.Now().Add(15 * time.Second)
	for {
		n, twice, missing := readSink(t, out, next)
		if n == next && twice == 0 && missing == 0 {
			break
		}
		if time.Now().After(deadline) || twice > 0 {
			t.Fatalf("after %d kills the folder holds %d rows of %d, %d of them more than once, %d missing", k.n, n, next, twice, missing)
		}
		time.Sleep(50 * time.Millisecond) // the sink delivers after the next checkpoint
	}
}

// readSink counts the rows in a sink's finished files.
func readSink(t *testing.T, dir string, n int) (count, twice, missing int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "[a-zA-Z0-9]*.json"))
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(files)
	seen := make([]int, n+1)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
			var r struct{ ID int }
			if err := json.Unmarshal([]byte(line), &r); err != nil || r.ID < 1 || r.ID > n {
				t.Fatalf("%s: line %q: %v", f, line, err)
			}
			seen[r.ID]++
			count++
		}
	}
	for _, s := range seen[1:] {
		if s > 1 {
			twice++
		} else if s == 0 {
			missing++
		}
	}
	return count, twice, missing
}

// TestSinkOfExistingRows: a sink on a table that has rows already delivers each of them once, also when the server is killed
// while they are being read.
func TestSinkOfExistingRows(t *testing.T) {
	const n = 200_000
	for _, kills := range []int{0, 3} {
		t.Run(fmt.Sprintf("%d kills", kills), func(t *testing.T) {
			out := t.TempDir()
			s := harness.New(t)
			c := s.Conn()
			exec(t, c, "CREATE TABLE big (id bigint PRIMARY KEY, v int)")
			exec(t, c, fmt.Sprintf("INSERT INTO big SELECT i, 1 FROM generate_series(1, %d) AS g(i)", n))
			exec(t, c, "FLUSH")
			create := fmt.Sprintf(`CREATE SINK copy AS SELECT id, v FROM big WITH (connector = 'posix_fs', fs.path = '%s', type = 'append-only', force_append_only = 'true', rollover_seconds = '0') FORMAT PLAIN ENCODE JSON`, out)
			created := make(chan error, 1)
			creator := s.Conn()
			go func() { created <- try(creator, create) }()
			k := &killer{t: t, s: s, rng: newRand(t, 34)}
			for range kills {
				c = k.kill(500 * time.Millisecond)
			}
			if err := <-created; err != nil && kills == 0 {
				t.Fatal(err)
			}
			if kills > 0 {
				if err := try(c, create); err != nil && code(err) != "42P07" && code(err) != "42710" {
					t.Fatal(err)
				}
			}
			deadline := time.Now().Add(20 * time.Second)
			for {
				count, twice, missing := readSink(t, out, n)
				if twice > 0 || time.Now().After(deadline) {
					t.Fatalf("the folder holds %d rows, %d more than once, %d missing", count, twice, missing)
				}
				if missing == 0 {
					return
				}
				time.Sleep(100 * time.Millisecond) // the sink delivers after a checkpoint
			}
		})
	}
}

// TestSinkIntoTableOverKills: what a sink writes into a table without a key is there once, also after kills between its delivery and
// the next checkpoint.
func TestSinkIntoTableOverKills(t *testing.T) {
	s := harness.New(t)
	c := s.Conn()
	exec(t, c, "CREATE TABLE src (id bigint PRIMARY KEY, v int); CREATE TABLE dst (id bigint, v int); CREATE TABLE keyed (k bigint PRIMARY KEY, n bigint)")
	exec(t, c, "CREATE SINK into_dst INTO dst AS SELECT id, v FROM src")
	exec(t, c, "CREATE SINK into_keyed INTO keyed AS SELECT id % 100 AS k, count(*) AS n FROM src GROUP BY id % 100")
	exec(t, c, "CREATE MATERIALIZED VIEW dst_n AS SELECT count(*) AS n, sum(id) AS total FROM dst")
	k := &killer{t: t, s: s, rng: newRand(t, 35)}
	for range rounds(12, 60) {
		stop := make(chan struct{})
		done := make(chan struct{})
		go func() { // inserts until the kill
			defer close(done)
			base := k.rng.Int64()
			w, err := pgx.Connect(context.Background(), s.URL())
			if err != nil {
				return
			}
			defer w.Close(context.Background())
			for i := int64(0); ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if try(w, fmt.Sprintf("INSERT INTO src VALUES (%d, 1), (%d, 2)", base>>20+2*i, base>>20+2*i+1)) != nil {
					return
				}
			}
		}()
		time.Sleep(time.Duration(200+50*(k.n%12)) * time.Millisecond) // the moment of the kill
		s.Kill()
		close(stop)
		<-done
		s.Start()
		k.n++
	}
	c = s.Conn()
	want := rows(t, c, "SELECT id, v FROM src")
	deadline := time.Now().Add(15 * time.Second)
	for {
		got := rows(t, c, "SELECT id, v FROM dst")
		if d := diff(want, got); d == "" {
			break
		} else if time.Now().After(deadline) || len(got) > len(want) {
			t.Fatalf("after %d kills the target differs from the source\n%s", k.n, d)
		}
		time.Sleep(50 * time.Millisecond) // the sink delivers after the next checkpoint
	}
	eventually(t, c, "SELECT k, n FROM keyed", rows(t, c, "SELECT id % 100, count(*) FROM src GROUP BY id % 100"), 10*time.Second)
	checkViews(t, c, "at the end", []view{{"dst_n", "SELECT count(*) AS n, sum(id) AS total FROM dst"}})
	t.Logf("%d kills, %d rows", k.n, len(want))
}

// TestKafkaOverKills: records of a topic count once in a view, and come out once on another topic, over many kills of the server
// while they are produced.
func TestKafkaOverKills(t *testing.T) {
	t.Run("folder", func(t *testing.T) { kafkaOverKills(t, 36) })
	t.Run("s3", func(t *testing.T) {
		store := objecttest.S3Server(t, nil)
		kafkaOverKills(t, 37, "--object-store", "s3://"+objecttest.Bucket+"/run?access_key=key&secret_key=secret&endpoint="+url.QueryEscape(store.URL))
	})
}

// kafkaOverKills runs the server with further arguments, as many kills in each run.
func kafkaOverKills(t *testing.T, seed uint64, args ...string) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "in"), kfake.SeedTopics(2, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	addr := strings.Join(cluster.ListenAddrs(), ",")
	s := harness.New(t, args...)
	c := s.Conn()
	exec(t, c, fmt.Sprintf(`CREATE SOURCE bids (id bigint, k int, price bigint) WITH (connector = 'kafka', topic = 'in', properties.bootstrap.server = '%s',
		scan.startup.mode = 'earliest') FORMAT PLAIN ENCODE JSON`, addr))
	exec(t, c, "CREATE MATERIALIZED VIEW by_k AS SELECT k, count(*) AS n, count(DISTINCT id) AS d, sum(price) AS total FROM bids GROUP BY k")
	exec(t, c, fmt.Sprintf(`CREATE SINK copy AS SELECT id, price FROM bids WITH (connector = 'kafka', topic = 'out', properties.bootstrap.server = '%s',
		type = 'append-only', force_append_only = 'true') FORMAT PLAIN ENCODE JSON`, addr))
	producer, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic("in"))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	k := &killer{t: t, s: s, rng: newRand(t, seed)}
	sent, total := 0, int64(0)
	var sums [10]int64
	for range rounds(12, 60) {
		var recs []*kgo.Record
		for range 1000 + k.rng.IntN(4000) {
			sent++
			price := int64(sent % 977)
			total += price
			sums[sent%10]++
			recs = append(recs, &kgo.Record{Value: []byte(fmt.Sprintf(`{"id":%d,"k":%d,"price":%d}`, sent, sent%10, price))})
		}
		if err := producer.ProduceSync(context.Background(), recs...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		c = k.kill(900 * time.Millisecond)
	}
	settled(t, c, "SELECT sum(n), sum(d), sum(total) FROM by_k", []string{fmt.Sprintf("%d|%d|%d", sent, sent, total)}, 30*time.Second)
	consumeOnce(t, addr, sent)
	t.Logf("%d kills, %d records", k.n, sent)
}

// consumeOnce reads the committed records of topic out until all ids have come, and a little longer.
func consumeOnce(t *testing.T, addr string, n int) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics("out"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	seen := make([]int, n+1)
	got := 0
	deadline := time.Now().Add(45 * time.Second)
	for idle := 0; idle < 3; {
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		f := cl.PollFetches(ctx)
		cancel()
		f.EachRecord(func(r *kgo.Record) {
			var v struct{ ID int }
			if err := json.Unmarshal(r.Value, &v); err != nil || v.ID < 1 || v.ID > n {
				t.Errorf("record %q: %v", r.Value, err)
				return
			}
			seen[v.ID]++
			got++
		})
		if f.NumRecords() == 0 && got >= n {
			idle++
		}
		if time.Now().After(deadline) {
			break
		}
	}
	twice, missing := 0, 0
	for _, s := range seen[1:] {
		if s > 1 {
			twice++
		} else if s == 0 {
			missing++
		}
	}
	if twice+missing > 0 {
		t.Errorf("topic out: %d records for %d ids, %d more than once, %d missing", got, n, twice, missing)
	}
}
