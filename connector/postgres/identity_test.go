package postgres

import (
	"strings"
	"testing"
)

// TestToast reads updates that leave out values stored out of line.
func TestToast(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("0123456789abcdef", 600)
	w.exec(`CREATE TABLE d (id int PRIMARY KEY, long text, n int);
ALTER TABLE d ALTER long SET STORAGE EXTERNAL;
CREATE TABLE f (id int PRIMARY KEY, long text, n int);
ALTER TABLE f ALTER long SET STORAGE EXTERNAL;
ALTER TABLE f REPLICA IDENTITY FULL;
CREATE TABLE b (long text, n int);
ALTER TABLE b ALTER long SET STORAGE EXTERNAL;
ALTER TABLE b REPLICA IDENTITY FULL;
CREATE TABLE k (k text PRIMARY KEY, n int);
ALTER TABLE k ALTER k SET STORAGE EXTERNAL`)
	spec := w.spec()
	d, f, b, k := w.table(spec, "d"), w.table(spec, "f"), w.table(spec, "b"), w.table(spec, "k")
	key := long[:2600]
	w.exec("INSERT INTO d VALUES (1, '" + long + "', 1);\nINSERT INTO f VALUES (1, '" + long + "', 1);\nINSERT INTO b VALUES ('" + long + "', 1);\nINSERT INTO k VALUES ('" + key + "', 1)")
	r := w.read(w.upstream(spec), nil, d, f, b, k)
	w.exec("UPDATE d SET n = 2")
	want(t, r.all(), "+k02 1 NULL 2")
	w.exec("UPDATE d SET id = 5, n = 3")
	want(t, r.all(), "- 1 NULL NULL", "+m02 5 NULL 3")
	w.exec("UPDATE d SET long = 'short'")
	want(t, r.all(), "+ 5 short 3")
	w.exec("UPDATE f SET n = 2")
	want(t, r.all(), "+ 1 "+long+" 2")
	w.exec("UPDATE f SET id = 2")
	want(t, r.all(), "- 1 NULL NULL", "+ 2 "+long+" 2")
	w.exec("UPDATE b SET n = 2")
	want(t, r.all(), "- "+long+" 1", "+ "+long+" 2")
	w.exec("DELETE FROM b")
	want(t, r.all(), "- "+long+" 2")
	w.exec("UPDATE k SET n = 2")
	want(t, r.all(), "+ "+key+" 2")
	w.exec("UPDATE k SET k = 'new'")
	want(t, r.all(), "- "+key+" NULL", "+ new 2")
}

// TestPartitions reads a partitioned table as one: rows that move, partitions that come with rows, go, or are truncated by themselves.
func TestPartitions(t *testing.T) {
	w := newWorld(t)
	w.exec(`CREATE TABLE p (id int, r int, PRIMARY KEY (id, r)) PARTITION BY LIST (r);
CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2)`)
	spec := w.spec()
	tab := w.table(spec, "p")
	r := w.read(w.upstream(spec), nil, tab)
	w.exec("INSERT INTO p VALUES (1, 1), (2, 2);\nUPDATE p SET r = 2 WHERE id = 1;\nDELETE FROM p2 WHERE id = 2")
	want(t, r.all(), "+ 1 1", "+ 2 2", "- 1 1", "+ 1 2", "- 2 2")
	w.exec("CREATE TABLE p3 PARTITION OF p FOR VALUES IN (3);\nINSERT INTO p VALUES (3, 3)")
	want(t, r.all(), "+ 3 3")
	w.exec("TRUNCATE p")
	want(t, r.all(), "-t NULL NULL")

	recopies := func(empties bool) {
		t.Helper()
		emptied := false
		for {
			e, rows := r.next()
			for _, row := range rows {
				emptied = emptied || row == "-t NULL NULL"
			}
			if e.Recopy != nil {
				break
			}
		}
		if emptied != empties {
			t.Errorf("emptied %v, want %v", emptied, empties)
		}
	}
	w.exec("CREATE TABLE p4 (id int NOT NULL, r int NOT NULL);\nINSERT INTO p4 VALUES (4, 4);\nALTER TABLE p ATTACH PARTITION p4 FOR VALUES IN (4)")
	recopies(false)
	w.exec("BEGIN;\nCREATE TABLE p5 (id int NOT NULL, r int NOT NULL);\nINSERT INTO p5 VALUES (5, 5);\nALTER TABLE p ATTACH PARTITION p5 FOR VALUES IN (5);\nCOMMIT")
	recopies(false)
	w.exec("TRUNCATE p4")
	recopies(true)
	w.exec("ALTER TABLE p DETACH PARTITION p5")
	recopies(true)
	w.exec("CREATE TABLE p6 PARTITION OF p FOR VALUES IN (6);\nINSERT INTO p VALUES (6, 6)")
	for {
		e, rows := r.next()
		if e.Recopy != nil {
			t.Fatal("a new, empty partition has the table read anew")
		}
		if len(rows) > 0 {
			want(t, rows, "+ 6 6")
			break
		}
	}
}
