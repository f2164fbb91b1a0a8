// Package catalog is the shape of the catalog: plain records of relations, schemas and users, and an
// immutable Snapshot of them with look-ups.
//
// The idea: meta/catalog stores these records in etcd and publishes a new Snapshot after each change; a
// session binds a whole statement against one Snapshot, so DDL never tears a statement.
//
// A Snapshot and everything in it is immutable; any goroutine may read it. Ids are never reused.
//
// It does not store anything and has no system views (frontend/catalog). Start at Relation.
package catalog

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"

	"github.com/millrace/millrace/internal/sqltypes"
)

// ID identifies a relation, and its table in the store. User ids start at FirstUserID.
type ID uint32

// FirstUserID leaves room below for system relations (whose OIDs are fixed in frontend/catalog).
const FirstUserID ID = 20000

// Kind says what a relation is.
type Kind string

// The kinds of relations.
const (
	Table   Kind = "table"
	View    Kind = "view"
	MatView Kind = "materialized view"
	Source  Kind = "source"
	Sink    Kind = "sink"
	Index   Kind = "index"
	// Subscription relations have the columns of the relation whose changes they keep.
	Subscription Kind = "subscription"
	// Connection relations have nothing but a connector: options that sources and sinks take by its name.
	Connection Kind = "connection"
	// Feed is no relation of the catalog: it describes the job of a query that a client follows.
	Feed Kind = "feed"
	// Sequence relations have no columns and no job; their state is beside the catalog.
	Sequence Kind = "sequence"
)

// Column is one column of a relation.
type Column struct {
	// ID is the attribute number: from 1, never reused after DROP COLUMN. Row images are keyed by it.
	ID      int32
	Name    string
	Type    sqltypes.Type
	NotNull bool   `json:",omitempty"`
	Default string `json:",omitempty"` // SQL text of an expression
	// Generated is the SQL text of a generated column's expression over the other columns.
	Generated string `json:",omitempty"`
	// Include names what a connector fills the column with ("key", "offset", "partition",
	// "timestamp", "header:<name>", "payload"); "" for a field of the record.
	Include string `json:",omitempty"`
	Comment string `json:",omitempty"`
	// Identity is "a" for GENERATED ALWAYS AS IDENTITY, "d" for BY DEFAULT; Default draws from the sequence.
	Identity string  `json:",omitempty"`
	ACL      []Grant `json:",omitempty"` // rights on the column beside those on the relation
}

// The kinds of constraints, as pg_constraint.contype has them.
const (
	Check      = "c"
	UniqueKey  = "u"
	ForeignKey = "f"
)

// Constraint is a constraint of a table beside its primary key and its NOT NULL columns.
type Constraint struct {
	ID   ID
	Kind string // Check, UniqueKey or ForeignKey
	Name string
	// Columns are attribute numbers: of a key, or those that a check reads.
	Columns []int32 `json:",omitempty"`
	Expr    string  `json:",omitempty"` // of a check
	// Index keeps the rows of a unique key by it.
	Index            ID   `json:",omitempty"`
	NullsNotDistinct bool `json:",omitempty"`
	// Bare: a unique index that CREATE UNIQUE INDEX made. It is enforced like a constraint, and is none.
	Bare bool `json:",omitempty"`
	// Foreign keys are not enforced; RefTable and RefColumns are what was written.
	RefTable   string   `json:",omitempty"`
	RefColumns []string `json:",omitempty"`
}

// SequenceDef is what a sequence was made with.
type SequenceDef struct {
	Type                              sqltypes.Type
	Start, Increment, Min, Max, Cache int64
	Cycle                             bool `json:",omitempty"`
	// Table and Column (an attribute number) own the sequence: it goes when they go. 0: nobody does.
	Table  ID    `json:",omitempty"`
	Column int32 `json:",omitempty"`
	// Identity: it belongs to an identity column and cannot be dropped by itself.
	Identity bool `json:",omitempty"`
}

// SequenceState is where a sequence stands.
type SequenceState struct {
	Last   int64
	Called bool // Last was handed out; else it comes next
}

// SortKey is one column of an order.
type SortKey struct {
	Col        int // index into the columns
	Desc       bool
	NullsFirst bool
}

