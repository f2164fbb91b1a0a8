package bind

import (
	"strings"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

var joinKinds = map[parser.JoinKind]plan.JoinKind{
	parser.InnerJoin: plan.Inner, parser.CrossJoin: plan.Inner,
	parser.LeftJoin: plan.Left, parser.RightJoin: plan.Right, parser.FullJoin: plan.Full,
}

// joinRef binds a JOIN.
func (b *binder) joinRef(x *parser.JoinRef, left, outer *scope) *frame {
	if r, ok := x.Right.(*parser.RelRef); x.AsOf || ok && r.AsOf != nil {
		return b.timedJoin(x, left, outer)
	}
	kind := joinKinds[x.Kind]
	l := b.tableRef(x.Left, left, outer)
	beside := b.newScope(l, left)
	r := b.tableRef(x.Right, beside, outer)
	b.distinctNames(l, r)
	if (kind == plan.Right || kind == plan.Full) && refersTo(r.node, beside.id) {
		var ref *outerRef
		anyRef(r.node, func(o *outerRef) bool {
			if o.scope == beside.id && ref == nil {
				ref = o
			}
			return ref != nil
		})
		table, _, _ := strings.Cut(ref.name, ".")
		fail(sqlerr.New(sqlerr.InvalidColumnReference, "invalid reference to FROM-clause entry for table %q", table).At(ref.pos).
			WithDetail("The combining JOIN type must be INNER or LEFT for a LATERAL reference."))
	}
	var f *frame
	switch {
	case x.Natural:
		f = b.joinUsing(x, kind, l, beside.id, r, commonNames(l, r))
	case x.Using != nil:
		f = b.joinUsing(x, kind, l, beside.id, r, x.Using)
	default:
		f = b.joinOn(x, kind, l, beside, r, b.sealed(left, outer))
	}
	if x.Alias != nil {
		return b.aliasJoin(f, x.Alias)
	}
	return f
}

// joinOn joins on a condition. Conjuncts with subqueries are applied after an inner join, and to the side that is padded
// in an outer one.
func (b *binder) joinOn(x *parser.JoinRef, kind plan.JoinKind, l *frame, beside *scope, r *frame, outer *scope) *frame {
	if x.On == nil {
		return b.joined(kind, l, beside.id, r, nil)
	}
	names := b.joinedNames(l, r)
	sc := b.newScope(names, outer)
	cond := b.ctx(sc, "JOIN conditions").cond(x.On, "JOIN/ON")
	var plain, rest []expr.Expr
	for _, c := range expr.Conjuncts(cond) {
		if hasSubquery(c) {
			rest = append(rest, c)
		} else {
			plain = append(plain, c)
		}
	}
	if len(rest) > 0 && kind != plan.Inner {
		o := &outerJoin{binder: b, l: l.node, r: r.node, left: beside.id, right: b.newScope(r, nil).id, both: sc.id, width: len(l.node.Columns())}
		pad(kind, names, len(l.items))
		names.node = o.join(kind, expr.And(plain), expr.And(rest))
		return names
	}
	f := b.joined(kind, l, beside.id, r, expr.And(plain))
	if len(rest) > 0 {
		f.node = b.filter(f.node, sc.id, expr.And(rest))
	}
	return f
}

// outerJoin is an outer join whose condition has subqueries: those conjuncts become a filter on the side that is padded,
// which refers to the other side as a LATERAL query does.
type outerJoin struct {
	*binder
	l, r        plan.Node
	left, right int // scopes of the sides
	both        int // scope of the condition: l's columns, then r's
	width       int // of l
}

func (o *outerJoin) join(kind plan.JoinKind, plain, rest expr.Expr) plan.Node {
	rw := len(o.r.Columns())
	swap := func(i int) int {
		if i < o.width {
			return i + rw
		}
		return i - o.width
	}
	turned := plain
	if plain != nil {
		turned = expr.MapColumns(plain, swap)
	}
	fromLeft := func() plan.Node {
		return o.apply(plan.Left, o.l, o.left, o.filter(o.r, o.right, o.onSide(rest, false)), plain)
	}
	fromRight := func(kind plan.JoinKind) plan.Node {
		return o.apply(kind, o.r, o.right, o.filter(o.l, o.left, o.onSide(rest, true)), turned)
	}
	switch kind {
	case plan.Left:
		return fromLeft()
	case plan.Right:
		return pick(fromRight(plan.Left), append(seq(rw, rw+o.width), seq(0, rw)...))
	}
	// A full join is the left one and the right rows that have no partner.
	alone := fromRight(plan.Anti)
	p := &plan.Project{Input: alone}
	for _, c := range o.l.Columns() {
		p.Exprs, p.Names = append(p.Exprs, expr.Null(c.Type)), append(p.Names, c.Name)
	}
	es, names := columnExprs(alone, 0, rw)
	p.Exprs, p.Names = append(p.Exprs, es...), append(p.Names, names...)
	return &plan.Union{Inputs: []plan.Node{fromLeft(), p}}
}

// onSide moves a condition to one side: the other side's columns become references to its scope.
func (o *outerJoin) onSide(cond expr.Expr, left bool) expr.Expr {
	own := func(i int) bool { return i < o.width == left }
	ref := func(i int, ty sqltypes.Type, name string, pos int) *outerRef {
		r := &outerRef{scope: o.left, idx: i, ty: ty, name: name, pos: pos}
		if i >= o.width {
			r.scope, r.idx = o.right, i-o.width
		}
		return r
	}
	return expr.Transform(cond, func(e expr.Expr) expr.Expr {
		switch c := e.(type) {
		case *expr.Col:
			r := ref(c.Index, c.Ty, c.Name, -1)
			if own(c.Index) {
				return &expr.Col{Index: r.idx, Ty: c.Ty, Name: c.Name}
			}
			return r
		case *subquery:
			s := *c
			s.scope = o.left
			if !left {
				s.scope = o.right
			}
			s.node = mapRefs(c.node, o.both, func(x *outerRef) expr.Expr { return ref(x.idx, x.ty, x.name, x.pos) })
			return &s
		}
		return e
	})
}

// joinedNames is the frame of l and r side by side, for resolving names in a join condition.
func (b *binder) joinedNames(l, r *frame) *frame {
	h := r.shifted(len(l.node.Columns()))
	return &frame{
		node:  &plan.Join{Kind: plan.Inner, Left: l.node, Right: r.node},
		items: append(l.items[:len(l.items):len(l.items)], h.items...),
		cols:  append(l.cols[:len(l.cols):len(l.cols)], h.cols...),
	}
}

// commonNames lists the names that both sides of a NATURAL join have.
func commonNames(l, r *frame) []parser.Ident {
	var out []parser.Ident
	for _, v := range l.cols {
		for _, w := range r.cols {
			if v.name == w.name {
				out = append(out, parser.Ident{Name: v.name, Loc: parser.Loc{Pos: -1}})
				break
			}
		}
	}
	return out
}

// joinUsing joins on equal names and merges those columns.
func (b *binder) joinUsing(x *parser.JoinRef, kind plan.JoinKind, l *frame, scope int, r *frame, names []parser.Ident) *frame {
	lw := len(l.node.Columns())
	var conds []expr.Expr
	var left, right []int
	for _, id := range names {
		li := usingColumn(l, id, "left")
		ri := usingColumn(r, id, "right") + lw
		left, right = append(left, li), append(right, ri)
		lt, rt := l.node.Columns()[li].Type, r.node.Columns()[ri-lw].Type
		conds = append(conds, b.operator("=", x.Pos, &expr.Col{Index: li, Ty: lt, Name: id.Name}, &expr.Col{Index: ri, Ty: rt, Name: id.Name}))
	}
	f := b.joined(kind, l, scope, r, expr.And(conds))
	merged := make([]visible, len(names))
	var more []expr.Expr
	width := len(f.node.Columns())
	for i, id := range names {
		e := b.mergedColumn(x, kind, f.node.Columns(), left[i], right[i])
		at := -1
		if c, ok := e.(*expr.Col); ok {
			at = c.Index
		} else {
			at = width + len(more)
			more = append(more, e)
		}
		merged[i] = visible{col{id.Name, at}, nil}
	}
	if len(more) > 0 {
		f.node = appendColumns(f.node, more)
	}
	b.mergeNames(x, f, merged, left, right)
	return f
}

// usingColumn finds a USING column on one side.
func usingColumn(f *frame, id parser.Ident, side string) int {
	found := -1
	for _, v := range f.cols {
		if v.name != id.Name {
			continue
		}
		if found >= 0 {
			fail(sqlerr.New(sqlerr.AmbiguousColumn, "common column name %q appears more than once in %s table", id.Name, side))
		}
		found = v.idx
		v.from.read(v.idx)
	}
	if found < 0 {
		fail(sqlerr.New(sqlerr.UndefinedColumn, "column %q specified in USING clause does not exist in %s table", id.Name, side))
	}
	return found
}

// mergedColumn is the one column that USING makes of two.
func (b *binder) mergedColumn(x *parser.JoinRef, kind plan.JoinKind, cols []plan.Column, li, ri int) expr.Expr {
	l := &expr.Col{Index: li, Ty: cols[li].Type, Name: cols[li].Name}
	r := &expr.Col{Index: ri, Ty: cols[ri].Type, Name: cols[ri].Name}
	both, t := b.unify("JOIN/USING", []typed{{l, x.Pos}, {r, x.Pos}})
	switch kind {
	case plan.Right:
		return both[1]
	case plan.Full:
		return &expr.Coalesce{Args: both, Ty: t}
	}
	return both[0]
}

// mergeNames puts merged columns first and hides the two that each was made of from * and bare names.
func (b *binder) mergeNames(x *parser.JoinRef, f *frame, merged []visible, left, right []int) {
	cols := merged
	for _, v := range f.cols {
		if indexOf(left, v.idx) < 0 && indexOf(right, v.idx) < 0 {
			cols = append(cols, v)
		}
	}
	f.cols = cols
	if x.UsingAlias != "" {
		it := &item{name: x.UsingAlias}
		for _, m := range merged[:len(left)] {
			it.cols = append(it.cols, m.col)
		}
		f.items = append(f.items, it)
	}
}

// aliasJoin gives (a JOIN b) one name: its visible columns become those of one item.
func (b *binder) aliasJoin(f *frame, a *parser.Alias) *frame {
	it := &item{name: a.Name}
	for _, below := range f.items {
		below.readAll()
	}
	out := &frame{node: f.node, items: []*item{it}, hidden: append(f.hidden, f.items...)}
	if len(a.Columns) > len(f.cols) {
		fail(sqlerr.New(sqlerr.InvalidColumnReference, "join expression %q has %d columns available but %d columns specified", a.Name, len(f.cols), len(a.Columns)))
	}
	for i, v := range f.cols {
		c := v.col
		if i < len(a.Columns) {
			c.name = a.Columns[i].Name
		}
		it.cols = append(it.cols, c)
		out.cols = append(out.cols, visible{c, it})
	}
	return out
}

// isTimestamp says that windows can be cut over a column of type t.
func isTimestamp(t sqltypes.Type) bool {
	return t.Kind == sqltypes.KTimestamp || t.Kind == sqltypes.KTimestamptz
}
