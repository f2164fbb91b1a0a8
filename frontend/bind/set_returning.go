package bind

import (
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// srfCall is a set-returning function of a select list.
type srfCall struct {
	fn   *expr.TableFunc
	args []expr.Expr
	cols []plan.Column
	row  bool // the result is a row of the columns
	done bool // expanded
	// Of a function of CREATE FUNCTION that is replaced by its body: the body, and the scope of its parameters.
	user  *catalog.Function
	body  plan.Node
	scope int
}

// allowSet refuses a set-returning function where none may stand.
func (x *exprCtx) allowSet(e *parser.FuncCall) {
	const hint = "You might be able to move the set-returning function into a LATERAL FROM item."
	switch {
	case x.inAgg:
		fail(unsupported(e.Pos, hint, "aggregate function calls cannot contain set-returning function calls"))
	case x.inWindow:
		fail(unsupported(e.Pos, hint, "window function calls cannot contain set-returning function calls"))
	case x.sel == nil || x.sel.noSRFs:
		fail(unsupported(e.Pos, "", "set-returning functions are not allowed in %s", x.clause))
	case x.conditional != "":
		fail(unsupported(e.Pos, hint, "set-returning functions are not allowed in %s", x.conditional))
	}
}

// setReturning binds a set-returning function in a select list.
func (x *exprCtx) setReturning(e *parser.FuncCall, name string) expr.Expr {
	x.onlyPlain(e, name)
	x.allowSet(e)
	f, args := x.tableFunc(e.Name.String(), name, x.bindArgs(e), e.Pos)
	if f.ColumnDefs {
		fail(unsupported(-1, "Provide a non-null record argument, or call the function in the FROM clause using a column definition list.",
			"could not determine row type for result of %s", name))
	}
	cols := tableFuncCols(f, args)
	if len(cols) == 0 {
		fail(sqlerr.New(sqlerr.DatatypeMismatch, "first argument of %s must be a row type", name))
	}
	ty := cols[0].Type
	if len(cols) > 1 {
		var row []sqltypes.RowField
		for _, c := range cols {
			row = append(row, sqltypes.RowField{Name: c.Name, Type: c.Type})
		}
		ty = sqltypes.StructOf(row)
	}
	return x.addSet(&srfCall{fn: f, args: args, cols: cols}, ty, len(cols) > 1)
}

// addSet gives a call its place in the select list: ORDER BY names the function there. row: the result is a row of its columns.
func (x *exprCtx) addSet(call *srfCall, ty sqltypes.Type, row bool) expr.Expr {
	call.row = row
	for i, s := range x.sel.srfs {
		if s.fn.Sig() == call.fn.Sig() && call.fn.Volatility != expr.Volatile && sameExprs(s.args, call.args) {
			return &slot{slotSRF, i, ty}
		}
	}
	x.sel.srfs = append(x.sel.srfs, call)
	return &slot{slotSRF, len(x.sel.srfs) - 1, ty}
}

func sameExprs(a, b []expr.Expr) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !sameExpr(a[i], b[i]) {
			return false
		}
	}
	return true
}

func srfSlots(e expr.Expr, f func(n int)) {
	expr.Walk(e, func(x expr.Expr) bool {
		if s, ok := x.(*slot); ok && s.kind == slotSRF {
			f(s.n)
		}
		return true
	})
}

// expandSRFs calls the set-returning functions of the select list that are wanted (nil: all) and those in their arguments.
// Functions that do not depend on one another are called side by side: their n-th rows make one row.
func (s *selection) expandSRFs(n plan.Node, wanted func(srf int) bool) plan.Node {
	for {
		var level []int
		for i, f := range s.coll.srfs {
			if f.done || wanted != nil && !wanted(i) {
				continue
			}
			ready := true
			for _, a := range f.args {
				srfSlots(a, func(int) { ready = false })
			}
			if ready {
				level = append(level, i)
			}
		}
		if len(level) == 0 {
			return n
		}
		n = s.callSRFs(n, level)
	}
}

