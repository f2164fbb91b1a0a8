package plan

import (
	"slices"

	"github.com/millrace/millrace/internal/expr"
)

// maxKeys bounds how many unique keys are followed: more are of no use and joins multiply them.
const maxKeys = 6

// UniqueKeys lists minimal sets of output columns of which no two rows of n agree in all, each ascending, the
// shortest first. An empty set says that there is at most one row.
func UniqueKeys(n Node) [][]int {
	switch x := n.(type) {
	case *TableScan:
		return tidy(x.UniqueKeys)
	case *SourceScan:
		return tidy(x.UniqueKeys)
	case *Values:
		if len(x.Rows) <= 1 {
			return [][]int{{}}
		}
	case *Filter:
		return tidy(withoutFixed(append(UniqueKeys(x.Input), VariantKeys(x)...), x.Cond))
	case *Project:
		return tidy(projectKeys(x, UniqueKeys(x.Input)))
	case *Join:
		return tidy(joinKeys(x))
	case *DynamicFilter:
		return UniqueKeys(x.Input)
	case *AsofJoin:
		return UniqueKeys(x.Left)
	case *TemporalJoin:
		return tidy(temporalKeys(x))
	case *Agg:
		return aggKeys(x)
	case *TopN:
		return tidy(topNKeys(x))
	case *Sort:
		return UniqueKeys(x.Input)
	case *Limit:
		if c, ok := x.Limit.(*expr.Const); ok && (c.Val == int64(1) || c.Val == int64(0)) {
			return [][]int{{}}
		}
		return UniqueKeys(x.Input)
	case *SetOp:
		keys := UniqueKeys(x.Left)
		if !x.All {
			keys = append(keys, Span(0, len(x.Columns())))
		}
		return tidy(keys)
	case *Window:
		keys := UniqueKeys(x.Input)
		for i, f := range x.Funcs {
			if f.Name == "row_number" {
				keys = append(keys, append(slices.Clone(x.PartitionBy), len(x.Input.Columns())+i))
			}
		}
		return tidy(keys)
	case *TableFunc:
		if x.WithOrdinality {
			return tidy(extend(inputKeys(x), len(x.Columns())-1))
		}
	case *Hop:
		if x.SlideMicros == x.SizeMicros {
			return UniqueKeys(x.Input)
		}
		if x.Cumulate {
			return tidy(extend(UniqueKeys(x.Input), len(x.Input.Columns())+1))
		}
		return tidy(extend(UniqueKeys(x.Input), len(x.Input.Columns())))
	case *Expand:
		return tidy(extend(UniqueKeys(x.Input), len(x.Columns())-1))
	case *MaxOneRow:
		return tidy(append(UniqueKeys(x.Input), x.PartitionBy))
	case *Exchange, *Share, *Watermark, *EmitOnClose, *TemporalFilter, *Session:
		return UniqueKeys(n.Children()[0])
	case *Materialize:
		return UniqueKeys(x.Input)
	}
	return nil
}

// AtMostOneRow says that n never has more than one row.
func AtMostOneRow(n Node) bool {
	keys := UniqueKeys(n)
	return len(keys) > 0 && len(keys[0]) == 0
}

// Covers says that cols contain a unique key of n.
func Covers(n Node, cols []int) bool {
	for _, key := range UniqueKeys(n) {
		if subset(key, cols) {
			return true
		}
	}
	return false
}

func subset(key, cols []int) bool {
	for _, k := range key {
		if !slices.Contains(cols, k) {
			return false
		}
	}
	return true
}

// tidy sorts each key, drops those that contain another, and keeps the shortest few.
func tidy(keys [][]int) [][]int {
	sorted := make([][]int, 0, len(keys))
	for _, k := range keys {
		k = slices.Clone(k)
		slices.Sort(k)
		sorted = append(sorted, slices.Compact(k))
	}
	slices.SortStableFunc(sorted, func(a, b []int) int { return len(a) - len(b) })
	var out [][]int
	for _, k := range sorted {
		if !slices.ContainsFunc(out, func(o []int) bool { return subset(o, k) }) && len(out) < maxKeys {
			out = append(out, k)
		}
	}
	return out
}

// Span lists the columns from … to−1.
func Span(from, to int) []int {
	out := make([]int, 0, to-from)
	for i := from; i < to; i++ {
		out = append(out, i)
	}
	return out
}

func extend(keys [][]int, col int) [][]int {
	out := make([][]int, len(keys))
	for i, k := range keys {
		out[i] = append(slices.Clone(k), col)
	}
	return out
}

func inputKeys(x *TableFunc) [][]int {
	if x.Input == nil {
		return [][]int{{}}
	}
	return UniqueKeys(x.Input)
}

