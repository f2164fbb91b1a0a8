package cdctest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// upstream is a database as the tests here see it.
type upstream struct {
	here    *pgx.Conn
	there   func(sql string)
	rows    func(sql string) []string
	options string
	prefix  string // of names of tables
	text    string // ALTER TABLE t … that makes column n a text
}

// TestStopped lets values come that have no place in a column whose change could not be followed: only that table stops, says why, and goes
// on when it has been refreshed, also after a restart.
func TestStopped(t *testing.T) {
	t.Run("postgres", func(t *testing.T) {
		w := newPgWorld(t)
		stopped(t, &upstream{w.here, func(sql string) { exec(t, w.there, sql) }, func(sql string) []string { return rowsOf(t, w.there, sql) }, w.options(), "public.",
			"ALTER TABLE t ALTER n TYPE text"}, func() *pgx.Conn { w.mr.Kill(); w.mr.Start(); return w.mr.Conn() })
	})
	t.Run("mysql", func(t *testing.T) {
		w := newMyWorld(t)
		stopped(t, &upstream{w.here, func(sql string) { w.there(sql) }, w.rows, w.options(), "shop.", "ALTER TABLE t MODIFY n VARCHAR(20)"},
			func() *pgx.Conn { w.mr.Kill(); w.mr.Start(); return w.mr.Conn() })
	})
}

func stopped(t *testing.T, u *upstream, restart func() *pgx.Conn) {
	const phase = "SELECT phase FROM millrace_catalog.captured_tables WHERE name = '%s'"
	u.there("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 10), (2, 20), (3, 30); CREATE TABLE u (id int PRIMARY KEY, v int)")
	exec(t, u.here, "CREATE SOURCE src WITH ("+u.options+")")
	for _, name := range []string{"t", "u"} {
		exec(t, u.here, fmt.Sprintf("CREATE TABLE %s (*) FROM src TABLE '%s%s'", name, u.prefix, name))
	}
	exec(t, u.here, "CREATE MATERIALIZED VIEW total AS SELECT sum(n) AS n FROM t")
	u.there(u.text)
	u.there("BEGIN; INSERT INTO u VALUES (1, 1); INSERT INTO t VALUES (4, 'many'); DELETE FROM t WHERE id = 1; COMMIT; INSERT INTO u VALUES (2, 2)")
	eventually(t, u.here, "SELECT id, v FROM u", "1|1", "2|2") // in the same transaction, and after it
	eventually(t, u.here, fmt.Sprintf(phase, "t"), "stopped")
	if why := rowsOf(t, u.here, "SELECT error FROM millrace_catalog.captured_tables WHERE name = 't'")[0]; !strings.Contains(why, "\"n\"") || !strings.Contains(why, "many") && !strings.Contains(why, "cannot hold") {
		t.Errorf("the reason is %q", why)
	}
	if got := rowsOf(t, u.here, "SELECT error FROM millrace_catalog.jobs WHERE error IS NOT NULL"); len(got) != 0 {
		t.Errorf("jobs have errors: %q", got)
	}
	eventually(t, u.here, "SELECT * FROM total", "60")

	u.here = restart()
	u.there("INSERT INTO u VALUES (3, 3); INSERT INTO t VALUES (5, 'more'); DELETE FROM t WHERE id = 2")
	eventually(t, u.here, "SELECT id, v FROM u", "1|1", "2|2", "3|3")
	eventually(t, u.here, fmt.Sprintf(phase, "t"), "stopped")
	eventually(t, u.here, "SELECT id, n FROM t", "1|10", "2|20", "3|30")

	if _, err := query(u.here, "ALTER TABLE t REFRESH SCHEMA"); err == nil || !strings.Contains(err.Error(), "2BP01") {
		t.Fatalf("REFRESH SCHEMA below a view: %v", err)
	}
	exec(t, u.here, "DROP MATERIALIZED VIEW total")
	exec(t, u.here, "ALTER TABLE t REFRESH SCHEMA")
	if got := rowsOf(t, u.here, "SELECT id, n FROM t"); fmt.Sprint(got) != "[3|30 4|many 5|more]" {
		t.Errorf("after REFRESH SCHEMA: %q", got)
	}
	if got := rowsOf(t, u.here, "SELECT phase, error FROM millrace_catalog.captured_tables WHERE name = 't'"); fmt.Sprint(got) != "[live|∅]" {
		t.Errorf("after REFRESH SCHEMA: %q", got)
	}
	u.there("UPDATE t SET n = 'less' WHERE id = 5")
	eventually(t, u.here, "SELECT id, n FROM t", "3|30", "4|many", "5|less")
	exec(t, u.here, "ALTER TABLE u REFRESH SCHEMA") // of one that has nothing to follow
	if got := rowsOf(t, u.here, "SELECT count(*) FROM u"); got[0] != "3" {
		t.Errorf("after REFRESH SCHEMA: %s rows", got)
	}

	// A table that is dropped keeps its rows and says so; one that is made under its name takes its place.
	u.there("DROP TABLE u")
	eventually(t, u.here, fmt.Sprintf(phase, "u"), "gone")
	u.here = restart()
	eventually(t, u.here, fmt.Sprintf(phase, "u"), "gone")
	eventually(t, u.here, "SELECT id, v FROM u", "1|1", "2|2", "3|3")
	u.there("CREATE TABLE u (id int PRIMARY KEY, v int); INSERT INTO u VALUES (7, 7)")
	eventually(t, u.here, "SELECT id, v FROM u", "7|7")
	eventually(t, u.here, fmt.Sprintf(phase, "u"), "live")
}
