package session

import (
	"context"
	"maps"
	"slices"

	"github.com/millrace/millrace/frontend/bind"
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/engine"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/planner/logical"
)

// alter runs ALTER.
func (s *Session) alter(ctx context.Context, x *parser.AlterStmt) error {
	switch x.Kind {
	case parser.ObjUser, parser.ObjRole:
		return s.alterRole(ctx, x)
	case parser.ObjSchema:
		return s.alterSchema(ctx, x)
	case parser.ObjType:
		return s.alterType(ctx, x)
	case parser.ObjDomain:
		return s.alterDomain(ctx, x)
	case parser.ObjSequence:
		return s.alterSequence(ctx, x)
	case parser.ObjSecret:
		return s.alterSecret(ctx, x)
	case parser.ObjFunction, parser.ObjRoutine:
		return s.alterFunction(ctx, x)
	case parser.ObjSystem, parser.ObjDatabase:
		return sqlerr.New(sqlerr.FeatureNotSupported, "ALTER %s is not supported", x.Kind).At(x.Pos)
	}
	snap := s.snapshot()
	old, err := s.find(snap, x.Name)
	if err != nil {
		if x.IfExists && sqlerr.CodeOf(err) == sqlerr.UndefinedTable {
			s.notice("relation %q does not exist, skipping", x.Name.Last())
			return nil
		}
		return err
	}
	if err := s.mustOwnRelation(old, false); err != nil {
		return err
	}
	for _, a := range x.Actions {
		if old, err = s.alterOne(ctx, x, old, a); err != nil {
			return err
		}
	}
	return nil
}

