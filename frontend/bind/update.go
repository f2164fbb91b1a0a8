package bind

import (
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/planner/logical"
)

// Update binds an UPDATE statement.
func Update(env *Env, s *parser.UpdateStmt) (out *plan.Update, err error) {
	b := newBinder(env)
	defer b.done(&err)
	out = b.update(s, nil, true)
	out.Source = b.finish(out.Source)
	return out, nil
}

func (b *binder) update(s *parser.UpdateStmt, outer *scope, top bool) *plan.Update {
	r := b.writable(s.Table, "update")
	if s.With != nil {
		outer = b.with(s.With, outer, top)
	}
	f := b.targetFrame(r, 'w', s.Alias, s.From, outer)
	sc := b.newScope(f, outer)
	if s.Where != nil {
		f.node = b.filter(f.node, sc.id, b.ctx(sc, "WHERE").cond(s.Where, "WHERE"))
	}
	out := &plan.Update{Table: r, Checks: b.checks(r), Joined: len(s.From) > 0}
	width := len(r.Columns)
	visible := f.width()
	next := make([]expr.Expr, width)
	for i := range next {
		next[i] = &expr.Col{Index: i, Ty: r.Columns[i].Type, Name: r.Columns[i].Name}
	}
	x := b.ctx(sc, "UPDATE")
	b.setClauses(r, s.Set, func(c int, e parser.Expr) {
		if _, ok := e.(*parser.DefaultExpr); ok {
			next[c] = b.defaultOf(&r.Columns[c])
			return
		}
		var v expr.Expr
		f.node, v = b.place(f.node, sc.id, x.bind(e))
		next[c] = b.assign(v, r.Columns[c].Type, r.Columns[c].Name, e.At())
	}, func(cols []int, q *parser.Subquery) {
		n := b.query(q.Query, sc, true).node
		if len(n.Columns()) != len(cols) {
			fail(sqlerr.New(sqlerr.SyntaxError, "number of columns does not match number of values").At(q.Pos))
		}
		from := len(f.node.Columns())
		f.node = b.applyScalar(f.node, sc.id, maxOneRow(n))
		for i, c := range cols {
			v := &expr.Col{Index: from + i, Ty: n.Columns()[i].Type}
			next[c] = b.assign(v, r.Columns[c].Type, r.Columns[c].Name, q.Pos)
		}
	})
	if hasGenerated(r) {
		b.generate(r, next)
	}
	p := &plan.Project{Input: f.node}
	p.Exprs, p.Names = columnExprs(f.node, 0, width)
	for i := range next {
		p.Exprs, p.Names = append(p.Exprs, next[i]), append(p.Names, r.Columns[i].Name)
	}
	if s.Returning != nil {
		es, names := columnExprs(f.node, width, visible)
		p.Exprs, p.Names = append(p.Exprs, es...), append(p.Names, names...)
		out.Source, out.Returning, out.ReturningNames = b.returningFrom(s.Returning, movedFrame(f, p, width), outer)
		return out
	}
	out.Source = p
	return out
}

// movedFrame is f over UPDATE's source, where every column lies width further right: the target's columns are then the new
// row's.
func movedFrame(f *frame, n plan.Node, width int) *frame {
	g := f.shifted(width)
	g.node = n
	return g
}

// width is how many of the plan's first columns names of the frame reach.
func (f *frame) width() int {
	top := 0
	for _, it := range f.items {
		for _, c := range it.cols {
			top = max(top, c.idx+1)
		}
	}
	for _, v := range f.cols {
		top = max(top, v.idx+1)
	}
	return top
}

// targetFrame is the frame of a changed table, first, and the other FROM items. right is what the change needs.
func (b *binder) targetFrame(r *catalog.Relation, right byte, alias string, from []parser.TableRef, outer *scope) *frame {
	f := newFrame(logical.Scan(r), r.Name, r.Schema)
	f.items[0].primary, f.items[0].access = r.PrimaryKey, b.accessTo(r.ID)
	if right == 'w' {
		f.items[0].access.some('w')
	} else {
		f.items[0].access.need(right)
	}
	if alias != "" {
		f.items[0].rel, f.items[0].name, f.items[0].schema = r.Name, alias, ""
	}
	for _, ref := range from {
		left := b.newScope(f, outer)
		g := b.tableRef(ref, left, outer)
		b.distinctNames(f, g)
		f = b.joined(plan.Inner, f, left.id, g, nil)
	}
	return f
}

