package stream_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/frontend/bind"
	"github.com/millrace/millrace/frontend/bind/bindtest"
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/planner/explain"
	"github.com/millrace/millrace/planner/stream"
)

const schema = `
CREATE TABLE t (id bigint primary key, a int, b text);
CREATE TABLE bag (a int, b text);
CREATE TABLE pair (x int, y int, z text, primary key (x, y));
CREATE MATERIALIZED VIEW m AS SELECT b, count(*) AS n FROM t GROUP BY b;
CREATE TABLE up (k int primary key, v text, twice int GENERATED ALWAYS AS (k * 2) STORED);`

func relation(t *testing.T, c *bindtest.Catalog, name string) *catalog.Relation {
	t.Helper()
	r, ok := c.Snapshot.Resolve([]string{"public"}, name)
	if !ok {
		t.Fatalf("no relation %s", name)
	}
	return r
}

func newCatalog(t *testing.T) *bindtest.Catalog {
	t.Helper()
	c, err := bindtest.New(schema)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func text(n plan.Node) string { return strings.Join(explain.Lines(n, explain.Stream), "\n") }

func TestTableJob(t *testing.T) {
	c := newCatalog(t)
	upsert := *relation(t, c, "up")
	upsert.Connector = &catalog.Connector{Name: "kafka", Format: "UPSERT"}
	source, err := bind.Source(c.Env(), &upsert)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		rel    *catalog.Relation
		source plan.Node
		want   string
		states int
	}{
		{"primary key", relation(t, c, "t"), nil,
			"Materialize key (id) dist (id)\n└ Exchange (hash: id)\n  └ DML (id, a, b)", 1},
		{"bag", relation(t, c, "bag"), nil,
			"Materialize bag dist (a, b)\n└ Exchange (hash: a, b)\n  └ DML (a, b)", 1},
		{"upserts with a generated column", &upsert, source,
			"Materialize key (k) dist (k) upserts on conflict overwrite\n└ Exchange (hash: k)\n  └ Union\n    └ DML (k, v, twice)\n" +
				"    └ Project k, v, (k * 2) AS twice {unique (k)}\n      └ SourceScan up (k, v) upsert {unique (k)}", 2},
	} {
		n, facts := stream.TableJob(tc.rel, tc.source, nil, 2)
		if got := text(n); got != tc.want {
			t.Errorf("%s:\n%s\nwant\n%s", tc.name, got, tc.want)
		}
		if facts.States != tc.states {
			t.Errorf("%s: %d states, want %d", tc.name, facts.States, tc.states)
		}
	}
}

func TestIndexJob(t *testing.T) {
	c := newCatalog(t)
	if err := c.Add("CREATE INDEX i ON t (a DESC, b)"); err != nil {
		t.Fatal(err)
	}
	r := relation(t, c, "i")
	want := []catalog.SortKey{{Col: 0, Desc: true}, {Col: 1}, {Col: 2}} // a, b, then the key of t
	if !reflect.DeepEqual(r.Key, want) || !reflect.DeepEqual(r.Dist, []int{0}) {
		t.Errorf("key %v dist %v, want %v and [0]", r.Key, r.Dist, want)
	}
	if err := c.Add("CREATE INDEX j ON bag (a)"); err == nil || !strings.Contains(err.Error(), "without a unique key") {
		t.Errorf("index on a bag: %v", err)
	}
}

