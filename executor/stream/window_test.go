package stream

import (
	"fmt"
	"math/rand"
	"slices"
	"testing"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

func shown(e expr.Expr) any {
	if e == nil {
		return nil
	}
	return e.(*expr.Const).Val
}

// window makes a random window over in; lag, lead and nth_value take their numbers from a projection below.
func (p *planner) window(in plan.Node) plan.Node {
	width := len(in.Columns())
	below := &plan.Project{Input: in}
	for i, c := range in.Columns() {
		below.Exprs, below.Names = append(below.Exprs, column(in, i)), append(below.Names, c.Name)
	}
	below.Exprs, below.Names = append(below.Exprs, intConst(int64(p.r.Intn(4)))), append(below.Names, "k")
	in = below
	n := &plan.Window{Input: in}
	if p.r.Intn(3) > 0 {
		n.PartitionBy = p.some(in, 1, isBool)
	}
	for _, c := range p.some(in, p.r.Intn(3), nil) {
		n.OrderBy = append(n.OrderBy, plan.SortKey{Col: c, Desc: p.r.Intn(2) == 0, NullsFirst: p.r.Intn(2) == 0})
	}
	if c := p.some(in, 1, ranged); len(c) > 0 && p.r.Intn(3) == 0 {
		n.OrderBy = []plan.SortKey{{Col: c[0], Desc: p.r.Intn(2) == 0, NullsFirst: p.r.Intn(2) == 0}}
	}
	for i := range 1 + p.r.Intn(3) {
		f := p.windowFunc(n, width)
		f.ColName = fmt.Sprint("w", i)
		n.Funcs = append(n.Funcs, f)
	}
	return n
}

func ranged(t sqltypes.Type) bool {
	return t.Kind == sqltypes.KInt8 || t.Kind == sqltypes.KTimestamp || t.Kind == sqltypes.KDate
}

func (p *planner) windowFunc(n *plan.Window, number int) plan.WindowFunc {
	in := n.Input
	names := []string{"row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead", "first_value", "last_value", "nth_value"}
	f := plan.WindowFunc{Filter: -1, Result: sqltypes.Int8, Frame: p.frame(n)}
	arg := p.some(in, 1, nil)[0]
	switch k := p.r.Intn(2 * len(names)); {
	case k < 3:
		f.Name = names[k]
	case k < 5:
		f.Name, f.Result = names[k], sqltypes.Float8
	case k == 5:
		f.Name, f.Args = names[k], []int{number}
		if ints := p.some(in, 1, isInt); p.r.Intn(3) == 0 {
			f.Args = ints
		}
	case k < len(names):
		f.Name, f.Args, f.Result = names[k], []int{arg}, in.Columns()[arg].Type
		f.IgnoreNulls = p.r.Intn(6) == 0
		if f.Name == "nth_value" || k < 8 && p.r.Intn(2) == 0 {
			f.Args = append(f.Args, number)
			if ints := p.some(in, 1, isInt); p.r.Intn(4) == 0 {
				f.Args[1] = ints[0]
			}
			if k < 8 && p.r.Intn(2) == 0 {
				f.Args = append(f.Args, arg)
			}
		}
	default:
		a := p.aggCall(in)
		for a.Distinct || len(a.OrderBy) > 0 && p.r.Intn(2) == 0 {
			a = p.aggCall(in)
		}
		f.Sig, f.Args, f.Result, f.Filter = a.Sig, a.Args, a.Result, a.Filter
		f.Name = "agg"
	}
	return f
}

// frame makes a random frame that the order allows.
func (p *planner) frame(n *plan.Window) plan.Frame {
	modes := []byte{'R', 'R'}
	var offset func() expr.Expr
	offset = func() expr.Expr { return intConst(int64(p.r.Intn(5))) }
	if len(n.OrderBy) > 0 {
		modes = append(modes, 'G')
	}
	rangeToo := false
	if len(n.OrderBy) == 1 {
		rangeToo = ranged(n.Input.Columns()[n.OrderBy[0].Col].Type)
	}
	f := plan.Frame{Mode: append(modes, 'A')[p.r.Intn(len(modes)+1)]}
	if p.r.Intn(4) == 0 {
		f.Exclude = "CGT"[p.r.Intn(3)]
	}
	if f.Mode == 'A' && rangeToo {
		switch n.Input.Columns()[n.OrderBy[0].Col].Type.Kind {
		case sqltypes.KTimestamp:
			offset = func() expr.Expr {
				return &expr.Const{Ty: sqltypes.IntervalT, Val: datetime.Interval{Micros: int64(p.r.Intn(5))}}
			}
		case sqltypes.KDate:
			offset = func() expr.Expr {
				return &expr.Const{Ty: sqltypes.IntervalT, Val: datetime.Interval{Micros: int64(p.r.Intn(5)) * 12 * 3600e6}}
			}
		}
	}
	for {
		f.Start, f.End = plan.FrameBound{Kind: plan.BoundKind(p.r.Intn(4))}, plan.FrameBound{Kind: plan.BoundKind(1 + p.r.Intn(4))}
		ok := f.Start.Kind <= f.End.Kind
		for _, b := range []*plan.FrameBound{&f.Start, &f.End} {
			if b.Kind == plan.Preceding || b.Kind == plan.Following {
				b.Offset = offset()
				ok = ok && (f.Mode != 'A' || rangeToo)
			}
		}
		if ok {
			return f
		}
	}
}

// windowRows computes windows by the definition: for each row it looks at every row of the partition.
func windowRows(n *plan.Window, in rows) rows {
	types := plan.Types(n.Input)
	var out rows
	for _, part := range partition(in, types, n.PartitionBy) {
		sortRows(part, types, n.OrderBy)
		p := &naiveWindow{n: n, rows: part, types: types}
		g := int64(-1)
		for i, r := range part {
			c := chunkOf(types, rows{r}, nil)
			p.keys = append(p.keys, equalityKeyOf(c, n.OrderBy))
			if i == 0 || p.keys[i] != p.keys[i-1] {
				g++
			}
			p.group = append(p.group, g)
		}
		for i, r := range part {
			o := slices.Clone(r)
			for k := range n.Funcs {
				o = append(o, p.value(&n.Funcs[k], i))
			}
			out = append(out, o)
		}
	}
	return out
}

func equalityKeyOf(c *delta.Chunk, order []plan.SortKey) string {
	var cols []int
	for _, k := range order {
		cols = append(cols, k.Col)
	}
	return keyString(rowDatums(c, 0), c.Types(), cols)
}

type naiveWindow struct {
	n     *plan.Window
	rows  rows
	types []sqltypes.Type
	keys  []string
	group []int64
}

// value is a function's for row i.
func (p *naiveWindow) value(f *plan.WindowFunc, i int) sqltypes.Datum {
	size := int64(len(p.rows))
	first := int64(slices.Index(p.group, p.group[i]))
	last := int64(len(p.rows) - 1)
	for p.group[last] != p.group[i] {
		last--
	}
	switch f.Name {
	case "row_number":
		return int64(i + 1)
	case "rank":
		return first + 1
	case "dense_rank":
		return p.group[i] + 1
	case "percent_rank":
		if size == 1 {
			return 0.0
		}
		return float64(first) / float64(size-1)
	case "cume_dist":
		return float64(last+1) / float64(size)
	case "ntile":
		buckets, ok := p.rows[0][f.Args[0]].(int64)
		if !ok || buckets <= 0 {
			return nil
		}
		for b, at := int64(0), int64(0); ; b++ {
			if at += size/buckets + map[bool]int64{true: 1}[b < size%buckets]; int64(i) < at {
				return b + 1
			}
		}
	case "lag", "lead":
		return p.shift(f, i)
	}
	var in []int
	for j := range p.rows {
		if p.within(f.Frame, i, j) {
			in = append(in, j)
		}
	}
	if f.Name == "agg" {
		a := plan.AggCall{Sig: f.Sig, Args: f.Args, Result: f.Result, Filter: f.Filter}
		fn, _ := expr.AggBySig(f.Sig)
		var g rows
		for _, j := range in {
			r := p.rows[j]
			if a.Filter >= 0 && r[a.Filter] != true || fn.IgnoresNulls && len(a.Args) > 0 && r[a.Args[0]] == nil {
				continue
			}
			g = append(g, r)
		}
		return aggOver(&a, fn, g, p.types)
	}
	if f.IgnoreNulls {
		in = slices.DeleteFunc(in, func(j int) bool { return p.rows[j][f.Args[0]] == nil })
	}
	at := 1
	switch f.Name {
	case "last_value":
		at = len(in)
	case "nth_value":
		k, ok := p.rows[i][f.Args[1]].(int64)
		if !ok {
			return nil
		}
		at = int(k)
	}
	if at < 1 || at > len(in) {
		return nil
	}
	return p.rows[in[at-1]][f.Args[0]]
}

func (p *naiveWindow) shift(f *plan.WindowFunc, i int) sqltypes.Datum {
	by := int64(1)
	if len(f.Args) > 1 {
		k, ok := p.rows[i][f.Args[1]].(int64)
		if !ok {
			return nil
		}
		by = k
	}
	if f.Name == "lag" {
		by = -by
	}
	step := 1
	if by < 0 {
		step = -1
	}
	j := i
	for left := by * int64(step); left > 0; {
		if j += step; j < 0 || j >= len(p.rows) {
			break
		}
		if !f.IgnoreNulls || p.rows[j][f.Args[0]] != nil {
			left--
		}
	}
	switch {
	case j >= 0 && j < len(p.rows):
		return p.rows[j][f.Args[0]]
	case len(f.Args) > 2:
		return p.rows[i][f.Args[2]]
	}
	return nil
}

// within says that row j is in the frame of row i.
func (p *naiveWindow) within(f plan.Frame, i, j int) bool {
	switch {
	case f.Exclude == 'C' && i == j, f.Exclude == 'G' && p.group[i] == p.group[j],
		f.Exclude == 'T' && p.group[i] == p.group[j] && i != j:
		return false
	}
	return p.bounded(f, f.Start, i, j, 1) && p.bounded(f, f.End, i, j, -1)
}

// bounded says that row j is not outside one end of row i's frame; sign is 1 for the start.
func (p *naiveWindow) bounded(f plan.Frame, b plan.FrameBound, i, j int, sign int64) bool {
	if b.Kind == plan.UnboundedFollowing || b.Kind == plan.UnboundedPreceding {
		return true
	}
	off := int64(0)
	if b.Offset != nil {
		switch x := b.Offset.(*expr.Const).Val.(type) {
		case int64:
			off = x
		case datetime.Interval:
			off = x.Micros
		}
	}
	if b.Kind == plan.Preceding {
		off = -off
	}
	var x, y int64
	switch {
	case f.Mode == 'R':
		x, y = int64(i), int64(j)
	case f.Mode == 'G' || b.Kind == plan.CurrentRow:
		x, y = p.group[i], p.group[j]
	default:
		o := p.n.OrderBy[0]
		a, aok := p.rows[i][o.Col].(int64)
		c, cok := p.rows[j][o.Col].(int64)
		if !aok || !cok {
			if aok == cok {
				return true
			}
			if !aok { // the frame of a NULL ends at its peers
				return o.NullsFirst == (sign > 0)
			}
			return o.NullsFirst != (sign > 0)
		}
		if p.types[o.Col].Kind == sqltypes.KDate {
			a, c = a*24*3600e6, c*24*3600e6
		}
		if o.Desc {
			a, c = -a, -c
		}
		x, y = a, c
	}
	return sign*(y-(x+off)) >= 0
}

// TestWindowEqualsRecompute runs windows over partitions that are large enough for the map to have several leaves, with few
// changes at a time.
func TestWindowEqualsRecompute(t *testing.T) {
	defer func(s, n int64) { smallPartition, nearRows = s, n }(smallPartition, nearRows)
	smallPartition, nearRows = 0, 2
	types := []sqltypes.Type{sqltypes.Int8, sqltypes.Timestamp, sqltypes.Numeric, sqltypes.Bool, sqltypes.Text, sqltypes.Date, sqltypes.Float8}
	seeds := int64(80)
	if testing.Short() {
		seeds = 30
	}
	for seed := int64(1); seed <= seeds; seed++ {
		r := rand.New(rand.NewSource(seed))
		scan := &plan.TableScan{Table: 1, Name: "t"}
		for i, ty := range types {
			scan.Cols, scan.Out = append(scan.Cols, i), append(scan.Out, plan.Column{Name: fmt.Sprint("c", i), Type: ty})
		}
		n := (&planner{r}).window(scan)
		what := fmt.Sprintf("seed %d: %s", seed, describe(n))
		s, err := newSim(n)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		table, view := zset{}, zset{}
		spread := 3 + r.Intn(200)
		size := 20 + r.Intn(130)
		for e := range 8 {
			b := delta.NewBuilder(types)
			change := func(vals []sqltypes.Datum, w int64) {
				b.AppendDatums(vals, w)
				table.add(vals, w)
			}
			k := 1 + r.Intn(4)
			if e == 0 {
				k = size
			}
			for range k {
				have := table.rows()
				if e > 0 && len(have) > 0 && r.Intn(2) == 0 {
					old := have[r.Intn(len(have))]
					change(old, -1)
					if r.Intn(2) == 0 {
						next := slices.Clone(old)
						c := r.Intn(len(types))
						next[c] = windowValue(r, types[c], spread)
						change(next, 1)
					}
					continue
				}
				vals := make([]sqltypes.Datum, len(types))
				for c := range vals {
					vals[c] = windowValue(r, types[c], spread)
				}
				change(vals, 1+int64(r.Intn(12)/11)*int64(r.Intn(4)))
			}
			if err := s.push(0, b.Take()); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			out, err := s.barrier(true)
			if err != nil {
				t.Fatalf("%s: epoch %d: %v", what, e, err)
			}
			for _, c := range out {
				chunkRows(c, view.add)
			}
			want := zset{}
			for _, o := range windowRows(n.(*plan.Window), recompute(n.(*plan.Window).Input, []zset{table})) {
				want.add(o, 1)
			}
			check(t, fmt.Sprintf("%s\nepoch %d", what, e), view, want, plan.Types(n))
			if r.Intn(3) == 0 {
				if err := s.start(); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
			}
		}
	}
}

func windowValue(r *rand.Rand, t sqltypes.Type, spread int) sqltypes.Datum {
	if r.Intn(9) == 0 {
		return nil
	}
	switch t.Kind {
	case sqltypes.KBool:
		return r.Intn(4) == 0
	case sqltypes.KText:
		return string(rune('a' + r.Intn(20)))
	case sqltypes.KNumeric:
		return mustDec([]string{"1.0", "1.00", "2.5", "-3", "7.125"}[r.Intn(5)])
	case sqltypes.KFloat8:
		return []float64{0, 1.5, 1e20, -1e20, 3}[r.Intn(5)]
	}
	return int64(r.Intn(spread))
}

// TestStrayingFrames: frames that a RANGE offset moves away from their row, where a change concerns rows far from it and not those beside it.
func TestStrayingFrames(t *testing.T) {
	bounds := func(kind plan.BoundKind, by int64) plan.FrameBound {
		return plan.FrameBound{Kind: kind, Offset: &expr.Const{Ty: sqltypes.IntervalT, Val: datetime.Interval{Micros: by}}}
	}
	r := rand.New(rand.NewSource(3))
	defer func(s, n int64) { smallPartition, nearRows = s, n }(smallPartition, nearRows)
	for _, f := range []plan.Frame{
		{Mode: 'A', Start: bounds(plan.Following, 3), End: bounds(plan.Following, 3)},
		{Mode: 'A', Start: bounds(plan.Following, 2), End: plan.FrameBound{Kind: plan.UnboundedFollowing}},
		{Mode: 'A', Start: plan.FrameBound{Kind: plan.UnboundedPreceding}, End: bounds(plan.Preceding, 3)},
		{Mode: 'A', Start: bounds(plan.Preceding, 4), End: bounds(plan.Preceding, 2)},
	} {
		for seed := range 40 {
			smallPartition, nearRows = []int64{0, 4}[r.Intn(2)], []int64{1, 128}[r.Intn(2)]
			in := scanOf(plainTable)
			n := &plan.Window{Input: in, OrderBy: []plan.SortKey{{Col: 4, Desc: seed%2 == 0}}}
			for _, name := range []string{"first_value", "last_value", "agg"}[seed%3:][:1] {
				w := plan.WindowFunc{Name: name, Args: []int{3}, Result: sqltypes.Bool, Filter: -1, Frame: f, ColName: "w"}
				if name == "agg" {
					w.Sig, w.Args, w.Result = "sum(bigint)", []int{0}, sqltypes.Numeric
				}
				n.Funcs = append(n.Funcs, w)
			}
			runProperty(t, fmt.Sprintf("seed %d: %s", seed, describe(n)), n, r, 12)
		}
	}
}
