package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// sessions runs n clients at the same time, each on a connection of its own, and reports their errors.
func sessions(t *testing.T, url string, n int, work func(ctx context.Context, c *pgx.Conn, i int) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c, err := pgx.Connect(ctx, url)
			if err == nil {
				defer c.Close(context.Background())
				err = work(ctx, c, i)
			}
			if err != nil {
				t.Errorf("session %d: %v", i, err)
			}
		}()
	}
	wg.Wait()
}

// retried runs a transaction until it is not refused with 40001.
func retried(ctx context.Context, c *pgx.Conn, retries *atomic.Int64, f func(tx pgx.Tx) error) error {
	for range 10_000 {
		err := pgx.BeginFunc(ctx, c, f)
		if code(err) != "40001" {
			return err
		}
		retries.Add(1)
	}
	return errors.New("refused with 40001 ten thousand times")
}

// TestUpdatesAreNotLost: eight sessions add one to few rows; the sums must be what was acknowledged.
func TestUpdatesAreNotLost(t *testing.T) {
	const clients, rowCount, each = 8, 3, 60
	for _, c := range []struct {
		name string
		key  string
		add  func(ctx context.Context, c *pgx.Conn, row int, retries *atomic.Int64) error
	}{
		{"autocommit", " PRIMARY KEY", func(ctx context.Context, c *pgx.Conn, row int, retries *atomic.Int64) error {
			for {
				_, err := c.Exec(ctx, "UPDATE acc SET n = n + 1 WHERE id = $1", row)
				if code(err) != "40001" {
					return err
				}
				retries.Add(1)
			}
		}},
		{"no key", "", func(ctx context.Context, c *pgx.Conn, row int, retries *atomic.Int64) error {
			for {
				_, err := c.Exec(ctx, "UPDATE acc SET n = n + 1 WHERE id = $1", row)
				if code(err) != "40001" {
					return err
				}
				retries.Add(1)
			}
		}},
		{"block", " PRIMARY KEY", func(ctx context.Context, c *pgx.Conn, row int, retries *atomic.Int64) error {
			return retried(ctx, c, retries, func(tx pgx.Tx) error {
				_, err := tx.Exec(ctx, "UPDATE acc SET n = n + 1 WHERE id = $1", row)
				return err
			})
		}},
		{"read, then write", " PRIMARY KEY", func(ctx context.Context, c *pgx.Conn, row int, retries *atomic.Int64) error {
			return retried(ctx, c, retries, func(tx pgx.Tx) error {
				var n int64
				if err := tx.QueryRow(ctx, "UPDATE acc SET n = n + 1 WHERE id = $1 RETURNING n", row).Scan(&n); err != nil {
					return err
				}
				_, err := tx.Exec(ctx, "INSERT INTO history VALUES ($1, $2)", row, n)
				return err
			})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			node := harness.NewNode(t)
			conn := node.Conn()
			exec(t, conn, "CREATE TABLE acc (id int"+c.key+", n bigint); CREATE TABLE history (id int, n bigint)")
			exec(t, conn, "CREATE MATERIALIZED VIEW total AS SELECT sum(n) AS n, count(*) AS accounts FROM acc")
			for i := range rowCount {
				exec(t, conn, fmt.Sprintf("INSERT INTO acc VALUES (%d, 0)", i))
			}
			var retries atomic.Int64
			sessions(t, node.URL(), clients, func(ctx context.Context, conn *pgx.Conn, i int) error {
				rng := rand.New(rand.NewPCG(uint64(i), 3))
				for range each {
					if err := c.add(ctx, conn, rng.IntN(rowCount), &retries); err != nil {
						return err
					}
				}
				return nil
			})
			want := strconv.Itoa(clients * each)
			if got := one(t, conn, "SELECT sum(n) FROM acc"); got != want {
				t.Errorf("the table adds up to %s, want %s", got, want)
			}
			if got := rows(t, conn, "SELECT n, accounts FROM total"); len(got) != 1 || got[0] != want+"|3" {
				t.Errorf("the view says %v, want %s|3", got, want)
			}
			if got := one(t, conn, "SELECT count(*) FROM acc"); got != "3" {
				t.Errorf("%s accounts, want 3", got)
			}
			if c.name == "read, then write" {
				if got := rows(t, conn, "SELECT id, n, count(*) FROM history GROUP BY id, n HAVING count(*) > 1"); len(got) > 0 {
					t.Errorf("two transactions returned the same new value: %v", got)
				}
			}
			t.Logf("%d retries", retries.Load())
		})
	}
}

