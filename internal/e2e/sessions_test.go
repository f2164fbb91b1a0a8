package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// TestIdleTimeouts: a client that keeps a transaction open and says nothing is sent away, and what it wrote is gone.
func TestIdleTimeouts(t *testing.T) {
	node := harness.NewNode(t)
	c := node.Conn()
	exec(t, c, "CREATE TABLE t (id int PRIMARY KEY)")
	for _, x := range []struct{ name, sql, code string }{
		{"in a transaction", "SET idle_in_transaction_session_timeout = '100ms'; BEGIN; INSERT INTO t VALUES (1)", "25P03"},
		{"outside", "SET idle_session_timeout = '100ms'", "57P05"},
	} {
		t.Run(x.name, func(t *testing.T) {
			idle, err := pgconn.Connect(t.Context(), node.URL())
			if err != nil {
				t.Fatal(err)
			}
			defer idle.Close(context.Background())
			if _, err := idle.Exec(t.Context(), x.sql).ReadAll(); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := idle.WaitForNotification(ctx); code(err) != x.code {
				t.Errorf("the wait ended with %v, want %s", err, x.code)
			}
		})
	}
	if got := one(t, c, "SELECT count(*) FROM t"); got != "0" {
		t.Errorf("%s rows of the transaction are there", got)
	}
	// Neither ends a client that is at work.
	exec(t, c, "SET idle_in_transaction_session_timeout = '50ms'; SET idle_session_timeout = '50ms'; SELECT pg_sleep(0.3); BEGIN; SELECT pg_sleep(0.3); COMMIT; SET idle_session_timeout = 0")
}

// TestPreparedByBoth: PREPARE and the protocol name the same statements.
func TestPreparedByBoth(t *testing.T) {
	node := harness.NewNode(t)
	c := node.Conn()
	ctx := t.Context()
	if _, err := c.Prepare(ctx, "p", "SELECT $1::int + 1"); err != nil {
		t.Fatal(err)
	}
	exec(t, c, "PREPARE q AS SELECT 7")
	if got := rows(t, c, "SELECT name, from_sql, parameter_types FROM pg_prepared_statements ORDER BY 1"); len(got) != 2 || got[0] != "p|f|{integer}" || got[1] != "q|t|{}" {
		t.Errorf("pg_prepared_statements has %v", got)
	}
	if got := one(t, c, "EXECUTE p(41)"); got != "42" {
		t.Errorf("EXECUTE of the protocol's statement gave %s", got)
	}
	res := c.PgConn().ExecPrepared(ctx, "q", nil, nil, nil).Read()
	if res.Err != nil || string(res.Rows[0][0]) != "7" {
		t.Errorf("Bind to PREPARE's statement gave %v", res)
	}
	exec(t, c, "DEALLOCATE ALL")
	if err := c.PgConn().ExecPrepared(ctx, "p", [][]byte{[]byte("1")}, nil, nil).Read().Err; code(err) != "26000" {
		t.Errorf("after DEALLOCATE ALL: %v, want 26000", err)
	}
}

// TestCursorAsPortal: server-side cursors of drivers ask the protocol for the columns of what DECLARE opened.
func TestCursorAsPortal(t *testing.T) {
	node := harness.NewNode(t)
	c := node.Conn()
	exec(t, c, "BEGIN; DECLARE c1 CURSOR FOR SELECT 1 AS a, 'x'::text AS b")
	d, err := c.PgConn().Prepare(t.Context(), "", "FETCH 1 FROM c1", nil)
	if err != nil || len(d.Fields) != 2 || d.Fields[1].Name != "b" {
		t.Errorf("FETCH describes itself as %v, %v", d, err)
	}
	r := c.PgConn().ExecParams(t.Context(), "FETCH 1 FROM c1", nil, nil, nil, []int16{1}).Read()
	if r.Err != nil || len(r.Rows) != 1 || string(r.Rows[0][0]) != "\x00\x00\x00\x01" {
		t.Errorf("FETCH in binary gave %v, %v", r.Rows, r.Err)
	}
	exec(t, c, "DECLARE c2 BINARY CURSOR FOR SELECT 258")
	rs, err := c.PgConn().Exec(t.Context(), "FETCH c2").ReadAll()
	if err != nil || string(rs[0].Rows[0][0]) != "\x00\x00\x01\x02" {
		t.Errorf("a binary cursor gave %v, %v", rs, err)
	}
	exec(t, c, "COMMIT")
}

// TestOrigins: a result says which columns are plain ones of which table.
func TestOrigins(t *testing.T) {
	node := harness.NewNode(t)
	c := node.Conn()
	exec(t, c, "CREATE TABLE a (id int PRIMARY KEY, n int); CREATE TABLE b (id int PRIMARY KEY, m int); CREATE VIEW v AS SELECT id FROM a")
	d, err := c.Prepare(t.Context(), "", "SELECT a.n, b.m AS other, a.n + 1 FROM a JOIN b ON a.id = b.id WHERE b.m > 0 ORDER BY a.id LIMIT 3")
	if err != nil {
		t.Fatal(err)
	}
	f := d.Fields
	if f[0].TableAttributeNumber != 2 || f[1].TableAttributeNumber != 2 || f[2].TableOID != 0 || f[0].TableOID == 0 || f[0].TableOID == f[1].TableOID {
		t.Errorf("the columns are said to be %v", f)
	}
	if want := one(t, c, "SELECT 'b'::regclass::oid"); fmt.Sprint(f[1].TableOID) != want {
		t.Errorf("b's column is said to be of %d, want %s", f[1].TableOID, want)
	}
	if d, err = c.Prepare(t.Context(), "", "SELECT id FROM v"); err != nil || d.Fields[0].TableOID != 0 {
		t.Errorf("a view's column is said to be a table's: %v, %v", d, err)
	}
}

// TestMaintenanceDatabase: psql -l and other tools connect to database postgres first.
func TestMaintenanceDatabase(t *testing.T) {
	node := harness.NewNode(t)
	c, err := pgconn.Connect(t.Context(), strings.Replace(node.URL(), "/dev", "/postgres", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	res := c.ExecParams(t.Context(), "SELECT datname FROM pg_database", nil, nil, nil, nil).Read()
	if res.Err != nil || len(res.Rows) != 1 || string(res.Rows[0][0]) != "dev" {
		t.Errorf("the databases are %s, %v", res.Rows, res.Err)
	}
	if _, err := pgconn.Connect(t.Context(), strings.Replace(node.URL(), "/dev", "/nosuch", 1)); code(err) != "3D000" {
		t.Errorf("a database that is not there: %v, want 3D000", err)
	}
}
