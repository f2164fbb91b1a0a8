package bind

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// This file binds calls of what CREATE FUNCTION … LANGUAGE sql made. Where it can, a call becomes the body's query, bound in a scope
// whose columns are the parameters: references to them are then replaced by the arguments. What is left is an
// ordinary expression or subquery, so that such functions cost nothing when a query runs and can stand in views.
//
// Other calls are left for the session to carry out when the statement runs (expr.SQLCall): those of functions that change
// data, have several statements or none, return void, or call themselves. Views cannot have them. The session binds the
// body's statements with Env.Args, under which the parameters are those of a prepared statement.

// userFunctions lists the functions that a name may mean, those of earlier schemas of the path first.
func (b *binder) userFunctions(n parser.Name) []*catalog.Function {
	if s := n.Schema(); s != "" {
		return b.env.Catalog.FunctionsNamed(s, n.Last())
	}
	var out []*catalog.Function
	for _, s := range b.env.SearchPath {
		for _, f := range b.env.Catalog.FunctionsNamed(s, n.Last()) {
			hidden := slices.ContainsFunc(out, func(g *catalog.Function) bool { return slices.Equal(f.Args, g.Args) })
			if !hidden {
				out = append(out, f)
			}
		}
	}
	return out
}

// inLibrary reports whether the release has functions of that name.
func inLibrary(name string) bool {
	return isAggregate(name) || len(expr.ByName(name)) > 0 || len(expr.TableFuncsByName(name)) > 0 || windowFunc(name) != nil ||
		slices.Contains([]string{"coalesce", "nullif", "greatest", "least", "grouping"}, name)
}

// userCall binds a call of a function that only CREATE FUNCTION can have made.
func (x *exprCtx) userCall(e *parser.FuncCall, fns []*catalog.Function) expr.Expr {
	x.onlyCall(e)
	args, names := x.givenArgs(e)
	fn, args := x.chooseUser(e, fns, args, names)
	if fn == nil {
		x.noUserFunction(e)
	}
	return x.callUser(e, fn, args)
}

// overloaded binds a call that a user's function fits exactly and the library's functions of the same name do not.
func (x *exprCtx) overloaded(e *parser.FuncCall, args []expr.Expr) expr.Expr {
	fns := x.userFunctions(e.Name)
	if fns == nil {
		return nil
	}
	actual := make([]sqltypes.Type, len(args))
	for i, a := range args {
		actual[i] = a.Type().Base()
	}
	if exactFunc(expr.ByName(e.Name.Last()), actual) != nil {
		return nil
	}
	for _, f := range fns {
		if slices.Equal(f.Args, actual) && !f.Variadic {
			fn, full := x.chooseUser(e, []*catalog.Function{f}, args, make([]string, len(args)))
			return x.callUser(e, fn, full)
		}
	}
	return nil
}

// onlyCall refuses what only aggregates and window functions may carry.
func (x *exprCtx) onlyCall(e *parser.FuncCall) {
	what := ""
	switch {
	case e.Star:
		what = "(*) specified"
	case e.Distinct:
		what = "DISTINCT specified"
	case e.WithinGroup != nil:
		what = "WITHIN GROUP specified"
	case e.OrderBy != nil:
		what = "ORDER BY specified"
	case e.Filter != nil:
		what = "FILTER specified"
	case e.Over != nil:
		fail(sqlerr.New(sqlerr.WrongObjectType, "OVER specified, but %s is not a window function nor an aggregate function", e.Name.Last()).At(e.Pos))
	default:
		return
	}
	if e.Star {
		what = e.Name.Last() + what
	}
	fail(sqlerr.New(sqlerr.WrongObjectType, "%s, but %s is not an aggregate function", what, e.Name.Last()).At(e.Pos))
}

func (x *exprCtx) givenArgs(e *parser.FuncCall) (args []expr.Expr, names []string) {
	for i, a := range e.Args {
		if i > 0 && a.Name == "" && e.Args[i-1].Name != "" {
			fail(sqlerr.New(sqlerr.SyntaxError, "positional argument cannot follow named argument").At(a.Value.At()))
		}
		args, names = append(args, x.bind(a.Value)), append(names, a.Name)
	}
	return args, names
}

func (x *exprCtx) noUserFunction(e *parser.FuncCall) {
	for _, a := range e.Args {
		if a.Name != "" {
			x.noNamedFunction(e)
		}
	}
	args, _ := x.givenArgs(e)
	x.noFunction(e, args)
}

// fitted is a function and, for each of its parameters, which argument of the call it takes; -1: its default.
type fitted struct {
	fn *catalog.Function
	at []int
	// rest are the arguments that make the array of a VARIADIC parameter.
	rest []int
}

