package cdctest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestLogLost: a source whose upstream does not have the log any more says so, loses nothing in silence, and goes on when it is told to read its
// tables anew. The views over them stay.
func TestLogLost(t *testing.T) {
	t.Run("postgres, dropped", func(t *testing.T) {
		w := newPgWorld(t)
		lost(t, w.here, func(sql string) { exec(t, w.there, sql) }, w.options(), "public.", func() *pgx.Conn {
			w.mr.Kill()
			eventually(t, w.there, "SELECT bool_or(active) FROM pg_replication_slots", "f") // the sender takes a moment to notice
			exec(t, w.there, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
			w.mr.Start()
			return w.mr.Conn()
		}, "slot does not exist any more")
	})
	t.Run("postgres, invalidated", func(t *testing.T) {
		w := newPgWorld(t)
		exec(t, w.there, "ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
		exec(t, w.there, "SELECT pg_reload_conf()")
		lost(t, w.here, func(sql string) { exec(t, w.there, sql) }, w.options(), "public.", func() *pgx.Conn {
			w.mr.Kill()
			for end := time.Now().Add(within); rowsOf(t, w.there, "SELECT wal_status FROM pg_replication_slots")[0] != "lost"; {
				exec(t, w.there, "SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000)); SELECT pg_switch_wal(); CHECKPOINT")
				if time.Now().After(end) {
					t.Fatal("the slot is not lost")
				}
			}
			w.mr.Start()
			return w.mr.Conn()
		}, "removed WAL that the slot needs")
	})
	t.Run("mysql, purged", func(t *testing.T) {
		w := newMyWorld(t)
		lost(t, w.here, func(sql string) { w.there(sql) }, w.options(), "shop.", func() *pgx.Conn {
			w.mr.Kill()
			w.there("INSERT INTO t VALUES (9, 9); DELETE FROM t WHERE id = 9", "FLUSH LOGS", "FLUSH LOGS")
			for end := time.Now().Add(within); ; time.Sleep(50 * time.Millisecond) {
				logs := w.rows("SHOW BINARY LOGS")
				if len(logs) == 1 {
					break
				}
				last, _, _ := strings.Cut(logs[len(logs)-1], "|")
				w.there("PURGE BINARY LOGS TO '" + last + "'")
				if time.Now().After(end) {
					t.Fatal("the log is not purged")
				}
			}
			w.mr.Start()
			return w.mr.Conn()
		}, "cannot go on with its binary log")
	})
}

func lost(t *testing.T, here *pgx.Conn, there func(sql string), options, prefix string, lose func() *pgx.Conn, why string) {
	there("CREATE TABLE t (id int PRIMARY KEY, n int); CREATE TABLE bag (n int); INSERT INTO t VALUES (1, 1), (2, 2); INSERT INTO bag VALUES (1), (1)")
	if prefix == "public." {
		there("ALTER TABLE bag REPLICA IDENTITY FULL")
	}
	exec(t, here, "CREATE SOURCE src WITH ("+options+")")
	for _, name := range []string{"t", "bag"} {
		exec(t, here, fmt.Sprintf("CREATE TABLE %s (*) FROM src TABLE '%s%s'", name, prefix, name))
	}
	exec(t, here, "CREATE MATERIALIZED VIEW total AS SELECT (SELECT sum(n) FROM t) AS t, (SELECT sum(n) FROM bag) AS bag")
	eventually(t, here, "SELECT * FROM total", "3|2")
	there("DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (3, 30); INSERT INTO bag VALUES (10)")
	eventually(t, here, "SELECT * FROM total", "32|12")
	exec(t, here, "CHECKPOINT")
	here = lose()
	there("DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (4, 400); DELETE FROM bag WHERE n = 1; INSERT INTO bag VALUES (100)")
	const failure = "SELECT last_error FROM millrace_catalog.splits WHERE last_error IS NOT NULL LIMIT 1"
	for end := time.Now().Add(within); ; time.Sleep(50 * time.Millisecond) {
		if got := rowsOf(t, here, failure); len(got) > 0 && strings.Contains(got[0], why) {
			break
		} else if time.Now().After(end) {
			t.Fatalf("the source says %q", got)
		}
	}
	eventually(t, here, "SELECT * FROM total", "32|12") // what was there stays
	exec(t, here, "ALTER SOURCE src REFRESH SCHEMA")
	eventually(t, here, "SELECT * FROM total", "430|110")
	there("UPDATE t SET n = n + 1; INSERT INTO bag VALUES (1000)")
	eventually(t, here, "SELECT * FROM total", "432|1110")
	if got := rowsOf(t, here, "SELECT phase FROM millrace_catalog.captured_tables"); fmt.Sprint(got) != "[live live]" {
		t.Errorf("phases %q", got)
	}
}

// TestPostgresIdle: log that has nothing for the captured tables is released upstream all the same, and how much is kept can be seen here.
func TestPostgresIdle(t *testing.T) {
	w := newPgWorld(t)
	exec(t, w.there, "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (v text)")
	exec(t, w.here, "CREATE SOURCE src WITH ("+w.options()+")")
	exec(t, w.here, "CREATE TABLE t (*) FROM src TABLE 'public.t'")
	exec(t, w.there, "INSERT INTO other SELECT repeat('x', 1000) FROM generate_series(1, 5000); CREATE TABLE mark AS SELECT pg_current_wal_lsn() AS at")
	const kept = "SELECT max(retained_bytes) > 1000000 FROM millrace_catalog.splits WHERE split = 'log'"
	eventually(t, w.there, "SELECT confirmed_flush_lsn >= at FROM pg_replication_slots, mark", "t")
	exec(t, w.there, "CHECKPOINT; INSERT INTO other VALUES ('y')")
	eventually(t, w.here, kept, "f")
	w.mr.Kill()
	exec(t, w.there, "INSERT INTO other SELECT repeat('x', 1000) FROM generate_series(1, 5000)")
	exec(t, w.there, "BEGIN; INSERT INTO t VALUES (1)") // holds the log from here on
	w.mr.Start()
	w.here = w.mr.Conn()
	exec(t, w.there, "INSERT INTO other SELECT repeat('x', 1000) FROM generate_series(1, 5000); SELECT pg_switch_wal()")
	eventually(t, w.here, kept, "t")
	exec(t, w.there, "COMMIT")
	eventually(t, w.here, "SELECT * FROM t", "1")
}