func (s *Session) alterOne(ctx context.Context, x *parser.AlterStmt, old *catalog.Relation, a parser.AlterAction) (*catalog.Relation, error) {
	snap := s.snapshot()
	r := *old
	r.Columns = slices.Clone(old.Columns)
	if a.Kind == parser.AlterRefreshSchema && (old.Captured != nil || old.Captures()) {
		return s.refreshSchema(ctx, snap, old, a.Pos)
	}
	if a.Kind != parser.AlterRename && a.Kind != parser.AlterSetSchema && a.Kind != parser.AlterOwner {
		if err := notCaptured(old, a.Pos); err != nil {
			return nil, err
		}
	}
	switch a.Kind {
	case parser.AlterRename:
		if _, taken := snap.Find(r.Schema, a.NewName); taken {
			return nil, sqlerr.New(sqlerr.DuplicateTable, "relation %q already exists", a.NewName).At(a.Pos)
		}
		r.Name = a.NewName
		return &r, s.apply(ctx, snap, catalog.Change{Put: s.renamed(snap, old, &r)})
	case parser.AlterSetSchema:
		if snap.Schemas[a.NewName] == nil {
			return nil, sqlerr.New(sqlerr.InvalidSchemaName, "schema %q does not exist", a.NewName).At(a.Pos)
		}
		if _, taken := snap.Find(a.NewName, r.Name); taken {
			return nil, sqlerr.New(sqlerr.DuplicateTable, "relation %q already exists in schema %q", r.Name, a.NewName).At(a.Pos)
		}
		if err := s.mayCreateIn(snap, a.NewName, -1); err != nil {
			return nil, err
		}
		r.Schema = a.NewName
		return &r, s.apply(ctx, snap, catalog.Change{Put: s.renamed(snap, old, &r)})
	case parser.AlterOwner:
		name, err := s.newOwner(snap, &r, a)
		if err != nil {
			return nil, err
		}
		r.ACL = r.Protected().OwnedBy(name)
		r.Columns = r.ColumnsRenamed(r.Owner, name)
		r.Owner = name
	case parser.AlterRenameColumn:
		k, err := alterColumn(&r, a)
		if err != nil {
			return nil, err
		}
		if _, dup := r.Column(a.NewName); dup {
			return nil, sqlerr.New(sqlerr.DuplicateColumn, "column %q of relation %q already exists", a.NewName, r.Name).At(a.Pos)
		}
		if err := freeOfViews(snap, &r, a); err != nil {
			return nil, err
		}
		r.Columns[k].Name = a.NewName
	case parser.AlterSetDefault, parser.AlterDropDefault:
		k, err := alterColumn(&r, a)
		if err != nil {
			return nil, err
		}
		c := &r.Columns[k]
		switch {
		case c.Identity != "":
			return nil, sqlerr.New(sqlerr.SyntaxError, "column %q of relation %q is an identity column", c.Name, r.Name).
				WithHint("Use ALTER TABLE ... ALTER COLUMN ... DROP IDENTITY instead.")
		case c.Generated != "":
			return nil, sqlerr.New(sqlerr.SyntaxError, "column %q of relation %q is a generated column", c.Name, r.Name)
		}
		c.Default = ""
		if a.Kind == parser.AlterSetDefault {
			if c.Default, err = s.storedDefault(&r, a.Expr); err != nil {
				return nil, err
			}
			if _, err := bind.Default(s.env(nil), r.Columns[k].Default, r.Columns[k].Type, r.Columns[k].Name, nil); err != nil {
				return nil, err
			}
		}
	case parser.AlterDropNotNull:
		k, err := alterColumn(&r, a)
		if err != nil {
			return nil, err
		}
		if slices.Contains(r.PrimaryKey, k) {
			return nil, sqlerr.New(sqlerr.InvalidTableDefinition, "column %q is in a primary key", a.Name).At(a.Pos)
		}
		if r.Columns[k].Identity != "" {
			return nil, sqlerr.New(sqlerr.SyntaxError, "column %q of relation %q is an identity column", a.Name, r.Name)
		}
		r.Columns[k].NotNull = false
	case parser.AlterSetNotNull:
		k, err := alterColumn(&r, a)
		if err != nil {
			return nil, err
		}
		if err := s.noNulls(ctx, &r, k); err != nil {
			return nil, err
		}
		r.Columns[k].NotNull = true
	case parser.AlterAddConstraint, parser.AlterDropConstraint, parser.AlterRenameConstr:
		return s.alterConstraint(ctx, old, a)
	case parser.AlterSetOptions, parser.AlterResetOptions:
		if old.Kind != catalog.Table || a.Connector || !onlyStorageParameters(a.Options) {
			if err := unknownParameter(a.Options); err != nil && old.Kind == catalog.Table && !a.Connector {
				return nil, err
			}
			return nil, sqlerr.New(sqlerr.FeatureNotSupported, "this form of ALTER %s is not supported", x.Kind).At(a.Pos)
		}
		return old, nil
	case parser.AlterPause, parser.AlterResume, parser.AlterSetParam, parser.AlterResetParam:
		return s.alterRate(ctx, snap, old, x, a)
	case parser.AlterAddColumn:
		return s.addTableColumn(ctx, snap, old, a)
	case parser.AlterDropColumn:
		return s.dropTableColumn(ctx, snap, old, a)
	default:
		return nil, sqlerr.New(sqlerr.FeatureNotSupported, "this form of ALTER %s is not supported", x.Kind).At(a.Pos)
	}
	return &r, s.apply(ctx, snap, catalog.Change{Put: []*catalog.Relation{&r}})
}

func alterColumn(r *catalog.Relation, a parser.AlterAction) (int, error) {
	k, ok := r.Column(a.Name)
	if !ok {
		return 0, sqlerr.New(sqlerr.UndefinedColumn, "column %q of relation %q does not exist", a.Name, r.Name).At(a.Pos)
	}
	return k, nil
}

// freeOfViews refuses a change of columns while plain views, whose text names them, depend on the relation.
func freeOfViews(snap *catalog.Snapshot, r *catalog.Relation, a parser.AlterAction) error {
	for _, d := range snap.Dependants(r.ID) {
		return sqlerr.New(sqlerr.DependentObjectsStillExist, "cannot alter column %q of %s %q because %s %q depends on it", a.Name, r.Kind, r.Name, d.Kind, d.Name).At(a.Pos)
	}
	return nil
}

