package postgres

import (
	"fmt"
	"slices"
	"testing"

	"github.com/millrace/millrace/internal/delta"
)

// TestLargeTransaction reads a transaction that comes in pieces, and goes on from every one of them.
func TestLargeTransaction(t *testing.T) {
	w := newWorld(t)
	w.exec("CREATE TABLE t (id int PRIMARY KEY);\nCREATE TABLE o (id int PRIMARY KEY)")
	spec := w.spec()
	tab := w.table(spec, "t")
	u := w.upstream(spec)
	c := u.config
	if _, err := c.ensurePublication(soon(t), w.sql.PgConn()); err != nil {
		t.Fatal(err)
	}
	r := w.read(u, nil, tab)
	w.exec("ALTER PUBLICATION " + c.publication + " ADD TABLE o") // changes of others count as well
	const n = 3*delta.BatchRows + 100
	w.exec(fmt.Sprintf(`INSERT INTO t VALUES (-1);
BEGIN;
INSERT INTO o SELECT generate_series(1, 500);
INSERT INTO t SELECT generate_series(1, %d);
INSERT INTO o SELECT generate_series(501, 600);
DELETE FROM t WHERE id %% 2 = 1;
COMMIT;
INSERT INTO t VALUES (-2)`, n))
	whole := []string{"+ -1"}
	for i := range n {
		whole = append(whole, fmt.Sprintf("+ %d", i+1))
	}
	for i := range n {
		if i%2 == 0 {
			whole = append(whole, fmt.Sprintf("- %d", i+1))
		}
	}
	whole = append(whole, "+ -2")
	var got []string
	pieces := 0
	for len(got) < len(whole) {
		e, rows := r.next()
		got = append(got, rows...)
		if !e.End {
			pieces++
			if len(got) == len(whole) {
				t.Fatal("the last event does not end the transaction")
			}
		}
		// Another stream goes on from here.
		_ = r.s.Close()
		r = w.read(u, e.Resume, tab)
		if again, _ := r.next(); !slices.Equal(again.Resume, e.Resume) || again.End != e.End {
			t.Fatalf("a stream that goes on after %x (end %v) begins at %x (end %v)", e.Resume, e.End, again.Resume, again.End)
		}
	}
	if pieces < 4 {
		t.Errorf("%d pieces", pieces)
	}
	if !slices.Equal(got, whole) {
		for i := range min(len(got), len(whole)) {
			if got[i] != whole[i] {
				t.Fatalf("change %d of %d is %q, want %q (of %d)", i, len(got), got[i], whole[i], len(whole))
			}
		}
		t.Fatalf("%d changes, want %d", len(got), len(whole))
	}
}
