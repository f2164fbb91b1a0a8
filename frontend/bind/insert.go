package bind

import (
	"slices"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/planner/logical"
)

// Insert binds an INSERT statement.
func Insert(env *Env, s *parser.InsertStmt) (out *plan.Insert, err error) {
	b := newBinder(env)
	defer b.done(&err)
	out = b.insert(s, nil, true)
	out.Source = b.finish(out.Source)
	return out, nil
}

// InsertQueries reports whether a statement is to be bound by InsertReturning: RETURNING has a subquery.
func InsertQueries(s *parser.InsertStmt) bool {
	for _, t := range s.Returning {
		if hasSubqueryText(t.Expr) {
			return true
		}
	}
	return false
}

func hasSubqueryText(e parser.Expr) bool {
	found := false
	if e != nil {
		parser.Walk(e, func(n parser.Node) bool {
			_, is := n.(*parser.Subquery)
			found = found || is
			return !found
		})
	}
	return found
}

// InsertReturning binds an INSERT whose RETURNING has subqueries: the INSERT is among env.Changes, as one in WITH is, and what is
// returned is a query of its rows.
func InsertReturning(env *Env, s *parser.InsertStmt) (n plan.Node, err error) {
	b := newBinder(env)
	defer b.done(&err)
	return b.finish(b.insertAndQuery(s, nil, true)), nil
}

func (b *binder) insertAndQuery(s *parser.InsertStmt, outer *scope, top bool) plan.Node {
	if s.With != nil {
		outer = b.with(s.With, outer, top)
	}
	plain := *s
	plain.With, plain.Returning = nil, []parser.Target{{Loc: s.Returning[0].Loc, Expr: &parser.Star{Loc: s.Returning[0].Loc}}}
	rows, _ := b.changeInWith(parser.CTE{Loc: s.Table.Loc, DML: &plain}, outer, top)
	name := s.Table.Last()
	if s.Alias != "" {
		name = s.Alias
	}
	n, es, names := b.returningFrom(s.Returning, newFrame(rows, name, ""), outer)
	return &plan.Project{Input: n, Exprs: es, Names: names}
}

func (b *binder) insert(s *parser.InsertStmt, outer *scope, top bool) *plan.Insert {
	r := b.writable(s.Table, "insert into")
	access := b.accessColumns(r.ID, 'a')
	out := &plan.Insert{Table: r, Checks: b.checks(r)}
	if s.With != nil {
		outer = b.with(s.With, outer, top)
	}
	cols := b.insertColumns(r, s.Columns)
	for _, k := range cols {
		access.column('a', k)
	}
	b.overriding = s.Overriding
	out.Source = b.insertSource(r, s, cols, outer)
	name := r.Name
	if s.Alias != "" {
		name = s.Alias
	}
	if s.OnConflict != nil {
		b.onConflict(out, s, name, access)
	}
	if s.Returning != nil {
		f := newFrame(&plan.Values{Out: columnsOf(r)}, name, "")
		f.items[0].access = access
		out.Returning, out.ReturningNames = b.returning(s.Returning, f)
	}
	return out
}

// writable resolves the target of a statement that changes rows; verb is for the message.
func (b *binder) writable(name parser.Name, verb string) *catalog.Relation {
	r, sys := b.lookup(name)
	if sys != nil {
		fail(sqlerr.New(sqlerr.InsufficientPrivilege, "permission denied: %q is a system catalog", sys.Name).At(name.Pos))
	}
	if r == nil {
		fail(sqlerr.New(sqlerr.UndefinedTable, "relation %q does not exist", name.String()).At(name.Pos))
	}
	switch r.Kind {
	case catalog.Table:
		if r.Captured != nil {
			fail(sqlerr.New(sqlerr.WrongObjectType, "cannot %s table %q: its rows come from another database", verb, r.Name).At(name.Pos).
				WithDetail("It follows the table %q there.", r.Captured.Upstream))
		}
		if r.AppendOnly && verb != "insert into" {
			fail(sqlerr.New(sqlerr.WrongObjectType, "cannot %s append-only table %q", verb, r.Name).At(name.Pos))
		}
		b.use(r.ID)
		return r
	case catalog.MatView:
		fail(sqlerr.New(sqlerr.WrongObjectType, "cannot change materialized view %q", r.Name).At(name.Pos))
	case catalog.View:
		fail(sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "cannot %s view %q", verb, r.Name).At(name.Pos))
	case catalog.Index:
		fail(sqlerr.New(sqlerr.WrongObjectType, "cannot open relation %q", r.Name).At(name.Pos).WithDetail("This operation is not supported for indexes."))
	}
	fail(sqlerr.New(sqlerr.WrongObjectType, "cannot %s %s %q", verb, string(r.Kind), r.Name).At(name.Pos))
	return nil
}

