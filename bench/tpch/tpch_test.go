package tpch

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/bench/peer"
	"github.com/millrace/millrace/internal/server"
)

// TestMain is also the server that Run starts.
func TestMain(m *testing.M) {
	if peer.IsServer() {
		log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
		if err := peer.Serve(context.Background(), server.Config{Logger: log}); err != nil {
			log.Error("serve", "err", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// read generates a table and splits it into rows of fields.
func read(t *testing.T, g *Generator, table string) [][]string {
	t.Helper()
	var b bytes.Buffer
	n, err := g.Write(table, &b)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]string
	for line := range strings.Lines(b.String()) {
		out = append(out, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	if int64(len(out)) != n {
		t.Fatalf("%s: %d lines, %d rows reported", table, len(out), n)
	}
	return out
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.Replace(s, ".", "", 1))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestGenerator holds the rows against rules of the specification that queries depend on.
func TestGenerator(t *testing.T) {
	g := NewGenerator(0.01, 7)
	want := map[string]int{"region": 5, "nation": 25, "supplier": 100, "part": 2000, "partsupp": 8000, "customer": 1500, "orders": 15000}
	rows := map[string][][]string{}
	for _, tab := range tables {
		rows[tab.name] = read(t, g, tab.name)
		columns := strings.Count(tab.columns, ", ") + strings.Count(tab.columns, ",\n") + 1
		if got := len(rows[tab.name][0]); got != columns {
			t.Errorf("%s has %d fields, the table %d columns", tab.name, got, columns)
		}
	}
	for name, n := range want {
		if len(rows[name]) != n {
			t.Errorf("%s has %d rows, not %d", name, len(rows[name]), n)
		}
	}
	supplies := map[string]bool{}
	for _, r := range rows["partsupp"] {
		supplies[r[0]+" "+r[1]] = true
	}
	if len(supplies) != len(rows["partsupp"]) {
		t.Error("a part has a supplier twice")
	}
	price := map[string]int{}
	for _, r := range rows["part"] {
		price[r[0]] = number(t, r[7])
	}
	type sum struct {
		total       int64
		open, lines int
		date        string
	}
	sums := map[string]*sum{}
	for _, r := range rows["orders"] {
		if number(t, r[1])%3 == 0 {
			t.Fatalf("customer %s has an order", r[1])
		}
		if key := number(t, r[0]); (key-1)%32 >= 8 {
			t.Fatalf("order key %d is not one of the first eight of 32", key)
		}
		sums[r[0]] = &sum{date: r[4]}
	}
	for _, r := range rows["lineitem"] {
		s := sums[r[0]]
		if s == nil || !supplies[r[1]+" "+r[2]] {
			t.Fatalf("line %v has no order or no supplier", r)
		}
		if number(t, r[5]) != number(t, r[4])*price[r[1]] {
			t.Fatalf("line %v: price is not %d times %d", r, number(t, r[4]), price[r[1]])
		}
		if r[10] <= s.date || r[12] <= r[10] || r[11] <= s.date {
			t.Fatalf("line %v of %s: dates out of order", r, s.date)
		}
		if (r[8] == "N") != (r[12] > "1995-06-17") || (r[9] == "O") != (r[10] > "1995-06-17") {
			t.Fatalf("line %v: flags do not fit its dates", r)
		}
		s.total += int64(number(t, r[5])) * int64(100+number(t, r[7])) / 100 * int64(100-number(t, r[6])) / 100
		s.lines++
		if r[9] == "O" {
			s.open++
		}
	}
	for _, r := range rows["orders"] {
		s := sums[r[0]]
		if int64(number(t, r[3])) != s.total || s.lines < 1 || s.lines > 7 {
			t.Fatalf("order %v: %d lines of %d in all", r, s.lines, s.total)
		}
		status := "P"
		if s.open == 0 {
			status = "F"
		} else if s.open == s.lines {
			status = "O"
		}
		if r[2] != status {
			t.Fatalf("order %v: status is not %s", r, status)
		}
	}
}

// TestSame: the same seed gives the same rows, another one others.
func TestSame(t *testing.T) {
	rows := func(seed uint64) string {
		var b bytes.Buffer
		if _, err := NewGenerator(0.001, seed).Write("lineitem", &b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if rows(1) != rows(1) {
		t.Error("rows differ from one run to the next")
	}
	if rows(1) == rows(2) {
		t.Error("the seed does not matter")
	}
}

// TestDifference: answers are compared as rows, and in order where the query orders.
func TestDifference(t *testing.T) {
	a := answer{{"1", "x"}, {"1", "y"}, {"2", "x"}}
	for _, c := range []struct {
		name  string
		other answer
		order []int
		same  bool
	}{
		{"same", a, []int{0}, true},
		{"ties in another order", answer{{"1", "y"}, {"1", "x"}, {"2", "x"}}, []int{0}, true},
		{"rows in another order", answer{{"2", "x"}, {"1", "x"}, {"1", "y"}}, []int{0}, false},
		{"another value", answer{{"1", "x"}, {"1", "z"}, {"2", "x"}}, []int{0}, false},
		{"fewer rows", a[:2], []int{0}, false},
	} {
		if diff := difference(a, c.other, c.order); (diff == "") != c.same {
			t.Errorf("%s: %q", c.name, diff)
		}
	}
}

// TestPostgres: all 22 answers are PostgreSQL's.
func TestPostgres(t *testing.T) {
	if os.Getenv("MILLRACE_TEST_POSTGRES") == "" {
		t.Skip("MILLRACE_TEST_POSTGRES is not set: make test-postgres")
	}
	var out bytes.Buffer
	if err := Run(t.Context(), Options{Scale: 0.01, Seed: 1, Rounds: 2, Postgres: true, Timeout: time.Minute}, &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if n := strings.Count(out.String(), "\n"); n < queryCount {
		t.Fatalf("the report has %d lines:\n%s", n, &out)
	}
}

// changes are made after the load, on both sides: rows come and go, keys of joins change, and so do values that decide about groups.
var changes = []string{
	"DELETE FROM lineitem WHERE l_orderkey % 7 = 3",
	"DELETE FROM orders WHERE o_orderkey % 7 = 3",
	"UPDATE orders SET o_custkey = o_custkey % 700 + 1, o_orderdate = o_orderdate + 31 WHERE o_orderkey % 5 = 1",
	"UPDATE lineitem SET l_quantity = l_quantity + 1, l_shipdate = l_shipdate - 40, l_suppkey = l_suppkey % 50 + 1 WHERE l_orderkey % 11 = 2",
	"UPDATE supplier SET s_nationkey = (s_nationkey + 3) % 25, s_acctbal = s_acctbal - 100 WHERE s_suppkey % 3 = 0",
	"DELETE FROM customer WHERE c_custkey % 13 = 5",
	"UPDATE part SET p_size = p_size % 20 + 1, p_container = 'MED BOX' WHERE p_partkey % 17 = 4",
	"DELETE FROM partsupp WHERE ps_partkey % 19 = 6",
	"INSERT INTO customer SELECT c_custkey + 1000000, c_name, c_address, c_nationkey, c_phone, c_acctbal + 1, c_mktsegment, c_comment FROM customer WHERE c_custkey % 29 = 1",
	"UPDATE nation SET n_regionkey = 4 - n_regionkey WHERE n_nationkey < 6",
}

// TestPostgresViews: the 22 queries as materialized views, made over empty tables, are at each stage what PostgreSQL answers: after a part of
// the load, after all of it, and after rows have been changed and deleted.
func TestPostgresViews(t *testing.T) {
	if os.Getenv("MILLRACE_TEST_POSTGRES") == "" {
		t.Skip("MILLRACE_TEST_POSTGRES is not set: make test-postgres")
	}
	const scale = 0.01
	ctx := t.Context()
	ours, err := startOurs(ctx, Options{Scale: scale})
	if err != nil {
		t.Fatal(err)
	}
	defer ours.close(context.WithoutCancel(ctx))
	server, err := peer.Postgres(ctx, postgresSettings...)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := open(ctx, server)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.close(context.WithoutCancel(ctx))
	exec := func(s *side, sql string) {
		t.Helper()
		if _, err := s.conn.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %s: %v", s.Name, sql, err)
		}
	}
	queries := make([]string, queryCount+1)
	for _, s := range []*side{ours, theirs} {
		for _, x := range tables {
			exec(s, fmt.Sprintf("CREATE TABLE %s (%s, PRIMARY KEY (%s))", x.name, x.columns, x.key))
		}
	}
	for n := 1; n <= queryCount; n++ {
		if queries[n], err = Query(n, scale); err != nil {
			t.Fatal(err)
		}
		exec(ours, fmt.Sprintf("CREATE MATERIALIZED VIEW view%d AS %s", n, queries[n]))
	}
	for _, sql := range postgresIndexes {
		exec(theirs, sql)
	}
	compare := func(when string, mostEmpty int) {
		t.Helper()
		exec(theirs, "ANALYZE")
		empty := 0
		for n := 1; n <= queryCount; n++ {
			got, err := ours.query(ctx, fmt.Sprintf("SELECT * FROM view%d", n))
			if err != nil {
				t.Fatalf("%s: view %d: %v", when, n, err)
			}
			want, err := theirs.query(ctx, queries[n])
			if err != nil {
				t.Fatalf("%s: query %d: %v", when, n, err)
			}
			if diff := difference(got, want, nil); diff != "" {
				t.Errorf("%s: view %d: %s", when, n, diff)
			}
			if len(want) == 0 || len(want) == 1 && want[0][0] == "NULL" {
				empty++
			}
		}
		if empty > mostEmpty {
			t.Errorf("%s: %d of the queries have no answer, and prove nothing", when, empty)
		}
	}
	g := NewGenerator(scale, 3)
	loads := map[string][]string{}
	for _, x := range tables {
		var b bytes.Buffer
		if _, err := g.Write(x.name, &b); err != nil {
			t.Fatal(err)
		}
		loads[x.name] = slices.Collect(strings.Lines(b.String()))
	}
	for half := range 2 {
		for _, x := range tables {
			lines := loads[x.name]
			part := strings.Join(lines[half*len(lines)/2:(half+1)*len(lines)/2], "")
			for _, s := range []*side{ours, theirs} {
				if _, err := s.conn.PgConn().CopyFrom(ctx, strings.NewReader(part), "COPY "+x.name+" FROM STDIN"); err != nil {
					t.Fatal(err)
				}
			}
		}
		compare(fmt.Sprintf("after part %d of the load", half+1), 10-8*half)
	}
	for _, sql := range changes {
		exec(ours, sql)
		exec(theirs, sql)
	}
	compare("after the changes", 4)
}
