package parser

// Stmt is a statement.
type Stmt interface {
	Node
	// Src returns where the statement stands in the text that was parsed.
	Src() *Source
	stmt()
}

// Source is embedded in every statement.
type Source struct {
	Loc
	// Text is the statement's text without the semicolon: the bytes [Pos, End) of the parsed text.
	// Offsets of nodes count from the start of the parsed text, not of Text.
	Text string
	End  int
}

// Src implements Stmt.
func (s *Source) Src() *Source { return s }

func (*Source) stmt() {}

// SelectStmt is a query as a statement.
type SelectStmt struct {
	Source
	Query *Query
}

// InsertStmt is INSERT. Query nil is DEFAULT VALUES.
type InsertStmt struct {
	Source
	With    *With
	Table   Name
	Alias   string
	Columns []InsertColumn // nil: all
	// Overriding is "", USER or SYSTEM.
	Overriding string
	Query      *Query
	OnConflict *OnConflict // nil: none
	Returning  []Target
}

// InsertColumn is a column of INSERT's list or the target of an assignment: a name, possibly with
// subscripts or fields after it.
type InsertColumn struct {
	Loc
	Name string
	// Path is what follows: it is "" and a subscript, or a field name.
	Path []PathStep
}

// PathStep is one step into an assigned column: .Field, or Subscript if Field is "".
type PathStep struct {
	Field     string
	Subscript SubscriptItem
}

// OnConflict is ON CONFLICT. At most one of Targets and Constraint is set.
type OnConflict struct {
	Loc
	Targets     []IndexElem
	TargetWhere Expr
	Constraint  string
	// Update is nil for DO NOTHING.
	Update []SetClause
	Where  Expr
}

// SetClause is col = x, or (a, b) = (x, y): then Columns has several elements (or Multi is set) and
// Value is a *Row, a Scalar *Subquery or any row-valued expression.
type SetClause struct {
	Loc
	Columns []InsertColumn
	Multi   bool
	Value   Expr
}

// UpdateStmt is UPDATE.
type UpdateStmt struct {
	Source
	With      *With
	Table     Name
	Only      bool
	Alias     string
	Set       []SetClause
	From      []TableRef
	Where     Expr
	Returning []Target
}

// DeleteStmt is DELETE.
type DeleteStmt struct {
	Source
	With      *With
	Table     Name
	Only      bool
	Alias     string
	Using     []TableRef
	Where     Expr
	Returning []Target
}

// MergeStmt is MERGE.
type MergeStmt struct {
	Source
	With  *With
	Table Name
	Only  bool
	Alias string
	Using TableRef
	On    Expr
	Whens []MergeWhen
}

// MergeAction is what a WHEN of MERGE does.
type MergeAction uint8

// The actions.
const (
	MergeNothing MergeAction = iota
	MergeInsert
	MergeUpdate
	MergeDelete
)

// MergeWhen is WHEN [NOT] MATCHED [AND cond] THEN ….
type MergeWhen struct {
	Loc
	Matched bool
	Cond    Expr // nil: always
	Action  MergeAction
	Set     []SetClause // UPDATE
	// Of INSERT: nil Columns are all; nil Values are DEFAULT VALUES.
	Columns    []InsertColumn
	Overriding string // USER, SYSTEM or ""
	Values     []Expr
}

// Option is key = value in WITH (…), FORMAT … ENCODE … (…), EXPLAIN (…) or COPY (…).
type Option struct {
	Loc
	// Name is as written, dotted parts joined: "properties.bootstrap.server".
	Name string
	// Value is nil (none given), *StringLit (also for a bare word, see Word), *NumberLit, *Unary
	// (a signed number), *BoolLit, *SecretRef, *Star, or *ArrayLit of *StringLit (a list of names).
	Value Expr
	// Word: the value was written as a bare word. It is in lower case.
	Word bool
}

