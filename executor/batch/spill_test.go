package batch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// tight is a world whose queries have to spill.
func tight(t *testing.T, seed uint64, mem int64, sizes ...int) *world {
	w := newWorld(t, seed, sizes...)
	w.mem, w.dir = mem, t.TempDir()
	t.Cleanup(func() {
		if w.spills == 0 {
			t.Error("nothing was spilled")
		}
		left, err := os.ReadDir(w.dir)
		if err != nil || len(left) > 0 {
			t.Errorf("spill files are left: %v, %v", left, err)
		}
	})
	return w
}

func TestSpillSort(t *testing.T) {
	for i, keys := range testOrders {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			w := tight(t, 1, 500<<10, 8000)
			w.same(&plan.Sort{Input: w.scan(1), Keys: keys}, refSort(w.rowsOf(1), keys), true)
		})
	}
}

// TestSpillSortManyRuns needs more than one pass over the runs.
func TestSpillSortManyRuns(t *testing.T) {
	w := tight(t, 1, 200<<10)
	n := &plan.Sort{Input: series(150000, 1, -1), Keys: []plan.SortKey{{Col: 0}}}
	rows, err := w.run(n)
	if err != nil || len(rows) != 150000 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for i, r := range rows {
		if r[0] != int64(i+1) {
			t.Fatalf("row %d is %v", i, r)
		}
	}
	if w.spills <= maxRuns {
		t.Errorf("only %d files", w.spills)
	}
}

func TestSpillAgg(t *testing.T) {
	for _, by := range [][]int{{5}, {5, 1}, {1, 5}} {
		t.Run(fmt.Sprint(by), func(t *testing.T) {
			w := tight(t, 2, 2<<20, 20000)
			scan := w.scan(1)
			n := &plan.Agg{Input: &plan.Union{Inputs: []plan.Node{scan, scan}}, GroupBy: by}
			rows := append(w.rowsOf(1), w.rowsOf(1)...)
			w.same(n, refGroups(n, rows), false)
			for _, c := range testCalls() {
				if c.OrderBy == nil && !c.Distinct {
					n.Aggs = append(n.Aggs, c)
				}
			}
			// list(text) depends on the order of rows, which partitions keep.
			w.same(n, refGroups(n, rows), false)
		})
	}
}

func TestSpillJoin(t *testing.T) {
	for kind := plan.Inner; kind <= plan.Anti; kind++ {
		for _, safe := range [][]bool{nil, {true, false}} {
			t.Run(fmt.Sprint(kind, safe), func(t *testing.T) {
				w := tight(t, 3, 150<<10, 3000, 4000)
				n := &plan.Join{Kind: kind, Left: w.scan(1), Right: w.scan(2), LeftKeys: []int{0, 5}, RightKeys: []int{0, 5}, NullSafe: safe}
				w.same(n, refEquiJoin(n, w.rowsOf(1), w.rowsOf(2)), false)
				w.share()
				w.same(n, refEquiJoin(n, w.rowsOf(1), w.rowsOf(2)), false)
			})
		}
	}
}

// refEquiJoin is refJoin for large inputs: it looks only at rows with the same row number (column 5).
func refEquiJoin(n *plan.Join, left, right []row) (out []row) {
	groups := map[sqltypes.Datum][2][]row{}
	for _, l := range left {
		g := groups[l[5]]
		g[0] = append(g[0], l)
		groups[l[5]] = g
	}
	for _, r := range right {
		g := groups[r[5]]
		g[1] = append(g[1], r)
		groups[r[5]] = g
	}
	for _, g := range groups {
		out = append(out, refJoin(n, g[0], g[1], "")...)
	}
	return out
}

