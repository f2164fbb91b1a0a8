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
	case *EmitOnClose:
		return true
	case *Session:
		return x.Close
	case *TemporalFilter:
		return x.Grows && AppendOnly(x.Input)
	case *Filter, *Project, *Hop, *Expand, *Exchange, *Share, *Materialize, *Sink, *Watermark, *PreAgg:
		return AppendOnly(n.Children()[0])
	case *TableFunc:
		return x.Input == nil || AppendOnly(x.Input)
	case *Union:
		return !slices.ContainsFunc(x.Inputs, func(c Node) bool { return !AppendOnly(c) })
	case *Join:
		return (x.Kind == Inner || x.Kind == Semi) && AppendOnly(x.Left) && AppendOnly(x.Right)
	case *TemporalJoin:
		return AppendOnly(x.Left)
	case *Agg:
		return x.Close != nil || len(x.Aggs) == 0 && !x.Scalar && x.Phase == AggWhole && AppendOnly(x.Input)
	}
	return false
}

// VariantKeys are the unique keys that a filter gains by keeping one kind of a source's records.
func VariantKeys(f *Filter) [][]int {
	in := f.Input
	conds := expr.Conjuncts(f.Cond)
below:
	for {
		switch g := in.(type) {
		case *Filter:
			conds = append(conds, expr.Conjuncts(g.Cond)...)
			in = g.Input
		case *Watermark:
			in = g.Input
		case *Share:
			in = g.Input
		default:
			break below
		}
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