// fit assigns arguments to parameters, false if they do not fit. variadic: the call gives the array of a VARIADIC parameter as it is.
func fit(fn *catalog.Function, names []string, variadic bool) (fitted, bool) {
	f := fitted{fn: fn, at: make([]int, len(fn.Args))}
	for i := range f.at {
		f.at[i] = -1
	}
	gather := fn.Variadic && !variadic
	if variadic && !fn.Variadic {
		return f, false
	}
	for k, name := range names {
		i := k
		if name != "" {
			i = slices.Index(fn.ArgNames, name)
		}
		if gather && name == "" && k >= len(f.at)-1 {
			f.rest = append(f.rest, k)
			continue
		}
		if i < 0 || i >= len(f.at) || f.at[i] >= 0 || gather && name != "" {
			return f, false
		}
		f.at[i] = k
	}
	for i, k := range f.at {
		if k < 0 && i < len(fn.Args)-len(fn.Defaults) && (i < len(f.at)-1 || f.rest == nil) {
			return f, false
		}
	}
	return f, true
}

// elementOf is the declared type of the arguments that a VARIADIC parameter gathers.
func elementOf(array sqltypes.Type) sqltypes.Type {
	switch array.Kind {
	case sqltypes.KAnyArray:
		return sqltypes.AnyElement
	case sqltypes.KAnyCompatibleArray:
		return sqltypes.Type{Kind: sqltypes.KAnyCompatible}
	}
	return elemType(array)
}

// signature is what the function declares for each of n arguments.
func (f *fitted) signature(n int) []sqltypes.Type {
	sig := make([]sqltypes.Type, n)
	for i, k := range f.at {
		if k >= 0 {
			sig[k] = f.fn.Args[i]
		}
	}
	for _, k := range f.rest {
		sig[k] = elementOf(f.fn.Args[len(f.at)-1])
	}
	return sig
}

// chooseUser resolves an overload and returns it, its polymorphic types settled, and all its arguments, converted; nil if none fits.
func (x *exprCtx) chooseUser(e *parser.FuncCall, fns []*catalog.Function, args []expr.Expr, names []string) (*catalog.Function, []expr.Expr) {
	actual := make([]sqltypes.Type, len(args))
	for i, a := range args {
		actual[i] = a.Type().Base()
	}
	var cands []candidate
	for _, fn := range fns {
		f, ok := fit(fn, names, e.Variadic)
		if !ok {
			continue
		}
		c := candidate{args: f.signature(len(args)), of: f}
		same := slices.IndexFunc(cands, func(o candidate) bool { return slices.Equal(o.args, c.args) })
		switch {
		case same < 0:
			cands = append(cands, c)
		case cands[same].of.(fitted).rest != nil && f.rest == nil: // rather one that takes as many
			cands[same] = c
		case cands[same].of.(fitted).rest == nil && f.rest != nil:
		default:
			cands = append(cands, c)
		}
	}
	c, ambiguous := choose(cands, actual, false)
	if c != nil && exactMatch(cands, actual) != nil { // of several, with defaults for what the call leaves out, none is better
		n := 0
		for _, o := range cands {
			if slices.Equal(o.args, c.args) {
				n++
			}
		}
		ambiguous = n > 1
	}
	if ambiguous {
		fail(sqlerr.New(sqlerr.AmbiguousFunction, "function %s(%s) is not unique", e.Name.String(), argList(actual)).At(e.Pos).
			WithHint("Could not choose a best candidate function. You might need to add explicit type casts."))
	}
	if c == nil {
		return nil, nil
	}
	f := c.of.(fitted)
	fn := settled(f.fn, c.args, actual)
	out := make([]expr.Expr, len(f.at))
	first := len(fn.Args) - len(fn.Defaults)
	for i, k := range f.at {
		t := fn.Args[i]
		switch {
		case i == len(f.at)-1 && f.rest != nil:
			arr := &expr.MakeArray{Ty: t}
			for _, k := range f.rest {
				v, ok := x.coerce(args[k], elemType(t), implicit, e.Args[k].Value.At())
				if !ok {
					return nil, nil
				}
				arr.Args = append(arr.Args, v)
			}
			out[i] = arr
			continue
		case k < 0:
			out[i] = x.storedExpr(fn.Defaults[i-first], t, fn.ArgNames[i], nil)
			continue
		}
		v, ok := x.coerce(args[k], t, implicit, e.Args[k].Value.At())
		if !ok {
			return nil, nil
		}
		out[i] = v
	}
	return fn, out
}

