package bind_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/millrace/millrace/frontend/bind"
	"github.com/millrace/millrace/frontend/bind/bindtest"
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
)

// loadCatalog builds the catalog of testdata/schema.sql, the schema on which PostgreSQL 15 gave the answers in
// testdata/pg_*.txt.
func loadCatalog(t testing.TB) *bindtest.Catalog {
	t.Helper()
	schema, err := os.ReadFile("testdata/schema.sql")
	if err != nil {
		t.Fatal(err)
	}
	cat, err := bindtest.New(string(schema))
	if err != nil {
		t.Fatal(err)
	}
	return cat
}

// cases splits a file of cases: a line with a statement, lines of the answer, an empty line.
func cases(t testing.TB, file string) (out [][2]string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
		sql, answer, _ := strings.Cut(c, "\n")
		out = append(out, [2]string{sql, answer})
	}
	return out
}

// TestTypes compares names and types of output columns with PostgreSQL's.
func TestTypes(t *testing.T) {
	cat := loadCatalog(t)
	for _, c := range cases(t, "testdata/pg_types.txt") {
		n, err := bindQuery(cat.Env(), c[0])
		if err != nil {
			t.Errorf("%s: %v", c[0], err)
			continue
		}
		if got := signature(n); got != c[1] {
			t.Errorf("%s\n got %s\nwant %s", c[0], got, c[1])
		}
	}
}

// TestErrors compares SQLSTATE, position, wording, detail and hint with PostgreSQL's.
func TestErrors(t *testing.T) {
	cat := loadCatalog(t)
	for _, c := range cases(t, "testdata/pg_errors.txt") {
		_, err := bindQuery(cat.Env(), c[0])
		if got := describe(err, c[0]); got != c[1] {
			t.Errorf("%s\n got %s\nwant %s", c[0], got, c[1])
		}
	}
}

func bindQuery(env *bind.Env, sql string) (plan.Node, error) {
	stmt, err := parser.ParseOne(sql)
	if err != nil {
		return nil, err
	}
	return bind.Query(env, stmt.(*parser.SelectStmt).Query)
}

func signature(n plan.Node) string {
	var out []string
	for _, c := range n.Columns() {
		out = append(out, c.Name+": "+c.Type.String())
	}
	return strings.Join(out, ", ")
}

func describe(err error, sql string) string {
	if err == nil {
		return "no error"
	}
	e := sqlerr.From(err).Locate(sql)
	s := fmt.Sprintf("%s at %d: %s", e.Code, e.Position, e.Message)
	if e.Detail != "" {
		s += "\nDETAIL: " + e.Detail
	}
	if e.Hint != "" {
		s += "\nHINT: " + e.Hint
	}
	return s
}
