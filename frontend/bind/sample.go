package bind

import (
	"fmt"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// sample binds TABLESAMPLE. There are no pages, so that SYSTEM takes rows one by one as BERNOULLI does.
func (b *binder) sample(f *frame, x *parser.RelRef) {
	s := x.Sample
	if r, _ := b.lookup(x.Name); r == nil || r.Kind != catalog.Table && r.Kind != catalog.MatView {
		fail(sqlerr.New(sqlerr.WrongObjectType, "TABLESAMPLE clause can only be applied to tables and materialized views").At(x.Pos))
	}
	method := s.Method.Last()
	if method != "bernoulli" && method != "system" {
		fail(sqlerr.New(sqlerr.UndefinedObject, "tablesample method %s does not exist", s.Method.String()).At(s.Method.Pos))
	}
	if len(s.Args) != 1 {
		fail(sqlerr.New(sqlerr.InvalidTablesampleArgument, "tablesample method %s requires 1 argument, not %d", method, len(s.Args)).At(s.Method.Pos))
	}
	percent, ok := b.sampleArgument(s.Args[0], sqltypes.Float4)
	switch {
	case !ok:
		fail(sqlerr.New(sqlerr.InvalidTablesampleArgument, "TABLESAMPLE parameter cannot be null"))
	case !(percent >= 0 && percent <= 100):
		fail(sqlerr.New(sqlerr.InvalidTablesampleArgument, "sample percentage must be between 0 and 100"))
	}
	var cond expr.Expr
	if s.Repeatable == nil {
		cond = b.operator("<", s.Pos, b.function("random", s.Pos, nil), &expr.Const{Ty: sqltypes.Float8, Val: percent / 100})
	} else {
		seed, ok := b.sampleArgument(s.Repeatable, sqltypes.Float8)
		if !ok {
			fail(sqlerr.New(sqlerr.InvalidTablesampleRepeat, "TABLESAMPLE REPEATABLE parameter cannot be null"))
		}
		cond = b.repeatable(f.node, percent, seed, s.Pos)
	}
	f.node = &plan.Filter{Input: f.node, Cond: cond}
}

// sampleArgument evaluates an argument; false: it is NULL.
func (b *binder) sampleArgument(e parser.Expr, t sqltypes.Type) (float64, bool) {
	sc := b.newScope(&frame{node: oneRow()}, nil)
	v := b.ctx(sc, "TABLESAMPLE").bind(e)
	out, ok := b.coerce(v, t, assignment, leftmost(e))
	if !ok {
		fail(sqlerr.New(sqlerr.DatatypeMismatch, "argument of TABLESAMPLE must be type %s, not type %s", t, v.Type().Base()).At(leftmost(e)))
	}
	if hasColumns(out) || hasParams(out) {
		fail(unsupported(e.At(), "Write the value itself.", "an argument of TABLESAMPLE must be a constant"))
	}
	d, err := expr.EvalConst(&b.eval, out)
	if err != nil {
		failAt(err, e.At())
	}
	n, ok := d.(float64)
	return n, ok
}

func hasParams(e expr.Expr) bool {
	found := false
	expr.Walk(e, func(x expr.Expr) bool {
		_, is := x.(*expr.Param)
		found = found || is
		return !found
	})
	return found
}

// repeatable picks rows by a hash of what they hold and of the seed: the same ones each time, in views, too.
func (b *binder) repeatable(n plan.Node, percent, seed float64, pos int) expr.Expr {
	es, _ := columnExprs(n, 0, len(n.Columns()))
	var fields []sqltypes.RowField
	for i, c := range n.Columns() {
		fields = append(fields, sqltypes.RowField{Name: fmt.Sprintf("f%d", i+1), Type: c.Type})
	}
	row := &expr.MakeRow{Args: es, Ty: sqltypes.StructOf(fields)}
	text := func(s string) expr.Expr { return &expr.Const{Ty: sqltypes.Text, Val: s} }
	below := text("g") // above all digits
	if percent < 100 {
		below = text(fmt.Sprintf("%08x", uint32(percent/100*(1<<32))))
	}
	salted := b.operator("||", pos, b.mustCoerce(row, sqltypes.Text, explicit, pos), text(fmt.Sprint(seed)))
	return b.operator("<", pos, b.function("md5", pos, []expr.Expr{salted}), below)
}
