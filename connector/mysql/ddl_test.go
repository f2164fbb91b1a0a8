package mysql

import (
	"testing"
	"time"

	"github.com/millrace/millrace/connector"
)

// eachMetadata runs a test with every kind of description that MariaDB puts into its log.
func eachMetadata(t *testing.T, test func(t *testing.T)) {
	s := server(t)
	for _, mode := range []string{"NO_LOG", "FULL"} {
		t.Run(mode, func(t *testing.T) {
			s.Exec(t, "SET GLOBAL binlog_row_metadata = "+mode)
			defer s.Exec(t, "SET GLOBAL binlog_row_metadata = NO_LOG")
			test(t)
		})
	}
}

// TestSchemaChanges follows DDL that comes while the source reads, and all of it again at once, as if it had come while we were down.
func TestSchemaChanges(t *testing.T) {
	for _, down := range []bool{false, true} {
		name := "reading"
		if down {
			name = "down"
		}
		t.Run(name, func(t *testing.T) { eachMetadata(t, func(t *testing.T) { testSchemaChanges(t, down) }) })
	}
}

func testSchemaChanges(t *testing.T, down bool) {
	s := server(t)
	db := database(t, s)
	s.Exec(t, "CREATE TABLE "+db+".t (a INT PRIMARY KEY, b VARCHAR(20), c INT)", "INSERT INTO "+db+".t VALUES (1, 'one', 10), (2, 'two', 20)")
	m := newMirror(t, specFor(s, db), db+".t")
	m.open()
	m.is(0, "1|one|10", "2|two|20")
	if down {
		m.close()
	}
	step := func(want []string, statements ...string) {
		t.Helper()
		s.Exec(t, append([]string{"USE " + db}, statements...)...)
		if !down {
			m.is(0, want...)
		}
	}
	q := func(sql string) string { return "USE " + db + "; " + sql }
	step([]string{"1|one|10|NULL", "2|two|20|NULL", "3|three|30|x"}, q("ALTER TABLE t ADD COLUMN d TEXT"), q("INSERT INTO t VALUES (3, 'three', 30, 'x')"))
	step([]string{"1|one|NULL", "2|two|NULL", "3|three|x", "4|four|y"}, q("ALTER TABLE t DROP COLUMN c"), q("INSERT INTO t VALUES (4, 'four', 'y')"))
	step([]string{"1|one|NULL", "2|two|NULL", "3|three|x", "4|four|y", "5|five|z"}, q("ALTER TABLE t RENAME COLUMN b TO bb, CHANGE d dd TEXT FIRST"),
		q("INSERT INTO t (a, bb, dd) VALUES (5, 'five', 'z')"))
	// A column with a default: old rows have it, too.
	step([]string{"1|one|NULL|7", "2|two|NULL|7", "3|three|x|7", "4|four|y|7", "5|five|z|8"}, q("ALTER TABLE t ADD COLUMN e INT NOT NULL DEFAULT 7 AFTER a"),
		q("UPDATE t SET e = 8 WHERE a = 5"))
	// A type that holds more, and one that is another.
	step([]string{"1|one|NULL|7", "2|two|NULL|7", "3|three|x|7", "4|four|y|7", "5|five|z|9000000000"}, q("ALTER TABLE t MODIFY e BIGINT NOT NULL DEFAULT 7"),
		q("UPDATE t SET e = 9000000000 WHERE a = 5"))
	step([]string{"1|one|NULL|7", "2|two|NULL|7", "3|three|x|7", "4|four|y|7", "5|five|z|words"}, q("ALTER TABLE t MODIFY e VARCHAR(40)"),
		q("UPDATE t SET e = 'words' WHERE a = 5"))
	step([]string{"1|one|NULL|7", "2|two|NULL|7", "3|three|x|7", "5|five|z|words"}, q("CREATE INDEX i ON t (bb)"), q("ALTER TABLE t ENGINE = InnoDB, COMMENT 'x'"),
		q("DELETE FROM t WHERE a = 4"))
	// The table is exchanged, as the tools do it that change large tables.
	step([]string{"10|ten|NULL|w"}, q("CREATE TABLE t2 (e VARCHAR(50), dd TEXT, a INT PRIMARY KEY, bb VARCHAR(20)); INSERT INTO t2 VALUES ('w', NULL, 10, 'ten')"),
		q("RENAME TABLE t TO t1, t2 TO t"))
	step([]string{"10|ten|NULL|w", "11|eleven|NULL|v"}, q("INSERT INTO t VALUES ('v', NULL, 11, 'eleven')"))
	step([]string{"10|ten|NULL|w", "11|eleven|NULL|v"}, q("DROP TABLE t")) // what it had stays, until there is another one
	step([]string{"1|x|n"}, q("CREATE TABLE t (a INT PRIMARY KEY, bb VARCHAR(20), n VARCHAR(5))"), q("INSERT INTO t VALUES (1, 'x', 'n')"))
	if down {
		m.is(0, "1|x|n")
		s.Exec(t, "INSERT INTO "+db+".t VALUES (2, 'y', 'm')")
		m.is(0, "1|x|n", "2|y|m")
	}
	for _, c := range m.changes {
		t.Logf("add %v, drop %v, rename %v, retype %v", c.Add, c.Drop, c.Rename, c.Retype)
	}
}

