package batch

import (
	"fmt"
	"math"
	"testing"

	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// wfunc makes a window function call; its result type follows from its name.
func wfunc(name string, frame plan.Frame, args ...int) plan.WindowFunc {
	f := plan.WindowFunc{Name: name, Sig: name, Args: args, Filter: -1, Frame: frame, Result: sqltypes.Int8}
	switch name {
	case "percent_rank", "cume_dist":
		f.Result = sqltypes.Float8
	case "lag", "lead", "first_value", "last_value", "nth_value", "list(text)":
		f.Result = testTypes[args[0]]
	}
	return f
}

// frames lists frames of every mode, bound and exclusion. A RANGE offset needs the order to be by column 0 alone.
func frames(withRange bool) (out []plan.Frame) {
	off := func(kind plan.BoundKind, n int64) plan.FrameBound {
		return plan.FrameBound{Kind: kind, Offset: intConst(n)}
	}
	first, last := plan.FrameBound{Kind: plan.UnboundedPreceding}, plan.FrameBound{Kind: plan.UnboundedFollowing}
	cur := plan.FrameBound{Kind: plan.CurrentRow}
	bounds := [][2]plan.FrameBound{{first, cur}, {first, last}, {cur, last}, {cur, cur}}
	offsets := [][2]plan.FrameBound{
		{off(plan.Preceding, 2), off(plan.Following, 1)}, {off(plan.Preceding, 3), off(plan.Preceding, 1)},
		{off(plan.Following, 1), off(plan.Following, 3)}, {first, off(plan.Preceding, 1)}, {off(plan.Following, 2), last},
		{off(plan.Preceding, math.MaxInt64), off(plan.Following, math.MaxInt64)}, {off(plan.Preceding, 0), cur},
		{off(plan.Preceding, 1), off(plan.Preceding, 2)},
	}
	for _, mode := range []byte{'R', 'A', 'G'} {
		bs := bounds
		if mode != 'A' || withRange {
			bs = append(bs[:len(bs):len(bs)], offsets...)
		}
		for i, b := range bs {
			out = append(out, plan.Frame{Mode: mode, Start: b[0], End: b[1]})
			for k, x := range []byte{'C', 'G', 'T'} {
				if (i+k)%2 == 0 {
					out = append(out, plan.Frame{Mode: mode, Start: b[0], End: b[1], Exclude: x})
				}
			}
		}
	}
	return out
}

func TestWindow(t *testing.T) {
	seeds(t, 6, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, []int{60, 0, 1, 40, 100, 30}[seed])
		for _, order := range [][]plan.SortKey{{{Col: 0}}, {{Col: 0, Desc: true, NullsFirst: true}}, {{Col: 1}, {Col: 2}}, nil} {
			for _, by := range [][]int{nil, {4}} {
				n := &plan.Window{Input: w.scan(1), PartitionBy: by, OrderBy: order}
				for _, name := range []string{"row_number", "rank", "dense_rank", "percent_rank", "cume_dist"} {
					n.Funcs = append(n.Funcs, wfunc(name, plan.Frame{}))
				}
				for _, name := range []string{"lag", "lead"} {
					n.Funcs = append(n.Funcs, wfunc(name, plan.Frame{}, 1), wfunc(name, plan.Frame{}, 1, 4),
						wfunc(name, plan.Frame{}, 0, 4, 5))
					ignore := wfunc(name, plan.Frame{}, 0, 4)
					ignore.IgnoreNulls = true
					n.Funcs = append(n.Funcs, ignore)
				}
				for i, f := range frames(len(order) == 1) {
					n.Funcs = append(n.Funcs, wfunc("count()", f), wfunc("sum(bigint)", f, 0), wfunc("max(bigint)", f, 5),
						wfunc("list(text)", f, 1), wfunc("objcount(text)", f, 1), wfunc("first_value", f, 1), wfunc("last_value", f, 0))
					for k := range n.Funcs[len(n.Funcs)-7:] {
						if (i+k)%3 == 0 && k < 5 {
							n.Funcs[len(n.Funcs)-7+k].Filter = 3
						}
						n.Funcs[len(n.Funcs)-7+k].IgnoreNulls = k >= 5 && i%2 == 0
					}
				}
				w.same(n, refWindow(n, w.rowsOf(1)), true)
			}
		}
	})
}