// insertColumns resolves the column list; without one it is all columns.
func (b *binder) insertColumns(r *catalog.Relation, list []parser.InsertColumn) []int {
	if list == nil {
		return seq(0, len(r.Columns))
	}
	out := make([]int, len(list))
	for i, c := range list {
		out[i] = b.targetColumn(r, c)
		for _, o := range out[:i] {
			if o == out[i] {
				fail(sqlerr.New(sqlerr.DuplicateColumn, "column %q specified more than once", c.Name).At(c.Pos))
			}
		}
	}
	return out
}

func (b *binder) targetColumn(r *catalog.Relation, c parser.InsertColumn) int {
	if len(c.Path) > 0 {
		fail(unsupported(c.Pos, "Assign the whole value.", "assigning to a part of column %q is not supported", c.Name))
	}
	i, ok := r.Column(c.Name)
	if !ok {
		fail(sqlerr.New(sqlerr.UndefinedColumn, "column %q of relation %q does not exist", c.Name, r.Name).At(c.Pos))
	}
	return i
}

// insertSource builds full rows of the table: given values, defaults and generated columns.
func (b *binder) insertSource(r *catalog.Relation, s *parser.InsertStmt, cols []int, outer *scope) plan.Node {
	if s.Query == nil {
		return b.completeRows(r, nil, nil, oneRow())
	}
	q := s.Query
	if v, ok := q.Body.(*parser.Values); ok && q.With == nil && q.OrderBy == nil && q.Limit == nil && q.Offset == nil {
		return b.insertValues(r, v, cols, outer, s.Columns != nil)
	}
	n := b.query(q, outer, false).node
	have := n.Columns()
	pos := make([]int, len(have))
	for i := range pos {
		pos[i] = columnPos(q.Body, i)
	}
	cols = checkWidth(len(have), cols, s.Columns != nil, func(int) int { return q.At() })
	ts := make([]sqltypes.Type, len(cols))
	for i, c := range cols {
		ts[i] = r.Columns[c].Type
	}
	b.refuseGenerated(r, cols, nil)
	n = b.coerceOutputs(n, ts, pos, assignment, func(i int, t sqltypes.Type) *sqlerr.Error {
		return assignError(t, ts[i], r.Columns[cols[i]].Name, pos[i])
	})
	es, _ := columnExprs(n, 0, len(cols))
	return b.completeRows(r, cols, es, n)
}

// checkWidth compares the number of values with that of columns. Without a column list, fewer values are fine.
func checkWidth(have int, cols []int, listed bool, pos func(i int) int) []int {
	switch {
	case have > len(cols):
		fail(sqlerr.New(sqlerr.SyntaxError, "INSERT has more expressions than target columns").At(pos(len(cols))))
	case have < len(cols) && listed:
		fail(sqlerr.New(sqlerr.SyntaxError, "INSERT has more target columns than expressions").At(pos(-1)))
	}
	return cols[:have]
}

// refuseGenerated refuses values for generated columns; row, if known, may say DEFAULT.
func (b *binder) refuseGenerated(r *catalog.Relation, cols []int, row []parser.Expr) {
	for i, c := range cols {
		identity := r.Columns[c].Identity == "a" && b.overriding == ""
		if r.Columns[c].Generated == "" && !identity {
			continue
		}
		pos := -1
		if row != nil {
			if _, ok := row[i].(*parser.DefaultExpr); ok {
				continue
			}
			pos = row[i].At()
		}
		if identity {
			fail(sqlerr.New(generatedAlways, "cannot insert a non-DEFAULT value into column %q", r.Columns[c].Name).At(pos).
				WithDetail("Column %q is an identity column defined as GENERATED ALWAYS.", r.Columns[c].Name).
				WithHint("Use OVERRIDING SYSTEM VALUE to override."))
		}
		fail(sqlerr.New(generatedAlways, "cannot insert a non-DEFAULT value into column %q", r.Columns[c].Name).At(pos).
			WithDetail("Column %q is a generated column.", r.Columns[c].Name))
	}
}

// generatedAlways is SQLSTATE 428C9.
const generatedAlways sqlerr.Code = "428C9"

// completeRows projects n to full rows: es are the values of cols.
func (b *binder) completeRows(r *catalog.Relation, cols []int, es []expr.Expr, n plan.Node) plan.Node {
	row := b.fullRow(r, cols, es)
	p := &plan.Project{Input: n, Exprs: row}
	for i := range r.Columns {
		p.Names = append(p.Names, r.Columns[i].Name)
	}
	return p
}