// Connector is what WITH, FORMAT and ENCODE said. Options are kept as written; secrets are referenced.
type Connector struct {
	Name          string            // value of the option "connector"
	Options       map[string]string // without "connector"
	Format        string            // upper case: PLAIN, UPSERT, DEBEZIUM, MAXWELL, CANAL, NATIVE; "" if not given
	Encode        string            // upper case: JSON, AVRO, PROTOBUF, CSV, BYTES, NATIVE, PARQUET
	FormatOptions map[string]string
	// Secrets and FormatSecrets are the options whose values are secrets: they are in neither of the maps above.
	Secrets       map[string]SecretRef `json:",omitempty"`
	FormatSecrets map[string]SecretRef `json:",omitempty"`
	// Connection and FormatConnection are where options come from that the statement took by name; they are in the maps above as well.
	Connection       ID `json:",omitempty"`
	FormatConnection ID `json:",omitempty"`
}

// Captured says where the rows of a captured table come from: a source over a database, and the table's name there.
type Captured struct {
	Source   ID
	Upstream string
	// Own: CREATE TABLE made the source for this table alone, and it goes with the table.
	Own bool `json:",omitempty"`
	// NoSnapshot: what was there before the table was created is not read.
	NoSnapshot bool `json:",omitempty"`
	// Chosen: CREATE TABLE listed the columns, so those that come later are not wanted.
	Chosen bool `json:",omitempty"`
	// Renamed are the upstream names of columns, by attribute number, that have another name here.
	Renamed map[int32]string `json:",omitempty"`
	// Notes say what changed upstream and could not be followed.
	Notes []string `json:",omitempty"`
}

// UpstreamColumns are the columns of a captured table under the names that they have upstream.
func (r *Relation) UpstreamColumns() []Column {
	cols := slices.Clone(r.Columns)
	for i := range cols {
		if name, ok := r.Captured.Renamed[cols[i].ID]; ok {
			cols[i].Name = name
		}
	}
	return cols
}

// ChangesRows reports whether the records are commands by primary key, by the connector's format. A nil Connector has none.
func (c *Connector) ChangesRows() bool {
	return c != nil && slices.Contains([]string{"UPSERT", "DEBEZIUM", "MAXWELL", "CANAL"}, c.Format)
}

// OldColumn is a column as an earlier schema version stored it.
type OldColumn struct {
	ID   int32
	Type sqltypes.Type
}

