package mysql

import (
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/cdc"
	"github.com/millrace/millrace/connector/conntest"
	"github.com/millrace/millrace/connector/mysql/wire"
	"github.com/millrace/millrace/internal/dbtest"
)

// TestAnotherServer goes on at a replica, by GTIDs: its files and offsets are others.
func TestAnotherServer(t *testing.T) {
	a := server(t)
	db := database(t, a)
	a.Exec(t, "USE "+db+"; CREATE TABLE t (a INT PRIMARY KEY, b TEXT); INSERT INTO t VALUES (1, 'one'); CREATE TABLE bag (a INT); INSERT INTO bag VALUES (1), (1)")
	m := newMirror(t, specFor(a, db), db+".t", db+".bag")
	m.open()
	m.is(0, "1|one")
	m.is(1, "1", "1")
	b := dbtest.MariaDB(t, "--server-id=2", "--log-slave-updates", "--gtid-ignore-duplicates=ON")
	var gtid string
	if err := a.DB().QueryRow("SELECT @@gtid_binlog_pos").Scan(&gtid); err != nil {
		t.Fatal(err)
	}
	b.Exec(t, "CREATE DATABASE filler", "FLUSH LOGS", "USE filler; CREATE TABLE x (a INT)", "CREATE DATABASE "+db,
		"USE "+db+"; CREATE TABLE t (a INT PRIMARY KEY, b TEXT); INSERT INTO t VALUES (1, 'one'); CREATE TABLE bag (a INT); INSERT INTO bag VALUES (1), (1)",
		"RESET MASTER", "SET GLOBAL gtid_slave_pos = '"+gtid+"'",
		fmt.Sprintf("CHANGE MASTER TO master_host = '127.0.0.1', master_port = %d, master_user = 'root', master_use_gtid = slave_pos", a.Port), "START SLAVE")
	a.Exec(t, "USE "+db+"; INSERT INTO t VALUES (2, 'two'); INSERT INTO bag VALUES (2)")
	m.is(0, "1|one", "2|two")
	m.is(1, "1", "1", "2")
	m.close()
	a.Exec(t, "USE "+db+"; INSERT INTO t VALUES (3, 'three'); INSERT INTO bag VALUES (2)")
	if err := a.DB().QueryRow("SELECT @@gtid_binlog_pos").Scan(&gtid); err != nil {
		t.Fatal(err)
	}
	var waited int
	if err := b.DB().QueryRow("SELECT MASTER_GTID_WAIT('" + gtid + "', 20)").Scan(&waited); err != nil || waited != 0 {
		t.Fatalf("the replica does not come after: %d, %v", waited, err)
	}
	m.spec.Connector.Options["port"] = fmt.Sprint(b.Port)
	m.open()
	m.is(0, "1|one", "2|two", "3|three")
	m.is(1, "1", "1", "2", "2")
	a.Exec(t, "USE "+db+"; ALTER TABLE t ADD COLUMN c INT; UPDATE t SET c = 1 WHERE a = 3")
	m.is(0, "1|one|NULL", "2|two|NULL", "3|three|1")
	m.close()
	b.Exec(t, "STOP SLAVE")
}

// TestOtherEngines: transactions of engines without transactions end with a statement, and their tables are read behind a lock.
func TestOtherEngines(t *testing.T) {
	s := server(t)
	for _, engine := range []string{"MyISAM", "Aria"} {
		t.Run(engine, func(t *testing.T) {
			db := database(t, s)
			s.Exec(t, "USE "+db+"; CREATE TABLE t (a INT PRIMARY KEY) ENGINE = "+engine+"; INSERT INTO t VALUES (1); CREATE TABLE bag (a INT) ENGINE = "+engine+
				"; INSERT INTO bag VALUES (1), (1)")
			m := newMirror(t, specFor(s, db), db+".t", db+".bag")
			m.open()
			m.is(0, "1")
			m.is(1, "1", "1")
			s.Exec(t, "USE "+db+"; INSERT INTO t VALUES (2); INSERT INTO bag VALUES (2); BEGIN; INSERT INTO t VALUES (3); ROLLBACK")
			m.is(0, "1", "2", "3")
			m.is(1, "1", "1", "2")
		})
	}
}

