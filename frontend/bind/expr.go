package bind

import (
	"math"
	"slices"
	"strconv"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// exprCtx binds the expressions of one clause.
type exprCtx struct {
	*binder
	sc *scope
	// clause names the place for messages: "WHERE", "JOIN conditions", "GROUP BY", …
	clause string
	// sel collects aggregates, window functions and set-returning functions; nil where none may stand.
	sel        *collector
	inAgg      bool // inside an aggregate's arguments
	inWindow   bool // inside a window function's arguments
	inSpec     bool // inside a window's definition
	inFilter   bool
	noSubquery bool
	// conditional is CASE or COALESCE, around what may not be evaluated at all; sets cannot be there.
	conditional string
}

func (b *binder) ctx(sc *scope, clause string) *exprCtx {
	return &exprCtx{binder: b, sc: sc, clause: clause}
}

// bind binds one expression. The result may still be of type unknown: an untyped literal or parameter.
func (x *exprCtx) bind(e parser.Expr) expr.Expr {
	switch e := e.(type) {
	case *parser.NumberLit:
		return x.number(e.Text, e.Int, e.Pos)
	case *parser.StringLit:
		c := &expr.Const{Ty: sqltypes.Unknown, Val: e.Value}
		x.pos[c] = e.Pos
		return c
	case *parser.BitLit:
		return x.bits(e)
	case *parser.BoolLit:
		return &expr.Const{Ty: sqltypes.Bool, Val: e.Value}
	case *parser.NullLit:
		return expr.Null(sqltypes.Unknown)
	case *parser.DefaultExpr:
		fail(sqlerr.New(sqlerr.SyntaxError, "DEFAULT is not allowed in this context").At(e.Pos))
	case *parser.Param:
		return x.param(e)
	case *parser.ColumnRef:
		return x.column(x.sc, e)
	case *parser.Star:
		if e.Qualifier != nil {
			return x.wholeTable(e)
		}
		fail(sqlerr.New(sqlerr.SyntaxError, "row expansion via \"*\" is not supported here").At(e.Pos))
	case *parser.Unary:
		return x.unary(e)
	case *parser.Binary:
		return x.binary(e)
	case *parser.BoolOp:
		return x.boolOp(e)
	case *parser.Not:
		return &expr.Not{Arg: x.cond(e.X, "NOT")}
	case *parser.IsTest:
		return x.isTest(e)
	case *parser.IsDistinct:
		return x.isDistinct(e)
	case *parser.Between:
		return x.between(e)
	case *parser.In:
		return x.in(e)
	case *parser.Like:
		return x.like(e)
	case *parser.Quantified:
		return x.quantified(e)
	case *parser.AtTimeZone:
		return x.atTimeZone(e)
	case *parser.Collate:
		return x.collate(e)
	case *parser.Cast:
		return x.cast(e)
	case *parser.Subscript:
		return x.subscript(e)
	case *parser.FieldSelect:
		return x.fieldSelect(e)
	case *parser.Case:
		return x.caseExpr(e)
	case *parser.ArrayLit:
		return x.array(e, sqltypes.Unknown)
	case *parser.MapLit:
		return x.mapLit(e, sqltypes.Unknown)
	case *parser.Row:
		return x.row(e)
	case *parser.Subquery:
		return x.subqueryExpr(e)
	case *parser.SQLValue:
		return x.sqlValue(e)
	case *parser.FuncCall:
		return x.call(e)
	}
	fail(unsupported(e.At(), "", "this expression is not supported here"))
	return nil
}

// value binds e and settles its type: text if nothing says otherwise.
func (x *exprCtx) value(e parser.Expr) expr.Expr { return x.resolved(x.bind(e)) }

// cond binds a condition; what is for the message.
func (x *exprCtx) cond(e parser.Expr, what string) expr.Expr {
	return x.toBool(x.bind(e), what, leftmost(e))
}

func (x *exprCtx) bindAll(es []parser.Expr) []typed {
	out := make([]typed, len(es))
	for i, e := range es {
		out[i] = typed{x.bind(e), leftmost(e)}
	}
	return out
}

// bindFields is bindAll for the fields of a row, where t.* stands for all columns.
func (x *exprCtx) bindFields(es []parser.Expr) []typed {
	var out []typed
	for _, e := range es {
		if s, ok := e.(*parser.Star); ok {
			for _, c := range x.expandStar(s) {
				out = append(out, typed{c.e, s.Pos})
			}
			continue
		}
		out = append(out, typed{x.bind(e), leftmost(e)})
	}
	return out
}

func (b *binder) number(text string, integer bool, pos int) expr.Expr {
	if integer {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			if n >= math.MinInt32 && n <= math.MaxInt32 {
				return &expr.Const{Ty: sqltypes.Int4, Val: n}
			}
			return &expr.Const{Ty: sqltypes.Int8, Val: n}
		}
	}
	d, err := numeric.Parse(text)
	if err != nil {
		failAt(err, pos)
	}
	return &expr.Const{Ty: sqltypes.Numeric, Val: d}
}

