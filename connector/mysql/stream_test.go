package mysql

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

func TestSnapshotAndChanges(t *testing.T) {
	s := server(t)
	db := database(t, s)
	s.Exec(t, "CREATE TABLE "+db+".t (a INT PRIMARY KEY, b VARCHAR(20))", "INSERT INTO "+db+".t VALUES (1, 'one'), (2, 'two'), (3, NULL)")
	s.Exec(t, "CREATE TABLE "+db+".bag (a INT, b VARCHAR(20))", "INSERT INTO "+db+".bag VALUES (1, 'x'), (1, 'x'), (2, 'y')")
	m := newMirror(t, specFor(s, db), db+".t", db+".bag")
	m.open()
	m.is(0, "1|one", "2|two", "3|NULL")
	m.is(1, "1|x", "1|x", "2|y")
	s.Exec(t, "UPDATE "+db+".t SET b = 'zwei' WHERE a = 2", "DELETE FROM "+db+".t WHERE a = 1", "UPDATE "+db+".t SET a = 30 WHERE a = 3",
		"INSERT INTO "+db+".t VALUES (4, '')", "DELETE FROM "+db+".bag LIMIT 1", "UPDATE "+db+".bag SET b = 'z' WHERE a = 2")
	m.is(0, "2|zwei", "30|NULL", "4|")
	m.is(1, "1|x", "2|z")
	s.Exec(t, "TRUNCATE TABLE "+db+".bag", "INSERT INTO "+db+".bag VALUES (5, 'v')")
	m.is(1, "5|v")
	// Opened again, it goes on where it was.
	m.close()
	s.Exec(t, "INSERT INTO "+db+".t VALUES (5, 'five')", "INSERT INTO "+db+".bag VALUES (5, 'v')")
	m.is(0, "2|zwei", "30|NULL", "4|", "5|five")
	m.is(1, "5|v", "5|v")
	// What was given by this reader does not come again with the next one.
	m.close()
	s.Exec(t, "INSERT INTO "+db+".bag VALUES (6, 'w')")
	m.is(1, "5|v", "5|v", "6|w")
	m.close()
	s.Exec(t, "INSERT INTO "+db+".bag VALUES (7, 'u')")
	m.is(1, "5|v", "5|v", "6|w", "7|u")
}

// TestLargeTransaction: a transaction that comes in pieces is given once, also when the reader is opened again in its middle.
func TestLargeTransaction(t *testing.T) {
	s := server(t)
	db := database(t, s)
	s.Exec(t, "CREATE TABLE "+db+".t (a INT PRIMARY KEY)", "CREATE TABLE "+db+".bag (a INT)")
	m := newMirror(t, specFor(s, db), db+".t", db+".bag")
	m.open()
	m.live()
	const rows = 20000
	s.Exec(t, fmt.Sprintf("USE %s; BEGIN; INSERT INTO bag SELECT seq FROM seq_1_to_%d; INSERT INTO t SELECT seq FROM seq_1_to_%d; COMMIT", db, rows, rows))
	pieces := 0
	for range 10 {
		// The offset after a piece is kept only with all before it.
		if _, err := m.step(5 * time.Second); err != nil {
			t.Fatal(err)
		}
		if n := len(m.bags[2]); n > 0 && n < rows {
			pieces++
			m.close()
		}
	}
	if pieces < 3 {
		t.Errorf("the transaction came in %d pieces", pieces)
	}
	m.wait(0, rows)
	for text, n := range m.bags[2] {
		if n != 1 {
			t.Fatalf("the row %s is there %d times", text, n)
		}
	}
	if len(m.bags[2]) != rows {
		t.Errorf("%d rows", len(m.bags[2]))
	}
}

// TestBagApart copies a table without a key while transactions come faster than they are taken: each of them is in the snapshot or behind it, so
// none may be given together with one on the other side.
func TestBagApart(t *testing.T) {
	s := server(t)
	db := database(t, s)
	s.Exec(t, "CREATE TABLE "+db+".bag (a INT)")
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for n := w; ; n += 4 {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := s.DB().Exec(fmt.Sprintf("INSERT INTO %s.bag VALUES (%d)", db, n)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	defer writers.Wait()
	defer close(stop)
	for range 12 {
		m := newMirror(t, specFor(s, db), db+".bag")
		m.open()
		m.live()
		for text, n := range m.bags[1] {
			if n != 1 {
				t.Fatalf("row %s is there %d times", text, n)
			}
		}
		m.close()
	}
}
