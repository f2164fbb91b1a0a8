package bind

import (
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// windowEntry is one pure window function.
type windowEntry struct {
	name     string
	args     []sqltypes.Type
	optional int
	result   sqltypes.Type // anyelement: the first argument's type
}

// windowFuncs lists PostgreSQL's window functions (9.22).
var windowFuncs = []windowEntry{
	{"row_number", nil, 0, sqltypes.Int8},
	{"rank", nil, 0, sqltypes.Int8},
	{"dense_rank", nil, 0, sqltypes.Int8},
	{"percent_rank", nil, 0, sqltypes.Float8},
	{"cume_dist", nil, 0, sqltypes.Float8},
	{"ntile", []sqltypes.Type{sqltypes.Int4}, 0, sqltypes.Int4},
	{"lag", []sqltypes.Type{sqltypes.AnyElement, sqltypes.Int4, sqltypes.AnyElement}, 2, sqltypes.AnyElement},
	{"lead", []sqltypes.Type{sqltypes.AnyElement, sqltypes.Int4, sqltypes.AnyElement}, 2, sqltypes.AnyElement},
	{"first_value", []sqltypes.Type{sqltypes.AnyElement}, 0, sqltypes.AnyElement},
	{"last_value", []sqltypes.Type{sqltypes.AnyElement}, 0, sqltypes.AnyElement},
	{"nth_value", []sqltypes.Type{sqltypes.AnyElement, sqltypes.Int4}, 0, sqltypes.AnyElement},
}

func windowFunc(name string) *windowEntry {
	for i := range windowFuncs {
		if windowFuncs[i].name == name {
			return &windowFuncs[i]
		}
	}
	return nil
}

// winCall is one bound window function call; its expressions are over the grouped columns once grouping is done.
type winCall struct {
	name        string
	sig         string
	args        []expr.Expr
	filter      expr.Expr
	partition   []expr.Expr
	order       []orderKey
	frame       plan.Frame
	ignoreNulls bool
	result      sqltypes.Type
}

// windowCall binds f(…) OVER (…) into the collector.
func (x *exprCtx) windowCall(e *parser.FuncCall, name string) expr.Expr {
	switch {
	case x.inAgg:
		fail(sqlerr.New(sqlerr.GroupingError, "aggregate function calls cannot contain window function calls").At(e.Pos))
	case x.inSpec:
		fail(sqlerr.New(sqlerr.WindowingError, "window functions are not allowed in window definitions").At(e.Pos))
	case x.inWindow:
		fail(sqlerr.New(sqlerr.WindowingError, "window function calls cannot be nested").At(e.Pos))
	case x.sel == nil || x.sel.noWindows:
		fail(sqlerr.New(sqlerr.WindowingError, "window functions are not allowed in %s", x.clause).At(e.Pos))
	}
	in := *x
	in.inWindow = true
	w := &winCall{name: name, ignoreNulls: e.IgnoreNulls}
	switch f := windowFunc(name); {
	case f != nil:
		in.bindPureWindow(e, f, w)
	case isAggregate(name):
		in.bindWindowAggregate(e, name, w)
	default:
		args := in.bindArgs(e)
		if len(expr.ByName(name)) == 0 {
			x.noFunction(e, args)
		}
		fail(sqlerr.New(sqlerr.WrongObjectType, "OVER specified, but %s is not a window function nor an aggregate function", name).At(e.Pos))
	}
	in.inSpec = true
	in.windowSpec(e.Over, w)
	x.sel.wins = append(x.sel.wins, w)
	return &slot{slotWindow, len(x.sel.wins) - 1, w.result}
}

func (x *exprCtx) bindPureWindow(e *parser.FuncCall, f *windowEntry, w *winCall) {
	switch {
	case e.Distinct:
		fail(unsupported(e.Pos, "", "DISTINCT is not implemented for window functions"))
	case e.OrderBy != nil:
		fail(unsupported(e.Pos, "", "aggregate ORDER BY is not implemented for window functions"))
	case e.Filter != nil:
		fail(unsupported(e.Pos, "", "FILTER is not implemented for non-aggregate window functions"))
	}
	args := x.bindArgs(e)
	sig, ok := expand(f.args, f.optional, false, len(args))
	if !ok {
		x.noFunction(e, args)
	}
	compatible := len(args) == 3 // lag(x, n, default): value and default meet in a common type
	actual := flatTypes(args)
	if !accepts(&candidate{args: sig, compatible: compatible}, actual) {
		x.noFunction(e, args)
	}
	w.args = x.coerceArgs(sig, compatible, args, e.Pos)
	if w.result = f.result; f.result.Kind == sqltypes.KAnyElement {
		w.result = w.args[0].Type()
	}
}

func (x *exprCtx) bindWindowAggregate(e *parser.FuncCall, name string, w *winCall) {
	if e.Distinct {
		fail(unsupported(e.Pos, "", "DISTINCT is not implemented for window functions"))
	}
	if e.OrderBy != nil {
		fail(unsupported(e.Pos, "", "aggregate ORDER BY is not implemented for window functions"))
	}
	if e.WithinGroup != nil || expr.AggByName(name)[0].OrderedSet {
		fail(unsupported(e.Pos, "", "OVER is not supported for ordered-set aggregate %s", name))
	}
	args := x.bindArgs(e)
	fn := x.aggFunc(e, name, args)
	sig, _ := expand(fn.Args, 0, fn.Variadic, len(args))
	w.args = x.coerceArgs(sig, false, args, e.Pos)
	w.sig, w.result = fn.Sig(), aggResult(fn, w.args)
	if e.Filter != nil {
		w.filter = x.cond(e.Filter, "FILTER")
	}
}

// windowSpec binds PARTITION BY, ORDER BY and the frame, following references to named windows.
func (x *exprCtx) windowSpec(s *parser.WindowSpec, w *winCall) {
	frame := s.Frame
	for spec, depth := s, 0; ; depth++ {
		for _, p := range spec.PartitionBy {
			w.partition = append(w.partition, x.value(p))
		}
		if len(w.order) == 0 {
			for _, o := range spec.OrderBy {
				w.order = append(w.order, x.orderKey(o, x.value(o.Expr)))
			}
		}
		if spec.Ref == "" {
			break
		}
		next, ok := x.sel.windows[spec.Ref]
		if !ok || depth > 100 {
			fail(sqlerr.New(sqlerr.UndefinedObject, "window %q does not exist", spec.Ref).At(spec.Pos))
		}
		x.checkExtends(spec, next)
		if spec.Bare {
			frame = next.Frame
		}
		spec = next
	}
	w.frame = x.frame(frame, w)
}

// checkExtends refuses what a window may not add to the one that it refers to.
func (x *exprCtx) checkExtends(spec, base *parser.WindowSpec) {
	if spec.Bare {
		return
	}
	switch {
	case spec.PartitionBy != nil:
		fail(sqlerr.New(sqlerr.WindowingError, "cannot override PARTITION BY clause of window %q", spec.Ref).At(spec.Pos))
	case spec.OrderBy != nil && base.OrderBy != nil:
		fail(sqlerr.New(sqlerr.WindowingError, "cannot override ORDER BY clause of window %q", spec.Ref).At(spec.Pos))
	case base.Frame != nil:
		fail(sqlerr.New(sqlerr.WindowingError, "cannot copy window %q because it has a frame clause", spec.Ref).At(spec.Pos))
	}
}

func (x *exprCtx) frame(f *parser.Frame, w *winCall) plan.Frame {
	if f == nil {
		return plan.Frame{Mode: 'A', Start: plan.FrameBound{Kind: plan.UnboundedPreceding}, End: plan.FrameBound{Kind: plan.CurrentRow}}
	}
	if f.Unit == parser.FrameSession {
		fail(unsupported(f.Pos, "", "session frames are not supported"))
	}
	out := plan.Frame{Mode: map[parser.FrameUnit]byte{parser.FrameRange: 'A', parser.FrameRows: 'R', parser.FrameGroups: 'G'}[f.Unit]}
	out.Exclude = map[parser.FrameExclude]byte{parser.ExcludeCurrentRow: 'C', parser.ExcludeGroup: 'G', parser.ExcludeTies: 'T'}[f.Exclude]
	if out.Mode == 'G' && len(w.order) == 0 {
		fail(sqlerr.New(sqlerr.WindowingError, "GROUPS mode requires an ORDER BY clause").At(f.Pos))
	}
	out.Start = x.frameBound(f.Start, f, w, out.Mode)
	out.End = plan.FrameBound{Kind: plan.CurrentRow}
	if f.Between {
		out.End = x.frameBound(f.End, f, w, out.Mode)
	}
	return out
}

func (x *exprCtx) frameBound(fb parser.FrameBound, f *parser.Frame, w *winCall, mode byte) plan.FrameBound {
	out := plan.FrameBound{Kind: plan.BoundKind(fb.Kind)}
	if fb.X == nil {
		return out
	}
	what := map[byte]string{'R': "ROWS", 'A': "RANGE", 'G': "GROUPS"}[mode]
	e := x.bind(fb.X)
	if hasColumns(e) {
		fail(sqlerr.New(sqlerr.InvalidColumnReference, "argument of %s must not contain variables", what).At(fb.X.At()))
	}
	t := sqltypes.Int8
	if mode == 'A' {
		if len(w.order) != 1 {
			fail(sqlerr.New(sqlerr.WindowingError, "RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column").At(f.Pos))
		}
		t = rangeOffsetType(w.order[0].e.Type())
	}
	v, ok := x.coerce(e, t, implicit, fb.X.At())
	if !ok && mode != 'A' {
		v, ok = x.coerce(e, t, assignment, fb.X.At())
	}
	if !ok {
		fail(sqlerr.New(sqlerr.DatatypeMismatch, "argument of %s must be type %s, not type %s", what, t, e.Type()).At(fb.X.At()))
	}
	out.Offset = v
	return out
}

// rangeOffsetType is the type of n in RANGE n PRECEDING over an order column of type t.
func rangeOffsetType(t sqltypes.Type) sqltypes.Type {
	switch t.Kind {
	case sqltypes.KDate, sqltypes.KTime, sqltypes.KTimetz, sqltypes.KTimestamp, sqltypes.KTimestamptz, sqltypes.KInterval:
		return sqltypes.IntervalT
	case sqltypes.KInt2, sqltypes.KInt4, sqltypes.KInt8:
		return sqltypes.Int8
	}
	return t.Base()
}

func hasColumns(e expr.Expr) bool {
	found := false
	expr.Walk(e, func(n expr.Expr) bool {
		switch n.(type) {
		case *expr.Col, *outerRef, *slot, *subquery:
			found = true
		}
		return !found
	})
	return found
}

// orderKey reads direction and null order of one ORDER BY item.
func (x *exprCtx) orderKey(o parser.OrderItem, e expr.Expr) orderKey {
	k := orderKey{e: e, desc: o.Desc}
	switch o.Using {
	case "", "<":
	case ">":
		k.desc = true
	default:
		fail(sqlerr.New(sqlerr.WrongObjectType, "operator %s is not a valid ordering operator", o.Using).At(o.Pos).
			WithHint("Ordering operators must be \"<\" or \">\" members of btree operator families."))
	}
	k.nullsFirst = k.desc
	switch o.Nulls {
	case parser.NullsFirst:
		k.nullsFirst = true
	case parser.NullsLast:
		k.nullsFirst = false
	}
	if t := e.Type(); t.Kind == sqltypes.KJSON || t.Kind == sqltypes.KJSONPath || t.Elem == sqltypes.KJSON {
		fail(sqlerr.New(sqlerr.UndefinedFunction, "could not identify an ordering operator for type %s", t.Base()).At(leftmost(o.Expr)).
			WithHint("Use an explicit ordering operator or modify the query."))
	}
	return k
}