// Relation is one named object that has columns.
type Relation struct {
	ID      ID
	Schema  string
	Name    string
	Kind    Kind
	Owner   string
	Columns []Column
	// NextColumnID is the attribute number that ADD COLUMN takes next.
	NextColumnID int32
	// SchemaVersion counts ALTER TABLEs; it stands in every row image and log record.
	SchemaVersion uint32
	// History lists the columns of each earlier schema version, index = version.
	History [][]OldColumn `json:",omitempty"`

	// PrimaryKey lists the declared primary key's columns (indexes into Columns).
	PrimaryKey []int `json:",omitempty"`
	// Key is the storage order of a stored relation. Empty: a bag, keyed by the row's 128-bit hash.
	Key []SortKey `json:",omitempty"`
	// Dist lists the columns whose hash gives a row's vnode; a subset of Key's. Empty: for a bag, the
	// row hash; for a keyed relation, a singleton (vnode from the table id).
	Dist []int `json:",omitempty"`
	// UniqueKeys are the sets of columns known to be unique (the primary key among them).
	UniqueKeys [][]int `json:",omitempty"`
	// Variants say more about the rows of a source of several kinds of records.
	Variants []Variant `json:",omitempty"`
	// AppendOnly: rows are never updated or deleted.
	AppendOnly bool `json:",omitempty"`
	// WatermarkFor says how the watermarks of a source or table are made.
	WatermarkFor []Watermark `json:",omitempty"`
	// Watermarks lists the columns of a stored relation whose watermarks readers get with its changes.
	Watermarks []int `json:",omitempty"`
	// OnConflict is "overwrite", "ignore" or "" (23505) for a table's primary key.
	OnConflict string `json:",omitempty"`

	// Definition is the SQL text: of the query for views and sinks, of the whole statement otherwise.
	Definition string
	DependsOn  []ID       `json:",omitempty"`
	Connector  *Connector `json:",omitempty"`
	// Captured: the table's rows come from another database; nobody else may change them.
	Captured *Captured `json:",omitempty"`
	Webhook  *Webhook  `json:",omitempty"`
	// Plan is the encoded stream plan (plan.Encode) of a job: table, materialized view, index, sink.
	Plan []byte `json:",omitempty"`
	// StateBase is the id of the job's first operator state table; StateCount how many there are.
	StateBase  ID  `json:",omitempty"`
	StateCount int `json:",omitempty"`
	// Parallelism is the number of actors per fragment; fixed at CREATE for now.
	Parallelism int `json:",omitempty"`
	// Settings are the session settings that the job's meaning depends on, frozen at CREATE.
	Settings map[string]string `json:",omitempty"`
	// IndexOn and IndexCols: for an index, its relation and key columns in that relation.
	IndexOn   ID        `json:",omitempty"`
	IndexCols []SortKey `json:",omitempty"`
	// Unique: no two rows agree in the key columns. Rows with NULL there are not in the index, except with
	// NullsNotDistinct.
	Unique           bool `json:",omitempty"`
	NullsNotDistinct bool `json:",omitempty"`
	// PrimaryKeyName is the name of the primary key's constraint; "" is the default.
	PrimaryKeyName string       `json:",omitempty"`
	Constraints    []Constraint `json:",omitempty"`
	Sequence       *SequenceDef `json:",omitempty"`
	// SinkInto is the target of CREATE SINK … INTO table.
	SinkInto ID      `json:",omitempty"`
	Comment  string  `json:",omitempty"`
	ACL      []Grant `json:",omitempty"` // nil: the defaults
	// ConstraintComments are the texts of COMMENT ON CONSTRAINT, by name.
	ConstraintComments map[string]string `json:",omitempty"`
	// Paused: nothing is read from outside, or delivered there, for this relation. Rates are the rows per second that
	// options or ALTER allow, by SourceRate and SinkRate; 0 is a pause, too.
	Paused bool             `json:",omitempty"`
	Rates  map[string]int64 `json:",omitempty"`
	// Retention is how long a subscription keeps changes, in ms, and RetentionBytes how many at most.
	Retention      int64 `json:",omitempty"`
	RetentionBytes int64 `json:",omitempty"`
	// Creating: the job is still reading its first snapshot (CREATE has not returned yet).
	Creating bool `json:",omitempty"`
	// CreatedEpoch is the epoch at which the job began.
	CreatedEpoch uint64 `json:",omitempty"`
}

// IsStored reports whether the relation's rows can be read.
func (r *Relation) IsStored() bool { return r.Kind == Table || r.Kind == MatView || r.Kind == Index }

// HasJob reports whether a streaming job belongs to the relation.
func (r *Relation) HasJob() bool {
	return r.IsStored() || r.Kind == Sink || r.Kind == Subscription || r.Captures()
}

// Captures reports whether the relation is a source that feeds captured tables: it has a job and no rows of its own.
func (r *Relation) Captures() bool { return r.Kind == Source && len(r.Plan) > 0 }

// ColumnAt finds a column by attribute number.
func (r *Relation) ColumnAt(id int32) (int, bool) {
	for i := range r.Columns {
		if r.Columns[i].ID == id {
			return i, true
		}
	}
	return 0, false
}

// ConstraintNamed finds a constraint by name.
func (r *Relation) ConstraintNamed(name string) *Constraint {
	for i := range r.Constraints {
		if c := &r.Constraints[i]; c.Name == name && !c.Bare {
			return c
		}
	}
	return nil
}

// PrimaryKeyLabel is the name of the primary key's constraint.
func (r *Relation) PrimaryKeyLabel() string {
	if r.PrimaryKeyName != "" {
		return r.PrimaryKeyName
	}
	return r.Name + "_pkey"
}

// Column finds a column by name.
func (r *Relation) Column(name string) (int, bool) {
	for i := range r.Columns {
		if r.Columns[i].Name == name {
			return i, true
		}
	}
	return 0, false
}

