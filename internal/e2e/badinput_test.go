package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// TestFailingExpression: a division by zero in a view's expression stops neither the view nor anything else, and its row comes back
// when it is mended; nor does a bad row there before the view, and a restart changes nothing.
func TestFailingExpression(t *testing.T) {
	s := harness.New(t)
	c := s.Conn()
	exec(t, c, "CREATE TABLE t (id int PRIMARY KEY, d int, x text); INSERT INTO t VALUES (1, 2, '5'), (2, 0, '6')")
	exec(t, c, "CREATE MATERIALIZED VIEW q AS SELECT id, 10 / d AS r FROM t")
	exec(t, c, "CREATE MATERIALIZED VIEW agg AS SELECT sum(10 / d) AS r, count(*) AS n FROM t")
	exec(t, c, "CREATE MATERIALIZED VIEW cast_ AS SELECT id, x::int AS x FROM t")
	exec(t, c, "CREATE MATERIALIZED VIEW fine AS SELECT count(*) AS n FROM t")
	exec(t, c, "INSERT INTO t VALUES (3, 0, 'none'), (4, 5, '7'); INSERT INTO t VALUES (5, 1, '8')")
	check := func(when string, q, n string) {
		t.Helper()
		if got := strings.Join(rows(t, c, "SELECT id, r FROM q WHERE r IS NOT NULL"), " "); got != q {
			t.Errorf("%s: view q has %q, want %q", when, got, q)
		}
		if got := one(t, c, "SELECT n FROM fine"); got != n {
			t.Errorf("%s: view fine says %s, want %s", when, got, n)
		}
		if _, err := query(c, "SELECT * FROM agg"); err != nil {
			t.Errorf("%s: read view agg: %v", when, err)
		}
		if _, err := query(c, "SELECT 1 / d FROM t WHERE d = 0"); err != nil && code(err) != "22012" {
			t.Errorf("%s: ad hoc division by zero: %v", when, err)
		}
	}
	check("at first", "1|5 4|2 5|10", "5")
	exec(t, c, "UPDATE t SET d = 10 WHERE id = 3")
	check("mended", "1|5 3|1 4|2 5|10", "5")
	s.Restart()
	c = s.Conn()
	check("after a kill", "1|5 3|1 4|2 5|10", "5")
	exec(t, c, "UPDATE t SET d = 5, x = '9' WHERE id = 2; DELETE FROM t WHERE id = 3")
	check("after the kill, mended", "1|5 2|2 4|2 5|10", "4")
	checkViews(t, c, "with no bad row left", []view{{"q", "SELECT id, 10 / d AS r FROM t"},
		{"agg", "SELECT sum(10 / d) AS r, count(*) AS n FROM t"}, {"cast_", "SELECT id, x::int AS x FROM t"}})
	exec(t, c, "CREATE TABLE big (v bigint); CREATE MATERIALIZED VIEW total AS SELECT sum(v)::bigint AS v FROM big")
	exec(t, c, "INSERT INTO big VALUES (9223372036854775807), (1)") // their sum is no bigint
	exec(t, c, "INSERT INTO big VALUES (-1)")
	if got := one(t, c, "SELECT v FROM total"); got != "9223372036854775807" {
		t.Errorf("the sum that was too large for a moment is %s, want 9223372036854775807", got)
	}
}

// refused checks that the binary ends by itself with one line that contains all of want.
func refused(t *testing.T, name string, args []string, want ...string) {
	t.Helper()
	code, out, errs := harness.ExitOf(t, 10*time.Second, args...)
	line := strings.TrimSuffix(errs, "\n")
	if code == 0 || strings.Contains(line, "\n") || line == "" || strings.Contains(out, "ready") {
		t.Errorf("%s: exit code %d, stderr %q, stdout %q; want one line and a code that is not 0", name, code, errs, out)
	}
	for _, w := range want {
		if !strings.Contains(line, w) {
			t.Errorf("%s: %q does not say %q", name, line, w)
		}
	}
}

