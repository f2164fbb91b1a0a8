package rule

import (
	"slices"

	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// reduceGroupKeys groups a stream by fewer columns: one that the others determine becomes max() of itself, which over
// append-only input is a few bytes of state. GROUP BY a.id, a.category over a join on a.id then needs no second
// exchange, because the rows are spread by a.id already.
func reduceGroupKeys(n plan.Node, m Mode) plan.Node {
	if m != Stream {
		return n
	}
	return plan.Transform(n, func(x plan.Node) plan.Node {
		a, ok := x.(*plan.Agg)
		if !ok || len(a.GroupBy) < 2 || len(a.Aggs) == 0 || !plan.AppendOnly(a.Input) {
			return x
		}
		return reduced(a)
	})
}

func reduced(a *plan.Agg) plan.Node {
	in := a.Input.Columns()
	keep := slices.Clone(a.GroupBy)
	for i := len(keep) - 1; i >= 0 && len(keep) > 1; i-- {
		rest := slices.Delete(slices.Clone(keep), i, i+1)
		if fixedMax(in[keep[i]].Type) != nil && plan.Determined(a.Input, rest)[keep[i]] {
			keep = rest
		}
	}
	if len(keep) == len(a.GroupBy) {
		return a
	}
	out := &plan.Agg{Input: a.Input, GroupBy: keep, Aggs: slices.Clone(a.Aggs)}
	back := make([]int, 0, len(a.GroupBy)+len(a.Aggs))
	for _, g := range a.GroupBy {
		if i := slices.Index(keep, g); i >= 0 {
			back = append(back, i)
			continue
		}
		back = append(back, len(keep)+len(out.Aggs))
		out.Aggs = append(out.Aggs, plan.AggCall{Sig: fixedMax(in[g].Type).Sig(), Args: []int{g},
			ArgTypes: []sqltypes.Type{in[g].Type}, Result: in[g].Type, Filter: -1, Name: in[g].Name})
	}
	for i := range a.Aggs {
		back = append(back, len(keep)+i)
	}
	return pick(out, back)
}

// fixedMax finds max() over exactly type t with a state of fixed size.
func fixedMax(t sqltypes.Type) *expr.AggFunc {
	for _, f := range expr.AggByName("max") {
		if len(f.Args) == 1 && f.Args[0] == t && f.Fixed != nil {
			return f
		}
	}
	return nil
}
