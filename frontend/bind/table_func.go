package bind

import (
	"slices"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// funcRef binds a function in FROM: a window over a relation, a set-returning function, or a plain one. It may refer to
// what stands before it, LATERAL or not.
func (b *binder) funcRef(x *parser.FuncRef, left *scope) *frame {
	if len(x.Funcs) != 1 {
		return b.rowsFrom(x, x.Funcs, left)
	}
	defs := x.ColumnDefs
	if defs == nil {
		defs = x.Funcs[0].ColumnDefs
	}
	sc := b.newScope(&frame{node: oneRow()}, left)
	ctx := b.ctx(sc, "functions in FROM")
	call, ok := x.Funcs[0].Call.(*parser.FuncCall)
	if !ok {
		noColumnDefs(defs)
		return b.scalarFunc(x, ctx, x.Funcs[0].Call)
	}
	if s := call.Name.Schema(); s == "" || s == "pg_catalog" {
		switch name := call.Name.Last(); name {
		case "gap_fill":
			if f := b.gapFill(x, call, left); f != nil {
				return f
			}
		case "tumble", "hop", "cumulate", "session":
			if f := b.timeWindow(x, call, left, name); f != nil {
				return f
			}
		}
	}
	if call.Name.Last() == "unnest" && len(call.Args) > 1 { // one for each array, side by side
		var funcs []parser.FuncItem
		for i := range call.Args {
			one := *call
			one.Args = call.Args[i : i+1]
			funcs = append(funcs, parser.FuncItem{Call: &one})
		}
		return b.rowsFrom(x, funcs, left)
	}
	if len(expr.TableFuncsByName(call.Name.Last())) == 0 {
		if f := b.userTable(x, ctx, call, defs); f != nil {
			return f
		}
		noColumnDefs(defs)
		return b.scalarFunc(x, ctx, call)
	}
	if x.Ordinality && len(defs) > 0 {
		fail(sqlerr.New(sqlerr.SyntaxError, "WITH ORDINALITY cannot be used with a column definition list").
			WithHint("Put the column definition list inside ROWS FROM().").At(defs[0].Pos))
	}
	part := b.rowsPart(ctx, call, defs)
	n := b.tableFuncPlan(&plan.TableFunc{Sig: part.sig, Args: part.args, Out: part.cols, WithOrdinality: x.Ordinality}, sc.id)
	if t := part.cols[0].Type; part.scalar && t.HasFields() && t.IsNamed() {
		f := b.nameFunc(expandFields(n), x, call.Name.Last(), false)
		f.items[0].row = t
		return f
	}
	return b.nameFunc(n, x, call.Name.Last(), part.scalar)
}

// expandFields replaces the first column, of a composite type with a name, by its fields.
func expandFields(n plan.Node) plan.Node {
	p := &plan.Project{Input: n}
	for i, c := range n.Columns() {
		col := &expr.Col{Index: i, Ty: c.Type, Name: c.Name}
		if i > 0 {
			p.Exprs, p.Names = append(p.Exprs, col), append(p.Names, c.Name)
			continue
		}
		for k, f := range c.Type.Fields() {
			p.Exprs, p.Names = append(p.Exprs, &expr.Field{Arg: col, Index: k, Ty: f.Type}), append(p.Names, f.Name)
		}
	}
	return p
}

// rowsPart is a bound call of a function in FROM.
type rowsPart struct {
	sig    string
	args   []expr.Expr
	cols   []plan.Column
	scalar bool
}

// noColumnDefs refuses a column definition list after a function whose columns are known.
func noColumnDefs(defs []parser.StructField) {
	if len(defs) > 0 {
		fail(sqlerr.New(sqlerr.SyntaxError, "a column definition list is only allowed for functions returning \"record\"").At(defs[0].Pos))
	}
}

// rowsPart binds a call; defs is the column definition list after it.
func (b *binder) rowsPart(ctx *exprCtx, call *parser.FuncCall, defs []parser.StructField) rowsPart {
	name := call.Name.Last()
	ctx.onlyPlain(call, name)
	fn, args := b.tableFunc(call.Name.String(), name, ctx.bindArgs(call), call.Pos)
	switch {
	case !fn.ColumnDefs:
		noColumnDefs(defs)
	case len(defs) == 0:
		fail(sqlerr.New(sqlerr.SyntaxError, "a column definition list is required for functions returning \"record\"").At(call.Pos))
	default: // the columns are those of a row type, which the function gets as an argument
		args = append(args, expr.Null(b.definedRow(defs)))
	}
	p := rowsPart{sig: fn.Sig(), args: args, cols: tableFuncCols(fn, args)}
	if len(p.cols) == 1 && !fn.Rows && (fn.Cols == nil || p.cols[0].Name == name || p.cols[0].Name == "") {
		p.scalar, p.cols[0].Name = true, name
	}
	return p
}

// rowsFrom binds several functions side by side: ROWS FROM (f(…), g(…)), unnest(a, b).
func (b *binder) rowsFrom(x *parser.FuncRef, funcs []parser.FuncItem, left *scope) *frame {
	sc := b.newScope(&frame{node: oneRow()}, left)
	ctx := b.ctx(sc, "functions in FROM")
	out := &plan.TableFunc{WithOrdinality: x.Ordinality}
	for _, f := range funcs {
		var p rowsPart
		if call, ok := f.Call.(*parser.FuncCall); ok && len(expr.TableFuncsByName(call.Name.Last())) > 0 {
			p = b.rowsPart(ctx, call, f.ColumnDefs)
		} else if p, ok = b.userPart(ctx, f); ok {
		} else {
			noColumnDefs(f.ColumnDefs)
			p = b.oneValue(ctx, f.Call)
		}
		out.Args, out.Out = append(out.Args, p.args...), append(out.Out, p.cols...)
		out.Parts = append(out.Parts, plan.TableFuncPart{Sig: p.sig, Args: len(p.args), Cols: len(p.cols)})
	}
	name := columnName(funcs[0].Call)
	return b.nameFunc(b.tableFuncPlan(out, sc.id), x, name, false)
}

// userPart binds a call of a function that CREATE FUNCTION made; not ok: it is none that returns rows.
func (b *binder) userPart(ctx *exprCtx, f parser.FuncItem) (rowsPart, bool) {
	call, ok := f.Call.(*parser.FuncCall)
	if !ok {
		return rowsPart{}, false
	}
	fn, args := b.userInFrom(ctx, call, f.ColumnDefs)
	if fn == nil {
		return rowsPart{}, false
	}
	t, cols := b.runTable(fn, args, call.Pos)
	return rowsPart{sig: t.Sig(), args: args, cols: cols}, true
}

// definedRow is the row type of a column definition list.
func (b *binder) definedRow(defs []parser.StructField) sqltypes.Type {
	var fields []sqltypes.RowField
	seen := map[string]bool{}
	for _, d := range defs {
		if seen[d.Name] {
			fail(sqlerr.New(sqlerr.DuplicateColumn, "column name %q specified more than once", d.Name).At(d.Pos))
		}
		seen[d.Name] = true
		fields = append(fields, sqltypes.RowField{Name: d.Name, Type: b.typeOf(d.Type)})
	}
	return sqltypes.StructOf(fields)
}

// oneValue makes a set of one out of a function that returns a value.
func (b *binder) oneValue(ctx *exprCtx, call parser.Expr) rowsPart {
	e := ctx.value(call)
	if isArray(e.Type()) {
		fail(unsupported(call.At(), "Put the function into a list of FROM of its own.", "a function that returns an array is not supported in ROWS FROM"))
	}
	arr := &expr.MakeArray{Args: []expr.Expr{e}, Ty: sqltypes.ArrayOf(e.Type())}
	fn, args := b.tableFunc("unnest", "unnest", []expr.Expr{arr}, call.At())
	cols := tableFuncCols(fn, args)
	cols[0].Name = columnName(call)
	return rowsPart{sig: fn.Sig(), args: args, cols: cols}
}

// tableFuncPlan calls functions once per outer row; subqueries among the arguments are evaluated below.
func (b *binder) tableFuncPlan(out *plan.TableFunc, scope int) plan.Node {
	found := false
	for _, a := range out.Args {
		found = found || hasSubquery(a)
	}
	if !found {
		return b.testedRows(out)
	}
	out.Input, out.Args = b.placeAll(oneRow(), scope, out.Args)
	w := len(out.Input.Columns())
	return b.testedRows(pick(out, seq(w, len(out.Columns()))))
}

// testedRows tests columns of domains, where a function has made them of something else.
func (b *binder) testedRows(n plan.Node) plan.Node {
	cols := n.Columns()
	if !slices.ContainsFunc(cols, func(c plan.Column) bool { return c.Type.MadeOfDomains() }) {
		return n
	}
	p := &plan.Project{Input: n}
	for i, c := range cols {
		var e expr.Expr = &expr.Col{Index: i, Ty: c.Type, Name: c.Name}
		if c.Type.MadeOfDomains() {
			e = b.tested(e)
		}
		p.Exprs, p.Names = append(p.Exprs, e), append(p.Names, c.Name)
	}
	return p
}

// scalarFunc is a function in FROM that returns one value: one row of it.
func (b *binder) scalarFunc(x *parser.FuncRef, ctx *exprCtx, call parser.Expr) *frame {
	e := ctx.value(call)
	name := columnName(call)
	n, e := b.place(oneRow(), ctx.sc.id, e)
	es, names := []expr.Expr{e}, []string{name}
	if x.Ordinality {
		es, names = append(es, &expr.Const{Ty: sqltypes.Int8, Val: int64(1)}), append(names, "ordinality")
	}
	out := &plan.Project{Input: n, Exprs: es, Names: names}
	if t := e.Type(); t.HasFields() && t.IsNamed() {
		f := b.nameFunc(expandFields(out), x, name, false)
		f.items[0].row = t
		return f
	}
	return b.nameFunc(out, x, name, true)
}

// nameFunc makes the frame of a function: an alias also names the column of a scalar result.
func (b *binder) nameFunc(n plan.Node, x *parser.FuncRef, name string, scalar bool) *frame {
	f := newFrame(n, name, "")
	f.items[0].scalar = scalar
	if scalar && x.Alias != nil && x.Alias.Name != "" && len(x.Alias.Columns) == 0 {
		f.items[0].cols[0].name = x.Alias.Name
		f.cols[0].name = x.Alias.Name
	}
	b.applyAlias(f, x.Alias, name)
	return f
}

// windowForms are the forms of the window functions over relations, and how many of their last arguments are lengths.
var windowForms = map[string]struct {
	form    string
	lengths int
}{
	"tumble":   {"TUMBLE(relation, column, size [, offset])", 1},
	"hop":      {"HOP(relation, column, slide, size [, offset])", 2},
	"cumulate": {"CUMULATE(relation, column, step, size [, offset])", 2},
	"session":  {"SESSION(relation, column, gap [PARTITION BY column, …])", 1},
}

// wholeRelation is a relation of which all columns are read.
func (b *binder) wholeRelation(name parser.Name, left *scope) *frame {
	f := b.relation(name, left)
	if it := f.items[0]; it.access != nil {
		it.access.need('r')
		it.access = nil
	}
	return f
}

// timeWindow binds a window function over a relation: the relation's columns, window_start and window_end. It is nil when the
// first argument is not a relation.
func (b *binder) timeWindow(x *parser.FuncRef, call *parser.FuncCall, left *scope, kind string) *frame {
	if len(call.Args) == 0 {
		return nil
	}
	name, query, ok := parser.RelationArg(call.Args[0])
	if !ok {
		return nil
	}
	form := windowForms[kind]
	most := 3 + form.lengths
	if kind == "session" {
		most--
	}
	if len(call.Args) < 2+form.lengths || len(call.Args) > most {
		fail(sqlerr.New(sqlerr.UndefinedFunction, "wrong number of arguments to %s", call.Name.Last()).At(call.Pos).WithHint("The form is %s.", form.form))
	}
	if len(call.PartitionBy) > 0 && kind != "session" {
		fail(sqlerr.New(sqlerr.SyntaxError, "PARTITION BY is for session windows").At(call.PartitionBy[0].At()).WithHint("The form is %s.", form.form))
	}
	var f *frame
	if query != nil {
		f = newFrame(b.query(query, left, true).node, call.Name.Last(), "")
	} else {
		f = b.wholeRelation(name, left)
	}
	at := b.timeColumn(f, call.Args[1].Value)
	micros := make([]int64, 3)
	for i, a := range call.Args[2:] {
		micros[i] = b.windowLength(a.Value, i < form.lengths)
	}
	var n plan.Node
	if kind == "session" {
		n = &plan.Session{Input: f.node, TimeCol: at, GapMicros: micros[0], PartitionBy: b.partitionColumns(f, call.PartitionBy)}
	} else {
		n = b.hop(f.node, at, kind, micros, call)
	}
	out := newFrame(n, f.items[0].name, f.items[0].schema)
	b.applyAlias(out, x.Alias, f.items[0].name)
	return out
}

func (b *binder) hop(in plan.Node, at int, kind string, micros []int64, call *parser.FuncCall) *plan.Hop {
	h := &plan.Hop{Input: in, TimeCol: at, SlideMicros: micros[0], SizeMicros: micros[1], OffsetMicros: micros[2], Cumulate: kind == "cumulate"}
	if kind == "tumble" {
		h.SizeMicros, h.OffsetMicros = micros[0], micros[1]
	}
	if h.SizeMicros/h.SlideMicros > maxWindowsPerRow {
		fail(sqlerr.New(sqlerr.InvalidParameterValue, "a row would belong to more than %d windows", maxWindowsPerRow).At(call.Args[2].Value.At()))
	}
	if h.Cumulate && h.SizeMicros%h.SlideMicros != 0 {
		fail(sqlerr.New(sqlerr.InvalidParameterValue, "the size of cumulating windows must be a multiple of their step").At(call.Args[3].Value.At()))
	}
	return h
}

const gapFillForm = "The form is GAP_FILL(relation, column, step [, LOCF(column) | INTERPOLATE(column) | KEEP(column)] … [PARTITION BY column, …])."

// gapFill binds GAP_FILL over a relation: its columns, with rows added where the time has gaps. It is nil when the first argument
// is not a relation. Columns of PARTITION BY are the same throughout; what no argument names is NULL in the rows added.
func (b *binder) gapFill(x *parser.FuncRef, call *parser.FuncCall, left *scope) *frame {
	if len(call.Args) == 0 {
		return nil
	}
	name, query, ok := parser.RelationArg(call.Args[0])
	if !ok {
		return nil
	}
	if len(call.Args) < 3 {
		fail(sqlerr.New(sqlerr.UndefinedFunction, "wrong number of arguments to gap_fill").At(call.Pos).WithHint(gapFillForm))
	}
	var f *frame
	if query != nil {
		f = newFrame(b.query(query, left, true).node, call.Name.Last(), "")
	} else {
		f = b.wholeRelation(name, left)
	}
	n := &plan.GapFill{Input: f.node, TimeCol: b.timeColumn(f, call.Args[1].Value), StepMicros: b.windowLength(call.Args[2].Value, true),
		PartitionBy: b.partitionColumns(f, call.PartitionBy), Fill: make([]plan.Fill, len(f.node.Columns()))}
	for _, c := range n.PartitionBy {
		n.Fill[c] = plan.FillLast
	}
	for _, a := range call.Args[3:] {
		b.fillColumn(n, f, a.Value)
	}
	out := newFrame(n, f.items[0].name, f.items[0].schema)
	b.applyAlias(out, x.Alias, f.items[0].name)
	return out
}

var fills = map[string]plan.Fill{"locf": plan.FillLast, "interpolate": plan.FillLine, "keep": plan.FillNull}

// fillColumn reads LOCF(column), INTERPOLATE(column) or KEEP(column).
func (b *binder) fillColumn(n *plan.GapFill, f *frame, e parser.Expr) {
	call, ok := e.(*parser.FuncCall)
	how, known := plan.FillNull, false
	if ok && len(call.Args) == 1 {
		how, known = fills[call.Name.Last()]
	}
	if !known {
		fail(sqlerr.New(sqlerr.InvalidParameterValue, "a column of gap_fill is filled by LOCF, INTERPOLATE or KEEP").At(e.At()).WithHint(gapFillForm))
	}
	c, ok := b.ctx(b.newScope(f, nil), "functions in FROM").bind(call.Args[0].Value).(*expr.Col)
	if !ok || c.Index == n.TimeCol || slices.Contains(n.PartitionBy, c.Index) {
		fail(sqlerr.New(sqlerr.InvalidColumnReference, "%s takes a column that is neither the time nor in PARTITION BY", call.Name.Last()).At(call.Args[0].Value.At()))
	}
	if how == plan.FillLine && !isNumber(c.Ty) {
		fail(sqlerr.New(sqlerr.DatatypeMismatch, "interpolate needs a column of numbers, not %s", c.Ty.Base()).At(call.Args[0].Value.At()))
	}
	n.Fill[c.Index] = how
}

func isNumber(t sqltypes.Type) bool {
	switch t.Kind {
	case sqltypes.KInt2, sqltypes.KInt4, sqltypes.KInt8, sqltypes.KFloat4, sqltypes.KFloat8, sqltypes.KNumeric:
		return true
	}
	return false
}

// partitionColumns binds the columns of PARTITION BY in a window function.
func (b *binder) partitionColumns(f *frame, es []parser.Expr) []int {
	var out []int
	for _, e := range es {
		c, ok := b.ctx(b.newScope(f, nil), "functions in FROM").bind(e).(*expr.Col)
		if !ok {
			fail(sqlerr.New(sqlerr.InvalidColumnReference, "PARTITION BY of a window function takes columns").At(e.At()).
				WithHint("Compute the value in a subquery: SESSION((SELECT …), …)."))
		}
		out = append(out, c.Index)
	}
	return out
}

// maxWindowsPerRow bounds how far HOP multiplies its input.
const maxWindowsPerRow = 100_000

func (b *binder) timeColumn(f *frame, e parser.Expr) int {
	c, ok := b.ctx(b.newScope(f, nil), "functions in FROM").bind(e).(*expr.Col)
	if !ok {
		fail(sqlerr.New(sqlerr.InvalidColumnReference, "the second argument of a window function must be a column").At(e.At()))
	}
	if !isTimestamp(c.Ty) {
		fail(sqlerr.New(sqlerr.DatatypeMismatch, "window column must be of type timestamp or timestamp with time zone, not %s", c.Ty.Base()).At(e.At()))
	}
	return c.Index
}

// windowLength evaluates a constant interval to microseconds.
func (b *binder) windowLength(e parser.Expr, positive bool) int64 {
	sc := b.newScope(&frame{node: oneRow()}, nil)
	v := b.ctx(sc, "functions in FROM").bind(e)
	c, ok := b.coerce(v, sqltypes.IntervalT, implicit, e.At())
	if !ok || hasColumns(c) {
		fail(sqlerr.New(sqlerr.DatatypeMismatch, "window sizes must be constants of type interval, not %s", v.Type().Base()).At(e.At()))
	}
	d, err := expr.EvalConst(&b.eval, c)
	if err != nil {
		failAt(err, e.At())
	}
	iv, ok := d.(datetime.Interval)
	if !ok {
		fail(sqlerr.New(sqlerr.NullValueNotAllowed, "window sizes must not be null").At(e.At()))
	}
	if iv.Months != 0 {
		fail(unsupported(e.At(), "Give the size in days or smaller units.", "windows of months or years are not supported"))
	}
	micros := int64(iv.Days)*86_400_000_000 + iv.Micros
	if positive && micros <= 0 {
		fail(sqlerr.New(sqlerr.InvalidParameterValue, "window sizes must be greater than zero").At(e.At()))
	}
	return micros
}
