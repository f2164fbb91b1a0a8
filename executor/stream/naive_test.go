package stream

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/row"
)

func tableID(i int) catalog.ID { return catalog.ID(i + 1) }

type rows = [][]sqltypes.Datum

// recompute evaluates a plan from scratch, a row at a time.
func recompute(n plan.Node, tables []zset) rows {
	switch x := n.(type) {
	case *plan.TableScan:
		return tables[x.Table-1].rows()
	case *plan.Values:
		var out rows
		for _, r := range x.Rows {
			out = append(out, evalAll(r, nil, nil))
		}
		return out
	case *plan.Filter:
		return filterRows(recompute(x.Input, tables), plan.Types(x.Input), x.Cond)
	case *plan.Project:
		var out rows
		for _, r := range recompute(x.Input, tables) {
			out = append(out, evalAll(x.Exprs, r, plan.Types(x.Input)))
		}
		return out
	case *plan.Union:
		var out rows
		for _, c := range x.Inputs {
			out = append(out, recompute(c, tables)...)
		}
		return out
	case *plan.Join:
		return joinRows(x, recompute(x.Left, tables), recompute(x.Right, tables))
	case *plan.DynamicFilter:
		return joinRows(&plan.Join{Kind: plan.Semi, Left: x.Input, Right: x.Bound, Cond: x.Cond}, recompute(x.Input, tables), recompute(x.Bound, tables))
	case *plan.AsofJoin:
		return asofRows(x, recompute(x.Left, tables), recompute(x.Right, tables))
	case *plan.Agg:
		x = wholeAgg(x)
		if x.Merges {
			u := &plan.Union{}
			for _, c := range x.Input.Children() {
				u.Inputs = append(u.Inputs, c.(*plan.PreAgg).Input)
			}
			whole := *x
			whole.Input = u
			x = &whole
		}
		return aggRows(x, recompute(x.Input, tables))
	case *plan.TopN:
		return topRows(x, recompute(x.Input, tables))
	case *plan.Window:
		return windowRows(x, recompute(x.Input, tables))
	case *plan.SetOp:
		return setRows(x, recompute(x.Left, tables), recompute(x.Right, tables))
	case *plan.GapFill:
		return gapRows(x, recompute(x.Input, tables))
	case *plan.Session:
		return sessionRows(x, recompute(x.Input, tables))
	case *plan.MaxOneRow:
		return oneRows(x, recompute(x.Input, tables))
	case *plan.Hop:
		var out rows
		for _, r := range recompute(x.Input, tables) {
			if r[x.TimeCol] == nil {
				continue
			}
			t := r[x.TimeCol].(int64)
			for s := int64(-200); s <= t; s++ {
				if x.Cumulate {
					if floorMod(s-x.OffsetMicros, x.SizeMicros) == 0 {
						for end := s + x.SlideMicros; end <= s+x.SizeMicros; end += x.SlideMicros {
							if t < end {
								out = append(out, append(slices.Clone(r), s, end))
							}
						}
					}
					continue
				}
				if floorMod(s-x.OffsetMicros, x.SlideMicros) == 0 && t < s+x.SizeMicros {
					out = append(out, append(slices.Clone(r), s, s+x.SizeMicros))
				}
			}
		}
		return out
	case *plan.Expand:
		var out rows
		for _, r := range recompute(x.Input, tables) {
			for s, has := range x.Sets {
				o := slices.Clone(r)
				for k, c := range x.Keys {
					if has[k] {
						o = append(o, r[c])
					} else {
						o = append(o, nil)
					}
				}
				out = append(out, append(o, int64(s)))
			}
		}
		return out
	case *plan.TableFunc: // generate_series(1, argument)
		var out rows
		for _, r := range recompute(x.Input, tables) {
			args := evalAll(x.Args, r, plan.Types(x.Input))
			if x.Parts != nil {
				out = append(out, sideBySide(r, args)...)
				continue
			}
			n, _ := args[1].(int64)
			for i := int64(1); i <= n; i++ {
				o := append(slices.Clone(r), i)
				if x.WithOrdinality {
					o = append(o, i)
				}
				out = append(out, o)
			}
			if n < 1 && x.Outer {
				out = append(out, append(slices.Clone(r), make([]sqltypes.Datum, len(x.Columns())-len(r))...))
			}
		}
		return out
	}
	panic(fmt.Sprintf("recompute %T", n))
}

// sideBySide is generate_series(1, b), generate_series(1, d) for the arguments 1, b, 1, d.
func sideBySide(r, args []sqltypes.Datum) rows {
	var out rows
	b, _ := args[1].(int64)
	d, _ := args[3].(int64)
	upTo := func(i, n int64) sqltypes.Datum {
		if i > n {
			return nil
		}
		return i
	}
	for i := int64(1); i <= max(b, d); i++ {
		out = append(out, append(slices.Clone(r), upTo(i, b), upTo(i, d)))
	}
	return out
}

