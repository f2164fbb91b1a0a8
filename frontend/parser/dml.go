package parser

// insert parses INSERT.
func (p *parser) insert(with *With) Stmt {
	s := &InsertStmt{With: with}
	p.expect("insert", "into")
	s.Table = p.qualifiedName()
	if p.take("as") {
		s.Alias = p.colID().Name
	}
	if p.isPunct("(") && !p.parensLeadToQuery() {
		p.parens(func() {
			p.list(func() { s.Columns = append(s.Columns, p.assignTarget()) })
		})
	}
	if p.take("overriding") {
		if s.Overriding = upper(p.takeAny("user", "system")); s.Overriding == "" {
			p.fail()
		}
		p.expect("value")
	}
	if s.Columns != nil || s.Overriding != "" || !p.takeWords("default", "values") {
		s.Query = p.query()
	}
	s.OnConflict = p.onConflict()
	s.Returning = p.returning()
	return s
}

// assignTarget parses a column that is written to: name[.field][subscript].
func (p *parser) assignTarget() InsertColumn {
	id := p.colID()
	c := InsertColumn{Loc: id.Loc, Name: id.Name}
	for {
		switch {
		case p.takePunct("."):
			c.Path = append(c.Path, PathStep{Field: p.label().Name})
		case p.isPunct("["):
			c.Path = append(c.Path, PathStep{Subscript: p.subscript()})
		default:
			return c
		}
	}
}

func (p *parser) returning() []Target {
	if !p.take("returning") {
		return nil
	}
	return p.targets()
}

// onConflict parses ON CONFLICT …; nil if none stands here.
func (p *parser) onConflict() *OnConflict {
	if !p.isWords("on", "conflict") {
		return nil
	}
	c := &OnConflict{Loc: p.loc()}
	p.expect("on", "conflict")
	switch {
	case p.isPunct("("):
		p.parens(func() { c.Targets = p.indexElems() })
		if p.take("where") {
			c.TargetWhere = p.expr()
		}
	case p.takeWords("on", "constraint"):
		c.Constraint = p.colID().Name
	}
	p.expect("do")
	if p.take("nothing") {
		return c
	}
	p.expect("update", "set")
	c.Update = p.setClauses()
	if p.take("where") {
		c.Where = p.expr()
	}
	return c
}

// setClauses parses a = x, (b, c) = y, ….
func (p *parser) setClauses() []SetClause {
	var list []SetClause
	p.list(func() { list = append(list, p.setClause()) })
	return list
}

func (p *parser) setClause() SetClause {
	s := SetClause{Loc: p.loc()}
	if s.Multi = p.takePunct("("); s.Multi {
		p.list(func() { s.Columns = append(s.Columns, p.assignTarget()) })
		p.expectPunct(")")
	} else {
		s.Columns = []InsertColumn{p.assignTarget()}
	}
	p.expectOp("=")
	s.Value = p.expr()
	return s
}

// target table of UPDATE and DELETE: [ONLY] name [[AS] alias]. SET is no alias.
func (p *parser) writeTarget() (rel *RelRef, alias string) {
	rel = p.relation()
	if p.take("as") || p.isColID() && !p.is("set") {
		alias = p.colID().Name
	}
	return rel, alias
}

// update parses UPDATE.
func (p *parser) update(with *With) Stmt {
	s := &UpdateStmt{With: with}
	p.advance()
	rel, alias := p.writeTarget()
	s.Table, s.Only, s.Alias = rel.Name, rel.Only, alias
	p.expect("set")
	s.Set = p.setClauses()
	if p.take("from") {
		s.From = p.fromList()
	}
	if p.take("where") {
		s.Where = p.expr()
	}
	s.Returning = p.returning()
	return s
}

// delete parses DELETE.
func (p *parser) delete(with *With) Stmt {
	s := &DeleteStmt{With: with}
	p.expect("delete", "from")
	rel, alias := p.writeTarget()
	s.Table, s.Only, s.Alias = rel.Name, rel.Only, alias
	if p.take("using") {
		s.Using = p.fromList()
	}
	if p.take("where") {
		s.Where = p.expr()
	}
	s.Returning = p.returning()
	return s
}

// truncate parses TRUNCATE [TABLE] a, b.
func (p *parser) truncate() Stmt {
	s := &TruncateStmt{}
	p.advance()
	p.take("table")
	p.list(func() { s.Tables = append(s.Tables, p.relation().Name) })
	if w := p.takeAny("restart", "continue"); w != "" {
		p.expect("identity")
		s.Identity = upper(w)
	}
	s.Behavior = p.dropBehavior()
	return s
}

// indexElems parses the keys of an index.
func (p *parser) indexElems() []IndexElem {
	var list []IndexElem
	p.list(func() { list = append(list, p.indexElem()) })
	return list
}

// indexElem parses a column, a call or a parenthesised expression with its order.
func (p *parser) indexElem() IndexElem {
	e := IndexElem{Loc: p.loc()}
	switch {
	case p.isPunct("("):
		p.parens(func() { e.Expr = p.expr() })
	default:
		if e.Expr = p.fromFunction(); e.Expr == nil {
			id := p.colID()
			e.Expr = &ColumnRef{id.Loc, []string{id.Name}}
		}
	}
	e.Collation = p.optCollate()
	if p.isColID() && !p.is("nulls") && !p.isAny("include") {
		e.OpClass = p.qualifiedName()
	}
	e.Desc = p.takeAny("asc", "desc") == "desc"
	e.Nulls = p.nullsOrder()
	return e
}
