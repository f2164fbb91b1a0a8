package session

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// labelGap is the room between neighbouring labels of a new enum: it can be halved forty times.
const labelGap = 1 << 40

// dependOnTypes puts the types of r's columns among what r depends on, and takes those away that no column has
// any longer. What a view's query names stays.
func dependOnTypes(snap *catalog.Snapshot, r *catalog.Relation) {
	if r.Kind == catalog.Table {
		r.DependsOn = slices.DeleteFunc(slices.Clone(r.DependsOn), func(id catalog.ID) bool { return snap.Types[id] != nil })
	}
	for _, c := range r.Columns {
		for _, id := range snap.NamedIn(c.Type) {
			if !slices.Contains(r.DependsOn, id) {
				r.DependsOn = append(r.DependsOn, id)
			}
		}
	}
}

// createType runs CREATE TYPE.
func (s *Session) createType(ctx context.Context, x *parser.CreateTypeStmt) error {
	snap := s.snapshot()
	schema, err := s.target(snap, x.Name)
	if err != nil {
		return err
	}
	if err := freeTypeName(snap, schema, x.Name.Last(), x.Name.Pos); err != nil {
		return err
	}
	t := &catalog.Type{Schema: schema, Name: x.Name.Last(), Owner: s.User(), Kind: sqltypes.KRecord}
	if x.Enum {
		t.Kind = sqltypes.KEnum
	}
	for i, l := range x.Labels {
		if err := checkLabel(l); err != nil {
			return err
		}
		if slices.Contains(x.Labels[:i], l) {
			return sqlerr.New(sqlerr.UniqueViolation, "duplicate key value violates unique constraint \"pg_enum_typid_label_index\"")
		}
	}
	for i, f := range x.Fields {
		if slices.ContainsFunc(x.Fields[:i], func(g parser.StructField) bool { return g.Name == f.Name }) {
			return sqlerr.New(sqlerr.DuplicateColumn, "column %q specified more than once", f.Name)
		}
		ft, err := s.typeOf(f.Type)
		if err != nil {
			return err
		}
		if err := attributeable(f.Name, ft); err != nil {
			return err
		}
		t.Fields = append(t.Fields, sqltypes.RowField{Name: f.Name, Type: ft})
		t.DependsOn = append(t.DependsOn, snap.NamedIn(ft)...)
	}
	if t.Stamp, err = newStamp(); err != nil {
		return err
	}
	if t.ID, err = s.m.Catalog.NewIDs(ctx, 2+len(x.Labels)); err != nil {
		return err
	}
	t.ArrayID = t.ID + 1
	for i, l := range x.Labels {
		t.Labels = append(t.Labels, sqltypes.Label{Name: l, Place: int64(i+1) * labelGap, OID: uint32(t.ID) + 2 + uint32(i)})
	}
	return s.apply(ctx, snap, catalog.Change{PutType: []*catalog.Type{t}})
}

// newStamp draws the identity of a type.
func newStamp() (uint64, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, fmt.Errorf("draw the stamp of a type: %w", err)
	}
	return binary.LittleEndian.Uint64(b[:]) | 1, nil // 0 means none
}

// freeTypeName refuses the name of another type; a relation's name is one too.
func freeTypeName(snap *catalog.Snapshot, schema, name string, pos int) error {
	if len(name) > 63 {
		return sqlerr.New(sqlerr.NameTooLong, "identifier %q is longer than 63 bytes", name).At(pos)
	}
	if _, taken := snap.FindType(schema, name); taken {
		return sqlerr.New(sqlerr.DuplicateObject, "type %q already exists", name)
	}
	if r, taken := snap.Find(schema, name); taken {
		if r.Kind == catalog.Index || r.Kind == catalog.Sink || r.Kind == catalog.Subscription || r.Kind == catalog.Connection {
			return sqlerr.New(sqlerr.DuplicateTable, "relation %q already exists", name)
		}
		return typeTaken(name)
	}
	return nil
}

func typeTaken(name string) error {
	return sqlerr.New(sqlerr.DuplicateObject, "type %q already exists", name)
}

func checkLabel(l string) error {
	if len(l) > 63 {
		return sqlerr.New(sqlerr.InvalidName, "invalid enum label %q", l).WithDetail("Labels must be 63 bytes or less.")
	}
	return nil
}