func (x *exprCtx) bits(e *parser.BitLit) expr.Expr {
	text := e.Digits
	if e.Hex {
		text = "x" + text
	}
	d, err := sqlio.ParseText(sqltypes.Bit, text, nil)
	if err != nil {
		failAt(err, e.Pos)
	}
	return &expr.Const{Ty: sqltypes.Bit, Val: d}
}

func (x *exprCtx) param(e *parser.Param) expr.Expr {
	if out := x.funcParam(e); out != nil {
		return out
	}
	if x.env.Streaming {
		fail(unsupported(e.Pos, "Write the value itself into the statement.", "parameters are not allowed in the definition of a view or sink"))
	}
	if e.N < 1 || e.N > 65535 || x.env.Args != nil && e.N > len(x.env.Args.Args) {
		fail(sqlerr.New(sqlerr.UndefinedParameter, "there is no parameter $%d", e.N).At(e.Pos))
	}
	return x.parameter(e.N)
}

// parameter is the node of $n.
func (b *binder) parameter(n int) expr.Expr {
	p, ok := b.params[n]
	if !ok {
		p = &expr.Param{Index: n, Ty: sqltypes.Unknown}
		if n <= len(b.env.Params) {
			p.Ty = b.env.Params[n-1].Base()
		}
		b.params[n] = p
	}
	return p
}

// argument is the parameter of the function around the statement that a name means: p, f.p, p.field or f.p.field; nil if it means none.
func (b *binder) argument(parts []string, pos int) expr.Expr {
	fn := b.env.Args
	if fn == nil || len(parts) == 0 {
		return nil
	}
	find := func(parts []string) expr.Expr {
		i := slices.Index(fn.ArgNames, parts[0])
		if i < 0 || len(parts) > 2 {
			return nil
		}
		if e := b.parameter(i + 1); len(parts) == 1 {
			return e
		} else {
			return b.field(e, parts[1], pos)
		}
	}
	if len(parts) > 1 && parts[0] == fn.Name {
		if e := find(parts[1:]); e != nil {
			return e
		}
	}
	return find(parts)
}

func (x *exprCtx) unary(e *parser.Unary) expr.Expr {
	if n, negative := signedNumber(e); n != nil {
		text := n.Text
		if negative {
			text = "-" + text
		}
		return x.number(text, n.Int, e.Pos)
	}
	return x.operator(e.Op, e.Pos, x.bind(e.X))
}

// signedNumber takes minus signs in front of a number for part of it: -9223372036854775808 is a bigint. It is nil for
// anything else.
func signedNumber(e *parser.Unary) (n *parser.NumberLit, negative bool) {
	for {
		if e.Op != "-" || e.Schema != nil {
			return nil, false
		}
		negative = !negative
		switch x := e.X.(type) {
		case *parser.NumberLit:
			return x, negative
		case *parser.Unary:
			e = x
		default:
			return nil, false
		}
	}
}

