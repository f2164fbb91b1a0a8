package rule

import (
	"slices"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// pruneColumns removes columns that nobody reads, down into the scans.
func pruneColumns(n plan.Node) plan.Node {
	all := newSet(len(n.Columns()))
	for i := range all {
		all[i] = true
	}
	return exactly(n, all)
}

// set says of each column whether it is needed.
type set []bool

func newSet(n int) set { return make(set, n) }

func (s set) add(cols ...int) {
	for _, c := range cols {
		s[c] = true
	}
}

func (s set) addExpr(e expr.Expr) {
	if e != nil {
		expr.Columns(e, func(i int) { s[i] = true })
	}
}

func (s set) list() []int {
	var out []int
	for i, in := range s {
		if in {
			out = append(out, i)
		}
	}
	return out
}

// mapping gives the new index of each old column, −1 for one that is gone.
type mapping []int

func (m mapping) all(cols []int) []int {
	if cols == nil {
		return nil
	}
	out := make([]int, len(cols))
	for i, c := range cols {
		out[i] = m[c]
	}
	return out
}

func (m mapping) keys(keys []plan.SortKey) []plan.SortKey {
	if keys == nil {
		return nil
	}
	out := make([]plan.SortKey, len(keys))
	for i, k := range keys {
		k.Col = m[k.Col]
		out[i] = k
	}
	return out
}

func (m mapping) expr(e expr.Expr) expr.Expr {
	if e == nil {
		return nil
	}
	return expr.MapColumns(e, func(i int) int { return m[i] })
}

func identity(n int) mapping {
	m := make(mapping, n)
	for i := range m {
		m[i] = i
	}
	return m
}

// exactly prunes n to just the needed columns, in their order. Operators that keep or send rows use it for their inputs.
func exactly(n plan.Node, need set) plan.Node {
	out, m := prune(n, slices.Clone(need)) // a filter adds to its set what its condition reads
	if len(need) == 0 {
		return out
	}
	list := m.all(need.list())
	if len(list) == 0 { // one column stays, so that a chunk has a length
		list = []int{0}
	}
	if len(out.Columns()) == len(list) && slices.IsSorted(list) {
		return out
	}
	return pick(out, list)
}

// exactMap is the mapping that goes with exactly.
func exactMap(need set) mapping {
	m := make(mapping, len(need))
	at := 0
	for i, in := range need {
		if m[i] = -1; in {
			m[i] = at
			at++
		}
	}
	return m
}

// prune returns n with at least the needed columns, and where they are now.
func prune(n plan.Node, need set) (plan.Node, mapping) {
	switch x := n.(type) {
	case *plan.TableScan:
		return pruneTableScan(x, need)
	case *plan.SourceScan:
		return pruneSourceScan(x, need)
	case *plan.SystemScan:
		keep, m := keepSome(need, x.Out)
		return &plan.SystemScan{Schema: x.Schema, Name: x.Name, Cols: choose(x.Cols, keep), Out: choose(x.Out, keep)}, m
	case *plan.Values:
		return pruneValues(x, need)
	case *plan.Filter:
		return pruneFilter(x, need)
	case *plan.Project:
		return pruneProject(x, need)
	case *plan.Join:
		return pruneJoin(x, need)
	case *plan.AsofJoin:
		p := newPair(x.Left, x.Right, need)
		p.left.add(append(x.LeftKeys[:len(x.LeftKeys):len(x.LeftKeys)], x.LeftTime)...)
		p.right.add(append(x.RightKeys[:len(x.RightKeys):len(x.RightKeys)], x.RightTime)...)
		p.settle()
		y := *x
		y.Left, y.Right = p.sides(x.Left, x.Right)
		y.LeftKeys, y.RightKeys, y.LeftTime, y.RightTime = p.lm.all(x.LeftKeys), p.rm.all(x.RightKeys), p.lm[x.LeftTime], p.rm[x.RightTime]
		return &y, p.full
	case *plan.TemporalJoin:
		p := newPair(x.Left, x.Right, need)
		p.left.add(x.LeftKeys...)
		p.right.add(x.RightKeys...)
		if x.Cond != nil {
			expr.Columns(x.Cond, p.add)
		}
		p.settle()
		y := *x
		y.Left, y.Right = p.sides(x.Left, x.Right)
		y.LeftKeys, y.RightKeys, y.Cond = p.lm.all(x.LeftKeys), p.rm.all(x.RightKeys), p.full.expr(x.Cond)
		return &y, p.full
	case *plan.Agg:
		return pruneAgg(x, need)
	case *plan.TopN:
		return pruneTopN(x, need)
	case *plan.Sort:
		for _, k := range x.Keys {
			need.add(k.Col)
		}
		in, m := prune(x.Input, need)
		return &plan.Sort{Input: in, Keys: m.keys(x.Keys)}, m
	case *plan.Limit:
		in, m := prune(x.Input, need)
		return x.WithChildren([]plan.Node{in}), m
	case *plan.Union:
		if len(need.list()) == 0 && len(need) > 0 {
			need.add(0)
		}
		u := &plan.Union{}
		for _, in := range x.Inputs {
			u.Inputs = append(u.Inputs, exactly(in, slices.Clone(need)))
		}
		return u, exactMap(need)
	case *plan.Window:
		return pruneWindow(x, need)
	case *plan.TableFunc:
		return pruneTableFunc(x, need)
	case *plan.Hop:
		return pruneHop(x, need)
	case *plan.Expand:
		return pruneExpand(x, need)
	case *plan.Session:
		w := len(x.Input.Columns())
		below := slices.Clone(need[:w])
		below.add(x.TimeCol)
		below.add(x.PartitionBy...)
		y := *x
		y.Input = exactly(x.Input, below)
		m := exactMap(below)
		y.TimeCol, y.PartitionBy = m[x.TimeCol], m.all(x.PartitionBy)
		return &y, appended(m, w, len(y.Input.Columns()), w+2)
	case *plan.Watermark:
		need.add(x.Col)
		need.addExpr(x.Bound)
		in, m := prune(x.Input, need)
		y := *x
		y.Input, y.Col, y.Bound = in, m[x.Col], m.expr(x.Bound)
		return &y, m
	case *plan.MaxOneRow:
		need.add(x.PartitionBy...)
		in, m := prune(x.Input, need)
		return &plan.MaxOneRow{Input: in, PartitionBy: m.all(x.PartitionBy)}, m
	}
	return pruneNone(n)
}

// pruneNone prunes below an operator that needs all columns of its inputs.
func pruneNone(n plan.Node) (plan.Node, mapping) {
	ch := n.Children()
	if len(ch) == 0 {
		return n, identity(len(n.Columns()))
	}
	out := make([]plan.Node, len(ch))
	for i, c := range ch {
		out[i] = pruneColumns(c)
	}
	return n.WithChildren(out), identity(len(n.Columns()))
}

// keepSome lists the columns to keep of a leaf: the needed ones, or else the cheapest single one.
func keepSome(need set, cols []plan.Column) ([]int, mapping) {
	keep := need.list()
	if len(keep) == 0 && len(cols) > 0 {
		best := 0
		for i, c := range cols {
			if c.Type.Phys() != sqltypes.PhysBytes {
				best = i
				break
			}
		}
		keep = []int{best}
	}
	m := make(mapping, len(cols))
	for i := range m {
		m[i] = slices.Index(keep, i)
	}
	return keep, m
}

func choose[T any](from []T, keep []int) []T {
	out := make([]T, len(keep))
	for i, k := range keep {
		out[i] = from[k]
	}
	return out
}

func pruneTableScan(x *plan.TableScan, need set) (plan.Node, mapping) {
	keep, m := keepSome(need, x.Out)
	if len(keep) == len(x.Out) {
		return x, m
	}
	y := *x
	y.Cols, y.Out = choose(x.Cols, keep), choose(x.Out, keep)
	y.Key = nil
	for _, k := range x.Key {
		if k.Col = m[k.Col]; k.Col < 0 {
			break
		}
		y.Key = append(y.Key, k)
	}
	y.UniqueKeys = keepKeys(x.UniqueKeys, m)
	y.Watermarks = slices.DeleteFunc(m.all(x.Watermarks), func(c int) bool { return c < 0 })
	y.Dist = m.all(x.Dist)
	if slices.Contains(y.Dist, -1) {
		y.Dist = nil
	}
	return &y, m
}

// keepKeys renumbers the unique keys of which all columns stay.
func keepKeys(keys [][]int, m mapping) [][]int {
	var out [][]int
	for _, k := range keys {
		if k = m.all(k); !slices.Contains(k, -1) {
			out = append(out, k)
		}
	}
	return out
}

func pruneSourceScan(x *plan.SourceScan, need set) (plan.Node, mapping) {
	if x.Upsert { // commands carry whole rows
		return x, identity(len(x.Out))
	}
	keep, m := keepSome(need, x.Out)
	y := *x
	y.Cols, y.Out, y.UniqueKeys = choose(x.Cols, keep), choose(x.Out, keep), keepKeys(x.UniqueKeys, m)
	y.Variants = nil
	for _, v := range x.Variants {
		if m[v.Col] < 0 {
			continue
		}
		w := catalog.Variant{Col: m[v.Col], Value: v.Value, UniqueKeys: keepKeys(v.UniqueKeys, m)}
		for _, c := range v.NotNull {
			if m[c] >= 0 {
				w.NotNull = append(w.NotNull, m[c])
			}
		}
		y.Variants = append(y.Variants, w)
	}
	return &y, m
}

func pruneValues(x *plan.Values, need set) (plan.Node, mapping) {
	keep, m := keepSome(need, x.Out)
	if len(keep) == len(x.Out) {
		return x, m
	}
	y := &plan.Values{Out: choose(x.Out, keep), Rows: make([][]expr.Expr, len(x.Rows))}
	for i, r := range x.Rows {
		y.Rows[i] = choose(r, keep)
	}
	return y, m
}

func pruneFilter(x *plan.Filter, need set) (plan.Node, mapping) {
	need.addExpr(x.Cond)
	in, m := prune(x.Input, need)
	return &plan.Filter{Input: in, Cond: m.expr(x.Cond)}, m
}

func pruneProject(x *plan.Project, need set) (plan.Node, mapping) {
	cols := x.Columns()
	keep, m := keepSome(need, cols)
	below := newSet(len(x.Input.Columns()))
	for _, k := range keep {
		below.addExpr(x.Exprs[k])
	}
	in, im := prune(x.Input, below)
	p := &plan.Project{Input: in, Names: choose(x.Names, keep), Exprs: make([]expr.Expr, len(keep))}
	for i, k := range keep {
		p.Exprs[i] = im.expr(x.Exprs[k])
	}
	return p, m
}

// pruneJoin trims both inputs: what a join does not output it need not store.
func pruneJoin(x *plan.Join, need set) (plan.Node, mapping) {
	p := newPair(x.Left, x.Right, need)
	p.left.add(x.LeftKeys...)
	p.right.add(x.RightKeys...)
	if x.Cond != nil {
		expr.Columns(x.Cond, p.add)
	}
	p.settle()
	j := *x
	j.Left, j.Right = p.sides(x.Left, x.Right)
	j.LeftKeys, j.RightKeys, j.Cond = p.lm.all(x.LeftKeys), p.rm.all(x.RightKeys), p.full.expr(x.Cond)
	return &j, p.full[:len(need)]
}

// pair is what is needed of the two sides of a join, and, once that is settled, where it goes.
type pair struct {
	left, right  set
	lm, rm, full mapping
}

func newPair(left, right plan.Node, need set) *pair {
	p := &pair{left: newSet(len(left.Columns())), right: newSet(len(right.Columns()))}
	for i, in := range need {
		if in {
			p.add(i)
		}
	}
	return p
}

// add needs a column of left then right.
func (p *pair) add(i int) {
	if lw := len(p.left); i < lw {
		p.left[i] = true
	} else {
		p.right[i-lw] = true
	}
}

// settle keeps a column of each side at least and makes the mappings.
func (p *pair) settle() {
	for _, s := range []set{p.left, p.right} {
		if len(s.list()) == 0 && len(s) > 0 {
			s.add(0)
		}
	}
	p.lm, p.rm = exactMap(p.left), exactMap(p.right)
	shift := len(p.left.list())
	p.full = append(mapping(nil), p.lm...)
	for _, r := range p.rm {
		if r >= 0 {
			r += shift
		}
		p.full = append(p.full, r)
	}
}

func (p *pair) sides(left, right plan.Node) (plan.Node, plan.Node) {
	return exactly(left, p.left), exactly(right, p.right)
}

func pruneAgg(x *plan.Agg, need set) (plan.Node, mapping) {
	g := len(x.GroupBy)
	below := newSet(len(x.Input.Columns()))
	below.add(x.GroupBy...)
	m := identity(g)
	var kept []plan.AggCall
	for i, a := range x.Aggs {
		if !need[g+i] && !(g == 0 && i == len(x.Aggs)-1 && len(kept) == 0) {
			m = append(m, -1)
			continue
		}
		m = append(m, g+len(kept))
		kept = append(kept, a)
		below.add(a.Args...)
		for _, k := range a.OrderBy {
			below.add(k.Col)
		}
		if a.Filter >= 0 {
			below.add(a.Filter)
		}
	}
	in := exactly(x.Input, below)
	im := exactMap(below)
	y := *x
	y.Input, y.GroupBy = in, im.all(x.GroupBy)
	y.Aggs = make([]plan.AggCall, len(kept))
	for i, a := range kept {
		a.Args, a.OrderBy = im.all(a.Args), im.keys(a.OrderBy)
		if a.Filter >= 0 {
			a.Filter = im[a.Filter]
		}
		y.Aggs[i] = a
	}
	return &y, m
}

func pruneTopN(x *plan.TopN, need set) (plan.Node, mapping) {
	w := len(x.Input.Columns())
	below := slices.Clone(need[:w])
	below.add(x.PartitionBy...)
	for _, k := range x.OrderBy {
		below.add(k.Col)
	}
	y := *x
	y.RowNumber = x.RowNumber && need[w]
	if len(below.list()) == 0 {
		below.add(0)
	}
	y.Input = exactly(x.Input, below)
	m := exactMap(below)
	y.PartitionBy, y.OrderBy = m.all(x.PartitionBy), m.keys(x.OrderBy)
	if x.RowNumber {
		m = append(m, -1)
		if y.RowNumber {
			m[w] = len(y.Input.Columns())
		}
	}
	return &y, m
}

func pruneWindow(x *plan.Window, need set) (plan.Node, mapping) {
	w := len(x.Input.Columns())
	below := slices.Clone(need[:w])
	var kept []plan.WindowFunc
	var at []int
	for i, f := range x.Funcs {
		if !need[w+i] {
			at = append(at, -1)
			continue
		}
		at = append(at, len(kept))
		kept = append(kept, f)
		below.add(f.Args...)
		if f.Filter >= 0 {
			below.add(f.Filter)
		}
	}
	if len(kept) == 0 { // nobody reads its functions
		in, m := prune(x.Input, below)
		for range x.Funcs {
			m = append(m, -1)
		}
		return in, m
	}
	below.add(x.PartitionBy...)
	for _, k := range x.OrderBy {
		below.add(k.Col)
	}
	if len(below.list()) == 0 {
		below.add(0)
	}
	y := *x
	y.Input = exactly(x.Input, below)
	m := exactMap(below)
	y.PartitionBy, y.OrderBy = m.all(x.PartitionBy), m.keys(x.OrderBy)
	y.Funcs = make([]plan.WindowFunc, len(kept))
	for i, f := range kept {
		f.Args = m.all(f.Args)
		if f.Filter >= 0 {
			f.Filter = m[f.Filter]
		}
		y.Funcs[i] = f
	}
	width := len(y.Input.Columns())
	for _, a := range at {
		if a >= 0 {
			a += width
		}
		m = append(m, a)
	}
	return &y, m
}

func pruneTableFunc(x *plan.TableFunc, need set) (plan.Node, mapping) {
	if x.Input == nil {
		return x, identity(len(x.Columns()))
	}
	w := len(x.Input.Columns())
	below := slices.Clone(need[:w])
	for _, a := range x.Args {
		below.addExpr(a)
	}
	in, m := prune(x.Input, below)
	y := *x
	y.Input = in
	y.Args = make([]expr.Expr, len(x.Args))
	for i, a := range x.Args {
		y.Args[i] = m.expr(a)
	}
	return &y, appended(m, w, len(in.Columns()), len(x.Columns()))
}

// appended extends a mapping of an input's columns by those that the operator puts behind them.
func appended(m mapping, oldWidth, newWidth, total int) mapping {
	out := slices.Clone(m[:oldWidth])
	for i := oldWidth; i < total; i++ {
		out = append(out, newWidth+i-oldWidth)
	}
	return out
}

func pruneHop(x *plan.Hop, need set) (plan.Node, mapping) {
	w := len(x.Input.Columns())
	below := slices.Clone(need[:w])
	below.add(x.TimeCol)
	in, m := prune(x.Input, below)
	y := *x
	y.Input, y.TimeCol = in, m[x.TimeCol]
	return &y, appended(m, w, len(in.Columns()), w+2)
}

func pruneExpand(x *plan.Expand, need set) (plan.Node, mapping) {
	w := len(x.Input.Columns())
	below := slices.Clone(need[:w])
	below.add(x.Keys...)
	in, m := prune(x.Input, below)
	y := *x
	y.Input, y.Keys = in, m.all(x.Keys)
	return &y, appended(m, w, len(in.Columns()), len(need))
}