// settled is a function with what stands for its polymorphic types in a call.
func settled(fn *catalog.Function, declared, actual []sqltypes.Type) *catalog.Function {
	if !fn.IsPolymorphic() {
		return fn
	}
	elem, _ := polymorphic(declared, actual, false)
	common, _ := polymorphic(compatibles(declared), actual, true)
	if common.Kind == sqltypes.KUnknown {
		common = sqltypes.Text
	}
	f := *fn
	f.Args, f.Columns = slices.Clone(fn.Args), slices.Clone(fn.Columns)
	f.EachType(func(t *sqltypes.Type) {
		of := elem
		switch t.Kind {
		case sqltypes.KAnyCompatible, sqltypes.KAnyCompatibleArray, sqltypes.KAnyCompatibleNonArray:
			of = common
		}
		switch {
		case !t.IsPseudo():
			return
		case of.Kind == sqltypes.KUnknown:
			fail(sqlerr.New(sqlerr.DatatypeMismatch, "could not determine polymorphic type because input has type unknown"))
		case t.Kind == sqltypes.KAnyArray, t.Kind == sqltypes.KAnyCompatibleArray:
			if of = sqltypes.ArrayOf(of); of.OID() == 0 {
				fail(sqlerr.New(sqlerr.UndefinedObject, "could not find array type for data type %s", of.ElemType()))
			}
		}
		*t = of
	})
	return &f
}

// funcParam reads $n in a function's body.
func (x *exprCtx) funcParam(e *parser.Param) expr.Expr {
	for s := x.sc; s != nil; s = s.parent {
		if !s.params {
			continue
		}
		it := s.frame.items[0]
		if e.N < 1 || e.N > len(it.cols) {
			fail(sqlerr.New(sqlerr.UndefinedParameter, "there is no parameter $%d", e.N).At(e.Pos))
		}
		return x.ref(x.sc, s, match{it.cols[e.N-1].idx, it.cols[e.N-1].name, it}, e.Pos)
	}
	return nil
}

// expandBody binds a function's query in a scope of its parameters, and returns that scope's id with it.
func (b *binder) expandBody(fn *catalog.Function, pos int) (n plan.Node, scope int) {
	b.use(fn.ID)
	b.access(fn.ID, 'X')
	outer := b.env
	env := *outer
	env.Params, env.Used, env.Args = nil, nil, nil
	env.calling = append(outer.calling[:len(outer.calling):len(outer.calling)], fn.ID)
	env.inBodyOf(fn)
	b.env = &env
	defer func() { outer.Access, outer.Runs, b.env = env.Access, env.Runs, outer }()
	defer func() {
		switch r := recover().(type) {
		case nil:
		case bail:
			e := *r.err
			e.Offset, e.Position = 0, 0 // it would count in the body
			panic(bail{e.At(pos)})
		default:
			panic(r)
		}
	}()
	return b.bodyQuery(fn)
}

// inBodyOf sets what names in a function's body mean, and whose rights count there.
func (env *Env) inBodyOf(fn *catalog.Function) {
	if fn.Form != "" {
		env.SearchPath = splitPath(fn.SearchPath)
	}
	if fn.Definer {
		env.as = fn.Owner
	}
}

// statements parses a function's body.
func statements(fn *catalog.Function) []parser.Stmt {
	stmts, err := parser.Parse(fn.Body)
	if err != nil {
		failAt(err, -1)
	}
	return stmts
}

func (b *binder) bodyQuery(fn *catalog.Function) (plan.Node, int) {
	cols := make([]plan.Column, len(fn.Args))
	for i, t := range fn.Args {
		cols[i] = plan.Column{Name: fn.ArgNames[i], Type: t}
		if fn.ArgNames[i] == "" {
			cols[i].Name = " " // no name can mean it
		}
	}
	sc := b.relationScope(fn.Name, cols)
	sc.params = true
	var last plan.Node
	for _, s := range statements(fn) {
		last = b.query(s.(*parser.SelectStmt).Query, sc, true).node
	}
	return b.bodyResult(fn, last), sc.id
}

// bodyTypes are the types of the columns that a function's last statement must have; nil: any.
func bodyTypes(fn *catalog.Function) []sqltypes.Type {
	switch {
	case fn.IsRecord():
		return nil
	case fn.Columns == nil:
		return []sqltypes.Type{fn.Result}
	}
	var want []sqltypes.Type
	for _, c := range fn.Columns {
		want = append(want, c.Type)
	}
	return want
}

func mismatch(fn *catalog.Function, detail string, args ...any) *sqlerr.Error {
	return sqlerr.New(sqlerr.InvalidFunctionDefinition, "return type mismatch in function declared to return %s", resultText(fn)).WithDetail(detail, args...)
}

