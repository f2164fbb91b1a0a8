package e2e

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// TestPointQueries: a prepared SELECT of one row by its key, which takes a short way, answers as any other query.
func TestPointQueries(t *testing.T) {
	node := harness.NewNode(t)
	c, other := node.Conn(), node.Conn()
	exec(t, c, `CREATE TABLE t (a numeric, b text, n int, note text, PRIMARY KEY (b, a));
		INSERT INTO t VALUES (1.0, 'x', 1, 'one'), (1.5, 'x', 2, NULL), (1, 'y', 3, ''), (2, '', 4, 'empty')`)
	prepare(t, c, "p", "SELECT note, n, a, n FROM t WHERE a = $1 AND b = $2")
	prepare(t, c, "half", "SELECT n FROM t WHERE a = $1 AND b = 'x'")
	prepare(t, c, "sum", "SELECT n + 1 FROM t WHERE a = $1 AND b = $2")
	check := func(when, name, want string, args ...any) {
		t.Helper()
		if got := execute(t, c, name, args...); got != want {
			t.Errorf("%s: %s%v gave %q, want %q", when, name, args, got, want)
		}
	}
	for _, when := range []string{"in memory", "in a checkpoint"} {
		check(when, "p", "one 1 1.0 1", "1.00", "x")
		check(when, "p", "NULL 2 1.5 2", "1.5", "x")
		check(when, "p", " 3 1 3", "1", "y")
		check(when, "p", "empty 4 2 4", "2", "")
		check(when, "p", "", "2", "x")
		check(when, "p", "", nil, "x")
		check(when, "half", "2", "1.5")
		check(when, "sum", "2", "1", "x")
		exec(t, c, "FLUSH")
	}
	exec(t, other, "UPDATE t SET n = 20 WHERE n = 2")
	check("after another's write", "half", "20", "1.5")
	exec(t, c, "BEGIN; UPDATE t SET n = 21 WHERE n = 20")
	check("after the transaction's own write", "half", "21", "1.5")
	exec(t, c, "ROLLBACK")
	check("after its rollback", "half", "20", "1.5")
	exec(t, c, "BEGIN ISOLATION LEVEL REPEATABLE READ")
	check("in a snapshot", "half", "20", "1.5")
	exec(t, other, "UPDATE t SET n = 22 WHERE n = 20")
	check("in a snapshot that is out of date", "half", "20", "1.5")
	exec(t, c, "COMMIT")
	check("after the snapshot", "half", "22", "1.5")
	exec(t, other, "DELETE FROM t WHERE n = 22")
	check("after a DELETE", "half", "", "1.5")
	exec(t, other, "ALTER TABLE t ADD COLUMN m int DEFAULT 7")
	check("after ADD COLUMN", "p", " 3 1 3", "1", "y")
	exec(t, c, "SET consistency = 'latest'")
	check("without waiting", "p", " 3 1 3", "1", "y")
	exec(t, other, "DROP TABLE t")
	if err := c.PgConn().ExecPrepared(t.Context(), "half", [][]byte{[]byte("1.5")}, nil, nil).Read().Err; code(err) != "42P01" {
		t.Errorf("after DROP TABLE: %v, want 42P01", err)
	}
}

// TestPointQueryTwice: two portals of one prepared statement are open at a time.
func TestPointQueryTwice(t *testing.T) {
	node := harness.NewNode(t)
	c := node.Conn()
	exec(t, c, "CREATE TABLE t (id int PRIMARY KEY, note text); INSERT INTO t VALUES (1, 'one'), (2, 'two'); PREPARE p AS SELECT note FROM t WHERE id = $1")
	b := &pgx.Batch{}
	for range 3 {
		b.Queue("EXECUTE p(1)")
		b.Queue("EXECUTE p(2)")
	}
	r := c.SendBatch(t.Context(), b)
	defer func() { _ = r.Close() }()
	for i := range 6 {
		var got string
		if err := r.QueryRow().Scan(&got); err != nil || got != []string{"one", "two"}[i%2] {
			t.Errorf("statement %d gave %q, %v", i, got, err)
		}
	}
}

func prepare(t *testing.T, c *pgx.Conn, name, sql string) {
	t.Helper()
	if _, err := c.PgConn().Prepare(t.Context(), name, sql, nil); err != nil {
		t.Fatal(err)
	}
}

// execute runs a prepared statement with text parameters and returns its rows, values apart by a space.
func execute(t *testing.T, c *pgx.Conn, name string, args ...any) string {
	t.Helper()
	var params [][]byte
	for _, a := range args {
		if a == nil {
			params = append(params, nil)
			continue
		}
		params = append(params, []byte(a.(string)))
	}
	res := c.PgConn().ExecPrepared(t.Context(), name, params, nil, nil).Read()
	if res.Err != nil {
		t.Fatal(res.Err)
	}
	var lines []string
	for _, row := range res.Rows {
		var cells []string
		for _, v := range row {
			if v == nil {
				v = []byte("NULL")
			}
			cells = append(cells, string(v))
		}
		lines = append(lines, strings.Join(cells, " "))
	}
	return strings.Join(lines, "\n")
}
