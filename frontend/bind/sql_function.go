package bind

import (
	"slices"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// This file expands what CREATE FUNCTION … LANGUAGE sql made. A call becomes the body's query, bound in a scope whose
// columns are the parameters: references to them are then replaced by the arguments. What is left is an
// ordinary expression or subquery, so that functions cost nothing when a query runs and can stand in views.

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
	return x.expandScalar(e, fn, args)
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
		if slices.Equal(f.Args, actual) {
			fn, full := x.chooseUser(e, []*catalog.Function{f}, args, make([]string, len(args)))
			return x.expandScalar(e, fn, full)
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
	case e.Variadic:
		fail(unsupported(e.Pos, "", "a VARIADIC argument of a SQL function is not supported"))
	default:
		return
	}
	if e.Star {
		what = e.Name.Last() + what
	}
	fail(sqlerr.New(sqlerr.WrongObjectType, "%s, but %s is not an aggregate function", what, e.Name.Last()).At(e.Pos))
}

func (x *exprCtx) givenArgs(e *parser.FuncCall) (args []expr.Expr, names []string) {
	for _, a := range e.Args {
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
}

// fit assigns arguments to parameters, false if they do not fit.
func fit(fn *catalog.Function, names []string) (fitted, bool) {
	f := fitted{fn, make([]int, len(fn.Args))}
	for i := range f.at {
		f.at[i] = -1
	}
	for k, name := range names {
		i := k
		if name != "" {
			i = slices.Index(fn.ArgNames, name)
		}
		if i < 0 || i >= len(f.at) || f.at[i] >= 0 {
			return f, false
		}
		f.at[i] = k
	}
	for i, k := range f.at {
		if k < 0 && i < len(fn.Args)-len(fn.Defaults) {
			return f, false
		}
	}
	return f, true
}

// chooseUser resolves an overload and returns all its arguments, converted; nil if none fits.
func (x *exprCtx) chooseUser(e *parser.FuncCall, fns []*catalog.Function, args []expr.Expr, names []string) (*catalog.Function, []expr.Expr) {
	actual := make([]sqltypes.Type, len(args))
	for i, a := range args {
		actual[i] = a.Type().Base()
	}
	var cands []candidate
	for _, fn := range fns {
		f, ok := fit(fn, names)
		if !ok {
			continue
		}
		sig := make([]sqltypes.Type, len(args))
		for i, k := range f.at {
			if k >= 0 {
				sig[k] = fn.Args[i]
			}
		}
		cands = append(cands, candidate{args: sig, of: f})
	}
	c, ambiguous := choose(cands, actual, false)
	if ambiguous {
		fail(sqlerr.New(sqlerr.AmbiguousFunction, "function %s(%s) is not unique", e.Name.String(), argList(actual)).At(e.Pos).
			WithHint("Could not choose a best candidate function. You might need to add explicit type casts."))
	}
	if c == nil {
		return nil, nil
	}
	f := c.of.(fitted)
	out := make([]expr.Expr, len(f.at))
	first := len(f.fn.Args) - len(f.fn.Defaults)
	for i, k := range f.at {
		if k < 0 {
			out[i] = x.storedExpr(f.fn.Defaults[i-first], f.fn.Args[i], f.fn.ArgNames[i], nil)
			continue
		}
		v, ok := x.coerce(args[k], f.fn.Args[i], implicit, e.Args[k].Value.At())
		if !ok {
			return nil, nil
		}
		out[i] = v
	}
	return f.fn, out
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
	if slices.Contains(b.env.calling, fn.ID) {
		fail(unsupported(pos, "", "recursive function %q is not supported", fn.Name))
	}
	b.use(fn.ID)
	b.access(fn.ID, 'X')
	outer := b.env
	env := *outer
	env.Params, env.Used = nil, nil
	env.calling = append(outer.calling[:len(outer.calling):len(outer.calling)], fn.ID)
	if fn.Form != "" {
		env.SearchPath = splitPath(fn.SearchPath)
	}
	b.env = &env
	defer func() { outer.Access, b.env = env.Access, outer }()
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
	stmts, err := parser.Parse(fn.Body)
	if err != nil {
		failAt(err, -1)
	}
	var last plan.Node
	for _, s := range stmts {
		q, ok := s.(*parser.SelectStmt)
		if !ok {
			fail(unsupported(s.Src().Pos, "", "a SQL function with other statements than SELECT is not supported"))
		}
		last = b.query(q.Query, sc, true).node
	}
	want := []sqltypes.Type{fn.Result}
	if fn.Columns != nil {
		want = want[:0]
		for _, c := range fn.Columns {
			want = append(want, c.Type)
		}
	}
	mismatch := func(detail string, args ...any) {
		fail(sqlerr.New(sqlerr.InvalidFunctionDefinition, "return type mismatch in function declared to return %s", resultText(fn)).WithDetail(detail, args...))
	}
	if last == nil {
		mismatch("Function's final statement must be SELECT or INSERT/UPDATE/DELETE RETURNING.")
	}
	switch n := len(last.Columns()); {
	case fn.Columns == nil && n != 1:
		mismatch("Final statement must return exactly one column.")
	case n > len(want):
		mismatch("Final statement returns too many columns.")
	case n < len(want):
		mismatch("Final statement returns too few columns.")
	}
	last = b.coerceOutputs(last, want, nil, assignment, func(i int, t sqltypes.Type) *sqlerr.Error {
		e := sqlerr.New(sqlerr.InvalidFunctionDefinition, "return type mismatch in function declared to return %s", resultText(fn))
		if fn.Columns == nil {
			return e.WithDetail("Actual return type is %s.", t.Base())
		}
		return e.WithDetail("Final statement returns %s instead of %s at column %d.", t.Base(), want[i].Base(), i+1)
	})
	return last, sc.id
}

// CheckFunction binds a function's body, to find out at CREATE what is wrong with it. It fills in what the body uses.
func CheckFunction(env *Env, fn *catalog.Function) (err error) {
	b := newBinder(env)
	defer b.done(&err)
	inner := *env
	inner.calling = append(inner.calling, fn.ID)
	b.env = &inner
	b.bodyQuery(fn)
	fn.DependsOn = inner.Used
	return nil
}

// expandScalar replaces a call by its body.
func (x *exprCtx) expandScalar(e *parser.FuncCall, fn *catalog.Function, args []expr.Expr) expr.Expr {
	if fn.Set || fn.Columns != nil {
		fail(unsupported(e.Pos, "Call it in FROM.", "a SQL function that returns rows is not supported in this place"))
	}
	n, scope := x.expandBody(fn, e.Pos)
	out := inlined(n, scope, args)
	if out == nil {
		x.allowSubquery(e.Pos)
		lifted := make([]expr.Expr, len(args))
		for i, a := range args {
			lifted[i] = x.lift(a, e.Pos)
		}
		q := x.withArgs(fn, firstRow(n), scope, lifted)
		out = &subquery{kind: subScalar, node: q, scope: x.sc.id, ty: fn.Result, pos: e.Pos}
		if fn.Strict {
			return out // withArgs has seen to it
		}
	}
	if fn.Strict && len(args) > 0 {
		return &expr.Case{Whens: []expr.When{{Cond: anyNull(args), Then: expr.Null(fn.Result)}}, Else: out, Ty: fn.Result}
	}
	return out
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

// oneRowOf says that a plan only computes expressions.
func oneRowOf(n plan.Node) bool {
	for {
		switch x := n.(type) {
		case *plan.Project:
			n = x.Input
		case *plan.Values:
			return len(x.Rows) == 1
		default:
			return false
		}
	}
}

// userTable binds a call in FROM of a function that CREATE FUNCTION made; nil if it is none, or one that returns a
// single value.
func (b *binder) userTable(x *parser.FuncRef, ctx *exprCtx, call *parser.FuncCall) *frame {
	fns := b.userFunctions(call.Name)
	if len(fns) == 0 || call.Name.Schema() == "" && inLibrary(call.Name.Last()) {
		return nil
	}
	if !slices.ContainsFunc(fns, func(f *catalog.Function) bool { return f.Set || f.Columns != nil }) {
		return nil
	}
	ctx.onlyCall(call)
	given, names := ctx.givenArgs(call)
	fn, args := ctx.chooseUser(call, fns, given, names)
	if fn == nil {
		ctx.noUserFunction(call)
	}
	if !fn.Set && fn.Columns == nil {
		return nil
	}
	n, scope := b.expandBody(fn, call.Pos)
	if !fn.Set {
		n = firstRow(n)
	}
	n = b.withArgs(fn, n, scope, args)
	cols := make([]plan.Column, len(n.Columns()))
	for i, c := range n.Columns() {
		cols[i] = plan.Column{Name: fn.Name, Type: c.Type}
		if fn.Columns != nil {
			cols[i].Name = fn.Columns[i].Name
		}
	}
	if x.Ordinality {
		fail(unsupported(x.Pos, "Use row_number() over the result.", "WITH ORDINALITY for a SQL function is not supported"))
	}
	return b.nameFunc(named(n, cols), x, fn.Name, fn.Columns == nil)
}

// resultText is the type that errors say a function returns.
func resultText(f *catalog.Function) string {
	switch {
	case f.Rows != "":
		return f.Rows
	case len(f.Columns) > 1:
		return "record"
	case f.Columns != nil:
		return f.Columns[0].Type.String()
	}
	return f.Result.String()
}
