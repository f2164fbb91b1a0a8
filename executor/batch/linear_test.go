package batch

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// seeds runs a property test several times.
func seeds(t *testing.T, n int, f func(t *testing.T, seed uint64)) {
	t.Helper()
	for seed := range uint64(n) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { f(t, seed) })
	}
}

func TestScanFilterProject(t *testing.T) {
	seeds(t, 20, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, w0size(seed))
		var want []row
		for _, r := range w.rowsOf(1) {
			in := r[0] == int64(1) || r[0] == int64(4)
			if in && r[3] == true && r[1] != nil {
				want = append(want, row{r[5], r[1], r[0] == nil, "x"})
			}
		}
		cond := expr.And([]expr.Expr{col(3), &expr.IsNull{Arg: col(1), Negate: true},
			&expr.InList{Arg: col(0), Vals: row{int64(1), int64(4)}}})
		n := &plan.Project{
			Input: &plan.Filter{Input: w.scan(1), Cond: cond},
			Exprs: []expr.Expr{col(5), col(1), &expr.IsNull{Arg: col(0)}, &expr.Const{Ty: sqltypes.Text, Val: "x"}},
			Names: []string{"a", "b", "c", "d"},
		}
		w.same(n, want, true)
	})
}

// w0size varies the size of the input, none at all included.
func w0size(seed uint64) int { return []int{300, 0, 1, 5000, 50}[seed%5] }

func TestLookup(t *testing.T) {
	w := newWorld(t, 1, 500)
	n := w.scan(1)
	null := expr.Null(sqltypes.Int8)
	n.Lookup = [][]expr.Expr{{intConst(3)}, {null}, {intConst(5)}, {intConst(3)}}
	var want []row
	for _, r := range w.rowsOf(1) {
		if r[0] == int64(3) || r[0] == int64(5) {
			want = append(want, r)
		}
	}
	w.same(n, want, true)
	n.Lookup = [][]expr.Expr{{null}}
	w.same(n, nil, true)
	got, err := lookupPrefixes(w.query(), [][]expr.Expr{{intConst(3)}, {intConst(5)}, {intConst(3)}, {null}})
	if err != nil || len(got) != 2 {
		t.Errorf("lookupPrefixes: %v, %v, want two prefixes", got, err)
	}
}

func TestSystemScanHasNoWeights(t *testing.T) {
	w := newWorld(t, 2, 100)
	w.same(&plan.SystemScan{Schema: "pg_catalog", Name: "pg_class", Cols: []int{5, 1}, Out: columns([]sqltypes.Type{sqltypes.Int8, sqltypes.Text})},
		func() (want []row) {
			for _, r := range w.rel.tables[1].rows {
				want = append(want, row{r[5], r[1]})
			}
			return want
		}(), true)
}

func TestValues(t *testing.T) {
	w := newWorld(t, 3)
	n := &plan.Values{Out: columns([]sqltypes.Type{sqltypes.Int8, sqltypes.Text})}
	var want []row
	for i := range 5000 {
		r := []expr.Expr{intConst(int64(i)), &expr.Coalesce{Ty: sqltypes.Text,
			Args: []expr.Expr{expr.Null(sqltypes.Text), &expr.Const{Ty: sqltypes.Text, Val: "v"}}}}
		if i%7 == 0 {
			r[0] = expr.Null(sqltypes.Int8)
			want = append(want, row{nil, "v"})
		} else {
			want = append(want, row{int64(i), "v"})
		}
		n.Rows = append(n.Rows, r)
	}
	w.same(n, want, true)
	w.same(&plan.Values{Rows: [][]expr.Expr{{}, {}}}, []row{{}, {}}, true)
}