// noNulls checks that a column holds no NULL.
func (s *Session) noNulls(ctx context.Context, r *catalog.Relation, k int) error {
	scan := logical.Scan(r)
	n := &plan.Filter{Input: scan, Cond: &expr.IsNull{Arg: &expr.Col{Index: k, Ty: r.Columns[k].Type}}}
	rows, err := s.m.Engine.Run(ctx, s.reads(), n, s.query2())
	if err != nil {
		return err
	}
	defer rows.Close()
	c, err := rows.Next(ctx)
	if err == nil && c != nil && c.Len() > 0 {
		err = sqlerr.New(sqlerr.NotNullViolation, "column %q of relation %q contains null values", r.Columns[k].Name, r.Name)
	}
	return err
}

// nextVersion starts a new schema version of a table: earlier rows keep the form they were written in.
func nextVersion(old *catalog.Relation) *catalog.Relation {
	r := *old
	var cols []catalog.OldColumn
	for _, c := range old.Columns {
		cols = append(cols, catalog.OldColumn{ID: c.ID, Type: c.Type})
	}
	r.History = append(slices.Clone(old.History), cols)
	r.SchemaVersion++
	r.Columns = slices.Clone(old.Columns)
	return &r
}

// reshape changes a table's columns: its job is planned anew over the same stored rows.
func (s *Session) reshape(ctx context.Context, snap *catalog.Snapshot, old, r *catalog.Relation) error {
	if old.Kind != catalog.Table {
		return sqlerr.New(sqlerr.WrongObjectType, "%q is not a table", old.Name)
	}
	if err := notCaptured(old, -1); err != nil {
		return err
	}
	if old.Connector != nil {
		return sqlerr.New(sqlerr.FeatureNotSupported, "the columns of table %q come from its connector and cannot be changed", old.Name)
	}
	for _, d := range snap.Dependants(old.ID) {
		// Jobs read columns by place, which a column put behind the others does not change.
		if len(r.Columns) < len(old.Columns) {
			return sqlerr.New(sqlerr.DependentObjectsStillExist, "cannot alter the columns of table %q because %s %q depends on it", old.Name, d.Kind, d.Name)
		}
	}
	dependOnTypes(snap, r)
	if _, err := s.setTableJob(r); err != nil {
		return err
	}
	return s.replaceJob(ctx, snap, r)
}

func (s *Session) addTableColumn(ctx context.Context, snap *catalog.Snapshot, old *catalog.Relation, a parser.AlterAction) (out *catalog.Relation, err error) {
	if _, dup := old.Column(a.Column.Name); dup {
		if a.IfNotExists {
			s.notice("column %q of relation %q already exists, skipping", a.Column.Name, old.Name)
			return old, nil
		}
		return nil, sqlerr.New(sqlerr.DuplicateColumn, "column %q of relation %q already exists", a.Column.Name, old.Name).At(a.Pos)
	}
	r, parts, had := nextVersion(old), &tableParts{}, len(old.Constraints)
	if err := s.columnDef(r, a.Column, parts); err != nil {
		return nil, err
	}
	for _, con := range a.Column.Constraints {
		if con.Kind == parser.ConCheck {
			if err := s.addCheck(r, con.Name, con.Expr, a.Column.Name, parts, con.Pos); err != nil {
				return nil, err
			}
		}
	}
	added := r.Constraints[had:]
	r.Constraints = old.Constraints
	if len(parts.seqs) > 0 {
		own := &tableParts{seqs: parts.seqs}
		if err := s.join(ctx, r, own); err != nil {
			return nil, err
		}
		parts.seqs = nil
		if err := s.apply(ctx, snap, catalog.Change{Put: own.seqs}); err != nil {
			return nil, err
		}
		snap = s.snapshot()
	}
	c := &r.Columns[len(r.Columns)-1]
	if len(r.PrimaryKey) != len(old.PrimaryKey) {
		return nil, sqlerr.New(sqlerr.FeatureNotSupported, "a key column cannot be added").At(a.Pos)
	}
	def := c.Default
	if def == "" {
		def = snap.DomainDefault(c.Type)
	}
	if def == "" && c.Type.IsDomain() {
		if err := s.takesNull(ctx, old, c); err != nil {
			return nil, err
		}
	}
	if def == "" && c.NotNull {
		return nil, sqlerr.New(sqlerr.NotNullViolation, "column %q of relation %q contains null values", c.Name, r.Name).At(a.Pos).
			WithHint("Give it a DEFAULT.")
	}
	if err := s.checkDefaults(r, &parser.TableElements{}, parts); err != nil {
		return nil, err
	}
	notNull := c.NotNull
	c.NotNull = false
	if err := s.reshape(ctx, snap, old, r); err != nil {
		return nil, err
	}
	if len(added) > 0 {
		defer func() {
			if out != nil && err == nil {
				next := *out
				next.Constraints = append(slices.Clone(out.Constraints), added...)
				if out, err = &next, s.enforce(ctx, &next, parts, had); err != nil {
					s.takeBackColumn(context.WithoutCancel(ctx), r.ID, a.Column.Name)
				}
			}
		}()
	}
	if def == "" {
		return r, nil
	}
	// Existing rows get the default by an UPDATE, evaluated once as PostgreSQL does for stable defaults.
	if err := s.fill(ctx, r, len(r.Columns)-1, def); err != nil {
		return nil, err
	}
	if !notNull {
		return r, nil
	}
	next := *r
	next.Columns = slices.Clone(r.Columns)
	next.Columns[len(next.Columns)-1].NotNull = true
	return &next, s.apply(ctx, s.snapshot(), catalog.Change{Put: []*catalog.Relation{&next}})
}

