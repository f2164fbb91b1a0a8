package session

import (
	"context"
	"slices"
	"strings"

	"github.com/millrace/millrace/frontend/bind"
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/planner/rule"
	"github.com/millrace/millrace/planner/stream"
)

// viewColumns takes a query's columns over as a relation's, under the names given.
func viewColumns(r *catalog.Relation, n plan.Node, names []parser.Ident, pos int) error {
	cols := n.Columns()
	if len(names) > len(cols) {
		return sqlerr.New(sqlerr.SyntaxError, "CREATE VIEW specifies more column names than columns").At(names[len(cols)].Pos)
	}
	for i, c := range cols {
		name := c.Name
		if i < len(names) {
			name = names[i].Name
		}
		if err := addColumn(r, catalog.Column{Name: name, Type: c.Type}, pos); err != nil {
			return err
		}
	}
	return nil
}

// createView runs CREATE VIEW.
func (s *Session) createView(ctx context.Context, x *parser.CreateViewStmt) error {
	snap := s.snapshot()
	r, err := s.newRelation(snap, x.Name, catalog.View, parser.Format(x.Query))
	if err != nil {
		return err
	}
	if old, taken := snap.Find(r.Schema, r.Name); taken && x.OrReplace && old.Kind == catalog.View {
		return s.replaceView(ctx, snap, old, r, x)
	}
	if skip, err := s.exists(snap, r, x.IfNotExists); skip || err != nil {
		return err
	}
	if err := s.bindView(r, x); err != nil {
		return err
	}
	return s.create(ctx, snap, r, nil)
}

func (s *Session) bindView(r *catalog.Relation, x *parser.CreateViewStmt) error {
	env := s.env(nil)
	env.Streaming, env.Plain = true, true
	n, err := bind.Query(env, x.Query)
	if err != nil {
		return err
	}
	r.DependsOn = env.Used
	return viewColumns(r, n, x.Columns, x.Query.Pos)
}

// replaceView gives a view another query whose first columns are the same.
func (s *Session) replaceView(ctx context.Context, snap *catalog.Snapshot, old, r *catalog.Relation, x *parser.CreateViewStmt) error {
	if err := s.bindView(r, x); err != nil {
		return err
	}
	if err := s.mustOwnRelation(old, false); err != nil {
		return err
	}
	r.ID, r.Owner, r.ACL = old.ID, old.Owner, old.ACL
	if slices.Contains(r.DependsOn, old.ID) {
		return sqlerr.New(sqlerr.InvalidRecursion, "infinite recursion detected in rules for relation %q", r.Name).At(x.Name.Pos)
	}
	if len(r.Columns) < len(old.Columns) {
		return sqlerr.New(sqlerr.InvalidTableDefinition, "cannot drop columns from view").At(x.Name.Pos)
	}
	for i, c := range old.Columns {
		if r.Columns[i].Name != c.Name {
			return sqlerr.New(sqlerr.InvalidTableDefinition, "cannot change name of view column %q to %q", c.Name, r.Columns[i].Name).At(x.Name.Pos).
				WithHint("Use ALTER VIEW ... RENAME COLUMN ... to change name of view column instead.")
		}
		if r.Columns[i].Type != c.Type {
			return sqlerr.New(sqlerr.InvalidTableDefinition, "cannot change data type of view column %q from %s to %s", c.Name, c.Type, r.Columns[i].Type).At(x.Name.Pos)
		}
	}
	return s.apply(ctx, snap, catalog.Change{Put: []*catalog.Relation{r}})
}

// streamQuery binds and optimises a query for a job.
func (s *Session) streamQuery(r *catalog.Relation, q *parser.Query) (plan.Node, error) {
	env := s.env(nil)
	env.Streaming = true
	n, err := bind.Query(env, q)
	if err != nil {
		return nil, err
	}
	if err := s.mayAccess(env.Access); err != nil {
		return nil, err
	}
	r.DependsOn = append(r.DependsOn, dependencies(env.Catalog, n, env.Used)...)
	return rule.Optimize(n, rule.Stream), nil
}