// Text returns the option's value as text, and false if it has none that is a plain scalar.
func (o Option) Text() (string, bool) {
	switch v := o.Value.(type) {
	case *StringLit:
		return v.Value, true
	case *NumberLit:
		return v.Text, true
	case *BoolLit:
		if v.Value {
			return "true", true
		}
		return "false", true
	case *Unary:
		if n, ok := v.X.(*NumberLit); ok && v.Op == "-" {
			return "-" + n.Text, true
		}
	}
	return "", false
}

// ConnectorFormat is FORMAT x ENCODE y (options) [KEY ENCODE z (options)]. Words are upper case.
type ConnectorFormat struct {
	Loc
	Format, Encode string
	Options        []Option
	KeyEncode      string
	KeyOptions     []Option
}

// ColumnDef is a column of CREATE TABLE or CREATE SOURCE. Type is nil in CREATE TABLE t (a, b) AS …,
// and only there.
type ColumnDef struct {
	Loc
	Name        string
	Type        *TypeName
	Collation   Name
	Constraints []ColumnConstraint
}

// ConstraintKind says what a constraint demands.
type ConstraintKind uint8

// The constraints.
const (
	ConNotNull ConstraintKind = iota
	ConNull
	ConDefault    // Expr
	ConCheck      // Expr
	ConUnique     // Columns in a table constraint
	ConPrimaryKey // likewise
	ConGenerated  // Expr, Stored: GENERATED ALWAYS AS (expr) [STORED], or AS expr
	ConIdentity   // Always, Sequence
	ConForeignKey // Ref, and Columns in a table constraint
)

// ColumnConstraint is one constraint of a column.
type ColumnConstraint struct {
	Loc
	Kind ConstraintKind
	// Name is CONSTRAINT name, or "".
	Name   string
	Expr   Expr
	Stored bool
	// Always is GENERATED ALWAYS AS IDENTITY, as against BY DEFAULT.
	Always   bool
	Sequence []SequenceOption
	Ref      *Reference
	// NullsNotDistinct is UNIQUE NULLS NOT DISTINCT.
	NullsNotDistinct bool
	// Attributes are DEFERRABLE, NO INHERIT and the like, of constraints of domains only.
	Attributes []string
}

// TableConstraint is a constraint of a table.
type TableConstraint struct {
	Loc
	Kind             ConstraintKind
	Name             string
	Columns          []Ident
	Expr             Expr
	Ref              *Reference
	NullsNotDistinct bool
	// NotValid: values that are there already need not keep to it.
	NotValid bool
}

// Reference is REFERENCES table (columns) of a foreign key. Actions are "" or in upper case.
type Reference struct {
	Loc
	Table              Name
	Columns            []Ident
	Match              string // FULL, PARTIAL, SIMPLE
	OnDelete, OnUpdate string // NO ACTION, RESTRICT, CASCADE, SET NULL, SET DEFAULT
}

// Watermark is WATERMARK FOR column AS expr.
type Watermark struct {
	Loc
	Column Ident
	Expr   Expr
	// TTL is the clause WITH TTL.
	TTL bool
}

// LikeClause is LIKE table [INCLUDING|EXCLUDING …]. Options are as written, in upper case.
type LikeClause struct {
	Loc
	Table   Name
	Options []string
}

// IncludeClause is INCLUDE kind ['field'] [type] [AS column].
type IncludeClause struct {
	Loc
	// Kind is in lower case: key, offset, partition, timestamp, header, payload, file, database_name, ….
	Kind string
	// Field is the name of the header or field, "" if none is given.
	Field string
	Type  *TypeName
	As    string
}

// TableElements is the parenthesised list of CREATE TABLE and CREATE SOURCE.
type TableElements struct {
	Columns     []ColumnDef
	Constraints []TableConstraint
	Watermarks  []Watermark
	Likes       []LikeClause
	// Star: the list has a *, for the columns of the external table or schema; it stands before
	// Columns[StarAt].
	Star   bool
	StarAt int
}

// ValidateClause is VALIDATE [SECRET name] AS expression: which requests a webhook takes.
type ValidateClause struct {
	Loc
	Secret Name // zero: none
	Expr   Expr
}