// Types lists the column types.
func (r *Relation) Types() []sqltypes.Type {
	ts := make([]sqltypes.Type, len(r.Columns))
	for i := range r.Columns {
		ts[i] = r.Columns[i].Type
	}
	return ts
}

// Watermark is WATERMARK FOR column AS expression.
type Watermark struct {
	Col  int
	Expr string // SQL text over the columns
	// IdleMicros is after how long without rows a split no longer holds the watermark back; 0: never.
	IdleMicros int64 `json:",omitempty"`
}

// Variant is one kind of record: the rows in which column Col, an integer, has Value. Among those the columns
// NotNull are never NULL, and no two agree in all columns of a unique key.
type Variant struct {
	Col        int
	Value      int64
	NotNull    []int   `json:",omitempty"`
	UniqueKeys [][]int `json:",omitempty"`
}

// Schema is a namespace.
type Schema struct {
	ID      ID
	Name    string
	Owner   string
	Comment string  `json:",omitempty"`
	ACL     []Grant `json:",omitempty"` // nil: the defaults
}

// User is a role.
type User struct {
	ID       ID
	Name     string
	Super    bool
	CreateDB bool
	Login    bool
	// CreateRole: may make, change and drop roles that are not superusers.
	CreateRole bool `json:",omitempty"`
	// CreateSchema is CREATE on the database.
	CreateSchema bool `json:",omitempty"`
	// NoInherit: has the rights of the roles that it is a member of only after SET ROLE.
	NoInherit bool         `json:",omitempty"`
	MemberOf  []Membership `json:",omitempty"`
	Verifier  string       `json:",omitempty"` // SCRAM-SHA-256$… as PostgreSQL stores it; "" for no password
}

// Function is CREATE FUNCTION … LANGUAGE sql. It is expanded where it is called (frontend/bind), or its statements are
// run by the session (frontend/session/call.go).
type Function struct {
	ID       ID
	Schema   string
	Name     string
	Owner    string   `json:",omitempty"`
	ArgNames []string // as many as Args; "" for one without a name
	Args     []sqltypes.Type
	// Defaults are the SQL texts of the last arguments' default values.
	Defaults []string `json:",omitempty"`
	Result   sqltypes.Type
	// Columns are those of RETURNS TABLE, of several OUT parameters (Out) or of a relation's rows; nil: one value.
	Columns []FuncColumn `json:",omitempty"`
	Out     bool         `json:",omitempty"`
	Rows    string       `json:",omitempty"` // the relation whose rows are returned
	Set     bool         `json:",omitempty"` // returns any number of rows
	// Params are all parameters in the order in which they were declared, where they are more than plain input.
	Params []FuncParam `json:",omitempty"`
	// Variadic: the last of Args is an array of any number of arguments.
	Variadic bool `json:",omitempty"`
	Strict   bool `json:",omitempty"`
	// Definer: SECURITY DEFINER, the owner's rights count in the body.
	Definer bool `json:",omitempty"`
	// Volatility is i, s or v, as in pg_proc.
	Volatility string `json:",omitempty"`
	// Body is the SQL text of the queries, the last of which gives the result.
	Body string
	// Form is how the body was written: "" for AS '…', "return" for RETURN expr, "atomic" for BEGIN ATOMIC … END.
	Form string `json:",omitempty"`
	// SearchPath is the one at CREATE; the names in a body in quotes are looked up with the caller's instead.
	SearchPath string  `json:",omitempty"`
	DependsOn  []ID    `json:",omitempty"` // relations, types and functions that the body names
	Signature  []ID    `json:",omitempty"` // relations and types of the parameters and the result
	Comment    string  `json:",omitempty"`
	ACL        []Grant `json:",omitempty"` // nil: the defaults
}

// FuncParam is a parameter as it was declared.
type FuncParam struct {
	Name string
	Mode string // as pg_proc.proargmodes: i, o, b (INOUT), v (VARIADIC)
	Type sqltypes.Type
	// Rows is the relation whose rows the parameter takes, "" for other types.
	Rows string `json:",omitempty"`
}

