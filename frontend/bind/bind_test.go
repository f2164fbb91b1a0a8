package bind_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/frontend/bind"
	"github.com/millrace/millrace/frontend/bind/bindtest"
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/planner/batch"
	"github.com/millrace/millrace/planner/stream"
)

const tables = `
CREATE TABLE t (id int primary key, name varchar(10) not null, amount numeric(8,2) DEFAULT 1.5, at timestamp, total numeric GENERATED ALWAYS AS (amount * 2) STORED);
CREATE TABLE u (a bigint, b text, primary key (a, b));
CREATE TABLE app (x int, y text) APPEND ONLY;
CREATE VIEW v (k, label) AS SELECT id, name || '!' FROM t;
CREATE MATERIALIZED VIEW m AS SELECT b, count(*) FROM u GROUP BY b;
CREATE SOURCE s (x int, y text);`

func newCatalog(t testing.TB) *bindtest.Catalog {
	t.Helper()
	c, err := bindtest.New(tables)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// bindAny binds a statement of any kind and returns the plan of its rows and its RETURNING list.
func bindAny(env *bind.Env, sql string) (plan.Node, []string, error) {
	stmt, err := parser.ParseOne(sql)
	if err != nil {
		return nil, nil, err
	}
	switch s := stmt.(type) {
	case *parser.SelectStmt:
		n, err := bind.Query(env, s.Query)
		return n, nil, err
	case *parser.InsertStmt:
		i, err := bind.Insert(env, s)
		if err != nil {
			return nil, nil, err
		}
		return i.Source, i.ReturningNames, nil
	case *parser.UpdateStmt:
		u, err := bind.Update(env, s)
		if err != nil {
			return nil, nil, err
		}
		return u.Source, u.ReturningNames, nil
	case *parser.DeleteStmt:
		d, err := bind.Delete(env, s)
		if err != nil {
			return nil, nil, err
		}
		return d.Source, d.ReturningNames, nil
	}
	return nil, nil, fmt.Errorf("cannot bind %T", stmt)
}

// TestParams checks the types that parameters are given by their use.
func TestParams(t *testing.T) {
	c := newCatalog(t)
	for _, tc := range []struct {
		sql  string
		want string
	}{
		{"SELECT $1", "text"},
		{"SELECT $1::int", "integer"},
		{"SELECT * FROM t WHERE id = $1", "integer"},
		{"SELECT * FROM t WHERE name = $1 AND amount > $2", "text, numeric"},
		{"SELECT * FROM t WHERE $1 IS NULL OR id = $1", "integer"},
		{"SELECT * FROM t WHERE at - $1 < interval '1 day'", "timestamp without time zone"},
		{"SELECT * FROM t WHERE id = ANY($1)", "integer[]"},
		{"SELECT * FROM t WHERE id IN ($1, $2)", "integer, integer"},
		{"SELECT * FROM t LIMIT $1 OFFSET $2", "bigint, bigint"},
		{"SELECT coalesce($1, 1), CASE WHEN $2 THEN 1 ELSE $3 END", "integer, boolean, integer"},
		{"SELECT lower($1), $2 || 'x', $3 + 1", "text, text, integer"},
		{"INSERT INTO t (id, name, amount) VALUES ($1, $2, $3)", "integer, character varying, numeric"},
		{"INSERT INTO t (id, name) SELECT $1, $2", "integer, character varying"},
		{"UPDATE t SET name = $2 WHERE id = $1", "integer, character varying"},
		{"INSERT INTO t (id, name) VALUES ($2, $1)", "character varying, integer"},
	} {
		env := c.Env()
		if _, _, err := bindAny(env, tc.sql); err != nil {
			t.Errorf("%s: %v", tc.sql, err)
			continue
		}
		var got []string
		for _, p := range env.Params {
			got = append(got, p.String())
		}
		if g := strings.Join(got, ", "); g != tc.want {
			t.Errorf("%s: %s, want %s", tc.sql, g, tc.want)
		}
	}
	for _, sql := range []string{"SELECT $2::text", "SELECT ROW($1, 2)", "SELECT format('%s', $1)", "SELECT $1 IS NULL", "SELECT ROW($1), $1::int"} {
		if _, _, err := bindAny(c.Env(), sql); sqlerr.CodeOf(err) != sqlerr.IndeterminateDatatype {
			t.Errorf("%s: %v, want 42P18", sql, err)
		}
	}
	env := c.Env()
	env.Params = []sqltypes.Type{sqltypes.Int8}
	if _, _, err := bindAny(env, "SELECT * FROM t WHERE id = $1"); err != nil || env.Params[0] != sqltypes.Int8 {
		t.Errorf("a type that the client gave became %v (%v)", env.Params, err)
	}
}

// TestRefused checks errors that PostgreSQL 15 does not have, or has on another schema.
func TestRefused(t *testing.T) {
	c := newCatalog(t)
	for _, tc := range []struct{ sql, want string }{
		{"INSERT INTO nope VALUES (1)", `42P01 at 13: relation "nope" does not exist`},
		{"INSERT INTO v VALUES (1)", `55000 at 13: cannot insert into view "v"`},
		{"INSERT INTO m VALUES (1)", `42809 at 13: cannot change materialized view "m"`},
		{"INSERT INTO s VALUES (1)", `42809 at 13: cannot insert into source "s"`},
		{"INSERT INTO t (id, nope) VALUES (1, 2)", `42703 at 20: column "nope" of relation "t" does not exist`},
		{"INSERT INTO t (id, id) VALUES (1, 2)", `42701 at 20: column "id" specified more than once`},
		{"INSERT INTO t (id) VALUES (1, 2)", `42601 at 31: INSERT has more expressions than target columns`},
		{"INSERT INTO t (id, name) VALUES (1)", `42601 at 34: INSERT has more target columns than expressions`},
		{"INSERT INTO t VALUES ('x')", `22P02 at 23: invalid input syntax for type integer: "x"`},
		{"INSERT INTO t VALUES (now())", "42804 at 23: column \"id\" is of type integer but expression is of type timestamp with time zone\n" +
			"HINT: You will need to rewrite or cast the expression."},
		{"INSERT INTO t (total) VALUES (1)", "428C9 at 31: cannot insert a non-DEFAULT value into column \"total\"\nDETAIL: Column \"total\" is a generated column."},
		{"INSERT INTO t VALUES (1, 'a') ON CONFLICT (name) DO NOTHING", "42P10 at 0: there is no unique or exclusion constraint matching the ON CONFLICT specification"},
		{"INSERT INTO t VALUES (1, 'a') ON CONFLICT DO UPDATE SET name = 'b'", "42601 at 31: ON CONFLICT DO UPDATE requires inference specification or constraint name\n" +
			"HINT: For example, ON CONFLICT (column_name)."},
		{"UPDATE t SET name = 1, name = 2", `42601 at 24: multiple assignments to same column "name"`},
		{"UPDATE t SET total = 1", "428C9 at 14: column \"total\" can only be updated to DEFAULT\nDETAIL: Column \"total\" is a generated column."},
		{"UPDATE t SET (id, name) = (SELECT 1)", "42601 at 27: number of columns does not match number of values"},
		{"UPDATE app SET x = 1", `42809 at 8: cannot update append-only table "app"`},
		{"DELETE FROM app", `42809 at 13: cannot delete from append-only table "app"`},
		{"DELETE FROM t USING u WHERE c = 1", `42703 at 29: column "c" does not exist`},
		{"SELECT * FROM s", "0A000 at 15: source \"s\" cannot be queried directly\nHINT: Create a materialized view on the source and query that."},
		{"SELECT * FROM TUMBLE(t, id, INTERVAL '1 day')", "42804 at 25: window column must be of type timestamp or timestamp with time zone, not integer"},
		{"SELECT * FROM TUMBLE(t, at, INTERVAL '1 month')", "0A000 at 29: windows of months or years are not supported\nHINT: Give the size in days or smaller units."},
		{"SELECT * FROM HOP(t, at, INTERVAL '1 day')", "42883 at 15: wrong number of arguments to hop\nHINT: The form is HOP(relation, column, slide, size [, offset])."},
		{"SELECT * FROM TUMBLE(t, at, INTERVAL '0')", "22023 at 29: window sizes must be greater than zero"},
		{"SELECT * FROM t FOR UPDATE OF u", "42P01 at 31: relation \"u\" in FOR UPDATE clause not found in FROM clause"},
		{"SELECT k FROM v WHERE nope = 1", `42703 at 23: column "nope" does not exist`},
	} {
		_, _, err := bindAny(c.Env(), tc.sql)
		if got := describe(err, tc.sql); got != tc.want {
			t.Errorf("%s\n got %s\nwant %s", tc.sql, got, tc.want)
		}
	}
	env := c.Env()
	env.Streaming = true
	if _, _, err := bindAny(env, "SELECT $1::int"); err == nil {
		t.Error("a view may have parameters")
	}
}

// TestInsertRows checks defaults, generated columns and the order of columns.
func TestInsertRows(t *testing.T) {
	c := newCatalog(t)
	n, returning, err := bindAny(c.Env(), "INSERT INTO t (name, id) VALUES ('x', 1), (DEFAULT, 2) RETURNING id, total AS twice, *")
	if err != nil {
		t.Fatal(err)
	}
	v, ok := n.(*plan.Values)
	if !ok || len(v.Rows) != 2 {
		t.Fatalf("source is %T", n)
	}
	var got []string
	for _, r := range v.Rows {
		var row []string
		for _, e := range r {
			row = append(row, expr.Format(e, nil))
		}
		got = append(got, strings.Join(row, ", "))
	}
	want := []string{
		"1, 'x'::character varying(10), 1.50, NULL::timestamp without time zone, (1.50 * 2)",
		"2, NULL::character varying(10), 1.50, NULL::timestamp without time zone, (1.50 * 2)",
	}
	for i := range want {
		if got[i] = strings.ReplaceAll(got[i], "(1.50 * (2)::numeric)", "(1.50 * 2)"); got[i] != want[i] {
			t.Errorf("row %d: %s, want %s", i, got[i], want[i])
		}
	}
	if r := strings.Join(returning, ","); r != "id,twice,id,name,amount,at,total" {
		t.Errorf("returning %s", r)
	}
}

func TestOnConflict(t *testing.T) {
	c := newCatalog(t)
	stmt, err := parser.ParseOne("INSERT INTO u VALUES (1, 'x') ON CONFLICT (b, a) DO UPDATE SET b = u.b || excluded.b WHERE excluded.a > u.a")
	if err != nil {
		t.Fatal(err)
	}
	i, err := bind.Insert(c.Env(), stmt.(*parser.InsertStmt))
	if err != nil {
		t.Fatal(err)
	}
	name := func(k int) string { return []string{"a", "b", "excluded.a", "excluded.b"}[k] }
	if got := expr.Format(i.Set[1], name); i.Conflict != 'U' || got != "(b || excluded.b)" {
		t.Errorf("conflict %c, set %s", i.Conflict, got)
	}
	if got := expr.Format(i.Where, name); got != "(excluded.a > a)" {
		t.Errorf("where %s", got)
	}
}

// TestUpdateSource checks that the source has the old row, the new row and what RETURNING needs.
func TestUpdateSource(t *testing.T) {
	c := newCatalog(t)
	n, returning, err := bindAny(c.Env(), "UPDATE u SET (a, b) = (SELECT id, name FROM t WHERE t.id = u.a) FROM app WHERE app.x = u.a RETURNING u.a, app.y")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := signature(n), "a: bigint, b: text, a: bigint, b: text, x: integer, y: text"; got != want {
		t.Errorf("source %s, want %s", got, want)
	}
	if got := strings.Join(returning, ","); got != "a,y" {
		t.Errorf("returning %s", got)
	}
}

// TestUsed checks which relations a statement is said to depend on.
func TestUsed(t *testing.T) {
	c := newCatalog(t)
	env := c.Env()
	if _, _, err := bindAny(env, "SELECT * FROM v, u WHERE EXISTS (SELECT 1 FROM u) "); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, id := range env.Used {
		got = append(got, c.Snapshot.Relations[id].Name)
	}
	if g := strings.Join(got, ","); g != "v,u" {
		t.Errorf("used %s, want v,u", g)
	}
}

// TestViewErrorHasNoPosition: an error inside a view's text must not point into the statement that uses it.
func TestViewErrorHasNoPosition(t *testing.T) {
	c := newCatalog(t)
	r, _ := c.Snapshot.Resolve([]string{"public"}, "v")
	r.Definition = "SELECT zzzzzz, 1 FROM t"
	_, _, err := bindAny(c.Env(), "SELECT * FROM v")
	if got := describe(err, "SELECT * FROM v"); got != `42703 at 0: column "zzzzzz" does not exist` {
		t.Errorf("got %s", got)
	}
}

func TestSessionFunctionsAreFrozenInViews(t *testing.T) {
	c := newCatalog(t)
	env := c.Env()
	env.Streaming, env.Session = true, fakeSession{}
	n, _, err := bindAny(env, "SELECT current_user AS who FROM t")
	if err != nil {
		t.Fatal(err)
	}
	k, ok := n.(*plan.Project).Exprs[0].(*expr.Const)
	if !ok || fmt.Sprintf("%s", k.Val) != "ada" {
		t.Errorf("current_user is %#v", n.(*plan.Project).Exprs[0])
	}
}

type fakeSession struct{}

func (fakeSession) User() string                                             { return "ada" }
func (fakeSession) Database() string                                         { return "dev" }
func (fakeSession) SearchPath() []string                                     { return []string{"public"} }
func (fakeSession) Setting(string) (string, bool)                            { return "", false }
func (fakeSession) SetSetting(string, string, bool) error                    { return nil }
func (fakeSession) PID() int32                                               { return 1 }
func (fakeSession) Catalog(string, []sqltypes.Datum) (sqltypes.Datum, error) { return nil, nil }

// FuzzBind: whatever parses is bound and planned or refused with an error, and the plan has no placeholders left.
func FuzzBind(f *testing.F) {
	c := loadCatalog(f)
	for _, file := range []string{"testdata/pg_types.txt", "testdata/pg_errors.txt"} {
		for _, k := range cases(f, file) {
			f.Add(k[0])
		}
	}
	f.Fuzz(func(t *testing.T, sql string) {
		if len(sql) > 2000 {
			return
		}
		env := c.Env()
		n, _, err := bindAny(env, sql)
		if err != nil {
			return
		}
		if _, err := plan.Encode(n); err != nil {
			t.Fatalf("encode: %v", err)
		}
		if _, err := batch.Plan(n, c.Snapshot, nil); err != nil {
			t.Fatalf("plan: %v", err)
		}
		_, _, _ = stream.Plan(n, stream.Root{Table: catalog.FirstUserID}, 2)
	})
}
