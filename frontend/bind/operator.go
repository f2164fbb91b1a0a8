package bind

import (
	"strings"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// operator resolves an operator over bound operands (one: prefix).
func (b *binder) operator(op string, pos int, args ...expr.Expr) expr.Expr {
	if op == "!=" {
		op = "<>"
	}
	if len(args) == 2 {
		l, lok := args[0].(*expr.MakeRow)
		r, rok := args[1].(*expr.MakeRow)
		if lok && rok && isComparison(op) && !l.Ty.IsNamed() && !r.Ty.IsNamed() {
			return b.compareRows(op, untypedPositions(l.Args, pos), untypedPositions(r.Args, pos), pos)
		}
	}
	out := b.resolve(op, op, pos, args)
	if c, ok := out.(*expr.Call); ok && len(c.Args) == 2 && c.Args[0].Type().Elem == sqltypes.KJSON {
		refuseJSONElements(op)
	}
	return out
}

// refuseJSONElements refuses operators that compare elements of json arrays.
func refuseJSONElements(op string) {
	switch op {
	case "=", "<>", "@>", "<@", "&&":
		fail(sqlerr.New(sqlerr.UndefinedFunction, "could not identify an equality operator for type json"))
	case "<", "<=", ">", ">=":
		fail(sqlerr.New(sqlerr.UndefinedFunction, "could not identify a comparison function for type json"))
	}
}

func untypedPositions(es []expr.Expr, pos int) []typed {
	out := make([]typed, len(es))
	for i, e := range es {
		out[i] = typed{e, pos}
	}
	return out
}

func isComparison(op string) bool {
	switch op {
	case "=", "<>", "<", "<=", ">", ">=":
		return true
	}
	return false
}

// resolve finds the overload of library entry name for args; op is how messages call it.
func (b *binder) resolve(name, op string, pos int, args []expr.Expr) expr.Expr {
	fns := expr.ByName(name)
	actual := flatTypes(args)
	if f := exactFunc(fns, actual); f != nil {
		return b.newCall(f, f.Args, args, pos)
	}
	cands := make([]candidate, 0, len(fns))
	for _, f := range fns {
		if len(f.Args) == len(args) {
			cands = append(cands, candidate{f.Args, f.Compatible, f})
		}
	}
	c, ambiguous := choose(cands, actual, true)
	if c != nil {
		return b.newCall(c.of.(*expr.Func), c.args, args, pos)
	}
	var form, plural string
	for i, a := range args {
		actual[i] = a.Type().Base()
	}
	if len(args) == 1 {
		form = op + " " + actual[0].String()
	} else {
		form, plural = actual[0].String()+" "+op+" "+actual[1].String(), "s"
	}
	if ambiguous {
		fail(sqlerr.New(sqlerr.AmbiguousFunction, "operator is not unique: %s", form).At(pos).
			WithHint("Could not choose a best candidate operator. You might need to add explicit type casts."))
	}
	hint := "No operator matches the given name and argument types. You might need to add explicit type casts."
	if plural == "" {
		hint = "No operator matches the given name and argument type. You might need to add an explicit type cast."
	}
	fail(sqlerr.New(sqlerr.UndefinedFunction, "operator does not exist: %s", form).At(pos).WithHint("%s", hint))
	return nil
}

// exactFunc finds an overload whose arguments are exactly actual, the common case, without allocating.
func exactFunc(fns []*expr.Func, actual []sqltypes.Type) *expr.Func {
next:
	for _, f := range fns {
		if len(f.Args) != len(actual) || f.Variadic {
			continue
		}
		for k, t := range f.Args {
			if t != actual[k] || t.Kind == sqltypes.KUnknown {
				continue next
			}
		}
		return f
	}
	return nil
}

// newCall coerces args to the declared types and builds the call.
func (b *binder) newCall(f *expr.Func, declared []sqltypes.Type, args []expr.Expr, pos int) expr.Expr {
	out := b.coerceArgs(declared, f.Compatible, args, pos)
	c := expr.NewCall(f, out...)
	c.Ty = c.Ty.Base()
	if strings.HasSuffix(f.Name, "_populate_record") && c.Ty.MadeOfDomains() {
		return b.tested(b.foldSession(c, f))
	}
	return b.foldSession(c, f)
}

// coerceArgs converts arguments to what an overload declares, with anyelement and its kin filled in.
func (b *binder) coerceArgs(declared []sqltypes.Type, compatible bool, args []expr.Expr, pos int) []expr.Expr {
	actual := make([]sqltypes.Type, len(args))
	for i, a := range args {
		actual[i] = a.Type()
	}
	elem, ok := polymorphic(declared, actual, compatible)
	if !ok {
		actual = flatTypes(args)
		elem, _ = polymorphic(declared, actual, compatible)
	}
	if elem.Kind == sqltypes.KUnknown && compatible {
		elem = sqltypes.Text
	}
	out := make([]expr.Expr, len(args))
	for i, a := range args {
		t := declared[i]
		switch t.Kind {
		case sqltypes.KAnyElement, sqltypes.KAnyNonArray, sqltypes.KAnyEnum, sqltypes.KAnyMap:
			t = elem
		case sqltypes.KAnyArray:
			a = b.plain(a)
			if !isUnknown(a) && (!compatible || elemType(a.Type()) == elem) {
				out[i] = a
				continue
			}
			t = sqltypes.ArrayOf(elem)
		case sqltypes.KAny:
			if i == 0 || declared[0].Kind != sqltypes.KAnyMap {
				if out[i] = a; !isParam(a) {
					out[i] = b.resolved(a)
				}
				continue
			}
			// A key, or a value, of the map.
			k, v := actual[0].KeyValue()
			if t = k; i == 2 {
				t = v
			}
			out[i] = b.mustCoerce(a, t, explicit, pos)
			continue
		case sqltypes.KRecord:
			if !isUnknown(a) {
				out[i] = a
				continue
			}
		}
		if elem.Kind == sqltypes.KUnknown && t != declared[i] {
			fail(sqlerr.New(sqlerr.DatatypeMismatch, "could not determine polymorphic type because input has type unknown"))
		}
		out[i] = b.mustCoerce(a, t, implicit, pos)
	}
	return out
}

// foldSession evaluates what a view's meaning may not depend on later: functions of the session, such as current_user.
func (b *binder) foldSession(c *expr.Call, f *expr.Func) expr.Expr {
	if !b.env.Streaming || f.Volatility != expr.Stable || b.env.Session == nil || dependsOnClock(f.Name) {
		return c
	}
	for _, a := range c.Args {
		if _, ok := a.(*expr.Const); !ok {
			return c
		}
	}
	v, err := expr.EvalConst(&b.eval, c)
	if err != nil {
		return c
	}
	return &expr.Const{Ty: c.Ty, Val: v}
}

// dependsOnClock says that a stable function moves with time rather than with the session.
func dependsOnClock(name string) bool {
	switch name {
	case "now", "current_timestamp", "transaction_timestamp", "statement_timestamp", "clock_timestamp", "proctime",
		"current_date", "current_time", "localtime", "localtimestamp", "age", "timeofday":
		return true
	}
	return false
}

// compareRows compares rows field by field.
func (b *binder) compareRows(op string, l, r []typed, pos int) expr.Expr {
	if len(l) != len(r) {
		fail(sqlerr.New(sqlerr.SyntaxError, "unequal number of entries in row expressions").At(pos))
	}
	if len(l) == 0 {
		fail(sqlerr.New(sqlerr.FeatureNotSupported, "cannot compare rows of zero length").At(pos))
	}
	each := func(op string) []expr.Expr {
		out := make([]expr.Expr, len(l))
		for i := range l {
			out[i] = b.operator(op, pos, l[i].e, r[i].e)
		}
		return out
	}
	switch op {
	case "=", "<>":
		args := each(op)
		if len(args) == 1 {
			return args[0]
		}
		return &expr.BoolOp{Or: op == "<>", Args: args}
	case "<", "<=", ">", ">=":
		// (a, b) < (c, d) is a < c OR a = c AND b < d.
		strict := op[:1]
		last := len(l) - 1
		out := b.operator(op, pos, l[last].e, r[last].e)
		for i := last - 1; i >= 0; i-- {
			out = &expr.BoolOp{Or: true, Args: []expr.Expr{
				b.operator(strict, pos, l[i].e, r[i].e),
				&expr.BoolOp{Args: []expr.Expr{b.operator("=", pos, l[i].e, r[i].e), out}},
			}}
		}
		return out
	}
	fail(sqlerr.New(sqlerr.FeatureNotSupported, "could not determine interpretation of row comparison operator %s", op).At(pos).
		WithHint("Row comparison operators must be associated with btree operator families."))
	return nil
}

// in binds x IN (list) and x IN (query).
func (x *exprCtx) in(e *parser.In) expr.Expr {
	if e.Query != nil {
		return x.quantifiedQuery(e.X, "=", e.Query, e.Not, e.Pos)
	}
	if r, ok := e.X.(*parser.Row); ok {
		return x.rowIn(e, r)
	}
	left := typed{x.bind(e.X), leftmost(e.X)}
	list := x.bindAll(e.List)
	if out := x.inList(left, list, e.Not); out != nil {
		return out
	}
	// No common type: PostgreSQL compares with each element by itself.
	alts := make([]expr.Expr, len(list))
	for i, v := range list {
		op := "="
		if e.Not {
			op = "<>"
		}
		alts[i] = x.operator(op, e.Pos, left.e, v.e)
	}
	if len(alts) == 1 {
		return alts[0]
	}
	return &expr.BoolOp{Or: !e.Not, Args: alts}
}

// inList makes an InList when the list is constant and of one type with the operand.
func (x *exprCtx) inList(left typed, list []typed, not bool) expr.Expr {
	for _, v := range list {
		if _, ok := v.e.(*expr.Const); !ok {
			return nil
		}
	}
	t, err := commonTypeOf("IN", append([]typed{left}, list...))
	if err != nil || t.Kind == sqltypes.KRecord {
		return nil
	}
	out := &expr.InList{Negate: not}
	arg, ok := x.coerce(left.e, t, implicit, left.pos)
	if !ok {
		return nil
	}
	if t.Kind == sqltypes.KVarchar || t.Kind == sqltypes.KName { // compared as text, like the = operator does
		t = sqltypes.Text
		arg = x.mustCoerce(arg, t, implicit, left.pos)
	}
	if exactFunc(expr.ByName("="), []sqltypes.Type{t.Base(), t.Base()}) == nil {
		return nil
	}
	out.Arg = arg
	for _, v := range list {
		c, ok := x.coerce(v.e, t.Base(), implicit, v.pos)
		if !ok {
			return nil
		}
		k, ok := c.(*expr.Const)
		if !ok {
			return nil
		}
		if k.Val == nil {
			out.HasNull = true
			continue
		}
		out.Vals = append(out.Vals, k.Val)
	}
	if len(out.Vals) == 1 && !out.HasNull && !not {
		return x.operator("=", left.pos, out.Arg, &expr.Const{Ty: t.Base(), Val: out.Vals[0]})
	}
	return out
}

func (x *exprCtx) rowIn(e *parser.In, left *parser.Row) expr.Expr {
	alts := make([]expr.Expr, len(e.List))
	for i, v := range e.List {
		r, ok := v.(*parser.Row)
		if !ok {
			fail(sqlerr.New(sqlerr.SyntaxError, "unequal number of entries in row expressions").At(v.At()))
		}
		alts[i] = x.compareRows("=", x.bindFields(left.Elems), x.bindFields(r.Elems), e.Pos)
	}
	var out expr.Expr = &expr.BoolOp{Or: true, Args: alts}
	if len(alts) == 1 {
		out = alts[0]
	}
	if e.Not {
		return &expr.Not{Arg: out}
	}
	return out
}

// quantified binds x op ANY|ALL (array or query).
func (x *exprCtx) quantified(e *parser.Quantified) expr.Expr {
	if e.Query != nil {
		if e.All {
			return x.allQuery(e.X, e.Op, e.Query, e.Pos)
		}
		return x.quantifiedQuery(e.X, e.Op, e.Query, false, e.Pos)
	}
	left, arr := x.bind(e.X), x.bind(e.Array)
	elem := sqltypes.Unknown
	var right expr.Expr = expr.Null(sqltypes.Unknown)
	if !isUnknown(arr) {
		if arr.Type().Kind != sqltypes.KArray {
			fail(sqlerr.New(sqlerr.WrongObjectType, "op ANY/ALL (array) requires array on right side").At(e.Pos))
		}
		elem = arr.Type().ElemType()
		right = &expr.Col{Ty: elem}
	}
	call, ok := x.operator(e.Op, e.Pos, left, right).(*expr.Call)
	if !ok || call.Ty.Kind != sqltypes.KBool {
		fail(sqlerr.New(sqlerr.WrongObjectType, "op ANY/ALL (array) requires operator to yield boolean").At(e.Pos))
	}
	if t := call.Args[1].Type().Base(); t.Kind == sqltypes.KArray {
		fail(sqlerr.New(sqlerr.UndefinedObject, "could not find array type for data type %s", t).At(e.Pos))
	}
	want := call.Args[1].Type().Base()
	if want != elem {
		arr = x.mustCoerce(arr, sqltypes.ArrayOf(want), implicit, e.Array.At())
	}
	if out := x.anyConst(e, call, arr); out != nil {
		return out
	}
	return &expr.AnyAll{Sig: call.Sig, Left: call.Args[0], Array: arr, All: e.All}
}

// anyConst turns x = ANY ('{…}') over a constant array into an InList.
func (x *exprCtx) anyConst(e *parser.Quantified, call *expr.Call, arr expr.Expr) expr.Expr {
	k, ok := arr.(*expr.Const)
	if !ok || k.Val == nil || e.Op != "=" || e.All || call.Args[0].Type().Base() != arr.Type().ElemType() {
		return nil
	}
	image, ok := k.Val.([]byte)
	if !ok {
		return nil
	}
	r, err := sqlio.ReadArray(k.Ty, image)
	if err != nil {
		return nil
	}
	out := &expr.InList{Arg: call.Args[0]}
	for _, v := range r.Elems() {
		if v == nil {
			out.HasNull = true
			continue
		}
		if raw, ok := v.([]byte); ok {
			v = append([]byte(nil), raw...)
		}
		out.Vals = append(out.Vals, v)
	}
	return out
}
