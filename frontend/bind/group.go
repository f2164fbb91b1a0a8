package bind

import (
	"slices"

	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
)

// grouping rewrites expressions over the FROM clause to the columns of the aggregation: the keys, then the aggregates.
type grouping struct {
	*selection
	keys []expr.Expr
	sets [][]int // of groupBy
}

// group puts the aggregation on n, rewrites the select list to its columns, and applies HAVING.
func (s *selection) group(n plan.Node, by *groupBy, having expr.Expr) plan.Node {
	g := &grouping{s, by.keys, by.sets}
	g.addDependent(having)
	n, keys := s.placeAll(n, s.sc.id, g.keys)
	n, agg := g.build(n, keys)
	for i := range s.out {
		s.out[i].e = g.rewrite(s.out[i].e)
	}
	for _, w := range s.coll.wins {
		g.rewriteWindow(w)
	}
	for _, f := range s.coll.srfs {
		for i := range f.args {
			if f.done { // before the grouping
				continue
			}
			f.args[i] = g.rewrite(f.args[i])
		}
	}
	n = agg
	if having != nil {
		n = s.filter(n, s.sc.id, g.rewrite(having))
	}
	return n
}

// build makes the projection below the aggregation, and the aggregation.
func (g *grouping) build(n plan.Node, keys []expr.Expr) (plan.Node, plan.Node) {
	pre := &preProject{}
	agg := &plan.Agg{Scalar: len(keys) == 0}
	for _, k := range keys {
		agg.GroupBy = append(agg.GroupBy, pre.add(k))
	}
	for _, a := range g.coll.aggs {
		g.checkDirect(a)
		c := plan.AggCall{Sig: a.fn.Sig(), Result: a.result, Distinct: a.distinct, Filter: -1, Name: a.fn.Name}
		var args []expr.Expr
		n, args = g.placeAll(n, g.sc.id, a.args)
		for _, e := range args {
			c.Args = append(c.Args, pre.add(e))
			c.ArgTypes = append(c.ArgTypes, e.Type())
		}
		if a.filter != nil {
			var f expr.Expr
			n, f = g.place(n, g.sc.id, a.filter)
			c.Filter = pre.add(f)
		}
		for _, o := range a.order {
			var e expr.Expr
			n, e = g.place(n, g.sc.id, o.e)
			c.OrderBy = append(c.OrderBy, plan.SortKey{Col: pre.add(e), Desc: o.desc, NullsFirst: o.nullsFirst})
		}
		agg.Aggs = append(agg.Aggs, c)
	}
	agg.Input = pre.over(n)
	if g.sets != nil {
		agg.Input = g.expand(agg.Input, agg)
	}
	return n, agg
}

// preProject collects the distinct expressions that an operator reads as columns.
type preProject struct {
	es    []expr.Expr
	names []string
}

func (p *preProject) add(e expr.Expr) int {
	for i, x := range p.es {
		if sameExpr(x, e) {
			return i
		}
	}
	name := "?column?"
	if c, ok := e.(*expr.Col); ok {
		name = c.Name
	}
	p.es, p.names = append(p.es, e), append(p.names, name)
	return len(p.es) - 1
}

func (p *preProject) over(n plan.Node) plan.Node {
	return &plan.Project{Input: n, Exprs: p.es, Names: p.names}
}

// addDependent adds to the keys the columns that are used ungrouped but depend on a primary key that is grouped.
func (g *grouping) addDependent(having expr.Expr) {
	add := func(e expr.Expr) {
		if e != nil {
			g.walkUngrouped(e, func(idx int, _ expr.Expr) {
				if g.dependent(idx) {
					c := g.sc.frame.node.Columns()[idx]
					for i := range g.sets {
						g.sets[i] = append(g.sets[i], len(g.keys))
					}
					g.keys = append(g.keys, &expr.Col{Index: idx, Ty: c.Type, Name: c.Name})
				}
			})
		}
	}
	for _, t := range g.out {
		add(t.e)
	}
	add(having)
	for _, w := range g.coll.wins {
		for _, e := range w.exprs() {
			add(e)
		}
	}
	for _, f := range g.coll.srfs {
		for _, e := range f.args {
			if f.done {
				continue
			}
			add(e)
		}
	}
}