// TestRollback: what was rolled back does not come, a savepoint's part neither.
func TestRollback(t *testing.T) {
	s := server(t)
	db := database(t, s)
	s.Exec(t, "USE "+db+"; CREATE TABLE t (a INT PRIMARY KEY)")
	m := newMirror(t, specFor(s, db), db+".t")
	m.open()
	m.live()
	s.Exec(t, "USE "+db+"; BEGIN; INSERT INTO t VALUES (1); ROLLBACK; BEGIN; INSERT INTO t VALUES (2); SAVEPOINT a; INSERT INTO t VALUES (3); ROLLBACK TO a; INSERT INTO t VALUES (4); COMMIT")
	m.is(0, "2", "4")
}

// TestXA: rows of a transaction in two phases come with its commit, also when the reader was opened again in between, in the order of commits.
func TestXA(t *testing.T) {
	s := server(t)
	db := database(t, s)
	s.Exec(t, "USE "+db+"; CREATE TABLE t (a INT PRIMARY KEY); CREATE TABLE bag (a INT)")
	m := newMirror(t, specFor(s, db), db+".t", db+".bag")
	m.open()
	m.live()
	// The server gives a prepared transaction free a little after it has lost the session.
	end := func(stmt string) {
		t.Helper()
		var err error
		for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
			if _, err = s.DB().Exec(stmt); err == nil {
				return
			}
		}
		t.Fatalf("%s: %v", stmt, err)
	}
	xa := func(id, rows string) {
		s.Exec(t, fmt.Sprintf("USE %s; XA START '%s'; INSERT INTO t VALUES %s; INSERT INTO bag VALUES %s; XA END '%s'; XA PREPARE '%s'", db, id, rows, rows, id, id))
		s.DB().SetMaxIdleConns(0) // a prepared transaction is left to others when its session ends
		s.DB().SetMaxIdleConns(2)
	}
	xa("one", "(1), (2)")
	xa("two", "(3)")
	xa("three", "(4)")
	s.Exec(t, "INSERT INTO "+db+".t VALUES (9)")
	m.is(0, "9")
	m.close()
	end("XA COMMIT 'two'")
	end("XA ROLLBACK 'three'")
	m.is(0, "3", "9")
	end("XA COMMIT 'one'")
	s.Exec(t, "INSERT INTO "+db+".t VALUES (10)")
	m.is(0, "1", "10", "2", "3", "9")
	m.is(1, "1", "2", "3")
	s.Exec(t, "USE "+db+"; XA START 'q'; INSERT INTO bag VALUES (7); XA END 'q'; XA COMMIT 'q' ONE PHASE")
	m.is(1, "1", "2", "3", "7")
	// One that was prepared before the source began.
	xa("early", "(20)")
	late := newMirror(t, specFor(s, db, "server.id", "77"), db+".t")
	late.open()
	late.is(0, "1", "10", "2", "3", "9")
	end("XA COMMIT 'early'")
	late.is(0, "1", "10", "2", "20", "3", "9")
}