// TestLateCommit: a transaction that read a row before another one changed and published it must not
// overwrite the change.
func TestLateCommit(t *testing.T) {
	node := harness.NewNode(t)
	a, b := node.Conn(), node.Conn()
	exec(t, a, "CREATE TABLE acc (id int PRIMARY KEY, n bigint); INSERT INTO acc VALUES (1, 0)")
	exec(t, a, "CREATE MATERIALIZED VIEW total AS SELECT sum(n) AS n FROM acc")
	exec(t, a, "BEGIN; UPDATE acc SET n = n + 1 WHERE id = 1")
	exec(t, b, "UPDATE acc SET n = n + 10 WHERE id = 1")
	if got := one(t, b, "SELECT n FROM total"); got != "10" { // and thereby visible everywhere
		t.Fatalf("the view says %s, want 10", got)
	}
	err := try(a, "COMMIT")
	want := "11" // the statement was run again
	if code(err) == "40001" {
		want = "10"
	} else if err != nil {
		t.Fatal(err)
	}
	if got := one(t, b, "SELECT n FROM acc"); got != want {
		t.Errorf("the row has %s, want %s (COMMIT said %v)", got, want, err)
	}
	if got := one(t, b, "SELECT n FROM total"); got != want {
		t.Errorf("the view says %s, want %s", got, want)
	}
}

// TestLateInsert: of two transactions with the same key the second is refused, however late it commits.
func TestLateInsert(t *testing.T) {
	node := harness.NewNode(t)
	a, b := node.Conn(), node.Conn()
	exec(t, a, "CREATE TABLE u (id int PRIMARY KEY, who text); CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n, max(who) AS who FROM u")
	exec(t, a, "BEGIN; INSERT INTO u VALUES (1, 'a')")
	exec(t, b, "INSERT INTO u VALUES (1, 'b')")
	if got := one(t, b, "SELECT n, who FROM n"); got != "1|b" {
		t.Fatalf("the view says %s, want 1|b", got)
	}
	if err := try(a, "COMMIT"); code(err) != "23505" {
		t.Errorf("COMMIT said %v, want 23505", err)
	}
	if got := one(t, b, "SELECT n, who FROM n"); got != "1|b" {
		t.Errorf("the view says %s, want 1|b", got)
	}
	checkViews(t, b, "afterwards", []view{{"n", "SELECT count(*) AS n, max(who) AS who FROM u"}})
}

// TestOneWinnerPerKey: of concurrent inserts of one key exactly one is acknowledged, the others get 23505.
func TestOneWinnerPerKey(t *testing.T) {
	const clients, keys = 8, 60
	node := harness.NewNode(t)
	c := node.Conn()
	exec(t, c, "CREATE TABLE u (id int PRIMARY KEY, who int); CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n, count(DISTINCT id) AS k FROM u")
	var wins [keys]atomic.Int64
	sessions(t, node.URL(), clients, func(ctx context.Context, c *pgx.Conn, i int) error {
		for k := range keys {
			_, err := c.Exec(ctx, "INSERT INTO u VALUES ($1, $2)", k, i)
			switch {
			case err == nil:
				wins[k].Add(1)
			case code(err) != "23505":
				return err
			}
		}
		return nil
	})
	for k := range keys {
		if n := wins[k].Load(); n != 1 {
			t.Errorf("key %d: %d sessions were told that they inserted it", k, n)
		}
	}
	if got := one(t, c, "SELECT n, k FROM n"); got != fmt.Sprintf("%d|%d", keys, keys) {
		t.Errorf("the view says %s, want %d|%d", got, keys, keys)
	}
}

