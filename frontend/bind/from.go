package bind

import (
	"errors"
	"strings"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/planner/logical"
)

// from binds a FROM clause. Its items are joined from left to right.
func (b *binder) from(refs []parser.TableRef, outer *scope) *frame {
	if len(refs) == 0 {
		return &frame{node: oneRow()}
	}
	var f *frame
	for _, ref := range refs {
		left := outer
		if f != nil {
			left = b.newScope(f, outer)
		}
		g := b.tableRef(ref, left, outer)
		if f == nil {
			f = g
			continue
		}
		b.distinctNames(f, g)
		f = b.joined(plan.Inner, f, left.id, g, nil)
	}
	return f
}

// distinctNames refuses two entries of one name in a FROM clause.
func (b *binder) distinctNames(f, g *frame) {
	for _, x := range f.items {
		for _, y := range g.items {
			if x.name == y.name && x.name != "" && (x.schema == y.schema || x.schema == "" || y.schema == "") {
				fail(sqlerr.New(sqlerr.DuplicateAlias, "table name %q specified more than once", y.name))
			}
		}
	}
}

// joined joins two frames; g may refer laterally to f's columns as scope's. on is over f's columns then g's.
func (b *binder) joined(kind plan.JoinKind, f *frame, scope int, g *frame, on expr.Expr) *frame {
	h := g.shifted(len(f.node.Columns()))
	out := &frame{
		node:   b.apply(kind, f.node, scope, g.node, on),
		items:  append(f.items[:len(f.items):len(f.items)], h.items...),
		cols:   append(f.cols[:len(f.cols):len(f.cols)], h.cols...),
		hidden: append(f.hidden[:len(f.hidden):len(f.hidden)], g.hidden...),
	}
	pad(kind, out, len(f.items))
	return out
}

// pad notes on the entries of a join, the first left ones from its left side, which may be padded with NULLs.
func pad(kind plan.JoinKind, f *frame, left int) {
	for i, it := range f.items {
		if kind == plan.Full || kind == plan.Left && i >= left || kind == plan.Right && i < left {
			it.padded = true
		}
	}
}

// tableRef binds one FROM item. left is the scope of what stands before it in the clause, whose parents lead to
// outer, the enclosing query's scope; only lateral items may see the former.
func (b *binder) tableRef(ref parser.TableRef, left, outer *scope) *frame {
	b.enter()
	defer b.leave()
	switch x := ref.(type) {
	case *parser.RelRef:
		return b.relRef(x, left)
	case *parser.SubqueryRef:
		in := left
		if !x.Lateral {
			in = b.sealed(left, outer)
		}
		return b.aliased(b.query(x.Query, in, true).node, x.Alias, "")
	case *parser.FuncRef:
		return b.funcRef(x, left)
	case *parser.JoinRef:
		return b.joinRef(x, left, outer)
	}
	fail(unsupported(ref.At(), "", "this FROM item is not supported"))
	return nil
}

// sealed copies the scopes from left up to outer as ones that may not be referred to, so that a reference gets
// PostgreSQL's explanation.
func (b *binder) sealed(left, outer *scope) *scope {
	if left == outer || left == nil {
		return outer
	}
	c := *left
	c.sealed, c.parent = true, b.sealed(left.parent, outer)
	return &c
}

// aliased makes the frame of a subquery or CTE.
func (b *binder) aliased(n plan.Node, a *parser.Alias, name string) *frame {
	f := newFrame(n, name, "")
	b.applyAlias(f, a, name)
	return f
}

// applyAlias renames a one-item frame and its columns.
func (b *binder) applyAlias(f *frame, a *parser.Alias, name string) {
	it := f.items[0]
	if a == nil {
		return
	}
	if a.Name != "" {
		it.rel, it.name, it.schema = name, a.Name, ""
	}
	if len(a.Columns) > len(it.cols) {
		fail(sqlerr.New(sqlerr.InvalidColumnReference, "table %q has %d columns available but %d columns specified", it.name, len(it.cols), len(a.Columns)))
	}
	for i, c := range a.Columns {
		it.cols[i].name = c.Name
		f.cols[i].name = c.Name
	}
}

func (b *binder) relRef(x *parser.RelRef, left *scope) *frame {
	if x.AsOf != nil {
		fail(unsupported(x.AsOf.At(), "Use it on the right side of JOIN or LEFT JOIN.", "FOR SYSTEM_TIME AS OF is not supported here"))
	}
	f := b.relation(x.Name, left)
	if it := f.items[0]; it.access != nil {
		it.access.some('r')
	}
	if x.Sample != nil {
		b.sample(f, x)
	}
	b.applyAlias(f, x.Alias, f.items[0].name)
	return f
}