// TestTableSwap exchanges two captured tables.
func TestTableSwap(t *testing.T) {
	s := server(t)
	db := database(t, s)
	s.Exec(t, "CREATE TABLE "+db+".a (k INT PRIMARY KEY, v TEXT)", "INSERT INTO "+db+".a VALUES (1, 'a')",
		"CREATE TABLE "+db+".b (k INT PRIMARY KEY, v TEXT)", "INSERT INTO "+db+".b VALUES (2, 'b')")
	m := newMirror(t, specFor(s, db), db+".a", db+".b")
	m.open()
	m.is(0, "1|a")
	m.is(1, "2|b")
	s.Exec(t, "USE "+db+"; RENAME TABLE a TO x, b TO a, x TO b")
	m.is(0, "2|b")
	m.is(1, "1|a")
	s.Exec(t, "USE "+db+"; INSERT INTO a VALUES (3, 'new')")
	m.is(0, "2|b", "3|new")
}

// TestPartitions: rows that go with a partition are not in the log.
func TestPartitions(t *testing.T) {
	s := server(t)
	db := database(t, s)
	s.Exec(t, "CREATE TABLE "+db+".t (a INT PRIMARY KEY) PARTITION BY RANGE (a) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))",
		"INSERT INTO "+db+".t VALUES (1), (11)")
	m := newMirror(t, specFor(s, db), db+".t")
	m.open()
	m.is(0, "1", "11")
	s.Exec(t, "ALTER TABLE "+db+".t TRUNCATE PARTITION p0")
	m.is(0, "11")
	s.Exec(t, "INSERT INTO "+db+".t VALUES (2)", "ALTER TABLE "+db+".t DROP PARTITION p1")
	m.is(0, "2")
}

// TestUnreadable: a statement that the parser cannot read leads to what the table is.
func TestUnreadable(t *testing.T) {
	s := server(t)
	db := database(t, s)
	s.Exec(t, "CREATE TABLE "+db+".t (a INT PRIMARY KEY)", "INSERT INTO "+db+".t VALUES (1)")
	m := newMirror(t, specFor(s, db), db+".t")
	m.open()
	m.is(0, "1")
	s.Exec(t, "ALTER TABLE "+db+".t ADD COLUMN u UUID DEFAULT '123e4567-e89b-12d3-a456-426655440000'", "INSERT INTO "+db+".t VALUES (2, NULL)")
	m.is(0, "1|123e4567-e89b-12d3-a456-426655440000", "2|NULL")
	s.Exec(t, "CREATE OR REPLACE TABLE "+db+".t (a INT PRIMARY KEY, i INET6)", "INSERT INTO "+db+".t VALUES (3, '::1')")
	m.is(0, "3|::1")
}

// TestChangeDuringSnapshot: pieces are not read with a shape that the stream has not come to.
func TestChangeDuringSnapshot(t *testing.T) {
	s := server(t)
	db := database(t, s)
	s.Exec(t, "CREATE TABLE "+db+".t (a INT PRIMARY KEY, b INT)", "INSERT INTO "+db+".t SELECT seq, seq FROM "+db+".t RIGHT JOIN (SELECT 1 seq) x ON FALSE")
	s.Exec(t, "USE "+db+"; INSERT INTO t SELECT seq + 1, seq FROM seq_1_to_50000")
	m := newMirror(t, specFor(s, db), db+".t")
	m.open()
	for len(m.rows[1]) == 0 {
		if _, err := m.step(time.Second); err != nil {
			t.Fatal(err)
		}
	}
	s.Exec(t, "ALTER TABLE "+db+".t RENAME COLUMN b TO c", "UPDATE "+db+".t SET c = -1 WHERE a = 50000")
	m.live()
	m.until("the last update", func() bool { return m.rows[1]["50000"] == "50000|-1" })
	if n := len(m.rows[1]); n != 50001 {
		t.Errorf("%d rows", n)
	}
	if m.rows[1]["40000"] != "40000|39999" || m.spec.Tables[0].Columns[1].Name != "c" {
		t.Errorf("row %s, columns %v", m.rows[1]["40000"], m.spec.Tables[0].Columns)
	}
}

// TestKeyDropped: a table that loses its key upstream is not read by a guess.
func TestKeyDropped(t *testing.T) {
	s := server(t)
	db := database(t, s)
	s.Exec(t, "CREATE TABLE "+db+".t (a INT PRIMARY KEY, b INT NOT NULL)", "INSERT INTO "+db+".t VALUES (1, 1)")
	m := newMirror(t, specFor(s, db), db+".t")
	m.open()
	m.is(0, "1|1")
	s.Exec(t, "ALTER TABLE "+db+".t DROP PRIMARY KEY, ADD PRIMARY KEY (b)")
	m.stops(0, "no unique key (a) any more")
}

// wantError reads until an error comes.
func wantError(t *testing.T, m *mirror, code, text string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		if _, err := m.step(time.Second); err != nil {
			checkError(t, err, code, text)
			return
		}
	}
	t.Fatalf("no error %s (%s)", code, text)
}

var _ connector.Capture = Source{}