// refWindow computes windows by the definition: for each row it looks at every row of the partition.
func refWindow(n *plan.Window, rows []row) (out []row) {
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
		p := &refPartition{n: n, rows: rows[lo:hi]}
		for i := range p.rows {
			r, g := p.countBefore(i)
			p.rowsBefore, p.groupsBefore = append(p.rowsBefore, r), append(p.groupsBefore, g)
		}
		for i, r := range p.rows {
			r = append(row{}, r...)
			for k := range n.Funcs {
				r = append(r, p.value(&n.Funcs[k], i))
			}
			out = append(out, r)
		}
		lo = hi
	}
	return out
}

type refPartition struct {
	n    *plan.Window
	rows []row
	// For each row: the rows, and the distinct groups of peers, before its own group.
	rowsBefore, groupsBefore []int
}

func (p *refPartition) peers(i, j int) bool {
	return compareRows(p.rows[i], p.rows[j], p.n.OrderBy) == 0
}

func (p *refPartition) before(i int) (rows, groups int) { return p.rowsBefore[i], p.groupsBefore[i] }

func (p *refPartition) countBefore(i int) (rows, groups int) {
	for j := range i {
		if !p.peers(i, j) {
			rows = j + 1
			if j == 0 || !p.peers(j, j-1) {
				groups++
			}
		}
	}
	return rows, groups
}

func (p *refPartition) value(f *plan.WindowFunc, i int) sqltypes.Datum {
	before, groups := p.before(i)
	switch f.Name {
	case "row_number":
		return int64(i + 1)
	case "rank":
		return int64(before + 1)
	case "dense_rank":
		return int64(groups + 1)
	case "percent_rank":
		if len(p.rows) == 1 {
			return 0.0
		}
		return float64(before) / float64(len(p.rows)-1)
	case "cume_dist":
		upTo := 0
		for j := range p.rows {
			if j <= i || p.peers(i, j) {
				upTo++
			}
		}
		return float64(upTo) / float64(len(p.rows))
	case "lag", "lead":
		return p.shifted(f, i)
	}
	var in []row
	for j := range p.rows {
		if p.inFrame(&f.Frame, i, j) && (f.Filter < 0 || p.rows[j][f.Filter] == true) {
			in = append(in, p.rows[j])
		}
	}
	switch f.Name {
	case "first_value", "last_value":
		var vals row
		for _, r := range in {
			if d := r[f.Args[0]]; d != nil || !f.IgnoreNulls {
				vals = append(vals, d)
			}
		}
		if len(vals) == 0 {
			return nil
		}
		if f.Name == "last_value" {
			return vals[len(vals)-1]
		}
		return vals[0]
	}
	return refAgg(f.Sig, f.Args, in)
}

func (p *refPartition) shifted(f *plan.WindowFunc, i int) sqltypes.Datum {
	by, ok := int64(1), true
	if len(f.Args) > 1 {
		by, ok = p.rows[i][f.Args[1]].(int64)
	}
	if !ok {
		return nil
	}
	step := 1
	if f.Name == "lag" {
		step = -1
	}
	j := i
	for by > 0 {
		j += step
		if j < 0 || j >= len(p.rows) {
			if len(f.Args) > 2 {
				return p.rows[i][f.Args[2]]
			}
			return nil
		}
		if !f.IgnoreNulls || p.rows[j][f.Args[0]] != nil {
			by--
		}
	}
	return p.rows[j][f.Args[0]]
}

// inFrame tells whether row j is in the frame of row i.
func (p *refPartition) inFrame(f *plan.Frame, i, j int) bool {
	switch f.Exclude {
	case 'C':
		if i == j {
			return false
		}
	case 'G':
		if p.peers(i, j) {
			return false
		}
	case 'T':
		if i != j && p.peers(i, j) {
			return false
		}
	}
	return p.side(f, f.Start, i, j) >= 0 && p.side(f, f.End, i, j) <= 0
}

