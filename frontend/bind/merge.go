package bind

import (
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/planner/logical"
)

// Merge binds a MERGE statement.
func Merge(env *Env, s *parser.MergeStmt) (out *plan.Merge, err error) {
	b := newBinder(env)
	defer b.done(&err)
	out = b.merge(s)
	out.Source = b.finish(out.Source)
	return out, nil
}

// merging is the state of binding a MERGE: the source's rows, each with the target's row that it matches.
type merging struct {
	*binder
	r *catalog.Relation
	n plan.Node
	// both sees source and target, alone only the source: what does not match has no target.
	both, alone *scope
	old         int // first column of the target's row; behind it stands whether there is one
	conds       []expr.Expr
	kinds       []parser.MergeAction
	rows        [][]expr.Expr // new rows by WHEN; nil where there is none
}

func (b *binder) merge(s *parser.MergeStmt) *plan.Merge {
	r := b.writable(s.Table, "update")
	var outer *scope
	if s.With != nil {
		outer = b.with(s.With, nil, true)
	}
	m := &merging{binder: b, r: r}
	m.join(s, outer)
	for i, w := range s.Whens {
		for _, earlier := range s.Whens[:i] {
			if earlier.Matched == w.Matched && earlier.Cond == nil {
				fail(sqlerr.New(sqlerr.SyntaxError, "unreachable WHEN clause specified after unconditional WHEN clause"))
			}
		}
		m.when(w)
	}
	return &plan.Merge{Table: r, Checks: b.checks(r), Source: m.source()}
}

// join puts the source and the target together.
func (m *merging) join(s *parser.MergeStmt, outer *scope) {
	src := m.tableRef(s.Using, outer, outer)
	target := newFrame(appendColumns(logical.Scan(m.r), []expr.Expr{expr.True()}), m.r.Name, m.r.Schema)
	it := target.items[0]
	it.primary, it.access = m.r.PrimaryKey, m.access(m.r.ID, 0)
	if s.Alias != "" {
		it.rel, it.name, it.schema = m.r.Name, s.Alias, ""
	}
	width := len(m.r.Columns)
	it.cols, target.cols = it.cols[:width], target.cols[:width]
	for _, other := range src.items {
		if other.name == it.name {
			fail(sqlerr.New(sqlerr.DuplicateAlias, "name %q specified more than once", it.name).
				WithDetail("The name is used both as MERGE target table and data source."))
		}
	}
	kind := plan.Inner
	for _, w := range s.Whens {
		if !w.Matched {
			kind = plan.Left
		}
	}
	m.old = len(src.node.Columns())
	beside := m.newScope(src, outer)
	f := m.joinOn(&parser.JoinRef{On: s.On}, kind, src, beside, target, outer)
	m.n = f.node
	m.both = m.newScope(f, outer)
	items := f.items[:len(src.items)]
	m.alone = m.newScope(&frame{node: f.node, items: items, cols: f.cols[:len(src.cols)], hidden: f.items[len(src.items):]}, outer)
}

// when binds one WHEN.
func (m *merging) when(w parser.MergeWhen) {
	sc := m.both
	if !w.Matched {
		sc = m.alone
	}
	cond := expr.Expr(&expr.IsNull{Arg: &expr.Col{Index: m.old + len(m.r.Columns), Ty: sqltypes.Bool}, Negate: w.Matched})
	if w.Cond != nil {
		cond = &expr.BoolOp{Args: []expr.Expr{cond, m.placed(sc, m.ctx(sc, "MERGE WHEN").cond(w.Cond, "WHEN"))}}
	}
	var row []expr.Expr
	switch w.Action {
	case parser.MergeUpdate:
		m.access(m.r.ID, 'w')
		row = m.updated(w, sc)
	case parser.MergeInsert:
		m.access(m.r.ID, 'a')
		row = m.inserted(w, sc)
	case parser.MergeDelete:
		m.access(m.r.ID, 'd')
	}
	m.conds, m.kinds, m.rows = append(m.conds, cond), append(m.kinds, w.Action), append(m.rows, row)
}

func (m *merging) placed(sc *scope, e expr.Expr) expr.Expr {
	m.n, e = m.place(m.n, sc.id, e)
	return e
}

