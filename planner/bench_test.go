package planner_test

import (
	"testing"

	"github.com/millrace/millrace/frontend/bind"
	"github.com/millrace/millrace/frontend/bind/bindtest"
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/planner/batch"
)

// BenchmarkPointQuery measures what a look-up by primary key costs before it runs. Planning must stay below 50 µs.
func BenchmarkPointQuery(b *testing.B) {
	cat, err := bindtest.New("CREATE TABLE t (id bigint primary key, a text, b int, c numeric, d timestamp)")
	if err != nil {
		b.Fatal(err)
	}
	stmt, err := parser.ParseOne("SELECT a, b FROM t WHERE id = 5")
	if err != nil {
		b.Fatal(err)
	}
	q := stmt.(*parser.SelectStmt).Query
	n, err := bind.Query(cat.Env(), q)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("bind", func(b *testing.B) {
		for b.Loop() {
			if _, err := bind.Query(cat.Env(), q); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("plan", func(b *testing.B) {
		for b.Loop() {
			if _, err := batch.Plan(n, cat.Snapshot, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}
