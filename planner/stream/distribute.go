package stream

import (
	"slices"

	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// spreadKind says how rows lie over actors.
type spreadKind uint8

const (
	anyhow spreadKind = iota // over all, by no rule that the planner knows
	byHash                   // by the vnode of cols
	onOne                    // all in one actor
)

// spread is the distribution of a node's output.
type spread struct {
	kind spreadKind
	cols []int
}

// distributor puts exchanges into a plan.
type distributor struct {
	parallelism int
}

// visit returns n with exchanges where they are needed, and how its output is spread.
func (d *distributor) visit(n plan.Node) (plan.Node, spread) {
	switch x := n.(type) {
	case *plan.TableScan:
		if x.Singleton {
			return x, spread{kind: onOne}
		}
		if len(x.Dist) > 0 && !slices.Contains(x.Dist, -1) {
			return x, spread{byHash, x.Dist}
		}
		return x, spread{}
	case *plan.Project:
		in, sp := d.visit(x.Input)
		return x.WithChildren([]plan.Node{in}), through(sp, x.Exprs)
	case *plan.Filter, *plan.Hop, *plan.Expand, *plan.TableFunc, *plan.Watermark: // keep their input's columns in place
		ch := n.Children()
		if len(ch) == 0 {
			return n, spread{}
		}
		in, sp := d.visit(ch[0])
		return n.WithChildren([]plan.Node{in}), sp
	case *plan.EmitOnClose:
		return d.emitOnClose(x)
	case *plan.TemporalFilter:
		in, sp := d.visit(x.Input)
		y := *x
		y.Input = in
		if sp.kind == byHash {
			y.Dist = sp.cols
		}
		return &y, sp
	case *plan.Join:
		return d.join(x)
	case *plan.DynamicFilter:
		return d.dynamicFilter(x)
	case *plan.AsofJoin:
		return d.timedJoin(x, x.LeftKeys, x.RightKeys)
	case *plan.TemporalJoin:
		return d.timedJoin(x, x.LeftKeys, x.RightKeys)
	case *plan.Agg:
		return d.agg(x)
	case *plan.TopN:
		return d.partitioned(x, x.PartitionBy)
	case *plan.Window:
		return d.partitioned(x, x.PartitionBy)
	case *plan.MaxOneRow:
		return d.partitioned(x, x.PartitionBy)
	case *plan.Session:
		return d.partitioned(x, x.PartitionBy)
	case *plan.GapFill:
		return d.partitioned(x, x.PartitionBy)
	case *plan.Union:
		return d.union(x)
	case *plan.SetOp:
		return d.setOp(x)
	}
	return n, spread{} // sources, values and DML
}

// through follows a distribution through a projection.
func through(sp spread, es []expr.Expr) spread {
	if sp.kind != byHash {
		return sp
	}
	out := make([]int, len(sp.cols))
	for i, c := range sp.cols {
		out[i] = slices.IndexFunc(es, func(e expr.Expr) bool {
			k, ok := e.(*expr.Col)
			return ok && k.Index == c
		})
		if out[i] < 0 {
			return spread{}
		}
	}
	return spread{byHash, out}
}

// hash makes n spread by exactly cols.
func (d *distributor) hash(n plan.Node, sp spread, cols []int) (plan.Node, spread) {
	want := spread{byHash, cols}
	if len(cols) == 0 {
		return d.single(n, sp)
	}
	if d.parallelism == 1 || sp.kind == byHash && slices.Equal(sp.cols, cols) {
		return n, want
	}
	return &plan.Exchange{Input: n, Kind: plan.ExchangeHash, Keys: cols}, want
}

// moves says that hash would have to move rows.
func (d *distributor) moves(sp spread, cols []int) bool {
	return d.parallelism > 1 && !(sp.kind == byHash && slices.Equal(sp.cols, cols))
}

// single brings all rows to one actor.
func (d *distributor) single(n plan.Node, sp spread) (plan.Node, spread) {
	if d.parallelism == 1 || sp.kind == onOne {
		return n, spread{kind: onOne}
	}
	return &plan.Exchange{Input: n, Kind: plan.ExchangeSingle}, spread{kind: onOne}
}

// partitioned spreads the input of an operator that works on partitions and keeps its input's columns.
func (d *distributor) partitioned(n plan.Node, cols []int) (plan.Node, spread) {
	in, sp := d.visit(n.Children()[0])
	if sp.kind != onOne {
		in, sp = d.hash(in, sp, cols)
	}
	return n.WithChildren([]plan.Node{in}), sp
}

// emitOnClose leaves rows where they are; if that is by no rule, equal rows must be brought together.
func (d *distributor) emitOnClose(x *plan.EmitOnClose) (plan.Node, spread) {
	in, sp := d.visit(x.Input)
	if sp.kind == anyhow {
		in, sp = d.hash(in, sp, comparable(in))
	}
	y := *x
	y.Input, y.Dist = in, nil
	if sp.kind == byHash {
		y.Dist = sp.cols
	}
	return &y, sp
}

// join spreads both inputs by the keys. The order of the keys is free, so it follows an input that is spread by them already.
func (d *distributor) join(x *plan.Join) (plan.Node, spread) {
	l, ls := d.visit(x.Left)
	r, rs := d.visit(x.Right)
	j := *x
	if len(x.LeftKeys) == 0 || x.Kind == plan.NullAnti || ls.kind == onOne && rs.kind == onOne {
		j.Left, _ = d.single(l, ls)
		j.Right, _ = d.single(r, rs)
		return &j, spread{kind: onOne}
	}
	reorderKeys(&j, ls, rs)
	j.Left, ls = d.hash(l, ls, j.LeftKeys)
	j.Right, rs = d.hash(r, rs, j.RightKeys)
	switch x.Kind {
	case plan.Right:
		w := len(x.Left.Columns())
		cols := make([]int, len(rs.cols))
		for i, c := range rs.cols {
			cols[i] = c + w
		}
		return &j, spread{byHash, cols}
	case plan.Full: // padded rows have NULL keys on one side
		return &j, spread{}
	}
	return &j, spread{byHash, j.LeftKeys}
}

// timedJoin spreads both inputs by the keys; the output lies where the left rows do.
func (d *distributor) timedJoin(n plan.Node, leftKeys, rightKeys []int) (plan.Node, spread) {
	ch := n.Children()
	l, ls := d.visit(ch[0])
	r, rs := d.visit(ch[1])
	if ls.kind == onOne && rs.kind == onOne {
		return n.WithChildren([]plan.Node{l, r}), ls
	}
	l, ls = d.hash(l, ls, leftKeys)
	r, _ = d.hash(r, rs, rightKeys)
	return n.WithChildren([]plan.Node{l, r}), ls
}

// reorderKeys permutes the key pairs of a join to the distribution of an input with the same columns.
func reorderKeys(j *plan.Join, ls, rs spread) {
	for _, side := range []struct {
		sp   spread
		keys []int
	}{{ls, j.LeftKeys}, {rs, j.RightKeys}} {
		if side.sp.kind != byHash || !samePermutation(side.sp.cols, side.keys) {
			continue
		}
		left, right := make([]int, len(j.LeftKeys)), make([]int, len(j.LeftKeys))
		var safe []bool
		for i, c := range side.sp.cols {
			k := slices.Index(side.keys, c)
			left[i], right[i] = j.LeftKeys[k], j.RightKeys[k]
			if j.NullSafe != nil {
				safe = append(safe, j.NullSafe[k])
			}
		}
		j.LeftKeys, j.RightKeys, j.NullSafe = left, right, safe
		return
	}
}

func samePermutation(a, b []int) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b) && len(slices.Compact(a)) == len(b)
}