// takeBackColumn drops a column whose constraints the rows violate.
func (s *Session) takeBackColumn(ctx context.Context, id catalog.ID, name string) {
	snap := s.snapshot()
	if _, err := s.dropTableColumn(ctx, snap, snap.Relations[id], parser.AlterAction{Name: name}); err != nil {
		s.m.Logger.Error("take back a column whose constraints are violated", "column", name, "err", err)
	}
}

// fill sets a column of all rows.
func (s *Session) fill(ctx context.Context, r *catalog.Relation, col int, text string) error {
	e, err := bind.Default(s.env(nil), text, r.Columns[col].Type, r.Columns[col].Name, nil)
	if err != nil {
		return err
	}
	scan := logical.Scan(r)
	p := &plan.Project{Input: scan}
	for pass := range 2 {
		for i, c := range r.Columns {
			var x expr.Expr = &expr.Col{Index: i, Ty: c.Type, Name: c.Name}
			if pass == 1 && i == col {
				x = e
			}
			p.Exprs, p.Names = append(p.Exprs, x), append(p.Names, c.Name)
		}
	}
	_, err = s.modifying(ctx, true, func(ctx context.Context, txn *engine.Txn) (int64, error) {
		res, err := s.m.Engine.Update(ctx, txn, &plan.Update{Table: r, Source: p}, s.query2())
		if err != nil {
			return 0, err
		}
		return res.Count, nil
	})
	if err != nil {
		return err
	}
	return s.commitBefore(ctx)
}

func (s *Session) dropTableColumn(ctx context.Context, snap *catalog.Snapshot, old *catalog.Relation, a parser.AlterAction) (*catalog.Relation, error) {
	k, ok := old.Column(a.Name)
	if !ok {
		if a.IfExists {
			s.notice("column %q of relation %q does not exist, skipping", a.Name, old.Name)
			return old, nil
		}
		return nil, sqlerr.New(sqlerr.UndefinedColumn, "column %q of relation %q does not exist", a.Name, old.Name).At(a.Pos)
	}
	if slices.Contains(old.PrimaryKey, k) {
		return nil, sqlerr.New(sqlerr.FeatureNotSupported, "cannot drop column %q: it is part of the primary key", a.Name).At(a.Pos)
	}
	if len(old.PrimaryKey) == 0 {
		return nil, sqlerr.New(sqlerr.FeatureNotSupported, "cannot drop a column of table %q, whose rows have no key", old.Name).At(a.Pos)
	}
	r := nextVersion(old)
	r.Columns = slices.Delete(r.Columns, k, k+1)
	r.PrimaryKey = slices.Clone(old.PrimaryKey)
	for i, c := range r.PrimaryKey {
		if c > k {
			r.PrimaryKey[i]--
		}
	}
	return r, s.reshape(ctx, snap, old, r)
}

