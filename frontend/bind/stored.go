package bind

import (
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
		clause = "generated columns and check constraints"
	}
	x := b.ctx(b.relationScope("", cols), clause)
	x.noSubquery = true
	v := x.bind(e)
	if cols == nil && hasColumns(v) {
		fail(unsupported(e.At(), "", "cannot use column reference in DEFAULT expression"))
	}
	if t.Kind == sqltypes.KUnknown {
		return b.resolved(v)
	}
	return b.assign(v, t, column, e.At())
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

// defaultOf is what a column takes when a statement gives it no value.
func (b *binder) defaultOf(c *catalog.Column) expr.Expr {
	if c.Default == "" {
		return expr.Null(c.Type)
	}
	return b.storedExpr(c.Default, c.Type, c.Name, nil)
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
