package parser

// Query is a SELECT, VALUES or set operation with everything that may surround it. Parentheses that
// add nothing are gone: (SELECT 1) and SELECT 1 are the same tree.
type Query struct {
	Loc
	With *With // nil: none
	Body QueryBody
	// OrderBy, Limit, Offset and Locking apply to the whole body.
	OrderBy []OrderItem
	Limit   Expr // nil: none; LIMIT ALL is none as well
	Offset  Expr // nil: none
	// WithTies is FETCH FIRST n ROWS WITH TIES.
	WithTies bool
	Locking  []Locking
}

// QueryBody is *Select, *Values, *SetOp, or *Query: a parenthesised query with its own WITH, ORDER BY
// or LIMIT, as an operand of a SetOp.
type QueryBody interface {
	Node
	queryBody()
}

// Select is SELECT … FROM … WHERE … GROUP BY … HAVING … WINDOW …. TABLE t is SELECT * FROM t.
type Select struct {
	Loc
	Distinct   bool
	DistinctOn []Expr // DISTINCT ON (…); Distinct is set too
	Targets    []Target
	From       []TableRef // separated by commas
	Where      Expr
	GroupBy    []GroupItem
	// GroupDistinct is GROUP BY DISTINCT.
	GroupDistinct bool
	Having        Expr
	Windows       []WindowDef
	// into is SELECT … INTO; the statement becomes a CREATE TABLE AS.
	into *intoClause
}

// intoClause is INTO [TEMP] name.
type intoClause struct {
	name Name
	temp bool
}

// Values is VALUES (…), (…): at least one row. Rows may differ in length; the binder refuses that.
type Values struct {
	Loc
	Rows [][]Expr
}

// SetKind says which set operation a SetOp is.
type SetKind uint8

// The set operations.
const (
	Union SetKind = iota
	Intersect
	Except
)

// SetOp is l UNION|INTERSECT|EXCEPT [ALL] r.
type SetOp struct {
	Loc
	Kind        SetKind
	All         bool
	Left, Right QueryBody
}

func (*Select) queryBody() {}
func (*Values) queryBody() {}
func (*SetOp) queryBody()  {}
func (*Query) queryBody()  {}

// Target is one item of a select list or RETURNING. Expr may be *Star.
type Target struct {
	Loc
	Expr  Expr
	Alias string // "" : none
}

// With is WITH [RECURSIVE] …
type With struct {
	Loc
	Recursive bool
	CTEs      []CTE
}

// CTE is one common table expression. Exactly one of Query and DML is set.
type CTE struct {
	Loc
	Name    string
	Columns []Ident
	// Materialized is nil when the query does not say.
	Materialized *bool
	Query        *Query
	DML          Stmt // INSERT, UPDATE or DELETE
	Search       *Search
	Cycle        *Cycle
}

// Search is SEARCH DEPTH|BREADTH FIRST BY columns SET column.
type Search struct {
	Loc
	Breadth bool
	Columns []Ident
	Set     Ident
}

// Cycle is CYCLE columns SET mark [TO value DEFAULT value] USING path. To and Default are nil together.
type Cycle struct {
	Loc
	Columns     []Ident
	Mark, Path  Ident
	To, Default Expr
}

// OrderItem is one key of an ORDER BY.
type OrderItem struct {
	Loc
	Expr Expr
	Desc bool
	// Using is the operator of ORDER BY x USING op, or "".
	Using string
	Nulls NullsOrder
}

// NullsOrder says where nulls sort.
type NullsOrder uint8

// The orders of nulls. NullsDefault is last for ascending keys, first for descending.
const (
	NullsDefault NullsOrder = iota
	NullsFirst
	NullsLast
)

// GroupKind says what a GroupItem is.
type GroupKind uint8

// The kinds of grouping elements.
const (
	GroupExpr  GroupKind = iota // Exprs has one element
	GroupEmpty                  // ()
	GroupRollup
	GroupCube
	GroupSets // Sets
)

// GroupItem is one element of GROUP BY. An element of ROLLUP or CUBE in parentheses is a *Row.
type GroupItem struct {
	Loc
	Kind  GroupKind
	Exprs []Expr
	Sets  []GroupItem
}

// WindowDef is name AS (…) of a WINDOW clause.
type WindowDef struct {
	Loc
	Name string
	Spec *WindowSpec
}

// Locking is FOR UPDATE and its kin.
type Locking struct {
	Loc
	Strength string // UPDATE, NO KEY UPDATE, SHARE, KEY SHARE
	Of       []Name
	Wait     string // "", NOWAIT, SKIP LOCKED
}

// TableRef is an item of FROM: *RelRef, *SubqueryRef, *FuncRef or *JoinRef.
type TableRef interface {
	Node
	tableRef()
}

// Alias is AS name (columns).
type Alias struct {
	Loc
	Name    string
	Columns []Ident
}

// RelRef is a relation by name.
type RelRef struct {
	Loc
	Name   Name
	Only   bool
	Alias  *Alias // nil: none
	Sample *TableSample
	// AsOf is the point of FOR SYSTEM_TIME AS OF x; PROCTIME() is a FuncCall named "proctime".
	AsOf Expr
}

// TableSample is TABLESAMPLE method (args) [REPEATABLE (seed)].
type TableSample struct {
	Loc
	Method     Name
	Args       []Expr
	Repeatable Expr
}

// SubqueryRef is (query) in FROM. Alias may be nil.
type SubqueryRef struct {
	Loc
	Lateral bool
	Query   *Query
	Alias   *Alias
}

// FuncRef is a function in FROM, or several in ROWS FROM. The window functions over relations
// (tumble, hop, cumulate, session) are ordinary calls here; see RelationArg.
type FuncRef struct {
	Loc
	Lateral    bool
	RowsFrom   bool
	Funcs      []FuncItem // one, unless RowsFrom
	Ordinality bool
	Alias      *Alias
	// ColumnDefs is the list of AS name (a int, b text).
	ColumnDefs []StructField
}

// FuncItem is one function of a FuncRef. Call is a *FuncCall, *SQLValue or *Cast.
type FuncItem struct {
	Call Expr
	// ColumnDefs is f(…) AS (a int, b text) inside ROWS FROM.
	ColumnDefs []StructField
}

// JoinKind says which join a JoinRef is.
type JoinKind uint8

// The joins. CrossJoin has no condition.
const (
	InnerJoin JoinKind = iota
	LeftJoin
	RightJoin
	FullJoin
	CrossJoin
)

// JoinRef is a join. Unless it is natural or a cross join, exactly one of On and Using is set.
type JoinRef struct {
	Loc
	Kind    JoinKind
	Natural bool
	// AsOf is the streaming dialect's ASOF [LEFT] JOIN.
	AsOf        bool
	Left, Right TableRef
	On          Expr
	Using       []Ident
	// UsingAlias is USING (…) AS name, or "".
	UsingAlias string
	// Alias is (a JOIN b …) AS name.
	Alias *Alias
}

func (*RelRef) tableRef()      {}
func (*SubqueryRef) tableRef() {}
func (*FuncRef) tableRef()     {}
func (*JoinRef) tableRef()     {}

// RelationArg reads the argument of a table function as a relation: TUMBLE(bid, …) or
// HOP((SELECT …), …). ok is false if it is neither a name nor a query.
func RelationArg(a Arg) (name Name, query *Query, ok bool) {
	switch x := a.Value.(type) {
	case *ColumnRef:
		return Name{Loc: x.Loc, Parts: x.Parts}, nil, true
	case *Subquery:
		return Name{}, x.Query, x.Kind == Scalar
	}
	return Name{}, nil, false
}