// checkWidthOf compares the number of columns of a function's last statement with what it returns.
func checkWidthOf(fn *catalog.Function, n, want int) {
	switch {
	case want == 0:
	case fn.Columns == nil && n != 1:
		fail(mismatch(fn, "Final statement must return exactly one column."))
	case n > want:
		fail(mismatch(fn, "Final statement returns too many columns."))
	case n < want:
		fail(mismatch(fn, "Final statement returns too few columns."))
	}
}

func badColumn(fn *catalog.Function, i int, t, want sqltypes.Type) *sqlerr.Error {
	if fn.Columns == nil {
		return mismatch(fn, "Actual return type is %s.", t.Base())
	}
	return mismatch(fn, "Final statement returns %s instead of %s at column %d.", t.Base(), want.Base(), i+1)
}

// rowOfColumns says that the one column of a function's last statement is the row that it returns.
func rowOfColumns(fn *catalog.Function, ts []sqltypes.Type) bool {
	return fn.Columns != nil && len(ts) == 1 && ts[0].HasFields() && len(ts[0].Fields()) == len(fn.Columns) &&
		(len(fn.Columns) > 1 || fn.Rows != "") && !fn.Columns[0].Type.HasFields()
}

// bodyResult converts the rows of a function's last query to what it returns.
func (b *binder) bodyResult(fn *catalog.Function, n plan.Node) plan.Node {
	if n == nil {
		fail(mismatch(fn, "Function's final statement must be SELECT or INSERT/UPDATE/DELETE RETURNING."))
	}
	want := bodyTypes(fn)
	if want == nil {
		return n
	}
	if rowOfColumns(fn, plan.Types(n)) {
		n = expandFields(n)
	}
	checkWidthOf(fn, len(n.Columns()), len(want))
	return b.coerceOutputs(n, want, nil, assignment, func(i int, t sqltypes.Type) *sqlerr.Error { return badColumn(fn, i, t, want[i]) })
}

// FunctionEnv is the Env of a statement in a function's body, whose parameters are the function's.
func FunctionEnv(env *Env, fn *catalog.Function) *Env {
	env.Args, env.Params = fn, slices.Clone(fn.Args)
	env.inBodyOf(fn)
	return env
}

// FunctionResult converts the rows of a function's last query to what it returns.
func FunctionResult(env *Env, fn *catalog.Function, n plan.Node) (out plan.Node, err error) {
	b := newBinder(env)
	defer b.done(&err)
	return b.bodyResult(fn, n), nil
}

// FunctionReturning is FunctionResult for what RETURNING of a function's last statement lists; nil: there is none.
func FunctionReturning(env *Env, fn *catalog.Function, es []expr.Expr) (out []expr.Expr, err error) {
	b := newBinder(env)
	defer b.done(&err)
	if es == nil {
		b.bodyResult(fn, nil)
	}
	want := bodyTypes(fn)
	if want == nil {
		return es, nil
	}
	if len(es) == 1 && rowOfColumns(fn, []sqltypes.Type{es[0].Type()}) {
		row := es[0]
		es = nil
		for i, f := range row.Type().Fields() {
			es = append(es, &expr.Field{Arg: row, Index: i, Ty: f.Type})
		}
	}
	checkWidthOf(fn, len(es), len(want))
	for i, e := range es {
		v, ok := b.coerce(e, want[i], assignment, -1)
		if !ok {
			fail(badColumn(fn, i, e.Type(), want[i]))
		}
		out = append(out, v)
	}
	return out, nil
}

// CheckFunction binds a function's body, to find out at CREATE what is wrong with it. It fills in what the body uses. The types
// of a polymorphic function are not known before it is called.
func CheckFunction(env *Env, fn *catalog.Function) (err error) {
	b := newBinder(env)
	defer b.done(&err)
	stmts := statements(fn)
	for i, s := range stmts {
		if _, ok := s.(*parser.TransactionStmt); ok && i == len(stmts)-1 && !fn.IsVoid() {
			b.bodyResult(fn, nil)
		}
		mayStandInBody(s)
	}
	if fn.IsPolymorphic() {
		return nil
	}
	used := map[catalog.ID]bool{}
	for i, s := range stmts {
		inner := *FunctionEnv(env, fn)
		inner.calling, inner.Used, inner.Changes = []catalog.ID{fn.ID}, nil, nil
		n, es, err := bindStatement(&inner, s)
		if err != nil {
			return err
		}
		for _, id := range inner.Used {
			if fn.Form != "" && !used[id] && id != fn.ID {
				used[id] = true
				fn.DependsOn = append(fn.DependsOn, id)
			}
		}
		if i < len(stmts)-1 || fn.IsVoid() {
			continue
		}
		if n != nil {
			_, err = FunctionResult(&inner, fn, n)
		} else {
			_, err = FunctionReturning(&inner, fn, es)
		}
		if err != nil {
			return err
		}
	}
	if len(stmts) == 0 && !fn.IsVoid() {
		b.bodyResult(fn, nil)
	}
	return nil
}

