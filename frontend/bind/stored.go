package bind

import (
	"sort"
	"strings"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// storedExpr binds an expression kept as text in the catalog.
func (b *binder) storedExpr(text string, t sqltypes.Type, column string, cols []plan.Column) expr.Expr {
	e, err := parser.ParseExpr(text)
	if err != nil {
		failAt(err, -1)
	}
	clause := "DEFAULT expressions"
	if cols != nil {
		clause = "column generation expressions"
	}
	return b.storedIn(e, clause, t, column, cols)
}

// storedIn binds a stored expression; clause is for messages.
func (b *binder) storedIn(e parser.Expr, clause string, t sqltypes.Type, column string, cols []plan.Column) expr.Expr {
	x := b.ctx(b.relationScope("", cols), clause)
	x.noSubquery = true
	v := x.bind(e)
	if cols == nil && hasColumns(v) {
		fail(unsupported(e.At(), "", "cannot use column reference in DEFAULT expression"))
	}
	if t.Kind == sqltypes.KUnknown {
		return b.resolved(v)
	}
	out, ok := b.coerce(v, t, assignment, e.At())
	if !ok {
		err := assignError(v.Type(), t, column, e.At())
		err.Message = strings.Replace(err.Message, "but expression", "but default expression", 1) // PostgreSQL says so of generated columns, too
		fail(err)
	}
	return out
}

// assign converts a value to a column's type, as INSERT and UPDATE do.
func (b *binder) assign(v expr.Expr, t sqltypes.Type, column string, pos int) expr.Expr {
	out, ok := b.coerce(v, t, assignment, pos)
	if !ok {
		fail(assignError(v.Type(), t, column, pos))
	}
	return out
}

func assignError(from, to sqltypes.Type, column string, pos int) *sqlerr.Error {
	return sqlerr.New(sqlerr.DatatypeMismatch, "column %q is of type %s but expression is of type %s", column, to.Base(), from.Base()).At(pos).
		WithHint("You will need to rewrite or cast the expression.")
}

// DefaultOf is what a column takes when nothing gives it a value.
func DefaultOf(env *Env, c *catalog.Column) (out expr.Expr, err error) {
	b := newBinder(env)
	defer b.done(&err)
	return b.defaultOf(c), nil
}

// defaultOf is what a column takes when a statement gives it no value.
func (b *binder) defaultOf(c *catalog.Column) expr.Expr {
	if c.Default != "" {
		return b.storedExpr(c.Default, c.Type, c.Name, nil)
	}
	if text := b.env.domainDefault(c.Type); text != "" {
		return b.assign(b.storedExpr(text, c.Type.Restricts(), c.Name, nil), c.Type, c.Name, -1)
	}
	none, _ := b.coerce(expr.Null(sqltypes.Unknown), c.Type, assignment, -1)
	return none
}

// generate computes a table's generated columns over row, which has one expression per column; those of generated
// columns are replaced. A generated column reads ordinary ones only.
func (b *binder) generate(r *catalog.Relation, row []expr.Expr) {
	base := append([]expr.Expr(nil), row...)
	for i := range r.Columns {
		c := &r.Columns[i]
		if c.Generated == "" {
			continue
		}
		e := b.storedExpr(c.Generated, c.Type, c.Name, columnsOf(r))
		row[i] = expr.Transform(e, func(x expr.Expr) expr.Expr {
			if k, ok := x.(*expr.Col); ok {
				return base[k.Index]
			}
			return x
		})
	}
}

// Watermarks are the nodes, without input, that make a relation's watermarks from rows of all its columns.
func Watermarks(env *Env, r *catalog.Relation) (out []*plan.Watermark, err error) {
	b := newBinder(env)
	defer b.done(&err)
	b.alone = true
	return b.watermarks(r), nil
}

func (b *binder) watermarks(r *catalog.Relation) []*plan.Watermark {
	var out []*plan.Watermark
	for _, w := range r.WatermarkFor {
		c := &r.Columns[w.Col]
		out = append(out, &plan.Watermark{Col: w.Col, Bound: b.storedExpr(w.Expr, c.Type, c.Name, columnsOf(r)), IdleMicros: w.IdleMicros})
	}
	return out
}

func hasGenerated(r *catalog.Relation) bool {
	for i := range r.Columns {
		if r.Columns[i].Generated != "" {
			return true
		}
	}
	return false
}

// Check binds the text of a CHECK constraint over the columns of r.
func Check(env *Env, text string, r *catalog.Relation) (out expr.Expr, err error) {
	b := newBinder(env)
	defer b.done(&err)
	return b.check(text, r), nil
}

func (b *binder) check(text string, r *catalog.Relation) expr.Expr {
	e, err := parser.ParseExpr(text)
	if err != nil {
		failAt(err, -1)
	}
	v := b.storedIn(e, "check constraints", sqltypes.Unknown, "", columnsOf(r))
	return b.toBool(v, "CHECK", e.At())
}

// Checks binds the CHECK constraints of r, in the order in which rows are tested: by name.
func Checks(env *Env, r *catalog.Relation) (out []plan.Check, err error) {
	b := newBinder(env)
	defer b.done(&err)
	return b.checks(r), nil
}

// InputChecks is Checks for rows that come as values of the columns' types, but were not tested by the columns' domains.
func InputChecks(env *Env, r *catalog.Relation) (out []plan.Check, err error) {
	b := newBinder(env)
	defer b.done(&err)
	for i, c := range r.Columns {
		if c.Type.MadeOfDomains() {
			v := b.tested(&expr.Col{Index: i, Ty: c.Type, Name: c.Name})
			out = append(out, plan.Check{Name: c.Name, Cond: v, Input: true})
		}
	}
	return append(out, b.checks(r)...), nil
}

func (b *binder) checks(r *catalog.Relation) []plan.Check {
	var out []plan.Check
	for _, c := range r.Constraints {
		if c.Kind == catalog.Check {
			out = append(out, plan.Check{Name: c.Name, Cond: b.check(c.Expr, r)})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}