// agg spreads the input by the groups; without groups it is aggregated in two phases where that can be done.
func (d *distributor) agg(x *plan.Agg) (plan.Node, spread) {
	in, sp := d.visit(x.Input)
	a := *x
	if len(x.GroupBy) == 0 {
		if sp.kind != onOne && d.parallelism > 1 && mergeable(x) {
			return d.twoPhase(x, in, sp)
		}
		a.Input, sp = d.single(in, sp)
		return &a, sp
	}
	if sp.kind == onOne {
		a.Input = in
		return &a, sp
	}
	if sp.kind == byHash && !slices.Equal(sp.cols, x.GroupBy) && samePermutation(sp.cols, x.GroupBy) {
		return d.reorderedAgg(x, in, sp)
	}
	if d.moves(sp, x.GroupBy) && foldsHot(x) {
		in, sp = &plan.PreAgg{Input: in, GroupBy: x.GroupBy, Aggs: x.Aggs}, spread{}
		a.Merges = true
	}
	a.Input, _ = d.hash(in, sp, x.GroupBy)
	return &a, spread{byHash, span(0, len(x.GroupBy))}
}

// reorderedAgg lists the groups in the order of the input's distribution and projects back.
func (d *distributor) reorderedAgg(x *plan.Agg, in plan.Node, sp spread) (plan.Node, spread) {
	a := *x
	a.Input, a.GroupBy = in, sp.cols
	a.Close = nil
	for _, c := range x.Close {
		a.Close = append(a.Close, slices.Index(sp.cols, x.GroupBy[c]))
	}
	cols := a.Columns()
	p := &plan.Project{Input: &a}
	dist := make([]int, len(sp.cols))
	for i := range cols {
		from := i
		if i < len(x.GroupBy) {
			from = slices.Index(sp.cols, x.GroupBy[i])
			dist[from] = i
		}
		p.Exprs = append(p.Exprs, &expr.Col{Index: from, Ty: cols[from].Type, Name: cols[from].Name})
		p.Names = append(p.Names, cols[from].Name)
	}
	return p, spread{byHash, dist}
}