func TestLimit(t *testing.T) {
	w := newWorld(t, 4, 3000)
	all := w.rowsOf(1)
	for _, c := range []struct {
		name          string
		limit, offset expr.Expr
		lo, hi        int
	}{
		{"limit", intConst(10), nil, 0, 10},
		{"limit across chunks", intConst(2500), intConst(7), 7, 2507},
		{"offset", nil, intConst(2990), 2990, len(all)},
		{"null", expr.Null(sqltypes.Int8), expr.Null(sqltypes.Int8), 0, len(all)},
		{"beyond the end", intConst(5), intConst(1 << 40), 0, 0},
		{"largest numbers", intConst(math.MaxInt64), intConst(1), 1, len(all)},
		{"none", intConst(0), nil, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			w.same(&plan.Limit{Input: w.scan(1), Limit: c.limit, Offset: c.offset}, all[c.lo:c.hi], true)
		})
	}
	for _, c := range []struct {
		limit, offset expr.Expr
		code          sqlerr.Code
	}{{intConst(-1), nil, sqlerr.InvalidRowCountInLimit}, {nil, intConst(-1), sqlerr.InvalidRowCountInOffset}} {
		_, err := w.run(&plan.Limit{Input: w.scan(1), Limit: c.limit, Offset: c.offset})
		if sqlerr.CodeOf(err) != c.code {
			t.Errorf("error is %v, want code %s", err, c.code)
		}
	}
}

func TestUnionAndSetOps(t *testing.T) {
	seeds(t, 12, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, w0size(seed), w0size(seed+1))
		cols := []int{0, 4, 3}
		left, right := w.scan(1, cols...), w.scan(2, cols...)
		l, r := columnsOf(w.rowsOf(1), cols), columnsOf(w.rowsOf(2), cols)
		w.same(&plan.Union{Inputs: []plan.Node{left, right, left}}, append(append(append([]row{}, l...), r...), l...), true)
		for _, except := range []bool{false, true} {
			for _, all := range []bool{false, true} {
				n := &plan.SetOp{Left: left, Right: right, Except: except, All: all}
				w.same(n, refSetOp(l, r, except, all), false)
			}
		}
		w.same(&plan.Agg{Input: left, GroupBy: []int{0, 1, 2}}, refSetOp(l, nil, true, false), false)
		w.same(&plan.Agg{Input: left, GroupBy: []int{1}}, refSetOp(columnsOf(l, []int{1}), nil, true, false), false)
	})
}

func columnsOf(rows []row, cols []int) []row {
	out := make([]row, len(rows))
	for i, r := range rows {
		out[i] = pick(r, cols)
	}
	return out
}

func refSetOp(l, r []row, except, all bool) (out []row) {
	count := map[string]int{}
	for _, x := range r {
		count[show(x)]++
	}
	seen := map[string]bool{}
	for _, x := range l {
		k := show(x)
		if all {
			if (count[k] > 0) != except {
				out = append(out, x)
			}
			count[k]--
		} else if (count[k] > 0) != except && !seen[k] {
			out = append(out, x)
			seen[k] = true
		}
	}
	return out
}

func TestMaxOneRow(t *testing.T) {
	w := newWorld(t, 5)
	values := func(n int) plan.Node {
		v := &plan.Values{Out: columns([]sqltypes.Type{sqltypes.Int8})}
		for i := range n {
			v.Rows = append(v.Rows, []expr.Expr{intConst(int64(i))})
		}
		return v
	}
	w.same(&plan.MaxOneRow{Input: values(1)}, []row{{int64(0)}}, true)
	w.same(&plan.MaxOneRow{Input: values(0)}, []row{{nil}}, true)
	_, err := w.run(&plan.MaxOneRow{Input: values(2)})
	if sqlerr.CodeOf(err) != sqlerr.CardinalityViolation {
		t.Errorf("error is %v", err)
	}
	// A row of weight two is two rows.
	w.rel.tables[1] = &table{types: testTypes[:1], rows: []row{{int64(1)}}, weights: []int64{2}}
	if _, err = w.run(&plan.MaxOneRow{Input: w.scan(1, 0)}); sqlerr.CodeOf(err) != sqlerr.CardinalityViolation {
		t.Errorf("error is %v", err)
	}
}

