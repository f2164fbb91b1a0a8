package tpch

import (
	"bytes"
	"context"
	"log/slog"
	"os"
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
