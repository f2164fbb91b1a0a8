package e2e

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// TestFanOutHoldsUpNobody: while one changed row makes hundreds of thousands of rows of a view come, or go, writes to other tables and
// reads of their views take the time that they always take.
func TestFanOutHoldsUpNobody(t *testing.T) {
	const fan = 300_000
	s := harness.New(t)
	c := s.Conn()
	exec(t, c, "CREATE TABLE one (id int PRIMARY KEY, k int); CREATE TABLE many (id int PRIMARY KEY, k int, v text); CREATE TABLE other (id int PRIMARY KEY, v int)")
	exec(t, c, "CREATE MATERIALIZED VIEW pairs AS SELECT a.id AS a, b.id AS b, b.v FROM one a JOIN many b ON a.k = b.k")
	exec(t, c, "CREATE MATERIALIZED VIEW others AS SELECT count(*) AS n FROM other")
	if _, err := c.Exec(t.Context(), "INSERT INTO many SELECT i, 1, 'row ' || i FROM generate_series(1, $1) AS g(i)", fan); err != nil {
		t.Fatal(err)
	}
	longest := func(n *int, until func() bool) time.Duration {
		var most time.Duration
		for !until() {
			began := time.Now()
			*n++
			if _, err := c.Exec(t.Context(), "INSERT INTO other VALUES ($1, 1)", *n); err != nil {
				t.Fatal(err)
			}
			var got int
			if err := c.QueryRow(t.Context(), "SELECT n FROM others").Scan(&got); err != nil || got != *n {
				t.Fatalf("%d rows are seen after %d were written: %v", got, *n, err)
			}
			most = max(most, time.Since(began))
			time.Sleep(5 * time.Millisecond)
		}
		return most
	}
	n := 0
	end := time.Now().Add(500 * time.Millisecond)
	alone := longest(&n, func() bool { return time.Now().After(end) })
	busy := s.Conn()
	for _, step := range []struct {
		sql  string
		want int
	}{{"INSERT INTO one VALUES (1, 1)", fan}, {"UPDATE one SET id = 2", fan}, {"DELETE FROM one", 0}} {
		exec(t, busy, step.sql)
		done := make(chan error, 1)
		began := time.Now()
		go func(c *pgx.Conn) { // the loop below waits for it
			var got int
			err := c.QueryRow(t.Context(), "SELECT count(*) FROM pairs").Scan(&got)
			if err == nil && got != step.want {
				t.Errorf("%s: %d pairs, want %d", step.sql, got, step.want)
			}
			done <- err
		}(busy)
		var err error
		during := longest(&n, func() bool {
			select {
			case err = <-done:
				return true
			default:
				return false
			}
		})
		took := time.Since(began)
		if err != nil {
			t.Fatalf("%s: %v", step.sql, err)
		}
		t.Logf("%s: the view took %v; the longest write and read beside it %v, alone %v", step.sql, took, during, alone)
		// A stall lasts as long as the view is busy. What is allowed is that two cores have more to do.
		if during > took/4 && during > 3*alone {
			t.Errorf("%s: a write and a read elsewhere took %v while the view was busy for %v", step.sql, during, took)
		}
	}
}
