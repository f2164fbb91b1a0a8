package session

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/frontend/bind"
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/engine"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// This file runs functions of CREATE FUNCTION … LANGUAGE sql that could not be replaced by their bodies (see frontend/bind): a running
// statement calls back into its session, which runs the body's statements in the same transaction.

// calls are what a session knows of such functions, and how deep it is in them.
type calls struct {
	depth int
	rev   int64  // of the catalog that known was bound with
	path  string // and the search path
	known map[string]*sqlFunction
}

// maxCallDepth is how deep functions may call one another. PostgreSQL has no number: it stops where its stack ends, which is about here.
const maxCallDepth = 3000

// sqlFunction is a function bound for arguments of some types.
type sqlFunction struct {
	fn    *catalog.Function
	types []sqltypes.Type
	cols  []sqltypes.Type
	stmts []*prepared
	// value is the body, over its parameters as columns, when it only computes something. A Program cannot be entered again while
	// it runs, so there is one for each call under way.
	value []expr.Expr
	idle  [][]expr.Program
}

// CallSQL implements expr.SQLCaller.
func (s *Session) CallSQL(id uint32, args []sqltypes.Datum, types, cols []sqltypes.Type, set bool, emit func(row []sqltypes.Datum) error) error {
	if s.calls.depth >= maxCallDepth {
		return sqlerr.New(sqlerr.StatementTooComplex, "stack depth limit exceeded").
			WithHint("Increase the configuration parameter \"max_stack_depth\" (currently 2048kB), after ensuring the platform's stack depth limit is adequate.")
	}
	if err := s.stmt.Err(); err != nil {
		return err
	}
	s.calls.depth++
	defer func() { s.calls.depth-- }()
	f, err := s.callee(catalog.ID(id), types, cols)
	if err != nil {
		return err
	}
	if f.fn.Strict && slices.Contains(args, nil) {
		if set {
			return nil
		}
		return emit(make([]sqltypes.Datum, len(cols)))
	}
	switch {
	case f.value != nil:
		return f.compute(s.evalCtx(), args, emit)
	case f.fn.IsVoid():
		for i := range f.stmts {
			if err := s.runInBody(f, i, args, func([]sqltypes.Datum) error { return nil }); err != nil {
				return err
			}
		}
		return emit(make([]sqltypes.Datum, len(cols)))
	}
	last := len(f.stmts) - 1
	for i := range last {
		if err := s.runInBody(f, i, args, func([]sqltypes.Datum) error { return nil }); err != nil {
			return err
		}
	}
	if set {
		return s.runInBody(f, last, args, emit)
	}
	var first []sqltypes.Datum
	err = s.runInBody(f, last, args, func(row []sqltypes.Datum) error {
		first = row
		return errFirst
	})
	switch {
	case err != nil && err != error(errFirst):
		return err
	case first == nil:
		first = make([]sqltypes.Datum, len(cols))
	}
	return emit(first)
}

// errFirst ends a query whose first row is all that is wanted.
var errFirst = sqlerr.New(sqlerr.SuccessfulCompletion, "first row")

// callee finds a function, bound for arguments of some types.
func (s *Session) callee(id catalog.ID, types, cols []sqltypes.Type) (*sqlFunction, error) {
	snap, path := s.snapshot(), s.settings.must("search_path")
	if s.calls.known == nil || s.calls.rev != snap.Revision || s.calls.path != path {
		s.calls.known, s.calls.rev, s.calls.path = map[string]*sqlFunction{}, snap.Revision, path
	}
	k := fmt.Sprint(id, types, cols)
	if f := s.calls.known[k]; f != nil {
		return f, nil
	}
	fn := snap.Functions[id]
	if fn == nil {
		return nil, sqlerr.New(sqlerr.UndefinedFunction, "function with OID %d does not exist", id)
	}
	f, err := s.bindFunction(fn, types, cols)
	if err != nil {
		e := *sqlerr.From(err)
		e.Offset, e.Position = 0, 0 // it would count in the body
		return nil, &e
	}
	s.calls.known[k] = f
	return f, nil
}

func (s *Session) bindFunction(fn *catalog.Function, types, cols []sqltypes.Type) (*sqlFunction, error) {
	f := &sqlFunction{types: types, cols: cols}
	settled := *fn
	settled.Args = types
	if !fn.IsVoid() {
		settled.Columns = make([]catalog.FuncColumn, len(cols))
		for i, t := range cols {
			settled.Columns[i].Type = t
			if fn.Columns != nil {
				settled.Columns[i].Name = fn.Columns[i].Name
			}
		}
		if len(cols) == 1 && fn.Columns == nil && !fn.IsRecord() {
			settled.Columns, settled.Result = nil, cols[0]
		}
	}
	f.fn = &settled
	stmts, err := parser.Parse(fn.Body)
	if err != nil {
		return nil, err
	}
	for i, ast := range stmts {
		p := &prepared{s: s, st: statement{text: fn.Body, ast: ast}, oids: types, fn: f.fn, last: i == len(stmts)-1 && !fn.IsVoid()}
		if err := p.bind(); err != nil {
			return nil, err
		}
		f.stmts = append(f.stmts, p)
	}
	if len(stmts) == 1 && f.stmts[0].last {
		f.value = valueOf(f.stmts[0].bound)
	}
	return f, nil
}

// functionResult converts the rows of the statement to what its function returns, if it gives the result.
func (p *prepared) functionResult(env *bind.Env, n plan.Node) (plan.Node, error) {
	if p.fn == nil || !p.last {
		return n, nil
	}
	return bind.FunctionResult(env, p.fn, n)
}