// TestTransfersKeepTheTotal: money moves between accounts, and every read of a view over them sees the same total.
func TestTransfersKeepTheTotal(t *testing.T) {
	const clients, accounts, each = 6, 5, 50
	node := harness.NewNode(t)
	c := node.Conn()
	exec(t, c, "CREATE TABLE acc (id int PRIMARY KEY, n bigint)")
	exec(t, c, "CREATE MATERIALIZED VIEW total AS SELECT sum(n) AS n, count(*) AS accounts FROM acc")
	for i := range accounts {
		exec(t, c, fmt.Sprintf("INSERT INTO acc VALUES (%d, 1000)", i))
	}
	want := fmt.Sprintf("%d|%d", accounts*1000, accounts)
	stop := make(chan struct{})
	var reader sync.WaitGroup
	reader.Add(1)
	reads := 0
	go func() {
		defer reader.Done()
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, q := range []string{"SELECT n, accounts FROM total", "SELECT sum(n), count(*) FROM acc",
				"SELECT t.n, x.c FROM total t, (SELECT count(*) AS c FROM acc) x"} {
				got, err := query(c, q)
				if err != nil || len(got) != 1 || got[0] != want {
					t.Errorf("%s: %v %v, want %s", q, got, err, want)
					return
				}
				reads++
			}
		}
	}()
	var retries atomic.Int64
	sessions(t, node.URL(), clients, func(ctx context.Context, c *pgx.Conn, i int) error {
		rng := rand.New(rand.NewPCG(uint64(i), 4))
		for range each {
			from, to, amount := rng.IntN(accounts), rng.IntN(accounts), rng.IntN(50)
			err := retried(ctx, c, &retries, func(tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, "UPDATE acc SET n = n - $1 WHERE id = $2", amount, from); err != nil {
					return err
				}
				_, err := tx.Exec(ctx, "UPDATE acc SET n = n + $1 WHERE id = $2", amount, to)
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	close(stop)
	reader.Wait()
	if got := one(t, c, "SELECT n, accounts FROM total"); got != want {
		t.Errorf("the view says %s, want %s", got, want)
	}
	t.Logf("%d reads, %d retries", reads, retries.Load())
}

// TestOnePointInTime: a reader sees two tables written in one transaction, and a view over both, at one point.
func TestOnePointInTime(t *testing.T) {
	node := harness.NewNode(t)
	c := node.Conn()
	exec(t, c, "CREATE TABLE a (id bigint PRIMARY KEY); CREATE TABLE b (id bigint)")
	exec(t, c, "CREATE MATERIALIZED VIEW pairs AS SELECT count(*) AS n FROM a JOIN b ON a.id = b.id")
	exec(t, c, "CREATE MATERIALIZED VIEW na AS SELECT count(*) AS n FROM a; CREATE MATERIALIZED VIEW nb AS SELECT count(*) AS n FROM b")
	const each = 100
	var done atomic.Bool
	var reader sync.WaitGroup
	reader.Add(1)
	go func() {
		defer reader.Done()
		for !done.Load() {
			got, err := query(c, `SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b), (SELECT n FROM pairs), (SELECT n FROM na), (SELECT n FROM nb)`)
			if err != nil || len(got) != 1 {
				t.Errorf("read: %v %v", got, err)
				return
			}
			var v [5]int
			if _, err := fmt.Sscanf(got[0], "%d|%d|%d|%d|%d", &v[0], &v[1], &v[2], &v[3], &v[4]); err != nil {
				t.Error(err)
				return
			}
			for _, n := range v {
				if n != v[0] {
					t.Errorf("one statement saw different points: %s", got[0])
					return
				}
			}
		}
	}()
	sessions(t, node.URL(), 3, func(ctx context.Context, c *pgx.Conn, i int) error {
		for k := range each {
			id := i*1_000_000 + k
			err := pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, "INSERT INTO a VALUES ($1)", id); err != nil {
					return err
				}
				_, err := tx.Exec(ctx, "INSERT INTO b VALUES ($1)", id)
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	done.Store(true)
	reader.Wait()
}

// TestReadYourWrites: what a session has written is in the table and in views over views at its next statement.
func TestReadYourWrites(t *testing.T) {
	node := harness.NewNode(t)
	c := node.Conn()
	exec(t, c, "CREATE TABLE a (s int, id bigint)")
	exec(t, c, "CREATE MATERIALIZED VIEW v AS SELECT s, count(*) AS n FROM a GROUP BY s; CREATE MATERIALIZED VIEW vv AS SELECT s, n * 2 AS n FROM v")
	sessions(t, node.URL(), 4, func(ctx context.Context, c *pgx.Conn, i int) error {
		for k := range 100 {
			if _, err := c.Exec(ctx, "INSERT INTO a VALUES ($1, $2)", i, k); err != nil {
				return err
			}
			var n int
			if err := c.QueryRow(ctx, "SELECT n FROM vv WHERE s = $1", i).Scan(&n); err != nil {
				return fmt.Errorf("read after insert %d: %w", k+1, err)
			}
			if n != 2*(k+1) {
				return fmt.Errorf("after insert %d the view says %d", k+1, n)
			}
		}
		return nil
	})
}

// TestReadOthersWrites: what one session was told is committed, any session sees at its next statement, in the table and in the view:
// clients take their connections from pools.
func TestReadOthersWrites(t *testing.T) {
	node := harness.NewNode(t)
	a, b := node.Conn(), node.Conn()
	exec(t, a, "CREATE TABLE t (id bigint); CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t; CREATE MATERIALIZED VIEW vv AS SELECT n FROM v")
	stale := map[string]int{}
	for i := range 200 {
		exec(t, a, fmt.Sprintf("INSERT INTO t VALUES (%d)", i))
		for _, q := range []string{"SELECT count(*) FROM t", "SELECT n FROM v", "SELECT n FROM vv"} {
			if got := one(t, b, q); got != strconv.Itoa(i+1) {
				stale[q]++
			}
		}
	}
	if len(stale) > 0 {
		t.Errorf("reads of 200 that did not see what another session had committed: %v", stale)
	}
}
