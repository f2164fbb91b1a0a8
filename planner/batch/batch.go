// Package batch makes plans for ad-hoc queries: the shared rules, then point look-ups by primary key or index.
//
// The idea: a condition that fixes a prefix of the order in which a relation, or one of its indexes, is stored
// becomes the scan's Lookup, and an index that holds all columns is scanned in place of its relation.
//
// Pure functions; any goroutine may call them. Planning a point query takes some ten microseconds.
//
// Invariants: a plan has the columns of the query it was made from; a Lookup holds constants and parameters of exactly
// the key columns' types, and a condition is dropped only when the Lookup implies it.
//
// It does not run anything (executor/batch). Start at Plan.
package batch

import (
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/planner/rule"
)

// Statistics knows about stored relations.
type Statistics interface {
	// Stats returns nil when it knows nothing.
	Stats(rel *catalog.Relation) *plan.Stats
}

// Plan turns a bound query into an executable batch plan. cat finds keys and indexes. stats, which may be nil, helps to order joins.
func Plan(n plan.Node, cat *catalog.Snapshot, stats Statistics) (plan.Node, error) {
	if stats != nil && joins(n) {
		n = withStats(n, cat, stats)
	}
	n = rule.Optimize(n, rule.Batch)
	return useKeys(n, cat), nil
}

// joins reports whether there is anything to order. Statistics cost more than planning a point query.
func joins(n plan.Node) bool {
	found := false
	plan.Walk(n, func(x plan.Node) bool {
		_, ok := x.(*plan.Join)
		found = found || ok
		return !found
	})
	return found
}

func withStats(n plan.Node, cat *catalog.Snapshot, stats Statistics) plan.Node {
	return plan.Transform(n, func(x plan.Node) plan.Node {
		s, ok := x.(*plan.TableScan)
		if !ok || cat.Relations[s.Table] == nil {
			return x
		}
		scan := *s
		scan.Stats = stats.Stats(cat.Relations[s.Table])
		return &scan
	})
}

// useKeys puts look-ups into scans below filters. Columns that only a dropped condition read are few and stay.
func useKeys(n plan.Node, cat *catalog.Snapshot) plan.Node {
	return plan.Transform(n, func(x plan.Node) plan.Node {
		f, ok := x.(*plan.Filter)
		if !ok {
			return x
		}
		s, ok := f.Input.(*plan.TableScan)
		if !ok || s.Lookup != nil {
			return x
		}
		return lookup(f, s, cat)
	})
}