// functionReturning is functionResult for what RETURNING lists.
func (p *prepared) functionReturning(env *bind.Env, es []expr.Expr) ([]expr.Expr, error) {
	if p.fn == nil || !p.last {
		return es, nil
	}
	return bind.FunctionReturning(env, p.fn, es)
}

// valueOf is a query without relations as expressions over its parameters, which become columns; nil if it is anything else.
func valueOf(b bound) []expr.Expr {
	p, ok := b.query.(*plan.Project)
	if !ok || b.changes != nil {
		return nil
	}
	if v, ok := p.Input.(*plan.Values); !ok || len(v.Rows) != 1 || len(v.Rows[0]) != 0 {
		return nil
	}
	out := make([]expr.Expr, len(p.Exprs))
	for i, e := range p.Exprs {
		out[i] = expr.Transform(e, func(e expr.Expr) expr.Expr {
			if p, ok := e.(*expr.Param); ok {
				return &expr.Col{Index: p.Index - 1, Ty: p.Ty}
			}
			return e
		})
	}
	return out
}

// compute evaluates a body that is an expression.
func (f *sqlFunction) compute(c *expr.Ctx, args []sqltypes.Datum, emit func(row []sqltypes.Datum) error) error {
	var ps []expr.Program
	if n := len(f.idle); n > 0 {
		ps, f.idle = f.idle[n-1], f.idle[:n-1]
	} else {
		var err error
		if ps, err = expr.CompileAll(f.value); err != nil {
			return err
		}
	}
	defer func() { f.idle = append(f.idle, ps) }()
	in := &delta.Chunk{Rows: 1}
	for i, a := range args {
		in.Cols = append(in.Cols, delta.Repeat(f.types[i].Base(), a, 1))
	}
	row := make([]sqltypes.Datum, len(ps))
	for i, p := range ps {
		v := p.Eval(c, in)
		if err := c.FirstErr(); err != nil {
			return err
		}
		row[i] = v.Datum(0)
	}
	return emit(row)
}

// runInBody runs a statement of a function's body.
func (s *Session) runInBody(f *sqlFunction, i int, args []sqltypes.Datum, emit func(row []sqltypes.Datum) error) error {
	ctx, p := s.stmt, f.stmts[i]
	if err := s.mayAccess(p.access); err != nil {
		return err
	}
	ready, err := p.Bind(ctx, args)
	if err != nil {
		return err
	}
	b := ready.(*portal).b
	if b.change() != nil || b.changes != nil {
		if !f.fn.Volatile() {
			return sqlerr.New(sqlerr.FeatureNotSupported, "%s is not allowed in a non-volatile function", b.verb())
		}
		res, err := s.modifyInBody(ctx, b)
		if err != nil {
			return err
		}
		return eachRow(res.Returning, emit)
	}
	rows, err := s.runQuery(ctx, b)
	if err != nil {
		return err
	}
	defer rows.Close()
	for {
		c, err := rows.Next(ctx)
		if err != nil || c == nil {
			return err
		}
		if err := eachRow([]*delta.Chunk{c}, emit); err != nil {
			return err
		}
	}
}

// eachRow calls emit for the rows of chunks; errFirst ends it without an error.
func eachRow(chunks []*delta.Chunk, emit func(row []sqltypes.Datum) error) error {
	for _, c := range chunks {
		for k := range c.Len() {
			r := c.Row(k)
			for range c.Weight(r) {
				row := make([]sqltypes.Datum, len(c.Cols))
				for i, v := range c.Cols {
					row[i] = v.Datum(r)
				}
				if err := emit(row); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// modifyInBody runs INSERT, UPDATE, DELETE or MERGE of a function's body as a part of the running transaction.
func (s *Session) modifyInBody(ctx context.Context, b bound) (*engine.Result, error) {
	if err := s.mayWrite(b.verb()); err != nil {
		return nil, err
	}
	if err := s.settle(ctx, b); err != nil {
		return nil, err
	}
	s.txn.queried = true
	res, err := s.changing(ctx, s.writes(), b)
	if err != nil {
		return nil, conflictToError(err)
	}
	s.txn.redo = append(s.txn.redo, redo{count: res.Count, silent: true, returning: len(res.Returning) > 0,
		run: func(ctx context.Context, txn *engine.Txn) (int64, error) {
			res, err := s.changing(ctx, txn, b)
			if err != nil {
				return 0, err
			}
			return res.Count, nil
		}})
	return res, nil
}

// inBodyText is a body's statements as SQL text, of BEGIN ATOMIC … END.
func inBodyText(stmts []parser.Stmt) string {
	var parts []string
	for _, st := range stmts {
		parts = append(parts, st.Src().Text)
	}
	return strings.Join(parts, ";\n ")
}

var _ expr.SQLCaller = (*Session)(nil)

// withFunction is the catalog with a function in it, so that its body can call it.
func withFunction(snap *catalog.Snapshot, f *catalog.Function) *catalog.Snapshot {
	c := catalog.Change{PutFunc: []*catalog.Function{f}}
	next := c.On(snap)
	next.Revision = snap.Revision
	next.IndexOver(snap)
	return next
}

// plainInput reports whether all parameters are input and none is VARIADIC.
func plainInput(ps []catalog.FuncParam) bool {
	return !slices.ContainsFunc(ps, func(p catalog.FuncParam) bool { return p.Mode != "i" || p.Rows != "" })
}
