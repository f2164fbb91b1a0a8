package plan

import (
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// AppendOnly reports whether a stream node's output never retracts a row.
func AppendOnly(n Node) bool {
	switch x := n.(type) {
	case *TableScan:
		return x.AppendOnly
	case *SourceScan:
		return x.AppendOnly && !x.Upsert
	case *Values:
		return true
	case *Filter, *Project, *Hop, *Exchange, *Materialize, *Sink:
		return AppendOnly(n.Children()[0])
	case *TableFunc:
		return x.Input == nil || AppendOnly(x.Input)
	case *Union:
		return !slices.ContainsFunc(x.Inputs, func(c Node) bool { return !AppendOnly(c) })
	case *Join:
		return (x.Kind == Inner || x.Kind == Semi) && AppendOnly(x.Left) && AppendOnly(x.Right)
	case *Agg:
		return len(x.Aggs) == 0 && !x.Scalar && x.Phase == AggWhole && AppendOnly(x.Input)
	}
	return false
}

// UniqueKeys derives sets of output columns that are unique in a stream node's output at every epoch's end,
// smallest first.
func UniqueKeys(n Node) [][]int {
	keys := uniqueKeys(n)
	slices.SortStableFunc(keys, func(a, b []int) int { return len(a) - len(b) })
	return keys
}

func uniqueKeys(n Node) [][]int {
	switch x := n.(type) {
	case *TableScan:
		return slices.Clone(x.UniqueKeys)
	case *SourceScan:
		return slices.Clone(x.UniqueKeys)
	case *Filter:
		return append(uniqueKeys(x.Input), VariantKeys(x)...)
	case *Exchange:
		return uniqueKeys(x.Input)
	case *MaxOneRow:
		return [][]int{slices.Clone(x.PartitionBy)}
	case *Project:
		return projectKeys(uniqueKeys(x.Input), x.Exprs)
	case *Agg:
		if x.Phase == AggPartial {
			return nil
		}
		key := make([]int, len(x.GroupBy))
		for i := range key {
			key[i] = i
		}
		return [][]int{key}
	case *TopN:
		return topNKeys(x)
	case *Join:
		return joinKeys(x)
	case *Hop:
		w := len(x.Input.Columns())
		var out [][]int
		for _, k := range uniqueKeys(x.Input) {
			out = append(out, append(slices.Clone(k), w))
		}
		return out
	case *TableFunc:
		if x.WithOrdinality {
			ord := len(x.Columns()) - 1
			if x.Input == nil {
				return [][]int{{ord}}
			}
			var out [][]int
			for _, k := range uniqueKeys(x.Input) {
				out = append(out, append(slices.Clone(k), ord))
			}
			return out
		}
	case *SetOp:
		if x.All {
			return nil
		}
		key := make([]int, len(x.Columns()))
		for i := range key {
			key[i] = i
		}
		return [][]int{key}
	}
	return nil
}

// VariantKeys are the unique keys that a filter gains by keeping one kind of a source's records.
func VariantKeys(f *Filter) [][]int {
	in := f.Input
	conds := expr.Conjuncts(f.Cond)
	for {
		g, ok := in.(*Filter)
		if !ok {
			break
		}
		conds = append(conds, expr.Conjuncts(g.Cond)...)
		in = g.Input
	}
	s, ok := in.(*SourceScan)
	if !ok {
		return nil
	}
	var out [][]int
	for _, v := range s.Variants {
		if slices.ContainsFunc(conds, func(e expr.Expr) bool { return isEqual(e, v.Col, v.Value) }) {
			out = append(out, v.UniqueKeys...)
		}
	}
	return out
}

// isEqual recognises column = value over integers.
func isEqual(e expr.Expr, col int, value int64) bool {
	c, ok := e.(*expr.Call)
	if !ok || len(c.Args) != 2 || !strings.HasPrefix(c.Sig, "=(") {
		return false
	}
	for i := range 2 {
		x, isCol := c.Args[i].(*expr.Col)
		k, isConst := c.Args[1-i].(*expr.Const)
		if isCol && isConst && x.Index == col && k.Val == sqltypes.Datum(value) {
			return true
		}
	}
	return false
}

// projectKeys renumbers keys whose columns all pass through the projection unchanged.
func projectKeys(keys [][]int, exprs []expr.Expr) [][]int {
	at := map[int]int{}
	for i, e := range exprs {
		if c, ok := e.(*expr.Col); ok {
			if _, seen := at[c.Index]; !seen {
				at[c.Index] = i
			}
		}
	}
	var out [][]int
next:
	for _, k := range keys {
		m := make([]int, len(k))
		for i, c := range k {
			p, ok := at[c]
			if !ok {
				continue next
			}
			m[i] = p
		}
		out = append(out, m)
	}
	return out
}

func topNKeys(x *TopN) [][]int {
	keys := uniqueKeys(x.Input)
	if x.Limit == 1 && !x.WithTies {
		keys = append(keys, slices.Clone(x.PartitionBy))
	}
	if x.RowNumber {
		keys = append(keys, append(slices.Clone(x.PartitionBy), len(x.Input.Columns())))
	}
	return keys
}

// joinKeys: a key of either side is one of the result when the other side matches at most once; both sides'
// keys together always are. Padding with NULLs keeps keys of outer joins unique only where the padded side is not the key's.
func joinKeys(x *Join) [][]int {
	l, r := uniqueKeys(x.Left), uniqueKeys(x.Right)
	if x.Kind >= Semi {
		return l
	}
	width := len(x.Left.Columns())
	shift := func(k []int) []int {
		out := make([]int, len(k))
		for i, c := range k {
			out[i] = c + width
		}
		return out
	}
	var out [][]int
	if (x.Kind == Inner || x.Kind == Left) && coversKey(x.RightKeys, r) {
		out = append(out, l...)
	}
	if (x.Kind == Inner || x.Kind == Right) && coversKey(x.LeftKeys, l) {
		for _, k := range r {
			out = append(out, shift(k))
		}
	}
	for _, a := range l {
		for _, b := range r {
			out = append(out, append(slices.Clone(a), shift(b)...))
		}
	}
	return out
}

// coversKey reports whether the columns contain one of the keys.
func coversKey(cols []int, keys [][]int) bool {
	for _, k := range keys {
		if !slices.ContainsFunc(k, func(c int) bool { return !slices.Contains(cols, c) }) {
			return true
		}
	}
	return false
}
