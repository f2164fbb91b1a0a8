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

// Plan turns a bound query into an executable batch plan. cat finds keys and indexes.
func Plan(n plan.Node, cat *catalog.Snapshot) (plan.Node, error) {
	n = rule.Optimize(n, rule.Batch)
	return useKeys(n, cat), nil
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