// bindStatement binds a statement of a body: to a query, or to what RETURNING lists.
func bindStatement(env *Env, s parser.Stmt) (n plan.Node, returns []expr.Expr, err error) {
	switch x := s.(type) {
	case *parser.SelectStmt:
		n, err = Query(env, x.Query)
	case *parser.InsertStmt:
		if InsertQueries(x) {
			n, err = InsertReturning(env, x)
			break
		}
		var p *plan.Insert
		if p, err = Insert(env, x); err == nil {
			returns = p.Returning
		}
	case *parser.UpdateStmt:
		var p *plan.Update
		if p, err = Update(env, x); err == nil {
			returns = p.Returning
		}
	case *parser.DeleteStmt:
		var p *plan.Delete
		if p, err = Delete(env, x); err == nil {
			returns = p.Returning
		}
	case *parser.MergeStmt:
		_, err = Merge(env, x)
	}
	return n, returns, err
}

// mayStandInBody refuses statements that functions do not have.
func mayStandInBody(s parser.Stmt) {
	switch s.(type) {
	case *parser.SelectStmt, *parser.InsertStmt, *parser.UpdateStmt, *parser.DeleteStmt, *parser.MergeStmt:
		return
	case *parser.TransactionStmt:
		word, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(s.Src().Text)), " ")
		fail(unsupported(-1, "", "%s is not allowed in an SQL function", word))
	}
	fail(unsupported(-1, "", "a SQL function with other statements than SELECT, INSERT, UPDATE, DELETE and MERGE is not supported"))
}

// mustRun says that a call cannot be replaced by the function's body.
func (b *binder) mustRun(fn *catalog.Function) bool {
	if fn.IsVoid() || slices.Contains(b.env.calling, fn.ID) || len(b.env.calling) > maxInlined {
		return true
	}
	stmts := statements(fn)
	if len(stmts) != 1 {
		return true
	}
	q, ok := stmts[0].(*parser.SelectStmt)
	return !ok || changesData(q.Query)
}

// maxInlined bounds how deep functions are expanded in functions; each may call others more than once.
const maxInlined = 20

// changesData reports whether WITH of a query, or of one in it, has INSERT, UPDATE, DELETE or MERGE.
func changesData(q *parser.Query) bool {
	found := false
	parser.Walk(q, func(n parser.Node) bool {
		if q, ok := n.(*parser.Query); ok && q.With != nil {
			found = found || slices.ContainsFunc(q.With.CTEs, func(c parser.CTE) bool { return c.DML != nil })
		}
		return !found
	})
	return found
}

// run notes a call that the session carries out, and refuses it where there will be no session.
func (b *binder) run(fn *catalog.Function, pos int) {
	if !b.mayRun() {
		why := "is more than one query"
		switch {
		case fn.IsVoid():
			why = "returns void"
		case slices.Contains(b.env.calling, fn.ID):
			why = "calls itself"
		case fn.Set:
			why = "returns a set"
		}
		fail(unsupported(pos, "", "function %s %s, which is not supported in %s", fn.Name, why, "a materialized view, sink, index or table definition"))
	}
	b.use(fn.ID)
	b.access(fn.ID, 'X')
	b.env.Runs = true
}

func (b *binder) mayRun() bool {
	_, ok := b.env.Session.(expr.SQLCaller)
	return ok && (!b.env.Streaming || b.env.Plain) && !b.alone
}

// volatility is the declared one; what the session runs is not computed beforehand.
func volatility(fn *catalog.Function) expr.Volatility {
	if fn.Volatile() {
		return expr.Volatile
	}
	return expr.Stable
}

// runCall is a call that the session carries out.
func (b *binder) runCall(fn *catalog.Function, args []expr.Expr, pos int) expr.Expr {
	b.run(fn, pos)
	c := &expr.SQLCall{Func: uint32(fn.ID), Name: fn.Name, Args: args, Strict: fn.Strict, Volatility: volatility(fn), Ty: fn.Result}
	if fn.Columns != nil {
		c.Ty = fn.OneRow()
	}
	return c
}

// runTable is a call, as a set of rows, that the session carries out.
func (b *binder) runTable(fn *catalog.Function, args []expr.Expr, pos int) (*expr.TableFunc, []plan.Column) {
	b.run(fn, pos)
	var cols []plan.Column
	var rows []expr.RowCol
	for _, c := range resultColumns(fn) {
		cols, rows = append(cols, plan.Column{Name: c.Name, Type: c.Type}), append(rows, expr.RowCol{Name: c.Name, Type: c.Type})
	}
	f := expr.SQLTableFunc(uint32(fn.ID), fn.Name, fn.Args, rows, fn.Set, volatility(fn))
	f.Rows = fn.Columns != nil
	return f, cols
}