// CreateTableStmt is CREATE TABLE.
type CreateTableStmt struct {
	Source
	Name        Name
	Temp        bool
	Unlogged    bool
	OrReplace   bool
	IfNotExists bool
	// HasElements says that a (possibly empty) list was given.
	HasElements bool
	TableElements
	// Query is CREATE TABLE … AS query; NoData is WITH NO DATA.
	Query      *Query
	NoData     bool
	AppendOnly bool
	// OnConflict is ON CONFLICT OVERWRITE | IGNORE | DO UPDATE IF NOT NULL, in upper case, or "".
	OnConflict string
	// VersionColumns is WITH VERSION COLUMN (a, b).
	VersionColumns []Ident
	Includes       []IncludeClause
	Options        []Option
	Format         *ConnectorFormat
	Validate       *ValidateClause
	// FromSource and ExternalTable are FROM src TABLE 'public.t'.
	FromSource    Name
	ExternalTable string
	// OnCommit is ON COMMIT PRESERVE ROWS | DELETE ROWS | DROP, or "".
	OnCommit string
}

// CreateSourceStmt is CREATE SOURCE.
type CreateSourceStmt struct {
	Source
	Name        Name
	Temp        bool
	OrReplace   bool
	IfNotExists bool
	HasElements bool
	TableElements
	Includes []IncludeClause
	Options  []Option
	Format   *ConnectorFormat
}

// CreateViewStmt is CREATE VIEW.
type CreateViewStmt struct {
	Source
	Name        Name
	Temp        bool
	Recursive   bool
	OrReplace   bool
	IfNotExists bool
	Columns     []Ident
	Options     []Option
	Query       *Query
	// CheckOption is "", LOCAL or CASCADED.
	CheckOption string
}

// CreateMatViewStmt is CREATE MATERIALIZED VIEW.
type CreateMatViewStmt struct {
	Source
	Name        Name
	OrReplace   bool
	IfNotExists bool
	Columns     []Ident
	Options     []Option
	Query       *Query
	// EmitOnWindowClose is EMIT ON WINDOW CLOSE, which stands at EmitAt.
	EmitOnWindowClose bool
	EmitAt            Loc
	// NoData is WITH NO DATA.
	NoData bool
}

// CreateSinkStmt is CREATE SINK name [INTO table [(columns)]] FROM rel | AS query. Exactly one of From
// and Query is set.
type CreateSinkStmt struct {
	Source
	Name              Name
	OrReplace         bool
	IfNotExists       bool
	Into              Name // zero: none
	IntoColumns       []Ident
	From              Name
	Query             *Query
	EmitOnWindowClose bool
	EmitAt            Loc
	Options           []Option
	Format            *ConnectorFormat
}

// CreateIndexStmt is CREATE INDEX. Name is zero if none is given.
type CreateIndexStmt struct {
	Source
	Name             Name
	Unique           bool
	Concurrently     bool
	IfNotExists      bool
	Table            Name
	Method           string
	Elems            []IndexElem
	Include          []Ident
	DistributedBy    []Expr
	NullsNotDistinct bool
	Options          []Option
	Where            Expr
}

// IndexElem is a key of an index or a target of ON CONFLICT: a column (*ColumnRef) or an expression.
type IndexElem struct {
	Loc
	Expr      Expr
	Collation Name
	OpClass   Name
	Desc      bool
	Nulls     NullsOrder
}

// CreateSchemaStmt is CREATE SCHEMA. Name is zero for CREATE SCHEMA AUTHORIZATION owner.
type CreateSchemaStmt struct {
	Source
	Name        Name
	IfNotExists bool
	Owner       string
}

// CreateDatabaseStmt is CREATE DATABASE.
type CreateDatabaseStmt struct {
	Source
	Name        Name
	IfNotExists bool
	Options     []Option
}

