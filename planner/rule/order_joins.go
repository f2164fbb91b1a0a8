package rule

import (
	"slices"

	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
)

// pushInnerJoins takes a tree of inner joins apart into its relations and conditions and joins them again, in an order
// without cross joins where there is one, with each condition as low as it can be.
func pushInnerJoins(x *plan.Join, preds []expr.Expr, m Mode) plan.Node {
	g := &joinGraph{mode: m, preds: slices.Clone(preds)}
	width := g.collect(x, 0)
	g.impliedFixed()
	up := g.assign()
	n := g.join()
	// g.at[i] is where column i of x is now.
	n, up = g.restore(n, width, up)
	return withFilter(n, up)
}

// leaf is one relation of a join tree; its columns are [from, to) of the tree's.
type leaf struct {
	node     plan.Node
	from, to int
	preds    []expr.Expr // over the tree's columns, all within the leaf
	rows     float64
}

type joinGraph struct {
	mode   Mode
	leaves []*leaf
	preds  []expr.Expr // over the tree's columns
	at     []int       // result: position of each of the tree's columns
}

// collect lists the leaves and conditions of a tree whose columns begin at from, and returns where they end.
func (g *joinGraph) collect(n plan.Node, from int) int {
	switch x := n.(type) {
	case *plan.Filter:
		if isJoinTree(x.Input) {
			for _, c := range expr.Conjuncts(x.Cond) {
				g.preds = append(g.preds, expr.MapColumns(c, func(i int) int { return i + from }))
			}
			return g.collect(x.Input, from)
		}
	case *plan.Join:
		if isJoinTree(x) {
			mid := g.collect(x.Left, from)
			end := g.collect(x.Right, mid)
			cols := x.Columns()
			for i := range x.LeftKeys {
				l, r := x.LeftKeys[i], mid-from+x.RightKeys[i]
				g.preds = append(g.preds, equal(&expr.Col{Index: from + l, Ty: cols[l].Type, Name: cols[l].Name},
					&expr.Col{Index: from + r, Ty: cols[r].Type, Name: cols[r].Name}))
			}
			for _, c := range expr.Conjuncts(x.Cond) {
				g.preds = append(g.preds, expr.MapColumns(c, func(i int) int { return i + from }))
			}
			return end
		}
	}
	to := from + len(n.Columns())
	g.leaves = append(g.leaves, &leaf{node: n, from: from, to: to})
	return to
}

// isJoinTree says that n can be taken apart: an inner join whose keys have an = operator to be written with.
func isJoinTree(n plan.Node) bool {
	switch x := n.(type) {
	case *plan.Filter:
		return isJoinTree(x.Input)
	case *plan.Join:
		if x.Kind != plan.Inner || slices.Contains(x.NullSafe, true) {
			return false
		}
		l := x.Left.Columns()
		for _, k := range x.LeftKeys {
			if !hasEquality(l[k].Type) {
				return false
			}
		}
		return true
	}
	return false
}

// impliedFixed adds b = constant for a = b and a = constant, so that both relations can be looked up.
func (g *joinGraph) impliedFixed() {
	type pair struct{ a, b *expr.Col }
	var pairs []pair
	for _, p := range g.preds {
		if c, ok := p.(*expr.Call); ok && len(c.Args) == 2 && plan.IsEquality(c) {
			a, aok := c.Args[0].(*expr.Col)
			b, bok := c.Args[1].(*expr.Col)
			if aok && bok && a.Ty.Base() == b.Ty.Base() {
				pairs = append(pairs, pair{a, b}, pair{b, a})
			}
		}
	}
	fixed := map[int]bool{}
	for i := 0; i < len(g.preds); i++ {
		col, ok := plan.FixedColumn(g.preds[i])
		if !ok || fixed[col] {
			continue
		}
		fixed[col] = true
		for _, p := range pairs {
			if p.a.Index == col && !g.isFixed(p.b.Index) {
				g.preds = append(g.preds, expr.MapColumns(g.preds[i], func(int) int { return p.b.Index }))
			}
		}
	}
}

func (g *joinGraph) isFixed(col int) bool {
	for _, p := range g.preds {
		if c, ok := plan.FixedColumn(p); ok && c == col {
			return true
		}
	}
	return false
}

// assign gives each leaf the conditions over it alone; volatile ones are returned to stay above.
func (g *joinGraph) assign() (up []expr.Expr) {
	var rest []expr.Expr
	for _, p := range g.preds {
		if isVolatile(p) {
			up = append(up, p)
			continue
		}
		placed := false
		for _, l := range g.leaves {
			if !placed && colsWithin(p, func(i int) bool { return i >= l.from && i < l.to }) {
				l.preds, placed = append(l.preds, p), true
			}
		}
		if placed {
			continue
		}
		rest = append(rest, p)
		for _, l := range g.leaves {
			if own := impliedOver(p, func(i int) bool { return i >= l.from && i < l.to }); own != nil && !filtered(l, own) {
				l.preds = append(l.preds, own)
			}
		}
	}
	g.preds = rest
	for _, l := range g.leaves {
		local := mapAll(l.preds, func(i int) int { return i - l.from })
		l.node = push(l.node, local, g.mode)
		if g.mode == Batch {
			l.rows = estimate(l.node)
		}
	}
	return up
}