// Volatile reports whether the function may do anything, also change data.
func (f *Function) Volatile() bool { return f.Volatility == "v" || f.Volatility == "" }

// IsVoid reports whether the function has no result.
func (f *Function) IsVoid() bool { return f.Result.Kind == sqltypes.KVoid }

// IsRecord reports whether only the body tells which columns the rows of the result have.
func (f *Function) IsRecord() bool { return f.Columns == nil && f.Result == sqltypes.Record }

// EachType calls each for the types of the function's arguments and result.
func (f *Function) EachType(each func(t *sqltypes.Type)) {
	each(&f.Result)
	for i := range f.Args {
		each(&f.Args[i])
	}
	for i := range f.Columns {
		each(&f.Columns[i].Type)
	}
}

// IsPolymorphic reports whether the arguments of a call decide on types of the function.
func (f *Function) IsPolymorphic() bool {
	found := false
	f.EachType(func(t *sqltypes.Type) { found = found || t.IsPseudo() })
	return found
}

// ResultName is the name of the column of a result that is one value: that of the only OUT parameter, or the function's.
func (f *Function) ResultName() string {
	for _, p := range f.Params {
		if (p.Mode == "o" || p.Mode == "b") && p.Name != "" {
			return p.Name
		}
	}
	return f.Name
}

// OneRow is the type of a result that is a row.
func (f *Function) OneRow() sqltypes.Type {
	if f.Result.HasFields() {
		return f.Result
	}
	fields := make([]sqltypes.RowField, len(f.Columns))
	for i, c := range f.Columns {
		fields[i] = sqltypes.RowField{Name: c.Name, Type: c.Type}
	}
	return sqltypes.StructOf(fields)
}

// storedFunction is how a function is written: pseudo-types by name, as their numbers are not the same in every release.
type storedFunction struct {
	plainFunction
	Pseudo map[string]string `json:",omitempty"`
}

type plainFunction Function

// types calls f for each place of a type.
func (f *plainFunction) types(each func(place string, t *sqltypes.Type)) {
	each("result", &f.Result)
	for i := range f.Args {
		each(fmt.Sprintf("arg %d", i), &f.Args[i])
	}
	for i := range f.Columns {
		each(fmt.Sprintf("column %d", i), &f.Columns[i].Type)
	}
	for i := range f.Params {
		each(fmt.Sprintf("param %d", i), &f.Params[i].Type)
	}
}