// findType resolves the type that a statement names.
func (s *Session) findType(snap *catalog.Snapshot, n parser.Name) (*catalog.Type, error) {
	path := s.SearchPath()
	if schema := n.Schema(); schema != "" {
		if snap.Schemas[schema] == nil && !isSystemSchema(schema) {
			return nil, sqlerr.New(sqlerr.InvalidSchemaName, "schema %q does not exist", schema)
		}
		path = []string{schema}
	}
	if t, ok := snap.ResolveType(path, n.Last()); ok {
		return t, nil
	}
	if t, ok := sqltypes.ByName(n.Last()); ok {
		return nil, sqlerr.New(sqlerr.DependentObjectsStillExist, "cannot drop type %s because it is required by the database system", t)
	}
	return nil, sqlerr.New(sqlerr.UndefinedObject, "type %q does not exist", n.String())
}

// typeByOID finds the type that a client means by an OID.
func (s *Session) typeByOID(oid uint32) (sqltypes.Type, bool) {
	if t, ok := sqltypes.ByOID(oid); ok {
		return t, true
	}
	t, array, ok := s.snapshot().TypeByOID(oid)
	switch {
	case !ok:
		return sqltypes.Type{}, false
	case array:
		return sqltypes.ArrayOf(t.SQL()), true
	}
	return t.SQL(), true
}

// dropType runs DROP TYPE.
func (s *Session) dropType(ctx context.Context, x *parser.DropStmt) error {
	snap := s.snapshot()
	var types []*catalog.Type
	for _, n := range x.Names {
		t, err := s.findType(snap, n.Name)
		switch {
		case err == nil:
			if x.Kind == parser.ObjDomain && t.Domain == nil {
				return notDomain(n.Name)
			}
			if err := s.mustOwn(t.Owner, "type", t.Name); err != nil {
				return err
			}
			types = append(types, t)
		case x.IfExists && sqlerr.CodeOf(err) == sqlerr.UndefinedObject:
			s.notice("type %q does not exist, skipping", n.Name.String())
		case x.IfExists && sqlerr.CodeOf(err) == sqlerr.InvalidSchemaName:
			s.notice("schema %q does not exist, skipping", n.Name.Schema())
		default:
			return err
		}
	}
	if len(types) == 0 {
		return nil
	}
	if x.Behavior == parser.DropCascade {
		return s.dropTypesCascade(ctx, types)
	}
	if detail := typeDependants(snap, types); len(detail) > 0 {
		return dependentsExist("type", x.Names, detail)
	}
	return s.apply(ctx, snap, dropTypes(types))
}

// dependentsExist is the error of a DROP that would leave dependent objects without what they depend on.
func dependentsExist(kind string, names []parser.DropName, detail []string) error {
	err := sqlerr.New(sqlerr.DependentObjectsStillExist, "cannot drop %s %s because other objects depend on it", kind, names[0].Name.String())
	if len(names) > 1 {
		err = sqlerr.New(sqlerr.DependentObjectsStillExist, "cannot drop desired object(s) because other objects depend on them")
	}
	return err.WithDetail("%s", strings.Join(detail, "\n")).WithHint("Use DROP ... CASCADE to drop the dependent objects too.")
}

func dropTypes(types []*catalog.Type) catalog.Change {
	var c catalog.Change
	for _, t := range types {
		c.DropType = append(c.DropType, t.ID)
	}
	return c
}

// typeDependants describes what depends on types, as the detail of an error.
func typeDependants(snap *catalog.Snapshot, types []*catalog.Type) []string {
	var out []string
	seen := map[catalog.ID]bool{}
	var above func(r *catalog.Relation)
	above = func(r *catalog.Relation) {
		for _, d := range snap.Dependants(r.ID) {
			if !seen[d.ID] {
				seen[d.ID] = true
				out = append(out, fmt.Sprintf("%s %s depends on %s %s", d.Kind, d.Name, r.Kind, r.Name))
				above(d)
			}
		}
	}
	for _, t := range types {
		for _, d := range snap.TypeDependants(t.ID) {
			if d.Domain != nil && !slices.Contains(types, d) {
				out = append(out, fmt.Sprintf("type %s depends on type %s", d.SQL(), t.SQL()))
			}
			for _, f := range d.Fields {
				if slices.Contains(snap.NamedIn(f.Type), t.ID) && !slices.Contains(types, d) {
					out = append(out, fmt.Sprintf("column %s of composite type %s depends on type %s", f.Name, d.SQL(), t.SQL()))
				}
			}
		}
		for _, r := range snap.Dependants(t.ID) {
			switch cols := columnsOfType(snap, r, t); {
			case r.Kind == catalog.Table && len(cols) > 0:
				for _, k := range cols {
					out = append(out, fmt.Sprintf("column %s of table %s depends on type %s", r.Columns[k].Name, r.Name, t.SQL()))
				}
			case !seen[r.ID]:
				seen[r.ID] = true
				out = append(out, fmt.Sprintf("%s %s depends on type %s", r.Kind, r.Name, t.SQL()))
				above(r)
			}
		}
		for _, f := range snap.BoundFunctions(t.ID) {
			out = append(out, fmt.Sprintf("function %s depends on type %s", signatureOf(f), t.SQL()))
		}
	}
	return out
}

