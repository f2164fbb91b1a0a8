package session

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// The attributes of composite types. A stored value is read by the attributes that its type had when it was written, and jobs keep
// such values in their state: while there are any, attributes can be renamed, and nothing else.

// isAttributeAction reports whether an action of ALTER TYPE is about attributes.
func isAttributeAction(k parser.AlterKind) bool {
	switch k {
	case parser.AlterAddAttribute, parser.AlterDropAttribute, parser.AlterAttributeType, parser.AlterRenameAttribute:
		return true
	}
	return false
}

// alterAttributes runs ALTER TYPE … ADD, DROP, ALTER or RENAME ATTRIBUTE.
func (s *Session) alterAttributes(ctx context.Context, x *parser.AlterStmt) error {
	snap := s.snapshot()
	old, err := s.findType(snap, x.Name)
	if err != nil && sqlerr.CodeOf(err) == sqlerr.InvalidSchemaName {
		return err
	}
	if err != nil || old.Kind != sqltypes.KRecord || old.Domain != nil {
		return sqlerr.New(sqlerr.UndefinedTable, "relation %q does not exist", x.Name.String())
	}
	if err := s.mustOwn(old.Owner, "type", old.Name); err != nil {
		return err
	}
	t := *old
	t.Fields = slices.Clone(old.Fields)
	change := catalog.Change{}
	for _, a := range x.Actions {
		dropped, err := s.alterAttribute(snap, &t, a)
		if err != nil {
			return err
		}
		change.PutType = append(change.PutType, dropped...)
	}
	rename := x.Actions[0].Kind == parser.AlterRenameAttribute
	if !rename && !slices.Equal(old.Fields, t.Fields) {
		if err := unstored(snap, old); err != nil {
			return err
		}
	}
	if rename {
		if err := unnamed(snap, old, x.Actions[0].Name); err != nil {
			return err
		}
		change.PutType = append(change.PutType, renamedInChecks(snap, old, x.Actions[0])...)
	}
	t.DependsOn = nil
	for _, f := range t.Fields {
		t.DependsOn = dependOn(t.DependsOn, snap.NamedIn(f.Type))
	}
	change.PutType = append(change.PutType, &t)
	return s.apply(ctx, snap, change)
}

// alterAttribute carries out one action on t. It returns domains over t that lose constraints by it.
func (s *Session) alterAttribute(snap *catalog.Snapshot, t *catalog.Type, a parser.AlterAction) ([]*catalog.Type, error) {
	at := func(name string) int {
		return slices.IndexFunc(t.Fields, func(f sqltypes.RowField) bool { return f.Name == name })
	}
	missing := func() error {
		return sqlerr.New(sqlerr.UndefinedColumn, "column %q of relation %q does not exist", a.Name, t.Name)
	}
	taken := func(name string) error {
		return sqlerr.New(sqlerr.DuplicateColumn, "column %q of relation %q already exists", name, t.Name)
	}
	switch a.Kind {
	case parser.AlterAddAttribute:
		ft, err := s.attributeType(snap, t, a.Column.Name, a.Column.Type, a.Column.Collation)
		if err != nil {
			return nil, err
		}
		if at(a.Column.Name) >= 0 {
			return nil, taken(a.Column.Name)
		}
		t.Fields = append(t.Fields, sqltypes.RowField{Name: a.Column.Name, Type: ft})
	case parser.AlterDropAttribute:
		k := at(a.Name)
		if k < 0 {
			if a.IfExists {
				s.notice("column %q of relation %q does not exist, skipping", a.Name, t.Name)
				return nil, nil
			}
			return nil, missing()
		}
		t.Fields = slices.Delete(slices.Clone(t.Fields), k, k+1)
		return s.withoutAttribute(snap, t, a)
	case parser.AlterAttributeType:
		k := at(a.Name)
		if k < 0 {
			return nil, missing()
		}
		ft, err := s.attributeType(snap, t, a.Name, a.Type, a.Target)
		if err != nil {
			return nil, err
		}
		t.Fields[k].Type = ft
	case parser.AlterRenameAttribute:
		k := at(a.Name)
		if k < 0 {
			return nil, sqlerr.New(sqlerr.UndefinedColumn, "column %q does not exist", a.Name)
		}
		if at(a.NewName) >= 0 {
			return nil, taken(a.NewName)
		}
		t.Fields[k].Name = a.NewName
	}
	return nil, nil
}

func (s *Session) attributeType(snap *catalog.Snapshot, t *catalog.Type, name string, n *parser.TypeName, collation parser.Name) (sqltypes.Type, error) {
	ft, err := s.typeOf(n)
	if err != nil {
		return ft, err
	}
	if uses(ft, t.SQL()) {
		return ft, sqlerr.New(sqlerr.InvalidTableDefinition, "composite type %s cannot be made a member of itself", t.SQL())
	}
	if err := attributeable(name, ft); err != nil {
		return ft, err
	}
	if !collation.IsZero() {
		err = checkCollation(collation, ft)
	}
	return ft, err
}

// attributeable refuses attributes of types that no value can be kept of.
func attributeable(name string, t sqltypes.Type) error {
	if t.IsPseudo() || t.Kind == sqltypes.KVoid || t == sqltypes.Record {
		return sqlerr.New(sqlerr.InvalidTableDefinition, "column %q has pseudo-type %s", name, t)
	}
	return nil
}

