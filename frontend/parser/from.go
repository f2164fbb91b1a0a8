package parser

import "github.com/millrace/millrace/internal/sqlerr"

// fromList parses the comma-separated items of FROM or USING.
func (p *parser) fromList() []TableRef {
	var refs []TableRef
	p.list(func() { refs = append(refs, p.tableRef()) })
	return refs
}

// tableRef parses a table with the joins that follow it.
func (p *parser) tableRef() TableRef {
	p.enter()
	outer := p.open()
	ref := p.joins(p.tablePrimary())
	p.closeHeight(outer)
	p.leave()
	return ref
}

// joins extends left by the joins that follow. The right side of a join with a condition may itself
// be a join: a JOIN b JOIN c ON x ON y.
func (p *parser) joins(left TableRef) TableRef {
	for {
		j := &JoinRef{Loc: p.loc(), Left: left}
		if !p.joinOperator(j) {
			return left
		}
		switch {
		case j.Kind == CrossJoin || j.Natural:
			j.Right = p.tablePrimary()
		default:
			j.Right = p.tableRef()
			p.joinCondition(j)
		}
		left = j
		p.peak = p.grow(p.peak)
	}
}

// joinOperator consumes [NATURAL] [INNER|LEFT|RIGHT|FULL [OUTER]] JOIN, CROSS JOIN or ASOF … JOIN into
// j; false if none stands here.
func (p *parser) joinOperator(j *JoinRef) bool {
	if !p.isAny("join", "inner", "left", "right", "full", "cross", "natural") {
		if !p.is("asof") || !p.startsStreamingClause() {
			return false
		}
	}
	switch {
	case p.take("cross"):
		j.Kind = CrossJoin
	case p.take("natural"):
		j.Natural = true
	case p.take("asof"):
		j.AsOf = true
	}
	if j.Kind != CrossJoin {
		switch p.takeAny("inner", "left", "right", "full") {
		case "left":
			j.Kind = LeftJoin
		case "right":
			j.Kind = RightJoin
		case "full":
			j.Kind = FullJoin
		}
		if j.Kind != InnerJoin {
			p.take("outer")
		}
	}
	p.expect("join")
	return true
}

func (p *parser) joinCondition(j *JoinRef) {
	if p.take("on") {
		j.On = p.expr()
		return
	}
	p.expect("using")
	j.Using = p.columnList()
	if p.take("as") {
		j.UsingAlias = p.colID().Name
	}
}

// tablePrimary parses one item of FROM without joins after it.
func (p *parser) tablePrimary() TableRef {
	loc := p.loc()
	lateral := p.take("lateral")
	switch {
	case p.isPunct("(") && p.parensLeadToQuery():
		return p.fromQuery(loc, lateral)
	case p.isPunct("(") && !lateral:
		return p.parenJoin()
	case p.isPunct("("): // LATERAL ( takes only a query
		p.advance()
		p.fail()
	case p.isWords("rows", "from") && p.peek(2).isPunct("("):
		return p.rowsFrom(loc, lateral)
	}
	if call := p.fromFunction(); call != nil {
		ref := &FuncRef{Loc: loc, Lateral: lateral, Funcs: []FuncItem{{Call: call}}}
		p.funcAlias(ref)
		return ref
	}
	if p.cur().cat == catTypeFunc { // the name of a function, which needs a parenthesis
		p.advance()
		p.fail()
	}
	ref := p.relation()
	if lateral {
		p.fail()
	}
	p.relationClauses(ref)
	return ref
}

// fromQuery parses ((…)) that leads to a query: a subquery, or a join that begins with one.
func (p *parser) fromQuery(loc Loc, lateral bool) TableRef {
	at := p.loc()
	q, join := p.queryOrJoin()
	if q == nil {
		if lateral {
			p.fail()
		}
		return p.joinAlias(join)
	}
	return &SubqueryRef{Loc: loc, Lateral: lateral, Query: q, Alias: p.subqueryAlias(at, q)}
}