func (x *exprCtx) binary(e *parser.Binary) expr.Expr {
	l, lok := e.L.(*parser.Row)
	r, rok := e.R.(*parser.Row)
	if lok && rok {
		return x.compareRows(e.Op, x.bindFields(l.Elems), x.bindFields(r.Elems), e.Pos)
	}
	if lok {
		if q, ok := e.R.(*parser.Subquery); ok && q.Kind == parser.Scalar {
			return x.rowSubquery(e, l, q)
		}
	}
	return x.operator(e.Op, e.Pos, x.bind(e.L), x.bind(e.R))
}

func (x *exprCtx) boolOp(e *parser.BoolOp) expr.Expr {
	what := "AND"
	if e.Kind == parser.Or {
		what = "OR"
	}
	args := make([]expr.Expr, len(e.Args))
	for i, a := range e.Args {
		args[i] = x.cond(a, what)
	}
	return &expr.BoolOp{Or: e.Kind == parser.Or, Args: args}
}

func (x *exprCtx) isTest(e *parser.IsTest) expr.Expr {
	negate := func(y expr.Expr) expr.Expr {
		if e.Not {
			return &expr.Not{Arg: y}
		}
		return y
	}
	fallback := func(what string, dflt bool) expr.Expr {
		c := x.cond(e.X, what)
		return &expr.Coalesce{Args: []expr.Expr{c, &expr.Const{Ty: sqltypes.Bool, Val: dflt}}, Ty: sqltypes.Bool}
	}
	switch e.Kind {
	case parser.IsNull:
		return &expr.IsNull{Arg: x.bind(e.X), Negate: e.Not}
	case parser.IsTrue:
		return negate(fallback("IS TRUE", false))
	case parser.IsFalse:
		return negate(&expr.Not{Arg: fallback("IS FALSE", true)})
	case parser.IsUnknown:
		return &expr.IsNull{Arg: x.cond(e.X, "IS UNKNOWN"), Negate: e.Not}
	case parser.IsNormalized:
		args := []expr.Expr{x.bind(e.X)}
		if e.Detail != "" {
			args = append(args, &expr.Const{Ty: sqltypes.Text, Val: e.Detail})
		}
		return negate(x.function("is_normalized", e.Pos, args))
	}
	fail(unsupported(e.Pos, "", "IS JSON is not supported"))
	return nil
}

func (x *exprCtx) isDistinct(e *parser.IsDistinct) expr.Expr {
	var out expr.Expr
	l, r := x.bind(e.L), x.bind(e.R)
	switch {
	case isNullConst(r) && isUnknown(r):
		out = &expr.IsNull{Arg: l, Negate: true}
	case isNullConst(l) && isUnknown(l):
		out = &expr.IsNull{Arg: r, Negate: true}
	default:
		out = x.distinct(e.Pos, l, r)
	}
	if e.Not {
		if n, ok := out.(*expr.IsNull); ok {
			return &expr.IsNull{Arg: n.Arg}
		}
		return &expr.Not{Arg: out}
	}
	return out
}

// distinct is IS DISTINCT FROM: what the = operator says, NULL counting as a value.
func (x *exprCtx) distinct(pos int, l, r expr.Expr) expr.Expr {
	if eq, ok := x.operator("=", pos, l, r).(*expr.Call); ok && len(eq.Args) == 2 {
		l, r = eq.Args[0], eq.Args[1]
	}
	return x.resolve("isdistinct", "=", pos, []expr.Expr{l, r})
}

func isNullConst(e expr.Expr) bool {
	c, ok := e.(*expr.Const)
	return ok && c.Val == nil
}

func (x *exprCtx) between(e *parser.Between) expr.Expr {
	in := func(lo, hi parser.Expr) expr.Expr {
		return &expr.BoolOp{Args: []expr.Expr{
			x.operator(">=", e.Pos, x.bind(e.X), x.bind(lo)),
			x.operator("<=", e.Pos, x.bind(e.X), x.bind(hi)),
		}}
	}
	out := in(e.Lo, e.Hi)
	if e.Symmetric {
		out = &expr.BoolOp{Or: true, Args: []expr.Expr{out, in(e.Hi, e.Lo)}}
	}
	if e.Not {
		return &expr.Not{Arg: out}
	}
	return out
}

