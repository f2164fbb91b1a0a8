package catalog

import (
	"fmt"
	"sort"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqltypes"
)

// OIDs. A relation, schema or function of the user's has its catalog id. What the catalog has no id for gets a
// number derived from the id of what it belongs to, in a range of its own, so that it stays the same while the
// object lives. Numbers below 20000 are PostgreSQL's (types, functions, system relations) or the library's.
const (
	oidPgCatalog    = 11
	oidInfoSchema   = 13207
	oidMillrace     = 14000
	oidOwner        = 10 // PostgreSQL's bootstrap superuser: the first superuser here
	oidDatabase     = 5
	oidHeap         = 2
	oidBtree        = 403
	oidInternal     = 12 // languages
	oidSQL          = 14
	oidDefault      = 1663 // tablespace
	collDefault     = 100
	collC           = 950
	classRelation   = 1259 // catalogs, for pg_description and pg_depend
	classType       = 1247
	classProc       = 1255
	classNamespace  = 2615
	classConstraint = 2606
	classAttrdef    = 2604

	firstLibraryOID = 10000 // functions that PostgreSQL does not have, by position in the library
	pkeyIndex       = 1 << 30
	pkeyConstraint  = 3 << 29
	viewRule        = 1 << 31
	defaultExpr     = 1 << 31
	serverOf        = 1 << 29
	compositeOf     = 1 << 28
)

// pkeyOID is the OID of the index that stands for a table's primary key.
func pkeyOID(r *catalog.Relation) int64 { return pkeyIndex | int64(r.ID) }

// pkeyConstraintOID is the OID of a primary key in pg_constraint.
func pkeyConstraintOID(r *catalog.Relation) int64 { return pkeyConstraint | int64(r.ID) }

// attrdefOID is the OID of a column's default in pg_attrdef.
func attrdefOID(r *catalog.Relation, num int32) int64 {
	return defaultExpr | (int64(r.ID)<<11|int64(num))&(1<<31-1)
}

// attnum is a column's attribute number.
func attnum(r *catalog.Relation, i int) int32 {
	if id := r.Columns[i].ID; id > 0 {
		return id
	}
	return int32(i + 1)
}

// roleOID is the OID of a role, 0 for an unknown one.
func (f *facts) roleOID(name string) int64 {
	u := f.snap.Users[name]
	if u == nil {
		return 0
	}
	if b := f.bootstrap(); b != nil && b.Name == name {
		return oidOwner
	}
	return int64(u.ID)
}

// bootstrap is the superuser with the lowest id, who owns the system relations.
func (f *facts) bootstrap() *catalog.User {
	var first *catalog.User
	for _, u := range f.snap.Users {
		if u.Super && (first == nil || u.ID < first.ID) {
			first = u
		}
	}
	return first
}

// owner is the name of the system relations' owner.
func (f *facts) owner() string {
	if u := f.bootstrap(); u != nil {
		return u.Name
	}
	return ""
}

// roleName is the inverse of roleOID.
func (f *facts) roleName(oid int64) (string, bool) {
	if b := f.bootstrap(); oid == oidOwner && b != nil {
		return b.Name, true
	}
	for _, u := range f.snap.Users {
		if int64(u.ID) == oid {
			return u.Name, true
		}
	}
	return "", false
}