// callSRFs puts functions on n and replaces their slots.
func (s *selection) callSRFs(n plan.Node, level []int) plan.Node {
	out := &plan.TableFunc{}
	at := map[int]int{}
	for _, i := range level {
		f := s.coll.srfs[i]
		f.done = true
		if f.body != nil {
			if len(level) > 1 {
				fail(unsupported(-1, "Call it in FROM.", "SQL functions that return sets side by side are not supported in a materialized view or sink"))
			}
			return s.inlineSRF(n, i)
		}
		var args []expr.Expr
		n, args = s.placeAll(n, s.sc.id, f.args)
		at[i] = len(out.Out)
		out.Args, out.Out = append(out.Args, args...), append(out.Out, f.cols...)
		out.Parts = append(out.Parts, plan.TableFuncPart{Sig: f.fn.Sig(), Args: len(args), Cols: len(f.cols)})
	}
	if len(level) == 1 {
		out.Sig, out.Parts = out.Parts[0].Sig, nil
	}
	out.Input = n
	width := len(n.Columns())
	s.readSRFs(func(srf int) int {
		if from, ok := at[srf]; ok {
			return width + from
		}
		return -1
	}, len(level) > 1)
	return out
}

// inlineSRF puts the body of a SQL function that returns a set in the place of its call.
func (s *selection) inlineSRF(n plan.Node, i int) plan.Node {
	f := s.coll.srfs[i]
	width := len(n.Columns())
	n, args := s.placeAll(n, s.sc.id, f.args)
	p := &plan.Project{Input: n}
	p.Exprs, p.Names = columnExprs(n, 0, width)
	for k, a := range args {
		p.Exprs, p.Names = append(p.Exprs, a), append(p.Names, f.user.ArgNames[k])
	}
	var in plan.Node = p
	if f.user.Strict && len(args) > 0 {
		cols := make([]expr.Expr, len(args))
		for k, a := range args {
			cols[k] = &expr.Col{Index: width + k, Ty: a.Type()}
		}
		in = &plan.Filter{Input: p, Cond: &expr.Not{Arg: anyNull(cols)}}
	}
	s.scopes++
	sc := s.scopes
	body := mapRefs(f.body, f.scope, func(o *outerRef) expr.Expr {
		c := *o
		c.scope, c.idx = sc, width+o.idx
		return &c
	})
	out := s.apply(plan.Inner, in, sc, body, nil)
	s.readSRFs(func(srf int) int {
		if srf == i {
			return width + len(args)
		}
		return -1
	}, false)
	return out
}

// readSRFs replaces calls by the columns of their results: at gives the first one of a call, -1 if it has not been made. together:
// several are made side by side.
func (s *selection) readSRFs(at func(srf int) int, together bool) {
	s.replaceSlots(slotSRF, func(sl *slot) expr.Expr {
		from := at(sl.n)
		if from < 0 {
			return sl
		}
		f := s.coll.srfs[sl.n]
		if !f.row {
			return &expr.Col{Index: from, Ty: sl.ty, Name: f.cols[0].Name}
		}
		row := &expr.MakeRow{Ty: sl.ty}
		for i, c := range f.cols {
			row.Args = append(row.Args, &expr.Col{Index: from + i, Ty: c.Type, Name: c.Name})
		}
		if !together || f.fn.Rows && f.user == nil && f.fn.Eval != nil {
			return row
		}
		// Behind its last row, while another function goes on, there is NULL and not a row of NULLs.
		var over []expr.Expr
		for _, a := range row.Args {
			over = append(over, &expr.IsNull{Arg: a})
		}
		return &expr.Case{Whens: []expr.When{{Cond: expr.And(over), Then: expr.Null(sl.ty)}}, Else: row, Ty: sl.ty}
	})
}

// groupSRFs calls the functions that GROUP BY groups by, which come before the grouping.
func (s *selection) groupSRFs(n plan.Node, by *groupBy) plan.Node {
	need := map[int]bool{}
	var add func(i int)
	add = func(i int) {
		need[i] = true
		for _, a := range s.coll.srfs[i].args {
			srfSlots(a, add)
		}
	}
	for _, k := range by.keys {
		srfSlots(k, add)
	}
	if len(need) == 0 {
		return n
	}
	s.srfKeys = by.keys
	n = s.expandSRFs(n, func(i int) bool { return need[i] })
	by.keys, s.srfKeys = s.srfKeys, nil
	return n
}