// walkUngrouped calls f for each column of the FROM clause that e reads outside of a key.
func (g *grouping) walkUngrouped(e expr.Expr, f func(idx int, at expr.Expr)) {
	expr.Walk(e, func(x expr.Expr) bool {
		if g.keyOf(x) >= 0 {
			return false
		}
		switch c := x.(type) {
		case *expr.Col:
			f(c.Index, c)
		case *subquery:
			anyRef(c.node, func(o *outerRef) bool {
				if o.scope == g.sc.id && !o.agg && g.keyOfColumn(o.idx) < 0 {
					f(o.idx, o)
				}
				return false
			})
		}
		return true
	})
}

func (g *grouping) keyOf(e expr.Expr) int {
	for i, k := range g.keys {
		if sameExpr(k, e) {
			return i
		}
	}
	return -1
}

func (g *grouping) keyOfColumn(idx int) int {
	for i, k := range g.keys {
		if c, ok := k.(*expr.Col); ok && c.Index == idx {
			return i
		}
	}
	return -1
}

// inAllSets says that column idx is a key of every grouping set.
func (g *grouping) inAllSets(idx int) bool {
	k := g.keyOfColumn(idx)
	return k >= 0 && !slices.ContainsFunc(g.sets, func(set []int) bool { return !slices.Contains(set, k) })
}

// dependent says that column idx belongs to a table whose whole primary key is grouped.
func (g *grouping) dependent(idx int) bool {
	for _, it := range g.sc.frame.items {
		if len(it.primary) == 0 || !it.has(idx) {
			continue
		}
		all := true
		for _, p := range it.primary {
			all = all && g.inAllSets(it.cols[p].idx)
		}
		if all {
			return true
		}
	}
	return false
}

func (it *item) has(idx int) bool {
	for _, c := range it.cols {
		if c.idx == idx {
			return true
		}
	}
	return false
}

// rewrite moves an expression to the aggregation's columns. It first finds, from the top, what is to be replaced, so that
// a column inside a key is not taken for an ungrouped one.
func (g *grouping) rewrite(e expr.Expr) expr.Expr {
	if e == nil {
		return nil
	}
	next := map[expr.Expr]expr.Expr{}
	expr.Walk(e, func(x expr.Expr) bool {
		if i := g.keyOf(x); i >= 0 {
			name := ""
			if c, ok := x.(*expr.Col); ok {
				name = c.Name
			}
			next[x] = &expr.Col{Index: i, Ty: x.Type(), Name: name}
			return false
		}
		switch c := x.(type) {
		case *slot:
			switch c.kind {
			case slotAgg:
				next[x] = &expr.Col{Index: g.firstAgg() + c.n, Ty: c.ty, Name: g.coll.aggs[c.n].fn.Name}
			case slotGrouping:
				next[x] = g.groupingValue(g.coll.groupings[c.n])
			}
		case *expr.Col:
			fail(g.ungrouped(c.Index, g.posOf(c)))
		}
		return true
	})
	// From the top again: what is below a key is not rewritten, or the key would not be found any more.
	var replace func(x expr.Expr) expr.Expr
	replace = func(x expr.Expr) expr.Expr {
		if n, ok := next[x]; ok {
			return n
		}
		x = expr.MapChildren(x, replace)
		if s, ok := x.(*subquery); ok {
			return g.rewriteSubquery(s)
		}
		return x
	}
	return replace(e)
}

func (g *grouping) ungrouped(idx, pos int) *sqlerr.Error {
	return sqlerr.New(sqlerr.GroupingError, "column %q must appear in the GROUP BY clause or be used in an aggregate function", g.nameOf(idx)).At(pos)
}

// firstAgg is the column of the first aggregate: behind the keys and the number of the grouping set.
func (g *grouping) firstAgg() int {
	if g.sets != nil {
		return len(g.keys) + 1
	}
	return len(g.keys)
}

func (g *grouping) posOf(e expr.Expr) int {
	if p, ok := g.pos[e]; ok {
		return p
	}
	return -1
}

// rewriteSubquery moves a subquery's references to the aggregation's columns.
func (g *grouping) rewriteSubquery(s *subquery) expr.Expr {
	c := *s
	c.node = mapRefs(s.node, g.sc.id, func(o *outerRef) expr.Expr {
		i := g.keyOfColumn(o.idx)
		if o.agg {
			i = g.firstAgg() + o.idx
		}
		if i < 0 {
			fail(sqlerr.New(sqlerr.GroupingError, "subquery uses ungrouped column %q from outer query", g.nameOf(o.idx)).At(o.pos))
		}
		return &outerRef{scope: o.scope, idx: i, ty: o.ty, name: o.name, pos: o.pos}
	})
	return &c
}