// columnsOfType lists the columns that have t or are made of it.
func columnsOfType(snap *catalog.Snapshot, r *catalog.Relation, t *catalog.Type) []int {
	var out []int
	for i, c := range r.Columns {
		if slices.Contains(snap.NamedIn(c.Type), t.ID) {
			out = append(out, i)
		}
	}
	return out
}

// dropTypesCascade drops the views that depend on types, then the columns of tables, then the types.
func (s *Session) dropTypesCascade(ctx context.Context, types []*catalog.Type) error {
	snap := s.snapshot()
	var views []*catalog.Relation
	var shrunk []*catalog.Type // composite types that lose attributes
	types = slices.Clone(types)
	for i := 0; i < len(types); i++ {
		t := types[i]
		for _, d := range snap.TypeDependants(t.ID) {
			if d.Domain != nil && !slices.Contains(types, d) {
				s.notice("drop cascades to type %s", d.SQL())
				types = append(types, d)
			}
			if !slices.Contains(types, d) {
				if err := unstored(snap, d); err != nil {
					return err
				}
				shrunk = append(shrunk, d)
			}
		}
		for _, r := range snap.Dependants(t.ID) {
			if r.Kind != catalog.Table && !slices.Contains(views, r) {
				s.notice("drop cascades to %s %s", r.Kind, r.Name)
				views = append(views, r)
			}
		}
	}
	var fns []*catalog.Function
	for _, t := range types {
		for _, f := range snap.BoundFunctions(t.ID) {
			if !slices.Contains(fns, f) {
				s.notice("drop cascades to function %s", signatureOf(f))
				fns = append(fns, f)
			}
		}
	}
	if err := s.dropObjects(ctx, snap, views, fns, true); err != nil {
		return err
	}
	for _, t := range types {
		for _, r := range s.snapshot().Dependants(t.ID) {
			for _, k := range columnsOfType(snap, r, t) {
				s.notice("drop cascades to column %s of table %s", r.Columns[k].Name, r.Name)
				a := parser.AlterAction{Kind: parser.AlterDropColumn, Name: r.Columns[k].Name}
				if _, err := s.dropTableColumn(ctx, s.snapshot(), s.snapshot().Relations[r.ID], a); err != nil {
					return err
				}
			}
		}
	}
	change := dropTypes(types)
	for _, d := range shrunk {
		if !slices.Contains(types, d) && !slices.ContainsFunc(change.PutType, func(t *catalog.Type) bool { return t.ID == d.ID }) {
			change.PutType = append(change.PutType, s.withoutTypes(d, types))
		}
	}
	return s.apply(ctx, s.snapshot(), change)
}

// withoutTypes is a composite type without its attributes of types that are dropped.
func (s *Session) withoutTypes(d *catalog.Type, types []*catalog.Type) *catalog.Type {
	n := *d
	n.DependsOn = slices.DeleteFunc(slices.Clone(d.DependsOn), func(id catalog.ID) bool {
		return slices.ContainsFunc(types, func(t *catalog.Type) bool { return t.ID == id })
	})
	n.Fields = slices.DeleteFunc(slices.Clone(d.Fields), func(f sqltypes.RowField) bool {
		gone := slices.ContainsFunc(types, func(t *catalog.Type) bool { return uses(f.Type, t.SQL()) })
		if gone {
			s.notice("drop cascades to column %s of composite type %s", f.Name, d.SQL())
		}
		return gone
	})
	return &n
}