func (x *exprCtx) like(e *parser.Like) expr.Expr {
	pattern := x.bind(e.Pattern)
	if e.Kind == parser.SimilarTo {
		args := []expr.Expr{pattern}
		if e.Escape != nil {
			args = append(args, x.bind(e.Escape))
		}
		op := "~"
		if e.Not {
			op = "!~"
		}
		return x.operator(op, e.Pos, x.bind(e.X), x.function("similar_to_escape", e.Pos, args))
	}
	if e.Escape != nil {
		pattern = x.function("like_escape", e.Pos, []expr.Expr{pattern, x.bind(e.Escape)})
	}
	op := "~~"
	if e.Kind == parser.ILikeOp {
		op += "*"
	}
	if e.Not {
		op = "!" + op
	}
	return x.operator(op, e.Pos, x.bind(e.X), pattern)
}

func (x *exprCtx) atTimeZone(e *parser.AtTimeZone) expr.Expr {
	if e.Zone == nil {
		fail(unsupported(e.Pos, "Write AT TIME ZONE and the zone.", "AT LOCAL is not supported"))
	}
	return x.function("timezone", e.Pos, []expr.Expr{x.bind(e.Zone), x.bind(e.X)})
}

func (x *exprCtx) collate(e *parser.Collate) expr.Expr {
	switch name := e.Collation.Last(); name {
	case "C", "POSIX", "default", "ucs_basic":
	default:
		fail(sqlerr.New(sqlerr.UndefinedObject, "collation %q for encoding \"UTF8\" does not exist", name).At(e.Pos))
	}
	out := x.value(e.X)
	if t := out.Type(); t.Category() != sqltypes.CatString && t.Kind != sqltypes.KChar {
		fail(sqlerr.New(sqlerr.DatatypeMismatch, "collations are not supported by type %s", t.Base()).At(e.Pos))
	}
	return out
}

func (x *exprCtx) cast(e *parser.Cast) expr.Expr {
	to := x.typeOf(e.Type)
	if a, ok := e.X.(*parser.ArrayLit); ok && to.Kind == sqltypes.KArray {
		return x.mustCoerce(x.array(a, to.ElemType()), to, explicit, e.Pos)
	}
	if m, ok := e.X.(*parser.MapLit); ok {
		return x.mustCoerce(x.mapLit(m, to), to, explicit, e.Pos)
	}
	pos := e.X.At()
	arg := x.bind(e.X)
	out, ok := x.coerce(arg, to, explicit, pos)
	if !ok {
		fail(sqlerr.New(sqlerr.CannotCoerce, "cannot cast type %s to %s", arg.Type().Base(), to.Base()).At(e.Pos))
	}
	return out
}

func (x *exprCtx) subscript(e *parser.Subscript) expr.Expr {
	return x.subscripted(x.bind(e.X), e)
}

func (x *exprCtx) subscripted(base expr.Expr, e *parser.Subscript) expr.Expr {
	switch base.Type().Kind {
	case sqltypes.KJSONB:
		return x.jsonSubscript(base, e)
	case sqltypes.KMap:
		return x.mapSubscript(base, e)
	}
	if !isArray(base.Type()) {
		fail(sqlerr.New(sqlerr.DatatypeMismatch, "cannot subscript type %s because it does not support subscripting", base.Type().Base()).At(leftmost(e.X)))
	}
	slice := false
	for _, it := range e.Items {
		slice = slice || it.Slice
	}
	args := []expr.Expr{base}
	name := "array_subscript"
	if slice {
		name = "array_slice"
	}
	bound := func(s parser.Expr, none int64) expr.Expr {
		if s == nil {
			return &expr.Const{Ty: sqltypes.Int4, Val: none}
		}
		out, ok := x.coerce(x.bind(s), sqltypes.Int4, assignment, s.At())
		if !ok {
			fail(sqlerr.New(sqlerr.DatatypeMismatch, "array subscript must have type integer").At(s.At()))
		}
		return out
	}
	for _, it := range e.Items {
		if slice {
			lower := bound(it.Lower, math.MinInt32)
			if !it.Slice {
				lower = &expr.Const{Ty: sqltypes.Int4, Val: int64(1)}
			}
			args = append(args, lower, bound(it.Upper, math.MaxInt32))
			continue
		}
		args = append(args, bound(it.Upper, 0))
	}
	return x.function(name, e.Pos, args)
}