// dependencies are the relations that a query names and those that its plan reads through views.
func dependencies(snap *catalog.Snapshot, n plan.Node, used []catalog.ID) []catalog.ID {
	out := slices.Clone(used)
	add := func(id catalog.ID) {
		if snap.Relations[id] != nil && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	plan.Walk(n, func(n plan.Node) bool {
		switch x := n.(type) {
		case *plan.TableScan:
			add(x.Table)
		case *plan.SourceScan:
			add(x.Source)
		}
		return true
	})
	return out
}

// createMatView runs CREATE MATERIALIZED VIEW.
func (s *Session) createMatView(ctx context.Context, x *parser.CreateMatViewStmt) error {
	snap := s.snapshot()
	r, err := s.newRelation(snap, x.Name, catalog.MatView, parser.Format(x.Query))
	if err != nil {
		return err
	}
	if skip, err := s.exists(snap, r, x.IfNotExists); skip || err != nil {
		return err
	}
	n, err := s.streamQuery(r, x.Query)
	if err != nil {
		return err
	}
	if err := viewColumns(r, n, x.Columns, x.Query.Pos); err != nil {
		return err
	}
	if err := setRates(r, x.Options); err != nil {
		return err
	}
	return s.create(ctx, snap, r, func(id catalog.ID) (int, error) {
		p, f, err := stream.Plan(n, s.root(stream.Root{Table: id, EmitOnClose: x.EmitOnWindowClose}), r.Parallelism)
		if err != nil {
			return 0, placed(err, x.Query, x.EmitAt)
		}
		return setJob(r, p, f)
	})
}

// root adds to a plan's root what depends on the session.
func (s *Session) root(r stream.Root) stream.Root {
	l := s.settings.io.Time.Location
	r.Zoned = l != nil && l.String() != "UTC"
	return r
}

// placed gives an error of the stream planner the place of what it is about in the statement.
func placed(err error, q *parser.Query, emit parser.Loc) error {
	e := sqlerr.From(err)
	if e.About == "" || e.Offset != 0 || e.Position != 0 {
		return err
	}
	if e.About == stream.AboutEmit {
		return e.At(emit.Pos)
	}
	if q == nil {
		return err
	}
	at := -1
	parser.Walk(q, func(n parser.Node) bool {
		if at < 0 && callsFunction(n, e.About) {
			at = n.At()
		}
		return at < 0
	})
	return e.At(at)
}

// callsFunction says that a node calls the function of that name, or reads the relation.
func callsFunction(n parser.Node, function string) bool {
	switch x := n.(type) {
	case *parser.FuncCall:
		return x.Name.Last() == function
	case *parser.RelRef:
		return x.Name.Last() == function
	case *parser.SQLValue: // all of them are bound as casts of now()
		return x.Name == function || function == "now" && (strings.HasPrefix(x.Name, "current_") || strings.HasPrefix(x.Name, "local"))
	}
	return false
}

// createIndex runs CREATE INDEX.
func (s *Session) createIndex(ctx context.Context, x *parser.CreateIndexStmt) error {
	snap := s.snapshot()
	base, err := s.find(snap, x.Table)
	if err != nil {
		return err
	}
	if !base.IsStored() || base.Kind == catalog.Index {
		return sqlerr.New(sqlerr.WrongObjectType, "cannot create index on relation %q", base.Name).At(x.Table.Pos).
			WithDetail("This operation is not supported for %ss.", base.Kind)
	}
	if err := s.mustOwnRelation(base, false); err != nil {
		return err
	}
	name := x.Name
	if name.Last() == "" {
		name = parser.Name{Loc: x.Table.Loc, Parts: []string{base.Schema, s.indexName(snap, base, x)}}
	} else if name.Schema() == "" {
		name.Parts = []string{base.Schema, name.Last()}
	}
	r, err := s.newRelation(snap, name, catalog.Index, x.Text)
	if err != nil {
		return err
	}
	if skip, err := s.exists(snap, r, x.IfNotExists); skip || err != nil {
		return err
	}
	if err := indexKey(r, base, x); err != nil {
		return err
	}
	if r.Unique {
		return s.createUniqueIndex(ctx, base, r, x)
	}
	if len(base.Key) == 0 {
		return sqlerr.New(sqlerr.FeatureNotSupported, "cannot create an index on %q, whose rows have no key", base.Name).At(x.Table.Pos).
			WithHint("Give the table a primary key.")
	}
	for _, c := range base.Columns {
		if err := addColumn(r, c, x.Pos); err != nil {
			return err
		}
	}
	r.DependsOn = []catalog.ID{base.ID}
	return s.create(ctx, snap, r, func(catalog.ID) (int, error) {
		p, f, err := stream.IndexJob(r, base, r.Parallelism)
		if err != nil {
			return 0, err
		}
		return setJob(r, p, f)
	})
}

// createUniqueIndex adds a unique key that is no constraint.
func (s *Session) createUniqueIndex(ctx context.Context, base, r *catalog.Relation, x *parser.CreateIndexStmt) error {
	if base.Kind != catalog.Table || base.Connector != nil {
		return sqlerr.New(sqlerr.FeatureNotSupported, "unique indexes are for tables without a connector").At(x.Pos)
	}
	t := *base
	c := catalog.Constraint{Kind: catalog.UniqueKey, Name: r.Name, NullsNotDistinct: r.NullsNotDistinct, Bare: true}
	for _, k := range r.IndexCols {
		if ty := base.Columns[k.Col].Type; ty.Kind == sqltypes.KJSON {
			return noOperatorClass(ty, x.Pos)
		}
		c.Columns = append(c.Columns, base.Columns[k.Col].ID)
	}
	t.Constraints = append(slices.Clone(base.Constraints), c)
	return s.enforce(ctx, &t, &tableParts{indexes: []*catalog.Relation{r}}, len(base.Constraints))
}

func (s *Session) indexName(snap *catalog.Snapshot, base *catalog.Relation, x *parser.CreateIndexStmt) string {
	parts := []string{base.Name}
	for _, e := range x.Elems {
		if c, ok := e.Expr.(*parser.ColumnRef); ok {
			parts = append(parts, c.Parts[len(c.Parts)-1])
		} else {
			parts = append(parts, "expr")
		}
	}
	name := strings.Join(append(parts, "idx"), "_")
	for n, try := 1, name; ; n++ {
		if _, taken := snap.Find(base.Schema, try); !taken {
			return try
		}
		try = name + string(rune('0'+n%10))
	}
}

// indexKey reads the key of CREATE INDEX.
func indexKey(r, base *catalog.Relation, x *parser.CreateIndexStmt) error {
	if x.Where != nil {
		return sqlerr.New(sqlerr.FeatureNotSupported, "partial indexes are not supported").At(x.Pos).
			WithHint("Create a materialized view with the condition.")
	}
	r.Unique, r.NullsNotDistinct = x.Unique, x.NullsNotDistinct
	r.IndexOn = base.ID
	for _, e := range x.Elems {
		c, ok := e.Expr.(*parser.ColumnRef)
		if !ok {
			return sqlerr.New(sqlerr.FeatureNotSupported, "indexes on expressions are not supported").At(e.Pos).
				WithHint("Create a materialized view that computes the expression.")
		}
		k, ok := base.Column(c.Parts[len(c.Parts)-1])
		if !ok {
			return sqlerr.New(sqlerr.UndefinedColumn, "column %q does not exist", c.Parts[len(c.Parts)-1]).At(e.Pos)
		}
		key := catalog.SortKey{Col: k, Desc: e.Desc, NullsFirst: e.Desc}
		switch e.Nulls {
		case parser.NullsFirst:
			key.NullsFirst = true
		case parser.NullsLast:
			key.NullsFirst = false
		}
		r.IndexCols = append(r.IndexCols, key)
	}
	return nil
}

// createSink runs CREATE SINK.
func (s *Session) createSink(ctx context.Context, x *parser.CreateSinkStmt) error {
	snap := s.snapshot()
	r, err := s.newRelation(snap, x.Name, catalog.Sink, x.Text)
	if err != nil {
		return err
	}
	if skip, err := s.exists(snap, r, x.IfNotExists); skip || err != nil {
		return err
	}
	q := x.Query
	if q == nil {
		if _, err := s.find(snap, x.From); err != nil {
			return err
		}
		if q, err = tableQuery(x.From); err != nil {
			return err
		}
	}
	n, err := s.streamQuery(r, q)
	if err != nil {
		return err
	}
	if err := viewColumns(r, n, nil, x.Pos); err != nil {
		return err
	}
	if err := setRates(r, x.Options); err != nil {
		return err
	}
	sink := plan.Sink{}
	if x.Into.Last() != "" {
		err = s.sinkInto(snap, r, x, &sink)
	} else {
		err = s.sinkTo(ctx, r, x, n, &sink)
	}
	if err != nil {
		return err
	}
	return s.create(ctx, snap, r, func(id catalog.ID) (int, error) {
		p, f, err := stream.Plan(n, s.root(stream.Root{Table: id, Sink: &sink, EmitOnClose: x.EmitOnWindowClose}), r.Parallelism)
		if err != nil {
			return 0, placed(err, x.Query, x.EmitAt)
		}
		b, err := plan.Encode(p)
		r.Plan, r.AppendOnly = b, f.AppendOnly
		return f.States, err
	})
}

// tableQuery is SELECT * FROM name.
func tableQuery(n parser.Name) (*parser.Query, error) {
	st, err := parser.ParseOne("SELECT * FROM " + parser.QuoteName(n))
	if err != nil {
		return nil, err
	}
	return st.(*parser.SelectStmt).Query, nil
}

// sinkTo reads the options of a sink to the outside.
func (s *Session) sinkTo(ctx context.Context, r *catalog.Relation, x *parser.CreateSinkStmt, n plan.Node, sink *plan.Sink) error {
	c, err := s.connectorOf(x.Options, x.Format)
	if err != nil {
		return err
	}
	if c.Name == "" {
		return sqlerr.New(sqlerr.InvalidParameterValue, "option \"connector\" is missing").At(x.Pos).WithHint("WITH (connector = 'kafka', …)")
	}
	r.Connector, sink.Connector = c, *c
	kind := strings.ToLower(c.Options["type"])
	force := strings.EqualFold(c.Options["force_append_only"], "true") || strings.EqualFold(c.FormatOptions["force_append_only"], "true")
	appendOnly := plan.AppendOnly(n) || x.EmitOnWindowClose
	sink.ForceAppendOnly = force
	sink.AppendOnly = kind == "append-only" || c.Format == "PLAIN" || c.Format == "" && kind == "" && appendOnly
	if sink.AppendOnly && !appendOnly && !force && c.Name != "blackhole" {
		return sqlerr.New(sqlerr.InvalidParameterValue, "the sink is append-only and its query updates or deletes rows").At(x.Pos).
			WithHint("Use FORMAT UPSERT, or force_append_only = 'true' to drop the deletions.")
	}
	if pk := c.Options["primary_key"]; pk != "" {
		for _, name := range splitNames(pk) {
			k, ok := r.Column(name)
			if !ok {
				return sqlerr.New(sqlerr.UndefinedColumn, "column %q named in primary_key does not exist", name).At(x.Pos)
			}
			sink.Key = append(sink.Key, k)
		}
	} else if keys := plan.UniqueKeys(n); len(keys) > 0 && !sink.AppendOnly {
		sink.Key = keys[0]
	}
	r.PrimaryKey = sink.Key
	return s.m.Engine.CheckSink(ctx, r, sink.Key, sink.AppendOnly)
}

// sinkInto reads CREATE SINK … INTO table.
func (s *Session) sinkInto(snap *catalog.Snapshot, r *catalog.Relation, x *parser.CreateSinkStmt, sink *plan.Sink) error {
	t, err := s.find(snap, x.Into)
	if err != nil {
		return err
	}
	if t.Kind != catalog.Table {
		return sqlerr.New(sqlerr.WrongObjectType, "%q is not a table", t.Name).At(x.Into.Pos)
	}
	if err := s.may(t, 'a'); err != nil {
		return err
	}
	if reaches(snap, r.DependsOn, t.ID) {
		return sqlerr.New(sqlerr.InvalidRecursion, "sink into %q would feed the table from itself", t.Name).At(x.Into.Pos)
	}
	cols := make([]int, 0, len(r.Columns))
	for i := range r.Columns {
		k := i
		if len(x.IntoColumns) > 0 {
			if len(x.IntoColumns) != len(r.Columns) {
				return sqlerr.New(sqlerr.SyntaxError, "INTO names %d columns, the query has %d", len(x.IntoColumns), len(r.Columns)).At(x.Into.Pos)
			}
			var ok bool
			if k, ok = t.Column(x.IntoColumns[i].Name); !ok {
				return sqlerr.New(sqlerr.UndefinedColumn, "column %q of relation %q does not exist", x.IntoColumns[i].Name, t.Name).At(x.IntoColumns[i].Pos)
			}
		}
		if k >= len(t.Columns) || !fitsInto(r.Columns[i].Type, t.Columns[k].Type) {
			return sqlerr.New(sqlerr.DatatypeMismatch, "column %d of the query is of type %s and does not fit table %q", i+1, r.Columns[i].Type, t.Name).At(x.Into.Pos).
				WithHint("Cast it in the query.")
		}
		cols = append(cols, k)
	}
	r.SinkInto, sink.Into, sink.IntoCols = t.ID, t.ID, cols
	r.DependsOn = append(r.DependsOn, t.ID)
	for _, k := range t.PrimaryKey {
		at := slices.Index(cols, k)
		if at < 0 {
			return sqlerr.New(sqlerr.NotNullViolation, "the query gives no value to key column %q", t.Columns[k].Name).At(x.Into.Pos)
		}
		sink.Key = append(sink.Key, at)
	}
	for k, c := range t.Columns {
		if c.NotNull && !slices.Contains(cols, k) {
			return sqlerr.New(sqlerr.NotNullViolation, "the query gives no value to column %q, which cannot be null", c.Name).At(x.Into.Pos)
		}
	}
	return nil
}

// fitsInto reports whether a sink's values of one type are those of a table's column: what its modifier demands, too. What a domain
// demands of them is tested when they are delivered.
func fitsInto(have, want sqltypes.Type) bool {
	have, want = have.Underlying(), want.Underlying()
	return have.Base() == want.Base() && (want.Mod == 0 || want.Mod == have.Mod)
}

// reaches reports whether any of the relations depends, directly or not, on id, or is it; a table depends on
// the sinks into it.
func reaches(snap *catalog.Snapshot, from []catalog.ID, id catalog.ID) bool {
	seen := map[catalog.ID]bool{}
	var visit func(x catalog.ID) bool
	visit = func(x catalog.ID) bool {
		if x == id {
			return true
		}
		if seen[x] || snap.Relations[x] == nil {
			return false
		}
		seen[x] = true
		for _, d := range snap.Relations[x].DependsOn {
			if d != snap.Relations[x].SinkInto && visit(d) {
				return true
			}
		}
		for _, r := range snap.Relations {
			if r.SinkInto == x && visit(r.ID) {
				return true
			}
		}
		return false
	}
	return slices.ContainsFunc(from, visit)
}
