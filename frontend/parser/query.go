package parser

import "github.com/millrace/millrace/internal/sqlerr"

// query parses a query without parentheses around it (gram.y: select_no_parens), or a parenthesised
// one, with WITH, ORDER BY, LIMIT and locking.
func (p *parser) query() *Query {
	p.enter()
	outer := p.open()
	loc := p.loc()
	with := p.optWith()
	q := p.queryBody(loc, with, p.queryOperand())
	p.closeHeight(outer)
	p.leave()
	return q
}

// queryAfter parses on after a parenthesised query: it is the first operand of what follows.
func (p *parser) queryAfter(first *Query) *Query {
	return p.queryBody(first.Loc, nil, unwrap(first))
}

// queryBody parses set operations and the clauses after them, given the first operand.
func (p *parser) queryBody(loc Loc, with *With, first QueryBody) *Query {
	body := p.setOps(first, 1)
	q, merge := body.(*Query)
	if !merge {
		q = &Query{Loc: loc, Body: body}
	}
	if with != nil {
		if q.With != nil {
			p.errorAt(sqlerr.SyntaxError, with.Pos, "multiple WITH clauses not allowed")
		}
		q.With = with
		q.Loc = loc
	}
	p.queryClauses(q)
	return q
}

// unwrap drops the Query around a body that has no clauses of its own.
func unwrap(q *Query) QueryBody {
	if q.With == nil && q.OrderBy == nil && q.Limit == nil && q.Offset == nil && q.Locking == nil {
		return q.Body
	}
	return q
}

// selectWithParens parses a query in one or more pairs of parentheses.
func (p *parser) selectWithParens() *Query {
	p.expectPunct("(")
	q := p.query()
	p.expectPunct(")")
	return q
}

// queryOperand parses SELECT, VALUES, TABLE or a parenthesised query.
func (p *parser) queryOperand() QueryBody {
	t := p.cur()
	switch {
	case t.isPunct("("):
		return unwrap(p.selectWithParens())
	case t.isWord("select"):
		return p.selectClause()
	case t.isWord("values"):
		return p.values()
	case t.isWord("table"):
		return p.tableQuery()
	}
	p.fail()
	return nil
}

// setOps parses UNION, EXCEPT (precedence 1) and INTERSECT (2), left-associative.
func (p *parser) setOps(left QueryBody, least int) QueryBody {
	for {
		prec, kind := 1, Union
		switch {
		case p.is("union"):
		case p.is("except"):
			kind = Except
		case p.is("intersect"):
			prec, kind = 2, Intersect
		default:
			return left
		}
		if prec < least {
			return left
		}
		loc := p.loc()
		p.advance()
		all := p.takeAny("all", "distinct") == "all"
		right := p.setOps(p.queryOperand(), prec+1)
		left = &SetOp{loc, kind, all, left, right}
		p.peak = p.grow(p.peak)
	}
}

// queryClauses parses ORDER BY, LIMIT, OFFSET, FETCH and FOR UPDATE into q.
func (p *parser) queryClauses(q *Query) {
	if p.is("order") {
		items := p.optOrderBy()
		if q.OrderBy != nil {
			p.errorAt(sqlerr.SyntaxError, items[0].Pos, "multiple ORDER BY clauses not allowed")
		}
		q.OrderBy = items
	}
	limited, offset := false, false
	for {
		switch {
		case p.isAny("limit", "fetch"):
			if limited {
				p.fail()
			}
			limited = true
			earlier := q.Limit
			if p.limit(q); earlier != nil && q.Limit != nil {
				p.errorAt(sqlerr.SyntaxError, q.Limit.At(), "multiple LIMIT clauses not allowed")
			}
		case p.is("offset"):
			if offset {
				p.fail()
			}
			offset = true
			earlier := q.Offset
			if p.offset(q); earlier != nil {
				p.errorAt(sqlerr.SyntaxError, q.Offset.At(), "multiple OFFSET clauses not allowed")
			}
		case p.is("for"):
			p.locking(q)
		default:
			return
		}
	}
}

