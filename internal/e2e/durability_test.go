package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// fate is what became of a transaction as far as its client knows.
type fate int

const (
	unknown fate = iota // sent, and the server died: it may be there or not, but whole
	there
	gone
)

// batch is one transaction of a writer: rows of table item, and as many entries in table entry if inEntry.
type batch struct {
	id      int64
	rows    int
	inEntry bool
	fate    fate
}

// writer is one session that inserts numbered batches until the server dies.
type writer struct {
	rng     *rand.Rand
	n       int64
	batches []*batch
}

const durabilitySchema = `
	CREATE TABLE item (id bigint PRIMARY KEY, batch bigint NOT NULL, k int, v numeric, note text);
	CREATE TABLE entry (batch bigint, n int)`

var durabilityViews = []view{
	{"by_k", "SELECT k, count(*) AS n, sum(v) AS total, min(id) AS low, max(id) AS high FROM item GROUP BY k"},
	{"by_batch", "SELECT batch, count(*) AS n FROM item GROUP BY batch"},
	{"joined", "SELECT i.id, e.n FROM item i LEFT JOIN entry e ON i.batch = e.batch"},
	{"total", "SELECT count(*) AS n, sum(v) AS total FROM item"},
	{"notes", "SELECT DISTINCT note FROM item"},
	{"top", "SELECT k, id FROM (SELECT k, id, row_number() OVER (PARTITION BY k ORDER BY v DESC, id) AS r FROM item) x WHERE r <= 3"},
	{"over_view", "SELECT n, count(*) AS groups FROM by_batch GROUP BY n"},
}

// work inserts until the server is gone.
func (w *writer) work(url string, acked *atomic.Int64) {
	ctx, cancel := context.WithTimeout(context.Background(), statementWithin)
	defer cancel()
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return
	}
	defer c.Close(context.Background())
	for {
		w.n++
		b := &batch{id: w.n, rows: 1, inEntry: w.rng.IntN(3) == 0}
		if w.rng.IntN(2) == 0 {
			b.rows = 1 + w.rng.IntN(40)
		}
		w.batches = append(w.batches, b)
		if err := w.insert(ctx, c, b); err != nil {
			return // what it is called does not matter: it was not acknowledged
		}
		b.fate = there
		acked.Add(1)
	}
}

func (w *writer) insert(ctx context.Context, c *pgx.Conn, b *batch) error {
	items := make([]string, b.rows)
	entries := make([]string, b.rows)
	for i := range items {
		items[i] = fmt.Sprintf("(%d, %d, %d, %d.%02d, 'note %d')", b.id*100+int64(i), b.id, w.rng.IntN(10), w.rng.IntN(1000), w.rng.IntN(100), w.rng.IntN(50))
		entries[i] = fmt.Sprintf("(%d, %d)", b.id, i)
	}
	insert := "INSERT INTO item VALUES " + strings.Join(items, ", ")
	if !b.inEntry {
		_, err := c.Exec(ctx, insert)
		return err
	}
	tx, err := c.Begin(ctx)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, insert); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "INSERT INTO entry VALUES "+strings.Join(entries, ", ")); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// verify compares what the tables hold with what every batch's client knows, and settles unknown fates.
func verifyBatches(t *testing.T, c *pgx.Conn, when string, ws []*writer) {
	t.Helper()
	count := func(table string) map[string]int {
		m := map[string]int{}
		for _, r := range rows(t, c, "SELECT batch FROM "+table) {
			m[r]++
		}
		return m
	}
	items, entries := count("item"), count("entry")
	if n, distinct := one(t, c, "SELECT count(*) FROM item"), one(t, c, "SELECT count(DISTINCT id) FROM item"); n != distinct {
		t.Errorf("%s: %s rows of item, %s keys", when, n, distinct)
	}
	for _, w := range ws {
		for _, b := range w.batches {
			key := fmt.Sprint(b.id)
			got, also := items[key], entries[key]
			delete(items, key)
			delete(entries, key)
			if b.fate == unknown {
				b.fate = gone
				if got > 0 {
					b.fate = there
				}
			}
			want, wantAlso := b.rows, 0
			if b.fate == gone {
				want = 0
			}
			if b.inEntry {
				wantAlso = want
			}
			if got != want || also != wantAlso {
				t.Errorf("%s: batch %d has %d rows and %d entries, want %d and %d", when, b.id, got, also, want, wantAlso)
			}
		}
	}
	if len(items)+len(entries) > 0 {
		t.Errorf("%s: rows that nobody inserted: %v %v", when, items, entries)
	}
}

// TestDurability: writers insert numbered rows, the server is killed at a random moment, and after each restart every
// acknowledged batch is there once, every other batch is there whole or not at all, and for good, and every
// view equals its query.
func TestDurability(t *testing.T) {
	rng := newRand(t, 11)
	s := harness.New(t)
	c := s.Conn()
	exec(t, c, durabilitySchema)
	for _, v := range durabilityViews {
		exec(t, c, v.create())
	}
	var ws []*writer
	for i := range 4 {
		ws = append(ws, &writer{rng: rand.New(rand.NewPCG(rng.Uint64(), 2)), n: int64(i+1) * 1_000_000_000})
	}
	var acked atomic.Int64
	var worst time.Duration
	cycles := rounds(12, 100)
	for cycle := range cycles {
		var wg sync.WaitGroup
		for _, w := range ws {
			wg.Add(1)
			go func() { defer wg.Done(); w.work(s.URL(), &acked) }()
		}
		time.Sleep(time.Duration(rng.IntN(900)) * time.Millisecond) // the moment of the kill
		s.Kill()
		wg.Wait()
		worst = max(worst, s.Start())
		c := s.Conn()
		when := fmt.Sprintf("after kill %d", cycle+1)
		verifyBatches(t, c, when, ws)
		checkViews(t, c, when, durabilityViews)
		if cycle%3 == 2 { // an orderly stop in between, and nothing must change
			if code, took := s.Stop(); code != 0 || took > 5*time.Second {
				t.Errorf("SIGTERM: exit code %d after %v", code, took)
			}
			s.Start()
			c = s.Conn()
			verifyBatches(t, c, when+" and a clean restart", ws)
			checkViews(t, c, when+" and a clean restart", durabilityViews)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d kills, %d transactions acknowledged, slowest start %v", cycles, acked.Load(), worst)
	if acked.Load() < int64(cycles) {
		t.Errorf("only %d transactions were acknowledged", acked.Load())
	}
}