// RoleOption is an option of CREATE or ALTER USER. Name is in upper case: SUPERUSER, NOSUPERUSER,
// LOGIN, NOLOGIN, CREATEDB, NOCREATEDB, CREATEROLE, NOCREATEROLE, INHERIT, NOINHERIT, REPLICATION,
// NOREPLICATION, BYPASSRLS, NOBYPASSRLS, PASSWORD, ENCRYPTED PASSWORD, VALID UNTIL, CONNECTION LIMIT,
// IN ROLE, ROLE, ADMIN, SYSID, OAUTH, CREATEUSER, NOCREATEUSER, ….
type RoleOption struct {
	Loc
	Name string
	// Value is the password or other value; nil for PASSWORD NULL and for options without one.
	Value *string
	// Roles are the names after IN ROLE, ROLE and ADMIN.
	Roles []Ident
	// With are the options of OAUTH (…).
	With []Option
}

// CreateRoleStmt is CREATE USER, ROLE or GROUP.
type CreateRoleStmt struct {
	Source
	Kind        ObjectKind // ObjUser, ObjRole or ObjGroup
	Name        Ident
	IfNotExists bool
	Options     []RoleOption
}

// CreateSecretStmt is CREATE SECRET name WITH (…) AS 'value'.
type CreateSecretStmt struct {
	Source
	Name        Name
	IfNotExists bool
	Options     []Option
	Value       string
}

// CreateConnectionStmt is CREATE CONNECTION name WITH (…).
type CreateConnectionStmt struct {
	Source
	Name        Name
	IfNotExists bool
	Options     []Option
}

// CreateSubscriptionStmt is CREATE SUBSCRIPTION name FROM relation WITH (…).
type CreateSubscriptionStmt struct {
	Source
	Name        Name
	IfNotExists bool
	From        Name
	Options     []Option
}

// FuncParam is a parameter of a function, or a column of RETURNS TABLE.
type FuncParam struct {
	Loc
	// Mode is "", IN, OUT, INOUT or VARIADIC.
	Mode    string
	Name    string
	Type    *TypeName
	Default Expr
}

// CreateFunctionStmt is CREATE FUNCTION, PROCEDURE or AGGREGATE (in the streaming dialect's form).
type CreateFunctionStmt struct {
	Source
	Kind        ObjectKind // ObjFunction, ObjProcedure or ObjAggregate
	Name        Name
	Temp        bool
	OrReplace   bool
	IfNotExists bool
	Params      []FuncParam
	Returns     *TypeName
	// ReturnsTable is RETURNS TABLE (…).
	ReturnsTable []FuncParam
	Language     string
	// Volatility is "", IMMUTABLE, STABLE or VOLATILE.
	Volatility string
	// Strict is true for STRICT and RETURNS NULL ON NULL INPUT, false for CALLED ON NULL INPUT, nil
	// when neither is written.
	Strict *bool
	// Body is AS 'text'; Return is RETURN expr; Atomic, not nil, is BEGIN ATOMIC … END.
	Atomic  []Stmt
	Body    *string
	LinkObj *string // the second string of AS 'obj', 'symbol'
	Return  Expr
	// Link is USING LINK 'address'.
	Link    string
	Runtime string
	Options []Option
	// Attributes are the clauses that we only keep: COST 10, ROWS 5, PARALLEL SAFE, LEAKPROOF,
	// WINDOW, SECURITY DEFINER, in upper case.
	Attributes []string
}

// CreateTypeStmt is CREATE TYPE name AS (…) or AS ENUM (…).
type CreateTypeStmt struct {
	Source
	Name   Name
	Enum   bool
	Labels []string
	Fields []StructField
}

// CreateDomainStmt is CREATE DOMAIN name AS type [COLLATE c] [constraint …].
type CreateDomainStmt struct {
	Source
	Name        Name
	Type        *TypeName
	Collation   Name
	Constraints []ColumnConstraint
}

// SequenceOption is one option of a sequence. Name is in upper case: AS, INCREMENT, MINVALUE,
// NO MINVALUE, MAXVALUE, NO MAXVALUE, START, RESTART, CACHE, CYCLE, NO CYCLE, OWNED BY, SEQUENCE NAME.
type SequenceOption struct {
	Loc
	Name string
	// Number is the signed decimal text, or "".
	Number string
	Type   *TypeName
	Object Name
}