// offset parses OFFSET n [ROWS]; before ROWS only an operand without operators may stand.
func (p *parser) offset(q *Query) {
	p.advance()
	first := p.cur()
	q.Offset = p.expr()
	if p.isAny("row", "rows") {
		if u, ok := q.Offset.(*Unary); precOf(q.Offset) < precPrimary && !first.isPunct("(") && !(ok && isNumber(u.X)) {
			p.fail()
		}
		p.advance()
	}
}

func isNumber(e Expr) bool {
	_, ok := e.(*NumberLit)
	return ok
}

// limit parses LIMIT n|ALL or FETCH FIRST [n] ROWS ONLY|WITH TIES.
func (p *parser) limit(q *Query) {
	at := p.pos()
	if p.take("limit") {
		if !p.take("all") {
			q.Limit = p.expr()
		}
		if p.isPunct(",") {
			p.raise(sqlerr.New(sqlerr.SyntaxError, "LIMIT #,# syntax is not supported").
				WithHint("Use separate LIMIT and OFFSET clauses.").At(at))
		}
		return
	}
	p.advance()
	if p.takeAny("first", "next") == "" {
		p.fail()
	}
	loc := p.loc()
	switch {
	case p.isAny("row", "rows"):
		q.Limit = &NumberLit{loc, "1", true}
	case p.cur().kind == tokOp:
		q.Limit = p.signedNumber()
	default:
		q.Limit = p.primary()
	}
	if p.takeAny("row", "rows") == "" {
		p.fail()
	}
	if p.take("only") {
		return
	}
	p.expect("with", "ties")
	q.WithTies = true
	if q.OrderBy == nil {
		p.raise(sqlerr.New(sqlerr.SyntaxError, "WITH TIES cannot be specified without ORDER BY clause"))
	}
}

// signedNumber parses a numeric literal with an optional sign.
func (p *parser) signedNumber() Expr {
	t := p.cur()
	if t.isOp("-") || t.isOp("+") {
		p.advance()
		n := p.unsignedNumber()
		if t.val == "+" {
			return n
		}
		return &Unary{Loc: Loc{t.pos}, Op: "-", X: n}
	}
	return p.unsignedNumber()
}

func (p *parser) unsignedNumber() *NumberLit {
	t := p.cur()
	if t.kind != tokInt && t.kind != tokFloat {
		p.fail()
	}
	p.advance()
	return &NumberLit{Loc{t.pos}, t.val, t.kind == tokInt}
}

// locking parses FOR UPDATE|NO KEY UPDATE|SHARE|KEY SHARE [OF t] [NOWAIT|SKIP LOCKED], or FOR READ ONLY.
func (p *parser) locking(q *Query) {
	l := Locking{Loc: p.loc()}
	p.advance()
	switch {
	case p.takeWords("read", "only"):
		return
	case p.take("update"):
		l.Strength = "UPDATE"
	case p.takeWords("no", "key", "update"):
		l.Strength = "NO KEY UPDATE"
	case p.take("share"):
		l.Strength = "SHARE"
	case p.takeWords("key", "share"):
		l.Strength = "KEY SHARE"
	default:
		p.fail()
	}
	if p.take("of") {
		l.Of = p.qualifiedNames()
	}
	switch {
	case p.take("nowait"):
		l.Wait = "NOWAIT"
	case p.takeWords("skip", "locked"):
		l.Wait = "SKIP LOCKED"
	}
	q.Locking = append(q.Locking, l)
}

// optWith parses WITH [RECURSIVE] …; nil if none stands here.
func (p *parser) optWith() *With {
	if !p.is("with") {
		return nil
	}
	w := &With{Loc: p.loc()}
	p.advance()
	w.Recursive = p.optWord("recursive")
	p.list(func() { w.CTEs = append(w.CTEs, p.cte()) })
	return w
}

func (p *parser) cte() CTE {
	id := p.colID()
	c := CTE{Loc: id.Loc, Name: id.Name, Columns: p.optColumnList()}
	p.expect("as")
	not := p.isWords("not", "materialized") && p.take("not")
	if p.take("materialized") {
		materialized := !not
		c.Materialized = &materialized
	}
	p.parens(func() {
		c.DML = p.preparable()
		if s, ok := c.DML.(*SelectStmt); ok {
			c.Query, c.DML = s.Query, nil
		}
		if s, ok := c.DML.(*CreateTableStmt); ok {
			p.errorAt(sqlerr.SyntaxError, s.Name.Pos, "SELECT ... INTO is not allowed here")
		}
	})
	c.Search, c.Cycle = p.search(), p.cycle()
	return c
}

