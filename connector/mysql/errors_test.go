package mysql

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/dbtest"
	"github.com/millrace/millrace/internal/sqlerr"
)

func checkError(t *testing.T, err error, code, text string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error %s (%s)", code, text)
	}
	e := sqlerr.From(err)
	if string(e.Code) != code || !strings.Contains(e.Message, text) {
		t.Errorf("error %v (hint %q, detail %q), want %s with %q", e, e.Hint, e.Detail, code, text)
	}
}

func TestErrorsAtCreate(t *testing.T) {
	s := server(t)
	db := database(t, s)
	s.Exec(t, "CREATE OR REPLACE USER plain IDENTIFIED BY 'secret'", "CREATE OR REPLACE USER client IDENTIFIED BY 'secret'",
		"GRANT BINLOG MONITOR ON *.* TO client", "CREATE OR REPLACE USER ok IDENTIFIED BY 'secret'",
		"GRANT BINLOG MONITOR, REPLICATION SLAVE ON *.* TO ok", "GRANT SELECT ON "+db+".* TO ok",
		"USE "+db+"; CREATE TABLE t (a INT PRIMARY KEY, b INT NOT NULL, u INT NOT NULL UNIQUE); CREATE VIEW v AS SELECT 1 AS x; CREATE TABLE nokey (a INT)",
		"USE "+db+"; CREATE TABLE child (a INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES t (a) ON DELETE CASCADE)",
		"USE "+db+"; CREATE TABLE versioned (a INT PRIMARY KEY) WITH SYSTEM VERSIONING")
	validate := func(options ...string) error {
		_, err := Source{}.Validate(t.Context(), specFor(s, db, options...))
		return err
	}
	if err := validate(); err != nil {
		t.Error(err)
	}
	if err := validate("username", "ok", "password", "secret"); err != nil {
		t.Error(err)
	}
	checkError(t, validate("username", "plain", "password", "wrong"), "28P01", "refuses the user")
	checkError(t, validate("username", "plain", "password", "secret"), "42501", "may not read the position")
	checkError(t, validate("username", "client", "password", "secret"), "42501", "may not read the binary log")
	checkError(t, validate("database.name", "nowhere"), "3D000", "no database")
	checkError(t, validate("port", "1"), "08006", "could not reach")
	checkError(t, validate("server.id", "1"), "55006", "the server id 1 is that of")
	checkError(t, validate("ssl.mode", "required"), "08006", "does not speak TLS")
	checkError(t, validate("usrname", "x"), "22023", "has no option")
	checkError(t, validate("zero.dates", "x"), "22023", "must be one of")
	describe := func(table string, key ...string) error {
		_, err := Source{}.DescribeTable(t.Context(), specFor(s, db, "username", "ok", "password", "secret"), table, key)
		return err
	}
	for _, name := range []string{"t", db + ".t", db + ".nokey"} {
		if err := describe(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := describe(db+".t", "u"); err != nil {
		t.Error(err)
	}
	checkError(t, describe(db+".none"), "42P01", "no table")
	checkError(t, describe("elsewhere.none"), "42P01", "no table")
	checkError(t, describe(db+".t", "b"), "42P16", "are no key")
	checkError(t, describe(db+".v"), "42809", "not an ordinary table")
	checkError(t, describe(db+".versioned"), "42809", "not an ordinary table")
	checkError(t, describe(db+".child"), "55000", "a foreign key")
	if _, err := (Source{}).DescribeTable(t.Context(), specFor(s, db, "allow.cascades", "true"), db+".child", nil); err != nil {
		t.Error(err)
	}
	s.Exec(t, "SET GLOBAL binlog_row_image = MINIMAL")
	checkError(t, validate(), "55000", "binlog_row_image = MINIMAL")
	s.Exec(t, "SET GLOBAL binlog_row_image = FULL, binlog_format = MIXED")
	checkError(t, validate(), "55000", "binlog_format = MIXED")
	s.Exec(t, "SET GLOBAL binlog_format = ROW")
}

// TestNotRows: what the log does not have as whole rows stops its table, and no other.
func TestNotRows(t *testing.T) {
	s := server(t)
	for name, c := range map[string]struct{ sql, text string }{
		"partial":   {"SET SESSION binlog_row_image = MINIMAL; UPDATE t SET b = 2", "without all of their columns"},
		"statement": {"SET SESSION binlog_format = STATEMENT; UPDATE t SET b = 2", "a statement that changes"},
	} {
		t.Run(name, func(t *testing.T) {
			db := database(t, s)
			s.Exec(t, "USE "+db+"; CREATE TABLE t (a INT PRIMARY KEY, b INT); INSERT INTO t VALUES (1, 1); CREATE TABLE other (a INT); CREATE TABLE u (a INT PRIMARY KEY)")
			m := newMirror(t, specFor(s, db), db+".t", db+".u")
			m.open()
			m.is(0, "1|1")
			s.Exec(t, "USE "+db+"; SET SESSION binlog_format = STATEMENT; INSERT INTO other VALUES (1); SET SESSION binlog_format = ROW")
			s.Exec(t, "USE "+db+"; "+c.sql+"; SET SESSION binlog_row_image = FULL, binlog_format = ROW")
			m.stops(0, c.text)
			s.Exec(t, "USE "+db+"; INSERT INTO u VALUES (1); INSERT INTO t VALUES (5, 5)")
			m.is(1, "1")
			m.is(0, "1|1")
		})
	}
}

func TestPurged(t *testing.T) {
	s := server(t)
	db := database(t, s)
	s.Exec(t, "USE "+db+"; CREATE TABLE t (a INT PRIMARY KEY); INSERT INTO t VALUES (1)")
	m := newMirror(t, specFor(s, db), db+".t")
	m.open()
	m.is(0, "1")
	m.close()
	s.Exec(t, "INSERT INTO "+db+".t VALUES (2)", "FLUSH LOGS", "FLUSH LOGS")
	logs := func() (names []string) {
		rows, err := s.DB().Query("SHOW BINARY LOGS")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			var size int64
			if err := rows.Scan(&name, &size); err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
		}
		return names
	}
	last := logs()
	for end := time.Now().Add(10 * time.Second); ; {
		s.Exec(t, "PURGE BINARY LOGS TO '"+last[len(last)-1]+"'")
		if len(logs()) == 1 {
			break
		}
		if time.Now().After(end) { // the server still sends them to a reader that has gone
			t.Fatalf("the logs are not purged: %v", logs())
		}
		time.Sleep(50 * time.Millisecond)
	}
	wantError(t, m, "55000", "cannot go on with its binary log")
}

// TestServerIDTaken: two replicas with one number end each other, which is told.
func TestServerIDTaken(t *testing.T) {
	s := server(t)
	db := database(t, s)
	s.Exec(t, "USE "+db+"; CREATE TABLE t (a INT PRIMARY KEY); INSERT INTO t VALUES (1)")
	a := newMirror(t, specFor(s, db, "server.id", "4711"), db+".t")
	a.open()
	a.is(0, "1")
	_, err := Source{}.Validate(t.Context(), specFor(s, db, "server.id", "4711"))
	checkError(t, err, "55006", "is used by another replica")
	b := newMirror(t, specFor(s, db, "server.id", "4711"), db+".t")
	b.open()
	b.is(0, "1")
	wantError(t, a, "55006", "another replica")
}

// TestServerGone: the reader notices that the server was killed, and goes on when it is back.
func TestServerGone(t *testing.T) {
	s := dbtest.MariaDB(t)
	s.Exec(t, "CREATE DATABASE d; USE d; CREATE TABLE t (a INT PRIMARY KEY); INSERT INTO t VALUES (1)")
	m := newMirror(t, specFor(s, "d"), "d.t")
	m.open()
	m.is(0, "1")
	s.Kill()
	wantError(t, m, "08006", "could not reach")
	m.close()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	s.Exec(t, "INSERT INTO d.t VALUES (2)")
	m.is(0, "1", "2")
	m.close()
	s.Stop()
	s.Args = []string{"--skip-log-bin"}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	_, err := Source{}.Validate(t.Context(), specFor(s, "d"))
	checkError(t, err, "55000", "log_bin = OFF")
}

// TestUnblocks: Close and a cancelled context end a Next that waits.
func TestUnblocks(t *testing.T) {
	s := server(t)
	db := database(t, s)
	s.Exec(t, "USE "+db+"; CREATE TABLE t (a INT PRIMARY KEY)")
	m := newMirror(t, specFor(s, db), db+".t")
	m.open()
	m.live()
	for {
		if more, err := m.step(300 * time.Millisecond); err != nil {
			t.Fatal(err)
		} else if !more {
			break
		}
	}
	done := make(chan error, 1)
	go func(r connector.Reader) { // ends with the call, which the test waits for
		_, err := r.Next(context.Background())
		done <- err
	}(m.reader)
	time.Sleep(50 * time.Millisecond)
	m.close()
	select {
	case err := <-done:
		if err == nil {
			t.Error("no error")
		}
	case <-time.After(5 * time.Second):
		t.Error("Next did not return")
	}
}