// TestMaxOneRowPartitions: each partition may have one row, and there is no row for none.
func TestMaxOneRowPartitions(t *testing.T) {
	seeds(t, 20, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, 30)
		for cols := 1; cols <= 3; cols++ {
			n := &plan.MaxOneRow{Input: w.scan(1), PartitionBy: []int{0, 4, 2}[:cols]}
			seen, several := map[string]bool{}, false
			for _, r := range w.rowsOf(1) {
				k := shown([]row{pick(r, n.PartitionBy)})[0]
				several = several || seen[k]
				seen[k] = true
			}
			rows, err := w.run(n)
			switch {
			case several && sqlerr.CodeOf(err) != sqlerr.CardinalityViolation:
				t.Errorf("by %v: %d rows, error %v", n.PartitionBy, len(rows), err)
			case !several:
				w.same(n, w.rowsOf(1), false)
			}
		}
		first := &plan.TopN{Input: w.scan(1), PartitionBy: []int{0, 4}, OrderBy: []plan.SortKey{{Col: 1}}, Limit: 1}
		rows, err := w.run(first)
		if err != nil {
			t.Fatal(err)
		}
		w.same(&plan.MaxOneRow{Input: first, PartitionBy: []int{0, 4}}, rows, false)
		if len(rows) > 1 {
			if _, err := w.run(&plan.MaxOneRow{Input: first, PartitionBy: []int{}}); sqlerr.CodeOf(err) != sqlerr.CardinalityViolation {
				t.Errorf("error is %v", err)
			}
		}
	})
	w := newWorld(t, 1, 0)
	w.same(&plan.MaxOneRow{Input: w.scan(1), PartitionBy: []int{0}}, nil, true)
}

func TestTableFunc(t *testing.T) {
	seeds(t, 10, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, w0size(seed))
		for _, outer := range []bool{false, true} {
			n := &plan.TableFunc{Input: w.scan(1, 0, 1), Sig: "squares(bigint)", Args: []expr.Expr{col(0)},
				Out: columns([]sqltypes.Type{sqltypes.Int8, sqltypes.Int8}), WithOrdinality: true, Outer: outer}
			var want []row
			for _, r := range w.rowsOf(1) {
				times, _ := r[0].(int64)
				for i := int64(1); i <= times; i++ {
					want = append(want, row{r[0], r[1], i, i * i, i})
				}
				if times <= 0 && outer {
					want = append(want, row{r[0], r[1], nil, nil, nil})
				}
			}
			w.same(n, want, false)
		}
	})
}

func series(args ...int64) *plan.TableFunc {
	n := &plan.TableFunc{Sig: "generate_series(bigint,bigint,bigint)", Out: columns([]sqltypes.Type{sqltypes.Int8})}
	for _, a := range args {
		n.Args = append(n.Args, intConst(a))
	}
	return n
}

func TestGenerateSeries(t *testing.T) {
	w := newWorld(t, 6)
	for _, c := range [][]int64{{1, 5}, {5, 1}, {5, 1, -2}, {1, 5000}, {0, 4095}, {math.MaxInt64 - 2, math.MaxInt64},
		{math.MinInt64 + 5, math.MinInt64, -3}, {math.MinInt64, math.MaxInt64, math.MaxInt64}} {
		var want []row
		step := int64(1)
		if len(c) == 3 {
			step = c[2]
		}
		within := func(x int64) bool { return step > 0 && x <= c[1] || step < 0 && x >= c[1] }
		for x, ok := c[0], within(c[0]); ok; {
			want = append(want, row{x})
			before := x
			x += step
			ok = (x > before) == (step > 0) && within(x)
		}
		w.same(series(c...), want, true)
	}
	_, err := w.run(series(1, 2, 0))
	if sqlerr.CodeOf(err) != sqlerr.InvalidParameterValue {
		t.Errorf("step 0: %v", err)
	}
	// Lazy: this would never end otherwise.
	w.same(&plan.Limit{Input: series(1, math.MaxInt64), Limit: intConst(2)}, []row{{int64(1)}, {int64(2)}}, true)
	big := &plan.TableFunc{Sig: "squares(bigint)", Args: []expr.Expr{intConst(math.MaxInt64)},
		Out: columns([]sqltypes.Type{sqltypes.Int8, sqltypes.Int8})}
	w.same(&plan.Limit{Input: big, Limit: intConst(1), Offset: intConst(2048)}, []row{{int64(2049), int64(2049 * 2049)}}, true)
}