// side says on which side of a bound of row i's frame row j lies: −1 before it, 0 on it, 1 behind.
func (p *refPartition) side(f *plan.Frame, b plan.FrameBound, i, j int) int {
	switch b.Kind {
	case plan.UnboundedPreceding:
		return 1
	case plan.UnboundedFollowing:
		return -1
	}
	distance := 0.0 // of j from i
	switch f.Mode {
	case 'R':
		distance = float64(j - i)
	case 'G':
		_, a := p.before(i)
		_, c := p.before(j)
		distance = float64(c - a)
	case 'A':
		if b.Kind == plan.CurrentRow {
			distance = float64(compareRows(p.rows[j], p.rows[i], p.n.OrderBy))
			break
		}
		o := p.n.OrderBy[0]
		x, y := p.rows[i][o.Col], p.rows[j][o.Col]
		if x == nil || y == nil {
			return compareRows(p.rows[j], p.rows[i], p.n.OrderBy)
		}
		distance = float64(y.(int64) - x.(int64))
		if o.Desc {
			distance = -distance
		}
	}
	bound := 0.0
	if b.Offset != nil {
		bound = float64(b.Offset.(*expr.Const).Val.(int64))
	}
	if b.Kind == plan.Preceding {
		bound = -bound
	}
	switch {
	case distance < bound:
		return -1
	case distance > bound:
		return 1
	}
	return 0
}

func TestNtileAndNthValue(t *testing.T) {
	w := newWorld(t, 1)
	frame := plan.Frame{Mode: 'R', End: plan.FrameBound{Kind: plan.UnboundedFollowing}}
	run := func(n, buckets int64) ([]row, error) {
		in := &plan.Project{Input: series(1, n), Exprs: []expr.Expr{col(0), intConst(buckets)}, Names: []string{"a", "b"}}
		win := &plan.Window{Input: in, OrderBy: []plan.SortKey{{Col: 0}}, Funcs: []plan.WindowFunc{
			{Name: "ntile", Args: []int{1}, Result: sqltypes.Int8},
			{Name: "nth_value", Args: []int{0, 1}, Result: sqltypes.Int8, Frame: frame},
		}}
		return w.run(win)
	}
	rows, err := run(7, 3)
	if err != nil {
		t.Fatal(err)
	}
	var got string
	for _, r := range rows {
		got += fmt.Sprint(r[2], r[3], " ")
	}
	if want := "1 3 1 3 1 3 2 3 2 3 3 3 3 3 "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if rows, err = run(2, 5); err != nil || show(rows[1]) != " 2 5 2 NULL" {
		t.Errorf("more buckets than rows: %v, %v", rows, err)
	}
	if _, err = run(3, 0); sqlerr.CodeOf(err) != sqlerr.InvalidArgumentForNtile {
		t.Errorf("ntile(0): %v", err)
	}
}

func TestWindowErrors(t *testing.T) {
	w := newWorld(t, 2, 10)
	for _, c := range []struct {
		mode byte
		off  expr.Expr
		code sqlerr.Code
	}{
		{'R', intConst(-1), sqlerr.PrecedingOrFollowingInvalid},
		{'G', expr.Null(sqltypes.Int8), sqlerr.NullValueNotAllowed},
		{'A', intConst(-1), sqlerr.PrecedingOrFollowingInvalid},
	} {
		f := plan.Frame{Mode: c.mode, Start: plan.FrameBound{Kind: plan.Preceding, Offset: c.off},
			End: plan.FrameBound{Kind: plan.CurrentRow}}
		n := &plan.Window{Input: w.scan(1), OrderBy: []plan.SortKey{{Col: 0}}, Funcs: []plan.WindowFunc{wfunc("count()", f)}}
		if _, err := w.run(n); sqlerr.CodeOf(err) != c.code {
			t.Errorf("mode %c: %v, want %s", c.mode, err, c.code)
		}
	}
}