// search parses a SEARCH clause, if there is one.
func (p *parser) search() *Search {
	s := &Search{Loc: p.loc()}
	if !p.take("search") {
		return nil
	}
	if s.Breadth = p.take("breadth"); !s.Breadth {
		p.expect("depth")
	}
	p.expect("first", "by")
	p.list(func() { s.Columns = append(s.Columns, p.colID()) })
	p.expect("set")
	s.Set = p.colID()
	return s
}

// cycle parses a CYCLE clause, if there is one.
func (p *parser) cycle() *Cycle {
	y := &Cycle{Loc: p.loc()}
	if !p.take("cycle") {
		return nil
	}
	p.list(func() { y.Columns = append(y.Columns, p.colID()) })
	p.expect("set")
	y.Mark = p.colID()
	if p.take("to") {
		y.To = p.primary()
		p.expect("default")
		y.Default = p.primary()
	}
	p.expect("using")
	y.Path = p.colID()
	return y
}

// selectClause parses SELECT … up to WINDOW.
func (p *parser) selectClause() *Select {
	s := &Select{Loc: p.loc()}
	p.advance()
	if p.take("distinct") {
		s.Distinct = true
		if p.take("on") {
			p.parens(func() { s.DistinctOn = p.exprList() })
		}
	} else {
		p.take("all")
	}
	if s.Distinct || !p.endsTargets() {
		s.Targets = p.targets()
	}
	if p.is("into") {
		p.into(s)
	}
	if p.take("from") {
		s.From = p.fromList()
	}
	if p.take("where") {
		s.Where = p.expr()
	}
	if p.take("group") {
		p.expect("by")
		s.GroupDistinct = p.takeAny("all", "distinct") == "distinct"
		p.list(func() { s.GroupBy = append(s.GroupBy, p.groupItem()) })
	}
	if p.take("having") {
		s.Having = p.expr()
	}
	if p.take("window") {
		p.list(func() { s.Windows = append(s.Windows, p.windowDef()) })
	}
	return s
}

// into parses INTO [TEMPORARY | UNLOGGED] [TABLE] name.
func (p *parser) into(s *Select) {
	p.advance()
	s.into = &intoClause{temp: p.takeAny("temporary", "temp") != ""}
	if !s.into.temp {
		p.take("unlogged")
	}
	p.take("table")
	s.into.name = p.qualifiedName()
	p.intos = append(p.intos, s)
}

// tableOf makes a CREATE TABLE AS of a query whose first SELECT has INTO; any other place for one is an error.
func (p *parser) tableOf(q *Query) Stmt {
	body := q.Body
	for {
		switch x := body.(type) {
		case *SetOp:
			body = x.Left
			continue
		case *Query:
			body = x.Body
			continue
		}
		break
	}
	first, _ := body.(*Select)
	if first == nil || first.into == nil {
		return &SelectStmt{Query: q}
	}
	s := &CreateTableStmt{Name: first.into.name, Temp: first.into.temp, Query: q}
	first.into = nil
	return s
}

// checkInto refuses INTO where no table is made of it.
func (p *parser) checkInto() {
	for _, s := range p.intos {
		if s.into != nil {
			p.errorAt(sqlerr.SyntaxError, s.into.name.Pos, "SELECT ... INTO is not allowed here")
		}
	}
	p.intos = nil
}

// endsTargets says that the select list is empty.
func (p *parser) endsTargets() bool {
	t := p.cur()
	return t.kind == tokEOF || t.isPunct(";") || t.isPunct(")") || p.continuesQuery() ||
		p.isAny("into", "from", "where", "group", "having", "window", "with")
}

// targets parses a select list or a RETURNING list.
func (p *parser) targets() []Target {
	var list []Target
	p.list(func() { list = append(list, p.target()) })
	return list
}