// subqueryAlias parses the alias of a subquery, which it must have.
func (p *parser) subqueryAlias(at Loc, q *Query) *Alias {
	a := p.optAlias()
	if a != nil {
		return a
	}
	what, example := "subquery", "SELECT"
	if _, ok := q.Body.(*Values); ok {
		what, example = "VALUES", "VALUES"
	}
	p.raise(sqlerr.New(sqlerr.SyntaxError, "%s in FROM must have an alias", what).At(at.Pos).
		WithHint("For example, FROM (%s ...) [AS] foo.", example))
	return nil
}

// queryOrJoin parses ( … ) where parensLeadToQuery: either a query, or a join.
func (p *parser) queryOrJoin() (*Query, TableRef) {
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
	q, ref := p.queryOrJoin()
	if q != nil && p.continuesQuery() {
		q = p.queryAfter(q)
		p.expectPunct(")")
		return q, nil
	}
	if q != nil && p.takePunct(")") {
		return q, nil
	}
	if q != nil {
		ref = &SubqueryRef{Loc: loc, Query: q, Alias: p.subqueryAlias(loc, q)}
	} else {
		ref = p.joinAlias(ref)
	}
	ref = p.joins(ref)
	p.endJoin(ref)
	return nil, ref
}

// parenJoin parses (a JOIN b …) [AS alias].
func (p *parser) parenJoin() TableRef {
	p.advance()
	ref := p.tableRef()
	p.endJoin(ref)
	return p.joinAlias(ref)
}

// endJoin consumes the parenthesis after a join; around anything else it is an error.
func (p *parser) endJoin(ref TableRef) {
	if _, ok := ref.(*JoinRef); !ok {
		p.fail()
	}
	p.expectPunct(")")
}

// joinAlias parses an alias of a parenthesised join.
func (p *parser) joinAlias(ref TableRef) TableRef {
	if alias := p.optAlias(); alias != nil {
		j := ref.(*JoinRef)
		if j.Alias != nil {
			p.fail()
		}
		j.Alias = alias
	}
	return ref
}

// relation parses [ONLY] name [*].
func (p *parser) relation() *RelRef {
	ref := &RelRef{Loc: p.loc()}
	if p.take("only") {
		ref.Only = true
		if p.isPunct("(") {
			p.parens(func() { ref.Name = p.qualifiedName() })
		} else {
			ref.Name = p.qualifiedName()
		}
		return ref
	}
	ref.Name = p.qualifiedName()
	if len(ref.Name.Parts) > 3 {
		p.errorAt(sqlerr.SyntaxError, ref.Name.Pos, "improper qualified name (too many dotted names): %s", ref.Name)
	}
	p.takeOp("*")
	return ref
}

// relationClauses parses what may follow a relation in FROM.
func (p *parser) relationClauses(ref *RelRef) {
	p.systemTime(ref)
	ref.Alias = p.optAlias()
	if ref.AsOf == nil {
		p.systemTime(ref)
	}
	if ref.AsOf != nil && ref.Alias == nil {
		ref.Alias = p.optAlias()
	}
	if p.is("tablesample") {
		ref.Sample = p.tableSample()
	}
}

// systemTime parses FOR SYSTEM_TIME AS OF x.
func (p *parser) systemTime(ref *RelRef) {
	if !p.takeWords("for", "system_time", "as", "of") {
		return
	}
	ref.AsOf = p.expr()
	// now() - '10' SECOND is how some write an interval.
	if b, ok := ref.AsOf.(*Binary); ok && b.Op == "-" {
		if s, ok := b.R.(*StringLit); ok && intervalRank[p.cur().val] != 0 {
			typ := namedType(s.Loc, "interval")
			p.intervalFields(typ)
			b.R = &Cast{s.Loc, s, typ}
		}
	}
}

