// Package logical makes the leaves of logical plans from catalog records.
//
// The idea: whoever reads a stored relation, a query or an index's job, starts from the same node with the same
// facts.
//
// Pure functions; any goroutine may call them. It holds no facts of its own (internal/plan derives them) and no
// rules (planner/rule). Start at Scan.
package logical

import (
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/plan"
)

// Scan reads all columns of a stored relation, with its facts.
func Scan(r *catalog.Relation) *plan.TableScan {
	n := &plan.TableScan{
		Table: r.ID, Name: r.Name, Cols: plan.Span(0, len(r.Columns)), Out: make([]plan.Column, len(r.Columns)),
		Key: r.Key, UniqueKeys: r.UniqueKeys, AppendOnly: r.AppendOnly, Dist: r.Dist,
		Singleton: len(r.Key) > 0 && len(r.Dist) == 0, Watermarks: r.Watermarks,
	}
	for i, c := range r.Columns {
		n.Out[i] = plan.Column{Name: c.Name, Type: c.Type}
	}
	return n
}