// unstored fails if values of a type are stored, or part of what a job remembers.
func unstored(snap *catalog.Snapshot, t *catalog.Type) error {
	made := t.SQL()
	for _, r := range snap.Sorted() {
		for _, c := range r.Columns {
			if (r.Kind == catalog.Table || r.Kind == catalog.MatView) && uses(c.Type, made) {
				return cannotAlterType(t, r, c.Name)
			}
		}
	}
	if r := dependantOf(snap, t, func(r *catalog.Relation) bool { return true }); r != nil {
		return sqlerr.New(sqlerr.FeatureNotSupported, "cannot alter type %q because %s %q uses it", t.Name, r.Kind, r.Name)
	}
	return nil
}

// unnamed fails if a view may name the attribute: its text would no longer be understood.
func unnamed(snap *catalog.Snapshot, t *catalog.Type, name string) error {
	if r := dependantOf(snap, t, func(r *catalog.Relation) bool {
		return r.Kind != catalog.Table && r.Kind != catalog.Index && mentions(r.Definition, name)
	}); r != nil {
		return sqlerr.New(sqlerr.DependentObjectsStillExist, "cannot rename column %s of composite type %s because %s %s depends on it", name, t.SQL(), r.Kind, r.Name)
	}
	return nil
}

// mentions reports whether an identifier of that name, or a * that may stand for it, is in a text.
func mentions(text, name string) bool {
	if !identifier.MatchString(name) {
		return true
	}
	return strings.Contains(text, ".*") || slices.Contains(identifier.FindAllString(strings.ToLower(text), -1), strings.ToLower(name))
}

var identifier = regexp.MustCompile(`[\pL_][\pL\pN_$]*`)

// dependantOf finds a relation, of those that match, which names a type or reads a column that has it.
func dependantOf(snap *catalog.Snapshot, t *catalog.Type, match func(*catalog.Relation) bool) *catalog.Relation {
	seen := map[catalog.ID]bool{}
	var below func(id catalog.ID) *catalog.Relation
	below = func(id catalog.ID) *catalog.Relation {
		if seen[id] {
			return nil
		}
		seen[id] = true
		for _, r := range snap.Dependants(id) {
			if match(r) {
				return r
			}
			if found := below(r.ID); found != nil {
				return found
			}
		}
		for _, d := range snap.TypeDependants(id) {
			if found := below(d.ID); found != nil {
				return found
			}
		}
		return nil
	}
	return below(t.ID)
}

// withoutAttribute are the domains over a type that has lost an attribute, without the constraints that read it; they are
// in the way unless the attribute is dropped with CASCADE.
func (s *Session) withoutAttribute(snap *catalog.Snapshot, t *catalog.Type, a parser.AlterAction) ([]*catalog.Type, error) {
	var out []*catalog.Type
	var detail []string
	for _, d := range snap.TypeDependants(t.ID) {
		if d.Domain == nil {
			continue
		}
		n, domain := *d, *d.Domain
		n.Domain = &domain
		domain.Checks = slices.DeleteFunc(slices.Clone(domain.Checks), func(c catalog.DomainCheck) bool {
			if !readsField(c.Expr, a.Name) {
				return false
			}
			detail = append(detail, fmt.Sprintf("constraint %s depends on column %s of composite type %s", c.Name, a.Name, t.SQL()))
			if a.Behavior == parser.DropCascade {
				s.notice("drop cascades to constraint %s", c.Name)
			}
			return true
		})
		if len(domain.Checks) < len(d.Domain.Checks) {
			out = append(out, &n)
		}
	}
	if len(out) > 0 && a.Behavior != parser.DropCascade {
		return nil, sqlerr.New(sqlerr.DependentObjectsStillExist, "cannot drop column %s of composite type %s because other objects depend on it", a.Name, t.SQL()).
			WithDetail("%s", strings.Join(detail, "\n")).WithHint("Use DROP ... CASCADE to drop the dependent objects too.")
	}
	return out, nil
}

// readsField reports whether a CHECK reads a field of that name.
func readsField(text, name string) bool {
	e, err := parser.ParseExpr(text)
	if err != nil {
		return false
	}
	found := false
	parser.WalkExpr(e, func(x parser.Expr) bool {
		if f, ok := x.(*parser.FieldSelect); ok && f.Field == name {
			found = true
		}
		return !found
	})
	return found
}

// renamedInChecks are the domains over a type whose constraints read a renamed attribute.
func renamedInChecks(snap *catalog.Snapshot, t *catalog.Type, a parser.AlterAction) []*catalog.Type {
	var out []*catalog.Type
	for _, d := range snap.TypeDependants(t.ID) {
		if d.Domain == nil {
			continue
		}
		n, domain := *d, *d.Domain
		n.Domain, domain.Checks = &domain, slices.Clone(d.Domain.Checks)
		changed := false
		for i, c := range domain.Checks {
			e, err := parser.ParseExpr(c.Expr)
			if err != nil || !readsField(c.Expr, a.Name) {
				continue
			}
			changed = true
			domain.Checks[i].Expr = checkText(parser.Rewrite(e, func(x parser.Expr) parser.Expr {
				if f, ok := x.(*parser.FieldSelect); ok && f.Field == a.Name {
					g := *f
					g.Field = a.NewName
					return &g
				}
				return x
			}))
		}
		if changed {
			out = append(out, &n)
		}
	}
	return out
}