// CreateSequenceStmt is CREATE SEQUENCE.
type CreateSequenceStmt struct {
	Source
	Name        Name
	Temp        bool
	IfNotExists bool
	Options     []SequenceOption
}

// ObjectKind names a kind of object, as the statement spells it.
type ObjectKind string

// The kinds of objects.
const (
	ObjTable        ObjectKind = "TABLE"
	ObjView         ObjectKind = "VIEW"
	ObjMatView      ObjectKind = "MATERIALIZED VIEW"
	ObjSource       ObjectKind = "SOURCE"
	ObjSink         ObjectKind = "SINK"
	ObjIndex        ObjectKind = "INDEX"
	ObjSchema       ObjectKind = "SCHEMA"
	ObjDatabase     ObjectKind = "DATABASE"
	ObjUser         ObjectKind = "USER"
	ObjRole         ObjectKind = "ROLE"
	ObjGroup        ObjectKind = "GROUP"
	ObjSecret       ObjectKind = "SECRET"
	ObjConnection   ObjectKind = "CONNECTION"
	ObjSubscription ObjectKind = "SUBSCRIPTION"
	ObjFunction     ObjectKind = "FUNCTION"
	ObjProcedure    ObjectKind = "PROCEDURE"
	ObjAggregate    ObjectKind = "AGGREGATE"
	ObjRoutine      ObjectKind = "ROUTINE"
	ObjType         ObjectKind = "TYPE"
	ObjDomain       ObjectKind = "DOMAIN"
	ObjSequence     ObjectKind = "SEQUENCE"
	ObjColumn       ObjectKind = "COLUMN"
	ObjConstraint   ObjectKind = "CONSTRAINT"
	ObjLanguage     ObjectKind = "LANGUAGE"
	ObjSystem       ObjectKind = "SYSTEM"
)

// DropBehavior is CASCADE, RESTRICT or neither.
type DropBehavior uint8

// The behaviours.
const (
	DropDefault DropBehavior = iota
	DropRestrict
	DropCascade
)

// DropStmt is DROP kind [IF EXISTS] a, b [CASCADE].
type DropStmt struct {
	Source
	Kind         ObjectKind
	IfExists     bool
	Concurrently bool
	Names        []DropName
	Behavior     DropBehavior
}

// DropName is one object of a DROP.
type DropName struct {
	Name
	// HasArgs and Args: the parameter list of a function, where given.
	HasArgs bool
	Args    []FuncParam
}

// AlterKind says what an AlterAction does.
type AlterKind uint8

// The actions of ALTER, with the fields that they use beside Kind.
const (
	AlterAddColumn      AlterKind = iota // Column, IfNotExists
	AlterDropColumn                      // Name, IfExists, Behavior
	AlterColumnType                      // Name, Type, Collation (in Target), Expr (USING)
	AlterSetDefault                      // Name ("" for a domain), Expr
	AlterDropDefault                     // Name, likewise
	AlterSetNotNull                      // Name, likewise
	AlterDropNotNull                     // Name, likewise
	AlterAddConstraint                   // Constraint
	AlterDropConstraint                  // Name, IfExists, Behavior
	AlterRenameColumn                    // Name, NewName
	AlterRenameConstr                    // Name, NewName
	AlterRename                          // NewName
	AlterSetSchema                       // NewName
	AlterOwner                           // NewName
	AlterSetOptions                      // Options: SET (k = v) or, with Connector, CONNECTOR WITH (k = v)
	AlterResetOptions                    // Options without values
	AlterSetParam                        // Name, Values or Default: SET name TO|= …
	AlterResetParam                      // Name ("" is ALL)
	AlterPause
	AlterResume
	AlterSwap          // Target
	AlterRefreshSchema // REFRESH SCHEMA
	AlterFormat        // Format: FORMAT … ENCODE …
	AlterAsQuery       // Query
	AlterRoleOptions   // RoleOptions
	AlterSecretValue   // Options, Text: [WITH (…)] AS 'value'
	AlterSequence      // Sequence
	AlterAddWatermark  // Watermark
	AlterAddValue      // Text, IfNotExists, Name (BEFORE|AFTER) and Text2: ALTER TYPE … ADD VALUE
	AlterRenameValue   // Text, Text2
	AlterDropConnector // DROP CONNECTOR
	AlterReset         // RESET (a source's shared state)
	AlterFunction      // Function: its Volatility, Strict and Attributes
	AlterValidate      // Name: VALIDATE CONSTRAINT
	// Those of a composite type's attributes have Behavior, too.
	AlterAddAttribute    // Column, without constraints
	AlterDropAttribute   // Name, IfExists
	AlterAttributeType   // Name, Type, Collation (in Target)
	AlterRenameAttribute // Name, NewName
)