// relation resolves a relation by name: a CTE, then the catalog.
func (b *binder) relation(name parser.Name, sc *scope) *frame {
	if len(name.Parts) == 1 && sc != nil {
		if c := sc.ctes.find(name.Last()); c != nil && !c.later {
			return b.cte(c, name.Pos)
		}
	}
	if len(name.Parts) > 2 && name.Parts[len(name.Parts)-3] != b.env.Catalog.Database {
		fail(unsupported(name.Pos, "", "cross-database references are not implemented: %q", name.String()))
	}
	r, sys := b.lookup(name)
	if sys != nil {
		f := newFrame(sys, sys.Name, sys.Schema)
		if last := len(f.cols) - 1; f.cols[last].name == "tableoid" {
			f.cols = f.cols[:last] // * does not list it
		}
		return f
	}
	if r == nil {
		b.missingRelation(name, sc)
	}
	access := b.accessTo(r.ID)
	f := newFrame(b.scan(r, name.Pos), r.Name, r.Schema)
	f.items[0].primary, f.items[0].access = r.PrimaryKey, access
	return f
}

func (b *binder) missingRelation(name parser.Name, sc *scope) {
	e := sqlerr.New(sqlerr.UndefinedTable, "relation %q does not exist", name.String()).At(name.Pos)
	if sc != nil && len(name.Parts) == 1 && sc.ctes.find(name.Last()) != nil {
		e = e.WithDetail("There is a WITH item named %q, but it cannot be referenced from this part of the query.", name.Last()).
			WithHint("Use WITH RECURSIVE, or re-order the WITH items to remove forward references.")
	}
	fail(e)
}

// lookup finds a relation or a system relation; both nil if there is none.
func (b *binder) lookup(name parser.Name) (*catalog.Relation, *plan.SystemScan) {
	last := name.Last()
	if schema := name.Schema(); schema != "" {
		if sys := b.system(schema, last); sys != nil {
			return nil, sys
		}
		if b.env.Catalog.Schemas[schema] != nil {
			b.env.mayUse(schema, name.Pos)
		}
		r, _ := b.env.Catalog.Find(schema, last)
		return r, nil
	}
	implicitCatalog := true
	for _, schema := range b.env.SearchPath {
		implicitCatalog = implicitCatalog && schema != "pg_catalog"
	}
	if implicitCatalog {
		if sys := b.system("pg_catalog", last); sys != nil {
			return nil, sys
		}
	}
	for _, schema := range b.env.SearchPath {
		if sys := b.system(schema, last); sys != nil {
			return nil, sys
		}
		if r, ok := b.env.Catalog.Find(schema, last); ok {
			return r, nil
		}
	}
	return nil, nil
}

func (b *binder) system(schema, name string) *plan.SystemScan {
	if b.env.System == nil {
		return nil
	}
	cols, ok := b.env.System(schema, name)
	if !ok {
		return nil
	}
	if b.env.Streaming && !b.env.Plain {
		fail(unsupported(-1, "", "system relation %q cannot be used in a view that is kept up to date", schema+"."+name))
	}
	return &plan.SystemScan{Schema: schema, Name: name, Cols: seq(0, len(cols)), Out: cols}
}

// scan makes the plan that reads a relation.
func (b *binder) scan(r *catalog.Relation, pos int) plan.Node {
	b.use(r.ID)
	switch r.Kind {
	case catalog.Table, catalog.MatView:
		return logical.Scan(r)
	case catalog.View:
		return b.view(r, pos)
	case catalog.Source:
		return b.sourceScan(r, pos)
	}
	fail(sqlerr.New(sqlerr.WrongObjectType, "cannot open relation %q", r.Name).At(pos).
		WithDetail("This operation is not supported for %s.", map[catalog.Kind]string{catalog.Index: "indexes", catalog.Sink: "sinks",
			catalog.Subscription: "subscriptions", catalog.Connection: "connections"}[r.Kind]))
	return nil
}

func columnsOf(r *catalog.Relation) []plan.Column {
	out := make([]plan.Column, len(r.Columns))
	for i, c := range r.Columns {
		out[i] = plan.Column{Name: c.Name, Type: c.Type}
	}
	return out
}

func (b *binder) sourceScan(r *catalog.Relation, pos int) plan.Node {
	if r.Captures() {
		fail(sqlerr.New(sqlerr.WrongObjectType, "source %q has no rows of its own", r.Name).At(pos).
			WithHint("CREATE TABLE name (*) FROM %s TABLE '…' makes a table that follows one of its tables.", r.Name))
	}
	if !b.env.Streaming {
		fail(unsupported(pos, "Create a materialized view on the source and query that.", "source %q cannot be queried directly", r.Name))
	}
	if r.Connector.ChangesRows() {
		fail(unsupported(pos, "Use CREATE TABLE with the same connector instead: a table keeps the rows that later records change.",
			"source %q has FORMAT %s, whose records change earlier ones", r.Name, r.Connector.Format))
	}
	n := b.sourceRows(r)
	for _, w := range b.watermarks(r) {
		n = w.WithChildren([]plan.Node{n})
	}
	return n
}