// foldsHot says that rows of one group can be folded where they are, should there be many: no group has one row only, and the
// aggregates' states can be merged. For DISTINCT the number of rows is enough.
func foldsHot(x *plan.Agg) bool {
	return x.Phase == plan.AggWhole && (len(x.Aggs) == 0 || mergeable(x)) && !plan.Covers(x.Input, x.GroupBy)
}

// mergeable says that partial states of all aggregates can be merged, and taken back if the input retracts.
func mergeable(x *plan.Agg) bool {
	appendOnly := plan.AppendOnly(x.Input)
	for _, c := range x.Aggs {
		f, ok := expr.AggBySig(c.Sig)
		if !ok || c.Distinct || f.Ordered || len(c.OrderBy) > 0 || f.Fixed == nil || f.Fixed.Merge == nil || !appendOnly && !f.Invertible {
			return false
		}
	}
	return len(x.Aggs) > 0
}

// twoPhase aggregates chunks where they are and merges the states in one actor. A partial state travels as bytea.
func (d *distributor) twoPhase(x *plan.Agg, in plan.Node, _ spread) (plan.Node, spread) {
	partial, final := *x, *x
	partial.Input, partial.Phase, partial.Scalar = in, plan.AggPartial, false
	final.Phase = plan.AggFinal
	partial.Aggs, final.Aggs = slices.Clone(x.Aggs), slices.Clone(x.Aggs)
	for i := range x.Aggs {
		partial.Aggs[i].Result = sqltypes.Bytea
		final.Aggs[i].Args, final.Aggs[i].Filter = []int{i}, -1
	}
	var sp spread
	final.Input, sp = d.single(&partial, spread{})
	return &final, sp
}

// union keeps a distribution that all inputs share. Inputs in one actor are spread if others are.
func (d *distributor) union(x *plan.Union) (plan.Node, spread) {
	u := &plan.Union{Inputs: make([]plan.Node, len(x.Inputs))}
	sps := make([]spread, len(x.Inputs))
	ones, same := 0, true
	for i, in := range x.Inputs {
		u.Inputs[i], sps[i] = d.visit(in)
		if sps[i].kind == onOne {
			ones++
		}
		same = same && sps[i].kind == sps[0].kind && slices.Equal(sps[i].cols, sps[0].cols)
	}
	if same {
		return u, sps[0]
	}
	if ones > 0 {
		for i := range u.Inputs {
			if sps[i].kind == onOne {
				u.Inputs[i], _ = d.hash(u.Inputs[i], sps[i], comparable(u.Inputs[i]))
			}
		}
	}
	return u, spread{}
}

func (d *distributor) setOp(x *plan.SetOp) (plan.Node, spread) {
	l, ls := d.visit(x.Left)
	r, rs := d.visit(x.Right)
	s := *x
	if ls.kind == onOne && rs.kind == onOne {
		s.Left, s.Right = l, r
		return &s, ls
	}
	cols := span(0, len(x.Columns()))
	s.Left, _ = d.hash(l, ls, cols)
	s.Right, _ = d.hash(r, rs, cols)
	return &s, spread{byHash, cols}
}

// comparable lists the columns of n that have an equality, and so a hash.
func comparable(n plan.Node) []int {
	var out []int
	for i, c := range n.Columns() {
		if c.Type.Kind != sqltypes.KJSON {
			out = append(out, i)
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