// withoutFixed drops from keys the columns that a condition sets equal to a value known before.
func withoutFixed(keys [][]int, cond expr.Expr) [][]int {
	if len(keys) == 0 {
		return nil
	}
	fixed := map[int]bool{}
	for _, c := range expr.Conjuncts(cond) {
		if col, ok := FixedColumn(c); ok {
			fixed[col] = true
		}
	}
	if len(fixed) == 0 {
		return keys
	}
	out := make([][]int, len(keys))
	for i, k := range keys {
		out[i] = slices.DeleteFunc(slices.Clone(k), func(c int) bool { return fixed[c] })
	}
	return out
}

// FixedColumn reads a conjunct of the form column = value, where value has no input columns.
func FixedColumn(c expr.Expr) (col int, ok bool) {
	call, isCall := c.(*expr.Call)
	if !isCall || len(call.Args) != 2 || !IsEquality(call) {
		return 0, false
	}
	for side := range 2 {
		if k, isCol := call.Args[side].(*expr.Col); isCol && !ReadsColumns(call.Args[1-side]) &&
			expr.VolatilityOf(call.Args[1-side]) != expr.Volatile {
			return k.Index, true
		}
	}
	return 0, false
}

// IsEquality says that a call is the = operator.
func IsEquality(c *expr.Call) bool { return len(c.Sig) > 2 && c.Sig[:2] == "=(" }

// ReadsColumns says that e has input columns.
func ReadsColumns(e expr.Expr) bool {
	found := false
	expr.Columns(e, func(int) { found = true })
	return found
}

func projectKeys(x *Project, in [][]int) [][]int {
	if len(in) == 0 {
		return nil
	}
	at := map[int]int{}
	for i, e := range x.Exprs {
		if c, ok := e.(*expr.Col); ok {
			if _, dup := at[c.Index]; !dup {
				at[c.Index] = i
			}
		}
	}
	var out [][]int
next:
	for _, key := range in {
		k := make([]int, len(key))
		for i, c := range key {
			to, ok := at[c]
			if !ok {
				continue next
			}
			k[i] = to
		}
		out = append(out, k)
	}
	return out
}

// joinKeys: a side whose partner rows are unique keeps its keys; otherwise one key of each side together.
func joinKeys(x *Join) [][]int {
	l := UniqueKeys(x.Left)
	if x.Kind >= Semi {
		return l
	}
	if x.Kind == Full { // padded rows of both sides may agree in NULLs
		return nil
	}
	r := UniqueKeys(x.Right)
	lw := len(x.Left.Columns())
	var out [][]int
	if x.Kind != Right && containsKey(r, x.RightKeys) {
		out = append(out, l...)
	}
	if x.Kind != Left && containsKey(l, x.LeftKeys) {
		for _, k := range r {
			out = append(out, shifted(k, lw))
		}
	}
	for _, a := range l {
		for _, b := range r {
			out = append(out, withoutEqual(x, append(slices.Clone(a), shifted(b, lw)...), lw))
		}
	}
	return out
}

func containsKey(keys [][]int, cols []int) bool {
	return slices.ContainsFunc(keys, func(k []int) bool { return subset(k, cols) })
}

func shifted(cols []int, by int) []int {
	out := make([]int, len(cols))
	for i, c := range cols {
		out[i] = c + by
	}
	return out
}

// withoutEqual drops, of two key columns that the join makes equal, the one that may be padded with NULL.
func withoutEqual(x *Join, key []int, lw int) []int {
	for i := range x.LeftKeys {
		a, b := x.LeftKeys[i], lw+x.RightKeys[i]
		if !slices.Contains(key, a) || !slices.Contains(key, b) {
			continue
		}
		drop := b
		if x.Kind == Right {
			drop = a
		}
		key = slices.DeleteFunc(key, func(c int) bool { return c == drop })
	}
	return key
}

func aggKeys(x *Agg) [][]int {
	if x.Phase == AggPartial {
		return nil
	}
	keys := [][]int{Span(0, len(x.GroupBy))}
	if x.Scalar {
		keys = [][]int{{}}
	}
	// A key of the input among the groups identifies a group, too.
	for _, in := range UniqueKeys(x.Input) {
		k := make([]int, 0, len(in))
		for _, c := range in {
			if i := slices.Index(x.GroupBy, c); i >= 0 {
				k = append(k, i)
			}
		}
		if len(k) == len(in) {
			keys = append(keys, k)
		}
	}
	return tidy(keys)
}

func topNKeys(x *TopN) [][]int {
	keys := UniqueKeys(x.Input)
	if x.Limit == 1 && !x.WithTies {
		keys = append(keys, x.PartitionBy)
	}
	if x.RowNumber {
		keys = append(keys, append(slices.Clone(x.PartitionBy), len(x.Input.Columns())))
	}
	return keys
}
