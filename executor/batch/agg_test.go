package batch

import (
	"sort"
	"testing"

	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// testCalls are aggregate calls over the test table: each sort of state, with and without FILTER, DISTINCT and ORDER BY.
func testCalls() []plan.AggCall {
	byRow := []plan.SortKey{{Col: 2, Desc: true}, {Col: 5}}
	return []plan.AggCall{
		{Sig: "count()", Result: sqltypes.Int8, Filter: -1},
		{Sig: "count()", Result: sqltypes.Int8, Filter: 3},
		{Sig: "sum(bigint)", Args: []int{0}, Result: sqltypes.Int8, Filter: -1},
		{Sig: "sum(bigint)", Args: []int{0}, Result: sqltypes.Int8, Filter: 3, Distinct: true},
		{Sig: "max(bigint)", Args: []int{5}, Result: sqltypes.Int8, Filter: -1},
		{Sig: "list(text)", Args: []int{1}, Result: sqltypes.Text, Filter: -1},
		{Sig: "list(text)", Args: []int{1}, Result: sqltypes.Text, Filter: 3, OrderBy: byRow},
		{Sig: "list(text)", Args: []int{1}, Result: sqltypes.Text, Filter: -1, Distinct: true},
		{Sig: "list(text)", Args: []int{1}, Result: sqltypes.Text, Filter: -1, Distinct: true,
			OrderBy: []plan.SortKey{{Col: 1, Desc: true, NullsFirst: true}}},
		{Sig: "objcount(text)", Args: []int{1}, Result: sqltypes.Int8, Filter: -1},
		{Sig: "objcount(text)", Args: []int{1}, Result: sqltypes.Int8, Filter: -1, Distinct: true},
	}
}

func TestAgg(t *testing.T) {
	seeds(t, 15, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, w0size(seed))
		for _, by := range [][]int{nil, {0}, {4, 1}, {2}, {5}, {3, 0, 4}} {
			n := &plan.Agg{Input: w.scan(1), GroupBy: by, Aggs: testCalls(), Scalar: by == nil}
			w.same(n, refGroups(n, w.rowsOf(1)), false)
		}
		w.same(&plan.Agg{Input: w.scan(1), Aggs: testCalls()}, func() []row {
			if len(w.rowsOf(1)) == 0 {
				return nil
			}
			return refGroups(&plan.Agg{Aggs: testCalls(), Scalar: true}, w.rowsOf(1))
		}(), false)
	})
}

func refGroups(n *plan.Agg, rows []row) (out []row) {
	var keys []string
	groups := map[string][]row{}
	if n.Scalar {
		keys, groups[""] = []string{""}, nil
	}
	for _, r := range rows {
		k := keyString(r, n.GroupBy)
		if _, ok := groups[k]; !ok {
			keys = append(keys, k)
		}
		groups[k] = append(groups[k], r)
	}
	for _, k := range keys {
		g := groups[k]
		var r row
		if len(g) > 0 {
			r = pick(g[0], n.GroupBy)
		}
		for _, c := range n.Aggs {
			r = append(r, refAgg(c.Sig, c.Args, refInput(c, g)))
		}
		out = append(out, r)
	}
	return out
}

// refInput applies FILTER, ORDER BY and DISTINCT.
func refInput(c plan.AggCall, rows []row) (out []row) {
	for _, r := range rows {
		if c.Filter < 0 || r[c.Filter] == true {
			out = append(out, r)
		}
	}
	order := c.OrderBy
	if order == nil && c.Distinct {
		for _, a := range c.Args {
			order = append(order, plan.SortKey{Col: a})
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return compareRows(out[i], out[j], order) < 0 })
	if !c.Distinct {
		return out
	}
	seen := map[string]bool{}
	var kept []row
	for _, r := range out {
		if k := keyString(r, c.Args); !seen[k] {
			seen[k] = true
			kept = append(kept, r)
		}
	}
	return kept
}

func TestAggManyGroups(t *testing.T) {
	w := newWorld(t, 1)
	n := &plan.Agg{Input: &plan.Agg{Input: series(1, 300000), GroupBy: []int{0}, Aggs: []plan.AggCall{
		{Sig: "sum(bigint)", Args: []int{0}, Result: sqltypes.Int8, Filter: -1},
		{Sig: "count()", Result: sqltypes.Int8, Filter: -1}}},
		Scalar: true, Aggs: []plan.AggCall{
			{Sig: "count()", Result: sqltypes.Int8, Filter: -1},
			{Sig: "sum(bigint)", Args: []int{1}, Result: sqltypes.Int8, Filter: -1},
			{Sig: "sum(bigint)", Args: []int{2}, Result: sqltypes.Int8, Filter: -1},
		}}
	w.same(n, []row{{int64(300000), int64(300000 * 300001 / 2), int64(300000)}}, true)
}

func TestIntTable(t *testing.T) {
	for name, key := range map[string]func(i int) int64{
		"consecutive": func(i int) int64 { return int64(i) },
		"high bits":   func(i int) int64 { return int64(i) << 40 },
		"negative":    func(i int) int64 { return int64(-i) },
	} {
		tab := newIntTable()
		for i := range 20000 {
			if id := tab.put(key(i)); id != uint32(i) {
				t.Fatalf("%s: key %d got number %d", name, i, id)
			}
		}
		for i := range 20000 {
			if id := tab.get(key(i)); id != uint32(i) {
				t.Fatalf("%s: key %d has number %d", name, i, id)
			}
		}
		if tab.get(key(20001)) != noGroup {
			t.Errorf("%s: found a key that is not there", name)
		}
	}
}