// setClauses walks the assignments of SET; multi handles (a, b) = (SELECT …), nil where that is not allowed.
func (b *binder) setClauses(r *catalog.Relation, set []parser.SetClause, one func(c int, e parser.Expr), multi func(cols []int, q *parser.Subquery)) {
	seen := map[int]bool{}
	for _, s := range set {
		cols := make([]int, len(s.Columns))
		for i, c := range s.Columns {
			cols[i] = b.targetColumn(r, c)
			b.accessTo(r.ID).column('w', cols[i])
			if seen[cols[i]] {
				fail(sqlerr.New(sqlerr.SyntaxError, "multiple assignments to same column %q", c.Name).At(c.Pos))
			}
			seen[cols[i]] = true
			if _, isDefault := s.Value.(*parser.DefaultExpr); r.Columns[cols[i]].Identity == "a" && !isDefault {
				fail(sqlerr.New(generatedAlways, "column %q can only be updated to DEFAULT", c.Name).At(c.Pos).
					WithDetail("Column %q is an identity column defined as GENERATED ALWAYS.", c.Name))
			}
			if _, isDefault := s.Value.(*parser.DefaultExpr); r.Columns[cols[i]].Generated != "" && !isDefault {
				fail(sqlerr.New(generatedAlways, "column %q can only be updated to DEFAULT", c.Name).At(c.Pos).
					WithDetail("Column %q is a generated column.", c.Name))
			}
		}
		if !s.Multi && len(cols) == 1 {
			if r.Columns[cols[0]].Generated == "" {
				one(cols[0], s.Value)
			}
			continue
		}
		b.setRow(cols, s, one, multi)
	}
}

func (b *binder) setRow(cols []int, s parser.SetClause, one func(int, parser.Expr), multi func([]int, *parser.Subquery)) {
	switch v := s.Value.(type) {
	case *parser.Row:
		if len(v.Elems) != len(cols) {
			fail(sqlerr.New(sqlerr.SyntaxError, "number of columns does not match number of values").At(s.Columns[0].Pos))
		}
		for i, e := range v.Elems {
			one(cols[i], e)
		}
		return
	case *parser.Subquery:
		if v.Kind == parser.Scalar && multi != nil {
			multi(cols, v)
			return
		}
	default:
		if len(cols) == 1 {
			one(cols[0], s.Value)
			return
		}
	}
	fail(unsupported(s.Value.At(), "", "source for a multiple-column UPDATE item must be a sub-SELECT or ROW() expression"))
}

// Delete binds a DELETE statement.
func Delete(env *Env, s *parser.DeleteStmt) (out *plan.Delete, err error) {
	b := newBinder(env)
	defer b.done(&err)
	out = b.delete(s, nil, true)
	out.Source = b.finish(out.Source)
	return out, nil
}

func (b *binder) delete(s *parser.DeleteStmt, outer *scope, top bool) *plan.Delete {
	r := b.writable(s.Table, "delete from")
	if s.With != nil {
		outer = b.with(s.With, outer, top)
	}
	f := b.targetFrame(r, 'd', s.Alias, s.Using, outer)
	sc := b.newScope(f, outer)
	visible := f.width()
	if s.Where != nil {
		f.node = b.filter(f.node, sc.id, b.ctx(sc, "WHERE").cond(s.Where, "WHERE"))
	}
	out := &plan.Delete{Table: r, Joined: len(s.Using) > 0}
	if s.Returning == nil {
		out.Source = firstColumns(f.node, len(r.Columns))
	} else {
		f.node = firstColumns(f.node, visible)
		out.Source, out.Returning, out.ReturningNames = b.returningFrom(s.Returning, f, outer)
	}
	return out
}
