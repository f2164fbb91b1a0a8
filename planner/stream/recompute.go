package stream

import (
	"strings"

	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Recompute turns the plan of a view's job into a plan that computes the view from the present contents of its inputs. It
// refuses what cannot be computed again: inputs that are not stored, and values that depend on when a row came.
func Recompute(job plan.Node) (plan.Node, error) {
	if err := recomputable(job); err != nil {
		return nil, err
	}
	return plan.Transform(job, func(n plan.Node) plan.Node {
		switch x := n.(type) {
		case *plan.Materialize:
			return x.Input
		case *plan.Exchange:
			return x.Input
		case *plan.PreAgg:
			return x.Input
		case *plan.Share:
			return x.Input
		case *plan.DynamicFilter:
			return &plan.Join{Kind: plan.Semi, Left: x.Input, Right: x.Bound, Cond: x.Cond}
		case *plan.Agg:
			return decided(x)
		}
		return n
	}), nil
}

func recomputable(job plan.Node) error {
	var sources []string
	var bad error
	plan.Walk(job, func(n plan.Node) bool {
		switch x := n.(type) {
		case *plan.SourceScan:
			sources = append(sources, `"`+x.Name+`"`)
		case *plan.EmitOnClose:
			bad = refuse("Verify a view of the same query without EMIT ON WINDOW CLOSE.", "a view with EMIT ON WINDOW CLOSE cannot be verified")
		case *plan.TableScan, *plan.Values, *plan.Filter, *plan.Project, *plan.Join, *plan.AsofJoin, *plan.DynamicFilter, *plan.Agg, *plan.PreAgg, *plan.TopN, *plan.Union, *plan.SetOp,
			*plan.Window, *plan.TableFunc, *plan.Hop, *plan.Expand, *plan.MaxOneRow, *plan.Exchange, *plan.Share, *plan.Materialize:
		default:
			bad = refuse("", "a view whose contents depend on time cannot be verified")
		}
		for _, e := range plan.Exprs(n) {
			expr.Walk(e, func(e expr.Expr) bool {
				if c, ok := e.(*expr.Call); ok && bad == nil {
					name, _, _ := strings.Cut(c.Sig, "(")
					if f, ok := expr.BySig(c.Sig); name == "proctime" || isClock(c, name) || ok && f.Volatility == expr.Volatile {
						bad = refuse("", "a view that uses %s() cannot be verified: its value cannot be computed again", name)
					}
				}
				return true
			})
		}
		return true
	})
	if len(sources) > 0 {
		return refuse("Create a table with the same connector, which keeps its rows, and the view over it.",
			"the view cannot be verified: %s not stored", sqlList(sources))
	}
	return bad
}

func sqlList(sources []string) string {
	if len(sources) == 1 {
		return "source " + sources[0] + " is"
	}
	return "sources " + strings.Join(sources, ", ") + " are"
}

// decided joins the halves of a split aggregation, and gives aggregates that depend on an order the one that streams use where the
// query leaves it open.
func decided(x *plan.Agg) plan.Node {
	if x.Phase == plan.AggPartial {
		return x
	}
	a := *x
	a.Merges = false
	if p, ok := x.Input.(*plan.Agg); ok && x.Phase == plan.AggFinal {
		a.Input, a.GroupBy, a.Phase = p.Input, p.GroupBy, plan.AggWhole
		a.Aggs = append([]plan.AggCall(nil), p.Aggs...)
		for i := range a.Aggs {
			a.Aggs[i].Result = x.Aggs[i].Result
		}
	}
	calls := append([]plan.AggCall(nil), a.Aggs...)
	for i := range calls {
		f, ok := expr.AggBySig(calls[i].Sig)
		if !ok || !f.Ordered && !f.Multiset || f.Name == "min" || f.Name == "max" {
			continue
		}
		calls[i].OrderBy = append([]plan.SortKey(nil), calls[i].OrderBy...)
		for k, c := range calls[i].Args {
			if calls[i].ArgTypes == nil || calls[i].ArgTypes[k].Kind != sqltypes.KJSON {
				calls[i].OrderBy = append(calls[i].OrderBy, plan.SortKey{Col: c})
			}
		}
	}
	a.Aggs = calls
	return &a
}