func evalAll(es []expr.Expr, r []sqltypes.Datum, types []sqltypes.Type) []sqltypes.Datum {
	c := &delta.Chunk{Rows: 1}
	if types != nil {
		c = chunkOf(types, rows{r}, nil)
	}
	out := make([]sqltypes.Datum, len(es))
	for i, e := range es {
		p, err := expr.Compile(e)
		if err != nil {
			panic(err)
		}
		out[i] = p.Eval(&expr.Ctx{}, c).Datum(0)
		if b, ok := out[i].([]byte); ok {
			out[i] = string(b)
		}
	}
	return out
}

func filterRows(in rows, types []sqltypes.Type, cond expr.Expr) rows {
	var out rows
	for _, r := range in {
		if cond == nil || evalAll([]expr.Expr{cond}, r, types)[0] == true {
			out = append(out, r)
		}
	}
	return out
}

func pickCols(r []sqltypes.Datum, types []sqltypes.Type, cols []int) ([]sqltypes.Datum, []sqltypes.Type) {
	var vals []sqltypes.Datum
	var ts []sqltypes.Type
	for _, c := range cols {
		vals, ts = append(vals, r[c]), append(ts, types[c])
	}
	return vals, ts
}

func keyString(r []sqltypes.Datum, types []sqltypes.Type, cols []int) string {
	return equalityKey(pickCols(r, types, cols))
}

func joinRows(n *plan.Join, left, right rows) rows {
	lt, rt := plan.Types(n.Left), plan.Types(n.Right)
	types := append(slices.Clone(lt), rt...)
	matches := func(l, r []sqltypes.Datum) bool {
		for i := range n.LeftKeys {
			a, b := l[n.LeftKeys[i]], r[n.RightKeys[i]]
			safe := n.NullSafe != nil && n.NullSafe[i]
			if a == nil || b == nil {
				if safe && a == nil && b == nil || n.Kind == plan.NullAnti && !safe {
					continue
				}
				return false
			}
			if keyString(l, lt, n.LeftKeys[i:i+1]) != keyString(r, rt, n.RightKeys[i:i+1]) {
				return false
			}
		}
		return len(filterRows(rows{append(slices.Clone(l), r...)}, types, n.Cond)) == 1
	}
	var out rows
	met := make([]bool, len(right))
	for _, l := range left {
		hit := false
		for i, r := range right {
			if matches(l, r) {
				hit, met[i] = true, true
				if n.Kind <= plan.Full {
					out = append(out, append(slices.Clone(l), r...))
				}
			}
		}
		switch {
		case n.Kind == plan.Semi && hit, n.Kind > plan.Semi && !hit:
			out = append(out, l)
		case (n.Kind == plan.Left || n.Kind == plan.Full) && !hit:
			out = append(out, append(slices.Clone(l), make([]sqltypes.Datum, len(rt))...))
		}
	}
	for i, r := range right {
		if (n.Kind == plan.Right || n.Kind == plan.Full) && !met[i] {
			out = append(out, append(make([]sqltypes.Datum, len(lt)), r...))
		}
	}
	return out
}

// asofRows finds each left row's partner by looking at all right rows.
func asofRows(n *plan.AsofJoin, left, right rows) rows {
	lt, rt := plan.Types(n.Left), plan.Types(n.Right)
	sortRows(right, rt, []plan.SortKey{{Col: n.RightTime, Desc: n.Later}})
	at := func(r []sqltypes.Datum, types []sqltypes.Type, col int) string {
		c := chunkOf(types, rows{r}, nil)
		return string(row.AppendKey(nil, c.Cols, []row.KeyCol{{Col: col, Desc: n.Later}}, 0))
	}
	hasNull := func(r []sqltypes.Datum, cols []int, time int) bool {
		return slices.ContainsFunc(append(slices.Clone(cols), time), func(c int) bool { return r[c] == nil })
	}
	var out rows
	for _, l := range left {
		var best []sqltypes.Datum
		for _, r := range right {
			if hasNull(l, n.LeftKeys, n.LeftTime) || hasNull(r, n.RightKeys, n.RightTime) ||
				keyString(l, lt, n.LeftKeys) != keyString(r, rt, n.RightKeys) {
				continue
			}
			a, b := at(l, lt, n.LeftTime), at(r, rt, n.RightTime)
			if b > a || n.Strict && b == a || best != nil && at(best, rt, n.RightTime) == b {
				continue
			}
			best = r
		}
		switch {
		case best != nil:
			out = append(out, append(slices.Clone(l), best...))
		case n.Outer:
			out = append(out, append(slices.Clone(l), make([]sqltypes.Datum, len(rt))...))
		}
	}
	return out
}