func (p *parser) target() Target {
	loc := p.loc()
	if p.takeOp("*") {
		return Target{Loc: loc, Expr: p.starExcept(&Star{Loc: loc})}
	}
	t := Target{Loc: loc, Expr: p.expr()}
	if s, ok := t.Expr.(*Star); ok {
		p.starExcept(s)
	}
	if p.take("as") {
		t.Alias = p.label().Name
	} else if p.bareLabel() {
		t.Alias = p.label().Name
	}
	return t
}

// bareLabel says whether a column label without AS stands here.
func (p *parser) bareLabel() bool {
	t := p.cur()
	return t.kind == tokQuoted || t.kind == tokWord && t.bare && !p.startsStreamingClause()
}

// startsStreamingClause recognises the clauses of the streaming dialect that begin with a word that
// could also be an alias.
func (p *parser) startsStreamingClause() bool {
	t, next := p.cur(), p.peek(1)
	if t.kind != tokWord || next.kind != tokWord {
		return false
	}
	switch t.val {
	case "asof":
		return next.val == "join" || next.val == "left" || next.val == "inner"
	case "emit":
		return next.val == "on"
	case "format":
		return p.peek(2).isWord("encode")
	}
	return false
}

// starExcept parses * EXCEPT (a, b), which is no set operation.
func (p *parser) starExcept(s *Star) *Star {
	if !p.is("except") || !p.peek(1).isPunct("(") {
		return s
	}
	p.advance()
	if p.parensLeadToQuery() {
		p.i--
		return s
	}
	p.parens(func() { s.Except = p.exprList() })
	return s
}

func (p *parser) groupItem() GroupItem {
	p.enter()
	defer p.leave()
	g := GroupItem{Loc: p.loc()}
	switch {
	case p.isPunct("(") && p.peek(1).isPunct(")"):
		p.advance()
		p.advance()
		g.Kind = GroupEmpty
	case p.isAny("rollup", "cube") && p.peek(1).isPunct("("):
		g.Kind = GroupRollup
		if p.is("cube") {
			g.Kind = GroupCube
		}
		p.advance()
		p.parens(func() { g.Exprs = p.exprList() })
	case p.isWords("grouping", "sets"):
		p.expect("grouping", "sets")
		g.Kind = GroupSets
		p.parens(func() {
			p.list(func() { g.Sets = append(g.Sets, p.groupItem()) })
		})
	default:
		g.Exprs = []Expr{p.expr()}
	}
	return g
}

func (p *parser) windowDef() WindowDef {
	id := p.colID()
	p.expect("as")
	return WindowDef{id.Loc, id.Name, p.windowSpec()}
}

// optOrderBy parses ORDER BY …; nil if none stands here.
func (p *parser) optOrderBy() []OrderItem {
	if !p.is("order") {
		return nil
	}
	return p.orderBy()
}

func (p *parser) orderBy() []OrderItem {
	p.expect("order", "by")
	var items []OrderItem
	p.list(func() { items = append(items, p.orderItem()) })
	return items
}

func (p *parser) orderItem() OrderItem {
	o := OrderItem{Loc: p.loc(), Expr: p.expr()}
	if p.take("using") {
		if p.is("operator") {
			o.Using = p.operatorRef().name
		} else if o.Using = p.cur().val; p.cur().kind != tokOp {
			p.fail()
		} else {
			p.advance()
		}
	} else {
		o.Desc = p.takeAny("asc", "desc") == "desc"
	}
	o.Nulls = p.nullsOrder()
	return o
}

// nullsOrder parses NULLS FIRST or NULLS LAST.
func (p *parser) nullsOrder() NullsOrder {
	switch {
	case p.takeWords("nulls", "first"):
		return NullsFirst
	case p.takeWords("nulls", "last"):
		return NullsLast
	}
	return NullsDefault
}

func (p *parser) values() *Values {
	v := &Values{Loc: p.loc()}
	p.expect("values")
	p.list(func() {
		p.parens(func() { v.Rows = append(v.Rows, p.exprList()) })
	})
	return v
}

// tableQuery parses TABLE t.
func (p *parser) tableQuery() *Select {
	loc := p.loc()
	p.advance()
	return &Select{
		Loc:     loc,
		Targets: []Target{{Loc: loc, Expr: &Star{Loc: loc}}},
		From:    []TableRef{p.relation()},
	}
}
