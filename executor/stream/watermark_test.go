package stream

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// markedPlans are plans over two inputs with a watermark for their first column; grows says that they never retract.
func markedPlans(grows bool) map[string]plan.Node {
	scan := func(i int) *plan.TableScan {
		s := scriptScan(i)
		s.AppendOnly = grows
		return s
	}
	count, sum := call("count()", sqltypes.Int8), call("sum(numeric)", sqltypes.Numeric, 2)
	list := call("string_agg(text,text)", sqltypes.Text, 1, 1)
	few, sums := distinctCall(call(`count("any")`, sqltypes.Int8, 1)), distinctCall(call("sum(numeric)", sqltypes.Numeric, 2))
	agg := func(in plan.Node, by []int, calls ...plan.AggCall) *plan.Agg {
		return &plan.Agg{Input: in, GroupBy: by, Aggs: calls}
	}
	join := func(kind plan.JoinKind, keys ...int) *plan.Join {
		return &plan.Join{Kind: kind, Left: scan(3), Right: scan(4), LeftKeys: keys, RightKeys: keys}
	}
	// Two times no further apart than the bounds; which side of a condition they stand on is all the same.
	near := func(left, right plan.Node, keys []int, conds ...expr.Expr) *plan.Join {
		return &plan.Join{Kind: plan.Inner, Left: left, Right: right, LeftKeys: keys, RightKeys: keys, Cond: expr.And(conds)}
	}
	at := func(col int) expr.Expr { return &expr.Col{Index: col, Ty: sqltypes.Int8} }
	plus := func(e expr.Expr, n int64) expr.Expr {
		return &expr.Call{Sig: "+(bigint,bigint)", Args: []expr.Expr{e, &expr.Const{Val: n, Ty: sqltypes.Int8}}, Ty: sqltypes.Int8}
	}
	compare := func(op string, a, b expr.Expr) expr.Expr {
		return &expr.Call{Sig: op + "(bigint,bigint)", Args: []expr.Expr{a, b}, Ty: sqltypes.Bool}
	}
	between := []expr.Expr{compare(">=", at(3), plus(at(0), -2)), compare("<", at(3), plus(at(0), 4))}
	inOrder := near(scan(3), scan(4), nil, between...)
	inOrder.Range = &plan.JoinRange{Left: []expr.Expr{at(0)}, Right: []expr.Expr{at(0), plus(at(0), 2)}, Compare: []plan.RangeCompare{{Op: "<=", Right: 1}}}
	hop := &plan.Hop{Input: scan(3), SizeMicros: 6, SlideMicros: 4, OffsetMicros: 1}
	sessions := &plan.Session{Input: scan(3), TimeCol: 0, GapMicros: 3, PartitionBy: []int{1}}
	out := map[string]plan.Node{
		"sessions":    sessions,
		"window gaps": &plan.GapFill{Input: scan(3), TimeCol: 0, StepMicros: 2, PartitionBy: []int{1}, Fill: []plan.Fill{plan.FillNull, plan.FillLast, plan.FillLast}},
		"window line": &plan.GapFill{TimeCol: 0, StepMicros: 3, Fill: []plan.Fill{plan.FillNull, plan.FillLine}, Input: &plan.Project{Input: scan(3), Names: []string{"a", "v"},
			Exprs: []expr.Expr{&expr.Col{Ty: sqltypes.Int8}, &expr.Case{Ty: sqltypes.Int8, Whens: []expr.When{{Cond: less(&expr.Col{Ty: sqltypes.Int8}, intConst(9)), Then: &expr.Col{Ty: sqltypes.Int8}}}, Else: intConst(40)}}}},
		"sessions of all": &plan.Session{Input: scan(3), TimeCol: 0, GapMicros: 2},
		"agg of sessions": agg(sessions, []int{1, 3, 4}, count, sum),
		"cumulate":        agg(&plan.Hop{Input: scan(3), SizeMicros: 6, SlideMicros: 2, OffsetMicros: 1, Cumulate: true}, []int{3, 4}, count),
		"scan":            scan(3),
		"agg":             agg(scan(3), []int{0}, count, sum, call("max(bigint)", sqltypes.Int8, 0)),
		"agg by two":      agg(scan(3), []int{1, 0}, count, list),
		"agg by numeric":  agg(scan(3), []int{2, 0}, count),
		"agg distinct":    agg(scan(3), []int{0}, few, sums, count),
		"distinct":        agg(scan(3), []int{0, 1}),
		"hop":             agg(hop, []int{3, 1}, count, few),
		"hop by both":     agg(hop, []int{4, 3}, count),
		"hop and time":    agg(hop, []int{0, 3}, count),
		"agg of agg":      agg(agg(scan(3), []int{0, 1}, count), []int{0}, call("max(bigint)", sqltypes.Int8, 2), count),
		"union":           agg(&plan.Union{Inputs: []plan.Node{scan(3), scan(4)}}, []int{0}, count, list),
		"join":            join(plan.Inner, 0),
		"join on two":     join(plan.Inner, 1, 0),
		"left join":       join(plan.Left, 0, 1),
		"right join":      join(plan.Right, 0),
		"full join":       join(plan.Full, 0),
		"semi join":       join(plan.Semi, 0, 1),
		"anti join":       join(plan.Anti, 0, 1),
		"agg of join":     agg(join(plan.Inner, 0), []int{3}, count),
		"top":             &plan.TopN{Input: scan(3), PartitionBy: []int{0}, OrderBy: []plan.SortKey{{Col: 2}, {Col: 1}}, Limit: 2, RowNumber: true},
		"top one":         &plan.TopN{Input: scan(3), PartitionBy: []int{0, 1}, OrderBy: []plan.SortKey{{Col: 2}}, Limit: 1},
		"difference":      &plan.SetOp{Left: scan(3), Right: scan(4), Except: true},
		"common to both":  &plan.SetOp{Left: scan(3), Right: scan(4), All: true},
		"merged full join": &plan.Project{Input: join(plan.Full, 0, 1), Names: []string{"a", "b", "n", "m"}, Exprs: []expr.Expr{
			&expr.Coalesce{Ty: sqltypes.Int8, Args: []expr.Expr{at(0), at(3)}}, &expr.Coalesce{Ty: sqltypes.Text, Args: []expr.Expr{&expr.Col{Index: 1, Ty: sqltypes.Text}, &expr.Col{Index: 4, Ty: sqltypes.Text}}},
			&expr.Col{Index: 2, Ty: sqltypes.Numeric}, &expr.Col{Index: 5, Ty: sqltypes.Numeric}}},
		"window ahead": &plan.Window{Input: scan(3), PartitionBy: []int{1}, OrderBy: []plan.SortKey{{Col: 0}}, Funcs: []plan.WindowFunc{
			{Name: "agg", Sig: "sum(numeric)", Args: []int{2}, Result: sqltypes.Numeric, Filter: -1, ColName: "sum",
				Frame: plan.Frame{Mode: 'A', Start: plan.FrameBound{Kind: plan.Preceding, Offset: intConst(2)}, End: plan.FrameBound{Kind: plan.Following, Offset: intConst(4)}}},
			{Name: "last_value", Args: []int{2}, Result: sqltypes.Numeric, Filter: -1, ColName: "last",
				Frame: plan.Frame{Mode: 'A', Start: plan.FrameBound{Kind: plan.Following, Offset: intConst(1)}, End: plan.FrameBound{Kind: plan.Following, Offset: intConst(3)}}}}},
		"over": &plan.Window{Input: scan(3), PartitionBy: []int{0}, OrderBy: []plan.SortKey{{Col: 2}, {Col: 1}}, Funcs: []plan.WindowFunc{{Name: "rank", Sig: "rank()", Result: sqltypes.Int8, Filter: -1, ColName: "rank"}}},
		"over with groups": &plan.Window{Input: scan(3), PartitionBy: []int{1, 0}, OrderBy: []plan.SortKey{{Col: 2}}, Funcs: []plan.WindowFunc{
			{Name: "dense_rank", Sig: "dense_rank()", Result: sqltypes.Int8, Filter: -1, ColName: "rank"},
			{Name: "agg", Sig: "sum(numeric)", Args: []int{2}, Result: sqltypes.Numeric, Filter: -1, ColName: "sum",
				Frame: plan.Frame{Mode: 'G', Start: plan.FrameBound{Kind: plan.CurrentRow}, End: plan.FrameBound{Kind: plan.UnboundedFollowing}}}}},
		"window by time": &plan.Window{Input: scan(3), PartitionBy: []int{1}, OrderBy: []plan.SortKey{{Col: 0}, {Col: 2, Desc: true}}, Funcs: []plan.WindowFunc{
			{Name: "rank", Sig: "rank()", Result: sqltypes.Int8, Filter: -1, ColName: "rank"},
			{Name: "lag", Sig: "lag(anyelement)", Args: []int{2}, Result: sqltypes.Numeric, Filter: -1, ColName: "lag"},
			{Name: "agg", Sig: "sum(numeric)", Args: []int{2}, Result: sqltypes.Numeric, Filter: -1, ColName: "sum",
				Frame: plan.Frame{Mode: 'A', End: plan.FrameBound{Kind: plan.CurrentRow}}}}},
		"interval join":             near(scan(3), scan(4), []int{1}, between...),
		"interval join without key": near(scan(3), scan(4), nil, compare("<=", plus(at(0), 1), at(3)), compare("<=", at(3), plus(at(0), 5))),
		"interval join in order":    inOrder,
		"window one bound":          near(scan(3), scan(4), []int{1}, compare(">", at(0), at(3))),
		"agg of interval join":      agg(near(scan(3), scan(4), []int{1}, between...), []int{0}, count),
		"agg of left join":          agg(join(plan.Left, 0), []int{0}, call("count(\"any\")", sqltypes.Int8, 4)),
	}
	for kind, name := range map[plan.JoinKind]string{plan.Left: "left", plan.Right: "right", plan.Full: "full", plan.Semi: "semi", plan.Anti: "anti"} {
		j := *near(scan(3), scan(4), []int{1}, between...)
		j.Kind = kind
		out["interval "+name+" join"] = &j
		o := *inOrder
		o.Kind = kind
		out["interval "+name+" join in order"] = &o
		one := *near(scan(3), scan(4), []int{1}, compare(">", at(0), at(3)))
		one.Kind = kind
		out["window "+name+" one bound"] = &one
	}
	return out
}

