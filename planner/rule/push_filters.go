package rule

import (
	"slices"

	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
)

// pushFilters moves each condition as far down as it can go, so that rows are dropped early and conditions over two
// inputs become join keys.
func pushFilters(n plan.Node, m Mode) plan.Node { return push(n, nil, m) }

// push returns n with preds, which are over its columns, applied to it or below.
func push(n plan.Node, preds []expr.Expr, m Mode) plan.Node {
	switch x := n.(type) {
	case *plan.Filter:
		return push(x.Input, append(preds[:len(preds):len(preds)], expr.Conjuncts(x.Cond)...), m)
	case *plan.Project:
		return pushProject(x, preds, m)
	case *plan.Join:
		if isJoinTree(x) {
			return pushInnerJoins(x, preds, m)
		}
		return pushJoin(x, preds, m)
	case *plan.AsofJoin:
		return pushTimedJoin(n, preds, m)
	case *plan.TemporalJoin:
		return pushTimedJoin(n, preds, m)
	case *plan.Agg:
		down, up := split(preds, func(i int) bool { return i < len(x.GroupBy) && !x.Scalar })
		down = mapAll(down, func(i int) int { return x.GroupBy[i] })
		return withFilter(x.WithChildren([]plan.Node{push(x.Input, down, m)}), up)
	case *plan.TopN:
		return pushPartitioned(n, preds, x.PartitionBy, m)
	case *plan.Window:
		return pushPartitioned(n, preds, x.PartitionBy, m)
	case *plan.MaxOneRow:
		return pushPartitioned(n, preds, x.PartitionBy, m)
	case *plan.Session:
		return pushPartitioned(n, preds, x.PartitionBy, m)
	case *plan.GapFill:
		return pushPartitioned(n, preds, x.PartitionBy, m)
	case *plan.Sort:
		return x.WithChildren([]plan.Node{push(x.Input, preds, m)})
	case *plan.Union, *plan.SetOp:
		down, up := split(preds, func(int) bool { return true })
		ch := n.Children()
		out := make([]plan.Node, len(ch))
		for i, c := range ch {
			out[i] = push(c, down, m)
		}
		return withFilter(n.WithChildren(out), up)
	case *plan.Hop, *plan.Expand:
		return pushInput(n, preds, m)
	case *plan.TableFunc:
		if x.Input != nil {
			return pushInput(n, preds, m)
		}
	}
	ch := n.Children()
	if len(ch) > 0 {
		out := make([]plan.Node, len(ch))
		for i, c := range ch {
			out[i] = push(c, nil, m)
		}
		n = n.WithChildren(out)
	}
	return withFilter(n, preds)
}

// split divides conditions into those that may move to where only columns with in are, and the rest. A volatile
// condition stays where it is.
func split(preds []expr.Expr, in func(int) bool) (down, up []expr.Expr) {
	for _, p := range preds {
		if colsWithin(p, in) && !isVolatile(p) {
			down = append(down, p)
		} else {
			up = append(up, p)
		}
	}
	return down, up
}

func mapAll(es []expr.Expr, f func(int) int) []expr.Expr {
	out := make([]expr.Expr, len(es))
	for i, e := range es {
		out[i] = expr.MapColumns(e, f)
	}
	return out
}

// pushProject moves conditions below a projection by computing what they read from its input.
func pushProject(x *plan.Project, preds []expr.Expr, m Mode) plan.Node {
	down, up := split(preds, func(i int) bool { return !isVolatile(x.Exprs[i]) })
	for i, p := range down {
		down[i] = substitute(p, x.Exprs)
	}
	return withFilter(&plan.Project{Input: push(x.Input, down, m), Exprs: x.Exprs, Names: x.Names}, up)
}

// pushPartitioned moves conditions on partition columns below an operator that treats partitions apart.
func pushPartitioned(n plan.Node, preds []expr.Expr, partition []int, m Mode) plan.Node {
	down, up := split(preds, func(i int) bool { return slices.Contains(partition, i) })
	down, more := splitConstant(down)
	return withFilter(n.WithChildren([]plan.Node{push(n.Children()[0], down, m)}), append(more, up...))
}

// splitConstant keeps conditions without columns above: they are about no partition.
func splitConstant(preds []expr.Expr) (down, up []expr.Expr) {
	for _, p := range preds {
		has := false
		expr.Columns(p, func(int) { has = true })
		if has {
			down = append(down, p)
		} else {
			up = append(up, p)
		}
	}
	return down, up
}

// pushInput moves conditions on the input's columns below an operator that multiplies rows.
func pushInput(n plan.Node, preds []expr.Expr, m Mode) plan.Node {
	in := n.Children()[0]
	width := len(in.Columns())
	down, up := split(preds, func(i int) bool { return i < width })
	return withFilter(n.WithChildren([]plan.Node{push(in, down, m)}), up)
}

// pushTimedJoin moves conditions on the left side below a join in which each left row finds its partners by itself.
func pushTimedJoin(n plan.Node, preds []expr.Expr, m Mode) plan.Node {
	ch := n.Children()
	lw := len(ch[0].Columns())
	down, up := split(preds, func(i int) bool { return i < lw })
	return withFilter(n.WithChildren([]plan.Node{push(ch[0], down, m), push(ch[1], nil, m)}), up)
}

// pushJoin handles all joins but trees of inner ones. A condition above may turn an outer join into a plainer one.
func pushJoin(x *plan.Join, preds []expr.Expr, m Mode) plan.Node {
	lw := len(x.Left.Columns())
	if kind := simplifyOuter(x, preds, lw); kind != x.Kind {
		j := *x
		j.Kind = kind
		return push(&j, preds, m)
	}
	isLeft := func(i int) bool { return i < lw }
	isRight := func(i int) bool { return i >= lw }
	toRight := func(i int) int { return i - lw }
	var left, right, up []expr.Expr
	switch x.Kind {
	case plan.Inner: // with keys that no operator can express
		left, up = split(preds, isLeft)
		right, up = split(up, isRight)
		right = mapAll(right, toRight)
	case plan.Left, plan.Semi, plan.Anti, plan.NullAnti:
		left, up = split(preds, isLeft)
	case plan.Right:
		right, up = split(preds, isRight)
		right = mapAll(right, toRight)
	default:
		up = preds
	}
	// The join's own condition: a conjunct over one side moves there unless that side's rows are kept without it.
	var on []expr.Expr
	for _, c := range expr.Conjuncts(x.Cond) {
		switch {
		case isVolatile(c):
			on = append(on, c)
		case (x.Kind == plan.Left || x.Kind == plan.Semi || x.Kind == plan.Anti || x.Kind == plan.Inner) && colsWithin(c, isRight):
			right = append(right, expr.MapColumns(c, toRight))
		case (x.Kind == plan.Right || x.Kind == plan.Semi || x.Kind == plan.Inner) && colsWithin(c, isLeft):
			left = append(left, c)
		default:
			on = append(on, c)
		}
	}
	j := *x
	j.Cond = expr.And(on)
	if x.Kind == plan.Left || x.Kind == plan.Semi || x.Kind == plan.Anti {
		right = append(right, impliedConstants(&j, left)...)
	}
	j.Left, j.Right = push(x.Left, left, m), push(x.Right, right, m)
	return withFilter(extractKeys(&j), up)
}