func (b *binder) fullRow(r *catalog.Relation, cols []int, es []expr.Expr) []expr.Expr {
	row := make([]expr.Expr, len(r.Columns))
	for i, c := range cols {
		if b.overriding == "USER" && r.Columns[c].Identity != "" {
			continue // the sequence gives the value
		}
		row[c] = es[i]
	}
	for i := range row {
		if row[i] == nil {
			row[i] = b.defaultOf(&r.Columns[i])
		}
	}
	if hasGenerated(r) {
		b.generate(r, row)
	}
	return row
}

// insertValues binds VALUES with each value coerced to its column by itself.
func (b *binder) insertValues(r *catalog.Relation, v *parser.Values, cols []int, outer *scope, listed bool) plan.Node {
	sc := b.newScope(&frame{node: oneRow()}, outer)
	x := b.ctx(sc, "VALUES")
	out := &plan.Values{Out: columnsOf(r), Rows: make([][]expr.Expr, len(v.Rows))}
	for i, row := range v.Rows {
		if len(row) != len(v.Rows[0]) {
			fail(sqlerr.New(sqlerr.SyntaxError, "VALUES lists must all be the same length").At(row[0].At()))
		}
		targets := checkWidth(len(row), cols, listed, func(k int) int {
			if k < 0 {
				return row[len(row)-1].At()
			}
			return row[k].At()
		})
		b.refuseGenerated(r, targets, row)
		es := make([]expr.Expr, len(row))
		for k, e := range row {
			if _, ok := e.(*parser.DefaultExpr); ok {
				continue
			}
			c := &r.Columns[targets[k]]
			es[k] = b.assign(x.bind(e), c.Type, c.Name, e.At())
		}
		out.Rows[i] = b.fullRow(r, targets, es)
	}
	return b.valuesPlan(out, sc.id)
}

// onConflict binds ON CONFLICT: the arbiter is the primary key or a unique one.
func (b *binder) onConflict(out *plan.Insert, s *parser.InsertStmt, name string, access *Access) {
	oc, r := s.OnConflict, out.Table
	b.arbiter(out, oc, r)
	if oc.Targets != nil {
		for _, t := range oc.Targets {
			if ref, ok := t.Expr.(*parser.ColumnRef); ok {
				if k, ok := r.Column(ref.Parts[0]); ok {
					access.column('r', k)
				}
			}
		}
	}
	if oc.Update == nil {
		out.Conflict = 'N'
		return
	}
	if oc.Targets == nil && oc.Constraint == "" {
		fail(sqlerr.New(sqlerr.SyntaxError, "ON CONFLICT DO UPDATE requires inference specification or constraint name").At(oc.Pos).
			WithHint("For example, ON CONFLICT (column_name)."))
	}
	out.Conflict = 'U'
	access.some('w')
	width := len(r.Columns)
	f := newFrame(&plan.Values{Out: append(columnsOf(r), columnsOf(r)...)}, name, "")
	old := &item{name: name, cols: f.items[0].cols[:width], access: access}
	excluded := &item{name: "excluded", cols: f.items[0].cols[width:]}
	f.items = []*item{old, excluded}
	f.cols = f.cols[:width]
	for i := range f.cols {
		f.cols[i].from = old
	}
	sc := b.newScope(f, nil)
	out.Set = make([]expr.Expr, width)
	for i := range r.Columns {
		out.Set[i] = &expr.Col{Index: i, Ty: r.Columns[i].Type, Name: r.Columns[i].Name}
	}
	x := b.ctx(sc, "ON CONFLICT DO UPDATE")
	b.setClauses(r, oc.Update, func(c int, e parser.Expr) {
		if _, ok := e.(*parser.DefaultExpr); ok {
			out.Set[c] = b.defaultOf(&r.Columns[c])
			return
		}
		out.Set[c] = b.assign(x.bind(e), r.Columns[c].Type, r.Columns[c].Name, e.At())
	}, func(cols []int, q *parser.Subquery) {
		fail(unsupported(q.Pos, "Assign each column by itself.", "a subquery of several columns is not supported in ON CONFLICT DO UPDATE"))
	})
	if oc.Where != nil {
		out.Where = x.cond(oc.Where, "WHERE")
	}
	b.conflictQueries(out, sc)
	if hasGenerated(r) {
		b.generate(r, out.Set)
	}
}

