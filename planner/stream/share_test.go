package stream_test

import (
	"testing"

	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/planner/stream"
)

// TestShare: what occurs twice and keeps state is there once, largest parts first; what only looks alike, or is
// volatile, is not shared.
func TestShare(t *testing.T) {
	const groups = "(SELECT a, count(*) AS n FROM t GROUP BY a)"
	for _, tc := range []struct {
		name, sql      string
		parts, readers int
		aggs           int
	}{
		{"groups read twice", "SELECT c.a FROM " + groups + " c JOIN (SELECT max(n) AS m FROM " + groups + " x) d ON c.n = d.m", 1, 2, 2},
		{"three readers", groups + " UNION ALL " + groups + " UNION ALL " + groups, 1, 3, 1},
		{"a part in a part", "WITH c AS " + groups + ", d AS (SELECT n, count(*) AS k FROM c GROUP BY n) SELECT c.a, d.k FROM c JOIN d ON c.n = d.n JOIN d e ON c.n = e.k", 2, 4, 2},
		{"only the largest", "WITH c AS " + groups + ", d AS (SELECT n, count(*) AS k FROM c GROUP BY n) SELECT x.k FROM d x JOIN d y ON x.n = y.k", 1, 2, 2},
		{"another condition", "(SELECT a, count(*) FROM t WHERE id > 1 GROUP BY a) UNION ALL (SELECT a, count(*) FROM t WHERE id > 2 GROUP BY a)", 0, 0, 2},
		{"a stored relation is read by each", "SELECT x.id FROM t x JOIN t y ON x.id = y.a", 0, 0, 0},
	} {
		n, facts, err := stream.Plan(bound(t, newCatalog(t), tc.sql), stream.Root{Table: 99}, 2)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		parts, readers, aggs, states := map[int]bool{}, 0, 0, 0
		plan.Walk(n, func(x plan.Node) bool {
			if s, ok := x.(*plan.Share); ok {
				if readers++; parts[s.ID] {
					return false
				}
				parts[s.ID] = true
			}
			if _, ok := x.(*plan.Agg); ok {
				aggs++
			}
			states += stream.StateTables(x)
			return true
		})
		// Readers within a shared part count once: the walk does not enter it again.
		if len(parts) != tc.parts || readers != tc.readers || aggs != tc.aggs || states != facts.States {
			t.Errorf("%s: %d parts, %d readers, %d aggregations, %d states of %d, want %d, %d, %d\n%s",
				tc.name, len(parts), readers, aggs, states, facts.States, tc.parts, tc.readers, tc.aggs, text(n))
		}
	}
}