func bound(t *testing.T, c *bindtest.Catalog, sql string) plan.Node {
	t.Helper()
	stmt, err := parser.ParseOne(sql)
	if err != nil {
		t.Fatal(err)
	}
	env := c.Env()
	env.Streaming = true
	n, err := bind.Query(env, stmt.(*parser.SelectStmt).Query)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestSinkJob(t *testing.T) {
	c := newCatalog(t)
	sink := &plan.Sink{Connector: catalog.Connector{Name: "kafka"}, Key: []int{0}}
	n, facts, err := stream.Plan(bound(t, c, "SELECT a, max(id) FROM t GROUP BY a"), stream.Root{Table: 9, Sink: sink}, 2)
	if err != nil {
		t.Fatal(err)
	}
	want := "Sink kafka key (a)\n└ HashAgg by (a): max(id) {unique (a)}\n  └ Exchange (hash: a)\n    └ Project a, id {unique (id)}\n      └ StreamScan t (id, a) {unique (id)}"
	if got := text(n); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if facts.States != 4 { // scan, groups, values of max over rows that change, sink
		t.Errorf("%d states, want 4", facts.States)
	}
}

// TestStateOrdinals checks that every stateful node has ordinals of its own, from 1 without gaps.
func TestStateOrdinals(t *testing.T) {
	c := newCatalog(t)
	n, facts, err := stream.Plan(bound(t, c, `SELECT t.a, count(DISTINCT t.b), max(t.id) FROM t JOIN pair p ON p.x = t.a
		WHERE t.b IN (SELECT b FROM bag) GROUP BY t.a UNION SELECT y, 1, 1 FROM pair`), stream.Root{Table: 9}, 2)
	if err != nil {
		t.Fatal(err)
	}
	taken := map[int]bool{}
	plan.Walk(n, func(x plan.Node) bool {
		count := stream.StateTables(x)
		if count == 0 {
			return true
		}
		first := int(reflect.ValueOf(x).Elem().FieldByName("State").Int())
		for i := first; i < first+count; i++ {
			if i < 1 || i > facts.States || taken[i] {
				t.Errorf("%T has ordinal %d, which is taken or outside 1…%d", x, i, facts.States)
			}
			taken[i] = true
		}
		return true
	})
	if len(taken) != facts.States {
		t.Errorf("%d ordinals in use, %d counted", len(taken), facts.States)
	}
}

func TestParallelismOneHasNoExchange(t *testing.T) {
	c := newCatalog(t)
	n, facts, err := stream.Plan(bound(t, c, "SELECT t.b, sum(p.y) FROM t JOIN pair p ON p.x = t.a GROUP BY t.b"), stream.Root{Table: 9}, 1)
	if err != nil {
		t.Fatal(err)
	}
	plan.Walk(n, func(x plan.Node) bool {
		if _, ok := x.(*plan.Exchange); ok {
			t.Errorf("exchange in\n%s", text(n))
		}
		return true
	})
	if want := []int{0}; !reflect.DeepEqual(facts.Dist, want) {
		t.Errorf("dist %v, want %v", facts.Dist, want)
	}
}

// TestFacts checks what a view's relation is given in the catalog.
func TestFacts(t *testing.T) {
	c := newCatalog(t)
	for _, tc := range []struct {
		sql        string
		key, dist  []int
		appendOnly bool
	}{
		{"SELECT a, id FROM t", []int{1}, []int{1}, false},
		{"SELECT a FROM t", nil, []int{0}, false},
		{"SELECT b, count(*) FROM t GROUP BY b", []int{0}, []int{0}, false},
		{"SELECT count(*) FROM t", []int{0}, nil, false},
		{"SELECT p.x, p.y, t.b FROM pair p JOIN t ON t.id = p.x", []int{0, 1}, []int{0, 1}, false},
		{"SELECT t.id, p.x, p.y FROM pair p JOIN t ON t.a = p.y", []int{0, 1, 2}, []int{2}, false},
		{"SELECT * FROM m", []int{0}, []int{0}, false},
		{"SELECT DISTINCT b FROM bag", []int{0}, []int{0}, false},
	} {
		_, f, err := stream.Plan(bound(t, c, tc.sql), stream.Root{Table: 9}, 2)
		if err != nil {
			t.Errorf("%s: %v", tc.sql, err)
			continue
		}
		var key []int
		for _, k := range f.Key {
			key = append(key, k.Col)
		}
		if !reflect.DeepEqual(key, tc.key) || !reflect.DeepEqual(f.Dist, tc.dist) || f.AppendOnly != tc.appendOnly {
			t.Errorf("%s: key %v dist %v append-only %v, want %v %v %v", tc.sql, key, f.Dist, f.AppendOnly, tc.key, tc.dist, tc.appendOnly)
		}
	}
}