func TestHop(t *testing.T) {
	const day = 86400 * 1000000
	for _, c := range []struct {
		name                string
		ty                  sqltypes.Type
		unit                int64
		size, slide, offset int64
	}{
		{"tumbling", sqltypes.Timestamp, 1, 10, 10, 0},
		{"hopping", sqltypes.Timestamp, 1, 10, 3, 1},
		{"gaps", sqltypes.Timestamptz, 1, 2, 5, -1},
		{"dates", sqltypes.Date, day, 3 * day, 2 * day, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 7)
			v := &plan.Values{Out: columns([]sqltypes.Type{c.ty})}
			var want []row
			v.Rows = append(v.Rows, []expr.Expr{expr.Null(c.ty)})
			for x := int64(-30); x < 30; x++ {
				v.Rows = append(v.Rows, []expr.Expr{&expr.Const{Ty: c.ty, Val: x}})
				for s := int64(-1000); s < 1000; s++ {
					start := s*c.slide + c.offset
					if start <= x*c.unit && x*c.unit < start+c.size {
						want = append(want, row{x, start / c.unit, (start + c.size) / c.unit})
					}
				}
			}
			w.same(&plan.Hop{Input: v, SizeMicros: c.size, SlideMicros: c.slide, OffsetMicros: c.offset}, want, false)
		})
	}
}

func TestExpand(t *testing.T) {
	w := newWorld(t, 7)
	v := &plan.Values{Out: columns([]sqltypes.Type{sqltypes.Int8, sqltypes.Text}), Rows: [][]expr.Expr{
		{intConst(1), &expr.Const{Ty: sqltypes.Text, Val: "a"}}, {expr.Null(sqltypes.Int8), &expr.Const{Ty: sqltypes.Text, Val: "b"}},
	}}
	a, b := "a", "b"
	w.same(&plan.Expand{Input: v, Keys: []int{1, 0}, Sets: [][]bool{{true, true}, {false, true}, {false, false}}}, []row{
		{int64(1), a, a, int64(1), int64(0)}, {nil, b, b, nil, int64(0)},
		{int64(1), a, nil, int64(1), int64(1)}, {nil, b, nil, nil, int64(1)},
		{int64(1), a, nil, nil, int64(2)}, {nil, b, nil, nil, int64(2)},
	}, false)
}

// TestCancel cancels in the middle of operators that would run for long.
func TestCancel(t *testing.T) {
	w := newWorld(t, 8)
	forever := func() plan.Node { return series(1, math.MaxInt64) }
	count := []plan.AggCall{{Sig: "count()", Result: sqltypes.Int8, Filter: -1}}
	for name, n := range map[string]plan.Node{
		"agg":    &plan.Agg{Input: forever(), Aggs: count, Scalar: true},
		"filter": &plan.Filter{Input: forever(), Cond: &expr.IsNull{Arg: col(0)}},
		"cross": &plan.Agg{Scalar: true, Aggs: count,
			Input: &plan.Join{Left: series(1, 1<<30), Right: series(1, 1<<16)}},
		"anti": &plan.Join{Kind: plan.NullAnti, Left: series(1, 1<<40), Right: series(1, 1<<16),
			LeftKeys: []int{0}, RightKeys: []int{0}, Cond: &expr.IsNull{Arg: col(0)}},
	} {
		t.Run(name, func(t *testing.T) {
			op, err := w.query().buildPlain(n)
			if err != nil {
				t.Fatal(err)
			}
			defer op.Close()
			ctx := &countdown{Context: context.Background(), left: 200}
			if err := op.Open(ctx); err != nil {
				t.Fatal(err)
			}
			for {
				ch, err := op.Next(ctx)
				if err != nil {
					if sqlerr.CodeOf(err) != sqlerr.QueryCanceled {
						t.Errorf("error is %v", err)
					}
					return
				}
				if ch == nil {
					t.Fatal("the query ended")
				}
			}
		})
	}
}