func (p *parser) tableSample() *TableSample {
	s := &TableSample{Loc: p.loc()}
	p.advance()
	s.Method = p.anyFuncName()
	p.parens(func() { s.Args = p.exprList() })
	if p.take("repeatable") {
		p.parens(func() { s.Repeatable = p.expr() })
	}
	return s
}

// optAlias parses [AS] name [(columns)]; nil if none stands here.
func (p *parser) optAlias() *Alias {
	if p.take("as") {
		return p.alias()
	}
	if !p.isColID() || p.startsStreamingClause() {
		return nil
	}
	return p.alias()
}

func (p *parser) alias() *Alias {
	id := p.colID()
	return &Alias{id.Loc, id.Name, p.optColumnList()}
}

// fromFunction parses a function in FROM; nil if a relation stands here.
func (p *parser) fromFunction() Expr {
	t := p.cur()
	if t.kind == tokWord && t.cat != catNone && t.cat != catUnres {
		if e := p.reservedFunction(t); e != nil {
			return e
		}
	}
	n := 1
	for p.peek(n).isPunct(".") {
		n += 2
	}
	if !p.peek(n).isPunct("(") {
		return nil
	}
	if n == 1 && !t.canBe(isFuncID) && !isCallable(t) {
		return nil
	}
	var name Name
	if n == 1 {
		p.advance()
		name = Name{Loc{t.pos}, []string{t.val}}
	} else {
		name = p.qualifiedName()
	}
	return p.call(name, true)
}

// reservedFunction parses a call with a syntax of its own.
func (p *parser) reservedFunction(t *token) Expr {
	switch {
	case t.cat == catColName || t.cat == catTypeFunc:
		if t.val == "row" || t.val == "exists" || t.val == "grouping" {
			return nil
		}
		return p.special(t)
	case t.val == "cast":
		return p.castExpr()
	}
	return p.sqlValue(t)
}

// rowsFrom parses ROWS FROM (f(…) [AS (defs)], …).
func (p *parser) rowsFrom(loc Loc, lateral bool) TableRef {
	ref := &FuncRef{Loc: loc, Lateral: lateral, RowsFrom: true}
	p.expect("rows", "from")
	p.parens(func() {
		p.list(func() {
			call := p.fromFunction()
			if call == nil {
				p.fail()
			}
			item := FuncItem{Call: call}
			if p.take("as") {
				item.ColumnDefs = p.fieldDefs()
			}
			ref.Funcs = append(ref.Funcs, item)
		})
	})
	p.funcAlias(ref)
	return ref
}

// funcAlias parses [WITH ORDINALITY] and an alias with columns or column definitions.
func (p *parser) funcAlias(ref *FuncRef) {
	ref.Ordinality = p.takeWords("with", "ordinality")
	as := p.take("as")
	if as && p.isPunct("(") {
		ref.ColumnDefs = p.fieldDefs()
		return
	}
	if !as && (!p.isColID() || p.startsStreamingClause()) {
		return
	}
	id := p.colID()
	ref.Alias = &Alias{Loc: id.Loc, Name: id.Name}
	if !p.isPunct("(") {
		return
	}
	if after := p.peek(2); after.isPunct(",") || after.isPunct(")") {
		ref.Alias.Columns = p.columnList()
		return
	}
	ref.ColumnDefs = p.fieldDefs()
}

// fieldDefs parses (a int, b text COLLATE "C").
func (p *parser) fieldDefs() []StructField {
	var defs []StructField
	p.parens(func() {
		p.list(func() { defs = append(defs, p.fieldDef()) })
	})
	return defs
}

func (p *parser) fieldDef() StructField {
	id := p.colID()
	return StructField{id.Loc, id.Name, p.typeName(), p.optCollate()}
}

// optCollate parses COLLATE name.
func (p *parser) optCollate() Name {
	if !p.take("collate") {
		return Name{}
	}
	return p.qualifiedName()
}
