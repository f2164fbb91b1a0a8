package parser

import (
	"strconv"
	"strings"

	"github.com/millrace/millrace/internal/sqlerr"
)

// primary parses an operand without operators (gram.y: c_expr).
func (p *parser) primary() Expr {
	t := p.cur()
	switch t.kind {
	case tokInt, tokFloat:
		p.advance()
		return &NumberLit{Loc{t.pos}, t.val, t.kind == tokInt}
	case tokString:
		p.advance()
		return &StringLit{Loc{t.pos}, t.val}
	case tokBits, tokHex:
		p.advance()
		return &BitLit{Loc{t.pos}, t.val, t.kind == tokHex}
	case tokParam:
		return p.indirection(p.param())
	case tokQuoted:
		return p.nameExpr()
	case tokPunct:
		if t.val == "(" {
			return p.parenExpr()
		}
	case tokWord:
		if t.cat == catNone {
			return p.nameExpr()
		}
		return p.wordExpr(t)
	}
	p.fail()
	return nil
}

func (p *parser) param() Expr {
	t := p.cur()
	n, err := strconv.ParseInt(t.val, 10, 32)
	if err != nil {
		p.errorAt(sqlerr.SyntaxError, t.pos, "parameter number too large at or near \"%s\"", p.sql[t.pos:t.end])
	}
	p.advance()
	return &Param{Loc{t.pos}, int(n)}
}

// wordExpr parses an operand that begins with a keyword.
func (p *parser) wordExpr(t *token) Expr {
	if e := p.reservedExpr(t); e != nil {
		return e
	}
	if t.cat == catReserved {
		p.fail()
	}
	if t.cat == catColName || t.cat == catTypeFunc || t.val == "double" {
		if e := p.special(t); e != nil {
			return p.optSubscripts(e)
		}
		if e := p.typedLiteral(t); e != nil {
			return e
		}
	}
	return p.nameExpr()
}

// reservedExpr parses the operands that reserved words begin; nil if the word begins none.
func (p *parser) reservedExpr(t *token) Expr {
	loc := Loc{t.pos}
	switch t.val {
	case "true", "false":
		p.advance()
		return &BoolLit{loc, t.val == "true"}
	case "null":
		p.advance()
		return &NullLit{loc}
	case "case":
		return p.caseExpr()
	case "array":
		return p.arrayExpr()
	case "cast":
		return p.optSubscripts(p.castExpr())
	}
	return p.sqlValue(t)
}

// sqlValue parses the functions that are written without parentheses; nil if the word is none.
func (p *parser) sqlValue(t *token) Expr {
	loc := Loc{t.pos}
	switch t.val {
	case "current_date", "current_user", "session_user", "user", "current_role", "system_user", "current_catalog":
		p.advance()
		return &SQLValue{loc, t.val, -1}
	case "current_time", "current_timestamp", "localtime", "localtimestamp":
		p.advance()
		v := &SQLValue{loc, t.val, -1}
		if p.isPunct("(") {
			p.parens(func() { v.Precision = p.intLit() })
		}
		return v
	}
	return nil
}

func (p *parser) castExpr() Expr {
	loc := p.loc()
	p.advance()
	c := &Cast{Loc: loc}
	p.parens(func() {
		c.X = p.expr()
		p.expect("as")
		c.Type = p.typeName()
	})
	return c
}

func (p *parser) caseExpr() Expr {
	c := &Case{Loc: p.loc()}
	p.advance()
	if !p.is("when") {
		c.Operand = p.expr()
	}
	for p.is("when") {
		w := When{Loc: p.loc()}
		p.advance()
		w.Cond = p.expr()
		p.expect("then")
		w.Result = p.expr()
		c.Whens = append(c.Whens, w)
	}
	if c.Whens == nil {
		p.fail()
	}
	if p.take("else") {
		c.Else = p.expr()
	}
	p.expect("end")
	return c
}

// arrayExpr parses ARRAY[…] and ARRAY(SELECT …).
func (p *parser) arrayExpr() Expr {
	loc := p.loc()
	p.advance()
	if p.isPunct("(") {
		return &Subquery{loc, ArrayOf, p.selectWithParens()}
	}
	a := p.arrayElems()
	a.Loc = loc
	return p.optSubscripts(a)
}

// mapLit parses MAP {key: value, …}.
func (p *parser) mapLit() Expr {
	p.enter()
	outer := p.open()
	m := &MapLit{Loc: p.loc()}
	p.advance()
	p.expectPunct("{")
	if !p.isPunct("}") {
		p.list(func() {
			m.Keys = append(m.Keys, p.expr())
			p.expectPunct(":")
			m.Values = append(m.Values, p.expr())
		})
	}
	p.expectPunct("}")
	p.closeHeight(outer)
	p.leave()
	return p.optSubscripts(m)
}