func (s *Session) alterSchema(ctx context.Context, x *parser.AlterStmt) error {
	snap := s.snapshot()
	old := snap.Schemas[x.Name.Last()]
	if old == nil {
		return sqlerr.New(sqlerr.InvalidSchemaName, "schema %q does not exist", x.Name.Last()).At(x.Name.Pos)
	}
	if err := s.mustOwn(old.Owner, "schema", old.Name); err != nil {
		return err
	}
	n := *old
	var c catalog.Change
	for _, a := range x.Actions {
		switch a.Kind {
		case parser.AlterOwner:
			if err := s.mayGiveTo(snap, a.NewName, -1); err != nil {
				return err
			}
			n.ACL = n.Protected().OwnedBy(a.NewName)
			n.Owner = a.NewName
		case parser.AlterRename:
			if snap.Schemas[a.NewName] != nil {
				return sqlerr.New(sqlerr.DuplicateSchema, "schema %q already exists", a.NewName).At(a.Pos)
			}
			c.DropSchema = append(c.DropSchema, n.Name)
			for _, x := range snap.Secrets {
				if x.Schema == n.Name {
					m := *x
					m.Schema = a.NewName
					c.PutSecret = append(c.PutSecret, &m)
				}
			}
			for _, r := range snap.Relations {
				if r.Schema == n.Name {
					m := *r
					m.Schema = a.NewName
					c.Put = append(c.Put, &m)
				}
			}
			n.Name = a.NewName
		default:
			return unsupported(x)
		}
	}
	c.PutSchema = []*catalog.Schema{&n}
	return s.apply(ctx, snap, c)
}

// truncate runs TRUNCATE as a DELETE of all rows.
func (s *Session) truncate(ctx context.Context, x *parser.TruncateStmt) error {
	if err := s.mayWrite("TRUNCATE TABLE"); err != nil {
		return err
	}
	for _, n := range x.Tables {
		r, err := s.find(s.snapshot(), n)
		if err != nil {
			return err
		}
		if r.Kind != catalog.Table {
			return sqlerr.New(sqlerr.WrongObjectType, "%q is not a table", r.Name).At(n.Pos)
		}
		if err := s.may(r, 'D'); err != nil {
			return err
		}
		_, err = s.modifying(ctx, true, func(ctx context.Context, txn *engine.Txn) (int64, error) {
			res, err := s.m.Engine.Delete(ctx, txn, &plan.Delete{Table: r, Source: logical.Scan(r)}, s.query2())
			if err != nil {
				return 0, err
			}
			return res.Count, nil
		})
		if err != nil {
			return err
		}
		if x.Identity != "RESTART" {
			continue
		}
		for _, q := range s.snapshot().Owned(r.ID, 0) {
			if err := s.m.Catalog.SetValue(ctx, q, catalog.SequenceState{Last: q.Sequence.Start}); err != nil {
				return err
			}
		}
	}
	return nil
}

