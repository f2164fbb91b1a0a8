package bind

import (
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// columnName is the name that PostgreSQL gives to an unnamed select-list item.
func columnName(e parser.Expr) string {
	if name, _ := figureName(e); name != "" {
		return name
	}
	return "?column?"
}

// figureName returns a name and how good it is: 2 for a column's or function's own, 1 for a stand-in.
func figureName(e parser.Expr) (string, int) {
	switch x := e.(type) {
	case *parser.ColumnRef:
		return x.Parts[len(x.Parts)-1], 2
	case *parser.FieldSelect:
		return x.Field, 2
	case *parser.Subscript:
		return figureName(x.X)
	case *parser.Collate:
		return figureName(x.X)
	case *parser.FuncCall:
		return x.Name.Last(), 2
	case *parser.SQLValue:
		return x.Name, 2
	case *parser.AtTimeZone:
		return "timezone", 2
	case *parser.Cast:
		if name, strength := figureName(x.X); strength > 1 {
			return name, strength
		}
		return x.Type.Name.Last(), 1
	case *parser.Case:
		if x.Else != nil {
			if name, strength := figureName(x.Else); strength > 1 {
				return name, strength
			}
		}
		return "case", 1
	case *parser.ArrayLit:
		return "array", 2
	case *parser.Row:
		return "row", 2
	case *parser.Subquery:
		return subqueryName(x)
	}
	return "", 0
}

func subqueryName(x *parser.Subquery) (string, int) {
	switch x.Kind {
	case parser.Exists:
		return "exists", 2
	case parser.ArrayOf:
		return "array", 2
	}
	body := x.Query.Body
	for {
		switch b := body.(type) {
		case *parser.Query:
			body = b.Body
			continue
		case *parser.SetOp:
			body = b.Left
			continue
		case *parser.Select:
			if len(b.Targets) > 0 {
				if t := b.Targets[0]; t.Alias != "" {
					return t.Alias, 2
				} else {
					return figureName(t.Expr)
				}
			}
		case *parser.Values:
			return "column1", 2
		}
		return "", 0
	}
}

// expandStar lists the columns that *, t.* or (row).* stands for.
func (x *exprCtx) expandStar(s *parser.Star) []target {
	var out []target
	switch {
	case s.X != nil:
		out = x.expandRow(s)
	case s.Qualifier != nil:
		out = x.expandTable(s)
	default:
		if len(x.sc.frame.items) == 0 {
			fail(sqlerr.New(sqlerr.SyntaxError, "SELECT * with no tables specified is not valid").At(s.Pos))
		}
		for _, v := range x.sc.frame.cols {
			out = append(out, target{v.name, x.ref(x.sc, x.sc, match{v.idx, v.name, v.from}, s.Pos), s.Pos})
		}
	}
	return x.except(s, out)
}

func (x *exprCtx) expandTable(s *parser.Star) []target {
	it, at := x.starTable(s)
	var out []target
	for _, c := range it.cols {
		if !hides(c.name) {
			out = append(out, target{c.name, x.ref(x.sc, at, match{c.idx, c.name, it}, s.Pos), s.Pos})
		}
	}
	return out
}

// wholeTable is t.* where a value is wanted: the whole row.
func (x *exprCtx) wholeTable(s *parser.Star) expr.Expr {
	it, at := x.starTable(s)
	return x.wholeRow(x.sc, at, it, s.Pos)
}

func (x *exprCtx) starTable(s *parser.Star) (*item, *scope) {
	schema := ""
	if n := len(s.Qualifier); n > 1 {
		schema = s.Qualifier[n-2]
	}
	table := s.Qualifier[len(s.Qualifier)-1]
	it, at := x.findItem(x.sc, schema, table, s.Pos)
	if it == nil {
		x.missingTable(x.sc, s.Qualifier, s.Pos)
	}
	return it, at
}

func (x *exprCtx) expandRow(s *parser.Star) []target {
	e := x.bind(s.X)
	t := e.Type()
	if t.Kind != sqltypes.KRecord || !t.HasFields() {
		fail(sqlerr.New(sqlerr.WrongObjectType, "type %s is not composite", t.Base()).At(s.Pos))
	}
	out := make([]target, len(t.Fields()))
	for i, f := range t.Fields() {
		var v expr.Expr = &expr.Field{Arg: e, Index: i, Ty: f.Type}
		if r, ok := e.(*expr.MakeRow); ok {
			v = r.Args[i]
		}
		out[i] = target{f.Name, v, s.Pos}
	}
	return out
}

// except drops the columns of * EXCEPT (…).
func (x *exprCtx) except(s *parser.Star, in []target) []target {
	for _, e := range s.Except {
		ref, ok := e.(*parser.ColumnRef)
		if !ok {
			fail(sqlerr.New(sqlerr.SyntaxError, "EXCEPT takes column names").At(e.At()))
		}
		drop := x.column(x.sc, ref)
		kept := in[:0:0]
		for _, t := range in {
			if !sameExpr(t.e, drop) {
				kept = append(kept, t)
			}
		}
		if len(kept) == len(in) {
			fail(sqlerr.New(sqlerr.UndefinedColumn, "column %q does not exist", dotted(ref.Parts)).At(ref.Pos))
		}
		in = kept
	}
	return in
}

// leftmost is where an expression begins, PostgreSQL's exprLocation: an operator's own position is that of its symbol.
func leftmost(e parser.Expr) int {
	for {
		var first parser.Expr
		switch x := e.(type) {
		case *parser.Binary:
			first = x.L
		case *parser.BoolOp:
			first = x.Args[0]
		case *parser.IsTest:
			first = x.X
		case *parser.IsDistinct:
			first = x.L
		case *parser.Between:
			first = x.X
		case *parser.In:
			first = x.X
		case *parser.Like:
			first = x.X
		case *parser.Quantified:
			first = x.X
		case *parser.AtTimeZone:
			first = x.X
		case *parser.Collate:
			first = x.X
		case *parser.Subscript:
			first = x.X
		case *parser.FieldSelect:
			first = x.X
		case *parser.Cast:
			if _, literal := x.X.(*parser.StringLit); !literal && x.X.At() > x.At() {
				return x.At()
			}
			first = x.X
		default:
			return e.At()
		}
		e = first
	}
}