// conflictQueries lets the source compute the subqueries of DO UPDATE: it finds the row that is in the way of each of its rows, and yields
// what the subqueries give for the two behind the row. Set and Where then read that.
func (b *binder) conflictQueries(out *plan.Insert, sc *scope) {
	es := append(slices.Clone(out.Set), out.Where)
	if !slices.ContainsFunc(es, func(e expr.Expr) bool { return e != nil && hasSubquery(e) }) {
		return
	}
	r, width := out.Table, len(out.Table.Columns)
	key := r.PrimaryKey
	for _, c := range r.Constraints {
		if c.ID == out.Arbiter && out.Arbiter != 0 {
			key = nil
			for _, id := range c.Columns {
				k, _ := r.ColumnAt(id)
				key = append(key, k)
			}
		}
	}
	join := &plan.Join{Kind: plan.Left, Left: out.Source, Right: logical.Scan(r), LeftKeys: key, RightKeys: key}
	both := &plan.Project{Input: join}
	for _, from := range []int{width, 0} { // the old row, then the new one
		cols, names := columnExprs(join, from, from+width)
		both.Exprs, both.Names = append(both.Exprs, cols...), append(both.Names, names...)
	}
	n, es := b.placeAll(both, sc.id, es)
	out.Set, out.Where = es[:width:width], es[width]
	cols, names := columnExprs(n, width, len(n.Columns()))
	out.Source = &plan.Project{Input: n, Exprs: cols, Names: names}
}

// arbiter finds the key that a conflict target means. DO NOTHING needs none.
func (b *binder) arbiter(out *plan.Insert, oc *parser.OnConflict, r *catalog.Relation) {
	if oc.Constraint != "" {
		if len(r.PrimaryKey) > 0 && oc.Constraint == r.PrimaryKeyLabel() {
			return
		}
		c := r.ConstraintNamed(oc.Constraint)
		switch {
		case c == nil:
			fail(sqlerr.New(sqlerr.UndefinedObject, "constraint %q for table %q does not exist", oc.Constraint, r.Name))
		case c.Kind != catalog.UniqueKey:
			fail(sqlerr.New(sqlerr.WrongObjectType, "constraint in ON CONFLICT clause has no associated index"))
		}
		out.Arbiter = c.ID
		return
	}
	if oc.Targets == nil {
		out.AnyArbiter = true
		return
	}
	named := map[int]bool{}
	for _, t := range oc.Targets {
		ref, ok := t.Expr.(*parser.ColumnRef)
		if !ok || len(ref.Parts) != 1 {
			noArbiter()
		}
		i, ok := r.Column(ref.Parts[0])
		if !ok {
			fail(sqlerr.New(sqlerr.UndefinedColumn, "column %q does not exist", ref.Parts[0]).At(ref.Pos))
		}
		named[i] = true
	}
	is := func(cols []int) bool {
		for _, k := range cols {
			if !named[k] {
				return false
			}
		}
		return len(cols) == len(named)
	}
	if is(r.PrimaryKey) {
		return
	}
	for _, c := range r.Constraints {
		var cols []int
		for _, id := range c.Columns {
			k, _ := r.ColumnAt(id)
			cols = append(cols, k)
		}
		if c.Kind == catalog.UniqueKey && is(cols) {
			out.Arbiter = c.ID
			return
		}
	}
	noArbiter()
}

func noArbiter() {
	fail(sqlerr.New(sqlerr.InvalidColumnReference, "there is no unique or exclusion constraint matching the ON CONFLICT specification"))
}

// returning binds a RETURNING list over a frame.
func (b *binder) returning(list []parser.Target, f *frame) ([]expr.Expr, []string) {
	x := b.ctx(b.newScope(f, nil), "RETURNING")
	x.noSubquery = true
	return x.returning(list)
}

// returningFrom is returning where the rows come from a plan, whose columns subqueries may use. The plan's columns stay
// the first ones.
func (b *binder) returningFrom(list []parser.Target, f *frame, outer *scope) (plan.Node, []expr.Expr, []string) {
	sc := b.newScope(f, outer)
	es, names := b.ctx(sc, "RETURNING").returning(list)
	n, es := b.placeAll(f.node, sc.id, es)
	return n, es, names
}

func (x *exprCtx) returning(list []parser.Target) ([]expr.Expr, []string) {
	es, names := []expr.Expr{}, []string{}
	for _, t := range list {
		if star, ok := t.Expr.(*parser.Star); ok {
			for _, c := range x.expandStar(star) {
				es, names = append(es, c.e), append(names, c.name)
			}
			continue
		}
		name := t.Alias
		if name == "" {
			name = columnName(t.Expr)
		}
		es, names = append(es, x.value(t.Expr)), append(names, name)
	}
	return es, names
}