// comment runs COMMENT ON.
func (s *Session) comment(ctx context.Context, x *parser.CommentStmt) error {
	snap := s.snapshot()
	text := ""
	if x.Comment != nil {
		text = *x.Comment
	}
	if x.Kind == parser.ObjColumn {
		n := x.Name
		n.Parts = n.Parts[:len(n.Parts)-1]
		old, err := s.find(snap, n)
		if err != nil {
			return err
		}
		k, ok := old.Column(x.Name.Last())
		if !ok {
			return sqlerr.New(sqlerr.UndefinedColumn, "column %q of relation %q does not exist", x.Name.Last(), old.Name).At(x.Name.Pos)
		}
		if err := s.mustOwn(old.Owner, "relation", old.Name); err != nil {
			return err
		}
		r := *old
		r.Columns = slices.Clone(old.Columns)
		r.Columns[k].Comment = text
		return s.apply(ctx, snap, catalog.Change{Put: []*catalog.Relation{&r}})
	}
	switch x.Kind {
	case parser.ObjDatabase:
		if x.Name.Last() != s.Database() {
			return sqlerr.New(sqlerr.InvalidCatalogName, "database %q does not exist", x.Name.Last())
		}
		return s.apply(ctx, snap, catalog.Change{Comments: map[string]string{"database": text}})
	case parser.ObjRole, parser.ObjUser, parser.ObjGroup:
		if snap.Users[x.Name.Last()] == nil {
			return sqlerr.New(sqlerr.UndefinedObject, "role %q does not exist", x.Name.Last())
		}
		return s.apply(ctx, snap, catalog.Change{Comments: map[string]string{"role " + x.Name.Last(): text}})
	case parser.ObjConstraint:
		return s.commentOnConstraint(ctx, snap, x, text)
	}
	if x.Kind == parser.ObjSchema {
		old := snap.Schemas[x.Name.Last()]
		if old == nil {
			return sqlerr.New(sqlerr.InvalidSchemaName, "schema %q does not exist", x.Name.Last()).At(x.Name.Pos)
		}
		if err := s.mustOwn(old.Owner, "schema", old.Name); err != nil {
			return err
		}
		n := *old
		n.Comment = text
		return s.apply(ctx, snap, catalog.Change{PutSchema: []*catalog.Schema{&n}})
	}
	if x.Kind == parser.ObjType || x.Kind == parser.ObjDomain {
		old, err := s.findType(snap, x.Name)
		if err != nil {
			return err
		}
		if x.Kind == parser.ObjDomain && old.Domain == nil {
			return notDomain(x.Name)
		}
		if err := s.mustOwn(old.Owner, "type", old.Name); err != nil {
			return err
		}
		t := *old
		t.Comment = text
		return s.apply(ctx, snap, catalog.Change{PutType: []*catalog.Type{&t}})
	}
	if x.Kind == parser.ObjSecret {
		old, err := s.findSecret(snap, x.Name)
		if err != nil {
			return err
		}
		if err := s.mustOwn(old.Owner, "secret", old.Name); err != nil {
			return err
		}
		n := *old
		n.Comment = text
		return s.apply(ctx, snap, catalog.Change{PutSecret: []*catalog.Secret{&n}})
	}
	if x.Kind == parser.ObjFunction || x.Kind == parser.ObjRoutine {
		old, err := s.findFunction(snap, x.Name, x.HasArgs, x.Args)
		if err != nil {
			return err
		}
		if err := s.mustOwn(old.Owner, "function", old.Name); err != nil {
			return err
		}
		f := *old
		f.Comment = text
		return s.apply(ctx, snap, catalog.Change{PutFunc: []*catalog.Function{&f}})
	}
	if _, ok := dropKinds[x.Kind]; !ok {
		return unsupported(x)
	}
	old, err := s.find(snap, x.Name)
	if err != nil {
		return err
	}
	if err := s.mustOwnRelation(old, false); err != nil {
		return err
	}
	r := *old
	r.Comment = text
	return s.apply(ctx, snap, catalog.Change{Put: []*catalog.Relation{&r}})
}

func (s *Session) commentOnConstraint(ctx context.Context, snap *catalog.Snapshot, x *parser.CommentStmt, text string) error {
	if x.OnType {
		return s.commentOnDomainConstraint(ctx, snap, x, text)
	}
	old, err := s.find(snap, x.On)
	if err != nil {
		return err
	}
	if name := x.Name.Last(); len(old.PrimaryKey) == 0 || name != old.Name+"_pkey" {
		return sqlerr.New(sqlerr.UndefinedObject, "constraint %q for table %q does not exist", name, old.Name)
	}
	if err := s.mustOwnRelation(old, false); err != nil {
		return err
	}
	r := *old
	r.ConstraintComments = maps.Clone(old.ConstraintComments)
	if r.ConstraintComments == nil {
		r.ConstraintComments = map[string]string{}
	}
	if r.ConstraintComments[x.Name.Last()] = text; text == "" {
		delete(r.ConstraintComments, x.Name.Last())
	}
	return s.apply(ctx, snap, catalog.Change{Put: []*catalog.Relation{&r}})
}
