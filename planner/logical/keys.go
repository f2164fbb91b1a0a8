// Package logical derives facts from plans: which columns identify a row, whether rows are ever taken back,
// whether there can be more than one.
//
// The idea: facts are never stored in nodes but computed from them, bottom-up, so they are right after any
// rewrite. Binder, rules and the stream planner ask the same functions.
//
// Pure functions of immutable plans; any goroutine may call them.
//
// Invariants: a unique key holds at epoch boundaries and counts NULL as a value equal to itself; a fact that
// cannot be proven is absent.
//
// It does not rewrite anything. Start at UniqueKeys.
package logical

import (
	"slices"

	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
)

// maxKeys bounds how many unique keys are followed: more are of no use and joins multiply them.
const maxKeys = 6

// UniqueKeys lists minimal sets of output columns of which no two rows of n agree in all, each ascending, the
// shortest first. An empty set says that there is at most one row.
func UniqueKeys(n plan.Node) [][]int {
	switch x := n.(type) {
	case *plan.TableScan:
		return tidy(x.UniqueKeys)
	case *plan.SourceScan:
		return tidy(x.UniqueKeys)
	case *plan.Values:
		if len(x.Rows) <= 1 {
			return [][]int{{}}
		}
	case *plan.Filter:
		return tidy(withoutFixed(append(UniqueKeys(x.Input), plan.VariantKeys(x)...), x.Cond))
	case *plan.Project:
		return tidy(projectKeys(x, UniqueKeys(x.Input)))
	case *plan.Join:
		return tidy(joinKeys(x))
	case *plan.Agg:
		return aggKeys(x)
	case *plan.TopN:
		return tidy(topNKeys(x))
	case *plan.Sort:
		return UniqueKeys(x.Input)
	case *plan.Limit:
		if c, ok := x.Limit.(*expr.Const); ok && (c.Val == int64(1) || c.Val == int64(0)) {
			return [][]int{{}}
		}
		return UniqueKeys(x.Input)
	case *plan.SetOp:
		keys := UniqueKeys(x.Left)
		if !x.All {
			keys = append(keys, span(0, len(x.Columns())))
		}
		return tidy(keys)
	case *plan.Window:
		keys := UniqueKeys(x.Input)
		for i, f := range x.Funcs {
			if f.Name == "row_number" {
				keys = append(keys, append(slices.Clone(x.PartitionBy), len(x.Input.Columns())+i))
			}
		}
		return tidy(keys)
	case *plan.TableFunc:
		if x.WithOrdinality {
			return tidy(extend(inputKeys(x), len(x.Columns())-1))
		}
	case *plan.Hop:
		if x.SlideMicros == x.SizeMicros {
			return UniqueKeys(x.Input)
		}
		return tidy(extend(UniqueKeys(x.Input), len(x.Input.Columns())))
	case *plan.MaxOneRow:
		return tidy(append(UniqueKeys(x.Input), x.PartitionBy))
	case *plan.Exchange:
		return UniqueKeys(x.Input)
	case *plan.Materialize:
		return UniqueKeys(x.Input)
	}
	return nil
}

// MaxOneRow says that n never has more than one row.
func MaxOneRow(n plan.Node) bool {
	keys := UniqueKeys(n)
	return len(keys) > 0 && len(keys[0]) == 0
}

// Covers says that cols contain a unique key of n.
func Covers(n plan.Node, cols []int) bool {
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

func span(from, to int) []int {
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

func inputKeys(x *plan.TableFunc) [][]int {
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

func projectKeys(x *plan.Project, in [][]int) [][]int {
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
func joinKeys(x *plan.Join) [][]int {
	l := UniqueKeys(x.Left)
	if x.Kind >= plan.Semi {
		return l
	}
	if x.Kind == plan.Full { // padded rows of both sides may agree in NULLs
		return nil
	}
	r := UniqueKeys(x.Right)
	lw := len(x.Left.Columns())
	var out [][]int
	if x.Kind != plan.Right && containsKey(r, x.RightKeys) {
		out = append(out, l...)
	}
	if x.Kind != plan.Left && containsKey(l, x.LeftKeys) {
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
func withoutEqual(x *plan.Join, key []int, lw int) []int {
	for i := range x.LeftKeys {
		a, b := x.LeftKeys[i], lw+x.RightKeys[i]
		if !slices.Contains(key, a) || !slices.Contains(key, b) {
			continue
		}
		drop := b
		if x.Kind == plan.Right {
			drop = a
		}
		key = slices.DeleteFunc(key, func(c int) bool { return c == drop })
	}
	return key
}

func aggKeys(x *plan.Agg) [][]int {
	if x.Phase == plan.AggPartial {
		return nil
	}
	keys := [][]int{span(0, len(x.GroupBy))}
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

func topNKeys(x *plan.TopN) [][]int {
	keys := UniqueKeys(x.Input)
	if x.Limit == 1 && !x.WithTies {
		keys = append(keys, x.PartitionBy)
	}
	if x.RowNumber {
		keys = append(keys, append(slices.Clone(x.PartitionBy), len(x.Input.Columns())))
	}
	return keys
}