// TestRefusals: what cannot work at start is said in one line.
func TestRefusals(t *testing.T) {
	s := harness.New(t)
	dir := t.TempDir()
	refused(t, "port taken", []string{"start", "--data", filepath.Join(dir, "a"), "--listen", s.Addr()}, s.Addr(), "taken")
	refused(t, "folder locked", []string{"start", "--data", s.Data, "--listen", "127.0.0.1:0"}, s.Data)
	refused(t, "bad flag", []string{"start", "--no-such-flag"}, "--no-such-flag")
	refused(t, "bad address", []string{"start", "--data", filepath.Join(dir, "b"), "--listen", "nowhere"}, "nowhere")
	refused(t, "bad level", []string{"start", "--log-level", "loud"}, "loud")
	refused(t, "bad parallelism", []string{"start", "--data", filepath.Join(dir, "c"), "--parallelism", "-3"}, "parallelism")
	refused(t, "bad store", []string{"start", "--data", filepath.Join(dir, "d"), "--object-store", "ftp://x"}, "ftp")
	refused(t, "no password", []string{"start", "--data", filepath.Join(dir, "e"), "--listen", "0.0.0.0:0"}, "password")
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, "folder is a file", []string{"start", "--data", file, "--listen", "127.0.0.1:0"}, file)
	refused(t, "folder below a file", []string{"start", "--data", filepath.Join(file, "x"), "--listen", "127.0.0.1:0"}, file)
	if os.Geteuid() != 0 { // nothing is unreadable for root
		closed := filepath.Join(dir, "closed")
		if err := os.Mkdir(closed, 0); err != nil {
			t.Fatal(err)
		}
		refused(t, "unreadable folder", []string{"start", "--data", closed, "--listen", "127.0.0.1:0"}, closed)
	}
	refused(t, "unreadable folder", []string{"start", "--data", "/proc/1/fdinfo/x", "--listen", "127.0.0.1:0"}, "/proc/1/fdinfo/x")
	if got := one(t, s.Conn(), "SELECT 1"); got != "1" {
		t.Errorf("the first server answers %q", got)
	}
}

// TestStartAndStop: ready within a second on an empty folder and on one with data, gone within five of SIGTERM, with clients
// connected and views at work.
func TestStartAndStop(t *testing.T) {
	_ = harness.Binary(t)
	s := harness.New(t)
	s.Stop()
	empty := harness.New(t)
	if code, _ := empty.Stop(); code != 0 {
		t.Errorf("SIGTERM on an idle server: exit code %d", code)
	}
	if err := os.RemoveAll(empty.Data); err != nil {
		t.Fatal(err)
	}
	if took := empty.Start(); took > time.Second {
		t.Errorf("ready after %v on an empty folder", took)
	} else {
		t.Logf("ready after %v on an empty folder", took)
	}
	c := empty.Conn()
	exec(t, c, "CREATE TABLE t (id int, v bigint); CREATE MATERIALIZED VIEW v AS SELECT id % 100 AS k, sum(v) AS s FROM t GROUP BY id % 100")
	exec(t, c, "INSERT INTO t SELECT i, i FROM generate_series(1, 300000) AS g(i)")
	busy := empty.Conn()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = query(busy, "SELECT count(*) FROM generate_series(1, 2000000000) AS g(i)")
	}()
	time.Sleep(100 * time.Millisecond) // it should be running
	code, took := empty.Stop()
	<-ended
	if code != 0 || took > 5*time.Second {
		t.Errorf("SIGTERM with clients at work: exit code %d after %v", code, took)
	}
	took = empty.Start()
	began := time.Now()
	if got := one(t, empty.Conn(), "SELECT sum(s) FROM v"); got != "45000150000" {
		t.Errorf("the view adds up to %s", got)
	}
	t.Logf("ready after %v with data, first answer after another %v", took, time.Since(began))
	if total := took + time.Since(began); total > time.Second {
		t.Errorf("the first answer after a restart came after %v", total)
	}
}

