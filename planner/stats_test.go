package planner_test

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/frontend/bind"
	"github.com/millrace/millrace/frontend/bind/bindtest"
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/planner/batch"
)

// statistics are made up: rows and distinct values by relation.
type statistics map[string]*plan.Stats

func (s statistics) Stats(rel *catalog.Relation) *plan.Stats { return s[rel.Name] }

// TestStatistics: the order of joins follows what is known of the relations.
func TestStatistics(t *testing.T) {
	cat, err := bindtest.New(`CREATE TABLE customer (id int primary key, nation int);
		CREATE TABLE supplier (id int primary key, nation int);
		CREATE TABLE line (id int primary key, customer int, supplier int, qty int);
		CREATE TABLE part (id int primary key, qty int)`)
	if err != nil {
		t.Fatal(err)
	}
	stats := statistics{
		"customer": {Rows: 10_000, Distinct: []float64{10_000, 25}},
		"supplier": {Rows: 1000, Distinct: []float64{1000, 25}},
		"line":     {Rows: 600_000, Distinct: []float64{600_000, 10_000, 1000, 50}},
		"part":     {Rows: 100, Distinct: []float64{100, 100}},
	}
	for _, c := range []struct{ name, sql, order string }{
		{"many to many comes last", "SELECT 1 FROM supplier s, customer c, line l WHERE s.nation = c.nation AND l.customer = c.id AND l.supplier = s.id",
			"line supplier customer"},
		{"the small side is built", "SELECT 1 FROM line l, part p WHERE l.qty = p.id", "line part"},
		{"the small side is built, whatever FROM says", "SELECT 1 FROM part p, line l WHERE l.qty = p.id", "line part"},
		{"groups are made for the other side's keys", "SELECT 1 FROM part p, (SELECT qty, count(*) AS n FROM line GROUP BY qty) g WHERE g.qty = p.id", "line part"},
	} {
		t.Run(c.name, func(t *testing.T) {
			stmt, err := parser.ParseOne(c.sql)
			if err != nil {
				t.Fatal(err)
			}
			n, err := bind.Query(cat.Env(), stmt.(*parser.SelectStmt).Query)
			if err != nil {
				t.Fatal(err)
			}
			if n, err = batch.Plan(n, cat.Snapshot, stats); err != nil {
				t.Fatal(err)
			}
			var scans []string
			plan.Walk(n, func(x plan.Node) bool {
				if s, ok := x.(*plan.TableScan); ok {
					scans = append(scans, s.Name)
				}
				return true
			})
			if got := strings.Join(scans, " "); got != c.order {
				t.Errorf("scans in order %s, not %s", got, c.order)
			}
		})
	}
}