func (m *merging) oldRow() []expr.Expr {
	out := make([]expr.Expr, len(m.r.Columns))
	for i, c := range m.r.Columns {
		out[i] = &expr.Col{Index: m.old + i, Ty: c.Type, Name: c.Name}
	}
	return out
}

func (m *merging) updated(w parser.MergeWhen, sc *scope) []expr.Expr {
	row := m.oldRow()
	x := m.ctx(sc, "UPDATE")
	m.setClauses(m.r, w.Set, func(c int, e parser.Expr) {
		if _, ok := e.(*parser.DefaultExpr); ok {
			row[c] = m.defaultOf(&m.r.Columns[c])
			return
		}
		v := m.placed(sc, x.bind(e))
		row[c] = m.assign(v, m.r.Columns[c].Type, m.r.Columns[c].Name, e.At())
	}, func(cols []int, q *parser.Subquery) {
		n := m.query(q.Query, sc, true).node
		if len(n.Columns()) != len(cols) {
			fail(sqlerr.New(sqlerr.SyntaxError, "number of columns does not match number of values").At(q.Pos))
		}
		from := len(m.n.Columns())
		m.n = m.applyScalar(m.n, sc.id, maxOneRow(n))
		for i, c := range cols {
			v := &expr.Col{Index: from + i, Ty: n.Columns()[i].Type}
			row[c] = m.assign(v, m.r.Columns[c].Type, m.r.Columns[c].Name, q.Pos)
		}
	})
	if hasGenerated(m.r) {
		m.generate(m.r, row)
	}
	return row
}

func (m *merging) inserted(w parser.MergeWhen, sc *scope) []expr.Expr {
	cols := m.insertColumns(m.r, w.Columns)
	m.overriding = w.Overriding
	if w.Values == nil {
		return m.fullRow(m.r, nil, nil)
	}
	cols = checkWidth(len(w.Values), cols, w.Columns != nil, func(k int) int {
		if k < 0 {
			k = len(w.Values) - 1
		}
		return w.Values[k].At()
	})
	m.refuseGenerated(m.r, cols, w.Values)
	x := m.ctx(sc, "VALUES")
	es := make([]expr.Expr, len(cols))
	for i, e := range w.Values {
		if _, ok := e.(*parser.DefaultExpr); ok {
			continue
		}
		c := &m.r.Columns[cols[i]]
		es[i] = m.assign(m.placed(sc, x.bind(e)), c.Type, c.Name, e.At())
	}
	return m.fullRow(m.r, cols, es)
}

// source computes which WHEN a row falls under and then, of that one only, the new row.
func (m *merging) source() plan.Node {
	which := &expr.Case{Ty: sqltypes.Int8, Else: m.number(0)}
	for i, c := range m.conds {
		which.Whens = append(which.Whens, expr.When{Cond: c, Then: m.number(i + 1)})
	}
	at := &expr.Col{Index: len(m.n.Columns()), Ty: sqltypes.Int8, Name: "when"}
	n := appendColumns(m.n, []expr.Expr{which})
	is := func(i int) expr.Expr { return m.operator("=", -1, at, m.number(i+1)) }
	p := &plan.Project{Input: n, Exprs: m.oldRow()}
	action := &expr.Case{Ty: sqltypes.Int8, Else: m.number(int(parser.MergeNothing))}
	for i, k := range m.kinds {
		action.Whens = append(action.Whens, expr.When{Cond: is(i), Then: m.number(int(k))})
	}
	for c, col := range m.r.Columns {
		p.Names = append(p.Names, col.Name)
		v := &expr.Case{Ty: col.Type}
		for i, row := range m.rows {
			if row != nil {
				v.Whens = append(v.Whens, expr.When{Cond: is(i), Then: row[c]})
			}
		}
		if v.Whens == nil {
			p.Exprs = append(p.Exprs, expr.Null(col.Type))
			continue
		}
		p.Exprs = append(p.Exprs, v)
	}
	for _, col := range m.r.Columns {
		p.Names = append(p.Names, col.Name)
	}
	p.Exprs, p.Names = append(p.Exprs, action), append(p.Names, "action")
	return p
}

func (m *merging) number(n int) expr.Expr { return &expr.Const{Ty: sqltypes.Int8, Val: int64(n)} }
