package parser

import "strings"

// Node is anything in the tree.
type Node interface {
	// At is the byte offset into the parsed text of the token that an error should point to.
	At() int
}

// Loc is embedded in every node.
type Loc struct {
	// Pos is the byte offset, from 0, into the text given to Parse.
	Pos int
}

// At implements Node.
func (l Loc) At() int { return l.Pos }

// Ident is one identifier, unquoted and folded.
type Ident struct {
	Loc
	Name string
}

// Name is a possibly qualified name: [database.][schema.]name. Parts has at least one element.
type Name struct {
	Loc
	Parts []string
}

// Last returns the unqualified name, "" for an absent Name.
func (n Name) Last() string {
	if len(n.Parts) == 0 {
		return ""
	}
	return n.Parts[len(n.Parts)-1]
}

// Schema returns the part before the last, or "".
func (n Name) Schema() string {
	if len(n.Parts) < 2 {
		return ""
	}
	return n.Parts[len(n.Parts)-2]
}

// IsZero says that the name is absent.
func (n Name) IsZero() bool { return len(n.Parts) == 0 }

// String joins the parts with dots, without quotes: the form used in error messages.
func (n Name) String() string { return strings.Join(n.Parts, ".") }

// TypeName is a type as written, with the spelling of SQL keyword types made canonical:
// int and integer are "int4", smallint "int2", bigint "int8", real and float(1..24) "float4", double
// precision and float "float8", decimal and dec "numeric", boolean "bool", character varying
// "varchar", character and char "bpchar" (with modifier 1 if none is given), bit "bit" (likewise) and
// "varbit", time and timestamp with time zone "timetz" and "timestamptz". Other names are as written.
type TypeName struct {
	Loc
	// Name is the type's name; "struct" and "map" have Fields, or Key and Value.
	Name Name
	// Mods are the modifiers in parentheses: numeric(10,2), varchar(20), vector(3), timestamp(3).
	Mods []Expr
	// IntervalFields is, for an interval, the restriction in upper case ("DAY TO SECOND") or "".
	IntervalFields string
	// Dims has one entry per array dimension: its size, or -1 for none given. nil: not an array.
	Dims []int
	// SetOf is set by RETURNS SETOF t.
	SetOf bool
	// Fields are the fields of struct<a int, b text>.
	Fields []StructField
	// Key and Value are the types of map(k, v).
	Key, Value *TypeName
}

// StructField is a field of a struct type or an attribute of a composite type or record.
type StructField struct {
	Loc
	Name      string
	Type      *TypeName
	Collation Name // zero: none given
}

// Expr is a value expression.
type Expr interface {
	Node
	expr()
}

// NumberLit is a numeric literal without sign (-1 is Unary "-" over NumberLit 1; the binder folds it,
// which is how -9223372036854775808 is a bigint).
type NumberLit struct {
	Loc
	// Text is decimal digits with an optional fraction and exponent: underscores removed,
	// hexadecimal, octal and binary converted.
	Text string
	// Int says that Text has neither fraction nor exponent.
	Int bool
}

// StringLit is a character string literal of any form, decoded.
type StringLit struct {
	Loc
	Value string
}

// BitLit is B'0101' or X'1f'.
type BitLit struct {
	Loc
	// Digits are as written, of base 2 or (Hex) 16.
	Digits string
	Hex    bool
}

// BoolLit is TRUE or FALSE.
type BoolLit struct {
	Loc
	Value bool
}

// NullLit is NULL.
type NullLit struct{ Loc }

// DefaultExpr is DEFAULT in the place of a value (INSERT, UPDATE).
type DefaultExpr struct{ Loc }

// Param is $n, counted from 1.
type Param struct {
	Loc
	N int
}

// ColumnRef is a column by name: [[[db.]schema.]table.]column. It is also what a relation looks like
// as an argument of a function in FROM: TUMBLE(bid, …).
type ColumnRef struct {
	Loc
	Parts []string
}

// Star is *, t.* (Qualifier) or (expr).* (X). A bare * appears only in select lists and RETURNING.
type Star struct {
	Loc
	Qualifier []string
	X         Expr
	// Except lists the columns of the streaming dialect's * EXCEPT (a, b).
	Except []Expr
}

// Unary is a prefix operator other than NOT.
type Unary struct {
	Loc
	// Op is the operator's symbol; Schema its qualification in OPERATOR(schema.op).
	Op     string
	Schema []string
	X      Expr
}

// Binary is an infix operator other than those with a node of their own. != is spelled <>.
type Binary struct {
	Loc    // of the operator
	Op     string
	Schema []string
	L, R   Expr
}

// BoolKind says which connective a BoolOp is.
type BoolKind uint8

// The connectives.
const (
	And BoolKind = iota
	Or
)

// BoolOp is a chain of AND or of OR. a AND b AND c is one node with three Args; Args has at least two.
type BoolOp struct {
	Loc
	Kind BoolKind
	Args []Expr
}