// resultColumns are the columns of a function in FROM.
func resultColumns(fn *catalog.Function) []catalog.FuncColumn {
	if fn.Columns != nil {
		return fn.Columns
	}
	return []catalog.FuncColumn{{Name: fn.ResultName(), Type: fn.Result}}
}

// withColumns gives a function that returns record the columns of its body.
func (b *binder) withColumns(fn *catalog.Function, pos int) *catalog.Function {
	if !fn.IsRecord() {
		return fn
	}
	stmts := statements(fn)
	if len(stmts) == 0 {
		b.bodyResult(fn, nil)
	}
	env := *b.env
	env.Used, env.Access, env.Changes = nil, nil, nil
	env.calling = append(env.calling[:len(env.calling):len(env.calling)], fn.ID)
	n, es, err := bindStatement(FunctionEnv(&env, fn), stmts[len(stmts)-1])
	if err != nil {
		failAt(err, pos)
	}
	f := *fn
	f.Columns = []catalog.FuncColumn{}
	if n != nil {
		for _, c := range n.Columns() {
			f.Columns = append(f.Columns, catalog.FuncColumn{Name: c.Name, Type: c.Type})
		}
	}
	for i, e := range es {
		f.Columns = append(f.Columns, catalog.FuncColumn{Name: fmt.Sprintf("f%d", i+1), Type: e.Type()})
	}
	if len(f.Columns) == 1 && f.Columns[0].Type.HasFields() {
		fields := f.Columns[0].Type.Fields()
		f.Columns = nil
		for _, c := range fields {
			f.Columns = append(f.Columns, catalog.FuncColumn{Name: c.Name, Type: c.Type})
		}
	}
	return &f
}

// callUser binds a call where a value is wanted.
func (x *exprCtx) callUser(e *parser.FuncCall, fn *catalog.Function, args []expr.Expr) expr.Expr {
	fn = x.withColumns(fn, e.Pos)
	switch {
	case fn.Set:
		return x.userSet(e, fn, args)
	case x.mustRun(fn):
		return x.runCall(fn, args, e.Pos)
	}
	n, scope := x.expandBody(fn, e.Pos)
	ty := fn.Result
	if fn.Columns != nil {
		ty = fn.OneRow()
		n = asRow(n, ty)
	}
	out := inlined(n, scope, args)
	if out == nil {
		if x.mayRun() && (x.noSubquery || x.runsBetter(fn, n, scope, args)) {
			return x.runCall(fn, args, e.Pos)
		}
		x.allowSubquery(e.Pos)
		lifted := make([]expr.Expr, len(args))
		for i, a := range args {
			lifted[i] = x.lift(a, e.Pos)
		}
		q := x.withArgs(fn, firstRow(n), scope, lifted)
		out = &subquery{kind: subScalar, node: q, scope: x.sc.id, ty: ty, pos: e.Pos}
		if fn.Strict {
			return out // withArgs has seen to it
		}
	}
	if fn.Strict && len(args) > 0 {
		return &expr.Case{Whens: []expr.When{{Cond: anyNull(args), Then: expr.Null(ty)}}, Else: out, Ty: ty}
	}
	return out
}

// runsBetter says that a query in the place of a call would be evaluated another number of times than the call, and that this makes a
// difference; or that an argument cannot stand in a query.
func (x *exprCtx) runsBetter(fn *catalog.Function, body plan.Node, scope int, args []expr.Expr) bool {
	for _, a := range args {
		if expr.VolatilityOf(a) == expr.Volatile {
			return true
		}
		found := false
		expr.Walk(a, func(n expr.Expr) bool {
			s, ok := n.(*slot)
			found = found || ok && s.kind != slotAgg
			return !found
		})
		if found {
			return true
		}
	}
	return fn.Volatile() && volatilePlan(body)
}

// volatilePlan reports whether a plan calls something volatile.
func volatilePlan(n plan.Node) bool {
	found := false
	plan.Walk(n, func(n plan.Node) bool {
		plan.MapExprs(n, func(e expr.Expr) expr.Expr {
			found = found || expr.VolatilityOf(e) == expr.Volatile
			return e
		})
		return !found
	})
	return found
}

// asRow makes one column of all.
func asRow(n plan.Node, ty sqltypes.Type) plan.Node {
	if p, ok := n.(*plan.Project); ok {
		return &plan.Project{Input: p.Input, Exprs: []expr.Expr{&expr.MakeRow{Args: p.Exprs, Ty: ty}}, Names: []string{"row"}}
	}
	es, _ := columnExprs(n, 0, len(n.Columns()))
	return &plan.Project{Input: n, Exprs: []expr.Expr{&expr.MakeRow{Args: es, Ty: ty}}, Names: []string{"row"}}
}