// nameOf is a column of the FROM clause as error messages name it.
func (g *grouping) nameOf(idx int) string {
	for _, it := range g.sc.frame.items {
		for _, c := range it.cols {
			if c.idx == idx {
				return it.name + "." + c.name
			}
		}
	}
	return g.sc.frame.node.Columns()[idx].Name
}

func (w *winCall) exprs() []expr.Expr {
	out := append(append([]expr.Expr(nil), w.args...), w.partition...)
	for _, o := range w.order {
		out = append(out, o.e)
	}
	if w.filter != nil {
		out = append(out, w.filter)
	}
	return out
}

func (g *grouping) rewriteWindow(w *winCall) {
	for i := range w.args {
		w.args[i] = g.rewrite(w.args[i])
	}
	for i := range w.partition {
		w.partition[i] = g.rewrite(w.partition[i])
	}
	for i := range w.order {
		w.order[i].e = g.rewrite(w.order[i].e)
	}
	w.filter = g.rewrite(w.filter)
}

// windows puts the window functions on n, one node for each partition and order, and replaces their slots.
func (s *selection) windows(n plan.Node) plan.Node {
	at := make([]int, len(s.coll.wins))
	done := make([]bool, len(s.coll.wins))
	for i, w := range s.coll.wins {
		if done[i] {
			continue
		}
		var group []int
		for k := i; k < len(s.coll.wins); k++ {
			if !done[k] && w.sameWindow(s.coll.wins[k]) {
				group, done[k] = append(group, k), true
			}
		}
		n = s.windowNode(n, group, at)
	}
	if len(at) == 0 {
		return n
	}
	s.replaceSlots(slotWindow, func(sl *slot) expr.Expr {
		return &expr.Col{Index: at[sl.n], Ty: sl.ty, Name: s.coll.wins[sl.n].name}
	})
	return n
}

func (w *winCall) sameWindow(v *winCall) bool {
	if len(w.partition) != len(v.partition) || len(w.order) != len(v.order) {
		return false
	}
	for i := range w.partition {
		if !sameExpr(w.partition[i], v.partition[i]) {
			return false
		}
	}
	for i, o := range w.order {
		if p := v.order[i]; o.desc != p.desc || o.nullsFirst != p.nullsFirst || !sameExpr(o.e, p.e) {
			return false
		}
	}
	return true
}

// windowNode adds one Window for the calls in group and notes in at the column of each.
func (s *selection) windowNode(n plan.Node, group, at []int) plan.Node {
	first := s.coll.wins[group[0]]
	pre := &preProject{}
	es, names := columnExprs(n, 0, len(n.Columns()))
	pre.es, pre.names = es, names
	hidden := 0
	col := func(e expr.Expr) int {
		var placed expr.Expr
		before := len(n.Columns())
		n, placed = s.place(n, s.sc.id, e)
		if len(n.Columns()) > before { // columns that a subquery appended go behind the input's own
			hidden++
		}
		return pre.add(placed)
	}
	win := &plan.Window{}
	for _, p := range first.partition {
		win.PartitionBy = append(win.PartitionBy, col(p))
	}
	for _, o := range first.order {
		win.OrderBy = append(win.OrderBy, plan.SortKey{Col: col(o.e), Desc: o.desc, NullsFirst: o.nullsFirst})
	}
	for _, k := range group {
		w := s.coll.wins[k]
		f := plan.WindowFunc{Name: w.name, Sig: w.sig, Result: w.result, Filter: -1, Frame: w.frame, ColName: w.name, IgnoreNulls: w.ignoreNulls}
		for _, a := range w.args {
			f.Args = append(f.Args, col(a))
		}
		if w.filter != nil {
			f.Filter = col(w.filter)
		}
		win.Funcs = append(win.Funcs, f)
	}
	if len(pre.es) > len(es) || hidden > 0 {
		n = pre.over(n)
	}
	win.Input = n
	for i, k := range group {
		at[k] = len(n.Columns()) + i
	}
	return win
}

// replaceSlots puts what f makes in the place of slots of one kind.
func (s *selection) replaceSlots(kind slotKind, f func(*slot) expr.Expr) {
	replace := func(e expr.Expr) expr.Expr {
		return expr.Transform(e, func(x expr.Expr) expr.Expr {
			if sl, ok := x.(*slot); ok && sl.kind == kind {
				return f(sl)
			}
			return x
		})
	}
	for i := range s.out {
		s.out[i].e = replace(s.out[i].e)
	}
	for i := range s.srfKeys {
		s.srfKeys[i] = replace(s.srfKeys[i])
	}
	for _, srf := range s.coll.srfs {
		for i := range srf.args {
			srf.args[i] = replace(srf.args[i])
		}
	}
}