// Not is NOT x.
type Not struct {
	Loc
	X Expr
}

// TestKind says what an IsTest tests.
type TestKind uint8

// The tests of IS.
const (
	IsNull TestKind = iota
	IsTrue
	IsFalse
	IsUnknown
	IsNormalized // Detail: "", NFC, NFD, NFKC or NFKD
	IsJSON       // Detail: "", VALUE, ARRAY, OBJECT or SCALAR
	IsDocument
)

// IsTest is x IS [NOT] NULL and its kin.
type IsTest struct {
	Loc
	X      Expr
	Kind   TestKind
	Not    bool
	Detail string
	// UniqueKeys is set by IS JSON … WITH UNIQUE KEYS.
	UniqueKeys bool
}

// IsDistinct is l IS [NOT] DISTINCT FROM r.
type IsDistinct struct {
	Loc
	L, R Expr
	Not  bool
}

// Between is x [NOT] BETWEEN [SYMMETRIC] lo AND hi.
type Between struct {
	Loc
	X, Lo, Hi      Expr
	Not, Symmetric bool
}

// In is x [NOT] IN (list) or x [NOT] IN (query): exactly one of List and Query is set.
type In struct {
	Loc
	X     Expr
	List  []Expr
	Query *Query
	Not   bool
}

// LikeKind says which pattern match a Like is.
type LikeKind uint8

// The pattern matches.
const (
	LikeOp LikeKind = iota
	ILikeOp
	SimilarTo
)

// Like is x [NOT] LIKE|ILIKE|SIMILAR TO pattern [ESCAPE escape].
type Like struct {
	Loc
	X, Pattern Expr
	Escape     Expr // nil: none given
	Kind       LikeKind
	Not        bool
}

// Quantified is x op ANY|ALL (array or query). SOME is ANY. LIKE and ILIKE appear as the operators
// ~~, !~~, ~~* and !~~*.
type Quantified struct {
	Loc
	X      Expr
	Op     string
	Schema []string
	All    bool
	// Exactly one of Array and Query is set.
	Array Expr
	Query *Query
}

// AtTimeZone is x AT TIME ZONE zone; Zone nil is AT LOCAL.
type AtTimeZone struct {
	Loc
	X, Zone Expr
}

// Collate is x COLLATE name.
type Collate struct {
	Loc
	X         Expr
	Collation Name
}

// Cast is CAST(x AS t), x::t and the typed literals DATE '…', type 'string', INTERVAL '1' DAY.
type Cast struct {
	Loc
	X    Expr
	Type *TypeName
}

// Subscript is x[i], x[lo:hi], and a[i][j] in one node.
type Subscript struct {
	Loc
	X     Expr
	Items []SubscriptItem
}

// SubscriptItem is one bracket. For a slice either bound may be nil.
type SubscriptItem struct {
	Loc
	Slice        bool
	Lower, Upper Expr // Lower nil and not Slice never happens: the index is Upper
}

// FieldSelect is (x).field.
type FieldSelect struct {
	Loc
	X     Expr
	Field string
}

// Case is CASE [operand] WHEN … THEN … [ELSE …] END. Operand and Else may be nil.
type Case struct {
	Loc
	Operand Expr
	Whens   []When
	Else    Expr
}

// When is one branch of a Case.
type When struct {
	Loc
	Cond, Result Expr
}

// MapLit is MAP {key: value, …}.
type MapLit struct {
	Loc
	Keys, Values []Expr
}

// ArrayLit is ARRAY[…]; an inner [..] of ARRAY[[1,2],[3,4]] is an ArrayLit as well.
type ArrayLit struct {
	Loc
	Elems []Expr
}

// Row is ROW(a, b) or (a, b). Explicit tells them apart; they mean the same.
type Row struct {
	Loc
	Elems    []Expr
	Explicit bool
}

// SubqueryKind says how a Subquery is used.
type SubqueryKind uint8

// The uses of a subquery as an operand.
const (
	Scalar SubqueryKind = iota
	Exists
	ArrayOf // ARRAY(SELECT …)
)

// Subquery is (SELECT …), EXISTS (SELECT …) or ARRAY(SELECT …).
type Subquery struct {
	Loc
	Kind  SubqueryKind
	Query *Query
}

// SQLValue is one of the functions that are written without parentheses.
type SQLValue struct {
	Loc
	// Name is current_date, current_time, current_timestamp, localtime, localtimestamp,
	// current_user, session_user, user, current_role, system_user, current_catalog or current_schema.
	Name string
	// Precision is the n of current_timestamp(n), or -1.
	Precision int
}