// TestPieceKeys reads tables in small pieces under all kinds of keys: every row once, in an order of the index.
func TestPieceKeys(t *testing.T) {
	s := server(t)
	for i, c := range []struct{ decl, key, insert string }{
		{"a INT", "a", "SELECT CAST(seq AS SIGNED) - 500, NULL FROM seq_1_to_1000"},
		{"a BIGINT UNSIGNED", "a", "SELECT 18446744073709551000 + seq % 600, NULL FROM seq_1_to_500"},
		{"a DECIMAL(20,5)", "a", "SELECT seq / 7 - 20, NULL FROM seq_1_to_500"},
		{"a DOUBLE", "a", "SELECT seq / 7 - 20, NULL FROM seq_1_to_500"},
		{"a FLOAT", "a", "SELECT seq / 7 - 20, NULL FROM seq_1_to_500"},
		{"a VARCHAR(20)", "a", "SELECT CONCAT(IF(seq % 2, 'A', 'a'), seq, '''\\\\é'), NULL FROM seq_1_to_500"},
		{"a VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_german2_ci", "a", "SELECT CONCAT(IF(seq % 2, 'Ä', 'ae'), seq), NULL FROM seq_1_to_500"},
		{"a VARCHAR(20) CHARACTER SET gbk", "a", "SELECT CONCAT('中', seq), NULL FROM seq_1_to_500"},
		{"a VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "a", "SELECT CONCAT(CHAR(97 + seq % 3), IF(seq % 2, '', ' '), seq), NULL FROM seq_1_to_500"},
		{"a BINARY(4)", "a", "SELECT UNHEX(LPAD(HEX(seq * 7777), 8, '0')), NULL FROM seq_1_to_500"},
		{"a VARBINARY(8)", "a", "SELECT UNHEX(LPAD(HEX(seq * 7777), 8, '0')), NULL FROM seq_1_to_500"},
		{"a DATE", "a", "SELECT '2020-01-01' + INTERVAL seq DAY, NULL FROM seq_1_to_500"},
		{"a DATETIME(6)", "a", "SELECT '2020-01-01' + INTERVAL seq MICROSECOND, NULL FROM seq_1_to_500"},
		{"a TIMESTAMP(3)", "a", "SELECT '2020-10-25 01:59:00' + INTERVAL seq SECOND, NULL FROM seq_1_to_500"},
		{"a TIME(6)", "a", "SELECT SEC_TO_TIME(seq * 100), NULL FROM seq_1_to_500"},
		{"a BIT(20)", "a", "SELECT seq, NULL FROM seq_1_to_500"},
		{"a UUID", "a", "SELECT UUID(), NULL FROM seq_1_to_500"},
		{"a INET6", "a", "SELECT CONCAT('::', HEX(seq)), NULL FROM seq_1_to_500"},
		{"a ENUM('z', 'y', 'x'), b INT", "a, b", "SELECT 1 + seq % 3, seq, NULL FROM seq_1_to_300"},
		{"a SET('z', 'y', 'x'), b INT", "a, b", "SELECT seq % 8, seq, NULL FROM seq_1_to_300"},
		{"a INT, b VARCHAR(10), c DATE", "a, b, c", "SELECT seq % 3, CONCAT('k', seq % 11), '2020-01-01' + INTERVAL seq DAY, NULL FROM seq_1_to_500"},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			db := database(t, s)
			s.Exec(t, "SET NAMES utf8mb4; USE "+db+"; CREATE TABLE t ("+c.decl+", v INT, PRIMARY KEY ("+c.key+")); INSERT INTO t "+c.insert)
			m := newMirror(t, specFor(s, db), db+".t")
			cfg, err := parseOptions(m.spec)
			if err != nil {
				t.Fatal(err)
			}
			u, err := open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer u.Close()
			got, pieces := readPieces(t, u, m.spec.Tables[0], 37)
			var want int
			if err := s.DB().QueryRow("SELECT count(*) FROM " + db + ".t").Scan(&want); err != nil {
				t.Fatal(err)
			}
			slices.Sort(got)
			if n := len(slices.Compact(slices.Clone(got))); len(got) != want || n != want || pieces < want/37 {
				t.Errorf("%d rows, %d of them different, in %d pieces; the table has %d", len(got), n, pieces, want)
			}
		})
	}
}

