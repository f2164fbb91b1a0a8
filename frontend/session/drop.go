package session

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

var dropKinds = map[parser.ObjectKind]catalog.Kind{
	parser.ObjTable: catalog.Table, parser.ObjView: catalog.View, parser.ObjMatView: catalog.MatView,
	parser.ObjSource: catalog.Source, parser.ObjSink: catalog.Sink, parser.ObjIndex: catalog.Index,
}

// drop runs DROP.
func (s *Session) drop(ctx context.Context, x *parser.DropStmt) error {
	switch x.Kind {
	case parser.ObjSchema:
		return s.dropSchema(ctx, x)
	case parser.ObjUser, parser.ObjRole, parser.ObjGroup:
		return s.dropRole(ctx, x)
	case parser.ObjType:
		return s.dropType(ctx, x)
	}
	kind, ok := dropKinds[x.Kind]
	if !ok {
		if x.IfExists {
			s.notice("%s does not exist, skipping", strings.ToLower(string(x.Kind)))
			return nil
		}
		return unsupported(x)
	}
	snap := s.snapshot()
	var roots []*catalog.Relation
	for _, n := range x.Names {
		r, err := s.find(snap, n.Name)
		if err != nil {
			if x.IfExists && (sqlerr.CodeOf(err) == sqlerr.UndefinedTable || sqlerr.CodeOf(err) == sqlerr.InvalidSchemaName) {
				s.notice("%s %q does not exist, skipping", kind, n.Last())
				continue
			}
			if t, _ := s.findType(snap, n.Name); t != nil && t.Kind == sqltypes.KRecord && sqlerr.CodeOf(err) == sqlerr.UndefinedTable {
				return sqlerr.New(sqlerr.WrongObjectType, "%q is not a %s", t.Name, kind).At(n.Pos).WithHint("Use DROP TYPE to remove a type.")
			}
			return missing(err, kind, n.Name)
		}
		if r.Kind != kind {
			return sqlerr.New(sqlerr.WrongObjectType, "%q is not a %s", r.Name, kind).At(n.Pos).
				WithHint("Use DROP %s to remove a %s.", strings.ToUpper(string(r.Kind)), r.Kind)
		}
		roots = append(roots, r)
	}
	return s.dropAll(ctx, snap, roots, x.Behavior == parser.DropCascade)
}

// missing words a missing relation as PostgreSQL's DROP does.
func missing(err error, kind catalog.Kind, n parser.Name) error {
	if sqlerr.CodeOf(err) != sqlerr.UndefinedTable {
		return err
	}
	code := sqlerr.UndefinedTable
	if kind == catalog.Index {
		code = sqlerr.UndefinedObject
	}
	return sqlerr.New(code, "%s %q does not exist", kind, n.String())
}

// dropAll removes relations and, with CASCADE, what depends on them; indexes go with their relation.
func (s *Session) dropAll(ctx context.Context, snap *catalog.Snapshot, roots []*catalog.Relation, cascade bool) error {
	var order []*catalog.Relation // dependants first
	seen := map[catalog.ID]bool{}
	var blocked []string
	var visit func(r *catalog.Relation, root bool)
	visit = func(r *catalog.Relation, root bool) {
		if seen[r.ID] {
			return
		}
		seen[r.ID] = true
		for _, d := range snap.Dependants(r.ID) {
			own := d.Kind == catalog.Index && d.IndexOn == r.ID
			if !own && !cascade && !slices.Contains(roots, d) {
				blocked = append(blocked, fmt.Sprintf("%s %s depends on %s %s", d.Kind, d.Name, r.Kind, r.Name))
				continue
			}
			if !own && !root && cascade || !own && cascade {
				if !slices.Contains(roots, d) && !seen[d.ID] {
					s.notice("drop cascades to %s %s", d.Kind, d.Name)
				}
			}
			visit(d, false)
		}
		order = append(order, r)
	}
	for _, r := range roots {
		visit(r, true)
	}
	if len(blocked) > 0 {
		return sqlerr.New(sqlerr.DependentObjectsStillExist, "cannot drop %s %s because other objects depend on it", roots[0].Kind, roots[0].Name).
			WithDetail("%s", strings.Join(blocked, "\n")).WithHint("Use DROP ... CASCADE to drop the dependent objects too.")
	}
	if len(order) == 0 {
		return nil
	}
	var c catalog.Change
	for _, r := range order {
		c.Drop = append(c.Drop, r.ID)
	}
	if err := s.apply(ctx, snap, c); err != nil {
		return err
	}
	return s.endJobs(ctx, order)
}

func (s *Session) dropSchema(ctx context.Context, x *parser.DropStmt) error {
	for _, n := range x.Names {
		snap := s.snapshot()
		if snap.Schemas[n.Last()] == nil {
			if x.IfExists {
				s.notice("schema %q does not exist, skipping", n.Last())
				continue
			}
			return sqlerr.New(sqlerr.InvalidSchemaName, "schema %q does not exist", n.Last())
		}
		var inside []*catalog.Relation
		for _, r := range snap.Sorted() {
			if r.Schema == n.Last() {
				inside = append(inside, r)
			}
		}
		if len(inside) > 0 && x.Behavior != parser.DropCascade {
			var detail []string
			for _, r := range inside {
				detail = append(detail, fmt.Sprintf("%s %s depends on schema %s", r.Kind, r.Name, n.Last()))
			}
			return sqlerr.New(sqlerr.DependentObjectsStillExist, "cannot drop schema %s because other objects depend on it", n.Last()).
				WithDetail("%s", strings.Join(detail, "\n")).WithHint("Use DROP ... CASCADE to drop the dependent objects too.")
		}
		if err := s.dropAll(ctx, snap, inside, true); err != nil {
			return err
		}
		if err := s.apply(ctx, s.snapshot(), catalog.Change{DropSchema: []string{n.Last()}}); err != nil {
			return err
		}
	}
	return nil
}
