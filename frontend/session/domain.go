package session

import (
	"context"
	"slices"
	"strconv"

	"github.com/millrace/millrace/frontend/bind"
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

func notDomain(n parser.Name) error {
	return sqlerr.New(sqlerr.WrongObjectType, "%q is not a domain", n.String())
}

// createDomain runs CREATE DOMAIN.
func (s *Session) createDomain(ctx context.Context, x *parser.CreateDomainStmt) error {
	snap := s.snapshot()
	schema, err := s.target(snap, x.Name)
	if err != nil {
		return err
	}
	if err := freeTypeName(snap, schema, x.Name.Last(), x.Name.Pos); err != nil {
		return err
	}
	base, err := s.typeOf(x.Type)
	if err != nil {
		return err
	}
	switch {
	case base.IsPseudo() || base.Kind == sqltypes.KVoid || base == sqltypes.Record || base.Kind == sqltypes.KUnknown:
		return sqlerr.New(sqlerr.DatatypeMismatch, "%q is not a valid base type for a domain", x.Type.Name.String())
	case base.Kind == sqltypes.KArray && base.Elem == sqltypes.KArray:
		return sqlerr.New(sqlerr.FeatureNotSupported, "a domain over arrays of arrays is not supported").At(x.Type.Pos)
	}
	t := &catalog.Type{Schema: schema, Name: x.Name.Last(), Owner: s.User(), Kind: base.Kind, Domain: &catalog.Domain{Base: base}, DependsOn: snap.NamedIn(base)}
	t.Domain.Default = snap.DomainDefault(base) // what the domain below has now
	if !x.Collation.IsZero() {
		if err := checkCollation(x.Collation, base); err != nil {
			return err
		}
		t.Domain.Collate = x.Collation.Last()
	}
	var null, notNull, defaulted bool
	for _, c := range x.Constraints {
		switch {
		case slices.Contains(c.Attributes, "NO INHERIT") && c.Kind == parser.ConCheck:
			return sqlerr.New(sqlerr.InvalidObjectDefinition, "check constraints for domains cannot be marked NO INHERIT")
		case len(c.Attributes) > 0:
			return sqlerr.New(sqlerr.FeatureNotSupported, "specifying constraint deferrability not supported for domains")
		}
		switch c.Kind {
		case parser.ConNull, parser.ConNotNull:
			if null, notNull = null || c.Kind == parser.ConNull, notNull || c.Kind == parser.ConNotNull; null && notNull {
				return sqlerr.New(sqlerr.SyntaxError, "conflicting NULL/NOT NULL constraints")
			}
			t.Domain.NotNull = notNull
		case parser.ConDefault:
			if defaulted {
				return sqlerr.New(sqlerr.SyntaxError, "multiple default expressions")
			}
			defaulted = true
			if err := s.setDomainDefault(t, c.Expr); err != nil {
				return err
			}
		case parser.ConCheck:
			if err := s.addDomainCheck(t, c.Name, c.Expr, false); err != nil {
				return err
			}
		default:
			return noDomainConstraint(c.Kind)
		}
	}
	if t.Stamp, err = newStamp(); err != nil {
		return err
	}
	if t.ID, err = s.m.Catalog.NewIDs(ctx, 2+len(t.Domain.Checks)); err != nil {
		return err
	}
	t.ArrayID = t.ID + 1
	for i := range t.Domain.Checks {
		t.Domain.Checks[i].ID = t.ID + 2 + catalog.ID(i)
	}
	return s.apply(ctx, snap, catalog.Change{PutType: []*catalog.Type{t}})
}

func checkCollation(n parser.Name, t sqltypes.Type) error {
	if t.Category() != sqltypes.CatString && t.Kind != sqltypes.KChar {
		return sqlerr.New(sqlerr.DatatypeMismatch, "collations are not supported by type %s", t.Base())
	}
	switch n.Last() {
	case "C", "POSIX", "default", "ucs_basic":
		return nil
	}
	return sqlerr.New(sqlerr.UndefinedObject, "collation %q for encoding \"UTF8\" does not exist", n.Last())
}

func noDomainConstraint(k parser.ConstraintKind) error {
	what := map[parser.ConstraintKind]string{parser.ConUnique: "unique", parser.ConPrimaryKey: "primary key", parser.ConForeignKey: "foreign key"}[k]
	if what == "" {
		what = "generated column"
	}
	return sqlerr.New(sqlerr.SyntaxError, "%s constraints not possible for domains", what)
}

// setDomainDefault sets the default of a domain that is being changed.
func (s *Session) setDomainDefault(t *catalog.Type, e parser.Expr) error {
	t.Domain.Default = ""
	if _, null := e.(*parser.NullLit); null {
		return nil
	}
	owner := &catalog.Relation{}
	text, err := s.storedDefault(owner, e)
	if err != nil {
		return err
	}
	env := s.env(nil)
	if _, err := bind.Default(env, text, t.Domain.Base, t.Name, nil); err != nil {
		return unplaced(err)
	}
	t.Domain.Default = text
	t.DependsOn = dependOn(t.DependsOn, append(owner.DependsOn, env.Used...))
	return nil
}

// unplaced is an error without its place, which is one in the text of a stored expression.
func unplaced(err error) error {
	e := *sqlerr.From(err)
	e.Offset, e.Position = 0, 0
	return &e
}

func dependOn(have, more []catalog.ID) []catalog.ID {
	out := slices.Clone(have)
	for _, id := range more {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// addDomainCheck adds a CHECK constraint, without an id, to a domain that is being changed.
func (s *Session) addDomainCheck(t *catalog.Type, name string, e parser.Expr, notValid bool) error {
	env := s.env(nil)
	if _, err := bind.DomainCheck(env, e, t.Domain.Base); err != nil {
		return unplaced(err)
	}
	if name == "" {
		for n := 0; name == "" || t.Domain.CheckNamed(name) != nil; n++ {
			if name = t.Name + "_check"; n > 0 {
				name += strconv.Itoa(n)
			}
		}
	} else if t.Domain.CheckNamed(name) != nil {
		return sqlerr.New(sqlerr.DuplicateObject, "constraint %q for domain %q already exists", name, t.Name)
	}
	t.Domain.Checks = append(slices.Clone(t.Domain.Checks), catalog.DomainCheck{Name: name, Expr: checkText(e), NotValid: notValid})
	t.DependsOn = dependOn(t.DependsOn, env.Used)
	return nil
}

// checkText is the text to keep of a domain's CHECK: VALUE is written as PostgreSQL shows it.
func checkText(e parser.Expr) string {
	return parser.Format(parser.Rewrite(e, func(x parser.Expr) parser.Expr {
		if isValue(x) {
			return &parser.SQLValue{Loc: parser.Loc{Pos: x.At()}, Name: "VALUE", Precision: -1}
		}
		return x
	}))
}

func isValue(e parser.Expr) bool {
	c, ok := e.(*parser.ColumnRef)
	return ok && len(c.Parts) == 1 && c.Parts[0] == "value"
}

// alterDomain runs ALTER DOMAIN.
func (s *Session) alterDomain(ctx context.Context, x *parser.AlterStmt) error {
	snap, a := s.snapshot(), x.Actions[0]
	old, err := s.findType(snap, x.Name)
	if err != nil {
		if sqlerr.CodeOf(err) == sqlerr.DependentObjectsStillExist {
			return sqlerr.New(sqlerr.UndefinedObject, "type %q does not exist", x.Name.String())
		}
		return err
	}
	if old.Domain == nil {
		if a.Kind == parser.AlterRename || a.Kind == parser.AlterOwner || a.Kind == parser.AlterSetSchema {
			return notDomain(x.Name)
		}
		return sqlerr.New(sqlerr.WrongObjectType, "%s is not a domain", old.SQL())
	}
	switch a.Kind {
	case parser.AlterRename, parser.AlterOwner, parser.AlterSetSchema:
		return s.alterType(ctx, x)
	}
	if err := s.mustOwn(old.Owner, "type", old.Name); err != nil {
		return err
	}
	t, d := *old, *old.Domain
	t.Domain, d.Checks = &d, slices.Clone(old.Domain.Checks)
	var added *catalog.DomainCheck
	switch a.Kind {
	case parser.AlterSetDefault:
		err = s.setDomainDefault(&t, a.Expr)
	case parser.AlterDropDefault:
		d.Default = ""
	case parser.AlterSetNotNull:
		if d.NotNull {
			return nil
		}
		d.NotNull = true
		return s.demand(ctx, snap, &t, nil)
	case parser.AlterDropNotNull:
		d.NotNull = false
	case parser.AlterAddConstraint:
		c := a.Constraint
		if c.Kind != parser.ConCheck {
			return noDomainConstraint(c.Kind)
		}
		if err := s.addDomainCheck(&t, c.Name, c.Expr, c.NotValid); err != nil {
			return err
		}
		added = &d.Checks[len(d.Checks)-1]
		if added.ID, err = s.m.Catalog.NewIDs(ctx, 1); err == nil && !c.NotValid {
			return s.demand(ctx, snap, &t, added)
		}
	case parser.AlterValidate:
		c := d.CheckNamed(a.Name)
		if c == nil {
			return noConstraintOf(a.Name, &t)
		}
		if !c.NotValid {
			return nil
		}
		c.NotValid = false
		return s.demand(ctx, snap, &t, c)
	case parser.AlterDropConstraint:
		if d.CheckNamed(a.Name) == nil {
			if a.IfExists {
				s.notice("constraint %q of domain %q does not exist, skipping", a.Name, t.Name)
				return nil
			}
			return noConstraintOf(a.Name, &t)
		}
		d.Checks = slices.DeleteFunc(d.Checks, func(c catalog.DomainCheck) bool { return c.Name == a.Name })
	case parser.AlterRenameConstr:
		c := d.CheckNamed(a.Name)
		if c == nil {
			return sqlerr.New(sqlerr.UndefinedObject, "constraint %q for domain %s does not exist", a.Name, t.SQL())
		}
		if d.CheckNamed(a.NewName) != nil {
			return sqlerr.New(sqlerr.DuplicateObject, "constraint %q for domain %s already exists", a.NewName, t.SQL())
		}
		c.Name = a.NewName
	default:
		return unsupported(x)
	}
	if err != nil {
		return err
	}
	return s.apply(ctx, snap, catalog.Change{PutType: []*catalog.Type{&t}})
}

func noConstraintOf(name string, t *catalog.Type) error {
	return sqlerr.New(sqlerr.UndefinedObject, "constraint %q of domain %q does not exist", name, t.Name)
}

// demand stores a domain that demands more than before: the check c, or with nil that there are no NULLs. As with the
// constraints of tables, it binds all writes from the moment it is in the catalog; then the values that are there are
// looked at, and it is taken back if some of them violate it.
func (s *Session) demand(ctx context.Context, snap *catalog.Snapshot, t *catalog.Type, c *catalog.DomainCheck) error {
	stored, err := s.columnsOfDomain(snap, t)
	if err != nil {
		return err
	}
	if s.staging() && s.txn.stage != nil {
		stored = slices.DeleteFunc(stored, func(p place) bool { return s.txn.stage.created[p.rel.ID] })
	}
	if s.staging() && len(stored) > 0 {
		return notInBlock("a constraint of a domain whose values are stored")
	}
	if err := s.valuesKeep(ctx, stored, c); err != nil {
		return err
	}
	before := snap.Types[t.ID]
	if err := s.apply(ctx, snap, catalog.Change{PutType: []*catalog.Type{t}}); err != nil || len(stored) == 0 {
		return err
	}
	err = s.m.Engine.Flush(ctx) // what was written without knowing of the constraint is seen from here on
	if err == nil {
		err = s.valuesKeep(ctx, stored, c)
	}
	if err == nil {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	if e := s.apply(ctx, s.snapshot(), catalog.Change{PutType: []*catalog.Type{before}}); e != nil {
		s.m.Logger.Error("take back a constraint that values violate", "domain", t.Name, "err", e)
	}
	return err
}

// place is a column of a stored relation.
type place struct {
	rel *catalog.Relation
	col int
}

// columnsOfDomain lists the stored columns of a domain and of the domains over it. It refuses values of it that are parts
// of columns, which PostgreSQL does not look into either.
func (s *Session) columnsOfDomain(snap *catalog.Snapshot, t *catalog.Type) ([]place, error) {
	var out []place
	ty := t.SQL()
	for _, r := range snap.Sorted() {
		if r.Kind != catalog.Table && r.Kind != catalog.MatView {
			continue
		}
		for i, c := range r.Columns {
			switch {
			case isOver(c.Type, ty):
				out = append(out, place{r, i})
			case uses(c.Type, ty):
				return nil, cannotAlterType(t, r, c.Name)
			}
		}
	}
	return out, nil
}

func cannotAlterType(t *catalog.Type, r *catalog.Relation, column string) error {
	return sqlerr.New(sqlerr.FeatureNotSupported, "cannot alter type %q because column \"%s.%s\" uses it", t.Name, r.Name, column)
}

// isOver reports whether t is the domain d or one over it.
func isOver(t, d sqltypes.Type) bool {
	for ; t.IsDomain(); t = t.Restricts() {
		if t == d {
			return true
		}
	}
	return false
}

// uses reports whether t is, or is made of, the type made by CREATE TYPE or CREATE DOMAIN.
func uses(t, made sqltypes.Type) bool {
	switch {
	case t.Base() == made:
		return true
	case t.IsDomain():
		return uses(t.Restricts(), made)
	case t.Kind == sqltypes.KArray:
		return uses(t.ElemType(), made)
	case t.Kind == sqltypes.KMap:
		k, v := t.KeyValue()
		return uses(k, made) || uses(v, made)
	}
	return slices.ContainsFunc(t.Fields(), func(f sqltypes.RowField) bool { return uses(f.Type, made) })
}

// valuesKeep fails if stored values violate a check, or are NULL.
func (s *Session) valuesKeep(ctx context.Context, stored []place, c *catalog.DomainCheck) error {
	for _, p := range stored {
		col := p.rel.Columns[p.col]
		cond, what := parser.QuoteIdent(col.Name)+" IS NULL", sqlerr.New(sqlerr.NotNullViolation, "column %q of table %q contains null values", col.Name, p.rel.Name)
		if c != nil {
			e, err := parser.ParseExpr(c.Expr)
			if err != nil {
				return err
			}
			cond = "NOT (" + parser.Format(parser.Rewrite(e, func(x parser.Expr) parser.Expr {
				if isValue(x) {
					return &parser.ColumnRef{Loc: parser.Loc{Pos: x.At()}, Parts: []string{col.Name}}
				}
				return x
			})) + ")"
			what = sqlerr.New(sqlerr.CheckViolation, "column %q of table %q contains values that violate the new constraint", col.Name, p.rel.Name)
		}
		row, err := s.firstRow(ctx, "SELECT 1 FROM "+parser.QuoteIdent(p.rel.Schema)+"."+parser.QuoteIdent(p.rel.Name)+" WHERE "+cond+" LIMIT 1")
		if err != nil {
			return err
		}
		if row != nil {
			return what.WithTable(p.rel.Schema, p.rel.Name, col.Name, "")
		}
	}
	return nil
}

// takesNull fails if a column about to be added is of a domain that does not take NULL, and there are rows that would have it.
func (s *Session) takesNull(ctx context.Context, r *catalog.Relation, c *catalog.Column) error {
	e, err := bind.DefaultOf(s.env(nil), c)
	if err != nil {
		return err
	}
	_, err = expr.EvalConst(s.evalCtx(), e)
	if err == nil {
		return nil
	}
	row, e2 := s.firstRow(ctx, "SELECT 1 FROM "+parser.QuoteIdent(r.Schema)+"."+parser.QuoteIdent(r.Name)+" LIMIT 1")
	if e2 != nil || row == nil {
		return e2
	}
	return err
}

func (s *Session) commentOnDomainConstraint(ctx context.Context, snap *catalog.Snapshot, x *parser.CommentStmt, text string) error {
	old, err := s.findType(snap, x.On)
	if err != nil {
		return err
	}
	if old.Domain == nil {
		return notDomain(x.On)
	}
	if err := s.mustOwn(old.Owner, "type", old.Name); err != nil {
		return err
	}
	t, d := *old, *old.Domain
	t.Domain, d.Checks = &d, slices.Clone(d.Checks)
	c := d.CheckNamed(x.Name.Last())
	if c == nil {
		return sqlerr.New(sqlerr.UndefinedObject, "constraint %q for domain %s does not exist", x.Name.Last(), t.SQL())
	}
	c.Comment = text
	return s.apply(ctx, snap, catalog.Change{PutType: []*catalog.Type{&t}})
}