// arrayElems parses […], whose elements are all expressions or all […].
func (p *parser) arrayElems() *ArrayLit {
	p.enter()
	outer := p.open()
	a := &ArrayLit{Loc: p.loc()}
	p.expectPunct("[")
	switch {
	case p.isPunct("]"):
	case p.isPunct("["):
		p.list(func() { a.Elems = append(a.Elems, p.arrayElems()) })
	default:
		a.Elems = p.exprList()
	}
	p.expectPunct("]")
	p.closeHeight(outer)
	p.leave()
	return a
}

// typedLiteral parses a literal whose type is a keyword: INTERVAL '1' DAY, FLOAT '1.5'. nil if the word
// is only a name here.
func (p *parser) typedLiteral(t *token) Expr {
	if t.val == "interval" {
		return p.intervalLiteral()
	}
	start := p.i
	typ := p.keywordType(true)
	if typ != nil && p.cur().kind == tokString {
		return &Cast{Loc{t.pos}, p.literal(), typ}
	}
	p.i = start
	return nil
}

func (p *parser) literal() Expr {
	loc := p.loc()
	return &StringLit{loc, p.stringLit()}
}

func (p *parser) intervalLiteral() Expr {
	loc := p.loc()
	withPrecision := p.peek(1).isPunct("(")
	if p.peek(1).kind != tokString && !withPrecision {
		return nil
	}
	p.advance()
	typ := namedType(loc, "interval")
	if withPrecision {
		typ.Mods = p.optIntMod()
		return &Cast{loc, p.literal(), typ}
	}
	value := p.literal()
	p.intervalFields(typ)
	return &Cast{loc, value, typ}
}

// nameExpr parses what begins with a name: a column, a call, or a typed literal.
func (p *parser) nameExpr() Expr {
	t := p.cur()
	if t.isWord("map") && p.peek(1).isPunct("{") {
		return p.mapLit()
	}
	p.advance()
	parts := []string{t.val}
	for p.isPunct(".") {
		p.advance()
		if p.takeOp("*") {
			return &Star{Loc: Loc{t.pos}, Qualifier: parts}
		}
		parts = append(parts, p.label().Name)
	}
	asColumn := t.canBe(isColID)
	asFunc := asColumn && len(parts) > 1 || t.canBe(isFuncID) && len(parts) == 1
	switch next := p.cur(); {
	case next.isPunct("(") && (asFunc || isCallable(t)):
		return p.optSubscripts(p.call(Name{Loc{t.pos}, parts}, false))
	case next.kind == tokString && asFunc:
		return &Cast{Loc{t.pos}, p.literal(), &TypeName{Loc: Loc{t.pos}, Name: Name{Loc{t.pos}, parts}}}
	case !asColumn:
		p.fail()
	}
	return p.subscripts(&ColumnRef{Loc{t.pos}, parts})
}

// isCallable says that a keyword that is no function name in the grammar is nevertheless called like
// one: PostgreSQL has productions of their own for these, we do not need them.
func isCallable(t *token) bool {
	return t.kind == tokWord && strings.HasPrefix(t.val, "json")
}

// optSubscripts parses the subscripts that we allow after any operand.
func (p *parser) optSubscripts(e Expr) Expr {
	if p.isPunct("[") {
		return p.subscripts(e)
	}
	return e
}

// subscripts parses [i], [lo:hi], .field and .* after a column or operand, in any number.
func (p *parser) subscripts(e Expr) Expr {
	for {
		t := p.cur()
		switch {
		case t.isPunct("["):
			item := p.subscript()
			if s, ok := e.(*Subscript); ok {
				s.Items = append(s.Items, item)
				continue
			}
			e = &Subscript{Loc{t.pos}, e, []SubscriptItem{item}}
		case t.isPunct("."):
			p.advance()
			if p.takeOp("*") {
				return &Star{Loc: Loc{t.pos}, X: e}
			}
			id := p.label()
			e = &FieldSelect{id.Loc, e, id.Name}
		default:
			return e
		}
		p.peak = p.grow(p.peak)
	}
}

func (p *parser) subscript() SubscriptItem {
	s := SubscriptItem{Loc: p.loc()}
	p.expectPunct("[")
	if !p.isPunct(":") {
		s.Upper = p.expr()
	}
	if p.takePunct(":") {
		s.Slice = true
		s.Lower, s.Upper = s.Upper, nil
		if !p.isPunct("]") {
			s.Upper = p.expr()
		}
	}
	p.expectPunct("]")
	return s
}

