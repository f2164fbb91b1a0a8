package batch

import (
	"sort"
	"testing"

	"github.com/millrace/millrace/internal/plan"
)

// testOrders are orders of each sort: short keys, long ones, NULLs on either side, ties.
var testOrders = [][]plan.SortKey{
	{{Col: 5}},
	{{Col: 5, Desc: true}},
	{{Col: 0}},
	{{Col: 0, Desc: true, NullsFirst: true}},
	{{Col: 1, Desc: true}, {Col: 2, NullsFirst: true}},
	{{Col: 2, Desc: true}, {Col: 4}},
	{{Col: 3}, {Col: 4, Desc: true}, {Col: 1}},
	nil,
}

func refSort(rows []row, keys []plan.SortKey) []row {
	out := append([]row{}, rows...)
	sort.SliceStable(out, func(i, j int) bool { return compareRows(out[i], out[j], keys) < 0 })
	return out
}

func TestSort(t *testing.T) {
	seeds(t, 10, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, w0size(seed))
		for _, keys := range testOrders {
			want := refSort(w.rowsOf(1), keys)
			sorted := &plan.Sort{Input: w.scan(1), Keys: keys}
			w.same(sorted, want, true)
			n := len(want)
			w.same(&plan.Limit{Input: sorted, Limit: intConst(7), Offset: intConst(2)}, want[min(2, n):min(9, n)], true)
		}
	})
	t.Run("in parallel", func(t *testing.T) {
		w := newWorld(t, 1, 3*sortRun+17)
		w.workers = 3
		for _, keys := range testOrders[2:6] {
			w.same(&plan.Sort{Input: w.scan(1), Keys: keys}, refSort(w.rowsOf(1), keys), true)
		}
	})
	t.Run("several runs", func(t *testing.T) {
		w := newWorld(t, 1, 3*sortRun+17)
		for _, keys := range testOrders[2:6] {
			w.same(&plan.Sort{Input: w.scan(1), Keys: keys}, refSort(w.rowsOf(1), keys), true)
		}
	})
}

func TestTopN(t *testing.T) {
	seeds(t, 10, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, []int{300, 0, 1, 12000, 50}[seed%5])
		for i, keys := range testOrders {
			for _, by := range [][]int{nil, {4}, {1, 3}} {
				n := &plan.TopN{Input: w.scan(1), PartitionBy: by, OrderBy: keys, Limit: w.rnd.Int64N(6),
					Offset: w.rnd.Int64N(3), WithTies: i%2 == 0, RowNumber: seed%2 == 0}
				if i == 3 {
					n.Limit = -1
				}
				w.same(n, refTopN(n, w.rowsOf(1)), true)
			}
		}
	})
}

func refTopN(n *plan.TopN, rows []row) (out []row) {
	var by []plan.SortKey
	for _, c := range n.PartitionBy {
		by = append(by, plan.SortKey{Col: c})
	}
	rows = refSort(rows, append(by, n.OrderBy...))
	for lo := 0; lo < len(rows); {
		hi := lo
		for hi < len(rows) && keyString(rows[hi], n.PartitionBy) == keyString(rows[lo], n.PartitionBy) {
			hi++
		}
		part := rows[lo:hi]
		end := len(part)
		if n.Limit >= 0 {
			end = int(min(int64(end), n.Offset+n.Limit))
			for n.WithTies && n.Limit > 0 && end > 0 && end < len(part) && compareRows(part[end-1], part[end], n.OrderBy) == 0 {
				end++
			}
		}
		for k := int(n.Offset); k < end; k++ {
			r := append(row{}, part[k]...)
			if n.RowNumber {
				r = append(r, int64(k+1))
			}
			out = append(out, r)
		}
		lo = hi
	}
	return out
}
