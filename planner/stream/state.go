package stream

import (
	"slices"

	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
)

// number gives the operators their state ordinals, children first, and returns how many there are. A shared part
// has one set of them.
func number(n plan.Node) (plan.Node, int) {
	next := 1
	shared := map[int]plan.Node{}
	var visit func(n plan.Node) plan.Node
	visit = func(n plan.Node) plan.Node {
		s, isShare := n.(*plan.Share)
		if isShare && shared[s.ID] != nil {
			return shared[s.ID]
		}
		ch := slices.Clone(n.Children())
		for i, c := range ch {
			ch[i] = visit(c)
		}
		if len(ch) > 0 {
			n = n.WithChildren(ch)
		}
		if isShare {
			shared[s.ID] = n
		}
		if count := StateTables(n); count > 0 {
			n = withState(n, next)
			next += count
		}
		return n
	}
	return visit(n), next - 1
}

// StateTables is how many state tables a node keeps.
func StateTables(n plan.Node) int {
	switch x := n.(type) {
	case *plan.Join: // two sides and their degrees
		return 4
	case *plan.SetOp, *plan.AsofJoin, *plan.TemporalJoin, *plan.DynamicFilter:
		return 2
	case *plan.Agg:
		return aggTables(x)
	case *plan.TableScan, *plan.SourceScan, *plan.Capture, *plan.TopN, *plan.MaxOneRow, *plan.Window, *plan.Materialize, *plan.Sink,
		*plan.Watermark, *plan.EmitOnClose, *plan.TemporalFilter, *plan.Session, *plan.GapFill:
		return 1
	}
	return 0
}

// aggTables is one for the groups and one for each aggregate that must keep its values.
func aggTables(x *plan.Agg) int {
	if x.Phase == plan.AggPartial {
		return 0
	}
	n := 1
	appendOnly := plan.AppendOnly(x.Input)
	for _, c := range x.Aggs {
		f, ok := expr.AggBySig(c.Sig)
		if c.Distinct || ok && f.Multiset && !appendOnly {
			n++
		}
	}
	return n
}

func withState(n plan.Node, s int) plan.Node {
	switch x := n.(type) {
	case *plan.Join:
		m := *x
		m.State = s
		return &m
	case *plan.DynamicFilter:
		m := *x
		m.State = s
		return &m
	case *plan.AsofJoin:
		m := *x
		m.State = s
		return &m
	case *plan.TemporalJoin:
		m := *x
		m.State = s
		return &m
	case *plan.SetOp:
		m := *x
		m.State = s
		return &m
	case *plan.Agg:
		m := *x
		m.State = s
		return &m
	case *plan.TableScan:
		m := *x
		m.State = s
		return &m
	case *plan.SourceScan:
		m := *x
		m.State = s
		return &m
	case *plan.Capture:
		m := *x
		m.State = s
		return &m
	case *plan.TopN:
		m := *x
		m.State = s
		return &m
	case *plan.MaxOneRow:
		m := *x
		m.State = s
		return &m
	case *plan.Window:
		m := *x
		m.State = s
		return &m
	case *plan.Materialize:
		m := *x
		m.State = s
		return &m
	case *plan.Sink:
		m := *x
		m.State = s
		return &m
	case *plan.Watermark:
		m := *x
		m.State = s
		return &m
	case *plan.GapFill:
		m := *x
		m.State = s
		return &m
	case *plan.Session:
		m := *x
		m.State = s
		return &m
	case *plan.TemporalFilter:
		m := *x
		m.State = s
		return &m
	case *plan.EmitOnClose:
		m := *x
		m.State = s
		return &m
	}
	return n
}