// MarshalJSON writes the record for the catalog.
func (f *Function) MarshalJSON() ([]byte, error) {
	s := storedFunction{plainFunction: plainFunction(*f), Pseudo: map[string]string{}}
	s.Args, s.Columns, s.Params = slices.Clone(f.Args), slices.Clone(f.Columns), slices.Clone(f.Params)
	s.types(func(place string, t *sqltypes.Type) {
		if t.IsPseudo() {
			s.Pseudo[place], *t = t.String(), sqltypes.Unknown
		}
	})
	return json.Marshal(&s)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (f *Function) UnmarshalJSON(b []byte) error {
	var s storedFunction
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	s.types(func(place string, t *sqltypes.Type) {
		if name, ok := s.Pseudo[place]; ok {
			*t, _ = sqltypes.ByName(name)
		}
	})
	*f = Function(s.plainFunction)
	return nil
}

// FuncColumn is a column of a function's result.
type FuncColumn struct {
	Name string
	Type sqltypes.Type
}

// Type is what CREATE TYPE or CREATE DOMAIN made.
type Type struct {
	ID      ID // the OID of the type, ArrayID that of its arrays
	ArrayID ID
	// Stamp is the type's identity in plans and in the types of columns: no other server's type has it.
	Stamp  uint64
	Schema string
	Name   string
	Owner  string
	// Kind is sqltypes.KRecord, with Fields, or sqltypes.KEnum, with Labels, or that of Domain's base.
	Kind      sqltypes.Kind
	Fields    []sqltypes.RowField `json:",omitempty"`
	Labels    []sqltypes.Label    `json:",omitempty"`
	Domain    *Domain             `json:",omitempty"`
	DependsOn []ID                `json:",omitempty"` // types of fields and bases, what defaults and checks name
	Comment   string              `json:",omitempty"`
	ACL       []Grant             `json:",omitempty"` // nil: the defaults
}

// Domain is what a domain is made of.
type Domain struct {
	Base    sqltypes.Type // with its modifier; it is never changed
	NotNull bool          `json:",omitempty"`
	Default string        `json:",omitempty"` // SQL text
	Collate string        `json:",omitempty"`
	Checks  []DomainCheck `json:",omitempty"` // in the order of creation
}

// DomainCheck is a CHECK constraint of a domain.
type DomainCheck struct {
	ID   ID
	Name string
	Expr string // SQL text over value
	// NotValid: values that were there before the constraint may violate it.
	NotValid bool   `json:",omitempty"`
	Comment  string `json:",omitempty"`
}

// CheckNamed finds a constraint by name.
func (d *Domain) CheckNamed(name string) *DomainCheck {
	for i := range d.Checks {
		if d.Checks[i].Name == name {
			return &d.Checks[i]
		}
	}
	return nil
}

// SQL returns the type that columns and expressions have.
func (t *Type) SQL() sqltypes.Type {
	ty := sqltypes.Named(t.Kind, t.Stamp)
	if t.Domain != nil {
		ty.Elem = t.Domain.Base.Elem
	}
	return ty
}

// Snapshot is the whole catalog at one revision.
type Snapshot struct {
	Revision  int64
	Database  string
	Schemas   map[string]*Schema
	Relations map[ID]*Relation
	Users     map[string]*User
	Functions map[ID]*Function
	Types     map[ID]*Type
	Secrets   map[ID]*Secret    `json:",omitempty"`
	Comments  map[string]string // on "database" and on "role <name>"
	byName    map[name]*Relation
	typeNames map[name]*Type
	byStamp   map[uint64]*Type
	funcs     map[name][]*Function
}

type name struct{ schema, rel string }

// Index builds the look-up tables and defines the types; call it once, before publishing.
func (s *Snapshot) Index() { s.IndexOver(nil) }

// IndexOver is Index of a snapshot that only one session sees. What a type of base means is left as it is, for everybody's values
// are read by it.
func (s *Snapshot) IndexOver(base *Snapshot) {
	s.byName = make(map[name]*Relation, len(s.Relations))
	for _, r := range s.Relations {
		s.byName[name{r.Schema, r.Name}] = r
	}
	s.funcs = map[name][]*Function{}
	for _, f := range s.Functions {
		k := name{f.Schema, f.Name}
		s.funcs[k] = append(s.funcs[k], f)
	}
	for _, fs := range s.funcs {
		sort.Slice(fs, func(i, j int) bool { return fs[i].ID < fs[j].ID })
	}
	s.typeNames = make(map[name]*Type, len(s.Types))
	s.byStamp = make(map[uint64]*Type, len(s.Types))
	for _, t := range s.Types {
		s.typeNames[name{t.Schema, t.Name}] = t
		s.byStamp[t.Stamp] = t
		if base != nil && base.byStamp[t.Stamp] != nil {
			continue
		}
		def := &sqltypes.Def{Name: t.Name, Schema: t.Schema, OID: uint32(t.ID), ArrayOID: uint32(t.ArrayID),
			Fields: t.Fields, Labels: t.Labels}
		if t.Domain != nil {
			def.Base = t.Domain.Base
		}
		t.SQL().Define(def)
	}
}

// FunctionsNamed lists the functions of a name in a schema, by id.
func (s *Snapshot) FunctionsNamed(schema, fn string) []*Function { return s.funcs[name{schema, fn}] }

// FindType looks a type up by schema and name.
func (s *Snapshot) FindType(schema, typ string) (*Type, bool) {
	t, ok := s.typeNames[name{schema, typ}]
	return t, ok
}

// TypeBehind finds what CREATE TYPE or CREATE DOMAIN made t, or the elements of the array t; nil for other types.
func (s *Snapshot) TypeBehind(t sqltypes.Type) *Type { return s.byStamp[t.Ext.Stamp()] }

// ResolveType looks an unqualified type name up along a search path.
func (s *Snapshot) ResolveType(path []string, typ string) (*Type, bool) {
	for _, schema := range path {
		if t, ok := s.FindType(schema, typ); ok {
			return t, true
		}
	}
	return nil, false
}

// NamedIn lists the ids of the types made by CREATE TYPE or CREATE DOMAIN that t is or is made of, without those of their fields.
func (s *Snapshot) NamedIn(t sqltypes.Type) []ID {
	if stamp := t.Ext.Stamp(); stamp != 0 {
		if d := s.byStamp[stamp]; d != nil {
			return []ID{d.ID}
		}
		return nil
	}
	if t.Ext.IsZero() {
		return nil
	}
	d := t.Ext.Def()
	var out []ID
	for _, f := range d.Fields {
		out = append(out, s.NamedIn(f.Type)...)
	}
	return append(append(out, s.NamedIn(d.Key)...), s.NamedIn(d.Value)...)
}

// TypeByOID finds the type, or with array the type of the elements, that has a pg_type OID.
func (s *Snapshot) TypeByOID(oid uint32) (t *Type, array, ok bool) {
	if t := s.Types[ID(oid)]; t != nil {
		return t, false, true
	}
	if t := s.Types[ID(oid-1)]; t != nil && t.ArrayID == ID(oid) {
		return t, true, true
	}
	return nil, false, false
}

// SortedTypes lists the types by id.
func (s *Snapshot) SortedTypes() []*Type {
	out := make([]*Type, 0, len(s.Types))
	for _, t := range s.Types {
		out = append(out, t)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out
}

// Find looks a relation up by schema and name.
func (s *Snapshot) Find(schema, rel string) (*Relation, bool) {
	r, ok := s.byName[name{schema, rel}]
	return r, ok
}

// Resolve looks an unqualified name up along a search path.
func (s *Snapshot) Resolve(path []string, rel string) (*Relation, bool) {
	for _, schema := range path {
		if r, ok := s.Find(schema, rel); ok {
			return r, true
		}
	}
	return nil, false
}

// Sorted lists the relations by id.
func (s *Snapshot) Sorted() []*Relation {
	out := make([]*Relation, 0, len(s.Relations))
	for _, r := range s.Relations {
		out = append(out, r)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out
}

// Dependants lists the relations that directly depend on id, by id.
func (s *Snapshot) Dependants(id ID) []*Relation {
	var out []*Relation
	for _, r := range s.Sorted() {
		for _, d := range r.DependsOn {
			if d == id {
				out = append(out, r)
				break
			}
		}
	}
	return out
}

// TypeDependants lists the types that directly depend on a type, by id.
func (s *Snapshot) TypeDependants(id ID) []*Type {
	var out []*Type
	for _, t := range s.SortedTypes() {
		if slices.Contains(t.DependsOn, id) {
			out = append(out, t)
		}
	}
	return out
}

// BoundFunctions lists the functions that depend on id: by their signature, or by a body that was bound when they were created.
func (s *Snapshot) BoundFunctions(id ID) []*Function {
	var out []*Function
	for _, f := range s.Functions {
		if slices.Contains(f.Signature, id) || (f.Form != "" || f.Rows != "") && slices.Contains(f.DependsOn, id) {
			out = append(out, f)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out
}

// Owned lists the sequences that a table owns, by id; column 0: those of all columns.
func (s *Snapshot) Owned(table ID, column int32) []*Relation {
	var out []*Relation
	for _, r := range s.Sorted() {
		if d := r.Sequence; d != nil && d.Table == table && (column == 0 || d.Column == column) {
			out = append(out, r)
		}
	}
	return out
}

// Indexes lists the indexes of a relation, by id.
func (s *Snapshot) Indexes(id ID) []*Relation {
	var out []*Relation
	for _, r := range s.Dependants(id) {
		if r.Kind == Index && r.IndexOn == id {
			out = append(out, r)
		}
	}
	return out
}

// DomainDefault is the default of columns of the domain t that have none of their own; "" for none, and for other types.
func (s *Snapshot) DomainDefault(t sqltypes.Type) string {
	if d := s.TypeBehind(t); d != nil && t.IsDomain() {
		return d.Domain.Default
	}
	return ""
}