func (x *exprCtx) jsonSubscript(base expr.Expr, e *parser.Subscript) expr.Expr {
	for _, it := range e.Items {
		if it.Slice {
			fail(sqlerr.New(sqlerr.DatatypeMismatch, "jsonb subscript does not support slices").At(it.Pos))
		}
		base = x.operator("->", e.Pos, base, x.bind(it.Upper))
	}
	return base
}

func (x *exprCtx) fieldSelect(e *parser.FieldSelect) expr.Expr {
	base := x.bind(e.X)
	if f := x.field(base, e.Field, e.Pos); f != nil {
		return f
	}
	if ref, ok := e.X.(*parser.ColumnRef); ok && len(ref.Parts) == 1 && base.Type().Kind == sqltypes.KRecord {
		fail(sqlerr.New(sqlerr.UndefinedColumn, "column %s.%s does not exist", ref.Parts[0], e.Field).At(ref.Pos))
	}
	if base.Type().Kind != sqltypes.KRecord {
		fail(sqlerr.New(sqlerr.WrongObjectType, "column notation .%s applied to type %s, which is not a composite type", e.Field, base.Type().Base()).At(leftmost(e.X)))
	}
	if t := base.Type(); t.IsNamed() {
		fail(sqlerr.New(sqlerr.UndefinedColumn, "column %q not found in data type %s", e.Field, t.Base()).At(leftmost(e.X)))
	}
	fail(sqlerr.New(sqlerr.UndefinedColumn, "could not identify column %q in record data type", e.Field).At(leftmost(e.X)))
	return nil
}

func (x *exprCtx) caseExpr(e *parser.Case) expr.Expr {
	x = x.within("CASE")
	results := make([]typed, 0, len(e.Whens)+1)
	out := &expr.Case{Whens: make([]expr.When, len(e.Whens))}
	var operand expr.Expr
	if e.Operand != nil {
		operand = x.value(e.Operand)
	}
	for i, w := range e.Whens {
		if operand != nil {
			out.Whens[i].Cond = x.toBool(x.operator("=", w.Pos, operand, x.bind(w.Cond)), "CASE/WHEN", w.Cond.At())
		} else {
			out.Whens[i].Cond = x.cond(w.Cond, "CASE/WHEN")
		}
		results = append(results, typed{x.bind(w.Result), leftmost(w.Result)})
	}
	// PostgreSQL lets ELSE speak first.
	order := results
	if e.Else != nil {
		order = append([]typed{{x.bind(e.Else), leftmost(e.Else)}}, results...)
	}
	t := x.commonType("CASE", order)
	if e.Else == nil {
		t = t.Underlying() // the NULL of ELSE is of no domain
	}
	vals := make([]expr.Expr, len(order))
	for i, r := range order {
		what := "CASE/WHEN"
		if i == 0 && e.Else != nil {
			what = "CASE/ELSE"
		}
		vals[i] = x.toCommon(what, r, t)
	}
	if out.Ty = t.Base(); e.Else != nil {
		out.Ty, out.Else, vals = t, vals[0], vals[1:]
	}
	for i := range out.Whens {
		out.Whens[i].Then = vals[i]
	}
	return out
}

// within is x for the arguments of a conditional expression.
func (x *exprCtx) within(what string) *exprCtx {
	c := *x
	c.conditional = what
	return &c
}

