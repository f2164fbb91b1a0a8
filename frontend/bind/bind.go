// Package bind turns syntax trees into logical plans: it resolves names against the catalog, types
// against PostgreSQL's chapter 10, and subqueries into joins.
//
// The idea: a FROM clause becomes a frame (a plan and the names its columns go by), and every later clause is bound
// against the frame and puts a node on top of it. A subquery inside an expression is bound to a placeholder
// (subquery) whose plan may refer to columns of the enclosing query (outerRef); when the clause is done the
// placeholder is replaced by a column of a join, and whatever correlation there is becomes a join
// condition (apply.go, dependent.go). What leaves the package contains neither.
//
// Binding is a pure function of the statement and the Env and runs on the session's goroutine; an Env
// serves one statement.
//
// Invariants: every column index in a returned plan is valid and of the stated type; no expression is of
// type unknown; every user error is a *sqlerr.Error with PostgreSQL's SQLSTATE, wording and, where the
// statement has one, position.
//
// It does not optimise (planner/rule), and it does not look at rights. Inside the package errors travel by panic
// (see fail) and are returned by the exported functions. Start at Query, then select.go and expr.go.
package bind

import (
	"slices"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Env is what the meaning of a statement depends on besides its text. Params and Used are also outputs.
type Env struct {
	Catalog    *catalog.Snapshot
	SearchPath []string
	// Settings give the time zone, DateStyle and the like; nil: the defaults.
	Settings *sqlio.Settings
	// System describes system relations; nil: there are none. pg_catalog is searched before SearchPath.
	System func(schema, name string) ([]plan.Column, bool)
	// Session answers session functions that are folded when a view is created; may be nil.
	Session expr.Session
	// Params are the types of $1, $2, … as far as the client gave them; Unknown ones, and those past the
	// end, are inferred from their use and filled in.
	Params []sqltypes.Type
	// Streaming: the query defines a view, index or sink. Sources may be read, parameters may not be
	// used, and session functions are evaluated now.
	Streaming bool
	// Plain, with Streaming: the view is a plain one, which is a query whenever it is read; it may do what only queries can.
	Plain bool
	// Used collects the relations and types that the statement names, each once, in order of appearance. What
	// a named view is made of is not among them.
	Used []catalog.ID
	// Access collects what the statement does to relations, those below the views that it names included.
	Access []*Access
	// MayUse tells whether the user may look into a schema; nil: into all.
	MayUse func(schema string) bool
	// Changes collects the data-modifying statements of WITH, in order; the plan reads their rows as Returned.
	Changes []*plan.Change

	// Args is the function in whose body the statement stands: $1, … and names that no column has are its parameters; Params are
	// their types.
	Args *catalog.Function
	// Runs: the statement calls functions that the session carries out.
	Runs bool

	// Locks is the locking clause of the query, such as FOR UPDATE; "": none.
	Locks string

	as      string       // whose rights count; see Access
	views   int          // nesting of view expansions
	calling []catalog.ID // functions being expanded
}

// Query binds a query to a logical plan, with Sort and Limit on top where it says so. The names of the
// plan's columns are those that the client sees.
func Query(env *Env, q *parser.Query) (n plan.Node, err error) {
	b := newBinder(env)
	defer b.done(&err)
	b.top = q
	r := b.query(q, nil, true)
	return b.finish(r.node), nil
}

// Expr binds e over the columns of one relation called table, as in a CHECK constraint or an index expression.
// Aggregates, window functions and subqueries are refused, naming clause ("check constraints").
func Expr(env *Env, e parser.Expr, table string, cols []plan.Column, clause string) (out expr.Expr, err error) {
	b := newBinder(env)
	defer b.done(&err)
	x := b.ctx(b.relationScope(table, cols), clause)
	x.noSubquery, b.alone = true, true
	out = b.resolved(x.bind(e))
	b.finishParams()
	return out, nil
}

// Default binds the stored text of a default, generated column (over cols) or CHECK expression, and converts it
// to type t as an assignment would; t Unknown leaves the type as it is. column is for the error message.
func Default(env *Env, text string, t sqltypes.Type, column string, cols []plan.Column) (out expr.Expr, err error) {
	b := newBinder(env)
	defer b.done(&err)
	return b.storedExpr(text, t, column, cols), nil
}

// binder is the state of binding one statement.
type binder struct {
	env    *Env
	eval   expr.Ctx
	scopes int               // scope ids given out
	pos    map[expr.Expr]int // where a column reference stands in the statement
	// untyped holds the literals that fields of rows were before they were taken for text: what becomes a
	// composite type is read as its fields' types.
	untyped map[expr.Expr]expr.Expr
	params  map[int]*expr.Param // one shared node per parameter, so that a type found late reaches all uses
	depth   int
	// overriding is what an INSERT says about identity columns: USER, SYSTEM or nothing.
	overriding string
	// shares and recursions number Shared and Recursive nodes; shared counts the references to the former.
	shares, recursions int
	shared             map[int]int
	top                *parser.Query // the statement's own query
	inRows             bool          // a parameter is a field of a row, of a type that is not known
	alone              bool          // what is bound will be evaluated without a session
	// rules holds what domains demand, by the domain's id; nil while its checks are being bound.
	rules map[catalog.ID]*expr.DomainRule
}

func newBinder(env *Env) *binder {
	if env.Settings == nil {
		env.Settings = sqlio.DefaultSettings()
	}
	return &binder{
		env:     env,
		eval:    expr.Ctx{Settings: env.Settings, Session: env.Session},
		pos:     map[expr.Expr]int{},
		shared:  map[int]int{},
		untyped: map[expr.Expr]expr.Expr{},
		params:  map[int]*expr.Param{},
		rules:   map[catalog.ID]*expr.DomainRule{},
	}
}

// bail carries an error up to done.
type bail struct{ err *sqlerr.Error }

// fail ends binding with a user error.
func fail(err *sqlerr.Error) { panic(bail{err}) }

// failAt is fail with the error's position, for errors made elsewhere.
func failAt(err error, pos int) { fail(sqlerr.From(err).At(pos)) }

// done turns a bail into the returned error; any other panic goes on.
func (b *binder) done(err *error) {
	switch r := recover().(type) {
	case nil:
	case bail:
		*err = r.err
	default:
		panic(r)
	}
}

// finish settles what the whole statement decides: parameters that nothing gave a type.
func (b *binder) finish(n plan.Node) plan.Node {
	b.finishParams()
	if b.inRows {
		b.checkParams(n)
	}
	for i, c := range b.env.Changes {
		b.env.Changes[i] = c.WithSource(b.unshare(c.Source()))
	}
	return b.unshare(n)
}

func (b *binder) finishParams() {
	for i, p := range b.params {
		b.setParam(i, p.Ty)
	}
	for i, t := range b.env.Params {
		if t.Kind == sqltypes.KUnknown {
			fail(sqlerr.New(sqlerr.IndeterminateDatatype, "could not determine data type of parameter $%d", i+1))
		}
	}
}

// checkParams refuses parameters that have stayed a field of a row that nothing gave a type.
func (b *binder) checkParams(n plan.Node) {
	plan.Walk(n, func(n plan.Node) bool {
		plan.MapExprs(n, func(e expr.Expr) expr.Expr {
			expr.Walk(e, func(e expr.Expr) bool {
				if p, ok := e.(*expr.Param); ok && b.params[p.Index] != nil && b.params[p.Index].Ty != p.Ty {
					fail(sqlerr.New(sqlerr.IndeterminateDatatype, "could not determine data type of parameter $%d", p.Index))
				}
				return true
			})
			return e
		})
		return true
	})
}

func isParam(e expr.Expr) bool {
	_, ok := e.(*expr.Param)
	return ok
}

func (b *binder) setParam(i int, t sqltypes.Type) {
	for len(b.env.Params) < i {
		b.env.Params = append(b.env.Params, sqltypes.Unknown)
	}
	b.env.Params[i-1] = t
}

// use notes that the statement names relation id.
func (b *binder) use(id catalog.ID) { b.env.use(id) }

func (env *Env) use(id catalog.ID) {
	if !slices.Contains(env.Used, id) {
		env.Used = append(env.Used, id)
	}
}

// maxDepth bounds nesting of queries and views; the parser bounds that of expressions.
const maxDepth = 200

func (b *binder) enter() {
	if b.depth++; b.depth > maxDepth {
		fail(sqlerr.New(sqlerr.StatementTooComplex, "stack depth limit exceeded"))
	}
}

func (b *binder) leave() { b.depth-- }

// unsupported is the answer to valid SQL that we cannot do.
func unsupported(pos int, hint, format string, args ...any) *sqlerr.Error {
	e := sqlerr.New(sqlerr.FeatureNotSupported, format, args...).At(pos)
	if hint != "" {
		e = e.WithHint("%s", hint)
	}
	return e
}