// countdown is a context that is cancelled after it has been asked some times.
type countdown struct {
	context.Context
	left int
}

func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestSortCancels asks that the sort itself looks at the context: its input is there already.
func TestSortCancels(t *testing.T) {
	v := delta.NewVec(sqltypes.Int8, 1<<18)
	for i := range v.Ints {
		v.Ints[i] = int64(i) * 7919 % 100003
	}
	ch := delta.NewChunk([]*delta.Vec{v}, nil, v.Len())
	keys := []orderKey{{class: keyInt}}
	ctx := &countdown{Context: context.Background(), left: math.MaxInt32}
	if _, err := sortRows(ctx, newQuery(nil, Options{}), ch, keys); err != nil {
		t.Fatal(err)
	}
	asked := math.MaxInt32 - ctx.left
	if asked < 64 {
		t.Errorf("the context was asked %d times", asked)
	}
	for _, after := range []int{1, asked / 2, asked - 1} {
		ctx.left = after
		if _, err := sortRows(ctx, newQuery(nil, Options{}), ch, keys); err == nil {
			t.Errorf("not cancelled after %d questions", after)
		}
	}
}

func TestMemoryLimit(t *testing.T) {
	big := func() plan.Node { return series(1, 1<<20) }
	count := []plan.AggCall{{Sig: "count()", Result: sqltypes.Int8, Filter: -1}}
	for name, n := range map[string]plan.Node{
		"window": &plan.Window{Input: big(), Funcs: []plan.WindowFunc{{Name: "row_number", Result: sqltypes.Int8}}},
		"join":   &plan.Join{Left: big(), Right: big(), LeftKeys: []int{0}, RightKeys: []int{0}},
		"agg":    &plan.Agg{Input: big(), GroupBy: []int{0}, Aggs: count},
		"dist":   &plan.Agg{Input: big(), GroupBy: []int{0}},
		"except": &plan.SetOp{Left: big(), Right: big(), Except: true},
		"sort":   &plan.Sort{Input: big(), Keys: []plan.SortKey{{Col: 0, Desc: true}}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 9)
			w.mem = 1 << 20
			_, err := w.run(n)
			if sqlerr.CodeOf(err) != sqlerr.OutOfMemory {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestEvaluationErrorFailsTheQuery(t *testing.T) {
	w := newWorld(t, 10, 100)
	q := w.query()
	want := sqlerr.New(sqlerr.DivisionByZero, "division by zero")
	p := &failing{q: q, err: want}
	_, err := q.project([]expr.Program{p}, &delta.Chunk{Rows: 3})
	if err != want {
		t.Errorf("error is %v", err)
	}
	if len(q.c.Errs) != 0 {
		t.Error("the error is still there")
	}
}

// failing is a program that fails for row 1.
type failing struct {
	q   *query
	err error
}

func (p *failing) Eval(c *expr.Ctx, ch *delta.Chunk) *delta.Vec {
	v := delta.NewVec(sqltypes.Int8, ch.Rows)
	c.Fail(v, 1, p.err)
	return v
}

func TestBuildRefusesStreamNodes(t *testing.T) {
	for _, n := range []plan.Node{&plan.Exchange{}, &plan.Materialize{}, &plan.Sink{}, &plan.DML{}, &plan.SourceScan{},
		&plan.Agg{Input: &plan.Values{}, Phase: plan.AggPartial}} {
		if _, err := Build(n, nil, Options{}); sqlerr.CodeOf(err) != sqlerr.InternalError {
			t.Errorf("%T: %v", n, err)
		}
	}
}
