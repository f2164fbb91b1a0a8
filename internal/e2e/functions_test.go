package e2e

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// TestFunctionsAnywhere: functions that the session carries out are called one after the other, also where a query would be shared out
// among several goroutines, and in COPY and cursors.
func TestFunctionsAnywhere(t *testing.T) {
	n := harness.NewNode(t)
	c := n.Conn()
	exec(t, c, `CREATE TABLE big (a int PRIMARY KEY, b int)`)
	exec(t, c, `INSERT INTO big SELECT i, i % 6 FROM generate_series(1, 30000) i`)
	exec(t, c, `CREATE FUNCTION fact(n int) RETURNS bigint LANGUAGE sql AS 'SELECT CASE WHEN n <= 1 THEN 1::bigint ELSE n * fact(n - 1) END'`)
	exec(t, c, `FLUSH`)

	out := new(bytes.Buffer) // the first statement of a session
	if _, err := n.Conn().PgConn().CopyTo(context.Background(), out, `COPY (SELECT fact(b), count(*) FROM big GROUP BY 1 ORDER BY 1) TO STDOUT`); err != nil {
		t.Fatal(err)
	}
	if want := "1\t10000\n2\t5000\n6\t5000\n24\t5000\n120\t5000\n"; out.String() != want {
		t.Errorf("COPY gave %q, want %q", out, want)
	}
	if got := one(t, c, `SELECT sum(fact(b))::text FROM big WHERE fact(b) > 1`); got != "760000" {
		t.Errorf("the sum is %s, want 760000", got)
	}
	exec(t, c, `CREATE TABLE copied AS SELECT a, fact(b) AS f FROM big`)
	if got := one(t, c, `SELECT sum(f)::text FROM copied`); got != "770000" {
		t.Errorf("the copy's sum is %s, want 770000", got)
	}

	exec(t, c, `CREATE TABLE log (n int)`)
	exec(t, c, `CREATE FUNCTION note(n int) RETURNS int LANGUAGE sql AS 'INSERT INTO log VALUES (n) RETURNING n'`)
	if _, err := c.PgConn().CopyFrom(context.Background(), strings.NewReader("1\n2\n"), `COPY log FROM STDIN`); err != nil {
		t.Fatal(err)
	}
	exec(t, c, `CREATE TABLE noted (a int, b int DEFAULT note(7))`)
	if _, err := n.Conn().PgConn().CopyFrom(context.Background(), strings.NewReader("1\n2\n"), `COPY noted (a) FROM STDIN`); err != nil {
		t.Fatal(err)
	}
	if got := one(t, c, `SELECT count(*) || ' ' || sum(n) FROM log`); got != "4 17" {
		t.Errorf("the log has %s, want 4 rows that add up to 17", got)
	}

	// A cursor's rows are computed as they are fetched.
	exec(t, c, `BEGIN`)
	exec(t, c, `DECLARE r CURSOR FOR SELECT note(a) FROM (SELECT a FROM big ORDER BY a LIMIT 3) q`)
	exec(t, c, `FETCH ALL FROM r`)
	exec(t, c, `COMMIT`)
	if got := one(t, c, `SELECT count(*)::text FROM log`); got != "7" {
		t.Errorf("the log has %s rows, want 7", got)
	}
}
