package parser

// copy parses COPY in the parenthesised and the older option syntax.
func (p *parser) copy() Stmt {
	s := &CopyStmt{}
	p.advance()
	loc := p.loc()
	binary := p.take("binary")
	if p.isPunct("(") {
		p.copyQuery(s)
	} else {
		s.Table = p.qualifiedName()
		s.Columns = p.optColumnList()
	}
	if s.From = !s.Table.IsZero() && p.take("from"); !s.From {
		p.expect("to")
	}
	p.copyFile(s)
	if binary {
		s.Options = append(s.Options, Option{Loc: loc, Name: "format", Value: &StringLit{loc, "binary"}, Word: true})
	}
	p.copyOptions(s)
	if s.From && p.take("where") {
		s.Where = p.expr()
	}
	return s
}

func (p *parser) copyQuery(s *CopyStmt) {
	p.parens(func() {
		if p.is("subscribe") {
			s.Subscribe = p.nested(p.subscribe).(*SubscribeStmt)
			return
		}
		s.DML = p.preparable()
		if q, ok := s.DML.(*SelectStmt); ok {
			s.Query, s.DML = q.Query, nil
		}
	})
}

func (p *parser) copyFile(s *CopyStmt) {
	switch {
	case p.takeAny("stdin", "stdout") != "":
	case p.take("program"):
		s.Program = true
		s.File = p.stringLit()
	default:
		s.File = p.stringLit()
	}
}

// copyOptions parses [USING] DELIMITERS 's' and [WITH] options.
func (p *parser) copyOptions(s *CopyStmt) {
	if p.isWords("using", "delimiters") || p.is("delimiters") {
		p.take("using")
		loc := p.loc()
		p.advance()
		s.Options = append(s.Options, Option{Loc: loc, Name: "delimiter", Value: p.literal()})
	}
	p.take("with")
	if p.isPunct("(") {
		p.parens(func() {
			p.list(func() { s.Options = append(s.Options, p.copyOption()) })
		})
		return
	}
	for {
		o, ok := p.oldCopyOption()
		if !ok {
			return
		}
		s.Options = append(s.Options, o)
	}
}

// copyOption parses name [value] of the parenthesised syntax.
func (p *parser) copyOption() Option {
	id := p.label()
	o := Option{Loc: id.Loc, Name: id.Name}
	switch {
	case p.isPunct(",") || p.isPunct(")"):
	case p.isOp("*"):
		o.Value = &Star{Loc: p.loc()}
		p.advance()
	case p.isPunct("("):
		o.Value = p.copyColumns()
	default:
		p.wordOrNumber(&o)
	}
	return o
}

// copyColumns parses (a, b) as a list of strings.
func (p *parser) copyColumns() Expr {
	a := &ArrayLit{Loc: p.loc()}
	for _, id := range p.columnList() {
		a.Elems = append(a.Elems, &StringLit{id.Loc, id.Name})
	}
	return a
}

// oldCopyOption parses one option of the syntax without parentheses, as the option it stands for.
func (p *parser) oldCopyOption() (Option, bool) {
	o := Option{Loc: p.loc()}
	switch w := p.takeAny("binary", "csv", "freeze", "header", "delimiter", "null", "quote", "escape", "encoding", "force"); w {
	case "":
		return o, false
	case "binary", "csv":
		o.Name, o.Value, o.Word = "format", &StringLit{o.Loc, w}, true
	case "freeze", "header":
		o.Name, o.Value = w, &BoolLit{o.Loc, true}
	case "force":
		p.oldForceOption(&o)
	default:
		o.Name = w
		p.take("as")
		o.Value = p.literal()
	}
	return o, true
}

// oldForceOption parses QUOTE, NOT NULL or NULL and its columns after FORCE.
func (p *parser) oldForceOption(o *Option) {
	switch {
	case p.take("quote"):
		o.Name = "force_quote"
		if p.isOp("*") {
			o.Value = &Star{Loc: p.loc()}
			p.advance()
			return
		}
	case p.takeWords("not", "null"):
		o.Name = "force_not_null"
	case p.take("null"):
		o.Name = "force_null"
	default:
		p.fail()
	}
	a := &ArrayLit{Loc: p.loc()}
	for _, id := range p.nameList() {
		a.Elems = append(a.Elems, &StringLit{id.Loc, id.Name})
	}
	o.Value = a
}