// TestVanishingClient: a client that goes in the middle of COPY, or of a transaction, leaves nothing behind, and the server goes on.
func TestVanishingClient(t *testing.T) {
	s := harness.New(t)
	c := s.Conn()
	exec(t, c, "CREATE TABLE t (id int PRIMARY KEY); CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t")
	for i := range 5 {
		w := rawStartup(t, s.Addr())
		send(t, w, 'Q', []byte("COPY t FROM STDIN\x00"))
		time.Sleep(30 * time.Millisecond) // CopyInResponse comes; what matters is that data follows
		for k := range 2000 {
			send(t, w, 'd', []byte(fmt.Sprintf("%d\n", i*10000+k)))
		}
		_ = w.Close()
		tx := s.Conn()
		exec(t, tx, "BEGIN; INSERT INTO t VALUES (-1)")
		_ = tx.PgConn().Conn().Close()
	}
	time.Sleep(100 * time.Millisecond) // the server notices
	for _, q := range []string{"SELECT count(*) FROM t", "SELECT n FROM v"} {
		if got := one(t, c, q); got != "0" {
			t.Errorf("%s: %s rows are left, want 0", q, got)
		}
	}
	if _, err := c.PgConn().CopyFrom(context.Background(), strings.NewReader("1\n2\nx\n"), "COPY t FROM STDIN"); code(err) != "22P02" {
		t.Errorf("COPY of a bad line: %v, want 22P02", err)
	}
	tag, err := c.PgConn().CopyFrom(context.Background(), strings.NewReader("1\n2\n3\n"), "COPY t FROM STDIN")
	if err != nil || tag.RowsAffected() != 3 {
		t.Errorf("COPY: %v %v", tag, err)
	}
	if got := one(t, c, "SELECT n FROM v"); got != "3" {
		t.Errorf("the view says %s, want 3", got)
	}
}

// rawStartup connects and logs in without a driver.
func rawStartup(t *testing.T, addr string) net.Conn {
	t.Helper()
	w, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	body := append(binary.BigEndian.AppendUint32(nil, 196608), "user\x00root\x00database\x00dev\x00\x00"...)
	if _, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4)), body...)); err != nil {
		t.Fatal(err)
	}
	_ = w.SetReadDeadline(time.Now().Add(5 * time.Second))
	var got []byte
	buf := make([]byte, 4096)
	for !bytes.HasSuffix(got, []byte{'Z', 0, 0, 0, 5, 'I'}) {
		n, err := w.Read(buf)
		if err != nil {
			t.Fatalf("log in: %v after %q", err, got)
		}
		got = append(got, buf[:n]...)
	}
	return w
}

func send(t *testing.T, w net.Conn, kind byte, body []byte) {
	t.Helper()
	if _, err := w.Write(append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4)), body...)); err != nil {
		t.Fatal(err)
	}
}

// TestGarbageOnTheWire: bytes that are no message end their connection and nothing else.
func TestGarbageOnTheWire(t *testing.T) {
	s := harness.New(t)
	c := s.Conn()
	for name, b := range map[string][]byte{
		"HTTP":                  []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"a length of 2 GiB":     {0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0},
		"a negative length":     {0xff, 0xff, 0xff, 0xff, 0, 3, 0, 0},
		"nothing":               {},
		"half a startup":        {0, 0, 0, 40, 0, 3, 0, 0, 'u'},
		"an unknown protocol":   {0, 0, 0, 8, 0, 9, 0, 0},
		"a cancel for somebody": {0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 1, 0, 0, 0, 1},
	} {
		w, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, _ = w.Write(b)
		if len(b) > 0 && name != "half a startup" {
			_ = w.SetReadDeadline(time.Now().Add(5 * time.Second))
			if _, err := io.Copy(io.Discard, w); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Errorf("%s: the server keeps the connection", name)
			}
		}
		_ = w.Close()
	}
	for name, m := range map[string][]byte{
		"an unknown message":     {'~', 0, 0, 0, 4},
		"a huge message":         {'Q', 0x7f, 0xff, 0xff, 0xff},
		"a short bind":           {'B', 0, 0, 0, 6, 0, 0},
		"a query without an end": {'Q', 0, 0, 0, 5, 'x'},
		"bad UTF-8":              append([]byte{'Q', 0, 0, 0, 15}, "SELECT '\xff'\x00"...),
	} {
		w := rawStartup(t, s.Addr())
		_, _ = w.Write(m)
		_ = w.SetReadDeadline(time.Now().Add(5 * time.Second))
		buf := make([]byte, 1)
		if _, err := w.Read(buf); err == nil && buf[0] != 'E' {
			t.Errorf("%s: answered with %q, want an error", name, buf)
		} else if err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: no answer", name)
		}
		_ = w.Close()
	}
	if got := one(t, c, "SELECT 1"); got != "1" {
		t.Errorf("another connection answers %q", got)
	}
}

// endless are queries whose work lies in different places.
var endless = []string{
	"SELECT count(*) FROM generate_series(1, 10000000000) AS g(i)",
	"SELECT * FROM generate_series(1, 10000000000) AS g(i) WHERE i < 0",
	"SELECT count(*) FROM generate_series(1, 100000) AS a(i), generate_series(1, 100000) AS b(j) WHERE i + j < 0",
	"SELECT i FROM generate_series(1, 10000000000) AS g(i) ORDER BY i DESC LIMIT 1",
	"INSERT INTO t SELECT count(*) FROM generate_series(1, 10000000000) AS g(i)",
}