// TestAuthentication logs in in every way that MariaDB knows.
func TestAuthentication(t *testing.T) {
	s := server(t)
	s.Exec(t, "CREATE OR REPLACE USER native IDENTIFIED VIA mysql_native_password USING PASSWORD('pässword')",
		"CREATE OR REPLACE USER ed IDENTIFIED VIA ed25519 USING PASSWORD('pässword')", "CREATE OR REPLACE USER open",
		"CREATE OR REPLACE USER either IDENTIFIED VIA ed25519 USING PASSWORD('other') OR mysql_native_password USING PASSWORD('pässword')")
	for _, user := range []string{"native", "ed", "either"} {
		c, err := wire.Connect(t.Context(), &wire.Config{Addr: s.Addr(), User: user, Password: "pässword"})
		if err != nil {
			t.Errorf("%s: %v", user, err)
			continue
		}
		rows, err := c.Rows(t.Context(), "SELECT CURRENT_USER()")
		if err != nil || rows[0][0] != user+"@%" {
			t.Errorf("%s: %v, %v", user, rows, err)
		}
		c.Close()
		if _, err := wire.Connect(t.Context(), &wire.Config{Addr: s.Addr(), User: user, Password: "wrong"}); wire.CodeOf(err) != wire.ErrAccessDenied {
			t.Errorf("%s with a wrong password: %v", user, err)
		}
	}
	c, err := wire.Connect(t.Context(), &wire.Config{Addr: s.Addr(), User: "open", TLS: &tls.Config{InsecureSkipVerify: true}, TLSPreferred: true})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// proxy passes bytes on to a server, until it is told to be silent or to cut.
type proxy struct {
	net.Listener
	mu     sync.Mutex
	conns  []net.Conn
	silent bool
}

func newProxy(t *testing.T, to string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: l}
	t.Cleanup(func() { l.Close(); p.cut() })
	go func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", to)
			if err != nil {
				c.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, c, up)
			p.mu.Unlock()
			for _, pair := range [][2]net.Conn{{c, up}, {up, c}} {
				go func() { // ends with the connections
					buf := make([]byte, 32<<10)
					for {
						n, err := pair[0].Read(buf)
						if err != nil {
							pair[1].Close()
							return
						}
						p.mu.Lock()
						drop := p.silent
						p.mu.Unlock()
						if !drop {
							pair[1].Write(buf[:n])
						}
					}
				}()
			}
		}
	}()
	return p
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

func (p *proxy) port() string { return fmt.Sprint(p.Addr().(*net.TCPAddr).Port) }

// TestDeadPeer: a server from which nothing comes any more, heartbeats included, is noticed; a cut connection is, too.
func TestDeadPeer(t *testing.T) {
	s := server(t)
	db := database(t, s)
	s.Exec(t, "USE "+db+"; CREATE TABLE t (a INT PRIMARY KEY)")
	p := newProxy(t, s.Addr())
	m := newMirror(t, specFor(s, db, "port", p.port(), "heartbeat.interval", "100"), db+".t")
	m.open()
	m.live()
	began := time.Now()
	// Heartbeats keep it alive for longer than it waits for the first one that is missing.
	for time.Since(began) < 500*time.Millisecond {
		if _, err := m.step(100 * time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	p.mu.Lock()
	p.silent = true
	p.mu.Unlock()
	wantError(t, m, "08006", "could not reach")
	m.close()
	p.mu.Lock()
	p.silent = false
	p.mu.Unlock()
	s.Exec(t, "INSERT INTO "+db+".t VALUES (1)")
	m.is(0, "1")
	p.cut()
	wantError(t, m, "08006", "could not reach")
}

// readPieces reads a table as the reader does, and returns its rows.
func readPieces(t testing.TB, u *Upstream, table connector.Table, limit int) (rows []string, pieces int) {
	t.Helper()
	ct := captureTable(table)
	st, err := u.Stream(t.Context(), nil, ct)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var after []byte
	for {
		r := cdc.NewRows(table)
		last, end, err := u.Chunk(t.Context(), ct[0], after, limit, &r)
		if err != nil {
			t.Fatal(err)
		}
		pieces++
		if c := r.Take(); c != nil {
			rows = append(rows, conntest.Rows(c)...)
		}
		if end {
			return rows, pieces
		}
		after = last
	}
}

func captureTable(t connector.Table) []*cdc.Table {
	return []*cdc.Table{{Table: t, Rows: cdc.NewRows(t)}}
}
