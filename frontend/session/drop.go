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
	parser.ObjSubscription: catalog.Subscription, parser.ObjConnection: catalog.Connection,
}

// drop runs DROP.
func (s *Session) drop(ctx context.Context, x *parser.DropStmt) error {
	switch x.Kind {
	case parser.ObjSchema:
		return s.dropSchema(ctx, x)
	case parser.ObjUser, parser.ObjRole, parser.ObjGroup:
		return s.dropRole(ctx, x)
	case parser.ObjType, parser.ObjDomain:
		return s.dropType(ctx, x)
	case parser.ObjFunction, parser.ObjRoutine:
		return s.dropFunction(ctx, x)
	case parser.ObjSequence:
		return s.dropSequence(ctx, x)
	case parser.ObjSecret:
		return s.dropSecret(ctx, x)
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
			if t, _ := s.findType(snap, n.Name); t != nil && t.Kind == sqltypes.KRecord && t.Domain == nil && sqlerr.CodeOf(err) == sqlerr.UndefinedTable {
				return sqlerr.New(sqlerr.WrongObjectType, "%q is not a %s", t.Name, kind).At(n.Pos).WithHint("Use DROP TYPE to remove a type.")
			}
			return missing(err, kind, n.Name)
		}
		if kind == catalog.Index && r.Kind == catalog.Index && r.Unique {
			if err := s.freeOfConstraint(snap, r); err != nil {
				return err
			}
		}
		if r.Kind != kind {
			return sqlerr.New(sqlerr.WrongObjectType, "%q is not a %s", r.Name, kind).At(n.Pos).
				WithHint("Use DROP %s to remove a %s.", strings.ToUpper(string(r.Kind)), r.Kind)
		}
		if err := s.mustOwnRelation(r, true); err != nil {
			return err
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
	// A source that CREATE TABLE made for its own table goes with it.
	if o.rel != nil && o.rel.Captured != nil && o.rel.Captured.Own {
		if src := d.snap.Relations[o.rel.Captured.Source]; src != nil {
			d.visit(relObject(src))
		}
	}
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
		for _, q := range snap.Owned(o.id, 0) {
			if !d.seen[q.ID] {
				c.Drop = append(c.Drop, q.ID)
			}
		}
	}
	c.Put = withoutIndexes(snap, gone)
	if err := s.apply(ctx, snap, c); err != nil {
		return err
	}
	return s.endJobs(ctx, gone)
}

// freeOfConstraint refuses to drop an index that a constraint needs.
func (s *Session) freeOfConstraint(snap *catalog.Snapshot, idx *catalog.Relation) error {
	t := snap.Relations[idx.IndexOn]
	for _, c := range t.Constraints {
		if c.Index == idx.ID && !c.Bare {
			return sqlerr.New(sqlerr.DependentObjectsStillExist, "cannot drop index %s because constraint %s on table %s requires it", idx.Name, c.Name, t.Name).
				WithHint("You can drop constraint %s on table %s instead.", c.Name, t.Name)
		}
	}
	return nil
}

// withoutIndexes returns the tables that stay when relations go, without the unique keys whose indexes go.
func withoutIndexes(snap *catalog.Snapshot, gone []*catalog.Relation) []*catalog.Relation {
	var out []*catalog.Relation
	for _, idx := range gone {
		t := snap.Relations[idx.IndexOn]
		if idx.Kind != catalog.Index || !idx.Unique || t == nil || slices.Contains(gone, t) {
			continue
		}
		next := *t
		next.Constraints = slices.DeleteFunc(slices.Clone(t.Constraints), func(c catalog.Constraint) bool {
			return slices.ContainsFunc(gone, func(r *catalog.Relation) bool { return r.ID == c.Index })
		})
		if !slices.ContainsFunc(out, func(r *catalog.Relation) bool { return r.ID == t.ID }) {
			out = append(out, &next)
		}
	}
	return out
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
		if err := s.mustOwn(snap.Schemas[n.Last()].Owner, "schema", n.Last()); err != nil {
			return err
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
		var types []*catalog.Type
		for _, t := range snap.SortedTypes() {
			if t.Schema == n.Last() {
				types = append(types, t)
			}
		}
		var secrets []catalog.ID
		for _, x := range snap.SortedSecrets() {
			if x.Schema == n.Last() {
				secrets = append(secrets, x.ID)
				for _, r := range snap.Dependants(x.ID) {
					if !slices.Contains(inside, r) {
						inside = append(inside, r)
					}
				}
			}
		}
		if len(inside)+len(fns)+len(types)+len(secrets) > 0 && x.Behavior != parser.DropCascade {
			var detail []string
			for _, id := range secrets {
				detail = append(detail, fmt.Sprintf("secret %s depends on schema %s", snap.Secrets[id].Name, n.Last()))
			}
			for _, t := range types {
				detail = append(detail, fmt.Sprintf("type %s depends on schema %s", t.Name, n.Last()))
			}
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
		if len(types) > 0 {
			if err := s.dropTypesCascade(ctx, types); err != nil {
				return err
			}
		}
		if err := s.apply(ctx, s.snapshot(), catalog.Change{DropSchema: []string{n.Last()}, DropSecret: secrets}); err != nil {
			return err
		}
	}
	return nil
}
