package stream

import (
	"fmt"
	"math/rand"
	"testing"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// benchScan is an append-only input of bigint columns and one text column.
func benchScan(table, ints int, unique bool) *plan.TableScan {
	s := &plan.TableScan{Table: tableID(table), AppendOnly: true}
	for range ints {
		s.Out = append(s.Out, plan.Column{Name: "c", Type: sqltypes.Int8})
	}
	if unique {
		s.UniqueKeys = [][]int{{0}}
	}
	return s
}

// benchChunks makes chunks whose columns are filled by f.
func benchChunks(n, ints int, f func(row, col int) int64) []*delta.Chunk {
	var out []*delta.Chunk
	for at := 0; at < n; at += delta.BatchRows {
		cols := make([]*delta.Vec, ints)
		for c := range cols {
			vals := make([]int64, delta.BatchRows)
			for i := range vals {
				vals[i] = f(at+i, c)
			}
			cols[c] = delta.IntVec(sqltypes.Int8, vals)
		}
		out = append(out, delta.NewChunk(cols, nil, delta.BatchRows))
	}
	return out
}

// benchRun pushes chunks of table 0, b.N rows in all, with a barrier every 200,000 rows.
func benchRun(b *testing.B, n plan.Node, before, chunks []*delta.Chunk) {
	b.Helper()
	s, err := newSim(n)
	if err != nil {
		b.Fatal(err)
	}
	push := func(table int, c *delta.Chunk) {
		if err := s.push(table, c); err != nil {
			b.Fatal(err)
		}
		s.out = s.out[:0]
	}
	for _, c := range before {
		push(1, c)
	}
	for _, c := range chunks {
		if before == nil {
			push(0, c)
		}
	}
	if _, err := s.barrier(false); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i, rows := 0, 0; rows < b.N; i++ {
		push(0, chunks[i%len(chunks)])
		if rows += delta.BatchRows; i%100 == 99 {
			if _, err := s.barrier(false); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func call(sig string, result sqltypes.Type, args ...int) plan.AggCall {
	return plan.AggCall{Sig: sig, Result: result, Args: args, Filter: -1}
}

func BenchmarkAggFixed(b *testing.B) {
	n := &plan.Agg{Input: benchScan(0, 2, false), GroupBy: []int{0}, Aggs: []plan.AggCall{
		call("count()", sqltypes.Int8), call("sum(bigint)", sqltypes.Numeric, 1), call("max(bigint)", sqltypes.Int8, 1)}}
	r := rand.New(rand.NewSource(1))
	benchRun(b, n, nil, benchChunks(1<<20, 2, func(int, int) int64 { return r.Int63n(100_000) }))
}

func BenchmarkAggDistinct(b *testing.B) {
	a := call(`count("any")`, sqltypes.Int8, 1)
	a.Distinct = true
	n := &plan.Agg{Input: benchScan(0, 2, false), GroupBy: []int{0}, Aggs: []plan.AggCall{a}}
	r := rand.New(rand.NewSource(1))
	benchRun(b, n, nil, benchChunks(1<<20, 2, func(_, c int) int64 { return r.Int63n([]int64{100, 10_000}[c]) }))
}

func BenchmarkAggMaxRetracting(b *testing.B) {
	scan := benchScan(0, 2, false)
	scan.AppendOnly = false
	n := &plan.Agg{Input: scan, GroupBy: []int{0}, Aggs: []plan.AggCall{call("max(bigint)", sqltypes.Int8, 1)}}
	r := rand.New(rand.NewSource(1))
	benchRun(b, n, nil, benchChunks(1<<18, 2, func(_, c int) int64 { return r.Int63n([]int64{10_000, 1000}[c]) }))
}

// BenchmarkJoinPending is the join of a stream of facts with what they refer to, which is there already.
func BenchmarkJoinPending(b *testing.B) {
	const keys = 100_000
	l, r := benchScan(0, 4, false), benchScan(1, 4, true)
	n := &plan.Join{Kind: plan.Inner, Left: l, Right: r, LeftKeys: []int{0}, RightKeys: []int{0},
		Cond: &expr.BoolOp{Args: []expr.Expr{less(&expr.Col{Index: 5, Ty: sqltypes.Int8}, &expr.Col{Index: 1, Ty: sqltypes.Int8})}}}
	rnd := rand.New(rand.NewSource(1))
	dim := benchChunks(keys, 4, func(row, col int) int64 {
		if col == 0 {
			return int64(row)
		}
		return rnd.Int63n(1000)
	})
	facts := benchChunks(1<<20, 4, func(_, col int) int64 {
		if col == 0 {
			return rnd.Int63n(keys)
		}
		return 500 + rnd.Int63n(1000)
	})
	benchRun(b, n, dim, facts)
}

// BenchmarkJoinStored keeps both sides.
func BenchmarkJoinStored(b *testing.B) {
	l, r := benchScan(0, 3, false), benchScan(1, 3, false)
	n := &plan.Join{Kind: plan.Left, Left: l, Right: r, LeftKeys: []int{0}, RightKeys: []int{0}}
	rnd := rand.New(rand.NewSource(1))
	f := func(_, col int) int64 { return rnd.Int63n(1_000_000) }
	benchRun(b, n, benchChunks(1<<20, 3, f), benchChunks(1<<18, 3, f))
}

func benchTop(b *testing.B, limit int64, parts int64) {
	n := &plan.TopN{Input: benchScan(0, 6, false), PartitionBy: []int{0}, OrderBy: []plan.SortKey{{Col: 1, Desc: true}}, Limit: limit}
	r := rand.New(rand.NewSource(1))
	benchRun(b, n, nil, benchChunks(1<<19, 6, func(row, col int) int64 {
		if col == 0 {
			return r.Int63n(parts)
		}
		return r.Int63n(1_000_000_000)
	}))
}

func BenchmarkTop1(b *testing.B)  { benchTop(b, 1, 100_000) }
func BenchmarkTop10(b *testing.B) { benchTop(b, 10, 10_000) }

func BenchmarkConsolidate(b *testing.B) {
	r := rand.New(rand.NewSource(1))
	chunks := benchChunks(1<<18, 4, func(_, col int) int64 { return r.Int63n(100_000) })
	x := NewConsolidator(nil)
	b.ResetTimer()
	for i, rows := 0, 0; rows < b.N; i++ {
		x.Add(chunks[i%len(chunks)])
		rows += delta.BatchRows
		if i%100 == 99 {
			x.Reset()
		}
	}
}

// BenchmarkWindow changes one row of a partition of 1M rows. ns/row is the time per row whose output changed.
func BenchmarkWindow(b *testing.B) {
	const size = 1_000_000
	for _, c := range []struct {
		name string
		at   int64 // of the row that changes
		f    plan.WindowFunc
	}{
		{"lag/middle", size / 2, plan.WindowFunc{Name: "lag", Args: []int{1}, Result: sqltypes.Int8}},
		{"row_number/end", size - 1, plan.WindowFunc{Name: "row_number", Result: sqltypes.Int8}},
		{"row_number/begin", 10, plan.WindowFunc{Name: "row_number", Result: sqltypes.Int8}},
		{"rank/end", size - 1, plan.WindowFunc{Name: "rank", Result: sqltypes.Int8}},
		{"sum running/end", size - 1, windowSum("sum(bigint)", 'R', plan.UnboundedPreceding, plan.CurrentRow, 0)},
		{"sum running/begin", 10, windowSum("sum(bigint)", 'R', plan.UnboundedPreceding, plan.CurrentRow, 0)},
		{"sum rows/middle", size / 2, windowSum("sum(bigint)", 'R', plan.Preceding, plan.CurrentRow, 100)},
		{"sum range/middle", size / 2, windowSum("sum(bigint)", 'A', plan.Preceding, plan.CurrentRow, 100)},
		{"max running/middle", size / 2, windowSum("max(bigint)", 'R', plan.UnboundedPreceding, plan.CurrentRow, 0)},
		{"max rows/middle", size / 2, windowSum("max(bigint)", 'R', plan.Preceding, plan.CurrentRow, 1000)},
		{"max all/middle", size / 2, windowSum("max(bigint)", 'R', plan.UnboundedPreceding, plan.UnboundedFollowing, 0)},
	} {
		b.Run(c.name, func(b *testing.B) {
			types := []sqltypes.Type{sqltypes.Int8, sqltypes.Int8, sqltypes.Text}
			scan := &plan.TableScan{Table: 1}
			for _, t := range types {
				scan.Out = append(scan.Out, plan.Column{Name: "c", Type: t})
			}
			c.f.Filter = -1
			s, err := newSim(&plan.Window{Input: scan, OrderBy: []plan.SortKey{{Col: 0}}, Funcs: []plan.WindowFunc{c.f}})
			if err != nil {
				b.Fatal(err)
			}
			row := func(i, v int64) []sqltypes.Datum { return []sqltypes.Datum{2 * i, v, "some text"} }
			for i := int64(0); i < size; i += delta.BatchRows {
				bld := delta.NewBuilder(types)
				for k := i; k < min(i+delta.BatchRows, size); k++ {
					bld.AppendDatums(row(k, k*7919%size), 1)
				}
				if err := s.push(0, bld.Take()); err != nil {
					b.Fatal(err)
				}
			}
			if _, err := s.barrier(true); err != nil {
				b.Fatal(err)
			}
			rows := 0
			change := func(w int64) {
				bld := delta.NewBuilder(types)
				bld.AppendDatums([]sqltypes.Datum{2*c.at + 1, int64(3), "more text"}, w)
				if err := s.push(0, bld.Take()); err != nil {
					b.Fatal(err)
				}
				out, err := s.barrier(false)
				if err != nil {
					b.Fatal(err)
				}
				for _, c := range out {
					rows += c.Len()
				}
			}
			for range 2 { // sums are made when they are first asked for
				change(1)
				change(-1)
			}
			rows = 0
			b.ResetTimer()
			for i := range b.N {
				change(1 - 2*int64(i%2))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(max(rows/2, 1)), "ns/row")
		})
	}
}

func windowSum(sig string, mode byte, start, end plan.BoundKind, by int64) plan.WindowFunc {
	f := plan.WindowFunc{Name: "agg", Sig: sig, Args: []int{1}, Result: sqltypes.Int8, Frame: plan.Frame{Mode: mode,
		Start: plan.FrameBound{Kind: start, Offset: intConst(by)}, End: plan.FrameBound{Kind: end, Offset: intConst(by)}}}
	if sig == "sum(bigint)" {
		f.Result = sqltypes.Numeric
	}
	return f
}

// BenchmarkRangeJoin joins growing inputs on a ≤ b ≤ a + 3: without a key, and with one under which there are few rows or many; by
// order, and by the keys alone.
func BenchmarkRangeJoin(b *testing.B) {
	for _, c := range []struct {
		name string
		keys int64 // 0: none
	}{{"no key", 0}, {"10M keys", 10_000_000}, {"1000 keys", 1000}} {
		for _, order := range []bool{true, false} {
			if !order && c.keys == 0 {
				continue // reads all rows for each
			}
			b.Run(fmt.Sprintf("%s/order=%v", c.name, order), func(b *testing.B) {
				r := rand.New(rand.NewSource(1))
				n := &plan.Join{Left: benchScan(0, 3, false), Right: benchScan(1, 3, false)}
				if c.keys > 0 {
					n.LeftKeys, n.RightKeys = []int{0}, []int{0}
				}
				at := func(i int) expr.Expr { return &expr.Col{Index: i, Ty: sqltypes.Int8} }
				plus := &expr.Call{Sig: "+(bigint,bigint)", Args: []expr.Expr{at(1), intConst(3)}, Ty: sqltypes.Int8}
				n.Cond = expr.And([]expr.Expr{less(at(1), at(4)), less(at(4), plus)})
				if order {
					n.Range = &plan.JoinRange{Left: []expr.Expr{at(1), plus}, Right: []expr.Expr{at(1)}, Compare: []plan.RangeCompare{{Op: "<"}, {Left: 1, Op: ">"}}}
				}
				fill := func(row, col int) int64 {
					if col == 0 {
						return r.Int63n(max(c.keys, 1))
					}
					return r.Int63n(10_000_000)
				}
				benchRun(b, n, benchChunks(500_000, 3, fill), benchChunks(500_000, 3, fill))
			})
		}
	}
}