// TestStatementTimeout: statement_timeout ends a statement wherever its work is done, with 57014, and the session goes on.
func TestStatementTimeout(t *testing.T) {
	s := harness.New(t)
	c := s.Conn()
	exec(t, c, "CREATE TABLE t (id bigint)")
	exec(t, c, "SET statement_timeout = '200ms'")
	for _, sql := range endless {
		checkEnds(t, sql, func() error { return try(c, sql) })
		if t.Failed() {
			return // the server may be busy for long
		}
	}
	if got := one(t, c, "SELECT count(*) FROM t"); got != "0" {
		t.Errorf("%s rows came of what was ended", got)
	}
}

// TestCancel: a cancel request does the same.
func TestCancel(t *testing.T) {
	s := harness.New(t)
	c := s.Conn()
	exec(t, c, "CREATE TABLE t (id bigint)")
	for _, sql := range endless {
		timer := time.AfterFunc(200*time.Millisecond, func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if err := c.PgConn().CancelRequest(ctx); err != nil {
				t.Errorf("send a cancel request: %v", err)
			}
		})
		checkEnds(t, sql, func() error { return try(c, sql) })
		timer.Stop()
		if t.Failed() {
			return
		}
	}
	if got := one(t, c, "SELECT count(*) FROM t"); got != "0" {
		t.Errorf("%s rows came of what was ended", got)
	}
}

func checkEnds(t *testing.T, sql string, run func() error) {
	t.Helper()
	began := time.Now()
	err := run()
	if took := time.Since(began); code(err) != "57014" || took > 2*time.Second {
		t.Errorf("%s\nended after %v with %v, want 57014 after 200 ms", sql, took, err)
	}
}

// TestUserErrors: what a person types wrongly gets PostgreSQL's code, and changes nothing.
func TestUserErrors(t *testing.T) {
	node := harness.NewNode(t)
	c := node.Conn()
	exec(t, c, "CREATE TABLE t (id int PRIMARY KEY, n numeric NOT NULL, s smallint); INSERT INTO t VALUES (1, 1, 1)")
	exec(t, c, "CREATE MATERIALIZED VIEW v AS SELECT id FROM t")
	for _, c2 := range []struct{ sql, code string }{
		{"SELEC 1", "42601"},
		{"SELECT * FROM nowhere", "42P01"},
		{"SELECT nothing FROM t", "42703"},
		{"SELECT nofunc(1)", "42883"},
		{"SELECT 1 / 0", "22012"},
		{"SELECT 2147483647 + 1", "22003"},
		{"SELECT 'x'::int", "22P02"},
		{"SELECT 10::numeric ^ 200000", "22003"},
		{"SELECT '2024-13-01'::date", "22008"},
		{"INSERT INTO t VALUES (1, 1, 1)", "23505"},
		{"INSERT INTO t VALUES (2, NULL, 1)", "23502"},
		{"INSERT INTO t VALUES (2, 1, 70000)", "22003"},
		{"INSERT INTO v VALUES (1)", "42809"},
		{"DROP TABLE t", "2BP01"},
		{"CREATE TABLE t (id int)", "42P07"},
		{"CREATE TABLE u (id nosuchtype)", "42704"},
		{"CREATE SOURCE s WITH (connector = 'nosuch')", "42704"},
		{"SELECT id, count(*) FROM t", "42803"},
		{"SELECT t.id FROM t, t AS u WHERE id = 1", "42702"},
		{"SELECT (SELECT i FROM generate_series(1, 2) AS g(i))", "21000"},
		{"SET nosuch = 1", "42704"},
		{strings.Repeat("(", 100_000), "54001"},
		{"SELECT " + strings.Repeat("1 + ", 200_000) + "1", "54001"},
	} {
		err := try(c, c2.sql)
		name := c2.sql[:min(len(c2.sql), 60)]
		if got := code(err); got != c2.code && !(c2.code == "54001" && (got == "42601" || err == nil)) {
			t.Errorf("%s: %v, want %s", name, err, c2.code)
		}
		if c.IsClosed() {
			t.Fatalf("%s ended the connection", name)
		}
	}
	if got := rows(t, c, "SELECT * FROM t"); len(got) != 1 {
		t.Errorf("the table has %v", got)
	}
}