// sortBy orders rows by keys.
func sortBy(in rows, types []sqltypes.Type, keys []plan.SortKey) {
	at := func(r []sqltypes.Datum) string {
		return string(row.AppendKey(nil, chunkOf(types, rows{r}, nil).Cols, sortKeys(keys), 0))
	}
	sort.SliceStable(in, func(i, j int) bool { return at(in[i]) < at(in[j]) })
}

// sortRows orders rows by keys, then by exact image.
func sortRows(in rows, types []sqltypes.Type, keys []plan.SortKey) {
	at := func(r []sqltypes.Datum) string {
		c := chunkOf(types, rows{r}, nil)
		return string(row.AppendImage(row.AppendKey(nil, c.Cols, sortKeys(keys), 0), c.Cols, nil, 0))
	}
	sort.SliceStable(in, func(i, j int) bool { return at(in[i]) < at(in[j]) })
}

// partition splits rows by columns.
func partition(in rows, types []sqltypes.Type, cols []int) []rows {
	at := map[string]int{}
	var out []rows
	for _, r := range in {
		k := keyString(r, types, cols)
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], r)
	}
	return out
}

// oneRows leaves NULLs, but for the partition's columns, of partitions with several rows.
// gapRows fills gaps: text with the last value, numbers on a line.
func gapRows(n *plan.GapFill, in rows) rows {
	out := slices.Clone(in)
	types := plan.Types(n.Input)
	for _, part := range partition(in, types, n.PartitionBy) {
		part = slices.DeleteFunc(part, func(r []sqltypes.Datum) bool { return r[n.TimeCol] == nil })
		sortRows(part, types, n.Order())
		for i := 1; i < len(part); i++ {
			a, b := part[i-1], part[i]
			from, to := a[n.TimeCol].(int64), b[n.TimeCol].(int64)
			for t := from + n.StepMicros; t < to; t += n.StepMicros {
				r := make([]sqltypes.Datum, len(a))
				for c, how := range n.Fill {
					switch {
					case c == n.TimeCol:
						r[c] = t
					case how == plan.FillLast:
						r[c] = a[c]
					case how == plan.FillLine && a[c] != nil && b[c] != nil:
						x, y := a[c].(int64), b[c].(int64)
						r[c] = x + int64(math.Round(float64((y-x)*(t-from))/float64(to-from)))
					}
				}
				out = append(out, r)
			}
		}
	}
	return out
}

// sessionRows gives each row the bounds of its session.
func sessionRows(n *plan.Session, in rows) rows {
	var out rows
	types := plan.Types(n.Input)
	for _, part := range partition(in, types, n.PartitionBy) {
		part = slices.DeleteFunc(part, func(r []sqltypes.Datum) bool { return r[n.TimeCol] == nil })
		sortRows(part, types, []plan.SortKey{{Col: n.TimeCol}})
		for from := 0; from < len(part); {
			to := from + 1
			for to < len(part) && part[to][n.TimeCol].(int64)-part[to-1][n.TimeCol].(int64) < n.GapMicros {
				to++
			}
			for _, r := range part[from:to] {
				out = append(out, append(slices.Clone(r), part[from][n.TimeCol], part[to-1][n.TimeCol].(int64)+n.GapMicros))
			}
			from = to
		}
	}
	return out
}

func oneRows(n *plan.MaxOneRow, in rows) rows {
	parts := partition(in, plan.Types(n), n.PartitionBy)
	if len(parts) == 0 && len(n.PartitionBy) == 0 {
		parts = []rows{nil}
	}
	var out rows
	for _, p := range parts {
		if len(p) == 1 {
			out = append(out, p[0])
			continue
		}
		o := make([]sqltypes.Datum, len(n.Columns()))
		for _, c := range n.PartitionBy {
			o[c] = p[0][c]
		}
		out = append(out, o)
	}
	return out
}

// severalRows counts the partitions with more than one row.
func severalRows(n *plan.MaxOneRow, in rows) (count int64) {
	for _, p := range partition(in, plan.Types(n), n.PartitionBy) {
		if len(p) > 1 {
			count++
		}
	}
	return count
}

// wholeAgg undoes the splitting of an aggregation.
func wholeAgg(n *plan.Agg) *plan.Agg {
	if n.Phase != plan.AggFinal {
		return n
	}
	whole, u := *n, &plan.Union{}
	for _, c := range n.Input.Children() {
		partial := c.(*plan.Agg)
		whole.Aggs, u.Inputs = slices.Clone(partial.Aggs), append(u.Inputs, partial.Input)
	}
	for i := range whole.Aggs {
		whole.Aggs[i].Result = n.Aggs[i].Result
	}
	whole.Input, whole.Phase = u, plan.AggWhole
	return &whole
}

