package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// TestBlockOverKills kills the server at each step of the commit of a transaction block that changes definitions and rows. Afterwards all of
// the block is there, or nothing of it.
func TestBlockOverKills(t *testing.T) {
	if os.Getenv("MILLRACE_TEST_BINARY") != "" {
		t.Skip("a binary from outside has no steps to be killed at")
	}
	steps := []struct {
		at   string
		kept bool // the block is committed
	}{
		{"block: begin", false}, {"block: definitions", false}, {"block: jobs", false}, {"block: logged", true}, {"block: decided", true},
	}
	for _, step := range steps {
		t.Run(step.at, func(t *testing.T) { blockOverKill(t, step.at, step.kept, 0, 10) })
		// A large transaction, and a checkpoint before the crash.
		t.Run(step.at+", large", func(t *testing.T) { blockOverKill(t, step.at, step.kept, 2500*time.Millisecond, 60_000) })
	}
}

func blockOverKill(t *testing.T, at string, kept bool, after time.Duration, rows int) {
	ctx := context.Background()
	s := harness.New(t)
	c := s.Conn()
	exec(t, c, `CREATE TABLE old (a int PRIMARY KEY, b int)`)
	exec(t, c, `INSERT INTO old VALUES (1, 1), (2, 2)`)
	exec(t, c, `CREATE TABLE shaped (a int PRIMARY KEY)`)
	exec(t, c, `INSERT INTO shaped VALUES (1)`)
	exec(t, c, `CREATE TABLE gone (a int)`)
	exec(t, c, `INSERT INTO gone VALUES (7)`)
	exec(t, c, `CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'`)
	s.Stop()
	s.Env = []string{"MILLRACE_KILL_AT=" + at, "MILLRACE_KILL_AFTER=" + after.String()}
	s.Start()
	c = s.Conn()
	other := s.Conn()
	tx, err := c.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`CREATE TABLE fresh (a int PRIMARY KEY, t text)`,
		`CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM fresh`,
		`ALTER TABLE shaped ADD COLUMN b int DEFAULT 5`,
		`DROP TABLE gone`,
		`CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'`,
		fmt.Sprintf(`INSERT INTO fresh SELECT i, repeat('x', 100) FROM generate_series(1, %d) i`, rows),
		`UPDATE old SET b = 20 WHERE a = 2`,
	} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	acknowledged := make(chan error, 1)
	go func() { acknowledged <- writeOn(other) }() // ends with the server
	if err := tx.Commit(ctx); err == nil && at != "" {
		t.Error("COMMIT was acknowledged by a server that died in it")
	}
	s.Wait()
	<-acknowledged
	s.Env = nil
	s.Start()
	checkBlock(t, s.Conn(), kept, rows)
	s.Restart()
	checkBlock(t, s.Conn(), kept, rows)
	c = s.Conn()
	if !kept { // the block can be given again
		exec(t, c, `CREATE TABLE fresh (a int PRIMARY KEY, t text)`)
		exec(t, c, `ALTER TABLE shaped ADD COLUMN b int DEFAULT 5`)
	}
	exec(t, c, `INSERT INTO fresh VALUES (-1, 'y')`)
	exec(t, c, `INSERT INTO shaped VALUES (-2, 6)`)
	if got := number(t, c, `SELECT sum(b)::int FROM shaped WHERE a IN (1, -2)`); got != 11 {
		t.Errorf("shaped adds up to %d, want 11", got)
	}
}

// writeOn writes to the table that the block changes the form of, until the server is gone.
func writeOn(c *pgx.Conn) error {
	for i := 100; ; i++ {
		if _, err := c.Exec(context.Background(), `INSERT INTO shaped (a) VALUES ($1)`, i); err != nil {
			return err
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func checkBlock(t *testing.T, c *pgx.Conn, kept bool, rows int) {
	t.Helper()
	want := map[string]int{"fresh": 0, "counted": 0, "shaped b": 0, "gone": 1}
	if kept {
		want = map[string]int{"fresh": 1, "counted": 1, "shaped b": 1, "gone": 0}
	}
	got := map[string]int{
		"fresh":    number(t, c, `SELECT count(*)::int FROM pg_class WHERE relname = 'fresh'`),
		"counted":  number(t, c, `SELECT count(*)::int FROM pg_class WHERE relname = 'counted'`),
		"gone":     number(t, c, `SELECT count(*)::int FROM pg_class WHERE relname = 'gone'`),
		"shaped b": number(t, c, `SELECT count(*)::int FROM pg_attribute WHERE attrelid = 'shaped'::regclass AND attname = 'b' AND NOT attisdropped`),
	}
	for what, n := range want {
		if got[what] != n {
			t.Fatalf("%s is there %d times, want %d", what, got[what], n)
		}
	}
	b, f := 2, 1
	if kept {
		b, f = 20, 2
		if n := number(t, c, `SELECT count(*)::int FROM fresh`); n != rows {
			t.Errorf("fresh has %d rows, want %d", n, rows)
		}
		if n := number(t, c, `SELECT n::int FROM counted`); n != rows {
			t.Errorf("the view counts %d rows, want %d", n, rows)
		}
	} else if n := number(t, c, `SELECT a FROM gone`); n != 7 {
		t.Errorf("the row of the table that was not dropped is %d, want 7", n)
	}
	if n := number(t, c, `SELECT b FROM old WHERE a = 2`); n != b {
		t.Errorf("old has %d, want %d", n, b)
	}
	if n := number(t, c, `SELECT f()`); n != f {
		t.Errorf("f() is %d, want %d", n, f)
	}
	if n := number(t, c, `SELECT count(*)::int FROM shaped WHERE a = 1`); n != 1 {
		t.Errorf("shaped has %d rows with 1, want 1", n)
	}
}

func number(t *testing.T, c *pgx.Conn, sql string) (n int) {
	t.Helper()
	if err := c.QueryRow(context.Background(), sql).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}