// TestSpillMaxOneRow spills the keys seen; a second row of a key is found in memory and on disk.
func TestSpillMaxOneRow(t *testing.T) {
	w := tight(t, 1, 200<<10)
	count := func(in plan.Node) (int, error) {
		rows, err := w.run(&plan.MaxOneRow{Input: in, PartitionBy: []int{0}})
		return len(rows), err
	}
	if n, err := count(series(1, 50000)); n != 50000 || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
	for _, again := range []int64{1, 25000, 50000} {
		twice := &plan.Union{Inputs: []plan.Node{series(1, 50000), series(again, again)}}
		if n, err := count(twice); sqlerr.CodeOf(err) != sqlerr.CardinalityViolation {
			t.Errorf("%d again: %d rows, %v", again, n, err)
		}
	}
}

// TestSpillSkew has a key that no spreading can split: that is an error, not an endless recursion.
func TestSpillSkew(t *testing.T) {
	w := tight(t, 4, 100<<10)
	one := func() plan.Node {
		return &plan.Project{Input: series(1, 20000), Exprs: row1(), Names: []string{"a"}}
	}
	_, err := w.run(&plan.Join{Left: one(), Right: one(), LeftKeys: []int{0}, RightKeys: []int{0}})
	if sqlerr.CodeOf(err) != sqlerr.OutOfMemory {
		t.Errorf("error is %v", err)
	}
}

// TestSpillErrors: a folder that is not there is the environment's error.
func TestSpillErrors(t *testing.T) {
	w := newWorld(t, 5, 6000)
	w.mem, w.dir = 200<<10, t.TempDir()+"/missing"
	_, err := w.run(&plan.Sort{Input: w.scan(1), Keys: testOrders[0]})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
}

func spillChunk() *delta.Chunk {
	types := []sqltypes.Type{sqltypes.Bool, sqltypes.Int8, sqltypes.Float8, sqltypes.IntervalT, sqltypes.Text}
	b := delta.NewBuilder(types)
	b.AppendDatums(row{true, int64(-5), 1.5, datetime.Interval{Months: -1, Days: 2, Micros: 3}, "abc"}, 1)
	b.AppendDatums(row{nil, nil, nil, nil, nil}, 3)
	b.AppendDatums(row{false, int64(7), -0.0, datetime.Interval{}, ""}, 1)
	return b.Take()
}

func TestSpillFileRoundTrip(t *testing.T) {
	q := newQuery(nil, Options{TempDir: t.TempDir()})
	ch := spillChunk()
	f, err := newSpillFile(q, ch.Types())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx := context.Background()
	for _, c := range []*delta.Chunk{ch, ch.WithSel([]int32{2, 1}), ch.WithSel([]int32{})} {
		if err := f.add(c); err != nil {
			t.Fatal(err)
		}
	}
	u := &unweight{in: f}
	rows, err := drainRows(u, ch.Types())
	if err != nil {
		t.Fatal(err)
	}
	want := &unweight{in: &opened{chunkList{[]*delta.Chunk{ch, ch.WithSel([]int32{2, 1})}}}}
	wantRows, err := drainRows(want, ch.Types())
	if err != nil {
		t.Fatal(err)
	}
	if a, b := fmt.Sprint(shown(rows)), fmt.Sprint(shown(wantRows)); a != b || len(rows) != 9 {
		t.Errorf("read %s, want %s", a, b)
	}
	if ch, err := f.Next(ctx); ch != nil || err != nil {
		t.Errorf("after the end: %v, %v", ch, err)
	}
}

type opened struct{ chunkList }

func (*opened) Open(context.Context) error { return nil }

// FuzzDecodeChunk: bytes that were not written by us are refused without a panic.
func FuzzDecodeChunk(f *testing.F) {
	ch := spillChunk()
	f.Add(appendChunk(nil, ch, ch.Types()))
	f.Add([]byte{})
	types := ch.Types()
	f.Fuzz(func(t *testing.T, body []byte) {
		ch, err := decodeChunk(body, types)
		if err != nil {
			return
		}
		for i := range min(ch.Rows, 100) {
			for _, v := range ch.Cols {
				v.Datum(i)
			}
		}
	})
}
