package session

import (
	"context"
	"fmt"
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
	case parser.ObjFunction, parser.ObjRoutine:
		return s.dropFunction(ctx, x)
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
	return s.dropObjects(ctx, snap, roots, nil, cascade)
}

// object is a relation or a function.
type object struct {
	id   catalog.ID
	rel  *catalog.Relation
	fn   *catalog.Function
	text string // kind and name
}

func relObject(r *catalog.Relation) object {
	return object{id: r.ID, rel: r, text: fmt.Sprintf("%s %s", r.Kind, r.Name)}
}

func funcObject(f *catalog.Function) object {
	return object{id: f.ID, fn: f, text: "function " + signatureOf(f)}
}

// dropping collects what a DROP removes.
type dropping struct {
	s       *Session
	snap    *catalog.Snapshot
	cascade bool
	roots   map[catalog.ID]bool
	seen    map[catalog.ID]bool
	blocked []string
	order   []object // dependants first
}

func (d *dropping) visit(o object) {
	if d.seen[o.id] {
		return
	}
	d.seen[o.id] = true
	var above []object
	for _, r := range d.snap.Dependants(o.id) {
		above = append(above, relObject(r))
	}
	for _, f := range d.snap.BoundFunctions(o.id) {
		above = append(above, funcObject(f))
	}
	for _, a := range above {
		own := a.rel != nil && a.rel.Kind == catalog.Index && a.rel.IndexOn == o.id
		if !own && !d.roots[a.id] {
			if !d.cascade {
				d.blocked = append(d.blocked, a.text+" depends on "+o.text)
				continue
			}
			if !d.seen[a.id] {
				d.s.notice("drop cascades to %s", a.text)
			}
		}
		d.visit(a)
	}
	d.order = append(d.order, o)
}

// dropObjects removes relations and functions and, with CASCADE, what depends on them.
func (s *Session) dropObjects(ctx context.Context, snap *catalog.Snapshot, rels []*catalog.Relation, fns []*catalog.Function, cascade bool) error {
	d := &dropping{s: s, snap: snap, cascade: cascade, roots: map[catalog.ID]bool{}, seen: map[catalog.ID]bool{}}
	var roots []object
	for _, r := range rels {
		roots = append(roots, relObject(r))
	}
	for _, f := range fns {
		roots = append(roots, funcObject(f))
	}
	for _, o := range roots {
		d.roots[o.id] = true
	}
	for _, o := range roots {
		d.visit(o)
	}
	if len(d.blocked) > 0 {
		return sqlerr.New(sqlerr.DependentObjectsStillExist, "cannot drop %s because other objects depend on it", roots[0].text).
			WithDetail("%s", strings.Join(d.blocked, "\n")).WithHint("Use DROP ... CASCADE to drop the dependent objects too.")
	}
	if len(d.order) == 0 {
		return nil
	}
	var c catalog.Change
	var gone []*catalog.Relation
	for _, o := range d.order {
		if o.fn != nil {
			c.DropFunc = append(c.DropFunc, o.id)
			continue
		}
		c.Drop = append(c.Drop, o.id)
		gone = append(gone, o.rel)
	}
	if err := s.apply(ctx, snap, c); err != nil {
		return err
	}
	return s.endJobs(ctx, gone)
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
		var fns []*catalog.Function
		for _, f := range snap.Functions {
			if f.Schema == n.Last() {
				fns = append(fns, f)
			}
		}
		if len(inside)+len(fns) > 0 && x.Behavior != parser.DropCascade {
			var detail []string
			for _, f := range fns {
				detail = append(detail, fmt.Sprintf("function %s depends on schema %s", signatureOf(f), n.Last()))
			}
			for _, r := range inside {
				detail = append(detail, fmt.Sprintf("%s %s depends on schema %s", r.Kind, r.Name, n.Last()))
			}
			return sqlerr.New(sqlerr.DependentObjectsStillExist, "cannot drop schema %s because other objects depend on it", n.Last()).
				WithDetail("%s", strings.Join(detail, "\n")).WithHint("Use DROP ... CASCADE to drop the dependent objects too.")
		}
		if err := s.dropObjects(ctx, snap, inside, fns, true); err != nil {
			return err
		}
		if err := s.apply(ctx, s.snapshot(), catalog.Change{DropSchema: []string{n.Last()}}); err != nil {
			return err
		}
	}
	return nil
}
