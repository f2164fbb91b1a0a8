package postgres

import (
	"testing"
	"time"
)

// TestStream reads all kinds of changes to a table with a key, in the order of their commits.
func TestStream(t *testing.T) {
	w := newWorld(t)
	w.exec("CREATE TABLE t (id int PRIMARY KEY, v text, n numeric)")
	spec := w.spec()
	tab := w.table(spec, "public.t")
	r := w.read(w.upstream(spec), nil, tab)
	w.exec("INSERT INTO t VALUES (1, 'one', 1.50), (2, NULL, 'NaN')")
	want(t, r.all(), "+ 1 one 1.50", "+ 2 NULL NaN")
	w.exec("UPDATE t SET v = 'zwei' WHERE id = 2;\nUPDATE t SET id = 3 WHERE id = 1;\nDELETE FROM t WHERE id = 2")
	want(t, r.all(), "+ 2 zwei NaN", "- 1 NULL NULL", "+ 3 one 1.50", "- 2 NULL NULL")
	w.exec("BEGIN;\nINSERT INTO t VALUES (9, 'gone', 0);\nROLLBACK;\nTRUNCATE t;\nINSERT INTO t VALUES (4, 'vier', 'Infinity')")
	want(t, r.all(), "-t NULL NULL NULL", "+ 4 vier Infinity")

	// An idle log moves on, and Position is reached at once.
	w.exec("CREATE TABLE other (id int);\nINSERT INTO other SELECT generate_series(1, 10)")
	began := time.Now()
	want(t, r.all())
	if took := time.Since(began); took > 400*time.Millisecond {
		t.Errorf("an idle stream reached the position after %v", took)
	}

	// What was acknowledged is what the slot confirms.
	r.s.Ack(r.last.Resume)
	at, err := decodeResume(r.last.Resume)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(within); w.one("SELECT confirmed_flush_lsn FROM pg_replication_slots") != at.at.String(); {
		if time.Now().After(end) {
			t.Fatalf("the slot confirms %s, want %s", w.one("SELECT confirmed_flush_lsn FROM pg_replication_slots"), at.at)
		}
		time.Sleep(20 * time.Millisecond)
	}
	w.exec("INSERT INTO t VALUES (5, 'later', 0)")
	_ = r.s.Close()
	r = w.read(r.u, r.last.Resume, tab)
	want(t, r.all(), "+ 5 later 0")
}