func (x *exprCtx) array(e *parser.ArrayLit, elem sqltypes.Type) expr.Expr {
	if len(e.Elems) == 0 {
		if elem.Kind == sqltypes.KUnknown {
			fail(sqlerr.New(sqlerr.IndeterminateDatatype, "cannot determine type of empty array").At(e.Pos).
				WithHint("Explicitly cast to the desired type, for example ARRAY[]::integer[]."))
		}
		return &expr.MakeArray{Ty: sqltypes.ArrayOf(elem)}
	}
	elems := make([]typed, len(e.Elems))
	nested := false
	for i, c := range e.Elems {
		if a, ok := c.(*parser.ArrayLit); ok {
			elems[i] = typed{x.array(a, elem), c.At()}
		} else {
			elems[i] = typed{x.bind(c), leftmost(c)}
		}
		nested = nested || isArray(elems[i].e.Type()) && !elems[i].e.Type().IsDomain()
	}
	var vals []expr.Expr
	var t sqltypes.Type
	if elem.Kind != sqltypes.KUnknown && !nested {
		t = elem
		for _, v := range elems {
			vals = append(vals, x.mustCoerce(v.e, elem, explicit, v.pos))
		}
	} else {
		vals, t = x.unify("ARRAY", elems)
		nested = isArray(t) && !t.IsDomain()
	}
	if nested {
		return &expr.MakeArray{Args: vals, Ty: t.Base(), Nested: true}
	}
	if sqltypes.ArrayOf(t).OID() == 0 {
		fail(sqlerr.New(sqlerr.UndefinedObject, "could not find array type for data type %s", t.Base()).At(e.Pos))
	}
	return &expr.MakeArray{Args: vals, Ty: sqltypes.ArrayOf(t)}
}

func (x *exprCtx) row(e *parser.Row) expr.Expr {
	out := &expr.MakeRow{}
	var row []sqltypes.RowField
	add := func(v expr.Expr) {
		out.Args = append(out.Args, v)
		row = append(row, sqltypes.RowField{Name: "f" + strconv.Itoa(len(out.Args)), Type: v.Type()})
	}
	for _, el := range e.Elems {
		if s, ok := el.(*parser.Star); ok {
			for _, c := range x.expandStar(s) {
				add(c.e)
			}
			continue
		}
		v := x.bind(el)
		if p, ok := v.(*expr.Param); ok && isUnknown(v) { // only what the row becomes can say what it is
			r := &expr.Param{Index: p.Index, Ty: sqltypes.Text}
			x.untyped[r] = v
			x.inRows = true
			add(r)
			continue
		}
		r := x.resolved(v)
		if isUnknown(v) {
			x.untyped[r] = v
		}
		add(r)
	}
	out.Ty = sqltypes.StructOf(row)
	return out
}

// sqlValue binds CURRENT_DATE and its kin. They are casts of now(), so that there is one clock.
func (x *exprCtx) sqlValue(e *parser.SQLValue) expr.Expr {
	precise := func(t sqltypes.Type) sqltypes.Type {
		if e.Precision >= 0 {
			return t.WithTypmod(int32(min(e.Precision, 6)))
		}
		return t
	}
	now := func(t sqltypes.Type) expr.Expr {
		return x.mustCoerce(x.function("now", e.Pos, nil), t, explicit, e.Pos)
	}
	switch e.Name {
	case "current_timestamp":
		return now(precise(sqltypes.Timestamptz))
	case "localtimestamp":
		return now(precise(sqltypes.Timestamp))
	case "current_date":
		return now(sqltypes.Date)
	case "current_time":
		return now(precise(sqltypes.Timetz))
	case "localtime":
		return now(precise(sqltypes.Time))
	case "user", "current_role":
		return x.function("current_user", e.Pos, nil)
	case "current_catalog":
		return x.function("current_database", e.Pos, nil)
	}
	return x.function(e.Name, e.Pos, nil)
}