// FuncCall is a call of a function, aggregate or window function, and every special form that
// PostgreSQL treats as one, under the name of the function it calls:
//
//	EXTRACT(f FROM x)            extract('f', x)
//	SUBSTRING(x FROM a FOR b)    substring(x, a, b)    SUBSTRING(x FOR b): substring(x, 1, b)
//	SUBSTRING(x SIMILAR p ESCAPE e)  substring(x, p, e) with Similar set
//	OVERLAY(x PLACING y FROM a FOR b)  overlay(x, y, a, b)
//	POSITION(x IN y)             position(y, x)
//	TRIM(BOTH|LEADING|TRAILING c FROM x)  btrim, ltrim, rtrim (x, c)
//	NORMALIZE(x, NFC)            normalize(x, 'NFC')
//	COLLATION FOR (x)            pg_collation_for(x)
//	(a, b) OVERLAPS (c, d)       overlaps(a, b, c, d)
//	COALESCE, NULLIF, GREATEST, LEAST, GROUPING  by those names
type FuncCall struct {
	Loc
	Name Name
	Args []Arg
	// Star is f(*), as in count(*).
	Star     bool
	Distinct bool
	// Variadic: the last argument is preceded by VARIADIC.
	Variadic bool
	// Similar marks the SIMILAR form of substring.
	Similar bool
	// OrderBy is the ORDER BY inside the parentheses.
	OrderBy []OrderItem
	// PartitionBy is the streaming dialect's SESSION(t, c, gap PARTITION BY x).
	PartitionBy []Expr
	// IgnoreNulls is f(x IGNORE NULLS) or f(x) IGNORE NULLS.
	IgnoreNulls bool
	// WithinGroup is WITHIN GROUP (ORDER BY …).
	WithinGroup []OrderItem
	Filter      Expr
	// Over is OVER (…) or OVER name (then only Over.Ref is set and Over.Bare is true).
	Over *WindowSpec
}

// Arg is one argument of a call.
type Arg struct {
	// Name is the parameter's name in name => value, else "".
	Name  string
	Value Expr
}

// WindowSpec is the parenthesised part of OVER or of a WINDOW definition.
type WindowSpec struct {
	Loc
	// Ref is the window this one refers to or extends, or "".
	Ref string
	// Bare: OVER name, without parentheses.
	Bare        bool
	PartitionBy []Expr
	OrderBy     []OrderItem
	Frame       *Frame
}

// FrameUnit says what a frame counts.
type FrameUnit uint8

// The frame units.
const (
	FrameRange FrameUnit = iota
	FrameRows
	FrameGroups
	// FrameSession is the streaming dialect's SESSION WITH GAP x: Frame.Gap is set, the bounds are not.
	FrameSession
)

// FrameExclude says which rows a frame leaves out.
type FrameExclude uint8

// The exclusions.
const (
	ExcludeNone FrameExclude = iota // EXCLUDE NO OTHERS, or nothing
	ExcludeCurrentRow
	ExcludeGroup
	ExcludeTies
)

// BoundKind says what a FrameBound is.
type BoundKind uint8

// The frame bounds, in the order in which they may follow one another.
const (
	UnboundedPreceding BoundKind = iota
	OffsetPreceding
	CurrentRow
	OffsetFollowing
	UnboundedFollowing
)

// FrameBound is one end of a frame; X is the offset of OffsetPreceding and OffsetFollowing.
type FrameBound struct {
	Loc
	Kind BoundKind
	X    Expr
}

// Frame is a window frame. Without BETWEEN, End is CurrentRow and Between is false.
type Frame struct {
	Loc
	Unit       FrameUnit
	Between    bool
	Start, End FrameBound
	Exclude    FrameExclude
	Gap        Expr
}

// SecretRef is SECRET name [AS FILE] as the value of an option.
type SecretRef struct {
	Loc
	Name   Name
	AsFile bool
}

func (*NumberLit) expr()   {}
func (*StringLit) expr()   {}
func (*BitLit) expr()      {}
func (*BoolLit) expr()     {}
func (*NullLit) expr()     {}
func (*DefaultExpr) expr() {}
func (*Param) expr()       {}
func (*ColumnRef) expr()   {}
func (*Star) expr()        {}
func (*Unary) expr()       {}
func (*Binary) expr()      {}
func (*BoolOp) expr()      {}
func (*Not) expr()         {}
func (*IsTest) expr()      {}
func (*IsDistinct) expr()  {}
func (*Between) expr()     {}
func (*In) expr()          {}
func (*Like) expr()        {}
func (*Quantified) expr()  {}
func (*AtTimeZone) expr()  {}
func (*Collate) expr()     {}
func (*Cast) expr()        {}
func (*Subscript) expr()   {}
func (*FieldSelect) expr() {}
func (*Case) expr()        {}
func (*ArrayLit) expr()    {}
func (*MapLit) expr()      {}
func (*Row) expr()         {}
func (*Subquery) expr()    {}
func (*SQLValue) expr()    {}
func (*FuncCall) expr()    {}
func (*SecretRef) expr()   {}
