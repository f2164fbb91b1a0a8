package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/internal/dbtest"
	"github.com/millrace/millrace/internal/e2e/harness"
)

// postgresTarget is a connection to the target of a sink, made anew for each use: it may have been killed.
func postgresTarget(t testing.TB, s *dbtest.Server) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(context.Background(), "host="+s.Host+" user=root dbname=postgres")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// churn changes table item at random and appends each change to table journal, a transaction at a time, as long as the
// server lives.
func churn(c *pgx.Conn, rng *rand.Rand, next *int, d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), statementWithin)
	defer cancel()
	for end := time.Now().Add(d); time.Now().Before(end); {
		*next++
		k := rng.IntN(200)
		change := fmt.Sprintf("INSERT INTO item VALUES (%d, %d, 'n%d') ON CONFLICT (id) DO UPDATE SET v = excluded.v, name = excluded.name", k, *next, *next)
		switch rng.IntN(4) {
		case 0:
			change = fmt.Sprintf("DELETE FROM item WHERE id BETWEEN %d AND %d", k, k+rng.IntN(20))
		case 1:
			change = fmt.Sprintf("UPDATE item SET v = v + 1 WHERE id BETWEEN %d AND %d", k, k+rng.IntN(50))
		}
		if _, err := c.Exec(ctx, fmt.Sprintf("BEGIN; %s; INSERT INTO journal SELECT %d, g FROM generate_series(1, %d) g; COMMIT", change, *next, 1+rng.IntN(30))); err != nil {
			if c.IsClosed() {
				return
			}
			_, _ = c.Exec(ctx, "ROLLBACK") // the job of its table has failed
		}
	}
}

const sinkSchema = `CREATE TABLE item (id bigint PRIMARY KEY, v bigint, name text);
	CREATE TABLE journal (n bigint, k bigint) APPEND ONLY;
	CREATE MATERIALIZED VIEW by_v AS SELECT v % 17 AS m, count(*) AS n, max(name) AS high FROM item GROUP BY v % 17`

// TestDeadTargetHoldsNothingUp: views and writes go on while a target is away; what is owed is on disk, survives a kill, and
// arrives when the target is back. DROP SINK does not wait for a target.
func TestDeadTargetHoldsNothingUp(t *testing.T) {
	target := dbtest.Postgres(t)
	exec(t, postgresTarget(t, target), "CREATE TABLE journal (n bigint, k bigint, pad text); CREATE TABLE other (n bigint, k bigint, pad text)")
	s := harness.New(t)
	c := s.Conn()
	exec(t, c, "CREATE TABLE journal (n bigint, k bigint, pad text) APPEND ONLY")
	exec(t, c, "CREATE MATERIALIZED VIEW total AS SELECT count(*) AS n FROM journal")
	options := fmt.Sprintf("connector = 'postgres', host = '%s', user = 'root', database = 'postgres'", target.Host)
	exec(t, c, "CREATE SINK journal_out FROM journal WITH ("+options+", table = 'journal')")
	exec(t, c, "CREATE SINK other_out FROM journal WITH ("+options+", table = 'other')")
	exec(t, c, "INSERT INTO journal VALUES (0, 0, '')")
	eventually(t, postgresTarget(t, target), "SELECT count(*) FROM journal", []string{"1"}, 10*time.Second)

	target.Freeze(true) // neither an answer nor an error
	began := time.Now()
	exec(t, c, "INSERT INTO journal VALUES (0, 1, '')")
	eventually(t, c, "SELECT n FROM total", []string{"2"}, 2*time.Second)
	time.Sleep(1200 * time.Millisecond) // a checkpoint, after which the sinks write
	exec(t, c, "DROP SINK other_out")
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("a frozen target held things up for %v", took)
	}
	target.Freeze(false)
	target.Kill()

	const rowsEach, batches = 20_000, 10 // 60 MB
	for i := 1; i <= batches; i++ {
		exec(t, c, fmt.Sprintf("INSERT INTO journal SELECT %d, g, repeat('x', 300) FROM generate_series(1, %d) g", i, rowsEach))
	}
	eventually(t, c, "SELECT n FROM total", []string{fmt.Sprint(2 + rowsEach*batches)}, 5*time.Second)
	eventually(t, c, "SELECT state, rows_owed > 100000, lag > interval '0', last_error LIKE '%connect%', attempts > 0, failing_since IS NOT NULL FROM millrace_catalog.sinks",
		[]string{"retrying|t|t|t|t|t"}, 20*time.Second)
	eventually(t, c, "SELECT state_bytes < 40000000 FROM millrace_catalog.jobs WHERE name = 'journal_out'", []string{"t"}, 10*time.Second)
	shown := strings.Join(rows(t, c, "SHOW SINKS"), "\n")
	if !strings.HasPrefix(shown, "journal_out|postgres|retrying|") {
		t.Errorf("SHOW SINKS: %s", shown)
	}
	s.Restart()
	c = s.Conn()
	target.MustStart(t)
	settled(t, postgresTarget(t, target), "SELECT count(*), count(DISTINCT (n, k)) FROM journal", []string{fmt.Sprintf("%d|%d", 2+rowsEach*batches, 2+rowsEach*batches)}, 30*time.Second)
	eventually(t, c, "SELECT state, rows_owed, lag FROM millrace_catalog.sinks", []string{"running|0|00:00:00"}, 10*time.Second)
}