// TestWatermarksChangeNothing: with watermarks, which let operators forget, a view equals recompute as it does without. What
// lies below an output's watermark never changes again. And what EMIT ON WINDOW CLOSE has put out is, at each barrier,
// exactly what lies below.
func TestWatermarksChangeNothing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 3))
	for _, grows := range []bool{true, false} {
		for name, n := range markedPlans(grows) {
			for _, close := range []bool{false, true} {
				if close && len(plan.MarkCols(n)) == 0 {
					continue
				}
				t.Run(fmt.Sprintf("%s/grows=%v/close=%v", name, grows, close), func(t *testing.T) {
					runMarked(t, n, grows, close, r, !strings.HasPrefix(name, "window"))
				})
			}
		}
	}
}

// closed puts EMIT ON WINDOW CLOSE on a plan.
func closed(n plan.Node) plan.Node {
	cols := plan.MarkCols(n)
	if a, ok := n.(*plan.Agg); ok && len(a.Aggs) > 0 {
		b := *a
		b.Close = cols
		return &b
	}
	if s, ok := n.(*plan.Session); ok {
		b := *s
		b.Close = true
		return &b
	}
	return &plan.EmitOnClose{Input: n, Cols: cols}
}

// runMarked runs a plan. forgets: in the end, when watermarks have passed everything, nothing is left in state.
func runMarked(t *testing.T, n plan.Node, grows, close bool, r *rand.Rand, forgets bool) {
	root := n
	if close {
		root = closed(n)
	}
	s, err := newSim(root)
	if err != nil {
		t.Fatal(err)
	}
	types := plan.Types(n)
	tables := []zset{{}, {}, {}, {}, {}}
	var live [5][][]sqltypes.Datum
	marks := [5]int64{}
	got, settled := zset{}, zset{} // settled: what was below the watermark at the last barrier
	var last Marks
	for epoch := range 30 {
		for i := 3; i <= 4; i++ {
			var ch [][]sqltypes.Datum
			var ws []int64
			for range r.IntN(6) {
				row := []sqltypes.Datum{marks[i] + r.Int64N(12), string(rune('a' + r.IntN(3))), mustDec([]string{"1", "1.0", "2", "3.5"}[r.IntN(4)])}
				ch, ws = append(ch, row), append(ws, 1)
				live[i] = append(live[i], row)
			}
			for k := 0; !grows && k < len(live[i]) && r.IntN(3) == 0; k++ {
				if live[i][k][0].(int64) >= marks[i] {
					ch, ws = append(ch, live[i][k]), append(ws, -1)
					live[i] = slices.Delete(live[i], k, k+1)
				}
			}
			for k := range ch {
				tables[i].add(ch[k], ws[k])
			}
			if len(ch) == 0 {
				continue
			}
			if err := s.push(i, chunkOf(plan.Types(scriptScan(3)), ch, ws)); err != nil {
				t.Fatal(err)
			}
		}
		for i := 3; i <= 4; i++ {
			if r.IntN(3) == 0 {
				marks[i] += r.Int64N(6)
			}
			if epoch > 3 {
				s.marks[tableID(i)] = marks[i]
			}
		}
		checkpoint := r.IntN(4) == 0
		out, err := s.barrier(checkpoint)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range out {
			chunkRows(c, func(vals []sqltypes.Datum, w int64) {
				if close && w < 0 {
					t.Fatalf("epoch %d: (%s) is taken back", epoch, show(vals))
				}
				got.add(vals, w)
			})
		}
		if s.late > 0 {
			t.Fatalf("epoch %d: %d rows are late", epoch, s.late)
		}
		all := zset{}
		for _, row := range recompute(n, tables) {
			all.add(row, 1)
		}
		check(t, fmt.Sprintf("epoch %d: what was settled", epoch), below(all, last), settled, types)
		last = s.rootMarks(n)
		settled = below(all, last)
		want := all
		if close {
			want = belowAll(all, last, plan.MarkCols(n))
		}
		check(t, fmt.Sprintf("epoch %d", epoch), got, want, types)
		if checkpoint && r.IntN(2) == 0 {
			if err := s.start(); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.marks[tableID(3)], s.marks[tableID(4)] = 1000, 1000
	for range 2 {
		if _, err := s.barrier(true); err != nil {
			t.Fatal(err)
		}
	}
	for i, x := range s.nodes {
		if st := x.op.Stats(); forgets && st.Rows > 0 {
			t.Fatalf("operator %d still keeps %d rows", i, st.Rows)
		}
	}
	if forgets && len(s.store.m) > 0 {
		t.Fatalf("the store still holds %d entries", len(s.store.m))
	}
}

// rootMarks are the watermarks of n's output, which the root shows.
func (s *sim) rootMarks(n plan.Node) Marks {
	if len(s.nodes) == 0 {
		scan := n.(*plan.TableScan)
		if v, ok := s.marks[scan.Table]; ok {
			return Marks{{Value: v}}
		}
		return nil
	}
	return s.nodes[0].rules.Out(s.nodes[0].in)
}

// below lists the rows that some watermark has passed.
func below(z zset, m Marks) zset {
	out := zset{}
	for k, row := range z {
		for _, x := range m {
			v, ok := m.Of(x.Col)
			if d, isInt := row.vals[x.Col].(int64); ok && isInt && d < v {
				out[k] = row
			}
		}
	}
	return out.clone()
}

// belowAll lists the rows that the watermarks of all the columns have passed.
func belowAll(z zset, m Marks, cols []int) zset {
	out := zset{}
	for k, row := range z {
		all := true
		for _, c := range cols {
			v, ok := m.Of(c)
			d, isInt := row.vals[c].(int64)
			all = all && ok && isInt && d < v
		}
		if all {
			out[k] = row
		}
	}
	return out.clone()
}