// userSet binds a set-returning function of a select list.
func (x *exprCtx) userSet(e *parser.FuncCall, fn *catalog.Function, args []expr.Expr) expr.Expr {
	x.allowSet(e)
	call := &srfCall{args: args}
	if x.mayRun() {
		call.fn, call.cols = x.runTable(fn, args, e.Pos)
	} else {
		if x.mustRun(fn) {
			x.run(fn, e.Pos)
		}
		call.body, call.scope = x.expandBody(fn, e.Pos)
		call.user = fn
		call.fn = expr.SQLTableFunc(uint32(fn.ID), fn.Name, fn.Args, nil, true, volatility(fn))
		for _, c := range resultColumns(fn) {
			call.cols = append(call.cols, plan.Column{Name: c.Name, Type: c.Type})
		}
	}
	ty := fn.Result
	if fn.Columns != nil {
		ty = fn.OneRow()
	}
	return x.addSet(call, ty, fn.Columns != nil)
}

func anyNull(args []expr.Expr) expr.Expr {
	if len(args) == 1 {
		return &expr.IsNull{Arg: args[0]}
	}
	nulls := make([]expr.Expr, len(args))
	for i, a := range args {
		nulls[i] = &expr.IsNull{Arg: a}
	}
	return &expr.BoolOp{Or: true, Args: nulls}
}

// inlined is the body as an expression over the arguments: where it is one, and no argument has to be computed once
// but is used several times.
func inlined(n plan.Node, scope int, args []expr.Expr) expr.Expr {
	p, ok := n.(*plan.Project)
	if !ok || len(p.Exprs) != 1 {
		return nil
	}
	if v, ok := p.Input.(*plan.Values); !ok || len(v.Rows) != 1 || len(v.Rows[0]) != 0 {
		return nil
	}
	uses := make([]int, len(args))
	exprRef(p.Exprs[0], func(o *outerRef) bool {
		if o.scope == scope {
			uses[o.idx]++
		}
		return false
	})
	for i, a := range args {
		if uses[i] != 1 && once(a) {
			return nil
		}
	}
	return mapExprRefs(p.Exprs[0], scope, func(o *outerRef) expr.Expr { return args[o.idx] })
}

// once says that an expression must be computed exactly once.
func once(e expr.Expr) bool { return hasSubquery(e) || expr.VolatilityOf(e) == expr.Volatile }

// lift turns an expression of this place into one that can stand in a subquery of it.
func (x *exprCtx) lift(e expr.Expr, pos int) expr.Expr {
	return expr.Transform(e, func(n expr.Expr) expr.Expr {
		switch n := n.(type) {
		case *expr.Col:
			return &outerRef{scope: x.sc.id, idx: n.Index, ty: n.Ty, name: n.Name, pos: pos}
		case *slot:
			if n.kind != slotAgg {
				fail(unsupported(pos, "Compute it in a subquery first.", "a window or set-returning function as an argument of a SQL function with a query is not supported"))
			}
			return &outerRef{scope: x.sc.id, idx: n.n, agg: true, ty: n.ty, name: "?column?", pos: pos}
		}
		return n
	})
}

// withArgs gives a body its arguments, which refer to enclosing queries only.
func (b *binder) withArgs(fn *catalog.Function, body plan.Node, scope int, args []expr.Expr) plan.Node {
	simple := !fn.Strict
	for _, a := range args {
		simple = simple && !once(a)
	}
	if simple {
		return mapRefs(body, scope, func(o *outerRef) expr.Expr { return args[o.idx] })
	}
	for _, a := range args {
		if expr.VolatilityOf(a) == expr.Volatile && refersTo(body, scope) && !isSimple(body, scope) {
			fail(unsupported(-1, "", "a volatile argument of SQL function %q, whose body is a query, is not supported", fn.Name)) // it might be computed twice
		}
	}
	p := &plan.Project{}
	p.Input, p.Exprs = b.placeAll(oneRow(), scope, args)
	p.Names = fn.ArgNames
	var in plan.Node = p
	if fn.Strict && len(args) > 0 {
		cols := make([]expr.Expr, len(args))
		for i, a := range args {
			cols[i] = &expr.Col{Index: i, Ty: a.Type()}
		}
		in = &plan.Filter{Input: p, Cond: &expr.Not{Arg: anyNull(cols)}}
	}
	return pick(b.apply(plan.Inner, in, scope, body, nil), seq(len(args), len(args)+len(body.Columns())))
}