// filtered says that a leaf has the condition already, from an earlier pass.
func filtered(l *leaf, cond expr.Expr) bool {
	f, ok := l.node.(*plan.Filter)
	return ok && contains(expr.Conjuncts(f.Cond), expr.MapColumns(cond, func(i int) int { return i - l.from }))
}

// joined is a part of the tree that has been joined; cols lists the tree's columns in its output order.
type joined struct {
	node plan.Node
	cols []int
	rows float64
}

// join picks a first relation and joins the others to it one by one.
func (g *joinGraph) join() plan.Node {
	rest := slices.Clone(g.leaves)
	first := 0
	if g.mode == Batch {
		for i, l := range rest {
			if l.rows < rest[first].rows {
				first = i
			}
		}
	}
	cur := single(rest[first])
	rest = slices.Delete(rest, first, first+1)
	for len(rest) > 0 {
		i := g.next(cur, rest)
		cur = g.add(cur, rest[i])
		rest = slices.Delete(rest, i, i+1)
	}
	g.at = make([]int, len(cur.cols))
	for i, c := range cur.cols {
		g.at[c] = i
	}
	return cur.node
}

func single(l *leaf) joined {
	j := joined{node: l.node, rows: l.rows}
	for i := l.from; i < l.to; i++ {
		j.cols = append(j.cols, i)
	}
	return j
}

// next chooses the relation to join: connected ones before others, then by expected size, then in FROM order.
func (g *joinGraph) next(cur joined, rest []*leaf) int {
	best, bestRows := -1, 0.0
	for i, l := range rest {
		if !g.connected(cur, l) {
			continue
		}
		rows := l.rows
		if g.mode == Batch {
			rows = g.joinRows(cur, l)
		}
		if best < 0 || g.mode == Batch && rows < bestRows {
			best, bestRows = i, rows
		}
	}
	if best >= 0 {
		return best
	}
	return 0
}

func (g *joinGraph) connected(cur joined, l *leaf) bool {
	for _, p := range g.preds {
		call, ok := p.(*expr.Call)
		if !ok || len(call.Args) != 2 || !plan.IsEquality(call) {
			continue
		}
		touchesLeaf, touchesCur, within := false, false, true
		expr.Columns(p, func(i int) {
			switch {
			case i >= l.from && i < l.to:
				touchesLeaf = true
			case slices.Contains(cur.cols, i):
				touchesCur = true
			default:
				within = false
			}
		})
		if touchesLeaf && touchesCur && within {
			return true
		}
	}
	return false
}

// joinRows guesses the size of a join: each row meets as many as share its keys. Where the number of keys is not known, looking up a
// unique key keeps the number of rows.
func (g *joinGraph) joinRows(cur joined, l *leaf) float64 {
	var cols, met []int // met: with a partner in cur
	most, known := 1.0, false
	one := false // one side's keys are unique
	for _, p := range g.preds {
		call, ok := p.(*expr.Call)
		if !ok || len(call.Args) != 2 || !plan.IsEquality(call) {
			continue
		}
		here, there := -1, -1
		for _, a := range call.Args {
			c, ok := a.(*expr.Col)
			switch {
			case !ok:
			case c.Index >= l.from && c.Index < l.to:
				here = c.Index
			case slices.Contains(cur.cols, c.Index):
				there = c.Index
			}
		}
		if here < 0 {
			continue
		}
		cols = append(cols, here-l.from)
		if there >= 0 {
			met = append(met, here-l.from)
			one = one || g.unique(there)
			if d := max(g.distinct(here), g.distinct(there)); d > 0 {
				most, known = most*d, true
			}
		}
	}
	one = one || plan.Covers(l.node, met)
	if known {
		if !one {
			most /= manyToMany
		}
		return cur.rows * l.rows / min(most, max(cur.rows, l.rows, g.base(l)))
	}
	if plan.Covers(l.node, cols) {
		return cur.rows * min(1, l.rows/baseRows+0.01)
	}
	return cur.rows * max(l.rows*0.001, 0.1)
}

// manyToMany makes joins look larger in which no side's keys are unique: what is joined to them later meets each row several times.
const manyToMany = 4

// unique reports whether a column of the tree is a key of its relation.
func (g *joinGraph) unique(col int) bool {
	for _, l := range g.leaves {
		if col >= l.from && col < l.to {
			return plan.Covers(l.node, []int{col - l.from})
		}
	}
	return false
}

// base is the number of rows of a leaf before conditions.
func (g *joinGraph) base(l *leaf) float64 {
	n := l.node
	for {
		switch x := n.(type) {
		case *plan.Filter:
			n = x.Input
		case *plan.Project:
			n = x.Input
		default:
			return estimate(n)
		}
	}
}

