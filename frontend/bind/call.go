package bind

import (
	"slices"
	"strings"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// call binds a function call of any sort.
func (x *exprCtx) call(e *parser.FuncCall) expr.Expr {
	name := e.Name.Last()
	if s := e.Name.Schema(); s != "" && s != "pg_catalog" && !infoSchemaFunc(e.Name) {
		if _, ok := x.env.Catalog.Schemas[s]; !ok && s != "information_schema" {
			fail(sqlerr.New(sqlerr.InvalidSchemaName, "schema %q does not exist", s).At(e.Pos))
		}
		return x.userCall(e, x.userFunctions(e.Name))
	}
	if fns := x.userFunctions(e.Name); fns != nil && !inLibrary(name) {
		return x.userCall(e, fns)
	}
	if e.Over != nil {
		return x.windowCall(e, name)
	}
	if out := x.special(e, name); out != nil {
		return out
	}
	if e.WithinGroup != nil && isHypothetical(name) {
		return x.hypothetical(e, name)
	}
	if isAggregate(name) {
		return x.aggregate(e, name)
	}
	if len(expr.TableFuncsByName(name)) > 0 {
		return x.setReturning(e, name)
	}
	if f := windowFunc(name); f != nil {
		x.bindPureWindow(e, f, &winCall{}) // arguments that do not fit are the first thing to be told
		fail(sqlerr.New(sqlerr.WrongObjectType, "window function %s requires an OVER clause", name).At(e.Pos))
	}
	x.onlyPlain(e, name)
	args, inArray := x.bindVariadic(e)
	if inArray {
		return x.spread(e, name, args)
	}
	if name == "pg_typeof" && len(args) == 1 && args[0].Type().Kind == sqltypes.KUnknown {
		return &expr.Const{Ty: sqltypes.Regtype, Val: int64(sqltypes.Unknown.OID())} // before it is taken for text
	}
	if out := x.overloaded(e, args); out != nil {
		return out
	}
	if out := x.tryFunction(name, e.Pos, args); out != nil {
		return out
	}
	if out := x.castCall(name, args, e.Pos); out != nil {
		return out
	}
	x.noFunction(e, args)
	return nil
}

// infoSchemaFunc says that a name is that of one of the helpers PostgreSQL has in information_schema.
func infoSchemaFunc(n parser.Name) bool {
	return n.Schema() == "information_schema" && strings.HasPrefix(n.Last(), "_pg_")
}

func isAggregate(name string) bool {
	return len(expr.AggByName(name)) > 0
}

// onlyPlain refuses what only aggregates may carry.
func (x *exprCtx) onlyPlain(e *parser.FuncCall, name string) {
	what := ""
	switch {
	case e.Star:
		what = name + "(*) specified"
	case e.Distinct:
		what = "DISTINCT specified"
	case e.WithinGroup != nil:
		what = "WITHIN GROUP specified"
	case e.OrderBy != nil:
		what = "ORDER BY specified"
	case e.Filter != nil:
		what = "FILTER specified"
	default:
		return
	}
	if len(expr.ByName(name)) == 0 || e.WithinGroup != nil {
		x.noFunction(e, append(x.bindArgs(e), x.withinGroup(e)...))
	}
	fail(sqlerr.New(sqlerr.WrongObjectType, "%s, but %s is not an aggregate function", what, name).At(e.Pos))
}

// bindArgs binds the arguments of a call; named ones are put in their places.
func (x *exprCtx) bindArgs(e *parser.FuncCall) []expr.Expr {
	args := make([]expr.Expr, len(e.Args))
	for i, a := range e.Args {
		if a.Name != "" {
			return x.namedArgs(e)
		}
		args[i] = x.bind(a.Value)
	}
	if e.Variadic {
		last := len(args) - 1
		arr, ok := args[last].(*expr.MakeArray)
		if !ok || arr.Nested {
			fail(unsupported(e.Pos, "", "a VARIADIC argument that is not an array constructor is not supported"))
		}
		args = append(args[:last:last], arr.Args...)
	}
	return args
}

// bindVariadic is bindArgs for functions that take VARIADIC with any array; inArray says that the last argument is one, whose
// elements are known only when it is evaluated.
func (x *exprCtx) bindVariadic(e *parser.FuncCall) (args []expr.Expr, inArray bool) {
	if !e.Variadic || e.Args[len(e.Args)-1].Name != "" {
		return x.bindArgs(e), false
	}
	plain := *e
	plain.Variadic = false
	args = x.bindArgs(&plain)
	last := len(args) - 1
	variadic := slices.ContainsFunc(expr.ByName(e.Name.Last()), func(f *expr.Func) bool { return f.Variadic })
	if arr, ok := args[last].(*expr.MakeArray); ok && !arr.Nested && variadic {
		return append(args[:last:last], arr.Args...), false
	}
	return args, true
}

// spread resolves f(…, VARIADIC array).
func (x *exprCtx) spread(e *parser.FuncCall, name string, args []expr.Expr) expr.Expr {
	actual := flatTypes(args)
	last := len(args) - 1
	var cands []candidate
	for _, f := range expr.ByName(name) {
		if !f.Variadic || len(f.Args) != len(args) {
			continue
		}
		s := expr.Spread(f)
		if f.Args[last].Kind == sqltypes.KAny && !isArray(actual[last]) && actual[last].Kind != sqltypes.KUnknown {
			fail(sqlerr.New(sqlerr.DatatypeMismatch, "VARIADIC argument must be an array").At(e.Args[last].Value.At()))
		}
		cands = append(cands, candidate{args: s.Args, of: s})
	}
	c, ambiguous := choose(cands, actual, false)
	switch {
	case ambiguous:
		fail(sqlerr.New(sqlerr.AmbiguousFunction, "function %s(%s) is not unique", name, argList(actual)).At(e.Pos).
			WithHint("Could not choose a best candidate function. You might need to add explicit type casts."))
	case c == nil:
		x.noFunction(e, args)
	}
	return x.newCall(c.of.(*expr.Func), c.args, args, e.Pos)
}

// namedArgs puts named arguments into their places; what a call leaves out in between takes its default.
func (x *exprCtx) namedArgs(e *parser.FuncCall) []expr.Expr {
	params := expr.Params(e.Name.Last())
	args := make([]expr.Expr, len(params))
	fits, last := true, 0
	for i, a := range e.Args {
		at := i
		if a.Name != "" {
			at = slices.IndexFunc(params, func(p expr.NamedParam) bool { return p.Name == a.Name })
		}
		if at < 0 || at >= len(args) || args[at] != nil {
			fits = false
			break
		}
		args[at] = x.bind(a.Value)
		last = max(last, at)
	}
	for i := range min(last, len(args)) {
		if args[i] == nil {
			fits = fits && params[i].Default != ""
			args[i] = &expr.Const{Ty: sqltypes.Unknown, Val: []byte(params[i].Default)}
		}
	}
	if !fits {
		x.noNamedFunction(e)
	}
	return args[:last+1]
}

// noNamedFunction is noFunction for a call with named arguments.
func (x *exprCtx) noNamedFunction(e *parser.FuncCall) {
	list := make([]string, len(e.Args))
	for i, a := range e.Args {
		list[i] = x.bind(a.Value).Type().Base().String()
		if a.Name != "" {
			list[i] = a.Name + " => " + list[i]
		}
	}
	fail(sqlerr.New(sqlerr.UndefinedFunction, "function %s(%s) does not exist", e.Name.String(), strings.Join(list, ", ")).At(e.Pos).
		WithHint("No function matches the given name and argument types. You might need to add explicit type casts."))
}

// function calls a library function that must exist for these arguments.
func (b *binder) function(name string, pos int, args []expr.Expr) expr.Expr {
	if out := b.tryFunction(name, pos, args); out != nil {
		return out
	}
	fail(undefinedFunction(name, args).At(pos))
	return nil
}

// tryFunction resolves a library function; nil when no overload fits.
func (b *binder) tryFunction(name string, pos int, args []expr.Expr) expr.Expr {
	fns := expr.ByName(name)
	if len(fns) == 0 || !isWord(name) {
		return nil
	}
	actual := flatTypes(args)
	if f := exactFunc(fns, actual); f != nil {
		return b.newCall(f, f.Args, args, pos)
	}
	var cands []candidate
	for _, f := range fns {
		if sig, ok := expand(f.Args, f.Optional, f.Variadic, len(args)); ok {
			cands = append(cands, candidate{sig, f.Compatible, f})
		}
	}
	c, ambiguous := choose(cands, actual, false)
	if ambiguous {
		fail(sqlerr.New(sqlerr.AmbiguousFunction, "function %s(%s) is not unique", name, argList(actual)).At(pos).
			WithHint("Could not choose a best candidate function. You might need to add explicit type casts."))
	}
	if c == nil {
		return nil
	}
	return b.newCall(c.of.(*expr.Func), c.args, args, pos)
}

func isWord(name string) bool {
	c := name[0] | 0x20
	return c >= 'a' && c <= 'z' || c == '_' || c >= 0x80
}

// castCall reads type(x) as a cast.
func (x *exprCtx) castCall(name string, args []expr.Expr, pos int) expr.Expr {
	if len(args) != 1 {
		return nil
	}
	to, ok := lookupType(name, true)
	if !ok {
		return nil
	}
	out, ok := x.coerce(args[0], to, explicit, pos)
	if !ok {
		return nil
	}
	return out
}

func undefinedFunction(name string, args []expr.Expr) *sqlerr.Error {
	ts := make([]sqltypes.Type, len(args))
	for i, a := range args {
		ts[i] = a.Type()
	}
	return sqlerr.New(sqlerr.UndefinedFunction, "function %s(%s) does not exist", name, argList(ts)).
		WithHint("No function matches the given name and argument types. You might need to add explicit type casts.")
}

func (x *exprCtx) noFunction(e *parser.FuncCall, args []expr.Expr) {
	fail(undefinedFunction(e.Name.String(), args).At(e.Pos))
}

// special binds the calls that are syntax rather than functions; nil for any other name.
func (x *exprCtx) special(e *parser.FuncCall, name string) expr.Expr {
	if e.Star || e.Distinct || len(e.Args) == 0 {
		return nil
	}
	switch name {
	case "coalesce":
		return x.coalesce(e)
	case "nullif":
		return x.nullIf(e)
	case "greatest", "least":
		return x.extreme(e)
	case "grouping":
		return x.groupingCall(e)
	}
	return nil
}

func (x *exprCtx) argValues(e *parser.FuncCall) []typed {
	out := make([]typed, len(e.Args))
	for i, a := range e.Args {
		out[i] = typed{x.bind(a.Value), leftmost(a.Value)}
	}
	return out
}

func (x *exprCtx) coalesce(e *parser.FuncCall) expr.Expr {
	args, t := x.unify("COALESCE", x.within("COALESCE").argValues(e))
	return &expr.Coalesce{Args: args, Ty: t}
}

func (x *exprCtx) nullIf(e *parser.FuncCall) expr.Expr {
	if len(e.Args) != 2 {
		x.noFunction(e, x.bindArgs(e))
	}
	args := x.bindArgs(e)
	eq := x.operator("=", e.Pos, args[0], args[1])
	left := args[0]
	if c, ok := eq.(*expr.Call); ok { // the result is the operand as the comparison sees it
		left = c.Args[0]
	}
	left = x.plain(left)
	return &expr.Case{Whens: []expr.When{{Cond: eq, Then: expr.Null(left.Type())}}, Else: left, Ty: left.Type()}
}

func (x *exprCtx) extreme(e *parser.FuncCall) expr.Expr {
	name := e.Name.Last()
	args, t := x.unify(strings.ToUpper(name), x.argValues(e))
	if t.Kind == sqltypes.KJSON {
		fail(sqlerr.New(sqlerr.UndefinedFunction, "could not identify a comparison function for type %s", t.Base()))
	}
	out := x.function(name, e.Pos, args)
	if c, ok := out.(*expr.Call); ok && c.Ty == t.Base() {
		return &expr.Call{Sig: c.Sig, Args: c.Args, Ty: t}
	}
	return out
}
