package pgdiff

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/internal/e2e/harness"
)

var (
	seed   = flag.Uint64("seed", 1, "where the random statements begin")
	long   = flag.Duration("long", 0, "go on with further seeds for that long")
	only   = flag.String("only", "", "only statements about what has this in its name")
	ours   = flag.String("ours", "", "connection string of a Millrace to be used instead of one started here")
	theirs = flag.String("theirs", "", "connection string of a PostgreSQL to be used instead of one started here")
	show   = flag.Int("show", 40, "how many findings are printed")
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// pair starts both servers. It skips the test unless MILLRACE_TEST_POSTGRES is set, as make test-postgres does.
func pair(t *testing.T) *Pair {
	t.Helper()
	if os.Getenv("MILLRACE_TEST_POSTGRES") == "" {
		t.Skip("MILLRACE_TEST_POSTGRES is not set: make test-postgres compares with a real PostgreSQL")
	}
	list, err := ReadDifferences("testdata/differences.txt")
	if err != nil {
		t.Fatal(err)
	}
	side := func(url string) *Side {
		s := &Side{Connect: func(ctx context.Context) (*pgconn.PgConn, error) { return pgconn.Connect(ctx, url) }}
		s.ConnectTo = func(ctx context.Context, database string) (*pgconn.PgConn, error) {
			cfg, err := pgconn.ParseConfig(url)
			if err != nil {
				return nil, err
			}
			cfg.Database = database
			return pgconn.ConnectConfig(ctx, cfg)
		}
		t.Cleanup(s.Close)
		return s
	}
	a, b := *ours, *theirs
	if a == "" {
		a = harness.New(t).URL()
	}
	if b == "" {
		c := harness.Postgres(t)
		if c == nil {
			t.Fatal("there is no PostgreSQL 15: install postgresql-15")
		}
		b = c.Config().ConnString()
	}
	return &Pair{Ours: side(a), Theirs: side(b), Intended: list}
}

// TestExpressions compares a fixed number of generated expressions, and with -long further ones.
func TestExpressions(t *testing.T) {
	p := pair(t)
	ctx := t.Context()
	began := time.Now()
	for s := *seed; ; s++ {
		expressions(t, ctx, p, s)
		if time.Since(began) > *long {
			break
		}
	}
	report(t, p)
}

func expressions(t *testing.T, ctx context.Context, p *Pair, seed uint64) {
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	g := &Exprs{Rand: rng}
	check := func(err error) {
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	check(p.Set(ctx))
	for _, sql := range g.Table() {
		a, b, err := p.both(ctx, Text, []string{sql})
		check(err)
		if a[0].Err != nil || b[0].Err != nil {
			t.Fatalf("%s: %v, %v", sql, a[0].Err, b[0].Err)
		}
	}
	var err error
	g.Library, err = LoadLibrary(ctx, p.Ours.conn, p.Theirs.conn, p.Intended)
	check(err)
	var list []Statement
	add := func(s Statement) {
		if strings.Contains(s.Of, *only) {
			list = append(list, s)
		}
	}
	for _, f := range g.Library.Functions {
		for range 3 {
			add(g.Call(f))
		}
	}
	for _, o := range g.Library.Operators {
		for range 2 {
			add(g.Operate(o))
		}
	}
	for range 3000 {
		add(g.Any())
	}
	for range 1500 {
		add(g.Format())
	}
	rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	const round = 300
	for ; len(list) > 0; list = list[min(round, len(list)):] {
		check(p.Set(ctx, pick(rng, settings[:8]), pick(rng, settings[8:12]), pick(rng, settings[12:20]), pick(rng, settings[20:22]), pick(rng, settings[22:])))
		check(p.Check(ctx, list[:min(round, len(list))]))
	}
}

// report fails the test with what was found, one of each kind.
func report(t *testing.T, p *Pair) {
	t.Logf("%d statements, %d of them refused by PostgreSQL, %d answered differently", p.Asked, p.Errors, len(p.Found))
	seen := map[string]int{}
	n := 0
	for _, f := range p.Found {
		key := f.Of + f.Differences[0].What
		if seen[key]++; seen[key] > 2 {
			continue
		}
		if n++; n > *show {
			t.Errorf("… and more")
			break
		}
		t.Error(f)
	}
	kinds := map[string]int{}
	for _, f := range p.Found {
		kinds[f.Differences[0].What]++
	}
	if len(kinds) > 0 {
		t.Log(fmt.Sprint(kinds))
	}
}

// TestQueries compares random queries over random tables; what is answered differently is made smaller first.
func TestQueries(t *testing.T) {
	p := pair(t)
	ctx := t.Context()
	began := time.Now()
	for s := *seed; ; s++ {
		queries(t, ctx, p, s)
		if time.Since(began) > *long {
			break
		}
	}
	report(t, p)
}

// queriesPerSeed are asked over one set of tables.
const queriesPerSeed = 200

func queries(t *testing.T, ctx context.Context, p *Pair, seed uint64) {
	t.Logf("seed %d", seed)
	g := &Queries{Rand: rand.New(rand.NewPCG(seed, 1))}
	if err := p.Set(ctx, "TimeZone = 'Europe/Berlin'"); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	schema := g.Schema()
	for _, sql := range schema {
		a, b, err := p.both(ctx, Text, []string{sql})
		if err != nil || a[0].Err != nil || b[0].Err != nil {
			t.Fatalf("seed %d: %s: %v, %v, %v", seed, sql, err, a, b)
		}
	}
	trees := make([]*Tree, queriesPerSeed)
	list := make([]Statement, queriesPerSeed)
	bySQL := map[string]*Tree{}
	for i := range trees {
		trees[i] = g.Query()
		list[i] = trees[i].Statement()
		bySQL[list[i].SQL] = trees[i]
	}
	before := len(p.Found)
	if err := p.Check(ctx, list); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	found := p.Found[before:]
	p.Found = p.Found[:before:before]
	for _, f := range found {
		p.Found = append(p.Found, shrunk(ctx, p, g, bySQL[f.SQL], f, schema))
	}
}

// shrunk makes a finding's query smaller as long as the two disagree in the same thing.
func shrunk(ctx context.Context, p *Pair, g *Queries, tree *Tree, f Finding, schema []string) Finding {
	if tree == nil {
		return f
	}
	what := f.Differences[0].What
	smallest := f
	scratch := &Pair{Ours: p.Ours, Theirs: p.Theirs, Intended: p.Intended, settings: p.settings}
	tree.Shrink(func(s Statement) bool {
		scratch.Found = nil
		if err := scratch.Check(ctx, []Statement{s}); err != nil || len(scratch.Found) == 0 || scratch.Found[0].Differences[0].What != what {
			return false
		}
		smallest = scratch.Found[0]
		return true
	})
	for _, table := range g.tables {
		for _, sql := range schema {
			if strings.Contains(smallest.SQL, table.name+" ") && !strings.HasPrefix(sql, "DROP") && strings.Contains(sql, " "+table.name+" ") {
				smallest.Settings += "\n  " + sql + ";"
			}
		}
	}
	return smallest
}
