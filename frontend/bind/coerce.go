package bind

import (
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// level says how hard a conversion is asked for, as pg_cast.castcontext does. A cast that is allowed at one
// level is allowed at the following ones.
type level uint8

const (
	implicit   level = iota // in any expression
	assignment              // into a column
	explicit                // by CAST or ::
	impossible
)

// unknownText returns the text of an untyped literal; ok is false for anything else. null: it is NULL.
func unknownText(e expr.Expr) (text string, null, ok bool) {
	c, isConst := e.(*expr.Const)
	if !isConst || c.Ty.Kind != sqltypes.KUnknown {
		return "", false, false
	}
	switch v := c.Val.(type) {
	case nil:
		return "", true, true
	case string:
		return v, false, true
	case []byte:
		return string(v), false, true
	}
	return "", false, false
}

func isUnknown(e expr.Expr) bool { return e.Type().Kind == sqltypes.KUnknown }

// canCoerce reports whether a value of type from may become to at the level.
func canCoerce(from, to sqltypes.Type, at level) bool {
	from, to = from.Base(), to.Base()
	switch {
	case from == to || from.Kind == sqltypes.KUnknown || to.Kind == sqltypes.KAny:
		return true
	case to.Kind == sqltypes.KAnyElement, to.Kind == sqltypes.KAnyCompatible:
		return !from.IsPseudo()
	case to.Kind == sqltypes.KAnyArray, to.Kind == sqltypes.KAnyCompatibleArray:
		return isArray(from)
	case to.Kind == sqltypes.KAnyNonArray, to.Kind == sqltypes.KAnyCompatibleNonArray:
		return !isArray(from)
	case to.Kind == sqltypes.KAnyEnum:
		return from.Kind == sqltypes.KEnum
	case to.Kind == sqltypes.KAnyMap:
		return from.Kind == sqltypes.KMap
	}
	return castLevel(from, to) <= at
}

func isArray(t sqltypes.Type) bool {
	return t.Kind == sqltypes.KArray || t.Kind == sqltypes.KInt2Vector || t.Kind == sqltypes.KOidVector
}

// coerce converts e to type to, modifier included, or says false when that is not allowed at the level.
// Untyped literals are read as PostgreSQL reads them at parse time; parameters without a type take it.
func (b *binder) coerce(e expr.Expr, to sqltypes.Type, at level, pos int) (expr.Expr, bool) {
	from := e.Type()
	if p, ok := e.(*expr.Param); ok && from.Kind == sqltypes.KUnknown {
		return b.applyMod(b.checked(b.typeParam(p, to), to, at), to, at), true
	}
	switch {
	case from == to || to.IsPseudo() && !isUnknown(e):
		return e, true
	case to.IsDomain():
		base, ok := b.coerce(e, to.Underlying(), at, pos)
		if !ok {
			return nil, false
		}
		return b.toDomain(base, to, at), true
	case from.IsDomain():
		e = b.plain(e)
		from = e.Type()
	}
	if text, null, ok := unknownText(e); ok {
		if p, ok := b.pos[e]; ok {
			pos = p
		}
		v := b.checked(b.literal(text, null, to, at, pos), to, at)
		if x, ok := v.(*expr.ToDomain); ok && expr.VolatilityOf(x) == expr.Immutable {
			if _, err := expr.EvalConst(&b.eval, x); err != nil {
				failAt(err, pos) // it is the type's input that refuses the text
			}
		}
		return v, true
	}
	switch {
	case from == to:
		return e, true
	case from.Kind == sqltypes.KRecord && to.Kind == sqltypes.KRecord:
		return b.coerceRecord(e, to, at, pos)
	case from.Base() == to.Base():
		return b.applyMod(e, to, at), true
	}
	if a, ok := e.(*expr.MakeArray); ok && to.Kind == sqltypes.KArray && !a.Nested {
		return b.coerceElements(a, to, at, pos)
	}
	if castLevel(from.Base(), to.Base()) > at {
		return nil, false
	}
	return b.checked(b.foldCast(&expr.Cast{Arg: e, Ty: to, Explicit: at == explicit}), to, at), true
}

// applyMod adds the length or precision of to, if it has one that e lacks.
func (b *binder) applyMod(e expr.Expr, to sqltypes.Type, at level) expr.Expr {
	if e.Type() == to || to.Mod == 0 {
		return e
	}
	return b.foldCast(&expr.Cast{Arg: e, Ty: to, Explicit: at == explicit})
}

func (b *binder) typeParam(p *expr.Param, to sqltypes.Type) expr.Expr {
	if to.IsPseudo() {
		return p
	}
	p.Ty = to.Base()
	b.setParam(p.Index, p.Ty)
	return p
}

// literal reads an untyped literal as type to.
func (b *binder) literal(text string, null bool, to sqltypes.Type, at level, pos int) expr.Expr {
	if to.IsPseudo() || to.Kind == sqltypes.KUnknown {
		to = sqltypes.Text
	}
	if null {
		return expr.Null(to)
	}
	if to.Kind == sqltypes.KRecord && !to.HasFields() {
		fail(sqlerr.New(sqlerr.FeatureNotSupported, "input of anonymous composite types is not implemented").At(pos))
	}
	read := to.Base()
	if to.Kind == sqltypes.KInterval {
		read = to // its fields say what a bare number counts
	}
	v, err := sqlio.ParseText(read, text, b.env.Settings)
	if err != nil {
		failAt(err, pos)
	}
	if v, err = sqlio.ApplyTypmod(to, v, at == explicit && !to.MadeOfDomains()); err != nil {
		failAt(err, -1) // PostgreSQL applies it later, when the place is not known any more
	}
	return &expr.Const{Ty: to, Val: v}
}

// foldCast evaluates an immutable cast of a constant; one that fails is left to run time, where it may
// stand in a branch that is never taken.
func (b *binder) foldCast(c *expr.Cast) expr.Expr {
	if _, ok := c.Arg.(*expr.Const); !ok || expr.VolatilityOf(c) != expr.Immutable {
		return c
	}
	v, err := expr.EvalConst(&b.eval, c)
	if err != nil {
		return c
	}
	return &expr.Const{Ty: c.Ty, Val: v}
}

func (b *binder) coerceElements(a *expr.MakeArray, to sqltypes.Type, at level, pos int) (expr.Expr, bool) {
	out := make([]expr.Expr, len(a.Args))
	for i, x := range a.Args {
		c, ok := b.coerce(x, to.ElemType(), at, pos)
		if !ok {
			return nil, false
		}
		out[i] = c
	}
	return &expr.MakeArray{Args: out, Ty: to}, true
}

// coerceRecord converts a record; that of a row written out field by field, so that its literals are read as the
// fields' types.
func (b *binder) coerceRecord(e expr.Expr, to sqltypes.Type, at level, pos int) (expr.Expr, bool) {
	from := e.Type()
	if !to.HasFields() {
		return e, true
	}
	r, isRow := e.(*expr.MakeRow)
	if !isRow {
		if castLevel(from, to) > at {
			return nil, false
		}
		return b.checked(&expr.Cast{Arg: e, Ty: to, Explicit: at == explicit}, to, at), true
	}
	if from.IsNamed() && to.IsNamed() {
		return nil, false
	}
	cannot := func(detail string, args ...any) {
		fail(sqlerr.New(sqlerr.CannotCoerce, "cannot cast type %s to %s", from.Base(), to.Base()).At(pos).WithDetail(detail, args...))
	}
	fields := to.Fields()
	switch {
	case len(r.Args) > len(fields):
		cannot("Input has too many columns.")
	case len(r.Args) < len(fields):
		cannot("Input has too few columns.")
	}
	out := make([]expr.Expr, len(r.Args))
	for i, x := range r.Args {
		if u, ok := b.untyped[x]; ok {
			x = u
		}
		var ok bool
		if out[i], ok = b.coerce(x, fields[i].Type, at, pos); !ok {
			cannot("Cannot cast type %s to %s in column %d.", x.Type().Base(), fields[i].Type.Base(), i+1)
		}
	}
	return &expr.MakeRow{Args: out, Ty: to}, true
}

// resolved gives an expression whose type is still unknown the type text.
func (b *binder) resolved(e expr.Expr) expr.Expr {
	if !isUnknown(e) {
		return e
	}
	if p, ok := e.(*expr.Param); ok {
		return b.typeParam(p, sqltypes.Text)
	}
	out, _ := b.coerce(e, sqltypes.Text, implicit, -1)
	return out
}

// toBool coerces a condition; what is WHERE, AND, CASE/WHEN … for the message.
func (b *binder) toBool(e expr.Expr, what string, pos int) expr.Expr {
	out, ok := b.coerce(e, sqltypes.Bool, assignment, pos)
	if !ok {
		fail(sqlerr.New(sqlerr.DatatypeMismatch, "argument of %s must be type boolean, not type %s", what, e.Type().Base()).At(pos))
	}
	return out
}

// mustCoerce is coerce where PostgreSQL says "cannot cast".
func (b *binder) mustCoerce(e expr.Expr, to sqltypes.Type, at level, pos int) expr.Expr {
	out, ok := b.coerce(e, to, at, pos)
	if !ok {
		fail(sqlerr.New(sqlerr.CannotCoerce, "cannot cast type %s to %s", e.Type().Base(), to.Base()).At(pos))
	}
	return out
}

// typed is an expression with the position that an error about it should point to.
type typed struct {
	e   expr.Expr
	pos int
}

// commonType is PostgreSQL's select_common_type (UNION, CASE and related constructs, 10.5). what is for the
// message: "CASE types %s and %s cannot be matched". It returns text when all are unknown.
func (b *binder) commonType(what string, es []typed) sqltypes.Type {
	t, err := commonTypeOf(what, es)
	if err != nil {
		fail(err)
	}
	return t
}

func commonTypeOf(what string, es []typed) (sqltypes.Type, *sqlerr.Error) {
	first, same := es[0].e.Type(), true
	for _, x := range es[1:] {
		same = same && x.e.Type() == first
	}
	if same && first.Kind != sqltypes.KUnknown {
		return first, nil
	}
	best := flat(first)
	for _, x := range es[1:] {
		t := flat(x.e.Type())
		switch {
		case t.Kind == sqltypes.KUnknown || t == best:
		case best.Kind == sqltypes.KUnknown:
			best = t
		case t.Category() != best.Category():
			return best, sqlerr.New(sqlerr.DatatypeMismatch, "%s types %s and %s cannot be matched", what, best, t).At(x.pos)
		case !best.Kind.Info().Preferred && canCoerce(best, t, implicit) && !canCoerce(t, best, implicit):
			best = t
		}
	}
	if best.Kind == sqltypes.KUnknown {
		return sqltypes.Text, nil
	}
	return best, nil
}

// unify coerces all to their common type.
func (b *binder) unify(what string, es []typed) ([]expr.Expr, sqltypes.Type) {
	t := b.commonType(what, es)
	out := make([]expr.Expr, len(es))
	for i, x := range es {
		out[i] = b.toCommon(what, x, t)
	}
	return out, t
}

// toCommon coerces one of several to their common type.
func (b *binder) toCommon(what string, x typed, t sqltypes.Type) expr.Expr {
	out, ok := b.coerce(x.e, t, implicit, x.pos)
	if !ok {
		fail(sqlerr.New(sqlerr.CannotCoerce, "%s could not convert type %s to %s", what, x.e.Type(), t).At(x.pos))
	}
	return out
}

// castLevel says at which level a value of type from becomes one of type to; impossible if never.
func castLevel(from, to sqltypes.Type) level {
	c, ok := expr.LookupCast(from, to)
	if !ok {
		return impossible
	}
	return level(c)
}