// indirection parses what may follow a parenthesised operand: a new Subscript starts, since (a[1])[2]
// need not be a[1][2].
func (p *parser) indirection(e Expr) Expr {
	if !p.isPunct("[") && !p.isPunct(".") {
		return e
	}
	if s, ok := e.(*Subscript); ok && p.isPunct("[") {
		t := p.cur()
		e = &Subscript{Loc{t.pos}, s, []SubscriptItem{p.subscript()}}
		p.peak = p.grow(p.peak)
	}
	return p.subscripts(e)
}

// parenExpr parses (expr), a row (a, b) or a subquery, with what follows it.
func (p *parser) parenExpr() Expr {
	loc := p.loc()
	if p.parensLeadToQuery() {
		query, list := p.queryOrExprs()
		if query != nil {
			return p.indirection(&Subquery{loc, Scalar, query})
		}
		return p.parenthesised(loc, list)
	}
	p.advance()
	list := p.exprList()
	p.expectPunct(")")
	return p.parenthesised(loc, list)
}

// parenthesised makes an operand of the expressions between parentheses.
func (p *parser) parenthesised(loc Loc, list []Expr) Expr {
	if len(list) == 1 {
		return p.indirection(list[0])
	}
	return p.overlaps(&Row{loc, list, false})
}

// overlaps parses OVERLAPS (c, d) after a row.
func (p *parser) overlaps(row *Row) Expr {
	if !p.is("overlaps") {
		return row
	}
	loc := p.loc()
	p.advance()
	right, ok := p.primary().(*Row)
	if !ok {
		p.fail()
	}
	if len(row.Elems) != 2 {
		p.errorAt(sqlerr.SyntaxError, row.Pos, "wrong number of parameters on left side of OVERLAPS expression")
	}
	if len(right.Elems) != 2 {
		p.errorAt(sqlerr.SyntaxError, right.Pos, "wrong number of parameters on right side of OVERLAPS expression")
	}
	call := &FuncCall{Loc: loc, Name: Name{loc, []string{"overlaps"}}}
	for _, e := range append(row.Elems, right.Elems...) {
		call.Args = append(call.Args, Arg{Value: e})
	}
	return call
}

// startsQuery says whether t, followed by next, begins a query.
func startsQuery(t, next *token) bool {
	if t.kind != tokWord {
		return false
	}
	switch t.val {
	case "select", "with", "table":
		return true
	case "values":
		return next.isPunct("(")
	}
	return false
}

// parensLeadToQuery says whether a query begins behind the run of parentheses that stands here. What
// that query is part of may still be an expression: ((SELECT 1) + 1).
func (p *parser) parensLeadToQuery() bool {
	if !p.isPunct("(") {
		return false
	}
	if p.parenEnd <= p.i {
		p.parenEnd = p.i
		for p.tokens[p.parenEnd].isPunct("(") {
			p.parenEnd++
		}
	}
	return startsQuery(&p.tokens[p.parenEnd], &p.tokens[min(p.parenEnd+1, len(p.tokens)-1)])
}

// continuesQuery says whether the current token extends the parenthesised query before it.
func (p *parser) continuesQuery() bool {
	return p.isAny("union", "intersect", "except", "order", "limit", "offset", "fetch", "for")
}

// queryOrExprs parses ( … ) where parensLeadToQuery: either a query, or the expressions between the
// parentheses.
func (p *parser) queryOrExprs() (*Query, []Expr) {
	p.enter()
	defer p.leave()
	outer := p.open()
	defer func() { p.closeHeight(outer) }()
	p.expectPunct("(")
	if !p.isPunct("(") {
		q := p.query()
		p.expectPunct(")")
		return q, nil
	}
	loc := p.loc()
	q, list := p.queryOrExprs()
	if q != nil && p.continuesQuery() {
		q = p.queryAfter(q)
		p.expectPunct(")")
		return q, nil
	}
	if q != nil && p.takePunct(")") {
		return q, nil
	}
	var e Expr
	if q != nil {
		e = p.indirection(&Subquery{loc, Scalar, q})
	} else {
		e = p.parenthesised(loc, list)
	}
	list = []Expr{p.operators(e, precLowest, false)}
	for p.takePunct(",") {
		list = append(list, p.expr())
	}
	p.expectPunct(")")
	return nil, list
}

// upper is strings.ToUpper; a short name for a frequent step.
func upper(s string) string { return strings.ToUpper(s) }