// AlterAction is one action of an ALTER statement.
type AlterAction struct {
	Loc
	Kind        AlterKind
	Name        string
	NewName     string
	Target      Name
	Column      *ColumnDef
	Constraint  *TableConstraint
	Type        *TypeName
	Expr        Expr
	Values      []Expr
	Default     bool
	Options     []Option
	Connector   bool
	Format      *ConnectorFormat
	Query       *Query
	RoleOptions []RoleOption
	Sequence    []SequenceOption
	Watermark   *Watermark
	Function    *CreateFunctionStmt
	IfExists    bool
	IfNotExists bool
	// Deferred is SET PARALLELISM … DEFERRED.
	Deferred    bool
	Behavior    DropBehavior
	Text, Text2 string
}

// AlterStmt is ALTER kind name action, …. Name is zero for ALTER SYSTEM.
type AlterStmt struct {
	Source
	Kind     ObjectKind
	IfExists bool
	Only     bool
	Name     Name
	// HasArgs and Args: the parameter list of ALTER FUNCTION.
	HasArgs bool
	Args    []FuncParam
	Actions []AlterAction
}

// AlterDefaultPrivilegesStmt is ALTER DEFAULT PRIVILEGES [FOR ROLE …] [IN SCHEMA …] GRANT|REVOKE ….
type AlterDefaultPrivilegesStmt struct {
	Source
	ForRoles  []Ident
	InSchemas []Ident
	// Grant is the abbreviated grant: its ObjectKind and AllInSchema say which objects, and it has no
	// Objects.
	Grant *GrantStmt
}

// TruncateStmt is TRUNCATE.
type TruncateStmt struct {
	Source
	Tables []Name
	// Identity is "", RESTART or CONTINUE.
	Identity string
	Behavior DropBehavior
}

// CommentStmt is COMMENT ON kind name IS text. Comment nil is IS NULL.
type CommentStmt struct {
	Source
	Kind    ObjectKind
	Name    Name // for a column: table.column; for a constraint: its name, On being the table
	On      Name
	OnType  bool // On is a domain
	HasArgs bool
	Args    []FuncParam
	Comment *string
}

// GrantStmt is GRANT, or REVOKE when Revoke is set. Without Objects and AllInSchema it is about
// membership in the roles that Privileges names.
type GrantStmt struct {
	Source
	Revoke bool
	// Privileges are in upper case; "ALL" for ALL [PRIVILEGES]. For role membership they are role names.
	Privileges []Privilege
	RoleGrant  bool
	// ObjectKind is ObjTable when ON has no word for it. AllInSchema is ALL TABLES IN SCHEMA a, b:
	// Objects are then the schemas.
	ObjectKind  ObjectKind
	AllInSchema bool
	Objects     []DropName
	Grantees    []Ident // "public" for PUBLIC
	// WithGrant is WITH GRANT OPTION / WITH ADMIN OPTION, or REVOKE GRANT|ADMIN OPTION FOR.
	WithGrant bool
	GrantedBy string
	Behavior  DropBehavior
}

// Privilege is SELECT, INSERT (a, b), ….
type Privilege struct {
	Loc
	Name    string
	Columns []Ident
}