// distinct guesses how many values a column of the tree has; 0: not known.
func (g *joinGraph) distinct(col int) float64 {
	for _, l := range g.leaves {
		if col >= l.from && col < l.to {
			return distinctOf(l.node, col-l.from)
		}
	}
	return 0
}

// distinctOf guesses how many values a column has in the relation that it comes from.
func distinctOf(n plan.Node, col int) float64 {
	switch x := n.(type) {
	case *plan.TableScan:
		if x.Stats == nil {
			return 0
		}
		return x.Stats.Distinct[x.Cols[col]]
	case *plan.Filter:
		return distinctOf(x.Input, col)
	case *plan.Project:
		if c, ok := x.Exprs[col].(*expr.Col); ok {
			return distinctOf(x.Input, c.Index)
		}
	case *plan.Agg:
		if col < len(x.GroupBy) {
			return distinctOf(x.Input, x.GroupBy[col])
		}
	case *plan.Join:
		if w := len(x.Left.Columns()); col < w {
			return distinctOf(x.Left, col)
		} else if x.Kind < plan.Semi {
			return distinctOf(x.Right, col-w)
		}
	}
	return 0
}

// grouped is how many rows are read to make the groups of n; 0 when it does not group.
func grouped(n plan.Node) float64 {
	switch x := n.(type) {
	case *plan.Filter:
		return grouped(x.Input)
	case *plan.Project:
		return grouped(x.Input)
	case *plan.Agg:
		return estimate(x.Input)
	}
	return 0
}

// add joins one relation. In a batch the smaller input goes to the right, where the hash table is built; groups go to the left, so that only
// those are made whose keys the right side has.
func (g *joinGraph) add(cur joined, l *leaf) joined {
	right := single(l)
	left := cur
	rows := max(g.joinRows(cur, l), 1) // while the conditions are still there
	if g.mode == Batch && max(right.rows, grouped(l.node)) > 4*cur.rows && grouped(cur.node) <= cur.rows {
		left, right = right, cur
	}
	cols := append(slices.Clone(left.cols), right.cols...)
	pos := make(map[int]int, len(cols))
	for i, c := range cols {
		pos[c] = i
	}
	var on, rest []expr.Expr
	for _, p := range g.preds {
		if colsWithin(p, func(i int) bool { _, ok := pos[i]; return ok }) {
			on = append(on, expr.MapColumns(p, func(i int) int { return pos[i] }))
		} else {
			rest = append(rest, p)
		}
	}
	g.preds = rest
	j := &plan.Join{Kind: plan.Inner, Left: left.node, Right: right.node, Cond: expr.And(on)}
	return joined{node: extractKeys(j), cols: cols, rows: rows}
}

// restore projects back to the tree's column order if that changed; up are moved along.
func (g *joinGraph) restore(n plan.Node, width int, up []expr.Expr) (plan.Node, []expr.Expr) {
	for i := range width {
		if g.at[i] != i {
			return pick(n, g.at), up
		}
	}
	return n, up
}

// baseRows is what a relation is taken to hold when nothing is known.
const baseRows = 100_000

// estimate guesses how many rows a relation yields; only the order of guesses matters.
func estimate(n plan.Node) float64 {
	switch x := n.(type) {
	case *plan.TableScan:
		if x.Stats != nil {
			return max(x.Stats.Rows, 1)
		}
	case *plan.Values:
		return float64(len(x.Rows))
	case *plan.SystemScan:
		return 200
	case *plan.Filter:
		return estimateFilter(x)
	case *plan.Agg:
		if x.Scalar {
			return 1
		}
		return max(1, estimate(x.Input)/10)
	case *plan.TopN:
		if len(x.PartitionBy) == 0 && x.Limit >= 0 {
			return float64(x.Limit)
		}
		return estimate(x.Input)
	case *plan.MaxOneRow:
		return 1
	case *plan.Join:
		if len(x.LeftKeys) == 0 && x.Kind < plan.Semi {
			return estimate(x.Left) * estimate(x.Right)
		}
		if x.Kind == plan.Semi && len(x.LeftKeys) == 1 {
			if d := distinctOf(x.Left, x.LeftKeys[0]); d > 0 {
				return max(estimate(x.Left)*min(1, estimate(x.Right)/d), 1)
			}
		}
		return max(estimate(x.Left), 1)
	case *plan.Union:
		sum := 0.0
		for _, c := range x.Inputs {
			sum += estimate(c)
		}
		return sum
	}
	if ch := n.Children(); len(ch) > 0 {
		return estimate(ch[0])
	}
	return baseRows
}

func estimateFilter(x *plan.Filter) float64 {
	if plan.AtMostOneRow(x) {
		return 1
	}
	rows := estimate(x.Input)
	for _, c := range expr.Conjuncts(x.Cond) {
		if col, ok := plan.FixedColumn(c); ok {
			if d := distinctOf(x.Input, col); d > 0 {
				rows /= d
			} else {
				rows *= 0.01
			}
		} else if _, ok := c.(*expr.InList); ok {
			rows *= 0.05
		} else {
			rows *= 0.4
		}
	}
	return max(rows, 1)
}