// firstRow is the first row of a query: the value of a function that does not return a set.
func firstRow(n plan.Node) plan.Node {
	if maxOneRow(n) == n || oneRowOf(n) {
		return n
	}
	return &plan.Limit{Input: n, Limit: &expr.Const{Ty: sqltypes.Int8, Val: int64(1)}}
}

// oneRowOf says that a plan has exactly one row.
func oneRowOf(n plan.Node) bool {
	for {
		switch x := n.(type) {
		case *plan.Project:
			n = x.Input
		case *plan.Agg:
			return x.Scalar
		case *plan.Values:
			return len(x.Rows) == 1
		default:
			return false
		}
	}
}

// userTable binds a call in FROM of a function that CREATE FUNCTION made; nil if it is none, or one that returns a
// single value. defs is the column definition list behind it.
func (b *binder) userTable(x *parser.FuncRef, ctx *exprCtx, call *parser.FuncCall, defs []parser.StructField) *frame {
	fn, args := b.userInFrom(ctx, call, defs)
	if fn == nil {
		return nil
	}
	name := fn.Name
	scalar := fn.Columns == nil
	if x.Ordinality || b.mustRun(fn) {
		f, cols := b.runTable(fn, args, call.Pos)
		n := b.tableFuncPlan(&plan.TableFunc{Sig: f.Sig(), Args: args, Out: cols, WithOrdinality: x.Ordinality}, ctx.sc.id)
		return b.nameFunc(n, x, name, scalar && !x.Ordinality)
	}
	n, scope := b.expandBody(fn, call.Pos)
	volatileArg := slices.ContainsFunc(args, func(a expr.Expr) bool { return expr.VolatilityOf(a) == expr.Volatile })
	one := fn.Set || oneRowOf(n) && !fn.Strict // else there is a row of NULLs where the body has none
	if b.mayRun() && (volatileArg || !one) {
		f, cols := b.runTable(fn, args, call.Pos)
		return b.nameFunc(b.tableFuncPlan(&plan.TableFunc{Sig: f.Sig(), Args: args, Out: cols}, ctx.sc.id), x, name, scalar)
	}
	if fn.Set {
		n = b.withArgs(fn, n, scope, args)
	} else if n = b.withArgs(fn, firstRow(n), scope, args); !one {
		n = &plan.Join{Kind: plan.Left, Left: oneRow(), Right: n}
	}
	cols := make([]plan.Column, len(n.Columns()))
	for i, c := range resultColumns(fn) {
		cols[i] = plan.Column{Name: c.Name, Type: n.Columns()[i].Type}
	}
	return b.nameFunc(named(n, cols), x, name, scalar)
}

// userInFrom resolves a call in FROM of a function that returns rows; nil if it is none.
func (b *binder) userInFrom(ctx *exprCtx, call *parser.FuncCall, defs []parser.StructField) (*catalog.Function, []expr.Expr) {
	fns := b.userFunctions(call.Name)
	if len(fns) == 0 || call.Name.Schema() == "" && inLibrary(call.Name.Last()) {
		return nil, nil
	}
	if !slices.ContainsFunc(fns, func(f *catalog.Function) bool {
		return f.Set || f.Columns != nil || f.IsRecord() || f.ResultName() != f.Name
	}) {
		return nil, nil
	}
	ctx.onlyCall(call)
	given, names := ctx.givenArgs(call)
	fn, args := ctx.chooseUser(call, fns, given, names)
	switch {
	case fn == nil:
		ctx.noUserFunction(call)
	case fn.IsRecord() && len(defs) == 0:
		fail(sqlerr.New(sqlerr.SyntaxError, "a column definition list is required for functions returning \"record\"").At(call.Pos))
	case fn.IsRecord():
		f := *fn
		for _, c := range b.definedRow(defs).Fields() {
			f.Columns = append(f.Columns, catalog.FuncColumn{Name: c.Name, Type: c.Type})
		}
		return &f, args
	case len(defs) > 0 && fn.Out:
		fail(sqlerr.New(sqlerr.SyntaxError, "a column definition list is redundant for a function with OUT parameters").At(defs[0].Pos))
	case len(defs) > 0 && fn.Columns != nil:
		fail(sqlerr.New(sqlerr.SyntaxError, "a column definition list is redundant for a function returning a named composite type").At(defs[0].Pos))
	}
	noColumnDefs(defs)
	if !fn.Set && fn.Columns == nil && fn.ResultName() == fn.Name {
		return nil, nil
	}
	return fn, args
}

// resultText is the type that errors say a function returns.
func resultText(f *catalog.Function) string {
	switch {
	case f.Rows != "":
		return f.Rows
	case len(f.Columns) > 1:
		return "record"
	case len(f.Columns) == 1:
		return f.Columns[0].Type.String()
	}
	return f.Result.String()
}