// Source is the plan that reads all columns of a relation with a connector: what the connector delivers, and generated
// columns over it. It is what a table's job adds to DML.
func Source(env *Env, r *catalog.Relation) (n plan.Node, err error) {
	b := newBinder(env)
	defer b.done(&err)
	return b.sourceRows(r), nil
}

// sourceRows scans what the connector delivers, which generated columns are not part of, and computes those.
func (b *binder) sourceRows(r *catalog.Relation) plan.Node {
	n := &plan.SourceScan{Source: r.ID, Name: r.Name, Fields: r.Columns, AppendOnly: r.AppendOnly}
	if r.Connector != nil {
		n.Connector = *r.Connector
	}
	at := make([]int, len(r.Columns)) // column of r → of the scan
	row, names := make([]expr.Expr, len(r.Columns)), make([]string, len(r.Columns))
	for i, c := range r.Columns {
		at[i], names[i] = -1, c.Name
		if c.Generated != "" {
			continue
		}
		at[i] = len(n.Cols)
		row[i] = &expr.Col{Index: at[i], Ty: c.Type, Name: c.Name}
		n.Cols, n.Out = append(n.Cols, i), append(n.Out, plan.Column{Name: c.Name, Type: c.Type})
	}
	if len(n.Cols) == len(r.Columns) {
		n.Variants = r.Variants
	}
	for _, k := range r.UniqueKeys {
		if k, ok := renumber(k, at); ok {
			n.UniqueKeys = append(n.UniqueKeys, k)
		}
	}
	if r.Connector.ChangesRows() {
		n.Upsert, n.AppendOnly = true, false
		n.UpsertKey, _ = renumber(r.PrimaryKey, at)
	}
	if !hasGenerated(r) {
		return n
	}
	b.generate(r, row)
	return &plan.Project{Input: n, Exprs: row, Names: names}
}

// renumber maps columns; false if one has no counterpart.
func renumber(cols, at []int) ([]int, bool) {
	out := make([]int, len(cols))
	for i, c := range cols {
		if out[i] = at[c]; out[i] < 0 {
			return nil, false
		}
	}
	return out, true
}

// view expands a view: its text is bound in the search path of its creation.
func (b *binder) view(r *catalog.Relation, pos int) plan.Node {
	env := *b.env
	env.Params, env.Used = nil, nil
	env.as, env.MayUse = r.Owner, nil
	if env.views++; env.views > maxDepth/4 {
		fail(sqlerr.New(sqlerr.StatementTooComplex, "stack depth limit exceeded").At(pos))
	}
	if path, ok := r.Settings["search_path"]; ok {
		env.SearchPath = splitPath(path)
	}
	n, err := viewPlan(&env, r)
	b.env.Access = env.Access
	if err != nil {
		var e *sqlerr.Error
		if errors.As(err, &e) {
			c := *e
			c.Offset, c.Position = 0, 0
			fail(&c)
		}
		failAt(err, pos)
	}
	if n = sameColumns(n, r); n == nil {
		fail(sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "view %q no longer matches its query", r.Name).At(pos).WithHint("Create the view again."))
	}
	n = b.coerceOutputs(n, r.Types(), nil, explicit, nil)
	return named(n, columnsOf(r))
}

// sameColumns picks the view's columns out of its query's: tables may have got columns since, which a * in the text now
// yields too. nil: they are not there.
func sameColumns(n plan.Node, r *catalog.Relation) plan.Node {
	cols := n.Columns()
	if len(cols) == len(r.Columns) {
		return n
	}
	p := &plan.Project{Input: n}
	at := 0
	for _, c := range r.Columns {
		for at < len(cols) && cols[at].Name != c.Name {
			at++
		}
		if at == len(cols) {
			return nil
		}
		p.Exprs = append(p.Exprs, &expr.Col{Index: at, Ty: cols[at].Type, Name: c.Name})
		p.Names = append(p.Names, c.Name)
		at++
	}
	return p
}

func viewPlan(env *Env, r *catalog.Relation) (plan.Node, error) {
	stmt, err := parser.ParseOne(r.Definition)
	if err != nil {
		return nil, err
	}
	s, ok := stmt.(*parser.SelectStmt)
	if !ok {
		return nil, sqlerr.New(sqlerr.InternalError, "definition of view %q is not a query", r.Name)
	}
	return Query(env, s.Query)
}

func splitPath(path string) []string {
	var out []string
	for _, p := range strings.Split(path, ",") {
		if p = strings.Trim(strings.TrimSpace(p), `"`); p != "" {
			out = append(out, p)
		}
	}
	return out
}
