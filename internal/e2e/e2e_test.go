package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/internal/e2e/harness"
)

var (
	long       = flag.Bool("long", false, "run the tests with kills for minutes")
	seedFlag   = flag.Uint64("seed", 0, "seed of the random tests; 0: the fixed ones")
	iterations = flag.Int("iterations", 0, "rounds of each random test; 0: few")
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// statementWithin bounds every statement of a test: a server that hangs fails the test instead of stopping it.
const statementWithin = 30 * time.Second

func newRand(t testing.TB, seed uint64) *rand.Rand {
	if *seedFlag != 0 {
		seed = *seedFlag
	}
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// rounds picks a number of rounds for the ordinary and the long run, unless -iterations says.
func rounds(short, forLong int) int {
	switch {
	case *iterations > 0:
		return *iterations
	case *long:
		return forLong
	}
	return short
}

// exec runs statements and fails the test on an error.
func exec(t testing.TB, c *pgx.Conn, sql string) {
	t.Helper()
	if err := try(c, sql); err != nil {
		t.Fatalf("%s\n%v", sql, err)
	}
}

// try runs statements with the simple protocol.
func try(c *pgx.Conn, sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), statementWithin)
	defer cancel()
	_, err := c.PgConn().Exec(ctx, sql).ReadAll()
	return err
}

// query returns the rows of a query, each as its values' text between bars, sorted.
func query(c *pgx.Conn, sql string) ([]string, error) {
	out, err := inOrder(c, sql)
	sort.Strings(out)
	return out, err
}

// inOrder is query with the rows as they come.
func inOrder(c *pgx.Conn, sql string) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), statementWithin)
	defer cancel()
	res, err := c.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, r := range res {
		for _, row := range r.Rows {
			var b strings.Builder
			for i, v := range row {
				if i > 0 {
					b.WriteByte('|')
				}
				if v == nil {
					b.WriteString("∅")
				} else {
					b.Write(v)
				}
			}
			out = append(out, b.String())
		}
	}
	return out, nil
}

func rows(t testing.TB, c *pgx.Conn, sql string) []string {
	t.Helper()
	out, err := query(c, sql)
	if err != nil {
		t.Fatalf("%s\n%v", sql, err)
	}
	return out
}

// one returns the only value of a query.
func one(t testing.TB, c *pgx.Conn, sql string) string {
	t.Helper()
	r := rows(t, c, sql)
	if len(r) != 1 {
		t.Fatalf("%s\n%d rows, want 1", sql, len(r))
	}
	return r[0]
}

// view is a materialized view and the query that defines it.
type view struct{ name, query string }

func (v view) create() string {
	return fmt.Sprintf("CREATE MATERIALIZED VIEW %s AS %s", v.name, v.query)
}

// checkViews compares each view with its query run from scratch. Nobody may be writing.
func checkViews(t testing.TB, c *pgx.Conn, when string, vs []view) {
	t.Helper()
	for _, v := range vs {
		got, err := query(c, "SELECT * FROM "+v.name)
		if err != nil {
			t.Errorf("%s: read view %s: %v", when, v.name, err)
			continue
		}
		want, err := query(c, v.query)
		if err != nil {
			t.Errorf("%s: %s: %v", when, v.query, err)
			continue
		}
		if d := diff(want, got); d != "" {
			t.Errorf("%s: view %s differs from its query\n%s\n%s", when, v.name, v.query, d)
		}
	}
}

// diff describes how two sorted lists differ as multisets, "" if they do not.
func diff(want, got []string) string {
	var b strings.Builder
	n, i, j := 0, 0, 0
	note := func(sign, row string) {
		if n++; n <= 12 {
			fmt.Fprintf(&b, "  %s %s\n", sign, row)
		}
	}
	for i < len(want) || j < len(got) {
		switch {
		case j == len(got) || i < len(want) && want[i] < got[j]:
			note("missing", want[i])
			i++
		case i == len(want) || got[j] < want[i]:
			note("extra  ", got[j])
			j++
		default:
			i, j = i+1, j+1
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("  %d differences (%d rows wanted, %d got)\n%s", n, len(want), len(got), b.String())
}

// code returns the SQLSTATE of a server's error, "" for other errors.
func code(err error) string {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return pe.Code
	}
	return ""
}

// eventually waits until a query answers with the wanted rows.
func eventually(t testing.TB, c *pgx.Conn, sql string, want []string, within time.Duration) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		got, err := query(c, sql)
		d := ""
		if err == nil {
			if d = diff(want, got); d == "" {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %s\n%v\n%s", within, sql, err, d)
		}
		time.Sleep(20 * time.Millisecond) // work that no statement waits for
	}
}
