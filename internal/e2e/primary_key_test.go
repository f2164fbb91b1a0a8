package e2e

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// TestAddPrimaryKeyOnBusyTable: while sessions insert, update and delete, the table gets its key; what was acknowledged is in it, and a
// restart does not change that.
func TestAddPrimaryKeyOnBusyTable(t *testing.T) {
	const clients = 3
	node := harness.NewNode(t)
	conn := node.Conn()
	exec(t, conn, "CREATE TABLE busy (id int, v int)")
	exec(t, conn, "INSERT INTO busy SELECT i, 0 FROM generate_series(1, 3000) i")
	stop, done := make(chan struct{}), make(chan struct{})
	var rows, sum atomic.Int64
	rows.Store(3000)
	go func() {
		defer close(done)
		sessions(t, node.URL(), clients, func(ctx context.Context, c *pgx.Conn, i int) error {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return nil
				default:
				}
				id := 10_000*(i+1) + n
				for _, w := range []struct {
					sql       string
					rows, sum int64
				}{
					{fmt.Sprintf("INSERT INTO busy VALUES (%d, 1)", id), 1, 1},
					{fmt.Sprintf("UPDATE busy SET v = v + 1 WHERE id = %d", id), 0, 1},
					{fmt.Sprintf("UPDATE busy SET v = v + 1 WHERE id = %d", 1+n%5), 0, 1},
					{fmt.Sprintf("DELETE FROM busy WHERE id = %d", 1000*i+1000-n%1000), -1, 0},
				} {
					tag, err := c.Exec(ctx, w.sql)
					if code(err) == "40001" {
						continue
					}
					if err != nil {
						return fmt.Errorf("%s: %w", w.sql, err)
					}
					if tag.RowsAffected() == 1 {
						rows.Add(w.rows)
						sum.Add(w.sum)
					}
				}
			}
		})
	}()
	time.Sleep(100 * time.Millisecond)
	exec(t, conn, "ALTER TABLE busy ADD PRIMARY KEY (id)")
	time.Sleep(100 * time.Millisecond)
	close(stop)
	<-done
	for _, when := range []string{"", " after a restart"} {
		var n, distinct, total int64
		if err := conn.QueryRow(t.Context(), "SELECT count(*), count(DISTINCT id), sum(v) FROM busy").Scan(&n, &distinct, &total); err != nil {
			t.Fatal(err)
		}
		var removed int64 // by DELETE, of rows whose v had been raised
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM busy WHERE id <= 5").Scan(&removed); err != nil {
			t.Fatal(err)
		}
		if n != rows.Load() || distinct != n || total > sum.Load() || removed == 5 && total != sum.Load() {
			t.Errorf("%d rows with %d keys and sum %d%s, want %d rows and sum %d", n, distinct, total, when, rows.Load(), sum.Load())
		}
		if _, err := conn.Exec(t.Context(), "INSERT INTO busy SELECT id, 0 FROM busy ORDER BY id DESC LIMIT 1"); code(err) != "23505" {
			t.Errorf("a key is there twice%s: %v", when, err)
		}
		if when == "" {
			node.Stop()
			node.Start()
			conn = node.Conn()
		}
	}
}