func aggRows(n *plan.Agg, in rows) rows {
	types := plan.Types(n.Input)
	groups := partition(in, types, n.GroupBy)
	if len(groups) == 0 && n.Scalar {
		groups = []rows{nil}
	}
	var out rows
	for _, g := range groups {
		var o []sqltypes.Datum
		for _, c := range n.GroupBy {
			o = append(o, g[0][c])
		}
		for i := range n.Aggs {
			o = append(o, aggValue(&n.Aggs[i], g, types))
		}
		out = append(out, o)
	}
	return out
}

func aggValue(a *plan.AggCall, g rows, types []sqltypes.Type) sqltypes.Datum {
	fn, ok := expr.AggBySig(a.Sig)
	if !ok {
		panic(a.Sig)
	}
	var in rows
	for _, r := range g {
		if a.Filter >= 0 && r[a.Filter] != true || fn.IgnoresNulls && len(a.Args) > 0 && r[a.Args[0]] == nil {
			continue
		}
		in = append(in, r)
	}
	order := slices.Clone(a.OrderBy)
	for _, c := range a.Args {
		order = append(order, plan.SortKey{Col: c})
	}
	exact := func(r []sqltypes.Datum) string {
		vals, ts := pickCols(r, types, a.Args)
		return string(row.AppendImage(nil, chunkOf(ts, rows{vals}, nil).Cols, nil, 0))
	}
	sort.SliceStable(in, func(i, k int) bool { return exact(in[i]) < exact(in[k]) })
	sortBy(in, types, order)
	return aggOver(a, fn, in, types)
}

// aggOver evaluates an aggregate over rows in the order given.
func aggOver(a *plan.AggCall, fn *expr.AggFunc, in rows, types []sqltypes.Type) sqltypes.Datum {
	seen := map[string]bool{}
	b := delta.NewBuilder(types)
	for _, r := range in {
		if a.Distinct {
			k := keyString(r, types, a.Args)
			if seen[k] {
				continue
			}
			seen[k] = true
		}
		b.AppendDatums(r, 1)
	}
	c := b.Take()
	if c == nil {
		c = &delta.Chunk{Cols: newVecs(types)}
	}
	var args []*delta.Vec
	var argTypes []sqltypes.Type
	for _, i := range a.Args {
		args, argTypes = append(args, c.Cols[i]), append(argTypes, types[i])
	}
	out := &delta.Vec{Type: a.Result}
	if fn.New != nil {
		o := fn.New(argTypes)
		for i := range c.Rows {
			if err := o.Add(&expr.Ctx{}, args, i, 1); err != nil {
				panic(err)
			}
		}
		if err := o.Result(&expr.Ctx{}, out); err != nil {
			panic(err)
		}
	} else {
		s := expr.States{Blocks: [][]byte{make([]byte, fn.Fixed.Width)}, Width: fn.Fixed.Width}
		fn.Fixed.Update(&s, make([]uint32, c.Rows), args, nil, nil)
		fn.Fixed.Result(&expr.Ctx{}, &s, []uint32{0}, out)
	}
	d := out.Datum(0)
	if x, ok := d.([]byte); ok {
		return string(x)
	}
	return d
}

func topRows(n *plan.TopN, in rows) rows {
	types := plan.Types(n.Input)
	var out rows
	for _, p := range partition(in, types, n.PartitionBy) {
		sortRows(p, types, n.OrderBy)
		end := len(p)
		if n.Limit >= 0 {
			end = min(end, int(n.Offset+n.Limit))
			var order []int
			for _, k := range n.OrderBy {
				order = append(order, k.Col)
			}
			for n.WithTies && n.Limit > 0 && end > 0 && end < len(p) && end > int(n.Offset) &&
				keyString(p[end], types, order) == keyString(p[end-1], types, order) {
				end++
			}
		}
		for i := int(n.Offset); i < end; i++ {
			o := slices.Clone(p[i])
			if n.RowNumber {
				o = append(o, int64(i+1))
			}
			out = append(out, o)
		}
	}
	return out
}

func setRows(n *plan.SetOp, left, right rows) rows {
	types := plan.Types(n.Left)
	count := func(in rows) map[string]int {
		m := map[string]int{}
		for _, r := range in {
			m[equalityKey(r, types)]++
		}
		return m
	}
	r := count(right)
	var out rows
	done := map[string]int{}
	for _, l := range left {
		k := equalityKey(l, types)
		i := done[k]
		done[k]++
		var keep bool
		switch {
		case n.All && n.Except:
			keep = i >= r[k]
		case n.All:
			keep = i < r[k]
		case n.Except:
			keep = i == 0 && r[k] == 0
		default:
			keep = i == 0 && r[k] > 0
		}
		if keep {
			out = append(out, l)
		}
	}
	return out
}

// typeNames is for messages.
func typeNames(types []sqltypes.Type) string {
	var s []string
	for _, t := range types {
		s = append(s, t.String())
	}
	return strings.Join(s, ",")
}