func (f *facts) users() []*catalog.User {
	out := make([]*catalog.User, 0, len(f.snap.Users))
	for _, u := range f.snap.Users {
		out = append(out, u)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out
}

func (f *facts) schemas() []*catalog.Schema {
	out := make([]*catalog.Schema, 0, len(f.snap.Schemas))
	for _, s := range f.snap.Schemas {
		out = append(out, s)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out
}

var systemSchemas = map[string]int64{pgCatalog: oidPgCatalog, infoSchema: oidInfoSchema, millraceCatalog: oidMillrace}

// schemaOID is the OID of a schema, 0 for an unknown one.
func (f *facts) schemaOID(name string) int64 {
	if oid, ok := systemSchemas[name]; ok {
		return oid
	}
	if s := f.snap.Schemas[name]; s != nil {
		return int64(s.ID)
	}
	return 0
}

func (f *facts) schemaName(oid int64) (string, bool) {
	for name, o := range systemSchemas {
		if o == oid {
			return name, true
		}
	}
	for _, s := range f.snap.Schemas {
		if int64(s.ID) == oid {
			return s.Name, true
		}
	}
	return "", false
}

// object is whatever has a row in pg_class: a system relation, one of the user's, or the index of a primary key.
type object struct {
	oid    int64
	schema string
	name   string
	system *relation
	user   *catalog.Relation // for a primary key's index: its table
	pkey   bool
	typ    *catalog.Type // a composite type; then system and user are nil
}

func (f *facts) objectOf(r *catalog.Relation) *object {
	return &object{oid: int64(r.ID), schema: r.Schema, name: r.Name, user: r}
}

func (f *facts) pkeyOf(r *catalog.Relation) *object {
	return &object{oid: pkeyOID(r), schema: r.Schema, name: f.pkeyName(r), user: r, pkey: true}
}

func (f *facts) compositeOf(t *catalog.Type) *object {
	return &object{oid: compositeOID(t), schema: t.Schema, name: t.Name, typ: t}
}

// object finds a relation by OID.
func (f *facts) object(oid int64) *object {
	if r := f.y.byOID[oid]; r != nil {
		return &object{oid: oid, schema: r.schema, name: r.name, system: r}
	}
	if r := f.relation(oid); r != nil {
		return f.objectOf(r)
	}
	if t := f.snap.Types[catalog.ID(oid&^compositeOf)]; t != nil && oid&^(1<<28-1) == compositeOf && t.Kind == sqltypes.KRecord && t.Domain == nil {
		return f.compositeOf(t)
	}
	if r := f.relation(oid &^ pkeyIndex); r != nil && oid&pkeyIndex != 0 && hasPkey(r) {
		return f.pkeyOf(r)
	}
	return nil
}

// unlisted relations are none to PostgreSQL's clients.
func unlisted(r *catalog.Relation) bool {
	return r.Kind == catalog.Sink || r.Kind == catalog.Subscription || r.Kind == catalog.Connection
}

// relation finds a relation of the user's by OID.
func (f *facts) relation(oid int64) *catalog.Relation {
	if oid < 0 || oid > 1<<32-1 {
		return nil
	}
	r := f.snap.Relations[catalog.ID(oid)]
	if r == nil || unlisted(r) {
		return nil
	}
	return r
}

// named finds a relation by schema and name.
func (f *facts) named(schema, name string) *object {
	if r := f.y.byName[relName{schema, name}]; r != nil {
		return &object{oid: r.oid, schema: schema, name: name, system: r}
	}
	if r, ok := f.snap.Find(schema, name); ok {
		if unlisted(r) {
			return nil
		}
		return f.objectOf(r)
	}
	if t, ok := f.snap.FindType(schema, name); ok && t.Kind == sqltypes.KRecord {
		return f.compositeOf(t)
	}
	for _, r := range f.snap.Relations {
		if r.Schema == schema && hasPkey(r) && f.pkeyName(r) == name {
			return f.pkeyOf(r)
		}
	}
	return nil
}

// path is the search path with pg_catalog where PostgreSQL searches it.
func (f *facts) path() []string {
	var out []string
	implicit := true
	for _, s := range f.session.SearchPath() {
		implicit = implicit && s != pgCatalog
		out = append(out, s)
	}
	if implicit {
		out = append([]string{pgCatalog}, out...)
	}
	return out
}

// resolve finds a relation along the search path.
func (f *facts) resolve(name string) *object {
	for _, schema := range f.path() {
		if o := f.named(schema, name); o != nil {
			return o
		}
	}
	return nil
}

// visible reports whether an object is found without its schema.
func (f *facts) visible(o *object) bool {
	found := f.resolve(o.name)
	return found != nil && found.oid == o.oid
}

func hasPkey(r *catalog.Relation) bool {
	return len(r.PrimaryKey) > 0 && (r.Kind == catalog.Table || r.Kind == catalog.MatView)
}

// pkeyName names the index of a primary key as PostgreSQL would, past names that are taken.
func (f *facts) pkeyName(r *catalog.Relation) string {
	if r.PrimaryKeyName != "" {
		return r.PrimaryKeyName
	}
	name := r.Name + "_pkey"
	for n := 1; ; n++ {
		if _, taken := f.snap.Find(r.Schema, name); !taken {
			return name
		}
		name = fmt.Sprintf("%s_pkey%d", r.Name, n)
	}
}

// relations lists the user's relations that pg_class shows, by id.
func (f *facts) relations() []*catalog.Relation {
	var out []*catalog.Relation
	for _, r := range f.snap.Sorted() {
		if !unlisted(r) {
			out = append(out, r)
		}
	}
	return out
}

// relkind is pg_class.relkind. A source is what PostgreSQL calls a foreign table.
func relkind(k catalog.Kind) string {
	switch k {
	case catalog.View:
		return "v"
	case catalog.MatView:
		return "m"
	case catalog.Source:
		return "f"
	case catalog.Index:
		return "i"
	case catalog.Sequence:
		return "S"
	}
	return "r"
}
