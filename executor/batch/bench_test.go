package batch

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// fixedChunks is a relation of ready-made chunks.
type fixedChunks []*delta.Chunk

func (f fixedChunks) Scan(_ context.Context, _ catalog.ID, cols []int, _ [][]sqltypes.Datum) (ChunkIter, error) {
	return &projected{f, cols}, nil
}

func (f fixedChunks) System(context.Context, string, string, []int) (ChunkIter, error) {
	return nil, nil
}

type projected struct {
	chunks []*delta.Chunk
	cols   []int
}

func (p *projected) Next(context.Context) (*delta.Chunk, error) {
	if len(p.chunks) == 0 {
		return nil, nil
	}
	ch := p.chunks[0]
	p.chunks = p.chunks[1:]
	return ch.WithCols(pick(ch.Cols, p.cols)), nil
}

func (p *projected) Close() {}

const benchRows = 1 << 20

// benchTable has a row number, a random number below 1,000, one below 1,000,000 and a boolean.
func benchTable() fixedChunks {
	rnd := rand.New(rand.NewPCG(1, 2))
	var out fixedChunks
	for at := 0; at < benchRows; at += delta.BatchRows {
		cols := []*delta.Vec{delta.NewVec(sqltypes.Int8, delta.BatchRows), delta.NewVec(sqltypes.Int8, delta.BatchRows),
			delta.NewVec(sqltypes.Int8, delta.BatchRows), delta.NewVec(sqltypes.Bool, delta.BatchRows)}
		for i := range delta.BatchRows {
			cols[0].Ints[i] = int64(at + i)
			cols[1].Ints[i] = rnd.Int64N(1000)
			cols[2].Ints[i] = rnd.Int64N(1000000)
			cols[3].Bools[i] = rnd.IntN(2) == 0
		}
		out = append(out, delta.NewChunk(cols, nil, delta.BatchRows))
	}
	return out
}

func benchScan(cols ...int) *plan.TableScan {
	types := []sqltypes.Type{sqltypes.Int8, sqltypes.Int8, sqltypes.Int8, sqltypes.Bool}
	return &plan.TableScan{Table: 1, Cols: cols, Out: columns(pick(types, cols))}
}

func bench(b *testing.B, n plan.Node) {
	rel := benchTable()
	b.ReportAllocs()
	for b.Loop() {
		q := newQuery(rel, Options{})
		q.aggBySig = func(sig string) (*expr.AggFunc, bool) { f, ok := testAggs[sig]; return f, ok }
		op, err := q.buildPlain(n)
		if err != nil {
			b.Fatal(err)
		}
		ctx := context.Background()
		if err := op.Open(ctx); err != nil {
			b.Fatal(err)
		}
		for {
			ch, err := op.Next(ctx)
			if err != nil {
				b.Fatal(err)
			}
			if ch == nil {
				break
			}
		}
		op.Close()
	}
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

var benchSum = []plan.AggCall{{Sig: "sum(bigint)", Args: []int{0}, Result: sqltypes.Int8, Filter: -1}}

func BenchmarkFilterSum(b *testing.B) {
	bench(b, &plan.Agg{Scalar: true, Aggs: benchSum,
		Input: &plan.Filter{Input: benchScan(2, 3), Cond: &expr.Col{Index: 1, Ty: sqltypes.Bool}}})
}

// BenchmarkLibraryFilterSum is the sum of one bigint column where another is below a constant.
func BenchmarkLibraryFilterSum(b *testing.B) {
	var less *expr.Func
	for _, f := range expr.ByName("<") {
		if f.Args[0] == sqltypes.Int8 && f.Args[1] == sqltypes.Int8 {
			less = f
		}
	}
	cond := expr.NewCall(less, &expr.Col{Index: 1, Ty: sqltypes.Int8}, intConst(500))
	var calls []plan.AggCall
	for _, f := range expr.AggByName("sum") {
		if f.Args[0] == sqltypes.Int8 {
			calls = append(calls, plan.AggCall{Sig: f.Sig(), Args: []int{0}, Result: f.Result, Filter: -1})
		}
	}
	n := &plan.Agg{Scalar: true, Aggs: calls, Input: &plan.Filter{Input: benchScan(2, 1), Cond: cond}}
	rel := benchTable()
	for b.Loop() {
		op, err := Build(n, rel, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if rows, err := drainRows(op, plan.Types(n)); err != nil || len(rows) != 1 {
			b.Fatal(rows, err)
		}
	}
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

func BenchmarkGroupBy1000(b *testing.B) {
	bench(b, &plan.Agg{Input: benchScan(2, 1), GroupBy: []int{1}, Aggs: benchSum})
}

func BenchmarkGroupBy1000000(b *testing.B) {
	bench(b, &plan.Agg{Input: benchScan(1, 2), GroupBy: []int{1}, Aggs: benchSum})
}

func BenchmarkGroupByTwo(b *testing.B) {
	bench(b, &plan.Agg{Input: benchScan(2, 1, 3), GroupBy: []int{1, 2}, Aggs: benchSum})
}

func BenchmarkJoin(b *testing.B) {
	small := &plan.Filter{Input: benchScan(0, 1, 2), Cond: &expr.InList{Arg: &expr.Col{Index: 1, Ty: sqltypes.Int8}, Vals: row{int64(1), int64(2)}}}
	bench(b, &plan.Join{Left: benchScan(0, 2), Right: &plan.Agg{Input: small, GroupBy: []int{2}}, LeftKeys: []int{1}, RightKeys: []int{0}})
}

func BenchmarkJoinAllMatch(b *testing.B) {
	bench(b, &plan.Join{Left: benchScan(0, 1), Right: &plan.Agg{Input: benchScan(1), GroupBy: []int{0}}, LeftKeys: []int{1}, RightKeys: []int{0}})
}

func BenchmarkSortInt(b *testing.B) {
	bench(b, &plan.Sort{Input: benchScan(2, 0), Keys: []plan.SortKey{{Col: 0}}})
}

func BenchmarkSortTwo(b *testing.B) {
	bench(b, &plan.Sort{Input: benchScan(1, 2), Keys: []plan.SortKey{{Col: 0}, {Col: 1, Desc: true}}})
}

func BenchmarkTop10(b *testing.B) {
	bench(b, &plan.TopN{Input: benchScan(2, 0), OrderBy: []plan.SortKey{{Col: 0}}, Limit: 10})
}

func BenchmarkRowNumber(b *testing.B) {
	bench(b, &plan.Window{Input: benchScan(1, 0), PartitionBy: []int{0}, OrderBy: []plan.SortKey{{Col: 1}},
		Funcs: []plan.WindowFunc{{Name: "row_number", Result: sqltypes.Int8, Filter: -1}}})
}

// BenchmarkPoint is Build and run of a look-up of one row.
func BenchmarkPoint(b *testing.B) {
	one := benchTable()[:1]
	one[0] = sliceChunk(one[0], 0, 1)
	scan := benchScan(0, 1, 2)
	scan.Lookup = [][]expr.Expr{{intConst(0)}}
	n := &plan.Project{Input: scan, Exprs: []expr.Expr{&expr.Col{Index: 1, Ty: sqltypes.Int8}}, Names: []string{"a"}}
	b.ReportAllocs()
	for b.Loop() {
		op, err := Build(n, one, Options{})
		if err != nil {
			b.Fatal(err)
		}
		ctx := context.Background()
		if err := op.Open(ctx); err != nil {
			b.Fatal(err)
		}
		if ch, err := op.Next(ctx); err != nil || ch.Len() != 1 {
			b.Fatal(err)
		}
		op.Close()
	}
}