// alterType runs ALTER TYPE.
func (s *Session) alterType(ctx context.Context, x *parser.AlterStmt) error {
	if isAttributeAction(x.Actions[0].Kind) {
		return s.alterAttributes(ctx, x)
	}
	for _, a := range x.Actions {
		snap := s.snapshot()
		old, err := s.findType(snap, x.Name)
		if err != nil {
			return err
		}
		if err := s.mustOwn(old.Owner, "type", old.Name); err != nil {
			return err
		}
		t := *old
		switch a.Kind {
		case parser.AlterRename:
			if err := freeTypeName(snap, t.Schema, a.NewName, a.Pos); err != nil {
				return err
			}
			t.Name = a.NewName
		case parser.AlterSetSchema:
			if snap.Schemas[a.NewName] == nil {
				return sqlerr.New(sqlerr.InvalidSchemaName, "schema %q does not exist", a.NewName)
			}
			if err := s.mayCreateIn(snap, a.NewName, -1); err != nil {
				return err
			}
			if _, taken := snap.FindType(a.NewName, t.Name); taken {
				return sqlerr.New(sqlerr.DuplicateObject, "type %q already exists in schema %q", t.Name, a.NewName)
			}
			t.Schema = a.NewName
		case parser.AlterOwner:
			name, err := s.newOwner(snap, &catalog.Relation{Schema: t.Schema}, a)
			if err != nil {
				return err
			}
			t.ACL = t.Protected().OwnedBy(name)
			t.Owner = name
		case parser.AlterAddValue, parser.AlterRenameValue:
			if t.Kind != sqltypes.KEnum || t.Domain != nil {
				return sqlerr.New(sqlerr.WrongObjectType, "%s is not an enum", t.SQL())
			}
			if a.Kind == parser.AlterAddValue {
				err = s.addLabel(ctx, &t, a)
			} else {
				err = renameLabel(&t, a)
			}
			if err != nil {
				return err
			}
		default:
			return sqlerr.New(sqlerr.FeatureNotSupported, "this form of ALTER TYPE is not supported").At(a.Pos)
		}
		if err := s.apply(ctx, snap, catalog.Change{PutType: []*catalog.Type{&t}}); err != nil {
			return err
		}
	}
	return nil
}

// unsafe words the error about a label that the transaction itself has added: nobody knows it before COMMIT.
func (s *Session) unsafe(err error) error {
	st := s.txn.stage
	if st == nil || sqlerr.CodeOf(err) != sqlerr.InvalidTextRepresentation {
		return err
	}
	e := sqlerr.From(err)
	for id, t := range st.snap.Types {
		if st.base.Types[id] == nil {
			continue
		}
		for _, l := range t.Labels {
			if e.Message == fmt.Sprintf(`invalid input value for enum %s: "%s"`, t.SQL(), l.Name) {
				return sqlerr.New(unsafeNewLabel, "unsafe use of new value %q of enum type %s", l.Name, t.Name).
					WithHint("New enum values must be committed before they can be used.")
			}
		}
	}
	return err
}

// unsafeNewLabel is SQLSTATE 55P04.
const unsafeNewLabel sqlerr.Code = "55P04"

// addLabel puts a label between its neighbours. The others keep their places, so that stored values and keys stay.
func (s *Session) addLabel(ctx context.Context, t *catalog.Type, a parser.AlterAction) error {
	if err := checkLabel(a.Text); err != nil {
		return err
	}
	find := func(name string) int {
		return slices.IndexFunc(t.Labels, func(l sqltypes.Label) bool { return l.Name == name })
	}
	if find(a.Text) >= 0 {
		if a.IfNotExists {
			s.notices = append(s.notices, sqlerr.New(sqlerr.DuplicateObject, "enum label %q already exists, skipping", a.Text))
			return nil
		}
		return sqlerr.New(sqlerr.DuplicateObject, "enum label %q already exists", a.Text)
	}
	at := len(t.Labels)
	if a.Text2 != "" || a.Name != "" {
		if at = find(a.Text2); at < 0 {
			return sqlerr.New(sqlerr.InvalidParameterValue, "%q is not an existing enum label", a.Text2)
		}
		if a.Name == "AFTER" {
			at++
		}
	}
	var place int64
	switch n := len(t.Labels); {
	case n == 0:
		place = labelGap
	case at == n:
		place = t.Labels[n-1].Place + labelGap
	case at == 0:
		place = t.Labels[0].Place - labelGap
	default:
		lo, hi := t.Labels[at-1].Place, t.Labels[at].Place
		if place = lo + (hi-lo)/2; place == lo {
			return sqlerr.New(sqlerr.ProgramLimitExceeded, "there is no room for a label between %q and %q", t.Labels[at-1].Name, t.Labels[at].Name).
				WithHint("Make a new type and convert the columns.")
		}
	}
	oid, err := s.m.Catalog.NewIDs(ctx, 1)
	if err != nil {
		return err
	}
	t.Labels = slices.Insert(slices.Clone(t.Labels), at, sqltypes.Label{Name: a.Text, Place: place, OID: uint32(oid)})
	return nil
}

func renameLabel(t *catalog.Type, a parser.AlterAction) error {
	if err := checkLabel(a.Text2); err != nil {
		return err
	}
	t.Labels = slices.Clone(t.Labels)
	at := -1
	for i, l := range t.Labels {
		switch l.Name {
		case a.Text2:
			return sqlerr.New(sqlerr.DuplicateObject, "enum label %q already exists", a.Text2)
		case a.Text:
			at = i
		}
	}
	if at < 0 {
		return sqlerr.New(sqlerr.InvalidParameterValue, "%q is not an existing enum label", a.Text)
	}
	t.Labels[at].Name = a.Text2
	return nil
}
