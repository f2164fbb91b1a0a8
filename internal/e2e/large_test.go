package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// TestSmallBesideLarge writes and reads single rows while a COPY of many megabytes is under way: nobody waits for its end.
func TestSmallBesideLarge(t *testing.T) {
	const loadRows, slowest = 60_000, 3 * time.Second
	node := harness.NewNode(t)
	ctx, a, b := t.Context(), node.Conn(), node.Conn()
	if _, err := a.Exec(ctx, `CREATE TABLE big (id int PRIMARY KEY, v text)`); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Exec(ctx, `CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM big`); err != nil {
		t.Fatal(err)
	}
	var loading atomic.Bool
	loading.Store(true)
	done := make(chan error, 1)
	go func() {
		text := strings.Builder{}
		for i := range loadRows {
			fmt.Fprintf(&text, "%d\t%s\n", i, strings.Repeat("v", 1000))
		}
		_, err := a.PgConn().CopyFrom(ctx, strings.NewReader(text.String()), "COPY big FROM STDIN")
		loading.Store(false)
		done <- err
	}()
	beside, worst, last := 0, time.Duration(0), -1
	for n := 1; loading.Load(); n++ {
		start := time.Now()
		if _, err := b.Exec(ctx, fmt.Sprintf("INSERT INTO big VALUES (%d, 'small')", -n)); err != nil {
			t.Fatal(err)
		}
		var small, all int
		if err := b.QueryRow(ctx, "SELECT (SELECT count(*) FROM big WHERE id < 0), (SELECT n FROM counted)").Scan(&small, &all); err != nil {
			t.Fatal(err)
		}
		if large := all - small; small != n || large != 0 && large != loadRows {
			t.Fatalf("%d small rows, %d of the large transaction", small, large)
		}
		worst = max(worst, time.Since(start))
		beside, last = beside+1, n
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if beside < 10 || worst > slowest {
		t.Errorf("%d small transactions beside the large one, the slowest took %v", beside, worst)
	}
	var n int
	if err := b.QueryRow(ctx, "SELECT n FROM counted").Scan(&n); err != nil || n != loadRows+last {
		t.Errorf("%d rows, %v; want %d", n, err, loadRows+last)
	}
}

// TestLargeKills ends the server with kill -9 at random moments of large transactions, which are there whole afterwards or not at all,
// and are there if they were acknowledged.
func TestLargeKills(t *testing.T) {
	const rowsEach = 4000
	s := harness.New(t)
	ctx := t.Context()
	c := s.Conn()
	for _, sql := range []string{`CREATE TABLE big (id bigint PRIMARY KEY, batch int, v text)`, `CREATE TABLE bag (batch int, v text)`,
		`CREATE MATERIALIZED VIEW batches AS SELECT batch, count(*) AS n FROM big GROUP BY batch`} {
		if _, err := c.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	acked, batch := map[int]bool{}, 0
	for round := range 4 {
		killed := make(chan struct{})
		time.AfterFunc(time.Duration(100+rand.IntN(1200))*time.Millisecond, func() {
			s.Kill()
			close(killed)
		})
		w, err := pgx.Connect(ctx, s.URL())
		for err == nil {
			batch++
			err = pgx.BeginFunc(ctx, w, func(tx pgx.Tx) error {
				_, err := tx.Exec(ctx, fmt.Sprintf("INSERT INTO big SELECT %d * 10000 + i, %d, repeat('x', 1500) FROM generate_series(1, %d) i", batch, batch, rowsEach))
				if err == nil {
					_, err = tx.Exec(ctx, fmt.Sprintf("INSERT INTO bag VALUES (%d, 'x')", batch))
				}
				return err
			})
			if err == nil {
				acked[batch] = true
			}
		}
		<-killed
		s.Start()
		checkBatches(t, s, round, acked, rowsEach)
	}
	if len(acked) == 0 {
		t.Error("no transaction was acknowledged")
	}
}

func checkBatches(t *testing.T, s *harness.Server, round int, acked map[int]bool, rowsEach int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	rows, err := s.Conn().Query(ctx, `SELECT batch, coalesce(big.k, 0), coalesce(bag.k, 0), coalesce(v.n, 0)
		FROM (SELECT batch, count(*) AS k FROM big GROUP BY batch) big FULL JOIN (SELECT batch, count(*) AS k FROM bag GROUP BY batch) bag USING (batch)
		FULL JOIN batches v USING (batch)`)
	if err != nil {
		t.Fatal(err)
	}
	found := map[int]bool{}
	var batch, big, bag, viewed int
	_, err = pgx.ForEachRow(rows, []any{&batch, &big, &bag, &viewed}, func() error {
		if found[batch] = true; big != rowsEach || bag != 1 || viewed != rowsEach {
			t.Errorf("round %d: batch %d has %d rows with a key, %d without, and %d in the view", round, batch, big, bag, viewed)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for b := range acked {
		if !found[b] {
			t.Errorf("round %d: batch %d was acknowledged and is lost", round, b)
		}
	}
}
