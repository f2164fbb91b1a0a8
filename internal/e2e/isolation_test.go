package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// TestSnapshotHolds: while money moves between two tables, a REPEATABLE READ transaction that looks at one after the
// other, and at the view over both, always finds the same total. READ COMMITTED would see some of it move.
func TestSnapshotHolds(t *testing.T) {
	const movers, readers, each = 3, 3, 60
	node := harness.NewNode(t)
	c := node.Conn()
	exec(t, c, "CREATE TABLE a (id int PRIMARY KEY, n bigint); CREATE TABLE b (id int PRIMARY KEY, n bigint)")
	exec(t, c, "CREATE MATERIALIZED VIEW both_ AS SELECT sum(n) AS n FROM (SELECT n FROM a UNION ALL SELECT n FROM b) x")
	exec(t, c, "INSERT INTO a SELECT g, 100 FROM generate_series(1, 10) g; INSERT INTO b SELECT g, 100 FROM generate_series(1, 10) g")
	var retries, moved, changed atomic.Int64
	sessions(t, node.URL(), movers+readers, func(ctx context.Context, c *pgx.Conn, i int) error {
		rng := rand.New(rand.NewPCG(uint64(i), 5))
		for range each {
			if i < movers {
				n, id, to := rng.IntN(20), rng.IntN(10)+1, rng.IntN(10)+1
				err := retried(ctx, c, &retries, func(tx pgx.Tx) error {
					_, err := tx.Exec(ctx, "UPDATE a SET n = n - $1 WHERE id = $2", n, id)
					if err == nil {
						_, err = tx.Exec(ctx, "UPDATE b SET n = n + $1 WHERE id = $2", n, to)
					}
					return err
				})
				if err != nil {
					return err
				}
				moved.Add(1)
				continue
			}
			err := pgx.BeginTxFunc(ctx, c, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
				var inA, inB, inBoth, again int64
				for _, q := range []struct {
					sql string
					to  *int64
				}{{"SELECT sum(n)::bigint FROM a", &inA}, {"SELECT n::bigint FROM both_", &inBoth}, {"SELECT sum(n)::bigint FROM b", &inB},
					{"SELECT sum(n)::bigint FROM a", &again}} {
					if err := tx.QueryRow(ctx, q.sql).Scan(q.to); err != nil {
						return err
					}
				}
				if inA+inB != 2000 || inBoth != 2000 || again != inA {
					return fmt.Errorf("a has %d, then %d, b %d, the view %d", inA, again, inB, inBoth)
				}
				if inA != 1000 {
					changed.Add(1)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if changed.Load() == 0 {
		t.Error("no reader saw money that had moved: the test tests nothing")
	}
}

// TestWriteSkew: each transaction takes from one row what both rows together allow. SERIALIZABLE keeps the sum from
// going below zero; REPEATABLE READ, which does not promise it, is seen to break it.
func TestWriteSkew(t *testing.T) {
	const clients, each = 4, 40
	for _, level := range []pgx.TxIsoLevel{pgx.Serializable, pgx.RepeatableRead} {
		t.Run(string(level), func(t *testing.T) {
			node := harness.NewNode(t)
			c := node.Conn()
			exec(t, c, "CREATE TABLE acc (id int PRIMARY KEY, n bigint); INSERT INTO acc VALUES (1, 40), (2, 40)")
			var retries, low atomic.Int64
			sessions(t, node.URL(), clients, func(ctx context.Context, c *pgx.Conn, i int) error {
				for range each {
					for {
						err := pgx.BeginTxFunc(ctx, c, pgx.TxOptions{IsoLevel: level}, func(tx pgx.Tx) error {
							var sum int64
							if err := tx.QueryRow(ctx, "SELECT sum(n)::bigint FROM acc").Scan(&sum); err != nil {
								return err
							}
							if sum < 0 {
								low.Add(1)
							}
							take := int64(3)
							if sum < take {
								take = -10 // pay in
							}
							_, err := tx.Exec(ctx, "UPDATE acc SET n = n - $1 WHERE id = $2", take, i%2+1)
							return err
						})
						if err == nil {
							break
						}
						if code(err) != "40001" {
							return err
						}
						retries.Add(1)
					}
				}
				return nil
			})
			if n := low.Load(); level == pgx.Serializable && n > 0 {
				t.Errorf("the sum was below zero %d times", n)
			}
			t.Logf("%d retries, below zero %d times", retries.Load(), low.Load())
		})
	}
}

// TestPhantom: two serializable transactions that each insert if nobody has cannot both.
func TestPhantom(t *testing.T) {
	node := harness.NewNode(t)
	a, b := node.Conn(), node.Conn()
	exec(t, a, "CREATE TABLE slot (id int PRIMARY KEY, room int); CREATE INDEX ON slot (room)")
	exec(t, a, "CREATE MATERIALIZED VIEW taken AS SELECT room, count(*) AS n FROM slot GROUP BY room")
	for i, look := range []string{"SELECT count(*) FROM slot WHERE room = %d", "SELECT coalesce(sum(n), 0) FROM taken WHERE room = %d"} {
		exec(t, a, "BEGIN ISOLATION LEVEL SERIALIZABLE")
		exec(t, b, "BEGIN ISOLATION LEVEL SERIALIZABLE")
		for _, c := range []*pgx.Conn{a, b} {
			if got := one(t, c, fmt.Sprintf(look, i)); got != "0" {
				t.Fatalf("%s is taken by %s", look, got)
			}
		}
		exec(t, a, fmt.Sprintf("INSERT INTO slot VALUES (%d, %d)", 10*i, i))
		exec(t, b, fmt.Sprintf("INSERT INTO slot VALUES (%d, %d)", 10*i+1, i))
		exec(t, a, "COMMIT")
		if err := try(b, "COMMIT"); code(err) != "40001" {
			t.Errorf("%s: the second COMMIT said %v, want 40001", look, err)
		}
	}
	if got := one(t, a, "SELECT count(*) FROM slot"); got != "2" {
		t.Errorf("%s rows, want 2", got)
	}
}

// TestForUpdate: who read a row FOR UPDATE and then writes what follows from it cannot overwrite another's change; other
// rows may change meanwhile. Without the clause the change is lost, as in PostgreSQL.
func TestForUpdate(t *testing.T) {
	node := harness.NewNode(t)
	a, b := node.Conn(), node.Conn()
	exec(t, a, "CREATE TABLE acc (id int PRIMARY KEY, n int); INSERT INTO acc VALUES (1, 10), (2, 20)")
	for _, x := range []struct{ read, other, code, left string }{
		{"SELECT n FROM acc WHERE id = 1", "UPDATE acc SET n = n + 1 WHERE id = 1", "00000", "0"},
		{"SELECT n FROM acc WHERE id = 1 FOR UPDATE", "UPDATE acc SET n = n + 1 WHERE id = 1", "40001", "11"},
		{"SELECT n FROM acc WHERE id = 1 FOR NO KEY UPDATE SKIP LOCKED", "UPDATE acc SET n = n + 1 WHERE id = 2", "00000", "0"},
		{"SELECT n FROM acc WHERE id = 2 FOR SHARE", "DELETE FROM acc WHERE id = 2", "40001", "10"},
		{"LOCK TABLE acc IN SHARE MODE", "INSERT INTO acc VALUES (3, 30)", "40001", "10"},
		{"LOCK TABLE acc IN ROW SHARE MODE", "INSERT INTO acc VALUES (3, 30)", "00000", "0"},
		{"DECLARE c CURSOR FOR SELECT n FROM acc WHERE id = 1 FOR UPDATE", "UPDATE acc SET n = n + 1 WHERE id = 1", "40001", "11"},
	} {
		t.Run(x.read, func(t *testing.T) {
			exec(t, a, "DELETE FROM acc; INSERT INTO acc VALUES (1, 10), (2, 20)")
			exec(t, a, "BEGIN")
			exec(t, a, x.read)
			exec(t, b, x.other)
			exec(t, a, "UPDATE acc SET n = 0 WHERE id = 1")
			err := try(a, "COMMIT")
			if got := code(err); got != x.code && !(err == nil && x.code == "00000") {
				t.Errorf("COMMIT said %v, want %s", err, x.code)
			}
			if got := one(t, a, "SELECT n FROM acc WHERE id = 1"); got != x.left {
				t.Errorf("the row has %s, want %s", got, x.left)
			}
		})
	}
}
